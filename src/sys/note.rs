//! The ELF note that marks this program's file, so that another copy of it knows it.

use earlykmsg::elf_note::{KIND, OWNER};

/// In the form of the file: the lengths of the owner's name and of the content (none), the kind, the name. The linker
/// keeps every section of this name and puts it where a program header leads to it.
#[used]
// SAFETY: a section of notes holds notes, one behind the other, each a multiple of four bytes; this is a whole one.
#[unsafe(link_section = ".note.earlykmsg")]
static NOTE: [u32; 6] = {
    let [a, b, c, d, e, f, g, h, i, end] = OWNER;
    let name = [[a, b, c, d], [e, f, g, h], [i, end, 0, 0]];
    [
        OWNER.len() as u32,
        0,
        KIND,
        u32::from_ne_bytes(name[0]),
        u32::from_ne_bytes(name[1]),
        u32::from_ne_bytes(name[2]),
    ]
};
