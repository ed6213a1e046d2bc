//! Putting a system-call filter in force.

use super::last;
use crate::error::{Result, Step};
use crate::harden::policy::Instruction;

const _: () = assert!(size_of::<Instruction>() == size_of::<libc::sock_filter>());

/// Puts `program` in force for this process, for good. The caller has set no-new-privileges.
pub fn install(program: &'static [Instruction]) -> Result<()> {
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut().cast() };
    // Without the flag, kernels before 5.16 slow every filtered process down; those before 4.17 do not know it.
    for flags in [libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW, 0] {
        // SAFETY: the kernel copies the instructions, which outlive the call.
        let done = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &filter) };
        if done == 0 {
            return Ok(());
        }
        let error = last(Step::Filter);
        if error.errno != libc::EINVAL as u16 {
            return Err(error);
        }
    }
    Err(last(Step::Filter))
}
