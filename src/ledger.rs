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
//! 3. Before the oldest mark it gives the oldest mark's record, and says so through [`Ledger::reaches`].

use heapless::Deque;

use crate::limits::LEDGER_MARKS;

/// A record and the position where it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Mark {
    position: u64,
    seq: u64,
}

/// A coarse map from positions to records.
#[derive(Debug)]
pub struct Ledger {
    step: u64,
    marks: Deque<Mark, LEDGER_MARKS>,
}

impl Ledger {
    /// An empty ledger that keeps a mark every `step`.
    pub const fn new(step: u64) -> Ledger {
        Ledger { step, marks: Deque::new() }
    }

    /// Forgets everything: positions begin anew.
    pub fn clear(&mut self) {
        self.marks.clear();
    }

    /// Notes that record `seq` begins at `position`. Positions never go back.
    pub fn note(&mut self, position: u64, seq: u64) {
        if self.marks.back().is_some_and(|last| position - last.position < self.step) {
            return;
        }
        if self.marks.is_full() {
            self.marks.pop_front();
        }
        // There is room now.
        let _ = self.marks.push_back(Mark { position, seq });
    }

    /// The record to begin with so that everything from `position` on is covered; none when nothing was noted.
    pub fn record_at(&self, position: u64) -> Option<u64> {
        let before = self.marks.iter().rev().find(|mark| mark.position <= position);
        before.or(self.marks.front()).map(|mark| mark.seq)
    }

    /// Whether `position` is not before the oldest mark.
    pub fn reaches(&self, position: u64) -> bool {
        self.marks.front().is_some_and(|oldest| oldest.position <= position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use std::vec::Vec;

    #[test]
    fn nothing_noted_nothing_known() {
        let mut ledger = Ledger::new(10);
        assert_eq!(ledger.record_at(5), None);
        ledger.note(0, 7);
        assert_eq!(ledger.record_at(5), Some(7));
        ledger.clear();
        assert_eq!(ledger.record_at(5), None);
        assert!(!ledger.reaches(0));
    }

    /// Random lines against a list that keeps them all.
    #[test]
    fn invariants_hold() {
        let mut random = Random::new(3);
        for round in 0..200 {
            let step = 1 + random.below(9_000) as u64;
            let mut ledger = Ledger::new(step);
            let mut all: Vec<Mark> = Vec::new();
            let (mut position, mut seq) = (0, random.bits() >> 8);
            for _ in 0..round * 20 {
                ledger.note(position, seq);
                all.push(Mark { position, seq });
                position += random.below(2_000) as u64;
                seq += 1 + random.below(3) as u64;

                let asked = random.bits() % (position + 1);
                let got = ledger.record_at(asked).expect("something was noted");
                let got = all.iter().find(|mark| mark.seq == got).expect("a record that was noted");
                if ledger.reaches(asked) {
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
