//! Records into JSON objects, member for member as Talos writes them. Pure.
//!
//! Written by hand, because a record's text is neither UTF-8 nor unescaped before it is encoded, and because this
//! is the one loop that every byte of the log goes through: eight bytes at a time where nothing needs an escape.
//! The output fits by design: see [`LINE_BYTES_MAX`](crate::limits::LINE_BYTES_MAX).

use crate::clock::{TimeText, WallOffset};
use crate::kmsg::record::{Body, Decoded, Level, Record, facility_name};
use crate::limits::{ESCAPE_BYTES_MAX, LINE_FIXED_BYTES_MAX};
use crate::words;
use crate::words::{Line, Words, decimal, hex_digit};

/// Makes JSON objects of records.
#[derive(Debug, Default)]
pub struct Encoder {
    time: TimeText,
}

impl Encoder {
    /// An encoder for records of any time.
    pub fn new() -> Encoder {
        Encoder { time: TimeText::new() }
    }

    /// The bytes that the object of `record` takes at most.
    pub fn bytes_max(record: &Record<'_>) -> usize {
        let (Body::Escaped { text, .. } | Body::Plain(text)) = record.body;
        text.len() * ESCAPE_BYTES_MAX + LINE_FIXED_BYTES_MAX
    }

    /// Writes the object of `record`, without a newline, into `out`, which has room for
    /// [`Encoder::bytes_max`]. Returns its length.
    pub fn encode(&mut self, out: &mut [u8], record: &Record<'_>, wall: WallOffset) -> usize {
        let mut out = Out { bytes: out, len: 0 };
        out.text(b"{\"clock\":");
        out.number(record.clock_us);
        out.text(b",\"facility\":\"");
        match facility_name(record.facility) {
            Some(name) => out.text(name),
            None => out.number(record.facility),
        }
        out.text(b"\",\"msg\":\"");
        out.decoded(Decoded::new(record.body));
        out.text(b"\",\"priority\":\"");
        out.text(record.level.name());
        out.text(b"\",\"seq\":");
        out.number(record.seq);
        out.text(b",\"talos-level\":\"");
        out.text(record.level.talos_name());
        out.text(b"\",\"talos-time\":\"");
        let (second, micros) = wall.wall(record.clock_us);
        out.text(self.time.second(second));
        out.fraction(micros);
        out.text(b"Z\"}");
        out.len
    }
}

/// Records that never came: an object of its own in their place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lost {
    /// The first of them.
    pub from: u64,
    /// The last of them.
    pub to: u64,
    /// What happened, in words.
    pub why: &'static str,
}

impl Lost {
    /// How many.
    pub fn count(&self) -> u64 {
        (self.to - self.from).saturating_add(1)
    }

    /// Writes the object. `clock_us` is the stamp of the record that follows.
    pub fn encode(&self, encoder: &mut Encoder, out: &mut [u8], clock_us: u64, wall: WallOffset) -> usize {
        say(self.from, self, encoder, out, clock_us, wall)
    }
}

impl Words for Lost {
    fn put(&self, line: &mut Line) {
        words!(line, "lost ", self.count(), " records, seq ", self.from, "-", self.to, ": ", self.why);
    }
}

/// Records that were sent over a connection that broke, and that cannot be sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unread {
    /// The first of them.
    pub from: u64,
    /// The last of them.
    pub to: u64,
}

impl Unread {
    /// Writes the object. `clock_us` is the stamp of the record that follows.
    pub fn encode(&self, encoder: &mut Encoder, out: &mut [u8], clock_us: u64, wall: WallOffset) -> usize {
        say(self.from, self, encoder, out, clock_us, wall)
    }
}

impl Words for Unread {
    fn put(&self, line: &mut Line) {
        let count = (self.to - self.from).saturating_add(1);
        words!(line, count, " records, seq ", self.from, "-", self.to, ", sent but perhaps unread");
    }
}

/// Words of our own in the stream of one destination: an object like any other, which did not go through the ring.
fn say(
    seq: u64,
    words: &dyn Words,
    encoder: &mut Encoder,
    out: &mut [u8],
    clock_us: u64,
    wall: WallOffset,
) -> usize {
    let mut text = Line::new();
    words!(&mut text, "earlykmsg: ", words);
    let body = Body::Plain(text.ended());
    encoder.encode(out, &Record { level: Level::WARNING, facility: 1, seq, clock_us, body }, wall)
}

/// The number of the record that a line was made of.
///
/// A quote within a string is always escaped, so the member's name with a bare quote before it stands only once.
pub fn seq_of(line: &[u8]) -> Option<u64> {
    number_after(line, b"\",\"seq\":")
}

/// The time stamp of the record that a line was made of.
pub fn clock_of(line: &[u8]) -> Option<u64> {
    number_after(line, b"{\"clock\":")
}

fn number_after(line: &[u8], name: &[u8]) -> Option<u64> {
    let at = line.windows(name.len()).position(|window| window == name)? + name.len();
    let digits = line[at..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |seq: u64, digit| seq.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))))
}

/// The output: bytes, and how many of them are written.
struct Out<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl Out<'_> {
    /// Appends `text`. There is room by design; were there none, nothing would be written past the end.
    #[inline(never)]
    fn text(&mut self, text: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.len..self.len + text.len()) {
            room.copy_from_slice(text);
            self.len += text.len();
        }
    }

    #[inline(always)]
    fn byte(&mut self, byte: u8) {
        if let Some(room) = self.bytes.get_mut(self.len) {
            *room = byte;
            self.len += 1;
        }
    }

    fn number(&mut self, number: u64) {
        self.text(decimal(number, &mut [0; 20]));
    }

    /// The part of a second, its trailing zeros cut, nothing when it is zero.
    fn fraction(&mut self, mut micros: u32) {
        if micros == 0 {
            return;
        }
        let mut digits = [0; 6];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (micros % 10) as u8;
            micros /= 10;
        }
        let end = digits.iter().rposition(|&digit| digit != b'0').map_or(0, |last| last + 1);
        self.byte(b'.');
        self.text(&digits[..end]);
    }

    fn decoded(&mut self, mut bytes: Decoded<'_>) {
        loop {
            let clean = self.clean(bytes.rest());
            bytes.advance(clean);
            match bytes.next() {
                Some(byte) => self.character(byte, &mut bytes),
                None => return,
            }
        }
    }

    /// Copies bytes for as long as they mean themselves, both in a record and in JSON. Returns how many.
    #[inline(always)]
    fn clean(&mut self, text: &[u8]) -> usize {
        const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
        const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
        const BACKSLASHES: u64 = u64::from_ne_bytes([b'\\'; 8]);
        const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
        let mut done = 0;
        while let Some(chunk) = text[done..].first_chunk::<8>() {
            let word = u64::from_le_bytes(*chunk);
            // The lowest byte with its high bit set is below 0x20, a quote, a backslash or beyond ASCII.
            let control = word.wrapping_sub(ONES * 0x20);
            let quote = (word ^ QUOTES).wrapping_sub(ONES);
            let backslash = (word ^ BACKSLASHES).wrapping_sub(ONES);
            let dirty = (control | quote | backslash | word) & HIGHS;
            // All eight are written; those after a dirty one are written over.
            self.bytes[self.len..][..8].copy_from_slice(chunk);
            let clean = (dirty.trailing_zeros() / 8) as usize;
            self.len += clean;
            done += clean;
            if clean < 8 {
                return done;
            }
        }
        for &byte in &text[done..] {
            if !(0x20..0x80).contains(&byte) || byte == b'"' || byte == b'\\' {
                break;
            }
            self.byte(byte);
            done += 1;
        }
        done
    }

    /// One byte and, when it begins a character of several, those that belong to it.
    fn character(&mut self, byte: u8, rest: &mut Decoded<'_>) {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\t' => b't',
            b'\r' => b'r',
            0x08 => b'b',
            0x0c => b'f',
            0x00..0x20 => return self.control(byte),
            0x20..0x80 => return self.byte(byte),
            0x80.. => return self.beyond_ascii(byte, rest),
        };
        self.text(&[b'\\', short]);
    }

    fn control(&mut self, byte: u8) {
        self.text(b"\\u00");
        self.byte(hex_digit(byte >> 4));
        self.byte(hex_digit(byte & 15));
    }

    /// A whole UTF-8 character, or U+FFFD for this one byte.
    fn beyond_ascii(&mut self, first: u8, rest: &mut Decoded<'_>) {
        // The second byte's range is what keeps out overlong forms, surrogates and what is beyond U+10FFFF.
        let (more, second) = match first {
            0xc2..=0xdf => (1, 0x80..=0xbf),
            0xe0 => (2, 0xa0..=0xbf),
            0xed => (2, 0x80..=0x9f),
            0xe1..=0xef => (2, 0x80..=0xbf),
            0xf0 => (3, 0x90..=0xbf),
            0xf1..=0xf3 => (3, 0x80..=0xbf),
            0xf4 => (3, 0x80..=0x8f),
            _ => (0, 0x80..=0x80),
        };
        let mut character = [first, 0, 0, 0];
        let mut ahead = rest.clone();
        for (at, place) in character[1..=more].iter_mut().enumerate() {
            let allowed = if at == 0 { second.clone() } else { 0x80..=0xbf };
            match ahead.next() {
                Some(byte) if allowed.contains(&byte) => *place = byte,
                _ => return self.text("\u{fffd}".as_bytes()),
            }
        }
        if more == 0 {
            return self.text("\u{fffd}".as_bytes());
        }
        *rest = ahead;
        self.text(&character[..=more]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{LINE_BYTES_MAX, RECORD_BYTES_MAX};
    use crate::testing::Random;
    use serde_json::Value;
    use std::string::{String, ToString};
    use std::vec::Vec;
    use std::{format, vec};

    const MEMBERS: [&str; 7] = ["clock", "facility", "msg", "priority", "seq", "talos-level", "talos-time"];
    /// 2021-11-26T16:53:15Z, the boot time of the golden records.
    const BOOT: WallOffset = WallOffset(1_637_945_595_000_000);

    /// The object of a record, in exactly as many bytes as it may take at most.
    fn encode(bytes: &[u8]) -> String {
        let record = Record::parse(bytes).unwrap_or_else(|| Record::broken(bytes));
        let mut out = vec![0; Encoder::bytes_max(&record)];
        let len = Encoder::new().encode(&mut out, &record, BOOT);
        out.truncate(len);
        String::from_utf8(out).expect("UTF-8")
    }

    fn object(json: &str) -> serde_json::Map<String, Value> {
        match serde_json::from_str(json) {
            Ok(Value::Object(object)) => object,
            other => panic!("{json}: {other:?}"),
        }
    }

    #[track_caller]
    fn check_golden(records: &[u8], lines: &str) {
        let mut lines = lines.lines();
        let mut count = 0;
        for record in records.split(|&b| b == 0).filter(|record| !record.is_empty()) {
            let (got, want) = (encode(record), lines.next().expect("a line for each record"));
            let (got, want) = (object(&got), object(want));
            assert_eq!(got, want);
            assert!(got.keys().eq(want.keys()), "the order of the members");
            count += 1;
        }
        assert_eq!(lines.next(), None);
        std::println!("{count} of {count} records equal");
    }

    #[test]
    fn golden_records_are_equal() {
        check_golden(include_bytes!("../tests/data/boot.kmsg"), include_str!("../tests/data/boot.jsonl"));
        check_golden(include_bytes!("../tests/data/edge.kmsg"), include_str!("../tests/data/edge.jsonl"));
    }

    #[test]
    fn the_line_of_the_documentation() {
        let line = encode(b"12,711,6252819,-;[talos] task startAllServices (1/1): waiting for 6 services\n");
        assert_eq!(
            line,
            "{\"clock\":6252819,\"facility\":\"user\",\"msg\":\"[talos] task startAllServices (1/1): waiting for 6 \
             services\\n\",\"priority\":\"warning\",\"seq\":711,\"talos-level\":\"warn\",\
             \"talos-time\":\"2021-11-26T16:53:21.252819Z\"}"
        );
    }

    #[test]
    fn facilities_by_name_and_by_number() {
        for (priority, facility) in
            [(6, "kern"), (8 * 11 + 6, "ftp"), (8 * 23, "local7"), (8 * 24, "24"), (8 * 255, "255")]
        {
            assert_eq!(object(&encode(format!("{priority},1,2,-;x\n").as_bytes()))["facility"], facility);
        }
    }

    #[test]
    fn lost_records() {
        let lost = Lost { from: 7, to: 11, why: "the ring was overwritten" };
        let mut out = [0; 512];
        let len = lost.encode(&mut Encoder::new(), &mut out, 1_000_000, BOOT);
        assert_eq!(
            core::str::from_utf8(&out[..len]).unwrap(),
            "{\"clock\":1000000,\"facility\":\"user\",\"msg\":\"earlykmsg: lost 5 records, seq 7-11: the ring was \
             overwritten\\n\",\"priority\":\"warning\",\"seq\":7,\"talos-level\":\"warn\",\
             \"talos-time\":\"2021-11-26T16:53:16Z\"}"
        );
        let all = Lost { from: 0, to: u64::MAX, why: "the ring was overwritten" };
        let len = all.encode(&mut Encoder::new(), &mut out, u64::MAX, WallOffset(i64::MAX));
        assert!(
            object(core::str::from_utf8(&out[..len]).unwrap())["msg"]
                .as_str()
                .unwrap()
                .ends_with("overwritten\n")
        );
    }

    /// A slow and obvious decoding of a record's text, to compare with.
    fn model(text: &[u8]) -> String {
        let bytes: Vec<u8> = Decoded::new(Body::Escaped { text, cut: false }).collect();
        let mut text = String::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let whole = (1..=4.min(rest.len())).find_map(|n| core::str::from_utf8(&rest[..n]).ok());
            text += whole.unwrap_or("\u{fffd}");
            rest = &rest[whole.map_or(1, str::len)..];
        }
        text
    }

    /// Any bytes make one object with the seven members, whose `msg` is what the model makes of them.
    #[test]
    fn any_bytes_are_a_record() {
        let mut random = Random::new(1);
        let parts: [&[u8]; 13] = [
            b"\",\"seq\":5",
            b"\\x",
            b"\\",
            b"\"",
            b"\n ",
            b"\xe2\x80\xa8",
            b"\xf0\x9f",
            b"\\xc3\\xa9",
            b"abcdefghijk",
            b"\x00",
            b"\x7f",
            b";",
            b"\\x0",
        ];
        for round in 0..30_000 {
            let mut bytes = match round % 4 {
                0 => Vec::new(),
                _ => format!(
                    "{},{},{},-;",
                    random.below(300),
                    random.bits(),
                    random.bits() >> random.below(64)
                )
                .into_bytes(),
            };
            for _ in 0..random.below(20) {
                match random.below(3) {
                    0 => bytes.push(random.byte()),
                    _ => bytes.extend_from_slice(parts[random.below(parts.len())]),
                }
            }
            let object = object(&encode(&bytes));
            assert!(object.keys().eq(MEMBERS));
            assert_eq!(seq_of(encode(&bytes).as_bytes()), object["seq"].as_u64());
            assert_eq!(clock_of(encode(&bytes).as_bytes()), object["clock"].as_u64());
            match Record::parse(&bytes).map(|record| record.body) {
                Some(Body::Escaped { text, .. }) => assert_eq!(object["msg"], model(text)),
                _ => assert_eq!(object["priority"], "err"),
            }
        }
    }

    #[test]
    fn the_largest_record_fits() {
        for fill in [&b"\\x01"[..], b"\"", b"\x01", b"\xff", b"\\xff", b"\\x", b"x"] {
            for prefix in ["", "18446744073709551615,18446744073709551615,18446744073709551615,-;"] {
                let mut bytes = prefix.to_string().into_bytes();
                while bytes.len() + fill.len() < RECORD_BYTES_MAX {
                    bytes.extend_from_slice(fill);
                }
                bytes.resize(RECORD_BYTES_MAX - 1, b'"');
                bytes.push(b'\n');
                let line = encode(&bytes);
                assert!(line.len() < LINE_BYTES_MAX);
                assert!(object(&line).keys().eq(MEMBERS));
            }
        }
    }
}
