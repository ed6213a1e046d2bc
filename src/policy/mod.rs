//! The system calls that each role may make: a table with a row a call, compiled into a filter when the program is
//! built. Any other call ends the process.
//!
//! A shipper's filter is the end of the watcher's: filters are inherited, so the watcher's must allow all that a shipper
//! may.

mod architecture;
mod compiler;
mod network_table;
mod pstore_table;
mod table;

pub use compiler::Instruction;
use compiler::{EPILOGUE, compile, length};
use network_table::{CLIENT, KEEPER, LOADER, NETCONSOLE};
use pstore_table::PSTORE_READER;
use table::{SHIPPER, WATCHER};

/// The filter of the watcher.
pub static FILTER: [Instruction; SHIPPERS_FROM + length(&SHIPPER) + EPILOGUE] =
    compile(&[&WATCHER, &SHIPPER]);
const SHIPPERS_FROM: usize = length(&WATCHER);

/// The filter of a shipper.
pub fn shippers() -> &'static [Instruction] {
    &FILTER[SHIPPERS_FROM..]
}

/// The filter of the network's keeper.
pub static KEEPERS: [Instruction; length(&KEEPER) + EPILOGUE] = compile(&[&KEEPER]);
/// The filter of the network's client.
pub static CLIENTS: [Instruction; length(&CLIENT) + EPILOGUE] = compile(&[&CLIENT]);
/// The filter of the reader of pstore.
pub static PSTORE_READERS: [Instruction; length(&PSTORE_READER) + EPILOGUE] = compile(&[&PSTORE_READER]);
/// The filter of the loader of drivers.
pub static LOADERS: [Instruction; length(&LOADER) + EPILOGUE] = compile(&[&LOADER]);
/// The filter of the process that arms netconsole.
pub static NETCONSOLES: [Instruction; length(&NETCONSOLE) + EPILOGUE] = compile(&[&NETCONSOLE]);

#[cfg(test)]
mod tests {
    use super::architecture::ARCHITECTURE;
    use super::compiler::{
        ALLOW, AT_ARCHITECTURE, AT_ARGUMENTS, AT_NUMBER, DENY, IF_AT_LEAST, IF_EQUAL, JUMP, LOAD, RETURN,
    };
    use super::table::{Argument, Arguments, Row, SIOCGIFINDEX};
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
        let roles: [(&[&[Row]], _); 6] = [
            (&[&SHIPPER], shippers()),
            (&[&SHIPPER, &WATCHER], &FILTER[..]),
            (&[&KEEPER], &KEEPERS),
            (&[&CLIENT], &CLIENTS),
            (&[&LOADER], &LOADERS),
            (&[&NETCONSOLE], &NETCONSOLES),
        ];
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

    /// As `linux/bpf_common.h` has them.
    #[test]
    fn instructions_are_the_kernels() {
        assert_eq!([LOAD, IF_EQUAL, IF_AT_LEAST, JUMP, RETURN], [0x20, 0x15, 0x35, 0x05, 0x06]);
        assert!(FILTER.len() <= 4_096, "the kernel takes no more instructions");
    }

    #[test]
    fn flags_are_allowed_as_a_whole() {
        use libc::*;
        let large = if cfg!(target_arch = "aarch64") { 0o400_000 } else { 0o100_000 };
        let run = |number, flags: i32| run(&FILTER, ARCHITECTURE, number, [0, 0, flags as u32, 0, 0, 0]);
        let device = O_NONBLOCK | O_NOCTTY;
        for kind in [device | O_RDWR, device, device | O_NOFOLLOW, O_DIRECTORY, 0] {
            let flags = O_CLOEXEC | large | kind;
            assert_eq!(run(SYS_openat, flags), ALLOW, "{flags:#o}");
            for flag in [O_CLOEXEC, large, O_NOCTTY, O_CREAT] {
                assert_eq!(run(SYS_openat, flags ^ flag), DENY, "{:#o}", flags ^ flag);
            }
        }
        assert_eq!(run(SYS_recvmsg, MSG_ERRQUEUE | MSG_DONTWAIT), ALLOW);
        for flags in [0, MSG_ERRQUEUE, MSG_DONTWAIT] {
            assert_eq!(run(SYS_recvmsg, flags), DENY, "{flags:#x}");
        }
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
            let network: [&[Instruction]; 4] = [&KEEPERS, &CLIENTS, &LOADERS, &NETCONSOLES];
            for (role, filter) in network.iter().enumerate() {
                let is_loaders = role == 2 && number == SYS_finit_module;
                let want = if is_loaders { ALLOW } else { DENY };
                assert_eq!(run(filter, ARCHITECTURE, number, [0; 6]), want, "call {number}, role {role}");
            }
        }
    }
}
