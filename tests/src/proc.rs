//! What `/proc` says of a process.

use core::time::Duration;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use nix::unistd::Pid;

/// One file of `/proc/PID`; empty when the process is gone.
pub fn file(pid: Pid, name: &str) -> String {
    String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default()).into_owned()
}

/// One line of `/proc/PID/status`, without its name.
pub fn status(pid: Pid, name: &str) -> String {
    let all = file(pid, "status");
    let line = all.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.map(|value| value.trim().to_owned()).unwrap_or_default()
}

/// A number of `/proc/PID/status`: kilobytes, a count, a mask's decimal digits.
pub fn number(pid: Pid, name: &str) -> u64 {
    let value = status(pid, name);
    let digits = value.split_whitespace().next().unwrap_or_default();
    digits.parse().unwrap_or_else(|_| panic!("{name} of {pid} is '{value}'"))
}

/// Kilobytes that only this process uses, and its part of those that it shares.
pub fn pss_kb(pid: Pid) -> u64 {
    let all = file(pid, "smaps_rollup");
    let line = all.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|value| value.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

/// The time that a process has run so far.
pub fn cpu(pid: Pid) -> Duration {
    try_cpu(pid).unwrap_or_else(|| panic!("no schedstat of {pid}"))
}

/// As [`cpu`]; none when the process is gone.
pub fn try_cpu(pid: Pid) -> Option<Duration> {
    let all = file(pid, "schedstat");
    all.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// The time that a process has run or has had to wait for a processor; what spins does nothing else.
pub fn busy(pid: Pid) -> Duration {
    let all = file(pid, "schedstat");
    let fields = all.split_whitespace().take(2).filter_map(|field| field.parse().ok());
    fields.map(Duration::from_nanos).sum()
}

/// How often a process has begun to wait.
pub fn waits(pid: Pid) -> u64 {
    number(pid, "voluntary_ctxt_switches")
}

/// Whether a process stands still in the call in which it waits for events.
pub fn waits_in_poll(pid: Pid) -> bool {
    // `running`, or the number of the call that it sleeps in and its arguments.
    file(pid, "syscall").split(' ').next().and_then(|number| number.parse().ok())
        == Some(nix::libc::SYS_ppoll)
}

/// Whether a process waits for events, and for nothing that is due.
pub fn waits_without_end(pid: Pid) -> bool {
    // The third argument, after the number, is where the time stands.
    waits_in_poll(pid) && file(pid, "syscall").split(' ').nth(3) == Some("0x0")
}

/// The children of a process, oldest first.
pub fn children(parent: Pid) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").expect("read /proc").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw));
    let mut pids: Vec<Pid> = pids.filter(|&pid| self::parent(pid) == Some(parent)).collect();
    pids.sort_unstable();
    pids
}

/// A process and all that descend from it.
pub fn family(eldest: Pid) -> Vec<Pid> {
    let mut family = vec![eldest];
    let mut next = 0;
    while let Some(&pid) = family.get(next) {
        family.extend(children(pid));
        next += 1;
    }
    family
}

/// The parent; none when the process is gone or a zombie.
fn parent(pid: Pid) -> Option<Pid> {
    let stat = file(pid, "stat");
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    (state != "Z").then(|| fields.next()?.parse().ok().map(Pid::from_raw))?
}

/// Whether a process is there and not a zombie.
pub fn lives(pid: Pid) -> bool {
    parent(pid).is_some()
}

/// What each descriptor of a process is.
pub fn descriptors(pid: Pid) -> BTreeMap<u32, PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let number = |entry: &fs::DirEntry| entry.file_name().to_str().and_then(|name| name.parse().ok());
    entries.filter_map(|entry| Some((number(&entry)?, fs::read_link(entry.path()).ok()?))).collect()
}

/// Requires that a process has `NET_ADMIN` and no other capability, a filter, no environment, and the name that systemd spares
/// in an initramfs.
#[track_caller]
pub fn assert_has_net_admin_alone(pid: Pid) {
    const NET_ADMIN: &str = "0000000000001000";
    const NONE: &str = "0000000000000000";
    for (set, want) in
        [("CapPrm", NET_ADMIN), ("CapEff", NET_ADMIN), ("CapInh", NONE), ("CapBnd", NONE), ("CapAmb", NONE)]
    {
        assert_eq!(status(pid, set), want, "{set}");
    }
    assert_eq!((number(pid, "NoNewPrivs"), number(pid, "Seccomp")), (1, 2));
    assert_eq!(file(pid, "cmdline"), "@earlykmsg\0");
    assert_eq!(file(pid, "environ"), "");
    println!("Pss {} kB", pss_kb(pid));
}
