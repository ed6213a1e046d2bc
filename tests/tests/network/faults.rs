//! A fault at each step of each process of the program: the network is brought up, or left alone, and in the end given back,
//! and a message says what went wrong. The boot goes on.

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use earlykmsg_tests::foreign::until;
use earlykmsg_tests::kmsg::{Writer, tag};
use earlykmsg_tests::network_sandbox::{Fault, Happens, NetworkProgram, Role};
use earlykmsg_tests::pid1_sandbox::{add_network, cannot_fail, hang_drivers, ran};
use earlykmsg_tests::proc;
use earlykmsg_tests::receiver::{Tcp, TcpBehaviour};
use earlykmsg_tests::sandbox::{Network, alone, ip, ip_says};
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{World, addresses, initramfs, serve};

const WORDS: &str = "earlykmsg.ip=dhcp";
/// How long the way up may take, and the way down.
const WITHIN: Duration = Duration::from_secs(20);
/// How long it is looked whether the network comes up all the same, when a call fails again and again.
const LOOK: Duration = Duration::from_millis(1_500);
/// How often a process may make a call again that fails: who does not wait makes it more often than this in a moment.
const REPEATS_MAX: usize = 300;
/// How long nothing was waited for where something is looked for again.
const PAUSE: Duration = Duration::from_millis(5);

/// What became of the network.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Outcome {
    /// This run had no such step.
    NotReached,
    /// It came up and was given back.
    WentOn,
    /// It was left alone or given back before the end, and a message says why.
    GivenUp,
    /// The same, and there was nobody left to say so.
    GivenUpUnsaid,
    /// The process that gives it back was struck while it did: the address ends with its lease.
    EndsWithTheLease,
}

fn is_up() -> bool {
    addresses().contains("10.9.0.50/32")
}

fn is_given_back() -> bool {
    let link = ip_says("-o link show dev near");
    let flags = link.split_once('<').and_then(|(_, rest)| rest.split_once('>')).expect("flags").0;
    !flags.split(',').any(|flag| flag == "UP") && addresses().is_empty()
}

/// Waits until it is so; no longer than `within`.
fn wait_until(within: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + within;
    while !is_so() {
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(PAUSE); // nothing tells
    }
    true
}

/// Runs the program once, from its start to its end.
fn run(root: &Path, fault: Fault) -> Result<Outcome, String> {
    let mut program = NetworkProgram::start(root, WORDS, Some(fault));
    let is_stopped = fault.happens == Happens::Stopped;
    let lasts = matches!(fault.happens, Happens::FailsFromNowOn(_));
    let mut struck = None;
    let decided = wait_until(WITHIN, || {
        if struck.is_none() && program.has_happened() {
            struck = Some(Instant::now());
        }
        is_up()
            || program.has_ended()
            || struck.is_some_and(|since| is_stopped || lasts && since.elapsed() > LOOK)
    });
    let came_up = is_up();
    let struck_before = program.has_happened();
    program.switch_root();
    // Who is stuck stays, if nobody ends it.
    let mut is_over = || match fault {
        Fault { role: Role::Keeper, happens: Happens::Stopped, .. } if program.has_happened() => {
            program.have_others_ended(Role::Keeper)
        }
        _ => program.has_ended(),
    };
    let ended = wait_until(WITHIN, &mut is_over);
    let given_back = wait_until(PAUSE, is_given_back);
    // A keeper that is alone may be unable to say something; the watcher and so the shippers see that it has ended.
    let is_keeper_alone = fault.role == Role::Keeper && !program.has_started(Role::Client);
    // By these calls it speaks.
    let is_mute = matches!(program.call_of_fault(), Some(libc::SYS_write | libc::SYS_fcntl));
    let may_be_silent = is_keeper_alone || is_mute;
    // What was said last may still be on its way.
    let first = |said: &[String]| said.first().map(|_| ());
    let is_said = program.says.try_wait(if may_be_silent { PAUSE } else { WITHIN }, first).is_some();
    let said = program.says.items().join("\n");
    let happened = program.has_happened();
    let fail = |what: &str| {
        let shown = format!("{}{}", addresses(), ip_says("-o link show dev near"));
        Err(format!("{fault:?}: {what}; came up: {came_up}; {shown}; it said: {said}"))
    };
    let repeats = program.repeats_of_fault();
    if repeats > REPEATS_MAX {
        return fail(&format!("it does not wait: it makes the call again {repeats} times"));
    }
    if !decided {
        return fail("it neither brings the network up nor ends");
    }
    if !ended {
        return fail("it does not end");
    }
    if !happened {
        return if came_up && given_back { Ok(Outcome::NotReached) } else { fail("without a fault") };
    }
    if !given_back {
        let is_bounded = !addresses().contains("forever");
        return if fault.role == Role::Keeper && !struck_before && is_bounded {
            Ok(Outcome::EndsWithTheLease)
        } else {
            fail("it is not given back")
        };
    }
    if said.contains("the network is given back") && came_up {
        return Ok(Outcome::WentOn);
    }
    if is_said {
        Ok(Outcome::GivenUp)
    } else if may_be_silent {
        Ok(Outcome::GivenUpUnsaid)
    } else {
        fail("nobody says so")
    }
}

/// The system calls of each process, in a run without a fault.
fn calls(root: &Path) -> Vec<(Role, i64)> {
    let mut program = NetworkProgram::start(root, WORDS, None);
    assert!(wait_until(WITHIN, is_up), "{:?}", program.says.items());
    program.switch_root();
    assert!(wait_until(WITHIN, || program.has_ended() && is_given_back()), "{}", addresses());
    let calls = program.calls.items();
    let role = |text: &str| match text {
        "Keeper" => Role::Keeper,
        "Loader" => Role::Loader,
        _ => Role::Client,
    };
    // Other lines say that a process has ended.
    let read =
        |line: &String| line.split_once(' ').and_then(|(name, call)| Some((role(name), call.parse().ok()?)));
    calls.iter().filter_map(read).collect()
}

/// A network with a server of DHCP at its far end, and an image with the program.
fn prepared<R: Send>(body: impl FnOnce(&Path) -> R + Send) -> R {
    alone(|sandbox| {
        let network = Network::cable(&[], &["10.9.0.2/24"]);
        ip("link set near down");
        serve(&network, |_, question| vec![question.usual([10, 9, 0, 50], 400)]);
        let root = initramfs(sandbox);
        add_network(&root);
        body(&root)
    })
}

/// Runs all, some at a time; prints how many came to which end.
fn check(faults: &[Fault]) {
    const AT_A_TIME: usize = 8;
    let next = AtomicUsize::new(0);
    let (outcomes, failures) = (Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                prepared(|root| {
                    while let Some(&fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                        match run(root, fault) {
                            Ok(outcome) => {
                                let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
                                let row: &mut BTreeMap<_, Vec<usize>> =
                                    outcomes.entry(fault.role).or_default();
                                row.entry(outcome).or_default().push(fault.place);
                            }
                            Err(why) => failures.lock().unwrap_or_else(PoisonError::into_inner).push(why),
                        }
                        // For the next one.
                        ip("addr flush dev near");
                        ip("link set near down");
                    }
                });
            });
        }
    });
    for (role, row) in outcomes.into_inner().unwrap_or_else(PoisonError::into_inner) {
        for (outcome, places) in row {
            println!("{role:?}: {outcome:?} {} times, at {places:?}", places.len());
        }
    }
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(failures.is_empty(), "{} of {} faults:\n{}", failures.len(), faults.len(), failures.join("\n"));
}

/// Each step, but for the capabilities that are dropped one by one.
fn steps(calls: &[(Role, i64)]) -> Vec<Fault> {
    let mut places = BTreeMap::<Role, usize>::new();
    let mut before = BTreeMap::<Role, i64>::new();
    let mut steps = Vec::new();
    for &(role, call) in calls {
        let place = places.entry(role).or_default();
        if before.insert(role, call) != Some(call) || call != libc::SYS_prctl {
            steps.push(Fault { role, place: *place, call: None, happens: Happens::Killed });
        }
        *place += 1;
    }
    steps
}

fn with(faults: Vec<Fault>, happens: Happens) -> Vec<Fault> {
    faults.into_iter().map(|fault| Fault { happens, ..fault }).collect()
}

#[test]
fn killed_at_each_step() {
    check(&with(steps(&prepared(calls)), Happens::Killed));
}

#[test]
fn stuck_at_each_step() {
    check(&with(steps(&prepared(calls)), Happens::Stopped));
}

#[test]
fn no_memory_at_each_step() {
    check(&with(steps(&prepared(calls)), Happens::Fails(libc::ENOMEM)));
}

/// From the first call of a kind on all of them fail. (That waiting fails is no state that lasts.)
#[test]
fn calls_that_always_fail() {
    let lasts = |&(_, call): &(Role, i64)| call != libc::SYS_ppoll && !cannot_fail(call);
    let kinds: BTreeSet<(Role, i64)> = prepared(calls).into_iter().filter(lasts).collect();
    let fault = |(role, call), happens| Fault { role, place: 0, call: Some(call), happens };
    let all = kinds.into_iter().flat_map(|kind| {
        [libc::EPERM, libc::ENOMEM].map(|errno| fault(kind, Happens::FailsFromNowOn(errno)))
    });
    check(&all.collect::<Vec<_>>());
}

/// From each receipt on, all of the client's fail: it then sees neither what the kernel tells nor who else asks by DHCP.
#[test]
fn nothing_can_be_received_any_more() {
    let calls: Vec<i64> = prepared(calls)
        .into_iter()
        .filter_map(|(role, call)| (role == Role::Client).then_some(call))
        .collect();
    let receipts = calls.iter().enumerate().filter(|(_, call)| **call == libc::SYS_recvfrom);
    let faults = receipts.flat_map(|(place, _)| {
        [libc::ENOMEM, libc::ENOBUFS].map(|errno| Fault {
            role: Role::Client,
            place,
            call: Some(libc::SYS_recvfrom),
            happens: Happens::FailsFromNowOn(errno),
        })
    });
    check(&faults.collect::<Vec<_>>());
}

/// A driver hangs, and nothing but drivers is asked for: nobody waits for it longer than for the root switch, or the watcher.
#[test]
fn a_driver_that_hangs() {
    prepared(|root| {
        hang_drivers(root);
        for is_switched in [true, false] {
            let mut program = NetworkProgram::start(root, "earlykmsg.modules=hangs", None);
            let is_at_it = |calls: &[String]| {
                let last = calls.iter().rfind(|call| call.starts_with("Loader "))?;
                (*last == format!("Loader {}", libc::SYS_openat)).then_some(())
            };
            program.calls.wait(WITHIN, "the list of modules is opened", is_at_it);
            if is_switched {
                program.switch_root();
            } else {
                program.end_watcher();
            }
            assert!(wait_until(WITHIN, || program.has_ended()), "{:?}", program.calls.items());
        }
    });
}

/// The next init runs and what is written is shipped, whatever becomes of the processes; and with the watcher all is given
/// back.
#[test]
fn the_boot_goes_on() {
    use Signal::{SIGKILL, SIGSTOP};
    for (role, signal) in
        [(Role::Keeper, SIGKILL), (Role::Keeper, SIGSTOP), (Role::Client, SIGKILL), (Role::Client, SIGSTOP)]
    {
        alone(|sandbox| {
            let world = World::new();
            serve(&world.network, |_, question| vec![question.usual([10, 9, 0, 50], 400)]);
            // Whoever writes alone may boot while it does: the lock of the log comes before that of boots.
            let (receiver, writer) = (Tcp::new(TcpBehaviour::Reads), Writer::new());
            let machine = World::boot_to(sandbox, &receiver.url(), WORDS);
            let root = sandbox.dir().join("memory/image");
            until("the next init", || ran(&root).contains("/init"));
            until("an address", is_up);
            let watcher = proc::children(machine.init().expect("it runs"))[0];
            let (keepers, shippers): (Vec<Pid>, Vec<Pid>) = proc::children(watcher)
                .into_iter()
                .partition(|pid| proc::status(*pid, "Name") == "earlykmsg-netwo");
            let struck = if role == Role::Keeper { keepers[0] } else { proc::children(keepers[0])[0] };
            kill(struck, signal).expect("strike it");
            let text = tag(&format!("{role:?} {signal}"));
            writer.write(&text);
            receiver.lines.wait_for(&text, WITHIN);
            assert!(proc::lives(machine.init().expect("it runs")));
            assert!(shippers.iter().all(|pid| proc::lives(*pid)) && receiver.connections.len() == 1);
            kill(watcher, SIGKILL).expect("kill the watcher");
            until("the network is given back", is_given_back);
        });
    }
}
