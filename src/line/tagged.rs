//! The tags of a destination as they stand in each of its lines.

use heapless::Vec;

use super::writer::Writer;
use super::{json, syslog};
use crate::config::endpoint::Format;
use crate::config::tags::{self, Facts, Tag};
use crate::limits::{TAGS_BYTES_MAX, TAGS_MAX};
use crate::record::{Body, Chars};

/// What every line has at its end, in syslog at the end of its parameters: names and values, made once and again when a
/// fact changes.
#[derive(Debug)]
pub(super) struct Tags {
    /// `,"name":"value"` or ` name="value"` for each.
    text: [u8; TAGS_BYTES_MAX],
    /// Where each ends, and whether it says something of this boot.
    ends: Vec<(usize, bool), { 2 * TAGS_MAX }>,
    format: Format,
}

impl Tags {
    pub(super) const NONE: Tags = Tags { text: [0; TAGS_BYTES_MAX], ends: Vec::new(), format: Format::Json };

    /// Takes the tags of all destinations and those of this one. Of those with the same name the last counts, at its
    /// place. Returns how many are left out: they have no room, or a name that syslog does not allow.
    pub(super) fn set(&mut self, format: Format, words: [&[u8]; 2], facts: &Facts) -> u64 {
        self.format = format;
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

    /// Appends a tag. `None` when it has no room, or no name.
    fn push(&mut self, tag: &Tag<'_>, facts: &Facts) -> Option<()> {
        let mut value: Vec<u8, TAGS_BYTES_MAX> = Vec::new();
        tag.write_value(facts, &mut value)?;
        let (name, value) = (tag.name, Body::Plain(&value));
        let begin = self.text().len();
        let mut out = Writer::new(self.text.get_mut(begin..)?);
        match self.format {
            Format::Json => json::write_member(&mut out, Body::Plain(name), value)?,
            Format::Syslog => syslog::write_tag(&mut out, name, value)?,
        }
        let end = begin + out.len();
        self.ends.push((end, tag.is_of_this_boot())).ok()
    }

    /// Writes those that a line has: one of an earlier boot has none that say something of this one.
    pub(super) fn write(&self, out: &mut Writer<'_>, is_of_earlier_boot: bool) -> Option<()> {
        if !is_of_earlier_boot {
            return out.push(self.text());
        }
        let mut begin = 0;
        for &(end, is_of_this_boot) in &self.ends {
            if !is_of_this_boot {
                out.push(self.text.get(begin..end)?)?;
            }
            begin = end;
        }
        Some(())
    }

    /// All of them, as they stand in a line.
    pub(super) fn text(&self) -> &[u8] {
        let end = self.ends.last().map_or(0, |(end, _)| *end);
        self.text.get(..end).unwrap_or_default()
    }

    /// Whether one has this name, which needs no escape.
    pub(super) fn has(&self, name: &str) -> bool {
        let (before, after): (&[u8], &[u8]) = match self.format {
            Format::Json => (b",\"", b"\":"),
            Format::Syslog => (b" ", b"=\""),
        };
        let mut begin = 0;
        self.ends.iter().any(|&(end, _)| {
            let tag = self.text.get(begin..end).unwrap_or_default();
            begin = end;
            let rest = tag.strip_prefix(before).and_then(|rest| rest.strip_prefix(name.as_bytes()));
            rest.is_some_and(|rest| rest.starts_with(after))
        })
    }
}

/// Whether a receiver sees the same name: bytes that are no UTF-8 look alike.
fn same_name(one: &Tag<'_>, other: &Tag<'_>) -> bool {
    Chars::new(Body::Plain(one.name)).eq(Chars::new(Body::Plain(other.name)))
}
