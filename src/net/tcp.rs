//! One TCP connection, from its first SYN to its orderly end.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown, SocketType, send, shutdown};

use super::{Target, open};
use crate::sys::socket::{connect, discard, pending_error, prepare_connection, tcp_info};
use crate::sys::{At, failed};
use earlykmsg::delivery::connection::ConnectionState;
use earlykmsg::error::{Result, Step};

/// A connection, and how many bytes were written to it.
pub struct Tcp {
    fd: OwnedFd,
    written: u64,
}

impl Tcp {
    /// Begins to connect. It is done when the socket can be written and [`Tcp::connected`] agrees.
    pub fn begin(target: &mut Target<'_>) -> Result<Tcp> {
        let fd = open(target, SocketType::STREAM)?;
        prepare_connection(fd.as_fd())?;
        connect(fd.as_fd(), target.address.with_port(target.port))?;
        Ok(Tcp { fd, written: 0 })
    }

    /// Whether the connection that was begun is established.
    pub fn connected(&self) -> Result<()> {
        pending_error(self.fd(), Step::Connect)
    }

    /// The socket, to wait on.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// How many bytes were written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Writes as much as the send buffer takes now. Returns how much that was: 0 when it is full.
    pub fn send(&mut self, bytes: &[u8]) -> Result<usize> {
        match send(&self.fd, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(len) => {
                self.written += len as u64;
                Ok(len)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(errno) => Err(failed(Step::Send, errno)),
        }
    }

    /// Drops what the receiver sent. `true`: it has closed its side.
    pub fn discard(&self) -> Result<bool> {
        discard(self.fd())
    }

    /// What the receiver's kernel has acknowledged, and whether it answers.
    pub fn state(&self) -> Result<ConnectionState> {
        tcp_info(self.fd()).map(|info| ConnectionState::new(info, self.written))
    }

    /// Sends a FIN behind all that was written.
    pub fn close_our_side(&self) -> Result<()> {
        shutdown(&self.fd, Shutdown::Write).at(Step::Close)
    }
}
