//! Which program PID 1 becomes: the one that was asked for, or the first of the usual ones. Never earlykmsg itself.

use core::ffi::CStr;

use rustix::fs::{Access, CWD, access};
use rustix::io::Errno as Os;

use super::reach::file;
use crate::error::{Errno, Error, Step};
use crate::limits::PATH_BYTES_MAX;
use crate::report;
use crate::sys::args::{Args, program_path};
use crate::sys::failed;
use crate::words;
use crate::words::Quoted;

/// One behind the other: an array of texts has to be relocated.
const USUAL: &[u8] = b"/init\0/sbin/init\0/etc/init\0/bin/init\0/bin/sh\0";

/// Gives the candidates in the order in which they are tried, and whether it is the one that was asked for, until one
/// `is_it`.
fn each(asked: Option<&[u8]>, is_it: &mut dyn FnMut(&CStr, bool) -> bool) {
    // The last byte stays what it is: a path ends with one.
    let mut buffer = [0; PATH_BYTES_MAX + 1];
    if let Some(path) = asked
        && let Some(place) = buffer[..PATH_BYTES_MAX].get_mut(..path.len())
    {
        place.copy_from_slice(path);
        if CStr::from_bytes_until_nul(&buffer).is_ok_and(|path| is_it(path, true)) {
            return;
        }
    }
    let mut rest = USUAL;
    while let Ok(path) = CStr::from_bytes_until_nul(rest) {
        if is_it(path, false) {
            return;
        }
        rest = &rest[path.count_bytes() + 1..];
    }
}

/// Whether a path leads to this very program, by whatever name.
fn is_self(path: &CStr) -> bool {
    let Some(own) = program_path() else { return false };
    match (file(CWD, path), file(CWD, own)) {
        (Some(theirs), Some(ours)) => theirs == ours,
        _ => path == own,
    }
}

/// The program that [`become_it`] will probably be, for the record that says what was started.
pub fn foresee(asked: Option<&[u8]>) -> Option<heapless::Vec<u8, PATH_BYTES_MAX>> {
    let mut found = None;
    each(asked, &mut |path, _| {
        if access(path, Access::EXEC_OK).is_ok() && !is_self(path) {
            found = heapless::Vec::from_slice(path.to_bytes()).ok();
        }
        found.is_some()
    });
    found
}

/// Becomes the next init. Returns only when there is none.
pub fn become_it(args: Args, asked: Option<&[u8]>) -> Error {
    let mut last = failed(Step::FindNextInit, Os::NOENT);
    each(asked, &mut |path, was_asked_for| {
        if is_self(path) {
            if was_asked_for {
                report::error(|line| {
                    let path = Quoted(path.to_bytes());
                    words!(line, "earlykmsg.init=", path, ": is earlykmsg itself; the usual ones are tried");
                });
            }
            return false;
        }
        let error = args.exec(path);
        let absent =
            error.errno() == Os::NOENT.raw_os_error() as u16 && access(path, Access::EXISTS).is_err();
        if was_asked_for || !absent {
            let (name, then) = if was_asked_for {
                ("earlykmsg.init=", "; the usual ones are tried")
            } else {
                ("next init ", "; the next one is tried")
            };
            report::error(|line| {
                words!(line, name, Quoted(path.to_bytes()), ": ", Errno(error.errno()), then);
            });
        }
        if !absent {
            last = error;
        }
        false
    });
    last
}
