//! Tags, and the objects that have them.

use std::collections::BTreeMap;

use earlykmsg::clock::WallOffset;
use earlykmsg::encode::Encoder;
use earlykmsg::kmsg::record::Record;
use earlykmsg::limits::{ESCAPE_BYTES_MAX, TAGS_BYTES_MAX, TAGS_MAX};
use earlykmsg::members::Extra;
use earlykmsg::tags::{Fact, Facts};
use serde_json::Value;

use crate::record::lossy;

const RECORD: &[u8] = b"6,700,1000,-;text\n";
const PLAIN: [(&str, &str); 5] = [
    ("facility", "kern"),
    ("msg", "text\n"),
    ("priority", "info"),
    ("talos-level", "info"),
    ("talos-time", "2021-11-26T16:53:15.001Z"),
];

const UUID: &[u8] = b"4c4c4544-0042";
const SERIAL: &[u8] = b"a\"\\\xff\x01\xc3\xa9";

/// Two words of tags, for all destinations and for one, with a newline between: the objects have the members that a
/// decoder of another make finds there, in order, each once, and the standard ones where no tag took their place.
pub fn check(bytes: &[u8]) {
    let (all, one) = match bytes.iter().position(|&byte| byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &b""[..]),
    };
    let mut facts = Facts::NONE;
    facts.set(Fact::UUID, UUID);
    facts.set(Fact::SERIAL, SERIAL);
    let mut encoder = Encoder::new(Extra::default());
    let left_out = encoder.set(Extra::default(), [all, one], &facts);
    let tags = model([all, one]);
    if tags.keys().any(|name| str::from_utf8(name).is_err()) {
        return; // two of them may look alike
    }

    let record = Record::parse(RECORD).expect("a record");
    let mut out = vec![b'~'; encoder.bytes_max(&record)];
    let len = encoder.encode(&mut out, &record, WallOffset(1_637_945_595_000_000));
    let line = &out[..len];
    let object: Value =
        serde_json::from_slice(line).unwrap_or_else(|why| panic!("{why}: {}", line.escape_ascii()));
    let members = object.as_object().expect("an object");
    assert!(members.keys().is_sorted(), "{object}");
    assert_eq!(object.to_string().len(), line.len(), "a member twice: {}", line.escape_ascii());

    let (mut missing, mut bytes) = (0, 0);
    for (name, value) in &tags {
        let (name, value) = (lossy(name), lossy(value));
        bytes += (name.len() + value.len() + 8) * ESCAPE_BYTES_MAX;
        missing += u64::from(members.get(&name) != Some(&value.into()));
    }
    assert_eq!(missing, left_out, "{object}");
    assert!(missing == 0 || bytes > TAGS_BYTES_MAX, "there is room for all: {object}");
    for (name, value) in PLAIN {
        assert!(
            tags.contains_key(name.as_bytes()) && members.contains_key(name) || object[name] == value,
            "{name} of {object}"
        );
    }
    for (name, value) in [("clock", 1000), ("seq", 700)] {
        assert!(
            tags.contains_key(name.as_bytes()) && members.contains_key(name) || object[name] == value,
            "{name} of {object}"
        );
    }
    let known = |name: &String| {
        tags.contains_key(name.as_bytes())
            || PLAIN.iter().any(|(plain, _)| plain == name)
            || ["clock", "seq"].contains(&name.as_str())
    };
    assert!(members.keys().all(known), "{object}");
}

/// The tags of both words; of those with the same name the last.
fn model(words: [&[u8]; 2]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut tags = BTreeMap::new();
    for word in words {
        let pieces = word.split(|&byte| byte == b',').filter(|piece| !piece.is_empty()).take(TAGS_MAX);
        for piece in pieces {
            let mut halves = piece.splitn(2, |&byte| byte == b'=');
            if let (Some(name), Some(value)) = (halves.next(), halves.next().and_then(decoded))
                && !name.is_empty()
            {
                tags.insert(name.to_vec(), value);
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
