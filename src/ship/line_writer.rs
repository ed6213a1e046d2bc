//! Writes the lines of a record or a gap into the batch, and notes in the ledger where they stand.

use crate::logger::warn;

use super::reader::{Gap, GapCause};
use earlykmsg::delivery::batch::{Batch, MadeOf};
use earlykmsg::delivery::ledger::Ledger;
use earlykmsg::line::{Encoder, Fate, Loss};
use earlykmsg::pstore::{KeptLine, noted};
use earlykmsg::record::Record;
use earlykmsg::record::clock::WallOffset;

/// Where the next lines go, and what they are made with.
pub struct LineWriter<'a> {
    /// What takes them.
    pub batch: &'a mut Batch,
    /// What knows where they stand.
    pub ledger: &'a mut Ledger,
    /// What makes them.
    pub encoder: &'a mut Encoder,
    /// The wall clock.
    pub wall: WallOffset,
    /// Where the batch begins, where that is known before it is sent.
    pub begin: Option<u64>,
    /// The first record of which no byte was ever sent.
    pub unsent: Option<u64>,
}

impl LineWriter<'_> {
    /// The line of a record.
    pub fn write_record(&mut self, record: &Record<'_>) {
        let Record { seq, clock_us, .. } = *record;
        self.note(seq);
        // It was taken because it fits. If ever it does not, that is reported in its place.
        let len = self.encoder.encode(self.batch.room(), record, self.wall);
        if !len.is_some_and(|len| self.batch.push(len, MadeOf { seq, clock_us })) {
            let fate = Fate::Lost { why: "its line has no room" };
            self.push(Loss { from: seq, to: seq, fate }, clock_us);
        }
    }

    /// The line of one that pstore kept, if it fits.
    pub fn write_kept(&mut self, line: &KeptLine<'_>) -> bool {
        let room = self.batch.room();
        if room.len() <= self.encoder.kept_bytes_max(line) {
            return false;
        }
        let Record { seq, clock_us, .. } = line.record;
        let len = self.encoder.encode_kept(room, line).unwrap_or(0);
        self.note(noted(seq));
        self.batch.push(len, MadeOf { seq: noted(seq), clock_us })
    }

    /// The reports of records that are gone: those that were sent before may have arrived, the others have not.
    pub fn write_gap(&mut self, gap: Gap) {
        let Gap { from, to, clock_us, cause } = gap;
        self.note(from);
        let (unsent, why) = match cause {
            GapCause::BeforeStart => (from, "the kernel log buffer had overflowed before the start"),
            GapCause::Overwritten => (
                self.unsent.unwrap_or(from),
                "the kernel log buffer was overwritten before they could be sent",
            ),
        };
        let first_lost = unsent.max(from).min(to.saturating_add(1));
        if first_lost > from {
            self.push(Loss { from, to: first_lost - 1, fate: Fate::PossiblyLost }, clock_us);
        }
        if first_lost <= to {
            self.push(Loss { from: first_lost, to, fate: Fate::Lost { why } }, clock_us);
        }
    }

    /// Where the next line will stand.
    pub fn position(&self) -> Option<u64> {
        self.begin.map(|begin| begin + self.batch.waiting().len() as u64)
    }

    fn note(&mut self, seq: u64) {
        if let Some(position) = self.position() {
            self.ledger.note(position, seq);
        }
    }

    fn push(&mut self, loss: Loss, clock_us: u64) {
        let len = loss.encode(self.encoder, self.batch.room(), clock_us, self.wall);
        // There is always room: `Source::fill` leaves some.
        if !len.is_some_and(|len| self.batch.push(len, MadeOf { seq: loss.from, clock_us })) {
            warn!("{loss}");
        }
    }
}
