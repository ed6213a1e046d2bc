//! Writes the pieces of a line behind each other into a room of fixed size.
//!
//! All the text that is ever shipped goes through here. serde-json-core writes byte by byte what it is given; this copies
//! constant parts, and what needs no escape, as whole runs.

use crate::record::{Body, Chars};

/// The beginning of a room is written. Whatever does not fit is `None`.
#[derive(Debug)]
pub(super) struct Writer<'b> {
    room: &'b mut [u8],
    len: usize,
}

impl<'b> Writer<'b> {
    /// Nothing is written yet.
    pub(super) fn new(room: &'b mut [u8]) -> Writer<'b> {
        Writer { room, len: 0 }
    }

    /// How many bytes are written.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes as they are.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len + bytes.len();
        self.room.get_mut(self.len..end)?.copy_from_slice(bytes);
        self.len = end;
        Some(())
    }

    /// A constant part. Its length is known to the compiler, which copies it without a call of `memcpy`.
    pub(super) fn push_array<const N: usize>(&mut self, bytes: &[u8; N]) -> Option<()> {
        *self.room.get_mut(self.len..)?.first_chunk_mut()? = *bytes;
        self.len += N;
        Some(())
    }

    /// A few bytes: a call of `memcpy` takes longer than they do.
    pub(super) fn push_short(&mut self, bytes: &[u8]) -> Option<()> {
        for &byte in bytes {
            *self.room.get_mut(self.len)? = byte;
            self.len += 1;
        }
        Some(())
    }

    /// A number in decimal digits.
    pub(super) fn push_number(&mut self, number: u64) -> Option<()> {
        let digits = number.checked_ilog10().map_or(1, |log| log as usize + 1);
        let place = self.room.get_mut(self.len..self.len + digits)?;
        let mut rest = number;
        for digit in place.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.len += digits;
        Some(())
    }

    /// A text as a JSON string, quotes included. Bytes that are no UTF-8 become U+FFFD.
    pub(super) fn push_string(&mut self, body: Body<'_>) -> Option<()> {
        self.push_array(b"\"")?;
        self.push_body(body, Escaping::Json)?;
        self.push_array(b"\"")
    }

    /// A text, decoded. Bytes that are no UTF-8 become U+FFFD.
    pub(super) fn push_body(&mut self, body: Body<'_>, escaping: Escaping) -> Option<()> {
        let mut chars = Chars::new(body);
        loop {
            let run = chars.take_run(|byte| PLAIN[usize::from(byte)] & escaping.bit() != 0);
            if !run.is_empty() {
                self.push(run)?;
            }
            let Some(character) = chars.next() else { return Some(()) };
            match escaping {
                Escaping::Json => self.push_json_char(character)?,
                Escaping::None => self.push_char(character)?,
                Escaping::Param => self.push_param_char(character)?,
            }
        }
    }

    fn push_char(&mut self, character: char) -> Option<()> {
        self.push_short(character.encode_utf8(&mut [0; 4]).as_bytes())
    }

    /// A character of a parameter's value.
    fn push_param_char(&mut self, character: char) -> Option<()> {
        if matches!(character, '"' | '\\' | ']') {
            self.push_array(b"\\")?;
        }
        self.push_char(character)
    }

    /// A character of a JSON string.
    fn push_json_char(&mut self, character: char) -> Option<()> {
        match character {
            '"' => self.push_array(b"\\\""),
            '\\' => self.push_array(b"\\\\"),
            '\n' => self.push_array(b"\\n"),
            '\r' => self.push_array(b"\\r"),
            '\t' => self.push_array(b"\\t"),
            '\x08' => self.push_array(b"\\b"),
            '\x0c' => self.push_array(b"\\f"),
            '\0'..' ' => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let byte = character as usize;
                self.push_array(&[b'\\', b'u', b'0', b'0', HEX[byte >> 4], HEX[byte & 15]])
            }
            _ => self.push_char(character),
        }
    }
}

/// How the characters of a text are written.
#[derive(Clone, Copy)]
pub(super) enum Escaping {
    /// As they are.
    None,
    /// As in a JSON string.
    Json,
    /// As in the value of a syslog parameter.
    Param,
}

impl Escaping {
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// For each byte of a record the ways in which it is written as it stands, which is asked for every one. Never a backslash, nor
/// what is not ASCII.
const PLAIN: [u8; 256] = {
    let (none, json, param) = (Escaping::None.bit(), Escaping::Json.bit(), Escaping::Param.bit());
    let mut plain = [0; 256];
    let mut byte = 0;
    while byte < 0x80 {
        plain[byte as usize] = match byte {
            b'\\' => 0,
            b'"' => none,
            b']' => none | json,
            0..b' ' => none | param,
            _ => none | json | param,
        };
        byte += 1;
    }
    plain
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::ESCAPE_BYTES_MAX;
    use crate::testing::Random;
    use std::string::String;
    use std::vec;
    use std::vec::Vec;

    fn string(body: Body<'_>, room: usize) -> Option<String> {
        let mut room = vec![b'~'; room];
        let mut writer = Writer::new(&mut room);
        writer.push_string(body)?;
        let len = writer.len();
        room.truncate(len);
        Some(String::from_utf8(room).expect("UTF-8"))
    }

    #[track_caller]
    fn check(text: &[u8], want: &str) {
        assert_eq!(string(Body::Plain(text), 64).as_deref(), Some(want), "{}", text.escape_ascii());
    }

    #[test]
    fn strings() {
        check(b"", "\"\"");
        check(b"plain text \x7f", "\"plain text \x7f\"");
        check(b"a\"b\\c", r#""a\"b\\c""#);
        check(b"\n\r\t\x08\x0c\x00\x1f", r#""\n\r\t\b\f\u0000\u001f""#);
        check("\u{e9}\u{20ac}\u{1f600}".as_bytes(), "\"\u{e9}\u{20ac}\u{1f600}\"");
        check(b"\xff\xc3", "\"\u{fffd}\u{fffd}\"");
        check(b"\xe2\x82A", "\"\u{fffd}\u{fffd}A\"");
        check(b"\xed\xa0\x80", "\"\u{fffd}\u{fffd}\u{fffd}\"");
        check(b"\\x41", r#""\\x41""#);
        let escaped = Body::Escaped { text: b"\\x41\\xc3\\xa9\\\\\\x22", cut: false };
        assert_eq!(string(escaped, 64).as_deref(), Some("\"A\u{e9}\\\\\\\"\""));
    }

    #[test]
    fn numbers() {
        let mut random = Random::new(3);
        let any = (0..64).map(|bits| random.bits() >> bits);
        for number in [0, 9, 10, 99, 100, u64::MAX].into_iter().chain(any) {
            let mut room = [0; 20];
            let mut writer = Writer::new(&mut room);
            assert_eq!(writer.push_number(number), Some(()));
            let len = writer.len();
            assert_eq!(room[..len], *std::format!("{number}").as_bytes());
        }
        assert_eq!(Writer::new(&mut [0; 2]).push_number(100), None);
    }

    #[test]
    fn what_is_copied_as_it_stands() {
        for (escaping, plain, others) in [
            (Escaping::Json, &b" !#[]a~\x7f"[..], &b"\0\n\x1f\"\\\x80\xff"[..]),
            (Escaping::None, b"\0\n !\"#]~\x7f", b"\\\x80\xff"),
            (Escaping::Param, b"\0\n !#[~\x7f", b"\"\\]\x80\xff"),
        ] {
            assert!(plain.iter().all(|&byte| PLAIN[usize::from(byte)] & escaping.bit() != 0));
            assert!(!others.iter().any(|&byte| PLAIN[usize::from(byte)] & escaping.bit() != 0));
        }
    }

    /// Whatever the text: the same as `core`'s and jzon's way, and no more than is said of its length.
    #[test]
    fn any_text() {
        let mut random = Random::new(8);
        let parts: [&[u8]; 8] =
            [b"abcdefgh", b"\"", b"\\", b"\n", b"\x01", b"\xc3\xa9", b"\xe2\x82", b"\xf0\x9f\x98\x80"];
        for _ in 0..20_000 {
            let mut text = Vec::new();
            for _ in 0..random.below(12) {
                match random.below(4) {
                    0 => text.push(random.byte()),
                    _ => text.extend_from_slice(parts[random.below(parts.len())]),
                }
            }
            let mut want = String::new();
            for chunk in text.utf8_chunks() {
                want += chunk.valid();
                want.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
            }
            let most = text.len() * ESCAPE_BYTES_MAX + 2;
            let got = string(Body::Plain(&text), most).expect("room");
            assert_eq!(jzon::parse(&got).expect("JSON").as_str(), Some(&want[..]));
            // Not one byte more is needed than is written, and with one less nothing is.
            assert_eq!(string(Body::Plain(&text), got.len()), Some(got.clone()));
            assert_eq!(string(Body::Plain(&text), got.len() - 1), None);
        }
    }
}
