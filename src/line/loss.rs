//! Reports of records that did not arrive. They stand in the stream in the place of the records, as objects with one
//! member more than any record has, `"earlykmsg":"lost"` or `"earlykmsg":"possibly-lost"`: whoever may write to the
//! kernel's log can write the same words, but no such member.

use core::fmt::{self, Display, Write};

use heapless::String;

use super::{Encoder, Members};
use crate::limits::REPORT_BYTES_MAX;
use crate::record::clock::WallOffset;
use crate::record::{Body, Dictionary, Level, Record};

/// The facility of user space.
const USER: u64 = 1;

/// Records that never came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lost {
    /// The first of them.
    pub from: u64,
    /// The last of them.
    pub to: u64,
    /// What happened, in words.
    pub why: &'static str,
}

impl Lost {
    /// Writes the object and returns its length. `clock_us` is the stamp of the record that follows. `out` has
    /// [`LOST_LINE_BYTES_MAX`](crate::limits::LOST_LINE_BYTES_MAX).
    pub fn encode(&self, encoder: &mut Encoder, out: &mut [u8], clock_us: u64, wall: WallOffset) -> usize {
        encoder.report(out, Kind::Lost, self, self.from, clock_us, wall)
    }
}

impl Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lost {}: {}", Records { from: self.from, to: self.to }, self.why)
    }
}

/// Records that were sent over a connection that broke, and that cannot be sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unread {
    /// The first of them.
    pub from: u64,
    /// The last of them.
    pub to: u64,
}

impl Unread {
    /// As [`Lost::encode`].
    pub fn encode(&self, encoder: &mut Encoder, out: &mut [u8], clock_us: u64, wall: WallOffset) -> usize {
        encoder.report(out, Kind::PossiblyLost, self, self.from, clock_us, wall)
    }
}

impl Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records = Records { from: self.from, to: self.to };
        write!(f, "{records}, possibly lost: sent, but perhaps not read")
    }
}

/// `N records, seq A-B`
#[derive(Clone, Copy, Debug)]
pub struct Records {
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
}

impl Display for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Records { from, to } = *self;
        let count = (to - from).saturating_add(1);
        write!(f, "{count} record{}, seq {from}-{to}", if count == 1 { "" } else { "s" })
    }
}

/// What a report says of its records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Lost,
    PossiblyLost,
}

impl Kind {
    /// The value of the member `earlykmsg`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Lost => "lost",
            Kind::PossiblyLost => "possibly-lost",
        }
    }
}

impl Encoder {
    fn report(
        &mut self,
        out: &mut [u8],
        kind: Kind,
        words: &dyn Display,
        seq: u64,
        clock_us: u64,
        wall: WallOffset,
    ) -> usize {
        let mut text: String<REPORT_BYTES_MAX> = String::new();
        writeln!(text, "earlykmsg: {words}").expect("a report is shorter than REPORT_BYTES_MAX");
        let body = Body::Plain(text.as_bytes());
        let record = Record { level: Level::WARNING, facility: USER, seq, clock_us, more: b"", body };
        let members = Members { report: Some(kind), caller: None, dictionary: Dictionary::EMPTY };
        self.write(out, &record, members, wall).expect("room for a report is kept free")
    }
}
