//! Giving up what a role does not need, for good.
//!
//! ```text
//!              PID 1 or a user's shell
//!   watcher    root with six capabilities, the watcher's filter
//!   shipper    a user of its own, no capability, an empty directory as its root, limits, the shipper's filter too
//! ```

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, chroot, fchdir, getuid, set_dumpable_behavior, setrlimit,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, Uid, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

use super::policy::{FILTER, Instruction, shippers};
use crate::board::{self, Progress};
use crate::error::{Result, Step};
use crate::limits::{FILES_MAX, MEMORY_BYTES_MAX, STACK_BYTES};
use crate::report;
use crate::sys::At;
use crate::sys::memory::SharedNumber;
use crate::sys::process::{bound_stack, exit};
use crate::sys::seccomp::install;
use crate::sys::signal::{Denied, on_denial};
use crate::watch::code;
use crate::words;

/// What the watcher needs: to give a shipper its user, groups and root, to signal it, and to open, for one that is
/// started again, the log and files of a main system that may be confined.
const WATCHERS: CapabilitySet = CapabilitySet::SETUID
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SYSLOG)
    .union(CapabilitySet::SYS_PTRACE);

/// The watcher gives up all that it does not need.
pub fn drop_to_watcher() -> Result<()> {
    // The first number that this kernel does not know fails, and so does all of it for someone who is not root.
    let mut number = 1;
    while remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(number)).is_ok() {
        number <<= 1;
    }
    let has = capabilities(None).at(Step::Capabilities)?.permitted;
    keep(has & WATCHERS)?;
    // Shippers inherit it.
    bound_stack(STACK_BYTES)?;
    seal(&FILTER)
}

/// Makes `empty` all of the file system that this process sees. Only root can.
pub fn hide_files(empty: &OwnedFd) -> Result<()> {
    if getuid().is_root() { fchdir(empty).and_then(|()| chroot(c".")).at(Step::EmptyView) } else { Ok(()) }
}

/// A shipper becomes user and group `id`, without any capability and any way to one, with no process and no core to
/// make, and no file unless stderr may be one. Started by someone who is not root, the user stays who it is.
pub fn drop_to_shipper(id: u32, stderr_used: bool, progress: Progress) -> Result<()> {
    if getuid().is_root() {
        let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
        set_thread_groups(&[]).at(Step::Groups)?;
        set_thread_res_gid(gid, gid, gid).at(Step::GroupId)?;
        set_thread_res_uid(uid, uid, uid).at(Step::UserId)?;
    }
    keep(CapabilitySet::empty())?;
    let limits = [
        (Resource::Nproc, 0),
        (Resource::Core, 0),
        (Resource::Nofile, FILES_MAX),
        (Resource::As, MEMORY_BYTES_MAX),
        (Resource::Fsize, 0),
    ];
    for (resource, most) in &limits[..limits.len() - usize::from(stderr_used)] {
        setrlimit(*resource, Rlimit { current: Some(*most), maximum: Some(*most) }).at(Step::Limits)?;
    }
    DENIED.set(progress.denied_place());
    seal(shippers())
}

fn keep(capabilities: CapabilitySet) -> Result<()> {
    // Kernels before 4.3 have none.
    let _ = clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: capabilities, permitted: capabilities, inheritable: none };
    set_capabilities(None, sets).at(Step::Capabilities)
}

/// Puts a filter in force. A kernel without filters is no reason not to ship.
fn seal(filter: &'static [Instruction]) -> Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).at(Step::Undumpable)?;
    set_no_new_privs(true).at(Step::NewPrivileges)?;
    on_denial::<End>();
    match install(filter) {
        Err(error)
            if [Errno::NOSYS, Errno::INVAL].contains(&Errno::from_raw_os_error(i32::from(error.errno()))) =>
        {
            report::warn(|line| words!(line, error, ": this kernel has none, going on without"));
            Ok(())
        }
        result => result,
    }
}

/// Where a shipper notes the call that it was ended for: what it says itself might not leave the machine.
static DENIED: SharedNumber = SharedNumber::none();

/// The end of a process that asked for a system call that it may not make.
struct End;

impl Denied for End {
    fn denied(number: u32) -> ! {
        match DENIED.get() {
            Some(place) => board::deny(place, number),
            None => report::error(|line| {
                words!(
                    line,
                    "the watcher asked for system call ",
                    number,
                    ", which it may not make, and ends"
                );
            }),
        }
        exit(code::DENIED)
    }
}
