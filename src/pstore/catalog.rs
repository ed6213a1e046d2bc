//! The files of pstore: which of them are dumps, which belong together, in what order they are shipped, and how much of
//! them.
//!
//! The kernel writes the parts of a dump one after the other, newest first: sorted by time, a dump begins wherever the part
//! number does not rise. They are shipped the other way round, so that lines stand in the order of their boot.

use core::fmt::{self, Display};
use core::mem::take;

use heapless::Vec;

use super::dump::{Header, Line, lines};
use super::item::Item;
use crate::limits::{
    PSTORE_FILES_MAX, PSTORE_HEADER_BYTES_MAX, PSTORE_LABEL_BYTES_MAX, PSTORE_NAME_BYTES_MAX,
    PSTORE_PARTS_APART_US,
};
use crate::text::{Quoted, split_once};

/// What a file in pstore is, by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Text that the kernel's log ended with.
    Dump,
    /// The same, which the kernel could not decompress.
    Unreadable,
    /// Something else: a console's text, a function trace, a machine check.
    Other,
}

/// What a file is: `dmesg-erst-7577`, `dmesg-efi_pstore-173279999901001`, `dmesg-ramoops-0`.
pub fn kind(name: &[u8]) -> Kind {
    if !name.starts_with(b"dmesg-") {
        Kind::Other
    } else if name.ends_with(b".enc.z") || name.len() > PSTORE_NAME_BYTES_MAX || name.contains(&b'/') {
        Kind::Unreadable
    } else {
        Kind::Dump
    }
}

/// The priority of a line that does not say how severe it is: an error of the kernel.
const BROKEN: u32 = 3;

/// Whether a character needs no escape, neither in JSON nor in syslog.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\' | b']')
}

/// A file that a dump, or a part of one, was written to.
#[derive(Debug)]
struct File<H> {
    name: Vec<u8, PSTORE_NAME_BYTES_MAX>,
    /// By which it is read.
    handle: H,
    header: Header,
    modified_us: i64,
    bytes: usize,
    /// How much of it is shipped: its end, where that is not all.
    kept: usize,
    /// All of it could be read, and is shipped.
    is_whole: bool,
}

impl<H> File<H> {
    /// Whether it is the part of the same dump that was written after that one, and has older lines.
    fn follows(&self, newer: &File<H>) -> bool {
        self.header.dump() == newer.header.dump()
            && self.header.part > newer.header.part
            && self.modified_us.abs_diff(newer.modified_us) <= PSTORE_PARTS_APART_US
    }

    /// Its whole lines, of what is kept of it.
    fn lines<'a>(&self, kept: &'a [u8]) -> &'a [u8] {
        // Of a file whose beginning is not kept, the first line is no line either.
        let has_header = self.header.part > 0 || self.kept < self.bytes;
        split_once(kept, b'\n').filter(|_| has_header).map_or(kept, |(_, lines)| lines)
    }

    /// Writes its lines for the shippers. `last_us` is the stamp of its dump's last line, `clock_us` that of the line before.
    fn write<'l>(
        &self,
        lines: impl Iterator<Item = Line<'l>>,
        last_us: u64,
        clock_us: &mut u64,
        out: &mut dyn FnMut(&[u8]),
    ) {
        let mut write = |item: &Item<'_>| {
            let (head, text) = item.encode();
            out(&head);
            out(text);
        };
        let origin = self.origin();
        let mut is_first = true;
        for line in lines {
            if core::mem::take(&mut is_first) {
                let wall_us = self.modified_us.saturating_sub(last_us.cast_signed());
                write(&Item::Part { wall_us, origin: &origin });
            }
            // A line without a stamp belongs to the one before.
            *clock_us = line.clock_us.unwrap_or(*clock_us);
            write(&Item::Line {
                clock_us: *clock_us,
                priority: line.priority.unwrap_or(BROKEN),
                text: line.text,
            });
        }
    }

    /// Its name, and what it says of itself: text that needs no escape anywhere.
    fn origin(&self) -> Vec<u8, PSTORE_LABEL_BYTES_MAX> {
        let says = &*self.header.line;
        let between: &[u8] = if says.is_empty() { b"" } else { b" " };
        let all = [&*self.name, between, says].into_iter().flatten();
        all.map(|&byte| if is_plain(byte) { byte } else { b'_' }).collect()
    }
}

/// The dumps' files. `H` is what each is read by.
#[derive(Debug)]
pub struct Catalog<H> {
    files: Vec<File<H>, PSTORE_FILES_MAX>,
    /// Files that are not shipped: those that cannot be read, and those beyond so many.
    pub files_left_out: usize,
    /// Bytes that are not shipped because there are too many, of the files that are.
    pub bytes_left_out: usize,
}

impl<H> Catalog<H> {
    /// No files.
    pub const EMPTY: Catalog<H> = Catalog { files: Vec::new(), files_left_out: 0, bytes_left_out: 0 };

    /// Adds a dump's file. They stand in the order in which they were written: the kernel counts in their names. If there is
    /// no more room, the oldest is left out.
    pub fn add(&mut self, handle: H, name: &[u8], bytes: usize, modified_us: i64) {
        let is_later = |file: &File<H>| {
            (file.modified_us, file.name.len(), &*file.name) > (modified_us, name.len(), name)
        };
        let mut at = self.files.iter().position(is_later).unwrap_or(self.files.len());
        if self.files.is_full() {
            self.files_left_out += 1;
            if at == 0 {
                return;
            }
            self.files.remove(0);
            at -= 1;
        }
        let name = Vec::from_slice(name).unwrap_or_default();
        let file =
            File { name, handle, header: Header::default(), modified_us, bytes, kept: 0, is_whole: false };
        // There is room.
        let _ = self.files.insert(at, file);
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Puts the files in the order in which they are shipped, and reads what is shipped of them, one behind the other.
    /// Returns that. `read` is given a file, a position in it and a buffer, and gives what it could read.
    pub fn read<'t>(&mut self, text: &'t mut [u8], read: impl Fn(&H, usize, &mut [u8]) -> usize) -> &'t [u8] {
        for file in &mut self.files {
            let mut head = [0; PSTORE_HEADER_BYTES_MAX + 1];
            read(&file.handle, 0, &mut head);
            file.header = Header::parse(&head);
        }
        for dump in self.files.chunk_by_mut(|newer, file| file.follows(newer)) {
            dump.reverse();
        }
        // The newest have the room, from its end on.
        let mut room = &mut text[..];
        for file in self.files.iter_mut().rev() {
            let (rest, own) = room.split_at_mut(room.len().saturating_sub(file.bytes));
            let got = read(&file.handle, file.bytes.saturating_sub(own.len()), own);
            // An empty line is none.
            own.get_mut(got..).unwrap_or_default().fill(b'\n');
            file.kept = own.len();
            file.is_whole = got >= file.bytes;
            self.bytes_left_out += file.bytes.saturating_sub(got);
            room = rest;
        }
        let begin = room.len();
        text.get(begin..).unwrap_or_default()
    }

    /// Writes the file that shippers get. `text` is what was read.
    pub fn write(&self, mut text: &[u8], out: &mut dyn FnMut(&[u8])) -> Found<'_> {
        let mut found = Found::default();
        for dump in self.files.chunk_by(File::follows) {
            let (Some(oldest), Some(File { kept: 1.., .. })) = (dump.first(), dump.last()) else { continue };
            found.begin(&oldest.header, dump.len());
            let (mut ahead, mut last_us) = (text, 0);
            for file in dump {
                for line in lines(file.lines(ahead.split_off(..file.kept).unwrap_or_default())) {
                    found.lines += 1;
                    last_us = line.clock_us.unwrap_or(last_us);
                }
            }
            let mut clock_us = 0;
            for file in dump {
                let lines = lines(file.lines(text.split_off(..file.kept).unwrap_or_default()));
                file.write(lines, last_us, &mut clock_us, out);
            }
        }
        found
    }

    /// The names of the files of which nothing was left out.
    pub fn whole_files(&self) -> impl Iterator<Item = &[u8]> {
        self.files.iter().filter(|file| file.is_whole).map(|file| &file.name[..])
    }
}

/// What is shipped. Displays as what is logged of it.
#[derive(Default, Debug)]
pub struct Found<'a> {
    /// The newest dump: its parts, those that are missing between, and its lines.
    newest: Option<&'a Header>,
    parts: usize,
    lines: u32,
    /// The dumps before it, and all their lines.
    earlier: u32,
    earlier_lines: u32,
}

impl<'a> Found<'a> {
    /// The next dump, whose first part this is.
    fn begin(&mut self, header: &'a Header, parts: usize) {
        self.earlier += u32::from(self.newest.is_some());
        self.earlier_lines += take(&mut self.lines);
        (self.newest, self.parts) = (Some(header), parts);
    }
}

impl Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(newest) = self.newest else { return Ok(()) };
        let Found { parts, lines, earlier, earlier_lines, .. } = *self;
        let (dump, end) = (Quoted(newest.dump()), if parts == 1 { "" } else { "s" });
        write!(f, "the last boot ended in {dump}: {lines} lines in {parts} part{end}")?;
        let missing = (newest.part as usize).saturating_sub(parts);
        if missing > 0 {
            write!(f, ", {missing} missing")?;
        }
        if earlier > 0 {
            write!(
                f,
                "; earlier dumps: {earlier}, {earlier_lines} lines; once pstore is full, no more are kept"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PSTORE_BYTES_MAX;
    use crate::testing::Random;
    use std::string::{String, ToString};
    use std::vec::Vec;
    use std::{format, vec};

    /// A second, in microseconds.
    const S: i64 = 1_000_000;

    /// What a shipper finds of each part: where it comes from, the wall clock, whether its file is whole, and its lines.
    type Found = Vec<(String, i64, bool, String)>;

    /// All that is shipped of files (name, modified in seconds, content), with what is logged of it.
    fn ship(files: &[(&str, i64, &[u8])]) -> (Found, String, [usize; 2]) {
        let mut catalog = Catalog::EMPTY;
        for (handle, (name, modified_s, content)) in files.iter().enumerate() {
            catalog.add(handle, name.as_bytes(), content.len(), modified_s * S);
        }
        let mut text = vec![b'~'; PSTORE_BYTES_MAX];
        let text = catalog.read(&mut text, |&handle, offset, buffer| {
            let rest = &files[handle].2[offset..];
            let length = rest.len().min(buffer.len());
            buffer[..length].copy_from_slice(&rest[..length]);
            length
        });
        let mut out = Vec::new();
        let said = catalog.write(text, &mut |bytes| out.extend_from_slice(bytes)).to_string();
        let whole: Vec<String> = catalog.whole_files().map(text_of).collect();
        (read(&out, &whole), said, [catalog.files_left_out, catalog.bytes_left_out])
    }

    fn text_of(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// The parts, with their lines as the kernel writes them, but for errors, whose text stands alone.
    fn read(mut file: &[u8], whole: &[String]) -> Found {
        let mut found = Found::new();
        while let Some(item) = Item::decode(file) {
            match item {
                Item::Part { wall_us, origin } => {
                    let origin = text_of(origin);
                    let is_whole = whole.iter().any(|name| origin.split(' ').next() == Some(name));
                    found.push((origin, wall_us, is_whole, String::new()));
                }
                Item::Line { clock_us, priority, text } => {
                    let (.., lines) = found.last_mut().expect("a part");
                    if priority != BROKEN {
                        let (seconds, micros) = (clock_us / 1_000_000, clock_us % 1_000_000);
                        *lines += &format!("<{priority}>[{seconds:5}.{micros:06}] ");
                    }
                    *lines += &text_of(text);
                }
            }
            file = &file[item.bytes()..];
        }
        assert_eq!(file, b"", "nothing but items");
        found
    }

    /// A file's lines in the same form.
    fn lines_of(content: &[u8]) -> String {
        let line = |line: &str| match line.strip_prefix("<3>[") {
            Some(error) => error.split_once("] ").expect("a stamp").1.to_owned(),
            None => line.to_owned(),
        };
        text_of(content).split_inclusive('\n').map(line).collect()
    }

    fn labels(found: &Found) -> Vec<&str> {
        found.iter().map(|(label, ..)| label.as_str()).collect()
    }

    /// Of more files than there is room for, the newest are shipped, in whatever order they are found.
    #[test]
    fn of_too_many_files_the_newest() {
        let names: Vec<String> =
            (0..PSTORE_FILES_MAX + 2).map(|number| format!("dmesg-erst-{number}")).collect();
        let contents: Vec<String> =
            names.iter().map(|name| format!("Panic#1 Part1\n<6>[    1.000000] {name}\n")).collect();
        let files = || (100..).step_by(100).zip(names.iter().zip(&contents));
        let mut oldest_first: Vec<(&str, i64, &[u8])> =
            files().map(|(time, (name, content))| (name.as_str(), time, content.as_bytes())).collect();
        let want: Vec<String> = names[2..].iter().map(|name| format!("{name} Panic#1 Part1")).collect();
        for _ in 0..2 {
            let (found, _, left_out) = ship(&oldest_first);
            assert_eq!(labels(&found), want);
            assert_eq!(left_out, [2, 0]);
            oldest_first.reverse();
        }
    }

    #[test]
    fn names() {
        for name in [
            "dmesg-erst-7577069138485706753",
            "dmesg-efi-166000000001001",
            "dmesg-efi_pstore-173279999901001",
            "dmesg-ramoops-0",
        ] {
            assert_eq!(kind(name.as_bytes()), Kind::Dump, "{name}");
        }
        for name in ["console-ramoops-0", "mce-erst-7", "pmsg-ramoops-0", "ftrace-ramoops", ".", ".."] {
            assert_eq!(kind(name.as_bytes()), Kind::Other, "{name}");
        }
        let long = format!("dmesg-{}", "1".repeat(PSTORE_NAME_BYTES_MAX - 5));
        for name in ["dmesg-efi_pstore-173279999901001.enc.z", "dmesg-/x", &long] {
            assert_eq!(kind(name.as_bytes()), Kind::Unreadable, "{name}");
        }
        assert_eq!(kind(&long.as_bytes()[..PSTORE_NAME_BYTES_MAX]), Kind::Dump);
    }

    /// As ERST has them: seconds, and numbers that rise as they were written.
    #[test]
    fn parts_of_a_panic_the_oldest_lines_first() {
        let (found, said, left_out) = ship(&[
            ("dmesg-erst-9", 100, b"Panic#1 Part1\n<6>[    7.000000] c\n<0>[    8.000000] d\n"),
            ("dmesg-erst-10", 100, b"Panic#1 Part2\n<6>[    5.000000] a\n<6>[    6.000000] b\n"),
        ]);
        let offset = 100 * S - 8 * S;
        assert_eq!(
            found,
            [
                (
                    "dmesg-erst-10 Panic#1 Part2".into(),
                    offset,
                    true,
                    "<6>[    5.000000] a\n<6>[    6.000000] b\n".into()
                ),
                (
                    "dmesg-erst-9 Panic#1 Part1".into(),
                    offset,
                    true,
                    "<6>[    7.000000] c\n<0>[    8.000000] d\n".into()
                ),
            ]
        );
        assert_eq!(said, "the last boot ended in Panic#1: 4 lines in 2 parts");
        assert_eq!(left_out, [0, 0]);
    }

    /// Files that kernels wrote: an ERST in two parts without compression, and ramoops with error correction.
    #[test]
    fn recorded_files() {
        const ERST: [(&str, &[u8]); 2] = [
            (
                "dmesg-erst-7713319603539017729",
                include_bytes!("../../tests/data/pstore/dmesg-erst-7713319603539017729"),
            ),
            (
                "dmesg-erst-7713319603539017730",
                include_bytes!("../../tests/data/pstore/dmesg-erst-7713319603539017730"),
            ),
        ];
        const RAMOOPS: &[u8] = include_bytes!("../../tests/data/pstore/dmesg-ramoops-0");
        let (found, said, _) = ship(&ERST.map(|(name, content)| (name, 1_795_897_168, content)));
        assert_eq!(said, "the last boot ended in Panic#1: 238 lines in 2 parts");
        assert_eq!(
            labels(&found),
            ["dmesg-erst-7713319603539017730 Panic#1 Part2", "dmesg-erst-7713319603539017729 Panic#1 Part1",]
        );
        assert_eq!(found[1].1, 1_795_897_168 * S - 3_551_510, "the last line's stamp is the file's time");
        assert!(
            ERST.iter()
                .all(|(_, content)| found.iter().any(|(.., lines)| lines_of(content).ends_with(lines)))
        );
        let (found, said, _) = ship(&[("dmesg-ramoops-0", 1_795_897_156, RAMOOPS)]);
        assert_eq!(said, "the last boot ended in Panic#1: 113 lines in 1 part");
        assert!(lines_of(RAMOOPS).contains(&found[0].3), "all but the first line and the last");
        assert_eq!(found[0].3.lines().count(), 113);
    }

    #[test]
    fn one_part() {
        let (_, said, _) = ship(&[("dmesg-ramoops-0", 5, b"Panic#1 Part1\n<6>[    1.000000] a\n")]);
        assert_eq!(said, "the last boot ended in Panic#1: 1 lines in 1 part");
    }

    /// As efi_pstore has them, in the order of a directory, which is none.
    #[test]
    fn several_dumps_the_oldest_first() {
        let (found, said, _) = ship(&[
            ("dmesg-efi_pstore-20001001", 200, b"Panic#1 Part1\n<0>[    9.000000] h\n"),
            ("dmesg-efi_pstore-10002001", 101, b"Oops#1 Part2\n<4>[    1.000000] a\n"),
            ("dmesg-efi_pstore-10101002", 101, b"Panic#2 Part1\n<0>[    4.000000] d\n"),
            ("dmesg-efi_pstore-20103001", 201, b"Panic#1 Part3\n<0>[    7.000000] f\n"),
            ("dmesg-efi_pstore-10001001", 100, b"Oops#1 Part1\n<4>[    2.000000] b\n"),
            ("dmesg-efi_pstore-10202002", 102, b"Panic#2 Part2\n<0>[    3.000000] c\n"),
        ]);
        assert_eq!(
            labels(&found),
            [
                "dmesg-efi_pstore-10002001 Oops#1 Part2",
                "dmesg-efi_pstore-10001001 Oops#1 Part1",
                "dmesg-efi_pstore-10202002 Panic#2 Part2",
                "dmesg-efi_pstore-10101002 Panic#2 Part1",
                "dmesg-efi_pstore-20103001 Panic#1 Part3",
                "dmesg-efi_pstore-20001001 Panic#1 Part1",
            ]
        );
        assert_eq!(
            said,
            "the last boot ended in Panic#1: 2 lines in 2 parts, 1 missing; earlier dumps: 2, 4 lines; once pstore is full, no more are kept"
        );
    }

    /// The kernel counts anew in each boot.
    #[test]
    fn two_panics_in_a_row() {
        for second_part in ["Panic#1 Part1\n", "Panic#1 Part2\n"] {
            let (found, ..) = ship(&[
                ("dmesg-erst-1", 100, b"Panic#1 Part1\nx\n"),
                ("dmesg-erst-2", 100, b"Panic#1 Part2\nx\n"),
                ("dmesg-erst-3", 103, format!("{second_part}x\n").as_bytes()),
            ]);
            let origins = labels(&found);
            assert_eq!(origins[..2], ["dmesg-erst-2 Panic#1 Part2", "dmesg-erst-1 Panic#1 Part1"]);
        }
        // Part 3 of another panic, a minute later.
        let (_, said, _) = ship(&[
            ("dmesg-erst-1", 100, b"Panic#1 Part2\nx\n"),
            ("dmesg-erst-2", 160, b"Panic#1 Part3\nx\n"),
        ]);
        assert_eq!(
            said,
            "the last boot ended in Panic#1: 1 lines in 1 part, 2 missing; earlier dumps: 1, 1 lines; once pstore is full, no more are kept"
        );
    }

    #[test]
    fn a_file_that_does_not_say_what_it_is() {
        let (found, said, _) =
            ship(&[("dmesg-ramoops-0", 5, b"garbage\n<6>[    1.000000] a\n"), ("dmesg-ramoops-1", 6, b"")]);
        assert_eq!(found, [("dmesg-ramoops-0".into(), 4 * S, true, "garbage\n<6>[    1.000000] a\n".into())]);
        assert_eq!(said, "the last boot ended in a dump without a name: 2 lines in 1 part");
        assert_eq!(ship(&[]), (vec![], String::new(), [0, 0]));
    }

    /// The end of a file of 1 MiB, from the first line that begins there; nothing of the older ones.
    #[test]
    fn the_newest_are_kept() {
        let line = "<6>[    1.000000] a line of some length\n";
        let long = format!("Panic#1 Part2\n{}", line.repeat((1 << 20) / line.len()));
        let newest = b"Panic#1 Part1\n<6>[    2.000000] the end\n";
        let (found, said, [files, bytes]) = ship(&[
            ("dmesg-erst-1", 1, b"Oops#1 Part1\nold\n"),
            ("dmesg-erst-2", 100, newest),
            ("dmesg-erst-3", 100, long.as_bytes()),
        ]);
        assert_eq!(labels(&found), ["dmesg-erst-3 Panic#1 Part2", "dmesg-erst-2 Panic#1 Part1"]);
        assert_eq!((found[0].2, found[1].2), (false, true), "one is not whole");
        let room = PSTORE_BYTES_MAX - newest.len();
        let whole = room / line.len() * line.len();
        assert_eq!(found[0].3, long[long.len() - whole..]);
        assert_eq!((files, bytes), (0, long.len() - room + "Oops#1 Part1\nold\n".len()));
        assert_eq!(
            said,
            format!("the last boot ended in Panic#1: {} lines in 2 parts", whole / line.len() + 1)
        );
    }

    #[test]
    fn more_files_than_are_shipped() {
        let names: Vec<String> =
            (0..PSTORE_FILES_MAX + 2).map(|number| format!("dmesg-erst-{number}")).collect();
        let files: Vec<(&str, i64, &[u8])> =
            names.iter().map(|name| (name.as_str(), 1, &b"x\n"[..])).collect();
        let (found, _, left_out) = ship(&files);
        assert_eq!((found.len(), left_out), (PSTORE_FILES_MAX, [2, 0]));
    }

    /// What cannot be read is as if it were not there, and its file not whole.
    #[test]
    fn a_file_that_fails_while_it_is_read() {
        let mut catalog = Catalog::EMPTY;
        catalog.add((), b"dmesg-erst-1", 60, S);
        let content = b"Panic#1 Part1\n<6>[    1.000000] a\n";
        let mut text = vec![0; PSTORE_BYTES_MAX];
        let text = catalog.read(&mut text, |(), _, buffer| {
            let length = content.len().min(buffer.len());
            buffer[..length].copy_from_slice(&content[..length]);
            length
        });
        let mut out = Vec::new();
        let found = catalog.write(text, &mut |bytes| out.extend_from_slice(bytes));
        assert_eq!(found.to_string(), "the last boot ended in Panic#1: 1 lines in 1 part");
        assert_eq!(catalog.whole_files().count(), 0);
        assert_eq!(catalog.bytes_left_out, 60 - content.len());
    }

    /// Whatever the files: each whole one is shipped to the byte and once, in all no more than may be, and a line less.
    #[test]
    fn any_files() {
        let mut random = Random::new(9);
        for _ in 0..300 {
            let count = random.below(8);
            let files: Vec<(String, i64, Vec<u8>)> = (0..count)
                .map(|number| {
                    let (dump, part) = (1 + random.below(2), random.below(4));
                    let header = if random.below(4) > 0 {
                        format!("Panic#{dump} Part{part}\n")
                    } else {
                        String::new()
                    };
                    let most = if random.below(10) == 0 { 20_000 } else { 20 };
                    let lines = random.below(most);
                    let text = header + &"<6>[    1.000000] text\n".repeat(lines);
                    (format!("dmesg-erst-{number}"), random.below(30) as i64, text.into_bytes())
                })
                .collect();
            let given: Vec<(&str, i64, &[u8])> = files
                .iter()
                .map(|(name, modified, text)| (name.as_str(), *modified, text.as_slice()))
                .collect();
            let (found, _, [_, left_out]) = ship(&given);
            let bytes: usize = found.iter().map(|(.., lines)| lines.len()).sum();
            assert!(bytes <= PSTORE_BYTES_MAX);
            let all: usize = files.iter().map(|(.., text)| text.len()).sum();
            assert_eq!(left_out, all.saturating_sub(PSTORE_BYTES_MAX));
            for (label, _, is_whole, lines) in &found {
                let name = label.split(' ').next().unwrap();
                let (.., content) =
                    files.iter().find(|(own, ..)| own == name).expect("a file that was given");
                assert!(content.ends_with(lines.as_bytes()));
                assert!(!is_whole || content.len() - lines.len() <= "Panic#1 Part1\n".len());
            }
            let mut names: Vec<&str> = labels(&found);
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), found.len(), "a file twice");
        }
    }
}
