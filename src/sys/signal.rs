//! Signals as something to read: blocked, and told through a descriptor.

use rustix::fd::{AsFd, FromRawFd, OwnedFd};
use rustix::io::read;

use super::call::call4;
use crate::error::{Result, Step};

/// The signals that concern the program, since they were last asked for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Signals {
    /// SIGTERM, SIGINT or SIGHUP: an end is asked for.
    pub terminate: bool,
    /// SIGCHLD: a child has ended.
    pub child: bool,
}

const TOLD: [libc::c_int; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGCHLD];

/// What the kernel does with a signal, in the form of its own `struct sigaction`.
#[repr(C)]
struct Disposition {
    handler: libc::sighandler_t,
    flags: libc::c_ulong,
    restorer: usize,
    mask: u64,
}

/// The bytes of the kernel's set of signals, which has 64; musl's is larger.
const SET_BYTES: usize = size_of::<u64>();

fn set_disposition(signal: libc::c_int, handler: libc::sighandler_t) {
    /// Handlers are told of the signal, and never return to where it came.
    const FLAGS: libc::c_ulong = 0x0400_0000 | libc::SA_SIGINFO as libc::c_ulong;
    let new = Disposition { handler, flags: FLAGS, restorer: handler, mask: 0 };
    // SAFETY: neither the default nor ignoring runs code of this program, and the one handler may run anywhere. musl's
    // own function keeps a lock and an account for handlers, which takes 1 KiB.
    let _ = unsafe { call4(libc::SYS_rt_sigaction, signal as usize, &raw const new as usize, 0, SET_BYTES) };
}

/// What ends a process that asked for a system call that its filter denies.
pub trait Denied {
    /// Takes the call's number. Runs in place of the call, wherever that was: it can rely on nothing but itself.
    fn denied(number: u32) -> !;
}

/// From now on a denied system call is handed to `D`.
pub fn on_denial<D: Denied>() {
    extern "C" fn handler<D: Denied>(_: libc::c_int, info: *const u32, _: *const ()) {
        /// Where `siginfo_t` has the call's number, behind three numbers, a gap and an address.
        const NUMBER: usize = 24 / size_of::<u32>();
        // SAFETY: the kernel hands its handlers a whole `siginfo_t`, and for this signal it has the number.
        D::denied(unsafe { *info.add(NUMBER) })
    }
    set_disposition(libc::SIGSYS, handler::<D> as *const () as libc::sighandler_t);
}

/// Blocks the signals that concern us, all others' dispositions back to their default, and gives the descriptor
/// that tells of them. What the process inherited is gone; children inherit what is set here.
pub fn listen() -> Result<OwnedFd> {
    let set = TOLD.iter().fold(0u64, |set, signal| set | 1 << (signal - 1));
    for &signal in &TOLD {
        set_disposition(signal, libc::SIG_DFL);
    }
    // A write to a closed stderr, or to one that may not grow, is an error to be returned, no reason to die.
    for &signal in &[libc::SIGPIPE, libc::SIGXFSZ] {
        set_disposition(signal, libc::SIG_IGN);
    }
    // SAFETY: the kernel reads one set; no one needs the old mask.
    unsafe {
        call4(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK as usize, &raw const set as usize, 0, SET_BYTES)
    }
    .map_err(|errno| Step::BlockSignals.failed(errno))?;
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: the kernel reads one set.
    let fd =
        unsafe { call4(libc::SYS_signalfd4, usize::MAX, &raw const set as usize, SET_BYTES, flags as usize) }
            .map_err(|errno| Step::ListenToSignals.failed(errno))?;
    // SAFETY: new, and owned by no one else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// What has come since the last time. Waits for nothing.
pub fn received(fd: impl AsFd) -> Signals {
    let mut signals = Signals::default();
    let mut info = [0; size_of::<libc::signalfd_siginfo>()];
    while let Ok(len) = read(&fd, &mut info)
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
