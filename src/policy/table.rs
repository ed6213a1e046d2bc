//! The table: who makes which system call, and what for.

use super::architecture::LARGE_FILE;

/// One call that is allowed.
pub(super) struct Row {
    pub(super) number: i64,
    pub(super) arguments: Arguments,
}

/// Which arguments a call may have.
pub(super) enum Arguments {
    /// Any.
    Any,
    /// One of these combinations.
    OneOf(&'static [&'static [Argument]]),
}

/// The argument `index` (from 0), as 32 bits, must be `value`.
pub(super) struct Argument {
    pub(super) index: u32,
    pub(super) value: u32,
}

/// A call that may be made with any arguments.
pub(super) const fn any(number: i64, _caller: &str) -> Row {
    Row { number, arguments: Arguments::Any }
}

/// A call that may be made with one of these combinations of arguments.
pub(super) const fn one_of(number: i64, combinations: &'static [&'static [Argument]], _caller: &str) -> Row {
    Row { number, arguments: Arguments::OneOf(combinations) }
}

pub(super) const fn argument(index: u32, value: i32) -> Argument {
    Argument { index, value: value.cast_unsigned() }
}

/// The arguments of `socket`: every socket is opened with the same flags and its family's usual protocol.
const fn socket(family: i32, kind: i32) -> [Argument; 3] {
    const FLAGS: i32 = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    [argument(0, family), argument(1, kind | FLAGS), argument(2, 0)]
}

/// The arguments of `setsockopt` that say which option is set.
const fn option(level: i32, name: i32) -> [Argument; 2] {
    [argument(1, level), argument(2, name)]
}

/// What a shipper may do: read the log, send it, be told to end.
pub(super) const SHIPPER: [Row; 25] = [
    any(
        libc::SYS_read,
        "ship::reader: a record; ship::events: the watcher's messages; ship::handover: the lists of sockets; \
         ship::name_server: answers; net::link_monitor",
    ),
    any(
        libc::SYS_sendto,
        "net::tcp: lines, queries; ship::events, watch::child, watch::root_files: messages",
    ),
    any(libc::SYS_sendmmsg, "net::udp: datagrams, queries"),
    any(libc::SYS_ppoll, "ship::events: the one place that waits"),
    any(libc::SYS_clock_gettime, "sys::time"),
    any(libc::SYS_recvfrom, "sys::socket::discard, net::udp: what the receiver sends"),
    one_of(
        libc::SYS_recvmsg,
        &[&[argument(2, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT)]],
        "net::udp: what the network reports of datagrams that were sent before",
    ),
    any(libc::SYS_getsockopt, "net::tcp: a connection's state and errors"),
    any(
        libc::SYS_lseek,
        "ship::reader: back to the oldest record; ship::handover: the lists from their start",
    ),
    any(libc::SYS_pread64, "ship::kept_lines: what pstore kept"),
    any(libc::SYS_write, "logger: the program's own messages"),
    one_of(
        libc::SYS_socket,
        &[
            &socket(libc::AF_INET, libc::SOCK_STREAM),
            &socket(libc::AF_INET, libc::SOCK_DGRAM),
            &socket(libc::AF_INET6, libc::SOCK_STREAM),
            &socket(libc::AF_INET6, libc::SOCK_DGRAM),
            // Protocol 0 is NETLINK_ROUTE.
            &socket(libc::AF_NETLINK, libc::SOCK_RAW),
        ],
        "net: connections and datagrams; net::link_monitor",
    ),
    one_of(
        libc::SYS_setsockopt,
        &[
            &option(libc::SOL_SOCKET, libc::SO_SNDBUF),
            &option(libc::SOL_SOCKET, libc::SO_KEEPALIVE),
            &option(libc::IPPROTO_TCP, libc::TCP_NODELAY),
            &option(libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
            &option(libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
            &option(libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
            &option(libc::IPPROTO_IP, libc::IP_RECVERR),
            &option(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER),
            &option(libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
            &option(libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER),
            &option(libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP),
            &option(libc::SOL_NETLINK, libc::NETLINK_DROP_MEMBERSHIP),
        ],
        "sys::socket: what a socket of each kind is prepared with",
    ),
    any(libc::SYS_connect, "net"),
    any(libc::SYS_getsockname, "net::link_monitor: the address of a connection"),
    any(libc::SYS_shutdown, "net::tcp: the orderly end"),
    one_of(
        libc::SYS_ioctl,
        &[&[argument(1, SIOCGIFINDEX)], &[argument(1, SIOCOUTQ)]],
        "net: the index of an interface; whether a datagram has left",
    ),
    any(libc::SYS_close, "net: a connection that ended"),
    one_of(
        libc::SYS_madvise,
        &[&[argument(2, libc::MADV_DONTNEED)]],
        "sys::memory: pages that are not needed now",
    ),
    any(libc::SYS_uname, "ship::identity: the machine's name"),
    any(libc::SYS_getrandom, "random: a query ID, the length of a pause, the order of addresses"),
    any(libc::SYS_getpid, "main: which role panicked"),
    any(libc::SYS_exit_group, "the end"),
    any(libc::SYS_exit, "the end"),
    any(libc::SYS_restart_syscall, "the kernel, after a stop"),
];

/// What the watcher may do besides: start shippers, hear of their end, open for them what they need, and take from
/// them what they do not. Filters are inherited, so its own must allow all that a shipper may; it never makes those.
pub(super) const WATCHER: [Row; 20] = [
    any(libc::SYS_wait4, "watch: the end of a shipper"),
    any(libc::SYS_kill, "watch: a shipper is asked to end, or ended"),
    any(libc::SYS_newfstatat, "watch::switch_root: PID 1's root"),
    any(libc::SYS_getdents64, "watch::root_files: files that are named after an interface"),
    any(libc::SYS_fstat, "watch::root_files: who owns such a file"),
    one_of(
        libc::SYS_openat,
        &[
            &[argument(2, KMSG | libc::O_RDWR)],
            &[argument(2, KMSG | libc::O_RDONLY)],
            &[argument(2, KMSG | libc::O_NOFOLLOW)],
            &[argument(2, OPEN | libc::O_RDONLY)],
            &[argument(2, OPEN | libc::O_DIRECTORY)],
        ],
        "kernel_fs: the log, files below /proc; watch::root_files",
    ),
    one_of(
        libc::SYS_clone,
        &[&[argument(0, libc::SIGCHLD)]],
        "sys::process::fork: a shipper, in the same namespaces",
    ),
    one_of(libc::SYS_socketpair, &[&[argument(0, libc::AF_UNIX)]], "watch::child: the channel to a shipper"),
    any(libc::SYS_close_range, "watch::child: the watcher's descriptors"),
    any(libc::SYS_rt_sigaction, "sys::signal"),
    any(libc::SYS_getuid, "privileges: whether there is anything to give up"),
    any(libc::SYS_fchdir, "privileges: the empty root; watch::root_files: PID 1's root"),
    any(libc::SYS_chroot, "privileges: the empty root; watch::root_files: PID 1's root"),
    any(libc::SYS_setgroups, "privileges"),
    any(libc::SYS_setresgid, "privileges"),
    any(libc::SYS_setresuid, "privileges"),
    any(libc::SYS_capset, "privileges"),
    one_of(
        libc::SYS_prctl,
        &[
            &[argument(0, libc::PR_CAP_AMBIENT)],
            &[argument(0, libc::PR_SET_DUMPABLE)],
            &[argument(0, libc::PR_SET_NO_NEW_PRIVS)],
        ],
        "privileges",
    ),
    any(libc::SYS_prlimit64, "privileges"),
    one_of(
        libc::SYS_seccomp,
        &[&[argument(0, libc::SECCOMP_SET_MODE_FILTER.cast_signed())]],
        "sys::seccomp: the shipper's own filter",
    ),
];

/// How files are opened, besides reading and writing.
pub(super) const OPEN: i32 = libc::O_CLOEXEC | LARGE_FILE;
const KMSG: i32 = OPEN | libc::O_NONBLOCK | libc::O_NOCTTY;

pub(super) const SIOCGIFINDEX: i32 = 0x8933;
const SIOCOUTQ: i32 = 0x5411;
