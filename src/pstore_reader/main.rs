//! The program that reads what pstore kept of earlier boots: one process, because EFI variables can be slow, or hang. It is
//! started by the watcher, and nobody waits for it longer than a second.
//!
//! ```text
//! watcher -- channel -- this program -- file without a name -- shippers
//! ```
//!
//! It reads through a mount that no one else sees, writes the lines into a file that nobody can change any more then, says
//! so, and ends: with `earlykmsg.pstore=clear` once all receivers have the lines, and it has removed the files.
//!
//! Standard input is the channel, standard output the kernel's log or the console, standard error the file.

#![no_std]
#![no_main]
#![allow(unreachable_pub)] // a binary has no outside: `pub` says what a module offers to the others

mod files;
mod privileges;

use core::panic::PanicInfo;

use earlykmsg_system::{companion, confine, entry, exit, kernel_fs, logger, sys};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, SealFlags, fcntl_add_seals, unlinkat};
use rustix::io;
use rustix::net::{SendFlags, send};

use earlykmsg::channel::Message;
use earlykmsg::config::pstore::{Mode, PstoreWords};
use earlykmsg::error::{Result, Step};
use earlykmsg::limits::{NEVER_MS, PSTORE_BYTES_MAX};
use files::Catalog;
use logger::{error, info, warn};
use sys::args::Args;
use sys::fds::standard_stream;
use sys::memory::Buffer;
use sys::process;
use sys::wait::{Awaited, wait};
use sys::{At, failed};

entry!(crate::run);

const HELP: &str = concat!(
    "earlykmsg-pstore ",
    env!("CARGO_PKG_VERSION"),
    " reads what pstore kept for earlykmsg (earlykmsg.pstore=),\n",
    "which starts it as /earlykmsg.d/pstore of an image. It is of no use by itself.\n",
);

/// Returns the exit code.
fn run(_: Args) -> i32 {
    let output = standard_stream(2);
    let watcher = match companion::begin(c"earlykmsg-pstore", HELP, output) {
        Ok(watcher) => watcher,
        Err(code) => return code,
    };
    let Some(output) = output else { return exit::USAGE };
    let mut words = PstoreWords::read(companion::read_cmdline(watcher), &mut |problem| error!("{problem}"));
    if words.mode == Some(Mode::Clear) && !words.has_tcp {
        warn!("earlykmsg.pstore=clear: no TCP destination can say what it has; nothing is removed");
        words.mode = Some(Mode::Read);
    }
    let Some(mode) = words.mode else { return exit::DONE };
    match read_pstore(mode, words.loads_modules, watcher, output) {
        Ok(()) => exit::DONE,
        Err(error) => {
            warn!("{error}; what pstore has is not shipped");
            exit::SOFTWARE
        }
    }
}

fn read_pstore(
    mode: Mode,
    loads_modules: bool,
    watcher: BorrowedFd<'static>,
    output: BorrowedFd<'static>,
) -> Result<()> {
    static TEXT: Buffer<[u8; PSTORE_BYTES_MAX]> = Buffer::new([0; PSTORE_BYTES_MAX]);
    let text = TEXT.take().ok_or(Step::TakeBuffers.failed(0))?;
    let directory = kernel_fs::pstore(mode == Mode::Clear).at(Step::ReachPstore)?;
    privileges::drop_all_but_files(&directory)?;
    let mut catalog = Catalog::EMPTY;
    if !files::find(&mut catalog, &directory, watcher, loads_modules)? {
        info!("pstore has nothing of the last boot");
        return Ok(());
    }
    privileges::install_own_filter()?;
    let text = catalog.read(text, files::read_all);
    let (mut written, mut bytes) = (Ok(()), 0);
    let found = catalog.write(text, &mut |piece| {
        written = written.and_then(|()| write_all(output, piece));
        bytes += piece.len() as u64;
    });
    written.at(Step::KeepLines)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(output, seals).at(Step::KeepLines)?;
    info!("{found}");
    let (files, left_out) = (catalog.files_left_out, catalog.bytes_left_out);
    if files + left_out > 0 {
        warn!("pstore has more: {left_out} bytes, the oldest, and {files} files are not shipped");
    }
    tell(watcher, Message::KeptLines { bytes }).at(Step::Send)?;
    if mode == Mode::Clear && have_arrived(watcher) {
        remove_files(&catalog, &directory);
    }
    Ok(())
}

/// Tells the watcher something.
fn tell(watcher: BorrowedFd<'_>, message: Message<'_>) -> io::Result<()> {
    send(watcher, &message.encode(), SendFlags::NOSIGNAL).map(drop)
}

/// Waits until all receivers have all lines. `false`: the watcher has ended before.
fn have_arrived(watcher: BorrowedFd<'_>) -> bool {
    let mut packet = [0; 1];
    loop {
        wait(&mut [Awaited::input(Some(watcher))], NEVER_MS);
        match io::read(watcher, &mut packet) {
            Ok(1..) if Message::decode(&packet) == Some(Message::KeptLinesArrived) => return true,
            Ok(1..) | Err(io::Errno::AGAIN | io::Errno::INTR) => {}
            _ => return false,
        }
    }
}

/// Removes the files of which nothing was left out.
fn remove_files(catalog: &Catalog, directory: &OwnedFd) {
    let (mut removed, mut problem) = (0, None);
    for name in catalog.whole_files() {
        match unlinkat(directory, name, AtFlags::empty()) {
            Ok(()) => removed += 1,
            Err(errno) => problem = Some(failed(Step::RemoveFile, errno)),
        }
    }
    info!("all TCP destinations have what pstore kept: {removed} files removed there");
    if let Some(problem) = problem {
        warn!("{problem}; what was not removed is shipped at the next boot again");
    }
}

fn write_all(file: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = io::write(file, bytes)?;
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// Nothing unwinds.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(at) => error!("stopped by a fault of its own at {at}; please report this"),
        None => error!("stopped by a fault of its own; please report this"),
    }
    process::exit(exit::SOFTWARE)
}
