//! The clocks.

use core::mem::MaybeUninit;

use super::call::call2;
use crate::clock::Reading;

fn read_ns(clock: libc::clockid_t) -> i64 {
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: writes one timespec; these clocks exist on every kernel, and where not, it stays zero. The call and not
    // the kernel's shared page: finding that takes 1 KiB of the program, and a clock is read once a batch.
    let _ = unsafe { call2(libc::SYS_clock_gettime, clock as usize, time.as_mut_ptr() as usize) };
    // SAFETY: zeroed before.
    let time = unsafe { time.assume_init() };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Milliseconds that only go forward.
pub fn now_ms() -> u64 {
    (read_ns(libc::CLOCK_MONOTONIC) / 1_000_000) as u64
}

/// Nanoseconds of the clock that nobody slews.
pub fn raw_ns() -> i64 {
    read_ns(libc::CLOCK_MONOTONIC_RAW)
}

/// The wall clock and the raw one, read together.
pub fn reading() -> Reading {
    Reading { wall_ns: read_ns(libc::CLOCK_REALTIME), raw_ns: raw_ns() }
}
