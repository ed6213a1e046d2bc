//! Lines on their way to the socket.

use core::cell::RefCell;

use earlykmsg::delivery::batch::{Batch, BatchBuffer, MadeOf};
use earlykmsg::limits::{BATCH_BYTES, BATCH_LINES_MAX};

use crate::Input;

thread_local! {
    static BATCH: RefCell<Batch> = RefCell::new(Batch::new(Box::leak(Box::new(BatchBuffer::EMPTY))));
}

/// The same operations on a batch and on a list of lines: the same bytes wait after each.
pub fn check(bytes: &[u8]) {
    BATCH.with_borrow_mut(|batch| {
        batch.clear();
        let mut model = Model::default();
        let mut input = Input(bytes);
        while let (Some(what), Some(length)) = (input.u8(), input.u16()) {
            // Short lines, and now and then one that fills a part of the batch.
            let line =
                model.next_line(usize::from(if length < 0xf000 { length % 32 } else { length % 8_192 }));
            match what % 6 {
                0 | 1 => {
                    let room = batch.room();
                    model.room();
                    assert_eq!(room.len(), BATCH_BYTES - model.bytes().len());
                    if room.len() >= line.len() && model.waiting().count() < BATCH_LINES_MAX {
                        room[..line.len()].copy_from_slice(&line);
                        assert!(batch.push(line.len(), made_of(&line)));
                        model.lines.push(line);
                    }
                }
                2 => {
                    let written = usize::from(length).min(batch.waiting().len());
                    batch.written(written);
                    model.done += written;
                }
                3 => {
                    // Whole lines, the way a socket that takes them one by one writes.
                    let written =
                        batch.waiting().iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1);
                    batch.written(written);
                    model.done += written;
                }
                4 => {
                    batch.keep_whole_lines();
                    model.keep_whole_lines();
                    let place = model.waiting().count() < BATCH_LINES_MAX;
                    let fits = place && model.bytes().len() + line.len() <= BATCH_BYTES;
                    assert_eq!(batch.push_front(&line, made_of(&line)), fits);
                    if fits {
                        model.lines.insert(0, line);
                    }
                }
                _ if length == 0 => {
                    batch.clear();
                    model = Model::default();
                }
                _ => {
                    batch.keep_whole_lines();
                    model.keep_whole_lines();
                }
            }
            model.compare(batch);
        }
    });
}

/// A line knows what it was made of by its letter and length.
fn made_of(line: &[u8]) -> MadeOf {
    MadeOf { seq: line.len() as u64, clock_us: u64::from(line[0]) }
}

/// The lines since the batch was empty, and how many of their bytes are written.
#[derive(Default)]
struct Model {
    lines: Vec<Vec<u8>>,
    done: usize,
    made: u8,
}

impl Model {
    /// A line of its own letter, which is there at least once, and a newline.
    fn next_line(&mut self, length: usize) -> Vec<u8> {
        self.made = (self.made + 1) % 26;
        let mut line = vec![b'a' + self.made; length + 1];
        line.push(b'\n');
        line
    }

    fn bytes(&self) -> Vec<u8> {
        self.lines.concat()
    }

    /// The lines that are not written as a whole.
    fn waiting(&self) -> impl Iterator<Item = &Vec<u8>> {
        let mut end = 0;
        self.lines.iter().filter(move |line| {
            end += line.len();
            end > self.done
        })
    }

    fn room(&mut self) {
        if self.done == self.bytes().len() {
            (self.lines, self.done) = (Vec::new(), 0);
        }
    }

    fn keep_whole_lines(&mut self) {
        while let Some(first) = self.lines.first()
            && first.len() <= self.done
        {
            self.done -= first.len();
            self.lines.remove(0);
        }
        self.done = 0;
    }

    fn compare(&self, batch: &Batch) {
        let bytes = self.bytes();
        let waiting = &bytes[self.done..];
        assert!(batch.waiting() == waiting, "other bytes wait");
        assert_eq!(batch.is_empty(), waiting.is_empty());
        assert_eq!(batch.lines(), self.waiting().count());
        // Of a line that is half written the rest, which may be its newline alone.
        let mut lines = waiting.split_inclusive(|&byte| byte == b'\n');
        assert_eq!(batch.first_line(), lines.next());

        let mut unwritten = self.waiting();
        let first = unwritten.next();
        assert_eq!(batch.first(), first.map(|line| made_of(line)));
        let begun = self.done != 0 && bytes[self.done - 1] != b'\n';
        let untouched = if begun { unwritten.next() } else { first };
        assert_eq!(batch.untouched(), untouched.map(|line| made_of(line)));
        if !begun {
            let lines = waiting.split_inclusive(|&byte| byte == b'\n');
            let want = lines.scan(0, |start, line| {
                let begins = *start;
                *start += line.len();
                Some((begins, made_of(line)))
            });
            assert!(batch.waiting_lines().eq(want), "other lines wait");
        }
    }
}
