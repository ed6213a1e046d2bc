//! The wall clock, as the watcher sees it: whether it was ever set, and every step of it.
//!
//! The kernel ends the wait on a timer when someone sets the clock. The timer itself never expires.

use core::fmt::{self, Display};

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::{Errno, read};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::sys::fds::keep;
use crate::sys::time;
use earlykmsg::limits::{WALL_SET_S_MIN, WALL_STEP_US_MIN};
use earlykmsg::rate_limit::RateLimit;

/// Notices steps of the wall clock.
pub struct WallClock {
    /// A kernel without such timers has none: steps go unnoticed until records are sent.
    timer: Option<BorrowedFd<'static>>,
    /// How far the wall clock was ahead of the monotonic one at the last step that was logged.
    ahead_us: i64,
    messages: RateLimit,
}

/// By how much the wall clock was set forward or back. Displays as seconds: `+1626.004`.
pub struct ClockStep {
    us: i64,
}

impl WallClock {
    /// Watches it from now on.
    pub fn watch() -> WallClock {
        WallClock {
            timer: timer().ok().map(keep),
            ahead_us: time::wall_ahead_us(),
            messages: RateLimit::new(),
        }
    }

    /// Whether it was ever set: a machine without a battery for its clock begins in 1970.
    pub fn is_set() -> bool {
        time::reading().wall_ns >= WALL_SET_S_MIN * 1_000_000_000
    }

    /// What to wait on.
    pub fn fd(&self) -> Option<BorrowedFd<'static>> {
        self.timer
    }

    /// Takes note that the timer is ready. Returns a step that is to be logged now; one that is not is part of the next.
    pub fn take_step(&mut self, now_ms: u64) -> Option<ClockStep> {
        if read(self.timer?, &mut [0; 8]) != Err(Errno::CANCELED) {
            return None;
        }
        let ahead_us = time::wall_ahead_us();
        let step = ClockStep { us: ahead_us.wrapping_sub(self.ahead_us) };
        if step.us.unsigned_abs() < WALL_STEP_US_MIN || !self.messages.allows(now_ms) {
            return None;
        }
        self.ahead_us = ahead_us;
        Some(step)
    }
}

impl Display for ClockStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.us < 0 { "-" } else { "+" };
        let ms = (self.us.unsigned_abs() + 500) / 1_000;
        write!(f, "{sign}{}.{:03}", ms / 1_000, ms % 1_000)
    }
}

fn timer() -> rustix::io::Result<OwnedFd> {
    let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
    // Half of what the kernel takes as a time.
    let never = Timespec { tv_sec: i64::MAX / 2_000_000_000, tv_nsec: 0 };
    let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: never };
    timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET, &once)?;
    Ok(timer)
}
