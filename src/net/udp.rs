//! Datagrams to one receiver. A connected socket: refusals come back, and others' datagrams do not come in.

use core::array;
use core::slice;

use heapless::Vec;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, IoSlice};
use rustix::net::{MMsgHdr, RecvFlags, SendAncillaryBuffer, SendFlags, SocketType, recv, sendmmsg};

use super::{Target, open};
use crate::sys::failed;
use crate::sys::socket::{connect, holds_unsent, pending_error, prepare_datagrams, take_report};
use earlykmsg::error::{Error, Result, Step};
use earlykmsg::limits::{UDP_BURST, UDP_REPORTS_MAX};

/// A socket that sends to one receiver.
pub struct Udp {
    fd: OwnedFd,
}

/// What became of datagrams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// So many left, at least one. What kept the others here is not known: if it lasts, the next call tells; if it was the
    /// error of one that was sent before, [`Udp::report`] does.
    Some(usize),
    /// There is no room for the first now.
    Full,
    /// The first did not leave: it is too long, or one that was sent before was, which [`Udp::report`] then tells.
    TooLong,
    /// What was sent before was refused, or there is no way to the receiver now.
    Broken(Error),
}

/// What the network reports of a datagram that was sent before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Report {
    /// It was too long for a link on the way, which takes packets of up to `mtu` bytes (0: it does not say). The kernel
    /// cuts what is sent from now on into fragments of that length.
    TooLong {
        /// The link's.
        mtu: u32,
    },
    /// It did not arrive for another reason.
    Failed(Error),
}

impl Udp {
    /// Opens the socket. Without a route to the receiver this fails.
    pub fn open(target: &mut Target<'_>) -> Result<Udp> {
        let fd = open(target, SocketType::DGRAM)?;
        prepare_datagrams(fd.as_fd())?;
        connect(fd.as_fd(), target.address.with_port(target.port))?;
        Ok(Udp { fd })
    }

    /// The socket, to wait on.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Sends datagrams in their order, up to a burst, by one call.
    #[inline(never)] // its lists are on the stack only while it runs
    pub fn send<'a>(&self, datagrams: impl IntoIterator<Item = &'a [u8]>) -> Sent {
        const MOST: usize = UDP_BURST as usize;
        let parts: Vec<IoSlice<'_>, MOST> = datagrams.into_iter().take(MOST).map(IoSlice::new).collect();
        let mut none: [SendAncillaryBuffer<'_, '_, '_>; MOST] =
            array::from_fn(|_| SendAncillaryBuffer::default());
        let messages = parts.iter().zip(&mut none);
        let mut messages: Vec<MMsgHdr<'_>, MOST> =
            messages.map(|(part, none)| MMsgHdr::new(slice::from_ref(part), none)).collect();
        match sendmmsg(&self.fd, &mut messages, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(count) => Sent::Some(count),
            Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS) => Sent::Full,
            Err(Errno::MSGSIZE) => Sent::TooLong,
            Err(errno) => Sent::Broken(failed(Step::Send, errno)),
        }
    }

    /// Drops what the receiver has sent. It takes the room of reports: where there is none, an error number alone is left,
    /// and that is lost when a call of [`Udp::send`] meets it behind its first datagram. Fails if there is such a number.
    pub fn discard(&self) -> Result<()> {
        for _ in 0..UDP_REPORTS_MAX {
            match recv(&self.fd, &mut [0; 1], RecvFlags::DONTWAIT) {
                Ok(_) => {}
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(errno) => return Err(failed(Step::Send, errno)),
            }
        }
        Ok(())
    }

    /// Whether what was sent is still here, waiting for the neighbour's address.
    pub fn holds_unsent(&self) -> bool {
        holds_unsent(self.fd())
    }

    /// Takes the oldest report, if there is one.
    pub fn report(&self) -> Option<Report> {
        loop {
            let (error, mtu) = match take_report(self.fd()) {
                // What this machine itself reports of a datagram, `send` has returned already.
                Ok(Some(report)) if report.is_local => continue,
                Ok(Some(report)) => (Step::Send.failed(report.errno), report.mtu),
                // Where there is no memory for a report, its error number is left.
                Ok(None) => (pending_error(self.fd(), Step::Send).err()?, 0),
                Err(error) => return Some(Report::Failed(error)),
            };
            let is_too_long = error.errno.0 == libc::EMSGSIZE;
            return Some(if is_too_long { Report::TooLong { mtu } } else { Report::Failed(error) });
        }
    }
}
