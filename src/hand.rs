//! Started by hand or from a script: the arguments, and shipping in the foreground.

use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::write;

use crate::boot::kernel_fs::KernelFs;
use crate::boot::pid1::read_cmdline;
use crate::cmdline::{Options, Problem, Split};
use crate::kmsg::start::Log;
use crate::report;
use crate::sys::args::Args;
use crate::sys::fds::close_all_but;
use crate::watch::{Origin, code, watch};
use crate::words;
use crate::words::{Quoted, nth_name};

const HELP: &str = "\
earlykmsg ships the kernel log as Talos-compatible JSON lines.

usage: earlykmsg [--once] [WORD=VALUE ...] [URL ...]

  URL        tcp://HOST:PORT/ or udp://HOST:PORT/, several if you like;
             without one, those of the kernel command line
  WORD=VALUE a word of the kernel command line, for this run
  --once     ship what the log holds, within 5 s, and exit
  --version  the version

exit codes: 0 done, 64 wrong usage, 69 records unconfirmed or no access
As PID 1 it ships in the background and becomes the next init.
";

/// Runs as anyone but PID 1. Returns the exit code.
pub fn run(args: Args) -> i32 {
    let kernel_fs = KernelFs::mounted();
    report::begin_stderr(&kernel_fs);
    // What whoever started this had open is none of its business, but for the standard streams.
    close_all_but(&[
        report::standard_stream(0),
        report::standard_stream(1),
        report::standard_stream(2),
        report::stderr(),
        kernel_fs.proc.as_ref().map(AsFd::as_fd),
        kernel_fs.dev.as_ref().map(AsFd::as_fd),
    ]);
    let cmdline = read_cmdline(&kernel_fs).unwrap_or_default();
    if let Some(cut) = cmdline.cut {
        report::error(|line| words!(line, cut));
    }

    let mut once = false;
    let mut wrong = false;
    let mut options = Options::none();
    let mut tell = |problem: Problem<'_>| report::error(|line| words!(line, problem));
    let given = || {
        let mut given = args.iter();
        given.next(); // the program's name
        given
    };
    // Arguments replace the command line's destinations; its other words stay in force.
    let urls_given = given().any(|arg| is_destination(arg.to_bytes()));
    for word in Split(cmdline.words) {
        if let Some(value) = word.value
            && !(urls_given && word.name == b"talos.logging.kernel")
        {
            options.word(word.name, value, &mut tell);
        }
    }
    for arg in given() {
        let arg = arg.to_bytes();
        // A match of the texts themselves takes 200 bytes more.
        match (0..5).find(|&at| nth_name("--once, --help, -h, --version, -V", at) == arg) {
            Some(0) => once = true,
            Some(1 | 2) => return print(HELP),
            Some(_) => return print(concat!("earlykmsg ", env!("CARGO_PKG_VERSION"), "\n")),
            None => {
                let problem = &mut |problem: Problem<'_>| {
                    wrong = true;
                    report::error(|line| words!(line, problem));
                };
                let (name, value) = match split(arg) {
                    Some(parts) => parts,
                    None if is_destination(arg) => (&b"talos.logging.kernel"[..], arg),
                    None => (&b""[..], arg),
                };
                if !options.word(name, value, problem) {
                    report::error(|line| {
                        words!(line, Quoted(arg), ": not an option, a word or a URL; see --help");
                    });
                    wrong = true;
                }
            }
        }
    }
    if wrong {
        return code::USAGE;
    }
    if options.destinations.is_empty() {
        report::error(|line| {
            words!(line, "no destination: give a URL, or boot with talos.logging.kernel=URL; see --help");
        });
        return code::USAGE;
    }
    watch(&options, &kernel_fs, Origin::Hand { once }, Log::open(&kernel_fs))
}

/// An argument that is a URL, however wrong.
fn is_destination(arg: &[u8]) -> bool {
    arg.starts_with(b"talos.logging.kernel=")
        || arg.windows(3).any(|part| part == b"://") && split(arg).is_none()
}

/// A word of the kernel command line, given as an argument.
fn split(arg: &[u8]) -> Option<(&[u8], &[u8])> {
    let ours = arg.starts_with(b"earlykmsg.") || arg.starts_with(b"talos.");
    let at = arg.iter().position(|&byte| byte == b'=').filter(|_| ours)?;
    Some((&arg[..at], &arg[at + 1..]))
}

fn print(text: &str) -> i32 {
    let stdout = report::standard_stream(1);
    let written = stdout.map(|out: BorrowedFd<'static>| write(out, text.as_bytes()));
    match written {
        Some(Ok(len)) if len == text.len() => code::DONE,
        _ => code::SOFTWARE,
    }
}
