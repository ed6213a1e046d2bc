//! The command-line interface: the arguments of a program that is not PID 1, and shipping in the foreground.

use core::ffi::CStr;

use crate::logger::error;
use rustix::io::write;

use crate::boot::background;
use crate::exit;
use crate::kernel_fs::KernelFs;
use crate::logger;
use crate::sys::args::Args;
use crate::sys::fds::{close_all_but, standard_stream};
use crate::watch::kernel_log::KernelLog;
use crate::watch::{Origin, watch};
use earlykmsg::config::Options;
use earlykmsg::config::cmdline::{Arguments, Cmdline};
use earlykmsg::text::{Quoted, as_str, split_once};

const HELP: &str = "\
earlykmsg ships the kernel log as Talos-compatible JSON lines, or as syslog.

usage: earlykmsg [--once | --background] [NAME=VALUE ...] [URL ...]

  URL            where to: tcp://HOST:PORT/ or udp://HOST:PORT/ for JSON,
                 syslog+tcp://HOST:PORT/ or syslog+udp://HOST:PORT/ for syslog,
                 up to four; without any, those of the kernel command line
  NAME=VALUE     like an argument of the kernel command line, for this run
  --once         ship what the log holds now, within 5 s, and exit
  --background   from an init script: ship as PID 1 would, return at once; does
                 nothing without a destination or netconsole, or beside another one
  -h, --help     print this help and exit
  -V, --version  print the version and exit

exit codes: 0 done, 64 wrong usage, 69 records unacknowledged, or /dev/kmsg
unreadable, 70 failure of the program
As PID 1 it ships in the background and becomes the next init.
";

const VERSION: &str = concat!("earlykmsg ", env!("CARGO_PKG_VERSION"), "\n");

/// The argument that names a destination for Talos and us …
const TALOS: &[u8] = b"talos.logging.kernel";
/// … and the one that names any destination of ours, which a bare URL stands for.
const OWN: &[u8] = b"earlykmsg.to";

/// What the arguments ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Request {
    Ship(Mode),
    Help,
    Version,
    /// What is wrong was logged.
    WrongUsage,
}

/// How to ship.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Foreground,
    Once,
    Background,
}

/// Runs as any process but PID 1. Returns the exit code.
pub fn run(args: Args) -> i32 {
    let kernel_fs = KernelFs::mounted();
    logger::use_stderr(&kernel_fs);
    // Of what the parent process had open, only the standard streams are of use.
    close_all_but(&[
        standard_stream(0),
        standard_stream(1),
        standard_stream(2),
        logger::stderr(),
        kernel_fs.proc,
        kernel_fs.dev,
    ]);
    let cmdline = kernel_fs.read_cmdline().unwrap_or_default();
    let (request, options) = read(cmdline, args);
    let once = match request {
        Request::Help => return print(HELP),
        Request::Version => return print(VERSION),
        Request::WrongUsage => return exit::USAGE,
        Request::Ship(Mode::Background) if !options.has_work() => return exit::DONE,
        // The process that ships reads the options again, and logs what is wrong with them into the kernel's log.
        Request::Ship(Mode::Background) => return background::run(args, || read(cmdline, args).1),
        Request::Ship(mode) => mode == Mode::Once,
    };
    if options.destinations.is_empty() {
        error!("no destination: give a URL, or boot with talos.logging.kernel=URL; see --help");
        return exit::USAGE;
    }
    watch(&options, &kernel_fs, Origin::ByHand { once }, KernelLog::open(&kernel_fs))
}

/// Reads the kernel's command line and the program's arguments, and logs what is wrong with them.
fn read(cmdline: Cmdline<'static>, args: Args) -> (Request, Options<'static>) {
    if let Some(cut) = cmdline.cut {
        error!("{cut}");
    }
    let mut options = Options::none();
    read_cmdline(cmdline.complete, &mut options, args);
    let request = read_arguments(args, &mut options);
    (request, options)
}

/// The arguments without the program's name.
fn arguments(args: Args) -> impl Iterator<Item = &'static [u8]> {
    args.iter().skip(1).map(CStr::to_bytes)
}

/// Takes the kernel's command line into `options`. The program's own arguments replace its destinations; the rest of it
/// stays in force.
fn read_cmdline(cmdline: &'static [u8], options: &mut Options<'static>, args: Args) {
    options.cmdline = cmdline;
    let replaces_destinations = arguments(args).any(is_destination);
    for argument in Arguments(cmdline) {
        if let Some(value) = argument.value
            && !(replaces_destinations && names_destination(argument.name))
        {
            options.take(argument.name, value, &mut |problem| error!("{problem}"));
        }
    }
}

/// Takes the program's arguments into `options`, and logs what is wrong with them.
fn read_arguments(args: Args, options: &mut Options<'static>) -> Request {
    let mut mode = Mode::Foreground;
    let mut is_wrong = false;
    for arg in arguments(args) {
        let (name, value) = match as_str(arg) {
            "--once" => {
                mode = Mode::Once;
                continue;
            }
            "--background" => {
                mode = Mode::Background;
                continue;
            }
            "--help" | "-h" => return Request::Help,
            "--version" | "-V" => return Request::Version,
            _ if is_url(arg) => (OWN, arg),
            // Without a name it is unknown.
            _ => named(arg).unwrap_or((b"", arg)),
        };
        let is_known = options.take(name, value, &mut |problem| {
            is_wrong = true;
            error!("{problem}");
        });
        if !is_known {
            is_wrong = true;
            error!("{}: not an option, a word or a URL; see --help", Quoted(arg));
        }
    }
    if is_wrong { Request::WrongUsage } else { Request::Ship(mode) }
}

/// Whether an argument names a destination, be it right or wrong.
fn is_destination(arg: &[u8]) -> bool {
    named(arg).is_some_and(|(name, _)| names_destination(name)) || is_url(arg)
}

/// Whether an argument with this name is a destination.
fn names_destination(name: &[u8]) -> bool {
    name == TALOS || name == OWN
}

/// Whether an argument is meant as a URL, be it right or wrong.
fn is_url(arg: &[u8]) -> bool {
    arg.windows(3).any(|part| part == b"://") && named(arg).is_none()
}

/// Name and value of an argument that could stand on the kernel's command line.
fn named(arg: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_ours = arg.starts_with(b"earlykmsg.") || arg.starts_with(b"talos.");
    split_once(arg, b'=').filter(|_| is_ours)
}

fn print(text: &str) -> i32 {
    match standard_stream(1).map(|stdout| write(stdout, text.as_bytes())) {
        Some(Ok(len)) if len == text.len() => exit::DONE,
        _ => exit::SOFTWARE,
    }
}
