//! Tags, and the objects that have them.

use earlykmsg::config::Extra;
use earlykmsg::config::tags::{Fact, Facts};
use earlykmsg::limits::{ESCAPE_BYTES_MAX, TAGS_BYTES_MAX, TAGS_MAX};
use earlykmsg::line::Encoder;
use earlykmsg::record::Record;
use earlykmsg::record::clock::WallOffset;
use serde_json::Value;

use crate::record::lossy;

const RECORD: &[u8] = b"6,700,1000,-;text\n";
const PLAIN: &[u8] = br#"{"clock":1000,"facility":"kern","msg":"text\n","priority":"info","seq":700,"talos-level":"info","talos-time":"2021-11-26T16:53:15.001Z""#;

/// What no tag may be called.
const FORBIDDEN: [&[u8]; 9] = [
    b"clock",
    b"facility",
    b"msg",
    b"priority",
    b"seq",
    b"talos-level",
    b"talos-time",
    b"earlykmsg",
    b"pstore",
];

const UUID: &[u8] = b"4c4c4544-0042";
const SERIAL: &[u8] = b"a\"\\\xff\x01\xc3\xa9";

/// Two words of tags, for all destinations and for one, with a newline between: behind the standard members, which are
/// what they are without tags, an object has those that a decoder of another make finds there, in order, each once.
pub fn check(bytes: &[u8]) {
    let (all, one) = match bytes.iter().position(|&byte| byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &b""[..]),
    };
    let mut facts = Facts::NONE;
    facts.set(Fact::Uuid, UUID);
    facts.set(Fact::Serial, SERIAL);
    let mut encoder = Encoder::new(Extra::default());
    let left_out = encoder.set(Extra::default(), [all, one], &facts);

    let record = Record::parse(RECORD).expect("a record");
    let mut out = vec![b'~'; encoder.bytes_max(&record)];
    let wall = WallOffset(1_637_945_595_000_000);
    let len = encoder.encode(&mut out, &record, wall).expect("room");
    let line = &out[..len];
    let object: Value =
        serde_json::from_slice(line).unwrap_or_else(|why| panic!("{why}: {}", line.escape_ascii()));
    let members = object.as_object().expect("an object");
    assert_eq!(object.to_string().len(), line.len(), "a member twice: {}", line.escape_ascii());
    let (standard, tags) = line.split_at(PLAIN.len());
    assert_eq!(standard, PLAIN, "the standard members: {}", line.escape_ascii());
    assert!(tags.len() <= TAGS_BYTES_MAX + 1, "{} bytes of tags", tags.len());

    // Those that are missing have no room beside the ones that are there.
    let mut got = members.iter().skip(7).peekable();
    let (mut missing, mut bytes_missing) = (0u64, usize::MAX);
    for (name, value) in model([all, one]) {
        if got.next_if(|(has, is)| **has == name && **is == value).is_none() {
            missing += 1;
            let longest = (name.len() + value.len()) * ESCAPE_BYTES_MAX + ",\"\":\"\"".len();
            bytes_missing = bytes_missing.min(longest);
        }
    }
    assert_eq!(got.next(), None, "{object}");
    assert_eq!(missing, left_out, "{object}");
    assert!(
        missing == 0 || tags.len() - 1 + bytes_missing > TAGS_BYTES_MAX,
        "there is room for all: {object}"
    );
}

/// The tags of both words, as text; of those with the same name the last, in its place.
fn model(words: [&[u8]; 2]) -> Vec<(String, String)> {
    let mut tags = Vec::new();
    for word in words {
        let pieces = word.split(|&byte| byte == b',').filter(|piece| !piece.is_empty()).take(TAGS_MAX);
        for piece in pieces {
            let mut halves = piece.splitn(2, |&byte| byte == b'=');
            if let (Some(name), Some(value)) = (halves.next(), halves.next().and_then(decoded))
                && !name.is_empty()
                && !FORBIDDEN.contains(&name)
            {
                let name = lossy(name);
                tags.retain(|(known, _)| *known != name);
                tags.push((name, lossy(&value)));
            }
        }
    }
    tags
}

/// What a value stands for; none where it is wrong. First the bytes, then the facts among them.
fn decoded(value: &[u8]) -> Option<Vec<u8>> {
    let (mut plain, mut at) = (Vec::new(), 0);
    while let Some(&byte) = value.get(at) {
        let digit = |at: usize| value.get(at).and_then(|&digit| char::from(digit).to_digit(16));
        let escaped = byte == b'%';
        plain.push(if escaped { (digit(at + 1)? * 16 + digit(at + 2)?) as u8 } else { byte });
        at += if escaped { 3 } else { 1 };
    }
    let mut bytes = Vec::new();
    let mut pieces = plain.split(|&byte| byte == b'{');
    bytes.extend_from_slice(pieces.next()?);
    for piece in pieces {
        let end = piece.iter().position(|&byte| byte == b'}')?;
        bytes.extend_from_slice(match &piece[..end] {
            b"uuid" => UUID,
            b"serial" => SERIAL,
            b"mac" | b"hostname" | b"boot_id" | b"kernel" => b"",
            _ => return None,
        });
        bytes.extend_from_slice(&piece[end + 1..]);
    }
    Some(bytes)
}
