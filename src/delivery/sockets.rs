//! The kernel's lists of sockets: `/proc/net/tcp`, `udp` and their IPv6 twins.
//!
//! They are text, a line each: `sl local remote state … uid … inode …`, addresses in hexadecimal.

use core::array;

use crate::address::Address;
use crate::limits::{DESTINATIONS_MAX, SHIPPER_UID};
use crate::text::{decimal, hexadecimal, next_word, split_once};

/// The state of a TCP connection that stands, and of a UDP socket that is connected.
const ESTABLISHED: &[u8] = b"01";

/// One socket of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Socket {
    /// The address that it is connected to.
    remote: Address,
    port: u16,
    is_established: bool,
    uid: u32,
    /// Its number, which no other socket has while it exists.
    pub inode: u64,
}

impl Socket {
    /// Reads a line of a list. `None`: it is none.
    pub fn parse(mut line: &[u8]) -> Option<Socket> {
        // Queues, timer and retransmissions stand before the user id, a time-out behind it.
        let [_slot, _local, remote, state, _, _, _, uid, _, inode] = array::from_fn(|_| next_word(&mut line));
        let (ip, port) = split_once(remote, b':')?;
        Some(Socket {
            remote: parse_address(ip)?,
            port: u16::try_from(hexadecimal(port)?).ok()?,
            is_established: state == ESTABLISHED,
            uid: decimal(uid)?,
            inode: decimal(inode)?.into(),
        })
    }

    /// Whether it is connected to this port and is not a shipper's.
    pub fn is_foreign(&self, port: u16) -> bool {
        let ours = SHIPPER_UID..SHIPPER_UID + DESTINATIONS_MAX as u32;
        self.is_established && self.port == port && !ours.contains(&self.uid)
    }

    /// Whether it is another process's connection to this receiver.
    pub fn delivers_to(&self, address: Address, port: u16) -> bool {
        self.is_foreign(port) && self.remote.ip == address.ip
    }
}

/// An address as the kernel prints it: 32-bit words in the machine's own byte order.
fn parse_address(digits: &[u8]) -> Option<Address> {
    let mut octets = heapless::Vec::<u8, 16>::new();
    let (words, rest) = digits.as_chunks::<8>();
    for word in words {
        octets.extend_from_slice(&hexadecimal(word)?.to_ne_bytes()).ok()?;
    }
    if rest.is_empty() { Address::from_octets(&octets) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    const LINES: [(&str, &str, u16, bool, u32, u64); 3] = [
        (
            "   1: 0100007F:A1B2 0F02000A:13B4 01 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0 20 4 30 10 -1",
            "10.0.2.15",
            5044,
            true,
            1000,
            12345,
        ),
        (
            "   0: 0000000000000000FFFF00000100007F:13B4 0000000000000000FFFF00000100007F:0001 06 00000000:00000000 00:00000000 00000000     0        0 1 1 0",
            "127.0.0.1",
            1,
            false,
            0,
            1,
        ),
        (
            "   0: 00000000000000000000000001000000:13B4 B80D0120000000000000000001000000:13B4 01 00000000:00000000 00:00000000 00000000 1802335079 0 4294967295 1 0",
            "2001:db8::1",
            5044,
            true,
            SHIPPER_UID,
            4_294_967_295,
        ),
    ];

    fn parsed(text: &str) -> Address {
        Address::parse(text.as_bytes()).expect("an address")
    }

    #[test]
    fn lines_of_the_kernel() {
        for (line, remote, port, is_established, uid, inode) in LINES {
            let socket = Socket::parse(line.as_bytes()).expect(line);
            assert_eq!(socket, Socket { remote: parsed(remote), port, is_established, uid, inode });
        }
        for broken in [
            "",
            "  sl  local_address rem_address   st tx_queue",
            "0: 1:1 2:2 01 0:0 0:0 0 x",
            "0: a:b zz:1 01",
        ] {
            assert_eq!(Socket::parse(broken.as_bytes()), None);
        }
    }

    #[test]
    fn ours_does_not_count() {
        let theirs =
            Socket { remote: parsed("10.0.0.1"), port: 5044, is_established: true, uid: 0, inode: 7 };
        let to = parsed("10.0.0.1");
        assert!(theirs.delivers_to(to, 5044));
        assert!(!theirs.delivers_to(to, 5045));
        assert!(!theirs.delivers_to(parsed("10.0.0.2"), 5044));
        assert!(!Socket { is_established: false, ..theirs }.delivers_to(to, 5044));
        assert!(!Socket { uid: SHIPPER_UID, ..theirs }.delivers_to(to, 5044));
        assert!(!Socket { uid: SHIPPER_UID + 3, ..theirs }.delivers_to(to, 5044));
        assert!(Socket { uid: SHIPPER_UID + 4, ..theirs }.delivers_to(to, 5044));
    }
}
