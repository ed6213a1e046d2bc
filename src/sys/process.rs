//! Making processes and ending this one.

use core::ffi::{CStr, c_char, c_long, c_void};
use core::ptr;

use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::process::{Pid, Resource, Rlimit, setrlimit};

use super::memory::page_bytes;
use super::{At, checked, errno, failed};
use earlykmsg::error::{Error, Result, Step};
use earlykmsg::limits::STACK_AT_START_BYTES;

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
    // The bare call, as the system-call filter allows it. musl's `fork` does more for programs with threads and a heap,
    // takes 2 KiB, and on x86-64 makes another call than elsewhere.
    const FLAGS: c_long = libc::SIGCHLD as c_long;
    const NONE: c_long = 0;
    // SAFETY: the program has one thread and no lock, so the child may do all that the parent may. Without new memory
    // and a new stack the child goes on with a copy of these.
    let pid =
        checked(unsafe { libc::syscall(libc::SYS_clone, FLAGS, NONE, NONE, NONE, NONE) }).at(Step::Fork)?;
    Ok(Pid::from_raw(pid as libc::pid_t).map_or(Fork::Child, Fork::Parent))
}

/// Becomes the program in a file, with its name alone and no environment. Returns only when that failed.
pub fn exec_file(file: BorrowedFd<'_>, name: &CStr) -> Error {
    let arguments = [name.as_ptr(), ptr::null()];
    let environment = [ptr::null::<c_char>()];
    let file = c_long::from(file.as_raw_fd());
    // SAFETY: the kernel reads an empty path, a name that ends with NUL, and arrays that end with a null pointer.
    unsafe {
        let path = c"".as_ptr();
        let flags = c_long::from(libc::AT_EMPTY_PATH);
        libc::syscall(libc::SYS_execveat, file, path, arguments.as_ptr(), environment.as_ptr(), flags)
    };
    failed(Step::Exec, errno())
}

/// Ends this process.
pub fn exit(code: i32) -> ! {
    // SAFETY: runs no code of this program.
    unsafe { libc::_exit(code) }
}

/// Whether the kernel started this process as the first, or a namespace did.
pub fn is_pid1() -> bool {
    rustix::process::getpid().is_init()
}

/// Bounds the stack to what is in use and `more` bytes, in whole pages: it cannot grow beyond, and what the kernel had
/// mapped beyond at the start is given back.
pub fn bound_stack(more: u64) -> Result<()> {
    let page = page_bytes() as u64;
    let most = (stack_used_bytes() + more).next_multiple_of(page);
    setrlimit(Resource::Stack, Rlimit { current: Some(most), maximum: Some(most) })
        .at(Step::LimitResources)?;
    let here = 0u8;
    let end = ((&raw const here as u64) - more) / page * page;
    let start = end - STACK_AT_START_BYTES;
    // SAFETY: nothing of the stack so far below its end is in use, and nothing else lies there: the kernel keeps a gap of
    // 1 MiB below a stack.
    let _ = unsafe { rustix::mm::munmap(start as *mut c_void, STACK_AT_START_BYTES as usize) };
    Ok(())
}

/// Bytes of the stack in use, the program's strings at its top included.
fn stack_used_bytes() -> u64 {
    let here = 0u8;
    let top = super::args::program_path().map_or(0, |path| path.as_ptr() as usize + path.count_bytes());
    top.saturating_sub(&raw const here as usize) as u64
}
