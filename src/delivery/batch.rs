//! Lines on their way to the socket.
//!
//! ```text
//! |  written  |        waiting        |   room   |
//! 0         done                     len      BATCH_BYTES
//! ```
//!
//! A line is what is sent of a record, the newline or the count of octets included by which a receiver knows where it ends.
//! Beside the bytes stands where each line ends and what it was made of. The batch is filled anew only when all of it
//! is written: until then the bytes of a half-written line are still here, and it can be sent again from its beginning.

use core::mem::replace;

use heapless::Deque;

use crate::limits::{BATCH_BYTES, BATCH_LINES_MAX};

/// Room for a batch.
pub struct BatchBuffer {
    bytes: [u8; BATCH_BYTES],
    lines: Deque<Line, BATCH_LINES_MAX>,
}

impl BatchBuffer {
    /// Nothing in it.
    pub const EMPTY: BatchBuffer = BatchBuffer { bytes: [0; BATCH_BYTES], lines: Deque::new() };
}

/// What a line was made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MadeOf {
    /// The number of the record; of several, the first's.
    pub seq: u64,
    /// The kernel's stamp.
    pub clock_us: u64,
}

/// A line that is not written as a whole. There are many, so they are kept small.
#[derive(Clone, Copy)]
#[repr(C, packed(2))]
struct Line {
    made_of: MadeOf,
    /// Where the line ends.
    end: u16,
}

const _: () = assert!(BATCH_BYTES <= u16::MAX as usize);

/// A buffer of whole lines that is written in pieces of any size.
pub struct Batch {
    buffer: &'static mut BatchBuffer,
    len: usize,
    done: usize,
    /// Where the first line begins that is not written as a whole.
    begin: usize,
}

impl Batch {
    /// An empty batch.
    pub fn new(buffer: &'static mut BatchBuffer) -> Batch {
        Batch { buffer, len: 0, done: 0, begin: 0 }
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
        self.buffer.bytes.get_mut(self.len..).unwrap_or_default()
    }

    /// The first `bytes` of the room are a line now. `false`: there are not so many, or there are [`BATCH_LINES_MAX`] lines
    /// already, and nothing was added.
    #[must_use]
    pub fn push(&mut self, bytes: usize, made_of: MadeOf) -> bool {
        let end = self.len + bytes;
        if end > BATCH_BYTES || self.buffer.lines.push_back(Line { made_of, end: end as u16 }).is_err() {
            return false;
        }
        self.len = end;
        true
    }

    /// Lines that are not written as a whole.
    pub fn lines(&self) -> usize {
        self.buffer.lines.len()
    }

    /// What waits to be written.
    pub fn waiting(&self) -> &[u8] {
        self.buffer.bytes.get(self.done..self.len).unwrap_or_default()
    }

    /// The first `bytes` of what waited are written.
    pub fn written(&mut self, bytes: usize) {
        self.done += bytes;
        while let Some(line) = self.buffer.lines.pop_front_if(|line| usize::from(line.end) <= self.done) {
            self.begin = usize::from(line.end);
        }
    }

    /// What the line was made of that waits first, whole or half.
    pub fn first(&self) -> Option<MadeOf> {
        self.buffer.lines.front().map(|line| line.made_of)
    }

    /// The lines that wait as a whole, when no line is half written: where each begins, counted from the first, and what it
    /// was made of.
    pub fn waiting_lines(&self) -> impl Iterator<Item = (usize, MadeOf)> {
        let mut begin = 0;
        self.buffer.lines.iter().map(move |line| {
            let end = usize::from(line.end) - self.begin;
            (replace(&mut begin, end), line.made_of)
        })
    }

    /// What the first line was made of of which nothing is written.
    pub fn untouched(&self) -> Option<MadeOf> {
        let half = usize::from(self.done > self.begin);
        self.buffer.lines.get(half).map(|line| line.made_of)
    }

    /// The line that waits first.
    pub fn first_line(&self) -> Option<&[u8]> {
        self.waiting_texts().next()
    }

    /// The lines, each as it is sent. Of a line that is half written, the rest.
    pub fn waiting_texts(&self) -> impl Iterator<Item = &[u8]> {
        let mut begin = self.done;
        self.buffer.lines.iter().map(move |line| {
            let end = usize::from(line.end);
            self.buffer.bytes.get(replace(&mut begin, end)..end).unwrap_or_default()
        })
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.len = 0;
        self.done = 0;
        self.begin = 0;
        self.buffer.lines.clear();
    }

    /// Goes back to the beginning of the line that was half written, so that whole lines wait, and moves them to
    /// the front.
    pub fn keep_whole_lines(&mut self) {
        self.buffer.bytes.copy_within(self.begin..self.len, 0);
        for line in &mut self.buffer.lines {
            line.end -= self.begin as u16;
        }
        self.len -= self.begin;
        self.done = 0;
        self.begin = 0;
    }

    /// Puts a line before all others; nothing of them is written yet. `false`: there is no room for it.
    pub fn push_front(&mut self, line: &[u8], made_of: MadeOf) -> bool {
        let more = line.len();
        if self.len + more > BATCH_BYTES || self.buffer.lines.push_front(Line { made_of, end: 0 }).is_err() {
            return false;
        }
        self.buffer.bytes.copy_within(..self.len, more);
        for (place, &byte) in self.buffer.bytes.iter_mut().zip(line) {
            *place = byte;
        }
        self.len += more;
        for line in &mut self.buffer.lines {
            line.end += more as u16;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::ledger::{Ledger, Marks};
    use crate::limits::{FILL_LINES, LEDGER_STEP_BYTES};
    use crate::testing::Random;
    use std::boxed::Box;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    fn batch(lines: &[&str]) -> Batch {
        let mut batch = Batch::new(Box::leak(Box::new(BatchBuffer::EMPTY)));
        for (seq, line) in (0..).zip(lines) {
            assert!(push(&mut batch, &format!("{line}\n"), made_of(seq)));
        }
        batch
    }

    fn push(batch: &mut Batch, line: &str, made_of: MadeOf) -> bool {
        batch.room()[..line.len()].copy_from_slice(line.as_bytes());
        batch.push(line.len(), made_of)
    }

    /// Of lines that end in newlines, the first.
    fn first_of(lines: &str) -> Option<&[u8]> {
        lines.split_inclusive('\n').next().map(str::as_bytes)
    }

    fn made_of(seq: u64) -> MadeOf {
        MadeOf { seq, clock_us: seq * 10 }
    }

    #[test]
    fn written_in_pieces() {
        let mut batch = batch(&["one", "two"]);
        assert_eq!(batch.waiting(), b"one\ntwo\n");
        assert_eq!((batch.first(), batch.untouched()), (Some(made_of(0)), Some(made_of(0))));
        batch.written(4);
        assert_eq!((batch.first(), batch.untouched()), (Some(made_of(1)), Some(made_of(1))));
        batch.written(1);
        assert_eq!(batch.waiting(), b"wo\n");
        assert_eq!((batch.first(), batch.untouched()), (Some(made_of(1)), None));
        batch.written(3);
        assert!(batch.is_empty());
        assert_eq!((batch.first(), batch.first_line()), (None, None));
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
            assert_eq!(batch.first_line(), first_of(left));
            assert_eq!(batch.first(), (count > 0).then(|| made_of(2 - count as u64)));
            assert_eq!(batch.waiting(), left.as_bytes());
            assert!(batch.push_front(b"zero\n", made_of(9)));
            assert_eq!(batch.waiting(), [b"zero\n", left.as_bytes()].concat());
            assert_eq!(batch.first_line(), Some(&b"zero\n"[..]));
            batch.written(b"zero\n".len());
            assert_eq!(batch.first_line(), first_of(left));
        }
        let mut full = batch(&["x"]);
        full.len = BATCH_BYTES - 1;
        assert!(!full.push_front(b"y\n", made_of(9)));
        full.len = BATCH_BYTES - 2;
        assert!(full.push_front(b"y\n", made_of(9)), "to the byte");
    }

    #[test]
    fn where_waiting_lines_begin() {
        let mut batch = batch(&["one", "two", "three"]);
        assert!(batch.waiting_lines().eq([(0, made_of(0)), (4, made_of(1)), (8, made_of(2))]));
        assert!(batch.waiting_texts().eq([&b"one\n"[..], b"two\n", b"three\n"]));
        batch.written(4);
        assert!(batch.waiting_lines().eq([(0, made_of(1)), (4, made_of(2))]));
        assert!(batch.waiting_texts().eq([&b"two\n"[..], b"three\n"]));
        batch.clear();
        assert_eq!(batch.waiting_lines().next(), None);
    }

    #[test]
    fn many_short_lines() {
        let mut batch = batch(&["x"; FILL_LINES - 1]);
        assert!(batch.lines() < FILL_LINES, "one more is made, and it is a gap of two lines");
        assert!(push(&mut batch, "x\n", made_of(8)));
        assert!(push(&mut batch, "x\n", made_of(8)));
        assert!(batch.push_front(b"y\n", made_of(9)) && !batch.push_front(b"z\n", made_of(9)));
        assert_eq!(batch.waiting().len(), 2 * BATCH_LINES_MAX);
    }

    /// A record's line: its number, and as many bytes as the number decides.
    fn line(seq: u64) -> String {
        format!("{seq} {}\n", "x".repeat((seq * 7_919 % 2_000) as usize))
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
    /// 4. It repeats less than one line more than that.
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
                assert_eq!(batch.first().map(|of| of.seq), batch.first_line().map(number));
                for (begins, of) in batch.waiting_lines() {
                    ledger.note(begins as u64, of.seq);
                }
                let mut wire = Vec::new();
                for _ in 0..random.below(150) {
                    while batch.is_empty() || batch.waiting().len() < 20_000 && batch.done == 0 {
                        let begun = wire.len() + batch.waiting().len();
                        ledger.note(begun as u64, next);
                        assert!(push(&mut batch, &line(next), made_of(next)));
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
                    assert_eq!(*bytes, line(seq).as_bytes(), "whole and in order");
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
                    assert!(position - begins < 2_100, "{first} is {} too early", position - begins);
                    batch.clear();
                    next = first;
                    after_orderly = None;
                }
            }
        }
    }
}
