//! Someone who has taken over a process: it makes system calls that are not its own.

use std::path::Path;
use std::process::Command;

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// The length of the instruction that makes a system call.
const SYSCALL_BYTES: u64 = 2;

/// Has a process that waits in a system call make another one instead, with its own hands and under its own filter.
/// `intruder` is the program of this name, which the tests bring.
#[track_caller]
pub fn make_call(intruder: &Path, victim: Pid, number: i64, arguments: [u64; 3]) {
    let numbers = [i64::from(victim.as_raw()), number].map(|number| number.to_string());
    let mut command = Command::new(intruder);
    command.args(numbers).args(arguments.map(|argument| argument.to_string()));
    assert!(command.status().expect("start the intruder").success());
}

/// The arguments that [`make_call`] gave.
pub fn arguments_of(mut words: impl Iterator<Item = String>) -> (Pid, i64, [u64; 3]) {
    let mut next = || words.next().and_then(|word| word.parse::<i64>().ok()).expect("five numbers");
    let victim = Pid::from_raw(next().try_into().expect("a process id"));
    (victim, next(), [next(), next(), next()].map(i64::cast_unsigned))
}

/// The same in this process.
pub fn make_call_here(victim: Pid, number: i64, arguments: [u64; 3]) {
    ptrace::attach(victim).expect("take the process over");
    waitpid(victim, Some(WaitPidFlag::__WALL)).expect("wait until it has stopped");
    let mut registers = ptrace::getregs(victim).expect("read its registers");
    registers.rip -= SYSCALL_BYTES;
    registers.rax = number.cast_unsigned();
    // It was in no call that would have to be made again.
    registers.orig_rax = u64::MAX;
    [registers.rdi, registers.rsi, registers.rdx] = arguments;
    ptrace::setregs(victim, registers).expect("change its registers");
    ptrace::detach(victim, None).expect("let it go on");
}
