//! Records into JSON objects, member for member as Talos writes them. Pure.
//!
//! Written by hand, because a record's text is neither UTF-8 nor unescaped before it is encoded, and because this
//! is the one loop that every byte of the log goes through: eight bytes at a time where nothing needs an escape.
//! The output fits by design: see [`LINE_BYTES_MAX`](crate::limits::LINE_BYTES_MAX).

use crate::clock::{TimeText, WallOffset};
use crate::kmsg::record::{Body, Decoded, Level, Name, Record, entry, facility_name};
use crate::limits::{ESCAPE_BYTES_MAX, LINE_FIXED_BYTES_MAX};
use crate::members::{self, Extra, Members};
use crate::tags::Facts;
use crate::words;
use crate::words::{Line, Words, hex_digit};

/// Makes JSON objects of records.
#[derive(Debug)]
pub struct Encoder {
    time: TimeText,
    members: Members,
}

impl Encoder {
    /// What [`Encoder::set`] makes an encoder of.
    pub const NONE: Encoder = Encoder { time: TimeText::NONE, members: Members::NONE };

    /// An encoder for records of any time, with Talos's members and those asked for.
    #[inline(never)]
    pub fn new(extra: Extra) -> Encoder {
        let mut encoder = Encoder::NONE;
        encoder.set(extra, [b""; 2], &Facts::NONE);
        encoder
    }

    /// Sets the members anew: see [`Members::set`].
    pub fn set(&mut self, extra: Extra, words: [&[u8]; 2], facts: &Facts) -> u64 {
        self.time.set(0);
        self.members.set(extra, words, facts)
    }

    /// The bytes that the object of `record` takes at most.
    pub fn bytes_max(&self, record: &Record<'_>) -> usize {
        let (Body::Escaped { text, .. } | Body::Plain(text)) = record.body;
        text.len() * ESCAPE_BYTES_MAX + LINE_FIXED_BYTES_MAX + self.members.tag_bytes()
    }

    /// Writes the object of `record`, without a newline, into `out`, which has room for
    /// [`Encoder::bytes_max`]. Returns its length.
    pub fn encode(&mut self, out: &mut [u8], record: &Record<'_>, wall: WallOffset) -> usize {
        let mut out = Out { bytes: out, len: 0 };
        let mut body = record.body;
        let mut from = 0;
        for slot in self.members.slots() {
            out.part(&self.members.text, from, slot.at);
            from = slot.at;
            match slot.what {
                members::DICT => body = self.dictionary(record, &mut out),
                members::CALLER => {
                    let caller = record.caller();
                    if !caller.is_empty() {
                        out.name(b"caller");
                        out.string(Body::Plain(caller));
                    }
                }
                members::CLOCK => out.number(record.clock_us),
                members::FACILITY => match facility_name(record.facility) {
                    Some(name) => out.kept(name),
                    None => out.number(record.facility),
                },
                members::MSG => out.decoded(body),
                members::PRIORITY => out.kept(record.level.name()),
                members::SEQ => out.number(record.seq),
                members::LEVEL => out.kept(record.level.talos_name()),
                members::TIME => {
                    let (second, micros) = wall.wall(record.clock_us);
                    out.put(self.time.second(second));
                    out.fraction(micros);
                    out.byte(b'Z');
                }
                _ => {}
            }
        }
        // There is no comma before the first.
        if let Some(first) = out.bytes.first_mut() {
            *first = b'{';
        }
        out.len
    }

    /// Writes the entries of the record's dictionary, but for those with a tag's name. Returns what is left of the text:
    /// all of it where one of the lines is no entry.
    #[inline(never)]
    fn dictionary<'a>(&self, record: &Record<'a>, out: &mut Out<'_>) -> Body<'a> {
        let before = out.len;
        let Some((text, mut lines)) = record.lines() else { return record.body };
        // The kernel's are SUBSYSTEM and DEVICE: from the last to the first, they are sorted.
        while let [line @ .., b'\n'] | line @ [.., _] = lines {
            let begins = line.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
            let Some((name, value)) = entry(&line[begins..]) else {
                out.len = before;
                return record.body;
            };
            lines = &line[..begins];
            let here = out.len;
            out.name(name);
            if self.members.has(&out.bytes[here..out.len]) {
                out.len = here;
            } else {
                out.string(Body::Escaped { text: value, cut: false });
            }
        }
        text
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
    let record = Record { level: Level::WARNING, facility: 1, seq, clock_us, more: b"", body };
    encoder.encode(out, &record, wall)
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
pub(crate) struct Out<'a> {
    pub(crate) bytes: &'a mut [u8],
    pub(crate) len: usize,
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

    /// Appends a piece of `text`, sixteen bytes at a time: what is copied too much is written over.
    #[inline(always)]
    fn part(&mut self, text: &[u8], from: usize, to: usize) {
        let end = self.len + to - from;
        let mut at = from;
        while at < to
            && let (Some(piece), Some(room)) =
                (text.get(at..).and_then(<[u8]>::first_chunk::<16>), self.room::<16>())
        {
            *room = *piece;
            self.len += 16;
            at += 16;
        }
        self.len = end.min(self.len);
    }

    /// Appends a kept name. What is copied behind it is written over: see `LINE_FIXED_BYTES_MAX`.
    #[inline(always)]
    fn kept(&mut self, name: Name) {
        if let Some(room) = self.room() {
            *room = name;
            self.len += 8 - u64::from_le_bytes(name).leading_zeros() as usize / 8;
        }
    }

    /// Appends what stands before a member's value.
    #[inline(never)]
    pub(crate) fn name(&mut self, name: &[u8]) {
        self.byte(b',');
        self.string(Body::Plain(name));
        self.byte(b':');
    }

    /// Appends a text in quotes.
    #[inline(never)]
    pub(crate) fn string(&mut self, body: Body<'_>) {
        self.byte(b'"');
        self.decoded(body);
        self.byte(b'"');
    }

    #[inline(always)]
    pub(crate) fn byte(&mut self, byte: u8) {
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

    fn decoded(&mut self, body: Body<'_>) {
        let mut bytes = Decoded::new(body);
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
    use crate::limits::{LINE_BYTES_MAX, RECORD_BYTES_MAX, TAGS_MAX};
    use crate::tags::Fact;
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
        encode_with(&mut Encoder::new(Extra::default()), bytes)
    }

    fn encode_with(encoder: &mut Encoder, bytes: &[u8]) -> String {
        let record = Record::parse(bytes).unwrap_or_else(|| Record::broken(bytes));
        let mut out = vec![0; encoder.bytes_max(&record)];
        let len = encoder.encode(&mut out, &record, BOOT);
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

    fn with_tags(extra: Extra, words: [&str; 2], facts: &Facts) -> Encoder {
        let mut encoder = Encoder::new(extra);
        assert_eq!(encoder.set(extra, words.map(str::as_bytes), facts), 0);
        encoder
    }

    #[test]
    fn tags_are_members_sorted_by_name() {
        let mut facts = Facts::NONE;
        facts.set(Fact::HOSTNAME, b"node\xff\"7");
        let mut encoder = with_tags(
            Extra::default(),
            ["zone=z,host={hostname}", "0=,n=a%0a,n=later,msg-id=%22,Z=u%c3%a9"],
            &facts,
        );
        assert_eq!(
            encode_with(&mut encoder, b"12,711,6252819,-,caller=T1;hi\n SUBSYSTEM=pci\n"),
            "{\"0\":\"\",\"Z\":\"u\u{e9}\",\"clock\":6252819,\"facility\":\"user\",\"host\":\"node\u{fffd}\\\"7\",\
             \"msg\":\"hi\\n SUBSYSTEM=pci\\n\",\"msg-id\":\"\\\"\",\"n\":\"later\",\"priority\":\"warning\",\"seq\":711,\
             \"talos-level\":\"warn\",\"talos-time\":\"2021-11-26T16:53:21.252819Z\",\"zone\":\"z\"}"
        );
    }

    #[test]
    fn a_tag_takes_the_place_of_a_member() {
        let words =
            ["", "seq=s,clock=,facility=f,msg=m,priority=p,talos-level=l,talos-time=t,caller=c,DEVICE=d"];
        let extra = Extra { caller: true, dict: true };
        let mut encoder = with_tags(extra, words, &Facts::NONE);
        assert_eq!(
            encode_with(&mut encoder, b"6,1,2,-,caller=T1;x\n DEVICE=+pci:1\n SUBSYSTEM=pci\n"),
            "{\"SUBSYSTEM\":\"pci\",\"DEVICE\":\"d\",\"caller\":\"c\",\"clock\":\"\",\"facility\":\"f\",\"msg\":\"m\",\
             \"priority\":\"p\",\"seq\":\"s\",\"talos-level\":\"l\",\"talos-time\":\"t\"}"
        );
    }

    #[test]
    fn tags_without_room_are_left_out() {
        let mut encoder = Encoder::new(Extra::default());
        let value = "x".repeat(100);
        let word = (0..TAGS_MAX).map(|at| format!("t{at:02}={value}")).collect::<Vec<_>>().join(",");
        let left_out = encoder.set(Extra::default(), [word.as_bytes(), b"a=b"], &Facts::NONE) as usize;
        let object = object(&encode_with(&mut encoder, b"6,1,2,-;x\n"));
        assert_eq!(object.len(), 7 + TAGS_MAX + 1 - left_out);
        assert!(object.contains_key("t00") && !object.contains_key("t15") && object.contains_key("a"));
        assert_eq!(encoder.set(Extra::default(), [b"a=b", b""], &Facts::NONE), 0, "set anew");
    }

    #[test]
    fn callers_and_dictionaries() {
        let all = Extra { caller: true, dict: true };
        let check = |extra, record: &str, want: &[(&str, &str)]| {
            let mut encoder = with_tags(extra, [""; 2], &Facts::NONE);
            let object = object(&encode_with(&mut encoder, record.as_bytes()));
            let more: Vec<(&str, &str)> = object
                .iter()
                .filter(|(name, _)| {
                    !MEMBERS[..2].contains(&name.as_str()) && !MEMBERS[3..].contains(&name.as_str())
                })
                .map(|(name, value)| (name.as_str(), value.as_str().expect("a text")))
                .collect();
            assert_eq!(more, want, "{record}");
        };
        let record = "6,1,2,-,caller=C10;x\\x0ay\n SUBSYSTEM=pci\n DEVICE=+pci:\\x41\"\n";
        check(
            all,
            record,
            &[("DEVICE", "+pci:A\""), ("SUBSYSTEM", "pci"), ("caller", "C10"), ("msg", "x\ny\n")],
        );
        let caller = Extra { caller: true, dict: false };
        let with_lines = "x\ny\n SUBSYSTEM=pci\n DEVICE=+pci:A\"\n";
        check(caller, record, &[("caller", "C10"), ("msg", with_lines)]);
        check(all, "6,1,2,-;x\n", &[("msg", "x\n")]);
        check(all, "6,1,2,c,new=1,caller=T1,more;x", &[("caller", "T1"), ("msg", "x")]);
        check(all, "6,1,2,-,caller=T\x01345678901234;x", &[("caller", "T\x013456789012"), ("msg", "x")]);
        check(all, "6,1,2,-;x\n A=\n", &[("A", ""), ("msg", "x\n")]);
        check(all, "6,1,2,-;x\n A=1\n\n", &[("msg", "x\n A=1\n\n")]);
        for odd in ["x\nA=1\n", "x\n A=1\n B\n", "x\n =1\n", "x\n msg=1\n", "x\n A\u{e9}=1\n", "x\n"] {
            check(all, &format!("6,1,2,-;{odd}"), &[("msg", odd)]);
        }
        check(all, "no record", &[("msg", "no record")]);
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
        let len = lost.encode(&mut Encoder::new(Extra::default()), &mut out, 1_000_000, BOOT);
        assert_eq!(
            core::str::from_utf8(&out[..len]).unwrap(),
            "{\"clock\":1000000,\"facility\":\"user\",\"msg\":\"earlykmsg: lost 5 records, seq 7-11: the ring was \
             overwritten\\n\",\"priority\":\"warning\",\"seq\":7,\"talos-level\":\"warn\",\
             \"talos-time\":\"2021-11-26T16:53:16Z\"}"
        );
        let all = Lost { from: 0, to: u64::MAX, why: "the ring was overwritten" };
        let len = all.encode(&mut Encoder::new(Extra::default()), &mut out, u64::MAX, WallOffset(i64::MAX));
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
