//! The tags of a destination as they stand in each of its objects.

use heapless::Vec;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json_core::ser::to_slice;

use crate::config::tags::{self, Facts, Tag};
use crate::limits::{TAGS_BYTES_MAX, TAGS_MAX};
use crate::record::{Body, Chars};

/// What every object has at its end: names and values, made once and again when a fact changes.
#[derive(Debug)]
pub(super) struct Tags {
    /// `,"name":"value"` for each.
    text: [u8; TAGS_BYTES_MAX],
    /// Where each ends.
    ends: Vec<usize, { 2 * TAGS_MAX }>,
}

impl Tags {
    pub(super) const NONE: Tags = Tags { text: [0; TAGS_BYTES_MAX], ends: Vec::new() };

    /// Takes the tags of all destinations and those of this one. Of those with the same name the last counts, at its
    /// place. Returns how many have no room and are left out.
    pub(super) fn set(&mut self, words: [&[u8]; 2], facts: &Facts) -> u64 {
        self.ends.clear();
        let mut tags: Vec<Tag<'_>, { 2 * TAGS_MAX }> = Vec::new();
        for word in words {
            for tag in tags::parse(word).filter_map(|(_, tag)| tag.ok()) {
                // There is room: of a word no more than `TAGS_MAX` are taken.
                let _ = tags.push(tag);
            }
        }
        let mut left_out = 0;
        let mut rest = &tags[..];
        while let [tag, later @ ..] = rest {
            let is_last = !later.iter().any(|later| same_name(later, tag));
            if is_last && self.push(tag, facts).is_none() {
                left_out += 1;
            }
            rest = later;
        }
        left_out
    }

    /// Appends a tag. `None` when it has no room.
    fn push(&mut self, tag: &Tag<'_>, facts: &Facts) -> Option<()> {
        let mut value: Vec<u8, TAGS_BYTES_MAX> = Vec::new();
        tag.write_value(facts, &mut value)?;
        // An object of its own, whose braces go. The closing one may stand where the room ends.
        let mut object = [0; TAGS_BYTES_MAX + 1];
        let len = to_slice(&Member { name: Body::Plain(tag.name), value: Body::Plain(&value) }, &mut object)
            .ok()?;
        let member = object.get_mut(..len - 1)?;
        *member.first_mut()? = b',';
        let begin = self.text().len();
        let end = begin + member.len();
        self.text.get_mut(begin..end)?.copy_from_slice(member);
        self.ends.push(end).ok()
    }

    /// All of them, as they stand in an object behind its other members.
    pub(super) fn text(&self) -> &[u8] {
        let end = self.ends.last().copied().unwrap_or(0);
        self.text.get(..end).unwrap_or_default()
    }

    /// Whether one has this name, which needs no escape.
    pub(super) fn has(&self, name: &str) -> bool {
        let mut begin = 0;
        self.ends.iter().any(|&end| {
            let member = self.text.get(begin..end).unwrap_or_default();
            begin = end;
            let value = member.strip_prefix(b",\"").and_then(|rest| rest.strip_prefix(name.as_bytes()));
            value.is_some_and(|value| value.starts_with(b"\":"))
        })
    }
}

/// Whether a receiver sees the same name: bytes that are no UTF-8 look alike.
fn same_name(one: &Tag<'_>, other: &Tag<'_>) -> bool {
    Chars::new(Body::Plain(one.name)).eq(Chars::new(Body::Plain(other.name)))
}

/// An object with one member.
struct Member<'a> {
    name: Body<'a>,
    value: Body<'a>,
}

impl Serialize for Member<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(1))?;
        object.serialize_entry(&self.name, &self.value)?;
        object.end()
    }
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
