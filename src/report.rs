//! The program's own words: one line each, into the kernel's log and, by hand, to stderr.
//!
//! They reach the receiver in the same stream as everything else, of facility `user`.

use rustix::event::PollFlags;
use rustix::fd::BorrowedFd;
use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::write;

use crate::boot::kernel_fs::KernelFs;
use crate::kmsg::record::Level;
use crate::limits::{WORDS_BURST, WORDS_EVERY_MS};
use crate::sys::fds::keep;
pub use crate::sys::fds::standard_stream;
use crate::sys::memory::{Lent, Loan, SharedFd};
use crate::sys::process::exit;
use crate::sys::wait::{Awaited, wait};
use crate::watch::code;
use crate::words;
use crate::words::Line;

static KERNEL_LOG: SharedFd = SharedFd::none();
static STDERR: SharedFd = SharedFd::none();

/// Says what went wrong and what follows from it.
pub fn error(words: impl FnOnce(&mut Line)) {
    say(Level::ERR, words);
}

/// Says what went wrong and will be tried again.
pub fn warn(words: impl FnOnce(&mut Line)) {
    say(Level::WARNING, words);
}

/// Says what happened.
pub fn info(words: impl FnOnce(&mut Line)) {
    say(Level::INFO, words);
}

fn say(level: Level, words: impl FnOnce(&mut Line)) {
    let mut line = begin(level);
    words(&mut line);
    end(line);
}

/// What the kernel takes before the text: a number that holds facility user (1) and the level.
const NUMBER_BYTES: usize = b"<14>".len();

/// There are two lines: words about words come from a fault or a denied system call while a line is made, and after
/// those it is never finished.
#[inline(never)]
fn begin(level: Level) -> Loan<Line> {
    static LINES: [Lent<Line>; 2] = [const { Lent::new(Line::new()) }; 2];
    let Some(mut line) = LINES.iter().find_map(Lent::lend) else { exit(code::SOFTWARE) };
    line.clear();
    words!(&mut line, "<", 8 + level.number() as u64, ">earlykmsg: ");
    line
}

#[inline(never)]
fn end(mut line: Loan<Line>) {
    let line = line.ended();
    if let Some(kernel) = KERNEL_LOG.get() {
        let _ = write(kernel, line);
    }
    to_stderr(&line[NUMBER_BYTES..]);
}

/// Writes a line to stderr if that takes it now. Whoever reads there, or does not, stops nothing here: a line that has no
/// room in a pipe or on a stopped terminal is left out, and stands in the kernel's log.
fn to_stderr(line: &[u8]) {
    let Some(stderr) = STDERR.get() else { return };
    let mut awaited = [Awaited::new(stderr, PollFlags::OUT)];
    wait(&mut awaited, 0);
    if awaited[0].events().contains(PollFlags::OUT) {
        let _ = write(stderr, line);
    }
}

/// Words go into the kernel's log through `fd` from now on, or no longer.
pub fn to_kernel_log(fd: Option<BorrowedFd<'static>>) {
    KERNEL_LOG.set(fd);
}

/// The way into the kernel's log, if there is one.
pub fn kernel_log() -> Option<BorrowedFd<'static>> {
    KERNEL_LOG.get()
}

/// Words go to stderr as well.
///
/// A pipe or terminal is opened anew, so that no write to it waits: others share the opening that was inherited, and it is
/// theirs to say whether theirs do. Between a look for room and a write, somebody else may take the room. Where that cannot
/// be had (a socket, someone else's pipe), the inherited one has to do; a file never lets anyone wait.
pub fn begin_stderr(reach: &KernelFs) {
    let Some(inherited) = standard_stream(2) else { return };
    let kind = fstat(inherited).map(|stat| FileType::from_raw_mode(stat.st_mode));
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let own = match kind {
        Ok(FileType::Fifo | FileType::CharacterDevice) => reach.open_proc(c"self/fd/2", flags).ok(),
        _ => None,
    };
    STDERR.set(Some(own.map_or(inherited, keep)));
}

/// Words go to the console as well: for one who cannot write into the kernel's log.
pub fn to_console(console: BorrowedFd<'static>) {
    STDERR.set(Some(console));
}

/// Stderr, if words go there.
pub fn stderr() -> Option<BorrowedFd<'static>> {
    STDERR.get()
}

/// The last words of a program that found itself to be wrong. Needs nothing that could fail.
pub fn epitaph() {
    const WORDS: &str = "<11>earlykmsg: stopped by a fault of its own; please report this\n";
    if let Some(kernel) = KERNEL_LOG.get() {
        let _ = write(kernel, WORDS.as_bytes());
    }
    to_stderr(&WORDS.as_bytes()[NUMBER_BYTES..]);
}

/// Bounds how often something is said, so that no state can make the program talk without end: every line is
/// itself a record to be shipped.
#[derive(Debug)]
pub struct Rate {
    left: u32,
    counted_ms: u64,
}

impl Rate {
    /// A full measure.
    pub const fn new() -> Rate {
        Rate { left: WORDS_BURST, counted_ms: 0 }
    }

    /// Whether one more line may be said now.
    pub fn allows(&mut self, now_ms: u64) -> bool {
        let more = (now_ms - self.counted_ms) / WORDS_EVERY_MS;
        if more > 0 {
            self.left = WORDS_BURST.min(self.left.saturating_add(u32::try_from(more).unwrap_or(u32::MAX)));
            self.counted_ms = now_ms;
        }
        self.left = match self.left.checked_sub(1) {
            Some(left) => left,
            None => return false,
        };
        true
    }
}

impl Default for Rate {
    fn default() -> Self {
        Rate::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn talk_is_bounded() {
        let mut rate = Rate::new();
        let said = |rate: &mut Rate, now| (0..100).filter(|_| rate.allows(now)).count();
        assert_eq!(said(&mut rate, WORDS_EVERY_MS), WORDS_BURST as usize);
        assert_eq!(said(&mut rate, WORDS_EVERY_MS + 1), 0);
        assert_eq!(said(&mut rate, 2 * WORDS_EVERY_MS), 1);
        assert_eq!(said(&mut rate, 1000 * WORDS_EVERY_MS), WORDS_BURST as usize);
    }
}
