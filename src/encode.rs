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
#[derive(Debug)]
pub struct Encoder {
    time: TimeText,
    /// The facility that `of_facility` names.
    facility: u64,
    of_facility: Kept,
    of_level: [Option<[Kept; 2]>; 8],
}

/// What stands in many lines, put together once and then copied as a whole, whatever its length.
#[derive(Clone, Copy, Debug)]
struct Kept {
    bytes: [u8; Kept::BYTES],
    len: usize,
}

impl Kept {
    const BYTES: usize = 48;

    fn new(parts: [&[u8]; 3]) -> Kept {
        let mut kept = Kept { bytes: [0; Kept::BYTES], len: 0 };
        for &byte in parts.into_iter().flatten() {
            kept.bytes[kept.len] = byte;
            kept.len += 1;
        }
        kept
    }

    fn of_facility(facility: u64) -> Kept {
        let digits = &mut [0; 20];
        let name = facility_name(facility).unwrap_or_else(|| decimal(facility, digits));
        Kept::new([b",\"facility\":\"", name, b"\",\"msg\":\""])
    }

    /// What stands before the sequence number, and after it.
    #[inline(never)]
    fn of_level(level: Level) -> [Kept; 2] {
        [
            Kept::new([b"\",\"priority\":\"", level.name(), b"\",\"seq\":"]),
            Kept::new([b",\"talos-level\":\"", level.talos_name(), b"\",\"talos-time\":\""]),
        ]
    }
}

impl Encoder {
    /// An encoder for records of any time.
    pub fn new() -> Encoder {
        Encoder { time: TimeText::new(), facility: 0, of_facility: Kept::of_facility(0), of_level: [None; 8] }
    }

    /// The bytes that the object of `record` takes at most.
    pub fn bytes_max(record: &Record<'_>) -> usize {
        let (Body::Escaped { text, .. } | Body::Plain(text)) = record.body;
        text.len() * ESCAPE_BYTES_MAX + LINE_FIXED_BYTES_MAX
    }

    /// Writes the object of `record`, without a newline, into `out`, which has room for
    /// [`Encoder::bytes_max`]. Returns its length.
    pub fn encode(&mut self, out: &mut [u8], record: &Record<'_>, wall: WallOffset) -> usize {
        if self.facility != record.facility {
            self.facility = record.facility;
            self.of_facility = Kept::of_facility(record.facility);
        }
        let level = record.level;
        let [before_seq, before_time] =
            self.of_level[level.number()].get_or_insert_with(|| Kept::of_level(level));
        let mut out = Out { bytes: out, len: 0 };
        out.put(b"{\"clock\":");
        out.number(record.clock_us);
        out.kept(&self.of_facility);
        out.decoded(Decoded::new(record.body));
        out.kept(before_seq);
        out.number(record.seq);
        out.kept(before_time);
        let (second, micros) = wall.wall(record.clock_us);
        out.put(self.time.second(second));
        out.fraction(micros);
        out.put(b"Z\"}");
        out.len
    }
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder::new()
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

/// The eight decimal digits of a number below 10⁸, the first in the lowest byte. No division by ten: where the size
/// counts, compilers divide indeed, digit by digit.
fn eight_digits(number: u64) -> u64 {
    // One step splits fours, one pairs, one digits, each with a multiplication that is exact for as many.
    let fours = (number * 3_518_437_209) >> 45;
    let fours = fours | (number - fours * 10_000) << 32;
    let pairs = ((fours * 10_486) >> 20) & 0x7f_0000_007f;
    let pairs = pairs | (fours - pairs * 100) << 16;
    let digits = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    digits | (pairs - digits * 10) << 8
}

/// U+FFFD
const REPLACEMENT: &[u8; 3] = b"\xef\xbf\xbd";

/// The output: bytes, and how many of them are written.
struct Out<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl Out<'_> {
    /// Appends a text of fixed length. There is room by design; were there none, nothing would be written past the end.
    #[inline(always)]
    fn put<const N: usize>(&mut self, text: &[u8; N]) {
        if let Some(room) = self.room() {
            *room = *text;
            self.len += N;
        }
    }

    #[inline(always)]
    fn room<const N: usize>(&mut self) -> Option<&mut [u8; N]> {
        self.bytes.get_mut(self.len..)?.first_chunk_mut()
    }

    /// Appends a kept text. What is copied behind it is written over: see `LINE_FIXED_BYTES_MAX`.
    fn kept(&mut self, text: &Kept) {
        if let Some(room) = self.room() {
            *room = text.bytes;
            self.len += text.len;
        }
    }

    #[inline(always)]
    fn byte(&mut self, byte: u8) {
        self.put(&[byte]);
    }

    #[inline(never)]
    fn number(&mut self, number: u64) {
        const EIGHT_DIGITS: u64 = 100_000_000;
        let mut digits = eight_digits(number % EIGHT_DIGITS);
        let mut count = 8;
        if number >= EIGHT_DIGITS {
            self.number(number / EIGHT_DIGITS);
        } else {
            // One is left of zero.
            let zeros = (digits | 1 << 56).trailing_zeros() / 8;
            digits >>= zeros * 8;
            count -= zeros as usize;
        }
        if let Some(room) = self.room() {
            *room = (digits | u64::from_ne_bytes([b'0'; 8])).to_le_bytes();
            self.len += count;
        }
    }

    /// The part of a second, its trailing zeros cut, nothing when it is zero.
    fn fraction(&mut self, micros: u32) {
        // Of eight digits the first two are zeros; the second becomes the point.
        let digits = eight_digits(u64::from(micros)) >> 8;
        let count = 7 - (digits | 1).leading_zeros().saturating_sub(8) as usize / 8;
        if count > 1
            && let Some(room) = self.room()
        {
            const TEXT: u64 = u64::from_le_bytes(*b".0000000");
            *room = (digits | TEXT).to_le_bytes();
            self.len += count;
        }
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
        if let Some(last) = text.len().checked_sub(8) {
            let mut at = 0;
            // All eight are written; those after a dirty one are written over.
            while let (Some(chunk), Some(room)) = (
                text.get(at..).and_then(<[u8]>::first_chunk::<8>),
                self.bytes.get_mut(self.len + at..).and_then(<[u8]>::first_chunk_mut::<8>),
            ) {
                *room = *chunk;
                let word = u64::from_le_bytes(*chunk);
                // The lowest byte with its high bit set is below 0x20, a quote, a backslash or beyond ASCII.
                let control = word.wrapping_sub(ONES * 0x20);
                let quote = (word ^ QUOTES).wrapping_sub(ONES);
                let backslash = (word ^ BACKSLASHES).wrapping_sub(ONES);
                let dirty = (control | quote | backslash | word) & HIGHS;
                if dirty != 0 {
                    at += (dirty.trailing_zeros() / 8) as usize;
                    break;
                }
                if at == last {
                    at += 8;
                    break;
                }
                // The last eight may be some that were looked at already.
                at = last.min(at + 8);
            }
            self.len += at;
            return at;
        }
        let mut done = 0;
        for &byte in text {
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
        self.put(&[b'\\', short]);
    }

    fn control(&mut self, byte: u8) {
        self.put(&[b'\\', b'u', b'0', b'0', hex_digit(byte >> 4), hex_digit(byte & 15)]);
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
                _ => return self.put(REPLACEMENT),
            }
        }
        if more == 0 {
            return self.put(REPLACEMENT);
        }
        *rest = ahead;
        for &byte in &character[..=more] {
            self.byte(byte);
        }
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
