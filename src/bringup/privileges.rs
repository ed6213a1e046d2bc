//! What each of the processes keeps: they stay root, with one capability and a system-call filter.

use core::sync::atomic::{AtomicU8, Ordering};

use rustix::fd::BorrowedFd;
use rustix::process::{chroot, fchdir};
use rustix::thread::CapabilitySet;

use crate::confine::{drop_capabilities_to, install_filter};
use crate::exit;
use crate::logger::error;
use crate::sys::At;
use crate::sys::process::{self, bound_stack};
use crate::sys::signal::Denied;
use earlykmsg::error::{Result, Step};
use earlykmsg::limits::{LOADER_STACK_BYTES, STACK_BYTES};
use earlykmsg::policy::{CLIENTS, Instruction, KEEPERS, LOADERS, NETCONSOLES};

/// What a process does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// It gives the network back.
    Keeper,
    /// It changes links, addresses and routes.
    Client,
    /// It loads drivers.
    Loader,
    /// It arms the kernel's netconsole.
    Netconsole,
}

/// The role of this process, for its last words.
static ROLE: AtomicU8 = AtomicU8::new(Role::Keeper as u8);
/// Each at its role's number.
const ROLES: [&str; 4] = [
    "the keeper of the network",
    "the client of the network",
    "the loader of drivers",
    "the process that arms netconsole",
];

/// A process gives up all that its role does not need, but for being root.
pub fn drop_to(role: Role) -> Result<()> {
    let (kept, stack_bytes, filter): (_, _, &[Instruction]) = match role {
        Role::Keeper => (CapabilitySet::NET_ADMIN, STACK_BYTES, &KEEPERS),
        Role::Client => (CapabilitySet::NET_ADMIN, STACK_BYTES, &CLIENTS),
        Role::Loader => (CapabilitySet::SYS_MODULE, LOADER_STACK_BYTES, &LOADERS),
        Role::Netconsole => (CapabilitySet::NET_ADMIN, STACK_BYTES, &NETCONSOLES),
    };
    ROLE.store(role as u8, Ordering::Relaxed);
    drop_capabilities_to(kept)?;
    bound_stack(stack_bytes)?;
    install_filter::<EndProcess>(filter)
}

/// Makes `directory` the root directory of this process, so that it sees no other files.
pub fn hide_other_files(directory: BorrowedFd<'_>) -> Result<()> {
    fchdir(directory).and_then(|()| chroot(c".")).at(Step::HideFiles)
}

/// Ends a process that has made a denied system call.
struct EndProcess;

impl Denied for EndProcess {
    fn denied(number: u32) -> ! {
        let role = ROLES.get(usize::from(ROLE.load(Ordering::Relaxed))).copied().unwrap_or_default();
        error!("{role} asked for system call {number}, which it may not make, and ends");
        process::exit(exit::DENIED)
    }
}
