//! Making processes and ending this one.

use rustix::process::Pid;

use super::last;
use crate::error::{Result, Step};

/// Which of the two processes one is after a fork.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fork {
    /// The one that asked, and its new child.
    Parent(Pid),
    /// The new one.
    Child,
}

/// Makes a second process of this one.
pub fn fork() -> Result<Fork> {
    // The bare call: what musl's fork adds is for threads and for a heap, and takes 3 KiB.
    // SAFETY: the program has one thread and no lock, so the child may do all that the parent may.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) } as libc::pid_t;
    if pid < 0 {
        return Err(last(Step::Fork));
    }
    match Pid::from_raw(pid) {
        None => Ok(Fork::Child),
        Some(pid) => Ok(Fork::Parent(pid)),
    }
}

/// Ends this process.
pub fn exit(code: i32) -> ! {
    // SAFETY: never returns and touches nothing.
    unsafe { libc::_exit(code) }
}

/// Whether the kernel started this process as the first, or a namespace did.
pub fn is_pid1() -> bool {
    rustix::process::getpid().is_init()
}

/// Bytes of the stack in use, the program's strings at its top included.
pub fn stack_used_bytes() -> u64 {
    let here = 0u8;
    let top = super::args::program_path().map_or(0, |path| path.as_ptr() as usize + path.count_bytes());
    top.saturating_sub(&raw const here as usize) as u64
}
