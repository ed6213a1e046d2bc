//! The program: which role it has, and what happens when it finds itself to be wrong.

#![no_std]
#![no_main]

use earlykmsg::boot::{next_init, pid1};
use earlykmsg::sys::args::Args;
use earlykmsg::sys::process::{exit, is_pid1};
use earlykmsg::watch::code;
use earlykmsg::{entry, hand, report};

entry!(crate::run);

/// Returns the exit code, which the kernel sees as PID 1's death.
fn run(args: Args) -> i32 {
    if is_pid1() { pid1::run(args) } else { hand::run(args) }
}

/// Nothing unwinds. PID 1 becomes the next init even now; a shipper is started again by the watcher.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    report::epitaph();
    if is_pid1()
        && let Some(args) = Args::again()
    {
        next_init::become_it(args, None);
    }
    exit(code::SOFTWARE)
}
