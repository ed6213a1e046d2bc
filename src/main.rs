//! earlykmsg ships the kernel's log, from the first line of the boot on, as Talos-compatible JSON lines.
//!
//! This is what calls the system; what computes is the core (`lib.rs`). One folder holds one process: `boot` PID 1 before
//! it becomes the next init, `watch` the watcher, `ship` a shipper. What is needed as well by the program that brings the
//! network up (`bringup/main.rs`) is in `system.rs`.

#![no_std]
#![no_main]
#![allow(unreachable_pub)] // a binary has no outside: `pub` says what a module offers to the others

mod boot;
mod cli;
mod net;
mod privileges;
mod random;
mod ship;
mod watch;

use core::panic::PanicInfo;

use boot::{next_init, pid1};
use earlykmsg_system::{confine, entry, exit, kernel_fs, logger, sys};
use sys::args::Args;
use sys::process;

entry!(crate::run);

/// Returns the exit code. PID 1 returns only when there is no next init: the kernel panics then.
fn run(args: Args) -> i32 {
    logger::install();
    if process::is_pid1() { pid1::run(args) } else { cli::run(args) }
}

/// Nothing unwinds. PID 1 becomes the next init even now; a shipper is started again by the watcher.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(at) => logger::error!("stopped by a fault of its own at {at}; please report this"),
        None => logger::error!("stopped by a fault of its own; please report this"),
    }
    if process::is_pid1()
        && let Some(args) = Args::again()
    {
        next_init::become_it(args, None);
    }
    process::exit(exit::SOFTWARE)
}
