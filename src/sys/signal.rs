//! Signals as something to read: blocked, and told through a descriptor.

use core::mem::MaybeUninit;

use rustix::fd::{AsFd, FromRawFd, OwnedFd};
use rustix::io::read;

use super::last;
use crate::error::Result;

/// The signals that concern the program, since they were last asked for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Signals {
    /// SIGTERM, SIGINT or SIGHUP: an end is asked for.
    pub terminate: bool,
    /// SIGCHLD: a child has ended.
    pub child: bool,
}

const TOLD: [libc::c_int; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGCHLD];

/// Blocks the signals that concern us, all others' dispositions back to their default, and gives the descriptor
/// that tells of them. What the process inherited is gone; children inherit what is set here.
pub fn listen() -> Result<OwnedFd> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: initialises the set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for signal in TOLD {
        // SAFETY: the set is initialised; without a handler nothing runs at a signal.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
        // SAFETY: the default is no code of this program.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // A write to a closed stderr is an error to be returned, no reason to die.
    // SAFETY: ignoring runs no code.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    // SAFETY: the set is initialised; no one needs the old mask.
    if unsafe { libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), core::ptr::null_mut()) } != 0 {
        return Err(last("block signals"));
    }
    // SAFETY: the set is initialised.
    let fd = unsafe { libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if fd < 0 {
        return Err(last("listen to signals"));
    }
    // SAFETY: new, and owned by no one else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What has come since the last time. Waits for nothing.
pub fn received(fd: &OwnedFd) -> Signals {
    let mut signals = Signals::default();
    let mut info = [0; size_of::<libc::signalfd_siginfo>()];
    while let Ok(len) = read(fd.as_fd(), &mut info)
        && len == info.len()
    {
        // The record's first member is the signal's number.
        match i32::from_ne_bytes([info[0], info[1], info[2], info[3]]) {
            libc::SIGCHLD => signals.child = true,
            _ => signals.terminate = true,
        }
    }
    signals
}
