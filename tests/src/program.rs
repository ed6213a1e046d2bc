//! The program, started by hand.

use core::time::Duration;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::events::Events;
use crate::foreign::until;
use crate::kmsg::ring;
use crate::record::Record;
use crate::{binary, proc};

/// Starts it with one destination, on the machine's own log.
#[track_caller]
pub fn start(url: &str) -> Program {
    Run::new(&[url]).start_on_ring()
}

/// Starts it with one destination, on a log of the test's own that is empty. From then on nobody but its shipper reads
/// that.
#[track_caller]
pub fn start_on_own_log(url: &str) -> Program {
    let program = Run::fed(&[url]).start();
    program.says("shipping to ", START);
    until("a shipper", || program.shippers().len() == 1);
    program
}

/// How long it may take to start.
const START: Duration = Duration::from_secs(10);

/// What makes a user of setpriv who owns nothing.
const AS_NOBODY: [&str; 5] = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];

/// How to start it.
#[derive(Clone, Debug)]
pub struct Run {
    privileges: Vec<&'static str>,
    held: Option<PathBuf>,
    tracer: Vec<String>,
    arguments: Vec<String>,
}

impl Run {
    /// On the machine's own log.
    pub fn new<S: AsRef<str>>(arguments: &[S]) -> Run {
        let arguments = arguments.iter().map(|argument| argument.as_ref().to_owned()).collect();
        Run { privileges: Vec::new(), held: None, tracer: Vec::new(), arguments }
    }

    /// On a fake log: without the right to write into what it may only read.
    pub fn fed<S: AsRef<str>>(arguments: &[S]) -> Run {
        Run { privileges: vec!["--bounding-set", "-dac_override"], ..Run::new(arguments) }
    }

    /// As a user who may do nothing but read the kernel's log.
    #[must_use]
    pub fn as_nobody(self) -> Run {
        let may = ["--inh-caps", "-all,+syslog", "--ambient-caps", "-all,+syslog"];
        Run { privileges: [AS_NOBODY.as_slice(), &may].concat(), ..self }
    }

    /// As a user who may do nothing that not every user may.
    #[must_use]
    pub fn as_anybody(self) -> Run {
        Run { privileges: [AS_NOBODY.as_slice(), &["--inh-caps", "-all"]].concat(), ..self }
    }

    /// With this file open as descriptor 9, as a careless caller leaves it.
    #[must_use]
    pub fn holding(mut self, path: &Path) -> Run {
        self.held = Some(path.to_path_buf());
        self
    }

    /// With this file as its `/proc/net/pnp`, which is a process's own: a network namespace's is not there.
    #[must_use]
    pub fn with_pnp(mut self, path: &Path) -> Run {
        let folder = path.parent().expect("a file in a folder").display();
        self.tracer = ["sh", "-c", "mount --bind \"$0\" /proc/$$/net && exec \"$@\"", &folder.to_string()]
            .map(str::to_owned)
            .to_vec();
        self
    }

    /// With SIGHUP ignored, as `nohup` has it.
    #[must_use]
    pub fn without_hangups(self) -> Run {
        Run { tracer: ["env", "--ignore-signal=HUP"].map(str::to_owned).to_vec(), ..self }
    }

    /// With a priority that no usual process takes the processor from.
    #[must_use]
    pub fn before_all_others(self) -> Run {
        Run { tracer: ["chrt", "--fifo", "1"].map(str::to_owned).to_vec(), ..self }
    }

    /// As the one child of `strace` with these arguments, so that system calls can be made to fail.
    #[must_use]
    pub fn traced(self, arguments: &[&str]) -> Run {
        let words = ["strace", "-f", "-qq"].iter().chain(arguments);
        Run { tracer: words.map(|&word| word.to_owned()).collect(), ..self }
    }

    /// All but the tracer change what they are told to and become the program.
    fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).args(&self.privileges).arg("--");
        if let Some(path) = &self.held {
            command.args(["sh", "-c", "exec 9<\"$0\" \"$@\""]).arg(path);
        }
        command.args(&self.tracer).arg(binary::earlykmsg()).args(&self.arguments).current_dir("/");
        command.process_group(0); // for `Program::signal_all`
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts it.
    pub fn start(&self) -> Program {
        self.start_with_stderr(Stdio::piped())
    }

    /// Starts it with this as its stderr: what it says there is not read.
    pub fn start_with_stderr(&self, stderr: impl Into<Stdio>) -> Program {
        let mut child = self.command().stderr(stderr).spawn().expect("start setpriv");
        let pid = Pid::from_raw(child.id().cast_signed());
        let (words, ended) = (Arc::new(Events::default()), Arc::new(Events::default()));
        let stderr = child.stderr.take();
        let reader = thread::spawn({
            let words = Arc::clone(&words);
            move || {
                let Some(stderr) = stderr else { return };
                for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                    words.push(String::from_utf8_lossy(&line).into_owned());
                }
            }
        });
        let mut stdout = child.stdout.take().expect("stdout");
        let waiter = thread::spawn({
            let ended = Arc::clone(&ended);
            move || wait(&mut child, &ended)
        });
        let printer = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stdout.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let traced = self.tracer.first().is_some_and(|tracer| tracer == "strace");
        Program {
            pid,
            traced,
            first_record: None,
            words,
            ended,
            threads: Some((reader, printer, waiter)),
            started: Instant::now(),
        }
    }

    /// Starts it on the machine's own log, and notes which was the oldest record there at that moment.
    #[track_caller]
    pub fn start_on_ring(&self) -> Program {
        let before = ring();
        let mut program = self.start();
        let said = program.says("shipping to ", START);
        program.first_record = Some(oldest_at_start(&before, &ring(), &said));
        program
    }

    /// Starts it and waits until each of its destinations is connected. A fake log is fed only then: what is in
    /// it before goes to the first who reads, and the start reads the end of the log.
    #[track_caller]
    pub fn start_connected(&self) -> Program {
        let program = self.start();
        let start = program.says("shipping to ", START);
        for url in start.split(' ').filter(|word| word.contains("://")) {
            program.says(&format!("connected to {url}"), START);
        }
        program
    }

    /// Starts it and waits for its end.
    #[track_caller]
    pub fn finish(&self, within: Duration) -> Finished {
        self.start().finish(within)
    }
}

/// The oldest record of the ring when a program started, by what the ring held before its start and after its first
/// words, which it says before anything else. When nobody else wrote meanwhile, it is the oldest that was there before.
/// Otherwise the others may have pushed that one out in time; what is the oldest after those words was there for sure.
/// (Another program with the same destination, in a network of its own, says the same words.)
fn oldest_at_start(before: &[Record], after: &[Record], said: &str) -> u64 {
    let oldest = |ring: &[Record]| ring.first().map_or(0, |record| record.seq);
    let next = before.last().map_or(0, |record| record.seq + 1);
    let says_so = |record: &&Record| record.seq >= next && record.msg.trim_end() == said;
    let said_at: Vec<u64> = after.iter().filter(says_so).map(|record| record.seq).collect();
    if said_at == [next] { oldest(before) } else { oldest(after) }
}

fn wait(child: &mut Child, ended: &Events<ExitStatus>) {
    ended.push(child.wait().expect("wait for the program"));
}

/// The program, running. Ended with all its children when this value is dropped.
#[derive(Debug)]
pub struct Program {
    /// The watcher, or its tracer.
    pub pid: Pid,
    traced: bool,
    /// The oldest record of the log when it started, if that was noted: see [`Run::start_on_ring`].
    pub first_record: Option<u64>,
    /// What it says on stderr, by line.
    pub words: Arc<Events<String>>,
    ended: Arc<Events<ExitStatus>>,
    threads: Option<(JoinHandle<()>, JoinHandle<String>, JoinHandle<()>)>,
    started: Instant,
}

/// How it ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit code, or none when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its stdout.
    pub stdout: String,
    /// Its stderr, by line.
    pub words: Vec<String>,
    /// How long it ran.
    pub took: Duration,
}

impl Program {
    /// The watcher; none when it is not there yet, or has ended.
    pub fn watcher(&self) -> Option<Pid> {
        if self.traced { proc::children(self.pid).first().copied() } else { Some(self.pid) }
    }

    /// Sends a signal to the watcher.
    pub fn signal(&self, signal: Signal) {
        if let Some(watcher) = self.watcher() {
            kill(watcher, signal).expect("signal the program");
        }
    }

    /// Sends a signal to all its processes at once, as an init does at a reboot.
    pub fn signal_all(&self, signal: Signal) {
        let _ = killpg(self.pid, signal); // they may have ended by now
    }

    /// The shippers that run now.
    pub fn shippers(&self) -> Vec<Pid> {
        self.watcher().map_or_else(Vec::new, proc::children)
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Waits for a line on stderr that holds `part`.
    #[track_caller]
    pub fn says(&self, part: &str, within: Duration) -> String {
        let find = |words: &[String]| words.iter().find(|line| line.contains(part)).cloned();
        if let Some(line) = self.words.try_wait(within, find) {
            return line;
        }
        panic!("waited {within:?} for '{part}'; it said {:#?}", *self.words.items());
    }

    /// Waits whether it ends `within` this.
    pub fn ends_within(&self, within: Duration) -> bool {
        self.ended.try_wait(within, |ended| ended.first().map(|_| ())).is_some()
    }

    /// Waits for its end; gives its exit code, none when a signal ended it.
    #[track_caller]
    pub fn code(&self, within: Duration) -> Option<i32> {
        self.ended.wait(within, "the program's end", |ended| ended.first().map(ExitStatus::code))
    }

    /// Waits for its end.
    #[track_caller]
    pub fn finish(self, within: Duration) -> Finished {
        let words = Arc::clone(&self.words);
        let end = self.ends(within);
        end.unwrap_or_else(|| panic!("still running after {within:?}; it said {:#?}", *words.items()))
    }

    /// As [`Program::finish`]; none when it still runs.
    pub fn ends(mut self, within: Duration) -> Option<Finished> {
        let status = self.ended.try_wait(within, |ended| ended.first().copied())?;
        let took = self.started.elapsed();
        let (reader, printer, waiter) = self.threads.take().expect("it finishes once");
        waiter.join().expect("wait for the program");
        reader.join().expect("read stderr");
        let stdout = printer.join().expect("read stdout");
        let words = self.words.items().clone();
        Some(Finished { code: status.code(), signal: status.signal(), stdout, words, took })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !self.ended.is_empty() {
            return; // its process id may be another's by now
        }
        for pid in proc::family(self.pid) {
            let _ = kill(pid, Signal::SIGKILL); // the watcher first, so that it starts no other
        }
        if let Some((.., waiter)) = self.threads.take() {
            let _ = waiter.join();
        }
        if thread::panicking() {
            eprintln!("the program said {:#?}", *self.words.items());
        }
    }
}

impl Finished {
    /// Whether a line on stderr holds `part`.
    pub fn said(&self, part: &str) -> bool {
        self.words.iter().any(|line| line.contains(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring_of(seqs: core::ops::RangeInclusive<u64>, words_at: &[u64]) -> Vec<Record> {
        let msg = |seq| if words_at.contains(&seq) { "earlykmsg: shipping\n" } else { "other\n" };
        seqs.map(|seq| Record { code: 14, seq, clock: 0, msg: msg(seq).to_owned() }).collect()
    }

    #[test]
    fn what_others_write_at_a_start() {
        let oldest = |words_at: &[u64]| {
            let (before, after) = (ring_of(10..=19, &[]), ring_of(13..=23, words_at));
            oldest_at_start(&before, &after, "earlykmsg: shipping")
        };
        assert_eq!(oldest(&[20]), 10, "it was the first to write");
        assert_eq!(oldest(&[15, 20]), 10, "another said the same before");
        assert_eq!(oldest(&[21]), 13, "another was the first");
        assert_eq!(oldest(&[20, 22]), 13, "it may have been either");
        assert_eq!(oldest(&[]), 13, "its words are not there");
    }
}
