//! The programs beside this one that the watcher starts where they are asked for and lie in the image.
//!
//! Each is a file of its own, so that machines which do not need it carry nothing of it. Nobody waits for it.

use core::ffi::CStr;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::Origin;
use super::child::send;
use crate::exit;
use crate::logger::{self, error, warn};
use crate::sys::At;
use crate::sys::args::Args;
use crate::sys::fds::keep;
use crate::sys::process::{self, Fork, exec_file, fork};
use earlykmsg::channel::Message;
use earlykmsg::config::Options;
use earlykmsg::error::{Error, Result, Step};
use earlykmsg::limits::FILE_PIECE_BYTES;
use earlykmsg::text::{Quoted, as_str};

/// Such a program.
pub struct Program {
    /// Where it lies in an image.
    pub path: &'static CStr,
    /// What does not happen without it, for a message.
    pub without: &'static str,
}

impl Program {
    /// Starts it, if the image has it; `word` asks for it. Its standard error is `output`, if it has any. Returns the
    /// channel to it.
    pub fn start(
        &self,
        word: &[u8],
        options: &Options<'_>,
        origin: Origin<'_>,
        output: Option<BorrowedFd<'static>>,
    ) -> Option<OwnedFd> {
        let Program { path, without } = self;
        let Ok(file) = openat(CWD, *path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else {
            let (word, path) = (Quoted(word), as_str(path.to_bytes()));
            warn!("{word}= is set, but the image has no {path}: {without}");
            return None;
        };
        let start = self.fork(keep(file), options, origin, output);
        start.inspect_err(|error| self.log_failure(*error)).ok()
    }

    fn fork(
        &self,
        file: BorrowedFd<'static>,
        options: &Options<'_>,
        origin: Origin<'_>,
        output: Option<BorrowedFd<'static>>,
    ) -> Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (channel, its_end) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).at(Step::OpenChannel)?;
        send_cmdline(channel.as_fd(), options, origin);
        match fork()? {
            Fork::Parent(_) => Ok(channel),
            Fork::Child => {
                self.log_failure(become_program(file, keep(its_end), output));
                process::exit(exit::SOFTWARE)
            }
        }
    }

    fn log_failure(&self, error: Error) {
        let (path, without) = (as_str(self.path.to_bytes()), self.without);
        error!("{path}: {error}; {without}");
    }
}

/// Sends the words: those of the kernel's command line, and those that the program was started with by an init script.
fn send_cmdline(channel: BorrowedFd<'_>, options: &Options<'_>, origin: Origin<'_>) {
    let send = |text: &[u8]| {
        text.chunks(FILE_PIECE_BYTES).for_each(|piece| send(channel, Message::Cmdline(piece)));
    };
    send(options.cmdline);
    if let (Origin::Background { .. }, Some(args)) = (origin, Args::again()) {
        for arg in args.iter().skip(1) {
            send(b" ");
            send(arg.to_bytes());
        }
    }
    self::send(channel, Message::Cmdline(b""));
}

/// Becomes the program: its standard input is the channel, and its standard output the kernel's log, or the console where
/// that cannot be written. Returns only when that failed.
fn become_program(
    program: BorrowedFd<'static>,
    channel: BorrowedFd<'static>,
    output: Option<BorrowedFd<'static>>,
) -> Error {
    let log = logger::kernel_log().or(logger::stderr()).unwrap_or(channel);
    // First all of them out of each other's way: any may be 0, 1 or 2.
    let moved = [program, channel, log, output.unwrap_or(log)].map(|fd| fcntl_dupfd_cloexec(fd, 3).map(keep));
    let [Ok(program), Ok(channel), Ok(log), Ok(output_or_log)] = moved else {
        return Step::OpenChannel.failed(Errno::MFILE.raw_os_error());
    };
    logger::use_kernel_log(log); // for what is said if this fails
    let _ = (dup2_stdin(channel), dup2_stdout(log));
    if output.is_some() {
        let _ = dup2_stderr(output_or_log);
    }
    // Named as this process is, which systemd's initrd spares.
    exec_file(program, c"@earlykmsg")
}
