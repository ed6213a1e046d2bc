//! Many shippers on one machine's log, each as a machine of its own would start it.

use core::time::Duration;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use earlykmsg_tests::kmsg::Writer;
use earlykmsg_tests::sandbox::Sandbox;
use earlykmsg_tests::{binary, proc};
use nix::sys::signal::{Signal, killpg};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::Pid;

/// The machines, ended with this value.
#[derive(Debug)]
pub struct Machines {
    /// Holds their namespace.
    unshare: Child,
}

/// What they used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Processor time of all processes.
    pub cpu: Duration,
    /// Of a watcher and its shipper, in kB, on the average of some.
    pub pss_kb: u64,
    /// Processes that run.
    pub processes: usize,
}

/// Makes the log of this sandbox the machine's own, but none that the program could write to: what thousands say there
/// would push out what they are to send.
pub fn read_only_log(sandbox: &Sandbox) {
    let path = sandbox.dir().join("kmsg");
    mknod(&path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o444), makedev(1, 11)).expect("make a device");
    sandbox.bind(&path, "/dev/kmsg");
}

/// Writes the records that everybody is to get, of level notice. Returns their text's beginning.
pub fn write_records(writer: &Writer, tag: &str, count: usize) {
    for number in 0..count {
        writer.write_at(
            5,
            &format!("{tag} {number:05} pci 0000:00:1f.2: BAR 5 [mem 0xfebd1000-0xfebd1fff]: assigned"),
        );
    }
}

impl Machines {
    /// Starts so many as fast as the machine allows. Each sends what is of level notice or worse, with its number.
    #[must_use]
    pub fn start(count: usize, url: &str) -> Machines {
        // One shell starts them all. It is the first process of a namespace, with which all the others end, whoever is killed.
        let script = "i=0; while [ $i -lt $0 ]; do \"$1\" earlykmsg.level=notice earlykmsg.tags=machine=$i \"$2\" & \
                      i=$((i + 1)); done; wait";
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig=KILL", "--bounding-set=-dac_override", "--"]);
        command.args(["unshare", "--pid", "--fork", "--kill-child=KILL", "sh", "-c", script]);
        command.arg(count.to_string()).arg(binary::earlykmsg()).arg(url);
        command.current_dir("/").process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Machines { unshare: command.spawn().expect("start setpriv") }
    }

    /// What they have used so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        const SAMPLE: usize = 20;
        let shell = children_of(&[self.pid()]);
        let watchers = children_of(&shell);
        let shippers = children_of(&watchers);
        let all = || watchers.iter().chain(&shippers);
        let cpu = all().filter_map(|&pid| proc::try_cpu(pid)).sum();
        let pss = |pids: &[Pid]| pids.iter().take(SAMPLE).map(|&pid| proc::pss_kb(pid)).sum::<u64>();
        let sampled = watchers.len().clamp(1, SAMPLE) as u64;
        Usage { cpu, pss_kb: (pss(&watchers) + pss(&shippers)) / sampled, processes: all().count() }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.unshare.id().cast_signed())
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.unshare.wait();
    }
}

/// The children of all these.
fn children_of(parents: &[Pid]) -> Vec<Pid> {
    let child = |pid: &Pid| {
        let task =
            Path::new("/proc").join(pid.to_string()).join("task").join(pid.to_string()).join("children");
        std::fs::read_to_string(task).unwrap_or_default()
    };
    let lists = parents.iter().map(child).collect::<Vec<_>>();
    lists
        .iter()
        .flat_map(|list| list.split_whitespace())
        .filter_map(|pid| pid.parse().ok())
        .map(Pid::from_raw)
        .collect()
}
