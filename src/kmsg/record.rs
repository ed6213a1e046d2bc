//! A record as one read of `/dev/kmsg` gives it: `prio,seq,usec,flags[,more…];text`. Pure.
//!
//! A [`Record`] is a view on the read buffer. Its text is decoded while it is encoded, and copied once.

use crate::address::{cut, part};
use crate::limits::{CALLER_BYTES_MAX, RECORD_CUT_BYTES_MIN};
use crate::words::nth_name;

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
            level: Level((self.priority & 7) as u8),
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
        Record { level: Level::ERR, facility: 0, seq, clock_us, more: b"", body: Body::Plain(bytes) }
    }

    /// Who wrote it, where the kernel says so: `T148` a task, `C10` a processor; else nothing. Never more than
    /// [`CALLER_BYTES_MAX`].
    #[inline(never)]
    pub fn caller(&self) -> &'a [u8] {
        let mut rest = self.more;
        while !rest.is_empty() {
            if let Some(caller) = part(&mut rest, b',').strip_prefix(b"caller=") {
                return caller.get(..CALLER_BYTES_MAX).unwrap_or(caller);
            }
        }
        b""
    }

    /// The text up to its first newline, and behind that its dictionary, if it has one: ` SUBSYSTEM=pci`, a line each.
    pub fn lines(&self) -> Option<(Body<'a>, &'a [u8])> {
        let Body::Escaped { text, cut: is_cut } = self.body else { return None };
        let (_, lines) = cut(text, b'\n')?;
        let first = text.get(..text.len() - lines.len())?;
        Some((Body::Escaped { text: first, cut: is_cut }, lines))
    }
}

/// A line of a dictionary: its name in capital letters, as the kernel writes them, and its value with the escapes in it.
pub fn entry(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = cut(line.strip_prefix(b" ")?, b'=')?;
    let is_name =
        name.iter().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_')) && !name.is_empty();
    is_name.then_some((name, value))
}

/// The rest of a record's prefix.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    /// Takes a decimal number of 64 bits and the byte that must end it.
    fn number(&mut self, end: u8) -> Option<u64> {
        let mut number = 0u64;
        let mut rest = self.0;
        while let [byte, after @ ..] = rest {
            let digit = u64::from(byte.wrapping_sub(b'0'));
            if digit > 9 {
                let is_number = *byte == end && rest.len() < self.0.len();
                self.0 = after;
                return is_number.then_some(number);
            }
            // To look at each product for an overflow takes longer than to see that there can be none.
            number = if number < u64::MAX / 10 {
                number * 10 + digit
            } else {
                number.checked_mul(10)?.checked_add(digit)?
            };
            rest = after;
        }
        None
    }
}

/// A record's severity, 0 (the system is unusable) to 7.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Level(u8);

impl Level {
    /// An error.
    pub const ERR: Level = Level(3);
    /// A warning.
    pub const WARNING: Level = Level(4);
    /// Information.
    pub const INFO: Level = Level(6);
    /// The least severe.
    pub const DEBUG: Level = Level(7);

    /// The names of all levels, most severe first.
    pub const NAMES: &'static str = "emerg, alert, crit, err, warning, notice, info, debug";

    /// Reads one of the eight names.
    pub fn from_name(name: &[u8]) -> Option<Level> {
        (0..8).map(Level).find(|level| nth_name(Level::NAMES, level.number()) == name)
    }

    /// Its name.
    pub fn name(self) -> Name {
        const TABLE: [Name; 8] = table(Level::NAMES);
        TABLE[self.number()]
    }

    /// What Talos makes of it.
    pub fn talos_name(self) -> Name {
        const TABLE: [Name; 8] = table("error, error, error, error, warn, info, info, debug");
        TABLE[self.number()]
    }

    /// 0 to 7.
    pub fn number(self) -> usize {
        usize::from(self.0 & 7)
    }
}

/// A name of up to eight letters, and zeros behind it: short names are copied as a whole.
pub type Name = [u8; 8];

/// The names of a list.
const fn table<const N: usize>(names: &str) -> [Name; N] {
    let names = names.as_bytes();
    let mut table = [[0; 8]; N];
    let (mut nth, mut from, mut at) = (0, 0, 0);
    while at < names.len() {
        if names[at] == b',' {
            nth += 1;
            from = at + 2;
        } else if at >= from {
            table[nth][at - from] = names[at];
        }
        at += 1;
    }
    table
}

/// The name of a facility; those without one are shown as their number.
pub fn facility_name(facility: u64) -> Option<Name> {
    const TABLE: [Name; 24] = table(
        "kern, user, mail, daemon, auth, syslog, lpr, news, uucp, cron, authpriv, ftp, ntp, audit, alert, clock, \
         local0, local1, local2, local3, local4, local5, local6, local7",
    );
    TABLE.get(facility as usize).copied()
}

/// The decoded bytes of an escaped text, one at a time. `Clone` is how one looks ahead.
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

    /// What is not decoded yet.
    pub fn rest(&self) -> &'a [u8] {
        self.text
    }

    /// Goes on after `bytes` of the rest, which hold no backslash.
    pub fn advance(&mut self, bytes: usize) {
        self.text = &self.text[bytes..];
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

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
