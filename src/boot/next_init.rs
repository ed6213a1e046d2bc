//! Which program PID 1 becomes: the one that was asked for, or the first of the usual ones. Never earlykmsg itself.

use core::ffi::CStr;

use crate::logger::error;
use rustix::fd::AsFd;
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, access, open, statat};
use rustix::io::Errno;

use crate::kernel_fs::file_id;
use crate::sys::args::{Args, program_path};
use crate::sys::failed;
use crate::sys::fds::read_into;
use earlykmsg::elf_note::marks_earlykmsg;
use earlykmsg::error::{Error, Step};
use earlykmsg::init_paths::usual_candidates;
use earlykmsg::limits::{NOTE_HEAD_BYTES, PATH_BYTES_MAX};
use earlykmsg::text::Quoted;

/// Room for the path of a next init and the NUL that ends it.
pub type PathBuffer = [u8; PATH_BYTES_MAX + 1];

/// The value of `earlykmsg.init=` as a path, in a buffer of zeros. None where there is none; one that is too long was
/// refused before.
pub fn requested_path<'b>(value: Option<&[u8]>, buffer: &'b mut PathBuffer) -> Option<&'b CStr> {
    let value = value?;
    buffer.get_mut(..value.len())?.copy_from_slice(value);
    CStr::from_bytes_until_nul(buffer).ok()
}

/// Whether a path leads to this program, by whatever name, or to a copy or another version of it.
fn is_earlykmsg(path: &CStr) -> bool {
    let Some(own) = program_path() else { return has_note(path) };
    match (file_id(CWD, path), file_id(CWD, own)) {
        (Some(theirs), Some(ours)) if theirs == ours => true,
        _ => path == own || has_note(path),
    }
}

/// Whether the file at a path carries our note. Looks into regular files only, so that it never blocks.
fn has_note(path: &CStr) -> bool {
    let is_regular =
        statat(CWD, path, AtFlags::empty()).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_file());
    if !is_regular {
        return false;
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let Ok(file) = open(path, flags, Mode::empty()) else { return false };
    let mut head = [0; NOTE_HEAD_BYTES];
    read_into(file.as_fd(), &mut head).is_ok_and(marks_earlykmsg)
}

/// The program that [`become_it`] will probably become, for the message at the start.
pub fn foresee(requested: Option<&CStr>) -> Option<&CStr> {
    let usual = usual_candidates(program_path()).iter().copied();
    let mut candidates = requested.into_iter().chain(usual);
    candidates.find(|path| access(*path, Access::EXEC_OK).is_ok() && !is_earlykmsg(path))
}

/// Becomes the next init. Returns only when there is none.
pub fn become_it(args: Args, requested: Option<&CStr>) -> Error {
    let mut last = failed(Step::FindNextInit, Errno::NOENT);
    if let Some(path) = requested {
        let shown = Quoted(path.to_bytes());
        if is_earlykmsg(path) {
            error!("earlykmsg.init={shown}: is earlykmsg itself; the usual ones are tried");
        } else {
            last = args.exec(path);
            error!("earlykmsg.init={shown}: {}; the usual ones are tried", last.errno);
        }
    }
    for &path in usual_candidates(program_path()) {
        if is_earlykmsg(path) {
            continue;
        }
        let error = args.exec(path);
        // If the file exists, something that it needs does not: its interpreter or its loader.
        let is_missing =
            error.errno.0 == Errno::NOENT.raw_os_error() && access(path, Access::EXISTS).is_err();
        if is_missing {
            continue;
        }
        error!("next init {}: {}; the next one is tried", Quoted(path.to_bytes()), error.errno);
        last = error;
    }
    last
}
