//! When a shipper ends.

use earlykmsg::config::Linger;
use earlykmsg::delivery::lifetime::{End, Lifetime, Why};
use earlykmsg::limits::{
    DRAIN_MS, FAREWELL_MS, LINGER_SECONDS_MAX, NEVER_MS, NEVER_REACHED_MS, TAKEOVER_SEEN_MS,
    TERM_TO_SWITCH_MS,
};

use crate::Input;

/// Any events in any order: an end that has begun stays as it is, none comes before its time, and after a switch of root
/// there always is one. A shipper that sleeps until it is woken misses none, and is not woken for nothing.
pub fn check(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (Some(from), Some(linger_s)) = (input.u8(), input.u16()) else { return };
    let from_pid1 = from & 1 == 1;
    let linger_s = u32::from(linger_s).min(LINGER_SECONDS_MAX);
    let mut life = Lifetime::new(from_pid1, Linger::Seconds(linger_s));
    let mut past = Past { from_pid1, linger_ms: u64::from(linger_s) * 1_000, ..Past::default() };
    let (mut now_ms, mut delivers) = (0, false);
    while let (Some(event), Some(pause)) = (input.u8(), input.u16()) {
        let until_ms = now_ms + u64::from(pause) * 8;
        while life.wake_ms() <= until_ms && past.ended.is_none() {
            now_ms = now_ms.max(life.wake_ms());
            if life.must_look(now_ms) {
                life.looked(delivers, now_ms);
                past.seen_ms = past.seen_ms.or(Some(now_ms)).filter(|_| delivers);
            }
            past.judge(life.end(now_ms), now_ms);
            assert!(life.wake_ms() > now_ms, "woken at {now_ms} again and again");
        }
        now_ms = until_ms;
        let switched_ms = past.switched_ms.or(from_pid1.then_some(now_ms));
        match event % 8 {
            0 => {
                life.once(now_ms);
                past.once = true;
            }
            1 => {
                life.switched(now_ms);
                past.switched_ms = switched_ms;
            }
            2 => {
                life.orphaned(now_ms);
                past.switched_ms = switched_ms;
                past.asked_ms = past.asked_ms.or((!from_pid1).then_some(now_ms));
            }
            3 => {
                life.reached(now_ms);
                past.reached_ms = past.reached_ms.or(Some(now_ms));
            }
            4 => {
                life.asked(now_ms);
                past.asked_ms = past.asked_ms.or(Some(now_ms));
            }
            5 => delivers = true,
            6 => delivers = false,
            _ => {}
        }
        past.judge(life.end(now_ms), now_ms);
        let wake_ms = life.wake_ms();
        match past.ended {
            Some(end) => assert_eq!(wake_ms, end.deadline_ms),
            None => assert!(past.switched_ms.is_none() || wake_ms != NEVER_MS, "nothing would end it"),
        }
    }
}

/// When what happened first.
#[derive(Default)]
struct Past {
    from_pid1: bool,
    linger_ms: u64,
    once: bool,
    switched_ms: Option<u64>,
    reached_ms: Option<u64>,
    asked_ms: Option<u64>,
    /// Since when every look has found the main system delivering.
    seen_ms: Option<u64>,
    ended: Option<End>,
}

impl Past {
    fn judge(&mut self, end: Option<End>, now_ms: u64) {
        if self.ended.is_some() {
            assert_eq!(end, self.ended, "an end that has begun stays as it is");
            return;
        }
        self.ended = end;
        let since = |start_ms: Option<u64>| start_ms.map_or(0, |start_ms| now_ms - start_ms);
        let Some(End { why, deadline_ms }) = end else {
            let most_ms = NEVER_REACHED_MS + self.linger_ms;
            assert!(since(self.switched_ms) < most_ms, "no end in sight at {now_ms}");
            return;
        };
        let more_ms = deadline_ms - now_ms;
        let switched = self.switched_ms.is_some();
        match why {
            Why::Once => assert!(self.once && more_ms == DRAIN_MS),
            Why::Asked if self.from_pid1 && !switched => {
                assert!(since(self.asked_ms) >= TERM_TO_SWITCH_MS && more_ms == FAREWELL_MS);
            }
            Why::Asked => assert!(self.asked_ms.is_some() && more_ms == DRAIN_MS),
            Why::TakenOver => {
                assert!(switched && since(self.seen_ms) >= TAKEOVER_SEEN_MS && more_ms == DRAIN_MS);
            }
            Why::LingerOver => {
                let least_ms = since(self.switched_ms).min(since(self.reached_ms));
                assert!(switched && least_ms >= self.linger_ms && self.reached_ms.is_some(), "too early");
            }
            Why::NeverReached => {
                assert!(
                    self.reached_ms.is_none() && since(self.switched_ms) >= NEVER_REACHED_MS,
                    "too early"
                );
            }
        }
    }
}
