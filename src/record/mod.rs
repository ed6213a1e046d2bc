//! A record as one read of `/dev/kmsg` gives it: `prio,seq,usec,flags[,more…];text`.
//!
//! A [`Record`] is a view on the read buffer. Its text is decoded while its line is written.

use core::fmt::{self, Display, Write};

use crate::limits::{CALLER_BYTES_MAX, PARAM_NAME_BYTES_MAX, RECORD_CUT_BYTES_MIN};
use crate::text::split_once;

pub mod clock;
pub mod saved;

mod priority;

pub use priority::{KERN, Level, USER, facility_name};

/// One record of the kernel's log.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// How severe.
    pub level: Level,
    /// Who wrote it: 0 is the kernel; user space can write any number.
    pub facility: u64,
    /// Its number, counted from 0 at the kernel's start.
    pub seq: u64,
    /// The kernel's time stamp in microseconds.
    pub clock_us: u64,
    /// The flags, and what newer kernels add behind a comma: `-,caller=T148`.
    pub more: &'a [u8],
    /// What it says.
    pub body: Body<'a>,
}

/// The text of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body<'a> {
    /// As the kernel writes it, with `\xNN` escapes.
    Escaped {
        /// All after the first `;`, the final newline and the dictionary included.
        text: &'a [u8],
        /// Long enough that the kernel may have cut it in the middle of an escape.
        cut: bool,
    },
    /// Bytes that mean themselves.
    Plain(&'a [u8]),
}

impl<'a> Body<'a> {
    /// The bytes as they stand there, escapes included.
    pub fn bytes(self) -> &'a [u8] {
        let (Body::Escaped { text, .. } | Body::Plain(text)) = self;
        text
    }
}

/// What stands before the text of a record: its numbers, and where the text begins.
#[derive(Clone, Copy, Debug)]
pub struct Prefix {
    /// Facility and level.
    priority: u64,
    /// See [`Record::seq`].
    pub seq: u64,
    /// See [`Record::clock_us`].
    pub clock_us: u64,
    /// Where the flags stand.
    more: usize,
    /// Where the text begins.
    text: usize,
}

impl Prefix {
    /// Reads the prefix of a record. `None` when the bytes have none.
    pub fn parse(bytes: &[u8]) -> Option<Prefix> {
        let mut fields = Fields(bytes);
        let priority = fields.number(b',')?;
        let seq = fields.number(b',')?;
        let clock_us = fields.number(b',')?;
        // The flags, and whatever newer kernels add after them.
        let flags = fields.0.iter().position(|&b| b == b';')?;
        let more = bytes.len() - fields.0.len();
        Some(Prefix { priority, seq, clock_us, more, text: more + flags + 1 })
    }

    /// The record of the bytes that this was read from.
    pub fn record(self, bytes: &[u8]) -> Record<'_> {
        let text = bytes.get(self.text..).unwrap_or_default();
        let cut = bytes.len() >= RECORD_CUT_BYTES_MIN;
        Record {
            level: Level::of(self.priority),
            facility: self.priority >> 3,
            seq: self.seq,
            clock_us: self.clock_us,
            more: bytes.get(self.more..self.text - 1).unwrap_or_default(),
            body: Body::Escaped { text, cut },
        }
    }
}

impl<'a> Record<'a> {
    /// Reads the bytes of one record. `None` when they are none: see [`Record::broken`].
    pub fn parse(bytes: &'a [u8]) -> Option<Record<'a>> {
        Some(Prefix::parse(bytes)?.record(bytes))
    }

    /// What is shipped of bytes that are no record: all of them, with the numbers that could be read.
    pub fn broken(bytes: &'a [u8]) -> Record<'a> {
        let mut fields = Fields(bytes);
        let numbers = (|| {
            fields.number(b',')?;
            let seq = fields.number(b',')?;
            Some((seq, fields.number(b',').unwrap_or(0)))
        })();
        let (seq, clock_us) = numbers.unwrap_or((0, 0));
        Record { level: Level::ERR, facility: KERN, seq, clock_us, more: b"", body: Body::Plain(bytes) }
    }

    /// Who wrote it, where the kernel says so: `T148` is a task, `C10` a processor. No longer than [`CALLER_BYTES_MAX`].
    pub fn caller(&self) -> Option<&'a [u8]> {
        let mut fields = self.more.split(|&byte| byte == b',');
        let caller = fields.find_map(|field| field.strip_prefix(b"caller="))?;
        let caller = caller.get(..CALLER_BYTES_MAX).unwrap_or(caller);
        (!caller.is_empty()).then_some(caller)
    }

    /// Splits the text into its first line and its dictionary. `None` when nothing follows the first line, or no dictionary.
    pub fn split_dictionary(&self) -> Option<(Body<'a>, Dictionary<'a>)> {
        let Body::Escaped { text, cut: is_cut } = self.body else { return None };
        // Most records have one line. `contains` looks at several bytes at once.
        if !text.strip_suffix(b"\n").unwrap_or(text).contains(&b'\n') {
            return None;
        }
        let (_, lines) = split_once(text, b'\n')?;
        let first = text.get(..text.len() - lines.len())?;
        let is_dictionary = split_lines(lines).all(|line| entry(line).is_some());
        is_dictionary.then_some((Body::Escaped { text: first, cut: is_cut }, Dictionary { lines }))
    }
}

/// What the kernel says of the device that a record is about: lines of ` NAME=value` behind its text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dictionary<'a> {
    lines: &'a [u8],
}

impl<'a> Dictionary<'a> {
    /// No entries.
    pub const EMPTY: Dictionary<'static> = Dictionary { lines: b"" };

    /// The names and values, in order, of the same name the first. A name consists of up to [`PARAM_NAME_BYTES_MAX`] capital
    /// letters, digits and `_`.
    pub fn entries(self) -> impl Iterator<Item = (&'a str, Body<'a>)> {
        let all = move || split_lines(self.lines).filter_map(entry);
        all().enumerate().filter_map(move |(at, (name, value))| {
            let is_first = all().take(at).all(|(earlier, _)| earlier != name);
            is_first.then_some((name, value))
        })
    }
}

/// The lines of a dictionary; the last may have lost its newline.
fn split_lines(lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    lines.strip_suffix(b"\n").unwrap_or(lines).split(|&byte| byte == b'\n')
}

/// One line of a dictionary: ` SUBSYSTEM=pci`.
fn entry(line: &[u8]) -> Option<(&str, Body<'_>)> {
    let (name, value) = split_once(line.strip_prefix(b" ")?, b'=')?;
    let is_name = (1..=PARAM_NAME_BYTES_MAX).contains(&name.len())
        && name.iter().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
    let name = str::from_utf8(name).ok().filter(|_| is_name)?;
    Some((name, Body::Escaped { text: value, cut: false }))
}

/// The rest of a record's prefix.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    /// Takes a decimal number of 64 bits and the byte that must end it.
    fn number(&mut self, end: u8) -> Option<u64> {
        let mut number = 0u64;
        for (at, &byte) in self.0.iter().enumerate() {
            let digit = u64::from(byte.wrapping_sub(b'0'));
            if digit > 9 {
                self.0 = self.0.get(at + 1..)?;
                return (byte == end && at > 0).then_some(number);
            }
            // To look at each product for an overflow takes longer than to see that there can be none.
            number = if number < u64::MAX / 10 {
                number * 10 + digit
            } else {
                number.checked_mul(10)?.checked_add(digit)?
            };
        }
        None
    }
}

/// The decoded bytes of an escaped text, one at a time.
///
/// What is no escape disappears with the byte that broke it, as in Talos: `\xZZ` is `Z`, `\q` is nothing.
/// Only the final newline of a record that the kernel cut is kept.
#[derive(Clone, Debug)]
pub struct Decoded<'a> {
    text: &'a [u8],
    cut: bool,
    plain: bool,
}

impl<'a> Decoded<'a> {
    /// Decodes the text of a record.
    pub fn new(body: Body<'a>) -> Decoded<'a> {
        match body {
            Body::Escaped { text, cut } => Decoded { text, cut, plain: false },
            Body::Plain(text) => Decoded { text, cut: false, plain: true },
        }
    }

    fn take(&mut self) -> Option<u8> {
        let (&byte, rest) = self.text.split_first()?;
        self.text = rest;
        Some(byte)
    }

    /// The byte after a backslash, or after `\x`, or after `\xN`. At the end of a cut record it stays where it is.
    fn take_escaped(&mut self) -> Option<u8> {
        if self.cut && self.text == b"\n" {
            return None;
        }
        self.take()
    }

    /// The byte that an escape stands for; `None` when it is broken, or cut off.
    fn escape(&mut self) -> Option<u8> {
        match self.take_escaped()? {
            b'\\' => Some(b'\\'),
            b'x' => {
                let high = hex(self.take_escaped()?)?;
                let low = hex(self.take_escaped()?)?;
                Some(high << 4 | low)
            }
            _ => None,
        }
    }
}

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        loop {
            match self.take()? {
                b'\\' if !self.plain => {
                    if let Some(byte) = self.escape() {
                        return Some(byte);
                    }
                }
                byte => return Some(byte),
            }
        }
    }
}

/// The decoded text of a record, character by character. Each byte that is no UTF-8 is a U+FFFD of its own, as in Go.
#[derive(Clone, Debug)]
pub struct Chars<'a>(Decoded<'a>);

impl<'a> Chars<'a> {
    /// Decodes the text of a record.
    pub fn new(body: Body<'a>) -> Chars<'a> {
        Chars(Decoded::new(body))
    }

    /// Takes the bytes before the first for which `is_plain` does not hold. They are characters as they stand: `is_plain`
    /// must hold neither for a backslash nor for what is not ASCII, and must hold for all that is usual (see [`are_usual`]).
    pub fn take_run(&mut self, is_plain: impl Fn(u8) -> bool) -> &'a [u8] {
        let text = self.0.text;
        // Where one escape follows the other, nothing is gained by looking at eight.
        if !text.first().is_some_and(|&byte| is_plain(byte)) {
            return b"";
        }
        let (eights, _) = text.as_chunks();
        let usual = 8 * eights.iter().take_while(|eight| are_usual(**eight)).count();
        let others = text.get(usual..).unwrap_or_default();
        let more = others.iter().position(|&byte| !is_plain(byte)).unwrap_or(others.len());
        let (plain, rest) = text.split_at_checked(usual + more).unwrap_or((text, b""));
        self.0.text = rest;
        plain
    }
}

/// Whether eight bytes are all usual: ASCII, and no control character, quote, backslash or `]`. It takes as long to look at
/// them together as at one or two.
fn are_usual(bytes: [u8; 8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let bytes = u64::from_ne_bytes(bytes);
    // The highest bit of each byte says that it is not usual. (A subtraction borrows only from where it is set.)
    let below = |bytes: u64, bound: u8| bytes.wrapping_sub(ONES * u64::from(bound)) & !bytes;
    let equal = |byte: u8| below(bytes ^ (ONES * u64::from(byte)), 1);
    let unusual = bytes | below(bytes, b' ') | equal(b'"') | equal(b'\\') | equal(b']');
    unusual & (ONES << 7) == 0
}

impl Iterator for Chars<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let first = self.0.next()?;
        let len = match first {
            0x00..0x80 => return Some(char::from(first)),
            0xc0..0xe0 => 2,
            0xe0..0xf0 => 3,
            0xf0.. => 4,
            0x80..0xc0 => return Some(char::REPLACEMENT_CHARACTER),
        };
        let mut bytes = [first, 0, 0, 0];
        let mut ahead = self.0.clone();
        for byte in &mut bytes[1..len] {
            *byte = ahead.next().unwrap_or(0); // which is no part of a character of several bytes
        }
        let text = bytes.get(..len).and_then(|bytes| str::from_utf8(bytes).ok());
        let Some(character) = text.and_then(|text| text.chars().next()) else {
            return Some(char::REPLACEMENT_CHARACTER);
        };
        self.0 = ahead;
        Some(character)
    }
}

impl Display for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Chars::new(*self).try_for_each(|character| f.write_char(character))
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use std::string::String;
    use std::vec::Vec;

    #[track_caller]
    fn check_text(text: &str, cut: bool, want: &str) {
        let got: Vec<u8> = Decoded::new(Body::Escaped { text: text.as_bytes(), cut }).collect();
        assert_eq!(String::from_utf8(got).unwrap(), want, "{text:?}");
    }

    #[test]
    fn escapes() {
        check_text("a\\x41\\x5c\\\\b\n", false, "aA\\\\b\n");
        check_text("\\xZZ \\q \\x4 and", false, "Z  and");
        check_text("end\\\n", false, "end");
        check_text("end\\", false, "end");
        check_text("end\\x4\n", false, "end");
    }

    #[test]
    fn a_run_of_plain_bytes_is_taken_as_a_whole() {
        let mut chars = Chars::new(Body::Escaped { text: b"ab\\x41c", cut: false });
        assert_eq!(chars.take_run(|byte| byte != b'\\'), b"ab");
        assert_eq!(chars.next(), Some('A'));
        assert_eq!(chars.take_run(|byte| byte != b'\\'), b"c");
        assert_eq!(chars.next(), None);
    }

    #[test]
    fn eight_bytes_at_once() {
        for (at, byte) in (0..8).flat_map(|at| (0..=u8::MAX).map(move |byte| (at, byte))) {
            let mut eight = *b"abc[ ~_!";
            eight[at] = byte;
            let want = (b' '..0x80).contains(&byte) && !b"\"\\]".contains(&byte);
            assert_eq!(are_usual(eight), want, "{byte:#x} at {at}");
        }
    }

    #[test]
    fn a_run_ends_where_the_first_byte_is_that_is_not_plain() {
        let is_plain = |byte: u8| byte.is_ascii() && byte != b'\\';
        let mut random = Random::new(5);
        for _ in 0..20_000 {
            let mut text = std::vec![b'a'; random.below(40)];
            for _ in 0..random.below(4).min(text.len()) {
                let at = random.below(text.len());
                text[at] = random.byte();
            }
            let mut chars = Chars::new(Body::Escaped { text: &text, cut: false });
            let want = text.iter().take_while(|&&byte| is_plain(byte)).count();
            assert_eq!(chars.take_run(is_plain), &text[..want]);
            assert_eq!(chars.take_run(is_plain), b"");
        }
    }

    #[test]
    fn a_cut_record_keeps_its_newline() {
        for cut in ["\\\n", "\\x\n", "\\x4\n"] {
            check_text(cut, true, "\n");
        }
        check_text("\\\nmore\n", true, "more\n");
        let long = std::format!("6,1,2,-;{}\\x0\n", "x".repeat(RECORD_CUT_BYTES_MIN));
        let Some(Record { body: Body::Escaped { cut, .. }, .. }) = Record::parse(long.as_bytes()) else {
            panic!()
        };
        assert!(cut);
    }

    #[test]
    fn prefixes() {
        let record = Record::parse(b"14,12,34,-,caller=T1;a;b\n C=d\n").unwrap();
        assert_eq!((record.level, record.facility, record.seq, record.clock_us), (Level::INFO, 1, 12, 34));
        assert_eq!(record.body, Body::Escaped { text: b"a;b\n C=d\n", cut: false });
        for broken in
            ["", ";", "6;x", "6,1;x", "6,1,2;x", ",1,2,-;x", "6,,2,-;x", "6,1,2,-", "x,1,2,-;y", "6,1,-2,-;x"]
        {
            assert!(Record::parse(broken.as_bytes()).is_none(), "{broken}");
        }
        assert!(Record::parse(b"6,18446744073709551616,2,-;x").is_none());
        assert!(Record::parse(b"6,99999999999999999999,2,-;x").is_none());
        assert_eq!(Record::parse(b"6,18446744073709551615,2,-;x").unwrap().seq, u64::MAX);
    }

    #[test]
    fn what_could_be_read_of_a_broken_record() {
        let check = |bytes: &str, seq, clock_us| {
            let record = Record::broken(bytes.as_bytes());
            assert_eq!((record.seq, record.clock_us), (seq, clock_us), "{bytes}");
            assert_eq!((record.level, record.facility), (Level::ERR, 0));
            assert_eq!(record.body, Body::Plain(bytes.as_bytes()));
        };
        check("6,7,8,-", 7, 8);
        check("6,7,x", 7, 0);
        check("6,x,8,-;", 0, 0);
        check("", 0, 0);
    }
}
