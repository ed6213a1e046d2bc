//! What a shipper tells the watcher: a few numbers in memory that both see.
//!
//! A shipper that dies can say nothing any more; its numbers stay. The watcher only passes them on, in a line about
//! the death and to the shipper's successor, so that a shipper that was taken over could spoil no more than its own
//! progress.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::error::Result;
use crate::limits::DESTINATIONS_MAX;
use crate::sys::memory::shared_numbers;

const NUMBERS: usize = 4;

/// The numbers of all shippers.
#[derive(Clone, Copy)]
pub struct Board(&'static [[AtomicU64; NUMBERS]; DESTINATIONS_MAX]);

/// The numbers of one shipper.
#[derive(Clone, Copy)]
pub struct Progress(&'static [AtomicU64; NUMBERS]);

/// Numbers are kept one higher than they are: 0 means that there is none.
const NONE: u64 = 0;

impl Board {
    /// An empty board.
    pub fn new() -> Result<Board> {
        Ok(Board(shared_numbers()?))
    }

    /// The place of one destination.
    pub fn place(self, destination: usize) -> Progress {
        Progress(&self.0[destination])
    }
}

/// Notes a system call at [`Progress::denied_place`].
pub fn deny(place: &AtomicU64, number: u32) {
    place.store(u64::from(number) + 1, Ordering::Relaxed);
}

impl Progress {
    fn get(self, at: usize) -> Option<u64> {
        match self.0[at].load(Ordering::Relaxed) {
            NONE => None,
            number => Some(number - 1),
        }
    }

    fn set(self, at: usize, number: Option<u64>) {
        self.0[at].store(number.map_or(NONE, |number| number.saturating_add(1)), Ordering::Relaxed);
    }

    /// The record that a successor has to begin with.
    pub fn resume(self) -> Option<u64> {
        self.get(0)
    }

    /// The first record that was never sent.
    pub fn unsent(self) -> Option<u64> {
        self.get(1)
    }

    /// When the receiver was first reached, in milliseconds.
    pub fn reached_ms(self) -> Option<u64> {
        self.get(2)
    }

    /// The system call that the shipper was ended for.
    pub fn denied(self) -> Option<u64> {
        self.get(3)
    }

    /// The place of [`Progress::denied`], for [`deny`].
    pub fn denied_place(self) -> &'static AtomicU64 {
        &self.0[3]
    }

    /// Forgets what belongs to a shipper that is gone.
    pub fn begin(self) {
        self.set(3, None);
    }

    /// See [`Progress::resume`].
    pub fn set_resume(self, seq: Option<u64>) {
        self.set(0, seq);
    }

    /// See [`Progress::unsent`].
    pub fn set_unsent(self, seq: Option<u64>) {
        self.set(1, seq);
    }

    /// See [`Progress::reached_ms`].
    pub fn set_reached_ms(self, ms: u64) {
        self.set(2, Some(ms));
    }
}
