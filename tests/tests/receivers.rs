//! Receivers that people have: rsyslog, syslog-ng, netcat, socat, jq; with the very configurations and commands that
//! docs/receivers.md prints. Each record of the ring arrives, in order, as JSON that `jq` takes; each golden record arrives
//! as a syslog message, in which the receiver finds what the JSON of the same record says.

use core::time::Duration;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use earlykmsg_tests::foreign::{Foreign, listens, objects, unpacked, until};
use earlykmsg_tests::json::{self, timeless};
use earlykmsg_tests::kmsg::{Fake, RingLock, Writer, golden_log, ring, tag};
use earlykmsg_tests::program::Run;
use earlykmsg_tests::record::Record;
use earlykmsg_tests::sandbox::{Sandbox, alone};
use serde_json::{Map, Value};

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
    port: u16,
    start: impl FnOnce(&Sandbox, &str) -> Foreign + Send,
    ship_and_judge: impl FnOnce(&Sandbox, &Path) + Send,
) {
    alone(|sandbox| {
        let logs = sandbox.dir().join("logs");
        fs::create_dir(&logs).expect("make a folder");
        sandbox.bind(&logs, "/var/log");
        let config = documented(name);
        assert!(config.contains(&port.to_string()) && config.contains("/var/log/kernels"), "{config}");
        let _receiver = start(sandbox, &config);
        until(name, || listens("tcp", port));
        ship_and_judge(sandbox, &logs);
    });
}

/// One file of everything.
fn as_documented(name: &str, start: impl FnOnce(&Sandbox, &str) -> Foreign + Send) {
    with_documented(name, 5044, start, |_, logs| {
        let want = ship("tcp://127.0.0.1:5044/");
        let output = logs.join("kernels.jsonl");
        wait_for_last(&want, &output, "\"");
        judge(name, &want, &output);
    });
}

/// Runs a documented command of the shell in a folder.
fn documented_shell(
    name: &str,
    folder: &Path,
    change: impl FnOnce(String) -> String,
    output: &Path,
) -> Foreign {
    let command = format!("cd {}\n{}", folder.display(), change(documented(name)));
    Foreign::start("sh", &["-c", &command], output)
}

/// What jq makes of records is what dmesg prints of them.
#[test]
fn jq_as_documented_prints_what_dmesg_prints() {
    alone(|sandbox| {
        // Others' storms would overwrite the records.
        let _ring_lock = RingLock::shared();
        let (writer, tag) = (Writer::new(), tag("jq"));
        for text in ["plain", "<3>tests: an error", "tab\tand \"quotes\" \\ and {}", "name= [1.5] x=y"] {
            writer.write(&format!("{text} {tag}."));
        }
        let output = sandbox.dir().join("out");
        let here = |command: String| command.replace("nc -lk", "nc.openbsd -lk 127.0.0.1");
        let _shell = documented_shell("jq", sandbox.dir(), here, &output);
        until("nc", || listens("tcp", 5044));
        let end = Run::new(&["--once", "tcp://127.0.0.1:5044/"]).finish(WITHIN);
        assert_eq!(end.code, Some(0), "{end:?}");
        let lines = |text: &[u8]| -> Vec<String> {
            let text = String::from_utf8_lossy(text).into_owned();
            text.lines().filter(|line| line.ends_with(&format!("{tag}."))).map(str::to_owned).collect()
        };
        let dmesg = Command::new("dmesg").output().expect("start dmesg");
        let want = lines(&dmesg.stdout);
        assert_eq!(want.len(), 4, "dmesg: {}", String::from_utf8_lossy(&dmesg.stderr));
        until("the last record", || lines(&fs::read(&output).unwrap_or_default()).len() == want.len());
        assert_eq!(lines(&fs::read(&output).expect("read what was printed")), want);
    });
}

/// Times of any length, and texts that dmesg prints in part.
#[test]
fn jq_as_documented_prints_each_time() {
    alone(|sandbox| {
        let cases = [
            (r#"{"clock":0,"msg":"Linux\n"}"#, "[    0.000000] Linux"),
            (r#"{"clock":1000001,"msg":"a line\n with a blank\n"}"#, "[    1.000001] a line\n with a blank"),
            (r#"{"clock":99999999999,"msg":"up\n SUBSYSTEM=net\n DEVICE=n1\n"}"#, "[99999.999999] up"),
            (r#"{"clock":123456000010,"msg":"cut"}"#, "[123456.000010] cut"),
        ];
        let [given, want] = [0, 1].map(|at| {
            let text = |case: &(&str, &str)| format!("{}\n", if at == 0 { case.0 } else { case.1 });
            cases.iter().map(text).collect::<String>()
        });
        sandbox.file("given", given);
        let output = sandbox.dir().join("out");
        let from_file = |command: String| command.replace("nc -lk 5044", "cat given");
        let _shell = documented_shell("jq", sandbox.dir(), from_file, &output);
        let printed = || fs::read_to_string(&output).unwrap_or_default();
        until("all lines", || printed().lines().count() == want.lines().count());
        assert_eq!(printed(), want);
    });
}

/// Of earlykmsg's copy and machined's, the one with tags is kept; a report of a loss and another boot are no copies.
#[test]
fn jq_as_documented_keeps_one_copy() {
    alone(|sandbox| {
        let object = |host: &str, seq: u64, clock: u64, msg: &str, more: &str| {
            format!("{{\"host\":\"{host}\",\"clock\":{clock},\"msg\":\"{msg}\\n\",\"seq\":{seq}{more}}}\n")
        };
        let tagged = r#","boot":"b""#;
        let kept = [
            object("one", 7, 100, "text", tagged),
            object("one", 7, 100, "earlykmsg: lost 1 record", tagged),
            object("one", 7, 900, "text", tagged),
            object("two", 7, 100, "text", ""),
        ];
        let copies = [object("one", 7, 100, "text", ""), object("one", 7, 900, "text", "")];
        sandbox.file("kernels.jsonl", [&copies[..1], &kept, &copies[1..]].concat().concat());
        let output = sandbox.dir().join("out");
        let _shell = documented_shell("duplicates", sandbox.dir(), |command| command, &output);
        until("all objects", || {
            fs::read_to_string(&output).is_ok_and(|text| text.lines().count() >= kept.len())
        });
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&fs::read_to_string(&output).expect("read objects")), sorted(&kept.concat()));
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
    with_documented("rsyslog by uuid", 5044, documented_rsyslogd, |_, logs| {
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

/// What a receiver of syslog found in a message.
struct Found {
    facility: Value,
    priority: Value,
    hostname: Value,
    program: Value,
    msg: String,
    /// The parameters of the program's own element.
    data: Map<String, Value>,
    time: Value,
}

impl Found {
    /// The object that says the same, without Talos's level: the dictionary stands behind the text there, and the text has
    /// its newline.
    fn json(&self) -> Value {
        let number = |name: &str| -> u64 {
            let number = self.data[name].as_str().and_then(|number| number.parse().ok());
            number.unwrap_or_else(|| panic!("{name} of {:?}", self.data))
        };
        let mut msg = format!("{}\n", self.msg);
        // Whatever the receiver makes of their order and their letters.
        for name in ["SUBSYSTEM", "DEVICE", "NAME"] {
            let value = self.data.get(name).or_else(|| self.data.get(&name.to_lowercase()));
            value.iter().for_each(|value| msg += &format!(" {name}={}\n", value.as_str().expect("a text")));
        }
        let facility = self.data.get("facility").unwrap_or(&self.facility);
        serde_json::json!({
            "clock": number("clock"), "facility": facility, "msg": msg, "priority": self.priority, "seq": number("seq"),
        })
    }
}

/// Sends the golden records by syslog to a receiver with its documented configuration, which writes an object for each;
/// `found` is what such an object says, and `text_of` what the receiver makes of a text.
fn syslog_as_documented(
    name: &str,
    transport: &str,
    start: impl FnOnce(&Sandbox, &str) -> Foreign + Send,
    found: fn(&Value) -> Found,
    text_of: fn(&str) -> String,
) {
    with_documented(name, 514, start, |sandbox, logs| {
        until(name, || listens(transport, 514));
        let output = logs.join("kernels.jsonl");
        let kmsg = Fake::new(sandbox);
        let _program = Run::fed(&[format!("syslog+{transport}://127.0.0.1:514/")]).start_connected();
        let log = golden_log();
        // No more at once than the stock buffer of a receiver of datagrams holds.
        for part in log.chunks(32) {
            part.iter().for_each(|(raw, _)| kmsg.feed(raw));
            let seq = format!("\"{}\"", part.last().expect("a record").1["seq"]);
            until("the last of some records", || {
                let text = fs::read_to_string(&output).unwrap_or_default();
                text.ends_with('\n') && text.contains(&seq)
            });
        }
        let text = fs::read_to_string(&output).expect("read what arrived");
        let lines =
            text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}")));
        let mut got: Vec<Found> = lines.map(|line: Value| found(&line)).collect();
        // The jump to the large number is a loss.
        let reports = got.extract_if(.., |found| found.data.contains_key("earlykmsg")).count();
        assert_eq!((reports, got.len()), (1, log.len()), "{name}, {transport}");
        let hostname = nix::unistd::gethostname().expect("a name").to_string_lossy().into_owned();
        for (got, (_, want)) in got.iter().zip(&log) {
            let mut want = timeless(want.clone());
            let members = want.as_object_mut().expect("an object");
            members.remove("talos-level");
            let msg = members["msg"].as_str().expect("a text");
            members["msg"] = format!("{}\n", text_of(msg.strip_suffix('\n').unwrap_or(msg))).into();
            assert_eq!(got.json(), want, "{name}, {transport}");
            assert_eq!(got.hostname, hostname);
            assert!(got.time.as_str().is_some_and(|time| time.starts_with("20")), "{:?}", got.time);
            match (want["facility"].as_str(), got.program.as_str()) {
                (Some("kern"), program) => assert_eq!(program, Some("kernel")),
                (_, Some("-") | None) => {}
                (_, Some(program)) => assert!(got.msg.starts_with(program), "{program} of {}", got.msg),
            }
        }
        println!("{name}, {transport}: {} golden records, each as its JSON says", log.len());
    });
}

/// An object that rsyslog wrote.
fn found_by_rsyslog(line: &Value) -> Found {
    Found {
        facility: line["facility"].clone(),
        priority: line["priority"].clone(),
        hostname: line["host"].clone(),
        program: line["program"].clone(),
        msg: json::msg(line).to_owned(),
        data: line["data"]["earlykmsg@32473"].as_object().expect("parameters").clone(),
        time: line["time"].clone(),
    }
}

/// Behind a NUL, rsyslog loses control characters.
fn text_of_rsyslog(text: &str) -> String {
    let Some((before, after)) = text.split_once('\0') else { return text.to_owned() };
    let after = after.replace('\0', "#000");
    format!("{before}#000{}", after.replace(|c| c < ' ', ""))
}

#[test]
fn rsyslog_of_syslog_over_tcp_as_documented() {
    syslog_as_documented("rsyslog, syslog", "tcp", documented_rsyslogd, found_by_rsyslog, text_of_rsyslog);
}

#[test]
fn rsyslog_of_syslog_over_udp_as_documented() {
    syslog_as_documented("rsyslog, syslog", "udp", documented_rsyslogd, found_by_rsyslog, text_of_rsyslog);
}

/// An object that syslog-ng wrote.
fn found_by_syslog_ng(line: &Value) -> Found {
    Found {
        facility: line["FACILITY"].clone(),
        priority: line["PRIORITY"].clone(),
        hostname: line["HOST"].clone(),
        program: line["PROGRAM"].clone(),
        msg: line["MESSAGE"].as_str().unwrap_or_default().to_owned(),
        data: line["_SDATA"]["earlykmsg@32473"].as_object().expect("parameters").clone(),
        time: line["ISODATE"].clone(),
    }
}

fn text_of_syslog_ng(text: &str) -> String {
    text.replace('\0', "\\x00")
}

#[test]
fn syslog_ng_of_syslog_over_tcp_as_documented() {
    let tree = unpacked("syslog-ng-core");
    let start = |sandbox: &Sandbox, config: &str| Foreign::syslog_ng(&tree, sandbox, config);
    syslog_as_documented("syslog-ng, syslog", "tcp", start, found_by_syslog_ng, text_of_syslog_ng);
}

#[test]
fn syslog_ng_of_syslog_over_udp_as_documented() {
    let tree = unpacked("syslog-ng-core");
    let start = |sandbox: &Sandbox, config: &str| Foreign::syslog_ng(&tree, sandbox, config);
    syslog_as_documented("syslog-ng, syslog", "udp", start, found_by_syslog_ng, text_of_syslog_ng);
}
