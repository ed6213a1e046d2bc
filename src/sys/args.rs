//! What the kernel put on the stack: arguments, then the environment, then values of its own.

use core::ffi::{CStr, c_char, c_int, c_ulong};
use core::sync::atomic::{AtomicPtr, Ordering};

use super::{errno, failed};
use earlykmsg::error::{Error, Step};

/// The program's arguments and, behind them, its environment.
#[derive(Clone, Copy)]
pub struct Args {
    argv: *mut *mut c_char,
    count: usize,
}

/// The array, for those who cannot be handed it.
static ARGV: AtomicPtr<*mut c_char> = AtomicPtr::new(core::ptr::null_mut());

impl Args {
    /// Takes what `main` was called with.
    ///
    /// # Safety
    ///
    /// `argv` is the kernel's array, followed by the environment, and nobody else changes it.
    pub(super) unsafe fn new(argc: c_int, argv: *mut *mut c_char) -> Args {
        ARGV.store(argv, Ordering::Relaxed);
        Args { argv, count: argc.max(0) as usize }
    }

    /// The same from anywhere, once `main` has begun.
    pub fn again() -> Option<Args> {
        let argv = ARGV.load(Ordering::Relaxed);
        if argv.is_null() {
            return None;
        }
        let mut count = 0;
        // SAFETY: the array ends with a null pointer, and `count` stops there.
        while unsafe { !(*argv.add(count)).is_null() } {
            count += 1;
        }
        Some(Args { argv, count })
    }

    /// The arguments, the first (the program's name) included.
    pub fn iter(self) -> impl Iterator<Item = &'static CStr> {
        (0..self.count).map(move |at| {
            // SAFETY: `at` is within the array.
            let arg = unsafe { *self.argv.add(at) };
            // SAFETY: the kernel's strings end with NUL and live as long as the process.
            unsafe { CStr::from_ptr(arg) }
        })
    }

    /// Becomes the program at `path`, its first argument replaced by `path`, all others and the environment
    /// unchanged. Returns only when that failed.
    pub fn exec(self, path: &CStr) -> Error {
        let mut only = [core::ptr::null_mut(), core::ptr::null_mut()];
        let (argv, envp) = if self.count == 0 {
            // Started without even a name: the array has no place for one.
            // SAFETY: the environment follows the one null pointer.
            (only.as_mut_ptr(), unsafe { self.argv.add(1) })
        } else {
            // SAFETY: the environment follows the null pointer that ends the arguments.
            (self.argv, unsafe { self.argv.add(self.count + 1) })
        };
        // SAFETY: `argv` has at least one place; the kernel only reads what is put there.
        let first = unsafe { core::mem::replace(&mut *argv, path.as_ptr().cast_mut()) };
        // SAFETY: both arrays end with a null pointer and hold strings that end with NUL.
        unsafe { libc::execve(path.as_ptr(), argv.cast_const().cast(), envp.cast_const().cast()) };
        let error = failed(Step::Exec, errno());
        // SAFETY: as above.
        unsafe { *argv = first };
        error
    }

    /// Makes the first byte of the program's name an `@`; the rest of it stays. systemd's initrd does not send its SIGTERM
    /// to a process of root with such a name.
    pub fn mark_as_spared(self) {
        let Some(name) = self.iter().next().filter(|name| !name.is_empty()) else { return };
        // SAFETY: the string is the process's own writable memory, and has this byte. Other references to it only read
        // bytes behind the first.
        unsafe { name.as_ptr().cast_mut().cast::<u8>().write(b'@') };
    }

    /// Writes `name` over the strings, so that `ps` shows it as the whole command line. What was there is gone,
    /// the environment included. Too long a name is cut.
    pub fn rename(self, name: &CStr) {
        let Some(first) = self.iter().next() else { return };
        let start = first.as_ptr().cast_mut();
        let mut end = start;
        // The strings stand one behind the other: arguments, then, after the array's null pointer, the environment.
        let mut at = 0;
        loop {
            // SAFETY: `at` goes over the arguments, their null pointer and the environment, up to its own.
            let string = unsafe { *self.argv.add(at) };
            if at != self.count {
                if string.is_null() || string != end {
                    break;
                }
                // SAFETY: a string of the kernel, which ends with NUL.
                let len = unsafe { CStr::from_ptr(string) }.to_bytes_with_nul().len();
                // SAFETY: one past the string's last byte.
                end = unsafe { string.add(len) };
            }
            at += 1;
        }
        // SAFETY: both point into or one past the same block.
        let room = unsafe { end.offset_from(start) } as usize;
        // SAFETY: the block is the process's own writable memory; no string in it is used afterwards.
        let block = unsafe { core::slice::from_raw_parts_mut(start.cast::<u8>(), room) };
        block.fill(0);
        // The last byte stays: it ends the name.
        for (place, &byte) in block.iter_mut().take(room.saturating_sub(1)).zip(name.to_bytes()) {
            *place = byte;
        }
    }
}

/// The path that this program was started by, as the kernel noted it.
pub fn program_path() -> Option<&'static CStr> {
    let path = auxiliary(libc::AT_EXECFN);
    // SAFETY: the kernel's string ends with NUL and lives as long as the process.
    (path != 0).then(|| unsafe { CStr::from_ptr(core::ptr::with_exposed_provenance(path)) })
}

/// A value that the kernel handed over at the start of the program; 0 if it did not.
pub(super) fn auxiliary(key: c_ulong) -> usize {
    // SAFETY: looks it up in the table that the C library's start has noted.
    unsafe { libc::getauxval(key) as usize }
}
