//! The program that brings a network up, with faults: a test stands in the watcher's place, and a tracer between the
//! program's processes and the kernel.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, send, socketpair};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::events::Events;
use crate::pid1_sandbox::{STAGE_FAILED, stage};

/// A process of the program, in the order in which they are started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Role {
    /// It gives the network back.
    Keeper,
    /// It loads drivers.
    Loader,
    /// It brings the network up.
    Client,
}

/// What happens to a process at a system call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Happens {
    /// The call fails with this error number.
    Fails(i32),
    /// So do all later ones of its kind.
    FailsFromNowOn(i32),
    /// The process is killed.
    Killed,
    /// It is stopped for ever.
    Stopped,
}

/// A fault.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// Whose.
    pub role: Role,
    /// At which of its system calls, counted from 0 …
    pub place: usize,
    /// … or rather at the first one of this number from there on.
    pub call: Option<i64>,
    /// What.
    pub happens: Happens,
}

/// How it is started.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Start {
    /// The folder that is its root.
    root: PathBuf,
    /// The processes to come.
    roles: Vec<Role>,
    fault: Option<Fault>,
}

/// The program, ended with this value.
#[derive(Debug)]
pub struct NetworkProgram {
    stage: Child,
    channel: Option<OwnedFd>,
    /// What it says, by line.
    pub says: Arc<Events<String>>,
    /// The system calls of its processes, and when the fault happens.
    pub calls: Arc<Events<String>>,
}

const TRACER: &str = "--trace-the-network-program";
const TRACED: &str = "--become-the-network-program";
/// What the tracer prints behind the name of a process that has ended.
const ENDED: &str = " has ended";
/// What the tracer prints when the fault happens.
const HAPPENED: &str = "it happened";

impl NetworkProgram {
    /// Starts it as the watcher does, in the caller's network and the folder `root`, with these words.
    pub fn start(root: &Path, words: &str, fault: Option<Fault>) -> NetworkProgram {
        let (channel, its_end) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .expect("make a channel");
        let has_loader = !words.contains("earlykmsg.modules=none");
        let roles = [Role::Keeper, Role::Loader, Role::Client];
        let roles = roles.into_iter().filter(|role| has_loader || *role != Role::Loader).collect();
        let start = Start { root: root.to_path_buf(), roles, fault };
        let mut stage = Command::new(stage())
            .args([TRACER, &serde_json::to_string(&start).expect("it is data")])
            .stdin(its_end)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start the stage");
        let says = lines_of(stage.stdout.take().expect("it is piped"));
        let calls = lines_of(stage.stderr.take().expect("it is piped"));
        let program = NetworkProgram { stage, channel: Some(channel), says, calls };
        // As in src/channel.rs.
        program.tell(&[&[8], words.as_bytes()].concat());
        program.tell(&[8]);
        program
    }

    /// The root is switched.
    pub fn switch_root(&self) {
        self.tell(&[3, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    /// The watcher ends.
    pub fn end_watcher(&mut self) {
        self.channel = None;
    }

    /// Whether all its processes have ended, and what is told of their calls has been read.
    pub fn has_ended(&mut self) -> bool {
        self.stage.try_wait().expect("wait for the stage").is_some() && self.has_process_ended(Role::Keeper)
    }

    fn has_process_ended(&self, role: Role) -> bool {
        self.calls.items().iter().any(|call| *call == format!("{role:?}{ENDED}"))
    }

    /// Whether the fault has happened.
    pub fn has_happened(&self) -> bool {
        self.calls.items().iter().any(|line| line == HAPPENED)
    }

    /// The system call at which it has.
    pub fn call_of_fault(&self) -> Option<i64> {
        let calls = self.calls.items();
        let happened = calls.iter().position(|line| line == HAPPENED)?;
        calls[happened.checked_sub(1)?].split_once(' ')?.1.parse().ok()
    }

    /// How often the process has made that call again since.
    pub fn repeats_of_fault(&self) -> usize {
        let calls = self.calls.items();
        let Some(happened) = calls.iter().position(|line| line == HAPPENED) else { return 0 };
        let (before, since) = calls.split_at(happened);
        since.iter().filter(|call| Some(*call) == before.last()).count()
    }

    /// Whether there is, or was, such a process.
    pub fn has_started(&self, role: Role) -> bool {
        self.calls.items().iter().any(|call| call.starts_with(&format!("{role:?} ")))
    }

    /// Whether all processes have ended but this one.
    pub fn have_others_ended(&self, this: Role) -> bool {
        let others = [Role::Keeper, Role::Loader, Role::Client].into_iter().filter(|role| *role != this);
        others.filter(|role| self.has_started(*role)).all(|role| self.has_process_ended(role))
    }

    fn tell(&self, packet: &[u8]) {
        let channel = self.channel.as_ref().expect("the watcher has not ended");
        // It may have ended.
        let _ = send(channel.as_raw_fd(), packet, MsgFlags::MSG_NOSIGNAL);
    }
}

impl Drop for NetworkProgram {
    fn drop(&mut self) {
        // With the tracer, all that it traces ends.
        let _ = self.stage.kill();
        let _ = self.stage.wait();
    }
}

fn lines_of(from: impl Read + Send + 'static) -> Arc<Events<String>> {
    let lines = Arc::new(Events::default());
    thread::spawn({
        let lines = Arc::clone(&lines);
        move || {
            for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
                lines.push(String::from_utf8_lossy(&line).into_owned());
            }
        }
    });
    lines
}

/// Does what the arguments ask for, and ends; returns when they ask for nothing.
pub fn enter_if_asked() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, task, start] = arguments.as_slice() else { return };
    if task != TRACER && task != TRACED {
        return;
    }
    let start: Start = serde_json::from_str(start).expect("how to start");
    let done = if task == TRACER { trace(&start) } else { become_program(&start) };
    if let Err(why) = done {
        eprintln!("stage: {why}");
        std::process::exit(STAGE_FAILED);
    }
    std::process::exit(0);
}

fn become_program(start: &Start) -> nix::Result<()> {
    nix::unistd::chroot(&start.root)?;
    nix::unistd::chdir("/")?;
    ptrace::traceme()?;
    nix::unistd::execve::<_, &core::ffi::CStr>(c"/earlykmsg.d/network", &[c"@earlykmsg"], &[])?;
    Ok(())
}

/// A process that is traced.
struct Process {
    role: Role,
    /// How many system calls it has begun.
    calls: usize,
    /// Whether it is in one.
    is_in_call: bool,
    /// How the one fails that it is in.
    fails: Option<i32>,
}

/// Starts the program and stands beside it until all its processes have ended.
fn trace(start: &Start) -> nix::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    let this = std::env::current_exe().expect("the path of this program");
    let start_text = serde_json::to_string(start).expect("it is data");
    let program = Command::new(this).args([TRACED, &start_text]).stderr(Stdio::null()).spawn();
    let program = Pid::from_raw(program.expect("start the program").id().cast_signed());
    // The channel is the program's alone: its end is to be seen.
    nix::unistd::close(0)?;
    let mut tracer = Tracer { start, processes: BTreeMap::new(), failing: None, has_happened: false };
    tracer.add(program);
    loop {
        match waitpid(None, Some(WaitPidFlag::__WALL)) {
            Ok(status) => tracer.go_on(status)?,
            Err(Errno::ECHILD) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
}

struct Tracer<'a> {
    start: &'a Start,
    processes: BTreeMap<Pid, Process>,
    /// The call that fails from now on, in the role of the fault.
    failing: Option<i64>,
    has_happened: bool,
}

#[cfg(target_arch = "x86_64")]
impl Tracer<'_> {
    /// Takes note of a process; they come in the order of their roles.
    fn add(&mut self, pid: Pid) {
        if !self.processes.contains_key(&pid) {
            let role = self.start.roles.get(self.processes.len()).copied().expect("no more than expected");
            self.processes.insert(pid, Process { role, calls: 0, is_in_call: false, fails: None });
        }
    }

    fn go_on(&mut self, status: WaitStatus) -> nix::Result<()> {
        let Some(pid) = status.pid() else { return Ok(()) };
        let signal = match status {
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => {
                let process = self.processes.get(&pid).expect("it is known");
                eprintln!("{:?}{ENDED}", process.role);
                return Ok(());
            }
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_CLONE) => {
                self.add(Pid::from_raw(ptrace::getevent(pid)? as i32));
                None
            }
            WaitStatus::PtraceSyscall(_) => {
                if !self.takes_call(pid)? {
                    return Ok(());
                }
                None
            }
            // The program has begun.
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {
                let options = Options::PTRACE_O_TRACESYSGOOD
                    | Options::PTRACE_O_TRACEFORK
                    | Options::PTRACE_O_TRACECLONE
                    | Options::PTRACE_O_EXITKILL;
                ptrace::setoptions(pid, options)?;
                None
            }
            // A new process.
            WaitStatus::Stopped(_, Signal::SIGSTOP) => {
                self.add(pid);
                None
            }
            WaitStatus::Stopped(_, signal) => Some(signal),
            _ => None,
        };
        match ptrace::syscall(pid, signal) {
            // Somebody has killed it meanwhile.
            Err(Errno::ESRCH) => Ok(()),
            done => done,
        }
    }

    /// A call begins or ends. Returns whether the process goes on.
    fn takes_call(&mut self, pid: Pid) -> nix::Result<bool> {
        let process = self.processes.get_mut(&pid).expect("it is known");
        let mut registers = match ptrace::getregs(pid) {
            // Somebody has killed it meanwhile.
            Err(Errno::ESRCH) => return Ok(false),
            registers => registers?,
        };
        process.is_in_call = !process.is_in_call;
        if !process.is_in_call {
            if let Some(errno) = process.fails.take() {
                registers.rax = i64::from(-errno).cast_unsigned();
                ptrace::setregs(pid, registers)?;
            }
            return Ok(true);
        }
        let (number, place) = (registers.orig_rax.cast_signed(), process.calls);
        process.calls += 1;
        eprintln!("{:?} {number}", process.role);
        let Some(fault) = self.start.fault.filter(|fault| fault.role == process.role) else {
            return Ok(true);
        };
        let is_here = fault.call.map_or(place == fault.place, |call| call == number && place >= fault.place);
        let is_first = is_here && !self.has_happened;
        if !is_first && self.failing != Some(number) {
            return Ok(true);
        }
        if is_first {
            self.has_happened = true;
            eprintln!("{HAPPENED}");
        }
        let errno = match fault.happens {
            Happens::Killed => {
                kill(pid, Signal::SIGKILL)?;
                return Ok(false);
            }
            Happens::Stopped => return Ok(false),
            Happens::Fails(errno) => errno,
            Happens::FailsFromNowOn(errno) => {
                self.failing = Some(number);
                errno
            }
        };
        process.fails = Some(errno);
        registers.orig_rax = libc::SYS_getpid as u64; // which the filters allow
        ptrace::setregs(pid, registers)?;
        Ok(true)
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Tracer<'_> {
    fn add(&mut self, _: Pid) {}

    /// Other machines have other registers; nobody has written that yet.
    fn go_on(&mut self, _: WaitStatus) -> nix::Result<()> {
        Err(Errno::ENOSYS)
    }
}
