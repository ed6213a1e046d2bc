//! Which record stands where in what was sent, so that the log can be read again from there.
//!
//! A *position* is whatever the transport counts: bytes of a TCP connection, or milliseconds of sending datagrams.
//! The ledger keeps marks (a position and the record that begins there) in a fixed number of places: one for each of the
//! last records, one a step for a longer stretch, and one in sixteen steps for a much longer one. The oldest makes room
//! for the newest.
//!
//! Invariants, for every position that is not before the oldest mark:
//!
//! 1. [`Ledger::record_at`] gives a record that begins at or before the position: nothing is skipped.
//! 2. That record begins less than one step before it (sixteen, where only the long stretch reaches), or is the last one
//!    that does not begin after it.
//! 3. Before the oldest mark it gives the oldest mark's record.
//! 4. Where the position is within the last `LEDGER_LAST_MARKS` records, it is exactly the last record that does not begin
//!    after it. (Of several at one position it is the first.)

use heapless::history_buf::{HistoryBuf, HistoryBufView};

use crate::limits::{LEDGER_FAR_MARKS, LEDGER_FAR_STEPS, LEDGER_LAST_MARKS, LEDGER_MARKS};

/// A record and the position where it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    position: u64,
    seq: u64,
}

/// The places of a ledger.
pub struct Marks {
    last: HistoryBuf<Mark, LEDGER_LAST_MARKS>,
    near: HistoryBuf<Mark, LEDGER_MARKS>,
    far: HistoryBuf<Mark, LEDGER_FAR_MARKS>,
}

impl Marks {
    /// Nothing.
    pub const NONE: Marks =
        Marks { last: HistoryBuf::new(), near: HistoryBuf::new(), far: HistoryBuf::new() };
}

/// A coarse map from positions to records.
pub struct Ledger {
    /// The last records, the near stretch and the far one.
    stretches: [Stretch; 3],
    first: Option<u64>,
}

/// The marks of one stretch.
struct Stretch {
    step: u64,
    marks: &'static mut HistoryBufView<Mark>,
    /// The first position that gets a mark.
    due: u64,
}

impl Stretch {
    fn note(&mut self, mark: Mark) {
        if mark.position >= self.due {
            self.marks.write(mark);
            self.due = mark.position + self.step;
        }
    }

    /// The newest mark that is not after `position`, or else the oldest.
    fn find(&self, position: u64) -> Option<&Mark> {
        let mut newest_first = self.marks.oldest_ordered().rev();
        newest_first.find(|mark| mark.position <= position).or_else(|| self.marks.oldest())
    }
}

impl Ledger {
    /// An empty ledger that keeps a mark every `step`.
    pub fn new(step: u64, marks: &'static mut Marks) -> Ledger {
        let far = step * LEDGER_FAR_STEPS;
        Ledger {
            stretches: [
                Stretch { step: 1, marks: &mut marks.last, due: 0 },
                Stretch { step, marks: &mut marks.near, due: 0 },
                Stretch { step: far, marks: &mut marks.far, due: 0 },
            ],
            first: None,
        }
    }

    /// Forgets everything: positions begin anew.
    pub fn clear(&mut self) {
        for stretch in &mut self.stretches {
            stretch.marks.clear();
            stretch.due = 0;
        }
        self.first = None;
    }

    /// Notes that record `seq` begins at `position`. Positions never go back.
    pub fn note(&mut self, position: u64, seq: u64) {
        self.first.get_or_insert(seq);
        for stretch in &mut self.stretches {
            stretch.note(Mark { position, seq });
        }
    }

    /// The first record that was noted, however long ago.
    pub fn first(&self) -> Option<u64> {
        self.first
    }

    /// The record to begin with so that everything from `position` on is covered; none when nothing was noted.
    pub fn record_at(&self, position: u64) -> Option<u64> {
        let found = || self.stretches.iter().filter_map(|stretch| stretch.find(position));
        let reaches = found().find(|mark| mark.position <= position);
        reaches.or_else(|| found().min_by_key(|mark| mark.position)).map(|mark| mark.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use std::boxed::Box;
    use std::vec::Vec;

    fn ledger(step: u64) -> Ledger {
        Ledger::new(step, Box::leak(Box::new(Marks::NONE)))
    }

    #[test]
    fn nothing_noted_nothing_known() {
        let mut ledger = ledger(10);
        assert_eq!(ledger.record_at(5), None);
        ledger.note(0, 7);
        assert_eq!((ledger.record_at(5), ledger.first()), (Some(7), Some(7)));
        ledger.clear();
        assert_eq!((ledger.record_at(5), ledger.first()), (None, None));
    }

    #[test]
    fn the_last_record_that_does_not_begin_after_the_position() {
        let mut ledger = ledger(10);
        for (position, seq) in [(0, 5), (4, 6), (4, 7), (9, 8), (30, 9)] {
            ledger.note(position, seq);
        }
        for (position, seq) in [(0, 5), (3, 5), (4, 6), (8, 6), (9, 8), (29, 8), (30, 9), (100, 9)] {
            assert_eq!(ledger.record_at(position), Some(seq), "{position}");
        }
    }

    /// A record at each position, one step more than the longest stretch has places for.
    #[test]
    fn the_further_back_the_coarser() {
        let (step, far_step) = (10, 10 * LEDGER_FAR_STEPS);
        let end = far_step * (LEDGER_FAR_MARKS as u64 + 1);
        let mut ledger = ledger(step);
        for position in 0..end {
            ledger.note(position, position);
        }
        let last = end - LEDGER_LAST_MARKS as u64;
        let near = end - step * LEDGER_MARKS as u64;
        for (position, seq) in [
            (end - 1, end - 1),
            (last, last),
            (last - 1, (last - 1) / step * step),
            (near + step - 1, near),
            (near, near),
            (near - 1, (near - 1) / far_step * far_step),
            (2 * far_step, 2 * far_step),
            (2 * far_step - 1, far_step),
            (0, far_step),
        ] {
            assert_eq!(ledger.record_at(position), Some(seq), "{position}");
        }
        assert_eq!(ledger.first(), Some(0));
    }

    /// Random lines against a list that keeps them all.
    #[test]
    fn invariants_hold() {
        let mut random = Random::new(3);
        let (mut last, mut near, mut far, mut before) = (0, 0, 0, 0);
        for round in 0..200 {
            let step = 1 + random.below(9_000) as u64;
            let most = if round % 10 == 0 { 40_000 } else { 2_000 };
            let mut ledger = ledger(step);
            let mut all: Vec<Mark> = Vec::new();
            let (mut position, mut seq) = (0, random.bits() >> 8);
            for _ in 0..round * 20 {
                ledger.note(position, seq);
                all.push(Mark { position, seq });
                position += random.below(most) as u64;
                seq += 1 + random.below(3) as u64;

                let asked = random.bits() % (position + 1);
                let got = ledger.record_at(asked).expect("something was noted");
                let got = all.binary_search_by_key(&got, |mark| mark.seq).expect("a record that was noted");
                let got = &all[got];
                let oldest = |stretch: &Stretch| stretch.marks.oldest().expect("a mark").position;
                let [last_marks, near_marks, far_marks] = &ledger.stretches;
                let exact = &all[all.partition_point(|mark| mark.position <= asked) - 1];
                if oldest(last_marks) <= asked {
                    last += 1;
                    assert_eq!(got.position, exact.position);
                } else if oldest(far_marks) <= asked {
                    assert!(got.position <= asked);
                    let coarse = if oldest(near_marks) <= asked { 1 } else { LEDGER_FAR_STEPS };
                    *if coarse == 1 { &mut near } else { &mut far } += 1;
                    let off = (asked - got.position).min(exact.position - got.position);
                    assert!(off < coarse * step, "{off} with a step of {step}");
                } else {
                    before += 1;
                    assert!(got.position > asked);
                    let reach = (LEDGER_FAR_MARKS as u64 - 1) * LEDGER_FAR_STEPS * step;
                    assert!(position - got.position >= reach);
                }
            }
        }
        assert!(
            last.min(near).min(far).min(before) > 1_000,
            "{last} {near} {far} {before}: all four were tried"
        );
    }
}
