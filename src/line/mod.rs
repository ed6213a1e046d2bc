//! Records into lines, each in the format of its destination: [`json`] or [`syslog`].
//!
//! No name stands twice in a line: a tag takes the place of a caller or an entry of the dictionary with its name, and of
//! tags with the same name the last counts, those of one destination after those of all.

mod framing;
mod json;
mod loss;
/// What judges the messages, written apart from what makes them.
#[cfg(test)]
#[path = "../../fuzz/src/rfc5424.rs"]
#[allow(dead_code, unreachable_pub)] // the tests from outside use more of it
mod rfc5424;
mod syslog;
mod tagged;
mod writer;

use heapless::Vec;

pub use loss::{Fate, Loss, Records};

use crate::config::Extra;
use crate::config::endpoint::{Format, Transport};
use crate::config::tags::{Fact, Facts};
use crate::limits::{
    ESCAPE_BYTES_MAX, FACT_BYTES_MAX, LINE_FIXED_BYTES_MAX, PSTORE_MEMBER_BYTES_MAX, SYSLOG_FIXED_BYTES_MAX,
    SYSLOG_TEXT_BYTES_MAX,
};
use crate::pstore::KeptLine;
use crate::record::clock::{TimeText, WallOffset};
use crate::record::{Body, Dictionary, Record};
use crate::text::as_str;
use framing::Framing;
use tagged::Tags;
use writer::Writer;

/// Writes the lines of one destination.
#[derive(Debug)]
pub struct Encoder {
    format: Format,
    framing: Framing,
    time: TimeText,
    extra: Extra,
    tags: Tags,
    /// The machine's name, as syslog has it; empty: unknown.
    hostname: Vec<u8, FACT_BYTES_MAX>,
}

impl Encoder {
    /// JSON, without tags and extras, one object a datagram.
    pub const NONE: Encoder = Encoder {
        format: Format::Json,
        framing: Framing::Datagram,
        time: TimeText::NONE,
        extra: Extra { caller: false, dict: false },
        tags: Tags::NONE,
        hostname: Vec::new(),
    };

    /// The same with those extras that are asked for.
    pub fn new(extra: Extra) -> Encoder {
        Encoder { extra, ..Encoder::NONE }
    }

    /// Lines of this format from now on, as they are sent by this transport. Tags are to be set after that.
    pub fn set_format(&mut self, format: Format, transport: Transport) {
        self.format = format;
        self.framing = Framing::new(format, transport);
    }

    /// Sets the extras, the tags and the machine's name anew. `words` are the tags of all destinations and those of this
    /// one. Returns how many tags are left out: they have no room, or a name that syslog does not allow.
    pub fn set(&mut self, extra: Extra, words: [&[u8]; 2], facts: &Facts) -> u64 {
        self.extra = extra;
        self.hostname.clear();
        let name = facts.get(Fact::Hostname);
        if name.iter().all(u8::is_ascii_graphic) {
            let _ = self.hostname.extend_from_slice(name); // a fact has no more bytes
        }
        self.tags.set(self.format, words, facts)
    }

    /// The bytes that the line of `record` takes at most.
    pub fn bytes_max(&self, record: &Record<'_>) -> usize {
        let text = record.body.bytes().len();
        let line = match self.format {
            Format::Json => text * ESCAPE_BYTES_MAX + LINE_FIXED_BYTES_MAX,
            Format::Syslog => text * SYSLOG_TEXT_BYTES_MAX + SYSLOG_FIXED_BYTES_MAX,
        };
        line + self.tags.text().len() + self.framing.bytes_max()
    }

    /// Writes the line of `record` to the beginning of `out`, and returns its length. `None` when it does not fit, which
    /// cannot be when `out` has [`Encoder::bytes_max`].
    pub fn encode(&mut self, out: &mut [u8], record: &Record<'_>, wall: WallOffset) -> Option<usize> {
        let (mut record, mut dictionary) = (*record, Dictionary::EMPTY);
        let splits = match self.format {
            Format::Json => self.extra.dict,
            Format::Syslog => true,
        };
        if splits && let Some(split) = record.split_dictionary() {
            (record.body, dictionary) = split;
        }
        let caller = if self.extra.caller { record.caller() } else { None };
        self.write(out, &record, Members { caller, dictionary, ..Members::NONE }, wall)
    }

    /// The bytes that the line takes at most that is made of one that pstore kept.
    pub fn kept_bytes_max(&self, line: &KeptLine<'_>) -> usize {
        self.bytes_max(&line.record) + PSTORE_MEMBER_BYTES_MAX
    }

    /// Writes the line of one that pstore kept, as [`Encoder::encode`] does. Tags that describe this boot are left out.
    pub fn encode_kept(&mut self, out: &mut [u8], line: &KeptLine<'_>) -> Option<usize> {
        let own = Some(("pstore", as_str(line.origin)));
        self.write(out, &line.record, Members { own, is_of_earlier_boot: true, ..Members::NONE }, line.wall)
    }

    fn write(
        &mut self,
        out: &mut [u8],
        record: &Record<'_>,
        members: Members<'_>,
        wall: WallOffset,
    ) -> Option<usize> {
        let (second, micros) = wall.wall(record.clock_us);
        let (time, hostname) = (self.time.text(second, micros), &self.hostname[..]);
        let line = Line { record, time, hostname, members, tags: &self.tags };
        self.framing.frame(out, |out| {
            let mut out = Writer::new(out);
            match self.format {
                Format::Json => json::write(&mut out, &line)?,
                Format::Syslog => syslog::write(&mut out, &line)?,
            }
            Some(out.len())
        })
    }
}

/// A record as its line has it.
struct Line<'a> {
    record: &'a Record<'a>,
    /// When it was written: `talos-time`, or the time stamp of syslog.
    time: &'a [u8],
    hostname: &'a [u8],
    members: Members<'a>,
    tags: &'a Tags,
}

impl Line<'_> {
    /// Gives to `write` one after the other the members that not every line has, but for the tags.
    fn each_member(&self, write: &mut dyn FnMut(&str, Body<'_>) -> Option<()>) -> Option<()> {
        let Members { own, caller, dictionary, .. } = self.members;
        if let Some((name, value)) = own {
            write(name, Body::Plain(value.as_bytes()))?;
        }
        if let Some(caller) = caller
            && !self.tags.has("caller")
        {
            write("caller", Body::Plain(caller))?;
        }
        for (name, value) in dictionary.entries().filter(|(name, _)| !self.tags.has(name)) {
            write(name, value)?;
        }
        Some(())
    }
}

/// What not every line has.
#[derive(Clone, Copy)]
struct Members<'a> {
    /// A name that no record and no tag can have, with its value, which needs no escape.
    own: Option<(&'static str, &'a str)>,
    caller: Option<&'a [u8]>,
    dictionary: Dictionary<'a>,
    /// It is not of this boot.
    is_of_earlier_boot: bool,
}

impl Members<'_> {
    const NONE: Members<'static> =
        Members { own: None, caller: None, dictionary: Dictionary::EMPTY, is_of_earlier_boot: false };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tags::{Fact, STANDARD_NAMES};
    use crate::limits::{LINE_BYTES_MAX, LOST_LINE_BYTES_MAX, RECORD_BYTES_MAX, TAGS_BYTES_MAX, TAGS_MAX};
    use crate::record::{Decoded, Level};
    use crate::testing::Random;
    use jzon::{JsonValue, object::Object};
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
        let len = encoder.encode(&mut out, &record, BOOT).expect("room");
        out.truncate(len);
        String::from_utf8(out).expect("UTF-8")
    }

    fn object(json: &str) -> Object {
        match jzon::parse(json) {
            Ok(JsonValue::Object(object)) => object,
            other => panic!("{json}: {other:?}"),
        }
    }

    fn names(object: &Object) -> impl Iterator<Item = &str> {
        object.iter().map(|(name, _)| name)
    }

    #[track_caller]
    fn check_golden(records: &[u8], lines: &str) {
        let mut lines = lines.lines();
        let mut count = 0;
        for record in records.split(|&b| b == 0).filter(|record| !record.is_empty()) {
            let (got, want) = (encode(record), lines.next().expect("a line for each record"));
            let (got, want) = (object(&got), object(want));
            assert_eq!(got, want);
            assert!(names(&got).eq(names(&want)), "the order of the members");
            count += 1;
        }
        assert_eq!(lines.next(), None);
        std::println!("{count} of {count} records equal");
    }

    #[test]
    fn these_names_are_no_tags() {
        assert_eq!(STANDARD_NAMES[..7], MEMBERS);
        assert_eq!(STANDARD_NAMES[7..], ["earlykmsg", "pstore"]);
    }

    #[test]
    fn golden_records_are_equal() {
        check_golden(
            include_bytes!("../../tests/data/boot.kmsg"),
            include_str!("../../tests/data/boot.jsonl"),
        );
        check_golden(
            include_bytes!("../../tests/data/edge.kmsg"),
            include_str!("../../tests/data/edge.jsonl"),
        );
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
    fn tags_stand_last_in_the_order_given() {
        let mut facts = Facts::NONE;
        facts.set(Fact::Hostname, b"node\xff\"7");
        let words = ["zone=z,host={hostname}", "0=,n=a%0a,n=later,msg-id=%22,Z=u%c3%a9"];
        let mut encoder = with_tags(Extra::default(), words, &facts);
        assert_eq!(
            encode_with(&mut encoder, b"12,711,6252819,-,caller=T1;hi\n SUBSYSTEM=pci\n"),
            "{\"clock\":6252819,\"facility\":\"user\",\"msg\":\"hi\\n SUBSYSTEM=pci\\n\",\"priority\":\"warning\",\
             \"seq\":711,\"talos-level\":\"warn\",\"talos-time\":\"2021-11-26T16:53:21.252819Z\",\"zone\":\"z\",\
             \"host\":\"node\u{fffd}\\\"7\",\"0\":\"\",\"n\":\"later\",\"msg-id\":\"\\\"\",\"Z\":\"u\u{e9}\"}"
        );
    }

    /// The members behind the seven.
    fn behind(line: &str) -> &str {
        let (_, behind) = line.split_once("Z\"").expect("a time");
        behind
    }

    /// A line that pstore kept says where it stood, and nothing of the boot of now.
    #[test]
    fn lines_of_earlier_boots() {
        let mut facts = Facts::NONE;
        facts.set(Fact::BootId, b"now");
        let words = ["site=z,boot={boot_id}", "of=%7Bkernel},pstore=forged,n=1"];
        let mut encoder = with_tags(Extra { caller: true, dict: true }, words, &facts);
        let line = KeptLine {
            record: Record {
                level: Level::ERR,
                facility: 0,
                seq: 7,
                clock_us: 5,
                more: b"-,caller=T1",
                body: Body::Plain(b"a\\\n"),
            },
            wall: BOOT,
            origin: b"dmesg-erst-1 Panic#1 Part2",
        };
        let mut out = vec![0; encoder.kept_bytes_max(&line)];
        let len = encoder.encode_kept(&mut out, &line).expect("room");
        assert_eq!(
            str::from_utf8(&out[..len]).unwrap().trim_end(),
            "{\"clock\":5,\"facility\":\"kern\",\"msg\":\"a\\\\\\n\",\"priority\":\"err\",\"seq\":7,\"talos-level\":\"error\",\
             \"talos-time\":\"2021-11-26T16:53:15.000005Z\",\"pstore\":\"dmesg-erst-1 Panic#1 Part2\",\"site\":\"z\",\"n\":\"1\"}"
        );
        // A record has all tags, and no such member.
        assert_eq!(
            behind(&encode_with(&mut encoder, b"6,1,2,-;x\n")),
            ",\"site\":\"z\",\"boot\":\"now\",\"of\":\"\",\"n\":\"1\"}"
        );
        encoder.set_format(Format::Syslog, Transport::Udp);
        encoder.set(Extra::default(), words.map(str::as_bytes), &facts);
        let len = encoder.encode_kept(&mut out, &line).expect("room");
        assert_eq!(
            str::from_utf8(&out[..len]).unwrap().trim_end(),
            "<3>1 2021-11-26T16:53:15.000005Z - kernel - - [meta sequenceId=\"8\" sysUpTime=\"0\"]\
             [earlykmsg@32473 seq=\"7\" clock=\"5\" pstore=\"dmesg-erst-1 Panic#1 Part2\" site=\"z\" n=\"1\"] a\\"
        );
    }

    #[test]
    fn no_name_stands_twice() {
        let words = ["a=all,b=all,a=later", "DEVICE=d,b=own,caller=c,\u{e9}=1"];
        let extra = Extra { caller: true, dict: true };
        let mut encoder = with_tags(extra, words, &Facts::NONE);
        let record = b"6,1,2,-,caller=T1;x\n SUBSYSTEM=pci\n DEVICE=+pci:1\n SUBSYSTEM=usb\n";
        assert_eq!(
            behind(&encode_with(&mut encoder, record)),
            ",\"SUBSYSTEM\":\"pci\",\"a\":\"later\",\"DEVICE\":\"d\",\"b\":\"own\",\"caller\":\"c\",\"\u{e9}\":\"1\"}"
        );
        // Two names of bytes that a receiver cannot tell apart.
        encoder.set(extra, [b"\xff=1,x=2", b"\xfe=3"], &Facts::NONE);
        assert_eq!(behind(&encode_with(&mut encoder, b"6,1,2,-;x")), ",\"x\":\"2\",\"\u{fffd}\":\"3\"}");
    }

    #[test]
    fn no_tag_takes_the_place_of_a_standard_member() {
        let word = STANDARD_NAMES.map(|name| format!("{name}=forged")).join(",");
        let mut encoder = with_tags(Extra::default(), [&word, &word], &Facts::NONE);
        assert_eq!(encode_with(&mut encoder, b"6,1,2,-;x\n"), encode(b"6,1,2,-;x\n"));
    }

    #[test]
    fn tags_without_room_are_left_out() {
        let mut encoder = Encoder::new(Extra::default());
        let value = "x".repeat(100);
        let word = (0..TAGS_MAX).map(|at| format!("t{at:02}={value}")).collect::<Vec<_>>().join(",");
        let left_out = encoder.set(Extra::default(), [word.as_bytes(), b"a=b"], &Facts::NONE) as usize;
        let line = encode_with(&mut encoder, b"6,1,2,-;x\n");
        let object = object(&line);
        assert_eq!(object.len(), 7 + TAGS_MAX + 1 - left_out);
        let has = |name| object.get(name).is_some();
        assert!(has("t08") && !has("t09") && has("a"));
        assert!(behind(&line).len() - 1 <= TAGS_BYTES_MAX);
        // To the byte: a comma, two names and values in quotes, a colon.
        for (value, left_out) in [(TAGS_BYTES_MAX - ",\"n\":\"\"".len(), 0), (TAGS_BYTES_MAX - 6, 1)] {
            let word = format!("n={}", "x".repeat(value));
            assert_eq!(encoder.set(Extra::default(), [b"", word.as_bytes()], &Facts::NONE), left_out);
            let bytes = behind(&encode_with(&mut encoder, b"6,1,2,-;x\n")).len() - 1;
            assert_eq!(bytes, if left_out == 0 { TAGS_BYTES_MAX } else { 0 });
        }
        assert_eq!(encoder.set(Extra::default(), [b"a=b", b""], &Facts::NONE), 0, "set anew");
        // The punctuation of each tag counts.
        let room = TAGS_BYTES_MAX - ",\"a\":\"b\",\"c\":\"d\",\"n\":\"\"".len();
        for (value, left_out) in [(room, 0), (room + 1, 1)] {
            let word = format!("c=d,n={}", "x".repeat(value));
            assert_eq!(encoder.set(Extra::default(), [b"a=b", word.as_bytes()], &Facts::NONE), left_out);
        }
    }

    #[test]
    fn all_tags_of_both_arguments_have_a_place() {
        let word = |kind| (0..TAGS_MAX).map(|at| format!("{kind}{at}=")).collect::<Vec<_>>().join(",");
        let mut encoder = with_tags(Extra::default(), [&word('a'), &word('b')], &Facts::NONE);
        assert_eq!(object(&encode_with(&mut encoder, b"6,1,2,-;x\n")).len(), 7 + 2 * TAGS_MAX);
    }

    #[test]
    fn callers_and_dictionaries() {
        let all = Extra { caller: true, dict: true };
        let check = |extra, record: &str, want: &[(&str, &str)]| {
            let mut encoder = with_tags(extra, [""; 2], &Facts::NONE);
            let object = object(&encode_with(&mut encoder, record.as_bytes()));
            let more: Vec<(&str, &str)> = object
                .iter()
                .filter(|(name, _)| !MEMBERS[..2].contains(name) && !MEMBERS[3..].contains(name))
                .map(|(name, value)| (name, value.as_str().expect("a text")))
                .collect();
            assert_eq!(more, want, "{record}");
        };
        let record = "6,1,2,-,caller=C10;x\\x0ay\n SUBSYSTEM=pci\n DEVICE=+pci:\\x41\"\n";
        check(
            all,
            record,
            &[("msg", "x\ny\n"), ("caller", "C10"), ("SUBSYSTEM", "pci"), ("DEVICE", "+pci:A\"")],
        );
        let caller = Extra { caller: true, dict: false };
        let with_lines = "x\ny\n SUBSYSTEM=pci\n DEVICE=+pci:A\"\n";
        check(caller, record, &[("msg", with_lines), ("caller", "C10")]);
        check(all, "6,1,2,-;x\n", &[("msg", "x\n")]);
        check(all, "6,1,2,c,new=1,caller=T1,more;x", &[("msg", "x"), ("caller", "T1")]);
        check(all, "6,1,2,-,caller=T\x01345678901234;x", &[("msg", "x"), ("caller", "T\x013456789012")]);
        check(all, "6,1,2,-;x\n A=\n", &[("msg", "x\n"), ("A", "")]);
        check(all, "6,1,2,-;x\n A=1\n\n", &[("msg", "x\n A=1\n\n")]);
        for odd in [
            "x\nA=1\n",
            "x\n A=1\n B\n",
            "x\n =1\n",
            "x\n msg=1\n",
            "x\n earlykmsg=lost\n",
            "x\n A\u{e9}=1\n",
            "x\n",
        ] {
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

    #[track_caller]
    fn check_report(encode: impl Fn(&mut Encoder, &mut [u8]) -> Option<usize>, want: &str) {
        let mut encoder = Encoder::new(Extra { caller: true, dict: true });
        let mut out = [0; LOST_LINE_BYTES_MAX];
        let len = encode(&mut encoder, &mut out).unwrap();
        assert_eq!(core::str::from_utf8(&out[..len]).unwrap(), want);
        // With as many tags as there can be.
        let word = format!("n={}", "x".repeat(TAGS_BYTES_MAX - ",\"n\":\"\"".len()));
        assert_eq!(encoder.set(Extra::default(), [b"", word.as_bytes()], &Facts::NONE), 0);
        let len = encode(&mut encoder, &mut out).unwrap();
        assert_eq!(object(core::str::from_utf8(&out[..len]).unwrap()).len(), 9);
    }

    #[test]
    fn reports_of_losses_have_a_member_of_their_own() {
        check_report(
            |encoder, out| {
                let loss = Loss { from: 7, to: 11, fate: Fate::Lost { why: "the ring was overwritten" } };
                loss.encode(encoder, out, 1_000_000, BOOT)
            },
            "{\"clock\":1000000,\"facility\":\"user\",\"msg\":\"earlykmsg: lost 5 records, seq 7-11: the ring was \
             overwritten\\n\",\"priority\":\"warning\",\"seq\":7,\"talos-level\":\"warn\",\
             \"talos-time\":\"2021-11-26T16:53:16Z\",\"earlykmsg\":\"lost\"}",
        );
        check_report(
            |encoder, out| Loss { from: 7, to: 7, fate: Fate::PossiblyLost }.encode(encoder, out, 0, BOOT),
            "{\"clock\":0,\"facility\":\"user\",\"msg\":\"earlykmsg: 1 record, seq 7-7, possibly lost: sent, but perhaps \
             not read\\n\",\"priority\":\"warning\",\"seq\":7,\"talos-level\":\"warn\",\
             \"talos-time\":\"2021-11-26T16:53:15Z\",\"earlykmsg\":\"possibly-lost\"}",
        );
        let mut out = [0; LOST_LINE_BYTES_MAX];
        let all = Loss { from: 0, to: u64::MAX, fate: Fate::Lost { why: "w".repeat(100).leak() } };
        let len = all
            .encode(&mut Encoder::new(Extra::default()), &mut out, u64::MAX, WallOffset(i64::MAX))
            .unwrap();
        let object = object(core::str::from_utf8(&out[..len]).unwrap());
        assert!(object["msg"].as_str().unwrap().ends_with("wwww\n"));
    }

    /// Whatever stands in a record, its object has no member `earlykmsg`.
    #[test]
    fn no_record_can_look_like_a_report() {
        let mut encoder = with_tags(Extra { caller: true, dict: true }, ["earlykmsg=lost", ""], &Facts::NONE);
        for record in [
            "12,7,1,-;earlykmsg: lost 5 records, seq 7-11: the ring was overwritten\n",
            "12,7,1,-;x\n earlykmsg=lost\n",
            "12,7,1,-,caller=T1,earlykmsg=lost;x\",\"earlykmsg\":\"lost\n",
        ] {
            assert!(object(&encode_with(&mut encoder, record.as_bytes())).get("earlykmsg").is_none());
        }
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
            assert!(names(&object).eq(MEMBERS));
            match Record::parse(&bytes).map(|record| record.body) {
                Some(Body::Escaped { text, .. }) => {
                    assert_eq!(object["msg"].as_str(), Some(&model(text)[..]));
                }
                _ => assert_eq!(object["priority"], "err"),
            }
        }
    }

    /// The worst that a record can be, with the most that can be asked for.
    #[test]
    fn the_largest_record_fits() {
        let tag = format!("n={}", "x".repeat(TAGS_BYTES_MAX - ",\"n\":\"\"".len()));
        let number = u64::MAX.to_string();
        let prefix = format!("{number},{number},{number},-,caller={};", "\x01".repeat(20));
        for fill in [&b"\\x01"[..], b"\"", b"\x01", b"\xff", b"\\xff", b"\\x", b"x", b"\n A=\x01", b"\n A="] {
            for prefix in ["", &prefix] {
                let mut bytes = prefix.to_string().into_bytes();
                while bytes.len() + fill.len() < RECORD_BYTES_MAX {
                    bytes.extend_from_slice(fill);
                }
                bytes.resize(RECORD_BYTES_MAX - 1, b'"');
                bytes.push(b'\n');
                let line = encode(&bytes);
                assert!(names(&object(&line)).eq(MEMBERS));
                let mut encoder = with_tags(Extra { caller: true, dict: true }, [&tag, ""], &Facts::NONE);
                let line = encode_with(&mut encoder, &bytes);
                assert!(line.len() <= LINE_BYTES_MAX);
                assert!(object(&line).get("n").is_some());
            }
        }
    }

    #[test]
    fn what_an_object_takes_at_most() {
        let record = Record::parse(b"6,1,2,-;1234567890").unwrap();
        let bytes = 10 * ESCAPE_BYTES_MAX + LINE_FIXED_BYTES_MAX;
        assert_eq!(Encoder::NONE.bytes_max(&record), bytes);
        let encoder = with_tags(Extra::default(), ["a=b", "c=d"], &Facts::NONE);
        assert_eq!(encoder.bytes_max(&record), bytes + ",\"a\":\"b\",\"c\":\"d\"".len());
    }

    /// Where there is too little room nothing is written, and the caller learns that.
    #[test]
    fn what_does_not_fit_is_told() {
        let record = Record::parse(b"12,711,6252819,-;text\n").unwrap();
        let mut encoder = Encoder::new(Extra::default());
        let mut out = [0; 512];
        let len = encoder.encode(&mut out, &record, BOOT).expect("room");
        assert_eq!(encoder.encode(&mut out[..len], &record, BOOT), Some(len));
        for room in 0..len {
            assert_eq!(encoder.encode(&mut out[..room], &record, BOOT), None, "{room}");
        }
    }
}
