//! What the program gives up: it stays root, to whom the files belong, with pstore as all that it sees of the file systems,
//! and no capability but the one by which old kernels let somebody read them. With a filter of its own when it looks at
//! what is in them.

use rustix::fd::{AsFd, OwnedFd};
use rustix::process::{Resource, chroot, fchdir};
use rustix::thread::CapabilitySet;

use crate::confine::{drop_capabilities_to, install_filter, limit};
use crate::exit;
use crate::logger::error;
use crate::sys::At;
use crate::sys::process::{self, bound_stack};
use crate::sys::signal::Denied;
use earlykmsg::error::{Result, Step};
use earlykmsg::limits::PSTORE_STACK_BYTES;
use earlykmsg::policy::PSTORE_READERS;

/// Sees `directory` alone from now on, and gives up all capabilities that reading and removing its files do not need.
pub fn drop_all_but_files(directory: &OwnedFd) -> Result<()> {
    fchdir(directory.as_fd()).and_then(|()| chroot(c".")).at(Step::HideFiles)?;
    drop_capabilities_to(CapabilitySet::SYSLOG)?;
    limit(Resource::Core, 0)?;
    bound_stack(PSTORE_STACK_BYTES)
}

/// Makes no system call any more but those that reading, telling and removing take.
pub fn install_own_filter() -> Result<()> {
    install_filter::<EndProcess>(&PSTORE_READERS)
}

/// Ends a process that has made a denied system call.
struct EndProcess;

impl Denied for EndProcess {
    fn denied(number: u32) -> ! {
        error!("the reader of pstore asked for system call {number}, which it may not make, and ends");
        process::exit(exit::DENIED)
    }
}
