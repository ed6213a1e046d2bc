//! Receivers that people have, as processes.

use core::time::Duration;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::binary::workspace;
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
        // A listener has a machine of its own. Here it has the processor before others, so that its buffer does not run over
        // for want of one.
        let child = Command::new("nice")
            .args(["-n", "-10", "setpriv", "--pdeathsig", "KILL", "--", program])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output)
            // In the group of the test it would be hung up if it is stopped while whoever started the test ends.
            .process_group(0)
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

    /// syslog-ng of an [`unpacked`] tree with this configuration.
    pub fn syslog_ng(tree: &Path, sandbox: &Sandbox, config: &str) -> Foreign {
        let own = tree.join("usr/lib/syslog-ng");
        let modules = list(&own).into_iter().find(|path| path.is_dir()).expect("a folder of modules");
        let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
        let libraries = [own, tree.join("usr/lib").join(&triplet), tree.join("lib").join(&triplet)];
        let libraries = libraries.map(|path| path.display().to_string()).join(":");
        let place = |option: &str, name: &str| format!("--{option}={}", sandbox.dir().join(name).display());
        let config = sandbox.file("syslog-ng.conf", config);
        let arguments = [
            format!("LD_LIBRARY_PATH={libraries}"),
            tree.join("usr/sbin/syslog-ng").display().to_string(),
            "--foreground".to_owned(),
            "--no-caps".to_owned(),
            format!("--cfgfile={}", config.display()),
            format!("--module-path={}", modules.display()),
            place("persist-file", "persist"),
            place("pidfile", "pid"),
            place("control", "control"),
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Foreign::start("env", &arguments, &sandbox.dir().join("stdout"))
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).expect("signal a receiver");
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // A shell has started others.
        let _ = killpg(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// The files of a Debian package that cannot be installed beside others, and of what it needs that this machine does
/// not have: unpacked below `target/` once. Needs the network of the machine, not that of a sandbox.
pub fn unpacked(package: &str) -> PathBuf {
    let home = workspace().join("target/packages");
    fs::create_dir_all(&home).expect("make a folder");
    let lock = File::create(home.join("lock")).expect("make a file");
    lock.lock().expect("lock a file");
    let tree = home.join(package);
    if !tree.exists() {
        let work = home.join("part");
        let _ = fs::remove_dir_all(&work); // of one that was broken off
        fs::create_dir_all(&work).expect("make a folder");
        if !download(package, &work) {
            // apt has no lists yet, or old ones.
            output(Command::new("apt-get").args(["update", "--quiet=2"]));
            assert!(download(package, &work), "unable to download {package}");
        }
        let files = list(&work);
        for archive in &files {
            output(Command::new("dpkg").arg("-x").arg(archive).arg(work.join("tree")));
        }
        fs::rename(work.join("tree"), &tree).expect("rename a folder");
        let _ = fs::remove_dir_all(&work);
    }
    tree
}

/// Downloads a package and what it needs into a folder, if apt can.
fn download(package: &str, folder: &Path) -> bool {
    let plan = ["--simulate", "--no-install-recommends", "install", package];
    let plan = Command::new("apt-get").args(plan).stdin(Stdio::null()).output().expect("start apt-get");
    let plan = String::from_utf8_lossy(&plan.stdout);
    let needed: Vec<&str> =
        plan.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next()).collect();
    let download = ["download", "--quiet=2"];
    let status = Command::new("apt-get")
        .args(download)
        .args(&needed)
        .current_dir(folder)
        .stdin(Stdio::null())
        .status();
    needed.contains(&package) && status.expect("start apt-get").success()
}

/// What a command prints, which must succeed.
fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|why| panic!("{command:?}: {why}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The paths in a folder, sorted.
fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("read a folder").path()).collect();
    paths.sort();
    paths
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
pub fn until(what: &str, mut ready: impl FnMut() -> bool) {
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
