//! The tags of a destination as they stand in each of its objects.

use heapless::Vec;

use super::escape::{Json, write_string};
use crate::config::tags::{self, Facts, Tag};
use crate::limits::{TAGS_BYTES_MAX, TAGS_MAX};
use crate::record::{Body, Chars};

/// What every object has at its end: names and values, made once and again when a fact changes.
#[derive(Debug)]
pub(super) struct Tags {
    /// The names and the values as JSON strings, in turn.
    text: [u8; TAGS_BYTES_MAX],
    /// How long they are.
    lengths: Vec<Lengths, { 2 * TAGS_MAX }>,
}

#[derive(Clone, Copy, Debug)]
struct Lengths {
    name: usize,
    value: usize,
}

impl Tags {
    pub(super) const NONE: Tags = Tags { text: [0; TAGS_BYTES_MAX], lengths: Vec::new() };

    /// Takes the tags of all destinations and those of this one. Of those with the same name the last counts, at its
    /// place. Returns how many have no room and are left out.
    pub(super) fn set(&mut self, words: [&[u8]; 2], facts: &Facts) -> u64 {
        self.lengths.clear();
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

    /// Appends a tag. `None` when it has no room: with a comma and a colon for each, all must stay within the limit.
    fn push(&mut self, tag: &Tag<'_>, facts: &Facts) -> Option<()> {
        let mut value: Vec<u8, TAGS_BYTES_MAX> = Vec::new();
        tag.write_value(facts, &mut value)?;
        let (begin, punctuation) = (self.text_bytes(), 2 * (self.lengths.len() + 1));
        let room = self.text.get_mut(begin..TAGS_BYTES_MAX.checked_sub(punctuation)?)?;
        let (name, rest) = write_string(room, Body::Plain(tag.name))?;
        let (value, _) = write_string(rest, Body::Plain(&value))?;
        self.lengths.push(Lengths { name: name.0.len(), value: value.0.len() }).ok()
    }

    fn text_bytes(&self) -> usize {
        self.lengths.iter().map(|lengths| lengths.name + lengths.value).sum()
    }

    /// How many bytes of an object they are.
    pub(super) fn bytes(&self) -> usize {
        self.text_bytes() + 2 * self.lengths.len()
    }

    /// Whether one has this name, which needs no escape.
    pub(super) fn has(&self, name: &str) -> bool {
        self.iter().any(|(Json(own), _)| own.get(1..own.len() - 1) == Some(name.as_bytes()))
    }

    /// The names and the values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Json<'_>, Json<'_>)> {
        let mut rest = &self.text[..];
        self.lengths.iter().map_while(move |lengths| {
            let (name, after) = rest.split_at_checked(lengths.name)?;
            let (value, after) = after.split_at_checked(lengths.value)?;
            rest = after;
            Some((Json(name), Json(value)))
        })
    }
}

/// Whether a receiver sees the same name: bytes that are no UTF-8 look alike.
fn same_name(one: &Tag<'_>, other: &Tag<'_>) -> bool {
    Chars::new(Body::Plain(one.name)).eq(Chars::new(Body::Plain(other.name)))
}
