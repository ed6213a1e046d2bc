//! Hours of faults, with every record accounted for and every process measured.
//!
//! `cargo run --release --manifest-path tests/Cargo.toml --example endurance [MINUTES [SEED]]` (10 minutes unless told, as root)
//! runs the release binary on the machine's own log with two TCP destinations and a UDP one, behind a cable into a
//! network of their own. It goes in rounds:
//!
//! - half a minute of faults, each kind in a thread of its own: receivers are closed, killed with bytes unread,
//!   stopped, away; the cable, addresses and routes go and come back, packets are dropped; shippers are killed and
//!   stopped; records trickle, and now and then storm over the ring;
//! - then calm. A last record must reach every receiver, and by then each TCP receiver must have had every record
//!   that the log has held since the first it got, or have been told that it is lost or perhaps unread;
//! - then silence, in which no process may run or even wake up. A silence that others disturb, who write to this log
//!   too, is not judged.
//!
//! It ends with a table, and with exit code 1 if a record is unaccounted for or a line wrong, if a
//! calm finds more memory mapped or other descriptors than the first, if any moment finds more descriptors than a
//! fault explains, or if a line costs more time at the end than at the beginning. What is kept of the past
//! are a few numbers, so an hour takes no more memory than a minute. Ctrl-C ends the run early, table and all. The
//! faults follow from the seed; when they meet which record does not.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use earlykmsg_tests::kmsg::{Writer, tag};
use earlykmsg_tests::program::{Program, Run};
use earlykmsg_tests::receiver::{End, Line, Lines, Tcp, TcpBehaviour, Udp};
use earlykmsg_tests::sandbox::{Network, alone, drop_nothing, drop_packets_to, ip};
use earlykmsg_tests::{json, proc};
use fastrand::Rng;
use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

const HOST: [u8; 4] = [10, 9, 0, 2];
const PORT: u16 = 5044;
/// The destinations, in the order of their ports and of their shippers' user ids.
const NAMES: [&str; 3] = ["tcp 1", "tcp 2", "udp"];
const UDP: usize = 2;
const FIRST_UID: usize = 0x6b6d_7367;

/// How long faults happen in a round.
const FAULTS: Duration = Duration::from_secs(30);
/// How long the last record of a round may take: a shipper that was killed often is started after 30 s, and a
/// connection may have to be found dead first.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long until the last acknowledgement was looked for, and how long a silence is behind that.
const SETTLING: Duration = Duration::from_millis(1_500);
const SILENCE: Duration = Duration::from_secs(4);
/// How often a round tries to have one.
const SILENCES: usize = 3;
/// How often the processes are measured.
const SAMPLE_EVERY: Duration = Duration::from_secs(2);
/// How often it is looked what arrived.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How much the time of a line may vary on a machine that others use.
const COST_TOLERANCE: f64 = 2.0;
/// What a process may hold beyond what it holds in the calm. A shipper that reaches nobody listens to what the kernel
/// tells of the network, on a socket beside the one that it connects. The watcher holds both ends of a channel until
/// the shipper that it starts has one of them.
const DESCRIPTORS_IN_A_FAULT: usize = 1;
/// From how many rounds on two halves can be compared.
const ROUNDS_TO_COMPARE: usize = 10;

/// Whether the end was asked for.
static STOP: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    let words: Result<Vec<u64>, _> = std::env::args().skip(1).map(|word| word.parse()).collect();
    let (minutes, seed) = match words.as_deref() {
        Ok([]) => (10, 1),
        Ok([minutes]) => (*minutes, 1),
        Ok([minutes, seed]) => (*minutes, *seed),
        _ => {
            eprintln!("usage: endurance [MINUTES [SEED]]");
            return ExitCode::from(64);
        }
    };
    // All threads and processes leave these signals to the one thread that waits for them.
    let ends = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    ends.thread_block().expect("block signals");
    thread::spawn(move || {
        while ends.wait().is_ok() {
            STOP.store(true, Ordering::Relaxed);
        }
    });
    println!("{minutes} minutes, seed {seed}");
    let failures = alone(|_| endure(Duration::from_secs(60 * minutes), seed));
    for failure in &failures {
        println!("FAILED: {failure}");
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The whole run: what failed.
fn endure(time: Duration, seed: u64) -> Vec<String> {
    let network = Network::cable(&["10.9.0.1/24"], &["10.9.0.2/24"]);
    let (mut tcp, mut udp) = network.enter(|| {
        let at = |number: usize| SocketAddr::from((HOST, PORT + number as u16));
        let tcp: Vec<_> = (0..UDP).map(|number| Some(Tcp::at(at(number), TcpBehaviour::Reads))).collect();
        (tcp, Some(Udp::at(at(UDP))))
    });
    let urls: Vec<String> = tcp.iter().flatten().map(Tcp::url).chain(udp.as_ref().map(Udp::url)).collect();
    let lines = tcp.iter().flatten().map(|tcp| &tcp.lines).chain(udp.as_ref().map(|udp| &udp.lines));
    let stream = Stream { tag: tag("endure"), written: AtomicU64::new(0), storms: AtomicU64::new(0) };
    let mut books = Books::new(&stream, lines);
    stream.write(&Writer::new(), 10);
    let program = Run::new(&urls).start_connected();
    let mut watch = Watch::new(program.pid);

    let (began, mut round) = (Instant::now(), 0);
    while began.elapsed() < time && !STOP.load(Ordering::Relaxed) {
        let dice = |actor: u64| Dice(Rng::with_seed(seed ^ (round << 8) ^ (actor << 48)));
        let until = Instant::now() + FAULTS;
        thread::scope(|scope| {
            let (network, stream, program) = (&network, &stream, &program);
            let mut actors = Vec::new();
            for (receiver, actor) in tcp.iter_mut().zip(0..) {
                actors.push(scope.spawn(move || trouble_tcp(receiver, network, dice(actor), until)));
            }
            let udp = &mut udp;
            actors.push(scope.spawn(move || trouble_udp(udp, network, dice(2), until)));
            actors.push(scope.spawn(move || trouble_network(network, dice(3), until)));
            actors.push(scope.spawn(move || trouble_shippers(program, dice(4), until)));
            actors.push(scope.spawn(move || write_records(stream, dice(5), until)));
            while actors.iter().any(|actor| !actor.is_finished()) {
                thread::sleep(LOOK_EVERY);
                books.take();
                watch.sample_now_and_then();
            }
        });
        round += 1;
        books.settle(&mut watch);
        let idle = watch.silence();
        watch.calm(books.lines());
        println!("{:5} s, round {round}: {}; {idle}", began.elapsed().as_secs(), books.said());
        if !proc::lives(program.pid) {
            watch.failures.push("the watcher is gone".to_owned());
            break;
        }
    }
    program.signal(Signal::SIGTERM);
    let end = program.finish(Duration::from_secs(10));
    if end.code != Some(0) {
        watch.failures.push(format!("it ended with {:?}, signal {:?}", end.code, end.signal));
    }
    books.take();
    println!("\n{}\n{}", books.table(), watch.table());
    println!(
        "{} records written, {} storms; {} lines said; {} of {} silences not judged: others wrote",
        stream.written.load(Ordering::Relaxed),
        stream.storms.load(Ordering::Relaxed),
        end.words.len(),
        watch.disturbed,
        round,
    );
    let mut failures = watch.verdict();
    failures.extend(books.failures);
    failures
}

/// Random numbers from a seed.
struct Dice(Rng);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0.u64(..end)
    }

    fn ms(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

/// Lets time pass, unless the end was asked for or `until` is over. That is the fault, not a wait for anything.
fn pass(time: Duration, until: Instant) {
    let until = until.min(Instant::now() + time);
    while let Some(left) = until.checked_duration_since(Instant::now())
        && !STOP.load(Ordering::Relaxed)
    {
        thread::sleep(left.min(Duration::from_millis(200)));
    }
}

fn goes_on(until: Instant) -> bool {
    Instant::now() < until && !STOP.load(Ordering::Relaxed)
}

/// A receiver's life. It ends well.
fn trouble_tcp(receiver: &mut Option<Tcp>, network: &Network, mut dice: Dice, until: Instant) {
    while goes_on(until) {
        pass(dice.ms(100, 8_000), until);
        let now = receiver.as_ref().expect("there is always one");
        let end = if dice.below(2) == 0 { End::Close } else { End::Reset };
        match dice.below(6) {
            0 => {
                now.pause();
                pass(dice.ms(500, 10_000), until);
                now.resume();
                continue;
            }
            // With bytes unread.
            1 | 2 => {
                now.pause();
                pass(dice.ms(500, 4_000), until);
            }
            _ => {}
        }
        let away = if dice.below(2) == 0 { Duration::ZERO } else { dice.ms(50, 8_000) };
        *receiver = network.enter(|| receiver.take().map(|receiver| receiver.restart(end, away)));
    }
}

/// The life of one that gets datagrams.
fn trouble_udp(receiver: &mut Option<Udp>, network: &Network, mut dice: Dice, until: Instant) {
    while goes_on(until) {
        pass(dice.ms(1_000, 15_000), until);
        let away = dice.ms(10, 4_000);
        *receiver = network.enter(|| receiver.take().map(|receiver| receiver.restart(away)));
    }
}

/// The cable, the address and the route go, and come back.
fn trouble_network(network: &Network, mut dice: Dice, until: Instant) {
    while goes_on(until) {
        pass(dice.ms(2_000, 12_000), until);
        let time = if dice.below(5) == 0 { dice.ms(5_000, 22_000) } else { dice.ms(20, 4_000) };
        match dice.below(5) {
            0 => {
                ip("link set near down");
                pass(time, until);
                ip("link set near up");
            }
            1 => network.enter(|| {
                ip("link set far down");
                pass(time, until);
                ip("link set far up");
            }),
            2 => {
                ip("addr del 10.9.0.1/24 dev near");
                pass(time, until);
                ip("addr add 10.9.0.1/24 dev near nodad");
            }
            3 => {
                ip("route del 10.9.0.0/24 dev near");
                pass(time, until);
                ip("route add 10.9.0.0/24 dev near src 10.9.0.1");
            }
            _ => network.enter(|| {
                drop_packets_to(HOST.into());
                pass(time, until);
                drop_nothing();
            }),
        }
    }
}

/// Now and then a shipper is killed, or stopped for a while.
fn trouble_shippers(program: &Program, mut dice: Dice, until: Instant) {
    while goes_on(until) {
        pass(dice.ms(3_000, 30_000), until);
        let shippers = program.shippers();
        let Some(&shipper) = shippers.get(dice.below(UDP as u64 + 1) as usize) else { continue };
        // It may have ended on its own meanwhile; its id is not another's before the watcher has taken note.
        if dice.below(2) == 0 {
            let _ = kill(shipper, Signal::SIGKILL);
        } else {
            let _ = kill(shipper, Signal::SIGSTOP);
            pass(dice.ms(100, 6_000), until);
            let _ = kill(shipper, Signal::SIGCONT);
        }
    }
}

/// Records trickle, and now and then there is nothing or a storm.
fn write_records(stream: &Stream, mut dice: Dice, until: Instant) {
    let mut storm_due = false;
    while goes_on(until) {
        match dice.below(30) {
            0 => pass(dice.ms(2_000, 6_000), until),
            1 | 2 => storm_due = true,
            _ => _ = stream.write(&Writer::new(), 1 + dice.below(60)),
        }
        // The ring belongs to others too, who test at the same time.
        if storm_due && let Some(writer) = Writer::try_storm() {
            stream.write(&writer, 1_000 + dice.below(7_000));
            stream.storms.fetch_add(1, Ordering::Relaxed);
            storm_due = false;
        }
        pass(dice.ms(10, 500), until);
    }
}

/// Numbered records.
struct Stream {
    tag: String,
    written: AtomicU64,
    storms: AtomicU64,
}

impl Stream {
    /// Writes more; gives the last one's number.
    fn write(&self, writer: &Writer, count: u64) -> u64 {
        let first = self.written.fetch_add(count, Ordering::Relaxed);
        (first..first + count).for_each(|number| writer.write(&self.text(number)));
        first + count - 1
    }

    /// The text of a record, which follows from its number.
    fn text(&self, number: u64) -> String {
        let filler = format!("{:x}.", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let times = if number.is_multiple_of(10) { 30 } else { number % 5 };
        format!("{} {number}. {}", self.tag, filler.repeat(times as usize))
    }

    /// The number of a record that is one of these, if its text is whole.
    fn number(&self, text: &str) -> Option<Result<u64, String>> {
        let rest = text.strip_prefix(&self.tag)?.strip_prefix(' ')?;
        let number = rest.split_once('.').and_then(|(number, _)| number.parse().ok());
        let whole = number.filter(|&number| text.strip_suffix('\n') == Some(&self.text(number)));
        Some(whole.ok_or_else(|| text.to_owned()))
    }
}

/// What became of the records, destination by destination.
struct Books<'a> {
    stream: &'a Stream,
    accounts: Vec<Account>,
    /// The number of each recent record, by its sequence number: all receivers must agree.
    numbers: BTreeMap<u64, u64>,
    failures: Vec<String>,
}

/// One destination's.
struct Account {
    arriving: Arc<Lines>,
    /// Ranges of sequence numbers that are accounted for, first and last; neighbours are one.
    covered: BTreeMap<u64, u64>,
    /// The last sequence number of each recent connection.
    ends: BTreeMap<usize, u64>,
    /// The last record of ours.
    newest: Option<u64>,
    lines: u64,
    twice: u64,
    lost: u64,
    unread: u64,
    unaccounted: u64,
}

impl Account {
    fn new(arriving: &Arc<Lines>) -> Account {
        Account {
            arriving: Arc::clone(arriving),
            covered: BTreeMap::new(),
            ends: BTreeMap::new(),
            newest: None,
            lines: 0,
            twice: 0,
            lost: 0,
            unread: 0,
            unaccounted: 0,
        }
    }

    /// Notes that `first` to `last` are accounted for; says how many of them were not before.
    fn cover(&mut self, first: u64, last: u64) -> u64 {
        let (mut start, mut end, mut known) = (first, last, 0);
        while let Some((&from, &to)) = self.covered.range(..=end.saturating_add(1)).next_back()
            && to + 1 >= start
        {
            self.covered.remove(&from);
            known += (to.min(last) + 1).saturating_sub(from.max(first));
            (start, end) = (start.min(from), end.max(to));
        }
        self.covered.insert(start, end);
        last - first + 1 - known
    }
}

impl<'a> Books<'a> {
    fn new<'b>(stream: &'a Stream, lines: impl Iterator<Item = &'b Arc<Lines>>) -> Books<'a> {
        Books {
            stream,
            accounts: lines.map(Account::new).collect(),
            numbers: BTreeMap::new(),
            failures: Vec::new(),
        }
    }

    /// Lines of all destinations so far.
    fn lines(&self) -> u64 {
        self.accounts.iter().map(|account| account.lines).sum()
    }

    /// Takes what has arrived.
    fn take(&mut self) {
        for at in 0..self.accounts.len() {
            let lines = core::mem::take(&mut *self.accounts[at].arriving.items());
            for line in lines {
                self.enter(at, &line);
            }
        }
    }

    fn enter(&mut self, at: usize, line: &Line) {
        let object = line.json();
        let (seq, text) = (json::seq(&object), json::msg(&object));
        let account = &mut self.accounts[at];
        account.lines += 1;
        let range = json::report(&object);
        let last = range.as_ref().map_or(seq, |range| *range.end());
        let new = account.cover(seq, last);
        match &range {
            Some(_) if json::is_lost(&object) => account.lost += new,
            Some(_) => account.unread += new,
            None => account.twice += 1 - new,
        }
        if let Some(connection) = line.connection
            && let Some(before) = account.ends.insert(connection, last)
            && before >= seq
        {
            self.failures
                .push(format!("{}: seq {seq} behind {before} by connection {connection}", NAMES[at]));
        }
        match self.stream.number(text) {
            None => {}
            Some(Ok(number)) => {
                account.newest = account.newest.max(Some(number));
                let elsewhere = *self.numbers.entry(seq).or_insert(number);
                if elsewhere != number {
                    self.failures.push(format!("{}: seq {seq} is {number}, and {elsewhere}", NAMES[at]));
                }
            }
            Some(Err(text)) => {
                self.failures.push(format!("{}: seq {seq} is not as written: {text}", NAMES[at]));
            }
        }
    }

    /// After the faults: a last record reaches all, and nothing before it is missing.
    fn settle(&mut self, watch: &mut Watch) {
        let mut missing: Vec<usize> = (0..self.accounts.len()).collect();
        let mut until = Instant::now() + PATIENCE;
        let mut last = 0;
        let first = self.stream.written.load(Ordering::Relaxed);
        let mut write = Instant::now();
        while !missing.is_empty() && Instant::now() < until {
            // More than one: a datagram may be lost, and a limit on writers may swallow one.
            let now = Instant::now();
            if now >= write {
                last = self.stream.write(&Writer::new(), 1);
                write = Instant::now() + Duration::from_secs(1);
                until += now.elapsed(); // others had the log for themselves
            }
            thread::sleep(LOOK_EVERY);
            self.take();
            watch.sample_now_and_then();
            missing.retain(|&at| self.accounts[at].newest.is_none_or(|newest| newest < first));
        }
        for at in missing {
            self.failures.push(format!("{}: no record came for {PATIENCE:?} after the faults", NAMES[at]));
        }
        // The others' last ones are under way.
        let all =
            |books: &Books<'_>| books.accounts[..UDP].iter().all(|account| account.newest >= Some(last));
        while !all(self) && Instant::now() < until {
            thread::sleep(LOOK_EVERY);
            self.take();
        }
        for (at, account) in self.accounts.iter_mut().enumerate() {
            let ranges: Vec<(u64, u64)> =
                account.covered.iter().map(|(&first, &last)| (first, last)).collect();
            for pair in ranges.windows(2) {
                let (from, to) = (pair[0].1 + 1, pair[1].0 - 1);
                account.unaccounted += to - from + 1;
                account.cover(from, to);
                if at != UDP {
                    self.failures.push(format!("{}: seq {from}-{to} is unaccounted for", NAMES[at]));
                }
            }
            account.ends.clear();
        }
        self.numbers.clear();
    }

    fn said(&self) -> String {
        let said = self.accounts.iter().zip(NAMES).map(|(account, name)| {
            let Account { lines, twice, lost, unread, unaccounted, .. } = account;
            format!(
                "{name} {lines} lines, {twice} twice, {lost} lost, {unread} unread, {unaccounted} missing"
            )
        });
        said.collect::<Vec<_>>().join("; ")
    }

    fn table(&self) -> String {
        let mut table = String::from(
            "| destination | lines | records received | twice | reported lost | reported perhaps unread | unaccounted \
             |\n| --- | --: | --: | --: | --: | --: | --: |\n",
        );
        for (account, name) in self.accounts.iter().zip(NAMES) {
            let Account { lines, twice, lost, unread, unaccounted, .. } = account;
            let known: u64 = account.covered.iter().map(|(first, last)| last - first + 1).sum();
            let received = known - lost - unread - unaccounted;
            table +=
                &format!("| {name} | {lines} | {received} | {twice} | {lost} | {unread} | {unaccounted} |\n");
        }
        table
            + "(Datagrams that are dropped on the way are missed by no one: those unaccounted for are no failure.)\n"
    }
}

/// One measurement of a process.
#[derive(Clone, Copy, Default)]
struct Sample {
    pss_kb: u64,
    rss_kb: u64,
    high_kb: u64,
    /// All that it has mapped, touched or not. It has no heap: memory that it has not from the start must be mapped.
    mapped_kb: u64,
    descriptors: usize,
}

impl Sample {
    /// None when the process is gone.
    fn of(pid: Pid, held: &BTreeMap<u32, PathBuf>) -> Option<Sample> {
        let kb = |name| proc::status(pid, name).split(' ').next()?.parse().ok();
        let descriptors = held.len();
        let (rss_kb, high_kb, mapped_kb) = (kb("VmRSS")?, kb("VmHWM")?, kb("VmSize")?);
        let pss_kb = proc::pss_kb(pid);
        (descriptors > 0).then_some(Sample { pss_kb, rss_kb, high_kb, mapped_kb, descriptors })
    }
}

/// The watcher, or the shippers of one destination, one after the other.
#[derive(Default)]
struct Role {
    lives: Vec<Pid>,
    /// The time of those who have ended, and of the one that runs.
    cpu: Duration,
    cpu_now: Duration,
    /// The highest of all samples.
    high_kb: u64,
    /// In the calm, at first and at last.
    calm: Option<(Sample, Sample)>,
    /// What it held when it held most.
    held: BTreeMap<u32, PathBuf>,
}

/// What the roles are called.
fn role_names() -> impl Iterator<Item = &'static str> {
    core::iter::once("watcher").chain(NAMES)
}

/// The processes.
struct Watch {
    watcher: Pid,
    roles: [Role; NAMES.len() + 1],
    next: Instant,
    rounds: usize,
    disturbed: usize,
    /// Processor time and lines so far, at the end of each round.
    costs: Vec<(Duration, u64)>,
    failures: Vec<String>,
}

impl Watch {
    fn new(watcher: Pid) -> Watch {
        Watch {
            watcher,
            roles: Default::default(),
            next: Instant::now(),
            rounds: 0,
            disturbed: 0,
            costs: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// The processes that run, and the role of each. A shipper is one when it has its user id.
    fn processes(&self) -> Vec<(usize, Pid)> {
        let number = |pid: &Pid| {
            let uid: usize = proc::status(*pid, "Uid").split_whitespace().next()?.parse().ok()?;
            Some((uid.checked_sub(FIRST_UID)? + 1, *pid))
        };
        let shippers = proc::children(self.watcher);
        core::iter::once((0, self.watcher)).chain(shippers.iter().filter_map(number)).collect()
    }

    fn sample_now_and_then(&mut self) {
        if Instant::now() >= self.next {
            self.next = Instant::now() + SAMPLE_EVERY;
            self.sample();
        }
    }

    /// Measures all of them.
    fn sample(&mut self) -> Vec<(usize, Sample)> {
        let mut samples = Vec::new();
        for (at, pid) in self.processes() {
            let held = proc::descriptors(pid);
            let (Some(sample), Some(cpu)) = (Sample::of(pid, &held), proc::try_cpu(pid)) else { continue };
            let role = &mut self.roles[at];
            if held.len() > role.held.len() {
                role.held = held;
            }
            if role.lives.last() != Some(&pid) {
                role.lives.push(pid);
                role.cpu += core::mem::take(&mut role.cpu_now);
            }
            role.cpu_now = cpu;
            role.high_kb = role.high_kb.max(sample.high_kb);
            samples.push((at, sample));
        }
        samples
    }

    /// Nothing is written for a while, and nobody runs.
    fn silence(&mut self) -> &'static str {
        for _ in 0..SILENCES {
            if let Some(cost) = self.one_silence() {
                return cost;
            }
        }
        self.disturbed += 1;
        "silence disturbed"
    }

    /// None: others wrote.
    fn one_silence(&mut self) -> Option<&'static str> {
        let log = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open("/dev/kmsg");
        let mut log = log.expect("open /dev/kmsg");
        log.seek(SeekFrom::End(0)).expect("go to the end of the log");
        let state =
            |(at, pid)| Some((at, pid, proc::try_cpu(pid)?, proc::status(pid, "voluntary_ctxt_switches")));
        let states = || self.processes().into_iter().filter_map(state).collect::<Vec<_>>();
        thread::sleep(SETTLING);
        let before = states();
        thread::sleep(SILENCE); // what is measured
        let after = states();
        let quiet = log.read(&mut [0; 8192]).is_err_and(|why| why.kind() == ErrorKind::WouldBlock);
        if !quiet {
            return None;
        }
        if before == after {
            return Some("silence cost nothing");
        }
        self.failures
            .push(format!("round {}: silence has a cost: {before:?}, then {after:?}", self.rounds + 1));
        Some("silence has a cost")
    }

    /// Measures all of them in the calm after a round.
    fn calm(&mut self, lines: u64) {
        let samples = self.sample();
        if samples.len() != self.roles.len() {
            self.failures.push(format!("round {}: {} processes run", self.rounds + 1, samples.len()));
        }
        for (at, sample) in samples {
            let role = &mut self.roles[at];
            let first = role.calm.map_or(sample, |(first, _)| first);
            role.calm = Some((first, sample));
            let (round, name) = (self.rounds + 1, role_names().nth(at).unwrap_or_default());
            let (before, now) = (first.descriptors, sample.descriptors);
            if now != before {
                self.failures.push(format!("round {round}: {name}: {now} descriptors, {before} at first"));
            }
            let (before, now) = (first.mapped_kb, sample.mapped_kb);
            if now > before {
                self.failures.push(format!("round {round}: {name}: {now} kB are mapped, {before} at first"));
            }
        }
        let cpu = self.roles.iter().map(|role| role.cpu + role.cpu_now).sum();
        self.costs.push((cpu, lines));
        self.rounds += 1;
    }

    /// The processor time of a line in microseconds, in the first and the second half of the rounds.
    fn costs(&self) -> Option<(f64, f64)> {
        let cost = |from: (Duration, u64), to: (Duration, u64)| {
            (to.0 - from.0).as_secs_f64() * 1e6 / (to.1 - from.1).max(1) as f64
        };
        let (first, last) = (*self.costs.first()?, *self.costs.last()?);
        let middle = self.costs[self.costs.len() / 2];
        (self.costs.len() >= ROUNDS_TO_COMPARE).then(|| (cost(first, middle), cost(middle, last)))
    }

    fn table(&self) -> String {
        let mut table = String::from(
            "| process | Pss | VmRSS | VmHWM | descriptors | VmSize | highest VmHWM | most descriptors | started | processor \
             time |\n| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |\n",
        );
        for (role, name) in self.roles.iter().zip(role_names()) {
            let (first, last) = role.calm.unwrap_or_default();
            table += &format!(
                "| {name} | {}, {} | {}, {} | {}, {} | {}, {} | {}, {} | {} | {} | {} | {:.2} s |\n",
                first.pss_kb,
                last.pss_kb,
                first.rss_kb,
                last.rss_kb,
                first.high_kb,
                last.high_kb,
                first.descriptors,
                last.descriptors,
                first.mapped_kb,
                last.mapped_kb,
                role.high_kb,
                role.held.len(),
                role.lives.len(),
                (role.cpu + role.cpu_now).as_secs_f64(),
            );
        }
        table += "(In the calm after the first round and after the last; memory in kB.)\n";
        if let Some((first, second)) = self.costs() {
            table += &format!(
                "A line took {first:.2} µs in the first half of the time and {second:.2} µs in the second.\n"
            );
        }
        table
    }

    /// What failed.
    fn verdict(mut self) -> Vec<String> {
        for (role, name) in self.roles.iter().zip(role_names()) {
            let (calm, _) = role.calm.unwrap_or_default();
            if role.held.len() > calm.descriptors + DESCRIPTORS_IN_A_FAULT {
                let held = &role.held;
                self.failures.push(format!("{name}: more descriptors than a fault explains: {held:?}"));
            }
        }
        if let Some((first, second)) = self.costs()
            && second > first * COST_TOLERANCE
        {
            self.failures.push(format!("a line takes {second:.2} µs, and took {first:.2} µs"));
        }
        self.failures
    }
}
