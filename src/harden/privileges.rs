//! Giving up what a shipper does not need, for good.

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getuid, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, Uid, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

use super::policy::{Instruction, SHIPPER, compile, length};
use crate::error::{Result, Step};
use crate::limits::STACK_BYTES;
use crate::report;
use crate::sys::At;
use crate::sys::process::stack_used_bytes;
use crate::sys::seccomp::install;
use crate::words;

/// Becomes user and group `id`, without any capability and any way to one, with no process and no core to make, and no
/// file unless stderr may be one. Started by hand by someone who is not root, the user stays who it is.
pub fn drop_to(id: u32, stderr_used: bool) -> Result<()> {
    if getuid().is_root() {
        let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
        // Before the user id goes: only root may take these away. Numbers that this kernel does not know fail.
        for number in 0..u64::BITS {
            let _ = remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number));
        }
        set_thread_groups(&[]).at(Step::Groups)?;
        set_thread_res_gid(gid, gid, gid).at(Step::GroupId)?;
        set_thread_res_uid(uid, uid, uid).at(Step::UserId)?;
    }
    // Kernels before 4.3 have none.
    let _ = clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .at(Step::Capabilities)?;
    let files = if stderr_used { Resource::Core } else { Resource::Fsize };
    for resource in [Resource::Nproc, Resource::Core, files] {
        setrlimit(resource, Rlimit { current: Some(0), maximum: Some(0) }).at(Step::Limits)?;
    }
    let stack = stack_used_bytes() + STACK_BYTES;
    setrlimit(Resource::Stack, Rlimit { current: Some(stack), maximum: Some(stack) }).at(Step::StackLimit)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).at(Step::Undumpable)?;
    set_no_new_privs(true).at(Step::NewPrivileges)
}

/// Puts the shipper's filter in force. A kernel without filters is no reason not to ship: it is said, once a start.
pub fn filter_shipper() -> Result<()> {
    static FILTER: [Instruction; length(&SHIPPER)] = compile(&SHIPPER);
    match install(&FILTER) {
        Err(error)
            if [Errno::NOSYS, Errno::INVAL].contains(&Errno::from_raw_os_error(i32::from(error.errno))) =>
        {
            report::warn(|line| words!(line, error, ": this kernel has none, going on without"));
            Ok(())
        }
        result => result,
    }
}
