//! Faults between the ring and the receiver: every record is received, or lies in a range that is reported.
//!
//! Judged by sequence numbers: from the first that was received to that of the last record that a test wrote,
//! each is there or was said to be lost or perhaps unread. A table of the figures is printed.

use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Instant;

use earlykmsg_tests::json;
use earlykmsg_tests::kmsg::{Writer, tag};
use earlykmsg_tests::program::{Program, Run};
use earlykmsg_tests::receiver::{End, Lines, Manner, Tcp, Udp};
use earlykmsg_tests::sandbox::{Network, alone, drop_nothing, drop_packets_to, ip};
use nix::sys::signal::Signal;

const WITHIN: Duration = Duration::from_secs(10);

/// Records of one test, numbered.
struct Stream {
    writer: Writer,
    tag: String,
    written: usize,
}

impl Stream {
    fn new(what: &str) -> Stream {
        Stream { writer: Writer::new(), tag: tag(what), written: 0 }
    }

    /// More than the ring holds.
    fn storm(what: &str) -> Stream {
        Stream { writer: Writer::storm(), tag: tag(what), written: 0 }
    }

    /// Writes more; gives the last one's text.
    fn write(&mut self, count: usize) -> String {
        let filler = "x".repeat(60);
        let mut text = String::new();
        for _ in 0..count {
            text = format!("{} {}.", self.tag, self.written);
            self.writer.write(&format!("{text} {filler}"));
            self.written += 1;
        }
        text
    }

    /// Writes until `text` is away from the ring's end, and waits for the last to arrive.
    fn write_and_wait(&mut self, count: usize, lines: &Lines) -> Instant {
        let last = self.write(count);
        lines.wait_for(&last, WITHIN).at
    }
}

/// What became of the records.
#[derive(Debug)]
struct Account {
    written: usize,
    received: usize,
    duplicates: usize,
    lost: u64,
    perhaps_unread: u64,
    unaccounted: Vec<RangeInclusive<u64>>,
}

/// Counts at the end of a test, after `last` has arrived.
#[track_caller]
fn account(fault: &str, stream: &Stream, lines: &Lines, program: &Program, last: &str) -> Account {
    let last = lines.wait_for(last, Duration::from_secs(60));
    let objects: Vec<serde_json::Value> = lines.objects();
    let mut told: Vec<String> = objects.iter().map(|object| json::msg(object).to_owned()).collect();
    told.extend(program.words.items().iter().cloned());
    let reported = |lost: bool| {
        let of_kind = |text: &&String| text.starts_with("earlykmsg: lost ") == lost;
        let mut ranges: Vec<_> =
            told.iter().filter(of_kind).filter_map(|text| json::reported(text)).collect();
        ranges.sort_unstable_by_key(|range| (*range.start(), *range.end()));
        ranges.dedup();
        ranges
    };
    let (lost, unread) = (reported(true), reported(false));
    let sum =
        |ranges: &[RangeInclusive<u64>]| ranges.iter().map(|range| range.end() - range.start() + 1).sum();
    let mut received: BTreeMap<u64, usize> = BTreeMap::new();
    for object in objects.iter().filter(|object| !json::msg(object).starts_with("earlykmsg: lost ")) {
        *received.entry(json::seq(object)).or_default() += 1;
    }
    let first = *received.keys().next().expect("something was received");
    let last = json::seq(&last.json());
    let ranges = || lost.iter().chain(&unread);
    let accounted = |seq: &u64| received.contains_key(seq) || ranges().any(|range| range.contains(seq));
    let mut unaccounted: Vec<RangeInclusive<u64>> = Vec::new();
    for seq in (first..=last).filter(|seq| !accounted(seq)) {
        match unaccounted.last_mut() {
            Some(range) if *range.end() + 1 == seq => *range = *range.start()..=seq,
            _ => unaccounted.push(seq..=seq),
        }
    }
    let own = objects.iter().filter(|object| json::msg(object).starts_with(&stream.tag));
    let account = Account {
        written: stream.written,
        received: own.map(json::seq).collect::<BTreeSet<u64>>().len(),
        duplicates: received.values().map(|count| count - 1).sum(),
        lost: sum(&lost),
        perhaps_unread: sum(&unread),
        unaccounted,
    };
    println!(
        "| {fault:<52} | {:>6} | {:>6} | {:>5} | {:>6} | {:>6} | {:?} |",
        account.written,
        account.received,
        account.duplicates,
        account.lost,
        account.perhaps_unread,
        account.unaccounted
    );
    assert!(account.unaccounted.is_empty(), "{fault}: lost in silence: {account:?}");
    account
}

/// Everything arrived, and nothing was lost. What was sent before and is no longer in the ring may be perhaps unread.
#[track_caller]
fn all_arrived(account: &Account) {
    assert_eq!((account.received, account.lost), (account.written, 0), "{account:?}");
}

fn start(url: &str) -> Program {
    Run::new(&[url]).start()
}

/// A receiver that dies with bytes unread, and one in its place after `pause`.
fn killed_with_bytes_unread(pause: Duration) {
    let mut receiver = Tcp::new(Manner::Reads);
    let mut stream = Stream::new("reset");
    let program = start(&receiver.url());
    stream.write_and_wait(10, &receiver.lines);
    receiver.pause();
    // One read may be under way; what comes after it stays unread.
    stream.write(20);
    let last = stream.write(200);
    receiver.wait_unread(&last, WITHIN);
    receiver = receiver.restart(End::Reset, pause);
    let since = Instant::now();
    let back = receiver.lines.wait_for(&last, WITHIN).at;
    let last = stream.write(10);
    let account = account(
        &format!("killed with bytes unread, back after {pause:?}"),
        &stream,
        &receiver.lines,
        &program,
        &last,
    );
    all_arrived(&account);
    println!("recovered {:?} after it was back", back.saturating_duration_since(since));
}

#[test]
fn killed_with_bytes_unread_and_back_at_once() {
    alone(|_| killed_with_bytes_unread(Duration::ZERO));
}

#[test]
fn killed_with_bytes_unread_and_back_soon() {
    alone(|_| killed_with_bytes_unread(Duration::from_millis(500)));
}

/// A receiver that closes with all read: nothing twice, nothing lost.
fn closed_with_all_read(pause: Duration) {
    let mut receiver = Tcp::new(Manner::Reads);
    let mut stream = Stream::new("close");
    let program = start(&receiver.url());
    for round in 0..5 {
        // What the program says of the connection is a record too: it is waited for by the next one.
        stream.write_and_wait(10, &receiver.lines);
        let connections = receiver.connections.len();
        receiver = receiver.restart(End::Close, pause);
        receiver.connections.wait(WITHIN, "a new connection", |all| (all.len() > connections).then_some(()));
        println!("round {round}");
    }
    let last = stream.write(10);
    let account = account(
        &format!("closed with all read, back after {pause:?}, 5 times"),
        &stream,
        &receiver.lines,
        &program,
        &last,
    );
    all_arrived(&account);
    assert_eq!(account.duplicates, 0);
}

#[test]
fn closed_with_all_read_and_back_at_once() {
    alone(|_| closed_with_all_read(Duration::ZERO));
}

#[test]
fn closed_with_all_read_and_back_soon() {
    alone(|_| closed_with_all_read(Duration::from_millis(500)));
}

/// Records that are written while nobody listens wait in the ring.
#[test]
fn away_for_a_while() {
    alone(|_| {
        let mut receiver = Tcp::new(Manner::Reads);
        let mut stream = Stream::new("away");
        let program = start(&receiver.url());
        stream.write_and_wait(10, &receiver.lines);
        receiver.stop(End::Close);
        let last = stream.write(100);
        let again = receiver.restart(End::Close, Duration::from_secs(2));
        let account =
            account("closed with all read, 100 records later back", &stream, &again.lines, &program, &last);
        all_arrived(&account);
        assert_eq!(account.duplicates, 0);
    });
}

const NEAR: &[&str] = &["10.9.0.1/24", "fd09::1/64"];
const FAR: &[&str] = &["10.9.0.2/24", "fd09::2/64"];

fn far(port: u16) -> SocketAddr {
    (far_ip(), port).into()
}

fn far_ip() -> IpAddr {
    [10, 9, 0, 2].into()
}

/// Packets are dropped for `time`, then pass again. The connection lives on if that is short.
fn packets_dropped(time: Duration) {
    let network = Network::cable(NEAR, FAR);
    let receiver = network.enter(|| Tcp::at(far(5044), Manner::Reads));
    let mut stream = Stream::new("drop");
    let program = start(&receiver.url());
    stream.write_and_wait(10, &receiver.lines);
    network.enter(|| drop_packets_to(far_ip()));
    stream.write(50);
    thread::sleep(time); // the fault itself
    stream.write(50);
    network.enter(drop_nothing);
    let since = Instant::now();
    let last = stream.write(10);
    let back = receiver.lines.wait_for(&last, Duration::from_secs(60)).at;
    let account =
        account(&format!("packets dropped for {time:?}"), &stream, &receiver.lines, &program, &last);
    all_arrived(&account);
    println!("recovered in {:?}, {} connections", back - since, receiver.connections.len());
    if time < Duration::from_secs(10) {
        assert_eq!((account.duplicates, receiver.connections.len()), (0, 1), "slow is not dead");
    }
}

#[test]
fn packets_dropped_for_a_moment() {
    alone(|_| packets_dropped(Duration::from_secs(4)));
}

#[test]
fn packets_dropped_until_the_peer_counts_as_dead() {
    alone(|_| packets_dropped(Duration::from_secs(22)));
}

/// A peer that is gone without a word is noticed while something waits: a new connection is tried within 25 s.
#[test]
fn gone_without_a_word_is_noticed() {
    alone(|_| {
        let network = Network::cable(NEAR, FAR);
        let receiver = network.enter(|| Tcp::at(far(5044), Manner::Reads));
        let mut stream = Stream::new("gone");
        let program = start(&receiver.url());
        stream.write_and_wait(10, &receiver.lines);
        network.enter(|| drop_packets_to(far_ip()));
        let since = Instant::now();
        stream.write(5);
        let noticed = |words: &[String]| {
            words
                .iter()
                .skip(1)
                .any(|line| has_any(line, &["dead", "no answer", "timed out"]))
                .then(Instant::now)
        };
        let at = program.words.wait(Duration::from_secs(25), "words about a dead peer", noticed);
        let after = at - since;
        println!("noticed after {after:?}: {:?}", *program.words.items());
        assert!(after > Duration::from_secs(14), "too early: {after:?}");
    });
}

fn has_any(line: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| line.contains(part))
}

/// The peer's machine comes back and knows nothing of the connection.
#[test]
fn half_open() {
    alone(|_| {
        let network = Network::cable(NEAR, FAR);
        let receiver = network.enter(|| Tcp::at(far(5044), Manner::Reads));
        let mut stream = Stream::new("half");
        let program = start(&receiver.url());
        stream.write_and_wait(10, &receiver.lines);
        // Its last words reach nobody: the cable is out while it dies.
        network.enter(|| ip("link set far down"));
        let lines = std::sync::Arc::clone(&receiver.lines);
        let receiver = network.enter(|| {
            let receiver = receiver.restart(End::Reset, Duration::ZERO);
            ip("link set far up");
            receiver
        });
        let last = stream.write(10);
        let account = account("half-open: the peer forgot the connection", &stream, &lines, &program, &last);
        all_arrived(&account);
        assert_eq!(receiver.connections.len(), 2);
    });
}

/// The same without a record that waits: keep-alive notices, and the connection is there before it is needed.
#[test]
fn half_open_and_idle() {
    alone(|_| {
        let network = Network::cable(NEAR, FAR);
        let receiver = network.enter(|| Tcp::at(far(5044), Manner::Reads));
        let mut stream = Stream::new("idle");
        let program = start(&receiver.url());
        stream.write_and_wait(10, &receiver.lines);
        network.enter(|| ip("link set far down"));
        let receiver = network.enter(|| {
            let receiver = receiver.restart(End::Reset, Duration::ZERO);
            ip("link set far up");
            receiver
        });
        // No record of this test is needed for it (others may write).
        receiver.connections.wait(Duration::from_secs(25), "a new connection", |all| all.get(1).copied());
        let last = stream.write(1);
        let account = account("half-open and idle", &stream, &receiver.lines, &program, &last);
        all_arrived(&account);
    });
}

/// A receiver that stops reading for ten seconds with its buffers full is slow, not dead: one connection, nothing
/// twice. What the ring loses meanwhile is reported at its place.
#[test]
fn stopped_and_continued() {
    alone(|_| {
        let receiver = Tcp::new(Manner::Reads);
        let mut stream = Stream::storm("stopped");
        let program = start(&receiver.url());
        stream.write_and_wait(10, &receiver.lines);
        receiver.pause();
        stream.write(20_000);
        thread::sleep(Duration::from_secs(20)); // the fault itself
        stream.write(100);
        receiver.resume();
        let last = stream.write(10);
        let account =
            account("stopped for 20 s, 20,000 records written", &stream, &receiver.lines, &program, &last);
        assert_eq!((account.duplicates, receiver.connections.len()), (0, 1), "slow is not dead: {account:?}");
        assert!(account.lost > 0, "the ring was overrun");
        check_order_of_losses(&receiver.lines);
    });
}

/// A loss stands where the records would have stood.
#[track_caller]
fn check_order_of_losses(lines: &Lines) {
    let objects = lines.objects();
    for (at, object) in objects.iter().enumerate() {
        let Some(range) = json::msg(object)
            .starts_with("earlykmsg: lost ")
            .then(|| json::reported(json::msg(object)))
            .flatten()
        else {
            continue;
        };
        assert_eq!(json::seq(object), *range.start(), "seq is that of the first lost");
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

/// The ring is overrun while nobody listens.
#[test]
fn ring_overrun_while_away() {
    alone(|_| {
        let mut receiver = Tcp::new(Manner::Reads);
        let mut stream = Stream::storm("overrun");
        let program = start(&receiver.url());
        stream.write_and_wait(10, &receiver.lines);
        receiver.stop(End::Close);
        stream.write(20_000);
        let receiver = receiver.restart(End::Close, Duration::ZERO);
        let last = stream.write(10);
        let account = account("away, 20,000 records written", &stream, &receiver.lines, &program, &last);
        assert!(account.lost > 10_000, "{account:?}");
        assert_eq!(account.duplicates, 0);
        check_order_of_losses(&receiver.lines);
    });
}

/// The same after a death with bytes unread: what the ring no longer has is said to be perhaps unread.
#[test]
fn ring_overrun_after_a_reset() {
    alone(|_| {
        let mut receiver = Tcp::new(Manner::Reads);
        let mut stream = Stream::storm("unread");
        let program = start(&receiver.url());
        stream.write_and_wait(10, &receiver.lines);
        receiver.pause();
        stream.write(20);
        let last = stream.write(200);
        receiver.wait_unread(&last, WITHIN);
        receiver.stop(End::Reset);
        stream.write(20_000);
        let receiver = receiver.restart(End::Reset, Duration::ZERO);
        let last = stream.write(10);
        account(
            "killed with bytes unread, 20,000 records later back",
            &stream,
            &receiver.lines,
            &program,
            &last,
        );
        check_order_of_losses(&receiver.lines);
    });
}

/// A receiver hangs while a storm overruns the ring, dies, and its successor dies as well before it has read what the
/// shipper had kept from before the storm.
#[test]
fn ring_overrun_and_two_resets() {
    alone(|_| {
        let receiver = Tcp::new(Manner::Reads);
        let mut stream = Stream::storm("resets");
        let program = start(&receiver.url());
        stream.write_and_wait(10, &receiver.lines);
        receiver.pause();
        stream.write(20_000);
        let receiver = receiver.restart(End::Reset, Duration::ZERO);
        receiver.pause();
        receiver.connections.wait(WITHIN, "a second connection", |all| (all.len() >= 2).then_some(()));
        receiver.wait_unread("\"seq\":", WITHIN);
        let receiver = receiver.restart(End::Reset, Duration::ZERO);
        let last = stream.write(10);
        account("hung in a storm, killed twice", &stream, &receiver.lines, &program, &last);
    });
}

/// A storm to a receiver that reads all the time, beside one that never does.
#[test]
fn storm_to_a_healthy_receiver_beside_a_stuck_one() {
    alone(|_| {
        let (healthy, stuck) = (Tcp::new(Manner::Reads), Tcp::new(Manner::Ignores));
        let mut stream = Stream::storm("storm");
        let program = Run::new(&[stuck.url(), healthy.url()]).start();
        stream.write_and_wait(10, &healthy.lines);
        for _ in 0..100 {
            stream.write_and_wait(200, &healthy.lines);
        }
        let last = stream.write(10);
        let account =
            account("20,000 records beside a stuck destination", &stream, &healthy.lines, &program, &last);
        all_arrived(&account);
        assert_eq!((account.duplicates, healthy.connections.len(), stuck.connections.len()), (0, 1, 1));
    });
}

/// As fast as the kernel takes them, with a receiver that reads.
#[test]
fn storm_without_a_pause() {
    alone(|_| {
        let receiver = Tcp::new(Manner::Reads);
        let mut stream = Stream::storm("fast");
        let program = start(&receiver.url());
        stream.write_and_wait(10, &receiver.lines);
        stream.write(50_000);
        let last = stream.write(10);
        let account = account(
            "50,000 records as fast as they can be written",
            &stream,
            &receiver.lines,
            &program,
            &last,
        );
        assert_eq!(account.duplicates, 0);
        check_order_of_losses(&receiver.lines);
    });
}

/// A receiver that reads one byte a second gets one connection, however long it takes.
#[test]
fn one_byte_a_second() {
    alone(|_| {
        let receiver = Tcp::new(Manner::Crawls);
        let mut stream = Stream::storm("crawl");
        let _program = start(&receiver.url());
        receiver.connections.wait(WITHIN, "a connection", |all| all.first().copied());
        stream.write(20_000);
        thread::sleep(Duration::from_secs(20)); // longer than a dead peer is waited for
        assert_eq!(receiver.connections.len(), 1);
    });
}

/// Nobody listens for datagrams at first: what the refusals tell of is sent again.
#[test]
fn datagrams_refused() {
    alone(|_| {
        let address = Udp::new().address;
        let mut stream = Stream::new("refused");
        let program = start(&format!("udp://{address}/"));
        program.words.wait(WITHIN, "its first words", |words| words.first().map(|_| ()));
        stream.write(5);
        thread::sleep(Duration::from_millis(1_500)); // nobody is there
        stream.write(5);
        let receiver = Udp::at(address);
        let last = stream.write(5);
        receiver.lines.wait_for(&last, WITHIN);
        let got = receiver.lines.texts(&stream.tag).len();
        println!("{got} of 15 arrived");
        let account = account("datagrams refused, then taken", &stream, &receiver.lines, &program, &last);
        println!("{account:?}");
        assert_eq!(account.received, 15, "the ring held them all the time");
    });
}

/// The receiver of datagrams restarts: the refusal comes late, what was sent within its second goes out again.
#[test]
fn datagrams_to_a_receiver_that_restarts() {
    alone(|_| {
        let receiver = Udp::new();
        let (address, lines) = (receiver.address, std::sync::Arc::clone(&receiver.lines));
        let mut stream = Stream::new("udp-restart");
        let program = start(&receiver.url());
        stream.write_and_wait(10, &lines);
        drop(receiver);
        stream.write(10);
        thread::sleep(Duration::from_millis(300)); // nobody is there
        let again = Udp::at(address);
        let last = stream.write(10);
        again.lines.wait_for(&last, WITHIN);
        let got: BTreeSet<String> =
            [&lines, &again.lines].into_iter().flat_map(|lines| lines.texts(&stream.tag)).collect();
        println!("{} of 30; it said {:?}", got.len(), *program.words.items());
        assert_eq!(got.len(), 30);
    });
}

/// Nobody answers for the receiver's address: nothing is sent into the void until somebody does.
#[test]
fn datagrams_wait_for_the_neighbour() {
    alone(|_| {
        let network = Network::cable(NEAR, FAR);
        let answer = |how: &str| {
            network
                .enter(|| std::fs::write("/proc/sys/net/ipv4/conf/all/arp_ignore", how))
                .expect("set arp_ignore");
        };
        answer("8");
        let receiver = network.enter(|| Udp::at(far(5044)));
        let mut stream = Stream::new("neighbour");
        let program = start(&format!("udp://{}/", far(5044)));
        program.words.wait(WITHIN, "its first words", |words| words.first().map(|_| ()));
        stream.write(100);
        thread::sleep(Duration::from_secs(5)); // the fault itself: longer than the kernel asks for the address
        assert!(
            !program.words.items().iter().any(|line| line.contains("connected to")),
            "nobody is there yet: {:?}",
            *program.words.items()
        );
        answer("0");
        let last = stream.write(10);
        let account = account("nobody answers for the address", &stream, &receiver.lines, &program, &last);
        // What the full ring dropped meanwhile is said; what it still had has arrived, none of it sent in vain.
        assert_eq!(account.received, account.written);
        assert!(account.perhaps_unread <= 1, "only the first datagram was sent before: {account:?}");
    });
}

/// A shipper that is killed does not send again what was delivered long ago.
#[test]
fn datagrams_of_a_killed_shipper() {
    alone(|_| {
        let receiver = Udp::new();
        let mut stream = Stream::new("udp-killed");
        let program = start(&receiver.url());
        stream.write_and_wait(10, &receiver.lines);
        thread::sleep(Duration::from_millis(1_500)); // more than is sent again
        stream.write_and_wait(1, &receiver.lines);
        program.says("connected to", WITHIN);
        let shipper = program.shippers()[0];
        nix::sys::signal::kill(shipper, Signal::SIGKILL).expect("kill the shipper");
        program.says("is started again", WITHIN);
        let last = stream.write(5);
        let account = account("shipper killed, datagrams", &stream, &receiver.lines, &program, &last);
        assert_eq!(account.received, account.written); // what a full ring drops of others' does not matter here
        assert!(account.duplicates < 200, "{account:?}");
    });
}

/// The end with a peer that is gone: five seconds, and how many records are unconfirmed.
#[test]
fn the_end_says_what_is_unconfirmed() {
    alone(|_| {
        let network = Network::cable(NEAR, FAR);
        let receiver = network.enter(|| Tcp::at(far(5044), Manner::Reads));
        let mut stream = Stream::new("end");
        let program = start(&receiver.url());
        stream.write_and_wait(10, &receiver.lines);
        network.enter(|| drop_packets_to(far_ip()));
        stream.write(7);
        let since = Instant::now();
        program.signal(Signal::SIGTERM);
        let end = program.finish(WITHIN);
        let took = since.elapsed();
        println!("{took:?}, code {:?}: {:?}", end.code, end.words);
        assert!(took > Duration::from_secs(4) && took < Duration::from_secs(7), "{took:?}");
        let said = end.words.iter().find_map(|line| json::unconfirmed(line)).expect("words about it");
        assert!(said >= 7, "7 are unconfirmed, and those of others: {said}");
    });
}

/// A route that goes away and comes back: the kernel tells, so nothing is waited for.
#[test]
fn a_link_that_comes_late() {
    alone(|_| {
        let network = Network::cable(NEAR, FAR);
        let receiver = network.enter(|| Tcp::at(far(5044), Manner::Reads));
        ip("link set near down");
        let mut stream = Stream::new("link");
        let _program = start(&receiver.url());
        let last = stream.write(5);
        thread::sleep(Duration::from_secs(4)); // long enough for the longest pause
        assert!(receiver.connections.is_empty());
        ip("link set near up");
        let since = Instant::now();
        let at = receiver.lines.wait_for(&last, WITHIN).at;
        println!("first record {:?} after the link came up", at - since);
        assert!(at - since < Duration::from_millis(1_500));
    });
}
