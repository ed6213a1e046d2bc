//! What each process of the program may do: seen from outside, and tried from inside.

use core::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use earlykmsg_tests::intruder::make_call;
use earlykmsg_tests::kmsg::{RingLock, Writer, tag};
use earlykmsg_tests::proc;
use earlykmsg_tests::program::{Program, Run};
use earlykmsg_tests::receiver::{Tcp, TcpBehaviour, Udp};
use earlykmsg_tests::sandbox::alone;
use nix::libc;
use nix::unistd::Pid;

const WITHIN: Duration = Duration::from_secs(30);
const INTRUDER: &str = env!("CARGO_BIN_EXE_intruder");
const NO_CAPABILITY: &str = "0000000000000000";

/// A soft and a hard limit, as `/proc/PID/limits` shows them.
fn limits(pid: Pid, name: &str) -> (String, String) {
    let all = proc::file(pid, "limits");
    let line = all.lines().find_map(|line| line.strip_prefix(name)).expect("a limit of this name");
    let mut fields = line.split_whitespace().map(str::to_owned);
    (fields.next().expect("a soft limit"), fields.next().expect("a hard limit"))
}

#[test]
fn a_shipper_has_no_privilege() {
    alone(|_| {
        let (tcp, udp) = (Tcp::new(TcpBehaviour::Reads), Udp::new());
        let program = Run::new(&[tcp.url(), udp.url()]).start();
        tcp.lines.wait_count(1, WITHIN);
        udp.lines.wait_count(1, WITHIN);
        let shippers = program.shippers();
        assert_eq!(shippers.len(), 2, "one a destination");
        let mut users = BTreeSet::new();
        for shipper in shippers {
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                assert_eq!(proc::status(shipper, set), NO_CAPABILITY, "{set}");
            }
            for ids in ["Uid", "Gid"] {
                let ids: BTreeSet<u64> = proc::status(shipper, ids)
                    .split_whitespace()
                    .map(|id| id.parse().expect("an id"))
                    .collect();
                assert_eq!(ids.len(), 1, "real, effective, saved and file system id");
                assert!(!ids.contains(&0), "root");
            }
            users.insert(proc::status(shipper, "Uid"));
            assert_eq!(proc::status(shipper, "Groups"), "");
            assert_eq!(proc::number(shipper, "NoNewPrivs"), 1);
            assert_eq!(proc::number(shipper, "Seccomp"), 2);
            for (name, most) in [
                ("Max processes", 0),
                ("Max core file size", 0),
                ("Max open files", 16),
                ("Max address space", 1024 * 1024),
                ("Max stack size", 48 * 1024),
            ] {
                let (soft, hard) = limits(shipper, name);
                assert_eq!(soft, hard, "{name}");
                assert!(soft.parse::<u64>().expect("a bound") <= most, "{name}: {soft}");
            }
            for place in ["root", "cwd"] {
                let seen = fs::read_dir(format!("/proc/{shipper}/{place}")).expect("look at its root");
                assert_eq!(seen.count(), 0, "{place} shows files");
                let made = fs::write(format!("/proc/{shipper}/{place}/x"), "");
                assert!(made.is_err(), "{place} can be written to, even by root");
            }
            let owner = fs::metadata(format!("/proc/{shipper}/maps")).expect("its files");
            assert_eq!(
                std::os::unix::fs::MetadataExt::uid(&owner),
                0,
                "dumpable: it may be traced by its user"
            );
        }
        assert_eq!(users.len(), 2, "a user id of its own each");
    });
}

#[test]
fn the_watcher_keeps_what_it_needs() {
    const SETGID: u64 = 1 << 6;
    const SETUID: u64 = 1 << 7;
    const KILL: u64 = 1 << 5;
    const SYS_CHROOT: u64 = 1 << 18;
    const SYS_PTRACE: u64 = 1 << 19;
    const SYSLOG: u64 = 1 << 34;
    alone(|_| {
        let tcp = Tcp::new(TcpBehaviour::Reads);
        let program = Run::new(&[tcp.url()]).start_connected();
        let has = |set| u64::from_str_radix(&proc::status(program.pid, set), 16).expect("a set");
        let needs = KILL | SETGID | SETUID | SYS_CHROOT | SYS_PTRACE | SYSLOG;
        assert_eq!((has("CapPrm"), has("CapEff")), (needs, needs));
        assert_eq!((has("CapInh"), has("CapBnd"), has("CapAmb")), (0, 0, 0));
        assert_eq!(proc::number(program.pid, "NoNewPrivs"), 1);
        assert_eq!(proc::number(program.pid, "Seccomp"), 2);
    });
}

/// Started by someone who is nobody, it ships all the same, with what that user may do.
#[test]
fn it_works_for_a_user_without_privileges() {
    alone(|_| {
        let (tcp, writer, tag) = (Tcp::new(TcpBehaviour::Reads), Writer::new(), tag("nobody"));
        let program = Run::new(&[tcp.url()]).as_nobody().start_connected();
        writer.write(&format!("{tag} hello"));
        tcp.lines.wait_for(&format!("{tag} hello"), WITHIN);
        assert_eq!(proc::status(program.shippers()[0], "CapPrm"), NO_CAPABILITY);
        for pid in [program.pid, program.shippers()[0]] {
            assert_eq!(proc::number(pid, "Seccomp"), 2);
        }
    });
}

/// How all sockets are opened.
const SOCKET: u64 = (libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) as u64;

/// Calls that someone who has taken over a process would make: files, programs, other processes, the kernel, the
/// network beside what it has, and the same under other numbers.
const FORBIDDEN: [(&str, i64, [u64; 3]); 29] = [
    ("execve", libc::SYS_execve, [0; 3]),
    ("open", libc::SYS_open, [0; 3]),
    ("openat2", libc::SYS_openat2, [0; 3]),
    ("unlink", libc::SYS_unlink, [0; 3]),
    ("ptrace", libc::SYS_ptrace, [0; 3]),
    ("process_vm_readv", libc::SYS_process_vm_readv, [0; 3]),
    ("mmap", libc::SYS_mmap, [0; 3]),
    ("mprotect", libc::SYS_mprotect, [0; 3]),
    ("memfd_create", libc::SYS_memfd_create, [0; 3]),
    ("mount", libc::SYS_mount, [0; 3]),
    ("fsopen", libc::SYS_fsopen, [0; 3]),
    ("setns", libc::SYS_setns, [0; 3]),
    ("unshare", libc::SYS_unshare, [0; 3]),
    ("init_module", libc::SYS_init_module, [0; 3]),
    ("bpf", libc::SYS_bpf, [0; 3]),
    ("io_uring_setup", libc::SYS_io_uring_setup, [0; 3]),
    ("bind", libc::SYS_bind, [0; 3]),
    ("listen", libc::SYS_listen, [0; 3]),
    ("sendmsg", libc::SYS_sendmsg, [0; 3]),
    ("a packet socket", libc::SYS_socket, [libc::AF_PACKET as u64, 3, 0]),
    ("a raw socket", libc::SYS_socket, [libc::AF_INET as u64, SOCKET | libc::SOCK_RAW as u64, 1]),
    ("a ping socket", libc::SYS_socket, [libc::AF_INET as u64, SOCKET | libc::SOCK_DGRAM as u64, 1]),
    ("a socket of MPTCP", libc::SYS_socket, [libc::AF_INET6 as u64, SOCKET | libc::SOCK_STREAM as u64, 262]),
    (
        "netlink to the packet filter",
        libc::SYS_socket,
        [libc::AF_NETLINK as u64, SOCKET | libc::SOCK_RAW as u64, libc::NETLINK_NETFILTER as u64],
    ),
    ("a socket's filter", libc::SYS_setsockopt, [3, libc::SOL_SOCKET as u64, libc::SO_ATTACH_FILTER as u64]),
    ("a socket's routing", libc::SYS_setsockopt, [3, libc::SOL_SOCKET as u64, libc::SO_MARK as u64]),
    (
        "one level's option at another",
        libc::SYS_setsockopt,
        [3, libc::IPPROTO_IP as u64, libc::SO_KEEPALIVE as u64],
    ),
    ("a terminal's input", libc::SYS_ioctl, [0, libc::TIOCSTI, 0]),
    ("write of the x32 table", libc::SYS_write | 0x4000_0000, [0; 3]),
];

/// What the watcher may do and a shipper may not.
const WATCHERS: [(&str, i64, [u64; 3]); 10] = [
    ("openat", libc::SYS_openat, [0; 3]),
    ("getdents64", libc::SYS_getdents64, [0; 3]),
    ("clone", libc::SYS_clone, [libc::SIGCHLD as u64, 0, 0]),
    ("kill", libc::SYS_kill, [1, 0, 0]),
    ("chroot", libc::SYS_chroot, [0; 3]),
    ("setresuid", libc::SYS_setresuid, [0; 3]),
    ("capset", libc::SYS_capset, [0; 3]),
    ("rt_sigaction", libc::SYS_rt_sigaction, [libc::SIGSYS as u64, 0, 0]),
    ("prlimit64", libc::SYS_prlimit64, [0; 3]),
    ("seccomp", libc::SYS_seccomp, [1, 0, 0]),
];

/// The watcher's own calls, with arguments that are not the watcher's.
const BENT: [(&str, i64, [u64; 3]); 5] = [
    ("clone into a new user namespace", libc::SYS_clone, [libc::CLONE_NEWUSER as u64, 0, 0]),
    ("openat to create", libc::SYS_openat, [0, 0, (libc::O_CREAT | libc::O_WRONLY) as u64]),
    ("openat without O_CLOEXEC", libc::SYS_openat, [0, 0, 0]),
    ("prctl to name itself", libc::SYS_prctl, [libc::PR_SET_NAME as u64, 0, 0]),
    ("fcntl to lock", libc::SYS_fcntl, [0, libc::F_SETLK as u64, 0]),
];

fn start(receiver: &Tcp) -> Program {
    let program = Run::new(&[receiver.url()]).start_connected();
    // Whatever was there is sent: it waits for more.
    let (writer, tag) = (Writer::new(), tag("idle"));
    writer.write(&tag);
    receiver.lines.wait_for(&tag, WITHIN);
    program
}

#[test]
fn a_shipper_that_is_taken_over_dies_of_a_forbidden_call() {
    alone(|_| {
        // Others' storms would overwrite what is said of it before its successor reads that.
        let _lock = RingLock::shared();
        for (name, number, arguments) in FORBIDDEN.into_iter().chain(WATCHERS) {
            let receiver = Tcp::new(TcpBehaviour::Reads);
            let program = start(&receiver);
            let victim = program.shippers()[0];
            make_call(Path::new(INTRUDER), victim, number, arguments);
            let line =
                program.says(&format!("asked for system call {number}, which it may not make"), WITHIN);
            println!("{name}: {line}");
            assert!(line.contains(", last seq sent "), "{line}");
            assert!(!proc::lives(victim), "{name}");
            // Its successor goes on, and tells the receiver of it.
            receiver.lines.wait_for(&format!("asked for system call {number}, "), WITHIN);
        }
    });
}

#[test]
fn a_watcher_that_is_taken_over_dies_of_a_forbidden_call() {
    alone(|_| {
        for (name, number, arguments) in FORBIDDEN.into_iter().chain(BENT) {
            let receiver = Tcp::new(TcpBehaviour::Reads);
            let program = start(&receiver);
            make_call(Path::new(INTRUDER), program.pid, number, arguments);
            let told = format!("the watcher asked for system call {number}, which it may not make, and ends");
            println!("{name}: {}", program.says(&told, WITHIN));
            let finished = program.finish(WITHIN);
            assert_eq!(finished.code, Some(77), "{name}");
        }
    });
}
