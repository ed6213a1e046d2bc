//! The lines that pstore kept of earlier boots, as a shipper gets them: a file that nobody can change any more.
//!
//! They stand before one record of the kernel's log, the one that was next when they came: behind the records before it,
//! and before all others. Going back in the log to a record that they stand behind means to send them again.

use heapless::Vec;
use rustix::fd::BorrowedFd;
use rustix::io::pread;

use crate::logger::error;
use crate::sys::failed;
use earlykmsg::error::Step;
use earlykmsg::limits::{PSTORE_LABEL_BYTES_MAX, PSTORE_LINE_BYTES_MAX};
use earlykmsg::pstore::item::{HEAD_BYTES, Item};
use earlykmsg::pstore::{KeptLine, noted_line};
use earlykmsg::record::clock::WallOffset;
use earlykmsg::record::{Body, Level, Record};

/// Room for any item of the file.
pub type ItemBuffer = [u8; HEAD_BYTES + PSTORE_LINE_BYTES_MAX];

/// What a shipper is given of them when it starts.
#[derive(Clone, Copy)]
pub struct KeptFile {
    /// The file; none: nothing was asked for.
    pub fd: Option<BorrowedFd<'static>>,
    /// How long it is; 0: it is not complete yet.
    pub bytes: u64,
    /// The first line that is wanted, when there was a shipper before.
    pub next: Option<u64>,
}

/// The lines, and which of them comes next.
pub struct KeptLines {
    file: KeptFile,
    /// The record that they stand before.
    before: u64,
    /// The number of the next line. Those before it are passed over.
    next: u64,
    /// Where the file is read next, and the number of the line that stands there.
    offset: u64,
    number: u64,
    /// What the last part said of its lines.
    wall: WallOffset,
    origin: Vec<u8, PSTORE_LABEL_BYTES_MAX>,
    buffer: &'static mut ItemBuffer,
}

/// Where something stands that is sent: before a record, and if that is the one that the kept lines stand before, before
/// one of those.
#[derive(Clone, Copy)]
pub struct Place {
    /// The record.
    pub record: u64,
    /// The line.
    pub line: u64,
}

impl KeptLines {
    /// The lines of a file, if it is complete: they stand before this record then.
    pub fn new(file: KeptFile, before: Option<u64>, buffer: &'static mut ItemBuffer) -> KeptLines {
        KeptLines {
            file,
            before: before.unwrap_or(0),
            next: file.next.unwrap_or(1),
            offset: 0,
            number: 1,
            wall: WallOffset(0),
            origin: Vec::new(),
            buffer,
        }
    }

    /// The file is complete now.
    pub fn open(&mut self, bytes: u64, before: Option<u64>) {
        (self.file.bytes, self.before) = (bytes, before.unwrap_or(0));
    }

    /// Whether there are lines that were not read.
    pub fn has_more(&self) -> bool {
        self.offset < self.file.bytes
    }

    /// Whether such a line comes before the record that the log has next.
    pub fn are_due(&self, record: Option<u64>) -> bool {
        self.has_more() && record.is_none_or(|record| record >= self.before)
    }

    /// The number of the next line.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The next line, which stays the next. `None`: there is none.
    pub fn peek(&mut self) -> Option<KeptLine<'_>> {
        let (clock_us, priority, end) = loop {
            let read = pread(self.file.fd?, &mut self.buffer[..], self.offset);
            if let Err(errno) = read {
                error!(
                    "{}; what pstore kept is lost from line {} on",
                    failed(Step::Receive, errno),
                    self.next
                );
            }
            let Some(item) = Item::decode(self.buffer.get(..read.unwrap_or(0))?) else {
                // They never count as acknowledged then.
                self.file.bytes = 0;
                return None;
            };
            match item {
                Item::Part { wall_us, origin } => {
                    self.wall = WallOffset(wall_us);
                    self.origin = Vec::from_slice(origin).unwrap_or_default();
                }
                Item::Line { .. } if self.number < self.next => self.number += 1,
                Item::Line { clock_us, priority, .. } => break (clock_us, u64::from(priority), item.bytes()),
            }
            self.offset += item.bytes() as u64;
        };
        let record = Record {
            level: Level::of(priority),
            facility: priority >> 3,
            seq: self.next,
            clock_us,
            more: b"",
            body: Body::Plain(self.buffer.get(HEAD_BYTES..end)?),
        };
        Some(KeptLine { record, wall: self.wall, origin: &self.origin })
    }

    /// The next line is done with; its text is so long.
    pub fn advance(&mut self, text_bytes: usize) {
        self.offset += (HEAD_BYTES + text_bytes) as u64;
        self.number += 1;
        self.next += 1;
    }

    /// Goes back to a line.
    pub fn rewind_to(&mut self, line: u64) {
        if line < self.next {
            (self.next, self.number, self.offset) = (line, 1, 0);
        }
    }

    /// Those that are left stand before this record now: others are sent before them that the log no longer has.
    pub fn put_off(&mut self, before: u64) {
        if self.has_more() {
            self.before = before;
        }
    }

    /// Where something stands that was noted by this number when it was sent.
    pub fn place(&self, noted: u64) -> Place {
        match noted_line(noted) {
            Some(line) => Place { record: self.before, line },
            None if noted < self.before => Place { record: noted, line: 1 },
            None => Place { record: noted, line: self.next },
        }
    }
}
