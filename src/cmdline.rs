//! The kernel's command line and the program's arguments, read into one [`Options`]. Pure.
//!
//! Whatever stands there, an `Options` comes out: what is wrong is told as a [`Problem`] and left out alone.

use heapless::Vec;

use crate::address::{has, number};
use crate::endpoint::{Endpoint, Wrong};
use crate::kmsg::record::Level;
use crate::lifetime::Linger;
use crate::limits::{
    CMDLINE_BYTES, DESTINATIONS_MAX, LINGER_SECONDS, LINGER_SECONDS_MAX, PATH_BYTES_MAX, QUOTED_BYTES_MAX,
};
use crate::line::Extra;
use crate::tags::{self, hostname_of};
use crate::words;
use crate::words::{Line, Quoted, Words, nth_name};

/// Everything that the command line can ask for.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// `talos.logging.kernel=`, each once.
    pub destinations: Vec<Endpoint<'a>, DESTINATIONS_MAX>,
    /// The places that they had among those words, counted from 1.
    places: [usize; DESTINATIONS_MAX],
    /// How many of those words there were.
    words: usize,
    /// A destination was asked for, even if it was left out.
    pub wanted: bool,
    /// `earlykmsg.level=`: the least severe level that is shipped.
    pub level: Level,
    /// `earlykmsg.init=`: an absolute path.
    pub init: Option<&'a [u8]>,
    /// `earlykmsg.linger=`
    pub linger: Linger,
    /// `earlykmsg.tags=`, and `earlykmsg.tags.1=` and so on behind it.
    tags: [&'a [u8]; 1 + DESTINATIONS_MAX],
    /// `earlykmsg.extra=`
    pub extra: Extra,
    /// The machine's name in `ip=`; empty: none.
    pub hostname: &'a [u8],
}

/// A word that could not be taken as it stands. Displays as the whole message, the word first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Problem<'a> {
    /// The word's name: `talos.logging.kernel`.
    pub name: &'a [u8],
    /// The word's value.
    pub value: &'a [u8],
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // each is explained by its words below
pub enum Why {
    Destination(Wrong),
    DestinationTooMany,
    Level,
    Init,
    InitLong,
    Linger,
    Ip,
    Tag(tags::Wrong),
    TagsPlace,
    Extra,
}

/// The words that are ours, in the order of their numbers below. (A match on bytes would compare them one by one, 10
/// bytes of the program each.)
const NAMES: &str = "talos.logging.kernel, earlykmsg.tags, earlykmsg.level, earlykmsg.init, earlykmsg.linger, \
                     earlykmsg.extra, ip, earlykmsg.ip";
const DESTINATION: usize = 0;
const TAGS: usize = 1;
const LEVEL: usize = 2;
const INIT: usize = 3;
const LINGER: usize = 4;
const EXTRA: usize = 5;
const KERNELS_IP: usize = 6;
const IP: usize = 7;

impl<'a> Options<'a> {
    /// What holds when nothing is asked for.
    pub const fn none() -> Options<'a> {
        Options {
            destinations: Vec::new(),
            places: [0; DESTINATIONS_MAX],
            words: 0,
            wanted: false,
            level: Level::DEBUG,
            init: None,
            linger: Linger::Seconds(LINGER_SECONDS),
            tags: [b""; 1 + DESTINATIONS_MAX],
            extra: Extra { caller: false, dict: false },
            hostname: b"",
        }
    }

    /// The tags of the destination at this place of the list: those of all, and its own.
    pub fn tags(&self, destination: usize) -> [&'a [u8]; 2] {
        let own = self.places.get(destination).and_then(|&place| self.tags.get(place));
        [self.tags[0], own.copied().unwrap_or_default()]
    }

    /// Whether there are any.
    pub fn has_tags(&self) -> bool {
        self.tags.iter().any(|tags| !tags.is_empty())
    }

    /// Reads a whole command line, the later word over the earlier.
    pub fn read(&mut self, cmdline: &'a [u8], report: &mut dyn FnMut(Problem<'a>)) {
        for word in Split(cmdline) {
            if let Some(value) = word.value {
                self.word(word.name, value, report);
            }
        }
    }

    /// Takes one word. Returns whether its name is one of ours.
    pub fn word(&mut self, name: &'a [u8], value: &'a [u8], report: &mut dyn FnMut(Problem<'a>)) -> bool {
        let place = name.strip_prefix(b"earlykmsg.tags.");
        let known =
            if place.is_some() { Some(TAGS) } else { (0..=IP).find(|&at| nth_name(NAMES, at) == name) };
        let Some(known) = known else { return false };
        let bad = &mut |why| report(Problem { name, value, why });
        match known {
            DESTINATION => self.destination(value, bad),
            TAGS => {
                let place = place.map_or(Some(0), |digits| number(digits).filter(|&place| place > 0));
                let Some(tags) = place.and_then(|place| self.tags.get_mut(place as usize)) else {
                    bad(Why::TagsPlace);
                    return true;
                };
                *tags = value;
                for (piece, tag) in tags::read(value) {
                    if let Err(wrong) = tag {
                        report(Problem { name, value: piece, why: Why::Tag(wrong) });
                    }
                }
            }
            EXTRA => {
                self.extra = Extra::default();
                for piece in value.split(|&byte| byte == b',') {
                    match piece {
                        b"caller" => self.extra.caller = true,
                        b"dict" => self.extra.dict = true,
                        b"" => {}
                        _ => bad(Why::Extra),
                    }
                }
            }
            KERNELS_IP => {
                let name = hostname_of(value);
                if !name.is_empty() {
                    self.hostname = name;
                }
            }
            LEVEL => match Level::from_name(value) {
                Some(level) => self.level = level,
                None => bad(Why::Level),
            },
            INIT => match value {
                [b'/', ..] if value.len() > PATH_BYTES_MAX => bad(Why::InitLong),
                [b'/', ..] if !has(value, 0) => self.init = Some(value),
                _ => bad(Why::Init),
            },
            LINGER => match (value, number(value)) {
                (b"forever", _) => self.linger = Linger::Forever,
                (_, Some(seconds)) if seconds <= LINGER_SECONDS_MAX => self.linger = Linger::Seconds(seconds),
                _ => bad(Why::Linger),
            },
            _ => bad(Why::Ip),
        }
        true
    }

    fn destination(&mut self, url: &'a [u8], bad: &mut dyn FnMut(Why)) {
        if url.is_empty() {
            return;
        }
        self.wanted = true;
        self.words += 1;
        match Endpoint::parse(url) {
            Err(wrong) => bad(Why::Destination(wrong)),
            Ok(endpoint) if self.destinations.contains(&endpoint) => {}
            Ok(endpoint) => match self.places.get_mut(self.destinations.len()) {
                Some(place) => {
                    *place = self.words;
                    // As many as there are places.
                    let _ = self.destinations.push(endpoint);
                }
                None => bad(Why::DestinationTooMany),
            },
        }
    }
}

impl Words for Problem<'_> {
    fn put(&self, line: &mut Line) {
        let quoted = &self.value[..self.value.len().min(QUOTED_BYTES_MAX)];
        let dots = if quoted.len() < self.value.len() { "…: " } else { ": " };
        words!(line, self.name, "=", Quoted(quoted), dots);
        match self.why {
            Why::Destination(wrong) => words!(line, wrong.words(), "; this destination is left out"),
            Why::DestinationTooMany => {
                let most = DESTINATIONS_MAX as u64;
                words!(line, "only ", most, " destinations are served; this destination is left out");
            }
            Why::Level => {
                words!(line, "must be one of ");
                for (at, name) in Level::NAMES.iter().enumerate() {
                    words!(line, if at > 0 { ", " } else { "" }, *name);
                }
                words!(line, "; all records are shipped");
            }
            Why::Init => words!(line, "must be an absolute path; the usual ones are tried"),
            Why::InitLong => {
                let most = PATH_BYTES_MAX as u64;
                words!(line, "must not be longer than ", most, " bytes; the usual ones are tried");
            }
            Why::Linger => {
                let (most, usual) = (LINGER_SECONDS_MAX, LINGER_SECONDS);
                words!(
                    line,
                    "must be a number of seconds from 0 to ",
                    most,
                    ", or forever; ",
                    usual,
                    " s are taken"
                );
            }
            Why::Ip => {
                words!(line, "this version does not bring the network up; the network is left alone");
            }
            Why::Tag(wrong) => words!(line, wrong.words(), "; this tag is left out"),
            Why::TagsPlace => {
                words!(line, "tags are for all destinations or for one of 1 to ", DESTINATIONS_MAX as u64);
                words!(line, "; these are left out");
            }
            Why::Extra => {
                words!(line, "must be caller, dict or both, with a comma between; others are left out");
            }
        }
    }
}

/// A command line as far as it was read.
#[derive(Clone, Copy, Default, Debug)]
pub struct Cmdline<'a> {
    /// The words that are whole.
    pub words: &'a [u8],
    /// The word that was not read to its end. It is not to be believed: `:5044` may have become `:50`.
    pub cut: Option<CutWord<'a>>,
}

/// The beginning of a word that was not read to its end. Displays as the whole message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CutWord<'a>(pub &'a [u8]);

impl<'a> Cmdline<'a> {
    /// Takes what was read, from a buffer with room for more than [`CMDLINE_BYTES`]: when there is more, the last word
    /// may be cut.
    pub fn new(read: &'a [u8]) -> Cmdline<'a> {
        if read.len() <= CMDLINE_BYTES {
            return Cmdline { words: read, cut: None };
        }
        let mut split = Split(read);
        let mut last = read;
        loop {
            let before = split.0;
            if split.next().is_none() {
                break;
            }
            last = before;
        }
        let start = last.iter().position(|&byte| !is_space(byte)).unwrap_or(0);
        let last = &last[start..];
        Cmdline { words: &read[..read.len() - last.len()], cut: Some(CutWord(last)) }
    }
}

impl Words for CutWord<'_> {
    fn put(&self, line: &mut Line) {
        let shown = &self.0[..self.0.len().min(QUOTED_BYTES_MAX)];
        words!(line, "the kernel command line is longer than ", CMDLINE_BYTES as u64, " bytes; ");
        words!(line, Quoted(shown), "… and all words behind it are left out");
    }
}

/// A word of a command line: `name=value` or a bare `name`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Word<'a> {
    /// All before the first `=`.
    pub name: &'a [u8],
    /// All after it; none where there is no `=`.
    pub value: Option<&'a [u8]>,
}

/// The words of a command line, split as the kernel's own parser splits them: double quotes protect white
/// space, and those around a whole word or a whole value are no part of it.
#[derive(Clone, Debug)]
pub struct Split<'a>(pub &'a [u8]);

impl<'a> Iterator for Split<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        let start = self.0.iter().position(|&b| !is_space(b))?;
        let mut text = &self.0[start..];
        let quoted = text[0] == b'"';
        if quoted {
            text = &text[1..];
        }
        let (mut in_quotes, mut equals, mut end) = (quoted, None, text.len());
        for (at, &byte) in text.iter().enumerate() {
            match byte {
                _ if is_space(byte) && !in_quotes => {
                    end = at;
                    break;
                }
                b'=' if equals.is_none() && at > 0 => equals = Some(at),
                b'"' => in_quotes = !in_quotes,
                _ => {}
            }
        }
        self.0 = &text[end..];
        let value_quoted = equals.is_some_and(|at| text[at + 1..end].first() == Some(&b'"'));
        let closed = (quoted || value_quoted) && end > 0 && text[end - 1] == b'"';
        let stop = if closed { end - 1 } else { end };
        Some(match equals {
            None => Word { name: &text[..stop], value: None },
            Some(at) => {
                let from = at + 1 + usize::from(value_quoted);
                Word { name: &text[..at], value: Some(text.get(from..stop).unwrap_or_default()) }
            }
        })
    }
}

/// White space as the kernel has it, Latin-1's no-break space included.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | 0xa0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use crate::testing::said;
    use std::format;
    use std::string::String;

    #[track_caller]
    fn check_words(cmdline: &str, want: &[(&str, Option<&str>)]) {
        let got: std::vec::Vec<_> = Split(cmdline.as_bytes()).collect();
        let want: std::vec::Vec<_> =
            want.iter().map(|(n, v)| Word { name: n.as_bytes(), value: v.map(str::as_bytes) }).collect();
        assert_eq!(got, want, "{cmdline:?}");
    }

    #[test]
    fn words_are_split_as_the_kernel_does() {
        check_words("", &[]);
        check_words(" \t\n", &[]);
        check_words("a b=c  d=e=f\n", &[("a", None), ("b", Some("c")), ("d", Some("e=f"))]);
        check_words("a= =b", &[("a", Some("")), ("=b", None)]);
        check_words("a=\"b c\" d", &[("a", Some("b c")), ("d", None)]);
        check_words("\"a=b c\" d", &[("a", Some("b c")), ("d", None)]);
        check_words("\"a b\" c", &[("a b", None), ("c", None)]);
        check_words("a=b\" \"c", &[("a", Some("b\" \"c"))]);
        check_words("a=\"b c", &[("a", Some("b c"))]);
        check_words("a=\"", &[("a", Some(""))]);
        check_words("\"", &[("", None)]);
        check_words("a=\"\" b", &[("a", Some("")), ("b", None)]);
    }

    /// Port 5044 must not become 50.
    #[test]
    fn a_word_that_was_cut_is_left_out() {
        let url = "talos.logging.kernel=tcp://10.0.0.1:5044/";
        let quoted = "\"talos.logging.kernel=tcp://10.0.0.1:5044/ and more\"";
        for word in [url, quoted, "quiet"] {
            for kept in 1..=word.len() {
                let before = format!("quiet {} ", "x".repeat(CMDLINE_BYTES - "quiet  ".len() + 1 - kept));
                let line = format!("{before}{word} init=/x");
                let read = &line.as_bytes()[..=CMDLINE_BYTES];
                let cmdline = Cmdline::new(read);
                assert_eq!(cmdline.words, before.as_bytes(), "{kept}");
                assert_eq!(cmdline.cut, Some(CutWord(&word.as_bytes()[..kept])), "{kept}");
            }
        }
        let full = [b'x'; CMDLINE_BYTES];
        assert!(Cmdline::new(&full).cut.is_none());
        assert_eq!(Cmdline::new(&full).words, full);
        let one_word = [b'x'; CMDLINE_BYTES + 1];
        assert!(Cmdline::new(&one_word).words.is_empty());
        let message = said(CutWord(url.as_bytes()));
        let want = format!(
            "the kernel command line is longer than 8192 bytes; {url}… and all words behind it are left out"
        );
        assert_eq!(message, want);
    }

    #[test]
    fn spaces_where_it_was_cut() {
        let line = format!("quiet ro{}", " ".repeat(CMDLINE_BYTES));
        let cmdline = Cmdline::new(&line.as_bytes()[..=CMDLINE_BYTES]);
        assert_eq!(cmdline.words, b"quiet ");
        assert!(Cmdline::new(&[b' '; CMDLINE_BYTES + 1]).words.is_empty());
    }

    /// Every message, one a line, and then what was taken.
    fn read(cmdline: &str) -> String {
        let mut told = String::new();
        let mut options = Options::none();
        options.read(cmdline.as_bytes(), &mut |problem| {
            told += &said(problem);
            told += "\n";
        });
        for destination in &options.destinations {
            told += &format!("> {}\n", said(destination));
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

    #[test]
    fn other_words() {
        let line = "earlykmsg.level=warning earlykmsg.init=/sbin/next earlykmsg.linger=0 foo.bar=x";
        let mut options = Options::none();
        options.read(line.as_bytes(), &mut |problem| panic!("{}", said(problem)));
        assert_eq!(options.level, Level::from_name(b"warning").unwrap());
        assert_eq!(options.init, Some(&b"/sbin/next"[..]));
        assert_eq!(options.linger, Linger::Seconds(0));
        options.read(b"earlykmsg.linger=forever", &mut |problem| panic!("{}", said(problem)));
        assert_eq!(options.linger, Linger::Forever);
        assert!(!options.wanted);
    }

    #[test]
    fn tags_for_all_and_for_one() {
        let line = "earlykmsg.tags=old=1 talos.logging.kernel=bad talos.logging.kernel=udp://10.0.0.1:1 \
                    earlykmsg.tags=site=a,b=%,x=1 earlykmsg.tags.2=x=2,y=3 earlykmsg.tags.3=z=4 \
                    talos.logging.kernel=tcp://h:1 talos.logging.kernel=TCP://h:1/ ip=::::node7:eth0:dhcp \
                    earlykmsg.extra=dict,,caller";
        let mut problems = 0;
        let mut options = Options::none();
        options.read(line.as_bytes(), &mut |_| problems += 1);
        let tags = |at| {
            let mut names = String::new();
            for word in options.tags(at) {
                for (_, tag) in tags::read(word) {
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
        options.read(b"earlykmsg.extra= earlykmsg.tags=", &mut |problem| panic!("{}", said(problem)));
        assert_eq!(options.extra, Extra::default(), "the later word wins");
        assert_eq!(options.tags(0), [&b""[..], b"x=2,y=3"]);
        assert_eq!(options.tags(2), [&b""[..]; 2], "no destination");
    }

    fn tag_wrong(wrong: tags::Wrong) -> String {
        format!("{}; this tag is left out", wrong.words())
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
            ("earlykmsg.tags=a", &tag_wrong(tags::Wrong::NoName)),
            ("earlykmsg.tags.4={uid}=%", &tag_wrong(tags::Wrong::Percent)),
            (
                "earlykmsg.tags.5=a=b",
                "tags are for all destinations or for one of 1 to 4; these are left out",
            ),
            (
                "earlykmsg.tags.0=a=b",
                "tags are for all destinations or for one of 1 to 4; these are left out",
            ),
            ("earlykmsg.tags.=a=b", "tags are for all destinations or for one of 1 to 4; these are left out"),
            ("earlykmsg.ip=dhcp", "this version does not bring the network up; the network is left alone"),
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
            options.read(&line, &mut |problem| assert!(said(problem).len() < 1000));
            let words: usize = Split(&line).map(|w| w.name.len() + w.value.map_or(0, <[u8]>::len)).sum();
            assert!(words <= line.len());
        }
    }
}
