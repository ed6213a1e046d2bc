//! The rules of the house, kept: where `unsafe` stands, who imports whom, what the binary holds.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use earlykmsg_tests::binary::{self, workspace};
use object::elf;
use object::read::elf::{Dyn, ElfFile64, FileHeader, Note, ProgramHeader};
use object::{Object, ObjectSymbol};

/// A file of the repository, by its path from the root.
fn files() -> Vec<(String, Vec<u8>)> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(workspace())
        .output()
        .expect("start git");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("paths are text");
    let names = names.split_terminator('\0').filter(|name| workspace().join(name).is_file());
    names.map(|name| (name.to_owned(), fs::read(workspace().join(name)).expect("read a file"))).collect()
}

/// The Rust files, as text.
fn sources() -> Vec<(String, String)> {
    let rust = |name: &str| Path::new(name).extension().is_some_and(|extension| extension == "rs");
    let text = |bytes| String::from_utf8(bytes).expect("sources are UTF-8");
    files().into_iter().filter(|(name, _)| rust(name)).map(|(name, bytes)| (name, text(bytes))).collect()
}

/// What of a source is not code.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Comment,
    Text,
    Character,
}

/// Where comments, texts and characters begin, and how long they are.
fn not_code(source: &str) -> Vec<(usize, usize, Kind)> {
    let bytes = source.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let before = at.checked_sub(1).map(|at| bytes[at]);
        let starts_word = !before.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
        let (length, kind) = if rest.starts_with(b"//") {
            (rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len()), Kind::Comment)
        } else if rest.starts_with(b"/*") {
            (find(&rest[2..], b"*/").map_or(rest.len(), |end| end + 4), Kind::Comment)
        } else if let Some(length) = starts_word.then(|| raw_text(rest)).flatten() {
            (length, Kind::Text)
        } else if rest[0] == b'"' {
            (1 + text(&rest[1..], b'"'), Kind::Text)
        } else if rest[0] == b'\'' {
            (character(&source[at..]), Kind::Character)
        } else {
            at += 1;
            continue;
        };
        found.push((at, length, kind));
        at += length;
    }
    found
}

/// The code alone: comments, texts and characters become spaces, line by line as before.
fn code(source: &str) -> String {
    let mut code = source.as_bytes().to_vec();
    for (at, length, _) in not_code(source) {
        code[at..at + length].iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
    }
    String::from_utf8(code).expect("what is left is UTF-8")
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// The length of a text up to its closing quote, escapes passed over.
fn text(bytes: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// The length of `r"…"`, `r#"…"#`, `br"…"` at the start.
fn raw_text(bytes: &[u8]) -> Option<usize> {
    let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
        bytes.starts_with(prefix.as_bytes()) && matches!(bytes.get(prefix.len()), Some(b'"' | b'#'))
    })?;
    let hashes = bytes[prefix.len()..].iter().take_while(|&&b| b == b'#').count();
    let start = prefix.len() + hashes;
    if bytes.get(start) != Some(&b'"') {
        return None;
    }
    let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    Some(start + 1 + find(&bytes[start + 1..], &close)? + close.len())
}

/// The length of a character literal at the start, or 1 for a lifetime.
fn character(source: &str) -> usize {
    let mut inner = source[1..].chars();
    match inner.next() {
        Some('\\') => 1 + text(&source.as_bytes()[1..], b'\''),
        Some(c) if inner.next() == Some('\'') => 2 + c.len_utf8(),
        _ => 1,
    }
}

/// Where `word` stands as a word of its own: line numbers from 1.
fn lines_with(code: &str, word: &str) -> Vec<usize> {
    let words = |line: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word);
    code.lines().zip(1..).filter(|(line, _)| words(line)).map(|(_, number)| number).collect()
}

#[test]
fn the_lexer_knows_rust() {
    let source = r##"let a = "unsafe \" unsafe"; // unsafe
let b = r#"unsafe " unsafe"#; let c = '"'; let d: &'static str = "unsafe"; /* unsafe
unsafe */ let e = b'\''; unsafe { f('\u{e9}') } let g = br"unsafe";"##;
    assert_eq!(lines_with(&code(source), "unsafe"), [3]);
    assert_eq!(lines_with("unsafe_code unsafe", "unsafe"), [1]);
    assert_eq!(lines_with("unsafe_code", "unsafe"), [0; 0]);
}

/// `unsafe` stands in `src/sys/` alone, and one name, that of `main`, is exported.
#[test]
fn unsafe_stands_in_sys() {
    let (mut told, mut exported) = (Vec::new(), Vec::new());
    for (name, source) in sources() {
        let code = code(&source);
        let lines: Vec<&str> = source.lines().collect();
        for number in lines_with(&code, "unsafe") {
            if !name.starts_with("src/sys/") {
                told.push(format!("{name}:{number}: {}", lines[number - 1].trim()));
            }
        }
        exported.extend(lines_with(&code, "no_mangle").into_iter().map(|number| format!("{name}:{number}")));
    }
    if exported.len() > 1 {
        told.push(format!("more than main is exported: {exported:?}"));
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
}

/// Above every `unsafe {` and `unsafe impl` stands why it is sound.
#[test]
fn unsafe_has_its_reason() {
    let mut told = Vec::new();
    for (name, source) in sources() {
        let code = code(&source);
        let lines: Vec<&str> = source.lines().map(str::trim).collect();
        let code: Vec<&str> = code.lines().collect();
        for (at, line) in code.iter().enumerate() {
            if !line.contains("unsafe {") && !line.contains("unsafe impl") {
                continue;
            }
            // The comment may stand above the statement that the block is a part of.
            let above = (0..at).rev().take(6).take_while(|&at| !code[at].trim_end().ends_with(['}', ';']));
            let comment = |at: usize| lines[at].starts_with("//") && lines[at].contains("SAFETY:");
            let own = lines[..at].iter().rev().take_while(|line| line.starts_with("//"));
            let reasoned = own.clone().any(|line| line.contains("SAFETY:")) || above.into_iter().any(comment);
            if !reasoned {
                told.push(format!("{name}:{}: {}", at + 1, lines[at]));
            }
        }
    }
    assert!(told.is_empty(), "no SAFETY: line above\n{}", told.join("\n"));
}

/// Rooms that make no system call and know no room that does.
const PURE: &[&str] = &[
    "limits",
    "address",
    "words",
    "error",
    "batch",
    "lifetime",
    "channel",
    "cmdline",
    "endpoint",
    "tags",
    "line",
    "line::escape",
    "line::loss",
    "line::tagged",
    "clock",
    "ledger",
    "closing",
    "kmsg::record",
    "kmsg::saved",
    "harden::policy",
    "boot::note",
    "names",
    "names::hosts",
    "names::lookup",
    "names::message",
    "names::resolv",
    "network",
    "network::netlink",
];

/// The module that a file of `src/` is.
fn module(name: &str) -> String {
    let name = name.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    name.replace('/', "::")
}

/// The code of a file without its unit tests.
fn shipped(source: &str) -> String {
    let code = code(source);
    let tests = code.find("#[cfg(test)]\nmod tests");
    code[..tests.unwrap_or(code.len())].to_owned()
}

/// Every path that a file's code names, from its first segment on: `crate::limits::X` gives
/// `crate::limits::X`, `use a::{b, c::d}` gives `a::b` and `a::c::d`. `super` is resolved.
fn paths(module: &str, code: &str) -> BTreeSet<String> {
    let mut tokens = Vec::new();
    let mut rest = code;
    while let Some(c) = rest.chars().next() {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let length = if word(c) {
            rest.find(|c| !word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            c.len_utf8()
        };
        if !c.is_whitespace() {
            tokens.push(&rest[..length]);
        }
        rest = &rest[length..];
    }
    let is_word = |token: &str| token.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let mut paths = BTreeSet::new();
    let mut stack: Vec<String> = Vec::new();
    let mut prefix = String::new();
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at] {
            "{" if prefix.ends_with("::") => stack.push(core::mem::take(&mut prefix)),
            "{" => stack.push(String::new()),
            "}" => _ = stack.pop(),
            token if is_word(token) => {
                if prefix.is_empty() {
                    prefix = stack.last().cloned().unwrap_or_default();
                }
                prefix += token;
                if tokens.get(at + 1) == Some(&"::") {
                    prefix += "::";
                    at += 2;
                    continue;
                }
                if prefix.contains("::") {
                    paths.insert(core::mem::take(&mut prefix));
                }
                prefix.clear();
            }
            _ => prefix.clear(),
        }
        at += 1;
    }
    let above = module.rsplit_once("::").map_or("crate".to_owned(), |(above, _)| format!("crate::{above}"));
    paths
        .into_iter()
        .map(|path| match path.strip_prefix("super::") {
            Some(rest) => format!("{above}::{rest}"),
            None => path,
        })
        .collect()
}

#[test]
fn the_path_finder_knows_rust() {
    let found = paths("kmsg::source", "use a::{b, c::{d, e}}; fn f(x: super::record::X) { g::h(); y }");
    let want = ["a::b", "a::c::d", "a::c::e", "crate::kmsg::record::X", "g::h"];
    assert_eq!(found, want.iter().map(|path| (*path).to_owned()).collect());
}

#[test]
fn pure_rooms_import_no_shell() {
    let sources = sources();
    let mut told = Vec::new();
    for pure in PURE {
        let own = sources.iter().find(|(name, _)| name.starts_with("src/") && module(name) == *pure);
        let Some((name, source)) = own else {
            told.push(format!("the room {pure} is not there"));
            continue;
        };
        for path in paths(pure, &shipped(source)) {
            let allowed = match path.strip_prefix("crate::") {
                Some(room) => PURE.iter().any(|pure| room == *pure || room.starts_with(&format!("{pure}::"))),
                None => match path.split("::").next().unwrap_or_default() {
                    "std" | "alloc" | "rustix" | "earlykmsg" => false,
                    // Call numbers are what the policy is about.
                    "libc" => *pure == "harden::policy",
                    _ => true, // core, heapless, serde, serde_json_core, own types
                },
            };
            if !allowed {
                told.push(format!("{name}: {path}"));
            }
        }
    }
    assert!(told.is_empty(), "pure rooms name shells:\n{}", told.join("\n"));
}

#[test]
fn only_sys_names_libc_and_nothing_names_main() {
    let mut told = Vec::new();
    for (name, source) in sources().into_iter().filter(|(name, _)| name.starts_with("src/")) {
        for path in paths(&module(&name), &shipped(&source)) {
            let libc =
                path.starts_with("libc::") && !name.starts_with("src/sys/") && name != "src/harden/policy.rs";
            let main = path.starts_with("crate::main") && name != "src/main.rs";
            if libc || main {
                told.push(format!("{name}: {path}"));
            }
        }
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
}

/// Nothing tells of the machine that it was made on.
#[test]
fn no_file_names_a_machine() {
    let words = [concat!("/wo", "rk/"), concat!("/tmp/", "helper"), concat!("shar", "ed/")];
    let mut told = Vec::new();
    for (name, bytes) in files() {
        for word in words {
            if find(&bytes, word.as_bytes()).is_some() {
                told.push(format!("{name} holds {word}"));
            }
        }
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
}

#[test]
fn every_file_begins_with_its_purpose() {
    let silent = sources().into_iter().filter(|(_, source)| !source.starts_with("//!"));
    let silent: Vec<String> = silent.map(|(name, _)| name).collect();
    assert!(silent.is_empty(), "no //! line on top: {silent:?}");
}

#[test]
fn the_binary_is_small_static_and_locked() {
    let bytes = fs::read(binary::earlykmsg()).expect("read the binary");
    println!("release binary: {} bytes", bytes.len());
    assert!(bytes.len() <= 128 * 1024, "{} bytes", bytes.len());

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
    assert_eq!(file.symbols().count(), 0, "stripped");
}

/// Other versions know this one by it, and look for it no further than this.
#[test]
fn the_binary_carries_its_note() {
    let mut paths = vec![binary::earlykmsg().to_owned(), binary::unstripped()];
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
    let path: PathBuf = binary::unstripped();
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

/// Whoever reads a message finds it in docs/messages.md: every text of the program that is words.
#[test]
fn every_message_is_explained() {
    let doc = fs::read_to_string(workspace().join("docs/messages.md")).expect("read the page");
    // Tables of system calls, and checks at compile time.
    let silent = ["src/harden/policy.rs", "src/limits.rs"];
    let speaks = |name: &str| name.starts_with("src/") && !silent.contains(&name);
    let (mut told, mut count) = (Vec::new(), 0);
    for (name, source) in sources().into_iter().filter(|(name, _)| speaks(name)) {
        let source = &source[..shipped(&source).len()];
        for (at, length, _) in not_code(source).into_iter().filter(|(_, _, kind)| *kind == Kind::Text) {
            let text = source[at..at + length].trim_matches('"');
            // What --help prints, an attribute's reason, what a check at compile time says, and why there is no panic.
            let line = source[..at].lines().last().unwrap_or_default();
            let silent = ["reason = ", "assert!(", ".expect("];
            if text.contains("\nusage: ") || silent.iter().any(|before| line.contains(before)) {
                continue;
            }
            // Tables of texts have one behind each other; in a format stand names of values in braces.
            for part in text.split(['\n', ';', '{', '}']) {
                let part = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '\\' || c == ' ');
                let part = part.trim_start_matches("<11>earlykmsg: ").trim_end_matches("\\n");
                let part = part.trim_matches([' ', ',', ':', ';', '\\']);
                let is_list = part.split(", ").all(|word| !word.contains(' '));
                if part.len() >= MESSAGE_BYTES_MIN && !is_list {
                    count += 1;
                    if !doc.contains(part) {
                        told.push(format!("{name}: {part:?}"));
                    }
                }
            }
        }
    }
    assert!(count > 100, "only {count} texts were found");
    assert!(told.is_empty(), "docs/messages.md does not explain:\n{}", told.join("\n"));
}

/// Shorter texts are parts that say nothing alone.
const MESSAGE_BYTES_MIN: usize = 8;
