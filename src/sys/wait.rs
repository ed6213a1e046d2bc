//! Waiting for whatever comes first: the one call in which this program stands still.

use core::marker::PhantomData;

use rustix::event::{PollFlags, Timespec};
use rustix::fd::{AsRawFd, BorrowedFd};

use super::call::call5;
use super::time::now_ms;
use crate::limits::NEVER_MS;

/// One descriptor to wait for, in the form of the kernel's own `struct pollfd`, or none, which it passes over.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Awaited<'a> {
    fd: i32,
    interest: u16,
    ready: u16,
    of: PhantomData<BorrowedFd<'a>>,
}

impl<'a> Awaited<'a> {
    /// Nothing to wait for.
    pub const NONE: Awaited<'a> = Awaited { fd: -1, interest: 0, ready: 0, of: PhantomData };

    /// Waits for `interest`, an error or the end.
    pub fn new(fd: BorrowedFd<'a>, interest: PollFlags) -> Awaited<'a> {
        Awaited { fd: fd.as_raw_fd(), interest: interest.bits(), ..Awaited::NONE }
    }

    /// Waits for something to read, if there is a descriptor.
    pub fn input(fd: Option<BorrowedFd<'a>>) -> Awaited<'a> {
        fd.map_or(Awaited::NONE, |fd| Awaited::new(fd, PollFlags::IN))
    }

    /// What came.
    pub fn events(&self) -> PollFlags {
        PollFlags::from_bits_retain(self.ready)
    }

    /// Whether anything came.
    pub fn is_ready(&self) -> bool {
        self.ready != 0
    }
}

/// Waits until one of these is ready, a signal interrupts it, or it is `until_ms`.
pub fn wait(awaited: &mut [Awaited<'_>], until_ms: u64) {
    let ms = until_ms.saturating_sub(now_ms());
    let mut time = Timespec { tv_sec: (ms / 1_000) as i64, tv_nsec: (ms % 1_000 * 1_000_000) as i64 };
    let time = if until_ms == NEVER_MS { 0 } else { &raw mut time as usize };
    // SAFETY: the kernel reads and writes so many of its own structures, and a time where there is one. When it fails,
    // nothing is ready.
    let _ = unsafe { call5(libc::SYS_ppoll, awaited.as_mut_ptr() as usize, awaited.len(), time, 0, 0) };
}
