//! The text of one file: a line that says which dump it belongs to, then lines as the kernel's log has them.
//!
//! ```text
//! Panic#1 Part2
//! <6>[    1.234567] text           facility * 8 + level, seconds; every line of a record has both
//! <4>[    1.234567][   T42] text   with CONFIG_PRINTK_CALLER
//! ```
//!
//! ramoops with error correction adds `ECC: …` at the end. Where memory was damaged, anything may stand anywhere.

use heapless::Vec;

use crate::limits::{PSTORE_HEADER_BYTES_MAX, PSTORE_LINE_BYTES_MAX};
use crate::text::{decimal, next_word, split_once};

/// The first line of a file: which part of which dump it is. Empty and 0 where a file does not say.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Header {
    /// All of it: `Panic#1 Part2`.
    pub line: Vec<u8, PSTORE_HEADER_BYTES_MAX>,
    /// The part: 1 is the newest.
    pub part: u32,
}

impl Header {
    /// Reads the first line of a file; empty where it has no such line.
    pub fn parse(text: &[u8]) -> Header {
        let header = || {
            let (line, _) = split_once(text, b'\n')?;
            let (_, part) = split_once(line, b'#')?;
            let (_, part) = split_once(part, b' ')?;
            Some(Header { line: Vec::from_slice(line).ok()?, part: decimal(part.strip_prefix(b"Part")?)? })
        };
        header().unwrap_or_default()
    }

    /// Its dump: why it was made, and which of its boot it was. `Panic#1`, `Oops#2`
    pub fn dump(&self) -> &[u8] {
        split_once(&self.line, b' ').map_or(b"a dump without a name", |(dump, _)| dump)
    }
}

/// A line of a dump.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line<'a> {
    /// Facility and level; none: it does not say.
    pub priority: Option<u32>,
    /// The kernel's stamp in microseconds; none: there is none.
    pub clock_us: Option<u64>,
    /// The rest, its newline included.
    pub text: &'a [u8],
}

/// Reads the line that stands first, and tells how long it is. The line is none where there is nothing in it that is worth
/// to be shipped: the kernel's own always have a prefix. `None`: the text is over.
pub fn first_line(text: &[u8]) -> Option<(Option<Line<'_>>, usize)> {
    let most = text.get(..PSTORE_LINE_BYTES_MAX).unwrap_or(text);
    // What is damaged may have no newline for long: it becomes several lines.
    let length = most.iter().position(|&byte| byte == b'\n').map_or(most.len(), |newline| newline + 1);
    let line = most.get(..length).filter(|line| !line.is_empty())?;
    let says_nothing = matches!(line, b"\n" | b"ECC: No errors detected\n");
    Some(((!says_nothing).then(|| Line::parse(line)), length))
}

/// All lines of a text.
pub fn lines(mut text: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let next = move || {
        let (line, length) = first_line(text)?;
        text = text.get(length..)?;
        Some(line)
    };
    core::iter::from_fn(next).flatten()
}

impl<'a> Line<'a> {
    fn parse(line: &'a [u8]) -> Line<'a> {
        let Some((priority, text)) = priority(line) else {
            return Line { priority: None, clock_us: None, text: line };
        };
        let (clock_us, text) = stamp(text).map_or((None, text), |(clock_us, text)| (Some(clock_us), text));
        Line { priority: Some(priority), clock_us, text }
    }
}

/// `<6>`
fn priority(line: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, text) = split_once(line.strip_prefix(b"<")?, b'>')?;
    Some((decimal(digits)?, text))
}

/// `[    1.234567] `, or with the caller before the space.
fn stamp(text: &[u8]) -> Option<(u64, &[u8])> {
    let (mut time, mut text) = split_once(text.strip_prefix(b"[")?, b']')?;
    let (seconds, micros) = split_once(next_word(&mut time), b'.')?;
    if let Some(caller) = text.strip_prefix(b"[") {
        (_, text) = split_once(caller, b']')?;
    }
    Some((u64::from(decimal(seconds)?) * 1_000_000 + u64::from(decimal(micros)?), text.strip_prefix(b" ")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    fn all(text: &[u8]) -> Vec<Line<'_>> {
        lines(text).collect()
    }

    #[track_caller]
    fn check(line: &str, priority: Option<u32>, clock_us: Option<u64>, text: &str) {
        assert_eq!(all(line.as_bytes()), [Line { priority, clock_us, text: text.as_bytes() }], "{line:?}");
    }

    #[test]
    fn headers() {
        for (text, dump, part) in [
            ("Panic#1 Part1\n<6>", &b"Panic#1"[..], 1),
            ("Oops#12 Part34\n", b"Oops#12", 34),
            ("Emergency#1 Part2\n", b"Emergency#1", 2),
        ] {
            let header = Header::parse(text.as_bytes());
            assert_eq!((header.dump(), header.part), (dump, part));
            assert_eq!(Some(&*header.line), text.lines().next().map(str::as_bytes));
        }
        let long = format!("{}#1 Part1\n", "x".repeat(PSTORE_HEADER_BYTES_MAX));
        for none in [
            "",
            "Panic#1 Part1",
            "Panic#1\n",
            "Panic Part1\n",
            "Panic#1 Part\n",
            "Panic#1 Partx\n",
            "<6>[    1.0] a#b\n",
            &long,
        ] {
            assert_eq!(Header::parse(none.as_bytes()), Header::default(), "{none:?}");
        }
        assert_eq!(Header::parse(b"").dump(), b"a dump without a name");
    }

    #[test]
    fn lines_with_all_that_the_kernel_writes() {
        check("<6>[    1.234567] text\n", Some(6), Some(1_234_567), "text\n");
        check("<30>[12345.000001] systemd[1]: x\n", Some(30), Some(12_345_000_001), "systemd[1]: x\n");
        check("<4>[    0.000000][    T0] by a task\n", Some(4), Some(0), "by a task\n");
        check("<4>[    0.000000][   C12] \n", Some(4), Some(0), "\n");
        check("<4>[    0.000000] [drm] no caller\n", Some(4), Some(0), "[drm] no caller\n");
        check("<4>[    0.000000] no end of line", Some(4), Some(0), "no end of line");
        // printk.time=0
        check("<6>text\n", Some(6), None, "text\n");
    }

    #[test]
    fn lines_that_are_damaged() {
        for line in [
            "text\n",
            "<6 text\n",
            "<x>text\n",
            "<>text\n",
            "<99999999999>text\n",
            "[    1.234567] text\n",
            " \n",
            "\0\0\0\n",
        ] {
            check(line, None, None, line);
        }
        for text in [
            "[    1.234567]text\n",
            "[    x.234567] text\n",
            "[1234567] text\n",
            "[    1.] text\n",
            "[    1.234567][ text\n",
        ] {
            check(&format!("<6>{text}"), Some(6), None, text);
        }
    }

    #[test]
    fn what_says_nothing_is_no_line() {
        assert_eq!(all(b""), []);
        assert_eq!(all(b"\n\n\nECC: No errors detected\n"), []);
        let corrected = b"\nECC: 3 Corrected bytes, 1 unrecoverable blocks\n";
        assert_eq!(all(corrected), [Line { priority: None, clock_us: None, text: &corrected[1..] }]);
    }

    #[test]
    fn what_has_no_newline_for_long_becomes_several_lines() {
        let text = [b'x'; 2 * PSTORE_LINE_BYTES_MAX + 1];
        let lengths: Vec<usize> = lines(&text).map(|line| line.text.len()).collect();
        assert_eq!(lengths, [PSTORE_LINE_BYTES_MAX, PSTORE_LINE_BYTES_MAX, 1]);
        // With its newline it is as long as may be, or one byte longer.
        let line = |bytes| [&[b'x'; PSTORE_LINE_BYTES_MAX][..bytes], b"\n"].concat();
        assert_eq!(all(&line(PSTORE_LINE_BYTES_MAX - 1)).len(), 1);
        assert_eq!(all(&line(PSTORE_LINE_BYTES_MAX)).len(), 1, "the newline alone is no line");
    }

    /// Whatever the bytes: each belongs to one line, and a window that begins at a line shows it as the whole text does.
    #[test]
    fn any_bytes() {
        let mut random = Random::new(6);
        let parts: [&[u8]; 10] = [
            b"\n",
            b"<6>",
            b"[    1.234567] ",
            b"<",
            b">",
            b"[",
            b"] ",
            b"text",
            b"ECC: No errors detected\n",
            b"\0\xff",
        ];
        for round in 0..3_000 {
            let mut text = Vec::new();
            for _ in 0..random.below(40) {
                match random.below(12) {
                    0 if round % 10 == 0 => text.extend_from_slice(&[b'y'; PSTORE_LINE_BYTES_MAX + 7]),
                    part => text.extend_from_slice(parts[part % parts.len()]),
                }
            }
            let (mut at, mut found) = (0, Vec::new());
            while let Some((line, length)) = first_line(&text[at..]) {
                let window = &text[at..text.len().min(at + PSTORE_LINE_BYTES_MAX)];
                assert_eq!(first_line(window), Some((line, length)), "{}", String::from_utf8_lossy(&text));
                assert!(length > 0 && length <= PSTORE_LINE_BYTES_MAX);
                let bytes = &text[at..at + length];
                assert!(line.is_none_or(|line| bytes.ends_with(line.text)));
                found.extend(line);
                at += length;
            }
            assert_eq!(at, text.len());
            assert_eq!(found, all(&text));
        }
    }
}
