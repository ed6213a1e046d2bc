//! The program that reads what pstore kept of earlier boots, as the watcher sees it, and the file that it writes for the
//! shippers.
//!
//! Everybody has that file from the beginning. It is complete, and nobody can change it any more, when the program says so.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;

use super::Origin;
use super::child::{Child, send};
use super::program::Program;
use crate::logger::warn;
use crate::ship::kept_lines::KeptFile;
use crate::sys::failed;
use crate::sys::fds::{keep, read_into};
use earlykmsg::channel::Message;
use earlykmsg::config::Options;
use earlykmsg::config::endpoint::Transport;
use earlykmsg::error::Step;
use earlykmsg::limits::PACKET_BYTES_MAX;

/// Where it lies.
const PROGRAM: Program = Program { path: c"/earlykmsg.d/pstore", without: "what pstore has is not shipped" };

/// The program at work, and its file.
pub struct Pstore {
    /// The channel to it; none: it does not run.
    channel: Option<OwnedFd>,
    /// What a shipper is given of it that starts now.
    pub file: KeptFile,
}

impl Pstore {
    /// Starts it, if it is asked for and a root switch is to come.
    pub fn start(options: &Options<'_>, origin: Origin<'_>) -> Pstore {
        let is_asked_for = options.has_pstore && origin.expects_root_switch();
        let file = if is_asked_for { new_file() } else { None };
        let channel = file.and_then(|file| PROGRAM.start(b"earlykmsg.pstore", options, origin, Some(file)));
        Pstore { channel, file: KeptFile { fd: file, bytes: 0, next: None } }
    }

    /// What to wait on.
    pub fn channel(&self) -> Option<BorrowedFd<'_>> {
        self.channel.as_ref().map(AsFd::as_fd)
    }

    /// Takes a message, if there is one, and passes it on to the shippers: those that wait need not any longer.
    #[inline(never)] // its buffer is on the stack only while it runs
    pub fn take_message(&mut self, shippers: &mut [Child<'_>]) {
        let Some(channel) = &self.channel else { return };
        let mut packet = [0; PACKET_BYTES_MAX];
        let message = match read_into(channel.as_fd(), &mut packet) {
            Err(Errno::AGAIN | Errno::INTR) => return,
            packet => Message::decode(packet.unwrap_or_default()),
        };
        match message {
            Some(message @ Message::KeptLines { bytes }) => {
                self.file.bytes = bytes;
                shippers.iter().for_each(|shipper| shipper.send(message));
            }
            // It has ended.
            _ => self.channel = None,
        }
        shippers.iter_mut().for_each(Child::start_now);
    }

    /// A receiver has all lines. When those of all TCP destinations have, the program is told, which may remove the files.
    pub fn arrived(&self, shippers: &[Child<'_>]) {
        let mut tcp = shippers.iter().filter(|shipper| shipper.endpoint.transport == Transport::Tcp);
        if let Some(channel) = self.channel()
            && tcp.all(Child::has_kept_lines)
        {
            send(channel, Message::KeptLinesArrived);
        }
    }
}

fn new_file() -> Option<BorrowedFd<'static>> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = memfd_create(c"earlykmsg-pstore", flags).map(keep);
    file.inspect_err(|errno| warn!("{}; {}", failed(Step::KeepLines, *errno), PROGRAM.without)).ok()
}
