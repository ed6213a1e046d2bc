//! What went wrong: the step and the kernel's error number, in words that an operator understands.
//!
//! An error never decides anything. Its caller does: try again, give up one destination, or go on with the boot.

use core::fmt::{self, Display};

/// The result of a step.
pub type Result<T> = core::result::Result<T, Error>;

/// A step of the program that failed, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Error {
    /// What was being done.
    pub step: Step,
    /// The kernel's error number; 0 where there is none.
    pub errno: Errno,
}

impl Error {
    /// Whether it is about reading the kernel's log: then it is this machine's own, and no other connection would be
    /// better.
    pub fn is_of_kernel_log(self) -> bool {
        matches!(self.step, Step::ReadKmsg | Step::KmsgEnded)
    }
}

/// What can fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // the texts below explain them
pub enum Step {
    FindNextInit,
    ReachProc,
    OpenBelowProc,
    OpenKmsg,
    SeekKmsg,
    ReadKmsg,
    KmsgEnded,
    BlockSignals,
    ListenToSignals,
    Exec,
    Fork,
    AskState,
    Receive,
    MapShared,
    InstallFilter,
    Connect,
    SetUpSocket,
    Send,
    Close,
    OpenSocket,
    AddressDeleted,
    LookUpZone,
    LookUpName,
    HideFiles,
    DropGroups,
    DropGroupId,
    DropUserId,
    DropCapabilities,
    LimitResources,
    BecomeUndumpable,
    ForbidNewPrivileges,
    TakeBuffers,
    AwaitAnswer,
    OpenChannel,
    ReachSys,
    ReachPstore,
    KeepLines,
    RemoveFile,
}

impl Step {
    /// The step failed with this error number.
    pub fn failed(self, errno: impl Into<Errno>) -> Error {
        Error { step: self, errno: errno.into() }
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::FindNextInit => "find a next init",
            Step::ReachProc => "reach /proc",
            Step::OpenBelowProc => "open a file below /proc",
            Step::OpenKmsg => "open /dev/kmsg",
            Step::SeekKmsg => "go back in /dev/kmsg",
            Step::ReadKmsg => "read /dev/kmsg",
            Step::KmsgEnded => "read /dev/kmsg: it has an end, so it is not the kernel's log",
            Step::BlockSignals => "block signals",
            Step::ListenToSignals => "listen to signals",
            Step::Exec => "exec",
            Step::Fork => "start a process",
            Step::AskState => "ask for the state of the connection",
            Step::Receive => "receive",
            Step::MapShared => "map shared memory",
            Step::InstallFilter => "install the system-call filter",
            Step::Connect => "connect",
            Step::SetUpSocket => "set up a socket",
            Step::Send => "send",
            Step::Close => "close the connection",
            Step::OpenSocket => "open a socket",
            Step::AddressDeleted => "its own address was deleted",
            Step::LookUpZone => "look up the interface",
            Step::LookUpName => "look up the name",
            Step::HideFiles => "hide the file system",
            Step::DropGroups => "give up groups",
            Step::DropGroupId => "change the group id",
            Step::DropUserId => "change the user id",
            Step::DropCapabilities => "give up capabilities",
            Step::LimitResources => "limit resources",
            Step::BecomeUndumpable => "become undumpable",
            Step::ForbidNewPrivileges => "give up new privileges",
            Step::TakeBuffers => "take the buffers",
            Step::AwaitAnswer => "wait for an answer",
            Step::OpenChannel => "open a channel",
            Step::ReachSys => "reach /sys",
            Step::ReachPstore => "reach pstore",
            Step::KeepLines => "keep the lines of pstore",
            Step::RemoveFile => "remove a file",
        })
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            // Without a number; what the name servers answered is told beside it.
            Step::LookUpName | Step::KmsgEnded | Step::AddressDeleted => self.step.fmt(f),
            step => write!(f, "{step}: {}", self.errno),
        }
    }
}

/// An error number, shown in words where they are known, and always as the number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub i32);

impl Errno {
    /// There is no number: the other side closed the connection.
    pub const NONE: Errno = Errno(0);
}

impl From<i32> for Errno {
    fn from(errno: i32) -> Errno {
        Errno(errno)
    }
}

impl Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errno = self.0;
        match describe(errno) {
            Some(text) => write!(f, "{text} (errno {errno})"),
            None => write!(f, "errno {errno}"),
        }
    }
}

/// The numbers that the steps of this program meet.
fn describe(errno: i32) -> Option<&'static str> {
    Some(match errno {
        0 => "closed by the receiver",
        libc::EPERM => "not permitted",
        libc::ENOENT => "no such file",
        libc::ENOEXEC => "not an executable",
        libc::EAGAIN => "would have to wait",
        libc::ENOMEM => "out of memory",
        libc::EACCES => "permission denied",
        libc::EBUSY => "busy",
        libc::ENODEV => "no such device",
        libc::ENOTDIR => "not a directory",
        libc::EINVAL => "invalid argument",
        libc::ENFILE | libc::EMFILE => "too many open files",
        libc::ESPIPE => "cannot seek",
        libc::EPIPE | libc::ECONNRESET => "connection reset by the receiver",
        libc::ENOSYS => "not in this kernel",
        libc::EMSGSIZE => "message too long",
        libc::EAFNOSUPPORT => "address family not in this kernel",
        libc::EADDRNOTAVAIL => "address not available",
        libc::ENETDOWN => "network is down",
        libc::ENETUNREACH => "network unreachable",
        libc::ENOBUFS => "out of buffers",
        libc::ETIMEDOUT => "timed out",
        libc::ECONNREFUSED => "connection refused",
        libc::EHOSTUNREACH => "no route to host",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::ToString;

    #[test]
    fn names_step_words_and_number() {
        let refused = Step::Connect.failed(libc::ECONNREFUSED);
        assert_eq!(refused.to_string(), "connect: connection refused (errno 111)");
        assert_eq!(Step::OpenChannel.failed(4242).to_string(), "open a channel: errno 4242");
        assert_eq!(Step::Send.failed(Errno::NONE).to_string(), "send: closed by the receiver (errno 0)");
        assert_eq!(Step::LookUpName.failed(Errno::NONE).to_string(), "look up the name");
    }

    #[test]
    fn what_is_of_the_kernels_log() {
        assert!(Step::ReadKmsg.failed(libc::EIO).is_of_kernel_log());
        assert!(Step::KmsgEnded.failed(Errno::NONE).is_of_kernel_log());
        assert!(!Step::Send.failed(libc::EIO).is_of_kernel_log());
    }

    /// The numbers that Linux has on every machine that this program runs on.
    #[test]
    fn error_numbers_in_words() {
        for (errno, words) in [
            (1, "not permitted"),
            (2, "no such file"),
            (8, "not an executable"),
            (11, "would have to wait"),
            (12, "out of memory"),
            (13, "permission denied"),
            (16, "busy"),
            (19, "no such device"),
            (20, "not a directory"),
            (22, "invalid argument"),
            (23, "too many open files"),
            (24, "too many open files"),
            (29, "cannot seek"),
            (32, "connection reset by the receiver"),
            (38, "not in this kernel"),
            (90, "message too long"),
            (97, "address family not in this kernel"),
            (99, "address not available"),
            (100, "network is down"),
            (101, "network unreachable"),
            (104, "connection reset by the receiver"),
            (105, "out of buffers"),
            (110, "timed out"),
            (111, "connection refused"),
            (113, "no route to host"),
        ] {
            assert_eq!(Errno(errno).to_string(), format!("{words} (errno {errno})"));
        }
    }
}
