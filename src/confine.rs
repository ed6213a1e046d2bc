//! What every process gives up, for good: capabilities, core dumps, most system calls.

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use crate::logger::warn;
use crate::sys::At;
use crate::sys::seccomp::install;
use crate::sys::signal::{Denied, on_denial};
use earlykmsg::error::{Result, Step};
use earlykmsg::policy::Instruction;

/// Gives up all capabilities but these, and any way to get others.
pub fn drop_capabilities_to(kept: CapabilitySet) -> Result<()> {
    // It fails at the first number that this kernel does not know, and for anyone but root at once.
    let mut number = 1;
    while remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(number)).is_ok() {
        number <<= 1;
    }
    let permitted = capabilities(None).at(Step::DropCapabilities)?.permitted;
    keep_capabilities(permitted & kept)
}

/// Gives up all capabilities but these, which this process has.
pub fn keep_capabilities(capabilities: CapabilitySet) -> Result<()> {
    // Kernels before 4.3 have no ambient capabilities.
    let _ = clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: capabilities, permitted: capabilities, inheritable: none };
    set_capabilities(None, sets).at(Step::DropCapabilities)
}

/// Limits a resource, for good.
pub fn limit(resource: Resource, most: u64) -> Result<()> {
    setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }).at(Step::LimitResources)
}

/// Puts a system-call filter in force; a call that it denies is handed to `D`. A kernel without filters is no reason to
/// end.
pub fn install_filter<D: Denied>(filter: &'static [Instruction]) -> Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).at(Step::BecomeUndumpable)?;
    set_no_new_privs(true).at(Step::ForbidNewPrivileges)?;
    on_denial::<D>();
    match install(filter) {
        Err(error) if [Errno::NOSYS, Errno::INVAL].map(Errno::raw_os_error).contains(&error.errno.0) => {
            warn!("{error}: this kernel has none, going on without");
            Ok(())
        }
        result => result,
    }
}
