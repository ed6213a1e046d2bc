//! The processes that the program consists of: what each may do, holds and costs.

use core::time::Duration;
use std::collections::BTreeSet;
use std::path::Path;
use std::thread;

use earlykmsg_tests::json::seq;
use earlykmsg_tests::kmsg::{Fake, Writer, tag};
use earlykmsg_tests::proc;
use earlykmsg_tests::program::{Program, Run};
use earlykmsg_tests::receiver::{Manner, Tcp, Udp};
use earlykmsg_tests::sandbox::alone;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const WITHIN: Duration = Duration::from_secs(10);

/// The shippers, when all of them have delivered something: then they are set up.
fn set_up(program: &Program, tcp: &Tcp, udp: &Udp) -> Vec<Pid> {
    tcp.lines.wait_count(1, WITHIN);
    udp.lines.wait_count(1, WITHIN);
    let shippers = program.shippers();
    assert_eq!(shippers.len(), 2, "one a destination");
    shippers
}

/// The sockets among a process's descriptors.
fn sockets(pid: Pid) -> BTreeSet<String> {
    let all = proc::descriptors(pid).into_values();
    all.map(|path| path.to_string_lossy().into_owned()).filter(|path| path.starts_with("socket:")).collect()
}

#[test]
fn each_holds_only_its_own() {
    alone(|_| {
        let (tcp, udp) = (Tcp::new(Manner::Reads), Udp::new());
        let program = Run::new(&[tcp.url(), udp.url()]).holding(Path::new("/etc/passwd")).start();
        let shippers = set_up(&program, &tcp, &udp);
        let tables: String = ["net/tcp", "net/tcp6", "net/udp", "net/udp6", "net/raw"]
            .map(|table| proc::file(program.pid, table))
            .concat();
        let is_ip = |socket: &String| {
            let inode = socket.trim_start_matches("socket:[").trim_end_matches(']');
            tables.lines().any(|line| line.split_whitespace().nth(9) == Some(inode))
        };
        assert!(!sockets(program.pid).iter().any(is_ip), "the watcher holds an IP socket");
        let [first, second] = [sockets(shippers[0]), sockets(shippers[1])];
        assert!(first.iter().any(is_ip) && second.iter().any(is_ip), "this test knows IP sockets");
        assert!(first.is_disjoint(&second), "{first:?} {second:?}");
        for &shipper in &shippers {
            let held = proc::descriptors(shipper);
            println!("{shipper}: {held:?}");
            assert!(!held.values().any(|path| path == Path::new("/etc/passwd")), "a foreign file: {held:?}");
        }
        for shipper in shippers {
            let logs = proc::descriptors(shipper).into_values().filter(|path| path == Path::new("/dev/kmsg"));
            assert!((1..=2).contains(&logs.count()), "one to read, at most one to speak");
            for path in proc::descriptors(shipper).into_values() {
                let path = path.to_string_lossy();
                let own = ["socket:", "anon_inode:", "pipe:", "/dev/kmsg", "/dev/null", "/memfd:"];
                assert!(own.iter().any(|kind| path.starts_with(kind)), "{path}");
            }
        }
    });
}

#[test]
fn a_killed_shipper_is_replaced_and_reported() {
    alone(|_| {
        let (receiver, writer, tag) = (Tcp::new(Manner::Reads), Writer::new(), tag("killed"));
        let program = Run::new(&[receiver.url()]).start();
        for life in 0..3 {
            for number in 0..5 {
                writer.write(&format!("{tag} {life}.{number}."));
            }
            let last = receiver.lines.wait_for(&format!("{tag} {life}.4."), WITHIN);
            let last = seq(&last.json());
            let shippers = program.shippers();
            let [shipper] = shippers.as_slice() else { panic!("one shipper, not {shippers:?}") };
            kill(*shipper, Signal::SIGKILL).expect("kill the shipper");
            let told = |words: &[String]| {
                let deaths = words.iter().filter(|line| line.contains("killed by signal 9"));
                deaths.clone().nth(life).cloned()
            };
            let line = program.words.wait(WITHIN, "a line about the death", told);
            println!("{line}");
            let numbers =
                line.split(|c: char| !c.is_ascii_digit()).filter_map(|text| text.parse::<u64>().ok());
            assert!(
                numbers.clone().any(|number| (last..last + 20).contains(&number)),
                "last seq {last}: {line}"
            );
        }
        writer.write(&format!("{tag} end"));
        receiver.lines.wait_for(&format!("{tag} end"), WITHIN);
        let got: BTreeSet<String> = receiver.lines.texts(&tag).into_iter().collect();
        assert_eq!(got.len(), 16, "no record is lost with a shipper: {got:?}");
    });
}

/// A shipper that dies at once, again and again, is started with growing pauses.
#[test]
fn restarts_have_pauses() {
    alone(|sandbox| {
        let _kmsg = Fake::new(sandbox);
        let receiver = Tcp::new(Manner::Reads);
        let program = Run::fed(&[receiver.url()]).start_connected();
        let end = std::time::Instant::now() + Duration::from_secs(4);
        let mut killed = BTreeSet::new();
        while std::time::Instant::now() < end {
            for shipper in program.shippers() {
                if kill(shipper, Signal::SIGKILL).is_ok() {
                    killed.insert(shipper);
                }
            }
            thread::sleep(Duration::from_millis(1)); // the fault itself
        }
        println!("{} deaths in 4 s", killed.len());
        assert!((2..=12).contains(&killed.len()), "{} deaths in 4 s", killed.len());
        assert!(program.words.len() < 40, "{:?}", *program.words.items());
    });
}

/// Whoever kills the watcher by force ends the shippers as well.
#[test]
fn an_orphan_ends() {
    alone(|_| {
        let (tcp, udp) = (Tcp::new(Manner::Reads), Udp::new());
        let program = Run::new(&[tcp.url(), udp.url()]).start();
        let shippers = set_up(&program, &tcp, &udp);
        program.signal(Signal::SIGKILL);
        let until = std::time::Instant::now() + WITHIN;
        // A zombie has ended; who reaps it is not our business.
        let runs = |pid| proc::lives(pid) && !proc::status(pid, "State").starts_with('Z');
        while shippers.iter().any(|&shipper| runs(shipper)) {
            assert!(std::time::Instant::now() < until, "a shipper goes on without its watcher");
            thread::sleep(Duration::from_millis(10)); // the death of a stranger's child cannot be awaited
        }
    });
}

#[test]
fn idle_costs_nothing() {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        let receiver = Tcp::new(Manner::Reads);
        let program = Run::fed(&[receiver.url()]).start_connected();
        kmsg.feed("6,1,1,-;one record\n");
        receiver.lines.wait_for("one record", WITHIN);
        let family = proc::family(program.pid);
        let state = || -> Vec<(Duration, u64)> {
            family.iter().map(|&pid| (proc::cpu(pid), proc::waits(pid))).collect()
        };
        // The acknowledgement of the record may still be looked for.
        thread::sleep(Duration::from_millis(1_500));
        let before = state();
        thread::sleep(Duration::from_secs(6)); // what is measured
        let after = state();
        for &pid in &family {
            let memory = |name| proc::number(pid, name);
            println!(
                "{pid}: VmHWM {} kB, VmRSS {} kB, Pss {} kB",
                memory("VmHWM"),
                memory("VmRSS"),
                proc::pss_kb(pid)
            );
        }
        assert_eq!(before, after, "processor time and waits of 6 idle seconds");
    });
}

/// The memory of a shipper does not depend on what it does.
#[test]
fn memory_is_fixed() {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        let receiver = Tcp::new(Manner::Reads);
        let program = Run::fed(&[receiver.url()]).start_connected();
        let mut next = 0..;
        let mut feed = |count: usize, text: &str| {
            let numbers: Vec<u64> = next.by_ref().take(count).collect();
            for number in &numbers {
                kmsg.feed(format!("6,{number},1,-;{text} {number}.\n"));
            }
            receiver.lines.wait_for(&format!(" {}.", numbers[count - 1]), WITHIN);
        };
        feed(300, &r"\x01".repeat(1_000));
        let shipper = program.shippers()[0];
        let high = proc::number(shipper, "VmHWM");
        feed(3_000, &r"\x01".repeat(1_000));
        let higher = proc::number(shipper, "VmHWM");
        println!(
            "VmHWM {high} kB, after ten times as much {higher} kB, VmData {}",
            proc::status(shipper, "VmData")
        );
        assert!(higher <= high + 16, "{high} kB became {higher} kB");
        assert!(higher < 1_000, "{higher} kB");
    });
}
