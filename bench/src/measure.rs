//! The loads, and what a sender spends on them. All of it goes through the machine's own `/dev/kmsg`.
//!
//! | load | what happens |
//! | --- | --- |
//! | set-up | earlykmsg starts, and nobody is at its destination |
//! | start | the ring is full of records of the load when the sender starts |
//! | backlogs | the sender is stopped, so many records are written, and it is let go: one record alone and a backlog in turn. What the backlog costs more, by record, is the cost of a record: starts and stops are in both. (Not the difference of two backlogs: what hands records from thread to thread does so one by one or many at once, as it happens, and a small backlog can cost as much as a large one) |
//! | live | 100 records every 10 ms |
//! | trickle | one record every 27.3 ms, which is no multiple of the kernel's tick |
//!
//! Processor time is what the scheduler has counted for all threads of all processes of a sender, after they have
//! come to rest. Others may write to the machine's log too: what counts are the sequence numbers, not what was written.

use core::time::Duration;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Instant, SystemTime};

use earlykmsg::config::Extra;
use earlykmsg::limits::BACKOFF_MS_MIN;
use earlykmsg::line::Encoder;
use earlykmsg::record::Record;
use earlykmsg::record::clock::WallOffset;
use earlykmsg_tests::kmsg::{Writer, tag};
use earlykmsg_tests::proc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::receive::{Place, Receiver, Transport};
use crate::sender::{Running, Sender};
use crate::size;

const WITHIN: Duration = Duration::from_secs(5);
/// How often a burst comes, and how often to a sender that a tracer slows down.
const EVERY: Duration = Duration::from_millis(10);
const TRACED_EVERY: Duration = Duration::from_millis(50);
/// After this much silence, memory is looked at: some give back what they do not need.
const IDLE: Duration = Duration::from_millis(1_200);
/// What does not arrive in this time is not shipped.
const SHIPS_WITHIN: Duration = Duration::from_millis(1_500);

/// What the records of a load are.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// What their text repeats.
    pub part: &'static str,
    /// Its length.
    pub bytes: usize,
    /// The records of a backlog.
    pub backlog: usize,
    /// How often one, and a lone record.
    pub repeats: usize,
    /// How many bursts of 100 there are.
    pub bursts: usize,
    /// How many single ones.
    pub singles: usize,
    /// Whether its memory is looked at, which takes a second.
    pub looks_at_memory: bool,
}

/// The load of all tables that do not say another.
pub const LOAD: Load = Load {
    part: "the quick brown fox jumps over the lazy dog and runs on ",
    bytes: 100,
    backlog: 850,
    repeats: 3,
    bursts: 40,
    singles: 20,
    looks_at_memory: true,
};

impl Load {
    /// Records of another kind, as large a backlog as the ring can hold, and nothing live.
    #[must_use]
    pub fn of(part: &'static str, bytes: usize) -> Load {
        // The kernel keeps 17 bytes and what fills up to eight with each text; the rest is for others who write.
        let backlog = (100_000 / (bytes + 24)).min(2_500);
        Load { part, bytes, backlog, bursts: 0, singles: 0, looks_at_memory: false, ..LOAD }
    }

    /// The text of record `number` of the load `tag`.
    fn text(&self, tag: &str, number: usize) -> String {
        let mut text = format!("{tag} {number} ");
        text.extend(self.part.chars().cycle().take(self.bytes.saturating_sub(text.len())));
        text.truncate(text.floor_char_boundary(self.bytes.max(8)));
        text
    }

    /// How much longer our line of a record is than the record.
    #[must_use]
    pub fn more(&self) -> usize {
        let record = format!("14,1234567,123456789012,-;{}\n", self.text("bench", 1));
        let record_read = Record::parse(record.as_bytes()).expect("a record");
        let mut encoder = Encoder::new(Extra::default());
        let mut line = vec![0; encoder.bytes_max(&record_read)];
        let wall = WallOffset(1_637_945_595_123_456);
        let length = encoder.encode(&mut line, &record_read, wall).expect("room for a line");
        length + 1 - record.len()
    }
}

/// What one run of a sender gave.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Processor time from the start until the whole ring was sent, and how many records that were.
    pub start: Option<(Duration, u64)>,
    /// How long that took.
    pub start_wall: Option<Duration>,
    /// Nanoseconds of processor time a record, backlogs.
    pub drain_ns: f64,
    /// The same for the live stream.
    pub live_ns: Option<f64>,
    /// From a write's return until the record's arrival.
    pub delays: Vec<Duration>,
    /// Of the records that were written, the part that arrived.
    pub arrived: f64,
    /// Kilobytes of all processes: proportional, and the most that were resident.
    pub pss_kb: u64,
    /// See `pss_kb`.
    pub peak_kb: u64,
    /// How many processes.
    pub processes: usize,
    /// What the last of them may write at most: of earlykmsg, a shipper.
    pub writable_kb: u64,
    /// The files that they have mapped.
    pub files: BTreeSet<PathBuf>,
}

impl Figures {
    /// What the start cost beside its records, in milliseconds.
    #[must_use]
    pub fn start_ms(&self) -> Option<f64> {
        let (cpu, records) = self.start?;
        Some(cpu.as_secs_f64() * 1e3 - records as f64 * self.drain_ns / 1e6)
    }
}

/// A sender at work, and what is needed to load it.
struct Bench<'a> {
    name: &'a str,
    load: &'a Load,
    tag: String,
    log: Log,
    // Before its receivers: it would log that they close.
    running: Running,
    receivers: Vec<Receiver>,
    from: Vec<Place>,
    pids: Vec<Pid>,
    written: usize,
    arrived: usize,
}

/// Puts all loads on a sender. None when it did not come through: on a machine that has much else to do, the ring can
/// be overrun, and that ends `cat`.
#[must_use]
pub fn run(sender: &Sender, load: &Load) -> Option<Figures> {
    let mut log = Log::new();
    let receivers: Vec<Receiver> =
        (0..sender.destinations).map(|_| Receiver::new(sender.transport)).collect();
    let mut figures = Figures::default();

    let fill = tag("fill");
    let ring = 130_000 / (load.bytes + 24);
    for number in 0..ring {
        log.write(&load.text(&fill, number));
    }
    let (end, last) = log.mark();
    let oldest = log.oldest();
    let began = Instant::now();
    let running = sender.start(&receivers, &[]);
    let mut bench = Bench {
        name: &sender.name,
        load,
        tag: tag("load"),
        log,
        from: vec![Place::default(); receivers.len()],
        receivers,
        running,
        pids: Vec::new(),
        written: 0,
        arrived: 0,
    };
    let ships = sender.from_the_start && bench.has_arrived(&end, SHIPS_WITHIN).is_some();
    if sender.transport != Transport::None && !ships {
        bench.until_it_ships()?;
    }
    let when = bench.has_arrived(&end, Duration::ZERO);
    bench.pids = bench.running.family();
    let cpu = bench.rest();
    if ships || sender.transport == Transport::None {
        figures.start = Some((cpu, last - oldest));
        figures.start_wall = when.map(|when| when - began);
    }

    let mut sums = [(0.0, 0); 2];
    for _ in 0..load.repeats {
        for (sum, count) in sums.iter_mut().zip([0, load.backlog]) {
            let (cpu, records) = bench.backlog(count)?;
            sum.0 += cpu.as_secs_f64() * 1e9;
            sum.1 += records;
        }
    }
    figures.drain_ns = (sums[1].0 - sums[0].0) / (sums[1].1 - sums[0].1) as f64;
    if load.bursts > 0 {
        let (cpu, records) = bench.live(load.bursts, EVERY)?;
        figures.live_ns = Some(cpu.as_secs_f64() * 1e9 / records as f64);
    }
    if sender.transport != Transport::None {
        figures.delays = bench.trickle();
    }
    figures.arrived = if bench.written == 0 { 1.0 } else { bench.arrived as f64 / bench.written as f64 };
    figures.processes = bench.pids.len();
    if load.looks_at_memory {
        thread::sleep(IDLE);
        figures.pss_kb = bench.pids.iter().map(|pid| proc::pss_kb(*pid)).sum();
        figures.peak_kb = bench.pids.iter().map(|pid| proc::number(*pid, "VmHWM")).sum();
        figures.writable_kb = bench.pids.last().map_or(0, |pid| size::writable_kb(*pid));
        figures.files = size::files(&bench.pids);
    }
    Some(figures)
}

/// What earlykmsg spends before it reads its first record: it sets itself up, tries to connect to nobody, and waits for
/// its next attempt. None: it was not done before that.
#[must_use]
pub fn set_up() -> Option<Duration> {
    let running = Sender::earlykmsg_to_nobody().start(&[], &[]);
    let began = Instant::now();
    loop {
        let pids = running.family();
        if pids.len() == 2 {
            let spent = rest(&pids);
            return (began.elapsed() < Duration::from_millis(BACKOFF_MS_MIN)).then_some(spent);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// How many system calls a sender makes for a record of a backlog, and of the live stream. None: as [`run`].
#[must_use]
pub fn calls(sender: &Sender, load: &Load) -> Option<(f64, f64)> {
    let output = std::env::temp_dir().join(tag("strace"));
    let name = output.to_string_lossy().into_owned();
    let tracer = ["strace", "-f", "-qq", "-ttt", "-e", "signal=none", "-o", &name];
    let log = Log::new();
    let receivers: Vec<Receiver> =
        (0..sender.destinations).map(|_| Receiver::new(sender.transport)).collect();
    let from = vec![Place::default(); receivers.len()];
    let running = sender.start(&receivers, &tracer);
    let mut bench = Bench {
        name: &sender.name,
        load,
        tag: tag("load"),
        log,
        receivers,
        from,
        running,
        pids: Vec::new(),
        written: 0,
        arrived: 0,
    };
    if sender.transport == Transport::None {
        thread::sleep(Duration::from_millis(500));
    } else {
        bench.until_it_ships()?;
    }
    bench.pids = bench.running.family();
    bench.rest();
    let mut spans = Vec::new();
    for kind in 0..2 {
        let began = SystemTime::now();
        let spent = if kind == 0 { bench.backlog(load.backlog) } else { bench.live(10, TRACED_EVERY) };
        let (_, records) = spent?;
        spans.push((began, SystemTime::now(), records));
    }
    drop(bench);
    let trace = std::fs::read_to_string(&output).expect("what was traced");
    let _ = std::fs::remove_file(&output);
    let time =
        |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let calls = |(began, ended, records): (SystemTime, SystemTime, u64)| {
        let is_call = |line: &&str| {
            let mut words = line.split_whitespace().skip(1);
            let within = words
                .next()
                .and_then(|word| word.parse().ok())
                .is_some_and(|at: f64| at >= time(began) && at <= time(ended));
            within && words.next().is_some_and(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
        };
        trace.lines().filter(is_call).count() as f64 / records as f64
    };
    Some((calls(spans[0]), calls(spans[1])))
}

impl Bench<'_> {
    /// Waits for a text at all receivers; none when it does not come to each in time.
    fn has_arrived(&mut self, text: &str, within: Duration) -> Option<Instant> {
        let arrived =
            self.receivers.iter().zip(&self.from).map(|(receiver, from)| receiver.wait(*from, text, within));
        arrived.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// Writes marks until one arrives.
    fn until_it_ships(&mut self) -> Option<()> {
        let deadline = Instant::now() + WITHIN;
        loop {
            let (mark, _) = self.log.mark();
            if self.has_arrived(&mark, Duration::from_millis(100)).is_some() {
                return Some(());
            }
            if Instant::now() > deadline {
                eprintln!("{}: nothing arrives", self.name);
                return None;
            }
        }
    }

    fn rest(&self) -> Duration {
        rest(&self.pids)
    }

    /// Writes records by `go`, waits until all have come, and says what that cost, and how many records.
    fn spend(&mut self, go: impl FnOnce(&mut Self) -> usize) -> Option<(Duration, u64)> {
        let before = self.rest();
        self.from = self.receivers.iter().map(Receiver::now).collect();
        let (_, first) = self.log.last();
        let written = go(self);
        let (mark, last) = self.log.mark();
        for pid in &self.pids {
            let _ = kill(*pid, Signal::SIGCONT);
        }
        if self.receivers.first().is_some_and(|receiver| receiver.port().is_some()) {
            if self.has_arrived(&mark, WITHIN).is_none() {
                eprintln!("{}: the last record does not arrive", self.name);
                return None;
            }
            self.written += written;
            self.arrived += self.receivers[0].count(self.from[0], &self.tag);
        }
        Some((self.rest().checked_sub(before)?, last - first))
    }

    fn backlog(&mut self, count: usize) -> Option<(Duration, u64)> {
        self.spend(|bench| {
            for pid in &bench.pids {
                let _ = kill(*pid, Signal::SIGSTOP); // one that is gone will not arrive
            }
            for number in 0..count {
                bench.log.write(&bench.load.text(&bench.tag, number));
            }
            count
        })
    }

    /// Bursts of 100 records.
    fn live(&mut self, bursts: usize, every: Duration) -> Option<(Duration, u64)> {
        self.spend(|bench| {
            let began = Instant::now();
            for burst in 0..bursts {
                let due = began + every * burst as u32;
                thread::sleep(due.saturating_duration_since(Instant::now()));
                for number in 0..100 {
                    bench.log.write(&bench.load.text(&bench.tag, number));
                }
            }
            100 * bursts
        })
    }

    fn trickle(&mut self) -> Vec<Duration> {
        let mut delays = Vec::new();
        let began = Instant::now();
        for number in 0..self.load.singles {
            let due = began + Duration::from_micros(27_300) * number as u32;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let text = format!("{} single {number}.", self.tag);
            self.log.write(&text);
            let written = Instant::now();
            if let Some(when) = self.has_arrived(&text, Duration::from_secs(3)) {
                delays.push(when.saturating_duration_since(written));
            }
        }
        delays
    }
}

/// Whether a thread of a process has something to do.
/// Waits until none of these processes does anything more, and says what they have spent.
fn rest(pids: &[Pid]) -> Duration {
    let spent = || pids.iter().map(|pid| spent(*pid)).sum::<Duration>();
    let mut before = spent();
    for _ in 0..300 {
        thread::sleep(Duration::from_millis(6));
        let now = spent();
        // One that waits for a processor that others have spends nothing either.
        if now == before && !pids.iter().any(|pid| runs(*pid)) {
            break;
        }
        before = now;
    }
    before
}

fn runs(pid: Pid) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let states = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    states.into_iter().any(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('R')))
}

/// The processor time of all threads of a process.
fn spent(pid: Pid) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let times = tasks.filter_map(|task| {
        let all = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        all.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(times.sum())
}

/// The machine's log, for one run alone.
struct Log {
    writer: Writer,
    reader: File,
    marks: String,
    count: usize,
    /// The last mark.
    last: (String, u64),
}

impl Log {
    fn new() -> Log {
        let writer = Writer::storm();
        let nonblocking = nix::libc::O_NONBLOCK;
        let mut reader = OpenOptions::new()
            .read(true)
            .custom_flags(nonblocking)
            .open("/dev/kmsg")
            .expect("open /dev/kmsg");
        reader.seek(SeekFrom::End(0)).expect("go to the end");
        let mut log = Log { writer, reader, marks: tag("mark"), count: 0, last: (String::new(), 0) };
        log.mark();
        log
    }

    fn write(&self, text: &str) {
        self.writer.write(text);
    }

    /// A record that is the last for now, and its number.
    fn mark(&mut self) -> (String, u64) {
        self.count += 1;
        let mark = format!("{} {}.", self.marks, self.count);
        self.reader.seek(SeekFrom::End(0)).expect("go to the end");
        self.writer.write(&mark);
        let mut buffer = [0; 8192];
        loop {
            match self.reader.read(&mut buffer) {
                Ok(length) => {
                    let text = String::from_utf8_lossy(&buffer[..length]);
                    if text.contains(&mark) {
                        let seq = text.split(',').nth(1).and_then(|seq| seq.parse().ok());
                        self.last = (mark, seq.expect("a record has a number"));
                        return self.last.clone();
                    }
                }
                Err(why) if why.kind() == ErrorKind::BrokenPipe => {}
                Err(why) => panic!("read back a mark: {why}"),
            }
        }
    }

    fn last(&self) -> (String, u64) {
        self.last.clone()
    }

    /// The number of the oldest record in the ring.
    fn oldest(&mut self) -> u64 {
        self.reader.seek(SeekFrom::Start(0)).expect("go to the start");
        let mut buffer = [0; 8192];
        loop {
            match self.reader.read(&mut buffer) {
                Ok(length) => {
                    let text = String::from_utf8_lossy(&buffer[..length]);
                    return text.split(',').nth(1).and_then(|seq| seq.parse().ok()).expect("a number");
                }
                Err(why) if why.kind() == ErrorKind::BrokenPipe => {}
                Err(why) => panic!("read the oldest record: {why}"),
            }
        }
    }
}
