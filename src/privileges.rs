//! Giving up what a role does not need, for good.
//!
//! ```text
//!              PID 1 or a user's shell
//!   watcher    root with six capabilities, the watcher's filter
//!   shipper    a user of its own, no capability, an empty directory as its root, limits, the shipper's filter too
//! ```

use core::sync::atomic::{AtomicU64, Ordering};

use crate::logger::error;
use rustix::fd::BorrowedFd;
use rustix::process::{Resource, chroot, fchdir, getuid};
use rustix::thread::{CapabilitySet, Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::confine::{drop_capabilities_to, install_filter, keep_capabilities, limit};
use crate::exit;
use crate::sys::At;
use crate::sys::memory::SharedNumber;
use crate::sys::process::{self, bound_stack};
use crate::sys::signal::Denied;
use earlykmsg::error::{Result, Step};
use earlykmsg::limits::{FILES_MAX, MEMORY_BYTES_MAX, STACK_BYTES};
use earlykmsg::policy::{FILTER, shippers};

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
    drop_capabilities_to(WATCHERS)?;
    // Shippers inherit it.
    bound_stack(STACK_BYTES)?;
    install_filter::<EndProcess>(&FILTER)
}

/// Makes `empty` the root directory of this process, so that it sees no files. Only root can.
pub fn hide_files(empty: BorrowedFd<'_>) -> Result<()> {
    if !getuid().is_root() {
        return Ok(());
    }
    fchdir(empty).and_then(|()| chroot(c".")).at(Step::HideFiles)
}

/// A shipper becomes user and group `id`, without any capability and any way to get one. It can make no process and no
/// core dump, and write to no file unless stderr may be one. Started by someone who is not root, the user stays the same.
///
/// When it makes a system call that its filter denies, one more than the call's number is stored in `denied_call`.
pub fn drop_to_shipper(id: u32, stderr_used: bool, denied_call: &'static AtomicU64) -> Result<()> {
    if getuid().is_root() {
        let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
        set_thread_groups(&[]).at(Step::DropGroups)?;
        set_thread_res_gid(gid, gid, gid).at(Step::DropGroupId)?;
        set_thread_res_uid(uid, uid, uid).at(Step::DropUserId)?;
    }
    keep_capabilities(CapabilitySet::empty())?;
    limit(Resource::Nproc, 0)?;
    limit(Resource::Core, 0)?;
    limit(Resource::Nofile, FILES_MAX)?;
    limit(Resource::As, MEMORY_BYTES_MAX)?;
    if !stderr_used {
        limit(Resource::Fsize, 0)?;
    }
    DENIED_CALL.set(denied_call);
    install_filter::<EndProcess>(shippers())
}

/// Where a shipper stores the system call that it is ended for. What it logs might not leave the machine any more, so
/// the watcher does that. Not set in the watcher.
static DENIED_CALL: SharedNumber = SharedNumber::none();

/// Ends a process that has made a denied system call.
struct EndProcess;

impl Denied for EndProcess {
    fn denied(number: u32) -> ! {
        match DENIED_CALL.get() {
            // 0 stands for none.
            Some(denied_call) => denied_call.store(u64::from(number) + 1, Ordering::Relaxed),
            None => error!("the watcher asked for system call {number}, which it may not make, and ends"),
        }
        process::exit(exit::DENIED)
    }
}
