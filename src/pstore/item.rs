//! The file that shippers get: one item behind the other, each as a head of a fixed size and a text.
//!
//! ```text
//! 0        8          12       16
//! | number | priority | length | text
//! ```
//!
//! Before the lines of a part stands an item that says where they come from.

/// What stands before the text of an item.
pub const HEAD_BYTES: usize = 16;

/// No line has this priority.
const PART: u32 = u32::MAX;

/// What one item says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Item<'a> {
    /// The lines of a part follow.
    Part {
        /// The wall clock of its boot, in microseconds.
        wall_us: i64,
        /// The name of its file, and behind a space what that says of itself: `dmesg-erst-7577 Panic#1 Part1`.
        origin: &'a [u8],
    },
    /// A line.
    Line {
        /// The kernel's stamp.
        clock_us: u64,
        /// Facility and level.
        priority: u32,
        /// The rest, its newline included.
        text: &'a [u8],
    },
}

impl<'a> Item<'a> {
    /// Its head and its text.
    pub fn encode(&self) -> ([u8; HEAD_BYTES], &'a [u8]) {
        let (number, priority, text) = match *self {
            Item::Part { wall_us, origin } => (wall_us.cast_unsigned(), PART, origin),
            Item::Line { clock_us, priority, text } => (clock_us, priority.min(PART - 1), text),
        };
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(&number.to_ne_bytes());
        head[8..12].copy_from_slice(&priority.to_ne_bytes());
        head[12..].copy_from_slice(&(text.len() as u32).to_ne_bytes());
        (head, text)
    }

    /// Reads the item that stands first. `None`: not all of it is there.
    pub fn decode(bytes: &'a [u8]) -> Option<Item<'a>> {
        let (number, rest) = bytes.split_first_chunk()?;
        let (priority, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let number = u64::from_ne_bytes(*number);
        let text = rest.get(..u32::from_ne_bytes(*length) as usize)?;
        Some(match u32::from_ne_bytes(*priority) {
            PART => Item::Part { wall_us: number.cast_signed(), origin: text },
            priority => Item::Line { clock_us: number, priority, text },
        })
    }

    /// How long it is in the file.
    pub fn bytes(&self) -> usize {
        let (Item::Part { origin: text, .. } | Item::Line { text, .. }) = self;
        HEAD_BYTES + text.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn what_is_encoded_can_be_decoded() {
        let text = [b'x'; 300];
        for item in [
            Item::Part { wall_us: -5, origin: b"dmesg-erst-7 Panic#1 Part1" },
            Item::Part { wall_us: i64::MAX, origin: b"" },
            Item::Line { clock_us: u64::MAX, priority: PART - 1, text: &text },
            Item::Line { clock_us: 0, priority: 6, text: b"" },
        ] {
            let (head, text) = item.encode();
            let mut bytes: Vec<u8> = [&head, text].concat();
            assert_eq!(bytes.len(), item.bytes());
            assert_eq!(Item::decode(&bytes), Some(item));
            for end in 0..bytes.len() {
                assert_eq!(Item::decode(&bytes[..end]), None, "{end}");
            }
            bytes.extend_from_slice(b"the next one");
            assert_eq!(Item::decode(&bytes), Some(item));
        }
        let (head, _) = Item::Line { clock_us: 1, priority: PART, text: b"" }.encode();
        assert!(matches!(Item::decode(&head), Some(Item::Line { .. })), "a line of any priority stays one");
    }
}
