//! Who sends: earlykmsg, the floor, other programs, and any that a command line names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use earlykmsg_tests::binary::{self, workspace};
use earlykmsg_tests::proc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::receive::{Receiver, Transport};

/// One that can be started. In its words `{host}`, `{port}`, `{port2}` …, and `{dir}` are filled in.
#[derive(Clone, Debug)]
pub struct Sender {
    /// What the tables call it.
    pub name: String,
    /// How it sends.
    pub transport: Transport,
    /// To how many.
    pub destinations: usize,
    words: Vec<String>,
    /// A file in its folder.
    config: Option<(&'static str, &'static str)>,
    /// Whether it reads what the ring holds at its start.
    pub from_the_start: bool,
    /// Whether it is one of the floors, which nobody would put into an image.
    pub is_floor: bool,
}

/// What the tables compare with.
pub const FLOOR: &str = "floor: raw, 32 KiB batches";
/// The same for datagrams.
pub const FLOOR_UDP: &str = "floor: raw, a datagram each";
/// See [`FLOOR`].
pub const EARLYKMSG: &str = "earlykmsg, TCP";
/// See [`FLOOR`].
pub const EARLYKMSG_UDP: &str = "earlykmsg, UDP";

/// See [`FLOOR`].
pub const EARLYKMSG_SYSLOG: &str = "earlykmsg, syslog over TCP";

const RSYSLOG: (&str, &str) = (
    "rsyslog.conf",
    r#"global(workDirectory="{dir}" maxMessageSize="64k")
module(load="imkmsg")
template(name="line" type="string" string="{\"msg\":\"%msg:::json%\"}\n")
action(type="omfwd" target="{host}" port="{port}" protocol="tcp" template="line"
       queue.type="LinkedList" action.resumeRetryCount="-1" action.resumeInterval="1")
"#,
);

const SYSLOG_NG: (&str, &str) = (
    "syslog-ng.conf",
    r#"@version: 3.38
options { stats-freq(0); };
source s_kernel { file("/dev/kmsg" flags(kernel) program-override("kernel")); };
destination d_tcp { network("{host}" port({port}) transport("tcp")); };
log { source(s_kernel); destination(d_tcp); };
"#,
);

impl Sender {
    fn new(name: &str, transport: Transport, words: &[&str]) -> Sender {
        Sender {
            name: name.to_owned(),
            transport,
            destinations: 1,
            words: words.iter().map(|&word| word.to_owned()).collect(),
            config: None,
            from_the_start: true,
            is_floor: false,
        }
    }

    /// earlykmsg with so many destinations.
    #[must_use]
    pub fn earlykmsg(destinations: usize) -> Sender {
        let program = binary::earlykmsg().to_string_lossy();
        let mut words = vec![&*program, "tcp://{host}:{port}/"];
        words.extend(["tcp://{host}:{port2}/", "tcp://{host}:{port3}/", "tcp://{host}:{port4}/"]);
        words.truncate(1 + destinations);
        Sender { destinations, ..Sender::new(EARLYKMSG, Transport::Tcp, &words) }
    }

    /// earlykmsg with a destination at which nobody listens.
    #[must_use]
    pub fn earlykmsg_to_nobody() -> Sender {
        Sender::new(
            EARLYKMSG,
            Transport::None,
            &[&binary::earlykmsg().to_string_lossy(), "tcp://127.0.0.1:9/"],
        )
    }

    /// The floor in one of its manners, see `bench/floor/floor.c`.
    #[must_use]
    pub fn floor(name: &str, transport: Transport, words: &[&str]) -> Sender {
        let program = floor();
        let program = program.to_string_lossy();
        let words = [&[&*program], words].concat();
        Sender { is_floor: true, ..Sender::new(name, transport, &words) }
    }

    /// The floor that everything is compared with.
    #[must_use]
    pub fn batched() -> Sender {
        Sender::floor(FLOOR, Transport::Tcp, &["batched", "{host}", "{port}"])
    }

    /// All that are known. `more` is how much longer our lines are than the records of the load.
    #[must_use]
    pub fn all(more: usize) -> Vec<Sender> {
        let program = binary::earlykmsg().to_string_lossy();
        let to = ["{host}", "{port}"];
        let pipe = "busybox cat /dev/kmsg | busybox nc {host} {port}";
        let rsyslog = ["rsyslogd", "-n", "-f", "{dir}/rsyslog.conf", "-i", "{dir}/pid"];
        let tree = workspace().join("target/bench/syslog-ng/usr"); // Debian's conflicts with rsyslog: never installed
        let libraries = format!("LD_LIBRARY_PATH={}", tree.join("lib/syslog-ng").display());
        let syslog_ng_program = tree.join("sbin/syslog-ng").to_string_lossy().into_owned();
        let modules = format!("--module-path={}", tree.join("lib/syslog-ng/3.38").display());
        let files =
            ["-f", "{dir}/syslog-ng.conf", "-p", "{dir}/pid", "-c", "{dir}/ctl", "-R", "{dir}/persist"];
        let start = ["env", &libraries, &syslog_ng_program, "--foreground", "--no-caps", &modules];
        let syslog_ng = [&start[..], &files].concat();
        vec![
            Sender::floor("floor: read and drop", Transport::None, &["read"]),
            Sender::batched(),
            Sender::floor(
                "floor: the same with our bytes",
                Transport::Tcp,
                &["batched", to[0], to[1], &more.to_string()],
            ),
            Sender::floor("floor: raw, a write each", Transport::Tcp, &["single", to[0], to[1]]),
            Sender::earlykmsg(1),
            Sender::new(
                EARLYKMSG_SYSLOG,
                Transport::Syslog,
                &[&program, "earlykmsg.to=syslog+tcp://{host}:{port}/"],
            ),
            Sender::floor(FLOOR_UDP, Transport::Udp, &["datagrams", to[0], to[1]]),
            Sender::new(EARLYKMSG_UDP, Transport::Udp, &[&program, "udp://{host}:{port}/"]),
            Sender::new("busybox cat \\| nc", Transport::Tcp, &["sh", "-c", pipe]),
            Sender {
                config: Some(RSYSLOG),
                ..Sender::new("rsyslog imkmsg, omfwd", Transport::Tcp, &rsyslog)
            },
            Sender {
                config: Some(SYSLOG_NG),
                from_the_start: false,
                ..Sender::new("syslog-ng", Transport::Tcp, &syslog_ng)
            },
        ]
    }

    /// One that a command line names: `name=command`, which a shell becomes.
    #[must_use]
    pub fn given(text: &str) -> Option<Sender> {
        let (name, command) = text.split_once('=')?;
        let shell =
            if command.contains(['|', ';', '&']) { command.to_owned() } else { format!("exec {command}") };
        Some(Sender::new(name, Transport::Tcp, &["sh", "-c", &shell]))
    }

    /// Starts it, on the processor that is kept for it, perhaps under a tracer.
    #[must_use]
    pub fn start(&self, receivers: &[Receiver], tracer: &[&str]) -> Running {
        let dir = tempfile::tempdir().expect("make a folder");
        let fill = |text: &str| {
            let mut text =
                text.replace("{host}", "127.0.0.1").replace("{dir}", &dir.path().display().to_string());
            for (number, receiver) in receivers.iter().enumerate() {
                let name = if number == 0 { "{port}".to_owned() } else { format!("{{port{}}}", number + 1) };
                text = text.replace(&name, &receiver.port().unwrap_or_default().to_string());
            }
            text
        };
        if let Some((name, text)) = self.config {
            fs::write(dir.path().join(name), fill(text)).expect("write a configuration");
        }
        let mut words =
            tracer.iter().map(|&word| word.to_owned()).chain(self.words.iter().map(|word| fill(word)));
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).current_dir("/");
        // The words of whoever starts the bench would lie on each one's stack.
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        crate::place::on_senders_processor(|| Running {
            child: command.spawn().unwrap_or_else(|why| panic!("{}: {why}", self.name)),
            traced: !tracer.is_empty(),
            _dir: dir,
        })
    }
}

/// A sender that runs. It is killed with this value.
#[derive(Debug)]
pub struct Running {
    child: Child,
    traced: bool,
    _dir: tempfile::TempDir,
}

impl Running {
    /// Its processes, without a tracer.
    #[must_use]
    pub fn family(&self) -> Vec<Pid> {
        let mut all = proc::family(Pid::from_raw(self.child.id().cast_signed()));
        if self.traced {
            all.remove(0);
        }
        all
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for pid in proc::family(Pid::from_raw(self.child.id().cast_signed())) {
            let _ = kill(pid, Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

/// The program of `floor/floor.c`.
#[must_use]
pub fn floor() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| compiled("bench/floor/floor.c"))
}

/// A static program of one file in C.
pub(crate) fn compiled(source: &str) -> PathBuf {
    let source = workspace().join(source);
    let to = workspace().join("target/bench").join(source.file_stem().expect("a name"));
    fs::create_dir_all(to.parent().expect("a folder")).expect("make a folder");
    let flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", "-static", "-s"];
    let status = Command::new("musl-gcc").args(flags).arg(&source).arg("-o").arg(&to).status();
    assert!(status.expect("start musl-gcc").success(), "{} does not compile", source.display());
    to
}
