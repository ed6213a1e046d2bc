//! From bytes to records.

use crate::frame::{Frame, Framer, other};
use crate::record::Record;
use crate::syslog;

/// What is in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A record, or a report of lost ones.
    Record(Record),
    /// Anything else.
    Other {
        /// Its beginning.
        bytes: Vec<u8>,
        /// There were more.
        is_cut: bool,
    },
}

/// Takes bytes as they come, and gives the records in them.
#[derive(Debug, Default)]
pub struct Decoder {
    framer: Framer,
}

impl Decoder {
    /// What is complete with these bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Entry> {
        let mut frames = Vec::new();
        self.framer.push(bytes, &mut frames);
        frames.into_iter().filter_map(entry).collect()
    }

    /// What is left at the end of the stream.
    pub fn finish(&mut self) -> Vec<Entry> {
        let mut frames = Vec::new();
        self.framer.finish(&mut frames);
        frames.into_iter().filter_map(entry).collect()
    }
}

fn entry(frame: Frame) -> Option<Entry> {
    let (record, bytes) = match frame {
        Frame::Object(bytes) => (Record::from_json(&bytes), bytes),
        Frame::Message(bytes) => (syslog::parse(&bytes), bytes),
        Frame::Other { bytes, is_cut } => return Some(Entry::Other { bytes, is_cut }),
    };
    match (record, other(bytes)?) {
        (Some(record), _) => Some(Entry::Record(record)),
        (None, Frame::Other { bytes, is_cut }) => Some(Entry::Other { bytes, is_cut }),
        (None, _) => None,
    }
}
