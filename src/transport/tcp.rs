//! One TCP connection, from its first SYN to its orderly end.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown, SocketType, send, shutdown};

use super::{To, open};
use crate::error::{Result, Step};
use crate::limits::{DEAD_MS, DEAD_TRIES};
use crate::sys::socket::{TcpInfo, connect, discard, pending_error, prepare_connection, tcp_info};
use crate::sys::{At, failed};

/// A connection, and how many bytes were written to it.
pub struct Tcp {
    fd: OwnedFd,
    written: u64,
}

impl Tcp {
    /// Begins to connect. It is done when the socket can be written and [`Tcp::connected`] agrees.
    pub fn begin(to: &mut To<'_>) -> Result<Tcp> {
        let fd = open(to, SocketType::STREAM)?;
        prepare_connection(&fd)?;
        connect(&fd, to.address, to.port)?;
        Ok(Tcp { fd, written: 0 })
    }

    /// Whether the connection that was begun stands.
    pub fn connected(&self) -> Result<()> {
        pending_error(&self.fd, Step::Connect)
    }

    /// The socket, to wait on.
    #[inline(never)] // it is small, but has a check for descriptors that are none
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
        discard(&self.fd)
    }

    /// What the receiver's kernel has confirmed, and whether it lives.
    pub fn state(&self) -> Result<State> {
        tcp_info(&self.fd).map(|info| State::new(info, self.written))
    }

    /// Says that no more will come. All that was written is still delivered.
    pub fn close_our_side(&self) -> Result<()> {
        shutdown(&self.fd, Shutdown::Write).at(Step::Close)
    }
}

/// The state of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct State {
    /// Bytes of ours that the receiver's kernel has.
    pub acked: u64,
    /// It has all that was written.
    pub all_acked: bool,
    /// It has that, and knows that no more will come.
    pub close_acked: bool,
    /// There is no connection any more: it was reset, or has timed out.
    pub broken: bool,
    /// It has not answered for so long and so often that it will not any more.
    pub dead: bool,
}

impl State {
    fn new(info: TcpInfo, written: u64) -> State {
        // The first byte that a peer acknowledges is the SYN.
        let acked = info.acked_bytes.saturating_sub(1);
        State {
            acked: acked.min(written),
            all_acked: acked >= written,
            close_acked: info.close_acked && acked >= written,
            broken: info.broken,
            dead: info.silent_ms >= DEAD_MS && info.retransmits.max(info.probes) >= DEAD_TRIES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection that stands, with nothing unanswered.
    const IDLE: TcpInfo = TcpInfo {
        acked_bytes: 1,
        close_acked: false,
        broken: false,
        retransmits: 0,
        probes: 0,
        silent_ms: 0,
    };

    #[test]
    fn slow_is_not_dead() {
        let info = IDLE;
        let dead = |info| State::new(info, 10).dead;
        assert!(!dead(TcpInfo { silent_ms: 3_600_000, ..info }), "idle");
        assert!(!dead(TcpInfo { silent_ms: 1_000, probes: 9, ..info }), "answers probes");
        assert!(!dead(TcpInfo { silent_ms: DEAD_MS, retransmits: 1, ..info }), "too early to tell");
        assert!(dead(TcpInfo { silent_ms: DEAD_MS, retransmits: 2, ..info }));
        assert!(dead(TcpInfo { silent_ms: DEAD_MS, probes: 2, ..info }));
    }

    #[test]
    fn the_syn_is_no_byte_of_ours() {
        let info = TcpInfo { acked_bytes: 10, ..IDLE };
        assert!(!State::new(info, 10).all_acked);
        assert!(State::new(TcpInfo { acked_bytes: 11, ..info }, 10).all_acked);
        assert_eq!(State::new(TcpInfo { acked_bytes: 12, ..info }, 10).acked, 10);
        assert_eq!(State::new(TcpInfo { acked_bytes: 0, ..info }, 10).acked, 0);
    }
}
