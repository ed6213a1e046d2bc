//! Whether the main system delivers by itself: a socket that is connected to our receiver, is not ours, and was not
//! there before the switch of root.
//!
//! The kernel lists its sockets as text, a line each: `sl local remote state … uid … inode …`, addresses in
//! hexadecimal. Ours are known by the shippers' user ids, those of before the switch by their inodes.
//!
//! Which sockets there are at the moment of the switch nobody can tell; but the mounts change right before it. So the
//! sockets are noted whenever the mounts change, until the root is another one.

use core::array::from_fn;
use core::ffi::CStr;

use rustix::fd::BorrowedFd;
use rustix::fs::{SeekFrom, seek};
use rustix::io::read;

use crate::address::{Address, cut, hex, number};
use crate::board::Progress;
use crate::endpoint::Scheme;
use crate::limits::{DESTINATIONS_MAX, OLD_SOCKETS_MAX, SHIPPER_UID};
use crate::names::{Found, word};

/// The kernel's lists, opened before the file system was out of reach.
#[derive(Default)]
pub struct Delivery {
    /// IPv4's and IPv6's, as far as they are there.
    pub lists: [Option<BorrowedFd<'static>>; 2],
}

impl Delivery {
    /// Opens the lists of a scheme, which `open` finds below `/proc`.
    pub fn new(scheme: Scheme, open: impl Fn(&'static CStr) -> Option<BorrowedFd<'static>>) -> Delivery {
        let [v4, v6] = match scheme {
            Scheme::Tcp => [c"net/tcp", c"net/tcp6"],
            Scheme::Udp => [c"net/udp", c"net/udp6"],
        };
        Delivery { lists: [open(v4), open(v6)] }
    }

    /// Notes the sockets that others have now, connected to this port. (To any address: after the switch, a name may
    /// lead to another one.)
    pub fn note_old(&self, port: u16, progress: Progress) {
        let mut inodes = Inodes::new();
        self.find(|socket| {
            // One more than that: then there are too many.
            socket.is_foreign(port) && inodes.push(socket.inode).is_err()
        });
        progress.set_old_sockets(inodes.iter().copied());
    }

    /// Whether someone else's socket whose inode is not old is connected to one of these addresses now.
    pub fn seen(&self, addresses: &Found, port: u16, is_old: impl Fn(u64) -> bool) -> bool {
        self.find(|socket| {
            addresses.iter().any(|address| socket.delivers_to(address, port)) && !is_old(socket.inode)
        })
    }

    /// Whether there is a socket that is the one; looks at no more after that.
    fn find(&self, mut is_it: impl FnMut(Socket) -> bool) -> bool {
        self.lists.iter().flatten().any(|list| list_has(*list, &mut is_it))
    }
}

/// Room for the sockets that are noted, and one more.
type Inodes = heapless::Vec<u64, { OLD_SOCKETS_MAX + 1 }>;

/// Reads a list line by line.
fn list_has(list: BorrowedFd<'_>, is_it: &mut impl FnMut(Socket) -> bool) -> bool {
    if seek(list, SeekFrom::Start(0)).is_err() {
        return false;
    }
    let mut buffer = [0; 1024];
    let mut len = 0;
    while let Ok(more) = read(list, &mut buffer[len..])
        && more > 0
    {
        len += more;
        let mut rest = &buffer[..len];
        while let Some((line, after)) = cut(rest, b'\n') {
            if Socket::parse(line).is_some_and(&mut *is_it) {
                return true;
            }
            rest = after;
        }
        let start = len - rest.len();
        buffer.copy_within(start..len, 0);
        len -= start;
        if len == buffer.len() {
            // No line of the kernel's is that long: drop it.
            len = 0;
        }
    }
    false
}

/// One line of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Socket {
    remote: Address,
    port: u16,
    established: bool,
    uid: u32,
    inode: u64,
}

impl Socket {
    /// Whether it is connected to this port and is not a shipper's.
    fn is_foreign(self, port: u16) -> bool {
        let ours = SHIPPER_UID..SHIPPER_UID + DESTINATIONS_MAX as u32;
        self.established && self.port == port && !ours.contains(&self.uid)
    }

    fn delivers_to(self, address: Address, port: u16) -> bool {
        self.is_foreign(port) && self.remote.bytes == address.bytes
    }

    fn parse(mut line: &[u8]) -> Option<Socket> {
        // Queues, timer and retransmissions stand before the user id, a time-out behind it.
        let [_, _, remote, state, _, _, _, uid, _, inode] = from_fn(|_| word(&mut line));
        let established = state == b"01";
        let (remote, port) = cut(remote, b':')?;
        let port = u16::try_from(hex(port)?).ok()?;
        let inode = number(inode)?.into();
        Some(Socket { remote: address(remote)?, port, established, uid: number(uid)?, inode })
    }
}

/// An address as the kernel prints it: 32-bit words in the machine's own byte order.
fn address(digits: &[u8]) -> Option<Address> {
    let mut bytes = [0; 16];
    let mut len = 0;
    for word in digits.chunks(8) {
        *bytes.get_mut(len..)?.first_chunk_mut()? = hex(word)?.to_ne_bytes();
        len += 4;
    }
    matches!(digits.len(), 8 | 32).then(|| Address::of(&bytes[..digits.len() / 2]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{v4_address, v6_address};

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
        v4_address(text.as_bytes()).or(v6_address(text.as_bytes())).expect("an address")
    }

    #[test]
    fn lines_of_the_kernel() {
        for (line, remote, port, established, uid, inode) in LINES {
            let socket = Socket::parse(line.as_bytes()).expect(line);
            assert_eq!(socket, Socket { remote: parsed(remote), port, established, uid, inode });
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
        let theirs = Socket { remote: parsed("10.0.0.1"), port: 5044, established: true, uid: 0, inode: 7 };
        let to = parsed("10.0.0.1");
        assert!(theirs.delivers_to(to, 5044));
        assert!(!theirs.delivers_to(to, 5045));
        assert!(!theirs.delivers_to(parsed("10.0.0.2"), 5044));
        assert!(!Socket { established: false, ..theirs }.delivers_to(to, 5044));
        assert!(!Socket { uid: SHIPPER_UID, ..theirs }.delivers_to(to, 5044));
        assert!(!Socket { uid: SHIPPER_UID + 3, ..theirs }.delivers_to(to, 5044));
        assert!(Socket { uid: SHIPPER_UID + 4, ..theirs }.delivers_to(to, 5044));
    }
}
