//! The system calls of each role, one row a call: its number, who makes it and what for. All others end the process.
//! Pure.
//!
//! The tables are compiled into one filter when the program is built, and a shipper's is the end of the watcher's. The
//! kernel asks a filter at every call, and those from 5.11 on remember the answer; for that they ask it for every number
//! there is when it is put in force. So rows stand sorted, in groups that are passed over as a whole: few steps lead to
//! each answer. Every row holds its own answers, so that no jump is longer than a group.

/// One instruction of a filter, laid out as the kernel's `struct sock_filter`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Instruction {
    code: u16,
    then_skip: u8,
    else_skip: u8,
    value: u32,
}

/// One call that is allowed.
pub struct Row {
    number: i64,
    arguments: Arguments,
}

/// Which arguments a call may have.
enum Arguments {
    /// Any.
    Any,
    /// One of these combinations.
    OneOf(&'static [&'static [Argument]]),
}

/// The argument `index` (from 0), as 32 bits, must be `value`.
struct Argument {
    index: u32,
    value: u32,
}

/// A call that may be made with any arguments.
const fn any(number: i64, _caller: &str) -> Row {
    Row { number, arguments: Arguments::Any }
}

/// A call that may be made with one of these combinations of arguments.
const fn one_of(number: i64, combinations: &'static [&'static [Argument]], _caller: &str) -> Row {
    Row { number, arguments: Arguments::OneOf(combinations) }
}

const fn argument(index: u32, value: i32) -> Argument {
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
pub const SHIPPER: [Row; 21] = [
    any(
        libc::SYS_read,
        "kmsg::source: a record; ship: the watcher's packets; files: those; takeover: the lists of sockets; \
         resolve: answers",
    ),
    any(libc::SYS_sendto, "transport: lines and datagrams; resolve: questions; files: pieces of them"),
    any(libc::SYS_ppoll, "ship::wait: the one place that waits"),
    any(libc::SYS_clock_gettime, "sys::time"),
    any(libc::SYS_recvfrom, "sys::socket::discard: what the receiver sends; news"),
    one_of(
        libc::SYS_recvmsg,
        &[&[argument(2, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT)]],
        "transport::udp: what the network reports of datagrams that were sent before",
    ),
    any(libc::SYS_getsockopt, "transport: a connection's state and errors"),
    any(libc::SYS_lseek, "kmsg::source: back to the oldest record; takeover: the lists from their start"),
    any(libc::SYS_write, "report: the program's own words"),
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
        "transport: connections, of IPv4 or IPv6; news: what the kernel tells of the network",
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
        ],
        "sys::socket: what a socket of each kind is prepared with",
    ),
    any(libc::SYS_connect, "transport"),
    any(libc::SYS_shutdown, "transport::tcp: the orderly end"),
    one_of(
        libc::SYS_ioctl,
        &[&[argument(1, SIOCGIFINDEX)], &[argument(1, SIOCOUTQ)]],
        "transport: the number of a zone's interface; whether a datagram has left",
    ),
    any(libc::SYS_close, "transport: a connection that ended"),
    any(libc::SYS_uname, "identity: the machine's name"),
    any(libc::SYS_getrandom, "resolve: the number of a question"),
    any(libc::SYS_getpid, "main: which role found itself to be wrong"),
    any(libc::SYS_exit_group, "the end"),
    any(libc::SYS_exit, "the end"),
    any(libc::SYS_restart_syscall, "the kernel, after a stop"),
];

/// What the watcher may do besides: start shippers, hear of their end, open for them what they need, and take from
/// them what they do not. Filters are inherited, so its own must allow all that a shipper may; it never makes those.
pub const WATCHER: [Row; 18] = [
    any(libc::SYS_wait4, "watch::reap"),
    any(libc::SYS_kill, "watch: a shipper is asked to end, or ended"),
    any(libc::SYS_newfstatat, "boot::switch: PID 1's root"),
    one_of(
        libc::SYS_openat,
        &[
            &[argument(2, KMSG | libc::O_RDWR)],
            &[argument(2, KMSG | libc::O_RDONLY)],
            &[argument(2, OPEN | libc::O_RDONLY)],
            &[argument(2, OPEN | libc::O_DIRECTORY)],
        ],
        "boot::kernel_fs: the log; files below /proc; files: PID 1's root and what it says of names",
    ),
    one_of(
        libc::SYS_clone,
        &[&[argument(0, libc::SIGCHLD)]],
        "sys::process::fork: a shipper, in the same namespaces",
    ),
    one_of(libc::SYS_socketpair, &[&[argument(0, libc::AF_UNIX)]], "watch: the channel to a shipper"),
    any(libc::SYS_close_range, "prepare: the watcher's descriptors"),
    any(libc::SYS_rt_sigaction, "sys::signal"),
    any(libc::SYS_getuid, "privileges: whether there is anything to give up"),
    any(libc::SYS_fchdir, "privileges: the empty view; files: PID 1's root"),
    any(libc::SYS_chroot, "privileges: the empty view; files: PID 1's root"),
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
const OPEN: i32 = libc::O_CLOEXEC | LARGE;
const KMSG: i32 = OPEN | libc::O_NONBLOCK | libc::O_NOCTTY;
/// `O_LARGEFILE`, which rustix adds.
#[cfg(any(target_arch = "x86_64", target_arch = "riscv64"))]
const LARGE: i32 = 0o100_000;
#[cfg(target_arch = "aarch64")]
const LARGE: i32 = 0o400_000;

const SIOCGIFINDEX: i32 = 0x8933;
const SIOCOUTQ: i32 = 0x5411;

/// The filter of the watcher.
pub static FILTER: [Instruction; SHIPPERS_FROM + length(&SHIPPER) + EPILOGUE] =
    compile(&[&WATCHER, &SHIPPER]);
const SHIPPERS_FROM: usize = length(&WATCHER);

/// The filter of a shipper.
pub fn shippers() -> &'static [Instruction] {
    &FILTER[SHIPPERS_FROM..]
}

/// The instructions that a table takes.
const fn length(table: &[Row]) -> usize {
    let (mut length, mut row) = (PROLOGUE + (table.len().div_ceil(GROUP) - 1) * AROUND_GROUP, 0);
    while row < table.len() {
        length += row_length(&table[row]);
        row += 1;
    }
    length
}

/// The instructions that a row takes: which call it is, what its arguments are, the answer.
const fn row_length(row: &Row) -> usize {
    match row.arguments {
        Arguments::Any => 2,
        Arguments::OneOf(combinations) => {
            let (mut length, mut combination) = (2, 0);
            while combination < combinations.len() {
                length += combination_length(combinations[combination]);
                combination += 1;
            }
            length
        }
    }
}

/// Each argument is loaded and compared, then comes the answer.
const fn combination_length(combination: &[Argument]) -> usize {
    2 * combination.len() + 1
}

const PROLOGUE: usize = 4;
const EPILOGUE: usize = 1;
/// So many rows are asked one by one.
const GROUP: usize = 6;
/// What stands before and after each group but the last.
const AROUND_GROUP: usize = 2;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
#[cfg(target_arch = "riscv64")]
const ARCHITECTURE: u32 = 0xc000_00f3;

// Where the kernel shows a filter the call, from `struct seccomp_data`.
const AT_NUMBER: u32 = 0;
const AT_ARCHITECTURE: u32 = 4;
const AT_ARGUMENTS: u32 = 16;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const IF_AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
/// The call is not made, and the process ends with the call's number on its lips: see `sys::signal::on_denial`.
const DENY: u32 = libc::SECCOMP_RET_TRAP;

const fn instruction(code: u32, value: u32, then_skip: usize, else_skip: usize) -> Instruction {
    assert!(then_skip < 256 && else_skip < 256, "a jump reaches 255 instructions");
    Instruction { code: code as u16, then_skip: then_skip as u8, else_skip: else_skip as u8, value }
}

/// The row with the lowest number from `number` on.
const fn next(table: &[Row], number: i64) -> Option<&Row> {
    let (mut found, mut row): (Option<&Row>, usize) = (None, 0);
    while row < table.len() {
        let lower = match found {
            Some(found) => table[row].number < found.number,
            None => true,
        };
        if lower && table[row].number >= number {
            found = Some(&table[row]);
        }
        row += 1;
    }
    found
}

/// Compiles tables, one behind the other: what a table has no row for is asked of the next.
const fn compile<const N: usize>(tables: &[&[Row]]) -> [Instruction; N] {
    // What no table has a row for reaches the last instruction.
    let mut out = [instruction(RETURN, DENY, 0, 0); N];
    let (mut at, mut table) = (0, 0);
    while table < tables.len() {
        let after = at + length(tables[table]);
        // Another architecture's numbers mean other calls.
        out[at] = instruction(LOAD, AT_ARCHITECTURE, 0, 0);
        out[at + 1] = instruction(IF_EQUAL, ARCHITECTURE, 1, 0);
        out[at + 2] = instruction(RETURN, DENY, 0, 0);
        out[at + 3] = instruction(LOAD, AT_NUMBER, 0, 0);
        at += PROLOGUE;
        let (mut rows, mut group) = (0, None);
        let mut row = next(tables[table], 0);
        while let Some(this) = row {
            if rows % GROUP == 0 {
                if let Some(before) = group {
                    // Its call is none of that group, whose numbers are all lower; and what reached the group's end is
                    // none of this table, as its number is lower than all that follow.
                    out[at] = instruction(JUMP, (after - at - 1) as u32, 0, 0);
                    at += 1;
                    out[before] = instruction(IF_AT_LEAST, this.number as u32, at - before - 1, 0);
                }
                // The last group is never passed over.
                if rows + GROUP < tables[table].len() {
                    group = Some(at);
                    at += 1;
                }
            }
            at = compile_row(&mut out, at, this);
            rows += 1;
            row = next(tables[table], this.number + 1);
        }
        assert!(at == after, "a table takes its length");
        table += 1;
    }
    out
}

/// Writes a row's instructions at `at`. Returns where the next ones stand.
const fn compile_row(out: &mut [Instruction], mut at: usize, row: &Row) -> usize {
    let end = at + row_length(row);
    out[at] = instruction(IF_EQUAL, row.number as u32, 0, end - at - 1);
    at += 1;
    match row.arguments {
        Arguments::Any => out[at] = instruction(RETURN, ALLOW, 0, 0),
        Arguments::OneOf(combinations) => {
            let mut combination = 0;
            while combination < combinations.len() {
                let arguments = combinations[combination];
                let next = at + combination_length(arguments);
                let mut argument = 0;
                while argument < arguments.len() {
                    let Argument { index, value } = &arguments[argument];
                    out[at] = instruction(LOAD, AT_ARGUMENTS + 8 * *index, 0, 0);
                    out[at + 1] = instruction(IF_EQUAL, *value, 0, next - at - 2);
                    at += 2;
                    argument += 1;
                }
                out[at] = instruction(RETURN, ALLOW, 0, 0);
                at = next;
                combination += 1;
            }
            // The row is this call's only one.
            out[at] = instruction(RETURN, DENY, 0, 0);
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a filter as the kernel would.
    fn run(filter: &[Instruction], architecture: u32, number: i64, arguments: [u32; 6]) -> u32 {
        let (mut at, mut loaded) = (0, 0);
        for _ in 0..filter.len() {
            let step = filter[at];
            at += 1;
            match u32::from(step.code) {
                LOAD => {
                    loaded = match step.value {
                        AT_NUMBER => number as u32,
                        AT_ARCHITECTURE => architecture,
                        other => arguments[((other - AT_ARGUMENTS) / 8) as usize],
                    };
                }
                IF_EQUAL => {
                    at += usize::from(if loaded == step.value { step.then_skip } else { step.else_skip });
                }
                IF_AT_LEAST => {
                    at += usize::from(if loaded >= step.value { step.then_skip } else { step.else_skip });
                }
                JUMP => at += step.value as usize,
                RETURN => return step.value,
                other => panic!("instruction {other:#x}"),
            }
        }
        panic!("ran off the end");
    }

    /// The arguments of a combination; those that it does not name are `others`.
    fn arguments(combination: &[Argument], others: u32) -> [u32; 6] {
        let mut arguments = [others; 6];
        for argument in combination {
            arguments[argument.index as usize] = argument.value;
        }
        arguments
    }

    #[test]
    fn a_filter_allows_its_tables_and_nothing_else() {
        let roles: [(&[&[Row]], _); 2] = [(&[&SHIPPER], shippers()), (&[&SHIPPER, &WATCHER], &FILTER[..])];
        for (tables, filter) in roles {
            let run = |number, arguments| run(filter, ARCHITECTURE, number, arguments);
            for number in 0..1_000 {
                let row = tables.iter().copied().flatten().find(|row| row.number == number);
                for any in [0, 1, 2, libc::AF_NETLINK as u32, libc::CLONE_NEWUSER as u32, !0] {
                    match row.map(|row| &row.arguments) {
                        None => assert_eq!(run(number, [any; 6]), DENY, "call {number}"),
                        Some(Arguments::Any) => assert_eq!(run(number, [any; 6]), ALLOW, "call {number}"),
                        Some(Arguments::OneOf(combinations)) => {
                            for combination in *combinations {
                                let allowed = arguments(combination, any);
                                assert_eq!(run(number, allowed), ALLOW, "call {number} with {allowed:?}");
                                for argument in *combination {
                                    let mut other = allowed;
                                    other[argument.index as usize] = 0x5a5a_5a5a;
                                    assert_eq!(run(number, other), DENY, "call {number} with {other:?}");
                                }
                            }
                        }
                    }
                }
            }
            assert_eq!(super::tests::run(filter, 0, libc::SYS_read, [0; 6]), DENY);
        }
    }

    #[test]
    fn an_argument_is_looked_at_where_it_stands() {
        let run = |arguments| run(shippers(), ARCHITECTURE, libc::SYS_ioctl, arguments);
        assert_eq!(run([0, SIOCGIFINDEX as u32, 0, 0, 0, 0]), ALLOW);
        assert_eq!(run([SIOCGIFINDEX as u32, 0, 0, 0, 0, 0]), DENY);
    }

    /// What is allowed in one combination is not allowed in another.
    #[test]
    fn arguments_belong_together() {
        let set = |level: i32, name: i32| {
            let arguments = [3, level as u32, name as u32, 0, 0, 0];
            run(shippers(), ARCHITECTURE, libc::SYS_setsockopt, arguments)
        };
        assert_eq!(set(libc::SOL_SOCKET, libc::SO_KEEPALIVE), ALLOW);
        assert_eq!(set(libc::IPPROTO_IP, libc::IP_RECVERR), ALLOW);
        assert_eq!(set(libc::IPPROTO_IP, libc::SO_KEEPALIVE), DENY);
        assert_eq!(set(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER), DENY);
        let open = |family: i32, kind: i32, protocol: i32| {
            let kind = kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            let arguments = [family as u32, kind as u32, protocol as u32, 0, 0, 0];
            run(shippers(), ARCHITECTURE, libc::SYS_socket, arguments)
        };
        assert_eq!(open(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE), ALLOW);
        assert_eq!(open(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER), DENY);
        assert_eq!(open(libc::AF_INET, libc::SOCK_STREAM, 0), ALLOW);
        assert_eq!(open(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_MPTCP), DENY);
        assert_eq!(open(libc::AF_INET, libc::SOCK_RAW, 0), DENY);
    }

    #[test]
    fn each_call_has_one_row() {
        let rows = || SHIPPER.iter().chain(&WATCHER).map(|row| row.number);
        for (at, number) in rows().enumerate() {
            assert!(rows().take(at).all(|other| other != number), "call {number}");
        }
    }

    /// What would undo the rest: new programs, other processes' memory, new mounts, code for the kernel.
    #[test]
    fn no_role_may_escape() {
        use libc::*;
        let never = [
            SYS_execve,
            SYS_execveat,
            SYS_ptrace,
            SYS_process_vm_writev,
            SYS_mount,
            SYS_fsopen,
            SYS_setns,
            SYS_unshare,
            SYS_bpf,
            SYS_init_module,
            SYS_finit_module,
            SYS_kexec_load,
            SYS_mmap,
            SYS_mprotect,
            SYS_pidfd_getfd,
            SYS_bind,
            SYS_listen,
            SYS_sendmsg,
            SYS_keyctl,
            SYS_io_uring_setup,
            SYS_reboot,
        ];
        for number in never {
            assert_eq!(run(&FILTER, ARCHITECTURE, number, [0; 6]), DENY, "call {number}");
        }
    }
}
