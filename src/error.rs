//! What went wrong: the step and the errno, in words that an operator understands.
//!
//! An error never decides anything. Its caller does: try again, give up one destination, or go on with the boot.

use core::fmt;

use crate::text::Text;

/// A step of the program that failed, with the kernel's error number (0: none).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Error {
    /// What was being done, as a verb phrase: `open /dev/kmsg`.
    pub step: &'static str,
    /// The kernel's error number.
    pub errno: i32,
}

/// The result of a step.
pub type Result<T> = core::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", Text(self.step), Errno(self.errno))
    }
}

/// An error number that displays as words, where they are known, and always as the number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub i32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // All numbers are shown as u64: each further type would bring 250 bytes of its own.
        let number = u64::from(self.0.unsigned_abs());
        match words(self.0) {
            "" => write!(f, "errno {number}"),
            words => write!(f, "{} (errno {number})", Text(words)),
        }
    }
}

/// The numbers that the steps of this program meet; they are the same on x86-64 and arm64.
fn words(errno: i32) -> &'static str {
    match errno {
        0 => "closed by the receiver",
        1 => "not permitted",
        2 => "no such file",
        8 => "not an executable",
        12 => "out of memory",
        11 => "would have to wait",
        13 => "permission denied",
        16 => "busy",
        19 => "no such device",
        20 => "not a directory",
        22 => "invalid argument",
        23 | 24 => "too many open files",
        29 => "cannot seek",
        32 | 104 => "connection reset by the receiver",
        38 => "not in this kernel",
        90 => "message too long",
        97 => "address family not in this kernel",
        99 => "address not available",
        100 => "network is down",
        101 => "network unreachable",
        105 => "out of buffers",
        110 => "timed out",
        111 => "connection refused",
        113 => "no route to host",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn names_step_words_and_number() {
        let text = format!("{}", Error { step: "connect", errno: 111 });
        assert_eq!(text, "connect: connection refused (errno 111)");
        assert_eq!(format!("{}", Errno(4242)), "errno 4242");
    }
}
