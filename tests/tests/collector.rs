//! The collector of docs/fleet.md, with the very schema, configuration and queries that it prints: rsyslog and PostgreSQL.

use core::time::Duration;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Instant, SystemTime};

use earlykmsg_tests::foreign::{Foreign, listens, unpacked, unread_bytes, until};
use earlykmsg_tests::kmsg::{RingLock, ring};
use earlykmsg_tests::postgres::Postgres;
use earlykmsg_tests::program::Run;
use earlykmsg_tests::sandbox::{Sandbox, alone};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The fenced text behind a mark of docs/fleet.md, and the fenced text behind that.
fn documented(name: &str) -> [&'static str; 2] {
    let page = include_str!("../../docs/fleet.md");
    let mark = format!("<!-- tests/tests/collector.rs: {name} -->\n");
    let (_, rest) = page.split_once(&mark).expect("a mark");
    let mut fenced = rest.split("```").skip(1).step_by(2);
    [(); 2].map(|()| fenced.next().expect("fences").split_once('\n').expect("a language").1)
}

/// rsyslog and PostgreSQL as documented.
struct Collector {
    postgres: Postgres,
    _rsyslog: Foreign,
    dir: PathBuf,
}

impl Collector {
    fn start(sandbox: &Sandbox, modules: &str) -> Collector {
        let postgres = Postgres::start(sandbox);
        postgres.create_database("kernels");
        postgres.psql("kernels", &["--single-transaction"], documented("schema")[0]);
        let config = sandbox.file("rsyslog.conf", documented("rsyslog")[0]).display().to_string();
        let pid = sandbox.dir().join("pid").display().to_string();
        let arguments = ["-n", "-M", modules, "-f", &config, "-i", &pid];
        let rsyslog = Foreign::start("rsyslogd", &arguments, &sandbox.dir().join("stdout"));
        until("rsyslogd", || listens("tcp", 5044));
        Collector { postgres, _rsyslog: rsyslog, dir: sandbox.dir().to_owned() }
    }

    #[track_caller]
    fn query(&self, sql: &str) -> String {
        self.postgres.query("kernels", sql)
    }

    #[track_caller]
    fn wait_for(&self, sql: &str, want: &str) {
        wait_until(sql, || self.query(sql) == want);
    }
}

fn with_collector(body: impl FnOnce(&mut Collector) + Send) {
    // Its installation would ask for a database.
    let module = unpacked("rsyslog-pgsql");
    let library = format!("usr/lib/{}-linux-gnu/rsyslog", std::env::consts::ARCH);
    let modules = format!("/{library}:{}", module.join(&library).display());
    alone(|sandbox| body(&mut Collector::start(sandbox, &modules)));
}

/// Waits until `ready`. rsyslog tries a database again when it likes, some ten seconds later on an idle machine.
#[track_caller]
fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !ready() {
        assert!(Instant::now() < end, "waited a minute for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Sends lines from this address of the loopback.
#[track_caller]
fn send(from: &str, lines: &[u8]) {
    let mut socat = Command::new("socat")
        .args(["-u", "STDIN", &format!("TCP:127.0.0.1:5044,bind={from}")])
        .stdin(Stdio::piped())
        .spawn()
        .expect("start socat");
    socat.stdin.take().expect("stdin").write_all(lines).expect("send");
    assert!(socat.wait().expect("wait for socat").success());
}

/// A line of a machine whose kernel started `ago`, as earlykmsg sends it.
fn line(ago: Duration, boot_id: &str, machine: &str, (clock, seq, msg): (u64, u64, &str)) -> Value {
    let at = SystemTime::now() - ago + Duration::from_micros(clock);
    let at = Timestamp::try_from(at).expect("a time").to_string();
    json!({
        "clock": clock, "facility": "kern", "msg": format!("{msg}\n"), "priority": "info", "seq": seq,
        "talos-level": "info", "talos-time": at, "boot": boot_id, "machine": machine,
    })
}

fn joined(lines: &[Value]) -> Vec<u8> {
    lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect()
}

/// Without the fields that machined knows nothing of.
fn without_tags(mut line: Value) -> Value {
    let fields = line.as_object_mut().expect("an object");
    fields.shift_remove("boot");
    fields.shift_remove("machine");
    line
}

/// The machine's own ring, sent twice by earlykmsg and once more as machined sends it.
#[test]
fn every_record_is_there_once() {
    with_collector(|collector| {
        let _ring_lock = RingLock::shared();
        let before = ring();
        let tags = "earlykmsg.tags=boot={boot_id},machine=here";
        for words in [&["--once", tags][..], &["--once", tags], &["--once"]] {
            let end = Run::new(&[words, &["tcp://127.0.0.1:5044/"]].concat()).finish(Duration::from_secs(20));
            assert_eq!(end.code, Some(0), "{end:?}");
        }
        let after = ring();
        let (oldest, last) = (after.first().expect("a record").seq, before.last().expect("a record").seq);
        let want: Vec<Value> = before
            .iter()
            .filter(|record| record.seq >= oldest)
            .map(|record| json!([record.seq, record.msg.replace('\0', "\u{fffd}")]))
            .collect();
        // What is sent last is stored last.
        let stored = format!("select max(seq) >= {} from records", after.last().expect("a record").seq - 3);
        collector.wait_for(&stored, "t");
        let got = collector.query(&format!(
            "select json_agg(json_build_array(seq, msg) order by seq) from records
             where report is null and seq between {oldest} and {last}"
        ));
        let got: Vec<Value> = serde_json::from_str(&got).expect("JSON");
        assert_eq!(got, want);
        assert_eq!(collector.query("select machine, host from boots"), "here|127.0.0.1");
        assert_eq!(collector.query("select count(*) from unreadable"), "0");
    });
}

/// Texts of any length and content, lines that are none, and losses.
#[test]
fn awkward_lines() {
    with_collector(|collector| {
        let ago = Duration::from_secs(60);
        // Too long for an index, and nothing that could be compressed.
        let mut random = fastrand::Rng::with_seed(1);
        let long: String = (0..9_000).map(|_| random.char(' '..='\u{2fff}')).collect();
        let texts =
            ["", "'; drop table boots; --", "\\ \\u0000 \\\\", "nul \0 nul\0\0", "ä\u{fffd}€😀", &long];
        let mut lines: Vec<Value> =
            (1..).zip(texts).map(|(seq, msg)| line(ago, "b", "m", (seq, seq, msg))).collect();
        let mut lost = line(ago, "b", "m", (5, 1, "earlykmsg: lost 1 record, seq 1-1: why"));
        lost["earlykmsg"] = "lost".into();
        lines.insert(0, lost);
        let mut bytes = joined(&lines);
        let none = ["no JSON", "{}", "[]", "-7", "\"text\"", "null", r#"{"seq":0}"#];
        bytes.extend(none.map(|line| format!("{line}\n")).concat().bytes());
        bytes.extend(b"no \xff UTF-8\n");
        for (field, wrong) in [
            ("seq", json!(-1)),
            ("seq", json!("x")),
            ("seq", json!(1e30)),
            ("clock", json!(u64::MAX)),
            ("talos-time", json!("yesterday evening")),
            ("talos-time", json!("infinity")),
            ("msg", Value::Null),
        ] {
            let mut line = line(ago, "b", "m", (9, 9, "wrong"));
            line[field] = wrong;
            bytes.extend(format!("{line}\n").bytes());
        }
        bytes.extend(joined(&[line(ago, "b", "m", (10, 10, "the last"))]));
        // All in one connection and so, mostly, in one transaction.
        send("127.0.0.1", &bytes);
        send("127.0.0.1", &bytes);
        collector.wait_for("select count(*) from unreadable", &(2 * (none.len() + 8)).to_string());
        collector.wait_for("select count(*) from records where seq = 10", "1");
        let got = collector.query(
            "select json_agg(json_build_array(seq, msg, report) order by seq, report nulls last) from records",
        );
        let got: Vec<Value> = serde_json::from_str(&got).expect("JSON");
        let mut want = vec![json!([1, "earlykmsg: lost 1 record, seq 1-1: why\n", "lost"])];
        for (seq, msg) in (1..).zip(texts) {
            want.push(json!([seq, format!("{}\n", msg.replace('\0', "\u{fffd}")), null]));
        }
        want.push(json!([10, "the last\n", null]));
        assert_eq!(got, want);
    });
}

/// More lines than rsyslog's queue holds, while the database is away.
#[test]
fn the_database_goes_away() {
    with_collector(|collector| {
        let lines = |seqs: core::ops::Range<u64>| {
            let text = |seq| line(Duration::from_secs(60), "b", "m", (seq, seq, "something"));
            joined(&seqs.map(text).collect::<Vec<_>>())
        };
        send("127.0.0.1", &lines(0..100));
        collector.wait_for("select count(*) from records", "100");
        collector.postgres.stop();
        let file = collector.dir.join("lines");
        fs::write(&file, lines(100..40_000)).expect("write a file");
        let file = format!("FILE:{}", file.display());
        let _socat =
            Foreign::start("socat", &["-u", &file, "TCP:127.0.0.1:5044"], &collector.dir.join("socat"));
        // It reads no more: what the kernel has for it stays the same for a second. (How much fits there is up to the kernel:
        // 79,501 bytes were seen.)
        let (mut unread, mut since) = (0, Instant::now());
        wait_until("rsyslog stops reading", || {
            let before = core::mem::replace(&mut unread, unread_bytes(5044));
            if unread == 0 || unread != before {
                since = Instant::now();
            }
            since.elapsed() > Duration::from_secs(1)
        });
        collector.postgres.resume();
        collector.wait_for("select max(seq) from records", "39999");
        // Of the transaction that was broken off, nothing is there twice.
        assert_eq!(collector.query("select count(*) from records"), "40000");
    });
}

/// The day of a record is that of its repeats, whatever the machine's clock says; old days are dropped.
#[test]
fn days() {
    with_collector(|collector| {
        let day = Duration::from_secs(86_400);
        let mut first = line(day, "b", "m", (0, 0, "first"));
        let mut later = line(day, "b", "m", (86_400_000_000, 1, "a day later"));
        send("127.0.0.1", &joined(&[first.clone(), later.clone()]));
        collector.wait_for("select count(*) from records", "2");
        let days = collector.query("select max(day) - min(day) from records");
        let mut never_set = line(day, "c", "n", (1_000_000, 7, "the clock was never set"));
        for line in [&mut first, &mut later, &mut never_set] {
            line["talos-time"] = "1970-01-01T00:00:07Z".into();
        }
        send("127.0.0.1", &joined(&[first, later, never_set]));
        collector.wait_for("select count(*) from records", "3");
        assert_eq!(days, "1");
        let recent = "select at > now() - interval '1 hour' from records where seq = 7";
        assert_eq!(collector.query(recent), "t");

        collector.query(
            "create table records_20200101 partition of records for values from ('2020-01-01') to ('2020-01-02')",
        );
        collector.query("call rotate_records()");
        let partitions = "
            select count(*), max(relid::regclass::text),
                min(relid::regclass::text) = to_char(now() at time zone 'UTC' - interval '1 day', '\"records_\"YYYYMMDD')
            from pg_partition_tree('records') where isleaf";
        assert_eq!(collector.query(partitions), "10|records_other|t");
    });
}

/// A machine of the queries: when its kernel started, its tags, its address, and what arrived of its boot.
struct Machine {
    ago: Duration,
    name: &'static str,
    host: &'static str,
    lines: &'static [(u64, u64, &'static str)],
}

const MINUTE: Duration = Duration::from_secs(60);

const HANDED_OVER: &str =
    "earlykmsg: tcp://logs.example:5044/: handed over to the main system, last seq sent 4";

const MACHINES: [Machine; 5] = [
    Machine {
        ago: MINUTE.saturating_mul(30),
        name: "rack1-01",
        host: "127.0.1.1",
        lines: &[
            (0, 0, "Linux version 6.1.0-32-amd64"),
            (1_200_000, 1, "mpt3sas_cm0: sending port enable !!"),
            (9_700_000, 2, "mpt3sas_cm0: port enable: SUCCESS"),
            (10_100_000, 3, "systemd[1]: Reached target multi-user.target - Multi-User System."),
            (12_200_000, 4, HANDED_OVER),
        ],
    },
    Machine {
        ago: MINUTE.saturating_mul(25),
        name: "rack1-02",
        host: "127.0.1.2",
        lines: &[
            (0, 0, "Linux version 6.1.0-32-amd64"),
            (1_300_000, 1, "mpt3sas_cm0: sending port enable !!"),
            (61_400_000, 2, "mpt3sas_cm0: port enable: FAILED"),
        ],
    },
    Machine {
        ago: MINUTE.saturating_mul(20),
        name: "rack1-03",
        host: "127.0.1.3",
        lines: &[
            (0, 0, "Linux version 6.1.0-32-amd64"),
            (1_100_000, 1, "mpt3sas_cm1: sending port enable !!"),
            (10_600_000, 2, "mpt3sas_cm1: port enable: SUCCESS"),
            (11_000_000, 7, "systemd[1]: Reached target multi-user.target - Multi-User System."),
            (12_000_000, 9, "nvme nvme0: I/O 23 QID 5 timeout, aborting"),
        ],
    },
    // This one is at it.
    Machine {
        ago: MINUTE.saturating_mul(2),
        name: "rack2-01",
        host: "127.0.2.1",
        lines: &[
            (0, 0, "Linux version 6.1.0-32-amd64"),
            (2_000_000, 1, "EXT4-fs (sda2): recovery complete"),
            (115_000_000, 2, "EXT4-fs (sda2): mounted filesystem with ordered data mode"),
        ],
    },
    // The first records of this one were overwritten.
    Machine {
        ago: MINUTE.saturating_mul(3),
        name: "rack2-02",
        host: "127.0.2.2",
        lines: &[
            (3_000_000, 40, "EXT4-fs (sdb2): recovery complete"),
            (171_000_000, 41, "EXT4-fs (sdb2): mounted filesystem with ordered data mode"),
            (171_500_000, 42, "systemd[1]: Reached target multi-user.target - Multi-User System."),
        ],
    },
];

/// What earlykmsg reported of what it could not send.
const REPORTS: [(usize, u64, u64, &str); 2] = [
    (
        2,
        11_000_000,
        3,
        "earlykmsg: lost 4 records, seq 3-6: the kernel log buffer was overwritten before they could be sent",
    ),
    (
        4,
        3_000_000,
        0,
        "earlykmsg: lost 40 records, seq 0-39: the kernel log buffer was overwritten before they could be sent",
    ),
];

/// Each query prints what the document shows.
#[test]
fn queries() {
    with_collector(|collector| {
        for (index, machine) in MACHINES.iter().enumerate() {
            let line = |text| line(machine.ago, &format!("boot of {}", machine.name), machine.name, text);
            let mut lines: Vec<Value> = machine.lines.iter().map(|text| line(*text)).collect();
            // machined's own copy comes later, without what was lost and without tags.
            let own_copy: Vec<Value> = lines.iter().cloned().map(without_tags).collect();
            for (_, clock, seq, msg) in REPORTS.iter().filter(|report| report.0 == index) {
                let mut report = line((*clock, *seq, msg));
                report["earlykmsg"] = "lost".into();
                lines.insert(0, report);
            }
            send(machine.host, &joined(&lines));
            send(machine.host, &joined(&own_copy));
            // What has come twice is there once.
            let all: usize = lines.len();
            let count = format!(
                "select count(*) from records join boots using (boot) where machine = '{}'",
                machine.name
            );
            collector.wait_for(&count, &all.to_string());
        }
        // The last of all, which wakes nothing up.
        send("127.0.9.9", b"the end\n");
        collector.wait_for("select count(*) from unreadable", "1");
        assert_eq!(collector.query("select count(*) from boots"), "5");
        for name in ["silent", "never said", "slowest", "missing"] {
            let [query, output] = documented(name);
            let printed = collector.postgres.psql("kernels", &["-P", "footer=off"], query);
            let printed: Vec<&str> = printed.trim_end().lines().map(str::trim_end).collect();
            let shown: Vec<&str> = output.trim_end().lines().map(str::trim_end).collect();
            assert_eq!(printed, shown, "{name}:\n{}", printed.join("\n"));
        }
    });
}
