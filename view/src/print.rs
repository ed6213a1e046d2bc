//! Lines and their colours.

use std::env;
use std::io::{IsTerminal, stdout};

use crate::history::{Event, History, Place};
use crate::record::{Level, Record};
use crate::text::{printable, shortened};

/// What is shown, and how.
#[derive(Clone, Debug)]
pub struct Printer {
    /// In colours.
    pub colour: bool,
    /// Facility and level before each record, as `dmesg --decode` has it.
    pub decode: bool,
    /// Records at least this severe.
    pub level: Option<Level>,
    /// These machines; if empty, all.
    pub machines: Vec<String>,
    /// As wide as the longest name so far.
    width: usize,
}

/// The longest name before a line.
const LABEL_CHARS_MAX: usize = 16;

/// The longest line of what is no record.
const OTHER_CHARS_MAX: usize = 500;

/// Bold, as terminals take it (SGR); so are the others.
pub const BOLD: &str = "1";
/// Less bright.
pub const DIM: &str = "2";
const RED: &str = "31";
const RED_BOLD: &str = "1;31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const MAGENTA_BOLD: &str = "1;35";
/// For names of machines: none that a level has.
const NAMES: [&str; 5] = ["36", "94", "35", "96", "95"];

/// Whether standard output takes colours: a terminal, unless `NO_COLOR` is set.
#[must_use]
pub fn takes_colours() -> bool {
    stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

impl Printer {
    /// Shows everything.
    #[must_use]
    pub fn new(colour: bool) -> Printer {
        Printer { colour, decode: false, level: None, machines: Vec::new(), width: 0 }
    }

    /// What an event looks like, with its line ends; empty if it is not to be shown.
    #[must_use]
    pub fn event(&mut self, history: &History, event: &Event) -> String {
        let place = event.place();
        let is_chosen = |name: &String| history.is_called(place.machine, name);
        if !self.machines.is_empty() && !self.machines.iter().any(is_chosen) {
            return String::new();
        }
        let name = self.name(history, place);
        let label = printable(history.label(place.machine));
        let who = if label.is_empty() { "one without a name" } else { &label };
        let boot = place.boot + 1;
        let text = match event {
            Event::Record { record, .. } if record.report.is_none() => {
                return self.record(&name, record);
            }
            Event::Record { record, .. } => {
                let text = printable(record.lines().first().unwrap_or(&""));
                text.strip_prefix("earlykmsg: ").unwrap_or(&text).to_owned()
            }
            Event::Machine { .. } if !self.machines.is_empty() => return String::new(),
            Event::Machine { .. } => format!("another machine: {who}"),
            Event::Boot { time, .. } if time.is_empty() => format!("reboot: boot {boot}"),
            Event::Boot { time, .. } => format!("reboot: boot {boot}, {}", printable(time)),
            Event::Kept { origin, .. } => format!("kept by pstore of an earlier boot: {}", printable(origin)),
            Event::Again { .. } => format!("boot {boot} again:"),
            Event::Missing { first, last, .. } if first == last => {
                format!("1 record not received: seq {first}")
            }
            Event::Missing { first, last, .. } => {
                format!("{} records not received: seq {first}-{last}", (last - first).saturating_add(1))
            }
        };
        format!("{name}{}\n", self.paint(&format!("-- {text}"), MAGENTA_BOLD))
    }

    /// What is no record looks like: as it is, behind a mark.
    #[must_use]
    pub fn other(&self, bytes: &[u8], is_cut: bool) -> String {
        if !self.machines.is_empty() {
            return String::new(); // nobody knows whose it is
        }
        let text = printable(&String::from_utf8_lossy(bytes));
        let mut shown = shortened(&text, OTHER_CHARS_MAX);
        if is_cut && !shown.ends_with('…') {
            shown.push('…');
        }
        format!("{}\n", self.paint(&format!("?? {shown}"), DIM))
    }

    fn record(&self, name: &str, record: &Record) -> String {
        if self.level.is_some_and(|least| record.level > least) {
            return String::new();
        }
        let (seconds, micros) = (record.clock / 1_000_000, record.clock % 1_000_000);
        let time = format!("[{seconds:5}.{micros:06}]");
        let decoded = match self.decode {
            true => format!("{:<6}:{:<6}: ", printable(&record.facility), record.level.name()),
            false => String::new(),
        };
        let colour = match record.level {
            level if level < Level::ERR => RED_BOLD,
            Level::ERR => RED,
            Level::WARNING => YELLOW,
            Level::NOTICE => BOLD,
            Level::INFO => "",
            _ => DIM,
        };
        let mut shown = String::new();
        for (number, line) in record.lines().into_iter().enumerate() {
            let text = self.paint(&printable(line), colour);
            let start = match number {
                0 => format!("{decoded}{}", self.paint(&time, GREEN)),
                _ => " ".repeat(decoded.len() + time.len()),
            };
            shown.push_str(format!("{name}{start} {text}").trim_end());
            shown.push('\n');
        }
        shown
    }

    /// The name of a machine before a line, where there are several.
    fn name(&mut self, history: &History, place: Place) -> String {
        if history.machines() < 2 || self.machines.len() == 1 {
            return String::new();
        }
        let label = match history.label(place.machine) {
            "" => "-".to_owned(),
            // Those of one vendor begin alike.
            uuid if is_uuid(uuid) => uuid[uuid.len() - 12..].to_owned(),
            name => shortened(&printable(name), LABEL_CHARS_MAX),
        };
        self.width = self.width.max(label.chars().count());
        let colour = NAMES[place.machine % NAMES.len()];
        let space = self.width - label.chars().count() + 1;
        format!("{}{:space$}", self.paint(&label, colour), "")
    }

    /// A text in a colour.
    #[must_use]
    pub fn paint(&self, text: &str, colour: &str) -> String {
        match colour {
            "" => text.to_owned(),
            _ if !self.colour || text.is_empty() => text.to_owned(),
            _ => format!("\x1b[{colour}m{text}\x1b[0m"),
        }
    }
}

fn is_uuid(text: &str) -> bool {
    let is_of_it = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    text.len() == 36 && text.bytes().enumerate().all(is_of_it)
}
