//! What went wrong: the step and the errno, in words that an operator understands. Pure.
//!
//! An error never decides anything. Its caller does: try again, give up one destination, or go on with the boot.
//! It is four bytes, because every call that can fail hands one on.

use core::num::NonZeroU32;

use crate::address::{cut, number};
use crate::words;
use crate::words::{Line, Words, named};

/// A step of the program that failed, with the kernel's error number (0: none).
///
/// Both are in one number, the error number above the step, and its lowest bit is set: what is never 0 can be told from
/// success in a single register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Error(NonZeroU32);

impl Error {
    /// What is read as the kernel's log has an end: it is something else.
    pub fn log_ends() -> Error {
        Step::ReadKmsg.failed(0)
    }

    /// Whether this is what was being done.
    pub fn is(self, step: Step) -> bool {
        self.step() == step as usize
    }

    /// The kernel's error number.
    pub fn errno(self) -> u16 {
        (self.0.get() >> 16) as u16
    }

    fn step(self) -> usize {
        usize::from(self.0.get() as u16 >> 1)
    }
}

/// The result of a step.
pub type Result<T> = core::result::Result<T, Error>;

named! {
    /// What can fail. Each is explained by its words below.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    #[allow(missing_docs)]
    pub enum Step {
        FindNextInit = "find a next init",
        ReachProc = "reach /proc",
        OpenBelowProc = "open a file below /proc",
        OpenKmsg = "open /dev/kmsg",
        GoBack = "go back in /dev/kmsg",
        ReadKmsg = "read /dev/kmsg",
        BlockSignals = "block signals",
        ListenToSignals = "listen to signals",
        Exec = "exec",
        Fork = "start a process",
        AskState = "ask for the state of the connection",
        Receive = "receive",
        MapShared = "map shared memory",
        Filter = "install the system-call filter",
        Connect = "connect",
        SetUpSocket = "set up a socket",
        Send = "send",
        Close = "close the connection",
        OpenSocket = "open a socket",
        LookUpZone = "look up the zone",
        LookUpName = "look up the name",
        EmptyView = "hide the file system",
        Groups = "give up groups",
        GroupId = "change the group id",
        UserId = "change the user id",
        Capabilities = "give up capabilities",
        Limits = "limit resources",
        Undumpable = "become undumpable",
        NewPrivileges = "give up new privileges",
        TakeBuffers = "take the buffers",
        Answer = "wait for an answer",
        MakeChannel = "make a channel",
    }
}

impl Step {
    /// The step has failed.
    pub fn failed(self, errno: u16) -> Error {
        Error(NonZeroU32::MIN | (self as u32) << 1 | u32::from(errno) << 16)
    }
}

impl Words for Error {
    fn put(&self, line: &mut Line) {
        words!(line, Step::nth_words(self.step()));
        if *self == Error::log_ends() {
            words!(line, ": it has an end, so it is not the kernel's log");
        } else if !self.is(Step::LookUpName) {
            // What the name servers said is told beside it.
            words!(line, ": ", Errno(self.errno()));
        }
    }
}

/// An error number that is shown as words, where they are known, and always as the number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub u16);

impl Words for Errno {
    fn put(&self, line: &mut Line) {
        let known = errno_words(self.0);
        if known.is_empty() {
            words!(line, "errno ", u32::from(self.0));
        } else {
            words!(line, known, " (errno ", u32::from(self.0), ")");
        }
    }
}

/// The numbers that the steps of this program meet; they are the same on x86-64 and arm64. One text, because a match
/// takes 20 bytes more a number.
const ERRNOS: &str = "\
    0 closed by the receiver;\
    1 not permitted;\
    2 no such file;\
    8 not an executable;\
    11 would have to wait;\
    12 out of memory;\
    13 permission denied;\
    16 busy;\
    19 no such device;\
    20 not a directory;\
    22 invalid argument;\
    23 too many open files;\
    24 too many open files;\
    29 cannot seek;\
    32 connection reset by the receiver;\
    38 not in this kernel;\
    90 message too long;\
    97 address family not in this kernel;\
    99 address not available;\
    100 network is down;\
    101 network unreachable;\
    104 connection reset by the receiver;\
    105 out of buffers;\
    110 timed out;\
    111 connection refused;\
    113 no route to host;\
";

fn errno_words(errno: u16) -> &'static [u8] {
    let mut rest = ERRNOS.as_bytes();
    while let Some((entry, after)) = cut(rest, b';') {
        if let Some((known, words)) = cut(entry, b' ')
            && number(known) == Some(u32::from(errno))
        {
            return words;
        }
        rest = after;
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::said;

    #[test]
    fn names_step_words_and_number() {
        assert_eq!(said(Step::Connect.failed(111)), "connect: connection refused (errno 111)");
        assert_eq!(said(Error::log_ends()), "read /dev/kmsg: it has an end, so it is not the kernel's log");
        assert_eq!(said(Errno(4242)), "errno 4242");
        assert_eq!(Step::MakeChannel.words(), b"make a channel", "no name holds a comma");
    }

    #[test]
    fn an_error_is_small() {
        assert_eq!(size_of::<Result<()>>(), 4);
        let error = Step::MakeChannel.failed(u16::MAX);
        assert!(error.is(Step::MakeChannel) && error.errno() == u16::MAX);
    }
}
