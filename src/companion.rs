//! What the programs have in common that the watcher starts: standard streams, and the command line.
//!
//! Standard input is the channel to the watcher, standard output the kernel's log, or the console where that cannot be
//! written.

use core::ffi::CStr;

use heapless::Vec;
use rustix::fd::BorrowedFd;
use rustix::io::{read, write};
use rustix::net::SocketType;
use rustix::net::sockopt::socket_type;
use rustix::thread::set_name;

use crate::exit;
use crate::kernel_fs::is_kernel_log;
use crate::logger::{self, error};
use crate::sys::At;
use crate::sys::fds::{close_all_but, standard_stream};
use crate::sys::memory::Buffer;
use earlykmsg::channel::Message;
use earlykmsg::error::Step;
use earlykmsg::limits::{HELPER_CMDLINE_BYTES_MAX, PACKET_BYTES_MAX};

/// Takes the standard streams, and returns the channel. Descriptors besides them and `kept` are closed. Started by
/// anybody else, it prints `help`, and what it returns is the exit code.
pub fn begin(
    name: &CStr,
    help: &str,
    kept: Option<BorrowedFd<'_>>,
) -> core::result::Result<BorrowedFd<'static>, i32> {
    logger::install();
    let channel = standard_stream(0).filter(|fd| socket_type(fd) == Ok(SocketType::SEQPACKET));
    let Some(watcher) = channel else {
        let _ = standard_stream(2).map(|stderr| write(stderr, help.as_bytes()));
        return Err(exit::USAGE);
    };
    match standard_stream(1) {
        Some(log) if is_kernel_log(log) => logger::use_kernel_log(log),
        Some(console) => logger::use_console(console),
        None => {}
    }
    close_all_but(&[Some(watcher), logger::kernel_log(), logger::stderr(), kept]);
    // It was started by a descriptor, whose number would be its name.
    let _ = set_name(name);
    Ok(watcher)
}

/// Reads the command line, which the watcher sends first.
pub fn read_cmdline(watcher: BorrowedFd<'_>) -> &'static [u8] {
    static TEXT: Buffer<Vec<u8, HELPER_CMDLINE_BYTES_MAX>> = Buffer::new(Vec::new());
    let Some(text) = TEXT.take() else { return b"" };
    let mut packet = [0; PACKET_BYTES_MAX];
    loop {
        let message = match read(watcher, &mut packet).at(Step::Receive) {
            Ok(len) => Message::decode(packet.get(..len).unwrap_or_default()),
            Err(error) => {
                error!("the kernel command line: {error}; nothing is done");
                return b"";
            }
        };
        // The last piece is empty.
        let Some(Message::Cmdline(piece @ [_, ..])) = message else { return text };
        // What is too long is left out.
        let _ = text.extend_from_slice(piece);
    }
}
