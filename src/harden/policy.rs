//! The system calls of each role, one row a call: its number, who makes it and what for. Everything else kills. Pure.
//!
//! The table is compiled into a filter when the program is built. The kernel asks the filter at every call, row by
//! row, so those of the loop stand first; kernels from 5.11 on remember the answer.

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

/// The argument `index`, as 32 bits, must be one of `values`. Unused places repeat the first.
struct Argument {
    index: u32,
    values: [u32; 3],
}

const fn any(number: i64, _caller: &str) -> Row {
    Row { number, argument: None }
}

const fn only(number: i64, index: u32, values: [u32; 3], _caller: &str) -> Row {
    Row { number, argument: Some(Argument { index, values }) }
}

/// What a shipper may do: read the log, send it, be told to end.
pub const SHIPPER: [Row; 18] = [
    any(libc::SYS_read, "kmsg::source: a record; ship: the watcher's word; takeover: the lists of sockets"),
    any(libc::SYS_sendto, "transport: lines and datagrams"),
    any(libc::SYS_ppoll, "ship::wait: the one place that waits"),
    any(libc::SYS_clock_gettime, "sys::time, where the kernel's shared page does not answer"),
    any(libc::SYS_recvfrom, "sys::socket::discard: what the receiver sends"),
    any(libc::SYS_getsockopt, "transport: a connection's state and errors"),
    any(libc::SYS_lseek, "kmsg::source: back to the oldest record; takeover: the lists from their start"),
    any(libc::SYS_write, "report: the program's own words"),
    only(
        libc::SYS_socket,
        0,
        [libc::AF_INET as u32, libc::AF_INET6 as u32, libc::AF_INET as u32],
        "transport: the connection, of IPv4 or IPv6 and no other family",
    ),
    any(libc::SYS_setsockopt, "transport: send buffer, keep-alive"),
    any(libc::SYS_connect, "transport"),
    any(libc::SYS_shutdown, "transport::tcp: the orderly end"),
    only(
        libc::SYS_ioctl,
        1,
        [SIOCGIFINDEX, SIOCOUTQ, SIOCOUTQ],
        "transport: the number of a zone's interface; whether a datagram has left",
    ),
    any(libc::SYS_close, "transport: a connection that ended"),
    any(libc::SYS_exit_group, "the end"),
    any(libc::SYS_exit, "the end"),
    any(libc::SYS_restart_syscall, "the kernel, after a stop"),
    any(libc::SYS_rt_sigreturn, "the kernel, after a signal"),
];

const SIOCGIFINDEX: u32 = 0x8933;
const SIOCOUTQ: u32 = 0x5411;

/// The instructions that a table takes.
pub const fn length(rows: &[Row]) -> usize {
    let mut length = PROLOGUE + EPILOGUE;
    let mut at = 0;
    while at < rows.len() {
        length += if rows[at].argument.is_some() { ARGUMENT_ROW } else { 1 };
        at += 1;
    }
    length
}

const PROLOGUE: usize = 4;
const EPILOGUE: usize = 2;
const ARGUMENT_ROW: usize = 7;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

// Where the kernel shows a filter the call, from `struct seccomp_data`.
const AT_NUMBER: u32 = 0;
const AT_ARCHITECTURE: u32 = 4;
const AT_ARGUMENTS: u32 = 16;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

const fn instruction(code: u32, value: u32, then_skip: usize, else_skip: usize) -> Instruction {
    assert!(then_skip < 256 && else_skip < 256, "a jump reaches 255 instructions");
    Instruction { code: code as u16, then_skip: then_skip as u8, else_skip: else_skip as u8, value }
}

/// Compiles a table. `N` is its [`length`].
pub const fn compile<const N: usize>(rows: &[Row]) -> [Instruction; N] {
    let mut out = [instruction(RETURN, libc::SECCOMP_RET_KILL_PROCESS, 0, 0); N];
    let allow = N - 1;
    // Another architecture's numbers mean other calls.
    out[0] = instruction(LOAD, AT_ARCHITECTURE, 0, 0);
    out[1] = instruction(IF_EQUAL, ARCHITECTURE, 1, 0);
    // out[2]: kill
    out[3] = instruction(LOAD, AT_NUMBER, 0, 0);
    let (mut at, mut row) = (PROLOGUE, 0);
    while row < rows.len() {
        let number = rows[row].number as u32;
        match &rows[row].argument {
            None => {
                out[at] = instruction(IF_EQUAL, number, allow - at - 1, 0);
                at += 1;
            }
            Some(argument) => {
                out[at] = instruction(IF_EQUAL, number, 0, ARGUMENT_ROW - 1);
                out[at + 1] = instruction(LOAD, AT_ARGUMENTS + 8 * argument.index, 0, 0);
                let mut value = 0;
                while value < argument.values.len() {
                    let here = at + 2 + value;
                    out[here] = instruction(IF_EQUAL, argument.values[value], allow - here - 1, 0);
                    value += 1;
                }
                // out[at + 5]: kill. The number is not loaded any more, and the row was this call's only one.
                out[at + 6] = instruction(LOAD, AT_NUMBER, 0, 0);
                at += ARGUMENT_ROW;
            }
        }
        row += 1;
    }
    // out[N - 2]: kill, what no row allowed
    out[allow] = instruction(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0);
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
                RETURN => return step.value,
                other => panic!("instruction {other:#x}"),
            }
        }
        panic!("ran off the end");
    }

    #[test]
    fn the_filter_allows_the_table_and_nothing_else() {
        const FILTER: [Instruction; length(&SHIPPER)] = compile(&SHIPPER);
        let run = |number, arguments| run(&FILTER, ARCHITECTURE, number, arguments);
        for number in 0..1_000 {
            let row = SHIPPER.iter().find(|row| row.number == number);
            for first in
                [0, 1, libc::AF_INET as u32, libc::AF_INET6 as u32, libc::AF_NETLINK as u32, SIOCGIFINDEX]
            {
                let allowed = match row.map(|row| &row.argument) {
                    None => false,
                    Some(None) => true,
                    Some(Some(argument)) => argument.values.contains(&first),
                };
                let want = if allowed { libc::SECCOMP_RET_ALLOW } else { libc::SECCOMP_RET_KILL_PROCESS };
                assert_eq!(run(number, [first; 6]), want, "call {number} with {first}");
            }
        }
        assert_eq!(super::tests::run(&FILTER, 0, libc::SYS_read, [0; 6]), libc::SECCOMP_RET_KILL_PROCESS);
    }

    #[test]
    fn an_argument_is_looked_at_where_it_stands() {
        const FILTER: [Instruction; length(&SHIPPER)] = compile(&SHIPPER);
        let run = |arguments| run(&FILTER, ARCHITECTURE, libc::SYS_ioctl, arguments);
        assert_eq!(run([0, SIOCGIFINDEX, 0, 0, 0, 0]), libc::SECCOMP_RET_ALLOW);
        assert_eq!(run([SIOCGIFINDEX, 0, 0, 0, 0, 0]), libc::SECCOMP_RET_KILL_PROCESS);
    }

    #[test]
    fn each_call_has_one_row() {
        for (at, row) in SHIPPER.iter().enumerate() {
            assert!(SHIPPER[..at].iter().all(|other| other.number != row.number), "call {}", row.number);
        }
    }
}
