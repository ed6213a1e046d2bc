//! The program's own messages: a line each in the kernel's log and, when started by hand, on stderr.
//!
//! They reach the receiver in the same stream as everything else, of facility `user`. `error!`, `warn!` and `info!` are
//! used as those of the `log` crate, which note the module, file and line of every call besides: 5 KiB that nobody reads.

use core::fmt::{self, Arguments, Write};

use heapless::Vec;
use log::{Level, Log, Metadata, Record};
use rustix::event::PollFlags;
use rustix::fd::BorrowedFd;
use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::write;

use crate::kernel_fs::KernelFs;
use crate::sys::fds::{keep, standard_stream};
use crate::sys::memory::SharedFd;
use crate::sys::wait::{Awaited, wait};
use earlykmsg::limits::MESSAGE_BYTES_MAX;

static KERNEL_LOG: SharedFd = SharedFd::none();
static STDERR: SharedFd = SharedFd::none();

/// The facility `user`, as the kernel's log has it: the level is added.
const FACILITY_USER: u8 = 1 << 3;

/// Has messages written where the functions below say.
pub fn install() {
    // It fails only when there is a logger already.
    let _ = log::set_logger(&Logger);
}

/// Logs what went wrong and what follows from it.
#[macro_export]
macro_rules! error {
    ($($message:tt)+) => { $crate::logger::submit(::log::Level::Error, format_args!($($message)+)) };
}

/// Logs what went wrong and will be tried again.
#[macro_export]
macro_rules! warning {
    ($($message:tt)+) => { $crate::logger::submit(::log::Level::Warn, format_args!($($message)+)) };
}

/// Logs what happened.
#[macro_export]
macro_rules! info {
    ($($message:tt)+) => { $crate::logger::submit(::log::Level::Info, format_args!($($message)+)) };
}

pub use crate::{error, info, warning as warn};

/// Hands a message to the logger.
pub fn submit(level: Level, message: Arguments<'_>) {
    log::logger().log(&Record::builder().level(level).args(message).build());
}

/// From now on, messages go into the kernel's log through `kmsg`.
pub fn use_kernel_log(kmsg: BorrowedFd<'static>) {
    KERNEL_LOG.set(Some(kmsg));
}

/// Where messages go into the kernel's log.
pub fn kernel_log() -> Option<BorrowedFd<'static>> {
    KERNEL_LOG.get()
}

/// From now on, messages go to stderr as well.
///
/// A pipe or a terminal is opened anew, so that no write to it waits: others share the inherited open file description,
/// and its flags are theirs. Where it cannot be opened (a socket, another user's pipe), the inherited one is used; then
/// another process may take the room between a look for it and a write. A file never lets anyone wait.
pub fn use_stderr(kernel_fs: &KernelFs) {
    let Some(inherited) = standard_stream(2) else { return };
    let kind = fstat(inherited).map(|stat| FileType::from_raw_mode(stat.st_mode));
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let own = match kind {
        Ok(FileType::Fifo | FileType::CharacterDevice) => kernel_fs.open_proc(c"self/fd/2", flags).ok(),
        _ => None,
    };
    STDERR.set(Some(own.map_or(inherited, keep)));
}

/// From now on, messages go to the kernel's log alone: stderr is closed.
pub fn forget_stderr() {
    STDERR.set(None);
}

/// From now on, messages go to the console as well: for a process that cannot write into the kernel's log.
pub fn use_console(console: BorrowedFd<'static>) {
    STDERR.set(Some(console));
}

/// Where messages go besides the kernel's log.
pub fn stderr() -> Option<BorrowedFd<'static>> {
    STDERR.get()
}

struct Logger;

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            Level::Error => 3,
            Level::Warn => 4,
            Level::Info => 6,
            Level::Debug | Level::Trace => 7,
        };
        let mut line = Line(Vec::new());
        // What does not fit is left out.
        let _ = write!(line, "<{}>", FACILITY_USER + level);
        let prefix = line.0.len();
        let _ = write!(line, "earlykmsg: {}", record.args());
        // Without its newline the kernel would hold the line back.
        let _ = line.0.push(b'\n');
        if let Some(kmsg) = KERNEL_LOG.get() {
            let _ = write(kmsg, &line.0);
        }
        write_to_stderr(line.0.get(prefix..).unwrap_or_default());
    }

    fn flush(&self) {}
}

/// Writes a line to stderr if that has room for it now. Nobody who reads there slowly may stop the program: a line that
/// has no room in a pipe or on a stopped terminal is left out, and stands in the kernel's log.
fn write_to_stderr(line: &[u8]) {
    let Some(stderr) = STDERR.get() else { return };
    let mut awaited = [Awaited::new(stderr, PollFlags::OUT)];
    wait(&mut awaited, 0);
    if awaited[0].events().contains(PollFlags::OUT) {
        let _ = write(stderr, line);
    }
}

/// A line of at most [`MESSAGE_BYTES_MAX`] bytes, and room for its newline.
struct Line(Vec<u8, { MESSAGE_BYTES_MAX + 1 }>);

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MESSAGE_BYTES_MAX - self.0.len();
        let fits = text.as_bytes().get(..room).unwrap_or(text.as_bytes());
        let _ = self.0.extend_from_slice(fits);
        if fits.len() == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}
