//! PID 1: a straight line that ends in becoming the next init.
//!
//! Nothing here waits, and nothing that fails stops it. What it opens is closed by the exec.

use rustix::fd::AsFd;
use rustix::fs::OFlags;
use rustix::io::read;

use super::next_init::{become_it, foresee};
use super::reach::Reach;
use crate::cmdline::Options;
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

/// The bytes of the kernel's command line.
pub fn read_cmdline(reach: &Reach) -> Result<&'static [u8]> {
    static CMDLINE: Buffer<[u8; CMDLINE_BYTES]> = Buffer::new([0; CMDLINE_BYTES]);
    let file = reach.open_proc(c"cmdline", OFlags::RDONLY)?;
    let Some(buffer) = CMDLINE.take() else { return Ok(&[]) };
    let mut len = 0;
    while let Ok(more) = read(&file, &mut buffer[len..])
        && more > 0
    {
        len += more;
    }
    Ok(&buffer[..len])
}

/// Runs as PID 1. Returns, with what to tell the kernel, only when there is no next init.
pub fn run(args: Args) -> i32 {
    let reach = Reach::detached();
    if let Ok(kmsg) = reach.open_kmsg() {
        report::to_kernel_log(Some(keep(kmsg)));
    }
    let mut options = Options::none();
    // Without a command line there is nothing to do but to go on.
    let cmdline = read_cmdline(&reach).unwrap_or_default();
    options.read(cmdline, &mut |_| {});
    if options.wanted {
        match fork() {
            Ok(Fork::Child) => exit(child(args, &reach, cmdline)),
            Ok(Fork::Parent(_)) => {}
            Err(error) => report::error(|line| words!(line, error, "; the log is not shipped")),
        }
    }
    let error = become_it(args, options.init);
    report::error(|line| {
        words!(line, "no next init: ", error, "; there is nothing that the kernel could go on with");
    });
    1
}

/// The watcher's process. It says what is wrong with the command line, so that PID 1 need not wait for it.
fn child(args: Args, reach: &Reach, cmdline: &'static [u8]) -> i32 {
    // The console and whatever else PID 1 was given stay with the next init alone.
    close_all_but(&[
        reach.proc.as_ref().map(AsFd::as_fd),
        reach.dev.as_ref().map(AsFd::as_fd),
        report::kernel_log(),
    ]);
    // A session of its own: what is sent to PID 1's process group is not meant for us.
    let _ = rustix::process::setsid();
    args.rename(c"@earlykmsg");
    let log = Log::open(reach);
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
    watch(&options, reach, Origin::Pid1 { next_init: next_init.as_deref() }, log)
}
