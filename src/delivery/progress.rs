//! What a shipper tells the watcher: a few numbers in memory that both see.
//!
//! A shipper that dies can say nothing any more; its numbers stay. The watcher only passes them on, in a line about
//! the death and to the shipper's successor, so that a compromised shipper could spoil no more than its own
//! progress.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::limits::{DESTINATIONS_MAX, OLD_SOCKETS_MAX};

// What stands where. The old sockets follow behind their number.
const RESUME: usize = 0;
const UNSENT: usize = 1;
const REACHED_MS: usize = 2;
const DENIED: usize = 3;
const KEPT_RESUME: usize = 4;
const KEPT_ARRIVED: usize = 5;
const OLD_SOCKETS: usize = 6;
const NUMBERS: usize = OLD_SOCKETS + 1 + OLD_SOCKETS_MAX;

/// The numbers of one shipper.
pub type Slot = [AtomicU64; NUMBERS];

/// The numbers of all shippers.
#[derive(Clone, Copy)]
pub struct Board(&'static [Slot; DESTINATIONS_MAX]);

/// The progress of one shipper.
#[derive(Clone, Copy)]
pub struct Progress(&'static Slot);

/// Numbers are kept one higher than they are: 0 means that there is none.
const NONE: u64 = 0;

impl Board {
    /// A board in memory that all processes share, which is zero at first.
    pub fn new(slots: &'static [Slot; DESTINATIONS_MAX]) -> Board {
        Board(slots)
    }

    /// The slots, one for each destination.
    pub fn slots(self) -> impl Iterator<Item = Progress> {
        self.0.iter().map(Progress)
    }
}

fn get(number: &AtomicU64) -> Option<u64> {
    match number.load(Ordering::Relaxed) {
        NONE => None,
        number => Some(number - 1),
    }
}

fn set(place: &AtomicU64, number: Option<u64>) {
    place.store(number.map_or(NONE, |number| number.saturating_add(1)), Ordering::Relaxed);
}

impl Progress {
    /// The record that a successor has to begin with.
    pub fn resume(self) -> Option<u64> {
        get(&self.0[RESUME])
    }

    /// The first record that was never sent.
    pub fn unsent(self) -> Option<u64> {
        get(&self.0[UNSENT])
    }

    /// When the receiver was first reached, in milliseconds.
    pub fn reached_ms(self) -> Option<u64> {
        get(&self.0[REACHED_MS])
    }

    /// The line that a successor has to begin with, of those that pstore kept.
    pub fn kept_resume(self) -> Option<u64> {
        get(&self.0[KEPT_RESUME])
    }

    /// See [`Progress::kept_resume`].
    pub fn set_kept_resume(self, line: u64) {
        set(&self.0[KEPT_RESUME], Some(line));
    }

    /// Whether the receiver has acknowledged all lines that pstore kept.
    pub fn kept_have_arrived(self) -> bool {
        get(&self.0[KEPT_ARRIVED]).is_some()
    }

    /// See [`Progress::kept_have_arrived`].
    pub fn set_kept_arrived(self) {
        set(&self.0[KEPT_ARRIVED], Some(0));
    }

    /// The system call that the shipper was ended for.
    pub fn denied(self) -> Option<u64> {
        get(&self.0[DENIED])
    }

    /// Where one more than the number of a denied system call is stored, by a signal handler: see [`Progress::denied`].
    pub fn denied_call(self) -> &'static AtomicU64 {
        &self.0[DENIED]
    }

    /// Forgets what belongs to a shipper that is gone.
    pub fn begin(self) {
        set(&self.0[DENIED], None);
    }

    /// See [`Progress::resume`].
    pub fn set_resume(self, seq: Option<u64>) {
        set(&self.0[RESUME], seq);
    }

    /// See [`Progress::unsent`].
    pub fn set_unsent(self, seq: Option<u64>) {
        set(&self.0[UNSENT], seq);
    }

    /// See [`Progress::reached_ms`].
    pub fn set_reached_ms(self, ms: u64) {
        set(&self.0[REACHED_MS], Some(ms));
    }

    /// Notes the sockets to the destination that others had before the switch of root, by their inodes. One more than
    /// there is room for is noted as a number alone.
    pub fn set_old_sockets(self, inodes: &[u64]) {
        for (place, &inode) in self.old_inodes().iter().zip(inodes) {
            set(place, Some(inode));
        }
        set(&self.0[OLD_SOCKETS], Some(inodes.len() as u64));
    }

    fn old_inodes(self) -> &'static [AtomicU64] {
        &self.0[OLD_SOCKETS + 1..]
    }

    /// What is known of the sockets that others had before the switch of root.
    pub fn old_sockets(self) -> OldSockets {
        match get(&self.0[OLD_SOCKETS]) {
            None => OldSockets::Unknown,
            Some(count) if count > OLD_SOCKETS_MAX as u64 => OldSockets::TooMany,
            Some(count) => OldSockets::Known(self, count as usize),
        }
    }
}

/// The sockets to a destination that others had before the switch of root.
#[derive(Clone, Copy)]
pub enum OldSockets {
    /// Nobody has looked yet.
    Unknown,
    /// So many of them are noted.
    Known(Progress, usize),
    /// There were more than are noted.
    TooMany,
}

impl OldSockets {
    /// Whether a socket may be one of them: also where that is not known.
    pub fn may_have(self, inode: u64) -> bool {
        match self {
            OldSockets::Known(progress, count) => {
                progress.old_inodes().iter().take(count).any(|known| get(known) == Some(inode))
            }
            OldSockets::Unknown | OldSockets::TooMany => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::array::from_fn;
    use std::boxed::Box;

    fn board() -> Board {
        Board::new(Box::leak(Box::new(from_fn(|_| from_fn(|_| AtomicU64::new(0))))))
    }

    /// All that is known, but for the sockets.
    fn numbers(progress: Progress) -> [Option<u64>; 4] {
        [progress.resume(), progress.unsent(), progress.reached_ms(), progress.denied()]
    }

    #[test]
    fn each_number_has_its_place() {
        let board = board();
        let progress = board.slots().nth(1).unwrap();
        assert_eq!(numbers(progress), [None; 4]);
        progress.set_resume(Some(0));
        progress.set_unsent(Some(7));
        progress.set_reached_ms(1_000);
        progress.denied_call().store(60 + 1, Ordering::Relaxed);
        assert_eq!(numbers(progress), [Some(0), Some(7), Some(1_000), Some(60)]);
        assert_eq!(numbers(board.slots().next().unwrap()), [None; 4], "another shipper's");
        progress.begin();
        assert_eq!(numbers(progress), [Some(0), Some(7), Some(1_000), None]);
        progress.set_resume(None);
        progress.set_unsent(Some(u64::MAX));
        assert_eq!(numbers(progress), [None, Some(u64::MAX - 1), Some(1_000), None]);
    }

    #[test]
    fn old_sockets() {
        let progress = board().slots().next().unwrap();
        assert!(progress.old_sockets().may_have(5), "nobody has looked");
        let inodes: [u64; OLD_SOCKETS_MAX + 1] = from_fn(|at| at as u64);
        for count in [0, 3, OLD_SOCKETS_MAX] {
            progress.set_old_sockets(&inodes[..count]);
            let old = progress.old_sockets();
            assert!(inodes[..count].iter().all(|&inode| old.may_have(inode)), "{count}");
            assert!(!old.may_have(inodes[count]), "{count}");
        }
        progress.set_old_sockets(&inodes);
        assert!(progress.old_sockets().may_have(1_000), "there were too many");
        progress.set_old_sockets(&[]);
        assert!(!progress.old_sockets().may_have(0), "they are gone");
    }
}
