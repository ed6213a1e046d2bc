//! The files that a name lookup needs, sent to a shipper piece by piece. Nothing in them is parsed here.
//!
//! They are taken from PID 1's root, which is the initramfs before the root switch and the main system after it. An
//! absolute symbolic link in it means that root, so this process enters it for the time of a few calls.

use core::ffi::CStr;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{chroot, fchdir};

use super::child::send;
use crate::kernel_fs::{DIRECTORY, KernelFs};
use crate::sys::fds::read_into;
use earlykmsg::channel::Message;
use earlykmsg::limits::{FILE_BYTES_MAX, FILE_PIECE_BYTES};

/// Sends all of them. `home` is the root to come back to; none: this process's own root is the one that counts.
pub fn send_all(kernel_fs: &KernelFs, home: Option<BorrowedFd<'_>>, channel: BorrowedFd<'_>) {
    if let Ok(file) = kernel_fs.open_proc(c"net/pnp", OFlags::RDONLY) {
        for_each_piece(file.as_fd(), &mut |piece| send(channel, Message::NameServers(piece)));
    }
    match home {
        None => send_files_of_root(channel),
        Some(home) => {
            let root = kernel_fs.open_proc(c"1/root", DIRECTORY);
            if root.is_ok_and(|root| enter(root.as_fd())) {
                send_files_of_root(channel);
            }
            enter(home);
        }
    }
    send(channel, Message::EndOfFiles);
}

/// Sends those that stand in this process's root.
fn send_files_of_root(channel: BorrowedFd<'_>) {
    if let Some(file) = open(c"/etc/resolv.conf") {
        for_each_piece(file.as_fd(), &mut |piece| send(channel, Message::NameServers(piece)));
    }
    if let Some(file) = open(c"/etc/hosts") {
        for_each_piece(file.as_fd(), &mut |piece| send(channel, Message::Hosts(piece)));
    }
}

/// Makes a directory the root of this process.
fn enter(directory: BorrowedFd<'_>) -> bool {
    fchdir(directory).and_then(|()| chroot(c".")).is_ok()
}

/// Opens a file so that neither this nor reading it blocks, whatever it is.
fn open(path: &CStr) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).ok()
}

/// Reads a file from its start to [`FILE_BYTES_MAX`]. The last piece is empty.
fn for_each_piece(file: BorrowedFd<'_>, take: &mut dyn FnMut(&[u8])) {
    let mut piece = [0; FILE_PIECE_BYTES];
    for _ in 0..FILE_BYTES_MAX / FILE_PIECE_BYTES {
        match read_into(file, &mut piece) {
            Ok(b"") | Err(_) => break,
            Ok(piece) => take(piece),
        }
    }
    take(b"");
}
