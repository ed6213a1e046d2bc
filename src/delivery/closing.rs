//! What a receiver that closed its side has got of what was on its way.
//!
//! A FIN says only that the receiver sends no more. Its program may have ended, and then its kernel answers bytes that
//! still come with a reset; or it has closed the half that it does not need, and reads on. So nothing more is sent, and
//! what happens to the bytes on their way decides:
//!
//! | what happens | where the next connection begins |
//! | --- | --- |
//! | all are acknowledged | behind them |
//! | a reset, or a second without an acknowledgement; none was acknowledged since the FIN | at the first that was not |
//! | a reset, or a second without one; some were acknowledged since the FIN, or nothing was on its way | as after any end |

use crate::limits::ACK_AFTER_FIN_MS;

/// What a look at the connection shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Bytes that were written.
    pub written: u64,
    /// Bytes that are acknowledged.
    pub acked: u64,
    /// There is no connection any more: it was reset.
    pub broken: bool,
}

/// What follows from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Acknowledgements may still come.
    Wait,
    /// The receiver's kernel has every byte.
    AllArrived,
    /// The receiver had ended: bytes from this position on did not arrive, and all before were read.
    NothingSince(u64),
    /// What was read is unknown.
    Unknown,
}

/// A connection whose receiver has closed its side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Closing {
    acked_at_fin: u64,
    acked: u64,
    until_ms: u64,
}

impl Closing {
    /// From now on nothing more is sent. `acked_at_fin`: what was acknowledged when the FIN came.
    pub fn new(acked_at_fin: u64, now_ms: u64) -> Closing {
        Closing { acked_at_fin, acked: acked_at_fin, until_ms: now_ms + ACK_AFTER_FIN_MS }
    }

    /// Judges what a look shows. Each acknowledgement gives the next one its time: a receiver that is slow, or far away,
    /// but reads on would otherwise be sent the same again and again.
    pub fn judge(&mut self, seen: Seen, now_ms: u64) -> Verdict {
        let outstanding = seen.acked < seen.written;
        if !seen.broken {
            if !outstanding {
                return Verdict::AllArrived;
            }
            if seen.acked > self.acked {
                *self = Closing { acked: seen.acked, until_ms: now_ms + ACK_AFTER_FIN_MS, ..*self };
            }
            if now_ms < self.until_ms {
                return Verdict::Wait;
            }
        }
        if outstanding && seen.acked == self.acked_at_fin {
            Verdict::NothingSince(self.acked_at_fin)
        } else {
            Verdict::Unknown
        }
    }

    /// When a verdict is there, if no acknowledgement comes before.
    pub fn until_ms(&self) -> u64 {
        self.until_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Seen = Seen { written: 1_000, acked: 400, broken: false };
    const LATER_MS: u64 = ACK_AFTER_FIN_MS;

    /// At the FIN 400 of 1,000 bytes were acknowledged, at time 0.
    fn closing() -> Closing {
        Closing::new(SENT.acked, 0)
    }

    #[test]
    fn everything_arrives() {
        let mut closing = closing();
        assert_eq!(closing.judge(SENT, 1), Verdict::Wait);
        assert_eq!(closing.judge(Seen { acked: 999, ..SENT }, 2), Verdict::Wait);
        assert_eq!(closing.judge(Seen { acked: 1_000, ..SENT }, 3), Verdict::AllArrived);
    }

    #[test]
    fn everything_had_arrived() {
        let all = Seen { acked: 1_000, ..SENT };
        assert_eq!(Closing::new(1_000, 0).judge(all, LATER_MS), Verdict::AllArrived);
        assert_eq!(
            Closing::new(0, 0).judge(Seen { written: 0, acked: 0, broken: false }, 0),
            Verdict::AllArrived
        );
    }

    #[test]
    fn a_receiver_that_had_ended() {
        assert_eq!(closing().judge(Seen { broken: true, ..SENT }, 1), Verdict::NothingSince(400));
        assert_eq!(closing().judge(SENT, LATER_MS - 1), Verdict::Wait);
        assert_eq!(closing().judge(SENT, LATER_MS), Verdict::NothingSince(400));
    }

    #[test]
    fn a_receiver_that_reads_on_and_dies() {
        let more = Seen { acked: 401, ..SENT };
        assert_eq!(closing().judge(Seen { broken: true, ..more }, 1), Verdict::Unknown);
        // It had all of it, and a reset says that it has not read all.
        assert_eq!(closing().judge(Seen { acked: 1_000, broken: true, ..SENT }, 1), Verdict::Unknown);
    }

    #[test]
    fn a_slow_receiver_has_its_time_with_each_acknowledgement() {
        let mut closing = closing();
        for acked in 401..1_000 {
            let now_ms = (acked - 400) * (LATER_MS - 1);
            assert_eq!(closing.judge(Seen { acked, ..SENT }, now_ms), Verdict::Wait, "{acked}");
            assert_eq!(closing.until_ms(), now_ms + LATER_MS);
        }
        let end_ms = closing.until_ms();
        assert_eq!(closing.judge(Seen { acked: 999, ..SENT }, end_ms), Verdict::Unknown);
    }
}
