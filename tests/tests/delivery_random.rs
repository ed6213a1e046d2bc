//! Receivers of moods beside a feeder of moods: from a seed, each reads some, is silent, closes, resets, again and
//! again, while the ring is fed, now and then overrun.
//!
//! What must hold for every seed, whatever the timing. A line *covers* its record, or the range that it reports:
//!
//! 1. Each line is whole: a record is never resumed in its middle.
//! 2. Within a connection each line begins where the one before it ends: nothing is skipped, nothing is out of order.
//! 3. After a reset the next connection begins at or before the first line of the one that broke: all that it carried
//!    is sent again or reported.
//! 4. After an orderly end with everything read it begins with the very next record: nothing twice.
//! 5. After any end it begins no later than behind what was received so far.
//! 6. What is reported as lost was never received.

use core::net::Ipv4Addr;
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Instant;

use earlykmsg_tests::account::{Stream, account};
use earlykmsg_tests::json;
use earlykmsg_tests::program::start;
use earlykmsg_tests::receiver::{Format, Lines, take};
use earlykmsg_tests::sandbox::alone;
use fastrand::Rng;
use nix::sys::socket::{setsockopt, shutdown, sockopt};
use serde_json::Value;

const SEEDS: [u64; 6] = [1, 2, 3, 4, 5, 6];
const TIME: Duration = Duration::from_secs(14);

fn up_to(time: Duration, random: &mut Rng) -> Duration {
    time.mul_f64(random.f64())
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ended {
    /// Orderly; everything was read, and nothing came after that.
    Closed,
    /// Orderly, but something was still on its way: the shipper may see it as either.
    Crossed,
    /// With a reset.
    Reset,
}

/// A receiver of moods.
struct Moody<'a> {
    random: Rng,
    lines: &'a Lines,
    /// From now on it only reads.
    calm: &'a AtomicBool,
    /// Of the connection at hand: its number, and a line that is not complete.
    connection: usize,
    partial: Vec<u8>,
}

impl Moody<'_> {
    /// Serves one connection after another, until one ends when `done`.
    fn serve(&mut self, listener: &TcpListener, done: &AtomicBool) -> Vec<Ended> {
        let mut ends = Vec::new();
        while !done.load(Ordering::Relaxed) {
            let Ok((stream, _)) = listener.accept() else { break };
            self.partial.clear();
            ends.push(self.one(stream));
            self.connection += 1;
        }
        ends
    }

    fn one(&mut self, mut stream: TcpStream) -> Ended {
        loop {
            let calm = self.calm.load(Ordering::Relaxed);
            match if calm { 0 } else { self.random.usize(..16) } {
                0..12 => {
                    let length = 1 + self.random.usize(..20_000);
                    if self.read(&mut stream, length, Duration::from_millis(30)) == Some(0) {
                        return Ended::Crossed; // the shipper has ended it, at the end of the test
                    }
                }
                12 | 13 => thread::sleep(up_to(Duration::from_millis(300), &mut self.random)),
                14 => {
                    // All that there is for now; what the feeder writes meanwhile may cross.
                    while self.read(&mut stream, 65_536, Duration::from_millis(10)).is_some_and(|n| n > 0) {}
                    stream.shutdown(Shutdown::Write).expect("close our side");
                    let mut crossed = false;
                    while self.read(&mut stream, 65_536, Duration::from_secs(10)).expect("its end") > 0 {
                        crossed = true;
                    }
                    return if crossed { Ended::Crossed } else { Ended::Closed };
                }
                _ => {
                    let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
                    setsockopt(&stream, sockopt::Linger, &at_once).expect("set SO_LINGER");
                    return Ended::Reset;
                }
            }
        }
    }

    /// Reads once; none: nothing came `within` this.
    fn read(&mut self, stream: &mut TcpStream, length: usize, within: Duration) -> Option<usize> {
        stream.set_read_timeout(Some(within)).expect("set a time-out");
        let mut buffer = vec![0; length];
        match stream.read(&mut buffer) {
            Ok(length) => {
                take(Format::Json, &buffer[..length], self.connection, &mut self.partial, self.lines);
                Some(length)
            }
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(why) => panic!("read: {why}"),
        }
    }
}

/// With this value all receivers end, once their shippers have.
struct Over<'a> {
    listeners: &'a [TcpListener],
    done: &'a AtomicBool,
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        for listener in self.listeners {
            let _ = shutdown(listener.as_raw_fd(), nix::sys::socket::Shutdown::Both); // wakes who accepts
        }
    }
}

/// What a line covers.
fn covers(object: &Value) -> RangeInclusive<u64> {
    let seq = json::seq(object);
    json::report(object).unwrap_or(seq..=seq)
}

/// Judges what one receiver got.
#[track_caller]
fn judge(seed: u64, lines: &Lines, ends: &[Ended]) {
    let objects: Vec<(usize, Value)> =
        lines.items().iter().map(|line| (line.connection.expect("a connection"), line.json())).collect();
    let received: BTreeSet<u64> = objects
        .iter()
        .filter(|(_, object)| json::report(object).is_none())
        .map(|(_, object)| json::seq(object))
        .collect();
    // The first and the last of what the connection before brought, and the last of all.
    let mut before: Option<(usize, u64, u64)> = None;
    let mut reach = None;
    for (connection, object) in &objects {
        let range = covers(object);
        let (start, end) = (*range.start(), *range.end());
        let shown = format!("seed {seed}, connection {connection}: {object}");
        match before {
            Some((last_connection, first, last)) if last_connection == *connection => {
                assert_eq!(start, last + 1, "{shown}");
                before = Some((*connection, first, end));
            }
            Some((last_connection, first, last)) => {
                // Connections that brought no line leave nothing to compare with, but a reset among them counts.
                let ended = &ends[last_connection..*connection];
                if ended.contains(&Ended::Reset) {
                    assert!(
                        !(ended[0] == Ended::Reset) || start <= first,
                        "{shown} after a reset, first {first}"
                    );
                } else if ended.iter().all(|ended| *ended == Ended::Closed) {
                    assert_eq!(start, last + 1, "{shown} after an orderly end");
                }
                assert!(reach.is_none_or(|reach| start <= reach + 1), "{shown} skips from {reach:?}");
                before = Some((*connection, start, end));
            }
            None => before = Some((*connection, start, end)),
        }
        reach = reach.max(Some(end));
        if json::is_lost(object) {
            assert_eq!(received.range(range).next(), None, "{shown} was received");
        }
    }
}

#[test]
fn receivers_of_moods() {
    alone(|_| {
        let mut stream = Stream::storm("moods");
        let listeners = SEEDS.map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen"));
        let lines = SEEDS.map(|_| Lines::default());
        let (calm, done) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            let over = Over { listeners: &listeners, done: &done };
            let url =
                |listener: &TcpListener| format!("tcp://{}/", listener.local_addr().expect("an address"));
            let programs = listeners.each_ref().map(|listener| start(&url(listener)));
            let receivers: Vec<_> = SEEDS
                .into_iter()
                .zip(listeners.iter().zip(&lines))
                .map(|(seed, (listener, lines))| {
                    let (calm, done) = (&calm, &done);
                    scope.spawn(move || {
                        let random = Rng::with_seed(seed);
                        let partial = Vec::new();
                        Moody { random, lines, calm, connection: 0, partial }.serve(listener, done)
                    })
                })
                .collect();
            feed(&mut stream);
            calm.store(true, Ordering::Relaxed);
            let last = stream.write(10);
            for (seed, (lines, program)) in SEEDS.into_iter().zip(lines.iter().zip(&programs)) {
                account(&format!("moods, seed {seed}"), &stream, lines, program, &last);
            }
            drop((over, programs));
            let mut all = Vec::new();
            for (seed, (lines, receiver)) in SEEDS.into_iter().zip(lines.iter().zip(receivers)) {
                let ends = receiver.join().expect("a receiver");
                judge(seed, lines, &ends);
                all.extend(ends);
            }
            let count = |how: Ended| all.iter().filter(|ended| **ended == how).count();
            println!(
                "{} orderly ends, {} crossed, {} resets",
                count(Ended::Closed),
                count(Ended::Crossed),
                count(Ended::Reset)
            );
            assert!(count(Ended::Closed) > 0 && count(Ended::Reset) > 0, "{all:?}");
        });
    });
}

/// A few records, many, or more than the ring holds, of any length, and some peace between them.
fn feed(stream: &mut Stream) {
    let mut random = Rng::with_seed(0);
    let end = Instant::now() + TIME;
    while Instant::now() < end {
        let count = match random.usize(..40) {
            0 => 4_000,
            1..10 => 100 + random.usize(..200),
            _ => 1 + random.usize(..30),
        };
        for _ in 0..count {
            let filler = "x".repeat(random.usize(..200));
            stream.write_one(&filler);
        }
        thread::sleep(up_to(Duration::from_millis(200), &mut random));
    }
}
