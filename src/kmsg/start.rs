//! The kernel's log as the program finds it, read before the program writes a line of its own.
//!
//! Once the ring has gone round, each new record takes the place of the oldest: the program's first lines would push
//! out records that no shipper has read yet. So the oldest records are kept here as they are, and every shipper begins
//! with them.

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{SeekFrom, seek};

use super::record::{Body, Prefix, Record};
use super::saved::Saved;
use super::source::{ReadBuffer, read_record};
use crate::boot::kernel_fs::KernelFs;
use crate::clock::StampOffset;
use crate::error::{Result, Step};
use crate::limits::{NEWEST_LOOKS_MAX, READ_BACK_MAX, RECORD_BYTES_MAX};
use crate::sys::fds::keep;
use crate::sys::memory::Buffer;

/// The log, opened by the watcher.
pub struct Log {
    /// For the program's own lines. The kernel takes ten lines at once of each opening: this one has no other use.
    pub fd: BorrowedFd<'static>,
    /// The number of the oldest record that the ring had.
    pub oldest: Option<u64>,
    /// The oldest records, as far as there is room for them.
    pub saved: &'static Saved,
    /// What records are read into.
    pub buffer: &'static mut ReadBuffer,
}

impl Log {
    /// Opens the log and keeps its oldest records. Must come before any line of the program's own.
    pub fn open(reach: &KernelFs) -> Result<Log> {
        static BUFFER: Buffer<ReadBuffer> = Buffer::new([0; RECORD_BYTES_MAX]);
        static SAVED: Buffer<Saved> = Buffer::new(Saved::EMPTY);
        let (Some(buffer), Some(saved)) = (BUFFER.take(), SAVED.take()) else {
            return Err(Step::TakeBuffers.failed(0));
        };
        let fd = keep(reach.open_kmsg()?);
        let mut oldest = None;
        while let Some(len) = read_record(fd, buffer)? {
            let record = &buffer[..len];
            oldest = oldest.or(Prefix::parse(record).map(|prefix| prefix.seq));
            if !saved.push(record) {
                break;
            }
        }
        Ok(Log { fd, oldest, saved, buffer })
    }

    /// Measures how the kernel's stamps and the clock belong together. `say` reads `CLOCK_MONOTONIC_RAW`, writes a line
    /// into the log and returns the reading; the line is then read back.
    pub fn measure(&mut self, say: impl FnOnce() -> i64) -> StampOffset {
        let can_seek = seek(self.fd, SeekFrom::End(0)).is_ok();
        let before_ns = say();
        // A file in the log's place: what is read from it cannot be read again.
        let looks = if can_seek { READ_BACK_MAX } else { 0 };
        for _ in 0..looks {
            let Ok(Some(len)) = read_record(self.fd, self.buffer) else { break };
            if let Some(record) = Record::parse(&self.buffer[..len])
                && let Body::Escaped { text, .. } = record.body
                && text.starts_with(b"earlykmsg: ")
            {
                return StampOffset::measured(before_ns, record.clock_us);
            }
        }
        // The kernel takes no words from programs, or others write faster than this reads. Both clocks begin at about
        // the same time.
        StampOffset(0)
    }

    /// The number of the newest record.
    pub fn newest(&mut self, reach: &KernelFs) -> Option<u64> {
        let fd = reach.open_kmsg().ok()?;
        let mut newest = None;
        for _ in 0..NEWEST_LOOKS_MAX {
            let Ok(Some(len)) = read_record(fd.as_fd(), self.buffer) else { break };
            newest = Prefix::parse(&self.buffer[..len]).map(|prefix| prefix.seq).or(newest);
        }
        newest
    }
}
