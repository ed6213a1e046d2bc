//! Reading from a descriptor, keeping it, and closing what a process inherited.

use core::ffi::{c_long, c_uint};

use rustix::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use rustix::io::{self, close, fcntl_getfd, read};

use super::checked;

/// Descriptor 0, 1 or 2, if it is open. Only for processes that never close these.
pub fn standard_stream(number: i32) -> Option<BorrowedFd<'static>> {
    // SAFETY: the caller's process leaves the standard streams alone; if it is not open, it is not given out.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_getfd(fd).ok().map(|_| fd)
}

/// Reads into a buffer once. Gives what came.
pub fn read_into<'b>(fd: BorrowedFd<'_>, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
    let len = read(fd, &mut *buffer)?;
    Ok(buffer.get(..len).unwrap_or_default())
}

/// A descriptor that stays open for as long as the process lives: whoever needs it may have it. ([`close_all_but`] closes
/// it in a child, which must not use it after that.)
pub fn keep(fd: OwnedFd) -> BorrowedFd<'static> {
    // SAFETY: its owner is gone, so nobody closes it but `close_all_but`, whose caller names all that it goes on to use.
    unsafe { BorrowedFd::borrow_raw(fd.into_raw_fd()) }
}

/// Closes every descriptor but `kept`. Nothing else in the process may own one: a child calls it right after its
/// fork, with all it will use.
pub fn close_all_but(kept: &[Option<BorrowedFd<'_>>]) {
    let number = |kept: &Option<BorrowedFd<'_>>| kept.map_or(-1, |fd| fd.as_raw_fd());
    let is_kept = |fd| kept.iter().any(|kept| number(kept) == fd);
    let highest = kept.iter().map(number).max().unwrap_or(-1);
    for fd in (0..highest).filter(|&fd| !is_kept(fd)) {
        // SAFETY: see above: no one uses it any more. That it may not be open does not matter.
        unsafe { close(fd) };
    }
    let (first, last, flags) = (c_long::from(highest + 1), c_long::from(c_uint::MAX), 0 as c_long);
    // No crate has this call, and neither has musl 1.2.3.
    // SAFETY: the same, for all that come after.
    let rest = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if checked(rest).is_err() {
        // Before Linux 5.9. More than this nobody has open when an init is started.
        for fd in highest + 1..1024 {
            // SAFETY: as above.
            unsafe { close(fd) };
        }
    }
}
