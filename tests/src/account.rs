//! What became of the records that a test wrote: each was received, or was reported.

use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::Value;

use crate::json;
use crate::kmsg::{Writer, ring, tag};
use crate::program::Program;
use crate::receiver::Lines;

/// How long a record may take that nothing stands in the way of.
const WITHIN: Duration = Duration::from_secs(10);

/// What a test may write beside others.
const FEW_BYTES: usize = 32 * 1024;

/// Records of one test, numbered.
#[derive(Debug)]
pub struct Stream {
    /// What each of them begins with.
    pub tag: String,
    /// How many there are.
    pub written: usize,
    writer: Writer,
    /// The newest record of the ring before the first of them.
    after: u64,
    /// They are so many that nobody else writes meanwhile.
    storm: bool,
    /// How long they are together.
    bytes: usize,
}

impl Stream {
    /// A few: the ring, which may be of 128 KiB, holds them beside those of other tests.
    #[must_use]
    pub fn new(what: &str) -> Stream {
        let writer = Writer::new();
        Stream { writer, tag: tag(what), written: 0, after: newest(), storm: false, bytes: 0 }
    }

    /// A good part of what the ring holds, or more.
    #[must_use]
    pub fn storm(what: &str) -> Stream {
        Stream { writer: Writer::storm(), tag: tag(what), written: 0, after: newest(), storm: true, bytes: 0 }
    }

    /// Writes more; gives the last one's text.
    pub fn write(&mut self, count: usize) -> String {
        let filler = "x".repeat(60);
        let mut text = String::new();
        for _ in 0..count {
            text = self.write_one(&filler);
        }
        text
    }

    /// Writes one that holds `more` as well; gives its text without that.
    pub fn write_one(&mut self, more: &str) -> String {
        let text = format!("{} {}.", self.tag, self.written);
        self.bytes += text.len() + more.len();
        assert!(self.storm || self.bytes < FEW_BYTES, "this pushes others' records out: make it a storm");
        self.writer.write(&format!("{text} {more}"));
        self.written += 1;
        text
    }

    /// Writes more, and waits for the last to arrive.
    #[track_caller]
    pub fn write_and_wait(&mut self, count: usize, lines: &Lines) -> Instant {
        let last = self.write(count);
        lines.wait_for(&last, WITHIN).at
    }
}

/// What became of the records.
#[derive(Debug)]
pub struct Account {
    /// Those of the test.
    pub written: usize,
    /// Those of the test that were received at least once.
    pub received: usize,
    /// Received once more, others' among them.
    pub duplicates: usize,
    /// Reported as lost of what was written since the test began, others' among them. (The ring may be full of what
    /// was there before, and every word of the program, as of anyone, takes the place of the oldest.)
    pub lost: u64,
    /// Reported as possibly lost, others' among them.
    pub perhaps_unread: u64,
    /// Someone who knows nothing of turns has overrun the ring meanwhile.
    pub disturbed: bool,
}

fn newest() -> u64 {
    ring().last().map_or(0, |record| record.seq)
}

/// Counts at the end of a test, after `last` has arrived, and prints the figures. Judged by sequence numbers: from
/// the first that was received to that of `last`, each was received or lies in a range that was reported.
#[track_caller]
pub fn account(fault: &str, stream: &Stream, lines: &Lines, program: &Program, last: &str) -> Account {
    account_with(&[], fault, stream, lines, program, last)
}

/// The same, of objects with members of these names beside the seven.
#[track_caller]
pub fn account_with(
    more: &[&str],
    fault: &str,
    stream: &Stream,
    lines: &Lines,
    program: &Program,
    last: &str,
) -> Account {
    let last = lines.wait_for(last, Duration::from_secs(60));
    let objects: Vec<Value> = lines.objects_with(more);
    let reports = objects.iter().filter(|object| json::report(object).is_some());
    let mut told: Vec<String> = reports.map(|object| json::msg(object).to_owned()).collect();
    told.extend(program.words.items().iter().cloned());
    let reported = |lost: bool| {
        let of_kind = |text: &&String| text.starts_with("earlykmsg: lost ") == lost;
        let mut ranges: Vec<_> =
            told.iter().filter(of_kind).filter_map(|text| json::reported(text)).collect();
        ranges.sort_unstable_by_key(|range| (*range.start(), *range.end()));
        ranges.dedup();
        ranges
    };
    let (lost, unread) = (reported(true), reported(false));
    // They are sorted by where they begin, and may overlap.
    let sum = |ranges: &[RangeInclusive<u64>], from: u64| {
        let (mut sum, mut next) = (0, from);
        for range in ranges {
            let start = next.max(*range.start());
            sum += (range.end() + 1).saturating_sub(start);
            next = next.max(range.end() + 1);
        }
        sum
    };
    let mut received: BTreeMap<u64, usize> = BTreeMap::new();
    for object in objects.iter().filter(|object| json::report(object).is_none()) {
        *received.entry(json::seq(object)).or_default() += 1;
    }
    let first = *received.keys().next().expect("something was received");
    let last = json::seq(&json::any(&last.bytes));
    let ranges = || lost.iter().chain(&unread);
    let accounted = |seq: &u64| received.contains_key(seq) || ranges().any(|range| range.contains(seq));
    let mut unaccounted: Vec<RangeInclusive<u64>> = Vec::new();
    for seq in (first..=last).filter(|seq| !accounted(seq)) {
        match unaccounted.last_mut() {
            Some(range) if *range.end() + 1 == seq => *range = *range.start()..=seq,
            _ => unaccounted.push(seq..=seq),
        }
    }
    let own = objects.iter().filter(|object| json::msg(object).starts_with(&stream.tag));
    let account = Account {
        written: stream.written,
        received: own.map(json::seq).collect::<BTreeSet<u64>>().len(),
        duplicates: received.values().map(|count| count - 1).sum(),
        lost: sum(&lost, stream.after + 1),
        perhaps_unread: sum(&unread, 0),
        disturbed: !stream.storm && ring().first().is_none_or(|oldest| oldest.seq > stream.after),
    };
    println!(
        "| {fault:<52} | {:>6} | {:>6} | {:>5} | {:>6} | {:>6} | {unaccounted:?} |",
        account.written, account.received, account.duplicates, account.lost, account.perhaps_unread,
    );
    assert!(unaccounted.is_empty(), "{fault}: lost in silence: {unaccounted:?} of {account:?}");
    account
}

impl Account {
    /// Everything arrived, and nothing was lost. What was sent before and is no longer in the ring may be perhaps
    /// unread. If others have overrun the ring, it is enough that all was reported.
    #[track_caller]
    pub fn all_arrived(&self) {
        if self.disturbed {
            println!("others have overrun the ring: {self:?}");
            return;
        }
        assert_eq!((self.received, self.lost), (self.written, 0), "{self:?}");
    }

    /// The same, and nothing came twice.
    #[track_caller]
    pub fn all_arrived_once(&self) {
        self.all_arrived();
        assert_eq!(self.duplicates, 0, "{self:?}");
    }
}

/// A loss stands where the records would have stood.
#[track_caller]
pub fn check_order_of_losses(lines: &Lines) {
    let objects = lines.objects();
    for (at, object) in objects.iter().enumerate() {
        let Some(range) = json::report(object).filter(|_| json::is_lost(object)) else { continue };
        assert_eq!((&object["facility"], &object["priority"]), (&"user".into(), &"warning".into()));
        assert!(json::msg(object).ends_with('\n'), "{object}");
        if let Some(before) = at.checked_sub(1).map(|at| json::seq(&objects[at])) {
            assert!(before < *range.start(), "{object} after {before}");
        }
        if let Some(after) = objects.get(at + 1) {
            assert_eq!(json::seq(after), range.end() + 1, "{object}");
            assert_eq!(after["clock"], object["clock"], "the clock is that of the next record");
        }
    }
}
