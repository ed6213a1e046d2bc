//! When a shipper's life ends, and why. Pure: events and times come in, a decision comes out.
//!
//! ```text
//!   by hand:            SIGTERM, --once ------------------------------------> the end
//!   from PID 1: boot -- SIGTERM --(no switch within 5 s)--------------------> the end
//!                 |
//!              switch -- SIGTERM, taken over, linger over, an hour unreached -> the end
//! ```

use crate::limits::{
    DRAIN_MS, FAREWELL_MS, NEVER_MS, NEVER_REACHED_MS, TAKEOVER_LOOK_MS, TAKEOVER_SEEN_MS, TERM_TO_SWITCH_MS,
};

/// Why a shipper ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// A signal asked for it.
    Asked,
    /// `--once`: what the ring held is all there is to do.
    Once,
    /// The main system delivers now.
    TakenOver,
    /// Nobody took over in the time allowed.
    LingerOver,
    /// Nothing was ever reached.
    NeverReached,
}

/// The end, once it has begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// Why.
    pub why: Why,
    /// When it is over, done or not.
    pub deadline_ms: u64,
}

/// What has happened so far.
#[derive(Debug)]
pub struct Life {
    linger_ms: u64,
    from_pid1: bool,
    switched_ms: Option<u64>,
    reached_ms: Option<u64>,
    asked_ms: Option<u64>,
    seen_ms: Option<u64>,
    looked_ms: u64,
    end: Option<End>,
}

impl Life {
    /// A life that begins. `from_pid1`: a switch of root is to come.
    pub fn new(from_pid1: bool, linger_s: u32) -> Life {
        Life {
            linger_ms: u64::from(linger_s) * 1_000,
            from_pid1,
            switched_ms: None,
            reached_ms: None,
            asked_ms: None,
            seen_ms: None,
            looked_ms: 0,
            end: None,
        }
    }

    /// `--once`: the end begins at the start.
    pub fn once(&mut self, now_ms: u64) {
        self.begin_end(Why::Once, now_ms);
    }

    /// The root was switched. Makes a SIGTERM before it void.
    #[inline(never)]
    pub fn switched(&mut self, now_ms: u64) {
        if self.from_pid1 && self.switched_ms.is_none() {
            self.switched_ms = Some(now_ms);
            self.asked_ms = None;
        }
    }

    /// The watcher is gone, and nobody will tell of a switch any more. By hand this is the end.
    pub fn orphaned(&mut self, now_ms: u64) {
        if self.from_pid1 {
            self.switched(now_ms);
        } else {
            self.asked(now_ms);
        }
    }

    /// The receiver was reached.
    pub fn reached(&mut self, now_ms: u64) {
        self.reached_ms.get_or_insert(now_ms);
    }

    /// A signal asked for the end.
    pub fn asked(&mut self, now_ms: u64) {
        if self.from_pid1 && self.switched_ms.is_none() {
            self.asked_ms.get_or_insert(now_ms);
        } else {
            self.begin_end(Why::Asked, now_ms);
        }
    }

    /// Whether it is time to look for the main system's delivery.
    pub fn must_look(&mut self, now_ms: u64) -> bool {
        let due = self.looks() && now_ms >= self.looked_ms + TAKEOVER_LOOK_MS;
        if due {
            self.looked_ms = now_ms;
        }
        due
    }

    /// What a look found.
    pub fn looked(&mut self, delivery: bool, now_ms: u64) {
        match (delivery, self.seen_ms) {
            (false, _) => self.seen_ms = None,
            (true, None) => self.seen_ms = Some(now_ms),
            (true, Some(seen)) if now_ms >= seen + TAKEOVER_SEEN_MS => self.begin_end(Why::TakenOver, now_ms),
            (true, Some(_)) => {}
        }
    }

    /// The end, if it has begun by now.
    pub fn end(&mut self, now_ms: u64) -> Option<End> {
        if self.end.is_none() {
            if let Some(asked) = self.asked_ms
                && now_ms >= asked + TERM_TO_SWITCH_MS
            {
                // Everything was sent all the time meanwhile: what is left is to say so.
                self.end = Some(End { why: Why::Asked, deadline_ms: now_ms + FAREWELL_MS });
            } else if let Some((over, why)) = self.over()
                && now_ms >= over
            {
                self.begin_end(why, now_ms);
            }
        }
        self.end
    }

    /// When something is due next, if nothing happens before.
    pub fn wake_ms(&self) -> u64 {
        if let Some(end) = self.end {
            return end.deadline_ms;
        }
        let asked = self.asked_ms.map_or(NEVER_MS, |asked| asked + TERM_TO_SWITCH_MS);
        let look = if self.looks() { self.looked_ms + TAKEOVER_LOOK_MS } else { NEVER_MS };
        asked.min(look).min(self.over().map_or(NEVER_MS, |(over, _)| over))
    }

    /// Whether the main system's delivery is looked for.
    pub fn looks(&self) -> bool {
        self.switched_ms.is_some() && self.end.is_none()
    }

    fn over(&self) -> Option<(u64, Why)> {
        let switched = self.switched_ms?;
        Some(match self.reached_ms {
            Some(reached) => (switched.max(reached) + self.linger_ms, Why::LingerOver),
            None => (switched + NEVER_REACHED_MS, Why::NeverReached),
        })
    }

    fn begin_end(&mut self, why: Why, now_ms: u64) {
        self.end.get_or_insert(End { why, deadline_ms: now_ms + DRAIN_MS });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LINGER_SECONDS;

    const LINGER_MS: u64 = LINGER_SECONDS as u64 * 1_000;

    #[track_caller]
    fn check_end(life: &mut Life, now_ms: u64, want: Option<(Why, u64)>) {
        assert_eq!(life.end(now_ms).map(|end| (end.why, end.deadline_ms)), want);
    }

    #[test]
    fn by_hand_a_signal_ends_it() {
        let mut life = Life::new(false, LINGER_SECONDS);
        assert_eq!(life.wake_ms(), NEVER_MS);
        life.switched(5);
        check_end(&mut life, 10, None);
        life.orphaned(10);
        life.asked(20);
        check_end(&mut life, 30, Some((Why::Asked, 10 + DRAIN_MS)));
        assert_eq!(life.wake_ms(), 10 + DRAIN_MS);
    }

    #[test]
    fn before_the_switch_a_signal_waits_for_it() {
        let mut life = Life::new(true, LINGER_SECONDS);
        life.asked(10);
        check_end(&mut life, 10, None);
        assert_eq!(life.wake_ms(), 10 + TERM_TO_SWITCH_MS);
        life.switched(10 + TERM_TO_SWITCH_MS - 1);
        check_end(&mut life, 10 + TERM_TO_SWITCH_MS, None);

        let mut life = Life::new(true, LINGER_SECONDS);
        life.asked(10);
        check_end(
            &mut life,
            10 + TERM_TO_SWITCH_MS,
            Some((Why::Asked, 10 + TERM_TO_SWITCH_MS + FAREWELL_MS)),
        );
    }

    #[test]
    fn after_the_switch_a_signal_ends_it() {
        let mut life = Life::new(true, LINGER_SECONDS);
        life.switched(10);
        life.asked(20);
        check_end(&mut life, 20, Some((Why::Asked, 20 + DRAIN_MS)));
    }

    #[test]
    fn linger_runs_from_the_later_of_switch_and_connection() {
        let mut life = Life::new(true, LINGER_SECONDS);
        life.reached(1);
        life.switched(1_000);
        check_end(&mut life, 999 + LINGER_MS, None);
        check_end(&mut life, 1_000 + LINGER_MS, Some((Why::LingerOver, 1_000 + LINGER_MS + DRAIN_MS)));

        let mut life = Life::new(true, LINGER_SECONDS);
        life.switched(1_000);
        check_end(&mut life, 1_000 + NEVER_REACHED_MS - 1, None);
        life.reached(2_000_000);
        check_end(
            &mut life,
            1_000 + NEVER_REACHED_MS,
            Some((Why::LingerOver, 1_000 + NEVER_REACHED_MS + DRAIN_MS)),
        );

        let mut life = Life::new(true, LINGER_SECONDS);
        life.switched(0);
        check_end(&mut life, NEVER_REACHED_MS, Some((Why::NeverReached, NEVER_REACHED_MS + DRAIN_MS)));
    }

    #[test]
    fn taken_over_when_seen_twice_two_seconds_apart() {
        let mut life = Life::new(true, LINGER_SECONDS);
        assert!(!life.must_look(1_000), "not before the switch");
        life.switched(1_000);
        life.reached(1_000);
        assert!(life.must_look(2_000));
        assert!(!life.must_look(2_999));
        assert_eq!(life.wake_ms(), 3_000);
        life.looked(true, 2_000);
        life.looked(false, 3_000);
        life.looked(true, 4_000);
        life.looked(true, 5_999);
        check_end(&mut life, 5_999, None);
        life.looked(true, 6_000);
        check_end(&mut life, 6_000, Some((Why::TakenOver, 6_000 + DRAIN_MS)));
        assert!(!life.must_look(60_000));
    }
}
