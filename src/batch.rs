//! Lines on their way to the socket. Pure.
//!
//! ```text
//! |  written  |        waiting        |   room   |
//! 0         done                     len      BATCH_BYTES
//! ```
//!
//! Lines end in a newline and hold none, so where a line begins can be found in the bytes themselves. The batch is
//! filled anew only when all of it is written: until then the bytes of a half-written line are still here, and it
//! can be sent again from its beginning.

use crate::limits::BATCH_BYTES;

/// The bytes of a batch.
pub type BatchBuffer = [u8; BATCH_BYTES];

/// Lines that are encoded and not all written.
pub struct Batch {
    bytes: &'static mut BatchBuffer,
    len: usize,
    done: usize,
    lines: usize,
}

impl Batch {
    /// An empty batch.
    pub fn new(bytes: &'static mut BatchBuffer) -> Batch {
        Batch { bytes, len: 0, done: 0, lines: 0 }
    }

    /// Everything is written.
    pub fn is_empty(&self) -> bool {
        self.done == self.len
    }

    /// Where the next line goes; longer than any line is at the start of a batch.
    pub fn room(&mut self) -> &mut [u8] {
        if self.is_empty() {
            self.clear();
        }
        &mut self.bytes[self.len..]
    }

    /// The first `bytes` of the room are a line now; its newline is added. The room was longer than that.
    pub fn push(&mut self, bytes: usize) {
        self.bytes[self.len + bytes] = b'\n';
        self.len += bytes + 1;
        self.lines += 1;
    }

    /// Lines since the batch was empty.
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// What waits to be written.
    pub fn waiting(&self) -> &[u8] {
        &self.bytes[self.done..self.len]
    }

    /// The first `bytes` of what waited are written.
    pub fn written(&mut self, bytes: usize) {
        self.done += bytes;
    }

    /// The first line that waits, without its newline.
    pub fn first_line(&self) -> Option<&[u8]> {
        let waiting = self.waiting();
        if self.lines == 1 {
            return waiting.split_last().map(|(_, line)| line);
        }
        waiting.split(|&byte| byte == b'\n').next().filter(|line| !line.is_empty())
    }

    /// The line behind the one that waits first, whole or half.
    pub fn line_after_first(&self) -> Option<&[u8]> {
        self.waiting().split(|&byte| byte == b'\n').nth(1).filter(|line| !line.is_empty())
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.len = 0;
        self.done = 0;
        self.lines = 0;
    }

    /// Goes back to the beginning of the line that was half written, so that whole lines wait, and moves them to
    /// the front.
    pub fn keep_whole_lines(&mut self) {
        let written = &self.bytes[..self.done];
        let start = if self.is_empty() { self.len } else { line_start(written) };
        self.bytes.copy_within(start..self.len, 0);
        self.len -= start;
        self.done = 0;
        self.lines = self.bytes[..self.len].iter().filter(|&&byte| byte == b'\n').count();
    }

    /// Puts a line before all others; nothing of them is written yet. `false`: there is no room for it.
    pub fn push_front(&mut self, line: &[u8]) -> bool {
        let more = line.len() + 1;
        if self.len + more > self.bytes.len() {
            return false;
        }
        self.bytes.copy_within(..self.len, more);
        self.bytes[..line.len()].copy_from_slice(line);
        self.bytes[line.len()] = b'\n';
        self.len += more;
        self.lines += 1;
        true
    }
}

/// Where the line begins that the end of `bytes` is in.
fn line_start(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Ledger, Marks};
    use crate::limits::LEDGER_STEP_BYTES;
    use crate::testing::Random;
    use std::boxed::Box;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    fn batch(lines: &[&str]) -> Batch {
        let mut batch = Batch::new(Box::leak(Box::new([0; BATCH_BYTES])));
        for line in lines {
            batch.room()[..line.len()].copy_from_slice(line.as_bytes());
            batch.push(line.len());
        }
        batch
    }

    #[test]
    fn written_in_pieces() {
        let mut batch = batch(&["one", "two"]);
        assert_eq!(batch.waiting(), b"one\ntwo\n");
        batch.written(5);
        assert_eq!(batch.waiting(), b"wo\n");
        batch.written(3);
        assert!(batch.is_empty());
        assert_eq!(batch.room().len(), BATCH_BYTES);
    }

    #[test]
    fn a_line_is_never_resumed_in_its_middle() {
        for (written, left, count) in
            [(0, "one\ntwo\n", 2), (3, "one\ntwo\n", 2), (4, "two\n", 1), (7, "two\n", 1), (8, "", 0)]
        {
            let mut batch = batch(&["one", "two"]);
            batch.written(written);
            batch.keep_whole_lines();
            assert_eq!(batch.lines(), count);
            assert_eq!(batch.line_after_first(), left.lines().nth(1).map(str::as_bytes));
            assert_eq!(batch.first_line(), left.lines().next().map(str::as_bytes));
            assert_eq!(batch.waiting(), left.as_bytes());
            assert!(batch.push_front(b"zero"));
            assert_eq!(batch.waiting(), [b"zero\n", left.as_bytes()].concat());
        }
        let mut full = batch(&["x"]);
        full.len = BATCH_BYTES - 1;
        assert!(!full.push_front(b"y"));
    }

    /// A record's line: its number, and as many bytes as the number decides.
    fn line(seq: u64) -> String {
        format!("{seq} {}", "x".repeat((seq * 7_919 % 2_000) as usize))
    }

    fn number(line: &[u8]) -> u64 {
        let text = core::str::from_utf8(line).expect("text");
        text.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
    }

    /// The batch and the ledger together, as the shipper uses them, with writes of any size, orderly ends and resets.
    ///
    /// 1. Every connection carries whole lines, in order, none skipped; only its last may be cut.
    /// 2. After an orderly end the next connection begins with the first line that was not written as a whole.
    /// 3. After a reset it begins at or before the first byte that was not read, if that is no further back than what
    ///    is repeated.
    /// 4. It repeats less than one step of the ledger and one line more than that, or what was kept of a batch.
    #[test]
    fn invariants_hold_with_a_ledger() {
        let mut random = Random::new(5);
        for _ in 0..30 {
            let repeat = 1 + random.below(200_000);
            let (mut batch, mut ledger) =
                (batch(&[]), Ledger::new(LEDGER_STEP_BYTES, Box::leak(Box::new(Marks::NONE))));
            // The next to be encoded; the first that was not received.
            let (mut next, mut wanted) = (0, 0);
            let mut after_orderly = None;
            for _ in 0..20 {
                ledger.clear();
                if let Some(line) = batch.first_line() {
                    ledger.note(0, number(line));
                }
                let mut wire = Vec::new();
                for _ in 0..random.below(150) {
                    while batch.is_empty() || batch.waiting().len() < 20_000 && batch.done == 0 {
                        let begun = wire.len() + batch.waiting().len();
                        let (line, room) = (line(next), batch.room());
                        room[..line.len()].copy_from_slice(line.as_bytes());
                        ledger.note(begun as u64, next);
                        batch.push(line.len());
                        next += 1;
                    }
                    let bytes = 1 + random.below(batch.waiting().len());
                    wire.extend_from_slice(&batch.waiting()[..bytes]);
                    batch.written(bytes);
                }

                let whole = wire.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
                let lines: Vec<&[u8]> = wire[..whole].split_inclusive(|&byte| byte == b'\n').collect();
                let begins = |seq: u64| {
                    let before = lines.iter().take_while(|line| number(line) < seq);
                    before.map(|line| line.len()).sum::<usize>()
                };
                for (at, bytes) in lines.iter().enumerate() {
                    let seq = number(lines[0]) + at as u64;
                    assert_eq!(*bytes, (line(seq) + "\n").as_bytes(), "whole and in order");
                }
                if let Some(first) = lines.first().map(|line| number(line)) {
                    assert!(first <= wanted, "{first} skips {wanted}");
                    assert!(after_orderly.is_none_or(|next| first == next), "after an orderly end");
                    after_orderly = None;
                }
                let last_of = |lines: &[&[u8]]| lines.last().map(|line| number(line) + 1);
                if random.below(2) == 0 {
                    batch.keep_whole_lines();
                    after_orderly = last_of(&lines).or(after_orderly);
                    wanted = wanted.max(after_orderly.unwrap_or(wanted));
                    continue;
                }
                let unread = random.below(repeat.min(wire.len()) + 1);
                let read = lines.iter().scan(0, |end, line| {
                    *end += line.len();
                    (*end <= wire.len() - unread).then_some(*line)
                });
                wanted = wanted.max(last_of(&read.collect::<Vec<_>>()).unwrap_or(wanted));
                let position = wire.len().saturating_sub(repeat);
                batch.keep_whole_lines();
                if let Some(first) = ledger.record_at(position as u64) {
                    let begins = begins(first);
                    assert!(begins <= position, "{first} begins after what is repeated");
                    let coarse = if begins == 0 { BATCH_BYTES } else { LEDGER_STEP_BYTES as usize + 2_100 };
                    assert!(position - begins < coarse, "{first} is {} too early", position - begins);
                    batch.clear();
                    next = first;
                    after_orderly = None;
                }
            }
        }
    }
}
