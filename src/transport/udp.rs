//! Datagrams to one receiver. A connected socket: refusals come back, and others' datagrams do not come in.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{SendFlags, SocketType, send};

use super::{To, open};
use crate::error::{Error, Result, Step};
use crate::sys::failed;
use crate::sys::socket::{connect, holds_unsent, pending_error, prepare_datagrams};

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
    pub fn open(to: &mut To<'_>) -> Result<Udp> {
        let fd = open(to, SocketType::DGRAM)?;
        prepare_datagrams(&fd)?;
        connect(&fd, to.address, to.port)?;
        Ok(Udp { fd })
    }

    /// The socket, to wait on.
    #[inline(never)] // it is small, but has a check for descriptors that are none
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
