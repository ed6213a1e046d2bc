//! PID 1: a straight line that ends in becoming the next init.
//!
//! Nothing here waits, and nothing that fails stops it. What it opens is closed by the exec.

use super::detach::{Start, open_kernel_log, start_watcher};
use super::next_init::{become_it, foresee, requested_path};
use crate::exit;
use crate::kernel_fs::KernelFs;
use crate::logger::{error, warn};
use crate::sys::args::Args;
use crate::watch::kernel_log::KernelLog;
use crate::watch::{Origin, watch};
use earlykmsg::config::Options;
use earlykmsg::error::Result;
use earlykmsg::limits::{PATH_BYTES_MAX, PROBLEMS_LOGGED_MAX};

/// Runs as PID 1. Returns, with the exit code, only when there is no next init.
pub fn run(args: Args) -> i32 {
    let kernel_fs = KernelFs::for_pid1();
    open_kernel_log(&kernel_fs);
    // Without a command line there is nothing to do but to go on with the boot.
    let cmdline = kernel_fs.read_cmdline().unwrap_or_default();
    if let Some(cut) = cmdline.cut {
        error!("{cut}");
    }
    let mut options = Options::none();
    // The watcher's process reads it again and logs the problems.
    options.read(cmdline.complete, &mut |_| {});
    if options.wants_watcher() {
        let watcher = |kernel_log| run_watcher(args, &kernel_fs, kernel_log, cmdline.complete);
        match start_watcher(&kernel_fs, watcher) {
            Ok(Start::Started) => {}
            Ok(Start::AnotherRuns) => warn!("another earlykmsg ships the log already; none is started"),
            Err(error) => error!("{error}; the log is not shipped"),
        }
    }
    let mut buffer = [0; PATH_BYTES_MAX + 1];
    let error = become_it(args, requested_path(options.init, &mut buffer));
    error!("no next init: {error}; there is nothing that the kernel could go on with");
    1
}

/// The watcher's process. It logs what is wrong with the command line, so that PID 1 need not wait for that.
fn run_watcher(
    args: Args,
    kernel_fs: &KernelFs,
    kernel_log: Result<KernelLog>,
    cmdline: &'static [u8],
) -> i32 {
    args.rename(c"@earlykmsg");
    let options = read_options(cmdline);
    if !options.has_work() {
        return exit::DONE;
    }
    let mut buffer = [0; PATH_BYTES_MAX + 1];
    let next_init = foresee(requested_path(options.init, &mut buffer));
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
