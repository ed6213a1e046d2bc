//! Starting the watcher as a process of its own, once per machine.

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{chdir, setsid};

use crate::kernel_fs::KernelFs;
use crate::logger;
use crate::sys::fds::{close_all_but, keep};
use crate::sys::process::{self, Fork, fork};
use crate::watch::kernel_log::KernelLog;
use earlykmsg::error::Result;

/// What became of the watcher.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// It runs, or tries to.
    Started,
    /// Another one runs already.
    AnotherRuns,
}

/// Opens the kernel's log: messages go there from now on, and the lock of [`start_watcher`] is taken on it.
pub fn open_kernel_log(kernel_fs: &KernelFs) {
    if let Ok(kmsg) = kernel_fs.open_kmsg() {
        logger::use_kernel_log(keep(kmsg));
    }
}

/// Starts a process that runs `watcher`, which gets the kernel's log and returns the exit code, unless another watcher
/// runs.
pub fn start_watcher(kernel_fs: &KernelFs, watcher: impl FnOnce(Result<KernelLog>) -> i32) -> Result<Start> {
    if another_watcher_runs() {
        return Ok(Start::AnotherRuns);
    }
    match fork()? {
        Fork::Parent(_) => Ok(Start::Started),
        Fork::Child => {
            detach(kernel_fs);
            process::exit(watcher(KernelLog::open(kernel_fs)))
        }
    }
}

/// Whether another watcher holds the lock on the kernel's log. If not, this process takes it. Its child has it too, as a
/// lock belongs to the open file description. This process closes its descriptor when it execs or ends, so the lock is
/// free again when the watcher ends.
fn another_watcher_runs() -> bool {
    let Some(kmsg) = logger::kernel_log() else { return false };
    flock(kmsg, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK)
}

/// Keeps nothing of the process that started the watcher.
fn detach(kernel_fs: &KernelFs) {
    // The console and whatever else was open stay with the parent alone.
    close_all_but(&[kernel_fs.proc, kernel_fs.dev, logger::kernel_log()]);
    logger::forget_stderr();
    // In a session of its own it gets no signal that is sent to the parent's process group.
    let _ = setsid();
    // A working directory would keep its file system busy.
    let _ = chdir(c"/");
}
