//! The system calls of each role, one row a call: its number, who makes it and what for. All others end the process.
//! Pure.
//!
//! The tables are compiled into one filter when the program is built, and a shipper's is the end of the watcher's. The
//! kernel asks a filter at every call, and those from 5.11 on remember the answer; for that they ask it for every number
//! there is when it is put in force. So rows stand sorted, in groups that are passed over as a whole: few steps lead to
//! each answer.

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
    /// Which values of one argument are allowed; `None`: any.
    argument: Option<Argument>,
}

/// The argument `index`, as 32 bits, must be one of `values`.
struct Argument {
    index: u32,
    values: &'static [u32],
}

const fn any(number: i64, _caller: &str) -> Row {
    Row { number, argument: None }
}

const fn only(number: i64, index: u32, values: &'static [u32], _caller: &str) -> Row {
    Row { number, argument: Some(Argument { index, values }) }
}

/// What a shipper may do: read the log, send it, be told to end.
pub const SHIPPER: [Row; 20] = [
    any(
        libc::SYS_read,
        "kmsg::source: a record; ship: the watcher's packets; files: those; takeover: the lists of sockets; \
         resolve: answers",
    ),
    any(libc::SYS_sendto, "transport: lines and datagrams; resolve: questions; files: pieces of them"),
    any(libc::SYS_ppoll, "ship::wait: the one place that waits"),
    any(libc::SYS_clock_gettime, "sys::time"),
    any(libc::SYS_recvfrom, "sys::socket::discard: what the receiver sends; news"),
    any(libc::SYS_getsockopt, "transport: a connection's state and errors"),
    any(libc::SYS_lseek, "kmsg::source: back to the oldest record; takeover: the lists from their start"),
    any(libc::SYS_write, "report: the program's own words"),
    only(
        libc::SYS_socket,
        0,
        &[libc::AF_INET as u32, libc::AF_INET6 as u32, libc::AF_NETLINK as u32],
        "transport: connections, of IPv4 or IPv6; news: what the kernel tells of the network",
    ),
    any(libc::SYS_setsockopt, "transport: send buffer, keep-alive; news: what to be told of"),
    any(libc::SYS_connect, "transport"),
    any(libc::SYS_shutdown, "transport::tcp: the orderly end"),
    only(
        libc::SYS_ioctl,
        1,
        &[SIOCGIFINDEX, SIOCOUTQ],
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
    only(
        libc::SYS_openat,
        2,
        &[
            KMSG | libc::O_RDWR as u32,
            KMSG | libc::O_RDONLY as u32,
            OPEN | libc::O_RDONLY as u32,
            OPEN | libc::O_DIRECTORY as u32,
        ],
        "boot::reach: the log; files below /proc; files: PID 1's root and what it says of names",
    ),
    only(
        libc::SYS_clone,
        0,
        &[libc::SIGCHLD as u32],
        "sys::process::fork: a shipper, in the same namespaces",
    ),
    only(libc::SYS_socketpair, 0, &[libc::AF_UNIX as u32], "watch: the channel to a shipper"),
    any(libc::SYS_close_range, "prepare: the watcher's descriptors"),
    any(libc::SYS_rt_sigaction, "sys::signal"),
    any(libc::SYS_getuid, "privileges: whether there is anything to give up"),
    any(libc::SYS_fchdir, "privileges: the empty view; files: PID 1's root"),
    any(libc::SYS_chroot, "privileges: the empty view; files: PID 1's root"),
    any(libc::SYS_setgroups, "privileges"),
    any(libc::SYS_setresgid, "privileges"),
    any(libc::SYS_setresuid, "privileges"),
    any(libc::SYS_capset, "privileges"),
    only(
        libc::SYS_prctl,
        0,
        &[libc::PR_CAP_AMBIENT as u32, libc::PR_SET_DUMPABLE as u32, libc::PR_SET_NO_NEW_PRIVS as u32],
        "privileges",
    ),
    any(libc::SYS_prlimit64, "privileges"),
    only(libc::SYS_seccomp, 0, &[libc::SECCOMP_SET_MODE_FILTER], "sys::seccomp: the shipper's own filter"),
];

/// How files are opened, besides reading and writing.
const OPEN: u32 = (libc::O_CLOEXEC | LARGE) as u32;
const KMSG: u32 = OPEN | (libc::O_NONBLOCK | libc::O_NOCTTY) as u32;
/// `O_LARGEFILE`, which rustix adds.
#[cfg(any(target_arch = "x86_64", target_arch = "riscv64"))]
const LARGE: i32 = 0o100_000;
#[cfg(target_arch = "aarch64")]
const LARGE: i32 = 0o400_000;

const SIOCGIFINDEX: u32 = 0x8933;
const SIOCOUTQ: u32 = 0x5411;

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
    let (mut length, mut row) = (PROLOGUE + table.len().div_ceil(GROUP) - 1, 0);
    while row < table.len() {
        length += match &table[row].argument {
            Some(argument) => ARGUMENT_ROW + argument.values.len(),
            None => 1,
        };
        row += 1;
    }
    length
}

const PROLOGUE: usize = 3;
const EPILOGUE: usize = 2;
/// Without the values.
const ARGUMENT_ROW: usize = 2;
/// So many rows are asked one by one.
const GROUP: usize = 6;

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
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
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
    let (deny, allow) = (N - 2, N - 1);
    let mut out = [instruction(RETURN, DENY, 0, 0); N];
    out[allow] = instruction(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0);
    let (mut at, mut table) = (0, 0);
    while table < tables.len() {
        let after = at + length(tables[table]);
        // Another architecture's numbers mean other calls.
        out[at] = instruction(LOAD, AT_ARCHITECTURE, 0, 0);
        out[at + 1] = instruction(IF_EQUAL, ARCHITECTURE, 0, deny - at - 2);
        out[at + 2] = instruction(LOAD, AT_NUMBER, 0, 0);
        at += PROLOGUE;
        let (mut rows, mut group) = (0, None);
        let mut row = next(tables[table], 0);
        while let Some(Row { number, argument }) = row {
            if rows % GROUP == 0 {
                if let Some(before) = group {
                    out[before] = instruction(IF_AT_LEAST, *number as u32, at - before - 1, 0);
                }
                // The last one has none after it.
                if rows + GROUP < tables[table].len() {
                    group = Some(at);
                    at += 1;
                }
            }
            rows += 1;
            row = next(tables[table], *number + 1);
            let is_last = rows % GROUP == 0 || row.is_none();
            let number = *number as u32;
            match argument {
                None => {
                    let other = if is_last { after - at - 1 } else { 0 };
                    out[at] = instruction(IF_EQUAL, number, allow - at - 1, other);
                    at += 1;
                }
                Some(Argument { index, values }) => {
                    let other = if is_last { after - at - 1 } else { 1 + values.len() };
                    out[at] = instruction(IF_EQUAL, number, 0, other);
                    out[at + 1] = instruction(LOAD, AT_ARGUMENTS + 8 * *index, 0, 0);
                    at += ARGUMENT_ROW;
                    let mut value = 0;
                    while value < values.len() {
                        // The row is this call's only one.
                        let other = if value + 1 == values.len() { deny - at - 1 } else { 0 };
                        out[at] = instruction(IF_EQUAL, values[value], allow - at - 1, other);
                        at += 1;
                        value += 1;
                    }
                }
            }
        }
        assert!(at == after, "a table takes its length");
        table += 1;
    }
    out
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
                RETURN => return step.value,
                other => panic!("instruction {other:#x}"),
            }
        }
        panic!("ran off the end");
    }

    #[test]
    fn a_filter_allows_its_tables_and_nothing_else() {
        let roles: [(&[&[Row]], _); 2] = [(&[&SHIPPER], shippers()), (&[&SHIPPER, &WATCHER], &FILTER[..])];
        for (tables, filter) in roles {
            let run = |number, arguments| run(filter, ARCHITECTURE, number, arguments);
            let rows = || tables.iter().copied().flatten();
            let values =
                || rows().filter_map(|row| row.argument.as_ref()).flat_map(|argument| argument.values);
            for number in 0..1_000 {
                let row = rows().find(|row| row.number == number);
                for &first in values().chain(&[0, 1, libc::AF_NETLINK as u32, libc::CLONE_NEWUSER as u32, !0])
                {
                    let allowed = match row.map(|row| &row.argument) {
                        None => false,
                        Some(None) => true,
                        Some(Some(argument)) => argument.values.contains(&first),
                    };
                    let want = if allowed { libc::SECCOMP_RET_ALLOW } else { DENY };
                    assert_eq!(run(number, [first; 6]), want, "call {number} with {first}");
                }
            }
            assert_eq!(super::tests::run(filter, 0, libc::SYS_read, [0; 6]), DENY);
        }
    }

    #[test]
    fn an_argument_is_looked_at_where_it_stands() {
        let run = |arguments| run(shippers(), ARCHITECTURE, libc::SYS_ioctl, arguments);
        assert_eq!(run([0, SIOCGIFINDEX, 0, 0, 0, 0]), libc::SECCOMP_RET_ALLOW);
        assert_eq!(run([SIOCGIFINDEX, 0, 0, 0, 0, 0]), DENY);
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
