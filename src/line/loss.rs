//! Reports of records that did not arrive. They stand in the stream in the place of the records, as lines with one
//! member more than any record has, `"earlykmsg":"lost"` or `"earlykmsg":"possibly-lost"` (in syslog a parameter
//! `earlykmsg="lost"`): whoever may write to the kernel's log can write the same words, but no such member.

use core::fmt::{self, Display, Write};

use heapless::String;

use super::{Encoder, Members};
use crate::limits::REPORT_BYTES_MAX;
use crate::record::clock::WallOffset;
use crate::record::{Body, Level, Record, USER};

/// Records that did not arrive, or may not have arrived. Displays as what is reported of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loss {
    /// The first of them.
    pub from: u64,
    /// The last of them.
    pub to: u64,
    /// What became of them.
    pub fate: Fate,
}

/// What became of records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// They never came.
    Lost {
        /// What happened, in words.
        why: &'static str,
    },
    /// They were sent over a connection that broke, and cannot be sent again.
    PossiblyLost,
}

impl Fate {
    /// The value of the member `earlykmsg`.
    fn name(self) -> &'static str {
        match self {
            Fate::Lost { .. } => "lost",
            Fate::PossiblyLost => "possibly-lost",
        }
    }
}

impl Loss {
    /// Writes the line and returns its length. `clock_us` is the stamp of the record that follows. `None` when it does
    /// not fit, which cannot be when `out` has [`LOST_LINE_BYTES_MAX`](crate::limits::LOST_LINE_BYTES_MAX).
    pub fn encode(
        &self,
        encoder: &mut Encoder,
        out: &mut [u8],
        clock_us: u64,
        wall: WallOffset,
    ) -> Option<usize> {
        let mut text: String<REPORT_BYTES_MAX> = String::new();
        writeln!(text, "earlykmsg: {self}").ok()?;
        let body = Body::Plain(text.as_bytes());
        let record =
            Record { level: Level::WARNING, facility: USER, seq: self.from, clock_us, more: b"", body };
        let members = Members { own: Some(("earlykmsg", self.fate.name())), ..Members::NONE };
        encoder.write(out, &record, members, wall)
    }
}

impl Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records = Records { from: self.from, to: self.to };
        match self.fate {
            Fate::Lost { why } => write!(f, "lost {records}: {why}"),
            Fate::PossiblyLost => write!(f, "{records}, possibly lost: sent, but perhaps not read"),
        }
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
