//! The files of pstore: found and opened first, read later.

use core::mem::MaybeUninit;

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, RawDir, fstat, openat};
use rustix::io::{Errno, pread, read};

use super::tell;
use crate::kernel_fs::DIRECTORY;
use crate::sys::wait::{Awaited, wait};
use crate::sys::{At, time};
use earlykmsg::channel::Message;
use earlykmsg::error::{Result, Step};
use earlykmsg::limits::{PSTORE_AWAIT_MS, PSTORE_LOOK_FOR_MS, PSTORE_LOOK_MS, PSTORE_LOOK_SOON_MS};
use earlykmsg::pstore::catalog::{self, Kind, kind};

/// The dumps that pstore has, each open.
pub type Catalog = catalog::Catalog<OwnedFd>;

/// Looks for dumps until there are some, for as long as the image may need to load pstore's driver. If they are not there
/// at once, the watcher is told that nobody need wait; where `loads_modules`, earlykmsg's own loader gets its time first.
/// Returns whether there are any.
pub fn find(
    catalog: &mut Catalog,
    directory: &OwnedFd,
    watcher: BorrowedFd<'_>,
    loads_modules: bool,
) -> Result<bool> {
    let began_ms = time::now_ms();
    let (mut before, mut is_first, mut is_awaited) = (0, true, true);
    loop {
        *catalog = Catalog::EMPTY;
        list(catalog, directory)?;
        // A driver that comes later adds its files one by one.
        let is_all = is_first || catalog.len() == before;
        if is_all && !catalog.is_empty() {
            return Ok(true);
        }
        (before, is_first) = (catalog.len(), false);
        let now = time::now_ms();
        if is_awaited && (!loads_modules || now >= began_ms + PSTORE_AWAIT_MS) {
            is_awaited = false;
            tell(watcher, Message::KeptLines { bytes: 0 }).at(Step::Send)?;
        }
        let pause_ms = if is_awaited { PSTORE_LOOK_SOON_MS } else { PSTORE_LOOK_MS };
        if now >= began_ms + PSTORE_LOOK_FOR_MS || has_ended(watcher, now + pause_ms) {
            return Ok(false);
        }
    }
}

/// Waits until then. Returns whether the watcher has ended.
fn has_ended(watcher: BorrowedFd<'_>, until_ms: u64) -> bool {
    let mut awaited = [Awaited::input(Some(watcher))];
    wait(&mut awaited, until_ms);
    awaited[0].is_ready() && !matches!(read(watcher, &mut [0; 1]), Ok(1..) | Err(Errno::AGAIN | Errno::INTR))
}

/// Opens all dumps that are there now.
fn list(catalog: &mut Catalog, directory: &OwnedFd) -> Result<()> {
    let listed = openat(directory, c".", DIRECTORY, Mode::empty()).at(Step::ReachPstore)?;
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(&listed, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry.at(Step::ReachPstore)?;
        let name = entry.file_name();
        let opened = match kind(name.to_bytes()) {
            Kind::Other => continue,
            Kind::Unreadable => None,
            Kind::Dump => openat(directory, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok(),
        };
        if let Some(file) = opened
            && let Ok(stat) = fstat(&file)
        {
            let modified_us = stat.st_mtime * 1_000_000 + stat.st_mtime_nsec as i64 / 1_000;
            catalog.add(file, name.to_bytes(), stat.st_size as usize, modified_us);
        } else {
            catalog.files_left_out += 1;
        }
    }
    Ok(())
}

/// Reads a file from a position on until the buffer is full or there is no more. Returns how much there was.
pub fn read_all(file: &OwnedFd, offset: usize, buffer: &mut [u8]) -> usize {
    let mut length = 0;
    while let Some(room @ [_, ..]) = buffer.get_mut(length..)
        && let Ok(more @ 1..) = pread(file, room, (offset + length) as u64)
    {
        length += more;
    }
    length
}
