//! Putting a system-call filter in force.

use super::call::call3;
use crate::error::{Result, Step};
use crate::harden::policy::Instruction;

const _: () = assert!(size_of::<Instruction>() == size_of::<libc::sock_filter>());

/// What a kernel says to a flag, or to filters, that it does not know.
const UNKNOWN: u16 = libc::EINVAL as u16;

/// Puts `program` in force for this process, for good. The caller has set no-new-privileges.
pub fn install(program: &'static [Instruction]) -> Result<()> {
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut().cast() };
    // Without the flag, kernels before 5.16 slow every filtered process down; those before 4.17 do not know it.
    for flags in [libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW, 0] {
        let mode = libc::SECCOMP_SET_MODE_FILTER as usize;
        // SAFETY: the kernel copies the instructions, which outlive the call.
        match unsafe { call3(libc::SYS_seccomp, mode, flags as usize, &raw const filter as usize) } {
            Ok(_) => return Ok(()),
            Err(errno) if errno == UNKNOWN => {}
            Err(errno) => return Err(Step::Filter.failed(errno)),
        }
    }
    Err(Step::Filter.failed(UNKNOWN))
}
