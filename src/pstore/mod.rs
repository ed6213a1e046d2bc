//! What the kernel kept of earlier boots: the end of its log, written into pstore while it died.
//!
//! ```text
//! files of pstore -> catalog (which, in what order) -> dump (lines) -> item (for the shippers) -> line (encoder)
//! ```
//!
//! A *dump* is what one panic or oops left, in one file or several *parts*, each of whole lines. Part 1 has the newest.

pub mod catalog;
pub mod dump;
pub mod item;

use crate::record::Record;
use crate::record::clock::WallOffset;

/// A line that pstore kept, for whatever writes it.
#[derive(Clone, Copy, Debug)]
pub struct KeptLine<'a> {
    /// Its text, and what stood before it. The number is that of the line, from 1 on.
    pub record: Record<'a>,
    /// The wall clock of the boot that it comes from, estimated: the file was written just after the last line.
    pub wall: WallOffset,
    /// Where it stood: `dmesg-erst-7577 Panic#1 Part1`.
    pub origin: &'a [u8],
}

/// From here on, numbers mean lines that pstore kept: where those of records are noted, which no kernel counts so far.
const FIRST: u64 = 1 << 63;

/// The number under which a kept line is noted among records.
pub fn noted(line: u64) -> u64 {
    FIRST + line
}

/// The kept line that is noted so; none: it is a record.
pub fn noted_line(noted: u64) -> Option<u64> {
    noted.checked_sub(FIRST)
}
