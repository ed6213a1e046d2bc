//! Storms in a real kernel: every record is received or reported, whatever the receiver does.
//!
//! The streams themselves are judged where they are counted: within a connection each line begins where the one
//! before it ended, so that a report stands at its place, and once.

use earlykmsg_qemu::storm::{Manner, Outcome, RECORDS, Shipper, Storm};

/// Prints what a storm gave, and claims that nothing of it is unaccounted for.
fn accounted(ring: &'static str, manner: Manner) -> Outcome {
    let outcome = Storm { ring, manner, shipper: Shipper::Earlykmsg }.run().unwrap();
    println!("{ring}, {}: {outcome:?}", manner.name());
    let account = &outcome.account;
    assert!(account.written > RECORDS, "{outcome:?}");
    assert_eq!(account.unaccounted, [], "{outcome:?}");
    assert!(outcome.draining.is_some(), "{outcome:?}");
    outcome
}

/// One connection, and nothing on it comes twice or may be unread.
fn on_one_connection(ring: &'static str, manner: Manner) -> Outcome {
    let outcome = accounted(ring, manner);
    let account = &outcome.account;
    assert_eq!((outcome.connections, account.duplicates, account.perhaps_unread), (1, 0, 0), "{outcome:?}");
    assert_eq!(account.received + account.lost, account.written, "{outcome:?}");
    outcome
}

/// What the ring does not hold any more is said at once when the receiver comes.
fn lost_and_said_once(ring: &'static str) {
    let outcome = on_one_connection(ring, Manner::Away);
    assert_eq!(outcome.account.reports, 1, "{outcome:?}");
    assert!(outcome.account.received > 1_000 && outcome.account.lost > 1_000, "{outcome:?}");
}

/// What its kernel held goes with it, and comes again as far as the ring has it.
fn sent_again(ring: &'static str) -> Outcome {
    let outcome = accounted(ring, Manner::Killed);
    assert!(outcome.connections > 1 && outcome.bytes_unread > 0, "{outcome:?}");
    outcome
}

#[test]
fn a_large_ring_and_a_receiver_that_reads() {
    on_one_connection("16M", Manner::Reads);
}

#[test]
fn a_small_ring_and_a_receiver_that_reads() {
    on_one_connection("1M", Manner::Reads);
}

#[test]
fn a_large_ring_and_a_slow_receiver() {
    on_one_connection("16M", Manner::Slow);
}

#[test]
fn a_small_ring_and_a_slow_receiver() {
    let outcome = on_one_connection("1M", Manner::Slow);
    assert!(outcome.account.lost > 0, "{outcome:?}");
}

#[test]
fn a_large_ring_and_a_receiver_that_is_killed() {
    let outcome = sent_again("16M");
    assert!(outcome.account.duplicates > 0, "{outcome:?}");
}

#[test]
fn a_small_ring_and_a_receiver_that_is_killed() {
    sent_again("1M");
}

#[test]
fn a_large_ring_and_a_receiver_that_is_away() {
    lost_and_said_once("16M");
}

#[test]
fn a_small_ring_and_a_receiver_that_is_away() {
    lost_and_said_once("1M");
}
