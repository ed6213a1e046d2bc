//! Noticing the root switch: PID 1's `/` is another directory than it was.
//!
//! The kernel tells when mounts change, but not of the `chroot` that follows when a mount is moved onto `/`. So after a
//! change of mounts the root is looked at several times.

use rustix::event::PollFlags;
use rustix::fd::BorrowedFd;
use rustix::fs::{CWD, OFlags};

use crate::kernel_fs::{FileId, KernelFs, file_id};
use crate::sys::fds::keep;
use crate::sys::wait::Awaited;
use earlykmsg::limits::{NEVER_MS, SWITCH_LOOKS_MS};

/// Watches PID 1's root.
pub struct RootSwitch {
    proc: BorrowedFd<'static>,
    mounts: BorrowedFd<'static>,
    /// PID 1's root at the start.
    root: Option<FileId>,
    /// When the mounts changed last, and how often the root was looked at since.
    changed_ms: u64,
    looks: usize,
}

impl RootSwitch {
    /// Begins to watch. `None`: there is no `/proc` to watch through.
    pub fn watch(kernel_fs: &KernelFs) -> Option<RootSwitch> {
        let proc = kernel_fs.proc?;
        let mounts = keep(kernel_fs.open_proc(c"1/mountinfo", OFlags::RDONLY).ok()?);
        // This process's own root is what PID 1's was at the fork, however far PID 1 has come since. As nothing has been
        // looked at yet, a switch that was faster than this is found at once.
        let root = file_id(CWD, c"/");
        Some(RootSwitch { proc, mounts, root, changed_ms: 0, looks: 0 })
    }

    /// What to wait on.
    pub fn awaited(&self) -> Awaited<'static> {
        Awaited::new(self.mounts, PollFlags::PRI)
    }

    /// The mounts have changed.
    pub fn mounts_changed(&mut self, now_ms: u64) {
        self.changed_ms = now_ms;
        self.looks = 0;
    }

    /// When the root must be looked at again, if at all.
    pub fn wake_ms(&self) -> u64 {
        SWITCH_LOOKS_MS.get(self.looks).map_or(NEVER_MS, |after| self.changed_ms + after)
    }

    /// Looks at the root if it is time to. Returns whether it is another one now.
    pub fn has_happened(&mut self, now_ms: u64) -> bool {
        if now_ms < self.wake_ms() {
            return false;
        }
        while now_ms >= self.wake_ms() {
            self.looks += 1;
        }
        let now = file_id(self.proc, c"1/root");
        now.is_some() && self.root.is_some() && now != self.root
    }
}
