//! Waiting for whatever comes first: the one call in which this program stands still.

use heapless::Vec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;

use super::time::now_ms;
use earlykmsg::limits::{DESTINATIONS_MAX, NEVER_MS};

/// One descriptor to wait for, or none.
#[derive(Clone, Debug)]
pub struct Awaited<'a>(Option<PollFd<'a>>);

impl<'a> Awaited<'a> {
    /// Nothing to wait for.
    pub const NONE: Awaited<'a> = Awaited(None);

    /// Waits for `interest`, an error or the end.
    pub fn new(fd: BorrowedFd<'a>, interest: PollFlags) -> Awaited<'a> {
        Awaited(Some(PollFd::from_borrowed_fd(fd, interest)))
    }

    /// Waits for something to read, if there is a descriptor.
    pub fn input(fd: Option<BorrowedFd<'a>>) -> Awaited<'a> {
        fd.map_or(Awaited::NONE, |fd| Awaited::new(fd, PollFlags::IN))
    }

    /// What came.
    pub fn events(&self) -> PollFlags {
        self.0.as_ref().map_or(PollFlags::empty(), PollFd::revents)
    }

    /// Whether anything came.
    pub fn is_ready(&self) -> bool {
        !self.events().is_empty()
    }
}

/// The most that can be waited for at once: by the watcher, its own five and a channel to each shipper.
pub const AWAITED_MAX: usize = 5 + DESTINATIONS_MAX;

/// Waits until one of these is ready, a signal interrupts it, or it is `until_ms`.
pub fn wait<const N: usize>(awaited: &mut [Awaited<'_>; N], until_ms: u64) {
    const { assert!(N <= AWAITED_MAX, "none is left out") };
    wait_for_any(awaited, until_ms);
}

fn wait_for_any(awaited: &mut [Awaited<'_>], until_ms: u64) {
    let ms = until_ms.saturating_sub(now_ms());
    let time = Timespec { tv_sec: (ms / 1_000) as i64, tv_nsec: (ms % 1_000 * 1_000_000) as i64 };
    let mut fds = Vec::<PollFd<'_>, AWAITED_MAX>::new();
    for fd in awaited.iter().filter_map(|awaited| awaited.0.as_ref()) {
        let _ = fds.push(fd.clone());
    }
    // When it fails, nothing is ready.
    let _ = poll(&mut fds, (until_ms != NEVER_MS).then_some(&time));
    let asked = awaited.iter_mut().filter_map(|awaited| awaited.0.as_mut());
    for (fd, answer) in asked.zip(&fds) {
        fd.clone_from(answer);
    }
}
