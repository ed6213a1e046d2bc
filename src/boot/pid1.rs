//! PID 1: a straight line that ends in becoming the next init.
//!
//! Nothing here waits, and nothing that fails stops it. What it opens is closed by the exec.

use crate::logger::{error, warn};
use rustix::fd::AsFd;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::next_init::{InitPath, become_it, foresee};
use crate::exit;
use crate::kernel_fs::KernelFs;
use crate::logger;
use crate::sys::args::Args;
use crate::sys::fds::{close_all_but, keep};
use crate::sys::process::{self, Fork, fork};
use crate::watch::kernel_log::KernelLog;
use crate::watch::{Origin, watch};
use earlykmsg::config::Options;
use earlykmsg::limits::PROBLEMS_LOGGED_MAX;

/// Runs as PID 1. Returns, with the exit code, only when there is no next init.
pub fn run(args: Args) -> i32 {
    let kernel_fs = KernelFs::for_pid1();
    if let Ok(kmsg) = kernel_fs.open_kmsg() {
        logger::use_kernel_log(keep(kmsg));
    }
    // Without a command line there is nothing to do but to go on with the boot.
    let cmdline = kernel_fs.read_cmdline().unwrap_or_default();
    if let Some(cut) = cmdline.cut {
        error!("{cut}");
    }
    let mut options = Options::none();
    // The watcher's process reads it again and logs the problems.
    options.read(cmdline.complete, &mut |_| {});
    if options.wants_shipping() {
        start_watcher(args, &kernel_fs, cmdline.complete);
    }
    let error = become_it(args, options.init);
    error!("no next init: {error}; there is nothing that the kernel could go on with");
    1
}

/// Starts the watcher, unless another one runs already.
fn start_watcher(args: Args, kernel_fs: &KernelFs, cmdline: &'static [u8]) {
    if another_watcher_runs() {
        warn!("another earlykmsg ships the log already; none is started");
        return;
    }
    match fork() {
        Ok(Fork::Child) => process::exit(run_watcher(args, kernel_fs, cmdline)),
        Ok(Fork::Parent(_)) => {}
        Err(error) => error!("{error}; the log is not shipped"),
    }
}

/// Whether another watcher holds the lock on the kernel's log. If not, this process takes it. Its child has it too, as a
/// lock belongs to the open file description. PID 1 closes its descriptor by the exec, so the lock is free again when the
/// watcher ends.
fn another_watcher_runs() -> bool {
    let Some(kmsg) = logger::kernel_log() else { return false };
    flock(kmsg, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK)
}

/// The watcher's process. It logs what is wrong with the command line, so that PID 1 need not wait for that.
fn run_watcher(args: Args, kernel_fs: &KernelFs, cmdline: &'static [u8]) -> i32 {
    // The console and whatever else PID 1 was given stay with the next init alone.
    close_all_but(&[
        kernel_fs.proc.as_ref().map(AsFd::as_fd),
        kernel_fs.dev.as_ref().map(AsFd::as_fd),
        logger::kernel_log(),
    ]);
    // In a session of its own it gets no signal that is sent to PID 1's process group.
    let _ = rustix::process::setsid();
    args.rename(c"@earlykmsg");
    let kernel_log = KernelLog::open(kernel_fs);
    let options = read_options(cmdline);
    if options.destinations.is_empty() {
        return exit::DONE;
    }
    let next_init = foresee(options.init);
    let next_init = next_init.as_ref().map(InitPath::as_bytes);
    watch(&options, kernel_fs, Origin::Pid1 { next_init }, kernel_log)
}

/// Reads the command line and logs the first problems in it, and how many more there are.
fn read_options(cmdline: &'static [u8]) -> Options<'static> {
    let mut options = Options::none();
    let mut problems = 0;
    options.read(cmdline, &mut |problem| {
        problems += 1;
        if problems <= PROBLEMS_LOGGED_MAX {
            error!("{problem}");
        }
    });
    if problems > PROBLEMS_LOGGED_MAX {
        error!("{} more words are wrong", problems - PROBLEMS_LOGGED_MAX);
    }
    options
}
