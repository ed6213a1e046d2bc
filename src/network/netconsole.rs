//! What the kernel's netconsole is told, and why it cannot be told or does not take it.

use core::fmt::{self, Display};

use heapless::Vec;

use crate::address::Address;
use crate::config::netconsole::Netconsole;
use crate::error::Errno;
use crate::limits::INTERFACE_NAME_BYTES_MAX;
use crate::text::Quoted;
use crate::wire::dhcp::Mac;
use crate::wire::neighbour::Obstacle;

/// What the kernel is told, besides the receiver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// The name of the interface.
    pub interface: Vec<u8, INTERFACE_NAME_BYTES_MAX>,
    /// The address of this machine that is written into the packets.
    pub local: Address,
    /// The hardware address of the receiver, or of the gateway to it.
    pub mac: Mac,
}

/// A hardware address in its usual form: `52:54:00:12:34:56`.
#[derive(Clone, Copy, Debug)]
pub struct ShowMac(pub Mac);

impl Display for ShowMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02x}", if at == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

/// Why nothing can be sent to a receiver.
#[derive(Clone, Copy, Debug)]
pub struct InTheWay<'a> {
    /// What is in the way.
    pub obstacle: Obstacle,
    /// The receiver.
    pub to: &'a Netconsole<'a>,
}

impl Display for InTheWay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = self.to;
        match self.obstacle {
            Obstacle::NoRoute => write!(f, "no route to {to}"),
            Obstacle::NoOtherMachine => write!(f, "{to} is not the address of one other machine"),
            Obstacle::NoEthernet => write!(f, "the interface to {to} is no Ethernet"),
            Obstacle::NeighbourUnknown => write!(f, "no answer from the neighbour on the way to {to}"),
        }
    }
}

/// That the kernel does not take a target, and why.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// The kernel's error number.
    pub errno: i32,
    /// The name of the interface.
    pub interface: &'a [u8],
}

impl Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The kernel's number for an interface that netpoll cannot use; user space has none of this name.
        const ENOTSUPP: i32 = 524;
        let why = match self.errno {
            libc::EBUSY => ": it is part of a bridge or bond",
            ENOTSUPP => ": its driver cannot",
            _ => "",
        };
        write!(f, "set up netconsole: {}, over {}{why}", Errno(self.errno), Quoted(self.interface))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_hardware_address() {
        assert_eq!(ShowMac([0x52, 0x54, 0, 0x12, 0x34, 0xab]).to_string(), "52:54:00:12:34:ab");
    }

    #[test]
    fn what_is_in_the_way() {
        let to = &Netconsole::parse(b"udp://10.0.0.1:6666").expect("a receiver");
        for (obstacle, want) in [
            (Obstacle::NoRoute, "no route to udp://10.0.0.1:6666/"),
            (Obstacle::NoOtherMachine, "udp://10.0.0.1:6666/ is not the address of one other machine"),
            (Obstacle::NoEthernet, "the interface to udp://10.0.0.1:6666/ is no Ethernet"),
            (Obstacle::NeighbourUnknown, "no answer from the neighbour on the way to udp://10.0.0.1:6666/"),
        ] {
            assert_eq!(InTheWay { obstacle, to }.to_string(), want);
        }
    }

    #[test]
    fn what_the_kernel_does_not_take() {
        for (errno, want) in [
            (16, "set up netconsole: busy (errno 16), over eth0: it is part of a bridge or bond"),
            (524, "set up netconsole: errno 524, over eth0: its driver cannot"),
            (19, "set up netconsole: no such device (errno 19), over eth0"),
        ] {
            assert_eq!(Refusal { errno, interface: b"eth0" }.to_string(), want);
        }
    }
}
