//! `talos-time` against the wall clock: a record that was written between two readings says a time between them.
//!
//! The clock of a whole machine is nothing that a test may set: `qemu/tests/clock.rs` does that in guests.

use core::time::Duration;

use earlykmsg_tests::json::{checked_with, time};
use earlykmsg_tests::kmsg::{Writer, tag};
use earlykmsg_tests::program::Run;
use earlykmsg_tests::receiver::{Lines, Tcp, TcpBehaviour, Udp};
use earlykmsg_tests::sandbox::alone;
use jiff::Timestamp;

const WITHIN: Duration = Duration::from_secs(30);

/// What a time may be beside the truth.
const BESIDE_NS: i128 = 2_000_000;

/// A record, and the wall clock's nanoseconds before and after it was written.
struct Written {
    text: String,
    before: i128,
    after: i128,
}

/// Writes so many records, each into a batch of its own, most of the time.
fn write(count: usize) -> Vec<Written> {
    let (writer, own) = (Writer::new(), tag("time"));
    let now = || Timestamp::now().as_nanosecond();
    let mut all = Vec::new();
    for number in 0..count {
        let text = format!("{own} {number}.");
        let before = now();
        writer.write(&text);
        all.push(Written { text, before, after: now() });
        std::thread::sleep(Duration::from_millis(3));
    }
    all
}

/// How far the times of these records are outside of what is possible, at worst. Prints how far they are from the
/// middle of that.
#[track_caller]
fn outside_ns(way: &str, lines: &Lines, all: &[Written]) -> i128 {
    let (mut outside, mut errors) = (0, Vec::new());
    for Written { text, before, after } in all {
        let said = time(&checked_with(&lines.wait_for(text, WITHIN).bytes, &["site"])).as_nanosecond();
        outside = outside.max(before - said).max(said - after);
        errors.push((said - (before + after) / 2) / 1_000);
    }
    errors.sort_unstable_by_key(|error| error.abs());
    let (middle, worst) = (errors[errors.len() / 2], errors[errors.len() - 1]);
    println!("{way}: {} records, off by {middle} us in the middle, {worst} us at worst", errors.len());
    outside
}

/// Three starts: one of them may have had to wait for a processor just where it measures the kernel's stamps.
#[test]
fn as_the_wall_clock_says() {
    alone(|_| {
        let mut outside: Vec<i128> = Vec::new();
        for _ in 0..3 {
            let (tcp, udp) = (Tcp::new(TcpBehaviour::Reads), Udp::new());
            let words = ["earlykmsg.tags=site=x".to_owned(), tcp.url(), udp.url()];
            let _program = Run::new(&words).start_connected();
            let all = write(20);
            let each =
                [("TCP", &tcp.lines), ("UDP", &udp.lines)].map(|(way, lines)| outside_ns(way, lines, &all));
            outside.extend(each.into_iter().max());
        }
        outside.sort_unstable();
        assert!(outside[1] <= BESIDE_NS, "outside of what is possible by so many ns: {outside:?}");
    });
}
