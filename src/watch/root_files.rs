//! The files that a name lookup needs, sent to a shipper piece by piece. Nothing in them is parsed here.
//!
//! They are taken from PID 1's root, which is the initramfs before the root switch and the main system after it. An
//! absolute symbolic link in it means that root, so this process enters it for the time of a few calls.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, RawDir, fstat, openat};
use rustix::process::{chroot, fchdir};

use super::child::send;
use crate::kernel_fs::{DIRECTORY, KernelFs};
use crate::sys::fds::{keep, read_into};
use earlykmsg::channel::Message;
use earlykmsg::limits::{
    DIRECTORY_ENTRIES_MAX, DIRECTORY_PIECE_BYTES, FILE_PIECE_BYTES, HOSTS_PACKETS_MAX,
    NAME_SERVER_PACKETS_MAX,
};

/// Sends all of them. `home` is the root to come back to from PID 1's; none: this process's own root is the one that
/// counts. `name_servers` are those of the network that was brought up before the root switch: they are asked first.
pub fn send_all(
    kernel_fs: &KernelFs,
    home: Option<BorrowedFd<'_>>,
    is_main_system: bool,
    name_servers: &[u8],
    channel: BorrowedFd<'_>,
) {
    let entered = match home {
        None => true,
        Some(_) => kernel_fs.open_proc(c"1/root", DIRECTORY).is_ok_and(|root| enter(root.as_fd())),
    };
    let mut files = Files { channel, are_hosts: true, packets_left: HOSTS_PACKETS_MAX };
    if entered {
        files.send(CWD, c"/etc/hosts");
    }
    files = Files { channel, are_hosts: false, packets_left: NAME_SERVER_PACKETS_MAX };
    if !name_servers.is_empty() {
        files.packets_left -= 2;
        [name_servers, b""].into_iter().for_each(|piece| send(channel, Message::NameServers(piece)));
    }
    // Their name servers are asked in this order.
    if entered {
        files.send(CWD, c"/etc/resolv.conf");
        files.send(CWD, c"/run/systemd/resolve/resolv.conf");
        files.send_for_interfaces(c"/run");
        // Anybody may write to the `/tmp` of a main system.
        if !is_main_system {
            files.send_for_interfaces(c"/tmp");
        }
    }
    if let Some(proc) = kernel_fs.proc {
        files.send(proc, c"net/pnp");
    }
    if let Some(home) = home {
        enter(home);
    }
    send(channel, Message::EndOfFiles);
}

/// Sends files, as long as they fit into the channel.
struct Files<'a> {
    channel: BorrowedFd<'a>,
    /// They are written like `/etc/hosts`, not like `/etc/resolv.conf`.
    are_hosts: bool,
    /// How many packets they may still take.
    packets_left: usize,
}

impl Files<'_> {
    fn send(&mut self, directory: BorrowedFd<'_>, path: &CStr) {
        if let Ok(file) = openat(directory, path, FILE, Mode::empty()) {
            self.send_file(&file);
        }
    }

    /// Sends a file from its start to its end, or to the last packet but one. The last one is empty.
    fn send_file(&mut self, file: &OwnedFd) {
        let mut piece = [0; FILE_PIECE_BYTES];
        while self.packets_left > 0 {
            self.packets_left -= 1;
            let is_last = self.packets_left == 0;
            let piece = if is_last { b"" } else { read_into(file.as_fd(), &mut piece).unwrap_or_default() };
            send(
                self.channel,
                if self.are_hosts { Message::Hosts(piece) } else { Message::NameServers(piece) },
            );
            if piece.is_empty() {
                return;
            }
        }
    }

    /// Sends the files of a directory that are named after an interface: `net-eth0.conf` (klibc's `ipconfig`, which
    /// initramfs-tools starts), `net.eth0.resolv.conf` (dracut's network-legacy).
    fn send_for_interfaces(&mut self, directory: &CStr) {
        let Ok(directory) = openat(CWD, directory, DIRECTORY, Mode::empty()) else { return };
        let mut buffer = [MaybeUninit::uninit(); DIRECTORY_PIECE_BYTES];
        let mut entries = RawDir::new(&directory, &mut buffer);
        for _ in 0..DIRECTORY_ENTRIES_MAX {
            let Some(Ok(entry)) = entries.next() else { return };
            let name = entry.file_name().to_bytes();
            if name.starts_with(b"net")
                && name.ends_with(b".conf")
                && let Some(file) = open_roots_own(&directory, entry.file_name())
            {
                self.send_file(&file);
            }
        }
    }
}

/// Opens the root of this process.
pub fn open_root() -> Option<BorrowedFd<'static>> {
    openat(CWD, c"/", DIRECTORY, Mode::empty()).ok().map(keep)
}

/// Makes a directory the root of this process.
fn enter(directory: BorrowedFd<'_>) -> bool {
    fchdir(directory).and_then(|()| chroot(c".")).is_ok()
}

/// How a file is opened so that neither this nor reading it blocks, whatever it is.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Opens a file that root owns and that is no symbolic link: others may be able to write to the directory.
fn open_roots_own(directory: &OwnedFd, name: &CStr) -> Option<OwnedFd> {
    let file = openat(directory, name, FILE | OFlags::NOFOLLOW, Mode::empty()).ok()?;
    fstat(&file).is_ok_and(|stat| stat.st_uid == 0).then_some(file)
}
