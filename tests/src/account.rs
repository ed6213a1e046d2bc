//! What became of the records that a test wrote: each was received, or was reported in the stream.

use core::time::Duration;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Instant;

use nix::fcntl::OFlag;
use serde_json::Value;

use crate::json;
use crate::judge::{Judge, Piece};
use crate::kmsg::{Fake, RingLock, Writer, newest, ring, tag};
use crate::program::Program;
use crate::receiver::Lines;
use crate::record::Record;
use crate::sandbox::Sandbox;

/// How long a record may take that nothing stands in the way of.
const WITHIN: Duration = Duration::from_secs(30);

/// What a test may write beside others.
const FEW_BYTES: usize = 32 * 1024;

/// Records of one test, numbered.
#[derive(Debug)]
pub struct Stream {
    /// What each of them begins with.
    pub tag: String,
    /// How many there are.
    pub written: usize,
    log: Log,
    /// How long they are together.
    bytes: usize,
    /// What stands behind the text of each.
    filler: String,
    seqs: Option<Seqs>,
}

/// The numbers that the machine's ring gave to the records of a test.
#[derive(Debug)]
struct Seqs {
    ring: File,
    by_number: BTreeMap<usize, u64>,
}

/// Where the records go.
#[derive(Debug)]
enum Log {
    /// The machine's ring, among the records of others; `after` was its newest record before the first of the test.
    Shared { writer: Writer, after: u64 },
    /// The same, which nobody else who takes turns writes to.
    Alone { writer: Writer, after: u64 },
    /// A log of the test's own, which holds nothing else.
    Own(Fake),
}

impl Stream {
    /// A few: the ring, which may be of 128 KiB, holds them beside those of other tests.
    #[must_use]
    pub fn new(what: &str) -> Stream {
        let writer = Writer::new();
        Stream::with(what, Log::Shared { writer, after: newest() })
    }

    /// A few, under a lock of the ring that is the caller's.
    #[must_use]
    pub fn within(ring_lock: &RingLock, what: &str) -> Stream {
        let writer = Writer::within(ring_lock);
        Stream::with(what, Log::Shared { writer, after: newest() })
    }

    /// A good part of what the ring holds, or more.
    #[must_use]
    pub fn storm(what: &str) -> Stream {
        let writer = Writer::storm();
        Stream::with(what, Log::Alone { writer, after: newest() })
    }

    /// In a log of the test's own, for one destination, which need not go back. The program is started by
    /// [`crate::program::start_on_own_log`], before the first record.
    #[must_use]
    pub fn own(sandbox: &Sandbox, what: &str) -> Stream {
        Stream::with(what, Log::Own(Fake::new(sandbox)))
    }

    fn with(what: &str, log: Log) -> Stream {
        Stream { tag: tag(what), written: 0, log, bytes: 0, filler: "x".repeat(60), seqs: None }
    }

    /// With records so short that the ring holds 3,000.
    #[must_use]
    pub fn short(mut self) -> Stream {
        let time = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_micros());
        self.tag = format!("f{:x}", time & 0xfff_ffff);
        self.filler.clear();
        self
    }

    /// Notes which number the machine's ring gives to each: see [`Stream::seqs`].
    #[must_use]
    pub fn noting_seqs(mut self) -> Stream {
        let nonblocking = OFlag::O_NONBLOCK.bits();
        let ring = File::options().read(true).custom_flags(nonblocking).open("/dev/kmsg");
        let mut ring = ring.expect("open /dev/kmsg");
        ring.seek(SeekFrom::End(0)).expect("go to the end of the ring");
        self.seqs = Some(Seqs { ring, by_number: BTreeMap::new() });
        self
    }

    /// Whether they go to a log of the test's own.
    pub fn is_own(&self) -> bool {
        matches!(self.log, Log::Own(_))
    }

    /// The number in the ring of each that was seen there, if that was asked for.
    pub fn seqs(&self) -> BTreeMap<usize, u64> {
        self.seqs.as_ref().map(|seqs| seqs.by_number.clone()).unwrap_or_default()
    }

    /// Writes more; gives the last one's text.
    pub fn write(&mut self, count: usize) -> String {
        let filler = self.filler.clone();
        let mut text = String::new();
        for _ in 0..count {
            text = self.write_one(&filler);
            if self.written.is_multiple_of(100) {
                self.note_seqs();
            }
        }
        self.note_seqs();
        text
    }

    /// Reads what was written, as long as the ring has it.
    fn note_seqs(&mut self) {
        let Some(mut seqs) = self.seqs.take() else { return };
        let mut buffer = [0; 8192];
        loop {
            match seqs.ring.read(&mut buffer) {
                Ok(length) => {
                    if let Some(number) = self.number_in(&buffer[..length]) {
                        seqs.by_number.insert(number, Record::parse(&buffer[..length]).seq);
                    }
                }
                Err(why) if why.kind() == ErrorKind::WouldBlock => break,
                Err(why) if why.kind() == ErrorKind::BrokenPipe => {} // others wrote too much
                Err(why) => panic!("read /dev/kmsg: {why}"),
            }
        }
        self.seqs = Some(seqs);
    }

    /// The number of a record of these, in whatever form a shipper gives it.
    pub fn number_in(&self, line: &[u8]) -> Option<usize> {
        let text = String::from_utf8_lossy(line);
        let (_, rest) = text.split_once(&self.tag)?;
        rest.strip_prefix(' ')?.split_once('.')?.0.parse().ok()
    }

    /// Writes one that holds `more` as well; gives its text without that.
    pub fn write_one(&mut self, more: &str) -> String {
        let text = format!("{} {}.", self.tag, self.written);
        let record = format!("{text} {more}");
        self.bytes += record.len();
        match &self.log {
            Log::Shared { writer, .. } => {
                assert!(self.bytes < FEW_BYTES, "this pushes others' records out: make it a storm");
                writer.write(&record);
            }
            Log::Alone { writer, .. } => writer.write(&record),
            Log::Own(log) => log.feed_text(self.written as u64, &record),
        }
        self.written += 1;
        text
    }

    /// Writes more, and waits for the last to arrive.
    #[track_caller]
    pub fn write_and_wait(&mut self, count: usize, lines: &Lines) -> Instant {
        let last = self.write(count);
        lines.wait_for(&last, WITHIN).at
    }

    /// The number of a record that is one of these.
    fn number(&self, text: &str) -> Option<usize> {
        text.strip_prefix(&self.tag)?.strip_prefix(' ')?.split_once('.')?.0.parse().ok()
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
    /// The ring no longer holds what it held when the test began, though none that takes turns writes so much.
    disturbed: bool,
}

/// Counts at the end of a test, after `last` has arrived, and prints the figures. Judged by sequence numbers: from
/// the oldest that the log held when the program started to that of `last`, each was received or lies in a range that
/// was reported in the stream.
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
    let last = json::seq(&json::any(&lines.wait_for(last, Duration::from_secs(60)).bytes));
    let (first, first_own) = match stream.log {
        Log::Shared { after, .. } | Log::Alone { after, .. } => {
            (program.first_record.expect("it was started by start_on_ring"), after + 1)
        }
        Log::Own(_) => (0, 0),
    };
    let disturbed = match stream.log {
        Log::Shared { after, .. } => ring().first().is_none_or(|oldest| oldest.seq > after),
        Log::Alone { .. } | Log::Own(_) => false,
    };
    let mut judge = Judge::default();
    let mut own = BTreeMap::new();
    for line in lines.items().iter() {
        let object: Value = json::checked_with(&line.bytes, more);
        judge.add(line.connection, Piece::of(&object));
        own.extend(stream.number(json::msg(&object)).map(|number| (json::seq(&object), number)));
    }
    let verdict = judge.verdict(first..=last);
    let account = Account {
        written: stream.written,
        received: own.len(),
        duplicates: verdict.duplicates as usize,
        lost: judge.verdict(first_own..=last).lost,
        perhaps_unread: verdict.perhaps_unread,
        disturbed,
    };
    println!(
        "| {fault:<52} | {:>6} | {:>6} | {:>5} | {:>6} | {:>6} | {:?} |",
        account.written,
        account.received,
        account.duplicates,
        account.lost,
        account.perhaps_unread,
        verdict.unaccounted,
    );
    assert_eq!(verdict.unaccounted, [], "{fault}: lost in silence, of {first}-{last}: {account:?}");
    assert!(verdict.wrong.is_empty(), "{fault}: {:#?}", verdict.wrong);
    assert!(own.values().is_sorted_by(|a, b| a < b), "{fault}: numbered otherwise than written: {own:?}");
    account
}

impl Account {
    /// Everything arrived, and nothing was lost. What was sent before and is no longer in the ring may be perhaps
    /// unread.
    #[track_caller]
    pub fn all_arrived(&self) {
        let whose = if self.disturbed { ": others have overrun the ring, without its lock" } else { "" };
        assert_eq!((self.received, self.lost), (self.written, 0), "{self:?}{whose}");
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
