//! The socket by which links, addresses and routes are changed, and by which the kernel tells of changes.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

use crate::sys::wait::{Awaited, wait};
use crate::sys::{At, failed, time};
use earlykmsg::error::{Result, Step};
use earlykmsg::limits::{LINK_NEWS_BYTES, REQUEST_AGAIN_MS, REQUEST_TRIES};
use earlykmsg::wire::netlink::{Dump, dump_request};
use earlykmsg::wire::rtnetlink::{GROUPS, Request};

/// The socket.
pub struct Rtnl {
    fd: OwnedFd,
}

impl Rtnl {
    /// For requests alone.
    pub fn open() -> Result<Rtnl> {
        Ok(Rtnl { fd: netlink(None)? })
    }

    /// For what the kernel tells, too.
    pub fn open_and_listen() -> Result<Rtnl> {
        let rtnl = Rtnl::open()?;
        bind(&rtnl.fd, &SocketAddrNetlink::new(0, GROUPS)).at(Step::SetUpSocket)?;
        Ok(rtnl)
    }

    /// What to wait on.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Has something changed. It is done when this returns; only a refusal is answered, as [`News::Refused`](earlykmsg::wire::rtnetlink_news::News::Refused).
    pub fn request(&self, request: &Request) {
        self.send(request.bytes());
    }

    /// Asks for one thing. Gives the answer, which is there at once.
    pub fn ask<'b>(&self, request: &Request, buffer: &'b mut [u8; LINK_NEWS_BYTES]) -> &'b [u8] {
        // What an earlier request was refused with.
        while let Ok(Received::News(_) | Received::Lost) = self.receive(buffer) {}
        self.request(request);
        match self.receive(buffer) {
            Ok(Received::News(answer)) => answer,
            _ => &[],
        }
    }

    /// Asks for all that there is of something. The answer ends with [`News::End`](earlykmsg::wire::rtnetlink_news::News::End), and until then nothing else can be
    /// asked for.
    pub fn dump(&self, what: Dump) {
        self.send(&dump_request(what));
    }

    /// There may be no memory for it now.
    fn send(&self, request: &[u8]) {
        for _ in 0..REQUEST_TRIES {
            if send(&self.fd, request, SendFlags::empty()).is_ok() {
                break;
            }
            wait(&mut [Awaited::NONE], time::now_ms() + REQUEST_AGAIN_MS);
        }
    }

    /// Takes some of what has come. When that fails, nothing will ever come.
    pub fn receive<'b>(&self, buffer: &'b mut [u8; LINK_NEWS_BYTES]) -> Result<Received<'b>> {
        let mut receive = |flags| recv(&self.fd, &mut buffer[..], flags | RecvFlags::DONTWAIT);
        match receive(RecvFlags::empty()) {
            Ok((len, _)) => Ok(Received::News(&buffer[..len.min(LINK_NEWS_BYTES)])),
            Err(Errno::AGAIN) => Ok(Received::Nothing),
            // It is told once that something is lost. What the kernel has kept can be received then.
            Err(_) => match receive(RecvFlags::PEEK) {
                Ok(_) | Err(Errno::AGAIN) => Ok(Received::Lost),
                Err(errno) => Err(failed(Step::Receive, errno)),
            },
        }
    }
}

/// What was received.
pub enum Received<'b> {
    /// Messages, for [`next_news`](earlykmsg::wire::rtnetlink_news::next_news).
    News(&'b [u8]),
    /// Something was lost, most often as there was more than the kernel could keep.
    Lost,
    /// There is nothing more.
    Nothing,
}

/// A socket that gets what the kernel (group 1) and udevd (2) tell of devices.
pub fn open_uevents(groups: u32) -> Result<OwnedFd> {
    let fd = netlink(Some(KOBJECT_UEVENT))?;
    bind(&fd, &SocketAddrNetlink::new(0, groups)).at(Step::SetUpSocket)?;
    Ok(fd)
}

fn netlink(protocol: Option<Protocol>) -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol).at(Step::OpenSocket)
}
