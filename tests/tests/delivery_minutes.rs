//! What lasts: receivers and networks that are away for longer than a peer is waited for, some for a minute. All of
//! them at once, as they do nothing but wait.

use core::time::Duration;
use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use earlykmsg_tests::fault::{self, Fault, Log};
use earlykmsg_tests::foreign::{Foreign, listens, until};
use earlykmsg_tests::json;
use earlykmsg_tests::kmsg::{Fake, RingLock};
use earlykmsg_tests::program::Run;
use earlykmsg_tests::receiver::End;
use earlykmsg_tests::sandbox::{Sandbox, alone};
use earlykmsg_tests::scene::Scene;
use nix::sys::signal::Signal;

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
        ("a_black_hole_of_a_minute", |sandbox, ring_lock| {
            let fault =
                Fault { name: "black hole of a minute", lasts: MINUTE, ..fault::PACKETS_DROPPED_FOR_LONG };
            away(sandbox, ring_lock, &fault);
        }),
        ("no_route_for_long", |sandbox, ring_lock| {
            away(sandbox, ring_lock, &Fault { name: "no route for 22 s", lasts: LONG, ..fault::NO_ROUTE });
        }),
        ("interface_down_for_long", |sandbox, ring_lock| {
            let fault = Fault { name: "interface down for 22 s", lasts: LONG, ..fault::INTERFACE_DOWN };
            away(sandbox, ring_lock, &fault);
        }),
        ("packets_dropped_for_long", |sandbox, ring_lock| {
            away(sandbox, ring_lock, &fault::PACKETS_DROPPED_FOR_LONG);
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
fn killed_and_back_after_a_minute(sandbox: &Sandbox, ring_lock: &RingLock) {
    let mut scene = Scene::within(ring_lock, &fault::KILLED_FOR_A_MINUTE, sandbox);
    scene.happen();
    scene.account().all_arrived();
    is_back(&mut scene);
}

/// A receiver closes and is away for a minute: nothing comes twice. (The log is its own: no record of others is on its way
/// at the close, and none overruns it.)
fn closed_and_back_after_a_minute(sandbox: &Sandbox, _: &RingLock) {
    let fault = Fault {
        name: "closed with all read, back after a minute",
        end: End::Close,
        lasts: MINUTE,
        ..fault::CLOSED_AND_BACK_SOON
    };
    let mut scene = Scene::new(&fault, sandbox);
    scene.happen();
    scene.account().all_arrived_once();
    is_back(&mut scene);
    assert_eq!(scene.lines.seqs(), (0..scene.stream.written as u64).collect::<Vec<u64>>());
}

#[track_caller]
fn is_back(scene: &mut Scene<'_>) {
    assert!(scene.recovered < BACK_WITHIN, "{:?}", scene.recovered);
    assert_eq!(scene.connections(), 2);
    scene.program().says("receiver not reached for 10 s", Duration::ZERO);
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

/// The way to the receiver is interrupted until the connection counts as dead. When it is there again, so is a
/// connection.
fn away(sandbox: &Sandbox, ring_lock: &RingLock, fault: &Fault) {
    let fault = Fault { log: Log::Few, records: 20, ..*fault };
    let mut scene = Scene::within(ring_lock, &fault, sandbox);
    let (words, since) = (Arc::clone(&scene.program().words), Instant::now());
    let noticed = thread::scope(|scope| {
        let noticed = scope.spawn(|| {
            words.try_wait(fault.lasts, |words| {
                let lost = words.iter().find(|line| line.contains("lost: "));
                lost.map(|line| (line.clone(), since.elapsed()))
            })
        });
        scene.happen();
        noticed.join().expect("a watch")
    });
    let name = fault.name;
    let (words, after) = noticed.unwrap_or_else(|| panic!("{name}: a dead peer was not noticed"));
    println!("{name}: noticed after {after:?}: {words}");
    assert!(after > Duration::from_secs(14), "{name}: too early: {after:?}");
    scene.account().all_arrived();
    println!("{name}: recovered in {:?}, {} connections", scene.recovered, scene.connections());
    assert!(scene.recovered < BACK_WITHIN, "{name}: {:?}", scene.recovered);
}

/// A firewall forgets one connection and drops what comes by it without a word; new ones pass. That is noticed even
/// when no record waits: none of this test is needed for it (others may write).
fn a_connection_that_is_forgotten_on_the_way(sandbox: &Sandbox, ring_lock: &RingLock) {
    noticed_when_idle(sandbox, ring_lock, &fault::FORGOTTEN_ON_THE_WAY);
}

/// The peer's machine comes back and knows nothing of the connection, and no record waits: keep-alive notices, and a
/// connection is there before it is needed.
fn half_open_and_idle(sandbox: &Sandbox, ring_lock: &RingLock) {
    noticed_when_idle(sandbox, ring_lock, &fault::HALF_OPEN);
}

fn noticed_when_idle(sandbox: &Sandbox, ring_lock: &RingLock, fault: &Fault) {
    let fault = Fault { records: 0, ..*fault };
    let mut scene = Scene::within(ring_lock, &fault, sandbox);
    let since = Instant::now();
    scene.happen();
    let second = |all: &[Instant]| all.get(1).copied();
    let at = scene.receiver().connections.wait(NOTICED_WITHIN, "a new connection", second);
    println!("{}: a new connection after {:?}", fault.name, at - since);
    scene.account().all_arrived();
}
