//! What holds for the programs' files, for each processor and as each linker makes them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use earlykmsg_tests::binary::{self, workspace};
use object::elf;
use object::read::elf::{Dyn, ElfFile64, FileHeader, Note, ProgramHeader};
use object::{Object, ObjectSymbol};

/// How large each may be.
const BYTES_MAX: usize = 128 * 1024;

/// No library and no interpreter; relocated at the start, with the result read-only; nothing that is written runs.
fn assert_static_and_locked(path: &Path) -> usize {
    let bytes = fs::read(path).expect("read the binary");
    println!("{}: {} bytes", path.display(), bytes.len());
    let file = ElfFile64::<object::Endianness>::parse(&*bytes).expect("an ELF file");
    let endian = file.endian();
    assert_eq!(file.elf_header().e_type(endian), elf::ET_DYN, "position independent");
    let headers = file.elf_program_headers();
    let of = |kind| headers.iter().filter(move |header| header.p_type(endian) == kind);
    assert_eq!(of(elf::PT_INTERP).count(), 0, "no interpreter");
    assert_eq!(of(elf::PT_GNU_RELRO).count(), 1, "relocations are made read-only");
    let stack = of(elf::PT_GNU_STACK).next().expect("a header for the stack");
    assert_eq!(stack.p_flags(endian).0 & elf::PF_X.0, 0, "the stack cannot be run");
    for load in of(elf::PT_LOAD) {
        let flags = load.p_flags(endian).0;
        assert!(flags & elf::PF_W.0 == 0 || flags & elf::PF_X.0 == 0, "a segment is writable and can be run");
    }
    let dynamic = of(elf::PT_DYNAMIC).next().expect("a dynamic section: it relocates itself");
    let entries = dynamic.dynamic(endian, &*bytes).expect("readable").unwrap_or_default();
    assert!(entries.iter().all(|entry| entry.d_tag(endian) != elf::DT_NEEDED), "no library");
    // The relocations that musl's start knows: not packed, which GNU ld 2.40 cannot do and musl 1.2.3 not read.
    let has = |tag| entries.iter().any(|entry| entry.d_tag(endian) == tag);
    assert!(has(elf::DT_RELA) && !has(elf::DT_RELR), "relocations that the start understands");
    assert_eq!(file.symbols().count(), 0, "stripped");
    bytes.len()
}

#[test]
fn the_binary_is_small_static_and_locked() {
    for path in [binary::earlykmsg(), &binary::earlykmsg_network(), &binary::earlykmsg_pstore()] {
        assert!(assert_static_and_locked(path) <= BYTES_MAX);
    }
}

#[test]
fn so_it_is_for_other_processors() {
    for architecture in ["arm64", "riscv64"] {
        let path = binary::cross(architecture);
        for path in
            [&path, &path.with_file_name("earlykmsg-network"), &path.with_file_name("earlykmsg-pstore")]
        {
            assert!(assert_static_and_locked(path) <= BYTES_MAX);
        }
    }
}

/// Built on such a machine, where the C compiler links by GNU ld. It runs: it has relocated itself.
#[test]
fn so_it_is_as_gnu_ld_links_it() {
    for (architecture, machine) in [("arm64", "aarch64"), ("riscv64", "riscv64")] {
        let path = binary::cross_by_gnu_ld(architecture);
        // It pads segments to the largest pages that a kernel may have.
        assert_static_and_locked(&path);
        let output = Command::new(format!("qemu-{machine}")).arg(&path).arg("--help").output();
        let output = output.expect("start qemu-user (Debian: apt-get install qemu-user)");
        assert!(output.status.success() && output.stdout.starts_with(b"earlykmsg "), "{output:?}");
    }
}

/// Other versions know this one by it, and look for it no further than this.
#[test]
fn the_binary_carries_its_note() {
    let mut paths = vec![
        binary::earlykmsg().to_owned(),
        binary::unstripped(),
        binary::earlykmsg_network(),
        binary::earlykmsg_pstore(),
    ];
    let stripped = workspace().join("target/unstripped/stripped");
    let status = Command::new("strip").arg("-o").arg(&stripped).arg(&paths[1]).status().expect("start strip");
    assert!(status.success(), "strip failed");
    paths.push(stripped);
    for path in paths {
        let bytes = fs::read(&path).expect("read the binary");
        let file = ElfFile64::<object::Endianness>::parse(&*bytes).expect("an ELF file");
        let endian = file.endian();
        let is_ours = |note: object::read::Result<Note<'_, _>>| {
            let note = note.expect("a note");
            note.name() == b"earlykmsg" && note.n_type(endian) == elf::NoteType(1)
        };
        let mut ends = Vec::new();
        for header in file.elf_program_headers() {
            let notes = header.notes(endian, &*bytes).expect("readable");
            if notes.is_some_and(|mut notes| notes.any(is_ours)) {
                ends.push(header.p_offset(endian) + header.p_filesz(endian));
            }
        }
        assert_eq!(ends.len(), 1, "{}", path.display());
        assert!(ends[0] <= 4096, "{}: {ends:?}", path.display());
    }
}

#[test]
fn the_binary_has_no_heap() {
    let path = binary::unstripped();
    for path in [&path, &path.with_file_name("earlykmsg-network"), &path.with_file_name("earlykmsg-pstore")] {
        assert_no_heap(path);
    }
}

fn assert_no_heap(path: &Path) {
    let bytes = fs::read(path).expect("read the binary");
    let file = object::File::parse(&*bytes).expect("an ELF file");
    let names: BTreeSet<&str> = file.symbols().filter_map(|symbol| symbol.name().ok()).collect();
    assert!(names.contains("_start"), "it holds its symbols");
    let heap = [
        "malloc",
        "calloc",
        "realloc",
        "free",
        "__libc_malloc",
        "__libc_free",
        "posix_memalign",
        "aligned_alloc",
    ];
    let found: Vec<&&str> = heap.iter().filter(|name| names.contains(**name)).collect();
    assert!(found.is_empty(), "{found:?}");
}
