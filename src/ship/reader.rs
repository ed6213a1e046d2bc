//! Reads `/dev/kmsg`: one record a read, with its sequence number followed.
//!
//! The ring is the queue. A record is read only when there is room for it, and what the ring drops meanwhile
//! shows as a gap in the numbers, which is given to the caller at its place. Going back means going to the oldest
//! record and passing over those that are not wanted again.
//!
//! The oldest records may have been kept before the program wrote its first line (see `watch::kernel_log`). They come
//! first, and then what the ring has behind them.

use rustix::fd::BorrowedFd;
use rustix::fs::{SeekFrom, seek};
use rustix::io::{Errno, read};

use crate::sys::{At, failed};
use earlykmsg::error::{Errno as Number, Result, Step};
use earlykmsg::limits::RECORD_BYTES_MAX;
use earlykmsg::record::saved::{Records, Saved};
use earlykmsg::record::{Body, Prefix, Record};

/// What a read buffer must hold.
pub type ReadBuffer = [u8; RECORD_BYTES_MAX];

/// Reads the next record into `buffer`; none: there is no record now.
pub fn read_record<'b>(fd: BorrowedFd<'_>, buffer: &'b mut ReadBuffer) -> Result<Option<&'b [u8]>> {
    loop {
        match read(fd, &mut buffer[..]) {
            // The kernel's log has no end: something else is in its place.
            Ok(0) => return Err(Step::KmsgEnded.failed(Number::NONE)),
            Ok(len) => return Ok(buffer.get(..len)),
            Err(Errno::AGAIN) => return Ok(None),
            // Overrun: the next read gives the oldest record left. Too large: that record is gone.
            // Either shows as a gap in the numbers.
            Err(Errno::PIPE | Errno::INVAL | Errno::INTR) => {}
            Err(errno) => return Err(failed(Step::ReadKmsg, errno)),
        }
    }
}

/// The kernel's log as a stream of records and gaps.
pub struct Reader<'a> {
    fd: BorrowedFd<'static>,
    buffer: &'a mut ReadBuffer,
    /// Bytes in the buffer that are read and not given out yet.
    pending: usize,
    saved: &'a Saved,
    /// Those of `saved` that are still to come.
    saved_left: Records<'a>,
    /// The record in the buffer is one of `saved`.
    from_saved: bool,
    /// The number that the next record should have; none: whatever comes first.
    next: Option<u64>,
    /// Records before `next` are passed over.
    skipping: bool,
    /// The oldest record that the ring had when the program started.
    oldest_at_start: u64,
}

/// What comes next.
#[derive(Debug)]
pub enum Next<'a> {
    /// A record, or bytes that are none.
    Record(Record<'a>),
    /// Records that are gone. What follows them is still to come.
    Gap(Gap),
    /// A record that does not fit. It stays for the next call.
    TooLarge,
    /// Nothing yet.
    Empty,
}

/// Records that are gone.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
    /// The stamp of the record that follows.
    pub clock_us: u64,
    /// Why they are gone.
    pub cause: GapCause,
}

/// Why records are gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GapCause {
    /// The ring had dropped them when the program started.
    BeforeStart,
    /// The ring dropped them before they were read.
    Overwritten,
}

impl<'a> Reader<'a> {
    /// Begins with the records of `saved` and goes on with `fd`, which is opened for reading without blocking, at its
    /// oldest record. `next` is the number of the first record that is wanted: those before it are passed over, and a
    /// later one is a gap. `oldest_at_start` tells the two causes of gaps apart.
    pub fn new(
        fd: BorrowedFd<'static>,
        buffer: &'a mut ReadBuffer,
        saved: &'a Saved,
        next: Option<u64>,
        oldest_at_start: u64,
    ) -> Reader<'a> {
        let skipping = next.is_some();
        let saved_left = saved.records();
        Reader {
            fd,
            buffer,
            pending: 0,
            saved,
            saved_left,
            from_saved: false,
            next,
            skipping,
            oldest_at_start,
        }
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
    pub fn rewind_to(&mut self, seq: u64) -> Result<()> {
        seek(self.fd, SeekFrom::Start(0)).at(Step::SeekKmsg)?;
        self.saved_left = self.saved.records();
        self.pending = 0;
        self.skip_to(seq);
        Ok(())
    }

    /// Record `seq` is the next that is wanted: those before it are passed over, and if it is gone, that is a gap.
    pub fn skip_to(&mut self, seq: u64) {
        self.next = Some(seq);
        self.skipping = true;
    }

    /// The number of the oldest wanted record that there is, without taking it; none when there is none yet.
    pub fn peek(&mut self) -> Result<Option<u64>> {
        while self.fetch()? {
            match Prefix::parse(self.pending()) {
                Some(prefix) if self.is_skipped(prefix.seq) => self.pending = 0,
                Some(prefix) => return Ok(Some(prefix.seq)),
                None => return Ok(self.next),
            }
        }
        Ok(None)
    }

    /// Gives what comes next. `fits` tells whether a record can be taken.
    pub fn take(&mut self, fits: &dyn Fn(&Record<'_>) -> bool) -> Result<Next<'_>> {
        let prefix = loop {
            if !self.fetch()? {
                return Ok(Next::Empty);
            }
            match Prefix::parse(self.pending()) {
                Some(prefix) if self.is_skipped(prefix.seq) => self.pending = 0,
                prefix => break prefix,
            }
        };
        if let Some(Prefix { seq, clock_us, .. }) = prefix
            && let Some(from) = self.next
            && from < seq
        {
            let (after, cause) = if from < self.oldest_at_start {
                (seq.min(self.oldest_at_start), GapCause::BeforeStart)
            } else {
                (seq, GapCause::Overwritten)
            };
            self.next = Some(after);
            return Ok(Next::Gap(Gap { from, to: after - 1, clock_us, cause }));
        }
        let bytes = self.buffer.get(..self.pending).unwrap_or_default();
        let record = match prefix {
            Some(prefix) => prefix.record(bytes),
            None => Record::broken(bytes),
        };
        if !fits(&record) {
            return Ok(Next::TooLarge);
        }
        self.pending = 0;
        if matches!(record.body, Body::Escaped { .. }) {
            self.next = Some(record.seq.saturating_add(1));
            // The ring may still have what was kept, and gives it again.
            self.skipping = self.from_saved;
        }
        Ok(Next::Record(record))
    }

    fn is_skipped(&self, seq: u64) -> bool {
        self.skipping && self.next.is_some_and(|next| seq < next)
    }

    /// The record in the buffer; empty: there is none.
    fn pending(&self) -> &[u8] {
        self.buffer.get(..self.pending).unwrap_or_default()
    }

    /// Has a record in the buffer, unless there is none: `false`.
    fn fetch(&mut self) -> Result<bool> {
        if self.pending > 0 {
            return Ok(true);
        }
        if let Some(record) = self.saved_left.next()
            && let Some(place) = self.buffer.get_mut(..record.len())
        {
            place.copy_from_slice(record);
            self.pending = record.len();
            self.from_saved = true;
            return Ok(true);
        }
        self.from_saved = false;
        self.pending = read_record(self.fd, self.buffer)?.map_or(0, <[u8]>::len);
        Ok(self.pending > 0)
    }
}
