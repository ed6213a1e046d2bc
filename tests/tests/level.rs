//! `earlykmsg.level=`: what is less severe is neither sent nor lost, and what is lost is counted all the same.

use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::BTreeMap;
use std::process::Command;

use earlykmsg_tests::foreign::until;
use earlykmsg_tests::json::{is_lost, msg, report, reported, seq, timeless};
use earlykmsg_tests::kmsg::{Fake, Writer, ring, tag};
use earlykmsg_tests::proc;
use earlykmsg_tests::program::Run;
use earlykmsg_tests::receiver::{End, Lines, Tcp, TcpBehaviour, Udp};
use earlykmsg_tests::record::Record;
use earlykmsg_tests::sandbox::alone;
use nix::sys::signal::{Signal, kill};
use serde_json::Value;

const WITHIN: Duration = Duration::from_secs(30);

/// As the kernel numbers them.
const WARNING: u64 = 4;
const INFO: u64 = 6;
const DEBUG: u64 = 7;

const ONLY_WARNINGS: &str = "earlykmsg.level=warning";

/// Whether it is to be shipped.
fn is_wanted(record: &Record) -> bool {
    record.code & 7 <= WARNING
}

/// Each record of `known` that is wanted and in no range that was reported has arrived as it is, once, in order, and
/// no other has. Gives the ranges that were lost.
#[track_caller]
fn check(lines: &Lines, known: &[Record]) -> Vec<RangeInclusive<u64>> {
    let objects = lines.objects();
    let seqs: Vec<u64> = objects.iter().map(seq).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "out of order, or twice: {seqs:?}");
    let told: Vec<_> = objects.iter().filter_map(|object| Some((is_lost(object), report(object)?))).collect();
    let records = objects.into_iter().filter(|object| report(object).is_none());
    let arrived: BTreeMap<u64, _> = records.map(|object| (seq(&object), timeless(object))).collect();
    for record in known.iter().filter(|record| record.seq <= seqs[seqs.len() - 1]) {
        let is_told = told.iter().any(|(_, range)| range.contains(&record.seq));
        let want = (is_wanted(record) && !is_told).then(|| record.json());
        assert_eq!(arrived.get(&record.seq), want.as_ref(), "{record:?}, told: {told:?}");
    }
    told.into_iter().filter(|(lost, _)| *lost).map(|(_, range)| range).collect()
}

/// All that the ring has ever held since a test began.
#[derive(Default)]
struct Known(BTreeMap<u64, Record>);

impl Known {
    /// Takes what the ring holds now.
    fn look(&mut self) {
        self.0.extend(ring().into_iter().map(|record| (record.seq, record)));
    }

    fn all(&self) -> Vec<Record> {
        self.0.values().cloned().collect()
    }
}

#[test]
fn only_what_is_as_severe() {
    alone(|_| {
        let (tcp, udp) = (Tcp::new(TcpBehaviour::Reads), Udp::new());
        let writer = Writer::new();
        let _program = Run::new(&[ONLY_WARNINGS.to_owned(), tcp.url(), udp.url()]).start();
        let own = tag("level");
        for level in [DEBUG, 0, INFO, 3, WARNING, 5] {
            writer.write_at(level, &format!("{own} {level}"));
        }
        let last = tag("last");
        writer.write_at(WARNING, &last);
        for lines in [&tcp.lines, &udp.lines] {
            lines.wait_for(&last, WITHIN);
            check(lines, &ring());
            let levels: Vec<String> = lines.texts(&own).iter().map(|text| text.replace(&own, "")).collect();
            assert_eq!(levels, [" 0", " 3", " 4"]);
        }
    });
}

/// The ring is overwritten while the shipper stands still: what it had passed over is not lost, what it never read is,
/// whatever it was, and what it passes over behind that is not.
#[test]
fn the_ring_is_overwritten() {
    alone(|_| {
        let receiver = Tcp::new(TcpBehaviour::Reads);
        let writer = Writer::storm();
        let program = Run::new(&[ONLY_WARNINGS.to_owned(), receiver.url()]).start_connected();
        let mut known = Known::default();
        for _ in 0..20 {
            writer.write_at(DEBUG, &tag("passed-over"));
        }
        let before = tag("before");
        writer.write_at(WARNING, &before);
        let before = seq(&receiver.lines.wait_for(&before, WITHIN).json());
        let [shipper] = program.shippers()[..] else { panic!("one shipper") };
        kill(shipper, Signal::SIGSTOP).expect("stop a shipper");
        known.look();
        let untouched = known.all().last().expect("records").seq;
        // More than a ring of its size holds, whatever that is.
        let filler = "x".repeat(200);
        while ring()[0].seq <= untouched {
            for level in [DEBUG, WARNING, DEBUG, INFO].into_iter().cycle().take(200) {
                writer.write_at(level, &format!("{} {filler}", tag("overwritten")));
            }
        }
        for _ in 0..20 {
            writer.write_at(DEBUG, &tag("passed-over"));
        }
        let after = tag("after");
        writer.write_at(WARNING, &after);
        known.look();
        let oldest = ring()[0].seq;
        kill(shipper, Signal::SIGCONT).expect("let a shipper go on");
        receiver.lines.wait_for(&after, WITHIN);
        let oldest_then = ring()[0].seq;
        let lost = check(&receiver.lines, &known.all());
        let [lost] = &lost[..] else { panic!("said once: {lost:?}") };
        // Others may have written between the last that arrived and the stop, and while it went on.
        assert!((before + 1..=untouched + 1).contains(lost.start()), "{before} {untouched} {lost:?}");
        assert!((oldest..=oldest_then).contains(&(lost.end() + 1)), "{oldest} {oldest_then} {lost:?}");
        println!("lost {lost:?} of the ring from {oldest} on; {before} was the last that arrived before");
    });
}

/// Whoever may write to the log can write the words of a report, but no report: beside a true one, forged ones are
/// records, and the recipe of docs/output.md tells them apart.
#[test]
fn forged_reports() {
    alone(|sandbox| {
        let receiver = Tcp::new(TcpBehaviour::Reads);
        let writer = Writer::storm();
        let words = [ONLY_WARNINGS, "earlykmsg.extra=caller,dict"];
        let program = Run::new(&[&words[..], &[&receiver.url()]].concat()).start_connected();
        let before = tag("before");
        writer.write_at(WARNING, &before);
        let before = seq(&receiver.lines.wait_for(&before, WITHIN).json());
        let [shipper] = program.shippers()[..] else { panic!("one shipper") };
        kill(shipper, Signal::SIGSTOP).expect("stop a shipper");
        let untouched = ring().last().expect("records").seq;
        let filler = "x".repeat(200);
        while ring()[0].seq <= untouched {
            for _ in 0..200 {
                writer.write_at(WARNING, &format!("{} {filler}", tag("overwritten")));
            }
        }
        let own = tag("forged");
        let forged = [
            format!("earlykmsg: lost 9 records, seq 1-9: {own}"),
            format!("earlykmsg: 1 record, seq 7-7, possibly lost: {own}"),
            format!("earlykmsg: lost 9 records, seq 1-9: {own}\n earlykmsg=lost"),
            format!("earlykmsg: lost 9 records, seq 1-9: {own}\",\"earlykmsg\":\"lost"),
        ];
        for text in &forged {
            writer.write_at(WARNING, text);
        }
        let after = tag("after");
        writer.write_at(WARNING, &after);
        kill(shipper, Signal::SIGCONT).expect("let a shipper go on");
        receiver.lines.wait_for(&after, WITHIN);
        let objects = receiver.lines.objects();
        let arrived = objects.iter().filter(|object| msg(object).contains(&own));
        assert_eq!(arrived.clone().count(), forged.len(), "all of them are records");
        assert!(arrived.clone().all(|object| report(object).is_none()), "{:#?}", arrived.collect::<Vec<_>>());
        let reports: Vec<Value> = objects.iter().filter(|object| report(object).is_some()).cloned().collect();
        assert!(reports.iter().any(|report| is_lost(report) && seq(report) > before), "{reports:#?}");

        let page = include_str!("../../docs/output.md");
        let recipe = page.lines().map(str::trim).find(|line| line.starts_with("jq -c 'select("));
        let lines: String = objects.iter().map(|object| format!("{object}\n")).collect();
        let file = sandbox.file("kernels.jsonl", lines.as_bytes());
        let jq = Command::new("sh")
            .args(["-c", recipe.expect("a recipe")])
            .current_dir(file.parent().expect("a folder"))
            .output()
            .expect("start sh");
        assert!(jq.status.success(), "{}", String::from_utf8_lossy(&jq.stderr));
        let selected: Vec<Value> = jq
            .stdout
            .split(|&byte| byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect();
        assert_eq!(selected, reports);
    });
}

/// What a shipper had passed over when it died is not lost with it.
#[test]
fn a_shipper_that_dies() {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        let receiver = Tcp::new(TcpBehaviour::Reads);
        let program = Run::fed(&[ONLY_WARNINGS.to_owned(), receiver.url()]).start_connected();
        kmsg.feed("4,10,0,-;sent\n");
        receiver.lines.wait_for("sent", WITHIN);
        for seq in 11..=20 {
            kmsg.feed(format!("7,{seq},0,-;passed over\n"));
        }
        let [shipper] = program.shippers()[..] else { panic!("one shipper") };
        // In this order: what was read before it waits has been dealt with.
        until("all is read, and it waits again", || kmsg.is_read() && proc::waits_in_poll(shipper));
        kill(shipper, Signal::SIGKILL).expect("kill a shipper");
        kmsg.feed("4,30,0,-;after\n");
        receiver.lines.wait_for("after", WITHIN);
        let told = receiver.lines.texts("earlykmsg: ");
        let lost: Vec<_> = told.iter().filter(|text| text.contains("lost ")).collect();
        let [lost] = lost[..] else { panic!("said once: {told:?}") };
        assert_eq!(reported(lost), Some(21..=29), "{told:?}");
    });
}

/// Who is told what was not acknowledged is told of nothing that was not wanted.
#[test]
fn once_without_a_receiver() {
    for (wanted, code) in [(false, 0), (true, 69)] {
        alone(|sandbox| {
            let kmsg = Fake::new(sandbox);
            let program = Run::fed(&["--once", ONLY_WARNINGS, "tcp://127.0.0.1:9/"]).start();
            // Until it starts a shipper, the watcher takes what there is.
            until("a shipper", || program.shippers().len() == 1);
            for seq in 10..=30 {
                let level = if wanted && matches!(seq, 15 | 25) { WARNING } else { INFO };
                kmsg.feed(format!("{level},{seq},0,-;x\n"));
            }
            let end = program.finish(WITHIN);
            assert_eq!(end.code, Some(code), "{end:?}");
            let said =
                end.words.iter().any(|line| line.contains(": 11 records, seq 15-25, not acknowledged"));
            assert_eq!(said, wanted, "{end:?}");
            assert_eq!(end.words.iter().any(|line| line.contains("not acknowledged")), wanted, "{end:?}");
        });
    }
}

/// The same where the records are on their way, and what was read behind them is not wanted.
#[test]
fn a_receiver_that_reads_nothing() {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        let receiver = Tcp::with_buffer(4096, TcpBehaviour::Ignores);
        let program = Run::fed(&[ONLY_WARNINGS.to_owned(), receiver.url()]).start_connected();
        for seq in 10..=29 {
            kmsg.feed(format!("{WARNING},{seq},0,-;{}\n", "x".repeat(2_000)));
        }
        for seq in 30..=60 {
            kmsg.feed(format!("{INFO},{seq},0,-;x\n"));
        }
        let [shipper] = program.shippers()[..] else { panic!("one shipper") };
        until("all is read, and it waits again", || kmsg.is_read() && proc::waits_in_poll(shipper));
        program.signal(Signal::SIGTERM);
        let end = program.finish(WITHIN);
        assert!(
            end.words.iter().any(|line| line.contains("-29, not acknowledged")),
            "it ends with the last one that is wanted: {end:?}"
        );
    });
}

/// After a connection that broke with bytes unread, it goes on with the same choice.
#[test]
fn what_is_sent_again() {
    alone(|_| {
        let mut receiver = Tcp::new(TcpBehaviour::Reads);
        let writer = Writer::new();
        let _program = Run::new(&[ONLY_WARNINGS.to_owned(), receiver.url()]).start_connected();
        let write = || {
            let mut last = String::new();
            for level in [DEBUG, WARNING, INFO, 0].into_iter().cycle().take(40) {
                last = tag("again");
                writer.write_at(level, &last);
            }
            last
        };
        let first = write();
        receiver.lines.wait_for(&first, WITHIN);
        receiver.pause();
        let last = write();
        receiver.wait_unread(&last, WITHIN);
        let connections = receiver.connections.len();
        receiver = receiver.restart(End::Reset, Duration::ZERO);
        let since = receiver.lines.len();
        receiver.lines.wait(WITHIN, "all again", |lines| {
            lines[since..]
                .iter()
                .any(|line| String::from_utf8_lossy(&line.bytes).contains(&last))
                .then_some(())
        });
        receiver.lines.change(|lines| lines.retain(|line| line.connection >= Some(connections)));
        // What the ring had dropped by then was sent before.
        assert_eq!(check(&receiver.lines, &ring()), [], "nothing is lost");
    });
}
