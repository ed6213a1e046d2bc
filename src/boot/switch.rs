//! Noticing the switch of root: PID 1's `/` is another directory than it was.
//!
//! Mounts tell when they change. The `chroot` that follows the moving of a mount tells nobody, so after a change
//! the root is looked at a few times more.

use rustix::event::PollFlags;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{OFlags, StatxFlags, statx};

use super::reach::Reach;
use crate::limits::SWITCH_LOOKS_MS;

/// Watches PID 1's root.
pub struct Switch {
    proc: OwnedFd,
    mounts: OwnedFd,
    root: Option<Root>,
    /// When the mounts changed last, and how often the root was looked at since.
    changed_ms: u64,
    looks: usize,
}

/// A directory that is a root: its file system and its number there.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Root {
    device: (u32, u32),
    inode: u64,
}

impl Switch {
    /// What to wait for.
    pub const EVENTS: PollFlags = PollFlags::PRI;

    /// Begins to watch. `None`: there is no `/proc` to watch through.
    pub fn watch(reach: &Reach) -> Option<Switch> {
        let mounts = reach.open_proc(c"1/mountinfo", OFlags::RDONLY).ok()?;
        let proc = rustix::io::fcntl_dupfd_cloexec(reach.proc.as_ref()?, 3).ok()?;
        let mut switch = Switch { proc, mounts, root: None, changed_ms: 0, looks: SWITCH_LOOKS_MS.len() };
        switch.root = switch.look();
        Some(switch)
    }

    /// What to wait on.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.mounts.as_fd()
    }

    /// The mounts have changed.
    pub fn changed(&mut self, now_ms: u64) {
        self.changed_ms = now_ms;
        self.looks = 0;
    }

    /// When the root must be looked at again, if at all.
    pub fn wake_ms(&self) -> Option<u64> {
        Some(self.changed_ms + SWITCH_LOOKS_MS.get(self.looks)?)
    }

    /// Whether the root is another one now.
    pub fn happened(&mut self, now_ms: u64) -> bool {
        if self.wake_ms().is_none_or(|wake| now_ms < wake) {
            return false;
        }
        while self.wake_ms().is_some_and(|wake| now_ms >= wake) {
            self.looks += 1;
        }
        match (self.look(), self.root) {
            (Some(now), Some(before)) => now != before,
            (now, None) => {
                self.root = now;
                false
            }
            (None, _) => false,
        }
    }

    fn look(&self) -> Option<Root> {
        let flags = rustix::fs::AtFlags::empty();
        let stat = statx(&self.proc, c"1/root", flags, StatxFlags::INO).ok()?;
        Some(Root { device: (stat.stx_dev_major, stat.stx_dev_minor), inode: stat.stx_ino })
    }
}
