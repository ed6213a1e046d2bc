//! The wall clock, as the watcher sees it: whether it was ever set, and every step of it.
//!
//! The kernel ends the wait on a timer when someone sets the clock. The timer itself never comes.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, read};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::limits::{WALL_SET_S_MIN, WALL_STEP_US_MIN};
use crate::report::Rate;
use crate::sys::time;

/// Who waits for steps of the wall clock.
pub struct Wall {
    timer: Option<OwnedFd>,
    /// How far it was ahead of the clock that only goes forward when that was last spoken of.
    ahead_us: i64,
    words: Rate,
}

impl Wall {
    /// Watches from now on. Where the kernel has no such timers, steps go unnoticed until records are sent.
    #[inline(never)]
    pub fn watch() -> Wall {
        Wall { timer: timer().ok(), ahead_us: time::wall_ahead_us(), words: Rate::new() }
    }

    /// Whether it was ever set: without a clock that runs on while it is off, a machine begins in 1970.
    pub fn is_set() -> bool {
        time::reading().wall_ns >= WALL_SET_S_MIN * 1_000_000_000
    }

    /// What to wait on.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.timer.as_ref().map(AsFd::as_fd)
    }

    /// Takes note that someone set it. Returns by how many microseconds, if that is to be said now; what is not said is
    /// part of what is said next.
    #[inline(never)]
    pub fn stepped(&mut self, now_ms: u64) -> Option<i64> {
        if read(self.timer.as_ref()?, &mut [0; 8]) != Err(Errno::CANCELED) {
            return None;
        }
        let ahead_us = time::wall_ahead_us();
        let step_us = ahead_us.wrapping_sub(self.ahead_us);
        if step_us.unsigned_abs() < WALL_STEP_US_MIN || !self.words.allows(now_ms) {
            return None;
        }
        self.ahead_us = ahead_us;
        Some(step_us)
    }
}

fn timer() -> Result<OwnedFd, Errno> {
    let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
    let never = Timespec { tv_sec: i64::MAX / 2_000_000_000, tv_nsec: 0 };
    let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: never };
    timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET, &once)?;
    Ok(timer)
}
