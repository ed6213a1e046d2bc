//! The program started by hand, on the machine's own log and real sockets.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::Instant;

use earlykmsg_tests::account::{Stream, account};
use earlykmsg_tests::json::{seq, timeless, unconfirmed};
use earlykmsg_tests::kmsg::{Fake, RingLock, Writer, ring, tag};
use earlykmsg_tests::program::{Finished, Program, Run, start_on_own_log};
use earlykmsg_tests::receiver::{Lines, Tcp, TcpBehaviour, Udp};
use earlykmsg_tests::record::Record;
use earlykmsg_tests::sandbox::{Sandbox, alone};
use earlykmsg_tests::{json, proc};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::termios::{FlowArg, tcflow};
use serde_json::Value;

const WITHIN: Duration = Duration::from_secs(30);

/// What was in the ring before and after must have arrived, equal and in order.
#[track_caller]
fn check_ring(lines: &Lines, before: &[Record], after: &[Record]) {
    let objects: Vec<Value> = lines.objects().into_iter().map(timeless).collect();
    let seqs: Vec<u64> = objects.iter().map(seq).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "out of order");
    let got: BTreeMap<u64, &Value> = seqs.iter().copied().zip(&objects).collect();
    let oldest = after.first().expect("a ring is never empty").seq;
    let kept: Vec<&Record> = before.iter().filter(|record| record.seq >= oldest).collect();
    for record in &kept {
        assert_eq!(got.get(&record.seq).copied(), Some(&record.json()));
    }
    println!("ring: {} records, all equal; {} arrived", kept.len(), got.len());
}

#[test]
fn once_ships_the_whole_ring_over_tcp() {
    alone(|_| {
        let receiver = Tcp::new(TcpBehaviour::Reads);
        let (_ring_lock, before) = (RingLock::shared(), ring());
        let end = Run::new(&["--once".to_owned(), receiver.url()]).finish(WITHIN);
        assert_eq!(end.code, Some(0), "{end:?}");
        check_ring(&receiver.lines, &before, &ring());
    });
}

#[test]
fn once_ships_the_whole_ring_over_udp() {
    alone(|_| {
        let receiver = Udp::new();
        let (_ring_lock, before) = (RingLock::shared(), ring());
        let end = Run::new(&["--once".to_owned(), receiver.url()]).finish(WITHIN);
        assert_eq!(end.code, Some(0), "{end:?}");
        receiver.lines.wait_count(before.len(), WITHIN);
        check_ring(&receiver.lines, &before, &ring());
    });
}

#[test]
fn ships_what_is_written_meanwhile() {
    alone(|sandbox| {
        let (receiver, mut stream) = (Tcp::new(TcpBehaviour::Reads), Stream::own(sandbox, "live"));
        let program = start_on_own_log(&receiver.url());
        let mut last = String::new();
        for _ in 0..20 {
            let before = jiff::Timestamp::now();
            last = stream.write(1);
            let after = jiff::Timestamp::now();
            let time = json::time(&receiver.lines.wait_for(&last, WITHIN).json());
            let second = jiff::SignedDuration::from_secs(1);
            assert!(
                (before - second..=after + second).contains(&time),
                "it says {time}, written from {before} to {after}"
            );
        }
        account("one at a time", &stream, &receiver.lines, &program, &last).all_arrived_once();
    });
}

/// The time stamp is that of the record, to some hundred microseconds. (Who has the processor taken away between reading
/// the clock and writing the start line measures that time too: the program gets a priority that neighbours do not have.)
#[test]
fn talos_time_is_the_wall_time_of_the_record() {
    alone(|_| {
        let (receiver, writer, tag) = (Tcp::new(TcpBehaviour::Reads), Writer::new(), tag("time"));
        let _program = Run::new(&[receiver.url()]).before_all_others().start();
        let mut worst = jiff::SignedDuration::ZERO;
        for number in 0..20 {
            let text = format!("{tag} {number}.");
            let before = jiff::Timestamp::now();
            writer.write(&text);
            let after = jiff::Timestamp::now();
            let at = json::time(&receiver.lines.wait_for(&text, WITHIN).json());
            worst = worst.max(before.duration_since(at)).max(at.duration_since(after));
        }
        println!("talos-time lies outside of the write by at most {worst:?}");
        assert!(worst < jiff::SignedDuration::from_millis(1), "{worst:?}");
    });
}

#[test]
fn once_without_a_receiver() {
    alone(|_| {
        let before = ring();
        let end = Run::new(&["--once", "tcp://127.0.0.1:9/"]).finish(WITHIN);
        assert_eq!(end.code, Some(69), "{end:?}");
        assert!(!end.said("by force"), "it allows 5 s, and a second more until that: {end:?}");
        check_unconfirmed(&before, &end);
    });
}

#[test]
fn once_without_a_route() {
    alone(|_| {
        let before = ring();
        let end = Run::new(&["--once", "tcp://192.0.2.1:9/"]).finish(WITHIN);
        assert_eq!(end.code, Some(69), "{end:?}");
        check_unconfirmed(&before, &end);
    });
}

/// It says which records are not acknowledged: from the oldest that there was at its start to the newest at its end.
/// Others write too, so that both lie between what was there before and after.
#[track_caller]
fn check_unconfirmed(before: &[Record], end: &Finished) {
    let after = ring();
    let line = end.words.iter().find(|line| unconfirmed(line).is_some()).expect("words about them");
    let range = line.split_once("seq ").and_then(|(_, rest)| rest.split_once(',')?.0.split_once('-'));
    let (first, last): (u64, u64) =
        range.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?))).expect("a range");
    assert_eq!(unconfirmed(line), Some(last - first + 1), "{line}");
    let (oldest, newest) = (|ring: &[Record]| ring[0].seq, |ring: &[Record]| ring[ring.len() - 1].seq);
    assert!((oldest(before)..=oldest(&after)).contains(&first), "{line}");
    assert!((newest(before)..=newest(&after)).contains(&last), "{line}");
}

#[test]
fn signals_drain() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        alone(|sandbox| {
            let (receiver, mut stream) = (Tcp::new(TcpBehaviour::Reads), Stream::own(sandbox, "drain"));
            let program = start_on_own_log(&receiver.url());
            stream.write_and_wait(1, &receiver.lines);
            receiver.pause();
            stream.write(49);
            program.signal(signal);
            receiver.resume();
            let end = program.finish(WITHIN);
            assert_eq!(end.code, Some(0), "{signal}: {end:?}");
            check_drained(&receiver.lines, &stream);
        });
    }
}

/// A signal to all of them at once, as a terminal or an init sends it, is the same end.
#[test]
fn a_signal_to_all_drains() {
    alone(|sandbox| {
        let (receiver, mut stream) = (Tcp::new(TcpBehaviour::Reads), Stream::own(sandbox, "all"));
        let program = start_on_own_log(&receiver.url());
        stream.write_and_wait(1, &receiver.lines);
        stream.write(49);
        program.signal_all(Signal::SIGINT);
        let end = program.finish(WITHIN);
        assert_eq!(end.code, Some(0), "{end:?}");
        check_drained(&receiver.lines, &stream);
    });
}

/// All that was written has arrived once, in order.
#[track_caller]
fn check_drained(lines: &Lines, stream: &Stream) {
    let want: Vec<u64> = (0..stream.written as u64).collect();
    let got: Vec<u64> = lines.objects().iter().map(seq).collect();
    assert_eq!(got, want);
}

#[test]
fn help_and_version() {
    for option in ["--help", "--version"] {
        let end = Run::new(&[option]).finish(WITHIN);
        assert_eq!((end.code, end.words.len()), (Some(0), 0), "{option}: {end:?}");
        assert!(end.stdout.starts_with("earlykmsg"), "{option}: {}", end.stdout);
        assert!(end.stdout.ends_with('\n'), "{option}");
    }
    let end = Run::new(&["--version"]).finish(WITHIN);
    assert_eq!(end.stdout, format!("earlykmsg {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn no_destination_is_a_usage_error() {
    alone(|sandbox| {
        sandbox.cmdline("quiet root=/dev/vda\n");
        for arguments in [&[][..], &["--once"]] {
            let end = Run::new(arguments).finish(WITHIN);
            assert_eq!(end.code, Some(64), "{end:?}");
            assert!(!end.words.is_empty(), "no words");
        }
    });
}

/// Who may not read the kernel's log is told so, whatever keeps it: the log's own restriction, or the file's mode.
#[test]
fn a_log_that_may_not_be_read() {
    alone(|sandbox| {
        let receiver = Tcp::new(TcpBehaviour::Reads);
        let refused = |run: Run| {
            let end = run.finish(WITHIN);
            assert_eq!(end.code, Some(69), "{end:?}");
            let is_told =
                |line: &String| line.contains("open /dev/kmsg: ") && line.contains("is not shipped");
            assert!(end.words.iter().any(is_told), "{end:?}");
        };
        let run = Run::new(&[receiver.url()]);
        if fs::read_to_string("/proc/sys/kernel/dmesg_restrict").expect("read dmesg_restrict") == "1\n" {
            refused(run.clone().as_anybody());
        }
        let _log = Fake::new(sandbox);
        fs::set_permissions("/dev/kmsg", Permissions::from_mode(0o000)).expect("forbid to read it");
        refused(run.as_anybody());
        assert!(receiver.connections.is_empty());
    });
}

#[test]
fn an_argument_stands_for_the_command_line() {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        let (named, given) = (Tcp::new(TcpBehaviour::Reads), Tcp::new(TcpBehaviour::Reads));
        sandbox.cmdline(format!("talos.logging.kernel={}\n", named.url()));
        let _program = Run::fed(&[given.url()]).start_connected();
        kmsg.feed("6,1,1,-;one record\n");
        given.lines.wait_for("one record", WITHIN);
        assert!(named.connections.is_empty());
    });
}

#[test]
fn only_severe_records() {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        let receiver = Tcp::new(TcpBehaviour::Reads);
        sandbox.cmdline(format!("talos.logging.kernel={} earlykmsg.level=warning\n", receiver.url()));
        let _program = Run::fed::<&str>(&[]).start_connected();
        for priority in 0..8 {
            kmsg.feed(format!("{priority},{priority},1,-;priority {priority}\n"));
        }
        kmsg.feed("0,8,1,-;the end\n");
        receiver.lines.wait_for("the end", WITHIN);
        let seqs: Vec<u64> = receiver.lines.objects().iter().map(seq).collect();
        assert_eq!(seqs, [0, 1, 2, 3, 4, 8], "what is left out on purpose is no loss");
    });
}

#[test]
fn a_receiver_that_comes_late() {
    alone(|sandbox| {
        let address = Tcp::new(TcpBehaviour::Reads).address;
        let mut stream = Stream::own(sandbox, "late");
        let _program = start_on_own_log(&format!("tcp://{address}/"));
        let last = stream.write(1);
        thread::sleep(Duration::from_secs(3)); // the fault itself
        let (receiver, since) = (Tcp::at(address, TcpBehaviour::Reads), Instant::now());
        receiver.connections.wait(WITHIN, "a connection", |all| all.first().copied());
        assert!(since.elapsed() < Duration::from_millis(1_500), "pauses are at most a second");
        receiver.lines.wait_for(&last, WITHIN);
    });
}

#[test]
fn ipv6() {
    alone(|_| {
        let receiver = Tcp::at("[::1]:0".parse().expect("an address"), TcpBehaviour::Reads);
        let datagrams = Udp::with_room("[::1]:0".parse().expect("an address"));
        let (writer, tag) = (Writer::new(), tag("ipv6"));
        writer.write(&tag);
        let _program = Run::new(&[receiver.url(), datagrams.url()]).start();
        receiver.lines.wait_for(&tag, WITHIN);
        datagrams.lines.wait_for(&tag, WITHIN);
    });
}

#[test]
fn the_same_destination_twice_counts_once() {
    alone(|sandbox| {
        let (receiver, kmsg) = (Tcp::new(TcpBehaviour::Reads), Fake::new(sandbox));
        let url = receiver.url();
        let shouted = url.trim_end_matches('/').replace("tcp", "TCP");
        let program = Run::fed(&[&url, &shouted, &url]).start_connected();
        kmsg.feed("6,1,1,-;one record\n");
        receiver.lines.wait_for("one record", WITHIN);
        assert_eq!((program.shippers().len(), receiver.connections.len()), (1, 1));
    });
}

#[test]
fn each_destination_has_progress_of_its_own() {
    alone(|_| {
        let (first, second, third) =
            (Tcp::new(TcpBehaviour::Reads), Udp::new(), Tcp::new(TcpBehaviour::Reads));
        let late = third.address;
        drop(third);
        let (writer, tag) = (Writer::new(), tag("several"));
        let _program = Run::new(&[first.url(), second.url(), format!("tcp://{late}")]).start();
        for number in 0..10 {
            writer.write(&format!("{tag} {number}."));
        }
        first.lines.wait_for(&format!("{tag} 9."), WITHIN);
        second.lines.wait_for(&format!("{tag} 9."), WITHIN);
        let third = Tcp::at(late, TcpBehaviour::Reads);
        third.lines.wait_for(&format!("{tag} 9."), WITHIN);
        for lines in [&first.lines, &second.lines, &third.lines] {
            assert_eq!(lines.texts(&tag).len(), 10);
        }
    });
}

/// One receiver with a bad manner beside a good one: the good one gets all at once, and nothing spins.
fn beside(behaviour: TcpBehaviour, then: impl FnOnce(&Sandbox, &Tcp, &Program) + Send) {
    alone(|sandbox| {
        let (bad, good) = (Tcp::new(behaviour), Tcp::new(TcpBehaviour::Reads));
        let (writer, tag) = (Writer::new(), tag("beside"));
        let program = Run::new(&[bad.url(), good.url()]).start();
        good.connections.wait(WITHIN, "a connection", |all| all.first().copied());
        bad.connections.wait(WITHIN, "a connection", |all| all.first().copied());
        // Who waits for the other is late most of the time. Once or twice may be the machine's matter.
        let mut late: Vec<Duration> = Vec::new();
        for number in 0..20 {
            let text = format!("{tag} {number}.");
            writer.write(&text);
            let since = Instant::now();
            late.push(good.lines.wait_for(&text, WITHIN).at.saturating_duration_since(since));
        }
        late.sort_unstable();
        assert!(late[14] < Duration::from_millis(500), "late because of the other: {late:?}");
        assert_eq!(good.connections.len(), 1);
        let before = good.lines.len();
        let spent = spent_in(Duration::from_secs(3), &program);
        // What others wrote meanwhile is work, and each line may be one that it was woken up for.
        let others = good.lines.len() - before;
        let limit = Duration::from_millis(150 + others as u64);
        println!("{behaviour:?}: {spent:?} of 3 s, with {others} records of others");
        assert!(spent < limit, "5% of a processor is {spent:?} in 3 s, with {others} records of others");
        then(sandbox, &bad, &program);
    });
}

/// The processor time that the program takes in a span of time.
fn spent_in(span: Duration, program: &Program) -> Duration {
    let sum = || proc::family(program.pid).into_iter().map(proc::cpu).sum::<Duration>();
    let before = sum();
    thread::sleep(span); // what is measured
    sum().saturating_sub(before)
}

#[test]
fn a_receiver_that_talks_back() {
    beside(TcpBehaviour::Talks, |_, bad, _| {
        let (writer, tag) = (Writer::new(), tag("talks"));
        for number in 0..50 {
            writer.write(&format!("{tag} {number}."));
        }
        bad.lines.wait_for(&format!("{tag} 49."), WITHIN);
        assert_eq!(bad.connections.len(), 1, "what it says is no reason to end a connection");
        assert_eq!(bad.lines.texts(&tag).len(), 50);
    });
}

/// What a receiver of datagrams says stays unread, and wakes nobody up.
#[test]
fn a_receiver_of_datagrams_that_talks_back() {
    alone(|sandbox| {
        let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        receiver.set_read_timeout(Some(WITHIN)).expect("set a time-out");
        setsockopt(&receiver, sockopt::RcvBufForce, &(1 << 26)).expect("set SO_RCVBUFFORCE");
        let mut stream = Stream::own(sandbox, "talks");
        let program = start_on_own_log(&format!("udp://{}/", receiver.local_addr().expect("an address")));
        let mut buffer = vec![0; 65_536];
        let mut wait_for = |text: &str| loop {
            let (length, from) = receiver.recv_from(&mut buffer).expect("a datagram");
            if String::from_utf8_lossy(&buffer[..length]).contains(text) {
                return from;
            }
        };
        let shipper = wait_for(&stream.write(1));
        for _ in 0..10 {
            receiver.send_to(b"go on", shipper).expect("send a datagram");
        }
        let spent = spent_in(Duration::from_secs(1), &program);
        assert!(spent < Duration::from_millis(50), "5% of a processor is {spent:?} in 1 s");
        assert_eq!(wait_for(&stream.write(1)), shipper, "by the same socket");
    });
}

#[test]
fn a_receiver_that_closes_at_once() {
    beside(TcpBehaviour::Closes, |_, bad, program| {
        assert!(bad.connections.len() > 1, "it is tried again");
        assert!(bad.connections.len() < 60, "with pauses: {} in a few seconds", bad.connections.len());
        let said = program.words.len();
        assert!(said < 40, "it said {said} lines");
    });
}

#[test]
fn a_receiver_that_never_reads() {
    beside(TcpBehaviour::Ignores, |_, bad, _| assert_eq!(bad.connections.len(), 1));
}

#[test]
fn a_receiver_that_reads_a_byte_a_second() {
    beside(TcpBehaviour::Crawls, |_, bad, _| assert_eq!(bad.connections.len(), 1));
}

/// The burst of a whole boot arrives complete and in order. (What stock listeners make of one: `delivery_datagrams.rs`.)
#[test]
fn a_burst_of_datagrams() {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        let receiver = Udp::new();
        let _program = Run::fed(&[receiver.url()]).start_connected();
        let text = "x".repeat(110);
        let raw: Vec<String> = (0..3_000).map(|n| format!("6,{n},{n},-;{n} {text}\n")).collect();
        thread::scope(|scope| {
            scope.spawn(|| raw.iter().for_each(|raw| kmsg.feed(raw)));
            receiver.lines.wait_count(raw.len(), WITHIN);
        });
        let seqs: Vec<u64> = receiver.lines.objects().iter().map(seq).collect();
        assert!(seqs.iter().copied().eq(0..3_000));
    });
}

/// Who starts it with `nohup` and logs out does not end it.
#[test]
fn an_ignored_hangup_stays_ignored() {
    const HANGUP: u64 = 1 << (Signal::SIGHUP as u32 - 1);
    alone(|_| {
        let (receiver, writer, tag) = (Tcp::new(TcpBehaviour::Reads), Writer::new(), tag("nohup"));
        let program = Run::new(&[receiver.url()]).without_hangups().start_connected();
        for pid in proc::family(program.pid) {
            let has = |set| u64::from_str_radix(&proc::status(pid, set), 16).expect("a set") & HANGUP != 0;
            assert!(has("SigIgn") && !has("SigBlk"), "{pid} does not ignore it");
            kill(pid, Signal::SIGHUP).expect("hang up");
        }
        writer.write(&tag);
        receiver.lines.wait_for(&tag, WITHIN);
        // The others end it as ever.
        program.signal(Signal::SIGINT);
        assert_eq!(program.finish(WITHIN).code, Some(0));
    });
}

/// A stderr that nobody reads, full, or a terminal that is stopped: everything is shipped, and the end is as ever.
#[test]
fn a_stderr_that_takes_nothing() {
    type Made = (OwnedFd, OwnedFd);
    let full_pipe: fn() -> Made = || {
        let (read, write) = nix::unistd::pipe().expect("make a pipe");
        let set = |flags| fcntl(&write, FcntlArg::F_SETFL(flags)).expect("set a flag");
        set(OFlag::O_NONBLOCK);
        while nix::unistd::write(&write, &[b'x'; 4096]).is_ok() {}
        // As it is inherited, a write to it waits.
        set(OFlag::empty());
        (read, write)
    };
    let stopped_terminal: fn() -> Made = || {
        let terminal = openpty(None, None).expect("make a terminal");
        tcflow(&terminal.slave, FlowArg::TCOOFF).expect("stop it");
        (terminal.master, terminal.slave)
    };
    for (what, make, as_nobody) in [
        ("a full pipe", full_pipe, false),
        ("a full pipe of someone else's", full_pipe, true),
        ("a stopped terminal", stopped_terminal, false),
    ] {
        alone(|_| {
            println!("{what}");
            let (receiver, writer, tag) = (Tcp::new(TcpBehaviour::Reads), Writer::new(), tag("stderr"));
            let (_other_end, stderr) = make();
            let run = Run::new(&[receiver.url()]);
            let run = if as_nobody { run.as_nobody() } else { run };
            let program = run.start_with_stderr(stderr);
            writer.write(&tag);
            receiver.lines.wait_for(&tag, WITHIN);
            program.signal(Signal::SIGTERM);
            assert_eq!(program.finish(WITHIN).code, Some(0));
            if !as_nobody {
                // In the kernel's log, and so at the receiver, it has said all.
                receiver.lines.wait_for(&format!("{}: asked to end, last seq sent ", receiver.url()), WITHIN);
            }
        });
    }
}

/// A file gets every line, behind what is there.
#[test]
fn a_stderr_that_is_a_file() {
    alone(|sandbox| {
        let receiver = Tcp::new(TcpBehaviour::Reads);
        let path = sandbox.file("stderr", "what was there\n");
        let file = File::options().append(true).open(&path).expect("open a file");
        let program = Run::new(&["--once".to_owned(), receiver.url()]).start_with_stderr(file);
        assert_eq!(program.finish(WITHIN).code, Some(0));
        let text = fs::read_to_string(path).expect("read a file");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0] == "what was there" && lines[1].contains("shipping to"), "{text}");
        assert!(lines.iter().any(|line| line.contains("connected to")), "{text}");
    });
}
