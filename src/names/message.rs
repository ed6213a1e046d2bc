//! The messages of DNS: one question, and what of an answer to it can be believed. Pure.
//!
//! By hand instead of smoltcp's `wire`, which takes 2.6 KiB, knows no OPT record and leaves the aliases to its
//! caller. Every byte is read through `Reader`, which cannot leave the message; a name's pointer must point before
//! the name, so that there is no way round.

use super::{Bytes, Found, cut, line};
use crate::address::Address;
use crate::endpoint::same_name;
use crate::limits::{ANSWER_BYTES_MAX, CHAIN_MAX, LABEL_BYTES_MAX, WIRE_NAME_BYTES_MAX};

/// A name as messages have it: labels, each after its length, an empty one last; all in lower case.
pub type Name = Bytes;

/// The kinds of record that are asked for: A and AAAA.
pub(super) const KINDS: [u8; 2] = [1, 28];
const CNAME: u32 = 5;
const INTERNET: u32 = 1;
const KIND_A: u32 = 1 << 16 | INTERNET;

/// Of the header: that it is the answer to a plain query; where it may say more; that some of it is missing.
const ANSWER: u32 = 0x8000;
/// See `ANSWER`.
const MORE: u32 = 0x07ff;
/// See `ANSWER`.
const TRUNCATED: u32 = 0x0200;

/// What became of a question, the better before the worse.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Said {
    /// Not asked yet.
    Nothing,
    /// Addresses.
    Addresses,
    /// The name has none of that family.
    NoAddress,
    /// There is no such name.
    NoName,
    /// Another name, which must be asked for in its turn.
    Alias,
    /// Nothing, in time.
    Silent,
    /// It did not fit into a datagram, and came over TCP not yet or not at all.
    Truncated,
    /// SERVFAIL.
    ServFail,
    /// REFUSED.
    Refused,
    /// Another error code.
    Error,
    /// What is no answer, or is broken.
    Garbage,
    /// Only what answers another question.
    Strange,
    /// Nobody listens there.
    Closed,
    /// It cannot be reached.
    Unreachable,
}

/// A line for each of [`Said`]: one text costs fewer bytes than a table of them.
const WORDS: &[u8] = b"not asked
has an answer
no address
NXDOMAIN
aliases without end
silent
truncated and silent over TCP
SERVFAIL
REFUSED
an error code
garbage
answers something else
nobody listens
unreachable";

impl Said {
    /// What the operator reads after the server's address.
    pub fn words(self) -> &'static [u8] {
        let mut rest = WORDS;
        for _ in 0..self as u8 {
            line(&mut rest);
        }
        line(&mut rest).unwrap_or_default()
    }
}

/// What the codes of an answer mean; beyond, they are errors too.
const CODES: [Said; 6] =
    [Said::NoAddress, Said::Error, Said::ServFail, Said::NoName, Said::Error, Said::Refused];

/// Adds the labels of a dotted text to a name, which is not ended by that. Returns whether they are such.
pub(super) fn labels(name: &mut Name, mut text: &[u8]) -> bool {
    while !text.is_empty() {
        let label = cut(&mut text, b'.');
        if label.is_empty() || !add_label(name, label) {
            return false;
        }
    }
    true
}

/// Adds one label, if it fits; an empty one ends the name.
pub(super) fn add_label(name: &mut Name, label: &[u8]) -> bool {
    let fits = label.len() <= LABEL_BYTES_MAX && name.len() + label.len() < WIRE_NAME_BYTES_MAX;
    if fits {
        let _ = name.push(label.len() as u8);
        for byte in label {
            let _ = name.push(byte.to_ascii_lowercase());
        }
    }
    fits
}

/// Writes a query for the addresses of `name`: two bytes of length, as TCP needs, then the message. A `plain` one
/// does not say that long answers are welcome (EDNS), which some servers do not understand.
pub(super) fn query(out: &mut Bytes, id: u16, name: &Name, kind: u8, plain: bool) {
    let [high, low] = id.to_be_bytes();
    let length = name.len() + if plain { 16 } else { 27 };
    let [edns_high, edns_low] = (ANSWER_BYTES_MAX as u16).to_be_bytes();
    out.clear();
    // It all fits: the capacity is that of the longest name. The 1 in the middle is for recursion, the next for one
    // question.
    let head = [(length >> 8) as u8, length as u8, high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(!plain)];
    let _ = out.extend_from_slice(&head);
    let _ = out.extend_from_slice(name);
    let tail = [0, kind, 0, INTERNET as u8, 0, 0, 41, edns_high, edns_low, 0, 0, 0, 0, 0, 0];
    let _ = out.extend_from_slice(if plain { &tail[..4] } else { &tail });
}

/// Reads the answer to [`query`]. Its addresses go into `found`; for [`Said::Alias`], `target` becomes the name to ask
/// for next. [`Said::Strange`]: it is the answer to another question, or none.
///
/// An answer whose end is missing or broken is good for the addresses before that. Where addresses were found before,
/// there is nothing more to ask for.
#[inline(never)]
pub(super) fn read(
    message: &[u8],
    id: u16,
    name: &Name,
    kind: u8,
    found: &mut Found,
    target: &mut Name,
) -> Said {
    let mut reader = Reader { message, at: 0, broken: false };
    let kind = u32::from(kind) << 16 | INTERNET;
    let first = reader.number(4) ^ u32::from(id) << 16;
    let counts = reader.number(4);
    reader.take(4);
    let ours = same_name(reader.take(name.len()), name);
    if reader.number(4) != kind || !ours || counts >> 16 != 1 || first & !MORE != ANSWER {
        return Said::Strange;
    }
    let code = CODES.get((first & 15) as usize).copied().unwrap_or(Said::Error);
    if code != Said::NoAddress {
        return code;
    }
    let records = reader.at;
    let mut alias = name.clone();
    // One pass for all aliases that stand in the order of the chain, one more for each that does not.
    for _ in 0..CHAIN_MAX {
        let mut moved = false;
        let mut left = counts & 0xffff;
        reader.at = records;
        while left > 0 && !reader.broken {
            moved |= reader.record(&mut alias, kind, found);
            left -= 1;
        }
        if !moved || reader.broken {
            break;
        }
    }
    if first & TRUNCATED != 0 {
        Said::Truncated
    } else if !found.is_empty() {
        Said::Addresses
    } else if reader.broken {
        Said::Garbage
    } else if alias[..] != name[..] {
        *target = alias;
        Said::Alias
    } else {
        Said::NoAddress
    }
}

/// A place in a message.
struct Reader<'a> {
    message: &'a [u8],
    at: usize,
    /// Something was not as it must be. All that is read from then on is worth nothing.
    broken: bool,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let bytes = self.message.get(self.at..).and_then(|rest| rest.get(..length));
        self.broken |= bytes.is_none();
        let bytes = bytes.unwrap_or_default();
        self.at += bytes.len();
        bytes
    }

    /// A number of up to four bytes.
    fn number(&mut self, length: usize) -> u32 {
        self.take(length).iter().fold(0, |value, &byte| value << 8 | u32::from(byte))
    }

    /// Reads a name, followed to wherever it points.
    fn name(&mut self, name: &mut Name) {
        name.clear();
        let mut start = self.at;
        let mut behind = 0;
        // Every round goes on in the message, or back to before where the last began, or ends it.
        loop {
            let length = self.number(1) as usize;
            if length >= 0xc0 {
                let target = (length & 0x3f) << 8 | self.number(1) as usize;
                if behind == 0 {
                    behind = self.at;
                }
                if target < start {
                    (start, self.at) = (target, target);
                    continue;
                }
                self.broken = true;
            }
            self.broken |= !add_label(name, self.take(length));
            if self.broken || length == 0 {
                break;
            }
        }
        if behind != 0 {
            self.at = behind;
        }
    }

    /// One record. What belongs to `alias` counts: an address of the `kind`, or another alias, for which it returns
    /// true.
    #[inline(never)]
    fn record(&mut self, alias: &mut Name, kind: u32, found: &mut Found) -> bool {
        let mut owner = Name::new();
        self.name(&mut owner);
        let what = self.number(4);
        let ttl_s = self.number(4);
        let length = self.number(2) as usize;
        let start = self.at;
        let data = self.take(length);
        if self.broken || owner[..] != alias[..] {
            return false;
        }
        let is_alias = what == CNAME << 16 | INTERNET;
        if is_alias {
            let end = self.at;
            self.at = start;
            self.name(alias);
            self.at = end;
        } else if what == kind {
            self.broken = length != if kind == KIND_A { 4 } else { 16 };
            if !self.broken {
                found.add(Address::of(data));
            }
        } else {
            return false;
        }
        if !self.broken {
            // One with its highest bit set holds for no time.
            found.ttl_s = found.ttl_s.min((ttl_s as i32).max(0) as u32);
        }
        is_alias
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{address, answer, line_record, record, wire};
    use super::*;
    use crate::limits::QUERY_BYTES_MAX;
    use crate::testing::Random;
    use std::format;
    use std::vec;
    use std::vec::Vec;

    fn name(text: &str) -> Name {
        let mut name = Name::new();
        assert!(labels(&mut name, text.as_bytes()) && add_label(&mut name, b""), "{text}");
        name
    }

    /// A query without TCP's length.
    fn asked(text: &str, kind: u8, plain: bool) -> Vec<u8> {
        let mut out = Bytes::new();
        query(&mut out, 0x1234, &name(text), kind, plain);
        assert_eq!(usize::from(u16::from_be_bytes([out[0], out[1]])), out.len() - 2);
        out[2..].to_vec()
    }

    #[test]
    fn a_query_as_it_goes_out() {
        let head = b"\x12\x34\x01\0\0\x01\0\0\0\0\0";
        let question = b"\x03www\x07example\x03org\0\0\x1c\0\x01";
        let edns = b"\0\0\x29\x04\xd0\0\0\0\0\0\0";
        assert_eq!(asked("WWW.example.org.", 28, false), [&head[..], b"\x01", question, edns].concat());
        assert_eq!(asked("www.Example.org", 28, true), [&head[..], b"\0", question].concat());
        let longest = format!("{}.{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61));
        assert_eq!(asked(&longest, 1, false).len() + 2, QUERY_BYTES_MAX);
    }

    #[test]
    fn texts_that_are_no_names() {
        for wrong in ["..", ".a", "a..b", &"a".repeat(64), &"a.".repeat(128)] {
            assert!(!labels(&mut Name::new(), wrong.as_bytes()), "{wrong}");
        }
    }

    /// What an answer for www's A records comes to.
    #[track_caller]
    fn check(message: &[u8], said: Said, addresses: &[&str], target: &str) -> Found {
        let (mut found, mut to) = (Found::nothing(), Name::new());
        let got = read(message, 0x1234, &name("www"), 1, &mut found, &mut to);
        let all: Vec<Address> = (0..).map_while(|n| found.nth(n)).collect();
        let want: Vec<Address> = addresses.iter().map(|text| address(text)).collect();
        assert_eq!((got, all), (said, want));
        assert_eq!(&to[..], if target.is_empty() { vec![] } else { wire(target) });
        found
    }

    fn lines(lines: &[&str]) -> Vec<u8> {
        let records: Vec<Vec<u8>> = lines.iter().map(|line| line_record(line)).collect();
        answer(&asked("www", 1, false), 0, &records)
    }

    /// An answer of these records, each with the name that was asked for, by pointer.
    fn raw(records: &[(u16, u16, u32, &[u8])]) -> Vec<u8> {
        let of =
            |&(kind, class, ttl, data): &(u16, u16, u32, &[u8])| record(b"\xc0\x0c", kind, class, ttl, data);
        answer(&asked("www", 1, false), 0, &records.iter().map(of).collect::<Vec<_>>())
    }

    #[test]
    fn good_answers() {
        check(&lines(&["www A 10.0.0.1"]), Said::Addresses, &["10.0.0.1"], "");
        check(&lines(&["wWw A 10.0.0.1", "WWW A 10.0.0.2"]), Said::Addresses, &["10.0.0.1", "10.0.0.2"], "");
        check(&raw(&[(1, 1, 60, &[10, 0, 0, 1])]), Said::Addresses, &["10.0.0.1"], "");
        check(&lines(&["www CNAME a", "a CNAME b.c", "b.c A 10.0.0.1"]), Said::Addresses, &["10.0.0.1"], "");
        // The same in an order that nobody sends.
        check(&lines(&["b.c A 10.0.0.1", "a CNAME b.c", "www CNAME a"]), Said::Addresses, &["10.0.0.1"], "");
        // Others' records do not count.
        check(
            &lines(&["w A 10.0.0.9", "www A 10.0.0.1", "www.a A 10.0.0.8"]),
            Said::Addresses,
            &["10.0.0.1"],
            "",
        );
        // An OPT record and other bytes behind.
        let mut long = lines(&["www A 10.0.0.1"]);
        long[11] = 1;
        long.extend(b"\0\0\x29\x04\xd0\0\0\0\0\0\0 and more");
        check(&long, Said::Addresses, &["10.0.0.1"], "");
        // Where an OPT record must not stand.
        let opt = record(b"\0", 41, 1232, 0, b"");
        let both = answer(&asked("www", 1, false), 0, &[opt, line_record("www A 10.0.0.1")]);
        check(&both, Said::Addresses, &["10.0.0.1"], "");
        let thirty: Vec<Vec<u8>> = (0..30).map(|n| line_record(&format!("www A 10.0.0.{n}"))).collect();
        let eight =
            ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7"];
        check(&answer(&asked("www", 1, false), 0, &thirty), Said::Addresses, &eight, "");
    }

    #[test]
    fn aliases_that_lead_out_of_the_answer() {
        check(&lines(&["www CNAME a.b"]), Said::Alias, &[], "a.b");
        check(&lines(&["x CNAME y", "WWW CNAME x"]), Said::Alias, &[], "y");
        // Ten of them are followed, whatever their order.
        let chain = |n: usize| if n == 0 { "www CNAME a1".into() } else { format!("a{n} CNAME a{}", n + 1) };
        let mut records: Vec<Vec<u8>> = (0..10).map(|n| line_record(&chain(n))).collect();
        check(&answer(&asked("www", 1, false), 0, &records), Said::Alias, &[], "a10");
        records.reverse();
        check(&answer(&asked("www", 1, false), 0, &records), Said::Alias, &[], "a10");
        // A ring of them ends somewhere.
        let (mut found, mut target) = (Found::nothing(), Name::new());
        let ring = lines(&["www CNAME a", "a CNAME b", "b CNAME a"]);
        assert_eq!(read(&ring, 0x1234, &name("www"), 1, &mut found, &mut target), Said::Alias);
        check(&lines(&["www CNAME www"]), Said::NoAddress, &[], "");
    }

    #[test]
    fn how_long_they_hold() {
        let four = |n| [10, 0, 0, n];
        let ttl = |records: &[(u16, u16, u32, &[u8])]| {
            check(&raw(records), Said::Addresses, &["10.0.0.1"], "").ttl_s
        };
        assert_eq!(ttl(&[(1, 1, 0, &four(1))]), 0);
        assert_eq!(ttl(&[(1, 1, 60, &four(1)), (1, 1, 30, &four(1))]), 30);
        assert_eq!(ttl(&[(1, 1, 0x7fff_ffff, &four(1))]), 0x7fff_ffff);
        assert_eq!(ttl(&[(1, 1, 0x8000_0000, &four(1))]), 0);
        assert_eq!(ttl(&[(16, 1, 1, b"\0"), (1, 1, 60, &four(1))]), 60);
        let chain = [record(&wire("www"), 5, 1, 20, &wire("a")), line_record("a A 10.0.0.1")];
        let chain = answer(&asked("www", 1, false), 0, &chain);
        assert_eq!(check(&chain, Said::Addresses, &["10.0.0.1"], "").ttl_s, 20);
    }

    #[test]
    fn answers_that_are_none() {
        let good = lines(&["www A 10.0.0.1"]);
        let with = |at: usize, byte: u8| {
            let mut message = good.clone();
            message[at] = byte;
            message
        };
        for strange in [
            b"".to_vec(),
            b"x".to_vec(),
            good[..11].to_vec(),
            good[..20].to_vec(),
            with(0, 0x13), // another number
            with(2, 0x01), // a query
            with(2, 0x91), // another kind of message
            with(5, 0),    // no question
            with(5, 2),    // two
            with(12, 2),   // another name
            with(13, b'v'),
            with(18, 28),   // another kind
            with(20, 3),    // another class
            with(12, 0xc0), // the question is a pointer: into the header, to itself
            [&good[..12], b"\xc0\x0c\0\x01\0\x01"].concat(),
        ] {
            check(&strange, Said::Strange, &[], "");
        }
        for (code, said) in [
            (1, Said::Error),
            (2, Said::ServFail),
            (3, Said::NoName),
            (4, Said::Error),
            (5, Said::Refused),
            (15, Said::Error),
        ] {
            check(&with(3, 0x80 | code), said, &[], "");
        }
        check(&with(2, 0x83), Said::Truncated, &["10.0.0.1"], "");
    }

    #[test]
    fn records_that_are_broken() {
        let four = [10, 0, 0, 1];
        check(&raw(&[]), Said::NoAddress, &[], "");
        check(&raw(&[(1, 3, 60, &four)]), Said::NoAddress, &[], "");
        check(&raw(&[(28, 1, 60, &[1; 16])]), Said::NoAddress, &[], "");
        check(&raw(&[(16, 1, 60, &four)]), Said::NoAddress, &[], "");
        for length in [0, 3, 5, 16] {
            check(&raw(&[(1, 1, 60, &[1; 16][..length])]), Said::Garbage, &[], "");
        }
        // Aliases: a pointer forwards, to itself, out of the message, a label of a reserved kind,
        // one that is longer than its record, nothing at all.
        for alias in [
            &b"\xc0\xff"[..],
            b"\xff\xff",
            b"\xc0\x21",
            b"\xc0",
            b"\x80a\0",
            b"\x40a\0",
            b"\x01a",
            b"\x05a\0",
            b"",
        ] {
            check(&raw(&[(5, 1, 60, alias)]), Said::Garbage, &[], "");
        }
        // A name in a circle: its label, then a pointer to that label.
        check(&raw(&[(5, 1, 60, b"\x01a\xc0\x21")]), Said::Garbage, &[], "");
        // A name that pointers make longer than a name can be.
        let label = [&[63][..], &[b'a'; 63]].concat();
        let long = [&label[..], &label, &label, &label, b"\0"].concat();
        check(&raw(&[(5, 1, 60, &long)]), Said::Garbage, &[], "");
        // An owner like that.
        let owners = [record(b"\xc0\xff", 1, 1, 60, &four), line_record("www A 10.0.0.1")];
        check(&answer(&asked("www", 1, false), 0, &owners), Said::Garbage, &[], "");
        // More records are announced than are there, or the last one is cut: what is there counts.
        let mut lying = lines(&["www A 10.0.0.1"]);
        lying[6..8].fill(0xff);
        check(&lying, Said::Addresses, &["10.0.0.1"], "");
        let cut = lines(&["www A 10.0.0.1", "www A 10.0.0.2"]);
        check(&cut[..cut.len() - 1], Said::Addresses, &["10.0.0.1"], "");
        check(&lines(&["www A 10.0.0.1"])[..30], Said::Garbage, &[], "");
        // Fewer are announced than are there.
        let mut lying = lines(&["www A 10.0.0.1", "www A 10.0.0.2"]);
        lying[7] = 1;
        check(&lying, Said::Addresses, &["10.0.0.1"], "");
    }

    /// Whatever comes, reading ends, and nothing that is not in the message is found.
    #[test]
    fn any_bytes_are_an_answer() {
        let mut random = Random::new(4);
        let good =
            lines(&["www CNAME a.www", "a.www CNAME b", "x A 10.0.0.9", "b A 10.0.0.1", "b A 10.0.0.2"]);
        let spice = [0, 1, 5, 12, 28, 63, 64, 0xc0, 0xff];
        let mut right = 0;
        for _ in 0..60_000 {
            let mut message = good.clone();
            for _ in 0..random.below(6) {
                let at = random.below(message.len());
                message[at] =
                    if random.below(2) == 0 { random.byte() } else { spice[random.below(spice.len())] };
            }
            message.truncate(random.below(message.len() * 2) + 1);
            let (mut found, mut target) = (Found::nothing(), Name::new());
            let said = read(&message, 0x1234, &name("www"), 1, &mut found, &mut target);
            let all = (0..).map_while(|n| found.nth(n));
            for address in all {
                let bytes = address.as_v4().expect("only A was asked for");
                assert!(message.windows(4).any(|four| four == bytes));
            }
            assert_eq!(said == Said::Alias, !target.is_empty());
            right += usize::from(said == Said::Addresses);

            let noise: Vec<u8> = (0..random.below(100)).map(|_| random.byte()).collect();
            let mut message = good[..21].to_vec();
            message.extend(noise);
            read(&message, 0x1234, &name("www"), 1, &mut found, &mut target);
            read(&message[12..], 0x1234, &name("www"), 1, &mut found, &mut target);
        }
        assert!(right > 5_000, "{right}");
    }

    /// The most expensive answer that fits: a ring of aliases with names as long as they can be.
    #[test]
    fn the_worst_answer_costs_little() {
        let longest = format!("{}www", "a.".repeat(125));
        let mut records = vec![record(&wire("www"), 5, 1, 60, &wire(&longest))];
        while records.concat().len() < 4000 {
            records.push(record(&wire(&longest), 5, 1, 60, b"\xc0\x0c"));
            records.push(record(b"\xc0\x0c", 5, 1, 60, &wire(&longest)));
        }
        let message = answer(&asked("www", 1, false), 0, &records);
        let (mut found, mut target) = (Found::nothing(), Name::new());
        for _ in 0..100 {
            read(&message, 0x1234, &name("www"), 1, &mut found, &mut target);
        }
    }

    #[test]
    fn each_has_its_words() {
        assert_eq!(Said::Nothing.words(), b"not asked");
        assert_eq!(Said::Silent.words(), b"silent");
        assert_eq!(Said::ServFail.words(), b"SERVFAIL");
        assert_eq!(Said::Strange.words(), b"answers something else");
        assert_eq!(Said::Unreachable.words(), b"unreachable");
        assert_eq!(WORDS.split(|&byte| byte == b'\n').count(), Said::Unreachable as usize + 1);
    }
}
