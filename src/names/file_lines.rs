//! Puts the lines of a file together, which comes in pieces.

use crate::limits::FILE_PIECE_BYTES;
use crate::text::split_once;

/// The lines of one file after the other. A line that is longer than the buffer less one piece is left out.
pub struct FileLines<'a> {
    buffer: &'a mut [u8],
    /// How much of the buffer is the beginning of a line.
    begun: usize,
    /// The beginning of that line was dropped, and so is its end.
    skipping: bool,
}

impl<'a> FileLines<'a> {
    /// Takes the buffer, which has room for more than one piece.
    pub fn new(buffer: &'a mut [u8]) -> FileLines<'a> {
        FileLines { buffer, begun: 0, skipping: false }
    }

    /// Takes the next piece, and hands the lines that it completes to `read`. An empty piece ends the file.
    pub fn add(&mut self, piece: &[u8], read: &mut dyn FnMut(&[u8])) {
        let end = self.begun + piece.len();
        let Some(room) = self.buffer.get_mut(self.begun..end) else { return };
        room.copy_from_slice(piece);
        let all = self.buffer.get(..end).unwrap_or_default();
        let last_newline = all.iter().rposition(|&byte| byte == b'\n');
        let complete = if piece.is_empty() { end } else { last_newline.map_or(0, |at| at + 1) };
        let mut text = all.get(..complete).unwrap_or_default();
        if self.skipping {
            text = split_once(text, b'\n').map_or(&[], |(_, rest)| rest);
            self.skipping = complete == 0 && !piece.is_empty();
        }
        read(text);
        self.buffer.copy_within(complete..end, 0);
        self.begun = end - complete;
        if self.begun + FILE_PIECE_BYTES > self.buffer.len() {
            self.begun = 0;
            self.skipping = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use std::vec;
    use std::vec::Vec;

    /// What is read of files that come in pieces of these lengths.
    fn read(files: &[&[u8]], mut piece: impl FnMut() -> usize) -> Vec<u8> {
        let mut buffer = vec![0; 2 * FILE_PIECE_BYTES];
        let mut lines = FileLines::new(&mut buffer);
        let mut got = Vec::new();
        for file in files {
            let mut rest = *file;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(piece().clamp(1, FILE_PIECE_BYTES).min(rest.len()));
                lines.add(now, &mut |text| got.extend_from_slice(text));
                rest = later;
            }
            lines.add(b"", &mut |text| got.extend_from_slice(text));
            got.push(b'|');
        }
        got
    }

    #[test]
    fn lines_are_put_together() {
        let mut random = Random::new(21);
        for _ in 0..200 {
            let got = read(&[b"a\nbb\n\nccc", b"", b"d\n"], || 1 + random.below(4));
            assert_eq!(got, b"a\nbb\n\nccc||d\n|");
        }
    }

    #[test]
    fn a_long_line_is_left_out() {
        let long = vec![b'x'; 3 * FILE_PIECE_BYTES];
        let file = [b"a\n", &long[..], b"\nb\n"].concat();
        assert_eq!(read(&[&file, b"c\n"], || FILE_PIECE_BYTES), b"a\nb\n|c\n|");
        // One whose beginning leaves room for just one piece more is not.
        let line = [&long[..FILE_PIECE_BYTES], b"\n"].concat();
        assert_eq!(read(&[&line], || FILE_PIECE_BYTES), [&line[..], b"|"].concat());
        // One that the file ends with does not hide the next file.
        let file = [b"a\n", &long[..]].concat();
        assert_eq!(read(&[&file, b"c\n"], || FILE_PIECE_BYTES), b"a\n|c\n|");
    }
}
