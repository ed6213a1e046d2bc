//! Golden records from end to end: fed as `/dev/kmsg`, received over a socket, compared with Talos's JSON.

use core::time::Duration;

use earlykmsg_tests::json::{checked, is_lost, timeless};
use earlykmsg_tests::kmsg::{Fake, golden_log};
use earlykmsg_tests::program::Run;
use earlykmsg_tests::receiver::{Lines, Tcp, TcpBehaviour, Udp};
use earlykmsg_tests::sandbox::alone;
use serde_json::Value;

const WITHIN: Duration = Duration::from_secs(20);

/// Feeds the log and compares what arrives.
fn check(kmsg: &Fake, lines: &Lines) {
    check_with(kmsg, lines, |want| want);
}

/// The same, with what a receiver gets of an object.
fn check_with(kmsg: &Fake, lines: &Lines, arriving: impl Fn(Value) -> Value) {
    let log = golden_log();
    let feed = || log.iter().for_each(|(raw, _)| kmsg.feed(raw));
    std::thread::scope(|scope| {
        scope.spawn(feed);
        lines.wait_for("big numbers", WITHIN);
    });
    let mut got: Vec<Value> = lines.items().iter().map(|line| timeless(checked(&line.bytes))).collect();
    // The jump to the large number is a loss, and said.
    got.retain(|object| !is_lost(object));
    let want: Vec<Value> = log.into_iter().map(|(_, want)| arriving(timeless(want))).collect();
    for (got, want) in got.iter().zip(&want) {
        assert_eq!(got, want);
    }
    assert_eq!(got.len(), want.len());
    println!("golden: {} of {} records equal", got.len(), want.len());
}

#[test]
fn over_tcp() {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        let receiver = Tcp::new(TcpBehaviour::Reads);
        let _program = Run::fed(&[receiver.url()]).start_connected();
        check(&kmsg, &receiver.lines);
        assert_eq!(receiver.connections.len(), 1);
    });
}

#[test]
fn over_udp() {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        let receiver = Udp::new();
        let _program = Run::fed(&[receiver.url()]).start_connected();
        check(&kmsg, &receiver.lines);
    });
}

/// A syslog message has no newline of the kernel's. Read as an object, it has one, whatever the record had.
fn with_newline(mut object: Value) -> Value {
    let msg = object["msg"].as_str().expect("a text").to_owned();
    if !msg.ends_with('\n') {
        object["msg"] = format!("{msg}\n").into();
    }
    object
}

/// Field by field what JSON says of the same records.
#[test]
fn as_syslog_over_tcp() {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        let receiver = Tcp::syslog(TcpBehaviour::Reads);
        let _program = Run::fed(&[receiver.url()]).start_connected();
        check_with(&kmsg, &receiver.lines, with_newline);
        assert_eq!(receiver.connections.len(), 1);
    });
}

#[test]
fn as_syslog_over_udp() {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        let receiver = Udp::syslog();
        let _program = Run::fed(&[receiver.url()]).start_connected();
        check_with(&kmsg, &receiver.lines, with_newline);
    });
}

/// Records that no kernel writes are shipped all the same.
#[test]
fn what_cannot_be_parsed() {
    check_unparsable(&[]);
}

/// Behind a record that can be.
#[test]
fn what_cannot_be_parsed_later() {
    check_unparsable(&["6,99,1,-;the first one\n"]);
}

fn check_unparsable(first: &[&str]) {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        let receiver = Tcp::new(TcpBehaviour::Reads);
        let _program = Run::fed(&[receiver.url()]).start_connected();
        let bad: [&[u8]; 9] = [
            b"no record at all\n",
            b";\n",
            b",,,;x\n",
            b"6,9,8\n",
            b"-1,2,3,-;negative\n",
            b"6,99999999999999999999999,3,-;seq too large\n",
            b"x,y,z,-;letters\n",
            b"\xff\xfe\x00\n",
            b"6,7",
        ];
        for raw in first.iter().map(|text| text.as_bytes()).chain(bad) {
            kmsg.feed(raw);
        }
        kmsg.feed("6,100,1,-;the last one\n");
        receiver.lines.wait_for("the last one", WITHIN);
        let objects = receiver.lines.objects();
        let objects: Vec<_> = objects.iter().filter(|object| !is_lost(object)).collect();
        assert_eq!(objects.len(), first.len() + bad.len() + 1, "{objects:#?}");
        for (object, raw) in objects.iter().skip(first.len()).zip(bad) {
            assert_eq!(object["priority"], "err", "{object}");
            assert_eq!(object["facility"], "kern", "{object}");
            let want: String =
                raw.iter().map(|&b| if b < 0x80 { char::from(b) } else { '\u{fffd}' }).collect();
            assert_eq!(object["msg"], want, "{object}");
        }
    });
}

/// A facility beyond the named ones, and all the named ones.
#[test]
fn every_facility_and_priority() {
    check_facilities(|| Tcp::new(TcpBehaviour::Reads));
}

#[test]
fn every_facility_and_priority_as_syslog() {
    check_facilities(|| Tcp::syslog(TcpBehaviour::Reads));
}

fn check_facilities(receiver: fn() -> Tcp) {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        let receiver = receiver();
        let _program = Run::fed(&[receiver.url()]).start_connected();
        let raw: Vec<String> =
            (0..256 * 8).map(|code| format!("{code},{code},{code},-;record {code}.\n")).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| raw.iter().for_each(|raw| kmsg.feed(raw)));
            receiver.lines.wait_count(raw.len(), WITHIN);
        });
        for (object, raw) in receiver.lines.objects().into_iter().zip(&raw) {
            assert_eq!(timeless(object), earlykmsg_tests::record::Record::parse(raw.as_bytes()).json());
        }
    });
}
