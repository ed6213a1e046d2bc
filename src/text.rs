//! Small parsers for the texts that this program reads, and how bytes from outside are shown in a message.

use core::fmt::{self, Display, Write};

/// What stands before and after the first `separator`.
pub fn split_once(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == separator)?;
    let (before, after) = bytes.split_at_checked(at)?;
    Some((before, after.get(1..)?))
}

/// Takes what stands before the next `separator` off `rest`, or all of it.
pub fn next_part<'a>(rest: &mut &'a [u8], separator: u8) -> &'a [u8] {
    let (part, after) = split_once(rest, separator).unwrap_or((rest, b""));
    *rest = after;
    part
}

/// Takes the next word off a line; an empty word is the end. Control characters are white space too, so the carriage
/// return of a file from elsewhere does no harm.
pub fn next_word<'a>(line: &mut &'a [u8]) -> &'a [u8] {
    while let [b'\0'..=b' ', rest @ ..] = *line {
        *line = rest;
    }
    let end = line.iter().position(|&byte| byte <= b' ');
    let (word, rest) = end.and_then(|end| line.split_at_checked(end)).unwrap_or((line, b""));
    *line = rest;
    word
}

/// A word as text, to compare it with known ones; empty where it is no UTF-8.
pub fn as_str(word: &[u8]) -> &str {
    str::from_utf8(word).unwrap_or_default()
}

/// A decimal number: digits only, so that `+1` and an empty text are none.
pub fn decimal(digits: &[u8]) -> Option<u32> {
    parse_digits(digits, 10)
}

/// A number of up to eight hexadecimal digits.
pub fn hexadecimal(digits: &[u8]) -> Option<u32> {
    if digits.len() > 8 {
        return None;
    }
    parse_digits(digits, 16)
}

fn parse_digits(digits: &[u8], radix: u32) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    let mut value: u32 = 0;
    for &digit in digits {
        let digit = char::from(digit).to_digit(radix)?;
        value = value.checked_mul(radix)?.checked_add(digit)?;
    }
    Some(value)
}

/// Bytes from outside in a message: what is not printable ASCII is shown as `\xNN`.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a [u8]);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.0 {
            match byte {
                b' '..=b'~' => f.write_char(char::from(byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}

/// A name without its final dot.
pub fn without_final_dot(name: &[u8]) -> &[u8] {
    name.strip_suffix(b".").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    #[test]
    fn numbers() {
        assert_eq!(decimal(b"4294967295"), Some(u32::MAX));
        assert_eq!(hexadecimal(b"fFffFfff"), Some(u32::MAX));
        for bad in ["", "+1", "-1", " 1", "4294967296", "99999999999999999999", "a"] {
            assert_eq!(decimal(bad.as_bytes()), None, "{bad}");
        }
        for bad in ["", "g", "000000001"] {
            assert_eq!(hexadecimal(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn parts() {
        let mut rest = &b"a,,b"[..];
        let parts: Vec<&[u8]> = (0..4).map(|_| next_part(&mut rest, b',')).collect();
        assert_eq!(parts, [&b"a"[..], b"", b"b", b""]);
        assert_eq!(split_once(b"a=b=c", b'='), Some((&b"a"[..], &b"b=c"[..])));
        assert_eq!(split_once(b"abc", b'='), None);
    }

    #[test]
    fn words() {
        let mut line = &b" a\t\tb\r"[..];
        let words: Vec<&[u8]> = (0..3).map(|_| next_word(&mut line)).collect();
        assert_eq!(words, [&b"a"[..], b"b", b""]);
    }

    #[test]
    fn bytes_from_outside_are_printable() {
        assert_eq!(Quoted(b"a b\\\x00\n\x7f\xff~").to_string(), "a b\\\\x00\\x0a\\x7f\\xff~");
    }
}
