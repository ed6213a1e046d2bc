//! Sockets: how bytes leave the machine. None of these calls waits; waiting is the shipper's.

pub mod tcp;
pub mod udp;

use core::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};

use crate::address::number;
use crate::endpoint::{Endpoint, Host};
use crate::error::{Result, Step};
use crate::sys::socket::interface;
use crate::sys::{At, failed};

/// The socket that reaches `to`, and its address, the zone's number looked up.
fn open(to: &Endpoint<'_>, kind: SocketType) -> Result<(OwnedFd, SocketAddr)> {
    let Host::Address { address, zone } = to.host else {
        return Err(failed(Step::LookUpName, Errno::NOSYS));
    };
    let v4 = address.as_v4();
    let family = if v4.is_some() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = socket_with(family, kind, flags, None).at(Step::OpenSocket)?;
    let address = match v4 {
        Some(v4) => SocketAddr::V4(SocketAddrV4::new(v4.into(), to.port)),
        None => {
            let scope = match (zone, number(zone)) {
                (b"", _) => 0,
                (_, Some(index)) => index,
                (name, None) => interface(&fd, name)?,
            };
            SocketAddr::V6(SocketAddrV6::new(address.0.into(), to.port, 0, scope))
        }
    };
    Ok((fd, address))
}

/// The error that has come in since the last time.
fn pending_error(fd: impl AsFd, step: Step) -> Result<()> {
    sockopt::socket_error(fd).and_then(|error| error).at(step)
}
