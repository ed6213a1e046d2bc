//! Records as the kernel gave them, kept one behind the other.

use heapless::Vec;

use crate::limits::{SAVED_BYTES, SAVED_ENOUGH_BYTES};

/// Before each record stands its length.
const LENGTH_BYTES: usize = size_of::<u16>();

/// Kept records, oldest first.
pub struct Saved(Vec<u8, SAVED_BYTES>);

impl Saved {
    /// No record.
    pub const EMPTY: Saved = Saved(Vec::new());

    /// Keeps one more. `false`: there is no room for it.
    pub fn push(&mut self, record: &[u8]) -> bool {
        let Ok(length) = u16::try_from(record.len()) else { return false };
        if self.0.len() + LENGTH_BYTES + record.len() > SAVED_BYTES {
            return false;
        }
        let _ = self.0.extend_from_slice(&length.to_ne_bytes());
        let _ = self.0.extend_from_slice(record);
        true
    }

    /// Whether enough of them are kept.
    pub fn is_enough(&self) -> bool {
        self.0.len() >= SAVED_ENOUGH_BYTES
    }

    /// All of them.
    pub fn records(&self) -> Records<'_> {
        Records(&self.0)
    }
}

/// The kept records that are still to come.
#[derive(Clone)]
pub struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk()?;
        let (record, rest) = rest.split_at_checked(usize::from(u16::from_ne_bytes(*length)))?;
        self.0 = rest;
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::RECORD_BYTES_MAX;
    use std::vec;

    #[test]
    fn keeps_records_of_any_length_until_it_is_full() {
        let mut saved = Saved::EMPTY;
        assert_eq!(saved.records().next(), None);
        let long = vec![b'x'; SAVED_BYTES - RECORD_BYTES_MAX];
        let records = [&b"6,1,1,-;one\n SUBSYSTEM=x\n"[..], b"", &long];
        for record in records {
            assert!(saved.push(record));
        }
        assert!(!saved.push(&[b'y'; RECORD_BYTES_MAX]), "no room");
        assert!(!saved.push(&vec![0; 1 << 16]), "no length");
        assert!(saved.push(b"6,4,1,-;four\n"), "a short one still fits");
        assert!(saved.records().eq(records.into_iter().chain([&b"6,4,1,-;four\n"[..]])));
    }

    #[test]
    fn a_record_of_any_length_fits_until_it_is_enough() {
        let mut saved = Saved::EMPTY;
        assert!(saved.push(&vec![b'x'; SAVED_ENOUGH_BYTES - LENGTH_BYTES - 1]) && !saved.is_enough());
        assert!(saved.push(&[b'y'; RECORD_BYTES_MAX]) && saved.is_enough());
    }

    #[test]
    fn is_full_to_the_byte() {
        let longest = SAVED_BYTES - LENGTH_BYTES;
        let mut saved = Saved::EMPTY;
        assert!(!saved.push(&vec![b'x'; longest + 1]));
        assert!(saved.push(&vec![b'x'; longest]));
        assert!(!saved.push(b""));
    }
}
