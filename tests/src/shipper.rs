//! Who ships the log: earlykmsg, or what people use without it.

use core::net::SocketAddr;
use core::time::Duration;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::proc;
use crate::program::{Program, start, start_on_own_log};
use crate::sandbox::Sandbox;

/// A program that ships the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Ours.
    Earlykmsg,
    /// rsyslogd with imkmsg and omfwd.
    Rsyslog,
    /// busybox `cat | nc`.
    CatNc,
}

/// How long an init waits for all to end.
const REBOOT: Duration = Duration::from_secs(10);

/// A shipper that runs, ended with this value.
#[derive(Debug)]
pub enum Shipper {
    /// Ours.
    Earlykmsg(Program),
    /// Another, or the shell of its pipeline.
    Other(Child),
}

impl Shipper {
    /// Starts one on the machine's log. `protocol` is `tcp` or `udp`.
    #[track_caller]
    pub fn start(kind: Kind, sandbox: &Sandbox, protocol: &str, to: SocketAddr) -> Shipper {
        let (host, port) = (to.ip(), to.port());
        let dir = sandbox.dir().display();
        match kind {
            Kind::Earlykmsg => Shipper::Earlykmsg(start(&format!("{protocol}://{to}/"))),
            Kind::Rsyslog => {
                let config = format!(
                    r#"
global(workDirectory="{dir}" maxMessageSize="64k")
module(load="imkmsg")
template(name="line" type="string" string="{{\"msg\":\"%msg:::json%\"}}\n")
action(type="omfwd" target="{host}" port="{port}" protocol="{protocol}" template="line"
       queue.type="LinkedList" action.resumeRetryCount="-1" action.resumeInterval="1")
"#
                );
                let config = sandbox.file("rsyslog.conf", config).display().to_string();
                Shipper::other(&["rsyslogd", "-n", "-f", &config, "-i", &format!("{dir}/pid")])
            }
            Kind::CatNc => {
                Shipper::other(&["sh", "-c", &format!("busybox cat /dev/kmsg | busybox nc {host} {port}")])
            }
        }
    }

    /// Starts ours on a log of the test's own.
    #[track_caller]
    pub fn start_on_own_log(protocol: &str, to: SocketAddr) -> Shipper {
        Shipper::Earlykmsg(start_on_own_log(&format!("{protocol}://{to}/")))
    }

    fn other(words: &[&str]) -> Shipper {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Shipper::Other(command.spawn().expect("start setpriv"))
    }

    /// Ours.
    #[track_caller]
    pub fn earlykmsg(&self) -> &Program {
        match self {
            Shipper::Earlykmsg(program) => program,
            Shipper::Other(_) => panic!("this is another's"),
        }
    }

    fn pid(&self) -> Pid {
        match self {
            Shipper::Earlykmsg(program) => program.pid,
            Shipper::Other(child) => Pid::from_raw(child.id().cast_signed()),
        }
    }

    /// To all of it, as far as it is there.
    fn signal(&self, signal: Signal) {
        match self {
            Shipper::Earlykmsg(program) => program.signal_all(signal),
            Shipper::Other(_) => {
                for pid in proc::family(self.pid()).into_iter().filter(|pid| proc::lives(*pid)) {
                    let _ = kill(pid, signal);
                }
            }
        }
    }

    /// As an init asks all processes at a reboot.
    pub fn ask_to_end(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// And what it does then: it waits for a while, and kills.
    pub fn wait_or_kill(&self) {
        let end = Instant::now() + REBOOT;
        while self.lives() && Instant::now() < end {
            thread::sleep(Duration::from_millis(20)); // the end of another's children cannot be awaited
        }
        self.signal(Signal::SIGKILL);
    }

    /// Whether all of it is there: of a pipeline that lost one end, the other waits for ever.
    pub fn lives(&self) -> bool {
        match self {
            Shipper::Earlykmsg(program) => !program.has_ended(),
            Shipper::Other(_) => {
                let shell = proc::file(self.pid(), "comm").trim() == "sh";
                proc::lives(self.pid()) && (!shell || proc::children(self.pid()).len() == 2)
            }
        }
    }

    /// What it said on stderr.
    pub fn words(&self) -> Vec<String> {
        match self {
            Shipper::Earlykmsg(program) => program.words.items().clone(),
            Shipper::Other(_) => Vec::new(),
        }
    }
}

impl Drop for Shipper {
    fn drop(&mut self) {
        let pid = self.pid();
        if let Shipper::Other(child) = self {
            for pid in proc::family(pid) {
                let _ = kill(pid, Signal::SIGKILL);
            }
            let _ = child.wait();
        }
    }
}
