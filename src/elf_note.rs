//! The ELF note that every version of this program carries, and finding it in the first bytes of any file.

use core::ops::Range;

/// Who the note belongs to, with the NUL that ends every owner's name.
pub const OWNER: [u8; 10] = *b"earlykmsg\0";
/// What kind of note it is; the numbers are the owner's own.
pub const KIND: u32 = 1;

// The header of a file. All numbers have their lowest byte first, as on x86-64 and arm64.
const IDENTITY: Range<usize> = 0..6;
const E_PHOFF: Range<usize> = 32..40;
const E_PHENTSIZE: Range<usize> = 54..56;
const E_PHNUM: Range<usize> = 56..58;

// A program header.
const P_TYPE: Range<usize> = 0..4;
const P_OFFSET: Range<usize> = 8..16;
const P_FILESZ: Range<usize> = 32..40;
const P_ALIGN: Range<usize> = 48..56;
const PROGRAM_HEADER_BYTES: usize = 56;
const PT_NOTE: usize = 4;

// A note: the two lengths are those of what follows.
const N_NAMESZ: Range<usize> = 0..4;
const N_DESCSZ: Range<usize> = 4..8;
const N_TYPE: Range<usize> = 8..12;
const NOTE_HEADER_BYTES: usize = 12;

/// Whether a file that begins with `head` is earlykmsg. Its program headers and notes stand there: the linker puts
/// them first.
pub fn marks_earlykmsg(head: &[u8]) -> bool {
    program_headers(head)
        .filter(|header| number(header, P_TYPE) == Some(PT_NOTE))
        .filter_map(|header| segment(head, header))
        .any(|(notes, align)| Notes { rest: notes, align }.any(is_ours))
}

/// The program headers of a 64-bit file that are wholly in `head`.
fn program_headers(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_elf = head.get(IDENTITY) == Some(b"\x7fELF\x02\x01");
    let size = number(head, E_PHENTSIZE).filter(|&size| is_elf && size == PROGRAM_HEADER_BYTES);
    let headers = size.and_then(|_| head.get(number(head, E_PHOFF)?..)).unwrap_or_default();
    headers.chunks_exact(PROGRAM_HEADER_BYTES).take(number(head, E_PHNUM).unwrap_or(0))
}

/// What of a segment is in `head`, and how its notes are aligned.
fn segment<'a>(head: &'a [u8], header: &[u8]) -> Option<(&'a [u8], usize)> {
    let rest = head.get(number(header, P_OFFSET)?..)?;
    let len = number(header, P_FILESZ)?.min(rest.len());
    let align = if number(header, P_ALIGN) == Some(8) { 8 } else { 4 };
    Some((&rest[..len], align))
}

/// A note: whose it is, and of what kind.
#[derive(Clone, Copy)]
struct Note<'a> {
    owner: &'a [u8],
    kind: usize,
}

fn is_ours(note: Note<'_>) -> bool {
    note.owner == OWNER && note.kind == KIND as usize
}

/// The notes of a segment, up to the first that is not whole.
struct Notes<'a> {
    rest: &'a [u8],
    align: usize,
}

impl<'a> Iterator for Notes<'a> {
    type Item = Note<'a>;

    fn next(&mut self) -> Option<Note<'a>> {
        let note = self.rest;
        // Each length is below 2^32, so no sum of them overflows.
        let owner_end = NOTE_HEADER_BYTES + number(note, N_NAMESZ)?;
        let content_end = owner_end.next_multiple_of(self.align) + number(note, N_DESCSZ)?;
        let owner = note.get(NOTE_HEADER_BYTES..owner_end)?;
        let kind = number(note, N_TYPE)?;
        // A note takes at least its header, so this comes to an end.
        self.rest = note.get(content_end.next_multiple_of(self.align)..).unwrap_or_default();
        Some(Note { owner, kind })
    }
}

/// The number in a field of at most eight bytes.
fn number(bytes: &[u8], field: Range<usize>) -> Option<usize> {
    let bytes = bytes.get(field)?;
    Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::NOTE_HEAD_BYTES;
    use crate::testing::Random;
    use std::vec;
    use std::vec::Vec;

    fn note(owner: &[u8], kind: u32, content: &[u8], align: usize) -> Vec<u8> {
        let mut note = Vec::new();
        for number in [owner.len() as u32, content.len() as u32, kind] {
            note.extend(number.to_le_bytes());
        }
        for part in [owner, content] {
            note.extend(part);
            note.resize(note.len().next_multiple_of(align), 0);
        }
        note
    }

    /// A file with a program header of another type before each segment of notes.
    fn file(segments: &[(&[u8], u64)]) -> Vec<u8> {
        let count = 2 * segments.len();
        let mut file = vec![0; 64];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[E_PHOFF].copy_from_slice(&64u64.to_le_bytes());
        file[E_PHENTSIZE].copy_from_slice(&56u16.to_le_bytes());
        file[E_PHNUM].copy_from_slice(&(count as u16).to_le_bytes());
        let mut offset = 64 + 56 * count as u64;
        for (segment, align) in segments {
            let mut header = [0; 56];
            header[P_TYPE].copy_from_slice(&1u32.to_le_bytes());
            file.extend(header);
            header[P_TYPE].copy_from_slice(&4u32.to_le_bytes());
            header[P_OFFSET].copy_from_slice(&offset.to_le_bytes());
            header[P_FILESZ].copy_from_slice(&(segment.len() as u64).to_le_bytes());
            header[P_ALIGN].copy_from_slice(&align.to_le_bytes());
            file.extend(header);
            offset += segment.len() as u64;
        }
        for (segment, _) in segments {
            file.extend(*segment);
        }
        file
    }

    fn ours() -> Vec<u8> {
        note(&OWNER, KIND, b"", 4)
    }

    #[test]
    fn the_note_is_found() {
        assert!(marks_earlykmsg(&file(&[(&ours(), 4)])));
        let with_content = note(&OWNER, KIND, b"any version", 4);
        assert!(marks_earlykmsg(&file(&[(&with_content, 4)])));
        let behind_another = [note(b"GNU\0", 3, &[7; 21], 4), ours()].concat();
        assert!(marks_earlykmsg(&file(&[(&behind_another, 4)])));
        let aligned_to_8 = [note(b"GNU\0", 5, &[7; 12], 8), note(&OWNER, KIND, b"", 8)].concat();
        assert!(marks_earlykmsg(&file(&[(&note(b"GNU\0", 5, &[7; 16], 8), 8), (&aligned_to_8, 8)])));
    }

    #[test]
    fn another_file_is_not_earlykmsg() {
        let others = [
            note(&OWNER, KIND + 1, b"", 4),
            note(b"earlykmsh\0", KIND, b"", 4),
            note(b"earlykmsg", KIND, b"", 4),
            note(b"", KIND, &ours(), 4),
            ours()[..ours().len() - 3].to_vec(),
            vec![],
        ];
        for other in others {
            assert!(!marks_earlykmsg(&file(&[(&other, 4)])), "{other:?}");
        }
        assert!(!marks_earlykmsg(b""));
        assert!(!marks_earlykmsg(b"#!/bin/sh\nexec /earlykmsg\0\x04\0\0\0"));
        let whole = file(&[(&ours(), 4)]);
        for (at, byte) in [(0, 0), (4, 1), (5, 2), (54, 55), (56, 0)] {
            let mut changed = whole.clone();
            changed[at] = byte;
            assert!(!marks_earlykmsg(&changed), "byte {at}");
        }
    }

    /// Lengths and places that lead anywhere, and files that end anywhere: an answer, and no panic.
    #[test]
    fn any_bytes_are_answered() {
        let mut random = Random::new(15);
        let notes = [note(b"GNU\0", 3, &[7; 20], 4), ours()].concat();
        let whole = file(&[(&notes, 4), (&notes, 8)]);
        for len in 0..whole.len() {
            marks_earlykmsg(&whole[..len]);
        }
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                for others in [1, 4, 8] {
                    let mut changed = whole.clone();
                    let end = (at + others).min(whole.len());
                    changed[at..end].fill(byte);
                    marks_earlykmsg(&changed);
                }
            }
        }
        for _ in 0..20_000 {
            let mut changed = whole.clone();
            changed.resize(whole.len() + random.below(NOTE_HEAD_BYTES - whole.len()), random.byte());
            for _ in 0..=random.below(12) {
                let at = random.below(changed.len());
                changed[at] = random.byte();
            }
            marks_earlykmsg(&changed[..random.below(changed.len() + 1)]);
        }
        for _ in 0..2_000 {
            let any: Vec<u8> = (0..random.below(512)).map(|_| random.byte()).collect();
            marks_earlykmsg(&[b"\x7fELF\x02\x01", any.as_slice()].concat());
        }
    }
}
