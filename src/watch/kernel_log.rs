//! The kernel's log as the program finds it, read before the program writes a line of its own.
//!
//! Once the ring is full, each new record takes the place of the oldest: the program's first lines would push out
//! records that no shipper has read yet. So the oldest records are kept here as they are, and every shipper begins with
//! them.

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{SeekFrom, seek};

use crate::kernel_fs::KernelFs;
use crate::ship::reader::read_record;
use crate::sys::fds::keep;
use crate::sys::memory::Buffer;
use earlykmsg::error::{Errno, Result, Step};
use earlykmsg::limits::{NEWEST_LOOKS_MAX, READ_BACK_MAX, RECORD_BYTES_MAX};
use earlykmsg::record::clock::StampOffset;
use earlykmsg::record::saved::Saved;
use earlykmsg::record::{Body, Prefix, Record};

/// The log, opened by the watcher.
pub struct KernelLog {
    /// For the program's own messages. The kernel limits the rate of lines (ten at once) per opening, so this one has no
    /// other use.
    pub fd: BorrowedFd<'static>,
    /// The number of the oldest record that the ring had.
    pub oldest: Option<u64>,
    /// The oldest records, as far as there is room for them.
    pub saved: &'static Saved,
}

impl KernelLog {
    /// Opens the log and keeps its oldest records. Must come before any message of this process.
    pub fn open(kernel_fs: &KernelFs) -> Result<KernelLog> {
        static SAVED: Buffer<Saved> = Buffer::new(Saved::EMPTY);
        let Some(saved) = SAVED.take() else {
            return Err(Step::TakeBuffers.failed(Errno::NONE));
        };
        let fd = keep(kernel_fs.open_kmsg()?);
        let (mut oldest, mut buffer) = (None, [0; RECORD_BYTES_MAX]);
        while let Some(record) = read_record(fd, &mut buffer)? {
            oldest = oldest.or(Prefix::parse(record).map(|prefix| prefix.seq));
            if !saved.push(record) || saved.is_enough() {
                break;
            }
        }
        Ok(KernelLog { fd, oldest, saved })
    }

    /// Measures the offset between the kernel's stamps and `CLOCK_MONOTONIC_RAW`. `write_line` reads that clock, writes a
    /// line of the program's into the log and returns the reading; the line is then read back.
    pub fn measure_stamps(&self, write_line: impl FnOnce() -> i64) -> StampOffset {
        let can_seek = seek(self.fd, SeekFrom::End(0)).is_ok();
        let before_ns = write_line();
        if !can_seek {
            // A file in the log's place: what is read from it now could not be read again.
            return StampOffset(0);
        }
        self.read_back(before_ns)
    }

    /// Finds the line of the program's own that was written when this clock was read.
    #[inline(never)] // its buffer is on the stack only while it runs
    fn read_back(&self, before_ns: i64) -> StampOffset {
        let mut buffer = [0; RECORD_BYTES_MAX];
        for _ in 0..READ_BACK_MAX {
            let Ok(Some(record)) = read_record(self.fd, &mut buffer) else { break };
            if let Some(record) = Record::parse(record)
                && let Body::Escaped { text, .. } = record.body
                && text.starts_with(b"earlykmsg: ")
            {
                return StampOffset::measured(before_ns, record.clock_us);
            }
        }
        // The kernel takes no lines from programs, or others write faster than this reads. Both clocks begin at about
        // the same time.
        StampOffset(0)
    }

    /// The number of the newest record.
    #[inline(never)] // its buffer is on the stack only while it runs
    pub fn newest(&self, kernel_fs: &KernelFs) -> Option<u64> {
        let fd = kernel_fs.open_kmsg().ok()?;
        let (mut newest, mut buffer) = (None, [0; RECORD_BYTES_MAX]);
        for _ in 0..NEWEST_LOOKS_MAX {
            let Ok(Some(record)) = read_record(fd.as_fd(), &mut buffer) else { break };
            newest = Prefix::parse(record).map(|prefix| prefix.seq).or(newest);
        }
        newest
    }
}
