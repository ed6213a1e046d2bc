//! Files of the image and of sysfs, read piece by piece.

use core::ffi::CStr;

use heapless::Vec;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, RawDir, openat};
use rustix::io::read;

use earlykmsg::limits::{FILE_PIECE_BYTES, PATH_BYTES_MAX};
use earlykmsg::names::file_lines::FileLines;

/// Opens what a path leads to, which is put together of these parts.
pub fn open_at(folder: BorrowedFd<'_>, parts: &[&[u8]], flags: OFlags) -> Option<OwnedFd> {
    let mut path = Vec::<u8, { PATH_BYTES_MAX + 1 }>::new();
    for part in parts.iter().chain(&[&b"\0"[..]]) {
        path.extend_from_slice(part).ok()?;
    }
    openat(folder, CStr::from_bytes_with_nul(&path).ok()?, flags | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// Opens a file for reading.
pub fn open_below(folder: &OwnedFd, parts: &[&[u8]]) -> Option<OwnedFd> {
    open_at(folder.as_fd(), parts, OFlags::RDONLY)
}

/// Whether a file is there.
pub fn is_below(folder: &OwnedFd, parts: &[&[u8]]) -> bool {
    open_at(folder.as_fd(), parts, OFlags::PATH).is_some()
}

/// Hands each line of a file to `take`, but for those that are longer than any of a module.
pub fn for_each_line(folder: &OwnedFd, file: &[u8], take: &mut dyn FnMut(&[u8])) {
    let Some(file) = open_below(folder, &[file]) else { return };
    let mut buffer = [0; 2 * FILE_PIECE_BYTES];
    let mut lines = FileLines::new(&mut buffer);
    let mut piece = [0; FILE_PIECE_BYTES];
    loop {
        let len = read(&file, &mut piece).unwrap_or(0);
        lines.add(&piece[..len], &mut |text: &[u8]| {
            text.split(|&byte| byte == b'\n').for_each(&mut *take);
        });
        if len == 0 {
            return;
        }
    }
}

/// Hands each name in a folder to `take`.
pub fn for_each_name(folder: &OwnedFd, take: &mut dyn FnMut(&[u8])) {
    let mut buffer = [const { core::mem::MaybeUninit::uninit() }; 1024];
    let mut entries = RawDir::new(folder, &mut buffer);
    while let Some(Ok(entry)) = entries.next() {
        take(entry.file_name().to_bytes());
    }
}
