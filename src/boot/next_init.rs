//! Which program PID 1 becomes: the one that was asked for, or the first of the usual ones. Never earlykmsg itself.

use core::ffi::CStr;

use heapless::CString;
use rustix::fs::{Access, CWD, FileType, Mode, OFlags, access, open, statat};
use rustix::io::{Errno as Os, read};

use super::kernel_fs::file;
use super::note::marks_earlykmsg;
use crate::error::{Errno, Error, Step};
use crate::limits::{NOTE_HEAD_BYTES, PATH_BYTES_MAX};
use crate::report;
use crate::sys::args::{Args, program_path};
use crate::sys::failed;
use crate::words;
use crate::words::Quoted;

/// Where an init usually is, in the order in which they are tried.
const USUAL: [&CStr; 5] = [c"/init", c"/sbin/init", c"/etc/init", c"/bin/init", c"/bin/sh"];

/// The path of a next init, in memory of its own.
pub type InitPath = CString<{ PATH_BYTES_MAX + 1 }>;

/// The value of `earlykmsg.init=` as a path. None where there is none; one that is too long was refused before.
fn requested_path(value: Option<&[u8]>) -> Option<InitPath> {
    let mut path = InitPath::new();
    path.extend_from_bytes(value?).ok()?;
    Some(path)
}

/// The usual ones that are left to try. When this program was itself started as one of them, those before it have had
/// their turn: one may be what started it, and would start it again for ever.
fn usual_candidates(own_path: Option<&CStr>) -> &'static [&'static CStr] {
    let own_place = USUAL.iter().position(|&path| Some(path) == own_path);
    own_place.map_or(&USUAL[..], |place| &USUAL[place + 1..])
}

/// Whether a path leads to this program, by whatever name, or to a copy or another version of it.
fn is_earlykmsg(path: &CStr) -> bool {
    let Some(own) = program_path() else { return has_note(path) };
    match (file(CWD, path), file(CWD, own)) {
        (Some(theirs), Some(ours)) if theirs == ours => true,
        _ => path == own || has_note(path),
    }
}

/// Whether the file at a path carries our note. Looks into nothing but plain files, and waits for nobody.
fn has_note(path: &CStr) -> bool {
    let is_plain = |stat: rustix::fs::Stat| FileType::from_raw_mode(stat.st_mode).is_file();
    if !statat(CWD, path, rustix::fs::AtFlags::empty()).is_ok_and(is_plain) {
        return false;
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let Ok(file) = open(path, flags, Mode::empty()) else { return false };
    let mut head = [0; NOTE_HEAD_BYTES];
    read(&file, &mut head).is_ok_and(|len| marks_earlykmsg(&head[..len]))
}

/// The program that [`become_it`] will probably be, for the record that says what was started.
pub fn foresee(requested: Option<&[u8]>) -> Option<InitPath> {
    let requested = requested_path(requested);
    let usual = usual_candidates(program_path());
    let mut candidates = requested.as_deref().into_iter().chain(usual.iter().copied());
    let found = candidates.find(|path| access(*path, Access::EXEC_OK).is_ok() && !is_earlykmsg(path))?;
    requested_path(Some(found.to_bytes()))
}

/// Becomes the next init. Returns only when there is none.
pub fn become_it(args: Args, requested: Option<&[u8]>) -> Error {
    let mut last = failed(Step::FindNextInit, Os::NOENT);
    if let Some(path) = requested_path(requested) {
        if is_earlykmsg(&path) {
            report::error(|line| {
                let path = Quoted(path.to_bytes());
                words!(line, "earlykmsg.init=", path, ": is earlykmsg itself; the usual ones are tried");
            });
        } else {
            last = args.exec(&path);
            report::error(|line| {
                let (path, why) = (Quoted(path.to_bytes()), Errno(last.errno()));
                words!(line, "earlykmsg.init=", path, ": ", why, "; the usual ones are tried");
            });
        }
    }
    for &path in usual_candidates(program_path()) {
        if is_earlykmsg(path) {
            continue;
        }
        let error = args.exec(path);
        let is_missing = error.errno() == Os::NOENT.raw_os_error() as u16;
        if is_missing && access(path, Access::EXISTS).is_err() {
            continue;
        }
        report::error(|line| {
            let (path, why) = (Quoted(path.to_bytes()), Errno(error.errno()));
            words!(line, "next init ", path, ": ", why, "; the next one is tried");
        });
        last = error;
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_goes_on_behind_its_own_place() {
        assert_eq!(usual_candidates(None), USUAL);
        assert_eq!(usual_candidates(Some(c"/earlykmsg")), USUAL);
        assert_eq!(usual_candidates(Some(c"/init")), &USUAL[1..]);
        assert_eq!(usual_candidates(Some(c"/sbin/init")), [c"/etc/init", c"/bin/init", c"/bin/sh"]);
        assert!(usual_candidates(Some(c"/bin/sh")).is_empty());
    }
}
