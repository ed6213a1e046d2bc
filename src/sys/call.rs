//! System calls by number, for `socket`.

use core::ffi::c_long;

use super::checked;

/// What a call gave, or the kernel's number for what went wrong.
pub(super) type Answer = core::result::Result<usize, u16>;

fn answer(value: c_long) -> Answer {
    checked(value).map(|value| value as usize).map_err(|errno| errno.raw_os_error() as u16)
}

pub(super) unsafe fn call3(number: c_long, a: usize, b: usize, c: usize) -> Answer {
    // SAFETY: the caller's.
    answer(unsafe { libc::syscall(number, a, b, c) })
}

pub(super) unsafe fn call5(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize) -> Answer {
    // SAFETY: the caller's.
    answer(unsafe { libc::syscall(number, a, b, c, d, e) })
}

pub(super) unsafe fn call6(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> Answer {
    // SAFETY: the caller's.
    answer(unsafe { libc::syscall(number, a, b, c, d, e, f) })
}
