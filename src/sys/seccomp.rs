//! Putting a system-call filter in force.

use core::ffi::c_ulong;

use rustix::io::Errno;

use super::{At, checked};
use earlykmsg::error::{Result, Step};
use earlykmsg::policy::Instruction;

const _: () = assert!(size_of::<Instruction>() == size_of::<libc::sock_filter>());

/// Puts `program` in force for this process, for good. The caller has set no-new-privileges.
pub fn install(program: &'static [Instruction]) -> Result<()> {
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut().cast() };
    let install = |flags: c_ulong| {
        let operation = c_ulong::from(libc::SECCOMP_SET_MODE_FILTER);
        // The C library has no function for this call, and no crate a safe one.
        // SAFETY: the kernel copies the instructions, which outlive the call.
        checked(unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, &raw const filter) })
    };
    // Without the flag, kernels before 5.16 slow every filtered process down; those before 4.17 do not know it.
    match install(libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW) {
        Err(Errno::INVAL) => install(0),
        result => result,
    }
    .at(Step::InstallFilter)?;
    Ok(())
}
