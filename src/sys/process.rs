//! Making processes and ending this one.

use rustix::process::Pid;

use super::call::{call1, call5};
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
    let pid = unsafe { call5(libc::SYS_clone, libc::SIGCHLD as usize, 0, 0, 0, 0) };
    match Pid::from_raw(pid.map_err(|errno| Step::Fork.failed(errno))? as i32) {
        None => Ok(Fork::Child),
        Some(pid) => Ok(Fork::Parent(pid)),
    }
}

/// Ends this process.
pub fn exit(code: i32) -> ! {
    loop {
        // SAFETY: never returns and touches nothing.
        let _ = unsafe { call1(libc::SYS_exit_group, code as usize) };
    }
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
