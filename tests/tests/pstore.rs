//! What pstore kept of an earlier boot, without a crash: recorded files in the place where an image has pstore, which the
//! program takes where it may not mount it itself.

use core::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use earlykmsg_tests::binary::{self, workspace};
use earlykmsg_tests::foreign::until;
use earlykmsg_tests::json;
use earlykmsg_tests::kmsg::{RingLock, Writer, newest, ring, tag};
use earlykmsg_tests::pid1_sandbox::{Boot, Machine, add_pstore, image};
use earlykmsg_tests::proc;
use earlykmsg_tests::receiver::{End, Lines, Tcp, TcpBehaviour, Udp};
use earlykmsg_tests::record::Record;
use earlykmsg_tests::sandbox::{Sandbox, alone};
use nix::errno::Errno::{self, *};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const WITHIN: Duration = Duration::from_secs(30);
/// In place of the call that fails, one without consequences is made.
const INSTEAD: &str = "syscall=getpid";

/// An image with the recorded files in pstore's place.
struct Place {
    root: PathBuf,
    pstore: PathBuf,
}

impl Place {
    fn new(sandbox: &Sandbox) -> Place {
        let root = image(sandbox.dir(), "exec /bin/busybox cat");
        add_pstore(&root);
        let pstore = root.join("sys/fs/pstore");
        fs::create_dir_all(&pstore).expect("make a folder");
        let place = Place { root, pstore };
        place.fill();
        place
    }

    /// Puts the files there.
    fn fill(&self) {
        for file in fs::read_dir(workspace().join("tests/data/pstore")).expect("read a folder") {
            let file = file.expect("a file").path();
            fs::copy(&file, self.pstore.join(file.file_name().expect("a name"))).expect("copy a file");
        }
    }

    fn count(&self) -> usize {
        fs::read_dir(&self.pstore).expect("read a folder").count()
    }

    /// A boot with these words, in which these calls fail.
    fn boot(&self, words: &[&str], faults: &[&str]) -> Machine {
        let boot = Boot {
            no_mounts: true,
            proc_at: Some("/proc".to_owned()),
            kmsg_at: Some("/dev/kmsg".to_owned()),
            faults: faults.iter().map(|&fault| fault.to_owned()).collect(),
            ..Boot::of(&self.root).cmdline(words.join(" "))
        };
        boot.start()
    }
}

fn to(url: &str) -> String {
    format!("talos.logging.kernel={url}")
}

/// The processes of the machine but for PID 1 and the watcher.
fn below_the_watcher(machine: &Machine) -> Vec<Pid> {
    let watcher = machine.init().and_then(|init| proc::children(init).first().copied());
    watcher.map(proc::children).unwrap_or_default()
}

/// The process that reads pstore, once it does.
fn reader(machine: &Machine) -> Pid {
    until("the reader of pstore", || below_the_watcher(machine).into_iter().any(is_reader));
    below_the_watcher(machine).into_iter().find(|pid| is_reader(*pid)).expect("it runs")
}

fn is_reader(pid: Pid) -> bool {
    proc::file(pid, "comm").starts_with("earlykmsg-pstor")
}

/// What arrived of earlier boots, without what was repeated after a broken connection.
fn kept(lines: &Lines) -> Vec<Value> {
    let all = lines.items();
    let objects = all.iter().map(|line| json::read(&line.bytes).expect("an object"));
    let mut seen = BTreeSet::new();
    objects.filter(|object| object.get("pstore").is_some() && seen.insert(json::seq(object))).collect()
}

/// The texts of a recorded file.
fn texts(name: &str) -> Vec<String> {
    let text = fs::read_to_string(workspace().join("tests/data/pstore").join(name)).expect("read a file");
    let lines = text.lines().filter(|line| line.starts_with('<'));
    lines.map(|line| format!("{}\n", line.split_once("] ").expect("a stamp").1)).collect()
}

/// All lines of all recorded files, in the order of their boots.
fn all_texts() -> Vec<String> {
    let names = ["dmesg-erst-7713319603539017730", "dmesg-erst-7713319603539017729", "dmesg-ramoops-0"];
    names.into_iter().flat_map(texts).collect()
}

#[track_caller]
fn assert_whole(lines: &Lines) {
    let kept = kept(lines);
    // Copies were made in any order: which dump is the older one, their times say.
    let mut got: Vec<&str> = kept.iter().map(json::msg).collect();
    let mut want = all_texts();
    assert_eq!(kept.iter().map(json::seq).collect::<Vec<_>>(), (1..=want.len() as u64).collect::<Vec<_>>());
    got.sort_unstable();
    want.sort_unstable();
    assert_eq!(got, want);
}

#[test]
fn all_lines_come_before_all_records() {
    alone(|sandbox| {
        let place = Place::new(sandbox);
        let (tcp, udp) = (Tcp::new(TcpBehaviour::Reads), Udp::new());
        let tags = "earlykmsg.tags=a=b,id={boot_id},of={kernel}";
        let before = newest();
        let machine = place.boot(&["earlykmsg.pstore=read", tags, &to(&tcp.url()), &to(&udp.url())], &[]);
        for lines in [&tcp.lines, &udp.lines] {
            lines.wait_for_after(before, "the last boot ended in Panic#1: ", WITHIN);
            assert_whole(lines);
            let objects: Vec<Value> =
                lines.items().iter().map(|line| json::read(&line.bytes).unwrap()).collect();
            let first_record = objects.iter().position(|object| object.get("pstore").is_none()).unwrap();
            assert_eq!(first_record, all_texts().len(), "the lines come first");
            for object in &objects[..first_record] {
                let names: Vec<&String> = object.as_object().unwrap().keys().skip(7).collect();
                assert_eq!(names, ["pstore", "a"], "{object}");
            }
            let last = &objects[first_record - 1];
            assert!(last["pstore"].as_str().unwrap().contains("Panic#1 Part1"), "{last}");
            assert_eq!(objects[first_record]["a"], "b");
            assert!(objects[first_record].get("id").is_some());
        }
        until("the reader's end", || below_the_watcher(&machine).len() == 2);
        assert_eq!(place.count(), 3, "they stay where they are");
    });
}

/// The last line's time is the file's, and earlier ones are as much earlier as the kernel's stamps say.
#[test]
fn times_are_those_of_the_crash() {
    alone(|sandbox| {
        let place = Place::new(sandbox);
        fs::remove_file(place.pstore.join("dmesg-ramoops-0")).unwrap();
        let modified = std::time::UNIX_EPOCH + Duration::from_secs(1_795_897_168);
        for file in fs::read_dir(&place.pstore).unwrap() {
            fs::File::options()
                .write(true)
                .open(file.unwrap().path())
                .unwrap()
                .set_modified(modified)
                .unwrap();
        }
        let tcp = Tcp::new(TcpBehaviour::Reads);
        let before = newest();
        let machine = place.boot(&["earlykmsg.pstore=read", &to(&tcp.url())], &[]);
        tcp.lines.wait_for_after(before, "the last boot ended in Panic#1: 238 lines in 2 parts", WITHIN);
        let kept = kept(&tcp.lines);
        let (first, last) = (&kept[0], kept.last().unwrap());
        assert_eq!(last["clock"], 3_551_510);
        assert_eq!(last["talos-time"], "2026-11-28T20:19:28Z");
        let apart = last["clock"].as_u64().unwrap() - first["clock"].as_u64().unwrap();
        let times = json::time(last).duration_since(json::time(first));
        assert_eq!(times.as_micros() as u64, apart);
        drop(machine);
    });
}

/// Only what all have acknowledged is removed, and only if they can.
#[test]
fn files_are_removed_when_all_have_them() {
    alone(|sandbox| {
        let place = Place::new(sandbox);
        fs::write(place.pstore.join("dmesg-efi_pstore-1.enc.z"), "compressed").unwrap();
        fs::write(place.pstore.join("console-ramoops-0"), "of another kind").unwrap();
        let (here, gone) = (Tcp::new(TcpBehaviour::Reads), Tcp::new(TcpBehaviour::Reads));
        let (address, url) = (gone.address, gone.url());
        drop(gone);
        let before = newest();
        let machine = place.boot(&["earlykmsg.pstore=clear", &to(&here.url()), &to(&url)], &[]);
        here.lines.wait_for_after(before, "the last boot ended in", WITHIN);
        here.lines.wait_for_after(before, "1 files are not shipped", WITHIN);
        assert_eq!(place.count(), 5, "one destination has nothing yet");
        let _back = Tcp::at(address, TcpBehaviour::Reads);
        here.lines.wait_for_after(
            before,
            "all TCP destinations have what pstore kept: 3 files removed",
            WITHIN,
        );
        assert_eq!(place.count(), 2, "of those that were not shipped");
        drop(machine);
    });
}

/// Nothing is sent behind the last line, or at all: what is acknowledged is looked at all the same.
#[test]
fn files_are_removed_when_nothing_else_is_sent() {
    alone(|sandbox| {
        let place = Place::new(sandbox);
        for file in fs::read_dir(&place.pstore).unwrap() {
            fs::write(file.unwrap().path(), "Panic#1 Part1\n<6>[    1.000000] of no interest\n").unwrap();
        }
        let tcp = Tcp::new(TcpBehaviour::Reads);
        let machine = place.boot(&["earlykmsg.pstore=clear", "earlykmsg.level=emerg", &to(&tcp.url())], &[]);
        until("the files to be removed", || fs::read_dir(&place.pstore).unwrap().count() == 0);
        assert_eq!(kept(&tcp.lines).len(), 0);
        drop(machine);
    });
}

/// A receiver that dies again and again: all lines arrive, and the records as well.
#[test]
fn a_receiver_that_resets() {
    alone(|sandbox| {
        let place = Place::new(sandbox);
        let (writer, tag) = (Writer::new(), tag("pstore"));
        let tcp = Tcp::with_buffer(4096, TcpBehaviour::Sips);
        let machine = place.boot(&["earlykmsg.pstore=read", &to(&tcp.url())], &[]);
        tcp.lines.wait_count(5, WITHIN);
        let tcp = tcp.restart(End::Reset, Duration::ZERO);
        tcp.lines.wait_count(30, WITHIN);
        let tcp = tcp.restart(End::Reset, Duration::ZERO);
        drop(tcp.lines.items());
        writer.write(&format!("{tag} at the end"));
        let (address, before) = (tcp.address, tcp.lines.items().clone());
        drop(tcp);
        let tcp = Tcp::at(address, TcpBehaviour::Reads);
        tcp.lines.wait_for(&format!("{tag} at the end"), WITHIN);
        assert!(!before.is_empty());
        assert_whole(&tcp.lines);
        drop(machine);
    });
}

/// A receiver closes its side when the last lines wait for room, and reads all that was sent: nothing is removed before those
/// have arrived by another connection.
#[test]
fn a_receiver_that_closes_before_the_last_lines() {
    alone(|sandbox| {
        let place = Place::new(sandbox);
        let all = 600;
        let (first, _) = ship_until_closed(&place, all);
        assert!(first < all, "all {all} lines have room in the buffers");
        // As many as have room, and some that wait.
        let (count, removed) = (first + 20, ship_until_closed(&place, first + 20));
        assert!(removed.0 == count || !removed.1, "{} of {count} lines have arrived", removed.0);
    });
}

/// Ships so many lines to a receiver that reads nothing until nothing more is sent, closes its side, and reads on. Returns how
/// many it got, and whether the file was removed then; it is when the next receiver has the rest.
fn ship_until_closed(place: &Place, count: usize) -> (usize, bool) {
    for file in fs::read_dir(&place.pstore).expect("read a folder") {
        fs::remove_file(file.expect("a file").path()).expect("remove a file");
    }
    let lines = (1..=count).map(|line| format!("<0>[    1.000000] {line} {}\n", "x".repeat(400)));
    let text = format!("Panic#1 Part1\n{}", lines.collect::<String>());
    fs::write(place.pstore.join("dmesg-erst-1"), text).expect("write a file");
    let mut tcp = Tcp::with_buffer(4096, TcpBehaviour::Reads);
    tcp.pause();
    let before = newest();
    let machine = place.boot(&["earlykmsg.pstore=clear", &to(&tcp.url())], &[]);
    tcp.wait_unread("{", WITHIN);
    // Once it has begun to send, there is nothing else that it sleeps for.
    until("the shipper to wait for room", || {
        let shipper = below_the_watcher(&machine).into_iter().find(|pid| !is_reader(*pid));
        shipper.is_some_and(|pid| proc::status(pid, "State").starts_with('S'))
    });
    tcp.stop(End::Close);
    let (got, removed) = (kept(&tcp.lines).len(), place.count() == 0);
    let rest = Tcp::at(tcp.address, TcpBehaviour::Reads);
    rest.lines.wait_for_after(before, "1 files removed there", WITHIN);
    assert!(got == count || kept(&rest.lines).last().map(json::seq) == Some(count as u64));
    drop(machine);
    (got, removed)
}

/// The log overruns while records wait behind the lines, and the connection breaks, twice: those that waited go first then, and
/// all lines arrive.
#[test]
fn a_log_that_overruns_behind_the_lines() {
    alone(|sandbox| {
        let place = Place::new(sandbox);
        let (writer, before) = (Writer::storm(), newest());
        let mut tcp = Tcp::new(TcpBehaviour::Reads);
        let words = ["earlykmsg.pstore=read", &to(&tcp.url())];
        let machine = place.boot(&words, &["inject=getdents64:delay_enter=3000000:when=1"]);
        // The lines come when all records before are done with, and are the first that the next connection carries.
        tcp.lines.wait_for_after(before, "connected to", WITHIN);
        tcp.stop(End::Close);
        let is_found = |record: &Record| record.seq > before && record.msg.contains("the last boot ended in");
        until("the lines", || ring().iter().any(is_found));
        let mut tcp = Tcp::at(tcp.address, TcpBehaviour::Ignores);
        tcp.wait_unread("\"pstore\"", WITHIN);
        // More than the connection's buffers hold, and then all that the log holds.
        let text = format!("{} {}", tag("overwritten"), "x".repeat(200));
        let sent_before = newest() + 4000;
        while ring()[0].seq <= sent_before {
            (0..200).for_each(|_| writer.write(&text));
        }
        tcp.stop(End::Reset);
        let mut tcp = Tcp::at(tcp.address, TcpBehaviour::Ignores);
        tcp.wait_unread(&format!("\"seq\":{},", all_texts().len()), WITHIN);
        tcp.stop(End::Reset);
        let tcp = Tcp::at(tcp.address, TcpBehaviour::Reads);
        let end = tag("end");
        writer.write(&end);
        tcp.lines.wait_for(&end, WITHIN);
        assert_whole(&tcp.lines);
        drop(machine);
    });
}

/// A shipper that is killed in the middle goes on where its receiver may not have had all.
#[test]
fn a_shipper_that_dies() {
    alone(|sandbox| {
        let place = Place::new(sandbox);
        let tcp = Tcp::with_buffer(4096, TcpBehaviour::Sips);
        let machine = place.boot(&["earlykmsg.pstore=read", &to(&tcp.url())], &[]);
        tcp.lines.wait_count(20, WITHIN);
        until("the reader's end", || below_the_watcher(&machine).len() == 1);
        let shipper = below_the_watcher(&machine)[0];
        kill(shipper, Signal::SIGKILL).expect("kill the shipper");
        tcp.lines.wait(WITHIN, "the rest", |lines| {
            let is_last = |line: &earlykmsg_tests::receiver::Line| {
                line.holds("\"pstore\"")
                    && json::seq(&json::read(&line.bytes).unwrap()) == all_texts().len() as u64
            };
            lines.iter().any(is_last).then_some(())
        });
        assert_whole(&tcp.lines);
        drop(machine);
    });
}

/// A receiver that takes nothing, and the end: what it does not have is told, and stays where it is.
#[test]
fn an_end_before_all_is_acknowledged() {
    alone(|sandbox| {
        let _lock = RingLock::shared();
        let place = Place::new(sandbox);
        let (tcp, before) = (Tcp::with_buffer(4096, TcpBehaviour::Ignores), newest());
        let machine = place.boot(&["earlykmsg.pstore=clear", &to(&tcp.url())], &[]);
        until("a connection", || !tcp.connections.is_empty());
        let watcher = machine.init().and_then(|init| proc::children(init).first().copied());
        kill(watcher.expect("the watcher"), Signal::SIGTERM).expect("end it");
        let said = format!("{}: not acknowledged: what pstore kept, from line ", tcp.url());
        until("a word about it", || {
            ring().iter().any(|record| record.seq > before && record.msg.contains(&said))
        });
        until("the end of all", || machine.init().is_some_and(|init| proc::children(init).is_empty()));
        assert_eq!(place.count(), 3);
    });
}

/// The reader hangs: the records of this boot go first, and what it has follows when it has it.
#[test]
fn a_reader_that_is_slow() {
    alone(|sandbox| {
        let place = Place::new(sandbox);
        let tcp = Tcp::new(TcpBehaviour::Reads);
        let words = ["earlykmsg.pstore=clear", &to(&tcp.url())];
        // Of the reader alone: nobody else lists a folder before the root switch.
        let machine = place.boot(&words, &["inject=getdents64:delay_enter=4000000:when=1"]);
        tcp.lines.wait_count(1, WITHIN);
        assert_eq!(kept(&tcp.lines).len(), 0, "the records go first");
        let before = newest();
        tcp.lines.wait(WITHIN, "the lines", |lines| {
            (lines.iter().filter(|line| line.holds("\"pstore\"")).count() == all_texts().len()).then_some(())
        });
        assert_whole(&tcp.lines);
        tcp.lines.wait_for_after(before, "3 files removed there", WITHIN);
        drop(machine);
    });
}

/// Where earlykmsg loads modules, one of them may be the driver of pstore: shippers wait a second for it.
#[test]
fn a_driver_has_a_second() {
    alone(|sandbox| {
        let place = Place::new(sandbox);
        fs::remove_dir_all(&place.pstore).expect("remove a folder");
        fs::create_dir(&place.pstore).expect("make a folder");
        let tcp = Tcp::new(TcpBehaviour::Reads);
        let began = Instant::now();
        let machine = place.boot(&["earlykmsg.pstore=read earlykmsg.modules=ramoops", &to(&tcp.url())], &[]);
        tcp.lines.wait_count(1, WITHIN);
        assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
        // It goes on looking.
        place.fill();
        tcp.lines.wait(WITHIN, "the lines", |lines| {
            (lines.iter().filter(|line| line.holds("\"pstore\"")).count() == all_texts().len()).then_some(())
        });
        assert_whole(&tcp.lines);
        drop(machine);
    });
}

/// What the reader may do when it looks at what the files hold.
#[test]
fn the_reader_is_confined() {
    alone(|sandbox| {
        let place = Place::new(sandbox);
        let tcp = Tcp::new(TcpBehaviour::Reads);
        let machine = place.boot(
            &["earlykmsg.pstore=read", &to(&tcp.url())],
            &["inject=pread64:delay_enter=8000000:when=3"], // the first two load the stage's library
        );
        let pid = reader(&machine);
        until("its filter", || proc::number(pid, "Seccomp") == 2);
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            let held = u64::from_str_radix(&proc::status(pid, set), 16).expect("a set");
            assert_eq!(held & !(1 << 34), 0, "{set}: nothing but SYSLOG");
        }
        assert_eq!(proc::number(pid, "NoNewPrivs"), 1);
        let seen = fs::read_dir(format!("/proc/{pid}/root")).expect("its root").flatten();
        let seen: BTreeSet<String> =
            seen.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
        assert!(seen.len() == 3 && seen.iter().all(|name| name.starts_with("dmesg-")), "{seen:?}");
        drop(machine);
    });
}

/// A reader that is killed can say nothing: the watcher does.
#[test]
fn a_reader_that_is_killed() {
    alone(|sandbox| {
        let place = Place::new(sandbox);
        let (tcp, before) = (Tcp::new(TcpBehaviour::Reads), newest());
        let delay = "inject=getdents64:delay_enter=3000000:when=1";
        let machine = place.boot(&["earlykmsg.pstore=read", &to(&tcp.url())], &[delay]);
        kill(reader(&machine), Signal::SIGKILL).expect("kill the reader");
        tcp.lines.wait_for_after(before, "earlykmsg-pstore was killed by signal 9", WITHIN);
        assert_eq!(kept(&tcp.lines).len(), 0);
        drop(machine);
    });
}

/// The program is not in the image: a line says so, and records are shipped as ever.
#[test]
fn an_image_without_the_program() {
    alone(|sandbox| {
        let place = Place::new(sandbox);
        fs::remove_file(place.root.join("earlykmsg.d/pstore")).expect("remove a file");
        let (tcp, before) = (Tcp::new(TcpBehaviour::Reads), newest());
        let machine = place.boot(&["earlykmsg.pstore=read", &to(&tcp.url())], &[]);
        let said = "earlykmsg.pstore= is set, but the image has no /earlykmsg.d/pstore: what pstore has is not shipped";
        tcp.lines.wait_for_after(before, said, WITHIN);
        assert_eq!(below_the_watcher(&machine).len(), 1, "the shipper");
        assert_eq!(kept(&tcp.lines).len(), 0);
    });
}

/// A word that means nothing is told, and pstore is left alone.
#[test]
fn a_wrong_word() {
    alone(|sandbox| {
        let place = Place::new(sandbox);
        let (tcp, before) = (Tcp::new(TcpBehaviour::Reads), newest());
        let machine = place.boot(&["earlykmsg.pstore=erase", &to(&tcp.url())], &[]);
        let said = "earlykmsg.pstore=erase: must be read or clear; what pstore has is left alone";
        tcp.lines.wait_for_after(before, said, WITHIN);
        assert_eq!((kept(&tcp.lines).len(), place.count()), (0, 3));
        drop(machine);
    });
}

/// Started by anybody else it does nothing.
#[test]
fn the_program_by_hand() {
    let output = Command::new(binary::earlykmsg_pstore())
        .arg("earlykmsg.pstore=clear")
        .stdin(Stdio::null())
        .output()
        .expect("start it");
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(64), &b""[..]));
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("It is of no use by itself."), "{said}");
}

/// Each call that only this feature makes fails with each error: records arrive all the same, nothing hangs, and what is
/// not shipped is said.
#[test]
fn calls_that_fail() {
    /// The call, which of each process, and the errors.
    const ROWS: &[(&str, u32, &[Errno])] = &[
        ("memfd_create", 1, &[EMFILE, ENFILE, ENOMEM, EINVAL, ENOSYS]),
        ("execveat", 1, &[ENOSYS, EACCES, ENOMEM]),
        ("getdents64", 1, &[EIO, ENOENT]),
        ("chroot", 1, &[EPERM]),
        ("pread64", 5, &[EIO, EINTR, ENOMEM]), // the first ones load the stage's libraries
        ("clone", 1, &[EAGAIN, ENOMEM]),
        ("socketpair", 1, &[EMFILE, ENFILE]),
        ("unlinkat", 1, &[EPERM, EROFS, EIO]),
    ];
    alone(|sandbox| {
        let place = Place::new(sandbox);
        let rows =
            ROWS.iter().flat_map(|(call, when, errnos)| errnos.iter().map(move |errno| (call, when, errno)));
        for (call, when, errno) in rows {
            place.fill();
            let (tcp, writer, tag) = (Tcp::new(TcpBehaviour::Reads), Writer::new(), tag("pstore-fault"));
            writer.write(&format!("{tag} a record"));
            let before = newest();
            let fault = format!("inject={call}:error={errno:?}:when={when}:{INSTEAD}");
            let machine = place.boot(&["earlykmsg.pstore=clear", &to(&tcp.url())], &[&fault]);
            if *call == "clone" {
                // PID 1's own, without which nothing is shipped: it becomes the next init all the same.
                until("the next init", || {
                    machine.init().is_some_and(|init| proc::file(init, "comm") == "busybox\n")
                });
                continue;
            }
            tcp.lines.wait_for(&format!("{tag} a record"), WITHIN);
            let said = |text: &str| {
                let lines = tcp.lines.items();
                lines.iter().any(|line| line.holds(text) && line.is_after(before))
            };
            let is_told = || {
                said("is not shipped")
                    || said("are not shipped")
                    || said("is lost from line")
                    || said("the shipper ")
                    || said("tried again in")
                    || said("what was not removed")
            };
            until(&format!("{call} {errno:?}: all lines, or a word"), || {
                kept(&tcp.lines).len() == all_texts().len() || is_told()
            });
            println!("{call} {errno:?}: {} lines", kept(&tcp.lines).len());
        }
    });
}
