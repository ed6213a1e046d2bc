//! Signals as something to read: blocked, and told through a descriptor.

use core::ffi::{c_int, c_void};
use core::mem::{self, MaybeUninit};
use core::ptr;

use rustix::fd::{BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::read;

use super::{At, checked};
use earlykmsg::error::{Result, Step};

/// The signals that concern the program, since they were last asked for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Signals {
    /// SIGTERM, SIGINT or SIGHUP: an end is asked for.
    pub terminate: bool,
    /// SIGCHLD: a child has ended.
    pub child: bool,
}

const TOLD: [c_int; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGCHLD];
/// A write to a closed stderr or to one that may not grow is an error to be returned, and so is one to a terminal that is
/// another job's: no reason to die or to stop.
const IGNORED: [c_int; 3] = [libc::SIGPIPE, libc::SIGXFSZ, libc::SIGTTOU];

fn set_disposition(signal: c_int, handler: libc::sighandler_t) {
    // SAFETY: all zeros is a valid value of this plain C structure: no flag, no other signal blocked meanwhile.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: neither the default nor ignoring runs code of this program, and the one handler may run anywhere.
    let _ = unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
}

/// Whether whoever started this had the signal ignored.
fn is_ignored(signal: c_int) -> bool {
    // SAFETY: all zeros is a valid value of this plain C structure.
    let mut old: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: writes one disposition and changes none.
    let asked = checked(unsafe { libc::sigaction(signal, ptr::null(), &raw mut old) });
    asked.is_ok() && old.sa_sigaction == libc::SIG_IGN
}

/// What ends a process that asked for a system call that its filter denies.
pub trait Denied {
    /// Takes the call's number. Runs in place of the call, wherever that was: it can rely on nothing but itself.
    fn denied(number: u32) -> !;
}

/// From now on a denied system call is handed to `D`.
pub fn on_denial<D: Denied>() {
    extern "C" fn handler<D: Denied>(_: c_int, info: *const libc::siginfo_t, _: *const c_void) {
        // SAFETY: the kernel hands over a whole `siginfo_t`, and for this signal it has the number.
        D::denied(unsafe { (*info).si_syscall() }.cast_unsigned())
    }
    set_disposition(libc::SIGSYS, handler::<D> as *const () as libc::sighandler_t);
}

/// Blocks the signals that concern us, and gives the descriptor that tells of them. What the process inherited is gone,
/// but for a SIGHUP that was ignored (`nohup`), which stays so; children inherit what is set here.
pub fn listen() -> Result<OwnedFd> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: makes it the empty set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for &signal in &TOLD {
        // A blocked signal is told of even if it is ignored.
        if signal == libc::SIGHUP && is_ignored(signal) {
            continue;
        }
        set_disposition(signal, libc::SIG_DFL);
        // SAFETY: adds a signal that there is to a set.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    }
    for &signal in &IGNORED {
        set_disposition(signal, libc::SIG_IGN);
    }
    // SAFETY: reads one set; no one needs the old mask.
    checked(unsafe { libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), ptr::null_mut()) })
        .at(Step::BlockSignals)?;
    // SAFETY: reads one set.
    let fd = checked(unsafe { libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) })
        .at(Step::ListenToSignals)?;
    // SAFETY: new, and owned by no one else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What has come since the last time. Waits for nothing.
pub fn received(fd: BorrowedFd<'_>) -> Signals {
    let mut signals = Signals::default();
    let mut info = [0; size_of::<libc::signalfd_siginfo>()];
    while let Ok(len) = read(fd, &mut info)
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
