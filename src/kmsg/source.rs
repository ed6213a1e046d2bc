//! Where records come from: one read of `/dev/kmsg` each, counted.
//!
//! The ring is the queue. A record is read only when there is room for it, and what the ring drops meanwhile
//! shows as a gap in the numbers, which is given to the caller at its place. Going back means going to the oldest
//! record and passing over those that are not wanted again.

use rustix::fd::BorrowedFd;
use rustix::fs::{SeekFrom, seek};
use rustix::io::{Errno, read};

use super::record::{Prefix, Record};
use crate::error::{Result, Step};
use crate::limits::RECORD_BYTES_MAX;
use crate::sys::{At, failed};

/// What a read buffer must hold.
pub type ReadBuffer = [u8; RECORD_BYTES_MAX];

/// The kernel's log as a stream of records and gaps.
pub struct Source {
    fd: BorrowedFd<'static>,
    buffer: &'static mut ReadBuffer,
    /// Bytes in the buffer that are read and not given out yet.
    held: usize,
    /// The number that the next record should have; none: whatever comes first.
    next: Option<u64>,
    /// Going back: records before `next` are passed over.
    back: bool,
}

/// What comes next.
#[derive(Debug)]
pub enum Next<'a> {
    /// A record, or bytes that are none.
    Record(Record<'a>),
    /// Records that the ring no longer has, first and last. The one after them follows, and its time stamp is here.
    Gap {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
        /// The stamp of the record that follows.
        clock_us: u64,
    },
    /// Nothing yet.
    Empty,
}

impl Source {
    /// Reads from `fd`, which is opened for reading without blocking, at its oldest record. `next` is the number
    /// of the first record that is wanted: those before it are passed over, and a later one is a gap.
    pub fn new(fd: BorrowedFd<'static>, buffer: &'static mut ReadBuffer, next: Option<u64>) -> Source {
        Source { fd, buffer, held: 0, next, back: next.is_some() }
    }

    /// What to wait on for more.
    pub fn fd(&self) -> BorrowedFd<'static> {
        self.fd
    }

    /// The number of the record that comes next, if the kernel has it.
    pub fn next_seq(&self) -> Option<u64> {
        self.next
    }

    /// The number of the last record that was given out or passed over.
    pub fn last_seq(&self) -> Option<u64> {
        self.next?.checked_sub(1)
    }

    /// Goes back to record `seq`, or to the oldest that is left after it.
    pub fn back_to(&mut self, seq: u64) -> Result<()> {
        seek(self.fd, SeekFrom::Start(0)).at(Step::GoBack)?;
        self.held = 0;
        self.next = Some(seq);
        self.back = true;
        Ok(())
    }

    /// Record `seq` is the next that is wanted: those before it are passed over, and if it is gone, that is a gap.
    pub fn skip_to(&mut self, seq: u64) {
        self.next = Some(seq);
        self.back = true;
    }

    /// The number of the oldest wanted record that the ring has, without taking it; none when it has none yet.
    pub fn peek(&mut self) -> Result<Option<u64>> {
        while self.hold()? {
            match Prefix::parse(&self.buffer[..self.held]) {
                Some(prefix) if self.unwanted(prefix.seq) => self.held = 0,
                Some(prefix) => return Ok(Some(prefix.seq)),
                None => return Ok(self.next),
            }
        }
        Ok(None)
    }

    /// Gives what comes next. `room` says whether a record can be taken: when not, it stays for the next call,
    /// and `None` is given.
    #[inline(never)]
    pub fn take(&mut self, room: &dyn Fn(&Record<'_>) -> bool) -> Result<Option<Next<'_>>> {
        let prefix = loop {
            if !self.hold()? {
                return Ok(Some(Next::Empty));
            }
            match Prefix::parse(&self.buffer[..self.held]) {
                Some(prefix) if self.unwanted(prefix.seq) => self.held = 0,
                prefix => break prefix,
            }
        };
        let bytes = &self.buffer[..self.held];
        let record = match prefix {
            Some(Prefix { seq, clock_us, .. }) if self.next.is_some_and(|next| next < seq) => {
                let from = self.next.replace(seq).unwrap_or(seq);
                return Ok(Some(Next::Gap { from, to: seq - 1, clock_us }));
            }
            Some(prefix) => prefix.record(bytes),
            None => Record::broken(bytes),
        };
        if !room(&record) {
            return Ok(None);
        }
        self.held = 0;
        if matches!(record.body, super::record::Body::Escaped { .. }) {
            self.next = Some(record.seq.saturating_add(1));
            self.back = false;
        }
        Ok(Some(Next::Record(record)))
    }

    fn unwanted(&self, seq: u64) -> bool {
        self.back && self.next.is_some_and(|next| seq < next)
    }

    /// Reads a record, unless one is held. `false`: there is none.
    fn hold(&mut self) -> Result<bool> {
        while self.held == 0 {
            match read(self.fd, &mut self.buffer[..]) {
                // The device has no end; a file in its place has.
                Ok(0) | Err(Errno::AGAIN) => return Ok(false),
                Ok(len) => self.held = len,
                // Overrun: the next read gives the oldest record left. Too large: that record is gone.
                // Either shows as a gap in the numbers.
                Err(Errno::PIPE | Errno::INVAL | Errno::INTR) => {}
                Err(errno) => return Err(failed(Step::ReadKmsg, errno)),
            }
        }
        Ok(true)
    }
}
