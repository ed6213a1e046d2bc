//! The only room with `unsafe`: the calls that no crate offers as safe ones, each behind a safe function.
//!
//! Numbers of the kernel stay in here and come out as values of this crate.

#![allow(unsafe_code)]

pub mod args;
pub mod fds;
pub mod memory;
pub mod process;
pub mod seccomp;
pub mod signal;
pub mod socket;
pub mod time;

use crate::error::Error;

/// The error of the libc call that has just failed.
fn last(step: &'static str) -> Error {
    // SAFETY: the location is this thread's own, always valid.
    let errno = unsafe { *libc::__errno_location() };
    Error { step, errno }
}
