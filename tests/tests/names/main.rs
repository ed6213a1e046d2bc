//! Destinations by name: what name servers, files and addresses with faults do to them.
//!
//! `faults` of name servers, `cases` of files and addresses, `files` that an initramfs has, and what is said when the
//! network is `not_up`.
//!
//! Each case has a network, an `/etc` and a kernel log of its own, and runs beside all others of its test. Times
//! count from the first question that a name server got, from the program's first word where there is none, or from
//! when the fault was over. A table of what came of each is printed; `docs/measurements/names.md` holds one.

mod cases;
mod faults;
mod files;
mod not_up;

use core::cell::Cell;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::symlink;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use earlykmsg_tests::kmsg::{Fake, Writer, tag};
use earlykmsg_tests::nameserver::DnsFault::{
    Answers, Changed, Code, Each, Flood, From, Late, OneByOne, Silent, Truncated, Twice, WithEdns,
};
use earlykmsg_tests::nameserver::{DnsFault, NameServer, OverTcp, question_end};
use earlykmsg_tests::proc;
use earlykmsg_tests::program::{Program, Run};
use earlykmsg_tests::receiver::{End, Lines, Tcp, TcpBehaviour, Udp};
use earlykmsg_tests::sandbox::{Network, Sandbox, advertise_router, alone, drop_packets_to, ip};
use nix::mount::umount;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;

const WITHIN: Duration = Duration::from_secs(20);

/// What a busy machine may add to any time. Less than a silent name server costs.
const SLACK_MS: u64 = 1_800;

const PORT: u16 = 5044;
const URL: &str = "tcp://logs.example:5044/";
const RECEIVER: &str = "127.0.9.1";
/// Where no connection may ever come: only answers that must not be believed name it.
const TRAP: &str = "127.0.9.66";
const SERVER: &str = "127.0.53.1";
const SECOND: &str = "127.0.53.2";
const RIGHT: &str = "logs.example 300 A 127.0.9.1";
const FALSE: &str = "logs.example 300 A 127.0.9.66";

fn address(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn receiver(at: &str) -> Tcp {
    Tcp::at((address(at), PORT).into(), TcpBehaviour::Reads)
}

/// What the program finds where it is started.
struct Home<'s> {
    sandbox: &'s Sandbox,
    etc: PathBuf,
    kmsg: Fake,
    fed: Cell<u64>,
}

impl Home<'_> {
    fn new(sandbox: &Sandbox) -> Home<'_> {
        Home { sandbox, etc: sandbox.etc(), kmsg: Fake::new(sandbox), fed: Cell::new(0) }
    }

    /// Puts a file into `/etc`, in place of one that is there.
    fn write(&self, name: &str, text: &str) {
        let new = self.sandbox.file("new", text);
        // What is bound over `/etc` is a folder of the test's: the name changes there at once.
        fs::rename(new, self.etc.join(name)).expect("rename a file");
    }

    /// What is `/run` to the program.
    fn run(&self) -> PathBuf {
        self.sandbox.dir().join("run")
    }

    fn name_servers(&self, servers: &[&str]) {
        let line = |server: &&str| format!("nameserver {server}\n");
        self.write("resolv.conf", &servers.iter().map(line).collect::<String>());
    }

    fn start(&self, url: &str) -> Program {
        Run::fed(&[url]).start()
    }

    /// Starts it; says when it had its first word.
    #[track_caller]
    fn start_now(&self, url: &str) -> (Program, Instant) {
        let program = self.start(url);
        program.says("shipping to ", WITHIN);
        (program, Instant::now())
    }

    /// From now on the log is the machine's own, which can be gone back in.
    fn real_log(&self) {
        umount("/dev/kmsg").expect("take the fake log away");
    }

    /// A record is written now, and arrives.
    #[track_caller]
    fn record_arrives(&self, lines: &Lines) {
        let number = self.fed.replace(self.fed.get() + 1);
        self.kmsg.feed(format!("6,{number},{},-;record {number}.\n", 1_000_000 + number));
        lines.wait_for(&format!("record {number}."), WITHIN);
    }

    /// The receiver gets a connection, its first, and a record; says when that was.
    #[track_caller]
    fn reaches(&self, receiver: &Tcp) -> Instant {
        let at = receiver.connections.wait(WITHIN, "a connection", |all| all.first().copied());
        self.record_arrives(&receiver.lines);
        at
    }
}

/// What came of a case, and after how long.
struct Outcome {
    of_it: String,
    after: Duration,
}

impl Outcome {
    fn new(of_it: &str, after: Duration) -> Outcome {
        Outcome { of_it: of_it.to_owned(), after }
    }

    /// Connected, so many milliseconds after `since`.
    #[track_caller]
    fn connected(since: Instant, at: Instant, ms: RangeInclusive<u64>) -> Outcome {
        let after = at.saturating_duration_since(since);
        let took_ms = after.as_millis() as u64;
        assert!(ms.contains(&took_ms), "connected after {took_ms} ms instead of {ms:?}");
        Outcome::new("connected", after)
    }
}

/// At once, and what a busy machine adds.
const SOON: RangeInclusive<u64> = 0..=SLACK_MS;

/// Such a wait, and what a busy machine adds; it may also be late in noticing the beginning.
const fn about(ms: u64) -> RangeInclusive<u64> {
    ms / 2..=ms + SLACK_MS
}

type Case<'c> = (String, Box<dyn FnOnce(&Home<'_>) -> Outcome + Send + 'c>);

/// Runs the cases, all at once, and prints what came of them.
fn side_by_side(cases: Vec<Case<'_>>) {
    let mut failed = None;
    let mut table = String::from("| what is wrong | what came of it | after |\n| --- | --- | --: |\n");
    thread::scope(|scope| {
        let run =
            |case: Box<dyn FnOnce(&Home<'_>) -> Outcome + Send>| alone(|sandbox| case(&Home::new(sandbox)));
        let running: Vec<_> =
            cases.into_iter().map(|(fault, case)| (fault, scope.spawn(move || run(case)))).collect();
        for (fault, thread) in running {
            match thread.join() {
                Ok(outcome) => {
                    table +=
                        &format!("| {fault} | {} | {:.2} s |\n", outcome.of_it, outcome.after.as_secs_f64());
                }
                Err(why) => {
                    let text = why.downcast_ref::<String>().cloned();
                    table += &format!("| {fault} | FAILED: {} | |\n", text.unwrap_or_default());
                    failed = Some(why);
                }
            }
        }
    });
    println!("\n{table}");
    if let Some(why) = failed {
        resume_unwind(why);
    }
}
