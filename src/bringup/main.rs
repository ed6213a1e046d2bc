//! The program that brings a network up before the root switch and gives it back without a trace: three processes, of which
//! the first is started by the watcher, and nobody waits for any.
//!
//! ```text
//! watcher -- channel -- keeper    undoes what is in the journal: at the root switch, when the watcher or the client ends
//!                        |  \
//!                 client     loader      links, addresses, routes; drivers (ends when all are loaded)
//! ```
//!
//! Whatever becomes of the client, the keeper gives the network back; and if the keeper dies, the client does. Each has a
//! system-call filter of its own.
//!
//! Standard input is the channel, standard output the kernel's log, or the console where that cannot be written.

#![no_std]
#![no_main]
#![allow(unreachable_pub)] // a binary has no outside: `pub` says what a module offers to the others

mod client;
mod give_back;
mod keeper;
mod loader;
mod netconsole;
mod privileges;
mod rtnl;
mod udevd;

use core::panic::PanicInfo;

use earlykmsg_system::{confine, entry, exit, kernel_fs, logger, sys};
use heapless::Vec;
use rustix::fd::BorrowedFd;
use rustix::io::{read, write};
use rustix::net::SocketType;
use rustix::net::sockopt::socket_type;
use rustix::thread::set_name;

use earlykmsg::channel::Message;
use earlykmsg::config::network_words::{NetworkWords, word_of_image};
use earlykmsg::limits::{NETWORK_WORDS_BYTES_MAX, PACKET_BYTES_MAX, PROBLEMS_LOGGED_MAX};
use earlykmsg::text::Quoted;
use kernel_fs::{is_initramfs, is_kernel_log};
use logger::{error, info};
use sys::args::Args;
use sys::fds::{close_all_but, standard_stream};
use sys::memory::Buffer;
use sys::process;

entry!(crate::run);

const HELP: &str = concat!(
    "earlykmsg-network ",
    env!("CARGO_PKG_VERSION"),
    " brings a network up for earlykmsg (earlykmsg.ip=, earlykmsg.modules=),\n",
    "which starts it as /earlykmsg.d/network of an image. It is of no use by itself.\n",
);

/// Returns the exit code.
fn run(_: Args) -> i32 {
    logger::install();
    let channel = standard_stream(0).filter(|fd| socket_type(fd) == Ok(SocketType::SEQPACKET));
    let Some(watcher) = channel else {
        let _ = standard_stream(2).map(|stderr| write(stderr, HELP.as_bytes()));
        return exit::USAGE;
    };
    match standard_stream(1) {
        Some(log) if is_kernel_log(log) => logger::use_kernel_log(log),
        Some(console) => logger::use_console(console),
        None => {}
    }
    close_all_but(&[Some(watcher), logger::kernel_log(), logger::stderr()]);
    // It was started by a descriptor, whose number would be its name.
    let _ = set_name(c"earlykmsg-network");
    let words = read_words(watcher);
    let wants_network = !words.ip.is_empty() && may_bring_up(&words);
    if !wants_network && words.modules.names.is_empty() && words.netconsole.is_none() {
        return exit::DONE;
    }
    keeper::keep_network(&words, wants_network, watcher)
}

/// Reads what the watcher sends first, and logs what is wrong with it.
fn read_words(watcher: BorrowedFd<'_>) -> NetworkWords<'static> {
    static TEXT: Buffer<Vec<u8, NETWORK_WORDS_BYTES_MAX>> = Buffer::new(Vec::new());
    let mut problems = 0;
    let mut log = |problem| {
        problems += 1;
        if problems <= PROBLEMS_LOGGED_MAX {
            error!("{problem}");
        }
    };
    let Some(text) = TEXT.take() else { return NetworkWords::read(b"", &mut log) };
    let mut packet = [0; PACKET_BYTES_MAX];
    while let Ok(len) = read(watcher, &mut packet)
        && let Some(Message::Cmdline(piece @ [_, ..])) =
            Message::decode(packet.get(..len).unwrap_or_default())
    {
        // What is too long is left out.
        let _ = text.extend_from_slice(piece);
    }
    NetworkWords::read(text, &mut log)
}

/// Whether nobody else is to do it. Logs who.
fn may_bring_up(words: &NetworkWords<'_>) -> bool {
    if let Some(word) = word_of_image(words.cmdline) {
        info!("earlykmsg.ip=: the image brings the network up itself: {}", Quoted(word));
        return false;
    }
    if !is_initramfs() {
        info!("earlykmsg.ip=: the root is no initramfs; the network is left alone");
        return false;
    }
    true
}

/// Nothing unwinds. What this process leaves behind, another one gives back.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(at) => error!("stopped by a fault of its own at {at}; please report this"),
        None => error!("stopped by a fault of its own; please report this"),
    }
    process::exit(exit::SOFTWARE)
}
