//! The beginning of a file that may be this program.

use earlykmsg::elf_note::{KIND, OWNER, marks_earlykmsg};

/// The note is found where a model that goes by places in the file finds it, and whoever sees more of the file finds it
/// too.
pub fn check(head: &[u8]) {
    let is_found = marks_earlykmsg(head);
    assert_eq!(is_found, model(head), "{}", head.escape_ascii());
    for end in [head.len() / 2, head.len().saturating_sub(1)] {
        assert!(is_found || !marks_earlykmsg(&head[..end]), "{}", head.escape_ascii());
    }
}

fn model(head: &[u8]) -> bool {
    if !head.starts_with(b"\x7fELF\x02\x01") || number(head, 54, 2) != Some(56) {
        return false;
    }
    let headers = number(head, 32, 8).unwrap_or(0);
    let count = number(head, 56, 2).unwrap_or(0);
    (0..count).map(|at| headers + at * 56).any(|header| {
        // All of the header is there when its last field is.
        let is_whole = number(head, header + 48, 8).is_some();
        is_whole && number(head, header, 4) == Some(4) && segment_has_note(head, header)
    })
}

/// Whether the note is in the segment whose program header stands at `header`.
fn segment_has_note(head: &[u8], header: u128) -> bool {
    let field = |at: u128, bytes: u128| number(head, header + at, bytes).unwrap_or(0);
    let align = if field(48, 8) == 8 { 8 } else { 4 };
    let (start, length) = (field(8, 8), field(32, 8));
    let end = (start + length).min(head.len() as u128);
    let mut note = start;
    while let Some([owner_length, content_length, kind]) = note_header(head, note, end) {
        let owner = note + 12;
        if owner + owner_length > end {
            break;
        }
        if &head[owner as usize..(owner + owner_length) as usize] == OWNER.as_slice() && kind == KIND.into() {
            return true;
        }
        let content = start + (owner + owner_length - start).next_multiple_of(align);
        note = start + (content + content_length - start).next_multiple_of(align);
    }
    false
}

/// The two lengths of the note at this place, and its kind.
fn note_header(head: &[u8], note: u128, end: u128) -> Option<[u128; 3]> {
    let is_whole = note + 12 <= end;
    let field = |at: u128| number(head, note + at, 4).filter(|_| is_whole);
    Some([field(0)?, field(4)?, field(8)?])
}

/// The number of so many bytes at this place, the lowest first. No sum of such numbers overflows.
fn number(head: &[u8], at: u128, bytes: u128) -> Option<u128> {
    let at = usize::try_from(at).ok()?;
    let bytes = head.get(at..)?.get(..bytes as usize)?;
    Some(bytes.iter().rev().fold(0, |number, &byte| number * 256 + u128::from(byte)))
}
