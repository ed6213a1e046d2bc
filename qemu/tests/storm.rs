//! Storms in a real kernel: every record is received or reported, whatever the receiver does.

use earlykmsg_qemu::storm::{Manner, RECORDS, Shipper, Storm};

/// Prints what a storm gave, and claims that nothing of it is unaccounted for.
fn assert_accounted(ring: &'static str, manner: Manner) {
    let outcome = Storm { ring, manner, shipper: Shipper::Earlykmsg }.run().unwrap();
    println!("{ring}, {}: {outcome:?}", manner.name());
    let account = &outcome.account;
    assert!(account.written > RECORDS, "{outcome:?}");
    assert_eq!(account.unaccounted, [], "{outcome:?}");
}

#[test]
fn large_ring_receiver_reads() {
    assert_accounted("16M", Manner::Reads);
}
#[test]
fn large_ring_receiver_slow() {
    assert_accounted("16M", Manner::Slow);
}
#[test]
fn large_ring_receiver_killed() {
    assert_accounted("16M", Manner::Killed);
}
#[test]
fn large_ring_receiver_away() {
    assert_accounted("16M", Manner::Away);
}
#[test]
fn small_ring_receiver_reads() {
    assert_accounted("1M", Manner::Reads);
}
#[test]
fn small_ring_receiver_slow() {
    assert_accounted("1M", Manner::Slow);
}
#[test]
fn small_ring_receiver_killed() {
    assert_accounted("1M", Manner::Killed);
}
#[test]
fn small_ring_receiver_away() {
    assert_accounted("1M", Manner::Away);
}
