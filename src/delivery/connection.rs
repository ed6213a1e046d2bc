//! What the kernel tells of a TCP connection, and what that means.

use crate::limits::{DEAD_MS, DEAD_TRIES};

/// What the kernel knows of a connection (`struct tcp_info`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TcpInfo {
    /// Bytes that the peer's kernel has acknowledged, the SYN and the FIN among them.
    pub acked_bytes: u64,
    /// Our side is closed, and the peer has acknowledged even that.
    pub close_acked: bool,
    /// There is no connection any more: the peer has reset it, or the kernel has given it up.
    pub broken: bool,
    /// Retransmissions that are unanswered.
    pub retransmits: u8,
    /// Window probes that are unanswered.
    pub probes: u8,
    /// Since the peer's last segment of any kind.
    pub silent_ms: u32,
}

/// The state of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectionState {
    /// Bytes of ours that the receiver's kernel has.
    pub acked: u64,
    /// It has all that was written.
    pub all_acked: bool,
    /// It has that, and knows that no more will come.
    pub close_acked: bool,
    /// There is no connection any more.
    pub broken: bool,
    /// The receiver has not answered for so long and so often that it will not any more.
    pub dead: bool,
}

impl ConnectionState {
    /// The state after `written` bytes. A peer that answers window probes is slow, never dead.
    pub fn new(info: TcpInfo, written: u64) -> ConnectionState {
        // The first byte that a peer acknowledges is the SYN.
        let acked = info.acked_bytes.saturating_sub(1);
        ConnectionState {
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
        let dead = |info| ConnectionState::new(info, 10).dead;
        assert!(!dead(TcpInfo { silent_ms: 3_600_000, ..info }), "idle");
        assert!(!dead(TcpInfo { silent_ms: 1_000, probes: 9, ..info }), "answers probes");
        assert!(!dead(TcpInfo { silent_ms: DEAD_MS, retransmits: 1, ..info }), "too early to tell");
        assert!(dead(TcpInfo { silent_ms: DEAD_MS, retransmits: 2, ..info }));
        assert!(dead(TcpInfo { silent_ms: DEAD_MS, probes: 2, ..info }));
    }

    #[test]
    fn the_syn_is_no_byte_of_ours() {
        let info = TcpInfo { acked_bytes: 10, ..IDLE };
        assert!(!ConnectionState::new(info, 10).all_acked);
        assert!(ConnectionState::new(TcpInfo { acked_bytes: 11, ..info }, 10).all_acked);
        assert_eq!(ConnectionState::new(TcpInfo { acked_bytes: 12, ..info }, 10).acked, 10);
        assert_eq!(ConnectionState::new(TcpInfo { acked_bytes: 0, ..info }, 10).acked, 0);
    }
}
