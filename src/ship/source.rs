//! What is to be sent: records of the kernel's log as lines in the batch, where each stands, and going back in the log.

use rustix::fd::BorrowedFd;

use crate::logger::{error, warn};

use super::identity::Identity;
use super::kept_lines::{KeptLines, Place};
use super::line_writer::LineWriter;
use super::reader::{Next, Reader};
use super::{Job, SourceBuffers};
use crate::sys::time;
use earlykmsg::address::Address;
use earlykmsg::config::endpoint::{Endpoint, Format, Transport};
use earlykmsg::delivery::batch::{Batch, MadeOf};
use earlykmsg::delivery::ledger::Ledger;
use earlykmsg::delivery::progress::Progress;
use earlykmsg::error::Result;
use earlykmsg::limits::{
    ANSWERS_BYTES, COUNT_MS, FILL_RECORDS_MAX, LEDGER_STEP_BYTES, LOST_LINE_BYTES_MAX, TAGS_BYTES_MAX,
    UDP_LEDGER_STEP_MS,
};
use earlykmsg::line::{Encoder, Fate, Loss, Records};
use earlykmsg::pstore::noted_line;
use earlykmsg::record::clock::{StampOffset, WallOffset};
use earlykmsg::record::{Level, Record};

/// The log of the kernel as one destination gets it.
pub struct Source<'a> {
    /// The lines that wait to be sent.
    pub batch: Batch,
    /// Which record stands where in what was sent, and which of the kept lines.
    pub ledger: Ledger,
    /// The lines that pstore kept.
    pub kept: KeptLines,
    /// Where the last of them ends, once it was sent.
    kept_end: Option<u64>,
    /// The kernel's log had nothing more when it was last read.
    pub ring_is_empty: bool,
    endpoint: &'a Endpoint<'a>,
    level: Level,
    stamp: StampOffset,
    /// The first record of which no byte was ever sent.
    unsent: Option<u64>,
    /// The last record that was to be shipped, of those that were read.
    last_wanted: Option<u64>,
    reader: Reader<'a>,
    encoder: &'a mut Encoder,
    identity: Identity<'a>,
    wall: WallOffset,
    progress: Progress,
}

/// How many lines [`Source::fill`] may put into the batch, and where the first one will stand.
#[derive(Clone, Copy, Debug)]
pub struct Filling {
    /// The position of the first line, where it is known before the line is sent: the ledger notes it.
    pub position: Option<u64>,
    /// The most lines.
    pub lines: usize,
}

impl<'a> Source<'a> {
    /// Begins where the job says.
    pub fn new(job: Job<'a>, kmsg: BorrowedFd<'static>, buffers: &'static mut SourceBuffers) -> Source<'a> {
        let ledger_step = match job.endpoint.transport {
            Transport::Tcp => LEDGER_STEP_BYTES,
            Transport::Udp => UDP_LEDGER_STEP_MS,
        };
        let mut source = Source {
            batch: Batch::new(&mut buffers.batch),
            ledger: Ledger::new(ledger_step, &mut buffers.marks),
            kept: KeptLines::new(job.kept, job.first, &mut buffers.kept_item),
            kept_end: None,
            ring_is_empty: false,
            endpoint: job.endpoint,
            level: job.level,
            stamp: job.stamp,
            unsent: job.unsent.or(job.first),
            last_wanted: None,
            reader: Reader::new(kmsg, &mut buffers.record, job.saved, job.first, job.oldest_at_start),
            encoder: &mut buffers.encoder,
            identity: job.identity,
            wall: WallOffset(0), // it is measured before a record is encoded
            progress: job.progress,
        };
        source.encoder.set_format(job.endpoint.format, job.endpoint.transport);
        // The first lines carry what is known of the machine.
        source.identity.refresh_hostname();
        source.apply_tags();
        source
    }

    /// Reads the wall clock and the machine's name: what is encoded from now on carries them.
    pub fn refresh_machine(&mut self) {
        self.wall.follow(self.stamp, time::reading());
        if self.identity.refresh_hostname() {
            self.apply_tags();
        }
    }

    /// Has the tags name the interface by which the receiver is reached. `answers` is room for what the kernel says.
    pub fn refresh_mac(&mut self, to: Address, answers: &mut [u8; ANSWERS_BYTES]) {
        if self.identity.refresh_mac(to, answers) {
            self.apply_tags();
        }
    }

    fn apply_tags(&mut self) {
        let left_out = self.identity.apply(self.encoder);
        if left_out > 0 {
            let endpoint = self.endpoint;
            let or_name = match endpoint.format {
                Format::Json => "",
                Format::Syslog => ", or a name that syslog does not allow,",
            };
            warn!(
                "{endpoint}: {left_out} tags have no room in {TAGS_BYTES_MAX} bytes{or_name} and are left out"
            );
        }
    }

    /// Reads and encodes what pstore kept and what the log has, as far as the batch takes it. The batch is empty before. It
    /// stays empty when none of the next [`FILL_RECORDS_MAX`] records is to be shipped: a process that writes such records
    /// faster than they are read would keep the shipper from everything else.
    pub fn fill(&mut self, filling: Filling) -> Result<()> {
        self.ring_is_empty = false;
        let kept_are_due = self.kept.are_due(self.reader.next_seq());
        let mut writer = LineWriter {
            batch: &mut self.batch,
            ledger: &mut self.ledger,
            encoder: self.encoder,
            wall: self.wall,
            begin: filling.position,
            unsent: self.unsent,
        };
        for _ in 0..FILL_RECORDS_MAX {
            let has_lines = !writer.batch.is_empty();
            let room = writer.batch.room().len();
            // A gap may take two lines. Room for them is kept, so that a gap never has to be put back.
            if has_lines && writer.batch.lines() >= filling.lines || room < 2 * LOST_LINE_BYTES_MAX {
                break;
            }
            // What pstore kept is never in one batch with records.
            if self.kept.are_due(self.reader.next_seq()) != kept_are_due {
                break;
            }
            if kept_are_due {
                let Some(line) = self.kept.peek() else { break };
                if line.record.level <= self.level && !writer.write_kept(&line) {
                    break;
                }
                let text_bytes = line.record.body.bytes().len();
                self.kept.advance(text_bytes);
                if !self.kept.has_more() {
                    self.kept_end = writer.position();
                }
                continue;
            }
            match self.reader.take(&|record| writer.encoder.bytes_max(record) <= room) {
                // What was read before is sent first.
                Err(_) if has_lines => break,
                Err(error) => return Err(error),
                Ok(Next::TooLarge) => break,
                Ok(Next::Empty) => {
                    self.ring_is_empty = true;
                    break;
                }
                Ok(Next::Record(record)) if record.level > self.level => continue,
                Ok(Next::Record(record)) => writer.write_record(&record),
                Ok(Next::Gap(gap)) => writer.write_gap(gap),
            }
            self.last_wanted = self.reader.last_seq();
        }
        if self.batch.is_empty() {
            // What was read is not to be shipped: nobody misses it.
            self.note_sent();
        }
        Ok(())
    }

    /// A connection begins: what waits in the batch is the first that it carries.
    pub fn begin_connection(&mut self) {
        self.ledger.clear();
        for (begins, made_of) in self.batch.waiting_lines() {
            self.ledger.note(begins as u64, made_of.seq);
        }
        // If the last of the kept lines was made and has not arrived, it is the last that waits.
        self.kept_end = self.kept_end.map(|_| self.batch.waiting().len() as u64);
    }

    /// What pstore kept has come, so many bytes: it stands before the next record.
    pub fn open_kept(&mut self, bytes: u64) {
        self.kept.open(bytes, self.reader.next_seq());
    }

    /// Whether this is the first that is heard of it that the receiver has all lines that pstore kept: it has all up to
    /// `position`.
    pub fn kept_have_arrived(&mut self, position: u64) -> bool {
        self.kept_end.take_if(|end| *end <= position).is_some()
    }

    /// Puts a report before all lines that wait, which are whole.
    pub fn push_front(&mut self, loss: Loss, clock_us: u64) {
        let mut line = [0; LOST_LINE_BYTES_MAX];
        let len = loss.encode(self.encoder, &mut line, clock_us, self.wall);
        let line = len.and_then(|len| line.get(..len));
        let made_of = MadeOf { seq: loss.from, clock_us };
        if !line.is_some_and(|line| self.batch.push_front(line, made_of)) {
            // There is always room: `fill` leaves some.
            warn!("{loss}");
        }
    }

    /// Goes back so that everything that was sent from `position` on is sent again, as far as it is still there: in the
    /// log or, if the log has already dropped it, in the batch. What is not sent again, from `possibly_lost` on, is
    /// reported. Lines that pstore kept are always still there.
    pub fn rewind_to(&mut self, position: u64, possibly_lost: Option<u64>) -> Result<()> {
        self.batch.keep_whole_lines();
        let Some(first) = self.ledger.record_at(position) else { return Ok(()) };
        let possibly_lost = self.kept.place(possibly_lost.unwrap_or(first));
        let first = self.kept.place(first);
        self.ledger.clear();
        self.rewind_kept_to(first.line, possibly_lost.line);
        let (first, possibly_lost) = (first.record, possibly_lost.record);
        let kept = self.batch.first().map(|of| of.seq);
        let next = self.reader.next_seq();
        let oldest = match self.reader.rewind_to(first) {
            Ok(()) => self.reader.peek()?,
            // Not the device, but something in its place that cannot go back.
            Err(_) => None,
        };
        if let Some(oldest) = oldest
            && kept.is_none_or(|kept| oldest <= kept)
        {
            self.batch.clear();
            // The record that was looked at is held: what is missing before it is a gap.
            self.reader.skip_to(possibly_lost);
            return Ok(());
        }
        let next = next.unwrap_or(first);
        self.kept.put_off(next);
        if oldest.is_some() {
            self.reader.skip_to(next);
        }
        let end = kept.unwrap_or(next);
        if possibly_lost < end {
            let clock_us = self.batch.first().map_or(0, |of| of.clock_us);
            self.push_front(Loss { from: possibly_lost, to: end - 1, fate: Fate::PossiblyLost }, clock_us);
        }
        Ok(())
    }

    /// Goes back to this line, of those that pstore kept, and reports those before it, from `possibly_lost` on.
    fn rewind_kept_to(&mut self, line: u64, possibly_lost: u64) {
        if possibly_lost < line {
            let (endpoint, last) = (self.endpoint, line - 1);
            warn!(
                "{endpoint}: possibly lost: lines {possibly_lost}-{last} that pstore kept, sent but perhaps unread"
            );
        }
        if self.batch.first().is_some_and(|of| noted_line(of.seq).is_some()) {
            self.batch.clear();
        }
        self.kept.rewind_to(line);
        self.kept_end = None;
    }

    /// Something of the batch was sent.
    pub fn note_sent(&mut self) {
        // A line that is half written counts as sent.
        let untouched = self.batch.untouched().map(|of| self.kept.place(of.seq).record);
        let unsent = untouched.or(self.reader.next_seq());
        if let Some(unsent) = unsent
            && self.unsent.is_none_or(|before| before < unsent)
        {
            self.unsent = Some(unsent);
        }
        self.progress.set_unsent(self.unsent);
        if self.progress.resume().is_none() {
            self.note_progress(Some(0));
        }
    }

    /// Notes where a successor would have to begin: at `position` of what is being sent, or at what waits.
    pub fn note_progress(&self, position: Option<u64>) {
        let sent = position.and_then(|position| self.ledger.record_at(position));
        let waiting = || self.batch.first().map(|of| of.seq);
        let begin = sent.or_else(waiting).map(|noted| self.kept.place(noted));
        self.progress.set_resume(begin.map(|place| place.record).or(self.reader.next_seq()));
        self.progress.set_kept_resume(begin.map_or(self.kept.next(), |place| place.line));
    }

    /// The last record that was read; 0: none.
    pub fn last_seq(&self) -> u64 {
        self.reader.last_seq().unwrap_or(0)
    }

    /// Drops what waits and looks at the records that the log still has. Returns those that were to be shipped, from
    /// `unacknowledged` on, and whether that is all: there may be more that were written meanwhile.
    pub fn give_up(&mut self, unacknowledged: Option<u64>) -> Result<(Option<Records>, bool)> {
        self.batch.keep_whole_lines();
        let waiting = self.batch.first().map(|of| of.seq);
        self.batch.clear();
        let place = unacknowledged.or(waiting).map(|noted| self.kept.place(noted));
        let line = place.map_or(self.kept.next(), |place| place.line);
        if line < self.kept.next() || self.kept.has_more() {
            let endpoint = self.endpoint;
            error!("{endpoint}: not acknowledged: what pstore kept, from line {line} on");
        }
        let mut first = place.map(|Place { record, .. }| record);
        let is_complete = self.count_unread(&mut first)?;
        let (Some(from), Some(to)) = (first, self.last_wanted) else { return Ok((None, is_complete)) };
        Ok(((from <= to).then_some(Records { from, to }), is_complete))
    }

    /// Looks at the records that the log still has: `first` is the first of them that was to be shipped, unless there was
    /// one before. Returns whether that was all: a process that writes faster than this reads must not hold up the end.
    fn count_unread(&mut self, first: &mut Option<u64>) -> Result<bool> {
        let until_ms = time::now_ms() + COUNT_MS;
        loop {
            for _ in 0..FILL_RECORDS_MAX {
                let wanted = match self.reader.take(&|_| true)? {
                    Next::Empty => return Ok(true),
                    Next::TooLarge => return Ok(false),
                    Next::Record(Record { level, .. }) if level > self.level => continue,
                    Next::Gap(gap) => Some(gap.from),
                    Next::Record(_) => self.reader.last_seq(),
                };
                *first = first.or(wanted);
                self.last_wanted = self.reader.last_seq();
            }
            if time::now_ms() >= until_ms {
                return Ok(false);
            }
        }
    }
}
