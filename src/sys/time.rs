//! The clocks.

use earlykmsg::limits::{CLOCK_APART_NS, CLOCK_TRIES};
use earlykmsg::record::clock::Reading;

fn read_ns(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one `timespec`. These clocks exist on every kernel; if not, it stays zero.
    let _ = unsafe { libc::clock_gettime(clock, &raw mut time) };
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
    let (wall_ns, raw_ns) = wall_and(libc::CLOCK_MONOTONIC_RAW);
    Reading { wall_ns, raw_ns }
}

/// The wall clock and another one. If others had the processor in between, they are read again.
fn wall_and(other: libc::clockid_t) -> (i64, i64) {
    let mut before = read_ns(other);
    let mut tries = CLOCK_TRIES;
    loop {
        let wall = read_ns(libc::CLOCK_REALTIME);
        let after = read_ns(other);
        tries -= 1;
        if after - before < CLOCK_APART_NS || tries == 0 {
            return (wall, before);
        }
        before = after;
    }
}

/// How far the wall clock is ahead of the clock that only goes forward, in microseconds. Both are slewed alike: only a
/// step changes that.
pub fn wall_ahead_us() -> i64 {
    let (wall, monotonic) = wall_and(libc::CLOCK_MONOTONIC);
    (wall - monotonic) / 1_000
}
