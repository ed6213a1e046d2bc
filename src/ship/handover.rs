//! Whether the main system delivers by itself: a socket that is connected to our receiver, is not ours, and was not
//! there before the root switch.
//!
//! Nobody can tell which sockets there are at the moment of the switch; but the mounts change right before it. So the
//! sockets are noted whenever the mounts change, until the root is another one.

use rustix::fd::BorrowedFd;
use rustix::fs::{OFlags, SeekFrom, seek};
use rustix::io::read;

use crate::kernel_fs::KernelFs;
use crate::sys::fds::keep;
use earlykmsg::address::Found;
use earlykmsg::config::endpoint::Transport;
use earlykmsg::delivery::progress::{OldSockets, Progress};
use earlykmsg::delivery::sockets::Socket;
use earlykmsg::limits::{OLD_SOCKETS_MAX, SOCKET_LIST_BYTES};
use earlykmsg::text::split_once;

/// The kernel's lists of sockets, opened before the file system was out of reach: IPv4's and IPv6's.
#[derive(Clone, Copy, Default)]
pub struct SocketLists(pub [Option<BorrowedFd<'static>>; 2]);

impl SocketLists {
    /// Opens the lists of a transport. A kernel without IPv6 has only one.
    pub fn open(transport: Transport, kernel_fs: &KernelFs) -> SocketLists {
        let open = |list| kernel_fs.open_proc(list, OFlags::RDONLY).ok().map(keep);
        SocketLists(match transport {
            Transport::Tcp => [open(c"net/tcp"), open(c"net/tcp6")],
            Transport::Udp => [open(c"net/udp"), open(c"net/udp6")],
        })
    }

    /// Notes the sockets that others have now, connected to this port. (To any address: after the switch, a name may
    /// lead to another one.)
    pub fn note_old(&self, port: u16, progress: Progress) {
        // Room for one more than are noted: then there are too many.
        let mut inodes = heapless::Vec::<u64, { OLD_SOCKETS_MAX + 1 }>::new();
        self.any(&mut |socket| socket.is_foreign(port) && inodes.push(socket.inode).is_err());
        progress.set_old_sockets(&inodes);
    }

    /// Whether another process's socket whose inode is not old is connected to one of these addresses now.
    pub fn has_new_delivery(&self, addresses: &[Found], port: u16, old: OldSockets) -> bool {
        self.any(&mut |socket| {
            let mut addresses = addresses.iter().flat_map(Found::iter);
            addresses.any(|address| socket.delivers_to(address, port)) && !old.may_have(socket.inode)
        })
    }

    /// Whether `matches` holds for a socket; looks at no more after that.
    fn any(&self, matches: &mut dyn FnMut(Socket) -> bool) -> bool {
        self.0.iter().flatten().any(|list| any_socket(*list, matches))
    }
}

/// Reads a list line by line until `matches` holds for a socket.
fn any_socket(list: BorrowedFd<'_>, matches: &mut dyn FnMut(Socket) -> bool) -> bool {
    if seek(list, SeekFrom::Start(0)).is_err() {
        return false;
    }
    let mut buffer = [0; SOCKET_LIST_BYTES];
    let mut len = 0;
    while let Some(room) = buffer.get_mut(len..)
        && let Ok(more @ 1..) = read(list, room)
    {
        len += more;
        let mut rest = buffer.get(..len).unwrap_or_default();
        while let Some((line, after)) = split_once(rest, b'\n') {
            if Socket::parse(line).is_some_and(&mut *matches) {
                return true;
            }
            rest = after;
        }
        // The beginning of a line that is not complete. None of the kernel's is as long as the buffer.
        let start = len - rest.len();
        buffer.copy_within(start..len, 0);
        len = if start == 0 && len == buffer.len() { 0 } else { len - start };
    }
    false
}
