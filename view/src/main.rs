//! The command `earlykmsg-view`: see [`cli::USAGE`].

mod cli;
mod input;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use cli::{Options, Order};
use earlykmsg_view::decode::{Decoder, Entry};
use earlykmsg_view::history::History;
use earlykmsg_view::print::Printer;
use earlykmsg_view::timeline::Timeline;
use input::{Growth, Wait, Waiter, at};

fn main() -> ExitCode {
    let done = match cli::order() {
        Ok(Order::Show(options)) => show(&options),
        Ok(Order::Help) => io::stdout().write_all(cli::USAGE.as_bytes()),
        Ok(Order::Version) => writeln!(io::stdout(), "earlykmsg-view {}", env!("CARGO_PKG_VERSION")),
        Err(why) => {
            eprintln!("earlykmsg-view: {why}; see earlykmsg-view --help");
            return ExitCode::from(64);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough.
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("earlykmsg-view: {why}");
            ExitCode::FAILURE
        }
    }
}

fn show(options: &Options) -> io::Result<()> {
    let waiter = Waiter::new(options.svg.is_some())?;
    let mut viewer = Viewer::new(options);
    let shown = viewer.show_all(options, &waiter);
    if let (Some(path), Some(timeline)) = (&options.svg, &viewer.timeline) {
        fs::write(path, timeline.svg()).map_err(at("unable to write", path))?;
    }
    shown
}

struct Viewer {
    decoder: Decoder,
    history: History,
    printer: Printer,
    timeline: Option<Timeline>,
    out: io::StdoutLock<'static>,
}

impl Viewer {
    fn new(options: &Options) -> Viewer {
        let mut printer = Printer::new(options.colour);
        printer.decode = options.decode;
        printer.level = options.level;
        printer.machines.clone_from(&options.machines);
        Viewer {
            decoder: Decoder::default(),
            history: History::new(options.tag.clone()),
            printer,
            timeline: options.svg.as_ref().map(|_| Timeline::default()),
            out: io::stdout().lock(),
        }
    }

    fn show_all(&mut self, options: &Options, waiter: &Waiter) -> io::Result<()> {
        let only_stdin = options.files.is_empty() && options.follow.is_none();
        let stdin = only_stdin.then(|| Path::new("-"));
        for path in options.files.iter().map(AsRef::as_ref).chain(stdin) {
            let end = if path == Path::new("-") {
                input::read_all(path, &mut io::stdin().lock(), waiter, |bytes| self.take(bytes))?
            } else {
                let mut file = File::open(path).map_err(at("unable to read", path))?;
                input::read_all(path, &mut file, waiter, |bytes| self.take(bytes))?
            };
            self.end()?;
            if end == Wait::Interrupted {
                return Ok(());
            }
        }
        if let Some(path) = &options.follow {
            let take = |growth: Growth<'_>| match growth {
                Growth::Bytes(bytes) => self.take(bytes),
                Growth::Anew => self.end(),
            };
            input::follow(path, waiter, take)?;
            self.end()?;
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        let entries = self.decoder.push(bytes);
        self.show(entries)
    }

    /// What is left of a file or stream.
    fn end(&mut self) -> io::Result<()> {
        let entries = self.decoder.finish();
        self.show(entries)
    }

    fn show(&mut self, entries: Vec<Entry>) -> io::Result<()> {
        let mut shown = String::new();
        for entry in entries {
            match entry {
                Entry::Other { bytes, is_cut } => shown += &self.printer.other(&bytes, is_cut),
                Entry::Record(record) => {
                    for event in self.history.take(record) {
                        if let Some(timeline) = &mut self.timeline {
                            timeline.add(&self.history, &event);
                        }
                        shown += &self.printer.event(&self.history, &event);
                    }
                }
            }
        }
        self.out.write_all(shown.as_bytes())?;
        self.out.flush()
    }
}
