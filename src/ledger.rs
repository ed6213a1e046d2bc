//! Which record stands where in what was sent, so that the log can be read again from there. Pure.
//!
//! A *position* is whatever the transport counts: bytes of a TCP connection, or milliseconds of sending datagrams.
//! The ledger keeps a mark (a position and the record that begins there) once a step, in a fixed number of places;
//! the oldest makes room for the newest.
//!
//! Invariants, for every position that is not before the oldest mark:
//!
//! 1. [`Ledger::record_at`] gives a record that begins at or before the position: nothing is skipped.
//! 2. That record begins less than one step before it, or is the last one that does not begin after it.
//! 3. Before the oldest mark it gives the oldest mark's record.
//! 4. [`Ledger::far_back`] gives the first record of all, or one that began `LEDGER_FAR` or more before the last.

use crate::limits::{LEDGER_FAR, LEDGER_MARKS};

/// A record and the position where it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    position: u64,
    seq: u64,
}

impl Mark {
    /// Nothing.
    pub const NONE: Mark = Mark { position: 0, seq: 0 };
}

/// The places of a ledger.
pub type Marks = [Mark; LEDGER_MARKS];

/// A coarse map from positions to records.
pub struct Ledger {
    step: u64,
    marks: &'static mut Marks,
    /// How many marks there ever were; the newest have places.
    count: usize,
    /// Marks `LEDGER_FAR` apart, the older first: a coarser memory that goes back further.
    far: [Mark; 2],
}

impl Ledger {
    /// An empty ledger that keeps a mark every `step`.
    pub fn new(step: u64, marks: &'static mut Marks) -> Ledger {
        Ledger { step, marks, count: 0, far: [Mark::NONE; 2] }
    }

    /// Forgets everything: positions begin anew.
    pub fn clear(&mut self) {
        self.count = 0;
    }

    /// The marks that have a place, newest first.
    fn newest_first(&self) -> impl Iterator<Item = &Mark> {
        let oldest = self.count.saturating_sub(LEDGER_MARKS);
        (oldest..self.count).rev().map(|at| &self.marks[at % LEDGER_MARKS])
    }

    /// Notes that record `seq` begins at `position`. Positions never go back.
    pub fn note(&mut self, position: u64, seq: u64) {
        if self.newest_first().next().is_none_or(|last| position - last.position >= self.step) {
            let mark = Mark { position, seq };
            if self.count == 0 {
                self.far = [mark; 2];
            } else if position - self.far[1].position >= LEDGER_FAR {
                self.far = [self.far[1], mark];
            }
            self.marks[self.count % LEDGER_MARKS] = mark;
            self.count += 1;
        }
    }

    /// A record that lies at least `LEDGER_FAR` back, or else the first; none when nothing was noted.
    pub fn far_back(&self) -> Option<u64> {
        (self.count > 0).then_some(self.far[0].seq)
    }

    /// The record to begin with so that everything from `position` on is covered; none when nothing was noted.
    pub fn record_at(&self, position: u64) -> Option<u64> {
        let mut found = None;
        for mark in self.newest_first() {
            found = Some(mark.seq);
            if mark.position <= position {
                break;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use std::boxed::Box;
    use std::vec::Vec;

    fn ledger(step: u64) -> Ledger {
        Ledger::new(step, Box::leak(Box::new([Mark::NONE; LEDGER_MARKS])))
    }

    #[test]
    fn nothing_noted_nothing_known() {
        let mut ledger = ledger(10);
        assert_eq!(ledger.record_at(5), None);
        ledger.note(0, 7);
        assert_eq!(ledger.record_at(5), Some(7));
        assert_eq!(ledger.far_back(), Some(7));
        ledger.clear();
        assert_eq!(ledger.record_at(5), None);
    }

    /// Random lines against a list that keeps them all.
    #[test]
    fn invariants_hold() {
        let mut random = Random::new(3);
        for round in 0..200 {
            let step = 1 + random.below(9_000) as u64;
            let mut ledger = ledger(step);
            let mut all: Vec<Mark> = Vec::new();
            let (mut position, mut seq) = (0, random.bits() >> 8);
            for _ in 0..round * 20 {
                ledger.note(position, seq);
                all.push(Mark { position, seq });
                position += random.below(if round < 10 { 400_000 } else { 2_000 }) as u64;
                seq += 1 + random.below(3) as u64;

                let far = ledger.far_back().expect("something was noted");
                let far = all.iter().find(|mark| mark.seq == far).expect("a record that was noted");
                let last = all.last().expect("the one just now");
                assert!(far.seq == all[0].seq || last.position + step - far.position >= LEDGER_FAR);
                assert!(last.position - far.position < 2 * (LEDGER_FAR + 400_000 + step));

                let asked = random.bits() % (position + 1);
                let got = ledger.record_at(asked).expect("something was noted");
                let got = all.iter().find(|mark| mark.seq == got).expect("a record that was noted");
                if ledger.newest_first().last().is_some_and(|oldest| oldest.position <= asked) {
                    assert!(got.position <= asked);
                    let exact = all.iter().rev().find(|mark| mark.position <= asked).expect("the one before");
                    assert!(asked - got.position < step || exact.position - got.position < step);
                } else {
                    assert!(got.position > asked);
                    assert!(position - got.position >= (LEDGER_MARKS as u64 - 1) * step);
                }
            }
        }
    }
}
