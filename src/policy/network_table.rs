//! The same table for the processes that bring the network up and arm netconsole. All sockets and files are open before, but
//! for those below `/sys` and those of drivers.

use super::table::{OPEN, Row, SIOCGIFINDEX, any, argument, one_of};

/// What the keeper may do: hear of the root switch and of udevd, set links down, take addresses away, end the others.
pub(super) const KEEPER: [Row; 15] = [
    any(libc::SYS_ppoll, "bringup::keeper: the one place that waits"),
    any(libc::SYS_read, "bringup::keeper: the watcher's messages, signals, what sysfs says of a link"),
    any(libc::SYS_recvfrom, "bringup: what the watcher, the kernel and udevd tell"),
    any(libc::SYS_sendto, "bringup: requests to rtnetlink"),
    any(libc::SYS_wait4, "bringup::keeper: the end of the client or the loader"),
    any(libc::SYS_kill, "bringup::keeper: they are ended"),
    one_of(libc::SYS_openat, &[&[argument(2, OPEN | libc::O_RDONLY)]], "bringup::keeper: a file of sysfs"),
    any(libc::SYS_close, "bringup::keeper: that file"),
    any(libc::SYS_faccessat, "bringup::udevd: whether it runs"),
    any(libc::SYS_clock_gettime, "sys::time"),
    any(libc::SYS_write, "logger: the program's own messages"),
    any(libc::SYS_getpid, "main: which role panicked"),
    any(libc::SYS_exit_group, "the end"),
    any(libc::SYS_exit, "the end"),
    any(libc::SYS_restart_syscall, "the kernel, after a stop"),
];

/// What the client may do: speak with the kernel about links and with servers of DHCP.
pub(super) const CLIENT: [Row; 12] = [
    any(libc::SYS_ppoll, "bringup::client: the one place that waits"),
    any(libc::SYS_recvfrom, "bringup::client: what the kernel tells, answers of DHCP"),
    any(
        libc::SYS_sendto,
        "bringup::client: requests to rtnetlink, questions of DHCP, messages to the watcher",
    ),
    any(libc::SYS_faccessat, "bringup::udevd: whether it runs"),
    any(libc::SYS_close, "bringup::client: its sockets, at the end"),
    one_of(
        libc::SYS_madvise,
        &[&[argument(2, libc::MADV_DONTNEED)]],
        "sys::memory: unused stack is given back",
    ),
    any(libc::SYS_clock_gettime, "sys::time"),
    any(libc::SYS_write, "logger: the program's own messages"),
    any(libc::SYS_getpid, "main: which role panicked"),
    any(libc::SYS_exit_group, "the end"),
    any(libc::SYS_exit, "the end"),
    any(libc::SYS_restart_syscall, "the kernel, after a stop"),
];

/// What the loader may do: look for devices and for their drivers, and load these.
pub(super) const LOADER: [Row; 14] = [
    one_of(
        libc::SYS_openat,
        &[
            &[argument(2, OPEN | libc::O_RDONLY)],
            &[argument(2, OPEN | libc::O_DIRECTORY)],
            &[argument(2, OPEN | libc::O_PATH)],
        ],
        "bringup::loader: sysfs, modprobe.d, modules; whether a file is there",
    ),
    any(libc::SYS_read, "bringup::loader: those files"),
    any(libc::SYS_getdents64, "bringup::loader: folders"),
    any(libc::SYS_finit_module, "bringup::loader"),
    any(libc::SYS_close, "bringup::loader: those files"),
    any(libc::SYS_ppoll, "bringup::loader: devices to come"),
    any(libc::SYS_recvfrom, "bringup::loader: devices that have come"),
    any(libc::SYS_clock_gettime, "sys::time"),
    any(libc::SYS_write, "logger: the program's own messages"),
    any(libc::SYS_lseek, "bringup::loader: folders from their start"),
    any(libc::SYS_getpid, "main: which role panicked"),
    any(libc::SYS_exit_group, "the end"),
    any(libc::SYS_exit, "the end"),
    any(libc::SYS_restart_syscall, "the kernel, after a stop"),
];

/// What the process may do that arms netconsole: ask the kernel for the way to the receiver, and write that to configfs.
pub(super) const NETCONSOLE: [Row; 14] = [
    any(libc::SYS_ppoll, "bringup::netconsole: the one place that waits"),
    any(libc::SYS_recvfrom, "bringup::netconsole: what the kernel tells"),
    any(libc::SYS_sendto, "bringup::netconsole: requests to rtnetlink"),
    one_of(
        libc::SYS_ioctl,
        &[&[argument(1, SIOCGIFINDEX)]],
        "bringup::netconsole: the interface of a link-local address",
    ),
    one_of(
        libc::SYS_openat,
        &[&[argument(2, OPEN | libc::O_DIRECTORY)], &[argument(2, OPEN | libc::O_WRONLY)]],
        "bringup::netconsole: the driver's directory and the target's; a value of the target",
    ),
    any(libc::SYS_mkdirat, "bringup::netconsole: the target"),
    one_of(libc::SYS_unlinkat, &[&[argument(2, libc::AT_REMOVEDIR)]], "bringup::netconsole: the target"),
    any(libc::SYS_write, "bringup::netconsole: a value of the target; logger: the program's own messages"),
    any(libc::SYS_close, "bringup::netconsole: those files, its sockets at the end"),
    any(libc::SYS_clock_gettime, "sys::time"),
    any(libc::SYS_getpid, "main: which role panicked"),
    any(libc::SYS_exit_group, "the end"),
    any(libc::SYS_exit, "the end"),
    any(libc::SYS_restart_syscall, "the kernel, after a stop"),
];
