//! The kernel log that a test gives to the program: the machine's own, or one made of any bytes.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::time::{ClockId, clock_gettime};
use serde_json::Value;

use crate::record::Record;
use crate::sandbox::Sandbox;

const KMSG: &str = "/dev/kmsg";

/// A kernel log of the test's own in place of `/dev/kmsg`: a FIFO in packet mode, one record a read.
/// It cannot be gone back in, one reader takes what another would get, and records end at 4,096 bytes.
///
/// Nobody may write to it but the test: give it to a program started by [`crate::program::Run::fed`].
#[derive(Debug)]
pub struct Fake {
    pipe: File,
}

/// What [`Fake::feed`] takes at most.
pub const FAKE_RECORD_BYTES_MAX: usize = 4096;

impl Fake {
    /// Takes the place of `/dev/kmsg` in the sandbox.
    pub fn new(sandbox: &Sandbox) -> Fake {
        let path = sandbox.dir().join("kmsg");
        nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o444)).expect("make a FIFO");
        let pipe = OpenOptions::new().read(true).write(true).open(&path).expect("open the FIFO");
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_DIRECT)).expect("set packet mode");
        fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(1 << 20)).expect("make room for 256 records");
        sandbox.bind(&path, KMSG);
        Fake { pipe }
    }

    /// Adds one record; waits while 256 of them are unread.
    pub fn feed(&self, record: impl AsRef<[u8]>) {
        let record = record.as_ref();
        assert!(record.len() <= FAKE_RECORD_BYTES_MAX, "the FIFO would split this record");
        (&self.pipe).write_all(record).expect("write a record");
    }

    /// Adds records of these numbers; the text begins with the number.
    pub fn feed_numbers(&self, numbers: Range<u64>) {
        let filler = "x".repeat(60);
        numbers.for_each(|number| self.feed(format!("6,{number},{number},-;{number} {filler}\n")));
    }

    /// Adds a record of the facility `user`, for information, written now.
    pub fn feed_text(&self, seq: u64, text: &str) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("read a clock");
        let clock = now.tv_sec() * 1_000_000 + now.tv_nsec() / 1_000;
        self.feed(format!("14,{seq},{clock},-;{text}\n"));
    }

    /// Whether all that was fed has been read.
    pub fn is_read(&self) -> bool {
        let mut pipe = [PollFd::new(self.pipe.as_fd(), PollFlags::POLLIN)];
        poll(&mut pipe, PollTimeout::ZERO).expect("look at the FIFO") == 0
    }
}

/// The golden records as one log: numbered from 700 on without a gap, so that nothing is lost on the way. The
/// one with the large number stands last. Records that [`Fake`] would split are for the unit tests.
pub fn golden_log() -> Vec<(Vec<u8>, Value)> {
    let mut records: Vec<_> = [golden("boot"), golden("edge")].concat();
    let all = records.len();
    records.retain(|(raw, _)| raw.len() <= FAKE_RECORD_BYTES_MAX);
    assert!(records.len() + 1 >= all, "only one golden record is larger than the FIFO takes");
    records.sort_by_key(|(_, want)| want["seq"].as_u64() > Some(1 << 50));
    for (number, (raw, want)) in records.iter_mut().enumerate() {
        if want["seq"].as_u64() < Some(1 << 50) {
            let seq = 700 + number as u64;
            let mut fields: Vec<&[u8]> = raw.splitn(3, |&b| b == b',').collect();
            let number = seq.to_string();
            fields[1] = number.as_bytes();
            *raw = fields.join(&b","[..]);
            want["seq"] = seq.into();
        }
    }
    records
}

/// All that the machine's ring holds now, oldest first. What is written while it is read pushes the oldest out: those are
/// left out.
pub fn ring() -> Vec<Record> {
    let mut records = read_ring(usize::MAX);
    let oldest = read_ring(1).first().map_or(0, |record| record.seq);
    records.retain(|record| record.seq >= oldest);
    records
}

/// The number of the newest record that the machine's ring holds.
pub fn newest() -> u64 {
    ring().last().map_or(0, |record| record.seq)
}

/// The oldest records of the ring, at most so many.
fn read_ring(most: usize) -> Vec<Record> {
    let nonblocking = OFlag::O_NONBLOCK.bits();
    let mut kmsg =
        OpenOptions::new().read(true).custom_flags(nonblocking).open(KMSG).expect("open /dev/kmsg");
    let (mut records, mut buffer) = (Vec::new(), [0; 8192]);
    while records.len() < most {
        match kmsg.read(&mut buffer) {
            Ok(length) => records.push(Record::parse(&buffer[..length])),
            Err(why) if why.kind() == ErrorKind::WouldBlock => break,
            Err(why) if why.kind() == ErrorKind::BrokenPipe => {} // overrun: go on with the oldest left
            Err(why) => panic!("read /dev/kmsg: {why}"),
        }
    }
    records
}

/// A lock of the machine's ring, which is small: a test that overruns it has it alone, among all threads and
/// processes that run tests.
///
/// The lock is the machine's, as the ring is: two checkouts share both. What the file holds is the limit on writers
/// that there was before the tests, while they have lifted it.
#[derive(Debug)]
pub struct RingLock {
    lock: File,
}

impl RingLock {
    /// Beside others that write little.
    pub fn shared() -> RingLock {
        RingLock::take(File::lock_shared)
    }

    /// Alone.
    pub fn alone() -> RingLock {
        RingLock::take(File::lock)
    }

    /// As [`RingLock::alone`], if nobody else has one now.
    pub fn try_alone() -> Option<RingLock> {
        let file = RingLock::file();
        file.try_lock().is_ok().then_some(RingLock { lock: file })
    }

    fn take(lock: fn(&File) -> std::io::Result<()>) -> RingLock {
        let file = RingLock::file();
        lock(&file).expect("lock a file");
        RingLock { lock: file }
    }

    fn file() -> File {
        let path = std::env::temp_dir().join("earlykmsg-tests.lock");
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).open(path).expect("make a lock file")
    }
}

/// Writes records to the machine's log, without its rate limit while this value lives.
#[derive(Debug)]
pub struct Writer {
    kmsg: File,
    /// Its own; none within that of somebody else.
    ring_lock: Option<RingLock>,
}

const RATE: &str = "/proc/sys/kernel/printk_devkmsg";
const NO_LIMIT: &str = "on\n";

impl Writer {
    /// For a few records.
    pub fn new() -> Writer {
        Writer::with(RingLock::shared())
    }

    /// For a good part of what the ring holds, or more.
    pub fn storm() -> Writer {
        Writer::with(RingLock::alone())
    }

    /// As [`Writer::storm`], if nobody else writes now.
    pub fn try_storm() -> Option<Writer> {
        RingLock::try_alone().map(Writer::with)
    }

    /// For a few records, under a lock that somebody else holds until this one has ended.
    pub fn within(ring_lock: &RingLock) -> Writer {
        Writer::open(ring_lock)
    }

    fn with(ring_lock: RingLock) -> Writer {
        let mut writer = Writer::open(&ring_lock);
        writer.ring_lock = Some(ring_lock);
        writer
    }

    fn open(ring_lock: &RingLock) -> Writer {
        let limit = fs::read_to_string(RATE).expect("read printk_devkmsg");
        if limit != NO_LIMIT {
            // Two that come here at once note the same, and who comes later finds no limit.
            ring_lock.lock.write_all_at(limit.as_bytes(), 0).expect("note printk_devkmsg");
            fs::write(RATE, NO_LIMIT).expect("set printk_devkmsg");
        }
        let kmsg = File::options().write(true).open(KMSG).expect("open /dev/kmsg for writing");
        Writer { kmsg, ring_lock: None }
    }

    /// Writes one record of the facility `user`, for information.
    pub fn write(&self, text: &str) {
        self.write_at(6, text);
    }

    /// Writes one of this level, 0 (the system is unusable) to 7.
    pub fn write_at(&self, level: u64, text: &str) {
        (&self.kmsg).write_all(format!("<{}>{text}\n", 8 + level).as_bytes()).expect("write to /dev/kmsg");
    }
}

impl Default for Writer {
    fn default() -> Writer {
        Writer::new()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.ring_lock.take().is_none() {
            return;
        }
        // The last one puts the limit back, if there was one.
        if let Some(RingLock { mut lock }) = RingLock::try_alone() {
            let mut limit = String::new();
            if lock.read_to_string(&mut limit).is_ok_and(|length| length > 0) {
                let _ = fs::write(RATE, limit);
                let _ = lock.set_len(0);
            }
        }
    }
}

/// A word that no other record of this machine's log holds.
pub fn tag(what: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_micros());
    format!("test-{what}-{now:x}-{}-{count}", std::process::id())
}

/// Raw records of the golden data beside the JSON that Talos makes of them.
pub fn golden(name: &str) -> Vec<(Vec<u8>, serde_json::Value)> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    let read = |path: PathBuf| fs::read(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    let raw = read(data.join(name).with_extension("kmsg"));
    let lines =
        String::from_utf8(read(data.join(name).with_extension("jsonl"))).expect("golden lines are text");
    let records: Vec<&[u8]> = raw.strip_suffix(b"\0").expect("a NUL ends each").split(|&b| b == 0).collect();
    assert_eq!(records.len(), lines.lines().count(), "one line a record");
    let lines = lines.lines().map(|line| serde_json::from_str(line).expect("golden JSON"));
    records.into_iter().map(<[u8]>::to_vec).zip(lines).collect()
}
