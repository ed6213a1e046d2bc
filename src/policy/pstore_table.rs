//! The same table for the program that reads pstore, when it has opened all files.

use super::table::{Row, any, argument, one_of};

/// What it may do: read files and hand on their lines, hear that they have arrived, remove files.
pub(super) const PSTORE_READER: [Row; 13] = [
    any(libc::SYS_pread64, "pstore_reader::files: their content"),
    any(libc::SYS_write, "pstore_reader: the lines; logger: the program's own messages"),
    one_of(
        libc::SYS_fcntl,
        &[&[argument(1, libc::F_ADD_SEALS)]],
        "pstore_reader: from now on nobody changes the lines",
    ),
    any(libc::SYS_sendto, "pstore_reader: a message to the watcher"),
    any(libc::SYS_read, "pstore_reader: a message of the watcher's"),
    any(libc::SYS_ppoll, "pstore_reader: it is waited for; logger: whether the console has room"),
    any(libc::SYS_clock_gettime, "sys::time"),
    any(libc::SYS_unlinkat, "pstore_reader: files that all destinations have"),
    any(libc::SYS_close, "pstore_reader: the files"),
    any(libc::SYS_getpid, "main: which role panicked"),
    any(libc::SYS_exit_group, "the end"),
    any(libc::SYS_exit, "the end"),
    any(libc::SYS_restart_syscall, "the kernel, after a stop"),
];
