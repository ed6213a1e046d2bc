//! JSON strings, made of bytes that may be no UTF-8 and hold the kernel's escapes.
//!
//! serde-json-core escapes a `&str` character by character. This goes through all the text that is ever shipped, so it
//! copies what needs no escape as whole runs.

use serde::ser::{Serialize, Serializer};

use crate::record::{Body, Chars};

/// A value that is JSON already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Json<'a>(pub(super) &'a [u8]);

impl Serialize for Json<'_> {
    /// serde-json-core writes bytes as they are.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// Writes a text as a JSON string, quotes included. Returns it and what is left of the room; `None` when there is too
/// little of it.
pub(super) fn write_string<'b>(room: &'b mut [u8], body: Body<'_>) -> Option<(Json<'b>, &'b mut [u8])> {
    let mut out = Out { room, len: 0 };
    let mut chars = Chars::new(body);
    out.push(b"\"")?;
    loop {
        out.push(chars.take_run(is_plain))?;
        match chars.next() {
            Some(character) => out.push_char(character)?,
            None => break,
        }
    }
    out.push(b"\"")?;
    let (string, rest) = out.room.split_at_mut_checked(out.len)?;
    Some((Json(string), rest))
}

/// Whether a byte of a record is a character that stands for itself, there and in JSON.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=0x7f) && byte != b'"' && byte != b'\\'
}

/// The beginning of `room` is written.
struct Out<'b> {
    room: &'b mut [u8],
    len: usize,
}

impl Out<'_> {
    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len + bytes.len();
        self.room.get_mut(self.len..end)?.copy_from_slice(bytes);
        self.len = end;
        Some(())
    }

    fn push_char(&mut self, character: char) -> Option<()> {
        match character {
            '"' => self.push(b"\\\""),
            '\\' => self.push(b"\\\\"),
            '\n' => self.push(b"\\n"),
            '\r' => self.push(b"\\r"),
            '\t' => self.push(b"\\t"),
            '\x08' => self.push(b"\\b"),
            '\x0c' => self.push(b"\\f"),
            '\0'..' ' => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let byte = character as usize;
                self.push(&[b'\\', b'u', b'0', b'0', HEX[byte >> 4], HEX[byte & 15]])
            }
            _ => self.push(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

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
        let (Json(string), _) = write_string(&mut room, body)?;
        Some(String::from_utf8(string.to_vec()).expect("UTF-8"))
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
    fn what_is_copied_as_it_stands() {
        assert!(b" !#[]a~\x7f".iter().all(|&byte| is_plain(byte)));
        assert!(!b"\0\n\x1f\"\\\x80\xff".iter().any(|&byte| is_plain(byte)));
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
