//! Files that come in pieces, put together line by line.

use earlykmsg::limits::FILE_PIECE_BYTES;
use earlykmsg::names::file_lines::FileLines;

use crate::Input;

/// How long a line may be, then pieces: a length each, and its bytes. A piece of no bytes ends a file, and the input ends
/// the last one. The lines that come out are those of the file, in order; only longer ones may be missing.
pub fn check(bytes: &[u8]) {
    let mut input = Input(bytes);
    let Some(line_bytes) = input.u8() else { return };
    let line_bytes = usize::from(line_bytes).max(1);
    let mut buffer = vec![b'~'; FILE_PIECE_BYTES + line_bytes];
    let mut lines = FileLines::new(&mut buffer);
    let (mut file, mut read) = (Vec::new(), Vec::new());
    while !input.0.is_empty() || !file.is_empty() {
        let length = usize::from(input.u8().unwrap_or(0)).min(input.0.len());
        let (piece, rest) = input.0.split_at(length);
        input.0 = rest;
        file.extend_from_slice(piece);
        lines.add(piece, &mut |text| {
            assert!(piece.is_empty() || text.is_empty() || text.ends_with(b"\n"), "half a line");
            read.extend_from_slice(text);
        });
        if piece.is_empty() {
            compare(&file, &read, line_bytes);
            file.clear();
            read.clear();
        }
    }
}

fn compare(file: &[u8], read: &[u8], line_bytes: usize) {
    let mut read = read.split_inclusive(|&byte| byte == b'\n').peekable();
    for line in file.split_inclusive(|&byte| byte == b'\n') {
        let is_read = read.next_if_eq(&line).is_some();
        let length = line.strip_suffix(b"\n").unwrap_or(line).len();
        assert!(is_read || length > line_bytes, "{} is missing", line.escape_ascii());
    }
    assert_eq!(read.next(), None, "no line of {}", file.escape_ascii());
}
