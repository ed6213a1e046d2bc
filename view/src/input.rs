//! Where the bytes come from: standard input, files, a file that grows.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// What a wait ended by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// There is something to read, or the time is over.
    Over,
    /// Ctrl-C.
    Interrupted,
}

/// What waits: for input, and for Ctrl-C where something is to be done after it.
pub(crate) struct Waiter {
    signals: Option<SignalFd>,
}

/// How often it is looked whether a file has grown.
const LOOK_MS: u16 = 100;

impl Waiter {
    /// With `catches_signals`, Ctrl-C and SIGTERM end the waiting and not the program.
    pub(crate) fn new(catches_signals: bool) -> io::Result<Waiter> {
        if !catches_signals {
            return Ok(Waiter { signals: None });
        }
        let mut set = SigSet::empty();
        set.add(Signal::SIGINT);
        set.add(Signal::SIGTERM);
        set.thread_block()?;
        Ok(Waiter { signals: Some(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC)?) })
    }

    fn for_input(&self, input: BorrowedFd<'_>) -> io::Result<Wait> {
        match &self.signals {
            Some(_) => self.wait(Some(input), PollTimeout::NONE),
            None => Ok(Wait::Over), // the read itself waits
        }
    }

    fn for_growth(&self) -> io::Result<Wait> {
        self.wait(None, PollTimeout::from(LOOK_MS))
    }

    fn wait(&self, input: Option<BorrowedFd<'_>>, timeout: PollTimeout) -> io::Result<Wait> {
        let signals = self.signals.as_ref().map(AsFd::as_fd);
        let mut fds: Vec<PollFd<'_>> =
            signals.into_iter().chain(input).map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(why) => return Err(why.into()),
        }
        let is_interrupted = self.signals.is_some() && fds[0].any() == Some(true);
        Ok(if is_interrupted { Wait::Interrupted } else { Wait::Over })
    }
}

/// Reads until the end, and hands over all that comes.
pub(crate) fn read_all(
    path: &Path,
    input: &mut (impl Read + AsFd),
    waiter: &Waiter,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Wait> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        if waiter.for_input(input.as_fd())? == Wait::Interrupted {
            return Ok(Wait::Interrupted);
        }
        match input.read(&mut bytes) {
            Ok(0) => return Ok(Wait::Over),
            Ok(count) => take(&bytes[..count])?,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(at("unable to read", path)(why)),
        }
    }
}

/// A part of a file that grows.
pub(crate) enum Growth<'a> {
    Bytes(&'a [u8]),
    /// What comes next is of another file, or of the same one written anew.
    Anew,
}

/// Reads a file, and goes on when it grows, until Ctrl-C. When it is written anew (`copytruncate`), or another file has
/// its name, that is read from its beginning. It need not be there.
pub(crate) fn follow(
    path: &Path,
    waiter: &Waiter,
    mut take: impl FnMut(Growth<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut open: Option<File> = None;
    loop {
        if let Some(file) = &mut open {
            // Renamed first, read to its end then: what is written between the two is not left out.
            let is_another = fs::metadata(path).is_ok_and(|now| !is_same(file, &now));
            if file.stream_position()? > file.metadata()?.len() {
                file.rewind()?;
                take(Growth::Anew)?;
            }
            if read_all(path, file, waiter, |bytes| take(Growth::Bytes(bytes)))? == Wait::Interrupted {
                return Ok(());
            }
            if is_another {
                take(Growth::Anew)?;
                open = None;
            }
        }
        if open.is_none() {
            open = match File::open(path) {
                Ok(file) => Some(file),
                Err(why) if why.kind() == io::ErrorKind::NotFound => None,
                Err(why) => return Err(at("unable to read", path)(why)),
            };
            if open.is_some() {
                continue;
            }
        }
        if waiter.for_growth()? == Wait::Interrupted {
            return Ok(());
        }
    }
}

fn is_same(file: &File, now: &fs::Metadata) -> bool {
    file.metadata().is_ok_and(|open| (open.dev(), open.ino()) == (now.dev(), now.ino()))
}

/// A step that failed, on which file.
pub(crate) fn at(step: &str, path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    let what = format!("{step} {}", path.display());
    move |why| io::Error::new(why.kind(), format!("{what}: {why}"))
}
