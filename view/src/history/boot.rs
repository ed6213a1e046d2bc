//! What was seen of one boot.

use core::hash::{Hash, Hasher};
use std::collections::{BTreeMap, HashSet};
use std::hash::DefaultHasher;

use crate::record::{Level, Record};

/// What tells this boot from others of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// The value of a tag.
    Tag(String),
    /// It was kept by pstore, without a tag.
    Kept,
    /// Nothing but its records.
    Records,
}

/// How a record fits a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It was seen.
    Seen,
    /// It may be of this boot.
    New,
    /// It cannot be of this boot.
    OfAnother,
}

/// Of how many records of a boot it is known that they were seen. A sender repeats at most 8 MiB of them.
const SEEN_MAX: usize = 1 << 18;

/// Time stamps may be in a slightly different order than numbers.
const CLOCK_SLACK: u64 = 1_000_000;

/// Datagrams may be so late.
const LATE_MAX: u64 = 64;

#[derive(Debug)]
pub(super) struct Boot {
    pub(super) key: Key,
    /// Time stamp and text of each record, by its number.
    seen: BTreeMap<u64, (u64, u64)>,
    /// What has no number of its own: reports, and what pstore kept.
    seen_besides: HashSet<u64>,
    /// Numbers up to this one are no longer in `seen`.
    forgotten: Option<u64>,
    /// The last number that arrived or was reported lost.
    last: Option<u64>,
    /// The last time stamp.
    clock: u64,
    /// Records of the least severe levels are sent, so that numbers leave no gaps.
    sends_all: bool,
    /// The command line says what is sent.
    is_filtered: bool,
}

impl Boot {
    pub(super) fn new(key: Key) -> Boot {
        Boot {
            key,
            seen: BTreeMap::new(),
            seen_besides: HashSet::new(),
            forgotten: None,
            last: None,
            clock: 0,
            sends_all: false,
            is_filtered: false,
        }
    }

    /// Whether anything of it was seen.
    pub(super) fn has_begun(&self) -> bool {
        self.last.is_some() || !self.seen.is_empty() || !self.seen_besides.is_empty()
    }

    /// Gives the memory of its records back; what comes of it once more is no longer known.
    pub(super) fn forget(&mut self) {
        (self.seen, self.seen_besides) = (BTreeMap::new(), HashSet::new());
    }

    /// Whether this very record was seen.
    pub(super) fn holds(&self, record: &Record) -> bool {
        if has_own_number(record) {
            self.seen.get(&record.seq) == Some(&(record.clock, text_hash(record)))
        } else {
            self.seen_besides.contains(&text_hash(record))
        }
    }

    pub(super) fn fit(&self, record: &Record) -> Fit {
        if self.holds(record) {
            return Fit::Seen;
        }
        if let Some((first, last)) = record.reported() {
            // What is lost was never sent.
            let contradicts =
                record.report.as_deref() == Some("lost") && self.seen.range(first..=last).next().is_some();
            return if contradicts { Fit::OfAnother } else { Fit::New };
        }
        let seq = record.seq;
        let is_earlier =
            |(_, (clock, _)): (&u64, &(u64, u64))| clock.saturating_add(CLOCK_SLACK) < record.clock;
        let is_later =
            |(_, (clock, _)): (&u64, &(u64, u64))| *clock > record.clock.saturating_add(CLOCK_SLACK);
        let first = self.seen.keys().next().copied().unwrap_or_default();
        let contradicts = self.seen.contains_key(&seq)
            || self.seen.range(..seq).next_back().is_some_and(is_later)
            || self.seen.range(seq..).next().is_some_and(is_earlier)
            || self.forgotten.is_some_and(|forgotten| seq <= forgotten)
            || (seq < first && self.last.is_some_and(|last| last.saturating_sub(seq) > LATE_MAX));
        if contradicts { Fit::OfAnother } else { Fit::New }
    }

    /// Whether this is the next record.
    pub(super) fn is_continued_by(&self, record: &Record) -> bool {
        self.last.is_some_and(|last| last.checked_add(1) == Some(record.seq)) && record.clock >= self.clock
    }

    /// Whether this is a line behind those that pstore kept so far: in another file, numbers begin anew.
    pub(super) fn is_kept_with(&self, record: &Record) -> bool {
        self.key == Key::Kept
            && self.last < Some(record.seq)
            && self.clock <= record.clock.saturating_add(CLOCK_SLACK)
    }

    /// Takes a new record, and gives the numbers before it that did not arrive.
    pub(super) fn add(&mut self, record: &Record) -> Option<(u64, u64)> {
        if !has_own_number(record) {
            self.seen_besides.insert(text_hash(record));
            let last = if record.pstore.is_some() {
                Some(record.seq)
            } else {
                record.reported().map(|(_, last)| last)
            };
            self.last = self.last.max(last);
            self.clock = self.clock.max(record.clock);
            return None;
        }
        self.sends_all |= record.level > Level::NOTICE;
        self.is_filtered |= record.msg.contains("ommand line: ") && record.msg.contains("earlykmsg.level=");
        let missing = self.last.and_then(|last| Some((last.checked_add(1)?, record.seq.checked_sub(1)?)));
        let missing = missing.filter(|(first, last)| first <= last && self.sends_all && !self.is_filtered);
        self.seen.insert(record.seq, (record.clock, text_hash(record)));
        if self.seen.len() > SEEN_MAX {
            self.forgotten = self.seen.pop_first().map(|(seq, _)| seq);
        }
        self.last = self.last.max(Some(record.seq));
        self.clock = self.clock.max(record.clock);
        missing
    }
}

fn has_own_number(record: &Record) -> bool {
    record.report.is_none() && record.pstore.is_none()
}

/// What tells a record from others of the same number and time. By syslog it comes without the lines about a device.
fn text_hash(record: &Record) -> u64 {
    let mut hasher = DefaultHasher::new();
    record.lines().hash(&mut hasher);
    if !has_own_number(record) {
        (record.seq, record.clock, &record.pstore).hash(&mut hasher);
    }
    hasher.finish()
}
