//! Sockets: how bytes leave the machine. None of these calls waits; waiting is the shipper's.

pub mod tcp;
pub mod udp;

use core::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use rustix::fd::{AsFd, OwnedFd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};

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

/// The socket that reaches `to`, and its address, the zone's number looked up.
fn open(to: &To<'_>, kind: SocketType) -> Result<(OwnedFd, SocketAddr)> {
    let v4 = to.address.as_v4();
    let family = if v4.is_some() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = socket_with(family, kind, flags, None).at(Step::OpenSocket)?;
    let address = match v4 {
        Some(v4) => SocketAddr::V4(SocketAddrV4::new(v4.into(), to.port)),
        None => {
            let scope = if to.zone.is_empty() { to.address.scope } else { zone(&fd, to.zone)? };
            SocketAddr::V6(SocketAddrV6::new(to.address.bytes.into(), to.port, 0, scope))
        }
    };
    Ok((fd, address))
}

/// The number of the interface that a zone is, by its name or number. Any socket will do.
pub(crate) fn zone(socket: impl AsFd, zone: &[u8]) -> Result<u32> {
    number(zone).map_or_else(|| interface(socket, zone), Ok)
}

/// The error that has come in since the last time.
fn pending_error(fd: impl AsFd, step: Step) -> Result<()> {
    sockopt::socket_error(fd).and_then(|error| error).at(step)
}
