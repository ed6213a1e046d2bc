//! Receivers that people have: rsyslog, syslog-ng, netcat, socat; the first two with the very configuration that
//! docs/receivers.md prints. Each record of the ring arrives, in order, as JSON that
//! `jq` takes.

use core::time::Duration;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use earlykmsg_tests::foreign::{Foreign, listens, objects, unpacked, until};
use earlykmsg_tests::json::{self, timeless};
use earlykmsg_tests::kmsg::{RingLock, ring};
use earlykmsg_tests::program::Run;
use earlykmsg_tests::record::Record;
use earlykmsg_tests::sandbox::{Sandbox, alone};

const WITHIN: Duration = Duration::from_secs(20);

/// Ships the ring to `url`: the records that must have arrived.
#[track_caller]
fn ship(url: &str) -> Vec<Record> {
    ship_with(&[url])
}

/// The same with these words.
#[track_caller]
fn ship_with(words: &[&str]) -> Vec<Record> {
    let (_ring_lock, before) = (RingLock::shared(), ring());
    let end = Run::new(&[&["--once"], words].concat()).finish(WITHIN);
    assert_eq!(end.code, Some(0), "{end:?}");
    let oldest = ring().first().expect("a ring is never empty").seq;
    before.into_iter().filter(|record| record.seq >= oldest).collect()
}

/// Waits until a file holds the last of `want`, and what comes with it to the end of a line or an object.
#[track_caller]
fn wait_for_last(want: &[Record], file: &Path, quote: &str) {
    let seq = format!("seq{quote}:{},", want.last().expect("a ring is never empty").seq);
    until("the last record", || {
        let bytes = fs::read(file).unwrap_or_default();
        bytes.windows(seq.len()).any(|part| part == seq.as_bytes()) && bytes.trim_ascii_end().ends_with(b"}")
    });
}

/// The objects of `file` are the ring's, in order, and `jq` takes each.
#[track_caller]
fn judge(who: &str, want: &[Record], file: &Path) {
    let jq = Command::new("jq").args(["-e", "."]).arg(file).stdout(Stdio::null()).status().expect("start jq");
    assert!(jq.success(), "jq -e .");
    let (mut arrived, mut last) = (BTreeMap::new(), None);
    for object in objects(file) {
        let seq = json::seq(&object);
        assert!(last < Some(seq), "{who}: out of order at {seq}");
        last = Some(seq);
        arrived.insert(seq, timeless(object));
    }
    for record in want {
        assert_eq!(arrived.get(&record.seq), Some(&record.json()), "{who}");
    }
    println!("{who}: {} records of the ring, each arrived, in order, as JSON", want.len());
}

#[test]
fn netcat() {
    alone(|sandbox| {
        let output = sandbox.dir().join("out");
        let _nc = Foreign::start("nc.openbsd", &["-lk", "127.0.0.1", "5044"], &output);
        until("nc", || listens("tcp", 5044));
        let want = ship("tcp://127.0.0.1:5044/");
        wait_for_last(&want, &output, "\"");
        judge("nc -lk", &want, &output);
    });
}

/// Datagrams have no newline: the file is objects with nothing between them.
#[test]
fn socat() {
    alone(|sandbox| {
        let output = sandbox.dir().join("out");
        let _socat = Foreign::start("socat", &["-u", "UDP-RECV:5044,bind=127.0.0.1", "-"], &output);
        until("socat", || listens("udp", 5044));
        let want = ship("udp://127.0.0.1:5044/");
        wait_for_last(&want, &output, "\"");
        judge("socat -u UDP-RECV", &want, &output);
    });
}

/// rsyslog's imtcp, with a template that puts the line into JSON of its own.
#[test]
fn rsyslog() {
    alone(|sandbox| {
        let dir = sandbox.dir().display();
        let output = sandbox.dir().join("out");
        let config = format!(
            r#"
module(load="imtcp")
template(name="wrapped" type="string" string="{{\"from\":\"%fromhost-ip%\",\"line\":\"%rawmsg:::json%\"}}\n")
ruleset(name="all") {{ action(type="omfile" file="{dir}/out" template="wrapped") }}
input(type="imtcp" port="5044" address="127.0.0.1" ruleset="all")
"#
        );
        let _rsyslog = Foreign::rsyslogd(sandbox, &config);
        until("rsyslogd", || listens("tcp", 5044));
        let want = ship("tcp://127.0.0.1:5044/");
        wait_for_last(&want, &output, "\\\"");
        let jq = Command::new("jq").args(["-e", "-r", ".line"]).arg(&output).output().expect("start jq");
        assert!(jq.status.success(), "jq: {}", String::from_utf8_lossy(&jq.stderr));
        let sent = sandbox.file("sent", &jq.stdout);
        judge("rsyslog imtcp", &want, &sent);
    });
}

/// The lines of docs/receivers.md behind the mark with this name.
fn documented(name: &str) -> String {
    let page = include_str!("../../docs/receivers.md");
    let (_, rest) =
        page.split_once(&format!("<!-- tests/tests/receivers.rs: {name} -->\n\n")).expect("a mark");
    rest.lines().map_while(|line| line.strip_prefix("    ")).map(|line| format!("{line}\n")).collect()
}

/// Runs a receiver with its documented configuration, which names its port and what it writes below `/var/log`.
fn with_documented(
    name: &str,
    start: impl FnOnce(&Sandbox, &str) -> Foreign + Send,
    ship_and_judge: impl FnOnce(&Path) + Send,
) {
    alone(|sandbox| {
        let logs = sandbox.dir().join("logs");
        fs::create_dir(&logs).expect("make a folder");
        sandbox.bind(&logs, "/var/log");
        let config = documented(name);
        assert!(config.contains("5044") && config.contains("/var/log/kernels"), "{config}");
        let _receiver = start(sandbox, &config);
        until(name, || listens("tcp", 5044));
        ship_and_judge(&logs);
    });
}

/// One file of everything.
fn as_documented(name: &str, start: impl FnOnce(&Sandbox, &str) -> Foreign + Send) {
    with_documented(name, start, |logs| {
        let want = ship("tcp://127.0.0.1:5044/");
        let output = logs.join("kernels.jsonl");
        wait_for_last(&want, &output, "\"");
        judge(name, &want, &output);
    });
}

fn documented_rsyslogd(sandbox: &Sandbox, config: &str) -> Foreign {
    let config = sandbox.file("rsyslog.conf", config).display().to_string();
    let pid = sandbox.dir().join("pid").display().to_string();
    Foreign::start("rsyslogd", &["-n", "-f", &config, "-i", &pid], &sandbox.dir().join("stdout"))
}

#[test]
fn rsyslog_as_documented() {
    as_documented("rsyslog", documented_rsyslogd);
}

/// Two machines, one that says nothing of itself, and one that would like to write elsewhere: a file each.
#[test]
fn rsyslog_files_by_uuid_as_documented() {
    let machines = [
        (Some("4c4c4544-0042-3510-8051-b4c04f4a3732"), "4c4c4544-0042-3510-8051-b4c04f4a3732"),
        (Some("00000000-0000-0000-0000-000000000001"), "00000000-0000-0000-0000-000000000001"),
        (None, "unknown"),
        (Some("../../etc/x"), ".._.._etc_x"),
    ];
    with_documented("rsyslog by uuid", documented_rsyslogd, |logs| {
        for (uuid, name) in machines {
            let tag = uuid.map(|uuid| format!("earlykmsg.tags=uuid={uuid}"));
            let words: Vec<&str> = tag.as_deref().into_iter().chain(["tcp://127.0.0.1:5044/"]).collect();
            let want = ship_with(&words);
            let output = logs.join(format!("kernels/{name}.jsonl"));
            wait_for_last(&want, &output, "\"");
            let text = fs::read_to_string(&output).expect("read what arrived");
            let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
            let said = uuid.map(|uuid| format!(",\"uuid\":\"{uuid}\""));
            assert!(
                whole.lines().all(|line| said.as_ref().is_none_or(|said| line.contains(said))),
                "{uuid:?}"
            );
            let sent = logs.join("without");
            fs::write(&sent, said.map_or(whole.to_owned(), |said| whole.replace(&said, "")))
                .expect("write a file");
            judge(&format!("rsyslog by uuid, {name}"), &want, &sent);
        }
        let files = fs::read_dir(logs.join("kernels")).expect("read a folder").count();
        assert_eq!(files, machines.len(), "a file for each machine and no other");
    });
}

#[test]
fn syslog_ng_as_documented() {
    // Debian does not install it beside rsyslog.
    let tree = unpacked("syslog-ng-core");
    as_documented("syslog-ng", |sandbox, config| Foreign::syslog_ng(&tree, sandbox, config));
}
