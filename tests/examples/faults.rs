//! Faults between the ring and the receiver, for earlykmsg and for two other shippers, as a Markdown table.
//!
//! `cargo run --manifest-path tests/Cargo.toml --example faults [WORD ...]` runs each fault with each shipper in turn on the
//! machine's own log, as root. A word is a shipper (`earlykmsg`, `rsyslog`, `cat-nc`) or a part of a fault's
//! name; without any, all run. `docs/measurements/delivery.md` says what the columns mean.

use core::cell::Cell;
use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use earlykmsg_tests::foreign::unread_bytes;
use earlykmsg_tests::kmsg::{Writer, tag};
use earlykmsg_tests::program::{Program, start};
use earlykmsg_tests::receiver::{End, Line, Lines, Tcp, TcpBehaviour, Udp};
use earlykmsg_tests::record::Record;
use earlykmsg_tests::sandbox::{
    FAR, NEAR, Network, Sandbox, alone, drop_nothing, drop_packets_from, drop_packets_to, far, far6, ip,
};
use earlykmsg_tests::{json, proc};
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{setsockopt, shutdown, sockopt};
use nix::unistd::Pid;

const PORT: u16 = 5044;

/// How long a shipper has to deliver again, after a fault has ended.
const RECOVERY: Duration = Duration::from_secs(25);

struct Fault {
    name: &'static str,
    /// Whether the ring may be overrun.
    storm: bool,
    /// Whether all shippers have it side by side, because it lasts and writes little.
    lasts: bool,
    /// Whether the shipper ends with it.
    ends: bool,
    /// Where the receiver is, and how.
    way: Way,
    /// What the wire takes.
    mtu: u32,
    /// The receive buffer, unless it is the stock one.
    buffer: Option<usize>,
    /// What the first receiver does.
    behaviour: TcpBehaviour,
    /// Whether the shipper is connected to the one that can be slowed down.
    slowed: bool,
    /// Records that are in the ring before the shipper starts; with many, they are short.
    ahead: usize,
    happen: fn(&mut Scene),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Tcp,
    Tcp6,
    Udp,
}

/// What they have in common.
const FAULT: Fault = Fault {
    name: "",
    storm: false,
    lasts: false,
    ends: false,
    way: Way::Tcp,
    mtu: 1500,
    buffer: None,
    behaviour: TcpBehaviour::Reads,
    slowed: false,
    ahead: 0,
    happen: |_| {},
};

const FAULTS: &[Fault] = &[
    Fault {
        name: "killed with bytes unread, restarted at once",
        happen: |scene| {
            scene.leave_unread();
            scene.restart(End::Reset);
        },
        ..FAULT
    },
    Fault {
        name: "killed with bytes unread, restarted after 60 s",
        lasts: true,
        happen: |scene| {
            scene.leave_unread();
            scene.receiver().stop(End::Reset);
            for _ in 0..60 {
                scene.stream.write(1);
                thread::sleep(Duration::from_secs(1));
            }
            scene.restart(End::Reset);
        },
        ..FAULT
    },
    Fault {
        name: "killed with 3 MB unread in a large buffer, restarted at once",
        storm: true,
        buffer: Some(32 << 20),
        happen: |scene| {
            scene.receiver().pause();
            let unread = |scene: &Scene| scene.network.enter(|| unread_bytes(PORT));
            while unread(scene) < 3 << 20 && scene.stream.written < 15_000 {
                // No faster than the shipper reads.
                let more = unread(scene) + 200 * 100;
                scene.stream.write(200);
                let end = Instant::now() + Duration::from_secs(1);
                while unread(scene) < more && Instant::now() < end {
                    thread::sleep(Duration::from_millis(10));
                }
            }
            scene.restart(End::Reset);
        },
        ..FAULT
    },
    Fault {
        name: "closed with all read, restarted at once",
        happen: |scene| {
            scene.restart(End::Quit);
            scene.stream.write(20);
        },
        ..FAULT
    },
    Fault {
        name: "closed with all read, restarted after 0.5 s",
        happen: |scene| {
            scene.receiver().stop(End::Quit);
            scene.stream.write(20);
            thread::sleep(Duration::from_millis(500));
            scene.restart(End::Quit);
        },
        ..FAULT
    },
    Fault {
        name: "talks all the time, closed with all read, restarted at once",
        behaviour: TcpBehaviour::Talks,
        happen: |scene| {
            scene.stream.write(100);
            scene.settle();
            scene.restart(End::Quit);
            scene.stream.write(20);
        },
        ..FAULT
    },
    Fault { name: "packets dropped for 4 s", happen: |scene| scene.drop_packets(4), ..FAULT },
    Fault { name: "packets dropped for 22 s", happen: |scene| scene.drop_packets(22), ..FAULT },
    Fault {
        name: "no route for 4 s",
        happen: |scene| {
            ip("route del 10.9.0.0/24");
            scene.stream.write(50);
            thread::sleep(Duration::from_secs(4));
            scene.stream.write(50);
            ip("route add 10.9.0.0/24 dev near");
        },
        ..FAULT
    },
    Fault {
        name: "interface down for 4 s",
        happen: |scene| {
            ip("link set near down");
            scene.stream.write(50);
            thread::sleep(Duration::from_secs(4));
            scene.stream.write(50);
            ip("link set near up");
        },
        ..FAULT
    },
    Fault {
        name: "closed with all read, then nothing answers for 12 s",
        happen: |scene| {
            scene.network.enter(|| drop_packets_to(scene.host));
            scene.restart(End::Quit);
            scene.stream.write(20);
            thread::sleep(Duration::from_secs(12));
            scene.network.enter(drop_nothing);
        },
        ..FAULT
    },
    Fault {
        name: "one connection forgotten on the way, new ones pass",
        happen: |scene| {
            let peer = scene.receiver().peer();
            scene.network.enter(|| drop_packets_from(peer));
            scene.stream.write(20);
        },
        ..FAULT
    },
    Fault { name: "MTU 576", mtu: 576, happen: Scene::long_records, ..FAULT },
    Fault { name: "MTU 9000", mtu: 9000, happen: Scene::long_records, ..FAULT },
    Fault {
        name: "IPv6 only, killed with bytes unread, restarted at once",
        way: Way::Tcp6,
        happen: |scene| {
            scene.leave_unread();
            scene.restart(End::Reset);
        },
        ..FAULT
    },
    Fault {
        name: "accepts and never reads, killed after 10 s, restarted at once",
        storm: true,
        behaviour: TcpBehaviour::Ignores,
        ahead: 600,
        happen: |scene| {
            scene.stream.write(100);
            thread::sleep(Duration::from_secs(10));
            scene.restart(End::Reset);
        },
        ..FAULT
    },
    Fault {
        name: "reads one byte a second for 20 s, killed, restarted at once",
        storm: true,
        behaviour: TcpBehaviour::Crawls,
        ahead: 600,
        happen: |scene| {
            scene.stream.write(100);
            thread::sleep(Duration::from_secs(20));
            scene.restart(End::Reset);
        },
        ..FAULT
    },
    Fault {
        name: "reads slowly (20 KB/s) for 10 s",
        storm: true,
        slowed: true,
        happen: |scene| {
            scene.slow.store(true, Ordering::Relaxed);
            for _ in 0..10 {
                scene.stream.write(400);
                thread::sleep(Duration::from_secs(1));
            }
            scene.slow.store(false, Ordering::Relaxed);
        },
        ..FAULT
    },
    Fault {
        name: "stopped for 10 s and continued",
        happen: |scene| {
            scene.receiver().pause();
            for _ in 0..10 {
                scene.stream.write(50);
                thread::sleep(Duration::from_secs(1));
            }
            scene.receiver().resume();
        },
        ..FAULT
    },
    Fault {
        name: "stopped for 60 s and continued",
        lasts: true,
        happen: |scene| {
            scene.receiver().pause();
            for _ in 0..60 {
                scene.stream.write(2);
                thread::sleep(Duration::from_secs(1));
            }
            scene.receiver().resume();
        },
        ..FAULT
    },
    Fault {
        name: "half-open: the peer forgot the connection",
        happen: |scene| {
            // Its last words reach nobody: the cable is out while it dies.
            scene.network.enter(|| ip("link set far down"));
            scene.restart(End::Reset);
            scene.network.enter(|| ip("link set far up"));
            scene.stream.write(20);
        },
        ..FAULT
    },
    Fault {
        name: "killed with bytes unread, away while 5,000 records overrun the ring",
        storm: true,
        happen: |scene| {
            scene.leave_unread();
            scene.receiver().stop(End::Reset);
            scene.stream.write(5_000);
            scene.restart(End::Reset);
        },
        ..FAULT
    },
    Fault {
        name: "closed with all read, away while 5,000 records overrun the ring",
        storm: true,
        happen: |scene| {
            scene.receiver().stop(End::Quit);
            scene.stream.write(5_000);
            scene.restart(End::Quit);
        },
        ..FAULT
    },
    Fault {
        name: "reboot with 200 records just written",
        ends: true,
        happen: |scene| {
            scene.stream.write(200);
            scene.reboot();
        },
        ..FAULT
    },
    Fault {
        name: "reboot with 200 records just written, the receiver away and back after 2 s",
        ends: true,
        happen: |scene| {
            scene.receiver().stop(End::Quit);
            scene.stream.write(200);
            scene.process.signal(Signal::SIGTERM);
            thread::sleep(Duration::from_secs(2));
            scene.restart(End::Quit);
            scene.reboot();
        },
        ..FAULT
    },
    Fault { name: "3,000 records at once as datagrams", storm: true, way: Way::Udp, ahead: 3_000, ..FAULT },
];

#[derive(Clone, Copy)]
enum Shipper {
    Earlykmsg,
    Rsyslog,
    CatNc,
}

const SHIPPERS: [(Shipper, &str, &str); 3] = [
    (Shipper::Earlykmsg, "earlykmsg", "earlykmsg"),
    (Shipper::Rsyslog, "rsyslog", "rsyslog imkmsg, omfwd"),
    (Shipper::CatNc, "cat-nc", "busybox cat \\| nc"),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let is_shipper = |word: &&String| SHIPPERS.iter().any(|(_, name, _)| name == word);
    let (shippers, faults): (Vec<&String>, Vec<&String>) = words.iter().partition(is_shipper);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = thread::available_parallelism().map_or(1, core::num::NonZero::get);
    println!("Linux {}, {cores} cores\n", release.trim());
    println!(
        "| fault | shipper | records written | received (unique) | duplicates | reported lost / perhaps unread \
         | unaccounted | time to recover |\n| --- | --- | --: | --: | --: | --: | --: | --: |"
    );
    for fault in FAULTS {
        if !faults.is_empty() && !faults.iter().any(|part| fault.name.contains(part.as_str())) {
            continue;
        }
        let has_part = |(shipper, name): (Shipper, &str)| {
            (shippers.is_empty() || shippers.iter().any(|word| *word == name))
                // Its nc knows no datagrams.
                && (fault.way != Way::Udp || !matches!(shipper, Shipper::CatNc))
        };
        let part = SHIPPERS.into_iter().filter(|(shipper, name, _)| has_part((*shipper, name)));
        let print = |shown: &str, cells: String| println!("| {} | {shown} {cells}", fault.name);
        if fault.lasts {
            thread::scope(|scope| {
                let start = |(shipper, _, shown)| {
                    (shown, scope.spawn(move || alone(|sandbox| run(fault, shipper, sandbox))))
                };
                let running: Vec<_> = part.map(start).collect();
                running.into_iter().for_each(|(shown, run)| print(shown, run.join().expect("a row")));
            });
        } else {
            part.for_each(|(shipper, _, shown)| print(shown, alone(|sandbox| run(fault, shipper, sandbox))));
        }
    }
}

/// One fault with one shipper: the cells of the table.
fn run(fault: &Fault, shipper: Shipper, sandbox: &Sandbox) -> String {
    let family = if fault.way == Way::Tcp6 { 1..2 } else { 0..1 };
    let network = Network::cable(&NEAR[family.clone()], &FAR[family]);
    ip(&format!("link set near mtu {}", fault.mtu));
    network.enter(|| ip(&format!("link set far mtu {}", fault.mtu)));
    let address = if fault.way == Way::Tcp6 { far6(PORT) } else { far(PORT) };
    let mut stream = Stream::new(fault.storm);
    if fault.ahead > 1_000 {
        stream.be_short();
    }
    stream.write(fault.ahead);
    if fault.way == Way::Udp {
        let receiver = network.enter(|| Udp::at(address));
        let process = Process::start(shipper, sandbox, address, Way::Udp);
        let lines = Arc::clone(&receiver.lines);
        let first = |lines: &[Line]| (!lines.is_empty()).then_some(());
        lines.wait(Duration::from_secs(20), "a datagram", first);
        let scene = Scene {
            network,
            receiver: None,
            lines,
            stream,
            slow: Arc::default(),
            host: address.ip(),
            process,
        };
        scene.settle();
        return scene.account() + "– |";
    }
    let (receiver, slowed) = network.enter(|| {
        let receiver = Tcp::at(address, fault.behaviour);
        if let Some(bytes) = fault.buffer {
            receiver.set_buffer(bytes);
        }
        let slowed = Slowed::new((address.ip(), PORT + 1).into(), receiver.address);
        (receiver, slowed)
    });
    let to = if fault.slowed { (address.ip(), PORT + 1).into() } else { address };
    let mut scene = Scene {
        lines: Arc::clone(&receiver.lines),
        network,
        receiver: Some(receiver),
        stream,
        slow: Arc::clone(&slowed.slow),
        host: address.ip(),
        process: Process::start(shipper, sandbox, to, fault.way),
    };
    if matches!(fault.behaviour, TcpBehaviour::Reads | TcpBehaviour::Talks) {
        scene.lines.wait_for(&scene.stream.write(10), Duration::from_secs(20));
        scene.settle();
    } else {
        let first = |all: &[Instant]| all.first().copied();
        scene.receiver().connections.wait(Duration::from_secs(20), "a connection", first);
    }
    (fault.happen)(&mut scene);
    if fault.ends {
        scene.settle();
        return scene.account() + "– |";
    }
    let recovered = scene.recover();
    let mut row = scene.account();
    row += &recovered.map_or("never".to_owned(), |time| format!("{:.2} s", time.as_secs_f64()));
    row + if scene.process.lives() { " |" } else { ", it has exited |" }
}

/// A network with a receiver in it, and the records.
struct Scene {
    network: Network,
    receiver: Option<Tcp>,
    lines: Arc<Lines>,
    stream: Stream,
    slow: Arc<AtomicBool>,
    host: IpAddr,
    process: Process,
}

impl Scene {
    fn receiver(&mut self) -> &mut Tcp {
        self.receiver.as_mut().expect("there is always one")
    }

    fn restart(&mut self, end: End) {
        let receiver = self.receiver.take();
        self.receiver = self.network.enter(|| receiver.map(|receiver| receiver.restart(end, Duration::ZERO)));
    }

    fn leave_unread(&mut self) {
        self.receiver().pause();
        let last = self.stream.write(220);
        self.receiver().wait_unread(&last, RECOVERY);
    }

    fn drop_packets(&mut self, seconds: u64) {
        self.network.enter(|| drop_packets_to(self.host));
        self.stream.write(50);
        thread::sleep(Duration::from_secs(seconds));
        self.stream.write(50);
        self.network.enter(drop_nothing);
    }

    fn long_records(&mut self) {
        for _ in 0..5 {
            for length in [100, 500, 900] {
                self.stream.write_one(&"x".repeat(length));
            }
        }
        self.stream.write(50);
    }

    /// What an init does to all processes.
    fn reboot(&self) {
        self.process.signal(Signal::SIGTERM);
        let end = Instant::now() + Duration::from_secs(10);
        while self.process.lives() && Instant::now() < end {
            thread::sleep(Duration::from_millis(50));
        }
        self.process.signal(Signal::SIGKILL);
    }

    /// Waits until nothing more comes.
    fn settle(&self) {
        let end = Instant::now() + Duration::from_secs(10);
        let mut before = self.lines.len();
        while Instant::now() < end {
            thread::sleep(Duration::from_millis(700));
            if core::mem::replace(&mut before, self.lines.len()) == self.lines.len() {
                return;
            }
        }
    }

    /// The fault has ended: how long until a record arrives that is written from now on. Many are, as the first
    /// may be lost.
    fn recover(&mut self) -> Option<Duration> {
        let (since, first) = (Instant::now(), self.stream.written);
        let mut back = None;
        while back.is_none() && since.elapsed() < RECOVERY {
            let living = self.process.lives();
            self.stream.write(1);
            let is_new = |line: &[u8]| self.stream.number(line).is_some_and(|number| number >= first);
            back = self.lines.try_wait(Duration::from_millis(250), |lines| {
                // What is new comes last.
                let mut ended = lines.iter().rev().take(200);
                ended.find(|line| is_new(&line.bytes)).map(|line| line.at)
            });
            if !living && since.elapsed() > Duration::from_secs(2) {
                break;
            }
        }
        let last = self.stream.write(10);
        let patience = Duration::from_secs(if back.is_some() { 10 } else { 1 });
        let seen = Cell::new(0);
        self.lines.try_wait(patience, |lines| {
            let new = &lines[seen.replace(lines.len())..];
            new.iter().any(|line| self.stream.number(&line.bytes) == Some(last_number(&last))).then_some(())
        });
        self.settle();
        back.map(|at| at.saturating_duration_since(since))
    }

    /// What became of the records.
    fn account(&self) -> String {
        let process = &self.process;
        let mut received = BTreeMap::<usize, usize>::new();
        let mut told = process.words();
        for line in self.lines.items().iter() {
            if let Some(number) = self.stream.number(&line.bytes) {
                *received.entry(number).or_default() += 1;
            } else if matches!(process, Process::Ours(_))
                && line.bytes.windows(13).any(|part| part == b",\"earlykmsg\":")
            {
                told.push(json::msg(&line.json()).to_owned());
            }
        }
        let ranges = |lost: bool| -> Vec<RangeInclusive<u64>> {
            let of_kind = |text: &&String| text.starts_with("earlykmsg: lost ") == lost;
            told.iter().filter(of_kind).filter_map(|text| json::reported(text)).collect()
        };
        let (lost, unread) = (ranges(true), ranges(false));
        let within =
            |ranges: &[RangeInclusive<u64>], seq: &u64| ranges.iter().any(|range| range.contains(seq));
        let seqs = &self.stream.seqs;
        let count = |ranges: &[RangeInclusive<u64>]| seqs.values().filter(|seq| within(ranges, seq)).count();
        let accounted = |number: &usize| {
            let seq = seqs.get(number);
            received.contains_key(number) || seq.is_some_and(|seq| within(&lost, seq) || within(&unread, seq))
        };
        // For earlykmsg there must be none.
        let missing: Vec<usize> = (0..self.stream.written).filter(|number| !accounted(number)).collect();
        if let (Process::Ours(_), Some(first), Some(last)) = (process, missing.first(), missing.last()) {
            eprintln!(
                "lost in silence: numbers {first} to {last}, seq {:?} to {:?}",
                seqs.get(first),
                seqs.get(last)
            );
        }
        format!(
            "| {} | {} | {} | {} / {} | {} | ",
            self.stream.written,
            received.len(),
            received.values().sum::<usize>() - received.len(),
            count(&lost),
            count(&unread),
            missing.len()
        )
    }
}

/// Numbered records, and the sequence number that the kernel gave to each.
struct Stream {
    writer: Writer,
    ring: File,
    tag: String,
    filler: String,
    written: usize,
    seqs: BTreeMap<usize, u64>,
}

impl Stream {
    fn new(storm: bool) -> Stream {
        let writer = if storm { Writer::storm() } else { Writer::new() };
        let nonblocking = OFlag::O_NONBLOCK.bits();
        let mut ring =
            File::options().read(true).custom_flags(nonblocking).open("/dev/kmsg").expect("open /dev/kmsg");
        ring.seek(SeekFrom::End(0)).expect("go to the end of the ring");
        let (tag, filler) = (tag("fault"), "x".repeat(50));
        Stream { writer, ring, tag, filler, written: 0, seqs: BTreeMap::new() }
    }

    /// So that the ring holds 3,000.
    fn be_short(&mut self) {
        let time = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_micros());
        self.tag = format!("f{:x}", time & 0xfff_ffff);
        self.filler.clear();
    }

    /// Writes more; gives the last one's text.
    fn write(&mut self, count: usize) -> String {
        let filler = self.filler.clone();
        let mut text = String::new();
        for _ in 0..count {
            text = self.write_one(&filler);
            if self.written.is_multiple_of(100) {
                self.look();
            }
        }
        self.look();
        text
    }

    /// Writes one that holds `more` as well; gives its text without that.
    fn write_one(&mut self, more: &str) -> String {
        let text = format!("{} {}.", self.tag, self.written);
        self.writer.write(&format!("{text} {more}"));
        self.written += 1;
        text
    }

    /// Reads what was written, as long as the ring has it.
    fn look(&mut self) {
        let mut buffer = [0; 8192];
        loop {
            match self.ring.read(&mut buffer) {
                Ok(length) => {
                    if let Some(number) = self.number(&buffer[..length]) {
                        self.seqs.insert(number, Record::parse(&buffer[..length]).seq);
                    }
                }
                Err(why) if why.kind() == ErrorKind::WouldBlock => return,
                Err(why) if why.kind() == ErrorKind::BrokenPipe => {} // others wrote too much
                Err(why) => panic!("read /dev/kmsg: {why}"),
            }
        }
    }

    /// The number of a record of ours, in whatever form a shipper gives it.
    fn number(&self, line: &[u8]) -> Option<usize> {
        let text = String::from_utf8_lossy(line);
        let (_, rest) = text.split_once(&self.tag)?;
        rest.strip_prefix(' ')?.split_once('.')?.0.parse().ok()
    }
}

fn last_number(text: &str) -> usize {
    let number = text.rsplit_once(' ').and_then(|(_, number)| number.trim_end_matches('.').parse().ok());
    number.expect("a text of ours ends with its number")
}

/// A shipper that runs, ended with this value.
enum Process {
    Ours(Program),
    Other(Child),
}

impl Process {
    fn start(shipper: Shipper, sandbox: &Sandbox, to: SocketAddr, way: Way) -> Process {
        let (host, port) = (to.ip(), to.port());
        let protocol = if way == Way::Udp { "udp" } else { "tcp" };
        let dir = sandbox.dir().display();
        match shipper {
            Shipper::Earlykmsg => Process::Ours(start(&format!("{protocol}://{to}/"))),
            Shipper::Rsyslog => {
                let config = format!(
                    r#"
global(workDirectory="{dir}" maxMessageSize="64k")
module(load="imkmsg")
template(name="line" type="string" string="{{\"msg\":\"%msg:::json%\"}}\n")
action(type="omfwd" target="{host}" port="{port}" protocol="{protocol}" template="line"
       queue.type="LinkedList" action.resumeRetryCount="-1" action.resumeInterval="1")
"#
                );
                let config = sandbox.file("rsyslog.conf", config).display().to_string();
                Process::other(&["rsyslogd", "-n", "-f", &config, "-i", &format!("{dir}/pid")])
            }
            Shipper::CatNc => {
                Process::other(&["sh", "-c", &format!("busybox cat /dev/kmsg | busybox nc {host} {port}")])
            }
        }
    }

    /// To all of it, as far as it is there.
    fn signal(&self, signal: Signal) {
        for pid in proc::family(self.pid()).into_iter().filter(|pid| proc::lives(*pid)) {
            let _ = kill(pid, signal);
        }
    }

    fn other(words: &[&str]) -> Process {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Process::Other(command.spawn().expect("start setpriv"))
    }

    fn pid(&self) -> Pid {
        match self {
            Process::Ours(program) => program.pid,
            Process::Other(child) => Pid::from_raw(child.id().cast_signed()),
        }
    }

    /// Whether all of it is there: of a pipeline that lost one end, the other waits for ever.
    fn lives(&self) -> bool {
        match self {
            Process::Ours(_) => proc::lives(self.pid()),
            Process::Other(_) => {
                let shell = proc::file(self.pid(), "comm").trim() == "sh";
                proc::lives(self.pid()) && (!shell || proc::children(self.pid()).len() == 2)
            }
        }
    }

    /// What it said on stderr.
    fn words(&self) -> Vec<String> {
        match self {
            Process::Ours(program) => program.words.items().clone(),
            Process::Other(_) => Vec::new(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pid = self.pid();
        if let Process::Other(child) = self {
            for pid in proc::family(pid) {
                let _ = kill(pid, Signal::SIGKILL);
            }
            let _ = child.wait();
        }
    }
}

/// A listener that passes on what it reads: all at once, or 2 KB each tenth of a second.
struct Slowed {
    slow: Arc<AtomicBool>,
    listener: Arc<TcpListener>,
    acceptor: Option<JoinHandle<()>>,
}

impl Slowed {
    fn new(address: SocketAddr, receiver: SocketAddr) -> Slowed {
        let listener = Arc::new(TcpListener::bind(address).expect("listen"));
        setsockopt(&*listener, sockopt::RcvBuf, &8192).expect("set SO_RCVBUF");
        let slow = Arc::new(AtomicBool::new(false));
        let acceptor = thread::spawn({
            let (listener, slow) = (Arc::clone(&listener), Arc::clone(&slow));
            move || {
                thread::scope(|scope| {
                    while let Ok((from, _)) = listener.accept() {
                        let to = TcpStream::connect(receiver).expect("connect");
                        let slow = &slow;
                        scope.spawn(move || pass_on(from, to, slow));
                    }
                });
            }
        });
        Slowed { slow, listener, acceptor: Some(acceptor) }
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, slow: &AtomicBool) {
    let mut buffer = [0; 2048];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            return;
        }
        if slow.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(100));
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

impl Drop for Slowed {
    /// The shipper has ended before.
    fn drop(&mut self) {
        let _ = shutdown(self.listener.as_raw_fd(), nix::sys::socket::Shutdown::Both);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}
