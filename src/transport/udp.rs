//! Datagrams to one receiver. A connected socket: refusals come back, and others' datagrams do not come in.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{SendFlags, SocketType, connect, send, sockopt};

use super::{To, open, pending_error};
use crate::error::{Error, Result, Step};
use crate::limits::UDP_SEND_BUFFER_BYTES;
use crate::sys::socket::{hear_all_errors, holds_unsent};
use crate::sys::{At, failed};

/// A socket that sends to one receiver.
pub struct Udp {
    fd: OwnedFd,
}

/// What became of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// It left.
    Yes,
    /// There is no room for it now.
    Full,
    /// It can never leave: it is too large.
    TooLarge,
    /// What was sent before was refused, or there is no way to the receiver now.
    Broken(Error),
}

impl Udp {
    /// Opens the socket. Without a route to the receiver this fails.
    pub fn open(to: &To<'_>) -> Result<Udp> {
        let (fd, address) = open(to, SocketType::DGRAM)?;
        sockopt::set_socket_send_buffer_size(&fd, UDP_SEND_BUFFER_BYTES).at(Step::SetUpSocket)?;
        hear_all_errors(&fd);
        connect(&fd, &address).at(Step::Connect)?;
        Ok(Udp { fd })
    }

    /// The socket, to wait on.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Sends one datagram.
    pub fn send(&self, datagram: &[u8]) -> Sent {
        match send(&self.fd, datagram, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(_) => Sent::Yes,
            Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS) => Sent::Full,
            Err(Errno::MSGSIZE) => Sent::TooLarge,
            Err(errno) => Sent::Broken(failed(Step::Send, errno)),
        }
    }

    /// Whether what was sent is still here, waiting for the neighbour's address.
    pub fn holds_unsent(&self) -> bool {
        holds_unsent(&self.fd)
    }

    /// A refusal that has come in.
    pub fn refusal(&self) -> Result<()> {
        pending_error(&self.fd, Step::Send)
    }
}
