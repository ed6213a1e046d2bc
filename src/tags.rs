//! `earlykmsg.tags=`: members of the user's own in every JSON object. Pure.
//!
//! ```text
//! site=ams3,uuid={uuid},note=rack%2012    a word: tags between commas
//!      |         |           |
//!      text      a fact      %XX: a byte that a boot loader would choke on; %7Buuid%7D is {uuid}
//! ```
//!
//! What is wrong with a word is found while it is read; what is shipped is made of it anew whenever a fact changes.

use crate::address::{cut, hex, part};
use crate::limits::{FACT_BYTES_MAX, TAGS_MAX};
use crate::words;
use crate::words::{Line, nth_name};

/// One tag: the member's name, and what its value is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag<'a> {
    /// Not empty.
    pub name: &'a [u8],
    value: &'a [u8],
}

/// What is wrong with a tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // each is explained by its words below
pub enum Wrong {
    Name,
    Percent,
    Fact,
    TooMany,
}

impl Wrong {
    /// What the operator reads.
    pub const fn words(self) -> &'static str {
        match self {
            Wrong::Name => "must be NAME=VALUE",
            Wrong::Percent => "two hexadecimal digits must follow '%'",
            Wrong::Fact => {
                "what stands in '{' and '}' must be one of uuid, serial, mac, hostname, boot_id, kernel"
            }
            Wrong::TooMany => "these are too many",
        }
    }
}

/// Gives the tags of a word one after the other, each as it stands there and as what it is, or as what is wrong with it.
pub fn read<'a>(word: &'a [u8], give: &mut dyn FnMut(&'a [u8], Result<Tag<'a>, Wrong>)) {
    let (mut rest, mut count) = (word, 0);
    while !rest.is_empty() {
        let piece = part(&mut rest, b',');
        if !piece.is_empty() {
            count += 1;
            give(piece, if count > TAGS_MAX { Err(Wrong::TooMany) } else { Tag::parse(piece) });
        }
    }
}

/// The tag of two words whose name comes next after `last` in the alphabet; of those with the same name, the last.
#[inline(never)]
pub fn after<'a>(words: [&'a [u8]; 2], last: &[u8]) -> Option<Tag<'a>> {
    let mut best: Option<Tag<'a>> = None;
    for word in words {
        read(word, &mut |_, tag| {
            if let Ok(tag) = tag
                && tag.name > last
                && best.is_none_or(|best| tag.name <= best.name)
            {
                best = Some(tag);
            }
        });
    }
    best
}

impl<'a> Tag<'a> {
    fn parse(piece: &'a [u8]) -> Result<Tag<'a>, Wrong> {
        let (name, value) = cut(piece, b'=').ok_or(Wrong::Name)?;
        let tag = Tag { name, value };
        if name.is_empty() {
            return Err(Wrong::Name);
        }
        let nothing = Facts::NONE; // by reference it would be in the file
        tag.put(&nothing, &mut Line::new()).map(|()| tag)
    }

    /// Puts the value, with what is known of the machine, as far as `line` has room.
    #[inline(never)]
    pub fn put(&self, facts: &Facts, line: &mut Line) -> Result<(), Wrong> {
        let mut plain = Line::new();
        let mut rest = self.value;
        while let [byte, after @ ..] = rest {
            rest = after;
            let mut byte = *byte;
            if byte == b'%' {
                let (digits, after) = rest.split_at_checked(2).ok_or(Wrong::Percent)?;
                byte = hex(digits).ok_or(Wrong::Percent)? as u8;
                rest = after;
            }
            plain.byte(byte);
        }
        let mut rest = plain.bytes();
        while let Some((text, after)) = cut(rest, b'{') {
            let (name, after) = cut(after, b'}').ok_or(Wrong::Fact)?;
            let fact = Fact::from_name(name).ok_or(Wrong::Fact)?;
            words!(line, text, facts.get(fact));
            rest = after;
        }
        words!(line, rest);
        Ok(())
    }
}

/// Something that the machine says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fact(usize);

impl Fact {
    const NAMES: &str = "uuid, serial, mac, hostname, boot_id, kernel";
    const COUNT: usize = 6;

    /// SMBIOS's number of the machine, or the device tree's.
    pub const UUID: Fact = Fact(0);
    /// The maker's serial number.
    pub const SERIAL: Fact = Fact(1);
    /// The hardware address of the interface on the way to the destination.
    pub const MAC: Fact = Fact(2);
    /// The kernel's name of the machine.
    pub const HOSTNAME: Fact = Fact(3);
    /// The kernel's number of this boot.
    pub const BOOT_ID: Fact = Fact(4);
    /// The kernel's release.
    pub const KERNEL: Fact = Fact(5);

    fn from_name(name: &[u8]) -> Option<Fact> {
        (0..Fact::COUNT).find(|&at| nth_name(Fact::NAMES, at) == name).map(Fact)
    }
}

/// All that is known of the machine; what is not known is empty.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    texts: [[u8; FACT_BYTES_MAX]; Fact::COUNT],
    lens: [u8; Fact::COUNT],
}

impl Facts {
    /// Nothing is known.
    pub const NONE: Facts = Facts { texts: [[0; FACT_BYTES_MAX]; Fact::COUNT], lens: [0; Fact::COUNT] };

    /// What is known.
    pub fn get(&self, fact: Fact) -> &[u8] {
        &self.texts[fact.0][..usize::from(self.lens[fact.0])]
    }

    /// Takes what a file or the kernel says: one line, which a NUL may end as well, without the spaces around it and as
    /// far as there is room for it. Returns whether that is news.
    #[inline(never)]
    pub fn set(&mut self, Fact(fact): Fact, said: &[u8]) -> bool {
        let mut said = said.split(|byte| matches!(byte, 0 | b'\n')).next().unwrap_or_default();
        while let [b' ', inner @ ..] | [inner @ .., b' '] = said {
            said = inner;
        }
        let (text, len) = (&mut self.texts[fact], &mut self.lens[fact]);
        let mut news = usize::from(*len) != said.len().min(FACT_BYTES_MAX);
        for (place, byte) in text.iter_mut().zip(said) {
            news |= *place != *byte;
            *place = *byte;
        }
        *len = said.len().min(FACT_BYTES_MAX) as u8;
        news
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
    use std::string::String;
    use std::vec::Vec;
    use std::{format, vec};

    fn facts() -> Facts {
        let mut facts = Facts::NONE;
        assert!(facts.set(Fact::UUID, b" 4c4c4544-0042 \n"));
        assert!(!facts.set(Fact::UUID, b"4c4c4544-0042"), "the same again");
        assert!(facts.set(Fact::SERIAL, b"ab\xff\"\0behind"));
        assert!(facts.set(Fact::KERNEL, "6".repeat(100).as_bytes()));
        facts
    }

    /// `name -> value` of each tag, or `piece: what is wrong`.
    fn told(word: &str) -> Vec<String> {
        let mut all = Vec::new();
        read(word.as_bytes(), &mut |piece, read| {
            all.push(match read {
                Ok(tag) => {
                    let mut value = Line::new();
                    assert_eq!(tag.put(&facts(), &mut value), Ok(()));
                    format!("{} -> {}", tag.name.escape_ascii(), value.bytes().escape_ascii())
                }
                Err(wrong) => format!("{}: {wrong:?}", piece.escape_ascii()),
            });
        });
        all
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
        assert_eq!(told("a,=b,c=d"), ["a: Name", "=b: Name", "c -> d"]);
        assert_eq!(
            told("a=%,b=%1,c=%1g,d=%zz"),
            ["a=%: Percent", "b=%1: Percent", "c=%1g: Percent", "d=%zz: Percent"]
        );
        assert_eq!(
            told("a={uuid,b={},c={UUID},d={"),
            ["a={uuid: Fact", "b={}: Fact", "c={UUID}: Fact", "d={: Fact"]
        );
        let many = vec!["a=b"; TAGS_MAX + 2].join(",");
        assert_eq!(told(&many)[TAGS_MAX - 1..], ["a -> b", "a=b: TooMany", "a=b: TooMany"]);
        for wrong in [Wrong::Name, Wrong::Percent, Wrong::Fact, Wrong::TooMany] {
            assert!(!wrong.words().is_empty());
        }
        for at in 0..Fact::COUNT {
            let name = core::str::from_utf8(nth_name(Fact::NAMES, at)).unwrap();
            assert!(Wrong::Fact.words().contains(name), "{name}");
        }
    }

    #[test]
    fn tags_in_the_order_of_their_names() {
        let words = [&b"b=1,z=2,b=3"[..], b"a=4,=5,z=6"];
        let mut all = Vec::new();
        let mut last = &b""[..];
        while let Some(tag) = after(words, last) {
            last = tag.name;
            all.push((tag.name, tag.value));
        }
        assert_eq!(all, [(&b"a"[..], &b"4"[..]), (b"b", b"3"), (b"z", b"6")]);
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
            let mut count = 0;
            read(&word, &mut |piece, tag| {
                count += 1;
                assert!(!piece.is_empty());
                if let Ok(tag) = tag {
                    assert!(!tag.name.is_empty());
                    assert_eq!(tag.put(&facts(), &mut Line::new()), Ok(()));
                }
            });
            assert_eq!(count, pieces);
        }
    }
}
