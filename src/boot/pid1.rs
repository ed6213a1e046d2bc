//! PID 1: a straight line that ends in becoming the next init.
//!
//! Nothing here waits, and nothing that fails stops it. What it opens is closed by the exec.

use rustix::fd::AsFd;
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::{Errno, read};

use super::kernel_fs::KernelFs;
use super::next_init::{InitPath, become_it, foresee};
use crate::cmdline::{Cmdline, Options};
use crate::error::Result;
use crate::kmsg::start::Log;
use crate::limits::{CMDLINE_BYTES, PROBLEMS_TOLD_MAX};
use crate::report;
use crate::sys::args::Args;
use crate::sys::fds::{close_all_but, keep};
use crate::sys::memory::Buffer;
use crate::sys::process::{Fork, exit, fork};
use crate::watch::{Origin, watch};
use crate::words;

/// Reads the kernel's command line.
pub fn read_cmdline(kernel_fs: &KernelFs) -> Result<Cmdline<'static>> {
    // One byte more than is used shows whether there is more.
    static CMDLINE: Buffer<[u8; CMDLINE_BYTES + 1]> = Buffer::new([0; CMDLINE_BYTES + 1]);
    let file = kernel_fs.open_proc(c"cmdline", OFlags::RDONLY)?;
    let Some(buffer) = CMDLINE.take() else { return Ok(Cmdline::default()) };
    let mut len = 0;
    while let Ok(more) = read(&file, &mut buffer[len..])
        && more > 0
    {
        len += more;
    }
    Ok(Cmdline::new(&buffer[..len]))
}

/// Runs as PID 1. Returns, with what to tell the kernel, only when there is no next init.
pub fn run(args: Args) -> i32 {
    let kernel_fs = KernelFs::for_pid1();
    if let Ok(kmsg) = kernel_fs.open_kmsg() {
        report::to_kernel_log(Some(keep(kmsg)));
    }
    let mut options = Options::none();
    // Without a command line there is nothing to do but to go on.
    let cmdline = read_cmdline(&kernel_fs).unwrap_or_default();
    if let Some(cut) = cmdline.cut {
        report::error(|line| words!(line, cut));
    }
    options.read(cmdline.words, &mut |_| {});
    if options.wanted {
        start_watcher(args, &kernel_fs, cmdline.words);
    }
    let error = become_it(args, options.init);
    report::error(|line| {
        words!(line, "no next init: ", error, "; there is nothing that the kernel could go on with");
    });
    1
}

/// Starts the watcher, unless one is at work already.
fn start_watcher(args: Args, kernel_fs: &KernelFs, cmdline: &'static [u8]) {
    if another_is_at_work() {
        report::warn(|line| words!(line, "another earlykmsg ships the log already; none is started"));
        return;
    }
    match fork() {
        Ok(Fork::Child) => exit(child(args, kernel_fs, cmdline)),
        Ok(Fork::Parent(_)) => {}
        Err(error) => report::error(|line| words!(line, error, "; the log is not shipped")),
    }
}

/// Whether another watcher holds the lock on the kernel's log. If not, this process has it now, and its child too, as it
/// belongs to the descriptor: it is free again when the watcher ends, PID 1's descriptor being closed by the exec.
fn another_is_at_work() -> bool {
    let lock = |kmsg| flock(kmsg, FlockOperation::NonBlockingLockExclusive);
    report::kernel_log().is_some_and(|kmsg| lock(kmsg) == Err(Errno::WOULDBLOCK))
}

/// The watcher's process. It says what is wrong with the command line, so that PID 1 need not wait for it.
fn child(args: Args, kernel_fs: &KernelFs, cmdline: &'static [u8]) -> i32 {
    // The console and whatever else PID 1 was given stay with the next init alone.
    close_all_but(&[
        kernel_fs.proc.as_ref().map(AsFd::as_fd),
        kernel_fs.dev.as_ref().map(AsFd::as_fd),
        report::kernel_log(),
    ]);
    // A session of its own: what is sent to PID 1's process group is not meant for us.
    let _ = rustix::process::setsid();
    args.rename(c"@earlykmsg");
    let log = Log::open(kernel_fs);
    let mut options = Options::none();
    let mut wrong = 0;
    options.read(cmdline, &mut |problem| {
        wrong += 1;
        if wrong <= PROBLEMS_TOLD_MAX {
            report::error(|line| words!(line, problem));
        }
    });
    if let Some(more) = wrong.checked_sub(PROBLEMS_TOLD_MAX + 1) {
        report::error(|line| words!(line, more as u64 + 1, " more words are wrong"));
    }
    if options.destinations.is_empty() {
        return 0;
    }
    let next_init = foresee(options.init);
    let next_init = next_init.as_ref().map(InitPath::as_bytes);
    watch(&options, kernel_fs, Origin::Pid1 { next_init }, log)
}
