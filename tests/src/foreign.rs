//! Receivers that people have, as processes.

use core::time::Duration;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::json::checked;
use crate::sandbox::Sandbox;

const WITHIN: Duration = Duration::from_secs(20);

/// A foreign receiver, ended with this value.
#[derive(Debug)]
pub struct Foreign(Child);

impl Foreign {
    /// Starts it; what it prints goes into a file.
    pub fn start(program: &str, arguments: &[&str], output: &Path) -> Foreign {
        let output = File::create(output).expect("make a file");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", program])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .spawn();
        Foreign(child.unwrap_or_else(|why| panic!("{program}: {why}")))
    }

    /// rsyslogd with this configuration, beside what every one of them needs.
    pub fn rsyslogd(sandbox: &Sandbox, config: &str) -> Foreign {
        let dir = sandbox.dir().display();
        let config = format!(
            "global(workDirectory=\"{dir}\" maxMessageSize=\"64k\" parser.escapeControlCharactersOnReceive=\"off\")\n\
             {config}"
        );
        let config = sandbox.file("rsyslog.conf", config).display().to_string();
        let arguments = ["-n", "-f", &config, "-i", &format!("{dir}/pid")];
        Foreign::start("rsyslogd", &arguments, &sandbox.dir().join("stdout"))
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).expect("signal a receiver");
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The objects that a file holds, with or without newlines between them, each checked for all that holds for
/// every line.
#[track_caller]
pub fn objects(file: &Path) -> Vec<Value> {
    let bytes = fs::read(file).expect("read what arrived");
    let mut stream = serde_json::Deserializer::from_slice(&bytes).into_iter::<IgnoredAny>();
    let (mut objects, mut from) = (Vec::new(), 0);
    while let Some(next) = stream.next() {
        next.unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        objects.push(checked(bytes[from..stream.byte_offset()].trim_ascii()));
        from = stream.byte_offset();
    }
    objects
}

/// Waits until `ready`; a foreign program tells nothing.
#[track_caller]
pub fn until(what: &str, ready: impl Fn() -> bool) {
    let end = Instant::now() + WITHIN;
    while !ready() {
        assert!(Instant::now() < end, "waited {WITHIN:?} for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether someone in this network listens at a port.
pub fn listens(table: &str, port: u16) -> bool {
    let state = if table == "tcp" { " 0A " } else { " 07 " };
    sockets(table).iter().any(|line| line.contains(&format!(":{port:04X} ")) && line.contains(state))
}

/// Bytes that lie unread in connections to a port of this network.
pub fn unread_bytes(port: u16) -> usize {
    let unread = |line: &String| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, _remote, _state) = (fields.next()?, fields.next()?, fields.next()?);
        let (_, unread) = fields.next()?.split_once(':')?;
        local.ends_with(&format!(":{port:04X}")).then(|| usize::from_str_radix(unread, 16).ok())?
    };
    sockets("tcp").iter().filter_map(unread).sum()
}

fn sockets(table: &str) -> Vec<String> {
    let table = fs::read_to_string(format!("/proc/thread-self/net/{table}")).expect("read the sockets");
    table.lines().map(str::to_owned).collect()
}
