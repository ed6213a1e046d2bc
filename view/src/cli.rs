//! What the command line asks for.

use std::path::PathBuf;

use earlykmsg_view::print::takes_colours;
use earlykmsg_view::record::Level;
use lexopt::prelude::*;

pub(crate) const USAGE: &str = "\
usage: nc -lk 5044 | earlykmsg-view [OPTION ...]
       earlykmsg-view [OPTION ...] FILE ...

Shows what earlykmsg sends, as dmesg prints it. Without a FILE, standard input
is read; FILE - is standard input as well.

  -f, --follow FILE   read this file last, and go on when it grows
  -l, --level NAME    records at least this severe: emerg, alert, crit, err,
                      warning, notice, info or debug
  -m, --machine NAME  this machine alone; may be given several times
      --tag NAME      the tag that tells machines apart
  -x, --decode        facility and level before each record
      --svg FILE      at the end, draw each boot as a time line
      --color WHEN    always, never or auto: if it goes to a terminal and NO_COLOR
                      is not set
  -h, --help          this text
  -V, --version       the version

Lines that begin with -- are the program's own: lost records, another boot or
machine. What is no record is shown behind ??.
";

/// What is to be done.
pub(crate) enum Order {
    Show(Options),
    Help,
    Version,
}

pub(crate) struct Options {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) follow: Option<PathBuf>,
    pub(crate) level: Option<Level>,
    pub(crate) machines: Vec<String>,
    pub(crate) tag: Option<String>,
    pub(crate) decode: bool,
    pub(crate) svg: Option<PathBuf>,
    pub(crate) colour: bool,
}

/// Reads the arguments of this process.
pub(crate) fn order() -> Result<Order, lexopt::Error> {
    let mut options = Options {
        files: Vec::new(),
        follow: None,
        level: None,
        machines: Vec::new(),
        tag: None,
        decode: false,
        svg: None,
        colour: false,
    };
    let mut colour = "auto".to_owned();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Order::Help),
            Short('V') | Long("version") => return Ok(Order::Version),
            Short('f') | Long("follow") => options.follow = Some(parser.value()?.into()),
            Short('l') | Long("level") => {
                let name = parser.value()?.string()?;
                let level = Level::from_name(&name);
                options.level = Some(level.ok_or_else(|| format!("--level {name}: no such level"))?);
            }
            Short('m') | Long("machine") => options.machines.push(parser.value()?.string()?),
            Long("tag") => options.tag = Some(parser.value()?.string()?),
            Short('x') | Long("decode") => options.decode = true,
            Long("svg") => options.svg = Some(parser.value()?.into()),
            Long("color" | "colour") => colour = parser.value()?.string()?,
            Value(file) => options.files.push(file.into()),
            _ => return Err(argument.unexpected()),
        }
    }
    options.colour = match &*colour {
        "always" => true,
        "never" => false,
        "auto" => takes_colours(),
        _ => return Err(format!("--color {colour}: must be always, never or auto").into()),
    };
    Ok(Order::Show(options))
}
