//! `earlykmsg.tags=`: members of the user's own in every JSON object.
//!
//! ```text
//! site=ams3,uuid={uuid},note=rack%2012    tags with commas between them
//!      |         |           |
//!      text      a fact      %XX: a byte that a boot loader would choke on; %7Buuid%7D is {uuid}
//! ```
//!
//! What is wrong with a tag is found while the command line is read; the values are made anew whenever a fact changes.

use core::fmt::{self, Display};

use heapless::{Vec, VecView};

use crate::limits::{FACT_BYTES_MAX, TAGS_MAX};
use crate::text::split_once;

/// Names that no tag can have: those of the members that every object has, and those of the members by which a receiver
/// tells a report of lost records, and a line of an earlier boot, from a record.
pub const STANDARD_NAMES: [&str; 9] =
    ["clock", "facility", "msg", "priority", "seq", "talos-level", "talos-time", "earlykmsg", "pstore"];

/// One tag: the member's name, and what its value is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag<'a> {
    /// Not empty, and none of [`STANDARD_NAMES`].
    pub name: &'a [u8],
    value: &'a [u8],
}

/// What is wrong with a tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // the texts below explain them
pub enum TagError {
    NoName,
    StandardName,
    Percent,
    UnknownFact,
    TooMany,
}

impl Display for TagError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TagError::NoName => "must be NAME=VALUE",
            TagError::StandardName => "a standard field has this name",
            TagError::Percent => "two hexadecimal digits must follow '%'",
            TagError::UnknownFact => {
                "what stands in '{' and '}' must be one of uuid, serial, mac, hostname, boot_id, kernel"
            }
            TagError::TooMany => "these are too many",
        })
    }
}

/// The tags of an argument, each as it stands there and as what it is, or as what is wrong with it.
pub fn parse(value: &[u8]) -> impl Iterator<Item = (&[u8], Result<Tag<'_>, TagError>)> {
    let pieces = value.split(|&byte| byte == b',').filter(|piece| !piece.is_empty());
    pieces.enumerate().map(|(at, piece)| {
        let tag = if at < TAGS_MAX { Tag::parse(piece) } else { Err(TagError::TooMany) };
        (piece, tag)
    })
}

impl<'a> Tag<'a> {
    fn parse(piece: &'a [u8]) -> Result<Tag<'a>, TagError> {
        let (name, value) = split_once(piece, b'=').ok_or(TagError::NoName)?;
        if name.is_empty() {
            return Err(TagError::NoName);
        }
        if STANDARD_NAMES.iter().any(|standard| standard.as_bytes() == name) {
            return Err(TagError::StandardName);
        }
        Parts(value).try_for_each(|part| part.map(drop))?;
        Ok(Tag { name, value })
    }

    /// Whether its value says something of the boot of now, which an earlier boot's lines do not share.
    pub fn is_of_this_boot(&self) -> bool {
        Parts(self.value).any(|part| matches!(part, Ok(Part::Fact(Fact::BootId | Fact::Kernel))))
    }

    /// Appends the value, with what is known of the machine. `None` when it has no room.
    pub fn write_value(&self, facts: &Facts, value: &mut VecView<u8>) -> Option<()> {
        for part in Parts(self.value) {
            match part.ok()? {
                Part::Byte(byte) => value.push(byte).ok()?,
                Part::Fact(fact) => value.extend_from_slice(facts.get(fact)).ok()?,
            }
        }
        Some(())
    }
}

/// A part of a tag's value.
enum Part {
    Byte(u8),
    Fact(Fact),
}

/// The parts of a value that begins with these bytes.
struct Parts<'a>(&'a [u8]);

impl Parts<'_> {
    /// The next byte, which may be written as `%` and two digits.
    fn byte(&mut self) -> Option<Result<u8, TagError>> {
        let (&byte, mut rest) = self.0.split_first()?;
        let mut byte = Ok(byte);
        if byte == Ok(b'%') {
            byte = match rest {
                [high, low, after @ ..] => {
                    rest = after;
                    hex_byte(*high, *low).ok_or(TagError::Percent)
                }
                _ => Err(TagError::Percent),
            };
        }
        self.0 = rest;
        Some(byte)
    }

    /// The fact whose name stands between here and the next `}`.
    fn fact(&mut self) -> Result<Fact, TagError> {
        let mut name: Vec<u8, FACT_NAME_BYTES_MAX> = Vec::new();
        loop {
            match self.byte().ok_or(TagError::UnknownFact)?? {
                b'}' => return Fact::from_name(&name).ok_or(TagError::UnknownFact),
                byte => name.push(byte).map_err(|_| TagError::UnknownFact)?,
            }
        }
    }
}

impl Iterator for Parts<'_> {
    type Item = Result<Part, TagError>;

    fn next(&mut self) -> Option<Result<Part, TagError>> {
        Some(match self.byte()? {
            Ok(b'{') => self.fact().map(Part::Fact),
            byte => byte.map(Part::Byte),
        })
    }
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |byte| char::from(byte).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}

/// Something that the machine says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fact {
    /// SMBIOS's number of the machine, or the device tree's.
    Uuid,
    /// The maker's serial number.
    Serial,
    /// The hardware address of the interface on the way to the destination.
    Mac,
    /// The kernel's name of the machine.
    Hostname,
    /// The kernel's number of this boot.
    BootId,
    /// The kernel's release.
    Kernel,
}

/// The longest name of a fact: `hostname`.
const FACT_NAME_BYTES_MAX: usize = 8;

impl Fact {
    const ALL: [Fact; 6] = [Fact::Uuid, Fact::Serial, Fact::Mac, Fact::Hostname, Fact::BootId, Fact::Kernel];

    /// What it is called between `{` and `}`.
    const fn name(self) -> &'static str {
        match self {
            Fact::Uuid => "uuid",
            Fact::Serial => "serial",
            Fact::Mac => "mac",
            Fact::Hostname => "hostname",
            Fact::BootId => "boot_id",
            Fact::Kernel => "kernel",
        }
    }

    fn from_name(name: &[u8]) -> Option<Fact> {
        Fact::ALL.into_iter().find(|fact| fact.name().as_bytes() == name)
    }
}

/// All that is known of the machine; what is not known is empty.
#[derive(Clone, Debug)]
pub struct Facts([Vec<u8, FACT_BYTES_MAX>; Fact::ALL.len()]);

impl Facts {
    /// Nothing is known.
    pub const NONE: Facts = Facts([const { Vec::new() }; Fact::ALL.len()]);

    /// What is known.
    pub fn get(&self, fact: Fact) -> &[u8] {
        &self.0[fact as usize]
    }

    /// Takes what a file or the kernel says: one line, which a NUL may end as well, without the white space around it and as
    /// far as there is room for it. Returns whether that is news.
    pub fn set(&mut self, fact: Fact, said: &[u8]) -> bool {
        let line = said.split(|byte| matches!(byte, 0 | b'\n')).next().unwrap_or_default();
        let text = line.trim_ascii();
        let text = text.get(..FACT_BYTES_MAX).unwrap_or(text);
        let known = &mut self.0[fact as usize];
        let is_news = &known[..] != text;
        known.clear();
        let _ = known.extend_from_slice(text); // it was made to fit
        is_news
    }
}

/// The name of the machine in an `ip=` word: its fifth field, between colons that brackets protect, where the first is
/// an address or empty. (dracut's `ip=eth0:dhcp:…` has other fields.)
pub fn hostname_of(ip: &[u8]) -> &[u8] {
    if !matches!(ip.first(), Some(b':' | b'[' | b'0'..=b'9')) {
        return b"";
    }
    let mut in_brackets = false;
    let mut fields = ip.split(|&byte| {
        in_brackets = byte == b'[' || in_brackets && byte != b']';
        byte == b':' && !in_brackets
    });
    fields.nth(4).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use std::string::{String, ToString};
    use std::vec::Vec;
    use std::{format, vec};

    fn facts() -> Facts {
        let mut facts = Facts::NONE;
        assert!(facts.set(Fact::Uuid, b" 4c4c4544-0042 \n"));
        assert!(!facts.set(Fact::Uuid, b"4c4c4544-0042"), "the same again");
        assert!(facts.set(Fact::Serial, b"ab\xff\"\0behind"));
        assert!(facts.set(Fact::Kernel, "6".repeat(100).as_bytes()));
        facts
    }

    /// The value of a tag that is not too long.
    fn value(tag: &Tag<'_>) -> String {
        let mut value: heapless::Vec<u8, 4096> = heapless::Vec::new();
        tag.write_value(&facts(), &mut value).expect("room");
        value.escape_ascii().to_string()
    }

    /// `name -> value` of each tag, or `piece: what is wrong`.
    fn told(word: &str) -> Vec<String> {
        let said = |(piece, tag): (&[u8], Result<Tag<'_>, TagError>)| match tag {
            Ok(tag) => {
                format!("{} -> {}", tag.name.escape_ascii(), value(&tag))
            }
            Err(wrong) => format!("{}: {wrong:?}", piece.escape_ascii()),
        };
        parse(word.as_bytes()).map(said).collect()
    }

    #[test]
    fn tags() {
        assert_eq!(told(""), [""; 0]);
        assert_eq!(told(",a=1,,b=,"), ["a -> 1", "b -> "]);
        assert_eq!(told("a=b=c"), ["a -> b=c"]);
        assert_eq!(told("a=x%2Cy%2c}%00%c3%A9"), [r"a -> x,y,}\x00\xc3\xa9"]);
        assert_eq!(told("id=%7Buuid%7d!"), ["id -> 4c4c4544-0042!"], "some boot loaders know braces");
        assert_eq!(told("id={uuid}-{mac}.,s={serial}"), ["id -> 4c4c4544-0042-.", r#"s -> ab\xff\""#]);
        assert_eq!(told("k={kernel}"), [format!("k -> {}", "6".repeat(FACT_BYTES_MAX))]);
        assert_eq!(told("a b}=c,\u{e9}\"=d"), ["a b} -> c", r#"\xc3\xa9\" -> d"#]);
    }

    #[test]
    fn tags_that_are_wrong() {
        assert_eq!(told("a,=b,c=d"), ["a: NoName", "=b: NoName", "c -> d"]);
        assert_eq!(
            told("a=%,b=%1,c=%1g,d=%zz"),
            ["a=%: Percent", "b=%1: Percent", "c=%1g: Percent", "d=%zz: Percent"]
        );
        assert_eq!(
            told("a={uuid,b={},c={UUID},d={,e={hostnames}"),
            [
                "a={uuid: UnknownFact",
                "b={}: UnknownFact",
                "c={UUID}: UnknownFact",
                "d={: UnknownFact",
                "e={hostnames}: UnknownFact"
            ]
        );
        let many = vec!["a=b"; TAGS_MAX + 2].join(",");
        assert_eq!(told(&many)[TAGS_MAX - 1..], ["a -> b", "a=b: TooMany", "a=b: TooMany"]);
    }

    #[test]
    fn no_tag_has_the_name_of_a_standard_member() {
        for name in STANDARD_NAMES {
            assert_eq!(
                told(&format!("{name}=x,{name}s=y")),
                [format!("{name}=x: StandardName"), format!("{name}s -> y")]
            );
        }
        assert_eq!(told("Seq=x,caller=y,SUBSYSTEM=z"), ["Seq -> x", "caller -> y", "SUBSYSTEM -> z"]);
    }

    #[test]
    fn every_fact_is_named_in_the_message() {
        for fact in Fact::ALL {
            assert!(TagError::UnknownFact.to_string().contains(fact.name()), "{fact:?}");
            assert!(fact.name().len() <= FACT_NAME_BYTES_MAX);
            assert_eq!(Fact::from_name(fact.name().as_bytes()), Some(fact));
        }
    }

    #[test]
    fn a_value_without_room() {
        let (_, tag) = parse(b"a=12345{uuid}").next().unwrap();
        let write = |room: &mut VecView<u8>| tag.unwrap().write_value(&facts(), room);
        assert_eq!(write(&mut heapless::Vec::<u8, 18>::new()), Some(()));
        assert_eq!(write(&mut heapless::Vec::<u8, 17>::new()), None);
        assert_eq!(write(&mut heapless::Vec::<u8, 4>::new()), None);
    }

    #[test]
    fn hostnames() {
        let name = |ip: &str| String::from_utf8_lossy(hostname_of(ip.as_bytes())).into_owned();
        assert_eq!(name("dhcp"), "");
        assert_eq!(name("10.0.0.2::10.0.0.1:255.255.255.0:node7:eth0:off"), "node7");
        assert_eq!(name("::::node7:eth0"), "node7");
        assert_eq!(name("[2001:db8::2]::[2001:db8::1]:64:node6:eth0:off"), "node6");
        assert_eq!(name("[::::::"), "");
        assert_eq!(name("eth0:dhcp:10:a:54:b"), "", "dracut's");
    }

    /// Any bytes are a word, and each of its pieces is told of once.
    #[test]
    fn any_bytes_are_tags() {
        let mut random = Random::new(11);
        let parts: [&[u8]; 7] = [b"a=", b",", b"{uuid}", b"{", b"%", b"%41", b"="];
        for _ in 0..20_000 {
            let mut word = Vec::new();
            for _ in 0..random.below(12) {
                match random.below(3) {
                    0 => word.push(random.byte()),
                    _ => word.extend_from_slice(parts[random.below(parts.len())]),
                }
            }
            let pieces = word.split(|&byte| byte == b',').filter(|piece| !piece.is_empty()).count();
            let read: Vec<_> = parse(&word).collect();
            assert_eq!(read.len(), pieces);
            for (piece, tag) in read {
                assert!(!piece.is_empty());
                if let Ok(tag) = tag {
                    assert!(!tag.name.is_empty());
                    value(&tag);
                }
            }
        }
    }
}
