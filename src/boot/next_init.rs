//! Which program PID 1 becomes: the one that was asked for, or the first of the usual ones. Never earlykmsg itself.

use core::ffi::CStr;

use rustix::fs::{Access, access, stat};
use rustix::io::Errno as Os;

use crate::error::{Errno, Error, Step};
use crate::limits::PATH_BYTES_MAX;
use crate::report;
use crate::sys::args::{Args, program_path, until_nul};
use crate::sys::failed;
use crate::words;
use crate::words::Quoted;

/// One behind the other: an array of texts has to be relocated.
const USUAL: &[u8] = b"/init\0/sbin/init\0/etc/init\0/bin/init\0/bin/sh\0";

/// A path as the kernel takes it.
type PathBuffer = [u8; PATH_BYTES_MAX + 1];

/// The candidates in the order in which they are tried.
fn candidates<'a>(asked: Option<&[u8]>, buffer: &'a mut PathBuffer) -> impl Iterator<Item = &'a CStr> {
    let asked = asked.and_then(|path| {
        buffer.get_mut(..path.len())?.copy_from_slice(path);
        *buffer.get_mut(path.len())? = 0;
        until_nul(buffer)
    });
    let mut rest = USUAL;
    let usual = core::iter::from_fn(move || {
        let path = until_nul(rest)?;
        rest = &rest[path.count_bytes() + 1..];
        Some(path)
    });
    asked.into_iter().chain(usual)
}

/// Whether a path leads to this very program, by whatever name.
fn is_self(path: &CStr) -> bool {
    let Some(own) = program_path() else { return false };
    match (stat(path), stat(own)) {
        (Ok(theirs), Ok(ours)) => theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino,
        _ => path == own,
    }
}

/// The program that [`become_it`] will probably be, for the record that says what was started.
pub fn foresee(asked: Option<&[u8]>) -> Option<heapless::Vec<u8, PATH_BYTES_MAX>> {
    let mut buffer = [0; PATH_BYTES_MAX + 1];
    let path = candidates(asked, &mut buffer)
        .find(|path| access(*path, Access::EXEC_OK).is_ok() && !is_self(path))?;
    heapless::Vec::from_slice(path.to_bytes()).ok()
}

/// Becomes the next init. Returns only when there is none.
pub fn become_it(args: Args, asked: Option<&[u8]>) -> Error {
    let mut buffer = [0; PATH_BYTES_MAX + 1];
    let mut last = failed(Step::FindNextInit, Os::NOENT);
    for (at, path) in candidates(asked, &mut buffer).enumerate() {
        let was_asked_for = at == 0 && asked.is_some();
        if is_self(path) {
            if was_asked_for {
                report::error(|line| {
                    let path = Quoted(path.to_bytes());
                    words!(line, "earlykmsg.init=", path, ": is earlykmsg itself; the usual ones are tried");
                });
            }
            continue;
        }
        let error = args.exec(path);
        let absent = error == failed(error.step, Os::NOENT) && access(path, Access::EXISTS).is_err();
        if was_asked_for || !absent {
            let (name, then) = if was_asked_for {
                ("earlykmsg.init=", "; the usual ones are tried")
            } else {
                ("next init ", "; the next one is tried")
            };
            report::error(|line| {
                words!(line, name, Quoted(path.to_bytes()), ": ", Errno(error.errno), then);
            });
        }
        if !absent {
            last = error;
        }
    }
    last
}
