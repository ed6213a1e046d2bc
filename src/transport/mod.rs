//! Sockets: how bytes leave the machine. None of these calls waits; waiting is the shipper's.

pub mod tcp;
pub mod udp;

use rustix::fd::{AsFd, OwnedFd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::address::{Address, number};
use crate::error::{Result, Step};
use crate::sys::At;
use crate::sys::socket::interface;

/// Whom a socket is connected to.
#[derive(Clone, Copy, Debug)]
pub struct To<'a> {
    /// The address.
    pub address: Address,
    /// The name or number of the interface that it holds on, if the address does not say it.
    pub zone: &'a [u8],
    /// The port.
    pub port: u16,
}

/// A socket for `to`, whose address says from now on which interface leads there, if that matters.
fn open(to: &mut To<'_>, kind: SocketType) -> Result<OwnedFd> {
    let v4 = to.address.is_v4();
    let family = if v4 { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = socket_with(family, kind, flags, None).at(Step::OpenSocket)?;
    if !v4 && !to.zone.is_empty() {
        to.address.scope = zone(&fd, to.zone)?;
    }
    Ok(fd)
}

/// The number of the interface that a zone is, by its name or number. Any socket will do.
#[inline(never)]
pub(crate) fn zone(socket: impl AsFd, zone: &[u8]) -> Result<u32> {
    number(zone).map_or_else(|| interface(socket, zone), Ok)
}
