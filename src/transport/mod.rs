//! Sockets: how bytes leave the machine. None of these calls waits; waiting is the shipper's.

pub mod tcp;
pub mod udp;

use core::net::{IpAddr, SocketAddr, SocketAddrV6};

use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with, sockopt};

use crate::endpoint::{Endpoint, Host, number};
use crate::error::{Error, Result};

fn fail(step: &'static str) -> impl FnOnce(Errno) -> Error {
    move |errno| Error { step, errno: errno.raw_os_error() }
}

/// The socket that reaches `to`, and its address, the zone's number looked up.
fn open(to: &Endpoint<'_>, kind: SocketType) -> Result<(OwnedFd, SocketAddr)> {
    let family = match to.host {
        Host::V4(_) => AddressFamily::INET,
        _ => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = socket_with(family, kind, flags, None).map_err(fail("open a socket"))?;
    let address = match to.host {
        Host::V4(address) => SocketAddr::new(IpAddr::V4(address), to.port),
        Host::V6 { address, zone } => {
            let scope = match zone.map(|zone| (zone, number(zone.as_bytes()))) {
                None => 0,
                Some((_, Some(index))) => index,
                Some((name, None)) => {
                    netdevice::name_to_index(&fd, name).map_err(fail("look up the zone"))?
                }
            };
            SocketAddr::V6(SocketAddrV6::new(address, to.port, 0, scope))
        }
        Host::Name(_) => return Err(Error { step: "look up the name", errno: Errno::NOSYS.raw_os_error() }),
    };
    Ok((fd, address))
}

/// The error that has come in since the last time.
fn pending_error(fd: impl AsFd, step: &'static str) -> Result<()> {
    sockopt::socket_error(fd).and_then(|error| error).map_err(fail(step))
}
