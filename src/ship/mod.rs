//! A shipper: one destination, one process. It reads the kernel's log, makes lines of the records and sends them, and
//! reads again what a receiver may have lost.
//!
//! ```text
//! reader -> line (encoder) -> batch -> tcp or udp -> ledger
//!    ^                                                  |
//!    +------------ which record to begin with ----------+
//! ```

pub mod handover;
pub mod identity;
pub mod kept_lines;
pub mod reader;

mod connection_log;
mod events;
mod line_writer;
mod name_server;
mod resolver;
mod shipper;
mod source;
mod tcp;
mod udp;

use rustix::fd::BorrowedFd;

use crate::sys::memory::Buffer;
use handover::SocketLists;
use identity::Identity;
use kept_lines::{ItemBuffer, KeptFile};
use reader::ReadBuffer;
use shipper::Shipper;

use earlykmsg::config::endpoint::{Endpoint, Transport};
use earlykmsg::delivery::batch::BatchBuffer;
use earlykmsg::delivery::ledger::Marks;
use earlykmsg::delivery::lifetime::Lifetime;
use earlykmsg::delivery::progress::Progress;
use earlykmsg::error::{Errno, Result, Step};
use earlykmsg::limits::{ANSWERS_BYTES, PSTORE_LINE_BYTES_MAX, RECORD_BYTES_MAX};
use earlykmsg::line::Encoder;
use earlykmsg::pstore::item::HEAD_BYTES;
use earlykmsg::record::Level;
use earlykmsg::record::clock::StampOffset;
use earlykmsg::record::saved::Saved;

/// What a shipper is told when it starts.
pub struct Job<'a> {
    /// Where records go.
    pub endpoint: &'a Endpoint<'a>,
    /// The least severe level that is shipped.
    pub level: Level,
    /// The members that are wanted besides Talos's.
    pub identity: Identity<'a>,
    /// The first record that is wanted; none: the oldest one.
    pub first: Option<u64>,
    /// The oldest record that the kernel's log had when the program started.
    pub oldest_at_start: u64,
    /// The records that the program's own first lines may have pushed out of the log.
    pub saved: &'a Saved,
    /// The first record that was never sent, when there was a shipper before.
    pub unsent: Option<u64>,
    /// What pstore kept.
    pub kept: KeptFile,
    /// How the kernel's time stamps and the clock belong together.
    pub stamp: StampOffset,
    /// Where the watcher sees how far it is.
    pub progress: Progress,
}

/// The descriptors that a shipper works with.
pub struct Fds {
    /// `/dev/kmsg`.
    pub kmsg: BorrowedFd<'static>,
    /// Signals.
    pub signals: BorrowedFd<'static>,
    /// The channel to the watcher.
    pub watcher: BorrowedFd<'static>,
    /// The kernel's lists of sockets.
    pub sockets: SocketLists,
}

/// How a shipper's work ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Everything was sent and, where that can be, acknowledged.
    Done,
    /// The time for the end was over before that; how much is missing was logged.
    Unacknowledged,
}

/// What is too large for the stack. The order keeps together what every shipper writes to: 16 kB less are in use.
#[repr(C)]
struct Buffers {
    source: SourceBuffers,
    answers: [u8; ANSWERS_BYTES],
}

/// See [`Buffers`].
#[repr(C)]
struct SourceBuffers {
    marks: Marks,
    encoder: Encoder,
    batch: BatchBuffer,
    record: ReadBuffer,
    kept_item: ItemBuffer,
}

static BUFFERS: Buffer<Buffers> = Buffer::new(Buffers {
    source: SourceBuffers {
        marks: Marks::NONE,
        encoder: Encoder::NONE,
        batch: BatchBuffer::EMPTY,
        record: [0; RECORD_BYTES_MAX],
        kept_item: [0; HEAD_BYTES + PSTORE_LINE_BYTES_MAX],
    },
    answers: [0; ANSWERS_BYTES],
});

/// Ships until the end of its lifetime.
pub fn ship(job: Job<'_>, lifetime: Lifetime, fds: &Fds) -> Result<Outcome> {
    let Some(buffers) = BUFFERS.take() else {
        return Err(Step::TakeBuffers.failed(Errno::NONE));
    };
    let transport = job.endpoint.transport;
    let mut shipper = Shipper::new(job, lifetime, fds, buffers);
    match transport {
        Transport::Tcp => tcp::ship(&mut shipper),
        Transport::Udp => udp::ship(&mut shipper),
    }
}
