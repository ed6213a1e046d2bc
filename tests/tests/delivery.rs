//! What receivers do, over TCP: every record is received, or lies in a range that is reported.
//!
//! The tests of delivery, by what stands in the way: receivers (here), `delivery_closing.rs`, `delivery_network.rs`,
//! `delivery_datagrams.rs` (UDP), `delivery_destinations.rs` (several at once), `delivery_end.rs` (SIGTERM),
//! `delivery_minutes.rs` (what lasts), `delivery_random.rs` (anything, in any order). Each prints its figures;
//! `earlykmsg_tests::account` judges them.

use core::time::Duration;
use std::thread;
use std::time::Instant;

use earlykmsg_tests::account::{Stream, account, check_order_of_losses};
use earlykmsg_tests::foreign::{unread_bytes, until};
use earlykmsg_tests::program::{start, start_on_own_log};
use earlykmsg_tests::receiver::{End, Tcp, TcpBehaviour};
use earlykmsg_tests::sandbox::{Sandbox, alone};

const WITHIN: Duration = Duration::from_secs(10);

/// A receiver that dies with bytes unread, and one in its place after `pause`.
fn killed_with_bytes_unread(pause: Duration) {
    let mut receiver = Tcp::new(TcpBehaviour::Reads);
    let mut stream = Stream::new("reset");
    let program = start(&receiver.url());
    stream.write_and_wait(10, &receiver.lines);
    receiver.pause();
    let last = stream.write(220);
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
    account.all_arrived();
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

/// A receiver with a large buffer dies with megabytes unread. What the ring still has is sent again, and all else
/// that was sent over that connection is said to be perhaps unread.
#[test]
fn killed_with_megabytes_unread() {
    alone(|_| {
        let receiver = Tcp::with_buffer(32 << 20, TcpBehaviour::Reads);
        let port = receiver.address.port();
        let mut stream = Stream::storm("megabytes");
        let program = start(&receiver.url());
        stream.write_and_wait(10, &receiver.lines);
        receiver.pause();
        // No faster than the shipper reads: nothing is to be lost in the ring.
        while unread_bytes(port) < 3 << 20 {
            // Each becomes more than 200 bytes.
            let more = unread_bytes(port) + 200 * 200;
            stream.write(200);
            until("more to lie unread", || unread_bytes(port) >= more);
        }
        let unread = unread_bytes(port);
        let receiver = receiver.restart(End::Reset, Duration::ZERO);
        let last = stream.write(10);
        let fault = format!("killed with {unread} bytes unread");
        let account = account(&fault, &stream, &receiver.lines, &program, &last);
        assert!(account.received > 500, "the ring still had so many: {account:?}");
        assert_eq!(account.lost, 0, "all of them were sent: {account:?}");
    });
}

/// A receiver that closes with all read: nothing twice, nothing lost.
fn closed_with_all_read(sandbox: &Sandbox, pause: Duration) {
    let mut receiver = Tcp::new(TcpBehaviour::Reads);
    let mut stream = Stream::own(sandbox, "close");
    let program = start_on_own_log(&receiver.url());
    for round in 0..5 {
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
    account.all_arrived_once();
}

#[test]
fn closed_with_all_read_and_back_at_once() {
    alone(|sandbox| closed_with_all_read(sandbox, Duration::ZERO));
}

#[test]
fn closed_with_all_read_and_back_soon() {
    alone(|sandbox| closed_with_all_read(sandbox, Duration::from_millis(500)));
}

/// Records that are written while nobody listens wait in the log.
#[test]
fn away_for_a_while() {
    alone(|sandbox| {
        let mut receiver = Tcp::new(TcpBehaviour::Reads);
        let mut stream = Stream::own(sandbox, "away");
        let program = start_on_own_log(&receiver.url());
        stream.write_and_wait(10, &receiver.lines);
        receiver.stop(End::Close);
        let last = stream.write(100);
        let again = receiver.restart(End::Close, Duration::from_secs(2));
        let account =
            account("closed with all read, 100 records later back", &stream, &again.lines, &program, &last);
        account.all_arrived_once();
    });
}

/// What a receiver says is nobody's business, and costs nothing: no reset, nothing twice.
#[test]
fn a_receiver_that_talks() {
    alone(|sandbox| {
        let receiver = Tcp::new(TcpBehaviour::Talks);
        let mut stream = Stream::own(sandbox, "talks");
        let program = start_on_own_log(&receiver.url());
        for _ in 0..20 {
            stream.write_and_wait(10, &receiver.lines);
        }
        assert_eq!(receiver.connections.len(), 1);
        let receiver = receiver.restart(End::Close, Duration::ZERO);
        let last = stream.write(10);
        let account = account("talks all the time, closed", &stream, &receiver.lines, &program, &last);
        account.all_arrived_once();
    });
}

/// A receiver that accepts and never reads has its kernel acknowledge what fits there. When it dies, all is sent
/// again.
#[test]
fn accepts_and_never_reads() {
    alone(|_| {
        let receiver = Tcp::new(TcpBehaviour::Ignores);
        let mut stream = Stream::storm("ignores");
        let program = start(&receiver.url());
        stream.write(300);
        until("something to lie unread", || unread_bytes(receiver.address.port()) > 50_000);
        let receiver = receiver.restart(End::Reset, Duration::ZERO);
        let last = stream.write(10);
        let account = account("accepts, never reads, dies", &stream, &receiver.lines, &program, &last);
        account.all_arrived_once();
    });
}

/// A receiver that stops reading for ten seconds with its buffers full is slow, not dead: one connection, nothing
/// twice. What the ring loses meanwhile is reported at its place.
#[test]
fn stopped_and_continued() {
    alone(|_| {
        let receiver = Tcp::new(TcpBehaviour::Reads);
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

/// The ring is overrun while nobody listens.
#[test]
fn ring_overrun_while_away() {
    alone(|_| {
        let mut receiver = Tcp::new(TcpBehaviour::Reads);
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

/// By hand too the first record that counts is the oldest at the start, not at the first connection.
#[test]
fn ring_overrun_before_the_first_connection() {
    alone(|_| {
        let mut receiver = Tcp::new(TcpBehaviour::Reads);
        receiver.stop(End::Close);
        let mut stream = Stream::storm("first");
        stream.write(10);
        let program = start(&receiver.url());
        program.says("shipping to ", WITHIN);
        stream.write(5_000);
        let receiver = receiver.restart(End::Close, Duration::ZERO);
        let last = stream.write(10);
        let account = account("not yet there, 5,000 written", &stream, &receiver.lines, &program, &last);
        assert!(account.lost + account.received as u64 >= 5_020, "lost in silence: {account:?}");
    });
}

/// The same after a death with bytes unread: what the ring no longer has is said to be perhaps unread.
#[test]
fn ring_overrun_after_a_reset() {
    alone(|_| {
        let mut receiver = Tcp::new(TcpBehaviour::Reads);
        let mut stream = Stream::storm("unread");
        let program = start(&receiver.url());
        stream.write_and_wait(10, &receiver.lines);
        receiver.pause();
        let last = stream.write(220);
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
        let receiver = Tcp::new(TcpBehaviour::Reads);
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

/// As fast as the kernel takes them, with a receiver that reads.
#[test]
fn storm_without_a_pause() {
    alone(|_| {
        let receiver = Tcp::new(TcpBehaviour::Reads);
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

/// A receiver that reads one byte a second gets one connection, however long it takes. When it dies, what it had
/// not read is sent again or reported.
#[test]
fn one_byte_a_second() {
    alone(|_| {
        let receiver = Tcp::new(TcpBehaviour::Crawls);
        let mut stream = Stream::storm("crawl");
        let program = start(&receiver.url());
        receiver.connections.wait(WITHIN, "a connection", |all| all.first().copied());
        stream.write(20_000);
        thread::sleep(Duration::from_secs(20)); // longer than a dead peer is waited for
        assert_eq!(receiver.connections.len(), 1);
        let receiver = receiver.restart(End::Reset, Duration::ZERO);
        let last = stream.write(10);
        account("one byte a second for 20 s, dies", &stream, &receiver.lines, &program, &last);
    });
}
