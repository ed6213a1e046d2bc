//! Numbers that differ between machines that boot in the same second.

use rustix::rand::{GetRandomFlags, getrandom};

use crate::sys::time;

/// A random number, at once. Before the kernel has gathered enough entropy it gives what it has by then, which differs
/// between machines: it stirs in serial numbers, hardware addresses and times of interrupts. Before Linux 5.6, which
/// cannot do that, the nanoseconds since the boot have to do.
pub fn number() -> u64 {
    let mut bytes = time::raw_ns().to_le_bytes();
    if getrandom(&mut bytes, GetRandomFlags::INSECURE).is_err() {
        let _ = getrandom(&mut bytes, GetRandomFlags::NONBLOCK);
    }
    u64::from_le_bytes(bytes)
}
