//! What lasts: receivers and networks that are away for longer than a peer is waited for, some for a minute. All of
//! them at once, as they do nothing but wait.

use core::time::Duration;
use std::fs;
use std::thread;
use std::time::Instant;

use earlykmsg_tests::account::{Stream, account};
use earlykmsg_tests::foreign::{Foreign, listens, until};
use earlykmsg_tests::json;
use earlykmsg_tests::kmsg::{Fake, RingLock};
use earlykmsg_tests::program::{Program, Run, start};
use earlykmsg_tests::receiver::{End, Tcp, TcpBehaviour};
use earlykmsg_tests::sandbox::{
    FAR, FAR_IP, NEAR, Network, Sandbox, alone, drop_nothing, drop_packets_from, drop_packets_to, far, ip,
};
use nix::sys::signal::Signal;

const WITHIN: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);

/// Longer than a peer that does not answer is waited for.
const LONG: Duration = Duration::from_secs(22);

/// What noticing a death may take: 15 s without an answer, or keep-alive's 19 s, and some for a busy machine.
const NOTICED_WITHIN: Duration = Duration::from_secs(25);

/// What recovery after a fault may take: a connection attempt is given up after 3 s, a pause is at most 1 s long, and a
/// busy machine has as much time again.
const BACK_WITHIN: Duration = Duration::from_secs(2 * (3 + 1));

type Case = fn(&Sandbox, &RingLock);

/// One test, so that they run side by side however many threads tests have. All together they write less than the
/// ring holds, but within a minute other tests would write more: they wait.
#[test]
fn what_lasts() {
    let cases: [(&str, Case); 9] = [
        ("killed_and_back_after_a_minute", killed_and_back_after_a_minute),
        ("closed_and_back_after_a_minute", closed_and_back_after_a_minute),
        ("stopped_for_a_minute", stopped_for_a_minute),
        ("a_black_hole_of_a_minute", a_black_hole_of_a_minute),
        ("no_route_for_long", |_, ring_lock| {
            let begin = |_: &Network| ip("route del 10.9.0.0/24");
            away_for_long(ring_lock, "no route", begin, |_| ip("route add 10.9.0.0/24 dev near"));
        }),
        ("interface_down_for_long", |_, ring_lock| {
            let begin = |_: &Network| ip("link set near down");
            away_for_long(ring_lock, "interface down", begin, |_| ip("link set near up"));
        }),
        ("packets_dropped_for_long", |_, ring_lock| {
            let begin = |network: &Network| network.enter(|| drop_packets_to(FAR_IP));
            away_for_long(ring_lock, "packets dropped", begin, |network| network.enter(drop_nothing));
        }),
        ("a_connection_that_is_forgotten_on_the_way", a_connection_that_is_forgotten_on_the_way),
        ("half_open_and_idle", half_open_and_idle),
    ];
    let ring_lock = &RingLock::alone();
    let failed: Vec<&str> = thread::scope(|scope| {
        let run = |(name, case): (&'static str, Case)| {
            (name, scope.spawn(move || alone(|sandbox| case(sandbox, ring_lock))))
        };
        let running = cases.map(run);
        running.into_iter().filter_map(|(name, case)| case.join().err().map(|_| name)).collect()
    });
    assert!(failed.is_empty(), "{failed:?}");
}

/// A receiver dies and is away for a minute: what it had not read, and what was written meanwhile, is in the ring.
fn killed_and_back_after_a_minute(_: &Sandbox, ring_lock: &RingLock) {
    let receiver = Tcp::new(TcpBehaviour::Reads);
    let mut stream = Stream::within(ring_lock, "minute");
    let program = start(&receiver.url());
    stream.write_and_wait(10, &receiver.lines);
    receiver.pause();
    receiver.wait_unread(&stream.write(100), WITHIN);
    let receiver = receiver.restart(End::Reset, MINUTE);
    let since = Instant::now();
    let last = stream.write(20);
    let back = receiver.lines.wait_for(&last, WITHIN).at;
    let fault = "killed, back after a minute";
    account(fault, &stream, &receiver.lines, &program, &last).all_arrived();
    is_back(&program, &receiver, back - since);
}

/// A receiver closes and is away for a minute: nothing comes twice. (The log is its own: no record of others is on its way
/// at the close, and none overruns it.)
fn closed_and_back_after_a_minute(sandbox: &Sandbox, _: &RingLock) {
    let kmsg = Fake::new(sandbox);
    let mut receiver = Tcp::new(TcpBehaviour::Reads);
    let program = Run::fed(&[receiver.url()]).start_connected();
    kmsg.feed_numbers(0..10);
    receiver.lines.wait_count(10, WITHIN);
    receiver.stop(End::Close);
    kmsg.feed_numbers(10..20);
    let receiver = receiver.restart(End::Close, MINUTE);
    let since = Instant::now();
    kmsg.feed_numbers(20..30);
    receiver.lines.wait_count(30, WITHIN);
    is_back(&program, &receiver, since.elapsed());
    assert_eq!(receiver.lines.seqs(), (0..30).collect::<Vec<u64>>());
}

#[track_caller]
fn is_back(program: &Program, receiver: &Tcp, after: Duration) {
    println!("recovered {after:?} after it was back");
    assert!(after < BACK_WITHIN);
    assert_eq!(receiver.connections.len(), 2);
    program.says("receiver not reached for 10 s", Duration::ZERO);
}

/// A process is stopped for a minute, its buffers full, and continued: one connection (it takes no other), and nothing
/// twice.
fn stopped_for_a_minute(sandbox: &Sandbox, _: &RingLock) {
    let kmsg = Fake::new(sandbox);
    let output = sandbox.dir().join("out");
    let listen = "TCP-LISTEN:5044,bind=127.0.0.1,rcvbuf=4096";
    let socat = Foreign::start("socat", &["-u", listen, "-"], &output);
    until("socat", || listens("tcp", 5044));
    let program = Run::fed(&["tcp://127.0.0.1:5044/"]).start_connected();
    let holds = |seq: u64| {
        let bytes = fs::read(&output).unwrap_or_default();
        String::from_utf8_lossy(&bytes).contains(&format!("\"msg\":\"{seq} "))
    };
    kmsg.feed_numbers(0..10);
    until("the first records", || holds(9));
    socat.signal(Signal::SIGSTOP);
    kmsg.feed_numbers(10..90);
    thread::sleep(MINUTE);
    socat.signal(Signal::SIGCONT);
    kmsg.feed_numbers(90..100);
    until("the last record", || holds(99));
    let connected = |line: &&String| line.contains("connected to");
    assert_eq!(program.words.items().iter().filter(connected).count(), 1, "slow is not dead");
    let bytes = fs::read(&output).expect("read what arrived");
    let whole = bytes.split_inclusive(|&b| b == b'\n').filter(|line| line.ends_with(b"\n"));
    let seqs: Vec<u64> = whole.map(|line| json::seq(&json::checked(line.trim_ascii()))).collect();
    assert_eq!(seqs, (0..seqs.len() as u64).collect::<Vec<u64>>(), "each once and in order");
    assert!(seqs.len() >= 99, "all but a last line that is not complete yet");
}

/// Nothing answers for a minute, neither for a connection nor, later, for an attempt to make one.
fn a_black_hole_of_a_minute(_: &Sandbox, ring_lock: &RingLock) {
    let begin = |network: &Network| network.enter(|| drop_packets_to(FAR_IP));
    away(ring_lock, "black hole", MINUTE, begin, |network| network.enter(drop_nothing));
}

fn away_for_long(
    ring_lock: &RingLock,
    fault: &str,
    begin: impl FnOnce(&Network),
    end: impl FnOnce(&Network),
) {
    away(ring_lock, fault, LONG, begin, end);
}

/// The way to the receiver is interrupted until the connection counts as dead. When it is there again, so is a
/// connection.
fn away(
    ring_lock: &RingLock,
    fault: &str,
    time: Duration,
    begin: impl FnOnce(&Network),
    end: impl FnOnce(&Network),
) {
    let network = Network::cable(NEAR, FAR);
    let receiver = network.enter(|| Tcp::at(far(5044), TcpBehaviour::Reads));
    let mut stream = Stream::within(ring_lock, "away");
    let program = start(&receiver.url());
    stream.write_and_wait(10, &receiver.lines);
    begin(&network);
    let since = Instant::now();
    stream.write(10);
    let words = program.words.try_wait(time, |words| {
        let lost = |line: &&String| line.contains("lost: ");
        words.iter().find(lost).map(|line| (line.clone(), Instant::now()))
    });
    let (words, at) = words.unwrap_or_else(|| panic!("{fault}: a dead peer was not noticed"));
    println!("{fault}: noticed after {:?}: {words}", at - since);
    assert!(at - since > Duration::from_secs(14), "{fault}: too early: {:?}", at - since);
    thread::sleep(time.saturating_sub(since.elapsed())); // the fault itself
    stream.write(10);
    end(&network);
    let since = Instant::now();
    let last = stream.write(10);
    let back = receiver.lines.wait_for(&last, MINUTE).at;
    let account = account(&format!("{fault} for {time:?}"), &stream, &receiver.lines, &program, &last);
    account.all_arrived();
    println!("{fault}: recovered in {:?}, {} connections", back - since, receiver.connections.len());
    assert!(back - since < BACK_WITHIN, "{fault}: {:?}", back - since);
}

/// A firewall forgets one connection and drops what comes by it without a word; new ones pass. That is noticed even
/// when no record waits.
fn a_connection_that_is_forgotten_on_the_way(_: &Sandbox, ring_lock: &RingLock) {
    let network = Network::cable(NEAR, FAR);
    let receiver = network.enter(|| Tcp::at(far(5044), TcpBehaviour::Reads));
    let mut stream = Stream::within(ring_lock, "forgotten");
    let program = start(&receiver.url());
    stream.write_and_wait(10, &receiver.lines);
    let peer = receiver.peer();
    network.enter(|| drop_packets_from(peer));
    let since = Instant::now();
    // No record of this test is needed for it (others may write).
    let second = |all: &[Instant]| all.get(1).copied();
    let at = receiver.connections.wait(NOTICED_WITHIN, "a new connection", second);
    println!("forgotten: a new connection after {:?}", at - since);
    let last = stream.write(10);
    let account = account("one connection forgotten on the way", &stream, &receiver.lines, &program, &last);
    account.all_arrived();
}

/// The peer's machine comes back and knows nothing of the connection, and no record waits: keep-alive notices, and a
/// connection is there before it is needed.
fn half_open_and_idle(_: &Sandbox, ring_lock: &RingLock) {
    let network = Network::cable(NEAR, FAR);
    let receiver = network.enter(|| Tcp::at(far(5044), TcpBehaviour::Reads));
    let mut stream = Stream::within(ring_lock, "idle");
    let program = start(&receiver.url());
    stream.write_and_wait(10, &receiver.lines);
    network.enter(|| ip("link set far down"));
    let receiver = network.enter(|| {
        let receiver = receiver.restart(End::Reset, Duration::ZERO);
        ip("link set far up");
        receiver
    });
    // No record of this test is needed for it (others may write).
    receiver.connections.wait(NOTICED_WITHIN, "a new connection", |all| all.get(1).copied());
    let last = stream.write(1);
    let account = account("half-open and idle", &stream, &receiver.lines, &program, &last);
    account.all_arrived();
}
