//! The files that say where names lead, handed to a shipper piece by piece. Nothing of them is understood here.
//!
//! They are those of the root that counts: PID 1's, which before the switch is the image and after it the main
//! system. A link in it that begins with `/` means that root, so it is entered for the time of a few calls.

use core::ffi::CStr;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::read;
use rustix::net::{SendFlags, send};
use rustix::process::{chroot, fchdir};

use crate::boot::kernel_fs::{DIRECTORY, KernelFs};
use crate::channel::{END, HOSTS, SERVERS};
use crate::limits::{FILE_BYTES_MAX, PIECE_BYTES};

/// Hands all of them over. `home` is the root to come back to; none: the own root is the one that counts.
pub fn hand_over(reach: &KernelFs, home: Option<&OwnedFd>, to: BorrowedFd<'_>) {
    if let Ok(file) = reach.open_proc(c"net/pnp", OFlags::RDONLY) {
        send_file(&file, SERVERS, to);
    }
    let enter = |directory: &OwnedFd| fchdir(directory).and_then(|()| chroot(c".")).is_ok();
    if home.is_none() || reach.open_proc(c"1/root", DIRECTORY).is_ok_and(|root| enter(&root)) {
        let files: [(&CStr, u8); 2] = [(c"/etc/resolv.conf", SERVERS), (c"/etc/hosts", HOSTS)];
        for &(path, kind) in &files {
            // Whatever stands there, opening and reading it waits for nobody but the file system.
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            if let Ok(file) = openat(CWD, path, flags, Mode::empty()) {
                send_file(&file, kind, to);
            }
        }
    }
    if let Some(home) = home {
        enter(home);
    }
    tell(to, &[END]);
}

/// Sends a packet to one who may not be listening. Whether it was taken is not known.
pub fn tell(to: BorrowedFd<'_>, packet: &[u8]) {
    let _ = send(to, packet, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
}

fn send_file(file: &OwnedFd, kind: u8, to: BorrowedFd<'_>) {
    let mut piece = [kind; 1 + PIECE_BYTES];
    for _ in 0..FILE_BYTES_MAX / PIECE_BYTES {
        match read(file.as_fd(), &mut piece[1..]) {
            Ok(len @ 1..=PIECE_BYTES) => tell(to, &piece[..=len]),
            _ => break,
        }
    }
    tell(to, &[kind]);
}
