//! How long a receiver has not been reached, when that is logged, and when it is tried again.

use crate::limits::{BACKOFF_MS_MAX, BACKOFF_MS_MIN, NOT_UP_EVERY_MS, NOT_UP_MS};

/// A time in which the receiver is not reached.
#[derive(Debug)]
pub struct Outage {
    /// When it began.
    pub since_ms: u64,
    /// Attempts that failed.
    pub tries: u64,
    reports: usize,
}

impl Outage {
    /// An outage that begins.
    pub fn new(now_ms: u64) -> Outage {
        Outage { since_ms: now_ms, tries: 0, reports: 0 }
    }

    /// Whether it is time to report it: after 10 s, 60 s and then every 10 min.
    pub fn is_report_due(&mut self, now_ms: u64) -> bool {
        let mut is_due = false;
        // One report covers all that became due meanwhile.
        while now_ms - self.since_ms >= self.next_report_ms() {
            self.reports += 1;
            is_due = true;
        }
        is_due
    }

    /// When the next report is due, from the beginning of the outage.
    fn next_report_ms(&self) -> u64 {
        match NOT_UP_MS.get(self.reports) {
            Some(&after) => after,
            None => NOT_UP_EVERY_MS * (self.reports + 1 - NOT_UP_MS.len()) as u64,
        }
    }
}

/// The pause between two attempts, which doubles up to a limit.
#[derive(Debug)]
pub struct Backoff {
    pause_ms: u64,
    /// The last attempt was given up without an answer.
    is_unanswered: bool,
}

impl Backoff {
    /// The first attempt follows without a pause.
    pub const NONE: Backoff = Backoff { pause_ms: 0, is_unanswered: false };

    /// The attempt got no answer. Where a receiver has more machines at once than its queue takes, they all give up at
    /// the same time: the next pause has any length up to the limit, so that they come back one after the other.
    pub fn unanswered(&mut self) {
        self.is_unanswered = true;
    }

    /// The length of the next pause. `random` shortens it, in general by up to a quarter, so that machines that lost the
    /// same receiver do not come back in step.
    pub fn next_ms(&mut self, random: u64) -> u64 {
        let (longest_ms, jitter_ms) = match core::mem::take(&mut self.is_unanswered) {
            true => (BACKOFF_MS_MAX, BACKOFF_MS_MAX),
            false => (self.pause_ms, self.pause_ms / 4),
        };
        self.pause_ms = (self.pause_ms * 2).clamp(BACKOFF_MS_MIN, BACKOFF_MS_MAX);
        longest_ms - random % (jitter_ms + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use std::vec::Vec;

    #[test]
    fn an_outage_is_reported_rarely() {
        const MINUTE_MS: u64 = 60_000;
        let mut outage = Outage::new(1_000);
        let reported: Vec<u64> =
            (0..40 * MINUTE_MS).step_by(1_000).filter(|&ms| outage.is_report_due(1_000 + ms)).collect();
        assert_eq!(reported, [10_000, MINUTE_MS, 10 * MINUTE_MS, 20 * MINUTE_MS, 30 * MINUTE_MS]);
        assert!(outage.is_report_due(1_000_000 * MINUTE_MS), "after a long stop");
        assert!(!outage.is_report_due(1_000_000 * MINUTE_MS), "only once");
    }

    #[test]
    fn pauses_grow_to_a_limit() {
        let mut backoff = Backoff::NONE;
        let pauses: Vec<u64> = (0..8).map(|_| backoff.next_ms(0)).collect();
        assert_eq!(pauses, [0, 50, 100, 200, 400, 800, 1_000, 1_000]);
        for (random, pause_ms) in [(1, 999), (250, 750), (251, 1_000), (252, 999)] {
            assert_eq!(backoff.next_ms(random), pause_ms, "{random}");
        }
    }

    /// A thousand machines whose attempts end at the same time.
    #[test]
    fn a_crowd_without_an_answer_comes_back_one_after_the_other() {
        let (mut random, mut tenths) = (Random::new(1), [0; 10]);
        for _ in 0..1_000 {
            let mut backoff = Backoff::NONE;
            backoff.unanswered();
            let pause_ms = backoff.next_ms(random.bits());
            assert!(pause_ms <= BACKOFF_MS_MAX);
            tenths[(pause_ms / 100).min(9) as usize] += 1;
            assert_eq!(backoff.next_ms(0), BACKOFF_MS_MIN, "it counts once");
        }
        assert!(tenths.iter().all(|count| (60..=140).contains(count)), "{tenths:?}");
    }
}
