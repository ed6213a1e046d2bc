//! The faults of [`earlykmsg_tests::fault`], for earlykmsg and for two other shippers, as a Markdown table.
//!
//! `cargo run --manifest-path tests/Cargo.toml --example faults [WORD ...]` runs each fault with each shipper in turn on the
//! machine's own log, as root. A word is a shipper (`earlykmsg`, `rsyslog`, `cat-nc`) or a part of a fault's
//! name; without any, all run. `docs/measurements/delivery.md` says what the columns mean.

use core::cell::Cell;
use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::Instant;

use earlykmsg_tests::fault::{self, Fault, Way};
use earlykmsg_tests::json;
use earlykmsg_tests::sandbox::{Sandbox, alone};
use earlykmsg_tests::scene::Scene;
use earlykmsg_tests::shipper::{Kind, Shipper};

/// How long a shipper has to deliver again, after a fault has ended.
const RECOVERY: Duration = Duration::from_secs(25);

const FAULTS: [&Fault; 26] = [
    &fault::KILLED,
    &fault::KILLED_FOR_A_MINUTE,
    &fault::KILLED_WITH_MEGABYTES_UNREAD,
    &fault::CLOSED,
    &fault::CLOSED_AND_BACK_SOON,
    &fault::TALKS,
    &fault::PACKETS_DROPPED,
    &fault::PACKETS_DROPPED_FOR_LONG,
    &fault::NO_ROUTE,
    &fault::INTERFACE_DOWN,
    &fault::CLOSED_AND_PACKETS_DROPPED,
    &fault::FORGOTTEN_ON_THE_WAY,
    &fault::MTU_576,
    &fault::MTU_9000,
    &fault::KILLED_BY_IPV6,
    &fault::IGNORES,
    &fault::CRAWLS,
    &fault::SLOW,
    &fault::STOPPED,
    &fault::STOPPED_FOR_A_MINUTE,
    &fault::HALF_OPEN,
    &fault::KILLED_AND_RING_OVERRUN,
    &fault::CLOSED_AND_RING_OVERRUN,
    &fault::REBOOT,
    &fault::REBOOT_WHILE_AWAY,
    &fault::MANY_DATAGRAMS,
];

const SHIPPERS: [(Kind, &str, &str); 3] = [
    (Kind::Earlykmsg, "earlykmsg", "earlykmsg"),
    (Kind::Rsyslog, "rsyslog", "rsyslog imkmsg, omfwd"),
    (Kind::CatNc, "cat-nc", "busybox cat \\| nc"),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let is_shipper = |word: &&String| SHIPPERS.iter().any(|(_, name, _)| name == word);
    let (shippers, faults): (Vec<&String>, Vec<&String>) = words.iter().partition(is_shipper);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = thread::available_parallelism().map_or(1, core::num::NonZero::get);
    println!("Linux {}, {cores} cores\n", release.trim());
    println!(
        "| fault | shipper | records written | received (unique) | duplicates | reported lost / perhaps unread \
         | unaccounted | time to recover |\n| --- | --- | --: | --: | --: | --: | --: | --: |"
    );
    for fault in FAULTS {
        if !faults.is_empty() && !faults.iter().any(|part| fault.name.contains(part.as_str())) {
            continue;
        }
        let has_part = |(kind, name): (Kind, &str)| {
            (shippers.is_empty() || shippers.iter().any(|word| *word == name))
                // Its nc knows no datagrams.
                && (fault.way != Way::Udp || kind != Kind::CatNc)
        };
        let part = SHIPPERS.into_iter().filter(|(kind, name, _)| has_part((*kind, name)));
        let print = |shown: &str, cells: String| println!("| {} | {shown} {cells}", fault.name);
        if fault.side_by_side {
            thread::scope(|scope| {
                let start = |(kind, _, shown)| {
                    (shown, scope.spawn(move || alone(|sandbox| run(fault, kind, sandbox))))
                };
                let running: Vec<_> = part.map(start).collect();
                running.into_iter().for_each(|(shown, run)| print(shown, run.join().expect("a row")));
            });
        } else {
            part.for_each(|(kind, _, shown)| print(shown, alone(|sandbox| run(fault, kind, sandbox))));
        }
    }
}

/// One fault with one shipper: the cells of the table.
fn run(fault: &Fault, kind: Kind, sandbox: &Sandbox) -> String {
    let mut scene = Scene::of(kind, fault, sandbox);
    settle(&scene);
    scene.happen();
    // A shipper that was asked to end is not to recover, nor is one without a fault.
    if fault.way == Way::Udp || fault.ends {
        settle(&scene);
        return account(&scene) + "– |";
    }
    let recovered = recover(&mut scene);
    let mut row = account(&scene);
    row += &recovered.map_or("never".to_owned(), |time| format!("{:.2} s", time.as_secs_f64()));
    row + if scene.shipper.lives() { " |" } else { ", it has exited |" }
}

/// Waits until nothing more comes.
fn settle(scene: &Scene<'_>) {
    let end = Instant::now() + Duration::from_secs(10);
    let mut before = scene.lines.len();
    while Instant::now() < end {
        thread::sleep(Duration::from_millis(700));
        if core::mem::replace(&mut before, scene.lines.len()) == scene.lines.len() {
            return;
        }
    }
}

/// The fault has ended: how long until a record arrives that is written from now on. Many are, as the first
/// may be lost.
fn recover(scene: &mut Scene<'_>) -> Option<Duration> {
    let (since, first) = (Instant::now(), scene.stream.written);
    let mut back = None;
    while back.is_none() && since.elapsed() < RECOVERY {
        let living = scene.shipper.lives();
        scene.stream.write(1);
        let is_new = |line: &[u8]| scene.stream.number_in(line).is_some_and(|number| number >= first);
        back = scene.lines.try_wait(Duration::from_millis(250), |lines| {
            // What is new comes last.
            let mut ended = lines.iter().rev().take(200);
            ended.find(|line| is_new(&line.bytes)).map(|line| line.at)
        });
        if !living && since.elapsed() > Duration::from_secs(2) {
            break;
        }
    }
    scene.stream.write(10);
    let last = Some(scene.stream.written - 1);
    let patience = Duration::from_secs(if back.is_some() { 10 } else { 1 });
    let seen = Cell::new(0);
    scene.lines.try_wait(patience, |lines| {
        let new = &lines[seen.replace(lines.len())..];
        new.iter().any(|line| scene.stream.number_in(&line.bytes) == last).then_some(())
    });
    settle(scene);
    back.map(|at| at.saturating_duration_since(since))
}

/// What became of the records.
fn account(scene: &Scene<'_>) -> String {
    let is_ours = matches!(scene.shipper, Shipper::Earlykmsg(_));
    let mut received = BTreeMap::<usize, usize>::new();
    let mut told = scene.shipper.words();
    for line in scene.lines.items().iter() {
        if let Some(number) = scene.stream.number_in(&line.bytes) {
            *received.entry(number).or_default() += 1;
        } else if is_ours && line.holds(",\"earlykmsg\":") {
            told.push(json::msg(&line.json()).to_owned());
        }
    }
    let ranges = |lost: bool| -> Vec<RangeInclusive<u64>> {
        let of_kind = |text: &&String| text.starts_with("earlykmsg: lost ") == lost;
        told.iter().filter(of_kind).filter_map(|text| json::reported(text)).collect()
    };
    let (lost, unread) = (ranges(true), ranges(false));
    let within = |ranges: &[RangeInclusive<u64>], seq: &u64| ranges.iter().any(|range| range.contains(seq));
    let (seqs, written) = (scene.stream.seqs(), scene.stream.written);
    let count = |ranges: &[RangeInclusive<u64>]| seqs.values().filter(|seq| within(ranges, seq)).count();
    let accounted = |number: &usize| {
        let seq = seqs.get(number);
        received.contains_key(number) || seq.is_some_and(|seq| within(&lost, seq) || within(&unread, seq))
    };
    // For earlykmsg there must be none.
    let missing: Vec<usize> = (0..written).filter(|number| !accounted(number)).collect();
    if let (true, Some(first), Some(last)) = (is_ours, missing.first(), missing.last()) {
        eprintln!(
            "lost in silence: numbers {first} to {last}, seq {:?} to {:?}",
            seqs.get(first),
            seqs.get(last)
        );
    }
    format!(
        "| {written} | {} | {} | {} / {} | {} | ",
        received.len(),
        received.values().sum::<usize>() - received.len(),
        count(&lost),
        count(&unread),
        missing.len()
    )
}
