//! Every system call fails with every error that it can have: no hang, no spin, no silent loss.
//!
//! `strace` makes them fail, in the watcher and in the shippers, by their count: the first, the second, or all from
//! the first on where an error is a state that lasts. (In a failing call's place `getpid` is made, which the filters
//! allow.) The program ships, over TCP through a reset by the receiver, and is then asked to end. It may go on, start
//! a shipper again, or end with a line that names the error; what it may not do is below, in [`judge`].

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use earlykmsg_tests::foreign::until;
use earlykmsg_tests::kmsg::{Writer, ring, tag};
use earlykmsg_tests::pid1_sandbox::{Boot, cannot_fail, image, ran, script};
use earlykmsg_tests::program::{Finished, Program, Run};
use earlykmsg_tests::receiver::{End, Lines, Tcp, TcpBehaviour, Udp};
use earlykmsg_tests::sandbox::{Sandbox, alone};
use earlykmsg_tests::{json, proc};
use nix::errno::Errno::{self, *};
use nix::libc;
use nix::sys::signal::Signal;

/// A system call, and how it may fail.
struct Row {
    call: &'static str,
    once: &'static [Errno],
    /// Errors that are states, and stay.
    lasting: &'static [Errno],
}

const fn row(call: &'static str, once: &'static [Errno], lasting: &'static [Errno]) -> Row {
    Row { call, once, lasting }
}

/// In the order in which they are first made. Not here are those that cannot fail when asked rightly
/// (`arch_prctl`, `set_tid_address`, `getpid`, `getuid`, `uname`, `clock_gettime`, `wait4` that does not wait,
/// `exit_group`), nor that a `read` finds nothing: what the ring says of itself is true.
const ROWS: &[Row] = &[
    row("open", &[EMFILE, ENFILE, ENOENT, EACCES, ENOMEM], &[ENOENT, ENFILE]),
    row("fcntl", &[EBADF, EMFILE, EINVAL], &[EBADF, EMFILE]),
    row("close_range", &[ENOSYS, EINVAL, EMFILE, ENOMEM], &[ENOSYS]),
    row("openat", &[ENOENT, EACCES, EPERM, EMFILE, ENFILE, ENOMEM, EINTR], &[ENOENT, EPERM, ENFILE]),
    row("close", &[EIO, EINTR], &[EIO]),
    row("rt_sigaction", &[EINVAL], &[EINVAL]),
    row("rt_sigprocmask", &[EINVAL], &[EINVAL]),
    row("signalfd4", &[EMFILE, ENFILE, ENOMEM, ENODEV], &[ENOSYS, ENFILE]),
    row("timerfd_create", &[EMFILE, ENFILE, ENOMEM, ENODEV], &[ENFILE, ENOSYS]),
    row("timerfd_settime", &[EINVAL, ECANCELED], &[EINVAL]),
    row("lseek", &[ESPIPE, EINVAL], &[ESPIPE]),
    row("write", &[EINTR, EAGAIN, EIO, EPIPE, ENOSPC, EPERM, EINVAL], &[EIO, EPERM]),
    row("read", &[EINTR, EIO, EPIPE, EINVAL, ENOMEM, EPERM], &[]),
    row("mmap", &[ENOMEM, EAGAIN, EPERM], &[ENOMEM]),
    row("fsopen", &[ENOSYS, EPERM, ENODEV, EMFILE, ENFILE, ENOMEM], &[ENOSYS, EPERM]),
    row("fsconfig", &[EPERM, ENOMEM, EBUSY, EINVAL], &[EPERM]),
    row("fsmount", &[EPERM, ENOMEM, EMFILE, ENFILE, EINVAL], &[EPERM]),
    row("prctl", &[EINVAL, EPERM], &[EINVAL, EPERM]),
    row("capget", &[EINVAL, EPERM], &[EINVAL]),
    row("capset", &[EPERM, EINVAL], &[EPERM]),
    row("seccomp", &[ENOSYS, EINVAL, EACCES, ENOMEM, ESRCH], &[ENOSYS, EINVAL, EACCES]),
    row("socketpair", &[EMFILE, ENFILE, ENOMEM, EAFNOSUPPORT], &[ENFILE]),
    row("clone", &[EAGAIN, ENOMEM, EPERM, ENOSPC], &[EAGAIN]),
    row("ppoll", &[EINTR, ENOMEM, EAGAIN], &[]),
    row("fchdir", &[EACCES, EIO, EPERM], &[EACCES]),
    row("chroot", &[EPERM, EACCES, ENOMEM], &[EPERM]),
    row("setgroups", &[EPERM, ENOMEM], &[EPERM]),
    row("setresgid", &[EPERM, EINVAL], &[EPERM]),
    row("setresuid", &[EPERM, EAGAIN, EINVAL], &[EPERM]),
    row("prlimit64", &[EPERM, EINVAL], &[EPERM]),
    row("socket", &[EMFILE, ENFILE, ENOBUFS, ENOMEM, EAFNOSUPPORT, EACCES, EPERM], &[EAFNOSUPPORT, ENFILE]),
    row("setsockopt", &[ENOPROTOOPT, EINVAL, ENOMEM, ENOBUFS, EPERM], &[ENOPROTOOPT, EPERM]),
    row(
        "connect",
        &[ECONNREFUSED, ENETUNREACH, EHOSTUNREACH, ETIMEDOUT, EADDRNOTAVAIL, EACCES, EPERM, EAGAIN, EINTR],
        &[ENETUNREACH, EPERM, ECONNREFUSED],
    ),
    row("getsockopt", &[ENOPROTOOPT, EINVAL, ENOBUFS, ENOMEM], &[ENOPROTOOPT]),
    row(
        "sendto",
        &[
            ECONNRESET,
            EPIPE,
            EAGAIN,
            EINTR,
            ENOBUFS,
            ENOMEM,
            EHOSTUNREACH,
            ENETUNREACH,
            ETIMEDOUT,
            ECONNREFUSED,
            EPERM,
            EMSGSIZE,
        ],
        &[EHOSTUNREACH, EPERM],
    ),
    row(
        "sendmmsg",
        &[EAGAIN, EINTR, ENOBUFS, ENOMEM, EHOSTUNREACH, ENETUNREACH, ECONNREFUSED, EPERM, EMSGSIZE],
        &[EHOSTUNREACH, EPERM, EMSGSIZE],
    ),
    row("recvmsg", &[ENOMEM, EINTR, EAGAIN], &[EINVAL]),
    row("recvfrom", &[ECONNRESET, EAGAIN, EINTR, ENOMEM, ETIMEDOUT, EHOSTUNREACH], &[ECONNRESET]),
    row("ioctl", &[EINVAL, ENOMEM, ENOTTY], &[EINVAL]),
    row("shutdown", &[ENOTCONN, ENOBUFS], &[ENOTCONN]),
    row("kill", &[EPERM, ESRCH], &[EPERM]),
];

/// How the program is used meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Use {
    Tcp,
    Udp,
    Once,
}

/// One fault.
#[derive(Clone, Copy, Debug)]
struct Fault {
    call: &'static str,
    errno: Errno,
    /// Which calls of each process fail, as strace has it.
    when: &'static str,
    used: Use,
}

/// Tags that have the program ask for everything that it can be asked for.
const TAGS: &str = "earlykmsg.tags=mac={mac},uuid={uuid}";
const TAG_NAMES: &[&str] = &["mac", "uuid"];
/// Records before the receiver resets the connection, and after.
const RECORDS: u64 = 5;
/// How long records may take. Most faults cost less than a second; a lasting one is waited for in vain.
const DELIVERY: Duration = Duration::from_secs(4);
/// How long the end may take: the program itself allows 5 s, and 1 s more until it ends its shippers by force. The rest is
/// for a machine that is busy with the others.
const ENDING: Duration = Duration::from_secs(40);
/// How long it is looked whether a process spins.
const LOOK: Duration = Duration::from_millis(200);
const LOOKS: usize = 10;

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Outcome {
    /// No call was the one that should fail.
    NotReached,
    /// All arrived, and nobody died.
    WentOn,
    /// All arrived, after a shipper had died and another took its place.
    Restarted,
    /// What is missing was reported.
    ReportedLoss,
    /// The program ended with a code that says so.
    Ended,
}

fn run(fault: Fault, sandbox: &Sandbox) -> Result<Outcome, String> {
    let trace = sandbox.dir().join("trace");
    let Fault { call, errno, when, used } = fault;
    let inject = format!("inject={call}:error={errno:?}:when={when}:syscall=getpid");
    let arguments = ["-o", trace.to_str().expect("a path"), "-e", &format!("trace={call}"), "-e", &inject];
    let (writer, tag) = (Writer::new(), tag("errno"));
    // Gives the sequence number of the last.
    let write = |numbers: core::ops::Range<u64>| {
        numbers.for_each(|number| writer.write(&format!("{tag} {number}.")));
        ring().iter().rfind(|record| record.msg.contains(&tag)).map_or(0, |record| record.seq)
    };
    let mut tcp = (used != Use::Udp).then(|| Tcp::new(TcpBehaviour::Reads));
    let udp = (used == Use::Udp).then(Udp::new);
    let url = tcp.as_ref().map(Tcp::url).or(udp.as_ref().map(Udp::url)).expect("one of the two");
    let lines =
        tcp.as_ref().map(|tcp| Arc::clone(&tcp.lines)).or(udp.as_ref().map(|udp| Arc::clone(&udp.lines)));
    let lines = lines.expect("one of the two");
    let mut words = vec![url, TAGS.to_owned()];
    words.extend((used == Use::Once).then(|| "--once".to_owned()));

    let mut wanted = RECORDS;
    let mut last = write(0..RECORDS);
    let program = Run::new(&words).traced(&arguments).start();
    // From when it has looked for the oldest record, the log is its business. It says so, unless words are what fails;
    // a receiver notices it later.
    let is_connected = || tcp.as_ref().is_some_and(|tcp| !tcp.connections.is_empty()) || !lines.is_empty();
    let says_so = || program.words.items().iter().any(|line| line.contains("shipping to "));
    until("the start or the end", || says_so() || is_connected() || program.has_ended());
    let oldest = ring().first().map_or(0, |record| record.seq);
    if used != Use::Once {
        // Datagrams of the log's whole past may overflow the receiver: these are not missed, those behind them are.
        arrive(&lines, &tag, 0..RECORDS, &program);
        tcp = tcp.map(|tcp| tcp.restart(End::Reset, Duration::ZERO));
        wanted += RECORDS;
        last = write(RECORDS..wanted);
        arrive(&lines, &tag, RECORDS..wanted, &program);
    }
    let spins = spins(&program);
    if used != Use::Once {
        program.signal(Signal::SIGTERM);
    }
    let end = program.ends(ENDING);
    drop((tcp, udp));
    let injected = fs::read_to_string(&trace).is_ok_and(|trace| trace.contains("(INJECTED)"));
    let outcome = judge(
        fault,
        injected,
        spins,
        end.as_ref(),
        &lines,
        &tag,
        if used == Use::Udp { RECORDS } else { 0 }..wanted,
    )?;
    // Datagrams of the log's past may have been dropped, and who ended before the time has said so.
    if used == Use::Udp || outcome == Outcome::Ended {
        return Ok(outcome);
    }
    match first_missing(&lines, oldest) {
        next if next > last => Ok(outcome),
        seq => Err(format!("{fault:?}: of seq {oldest}-{last} {seq} was lost in silence")),
    }
}

/// The first record from `oldest` on that neither arrived nor was reported.
fn first_missing(lines: &Lines, oldest: u64) -> u64 {
    let mut ranges: Vec<_> = lines
        .objects_with(TAG_NAMES)
        .iter()
        .map(|object| json::report(object).unwrap_or(json::seq(object)..=json::seq(object)))
        .collect();
    ranges.sort_unstable_by_key(|range| *range.start());
    let mut next = oldest;
    for range in ranges {
        if *range.start() > next {
            break;
        }
        next = next.max(range.end() + 1);
    }
    next
}

/// Waits until these records are there; no longer than they may take, nor than the program lives.
fn arrive(lines: &Lines, tag: &str, numbers: core::ops::Range<u64>, program: &Program) {
    let until = Instant::now() + DELIVERY;
    while Instant::now() < until && !program.has_ended() {
        let before = lines.len();
        let arrived = received(lines, tag);
        if numbers.clone().all(|number| arrived.contains(&number)) {
            return;
        }
        lines.try_wait(Duration::from_millis(50), |lines| (lines.len() > before).then_some(()));
    }
}

/// The numbers of the records that arrived.
fn received(lines: &Lines, tag: &str) -> BTreeSet<u64> {
    let number = |text: &str| text.split_once(tag)?.1.trim_start().split_once('.')?.0.parse().ok();
    lines.items().iter().filter_map(|line| number(&String::from_utf8_lossy(&line.bytes))).collect()
}

/// Whether a process does nothing but run, for as long as it is looked. One that still ships soon waits.
fn spins(program: &Program) -> Option<String> {
    for _ in 0..LOOKS {
        let processes: Vec<_> = program.watcher().into_iter().chain(program.shippers()).collect();
        let before: Vec<_> = processes.iter().map(|&pid| proc::busy(pid)).collect();
        let since = Instant::now();
        thread::sleep(LOOK); // what is measured
        let took = since.elapsed();
        let after = processes.iter().map(|&pid| proc::busy(pid));
        let worst = after.zip(before).map(|(after, before)| after.saturating_sub(before)).max()?;
        if worst < took / 2 {
            return None;
        }
    }
    Some(format!("a process does nothing but run, for {LOOKS} times {LOOK:?}"))
}

/// Whether a line names the error.
fn names(line: &str, errno: Errno) -> bool {
    let mut words = line.split(|c: char| !c.is_ascii_alphanumeric()).skip_while(|&word| word != "errno");
    words.nth(1).is_some_and(|number| number == (errno as i32).to_string())
}

/// It has ended in time, nothing span, and either all records arrived or the program has said what is missing:
/// in the stream, or by its exit code and a line that names the error.
fn judge(
    fault: Fault,
    injected: bool,
    spins: Option<String>,
    end: Option<&Finished>,
    lines: &Lines,
    tag: &str,
    numbers: core::ops::Range<u64>,
) -> Result<Outcome, String> {
    let arrived = received(lines, tag);
    let missing: Vec<u64> = numbers.filter(|number| !arrived.contains(number)).collect();
    let fail = |what: &str| {
        let said = end.map(|end| format!("code {:?}, signal {:?}, {:#?}", end.code, end.signal, end.words));
        Err(format!("{fault:?}: {what}; missing {missing:?}; {}", said.unwrap_or_default()))
    };
    let Some(end) = end else { return fail("it hangs") };
    if let Some(spins) = spins {
        return fail(&spins);
    }
    let Some(code) = end.code else { return fail("a signal ended it") };
    if code != 0 {
        // Where words cannot be written the code has to do.
        let mute = fault.call == "write" || fault.call == "fcntl";
        let named = mute || end.words.iter().any(|line| names(line, fault.errno));
        let unconfirmed = end.words.iter().any(|line| json::unconfirmed(line).is_some());
        let forced = end.said("did not end in time and is ended by force");
        return if named || unconfirmed || forced {
            Ok(Outcome::Ended)
        } else {
            fail("it does not say why it ended")
        };
    }
    if missing.is_empty() {
        return Ok(match injected {
            false => Outcome::NotReached,
            true if end.said("the shipper ") => Outcome::Restarted,
            true => Outcome::WentOn,
        });
    }
    if fault.used == Use::Udp {
        return fail("it lost records in silence");
    }
    // The log may have dropped them. Whether that was reported, the caller sees by the sequence numbers.
    Ok(Outcome::ReportedLoss)
}

/// Runs all, several at a time, as most of the time they wait. Prints how many came to which end.
fn check(faults: &[Fault]) {
    const AT_A_TIME: usize = 16;
    let next = AtomicUsize::new(0);
    let (outcomes, failures) = (Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                alone(|sandbox| {
                    while let Some(&fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                        match run(fault, sandbox) {
                            Ok(outcome) => {
                                let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
                                let row: &mut BTreeMap<_, usize> = outcomes.entry(fault.call).or_default();
                                *row.entry(outcome).or_default() += 1;
                            }
                            Err(why) => failures.lock().unwrap_or_else(PoisonError::into_inner).push(why),
                        }
                    }
                });
            });
        }
    });
    for (call, row) in outcomes.into_inner().unwrap_or_else(PoisonError::into_inner) {
        println!("{call}: {row:?}");
    }
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(failures.is_empty(), "{} of {} faults:\n{}", failures.len(), faults.len(), failures.join("\n"));
}

/// Each call, each error, once.
#[test]
fn a_call_fails_once() {
    let faults = |row: &'static Row| {
        let used = if row.call == "sendmmsg" { Use::Udp } else { Use::Tcp };
        row.once.iter().map(move |&errno| Fault { call: row.call, errno, when: "1", used })
    };
    let mut faults: Vec<Fault> = ROWS.iter().flat_map(faults).collect();
    // Without the reset, after which everything is sent again: what was not sent shows.
    let sends = ROWS.iter().filter(|row| row.call == "sendto").flat_map(|row| row.once);
    faults.extend(sends.map(|&errno| Fault { call: "sendto", errno, when: "1", used: Use::Once }));
    // What has a bound ends, though no shipper can ever be started.
    for (call, errno) in [("pipe2", ENFILE), ("clone", EAGAIN)] {
        faults.push(Fault { call, errno, when: "1+", used: Use::Once });
    }
    check(&faults);
}

/// Each call that PID 1 makes, in each boot that makes others, fails with each of these: the next init runs.
#[test]
fn pid_1_goes_on_whichever_call_fails() {
    const SHIP: &str = "talos.logging.kernel=tcp://127.0.0.1:9/";
    type Change = fn(Boot) -> Boot;
    let boots: [(&str, Change); 4] = [
        ("shipping", |boot| boot.cmdline(SHIP)),
        ("shipping, an old kernel", |boot| boot.cmdline(SHIP).refuse("fsopen", ENOSYS)),
        ("shipping, descriptors closed", |boot| Boot { no_stdio: true, ..boot.cmdline(SHIP) }),
        ("no destination", |boot| boot.cmdline("quiet")),
    ];
    let start = |sandbox: &Sandbox, boot: &dyn Fn(Boot) -> Boot| {
        let root = image(sandbox.dir(), "exit 42");
        script(&root, "sbin/init", "exit 42"); // where the exec of /init itself fails
        let machine = boot(Boot::of(&root)).start();
        let console = Arc::clone(&machine.console);
        let end = machine.ends(ENDING);
        let console = console.items().clone();
        (end, ran(&root), console)
    };
    let mut faults = Vec::new();
    for (name, boot) in boots {
        let (end, _, console) = alone(|sandbox| start(sandbox, &|new| boot(new).list()));
        assert_eq!(end, Some(Some(42)), "{name}: {console:#?}");
        let calls = Boot::listed(&console);
        println!("{name}: {} system calls", calls.len());
        assert!(calls.len() > 10 && calls.contains(&libc::SYS_execve), "{name}: {calls:?}");
        let errnos = [EPERM, ENOMEM];
        let places = calls.into_iter().enumerate().filter(|&(_, call)| !cannot_fail(call));
        faults.extend(places.flat_map(|at| errnos.map(|errno| (name, boot, at, errno))));
    }
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(&(name, boot, (place, call), errno)) =
                    faults.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let (end, ran, console) =
                        alone(|sandbox| start(sandbox, &|new| boot(new).refuse_at(place, errno)));
                    if end != Some(Some(42)) || !["/init\n", "/sbin/init\n"].contains(&ran.as_str()) {
                        let told = format!(
                            "{name}: call {place}, number {call}, {errno:?}: {ran:?} {end:?} {console:?}"
                        );
                        failures.lock().unwrap_or_else(PoisonError::into_inner).push(told);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{} faults", faults.len());
    assert!(failures.is_empty(), "{} of {} faults:\n{}", failures.len(), faults.len(), failures.join("\n"));
}

/// All places, all uses, and errors that last.
#[test]
#[ignore = "takes ten minutes"]
fn calls_fail_everywhere() {
    let mut faults = Vec::new();
    for used in [Use::Tcp, Use::Udp, Use::Once] {
        for row in ROWS {
            for when in ["1", "2", "3", "6", "12"] {
                faults.extend(row.once.iter().map(|&errno| Fault { call: row.call, errno, when, used }));
            }
            faults.extend(row.lasting.iter().map(|&errno| Fault { call: row.call, errno, when: "1+", used }));
        }
    }
    check(&faults);
}
