//! Destinations by name: what name servers, files and addresses with faults do to them.
//!
//! Each case has a network, an `/etc` and a kernel log of its own, and runs beside all others of its test. Times
//! count from the first question that a name server got, from the program's first word where there is none, or from
//! when the fault was over. A table of what came
//! of each is printed; `docs/names.md` holds one.

use core::cell::Cell;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::symlink;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use earlykmsg_tests::kmsg::{Fake, Writer, tag};
use earlykmsg_tests::nameserver::Habit::{
    Answers, Changed, Code, Each, Flood, From, Late, OneByOne, Silent, Truncated, Twice, WithEdns,
};
use earlykmsg_tests::nameserver::{Habit, NameServer, OverTcp, question_end};
use earlykmsg_tests::proc;
use earlykmsg_tests::program::{Program, Run};
use earlykmsg_tests::receiver::{End, Lines, Manner, Tcp, Udp};
use earlykmsg_tests::sandbox::{Network, Sandbox, advertise_router, alone, drop_packets_to, ip};
use nix::mount::umount;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;

const WITHIN: Duration = Duration::from_secs(20);

/// What a busy machine may add to any time. Less than a silent name server costs.
const SLACK_MS: u64 = 1_800;

const PORT: u16 = 5044;
const URL: &str = "tcp://logs.example:5044/";
const RECEIVER: &str = "127.0.9.1";
/// Where no connection may ever come: only answers that must not be believed name it.
const TRAP: &str = "127.0.9.66";
const SERVER: &str = "127.0.53.1";
const SECOND: &str = "127.0.53.2";
const RIGHT: &str = "logs.example 300 A 127.0.9.1";
const FALSE: &str = "logs.example 300 A 127.0.9.66";

fn address(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn receiver(at: &str) -> Tcp {
    Tcp::at((address(at), PORT).into(), Manner::Reads)
}

/// What the program finds where it is started.
struct Home<'s> {
    sandbox: &'s Sandbox,
    etc: PathBuf,
    kmsg: Fake,
    fed: Cell<u64>,
}

impl Home<'_> {
    fn new(sandbox: &Sandbox) -> Home<'_> {
        Home { sandbox, etc: sandbox.etc(), kmsg: Fake::new(sandbox), fed: Cell::new(0) }
    }

    /// Puts a file into `/etc`, in place of one that is there.
    fn write(&self, name: &str, text: &str) {
        let new = self.sandbox.file("new", text);
        // What is bound over `/etc` is a folder of the test's: the name changes there at once.
        fs::rename(new, self.etc.join(name)).expect("rename a file");
    }

    fn name_servers(&self, servers: &[&str]) {
        let line = |server: &&str| format!("nameserver {server}\n");
        self.write("resolv.conf", &servers.iter().map(line).collect::<String>());
    }

    fn start(&self, url: &str) -> Program {
        Run::fed(&[url]).start()
    }

    /// Starts it; says when it had its first word.
    #[track_caller]
    fn start_now(&self, url: &str) -> (Program, Instant) {
        let program = self.start(url);
        program.says("shipping to ", WITHIN);
        (program, Instant::now())
    }

    /// From now on the log is the machine's own, which can be gone back in.
    fn real_log(&self) {
        umount("/dev/kmsg").expect("take the fake log away");
    }

    /// A record is written now, and arrives.
    #[track_caller]
    fn record_arrives(&self, lines: &Lines) {
        let number = self.fed.replace(self.fed.get() + 1);
        self.kmsg.feed(format!("6,{number},{},-;record {number}.\n", 1_000_000 + number));
        lines.wait_for(&format!("record {number}."), WITHIN);
    }

    /// The receiver gets a connection, its first, and a record; says when that was.
    #[track_caller]
    fn reaches(&self, receiver: &Tcp) -> Instant {
        let at = receiver.connections.wait(WITHIN, "a connection", |all| all.first().copied());
        self.record_arrives(&receiver.lines);
        at
    }
}

/// What came of a case, and after how long.
struct Came {
    of_it: String,
    after: Duration,
}

impl Came {
    fn new(of_it: &str, after: Duration) -> Came {
        Came { of_it: of_it.to_owned(), after }
    }

    /// Connected, so many milliseconds after `since`.
    #[track_caller]
    fn connected(since: Instant, at: Instant, ms: RangeInclusive<u64>) -> Came {
        let after = at.saturating_duration_since(since);
        let took_ms = after.as_millis() as u64;
        assert!(ms.contains(&took_ms), "connected after {took_ms} ms instead of {ms:?}");
        Came::new("connected", after)
    }
}

/// At once, and what a busy machine adds.
const SOON: RangeInclusive<u64> = 0..=SLACK_MS;

/// Such a wait, and what a busy machine adds; it may also be late in noticing the beginning.
const fn about(ms: u64) -> RangeInclusive<u64> {
    ms / 2..=ms + SLACK_MS
}

type Case<'c> = (String, Box<dyn FnOnce(&Home<'_>) -> Came + Send + 'c>);

/// Runs the cases, all at once, and prints what came of them.
fn side_by_side(cases: Vec<Case<'_>>) {
    let mut failed = None;
    let mut table = String::from("| what is wrong | what came of it | after |\n| --- | --- | --: |\n");
    thread::scope(|scope| {
        let run =
            |case: Box<dyn FnOnce(&Home<'_>) -> Came + Send>| alone(|sandbox| case(&Home::new(sandbox)));
        let running: Vec<_> =
            cases.into_iter().map(|(fault, case)| (fault, scope.spawn(move || run(case)))).collect();
        for (fault, thread) in running {
            match thread.join() {
                Ok(came) => {
                    table += &format!("| {fault} | {} | {:.2} s |\n", came.of_it, came.after.as_secs_f64());
                }
                Err(why) => {
                    let text = why.downcast_ref::<String>().cloned();
                    table += &format!("| {fault} | FAILED: {} | |\n", text.unwrap_or_default());
                    failed = Some(why);
                }
            }
        }
    });
    println!("\n{table}");
    if let Some(why) = failed {
        resume_unwind(why);
    }
}

/// A name server with a fault, its records, and whom the file names after it.
struct Fault {
    is: &'static str,
    /// None: nobody listens.
    habit: Option<Habit>,
    zone: String,
    second: bool,
    receiver: &'static str,
    /// When it is connected, all told. None: as long as the fault lasts, never.
    connected_ms: Option<RangeInclusive<u64>>,
}

/// A fault that hides the second server, a good one, for that long.
fn with_second(is: &'static str, habit: Habit, connected_ms: RangeInclusive<u64>) -> Fault {
    Fault { second: true, ..harmless(is, habit, FALSE, connected_ms) }
}

/// What is no reason to ask anybody else.
fn harmless(is: &'static str, habit: Habit, zone: &str, connected_ms: RangeInclusive<u64>) -> Fault {
    Fault { connected_ms: Some(connected_ms), ..alone_with(is, habit, zone) }
}

/// No address can be known while it lasts.
fn alone_with(is: &'static str, habit: Habit, zone: &str) -> Fault {
    let (zone, receiver) = (zone.to_owned(), RECEIVER);
    Fault { is, habit: Some(habit), zone, second: false, receiver, connected_ms: None }
}

/// The same, though a good server stands behind.
fn believed(is: &'static str, habit: Habit, zone: &str) -> Fault {
    Fault { second: true, ..alone_with(is, habit, zone) }
}

/// `l0 → l1 → … → the receiver`, beginning with the name that is asked for.
fn aliases(count: usize) -> String {
    let name = |n: usize| if n == 0 { "logs.example".to_owned() } else { format!("l{n}.other.example") };
    let alias = |n: usize| format!("{} 300 CNAME {}\n", name(n), name(n + 1));
    let aliases: String = (0..count).map(alias).collect();
    format!("{aliases}{} 300 A {RECEIVER}", name(count))
}

/// So many addresses, of which one, counted from 0, is the receiver's. Nobody listens at the others.
fn addresses(count: usize, receiver: usize) -> String {
    let last = |n: usize| if n == receiver { 1 } else { 100 + n };
    (0..count).map(|n| format!("logs.example 300 A 127.0.9.{}\n", last(n))).collect()
}

/// Where the first record's kind, class, life, length and data stand, after an owner by pointer.
fn first_record(message: &mut [u8]) -> &mut [u8] {
    let start = question_end(message);
    &mut message[start..]
}

/// FORMERR as those say it that did not understand a word.
const HEADER: Habit = Changed(|message| {
    message.truncate(12);
    message[3] = 0x81;
    message[4..].fill(0);
});

fn faults() -> Vec<Fault> {
    let ring =
        "logs.example 300 CNAME b.example\nb.example 300 CNAME c.example\nc.example 300 CNAME b.example";
    let text = format!("logs.example 300 TXT {}\n", "x".repeat(250));
    let garbage: Habit = Changed(|message| {
        *message = (0..300).map(|n: u32| (n * n * 37 + 11) as u8).collect();
    });
    let itself: Habit = Changed(|message| {
        let [high, low] = (0xc000 | question_end(message) as u16).to_be_bytes();
        first_record(message)[..2].copy_from_slice(&[high, low]);
    });
    let over_tcp = |over| Truncated(over);
    vec![
        with_second("silent", Silent, about(2_000)),
        Fault { habit: None, ..with_second("nobody listens", Silent, SOON) },
        with_second("SERVFAIL", Code(2), SOON),
        with_second("REFUSED", Code(5), SOON),
        with_second("FORMERR", Code(1), SOON),
        with_second("NOTIMP", Code(4), SOON),
        with_second("an unknown error code", Code(11), SOON),
        with_second("garbage", garbage, about(2_000)),
        with_second("an empty datagram", Changed(Vec::clear), about(2_000)),
        with_second("a header and nothing else", Changed(|message| message.truncate(12)), about(2_000)),
        with_second("FORMERR, a header and nothing else", HEADER, about(2_000)),
        with_second("the wrong number", Changed(|message| message[0] ^= 0x55), about(2_000)),
        with_second("another question", Changed(|message| message[13] ^= 1), about(2_000)),
        with_second("no question", Changed(|message| message[5] = 0), about(2_000)),
        with_second("a question instead of an answer", Changed(|message| message[2] &= 0x7f), about(2_000)),
        with_second("from another port", From((address(SERVER), 5353).into()), about(2_000)),
        with_second("from another address", From((address("127.0.53.99"), 53).into()), about(2_000)),
        with_second("a pointer to itself", itself, SOON),
        with_second(
            "a pointer forward",
            Changed(|message| {
                let [high, low] = (0xc000 | (question_end(message) + 12) as u16).to_be_bytes();
                first_record(message)[..2].copy_from_slice(&[high, low]);
            }),
            SOON,
        ),
        with_second(
            "cut within a record",
            Changed(|message| message.truncate(question_end(message) + 14)),
            SOON,
        ),
        with_second(
            "a record longer than the message",
            Changed(|message| first_record(message)[11] = 200),
            SOON,
        ),
        with_second("an address of three bytes", Changed(|message| first_record(message)[11] = 3), SOON),
        with_second("truncated, and nobody listens over TCP", over_tcp(OverTcp::Refused), SOON),
        with_second("truncated, and cut over TCP", over_tcp(OverTcp::Cut), SOON),
        with_second("truncated, and silent over TCP", over_tcp(OverTcp::Silent), about(2_000)),
        harmless("700 ms late", Late(Duration::from_millis(700)), RIGHT, about(700)),
        // On a busy machine it may be too late for the first round, of 2 s.
        harmless("1.5 s late", Late(Duration::from_millis(1_500)), RIGHT, 750..=3_500 + SLACK_MS),
        harmless("twice", Twice, RIGHT, SOON),
        harmless("after 200 answers with another number", Flood, RIGHT, SOON),
        harmless("truncated, with 64 KiB over TCP", over_tcp(OverTcp::Long), RIGHT, SOON),
        harmless("truncated, whole over TCP", over_tcp(OverTcp::Answers), RIGHT, SOON),
        harmless("truncated, piece by piece over TCP", over_tcp(OverTcp::Dribbles), RIGHT, SOON),
        harmless("an alias without its target", OneByOne, &aliases(1), SOON),
        harmless("a chain of 10 aliases", Answers, &aliases(10), SOON),
        harmless("a chain of 10 aliases, one an answer", OneByOne, &aliases(10), SOON),
        harmless("30 addresses, the first seven dead", Answers, &addresses(30, 7), SOON),
        harmless("100 addresses, which need TCP", Answers, &addresses(100, 0), SOON),
        harmless("1,200 bytes", Answers, &format!("{RIGHT}\n{}", text.repeat(4)), SOON),
        harmless(
            "counts that lie",
            Changed(|message| message[6..12].copy_from_slice(&[0xff; 6])),
            RIGHT,
            SOON,
        ),
        harmless(
            "the name in upper case",
            Changed(|message| {
                let end = question_end(message);
                message[12..end - 4].make_ascii_uppercase();
            }),
            RIGHT,
            SOON,
        ),
        harmless("bytes after the end", Changed(|message| message.extend([0xff; 90])), RIGHT, SOON),
        harmless("a life of 0 s", Answers, "logs.example 0 A 127.0.9.1", SOON),
        harmless("FORMERR to EDNS", WithEdns(&Code(1)), RIGHT, SOON),
        harmless("FORMERR to EDNS, a header and nothing else", WithEdns(&HEADER), RIGHT, about(2_000)),
        harmless("silent to EDNS", WithEdns(&Silent), RIGHT, about(2_000)),
        harmless("silent about IPv6", Each(&Answers, &Silent), RIGHT, about(300)),
        harmless("SERVFAIL about IPv6", Each(&Answers, &Code(2)), RIGHT, SOON),
        Fault {
            receiver: "::1",
            ..harmless("silent about IPv4", Each(&Silent, &Answers), "logs.example 300 AAAA ::1", about(300))
        },
        alone_with("silent", Silent, RIGHT),
        Fault { habit: None, ..alone_with("nobody listens", Silent, RIGHT) },
        alone_with("SERVFAIL", Code(2), RIGHT),
        alone_with("REFUSED", Code(5), RIGHT),
        alone_with("garbage", garbage, FALSE),
        alone_with("a pointer to itself", itself, FALSE),
        alone_with("truncated, and cut over TCP", over_tcp(OverTcp::Cut), FALSE),
        alone_with("aliases in a ring", Answers, ring),
        alone_with("aliases in a ring, one an answer", OneByOne, ring),
        alone_with("a chain of 30 aliases, one an answer", OneByOne, &aliases(30)),
        believed("NXDOMAIN", Code(3), RIGHT),
        believed("a name without addresses", Code(0), RIGHT),
        believed("a record of another kind", Changed(|message| first_record(message)[3] = 16), FALSE),
        believed("a record of another class", Changed(|message| first_record(message)[5] = 3), FALSE),
        // The pointer's target is `example` in the question's `logs.example`.
        believed("a record of another name", Changed(|message| first_record(message)[1] = 17), FALSE),
    ]
}

/// Runs one fault.
fn try_fault(home: &Home<'_>, fault: &Fault) -> Came {
    let (receiver, trap) = (receiver(fault.receiver), receiver(TRAP));
    let mut first = fault.habit.map(|habit| NameServer::new(address(SERVER), &fault.zone, habit));
    let second = fault.second.then(|| NameServer::new(address(SECOND), RIGHT, Answers));
    home.name_servers(if fault.second { &[SERVER, SECOND] } else { &[SERVER] });
    let (program, start) = home.start_now(URL);
    let came = match fault.connected_ms.clone() {
        Some(ms) => {
            let at = home.reaches(&receiver);
            let asked = first.iter().chain(&second).find_map(NameServer::first_asked);
            Came::connected(asked.unwrap_or(start), at, ms)
        }
        None => {
            let came = gets_well(&program, &mut first, &receiver);
            home.record_arrives(&receiver.lines);
            came
        }
    };
    if fault.connected_ms.is_none() {
        let others = second.map_or(0, |second| second.asked.len());
        assert_eq!(others, 0, "that there is no address is an answer: no reason to ask another server");
    }
    assert!(trap.connections.is_empty(), "a false answer was believed");
    assert_eq!(program.shippers().len(), 1, "it goes on");
    came
}

/// How long a server has its fault before it gets well.
const ILL: Duration = Duration::from_millis(3_500);

/// What it may cost to wait for it, the start of the program included.
const WAITING_CPU_MAX: Duration = Duration::from_millis(150);

/// The only name server gets well, after its fault was felt for a while.
fn gets_well(program: &Program, first: &mut Option<NameServer>, receiver: &Tcp) -> Came {
    let questions = match first {
        Some(server) => server.asked.wait(WITHIN, "questions all the time", |asked| {
            let since = asked.first()?.at;
            asked.iter().position(|question| question.at > since + ILL)
        }),
        None => {
            thread::sleep(ILL); // the fault itself: that nobody hears a question
            0
        }
    };
    let family = proc::family(program.pid);
    let cpu: Duration = family.iter().map(|&pid| proc::cpu(pid)).sum();
    assert!(cpu <= WAITING_CPU_MAX, "{cpu:?} for {questions} questions");
    assert!(receiver.connections.is_empty(), "no address can be known");
    if let Some(server) = first {
        assert_secrets(server);
    }
    let well = Instant::now();
    match first {
        Some(server) => {
            server.learns(RIGHT);
            server.becomes(Answers);
        }
        None => *first = Some(NameServer::new(address(SERVER), RIGHT, Answers)),
    }
    let at = receiver.connections.wait(WITHIN, "a connection", |all| all.first().copied());
    assert_eq!(proc::family(program.pid), family, "nobody was started again");
    let cpu_ms = cpu.as_millis();
    let of_it = format!("waited ({questions} questions, {cpu_ms} ms CPU), then connected");
    // A question that was lost is repeated after 1 s; between two searches is at most a pause of 1 s.
    Came { of_it, ..Came::connected(well, at, 0..=2_000 + SLACK_MS) }
}

/// Neither the ports nor the numbers of questions can be guessed: they are as many as they can be. (Both questions of
/// a visit have one port, and one that is repeated has the port and the number that it had.)
#[track_caller]
fn assert_secrets(server: &NameServer) {
    let (ports, numbers): (BTreeSet<u16>, BTreeSet<u16>) =
        server.asked.items().iter().map(|question| question.secret).unzip();
    let questions = server.asked.len();
    // Some come twice by chance.
    assert!(ports.len() * 5 >= questions, "{} ports for {questions} questions", ports.len());
    assert!(numbers.len() * 5 >= questions * 2, "{} numbers for {questions} questions", numbers.len());
}

#[test]
fn faults_of_name_servers() {
    let title =
        |fault: &Fault| format!("{}{}", fault.is, if fault.second { "; a good server behind" } else { "" });
    let case = |fault: Fault| -> Case<'_> { (title(&fault), Box::new(move |home| try_fault(home, &fault))) };
    side_by_side(faults().into_iter().map(case).collect());
}

/// The server is a good one, as the C library sees it.
#[test]
fn another_resolver_is_content() {
    for (zone, habit, count) in [
        (RIGHT, Answers, 1),
        ("logs.example 300 A 127.0.9.1\nlogs.example 300 AAAA ::1", Answers, 2),
        (&aliases(10), Answers, 1),
        (&addresses(100, 0), Answers, 100),
        (RIGHT, Truncated(OverTcp::Answers), 1),
        (RIGHT, Truncated(OverTcp::Dribbles), 1),
        (FALSE, Changed(|message| message[0] ^= 0x55), 0),
    ] {
        alone(|sandbox| {
            let home = Home::new(sandbox);
            let _server = NameServer::new(address(SERVER), zone, habit);
            home.write("resolv.conf", &format!("nameserver {SERVER}\noptions timeout:1 attempts:1\n"));
            let output = Command::new("getent").args(["ahosts", "logs.example"]).output().expect("getent");
            let text = String::from_utf8_lossy(&output.stdout);
            assert_eq!(text.matches("STREAM").count(), count, "{habit:?} {zone}\n{text}");
        });
    }
}

/// The names that were asked for, one after the other.
fn names_asked(server: &NameServer) -> Vec<String> {
    let mut names: Vec<String> = server.asked.items().iter().map(|asked| asked.name.clone()).collect();
    names.dedup();
    names
}

/// Connected soon after the start, at an address of a name as the file of hosts has it, without any question.
fn in_hosts(home: &Home<'_>, line: &str, host: &str, at: &str) -> Came {
    let receiver = receiver(at);
    let server = NameServer::new(address(SERVER), FALSE, Answers);
    home.name_servers(&[SERVER]);
    home.write("hosts", &format!("# Known machines\n127.0.0.1\tlocalhost\n{line}\n"));
    let (_program, start) = home.start_now(&format!("tcp://{host}:{PORT}/"));
    let came = Came::connected(start, home.reaches(&receiver), SOON);
    assert!(server.asked.is_empty(), "asked for what the file has");
    came
}

/// Connected through a file that says whom to ask, put there while the program already waits.
fn resolv_conf_comes(home: &Home<'_>, before: impl FnOnce(), within_ms: u64) -> Came {
    let receiver = receiver(RECEIVER);
    let _server = NameServer::new(address(SECOND), RIGHT, Answers);
    before();
    let (program, _) = home.start_now(URL);
    thread::sleep(Duration::from_secs(2)); // the fault itself
    let since = Instant::now();
    home.name_servers(&[SECOND]);
    let came = Came::connected(since, home.reaches(&receiver), 0..=within_ms + SLACK_MS);
    assert_eq!(program.shippers().len(), 1, "it goes on");
    came
}

/// A name with these addresses, asked for with the given words in `resolv.conf`.
fn asked_as(home: &Home<'_>, resolv: &str, zone: &str, host: &str, names: &[&str]) -> Came {
    let receiver = receiver(RECEIVER);
    let server = NameServer::new(address(SERVER), zone, Answers);
    home.write("resolv.conf", &format!("{resolv}\nnameserver {SERVER}\n"));
    let _program = home.start(&format!("tcp://{host}:{PORT}/"));
    let at = home.reaches(&receiver);
    assert_eq!(names_asked(&server), names);
    Came::connected(server.first_asked().expect("a question"), at, SOON)
}

/// The addresses of a name, of which those in `dead` drop every packet; nobody listens at others but the last.
fn tried_in_turn(home: &Home<'_>, addresses: &[&str], dead: &[&str], ms: RangeInclusive<u64>) -> Came {
    let kind = |text: &str| if address(text).is_ipv6() { "AAAA" } else { "A" };
    let line = |text: &&str| format!("logs.example 300 {} {text}\n", kind(text));
    let server = NameServer::new(address(SERVER), &addresses.iter().map(line).collect::<String>(), Answers);
    for v6 in addresses.iter().filter(|text| address(text).is_ipv6()) {
        ip(&format!("addr add {v6}/128 dev lo nodad"));
    }
    let receiver = receiver(addresses.last().expect("a live one"));
    dead.iter().for_each(|dead| drop_packets_to(address(dead)));
    home.name_servers(&[SERVER]);
    let _program = home.start(URL);
    let at = home.reaches(&receiver);
    Came::connected(server.first_asked().expect("a question"), at, ms)
}

const V6: &str = "fd09::1";

/// A destination over UDP, by a name whose addresses hold for a second, in use; asked for when nobody answers any more.
struct InUse {
    program: Program,
    server: NameServer,
    lines: Arc<Lines>,
    others: Vec<NameServer>,
    receiver: Udp,
}

/// More servers than one are silent.
fn in_use(home: &Home<'_>, servers: &[&str]) -> InUse {
    let receiver = Udp::at((address(RECEIVER), PORT).into());
    let server = NameServer::new(address(SERVER), "logs.example 1 A 127.0.9.1", Answers);
    let others = servers.iter().filter(|&&at| at != SERVER);
    let others = others.map(|at| NameServer::new(address(at), "", Silent)).collect();
    home.name_servers(servers);
    let program = home.start("udp://logs.example:5044/");
    program.says("connected to udp://logs.example:5044/", WITHIN);
    home.record_arrives(&receiver.lines);
    InUse { program, server, lines: Arc::clone(&receiver.lines), others, receiver }
}

/// Its addresses are too old to be used without asking.
const TOO_OLD: Duration = Duration::from_millis(2_200);

/// The receiver closes, and the name leads to another by now.
fn follows(home: &Home<'_>, ttl_s: u64) -> Came {
    let (mut old, new) = (receiver(RECEIVER), receiver("127.0.9.2"));
    let zone = |last: u8| format!("logs.example {ttl_s} A 127.0.9.{last}");
    let server = NameServer::new(address(SERVER), &zone(1), Answers);
    home.name_servers(&[SERVER]);
    let _program = home.start(URL);
    home.reaches(&old);
    assert!(new.connections.is_empty(), "nobody has named that one yet");
    server.learns(&zone(2));
    let since = Instant::now();
    old.stop(End::Close);
    Came::connected(since, home.reaches(&new), 0..=(ttl_s + 1) * 1_000 + SLACK_MS)
}

fn cases() -> Vec<Case<'static>> {
    fn case(of: &str, case: impl FnOnce(&Home<'_>) -> Came + Send + 'static) -> Case<'static> {
        (of.to_owned(), Box::new(case))
    }
    vec![
        case("a name without a dot and a search list", |home| {
            let zone = "logs.b.example 300 A 127.0.9.1";
            let names = ["logs.a.example", "logs.b.example"];
            asked_as(home, "search a.example b.example c.example", zone, "logs", &names)
        }),
        case("a name without a dot that no domain has", |home| {
            asked_as(home, "domain a.example", "logs 300 A 127.0.9.1", "logs", &["logs.a.example", "logs"])
        }),
        case("a final dot and a search list", |home| {
            asked_as(home, "search a.example", "logs 300 A 127.0.9.1", "logs.", &["logs"])
        }),
        case("a name with a dot and a search list", |home| {
            asked_as(home, "search a.example", RIGHT, "Logs.EXAMPLE", &["logs.example"])
        }),
        case("a final dot", |home| asked_as(home, "", RIGHT, "logs.example.", &["logs.example"])),
        case("resolv.conf with much that is not understood", |home| {
            let words =
                format!("# {}\noptions ndots:5\nnameserver\nnameserver x\n\u{1}\u{7f}", "y".repeat(400));
            asked_as(home, &words, RIGHT, "logs.example", &["logs.example"])
        }),
        case("IPv4 in hosts", |home| in_hosts(home, "127.0.9.1 logs.example", "logs.example", RECEIVER)),
        case("IPv6 in hosts, the last of several names", |home| {
            in_hosts(home, "::1 one two logs.example # us", "logs.example", "::1")
        }),
        case("in upper case in hosts", |home| {
            in_hosts(home, "127.0.9.1 LOGS.Example logs", "logs.example", RECEIVER)
        }),
        case("in lower case in hosts, asked for in upper case with a final dot", |home| {
            in_hosts(home, "127.0.9.1\tlogs.example\r", "LOGS.example.", RECEIVER)
        }),
        case("in hosts 2 s after the start, and no resolv.conf", |home| {
            let receiver = receiver(RECEIVER);
            let (_program, _) = home.start_now(URL);
            thread::sleep(Duration::from_secs(2)); // the fault itself
            let since = Instant::now();
            home.write("hosts", "127.0.9.1 logs.example\n");
            Came::connected(since, home.reaches(&receiver), 0..=1_000 + SLACK_MS)
        }),
        case("a resolv.conf that comes 2 s after the start", |home| resolv_conf_comes(home, || {}, 1_000)),
        case("a resolv.conf that names a server where nobody listens, and changes", |home| {
            resolv_conf_comes(home, || home.name_servers(&[SERVER]), 1_000)
        }),
        case("a resolv.conf that names a silent server, and changes", |home| {
            let silent = NameServer::new(address(SERVER), "", Silent);
            // Two rounds of 2 s are finished first.
            let came = resolv_conf_comes(home, || home.name_servers(&[SERVER]), 3_000);
            assert!(!silent.asked.is_empty(), "it was asked");
            came
        }),
        case("a resolv.conf that is a FIFO, and changes", |home| {
            let fifo = || nix::unistd::mkfifo(&home.etc.join("resolv.conf"), Mode::S_IRUSR).expect("a FIFO");
            resolv_conf_comes(home, fifo, 1_000)
        }),
        case("a resolv.conf that leads to nothing, and changes", |home| {
            let link = || symlink("../run/nothing", home.etc.join("resolv.conf")).expect("a link");
            resolv_conf_comes(home, link, 1_000)
        }),
        case("a resolv.conf that is a link", |home| {
            let receiver = receiver(RECEIVER);
            let server = NameServer::new(address(SERVER), RIGHT, Answers);
            home.write("stub.conf", &format!("nameserver {SERVER}\n"));
            symlink("stub.conf", home.etc.join("resolv.conf")).expect("a link");
            let _program = home.start(URL);
            let at = home.reaches(&receiver);
            Came::connected(server.first_asked().expect("a question"), at, SOON)
        }),
        case("an address that changes, a life of 1 s", |home| follows(home, 1)),
        case("an address that changes, a life of 0 s", |home| follows(home, 0)),
        case("two receivers, of which the first goes away", |home| {
            let mut receivers = [receiver(RECEIVER), receiver("127.0.9.2")];
            let zone = "logs.example 300 A 127.0.9.1\nlogs.example 300 A 127.0.9.2";
            let _server = NameServer::new(address(SERVER), zone, Answers);
            home.name_servers(&[SERVER]);
            let _program = home.start(URL);
            home.reaches(&receivers[0]);
            let since = Instant::now();
            receivers[0].stop(End::Close);
            Came::connected(since, home.reaches(&receivers[1]), 0..=1_000 + SLACK_MS)
        }),
        case("dead IPv6, live IPv4", |home| {
            tried_in_turn(home, &[V6, RECEIVER], &[V6], 0..=3_000 + SLACK_MS)
        }),
        case("dead IPv4, live IPv6", |home| {
            tried_in_turn(home, &[RECEIVER, V6], &[RECEIVER], 0..=3_000 + SLACK_MS)
        }),
        case("refused IPv6, live IPv4", |home| tried_in_turn(home, &[V6, RECEIVER], &[], SOON)),
        case("refused IPv4, live IPv6", |home| tried_in_turn(home, &[RECEIVER, V6], &[], SOON)),
        case("two IPv4 addresses, the first refused", |home| {
            tried_in_turn(home, &["127.0.9.9", RECEIVER], &[], SOON)
        }),
        case("two IPv4 addresses, the first dead", |home| {
            tried_in_turn(home, &["127.0.9.9", RECEIVER], &["127.0.9.9"], about(3_000))
        }),
        case("IPv6 alone, the name server at a link-local address", |home| {
            let network = Network::cable(&["fe80::1/64", "fd09::1/64"], &["fe80::53/64", "fd09::2/64"]);
            let (server, receiver) = network.enter(|| {
                let zone = "logs.example 300 AAAA fd09::2";
                (NameServer::at(link_local("fe80::53", "far", 53), zone, Answers), receiver("fd09::2"))
            });
            home.name_servers(&["fe80::53%near"]);
            let _program = home.start(URL);
            let at = home.reaches(&receiver);
            Came::connected(server.first_asked().expect("a question"), at, SOON)
        }),
        case("a link-local address in hosts", |home| {
            let network = Network::cable(&["fe80::1/64"], &["fe80::2/64"]);
            let receiver = network.enter(|| Tcp::at(link_local("fe80::2", "far", PORT), Manner::Reads));
            home.write("hosts", "fe80::2%near logs.example\n");
            let (_program, start) = home.start_now(URL);
            Came::connected(start, home.reaches(&receiver), SOON)
        }),
        case("UDP, a good server", |home| over_udp(home, &[SERVER], SOON)),
        case("UDP, a silent server before the good one", |home| {
            let _silent = NameServer::new(address(SECOND), FALSE, Silent);
            over_udp(home, &[SECOND, SERVER], about(2_000))
        }),
        case("UDP, two addresses, the first refused", |home| {
            home.real_log();
            let receiver = Udp::with_room((address(RECEIVER), PORT).into());
            let zone = format!("logs.example 300 A 127.0.9.9\n{RIGHT}");
            let server = NameServer::new(address(SERVER), &zone, Answers);
            home.name_servers(&[SERVER]);
            let (writer, text) = (Writer::new(), tag("names"));
            writer.write(&text);
            let _program = Run::new(&["udp://logs.example:5044/"]).start();
            // It was in the log before the refusal.
            let at = receiver.lines.wait_for(&text, WITHIN).at;
            Came::connected(server.first_asked().expect("a question"), at, SOON)
        }),
        case("UDP, an address that changes, a life of 1 s", |home| {
            let [old, new] = [RECEIVER, "127.0.9.2"].map(|at| Udp::at((address(at), PORT).into()));
            let server = NameServer::new(address(SERVER), "logs.example 1 A 127.0.9.1", Answers);
            home.name_servers(&[SERVER]);
            let program = home.start("udp://logs.example:5044/");
            program.says("connected to udp://logs.example:5044/", WITHIN);
            home.record_arrives(&old.lines);
            server.learns("logs.example 1 A 127.0.9.2");
            let since = Instant::now();
            thread::sleep(Duration::from_secs(2)); // its life is over
            home.record_arrives(&new.lines);
            Came::connected(since, new.lines.items()[0].at, about(2_000))
        }),
        case("UDP, the second of two addresses in use, a life of 1 s", |home| {
            let receiver = Udp::at((address(RECEIVER), PORT).into());
            let zone = "logs.example 1 A 127.0.9.9\nlogs.example 1 A 127.0.9.1";
            let server = NameServer::new(address(SERVER), zone, Answers);
            home.name_servers(&[SERVER]);
            let program = home.start("udp://logs.example:5044/");
            program.says("connected to udp://logs.example:5044/ at 127.0.9.9", WITHIN);
            home.kmsg.feed("6,1000,1,-;Refused.\n");
            program.says("connected to udp://logs.example:5044/ at 127.0.9.1", WITHIN);
            let asked = server.asked.len();
            thread::sleep(TOO_OLD); // its life is over
            let since = Instant::now();
            home.record_arrives(&receiver.lines);
            assert!(server.asked.len() > asked, "it was asked again");
            let said = program.words.items().iter().filter(|line| line.contains("connected to")).count();
            assert_eq!(said, 2, "the address in use is among the new ones, and kept");
            Came { of_it: "goes on with it".to_owned(), ..Came::connected(since, Instant::now(), SOON) }
        }),
        case("UDP, in use for 10 s, and then no name server answers", |home| {
            let InUse { program, server, lines, others: _others, receiver: _receiver } =
                in_use(home, &[SERVER, SECOND, "127.0.53.3"]);
            thread::sleep(Duration::from_secs(10)); // a line that it is not reached would be due
            server.becomes(Silent);
            let since = Instant::now();
            home.record_arrives(&lines);
            // Six times two seconds would be a whole search.
            let came = Came::connected(since, Instant::now(), about(5_000));
            let words = program.words.items().clone();
            assert!(!words.iter().any(|line| line.contains(" not ")), "{words:?}");
            Came { of_it: "goes on with it".to_owned(), ..came }
        }),
        case("UDP, a record and the end, a life of 1 s", |home| {
            let InUse { program, server, lines, others: _others, receiver: _receiver } =
                in_use(home, &[SERVER]);
            thread::sleep(TOO_OLD); // its life is over
            let (asked, shipper) = (server.asked.len(), program.shippers()[0]);
            let signal = |signal| kill(shipper, signal).expect("signal the shipper");
            // Both come at once.
            signal(Signal::SIGSTOP);
            signal(Signal::SIGTERM);
            let since = Instant::now();
            home.kmsg.feed("6,1000,1,-;The last.\n");
            signal(Signal::SIGCONT);
            lines.wait_for("The last.", WITHIN);
            assert_eq!(program.finish(WITHIN).code, Some(0));
            assert_eq!(server.asked.len(), asked, "nothing is looked for at the end");
            Came { of_it: "sent and ended".to_owned(), ..Came::connected(since, Instant::now(), SOON) }
        }),
        case("UDP, a record, and the end during the search", |home| {
            let InUse { program, server, lines, others: _others, receiver: _receiver } =
                in_use(home, &[SERVER]);
            thread::sleep(TOO_OLD); // its life is over
            server.becomes(Silent);
            let asked = server.asked.len();
            home.kmsg.feed("6,1000,1,-;The last.\n");
            server.asked.wait(WITHIN, "a question", |all| (all.len() > asked).then_some(()));
            program.signal(Signal::SIGTERM);
            let since = Instant::now();
            lines.wait_for("The last.", WITHIN);
            let came = Came::connected(since, Instant::now(), SOON);
            assert_eq!(program.finish(WITHIN).code, Some(0));
            Came { of_it: "sent and ended".to_owned(), ..came }
        }),
        case("/proc/net/pnp alone", |home| {
            let receiver = receiver(RECEIVER);
            let server = NameServer::new(address(SERVER), "logs.lan 300 A 127.0.9.1", Answers);
            let pnp = format!("#PROTO: DHCP\ndomain lan\nnameserver {SERVER}\nbootserver 10.0.2.2\n");
            let folder = home.sandbox.dir().join("net");
            fs::create_dir(&folder).expect("make a folder");
            let pnp = home.sandbox.file("net/pnp", pnp);
            let _program = Run::fed(&["tcp://logs:5044/"]).with_pnp(&pnp).start();
            let at = home.reaches(&receiver);
            Came::connected(server.first_asked().expect("a question"), at, SOON)
        }),
        case("three name servers, two of them silent", |home| {
            let receiver = receiver(RECEIVER);
            let silent = [SECOND, "127.0.53.3"].map(|at| NameServer::new(address(at), FALSE, Silent));
            let _good = NameServer::new(address(SERVER), RIGHT, Answers);
            home.name_servers(&[SECOND, "127.0.53.3", SERVER]);
            let _program = home.start(URL);
            let at = home.reaches(&receiver);
            Came::connected(silent[0].first_asked().expect("a question"), at, about(4_000))
        }),
        case("ten name servers, of which eight are asked", |home| {
            let receiver = receiver(RECEIVER);
            let at = |last: usize| format!("127.0.53.{last}");
            let servers: Vec<String> = (1..=10).map(at).collect();
            let zone = |last| if last == 8 { RIGHT } else { "" };
            let habit = |last| if last == 8 { Answers } else { Code(5) };
            let all = (1..=10).map(|last| NameServer::new(address(&at(last)), zone(last), habit(last)));
            let all: Vec<NameServer> = all.collect();
            home.name_servers(&servers.iter().map(String::as_str).collect::<Vec<_>>());
            let _program = home.start(URL);
            let at = home.reaches(&receiver);
            assert!(all[8..].iter().all(|server| server.asked.is_empty()), "eight are asked");
            Came::connected(all[0].first_asked().expect("a question"), at, SOON)
        }),
        case("IPv6 alone, the default route by router advertisement 2 s after the start", |home| {
            let network = Network::cable(&[], &["fe80::96/64", "2001:db8:96::1/64", "2001:db8:97::1/64"]);
            fs::write("/proc/sys/net/ipv6/conf/near/accept_dad", "0").expect("no wait for one's own address");
            let server = network.enter(|| {
                let zone = "logs.example 300 AAAA 2001:db8:97::1";
                NameServer::new(address("2001:db8:97::1"), zone, Answers)
            });
            let receiver = network.enter(|| receiver("2001:db8:97::1"));
            home.name_servers(&["2001:db8:97::1"]);
            let (_program, _) = home.start_now(URL);
            thread::sleep(Duration::from_secs(2)); // the fault itself
            assert!(server.asked.is_empty(), "there is no way yet");
            let since = Instant::now();
            network.enter(|| advertise_router("far", Ipv6Addr::new(0x2001, 0xdb8, 0x96, 0, 0, 0, 0, 0)));
            Came::connected(since, home.reaches(&receiver), 0..=1_000 + SLACK_MS)
        }),
        case("two destinations, one without an address", |home| {
            let receiver = receiver(RECEIVER);
            let server = NameServer::new(address(SERVER), RIGHT, Answers);
            home.name_servers(&[SERVER]);
            let _program = Run::fed(&["tcp://nowhere.example:5044/", URL]).start();
            let at = receiver.connections.wait(WITHIN, "a connection", |all| all.first().copied());
            let asked = server.asked.items().iter().find(|asked| asked.name == "logs.example").cloned();
            Came::connected(asked.expect("a question").at, at, SOON)
        }),
    ]
}

/// A link-local address, at the device of this network.
fn link_local(text: &str, device: &str, port: u16) -> SocketAddr {
    let device = CString::new(device).expect("a name");
    let scope = nix::net::if_::if_nametoindex(device.as_c_str()).expect("a device");
    let IpAddr::V6(address) = address(text) else { panic!("{text} is not of IPv6") };
    core::net::SocketAddrV6::new(address, port, 0, scope).into()
}

/// A receiver of datagrams, at the address that [`RIGHT`] has; the last server is a good one.
fn over_udp(home: &Home<'_>, servers: &[&str], ms: RangeInclusive<u64>) -> Came {
    let receiver = Udp::at((address(RECEIVER), PORT).into());
    let server = NameServer::new(address(SERVER), RIGHT, Answers);
    home.name_servers(servers);
    let (program, start) = home.start_now("udp://logs.example:5044/");
    server.asked.wait(WITHIN, "a question", |asked| asked.first().map(|_| ()));
    program.says("connected to udp://logs.example:5044/ at 127.0.9.1", WITHIN);
    let connected = Instant::now();
    home.record_arrives(&receiver.lines);
    Came::connected(start, connected, ms)
}

#[test]
fn files_and_addresses() {
    side_by_side(cases());
}

/// The network is not up, for this reason: what is said after 10 s has these parts.
fn not_up(home: &Home<'_>, url: &str, parts: &[&str], never: &[&str]) -> Came {
    let (program, start) = home.start_now(url);
    let said = program.says("network not up after ", Duration::from_secs(10) + WITHIN);
    let after = start.elapsed();
    let missing: Vec<_> = parts.iter().filter(|part| !said.contains(**part)).collect();
    let wrong: Vec<_> = never.iter().filter(|part| said.contains(**part)).collect();
    assert!(missing.is_empty() && wrong.is_empty(), "no {missing:?}, but {wrong:?} in: {said}");
    // A word of the program may be on its way to us for a while.
    assert!(after + Duration::from_millis(SLACK_MS) >= Duration::from_secs(10), "it said so after {after:?}");
    assert!(after <= NOT_UP_MAX + Duration::from_millis(SLACK_MS), "it said so after {after:?}");
    Came::new(&format!("`{said}`"), after)
}

/// It is said at the end of an attempt, which a silent name server makes 4 s longer.
const NOT_UP_MAX: Duration = Duration::from_secs(10 + 2 * 4);

/// A cable to a network where 10.9.0.2 is.
fn cable() -> Network {
    Network::cable(&["10.9.0.1/24"], &["10.9.0.2/24"])
}

#[test]
fn what_is_said_after_ten_seconds() {
    fn case(
        of: &'static str,
        url: &'static str,
        parts: &'static [&'static str],
        never: &'static [&'static str],
        begin: impl FnOnce(&Home<'_>, &mut dyn FnMut()) + Send + 'static,
    ) -> Case<'static> {
        let run = move |home: &Home<'_>| {
            let mut came = None;
            begin(home, &mut || came = Some(not_up(home, url, parts, never)));
            came.expect("it was begun")
        };
        (of.to_owned(), Box::new(run))
    }
    side_by_side(vec![
        case("no interface", URL, &["no name server"], &["lo up", "route"], |_, run| run()),
        case(
            "no interface is up",
            URL,
            &["near down", "10.9.0.2 unreachable"],
            &["near up", "route"],
            |home, run| {
                ip("link add near type veth peer name far");
                home.name_servers(&["10.9.0.2"]);
                run();
            },
        ),
        case(
            "an interface without a carrier, an address by number",
            "tcp://10.9.0.2:5044/",
            &["near without carrier", "unreachable (errno 101)"],
            &["near up", "route,"],
            |_, run| {
                ip("link add near type veth peer name far");
                ip("link set near up");
                run();
            },
        ),
        case(
            "an address but no route to the name server",
            URL,
            &["near up", "10.9.0.1", "10.99.0.1 unreachable"],
            &["default route"],
            |home, run| {
                let _network = cable();
                home.name_servers(&["10.99.0.1"]);
                run();
            },
        ),
        case(
            "silent name servers",
            URL,
            &["near up", "10.9.0.1", "IPv4 default route", "10.9.0.2 silent, 10.9.0.3 silent"],
            &[],
            |home, run| {
                let network = Network::cable(&["10.9.0.1/24"], &["10.9.0.2/24", "10.9.0.3/24"]);
                ip("route add default via 10.9.0.2");
                let silent = |at| NameServer::new(address(at), "", Silent);
                let _servers = network.enter(|| [silent("10.9.0.2"), silent("10.9.0.3")]);
                home.name_servers(&["10.9.0.2", "10.9.0.3"]);
                run();
            },
        ),
        case("no such name", URL, &["near up", "10.9.0.1", "10.9.0.2 NXDOMAIN"], &["silent"], |home, run| {
            let network = cable();
            let _server = network.enter(|| NameServer::new(address("10.9.0.2"), "", Answers));
            home.name_servers(&["10.9.0.2"]);
            run();
        }),
        case(
            "no name server anywhere, one that cannot tell",
            URL,
            &["near up", "10.9.0.2 nobody listens, 10.9.0.3 SERVFAIL"],
            &[],
            |home, run| {
                let network = Network::cable(&["10.9.0.1/24"], &["10.9.0.2/24", "10.9.0.3/24"]);
                let _server = network.enter(|| NameServer::new(address("10.9.0.3"), "", Code(2)));
                home.name_servers(&["10.9.0.2", "10.9.0.3"]);
                run();
            },
        ),
        case(
            "refused by the receiver",
            URL,
            &["near up", "10.9.0.1", "refused (errno 111)"],
            &["silent", "NXDOMAIN"],
            |home, run| {
                let network = cable();
                let zone = "logs.example 300 A 10.9.0.2";
                let _server = network.enter(|| NameServer::new(address("10.9.0.2"), zone, Answers));
                home.name_servers(&["10.9.0.2"]);
                run();
            },
        ),
    ]);
}
