//! The end: what is still there is sent and confirmed within 5 s, or is said to be unconfirmed.

use core::time::Duration;
use std::collections::BTreeSet;
use std::thread;
use std::time::Instant;

use earlykmsg_tests::account::{Stream, account};
use earlykmsg_tests::fault::{self, Fault};
use earlykmsg_tests::json;
use earlykmsg_tests::kmsg::Fake;
use earlykmsg_tests::program::{Finished, Program, Run, start};
use earlykmsg_tests::receiver::{End, Tcp, TcpBehaviour};
use earlykmsg_tests::sandbox::{FAR, FAR_IP, NEAR, Network, Sandbox, alone, drop_packets_to, far};
use earlykmsg_tests::scene::Scene;
use nix::sys::signal::Signal;

const WITHIN: Duration = Duration::from_secs(30);

/// The end with a peer that is gone: five seconds, and how many records are unconfirmed.
#[test]
fn the_end_says_what_is_unconfirmed() {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        let network = Network::cable(NEAR, FAR);
        let receiver = network.enter(|| Tcp::at(far(5044), TcpBehaviour::Reads));
        let program = Run::fed(&[receiver.url()]).start_connected();
        kmsg.feed_numbers(0..10);
        receiver.lines.wait_count(10, WITHIN);
        network.enter(|| drop_packets_to(FAR_IP));
        kmsg.feed_numbers(10..17);
        let since = Instant::now();
        program.signal(Signal::SIGTERM);
        let end = program.finish(WITHIN);
        let took = since.elapsed();
        println!("{took:?}, code {:?}: {:?}", end.code, end.words);
        assert!(took > Duration::from_secs(4) && took < Duration::from_secs(7), "{took:?}");
        let said = end.words.iter().find_map(|line| json::unconfirmed(line)).expect("words about it");
        assert_eq!(said, 7);
    });
}

/// What an init does to all processes at a reboot: SIGTERM, and SIGKILL after `grace`.
fn reboot(program: Program, grace: Duration) -> Finished {
    program.signal_all(Signal::SIGTERM);
    if !program.ends_within(grace) {
        program.signal_all(Signal::SIGKILL);
    }
    program.finish(WITHIN)
}

/// After a reboot, all that was written has arrived, once and in order, and the program had said so.
#[track_caller]
fn all_delivered(fault: &Fault) {
    alone(|sandbox| {
        let mut scene = Scene::new(fault, sandbox);
        scene.happen();
        assert_eq!(scene.program().code(WITHIN), Some(0), "{:?}", scene.shipper.words());
        scene.lines.wait_count(scene.stream.written, WITHIN);
        assert_eq!(scene.lines.seqs(), (0..scene.stream.written as u64).collect::<Vec<u64>>());
    });
}

/// What came within the last moment before a reboot arrives.
#[test]
fn reboot_with_a_receiver_that_reads() {
    all_delivered(&fault::REBOOT);
}

/// A receiver that is away at the SIGTERM and back two seconds later gets everything.
#[test]
fn reboot_with_a_receiver_that_comes_back() {
    all_delivered(&Fault { end: End::Close, ..fault::REBOOT_WHILE_AWAY });
}

/// A receiver that does not close its side is waited for only half a second when it has acknowledged all.
#[test]
fn the_end_with_a_receiver_that_keeps_its_side_open() {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        let receiver = Tcp::new(TcpBehaviour::KeepsOpen);
        let program = Run::fed(&[receiver.url()]).start_connected();
        kmsg.feed_numbers(0..10);
        receiver.lines.wait_count(10, WITHIN);
        let since = Instant::now();
        program.signal(Signal::SIGTERM);
        let end = program.finish(WITHIN);
        let took = since.elapsed();
        println!("{took:?}, code {:?}: {:?}", end.code, end.words);
        assert_eq!(end.code, Some(0), "{end:?}");
        assert!(took >= Duration::from_millis(500) && took < Duration::from_secs(4), "{took:?}");
    });
}

/// A receiver that takes 80 KB a second, with as much before it as it reads within the time.
#[test]
fn reboot_with_a_slow_receiver() {
    alone(|_| {
        let (receiver, mut stream) =
            (Tcp::with_buffer(4096, TcpBehaviour::Sips), Stream::storm("reboot-slow"));
        let program = start_with_all_read(&receiver, &mut stream);
        stream.write(400);
        let since = Instant::now();
        let end = reboot(program, Duration::from_secs(10));
        println!("drained in {:?}", since.elapsed());
        assert_eq!(end.code, Some(0), "{end:?}");
        assert!(since.elapsed() > Duration::from_millis(500), "this receiver is not slow");
        receiver.lines.wait_for("asked to end", WITHIN);
        assert_eq!(receiver.lines.texts(&stream.tag).len(), stream.written);
    });
}

/// The same with an init that has less patience: what the socket has taken arrives without the program.
#[test]
fn reboot_that_kills_before_a_slow_receiver_reads() {
    alone(|_| {
        let (receiver, mut stream) =
            (Tcp::with_buffer(4096, TcpBehaviour::Sips), Stream::storm("reboot-kill"));
        let program = start_with_all_read(&receiver, &mut stream);
        receiver.pause();
        let last = stream.write(300);
        program.signal_all(Signal::SIGTERM);
        // It says so when the socket has taken all there was before.
        program.says("asked to end", WITHIN);
        program.signal_all(Signal::SIGKILL);
        let end = program.finish(WITHIN);
        assert_eq!(end.signal, Some(Signal::SIGKILL as i32), "{end:?}");
        receiver.resume();
        receiver.lines.wait_for(&last, WITHIN);
        assert_eq!(receiver.lines.texts(&stream.tag).len(), stream.written);
    });
}

/// Starts the program with this receiver, which is slow, and waits until it has read what the ring held.
fn start_with_all_read(receiver: &Tcp, stream: &mut Stream) -> Program {
    let program = start(&receiver.url());
    let last = stream.write(10);
    receiver.lines.wait_for(&last, Duration::from_secs(60));
    program
}

/// A program whose log had ten records, which have arrived.
fn ten_arrived(sandbox: &Sandbox) -> (Fake, Tcp, Program) {
    let kmsg = Fake::new(sandbox);
    let receiver = Tcp::new(TcpBehaviour::Reads);
    let program = Run::fed(&[receiver.url()]).start_connected();
    kmsg.feed_numbers(0..10);
    receiver.lines.wait_count(10, WITHIN);
    (kmsg, receiver, program)
}

/// A receiver that was killed with bytes unread and comes back after the SIGTERM: these, too, are sent again within the
/// time.
#[test]
fn reboot_with_a_receiver_that_was_killed_and_comes_back() {
    alone(|_| {
        let receiver = Tcp::new(TcpBehaviour::Reads);
        let mut stream = Stream::new("reboot-killed");
        let program = start(&receiver.url());
        stream.write_and_wait(10, &receiver.lines);
        receiver.pause();
        receiver.wait_unread(&stream.write(120), WITHIN);
        let lines = thread::scope(|scope| {
            let back = scope.spawn(|| receiver.restart(End::Reset, Duration::from_secs(2)));
            let end = reboot(program, Duration::from_secs(10));
            assert_eq!(end.code, Some(0), "{end:?}");
            let receiver = back.join().expect("a receiver");
            receiver.lines.wait_for("asked to end", WITHIN);
            let texts: BTreeSet<String> = receiver.lines.texts(&stream.tag).into_iter().collect();
            texts
        });
        assert_eq!(lines.len(), 130);
    });
}

/// A receiver that stays away: after five seconds the program says how many it did not get, and ends.
#[test]
fn reboot_with_a_receiver_that_is_away() {
    alone(|sandbox| {
        let (kmsg, mut receiver, program) = ten_arrived(sandbox);
        receiver.stop(End::Close);
        kmsg.feed_numbers(10..60);
        let since = Instant::now();
        let end = reboot(program, Duration::from_secs(10));
        let took = since.elapsed();
        println!("{took:?}, code {:?}: {:?}", end.code, end.words);
        assert_eq!(end.code, Some(69), "{end:?}");
        assert!(took > Duration::from_secs(4) && took < Duration::from_secs(7), "{took:?}");
        let said = end.words.iter().find_map(|line| json::unconfirmed(line)).expect("words about it");
        assert_eq!(said, 50);
    });
}

/// `--once` with a receiver that comes when two seconds are over: all that the ring held arrives.
#[test]
fn once_with_a_receiver_that_comes_late() {
    alone(|_| {
        let mut receiver = Tcp::new(TcpBehaviour::Reads);
        receiver.stop(End::Close);
        let mut stream = Stream::new("once-late");
        let last = stream.write(100);
        let program = Run::new(&["--once", &receiver.url()]).start_on_ring();
        let receiver = receiver.restart(End::Close, Duration::from_secs(2));
        account("--once, the receiver comes 2 s later", &stream, &receiver.lines, &program, &last)
            .all_arrived_once();
        let end = program.finish(WITHIN);
        assert_eq!(end.code, Some(0), "{end:?}");
    });
}

/// `--once` with a slow receiver waits until it has all.
#[test]
fn once_with_a_receiver_that_is_busy_at_first() {
    alone(|_| {
        let receiver = Tcp::with_buffer(4096, TcpBehaviour::Reads);
        receiver.pause();
        let mut stream = Stream::new("once-busy");
        let last = stream.write(100);
        let program = Run::new(&["--once", &receiver.url()]).start_on_ring();
        thread::sleep(Duration::from_secs(3)); // the fault itself
        receiver.resume();
        account("--once, the receiver is busy for 3 s", &stream, &receiver.lines, &program, &last)
            .all_arrived_once();
        let end = program.finish(WITHIN);
        assert_eq!(end.code, Some(0), "{end:?}");
    });
}
