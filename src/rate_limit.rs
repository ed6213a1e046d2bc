//! Bounds how often something is logged. Every line that the program logs is itself a record to be shipped, so no state
//! may make it talk without end.

use crate::limits::{MESSAGES_BURST, MESSAGES_EVERY_MS};

/// Allows a burst of messages, then one in a time.
#[derive(Debug)]
pub struct RateLimit {
    left: u32,
    counted_ms: u64,
}

impl RateLimit {
    /// A whole burst is allowed.
    pub const fn new() -> RateLimit {
        RateLimit { left: MESSAGES_BURST, counted_ms: 0 }
    }

    /// Whether one more message may be logged now.
    pub fn allows(&mut self, now_ms: u64) -> bool {
        let more = (now_ms - self.counted_ms) / MESSAGES_EVERY_MS;
        if more > 0 {
            let more = u32::try_from(more).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(more).min(MESSAGES_BURST);
            self.counted_ms = now_ms;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

impl Default for RateLimit {
    fn default() -> Self {
        RateLimit::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_bounded() {
        let mut limit = RateLimit::new();
        let allowed = |limit: &mut RateLimit, now| (0..100).filter(|_| limit.allows(now)).count();
        assert_eq!(allowed(&mut limit, MESSAGES_EVERY_MS), MESSAGES_BURST as usize);
        assert_eq!(allowed(&mut limit, MESSAGES_EVERY_MS + 1), 0);
        assert_eq!(allowed(&mut limit, 2 * MESSAGES_EVERY_MS), 1);
        assert_eq!(allowed(&mut limit, 1000 * MESSAGES_EVERY_MS), MESSAGES_BURST as usize);
    }
}
