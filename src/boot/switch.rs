//! Noticing the switch of root: PID 1's `/` is another directory than it was.
//!
//! Mounts tell when they change. The `chroot` that follows the moving of a mount tells nobody, so after a change
//! the root is looked at a few times more.

use rustix::event::PollFlags;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, OFlags};

use super::kernel_fs::{File, KernelFs, file};
use crate::limits::{NEVER_MS, SWITCH_LOOKS_MS};
use crate::sys::wait::Awaited;

/// Watches PID 1's root.
pub struct Switch {
    proc: OwnedFd,
    mounts: OwnedFd,
    root: Option<File>,
    /// When the mounts changed last, and how often the root was looked at since.
    changed_ms: u64,
    looks: usize,
}

impl Switch {
    /// Begins to watch. `None`: there is no `/proc` to watch through.
    pub fn watch(kernel_fs: &KernelFs) -> Option<Switch> {
        let mounts = kernel_fs.open_proc(c"1/mountinfo", OFlags::RDONLY).ok()?;
        let proc = rustix::io::fcntl_dupfd_cloexec(kernel_fs.proc.as_ref()?, 3).ok()?;
        // This process's own root is what PID 1's was at the fork, however far PID 1 has come since. A first round
        // of looks finds a switch that was faster than this.
        let root = file(CWD, c"/");
        Some(Switch { proc, mounts, root, changed_ms: 0, looks: 0 })
    }

    /// What to wait on.
    pub fn awaited(&self) -> Awaited<'_> {
        Awaited::new(self.mounts.as_fd(), PollFlags::PRI)
    }

    /// The mounts have changed.
    pub fn changed(&mut self, now_ms: u64) {
        self.changed_ms = now_ms;
        self.looks = 0;
    }

    /// When the root must be looked at again, if at all.
    pub fn wake_ms(&self) -> u64 {
        SWITCH_LOOKS_MS.get(self.looks).map_or(NEVER_MS, |after| self.changed_ms + after)
    }

    /// Whether the root is another one now.
    pub fn happened(&mut self, now_ms: u64) -> bool {
        if now_ms < self.wake_ms() {
            return false;
        }
        while now_ms >= self.wake_ms() {
            self.looks += 1;
        }
        let now = file(self.proc.as_fd(), c"1/root");
        now.is_some() && self.root.is_some() && now != self.root
    }
}
