//! Giving up what a shipper does not need, for good.

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getuid, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, Uid, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

use super::policy::{Instruction, SHIPPER, compile, length};
use crate::error::{Error, Result};
use crate::limits::STACK_BYTES;
use crate::report;
use crate::sys::process::stack_used_bytes;
use crate::sys::seccomp::install;

/// Becomes user and group `id`, without any capability and any way to one, with no process and no core to make, and no
/// file unless stderr may be one. Started by hand by someone who is not root, the user stays who it is.
pub fn drop_to(id: u32, stderr_used: bool) -> Result<()> {
    let fail = |step| move |errno: Errno| Error { step, errno: errno.raw_os_error() };
    if getuid().is_root() {
        let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
        // Before the user id goes: only root may take these away. Numbers that this kernel does not know fail.
        for number in 0..u64::BITS {
            let _ = remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number));
        }
        set_thread_groups(&[]).map_err(fail("give up groups"))?;
        set_thread_res_gid(gid, gid, gid).map_err(fail("change the group id"))?;
        set_thread_res_uid(uid, uid, uid).map_err(fail("change the user id"))?;
    }
    // Kernels before 4.3 have none.
    let _ = clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .map_err(fail("give up capabilities"))?;
    let files = if stderr_used { Resource::Core } else { Resource::Fsize };
    for resource in [Resource::Nproc, Resource::Core, files] {
        setrlimit(resource, Rlimit { current: Some(0), maximum: Some(0) })
            .map_err(fail("limit resources"))?;
    }
    let stack = stack_used_bytes() + STACK_BYTES;
    setrlimit(Resource::Stack, Rlimit { current: Some(stack), maximum: Some(stack) })
        .map_err(fail("limit the stack"))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(fail("become undumpable"))?;
    set_no_new_privs(true).map_err(fail("give up new privileges"))
}

/// Puts the shipper's filter in force. A kernel without filters is no reason not to ship: it is said, once a start.
pub fn filter_shipper() -> Result<()> {
    static FILTER: [Instruction; length(&SHIPPER)] = compile(&SHIPPER);
    match install(&FILTER) {
        Err(error)
            if error.errno == Errno::NOSYS.raw_os_error() || error.errno == Errno::INVAL.raw_os_error() =>
        {
            report::warn(format_args!("{error}: this kernel has none, going on without"));
            Ok(())
        }
        result => result,
    }
}
