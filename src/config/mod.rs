//! What the kernel's command line and the program's arguments ask for, as one [`Options`].
//!
//! Whatever stands there, an `Options` comes out: what is wrong is told as a [`Problem`] and left out alone.

use core::fmt::{self, Display};

use heapless::Vec;

use crate::limits::{DESTINATIONS_MAX, LINGER_SECONDS, LINGER_SECONDS_MAX, PATH_BYTES_MAX, QUOTED_BYTES_MAX};
use crate::record::Level;
use crate::text::{Quoted, as_str, decimal};
use cmdline::Arguments;
use endpoint::{Endpoint, Format, UrlError};
use tags::{TagError, hostname_of};

pub mod cmdline;
pub mod endpoint;
pub mod netconsole;
pub mod network;
pub mod network_words;
pub mod pstore;
pub mod tags;

/// Members that are made for a record beside Talos's.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Extra {
    /// Who wrote it.
    pub caller: bool,
    /// The lines of its dictionary, which are no part of `msg` then.
    pub dict: bool,
}

/// How long to go on after the switch when nobody takes over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Linger {
    /// For so many seconds. When nothing is ever reached, for an hour.
    Seconds(u32),
    /// Until somebody takes over.
    Forever,
}

impl Default for Linger {
    fn default() -> Linger {
        Linger::Seconds(LINGER_SECONDS)
    }
}

/// Everything that the command line can ask for.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// `talos.logging.kernel=` and `earlykmsg.to=`, each destination once.
    pub destinations: Vec<Endpoint<'a>, DESTINATIONS_MAX>,
    /// The positions that they had among those arguments, counted from 1.
    positions: Vec<usize, DESTINATIONS_MAX>,
    /// How many of those arguments there were.
    destination_arguments: usize,
    /// The least severe level that is shipped: `earlykmsg.level=`.
    pub level: Level,
    /// `earlykmsg.init=`: an absolute path.
    pub init: Option<&'a [u8]>,
    /// `earlykmsg.linger=`
    pub linger: Linger,
    /// `earlykmsg.tags=`, then `earlykmsg.tags.1=` and so on.
    tags: [&'a [u8]; 1 + DESTINATIONS_MAX],
    /// `earlykmsg.extra=`
    pub extra: Extra,
    /// The machine's name in `ip=`; empty: none.
    pub hostname: &'a [u8],
    /// The name of the last word about a network of the program's own, about modules or netconsole; empty: there is none.
    /// What it says is read by the program that brings the network up ([`network_words::NetworkWords`]).
    pub network_word: &'a [u8],
    /// Whether `earlykmsg.netconsole=` is given.
    pub netconsole: bool,
    /// `earlykmsg.pstore=`, which the program reads that reads pstore ([`pstore::PstoreWords`]).
    pub has_pstore: bool,
    /// The kernel's command line as a whole.
    pub cmdline: &'a [u8],
}

/// Whose word names a destination.
#[derive(Clone, Copy)]
enum Whose {
    /// `talos.logging.kernel=`, which Talos reads as well: it must be one that Talos can serve.
    Talos,
    /// `earlykmsg.to=`
    Own,
}

/// An argument that could not be taken as it stands. Displays as the whole message, the argument first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Problem<'a, R = Reason> {
    /// The argument's name: `talos.logging.kernel`.
    pub name: &'a [u8],
    /// The argument's value, or the part of it that is wrong.
    pub value: &'a [u8],
    /// What is wrong with it.
    pub reason: R,
}

/// What is wrong with an argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // the texts below explain them
pub enum Reason {
    Destination(UrlError),
    TalosScheme,
    TalosSyslog,
    TooManyDestinations,
    Level,
    Init,
    InitTooLong,
    Linger,
    Tag(TagError),
    TagsDestination,
    Extra,
}

impl<'a> Options<'a> {
    /// What holds when nothing is asked for.
    pub const fn none() -> Options<'a> {
        Options {
            destinations: Vec::new(),
            positions: Vec::new(),
            destination_arguments: 0,
            level: Level::DEBUG,
            init: None,
            linger: Linger::Seconds(LINGER_SECONDS),
            tags: [b""; 1 + DESTINATIONS_MAX],
            extra: Extra { caller: false, dict: false },
            hostname: b"",
            network_word: b"",
            netconsole: false,
            has_pstore: false,
            cmdline: b"",
        }
    }

    /// Whether a destination was asked for, even if it was left out, or netconsole.
    pub fn wants_watcher(&self) -> bool {
        self.destination_arguments > 0 || self.netconsole
    }

    /// Whether there is anything to do.
    pub fn has_work(&self) -> bool {
        !self.destinations.is_empty() || self.netconsole
    }

    /// The tags of the destination at this position of the list: those of all, and its own.
    pub fn tags(&self, destination: usize) -> [&'a [u8]; 2] {
        let own = self.positions.get(destination).and_then(|&position| self.tags.get(position));
        [self.tags[0], own.copied().unwrap_or_default()]
    }

    /// Whether there are any tags.
    pub fn has_tags(&self) -> bool {
        self.tags.iter().any(|tags| !tags.is_empty())
    }

    /// Reads a whole command line; of the same argument the last one counts.
    pub fn read(&mut self, cmdline: &'a [u8], report: &mut dyn FnMut(Problem<'a>)) {
        self.cmdline = cmdline;
        for argument in Arguments(cmdline) {
            if let Some(value) = argument.value {
                self.take(argument.name, value, report);
            }
        }
    }

    /// Takes one argument. Returns whether its name is one of ours.
    pub fn take(&mut self, name: &'a [u8], value: &'a [u8], report: &mut dyn FnMut(Problem<'a>)) -> bool {
        let mut wrong = |reason| report(Problem { name, value, reason });
        match as_str(name) {
            "talos.logging.kernel" => self.take_destination(value, Whose::Talos, &mut wrong),
            "earlykmsg.to" => self.take_destination(value, Whose::Own, &mut wrong),
            "earlykmsg.tags" => self.take_tags(0, name, value, report),
            "earlykmsg.extra" => self.take_extra(value, &mut wrong),
            "earlykmsg.level" => match Level::from_name(value) {
                Some(level) => self.level = level,
                None => wrong(Reason::Level),
            },
            "earlykmsg.init" => match value {
                [b'/', ..] if value.len() > PATH_BYTES_MAX => wrong(Reason::InitTooLong),
                [b'/', ..] if !value.contains(&0) => self.init = Some(value),
                _ => wrong(Reason::Init),
            },
            "earlykmsg.linger" => match (as_str(value), decimal(value)) {
                ("forever", _) => self.linger = Linger::Forever,
                (_, Some(seconds @ 0..=LINGER_SECONDS_MAX)) => self.linger = Linger::Seconds(seconds),
                _ => wrong(Reason::Linger),
            },
            "earlykmsg.ip" | "earlykmsg.vlan" | "earlykmsg.bond" | "earlykmsg.modules" => {
                self.network_word = name;
            }
            "earlykmsg.netconsole" => {
                self.netconsole = !value.is_empty();
                if self.netconsole {
                    self.network_word = name;
                }
            }
            "earlykmsg.pstore" => self.has_pstore = true,
            "ip" => {
                let hostname = hostname_of(value);
                if !hostname.is_empty() {
                    self.hostname = hostname;
                }
            }
            _ => match name.strip_prefix(b"earlykmsg.tags.").map(decimal) {
                None => return false,
                Some(Some(number @ 1..)) => self.take_tags(number as usize, name, value, report),
                Some(_) => wrong(Reason::TagsDestination),
            },
        }
        true
    }

    fn take_destination(&mut self, url: &'a [u8], whose: Whose, wrong: &mut dyn FnMut(Reason)) {
        if url.is_empty() {
            return;
        }
        self.destination_arguments += 1;
        match (Endpoint::parse(url), whose) {
            (Err(UrlError::Scheme), Whose::Talos) => wrong(Reason::TalosScheme),
            (Ok(Endpoint { format: Format::Syslog, .. }), Whose::Talos) => wrong(Reason::TalosSyslog),
            (Err(error), _) => wrong(Reason::Destination(error)),
            (Ok(endpoint), _) if self.destinations.contains(&endpoint) => {}
            (Ok(endpoint), _) => match self.destinations.push(endpoint) {
                // Both lists have the same capacity.
                Ok(()) => drop(self.positions.push(self.destination_arguments)),
                Err(_) => wrong(Reason::TooManyDestinations),
            },
        }
    }

    /// Takes the tags of all destinations (0) or of one (from 1).
    fn take_tags(
        &mut self,
        destination: usize,
        name: &'a [u8],
        value: &'a [u8],
        report: &mut dyn FnMut(Problem<'a>),
    ) {
        let Some(tags) = self.tags.get_mut(destination) else {
            return report(Problem { name, value, reason: Reason::TagsDestination });
        };
        *tags = value;
        for (tag, parsed) in tags::parse(value) {
            if let Err(error) = parsed {
                report(Problem { name, value: tag, reason: Reason::Tag(error) });
            }
        }
    }

    fn take_extra(&mut self, value: &[u8], wrong: &mut dyn FnMut(Reason)) {
        self.extra = Extra::default();
        for member in value.split(|&byte| byte == b',') {
            match as_str(member) {
                "caller" => self.extra.caller = true,
                "dict" => self.extra.dict = true,
                _ if member.is_empty() => {}
                _ => wrong(Reason::Extra),
            }
        }
    }
}

impl<R: Display> Display for Problem<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, shown) = (Quoted(self.name), &self.value[..self.value.len().min(QUOTED_BYTES_MAX)]);
        let dots = if shown.len() < self.value.len() { "…" } else { "" };
        write!(f, "{name}={}{dots}: {}", Quoted(shown), self.reason)
    }
}

impl Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Destination(error) => write!(f, "{error}; this destination is left out"),
            Reason::TalosScheme => {
                f.write_str("scheme must be tcp:// or udp://; this destination is left out")
            }
            Reason::TalosSyslog => {
                f.write_str("Talos knows no syslog, so it needs earlykmsg.to=; this destination is left out")
            }
            Reason::TooManyDestinations => {
                write!(f, "only {DESTINATIONS_MAX} destinations are served; this destination is left out")
            }
            Reason::Level => {
                f.write_str("must be one of ")?;
                for (at, level) in Level::all().enumerate() {
                    write!(f, "{}{}", if at > 0 { ", " } else { "" }, level.name())?;
                }
                f.write_str("; all records are shipped")
            }
            Reason::Init => f.write_str("must be an absolute path; the usual ones are tried"),
            Reason::InitTooLong => {
                write!(f, "must not be longer than {PATH_BYTES_MAX} bytes; the usual ones are tried")
            }
            Reason::Linger => write!(
                f,
                "must be a number of seconds from 0 to {LINGER_SECONDS_MAX}, or forever; {LINGER_SECONDS} s are taken"
            ),
            Reason::Tag(error) => write!(f, "{error}; this tag is left out"),
            Reason::TagsDestination => write!(
                f,
                "tags are for all destinations or for one of 1 to {DESTINATIONS_MAX}; these are left out"
            ),
            Reason::Extra => {
                f.write_str("must be caller, dict or both, with a comma between; others are left out")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use std::format;
    use std::string::String;
    use std::string::ToString;

    /// Every message, one a line, and then what was taken.
    fn read(cmdline: &str) -> String {
        let mut told = String::new();
        let mut options = Options::none();
        options.read(cmdline.as_bytes(), &mut |problem| {
            told += &problem.to_string();
            told += "\n";
        });
        for destination in &options.destinations {
            told += &format!("> {destination}\n");
        }
        told
    }

    #[test]
    fn destinations() {
        assert_eq!(read("quiet talos.logging.kernel=tcp://10.0.0.1:5044/ -- x"), "> tcp://10.0.0.1:5044/\n");
        assert_eq!(read("talos.logging.kernel= talos.logging.kernel"), "");
        assert_eq!(
            read("talos.logging.kernel=tcp://10.0.0.1:1 talos.logging.kernel=TCP://10.0.0.1:1/"),
            "> tcp://10.0.0.1:1/\n"
        );
        assert_eq!(
            read("talos.logging.kernel=tpc://10.0.0.1:5044 talos.logging.kernel=udp://10.0.0.2:5"),
            "talos.logging.kernel=tpc://10.0.0.1:5044: scheme must be tcp:// or udp://; \
             this destination is left out\n> udp://10.0.0.2:5/\n"
        );
        let five: String = (1..=5).map(|n| format!("talos.logging.kernel=udp://10.0.0.{n}:1 ")).collect();
        let told = read(&five);
        assert!(told.starts_with(
            "talos.logging.kernel=udp://10.0.0.5:1: only 4 destinations are served; \
             this destination is left out\n> udp://10.0.0.1:1/\n"
        ));
        assert_eq!(told.lines().count(), 5);
    }

    /// Both words name destinations, and one that both name is one.
    #[test]
    fn destinations_of_our_own() {
        assert_eq!(
            read(
                "earlykmsg.to=syslog+tcp://h:514 talos.logging.kernel=tcp://h:1 earlykmsg.to=TCP://h:1/ \
                  earlykmsg.to=tcp://h:514 earlykmsg.to= earlykmsg.to=SYSLOG+TCP://h:514/"
            ),
            "> syslog+tcp://h:514/\n> tcp://h:1/\n> tcp://h:514/\n"
        );
        assert_eq!(
            read("talos.logging.kernel=syslog+udp://h:514 earlykmsg.to=syslog://h:514"),
            "talos.logging.kernel=syslog+udp://h:514: Talos knows no syslog, so it needs earlykmsg.to=; this \
             destination is left out\nearlykmsg.to=syslog://h:514: scheme must be tcp://, udp://, syslog+tcp:// or \
             syslog+udp://; this destination is left out\n"
        );
        let four = "earlykmsg.to=udp://h:1 talos.logging.kernel=udp://h:2 earlykmsg.to=syslog+udp://h:3 \
                    talos.logging.kernel=udp://h:4";
        assert!(!read(four).contains("left out"));
        for fifth in ["talos.logging.kernel=udp://h:5", "earlykmsg.to=syslog+udp://h:5"] {
            let told = read(&format!("{four} {fifth}"));
            assert!(told.starts_with(&format!("{fifth}: only 4 destinations are served")), "{told}");
        }
        let mut options = Options::none();
        options.read(b"earlykmsg.to=bad", &mut |_| {});
        assert!(options.wants_watcher(), "even if it is left out");
    }

    /// Both kinds of word are counted in their order.
    #[test]
    fn tags_of_destinations_of_our_own() {
        let line = "talos.logging.kernel=tcp://h:1 earlykmsg.to=bad earlykmsg.to=syslog+tcp://h:2 \
                    talos.logging.kernel=udp://h:3 earlykmsg.tags.1=a=1 earlykmsg.tags.3=a=3 earlykmsg.tags.4=a=4";
        let mut options = Options::none();
        options.read(line.as_bytes(), &mut |_| {});
        let own = [0, 1, 2].map(|at| options.tags(at)[1]);
        assert_eq!(own, [&b"a=1"[..], b"a=3", b"a=4"]);
    }

    #[test]
    fn other_words() {
        let line = "earlykmsg.level=warning earlykmsg.init=/sbin/next earlykmsg.linger=0 foo.bar=x";
        let mut options = Options::none();
        options.read(line.as_bytes(), &mut |problem| panic!("{problem}"));
        assert_eq!(options.level, Level::from_name(b"warning").unwrap());
        assert_eq!(options.init, Some(&b"/sbin/next"[..]));
        assert_eq!(options.linger, Linger::Seconds(0));
        options.read(b"earlykmsg.linger=forever", &mut |problem| panic!("{problem}"));
        assert_eq!(options.linger, Linger::Forever);
        assert!(!options.wants_watcher());
        options.read(b"talos.logging.kernel=bad", &mut |_| {});
        assert!(options.wants_watcher(), "even if it is left out");
    }

    /// What they say is read by another program.
    #[test]
    fn words_of_a_network() {
        for (line, want) in [
            ("quiet ip=dhcp", ""),
            ("earlykmsg.ip=dhcp quiet", "earlykmsg.ip"),
            ("earlykmsg.ip=x earlykmsg.modules=e1000", "earlykmsg.modules"),
        ] {
            let mut options = Options::none();
            options.read(line.as_bytes(), &mut |problem| panic!("{problem}"));
            assert_eq!(options.network_word, want.as_bytes(), "{line}");
            assert_eq!(options.cmdline, line.as_bytes());
        }
    }

    /// By itself, and whatever it says: another program reads it. The last one counts.
    #[test]
    fn netconsole() {
        for (line, want) in [
            ("earlykmsg.netconsole=udp://10.0.0.1:6666/", true),
            ("earlykmsg.netconsole=x", true),
            ("earlykmsg.netconsole=", false),
            ("earlykmsg.netconsole=x earlykmsg.netconsole=", false),
            ("netconsole=@/eth0,@10.0.0.1/", false),
        ] {
            let mut options = Options::none();
            options.read(line.as_bytes(), &mut |problem| panic!("{problem}"));
            assert_eq!(
                [options.netconsole, options.wants_watcher(), options.has_work()],
                [want; 3],
                "{line}"
            );
        }
    }

    #[test]
    fn tags_for_all_and_for_one() {
        let line = "earlykmsg.tags=old=1 talos.logging.kernel=bad talos.logging.kernel=udp://10.0.0.1:1 \
                    earlykmsg.tags=site=a,b=%,x=1 earlykmsg.tags.2=x=2,y=3 earlykmsg.tags.3=z=4 \
                    talos.logging.kernel=tcp://h:1 talos.logging.kernel=TCP://h:1/ ip=::::node7:eth0:dhcp \
                    earlykmsg.extra=dict,,caller";
        let mut problems = 0;
        let mut options = Options::none();
        assert!(!options.has_tags());
        options.read(line.as_bytes(), &mut |_| problems += 1);
        assert!(options.has_tags());
        let tags = |at| {
            let mut names = String::new();
            for word in options.tags(at) {
                for (_, tag) in tags::parse(word) {
                    names +=
                        &tag.map_or("? ".into(), |tag| format!("{} ", String::from_utf8_lossy(tag.name)));
                }
            }
            names
        };
        assert_eq!(problems, 2);
        assert_eq!(
            (tags(0), tags(1)),
            ("site ? x x y ".into(), "site ? x z ".into()),
            "by the words as they stand there"
        );
        assert_eq!(options.hostname, b"node7");
        assert!(options.extra.caller && options.extra.dict);
        options.read(b"earlykmsg.extra= earlykmsg.tags=", &mut |problem| panic!("{problem}"));
        assert_eq!(options.extra, Extra::default(), "the later word wins");
        assert_eq!(options.tags(0), [&b""[..], b"x=2,y=3"]);
        assert_eq!(options.tags(2), [&b""[..]; 2], "no destination");
    }

    fn tag_error(error: TagError) -> String {
        format!("{error}; this tag is left out")
    }

    #[test]
    fn words_that_are_wrong() {
        let cases = [
            (
                "earlykmsg.level=loud",
                "must be one of emerg, alert, crit, err, warning, notice, info, debug; all records are shipped",
            ),
            ("earlykmsg.init=sbin/init", "must be an absolute path; the usual ones are tried"),
            (
                "earlykmsg.linger=-1",
                "must be a number of seconds from 0 to 86400, or forever; 120 s are taken",
            ),
            ("earlykmsg.linger=", "must be a number of seconds from 0 to 86400, or forever; 120 s are taken"),
            (
                "earlykmsg.linger=99999999999",
                "must be a number of seconds from 0 to 86400, or forever; 120 s are taken",
            ),
            (
                "earlykmsg.extra=callers",
                "must be caller, dict or both, with a comma between; others are left out",
            ),
            ("earlykmsg.tags=a", &tag_error(TagError::NoName)),
            ("earlykmsg.tags.4={uid}=%", &tag_error(TagError::Percent)),
            (
                "earlykmsg.tags.5=a=b",
                "tags are for all destinations or for one of 1 to 4; these are left out",
            ),
            (
                "earlykmsg.tags.0=a=b",
                "tags are for all destinations or for one of 1 to 4; these are left out",
            ),
            ("earlykmsg.tags.=a=b", "tags are for all destinations or for one of 1 to 4; these are left out"),
        ];
        for (word, want) in cases {
            assert_eq!(read(word), format!("{word}: {want}\n"));
        }
        assert_eq!(
            read("talos.logging.kernel=tcp://\x01\u{e9}:1"),
            "talos.logging.kernel=tcp://\\x01\\xc3\\xa9:1: must be printable ASCII; this destination is left out\n"
        );
        let long = format!("earlykmsg.init={}", "x".repeat(QUOTED_BYTES_MAX + 1));
        assert!(read(&long).contains("xxx…: must be an absolute path"));
        let shown = format!("earlykmsg.init={}", "x".repeat(QUOTED_BYTES_MAX));
        assert!(read(&shown).contains("xxx: must be an absolute path"), "all of it is shown");
    }

    #[test]
    fn an_init_is_an_absolute_path() {
        let longest = format!("earlykmsg.init=/{}", "x".repeat(PATH_BYTES_MAX - 1));
        let mut options = Options::none();
        options.read(longest.as_bytes(), &mut |problem| panic!("{problem}"));
        assert_eq!(options.init.map(<[u8]>::len), Some(PATH_BYTES_MAX));
        let want = format!("must not be longer than {PATH_BYTES_MAX} bytes; the usual ones are tried\n");
        assert!(read(&format!("{longest}x")).ends_with(&want));
        assert_eq!(
            read("earlykmsg.init=/sbin\0init"),
            "earlykmsg.init=/sbin\\x00init: must be an absolute path; the usual ones are tried\n"
        );
    }

    #[test]
    fn names_that_are_ours() {
        let is_ours = |name: &str| Options::none().take(name.as_bytes(), b"x", &mut |_| {});
        for ours in [
            "talos.logging.kernel",
            "earlykmsg.to",
            "earlykmsg.init",
            "earlykmsg.tags.1",
            "earlykmsg.tags.x",
            "ip",
        ] {
            assert!(is_ours(ours), "{ours}");
        }
        for other in ["", "quiet", "init", "earlykmsg.", "earlykmsg.tag", "talos.logging.kernels"] {
            assert!(!is_ours(other), "{other}");
        }
    }

    /// Any bytes are a command line, and what it is split into is part of it.
    #[test]
    fn any_bytes_are_read() {
        let mut random = Random::new(7);
        let parts = [
            "talos.logging.kernel=",
            "earlykmsg.",
            "tags=",
            "tcp://",
            "\"",
            " ",
            "=",
            "[",
            "%",
            ":",
            "1",
            "\u{a0}",
        ];
        for _ in 0..20_000 {
            let mut line = std::vec::Vec::new();
            for _ in 0..random.below(12) {
                match random.below(3) {
                    0 => line.push(random.byte()),
                    _ => line.extend_from_slice(parts[random.below(parts.len())].as_bytes()),
                }
            }
            let mut options = Options::none();
            options.read(&line, &mut |problem| assert!(problem.to_string().len() < 1000));
            let words: usize = Arguments(&line).map(|w| w.name.len() + w.value.map_or(0, <[u8]>::len)).sum();
            assert!(words <= line.len());
        }
    }
}
