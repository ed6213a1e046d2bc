//! How many guests run at once, over all threads and processes: a slot is a locked file.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::env;
use std::fs::{self, File};

use crate::error::{Error, Result};
use crate::program::target_dir;

/// Without KVM a guest keeps one core busy while it boots.
const SLOTS: usize = 2;

/// The right to run one guest, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    _lock: File,
}

impl Slot {
    /// Waits for a free slot. `EARLYKMSG_GUESTS` says how many there are (2).
    pub(crate) fn take() -> Result<Slot> {
        static TURN: AtomicUsize = AtomicUsize::new(0);
        let slots = env::var("EARLYKMSG_GUESTS").ok().and_then(|n| n.parse().ok()).unwrap_or(SLOTS).max(1);
        let home = target_dir().join("qemu");
        fs::create_dir_all(&home).map_err(Error::at(format!("unable to make {}", home.display())))?;
        let open = |n: usize| {
            let path = home.join(format!("guest-{n}.lock"));
            File::create(&path).map_err(Error::at(format!("unable to make {}", path.display())))
        };
        for n in 0..slots {
            let lock = open(n)?;
            if lock.try_lock().is_ok() {
                return Ok(Slot { _lock: lock });
            }
        }
        // All taken: in line for one of them, each time another.
        let lock = open((TURN.fetch_add(1, Ordering::Relaxed) + std::process::id() as usize) % slots)?;
        lock.lock().map_err(Error::at("unable to lock a slot for a guest"))?;
        Ok(Slot { _lock: lock })
    }
}
