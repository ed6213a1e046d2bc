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
mod files;
mod give_back;
mod keeper;
mod loader;
mod netconsole;
mod privileges;
mod rtnl;
mod udevd;

use core::panic::PanicInfo;

use earlykmsg_system::{companion, confine, entry, exit, kernel_fs, logger, sys};

use earlykmsg::config::network_words::{NetworkWords, word_of_image};
use earlykmsg::limits::PROBLEMS_LOGGED_MAX;
use earlykmsg::text::Quoted;
use kernel_fs::is_initramfs;
use logger::{error, info};
use sys::args::Args;
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
    let watcher = match companion::begin(c"earlykmsg-network", HELP, None) {
        Ok(watcher) => watcher,
        Err(code) => return code,
    };
    let words = read_words(companion::read_cmdline(watcher));
    let wants_network = !words.ip.is_empty() && may_bring_up(&words);
    if !wants_network && words.modules.names.is_empty() && words.netconsole.is_none() {
        return exit::DONE;
    }
    keeper::keep_network(&words, wants_network, watcher)
}

/// Reads the command line, and logs what is wrong with it.
fn read_words(cmdline: &'static [u8]) -> NetworkWords<'static> {
    let mut problems = 0;
    NetworkWords::read(cmdline, &mut |problem| {
        problems += 1;
        if problems <= PROBLEMS_LOGGED_MAX {
            error!("{problem}");
        }
    })
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
