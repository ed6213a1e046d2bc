//! What receivers do, over TCP: every record is received, or lies in a range that is reported.
//!
//! The tests of delivery, by what stands in the way: receivers (here), `delivery_closing.rs`, `delivery_network.rs`,
//! `delivery_datagrams.rs` (UDP), `delivery_destinations.rs` (several at once), `delivery_end.rs` (SIGTERM),
//! `delivery_minutes.rs` (what lasts), `delivery_random.rs` (anything, in any order). Each prints its figures;
//! `earlykmsg_tests::account` judges them.

use core::time::Duration;
use std::time::Instant;

use earlykmsg_tests::account::{Stream, account, check_order_of_losses};
use earlykmsg_tests::fault::{self, Fault, Log};
use earlykmsg_tests::foreign::until;
use earlykmsg_tests::program::start;
use earlykmsg_tests::receiver::{End, Tcp, TcpBehaviour};
use earlykmsg_tests::sandbox::alone;
use earlykmsg_tests::scene::{Scene, after};

const WITHIN: Duration = Duration::from_secs(30);

#[test]
fn killed_with_bytes_unread_and_back_at_once() {
    after(&fault::KILLED, |_, account| account.all_arrived());
}

#[test]
fn killed_with_bytes_unread_and_back_soon() {
    after(&fault::KILLED_AND_BACK_SOON, |_, account| account.all_arrived());
}

/// What the ring still has is sent again, and all else that was sent over that connection is said to be perhaps unread.
#[test]
fn killed_with_megabytes_unread() {
    after(&fault::KILLED_WITH_MEGABYTES_UNREAD, |_, account| {
        assert!(account.received > 500, "the ring still had so many: {account:?}");
        assert!(account.perhaps_unread > 5_000, "megabytes are more than that: {account:?}");
        assert_eq!(account.lost, 0, "all of them were sent: {account:?}");
    });
}

/// Five times one after the other: nothing twice, nothing lost.
fn five_times(fault: &Fault) {
    alone(|sandbox| {
        let mut scene = Scene::new(fault, sandbox);
        for round in 0..5 {
            scene.write_and_wait(10);
            let connections = scene.connections();
            scene.happen();
            let another = |all: &[Instant]| (all.len() > connections).then_some(());
            scene.receiver().connections.wait(WITHIN, "a new connection", another);
            println!("round {round}");
        }
        scene.account().all_arrived_once();
    });
}

#[test]
fn closed_with_all_read_and_back_at_once() {
    five_times(&Fault { end: End::Close, ..fault::CLOSED });
}

#[test]
fn closed_with_all_read_and_back_soon() {
    five_times(&Fault { end: End::Close, ..fault::CLOSED_AND_BACK_SOON });
}

/// Records that are written while nobody listens wait in the log.
#[test]
fn away_for_a_while() {
    let fault = Fault {
        name: "closed with all read, 100 records later back",
        end: End::Close,
        records: 100,
        lasts: Duration::from_secs(2),
        ..fault::CLOSED_AND_BACK_SOON
    };
    after(&fault, |_, account| account.all_arrived_once());
}

/// What a receiver says is nobody's business, and costs nothing: no reset, nothing twice.
#[test]
fn a_receiver_that_talks() {
    alone(|sandbox| {
        let fault = Fault { end: End::Close, ..fault::TALKS };
        let mut scene = Scene::new(&fault, sandbox);
        for _ in 0..20 {
            scene.write_and_wait(10);
        }
        assert_eq!(scene.connections(), 1);
        scene.happen();
        scene.account().all_arrived_once();
    });
}

/// A receiver that accepts and never reads has its kernel acknowledge what fits there. When it dies, all is sent
/// again.
#[test]
fn accepts_and_never_reads() {
    alone(|sandbox| {
        let mut scene = Scene::new(&fault::IGNORES, sandbox);
        until("something to lie unread", || scene.unread_bytes() > 50_000);
        scene.happen();
        scene.account().all_arrived_once();
    });
}

/// A receiver that stops reading for long with its buffers full is slow, not dead: one connection, nothing
/// twice. What the ring loses meanwhile is reported at its place.
#[test]
fn stopped_and_continued() {
    let fault = Fault {
        name: "stopped for 20 s, 20,000 records written",
        log: Log::Storm,
        records: 20_000,
        lasts: Duration::from_secs(20),
        // Of its own accord it may grow until it holds all of them.
        buffer: Some(128 * 1024),
        ..fault::STOPPED
    };
    after(&fault, |scene, account| {
        assert_eq!((account.duplicates, scene.connections()), (0, 1), "slow is not dead: {account:?}");
        assert!(account.lost > 0, "the ring was overrun");
        check_order_of_losses(&scene.lines);
    });
}

/// The ring is overrun while nobody listens.
#[test]
fn ring_overrun_while_away() {
    let fault = Fault {
        name: "away, 20,000 records written",
        end: End::Close,
        records: 20_000,
        ..fault::CLOSED_AND_RING_OVERRUN
    };
    after(&fault, |scene, account| {
        assert!(account.lost > 10_000, "{account:?}");
        assert_eq!(account.duplicates, 0);
        check_order_of_losses(&scene.lines);
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

/// The ring is overrun after a death with bytes unread: what the ring no longer has is said to be perhaps unread.
#[test]
fn ring_overrun_after_a_reset() {
    let fault = Fault {
        name: "killed with bytes unread, 20,000 records later back",
        records: 20_000,
        ..fault::KILLED_AND_RING_OVERRUN
    };
    after(&fault, |scene, _| check_order_of_losses(&scene.lines));
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

/// A receiver that reads one byte a second gets one connection, however long it takes (longer than a dead peer is waited
/// for). When it dies, what it had not read is sent again or reported.
#[test]
fn one_byte_a_second() {
    let fault = Fault { records: 20_000, ..fault::CRAWLS };
    after(&fault, |scene, _| assert_eq!(scene.connections(), 2, "one, and one after its death"));
}
