//! The processes that the program consists of: what each may do, holds and costs.

use core::time::Duration;
use std::collections::BTreeSet;
use std::path::Path;
use std::thread;
use std::time::Instant;

use earlykmsg_tests::account::{Stream, account};
use earlykmsg_tests::foreign::until;
use earlykmsg_tests::json::seq;
use earlykmsg_tests::kmsg::Fake;
use earlykmsg_tests::proc;
use earlykmsg_tests::program::{Program, Run, start_on_own_log};
use earlykmsg_tests::receiver::{Tcp, TcpBehaviour, Udp};
use earlykmsg_tests::sandbox::alone;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const WITHIN: Duration = Duration::from_secs(30);

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
        let (tcp, udp) = (Tcp::new(TcpBehaviour::Reads), Udp::new());
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
    alone(|sandbox| {
        let (receiver, mut stream) = (Tcp::new(TcpBehaviour::Reads), Stream::own(sandbox, "killed"));
        let program = start_on_own_log(&receiver.url());
        for life in 0..3 {
            let last = stream.write(5);
            let last = seq(&receiver.lines.wait_for(&last, WITHIN).json());
            let shippers = program.shippers();
            let [shipper] = shippers.as_slice() else { panic!("one shipper, not {shippers:?}") };
            // It has sent the last; before it waits for more it notes that.
            until("the shipper to wait", || proc::status(*shipper, "State").starts_with('S'));
            kill(*shipper, Signal::SIGKILL).expect("kill the shipper");
            let told = |words: &[String]| {
                let deaths = words.iter().filter(|line| line.contains("killed by signal 9"));
                deaths.clone().nth(life).cloned()
            };
            let line = program.words.wait(WITHIN, "a line about the death", told);
            println!("{line}");
            let said =
                line.split_once("last seq sent ").map(|(_, rest)| rest.split(|c| !char::is_numeric(c)));
            let said = said.and_then(|mut parts| parts.next()?.parse().ok());
            assert_eq!(said, Some(last), "{line}");
        }
        let last = stream.write(1);
        account("a shipper is killed, 3 times", &stream, &receiver.lines, &program, &last).all_arrived();
    });
}

/// A shipper that dies at once, again and again, is started with growing pauses.
#[test]
fn restarts_have_pauses() {
    alone(|sandbox| {
        let _kmsg = Fake::new(sandbox);
        let receiver = Tcp::new(TcpBehaviour::Reads);
        let program = Run::fed(&[receiver.url()]).start_connected();
        for pause in [200, 400, 800, 1_600].map(Duration::from_millis) {
            let [shipper] = program.shippers()[..] else { panic!("one shipper") };
            kill(shipper, Signal::SIGKILL).expect("kill a shipper");
            let since = Instant::now();
            until("another shipper", || program.shippers().iter().any(|&other| other != shipper));
            println!("another one after {:?}", since.elapsed());
            assert!(since.elapsed() >= pause, "a pause of {:?}, not of {pause:?}", since.elapsed());
        }
        assert!(program.words.len() < 40, "{:?}", *program.words.items());
    });
}

/// Whoever kills the watcher by force ends the shippers as well.
#[test]
fn an_orphan_ends() {
    alone(|_| {
        let (tcp, udp) = (Tcp::new(TcpBehaviour::Reads), Udp::new());
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
        let receiver = Tcp::new(TcpBehaviour::Reads);
        let program = Run::fed(&[receiver.url()]).start_connected();
        kmsg.feed("6,1,1,-;one record\n");
        receiver.lines.wait_for("one record", WITHIN);
        let family = proc::family(program.pid);
        let state = || -> Vec<(Duration, u64)> {
            family.iter().map(|&pid| (proc::cpu(pid), proc::waits(pid))).collect()
        };
        // The acknowledgement of the record may still be looked for: until nobody has run for a while.
        let mut before = state();
        until("silence", || {
            thread::sleep(Duration::from_secs(3)); // three times as long as from one look to the next
            core::mem::replace(&mut before, state()) == before
        });
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
        let receiver = Tcp::new(TcpBehaviour::Reads);
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
