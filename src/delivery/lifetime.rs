//! When a shipper's life ends, and why. Pure: events and times come in, a decision comes out.
//!
//! ```text
//!   by hand:            SIGTERM, --once ------------------------------------> the end
//!   from PID 1: boot -- SIGTERM --(no switch within 5 s)--------------------> the end
//!                 |
//!              switch -- SIGTERM, taken over, linger over, an hour unreached -> the end
//! ```

use crate::config::Linger;
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

impl Why {
    /// What is logged of it; nothing where nobody has to be told.
    pub fn text(self) -> Option<&'static str> {
        match self {
            Why::Once => None,
            Why::Asked => Some("asked to end"),
            Why::TakenOver => Some("handed over to the main system"),
            Why::LingerOver => Some("nobody took over in the time given"),
            Why::NeverReached => {
                Some("the receiver was never reached within an hour of the root switch, giving up")
            }
        }
    }
}

/// The end, once it has begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// Why.
    pub why: Why,
    /// When it is over, done or not.
    pub deadline_ms: u64,
}

/// A shipper's time from its start to its end.
#[derive(Debug)]
pub struct Lifetime {
    linger: Linger,
    /// When the receiver was first reached.
    reached_ms: Option<u64>,
    phase: Phase,
}

/// Where in its life a shipper is.
#[derive(Debug)]
enum Phase {
    /// Started by hand: it goes on until it is asked to end.
    ByHand,
    /// Before the switch of root.
    Boot {
        /// When a signal asked for the end. It counts when no switch follows.
        asked_ms: Option<u64>,
    },
    /// After the switch of root.
    Switched {
        at_ms: u64,
        /// When the main system's delivery was last looked for, and since when it has been seen.
        looked_ms: u64,
        seen_ms: Option<u64>,
    },
    /// The end has begun.
    Ending(End),
}

impl Lifetime {
    /// A life that begins. `from_pid1`: a switch of root is to come.
    pub fn new(from_pid1: bool, linger: Linger) -> Lifetime {
        let phase = if from_pid1 { Phase::Boot { asked_ms: None } } else { Phase::ByHand };
        Lifetime { linger, reached_ms: None, phase }
    }

    /// `--once`: the end begins at the start.
    pub fn once(&mut self, now_ms: u64) {
        self.begin_end(Why::Once, now_ms);
    }

    /// The root was switched. Makes a SIGTERM before it void.
    pub fn switched(&mut self, now_ms: u64) {
        if let Phase::Boot { .. } = self.phase {
            self.phase = Phase::Switched { at_ms: now_ms, looked_ms: 0, seen_ms: None };
        }
    }

    /// The watcher is gone, and nobody will tell of a switch any more. By hand this is the end.
    pub fn orphaned(&mut self, now_ms: u64) {
        if let Phase::ByHand = self.phase {
            self.begin_end(Why::Asked, now_ms);
        } else {
            self.switched(now_ms);
        }
    }

    /// The receiver was reached.
    pub fn reached(&mut self, now_ms: u64) {
        self.reached_ms.get_or_insert(now_ms);
    }

    /// A signal asked for the end.
    pub fn asked(&mut self, now_ms: u64) {
        if let Phase::Boot { asked_ms } = &mut self.phase {
            asked_ms.get_or_insert(now_ms);
        } else {
            self.begin_end(Why::Asked, now_ms);
        }
    }

    /// Whether it is time to look for the main system's delivery. Then it is looked for now.
    pub fn must_look(&mut self, now_ms: u64) -> bool {
        match &mut self.phase {
            Phase::Switched { looked_ms, .. } if now_ms >= *looked_ms + TAKEOVER_LOOK_MS => {
                *looked_ms = now_ms;
                true
            }
            _ => false,
        }
    }

    /// What a look found.
    pub fn looked(&mut self, delivery: bool, now_ms: u64) {
        let Phase::Switched { seen_ms, .. } = &mut self.phase else { return };
        match *seen_ms {
            _ if !delivery => *seen_ms = None,
            None => *seen_ms = Some(now_ms),
            Some(seen) if now_ms >= seen + TAKEOVER_SEEN_MS => self.begin_end(Why::TakenOver, now_ms),
            Some(_) => {}
        }
    }

    /// The end, if it has begun by now.
    pub fn end(&mut self, now_ms: u64) -> Option<End> {
        match self.phase {
            Phase::Boot { asked_ms: Some(asked) } if now_ms >= asked + TERM_TO_SWITCH_MS => {
                // Everything was sent all the time meanwhile: what is left is to say so.
                self.phase = Phase::Ending(End { why: Why::Asked, deadline_ms: now_ms + FAREWELL_MS });
            }
            Phase::Switched { at_ms, .. } => {
                let (over_ms, why) = self.linger_over(at_ms);
                if now_ms >= over_ms {
                    self.begin_end(why, now_ms);
                }
            }
            _ => {}
        }
        if let Phase::Ending(end) = self.phase { Some(end) } else { None }
    }

    /// When something is due next, if nothing happens before.
    pub fn wake_ms(&self) -> u64 {
        match self.phase {
            Phase::ByHand | Phase::Boot { asked_ms: None } => NEVER_MS,
            Phase::Boot { asked_ms: Some(asked) } => asked + TERM_TO_SWITCH_MS,
            Phase::Switched { at_ms, looked_ms, .. } => {
                (looked_ms + TAKEOVER_LOOK_MS).min(self.linger_over(at_ms).0)
            }
            Phase::Ending(end) => end.deadline_ms,
        }
    }

    /// Whether the main system's delivery is looked for.
    pub fn looks(&self) -> bool {
        matches!(self.phase, Phase::Switched { .. })
    }

    /// When it ends if nobody takes over, and why.
    fn linger_over(&self, switched_ms: u64) -> (u64, Why) {
        match (self.linger, self.reached_ms) {
            (Linger::Forever, _) => (NEVER_MS, Why::LingerOver),
            (Linger::Seconds(seconds), Some(reached)) => {
                (switched_ms.max(reached) + u64::from(seconds) * 1_000, Why::LingerOver)
            }
            (Linger::Seconds(_), None) => (switched_ms + NEVER_REACHED_MS, Why::NeverReached),
        }
    }

    fn begin_end(&mut self, why: Why, now_ms: u64) {
        if !matches!(self.phase, Phase::Ending(_)) {
            self.phase = Phase::Ending(End { why, deadline_ms: now_ms + DRAIN_MS });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LINGER_SECONDS;

    const LINGER_MS: u64 = LINGER_SECONDS as u64 * 1_000;

    #[track_caller]
    fn check_end(life: &mut Lifetime, now_ms: u64, want: Option<(Why, u64)>) {
        assert_eq!(life.end(now_ms).map(|end| (end.why, end.deadline_ms)), want);
    }

    #[test]
    fn by_hand_a_signal_ends_it() {
        let mut life = Lifetime::new(false, Linger::default());
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
        let mut life = Lifetime::new(true, Linger::default());
        life.asked(10);
        check_end(&mut life, 10, None);
        assert_eq!(life.wake_ms(), 10 + TERM_TO_SWITCH_MS);
        life.switched(10 + TERM_TO_SWITCH_MS - 1);
        check_end(&mut life, 10 + TERM_TO_SWITCH_MS, None);

        let mut life = Lifetime::new(true, Linger::default());
        life.asked(10);
        check_end(
            &mut life,
            10 + TERM_TO_SWITCH_MS,
            Some((Why::Asked, 10 + TERM_TO_SWITCH_MS + FAREWELL_MS)),
        );
    }

    #[test]
    fn after_the_switch_a_signal_ends_it() {
        let mut life = Lifetime::new(true, Linger::default());
        life.switched(10);
        life.asked(20);
        check_end(&mut life, 20, Some((Why::Asked, 20 + DRAIN_MS)));
    }

    #[test]
    fn linger_runs_from_the_later_of_switch_and_connection() {
        let mut life = Lifetime::new(true, Linger::default());
        life.reached(1);
        life.switched(1_000);
        check_end(&mut life, 999 + LINGER_MS, None);
        check_end(&mut life, 1_000 + LINGER_MS, Some((Why::LingerOver, 1_000 + LINGER_MS + DRAIN_MS)));

        let mut life = Lifetime::new(true, Linger::default());
        life.switched(1_000);
        check_end(&mut life, 1_000 + NEVER_REACHED_MS - 1, None);
        life.reached(2_000_000);
        check_end(
            &mut life,
            1_000 + NEVER_REACHED_MS,
            Some((Why::LingerOver, 1_000 + NEVER_REACHED_MS + DRAIN_MS)),
        );

        let mut life = Lifetime::new(true, Linger::default());
        life.switched(1_000);
        check_end(&mut life, NEVER_REACHED_MS, None);
        let end_ms = 1_000 + NEVER_REACHED_MS;
        check_end(&mut life, end_ms, Some((Why::NeverReached, end_ms + DRAIN_MS)));
    }

    #[test]
    fn once_ends_at_the_start() {
        let mut life = Lifetime::new(false, Linger::default());
        life.once(10);
        check_end(&mut life, 10, Some((Why::Once, 10 + DRAIN_MS)));
    }

    #[test]
    fn without_a_watcher_the_root_counts_as_switched() {
        let mut life = Lifetime::new(true, Linger::default());
        life.orphaned(10);
        assert!(life.looks());
        check_end(&mut life, 10, None);
    }

    #[test]
    fn taken_over_when_seen_twice_two_seconds_apart() {
        let mut life = Lifetime::new(true, Linger::default());
        assert!(!life.must_look(1_000) && !life.looks(), "not before the switch");
        life.switched(1_000);
        life.reached(1_000);
        assert!(life.must_look(2_000) && life.looks());
        assert!(!life.must_look(2_999));
        assert_eq!(life.wake_ms(), 3_000);
        assert!(life.must_look(3_000));
        life.looked(true, 2_000);
        life.looked(false, 3_000);
        life.looked(true, 4_000);
        life.looked(true, 5_999);
        check_end(&mut life, 5_999, None);
        life.looked(true, 6_000);
        check_end(&mut life, 6_000, Some((Why::TakenOver, 6_000 + DRAIN_MS)));
        assert!(!life.must_look(60_000) && !life.looks());
    }

    #[test]
    fn lingering_forever() {
        for reached in [false, true] {
            let mut life = Lifetime::new(true, Linger::Forever);
            if reached {
                life.reached(1);
            }
            life.switched(2);
            check_end(&mut life, 1_000_000_000_000, None);
            assert!(life.must_look(1_000_000_000_000));
            life.looked(true, 1_000_000_000_000);
            life.looked(true, 1_000_000_002_000);
            check_end(&mut life, 1_000_000_002_000, Some((Why::TakenOver, 1_000_000_002_000 + DRAIN_MS)));
        }
    }

    /// Whoever was never connected is not told that nobody took over.
    #[test]
    fn each_end_has_a_text_of_its_own() {
        let mut life = Lifetime::new(true, Linger::default());
        life.switched(0);
        let end = life.end(NEVER_REACHED_MS).expect("an hour is over");
        assert_eq!(
            end.why.text(),
            Some("the receiver was never reached within an hour of the root switch, giving up")
        );
        assert_eq!(NEVER_REACHED_MS, 3_600_000, "an hour");
        assert_eq!(Why::Once.text(), None);
    }
}
