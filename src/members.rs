//! The members of every object: Talos's seven, and those that were asked for. Pure.
//!
//! What stays the same from record to record is put together once, sorted by name, tags and all. What a record adds has
//! slots in it:
//!
//! ```text
//! ,"clock":_,"facility":"_","host":"node7","msg":"_","priority":"_","seq":_,"talos-level":"_","talos-time":"_"}
//!          CLOCK         FACILITY                 MSG           PRIORITY    SEQ             LEVEL          TIME END
//! ```

use crate::encode::Out;
use crate::kmsg::record::Body;
use crate::limits::{ESCAPE_BYTES_MAX, TAGS_BYTES_MAX};
use crate::tags::{Facts, Tag, after};
use crate::words::{Line, nth_name};

/// Members that are made for a record beside Talos's.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Extra {
    /// Who wrote it.
    pub caller: bool,
    /// The lines of its dictionary, which are no part of `msg` then.
    pub dict: bool,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Members {
    /// What is the same in every object.
    pub(crate) text: [u8; TEXT_BYTES],
    slots: [Slot; SLOTS],
    count: usize,
    /// How many bytes of the text are tags.
    tags: usize,
}

/// Something that a record puts into the text, and before which of its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) what: usize,
    pub(crate) at: usize,
}

/// What there are slots for. The dictionary, whose names are capital letters, stands before the first of those: by a
/// name of its own, which a tag would take the place of like any other.
const NAMES: &str = "@\"\\, caller, clock, facility, msg, priority, seq, talos-level, talos-time";
pub(crate) const DICT: usize = 0;
pub(crate) const CALLER: usize = 1;
pub(crate) const CLOCK: usize = 2;
pub(crate) const FACILITY: usize = 3;
pub(crate) const MSG: usize = 4;
pub(crate) const PRIORITY: usize = 5;
pub(crate) const SEQ: usize = 6;
pub(crate) const LEVEL: usize = 7;
pub(crate) const TIME: usize = 8;
pub(crate) const END: usize = 9;
const SLOTS: usize = END + 1;

/// The text without tags, and what [`Out::part`] copies from beyond its end.
const BARE_BYTES: usize = 128;
const TEXT_BYTES: usize = BARE_BYTES + TAGS_BYTES_MAX;

impl Members {
    /// None yet: [`Members::set`] comes first. (All zeros, which are not in the file.)
    pub const NONE: Members =
        Members { text: [0; TEXT_BYTES], slots: [Slot { what: 0, at: 0 }; SLOTS], count: 0, tags: 0 };

    /// Puts Talos's members together with those asked for. Of tags with the same name the last counts, and one with the
    /// name of another member takes its place. Returns how many had no room.
    pub fn set(&mut self, extra: Extra, words: [&[u8]; 2], facts: &Facts) -> u64 {
        let mut out = Out { bytes: &mut self.text, len: 0 };
        (self.count, self.tags) = (0, 0);
        let mut left_out = 0;
        let mut tag = after(words, b"");
        let mut what = 0;
        while what <= END {
            let name = nth_name(NAMES, what);
            match tag {
                Some(found) if what == END || found.name <= name => {
                    let before = out.len;
                    let fits = put(&mut out, found, facts, TAGS_BYTES_MAX - self.tags);
                    self.tags += out.len - before;
                    left_out += u64::from(!fits);
                    // Without it, the member stays.
                    what += usize::from(fits && what < END && found.name == name);
                    tag = after(words, found.name);
                    continue;
                }
                _ => {}
            }
            // These two bring their names with them, if the record has them.
            let is_extra = matches!(what, DICT | CALLER);
            let is_text = !is_extra && !matches!(what, CLOCK | SEQ | END);
            if what == END {
                out.byte(b'}');
            } else if !is_extra {
                out.name(name);
            }
            if is_text {
                out.byte(b'"');
            }
            if !is_extra || what == DICT && extra.dict || what == CALLER && extra.caller {
                self.slots[self.count] = Slot { what, at: out.len };
                self.count += 1;
            }
            if is_text {
                out.byte(b'"');
            }
            what += 1;
        }
        left_out
    }

    /// How many bytes the tags are.
    pub fn tag_bytes(&self) -> usize {
        self.tags
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots[..self.count]
    }

    /// Whether the text has a member of this beginning: a comma, the name, a colon. (No value can hold such quotes.)
    pub(crate) fn has(&self, beginning: &[u8]) -> bool {
        self.text.windows(beginning.len()).any(|part| part == beginning)
    }
}

/// Writes a tag, unless it might need more than `room`.
fn put(out: &mut Out<'_>, tag: Tag<'_>, facts: &Facts, room: usize) -> bool {
    let mut value = Line::new();
    // It was read before: there is nothing wrong with it.
    let _ = tag.put(facts, &mut value);
    let value = value.bytes();
    let fits = (tag.name.len() + value.len() + 1) * ESCAPE_BYTES_MAX <= room;
    if fits {
        out.name(tag.name);
        out.string(Body::Plain(value));
    }
    fits
}
