//! The only folder with `unsafe`: the calls that no crate offers as safe ones, each behind a safe function.
//!
//! Numbers of the kernel stay in here and come out as values of this crate.
//!
//! The C library is musl even where the compiler's target is a gnu one (see `build.rs`), and then the libc crate declares
//! glibc's types. Those that are used here are the same in both on every 64-bit machine: `sigaction`, `sigset_t`,
//! `siginfo_t`, `timespec`, `sock_fprog` and the ELF headers.

#![allow(unsafe_code)]

pub mod args;
pub mod fds;
pub mod memory;
mod note;
pub mod packet;
pub mod process;
pub mod seccomp;
pub mod signal;
pub mod socket;
pub mod start;
pub mod time;
pub mod wait;

use earlykmsg::error::{Error, Result, Step};

/// Names the step whose call failed.
pub trait At<T> {
    /// Makes the kernel's error one of `step`.
    fn at(self, step: Step) -> Result<T>;
}

impl<T> At<T> for rustix::io::Result<T> {
    fn at(self, step: Step) -> Result<T> {
        self.map_err(|errno| failed(step, errno))
    }
}

/// A call has failed.
pub fn failed(step: Step, errno: rustix::io::Errno) -> Error {
    step.failed(errno.raw_os_error())
}

/// The C library's number for what went wrong last.
fn errno() -> rustix::io::Errno {
    // SAFETY: the place always exists, and only this thread, which is the only one, writes to it.
    rustix::io::Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

/// What a call of the C library gave: -1 means that it has failed. (`syscall` reads its arguments as whole machine
/// words: what is handed to it must be of that size.)
fn checked<T: From<i8> + PartialEq>(value: T) -> rustix::io::Result<T> {
    if value == T::from(-1) { Err(errno()) } else { Ok(value) }
}
