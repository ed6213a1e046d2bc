//! Receivers that close their side: as soon as they have accepted, or while records are on their way.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use earlykmsg_tests::account::{Stream, account};
use earlykmsg_tests::distance::Distance;
use earlykmsg_tests::foreign::{Foreign, listens, until};
use earlykmsg_tests::json;
use earlykmsg_tests::kmsg::{Fake, Writer, tag};
use earlykmsg_tests::program::{Run, start};
use earlykmsg_tests::receiver::{End, Lines, Tcp, TcpBehaviour};
use earlykmsg_tests::sandbox::{Sandbox, alone, far};

const WITHIN: Duration = Duration::from_secs(30);

/// Some batches, beside what the ring holds already.
const MANY: usize = 250;

/// A batch is at most 108 lines, each has a connection, and each connection takes some round trips.
const MANY_WITHIN: Duration = Duration::from_secs(20);

/// 20 ms to the receiver and back.
const ONE_WAY: Duration = Duration::from_millis(10);

/// Each record once or twice, and nothing lost. Returns how many came twice.
#[track_caller]
fn twice_at_most(seqs: impl Iterator<Item = u64>) -> usize {
    let mut counts = BTreeMap::<u64, usize>::new();
    for seq in seqs {
        *counts.entry(seq).or_default() += 1;
    }
    let often: Vec<_> = counts.iter().filter(|(_, count)| **count > 2).collect();
    assert!(often.is_empty(), "(number, how often): {often:?}");
    counts.values().filter(|count| **count == 2).count()
}

#[track_caller]
fn received_twice_at_most(lines: &Lines) -> usize {
    twice_at_most(lines.seqs().into_iter())
}

/// Many records wait for a receiver that closes its side as soon as it has accepted, and reads on.
#[track_caller]
fn half_closed_at_accept(fault: &str, receiver: &Tcp) {
    let mut stream = Stream::new("half-closed");
    stream.write(MANY);
    let program = start(&receiver.url());
    let last = stream.write(10);
    receiver.lines.wait_for(&last, MANY_WITHIN);
    account(fault, &stream, &receiver.lines, &program, &last).all_arrived();
    let twice = received_twice_at_most(&receiver.lines);
    println!("{twice} records came twice, {} connections", receiver.connections.len());
}

#[test]
fn half_closed_at_accept_nearby() {
    alone(|_| half_closed_at_accept("half-closed at accept", &Tcp::new(TcpBehaviour::HalfCloses)));
}

#[test]
fn half_closed_at_accept_far_away() {
    alone(|sandbox| {
        let distance = Distance::new(sandbox, ONE_WAY);
        let receiver = distance.network.enter(|| Tcp::at(far(5044), TcpBehaviour::HalfCloses));
        half_closed_at_accept("half-closed at accept, 20 ms away", &receiver);
    });
}

/// It needs more than a second for a batch, and acknowledges some of it again and again. (Its log is its own: of the
/// machine's, others may write more than it reads.)
#[test]
fn half_closed_at_accept_and_slow() {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        let receiver = Tcp::with_buffer(4096, TcpBehaviour::HalfClosesAndSips);
        let _program = Run::fed(&[receiver.url()]).start_connected();
        kmsg.feed_numbers(0..250);
        receiver.lines.wait_count(250, Duration::from_secs(60));
        // What it has not read of a connection that is over, it reads beside the next one.
        let mut lines = receiver.lines.items().clone();
        lines.sort_by_key(|line| line.connection);
        let seqs: Vec<u64> = lines.iter().map(|line| json::seq(&line.json())).collect();
        assert!(seqs.iter().copied().eq(0..250), "each once: {seqs:?}");
    });
}

/// What people start: socat's input is empty, so it closes its side at once.
#[track_caller]
fn socat_without_input(output: &Path, url: &str) {
    let mut stream = Stream::new("socat-half");
    stream.write(MANY);
    let _program = start(url);
    let last = stream.write(10);
    until("the last record", || {
        String::from_utf8_lossy(&fs::read(output).unwrap_or_default()).contains(&last)
    });
    let bytes = fs::read(output).expect("read what arrived");
    // A connection may end within a line, which the next one has from its beginning.
    let begin = b"{\"clock\":";
    let whole = bytes.split_inclusive(|&b| b == b'\n').filter(|line| line.ends_with(b"\n")).map(|line| {
        let begins = line.windows(begin.len()).rposition(|part| part == begin).expect("an object");
        json::checked(line[begins..].trim_ascii())
    });
    let own = whole.filter(|object| json::msg(object).starts_with(&stream.tag));
    let seqs: Vec<u64> = own.map(|object| json::seq(&object)).collect();
    let twice = twice_at_most(seqs.iter().copied());
    assert_eq!(seqs.len() - twice, stream.written);
    println!("{twice} records came twice");
}

/// One connection after the other, so that its output is in order.
const SOCAT: [&str; 2] = ["TCP-LISTEN:5044,reuseaddr,fork,max-children=1", "-"];

#[test]
fn socat_without_input_nearby() {
    alone(|sandbox| {
        let output = sandbox.dir().join("out");
        let _socat = Foreign::start("socat", &SOCAT, &output);
        until("socat", || listens("tcp", 5044));
        socat_without_input(&output, "tcp://127.0.0.1:5044/");
    });
}

#[test]
fn socat_without_input_far_away() {
    alone(|sandbox: &Sandbox| {
        let distance = Distance::new(sandbox, ONE_WAY);
        let output = sandbox.dir().join("out");
        let inside = format!("--net={}", distance.network.path());
        let words: Vec<&str> = [inside.as_str(), "socat"].into_iter().chain(SOCAT).collect();
        let _socat = Foreign::start("nsenter", &words, &output);
        distance.network.enter(|| until("socat", || listens("tcp", 5044)));
        socat_without_input(&output, &format!("tcp://{}/", far(5044)));
    });
}

/// A receiver ends, and is there again, while records are on their way to it: its kernel answers them with a reset. They
/// are sent again, and nothing else. (They are critical, which others' are not: nothing else is on its way.)
#[test]
fn closed_with_records_on_their_way() {
    alone(|sandbox| {
        let distance = Distance::new(sandbox, Duration::from_millis(200));
        let mut receiver = distance.network.enter(|| Tcp::at(far(5044), TcpBehaviour::Reads));
        sandbox.cmdline(format!("talos.logging.kernel={} earlykmsg.level=crit\n", receiver.url()));
        let (writer, tag) = (Writer::new(), tag("on-their-way"));
        let mut written = Vec::new();
        let mut write = |count: usize| {
            for _ in 0..count {
                written.push(format!("{tag} {}.", written.len()));
                writer.write_at(2, written.last().expect("a text"));
            }
            written.last().expect("a text").clone()
        };
        let _program = Run::new::<&str>(&[]).start_connected();
        for _ in 0..3 {
            receiver.lines.wait_for(&write(10), WITHIN);
            let connections = receiver.connections.len();
            write(30);
            receiver = distance.network.enter(|| receiver.restart(End::Quit, Duration::ZERO));
            receiver.connections.wait(WITHIN, "a connection", |all| (all.len() > connections).then_some(()));
        }
        receiver.lines.wait_for(&write(10), WITHIN);
        assert_eq!(receiver.lines.texts(&tag), written, "each once and in order");
        assert_eq!(receiver.lines.texts("perhaps unread"), [""; 0]);
    });
}

/// A receiver that restarts under load, again and again, and each time with records on their way, which it still reads.
/// (The log of the test's own cannot be gone back in: nothing has to be.)
#[test]
fn closed_under_load() {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        let distance = Distance::new(sandbox, ONE_WAY);
        let mut receiver = distance.network.enter(|| Tcp::at(far(5044), TcpBehaviour::Reads));
        let _program = Run::fed(&[receiver.url()]).start_connected();
        let ended = Arc::new(AtomicBool::new(false));
        let writer = thread::spawn({
            let ended = Arc::clone(&ended);
            move || {
                let mut count = 0;
                while !ended.load(Ordering::Relaxed) {
                    kmsg.feed_numbers(count..count + 20);
                    count += 20;
                    thread::sleep(Duration::from_millis(10)); // the load: up to 2,000 records a second
                }
                count
            }
        });
        for _ in 0..5 {
            let connections = receiver.connections.len();
            receiver.lines.wait_count(receiver.lines.len() + 200, WITHIN);
            receiver = distance.network.enter(|| receiver.restart(End::Close, Duration::ZERO));
            receiver.connections.wait(WITHIN, "a connection", |all| (all.len() > connections).then_some(()));
        }
        ended.store(true, Ordering::Relaxed);
        let count = writer.join().expect("a writer");
        receiver.lines.wait_count(count as usize, WITHIN);
        let seqs = receiver.lines.seqs();
        assert!(seqs.iter().copied().eq(0..count), "each once: {seqs:?}");
    });
}

/// A receiver that has closed its side and reads on dies with bytes unread: they are sent again.
#[test]
fn half_closed_and_killed_with_bytes_unread() {
    alone(|_| {
        let receiver = Tcp::with_buffer(4096, TcpBehaviour::HalfClosesAndSips);
        let mut stream = Stream::new("half-killed");
        stream.write(100);
        let program = start(&receiver.url());
        // It reads on after its FIN …
        receiver.lines.wait_count(60, WITHIN);
        receiver.pause();
        // … and has more than what it has read.
        receiver.wait_unread("\"seq\":", WITHIN);
        let receiver = receiver.restart(End::Reset, Duration::ZERO);
        let last = stream.write(10);
        account("half-closed, killed with bytes unread", &stream, &receiver.lines, &program, &last)
            .all_arrived();
        received_twice_at_most(&receiver.lines);
    });
}
