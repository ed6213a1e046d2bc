//! Sockets: how bytes leave the machine, and what the kernel tells of the network. No call here waits.

pub mod link_monitor;
pub mod tcp;
pub mod udp;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::sys::At;
use crate::sys::socket::interface_index;
use earlykmsg::address::Address;
use earlykmsg::error::{Result, Step};
use earlykmsg::text::decimal;

/// What a socket is connected to.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The address.
    pub address: Address,
    /// The name or index of the interface that it belongs to, if the address does not tell.
    pub scope: &'a [u8],
    /// The port.
    pub port: u16,
}

/// Opens a socket for `target`, whose address has its scope ID afterwards.
fn open(target: &mut Target<'_>, kind: SocketType) -> Result<OwnedFd> {
    let family = if target.address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = socket_with(family, kind, flags, None).at(Step::OpenSocket)?;
    // `[::ffff:10.0.0.1%eth0]` is an address of IPv4, which belongs to no interface.
    if !target.address.is_ipv4() && !target.scope.is_empty() {
        target.address.scope_id = scope_id(fd.as_fd(), target.scope)?;
    }
    Ok(fd)
}

/// The index of an interface by its name or as a number. Any socket will do.
pub fn scope_id(socket: BorrowedFd<'_>, scope: &[u8]) -> Result<u32> {
    match decimal(scope) {
        Some(index) => Ok(index),
        None => interface_index(socket, scope),
    }
}
