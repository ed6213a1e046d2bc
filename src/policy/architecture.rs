//! What differs between processors in a filter, beside the numbers of the system calls, which are the libc crate's.

/// Whose system calls a filter allows (`AUDIT_ARCH_…`), as the kernel tells it with each call: some processors can make
/// those of another as well, whose numbers mean other calls.
#[cfg(target_arch = "x86_64")]
pub(super) const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub(super) const ARCHITECTURE: u32 = 0xc000_00b7;
#[cfg(target_arch = "riscv64")]
pub(super) const ARCHITECTURE: u32 = 0xc000_00f3;

/// `O_LARGEFILE`, which rustix adds whenever it opens a file.
#[cfg(any(target_arch = "x86_64", target_arch = "riscv64"))]
pub(super) const LARGE_FILE: i32 = 0o100_000;
#[cfg(target_arch = "aarch64")]
pub(super) const LARGE_FILE: i32 = 0o400_000;
