//! The kernel's ring when it has gone round, and what may stand in its place: nothing is passed over in silence, and
//! nothing keeps the program from its end.

use core::ops::RangeInclusive;
use core::time::Duration;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use earlykmsg_tests::foreign::until;
use earlykmsg_tests::json::{msg, reported, seq, timeless};
use earlykmsg_tests::kmsg::{Fake, Writer, ring, tag};
use earlykmsg_tests::pid1_sandbox::{Boot, image};
use earlykmsg_tests::program::Run;
use earlykmsg_tests::receiver::{Lines, Tcp, TcpBehaviour, Udp};
use earlykmsg_tests::record::Record;
use earlykmsg_tests::sandbox::{Sandbox, alone, ip};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use serde_json::Value;

const WITHIN: Duration = Duration::from_secs(30);

/// How long the end may take. The program itself allows 5 s, and ends by force what takes a second more, which it says;
/// the rest is for a busy machine.
const END_WITHIN: Duration = Duration::from_secs(20);

/// A text that makes a record of about 2,020 bytes, as the kernel gives it out: `\x01` for each byte of the first part.
/// (From 2,048 on it would be cut.)
fn long() -> String {
    "\u{1}".repeat(450) + &"x".repeat(190)
}

/// Writes until everything that the ring holds now is gone, and more.
fn overwrite(writer: &Writer, text: &str) {
    let newest = |ring: &[Record]| ring[ring.len() - 1].seq;
    let until = newest(&ring()) + 1;
    while ring()[0].seq <= until {
        (0..20).for_each(|_| writer.write(text));
    }
}

/// The ranges that were said to be lost, with their causes.
fn lost(objects: &[Value]) -> Vec<(RangeInclusive<u64>, String)> {
    let cause = |text: &str| text.trim_end().rsplit(": ").next().unwrap_or_default().to_owned();
    objects
        .iter()
        .map(|object| msg(object))
        .filter(|text| text.starts_with("earlykmsg: lost "))
        .filter_map(|text| Some((reported(text)?, cause(text))))
        .collect()
}

/// All that the ring held before the start arrived, although the program's own first lines took the place of some, and
/// nothing is said to be lost. What `others` wrote just before the start may have done the same.
#[track_caller]
fn check_whole(what: &str, lines: &Lines, before: &[Record], others: bool) {
    let objects = lines.objects();
    assert_eq!(lost(&objects), [], "{what}");
    let first = seq(&objects[0]);
    let gone = before.iter().take_while(|record| others && record.seq < first).count();
    assert!(gone < 20, "{what}: {gone} records of others");
    let want: Vec<Value> = before[gone..].iter().map(Record::json).collect();
    let arrived: Vec<Value> = objects.into_iter().map(timeless).take(want.len()).collect();
    let ends = |objects: &[Value]| (seq(&objects[0]), seq(&objects[objects.len() - 1]));
    assert_eq!(ends(&arrived), ends(&want), "{what}: first and last");
    assert!(arrived == want, "{what}: what arrived differs");
}

/// Whether someone but the program with these destinations wrote since `before`.
fn others_wrote(before: &[Record], urls: &[String]) -> bool {
    let newest = before[before.len() - 1].seq;
    let own = |text: &str| urls.iter().any(|url| text.contains(url.trim_end_matches('/')));
    ring().iter().any(|record| record.seq > newest && !own(&record.msg))
}

#[test]
fn every_start_ships_the_oldest_record() {
    alone(|_| {
        let writer = Writer::storm();
        for (what, text) in [("long records", long()), ("short records", "x".to_owned())] {
            overwrite(&writer, &text);
            (0..3).for_each(|_| writer.write("short"));
            for once in [true, false] {
                let (tcp, udp) = (Tcp::new(TcpBehaviour::Reads), Udp::new());
                let last = tag("last");
                writer.write(&last);
                let before = ring();
                let urls = [tcp.url(), udp.url()];
                let arguments = once.then_some("--once").into_iter().chain(urls.iter().map(String::as_str));
                let program = Run::new(&arguments.collect::<Vec<_>>()).start();
                for lines in [&tcp.lines, &udp.lines] {
                    lines.wait_for(&last, WITHIN);
                }
                if once {
                    let end = program.finish(WITHIN);
                    assert_eq!(end.code, Some(0), "{what}: {end:?}");
                }
                let others = others_wrote(&before, &urls);
                println!("{what}, once {once}: {} records, others wrote: {others}", before.len());
                for lines in [&tcp.lines, &udp.lines] {
                    check_whole(what, lines, &before, others);
                }
            }
        }
    });
}

/// A shipper that is started again begins with the same records, whatever the ring holds by then.
#[test]
fn a_shipper_that_is_started_again_ships_the_oldest_record() {
    alone(|_| {
        let writer = Writer::storm();
        let address = Tcp::new(TcpBehaviour::Reads).address;
        let before = ring();
        let program = Run::new(&[format!("tcp://{address}/")]).start_on_ring();
        until("a shipper", || program.shippers().len() == 1);
        overwrite(&writer, "x");
        let [shipper] = program.shippers()[..] else { panic!("one shipper") };
        kill(shipper, Signal::SIGKILL).expect("kill a shipper");
        program.says("the shipper is started again", WITHIN);
        let receiver = Tcp::at(address, TcpBehaviour::Reads);
        let last = tag("last");
        writer.write(&last);
        receiver.lines.wait_for(&last, WITHIN);
        // What others write at the start, without the lock, may have pushed the oldest out in time.
        let first = timeless(receiver.lines.objects().remove(0));
        let was_there = before.iter().find(|record| record.seq == seq(&first));
        assert_eq!(was_there.map(Record::json), Some(first.clone()), "it was in the ring before the start");
        assert!(Some(seq(&first)) <= program.first_record, "{first} of {:?}", program.first_record);
    });
}

/// As PID 1: what the ring had dropped before the start, and what it dropped before the network came.
#[test]
fn two_causes_are_two_losses() {
    alone(|sandbox| {
        let writer = Writer::storm();
        let address = Tcp::new(TcpBehaviour::Reads).address;
        let root = image(sandbox.dir(), "echo it runs; read line; exit 42");
        let oldest_before = ring()[0].seq;
        assert!(oldest_before > 0, "this machine's ring has never gone round");
        let cmdline = format!("talos.logging.kernel=tcp://{address}/ earlykmsg.level=loud");
        let mut machine = Boot::of(&root).cmdline(cmdline).start();
        until("the start line", || ring().iter().any(|record| record.msg.contains(&address.to_string())));
        let oldest_after = ring()[0].seq;
        overwrite(&writer, "x");
        let receiver = Tcp::at(address, TcpBehaviour::Reads);
        let last = tag("last");
        writer.write(&last);
        receiver.lines.wait_for(&last, WITHIN);
        let objects = receiver.lines.objects();
        let lost = lost(&objects);
        println!("{lost:?}");
        let [(before, before_cause), (later, later_cause)] = &lost[..] else {
            panic!("two losses: {lost:?}")
        };
        // Others, who have no lock, may have pushed some out at the start.
        let oldest = before.end() + 1;
        assert!(*before.start() == 0 && (oldest_before..=oldest_after).contains(&oldest), "{before:?}");
        assert_eq!(before_cause, "the kernel log buffer had overflowed before the start");
        assert_eq!(later_cause, "the kernel log buffer was overwritten before they could be sent");
        let seqs: Vec<u64> = objects.iter().map(seq).filter(|seq| !later.contains(seq)).collect();
        assert!(seqs.contains(&oldest) && *later.start() > oldest, "what was kept arrived: {later:?}");
        // Apart from the two, each number is there.
        let all = (oldest..*later.start()).chain(later.end() + 1..=seqs[seqs.len() - 1]);
        assert!(seqs[1..].iter().copied().eq(all), "{seqs:?}");
        machine.type_line("end");
        assert_eq!(machine.finish(WITHIN), Some(42));
    });
}

/// What a container has in the log's place: it is said once, and nothing runs on.
#[test]
fn a_log_that_has_an_end() {
    alone(|sandbox| {
        sandbox.bind(Path::new("/dev/null"), "/dev/kmsg");
        for url in ["tcp://127.0.0.1:9/", "udp://127.0.0.1:9/"] {
            let end = Run::new(&[url]).finish(WITHIN);
            assert_eq!(end.code, Some(69), "{end:?}");
            let [line] = &end.words[..] else { panic!("one line: {end:?}") };
            assert!(line.contains("it has an end"), "{line}");
        }
    });
}

/// The end comes later: what was read before it is sent.
#[test]
fn a_log_that_ends_later() {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        let receiver = Tcp::new(TcpBehaviour::Reads);
        let program = Run::fed(&[receiver.url()]).start_connected();
        kmsg.feed("6,1,1,-;one\n");
        drop(kmsg);
        let end = program.finish(WITHIN);
        assert_eq!(end.code, Some(69), "{end:?}");
        receiver.lines.wait_for("one", WITHIN);
        assert_eq!(end.words.iter().filter(|line| line.contains("it has an end")).count(), 1, "{end:?}");
    });
}

#[test]
fn a_log_that_cannot_be_opened() {
    alone(|sandbox| {
        let closed = sandbox.file("closed", "");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("change the mode");
        sandbox.bind(&closed, "/dev/kmsg");
        let end = Run::new(&["tcp://127.0.0.1:9/"]).as_nobody().finish(WITHIN);
        assert_eq!(end.code, Some(69), "{end:?}");
        let said = "earlykmsg: open /dev/kmsg: permission denied (errno 13); the log is not shipped";
        assert_eq!(end.words, [said]);
    });
}

/// PID 1's helper has no log to write to: the console is told.
fn the_console_is_told(said: &str, change: impl FnOnce(&Sandbox, Boot) -> Boot + Send) {
    alone(|sandbox| {
        let root = image(sandbox.dir(), "read line; exit 42");
        let console: PathBuf = root.join("dev/console");
        fs::create_dir(root.join("dev")).expect("make a folder");
        fs::write(&console, "").expect("make a console");
        let boot = Boot::of(&root).cmdline("talos.logging.kernel=tcp://127.0.0.1:9/");
        let boot = boot.refuse_with("fsopen", "devtmpfs", Errno::ENODEV);
        let boot = change(sandbox, boot.refuse_with("mount", "devtmpfs", Errno::ENODEV));
        let mut machine = boot.start();
        let told = || fs::read_to_string(&console).expect("read the console");
        until("a word on the console", || told().ends_with('\n'));
        assert_eq!(told(), format!("earlykmsg: {said}; the log is not shipped\n"));
        let init = machine.init().expect("PID 1");
        until("the helper's end", || {
            // PID 1 does not wait for it.
            earlykmsg_tests::proc::children(init)
                .into_iter()
                .all(|child| earlykmsg_tests::proc::status(child, "State").starts_with('Z'))
        });
        machine.type_line("end");
        assert_eq!(machine.finish(WITHIN), Some(42));
    });
}

#[test]
fn as_pid_1_without_a_log() {
    the_console_is_told("open /dev/kmsg: no such file (errno 2)", |_, boot| boot);
}

#[test]
fn as_pid_1_with_a_log_that_has_an_end() {
    the_console_is_told("read /dev/kmsg: it has an end, so it is not the kernel's log", |sandbox, boot| {
        sandbox.bind(Path::new("/dev/null"), "/dev/kmsg");
        Boot { kmsg_at: Some("/dev/kmsg".into()), ..boot }
    });
}

/// A log that has always one record more, as when others write faster than they are read, and none to be shipped.
const ENDLESS: &str = "/dev/zero";
const ONLY_EMERGENCIES: &str = "earlykmsg.level=emerg";

/// Who reads and reads hears signals all the same.
#[test]
fn endless_records_that_are_not_wanted() {
    alone(|sandbox| {
        sandbox.bind(Path::new(ENDLESS), "/dev/kmsg");
        let receiver = Tcp::new(TcpBehaviour::Reads);
        let program = Run::new(&[ONLY_EMERGENCIES.to_owned(), receiver.url()]).start_connected();
        program.signal(Signal::SIGTERM);
        let end = program.finish(END_WITHIN);
        assert_eq!(end.code, Some(0), "{end:?}");
        assert!(!end.said("by force"), "{end:?}");
    });
}

/// The same in a burst of datagrams: one was sent, and none of the endless rest is.
#[test]
fn endless_records_behind_a_datagram() {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        kmsg.feed("0,1,1,-;wanted\n");
        let program = Run::fed(&[ONLY_EMERGENCIES, "udp://192.0.2.1:5044/"]).start();
        until("the record is kept", || kmsg.is_read());
        until("a shipper", || program.shippers().len() == 1);
        sandbox.bind(Path::new(ENDLESS), "/dev/kmsg");
        let [shipper] = program.shippers()[..] else { panic!("one shipper") };
        kill(shipper, Signal::SIGKILL).expect("kill a shipper");
        program.says("the shipper is started again", WITHIN);
        ip("addr add 192.0.2.1/32 dev lo");
        let receiver = Udp::at("192.0.2.1:5044".parse().expect("an address"));
        receiver.lines.wait_for("wanted", WITHIN);
        program.signal(Signal::SIGTERM);
        let end = program.finish(END_WITHIN);
        assert!(!end.said("by force"), "{end:?}");
    });
}

/// The end comes within its time, whatever is still to be counted.
#[test]
fn endless_records_that_are_not_confirmed() {
    alone(|sandbox| {
        sandbox.bind(Path::new(ENDLESS), "/dev/kmsg");
        for level in [ONLY_EMERGENCIES, "earlykmsg.level=debug"] {
            let since = Instant::now();
            let end = Run::new(&["--once", level, "tcp://127.0.0.1:9/"]).finish(END_WITHIN);
            assert!(matches!(end.code, Some(0 | 69)), "{end:?}");
            assert!(since.elapsed() < END_WITHIN && !end.said("by force"), "{end:?}");
        }
    });
}
