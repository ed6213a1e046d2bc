//! The program that brings the network up before the root switch, as the watcher sees it.
//!
//! It is a file of its own, so that the machines whose image brings the network up carry nothing of it. Nobody waits for
//! it, and without it nothing is missing but the network.

use core::ffi::CStr;

use heapless::Vec;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::stdio::{dup2_stdin, dup2_stdout};

use super::Origin;
use super::child::{Child, send};
use crate::exit;
use crate::logger::{self, error, warn};
use crate::sys::At;
use crate::sys::args::Args;
use crate::sys::fds::{keep, read_into};
use crate::sys::process::{self, Fork, exec_file, fork};
use earlykmsg::channel::Message;
use earlykmsg::config::Options;
use earlykmsg::error::{Error, Result, Step};
use earlykmsg::limits::{FILE_PIECE_BYTES, NAME_SERVERS_TEXT_BYTES_MAX, PACKET_BYTES_MAX};
use earlykmsg::text::Quoted;

/// Where the program lies in an image.
const PROGRAM: &CStr = c"/earlykmsg.d/network";

/// The program.
pub struct Network {
    /// The channel to it; none: it does not run.
    channel: Option<OwnedFd>,
    /// The name servers that it has told, as a `resolv.conf` names them.
    pub name_servers: Vec<u8, NAME_SERVERS_TEXT_BYTES_MAX>,
}

impl Network {
    /// Starts it, if it is asked for and a root switch is to come; for netconsole also on a main system.
    pub fn start(options: &Options<'_>, origin: Origin<'_>) -> Network {
        let is_asked_for = !options.network_word.is_empty() && origin.expects_root_switch()
            || options.netconsole && origin.is_of_boot();
        let channel = if is_asked_for { start_program(options, origin) } else { None };
        Network { channel, name_servers: Vec::new() }
    }

    /// What to wait on.
    pub fn channel(&self) -> Option<BorrowedFd<'_>> {
        self.channel.as_ref().map(AsFd::as_fd)
    }

    /// Takes a message, if there is one. What says how far it is is passed on to the shippers of now.
    pub fn take_message(&mut self, shippers: &[Child<'_>]) {
        let Some(channel) = &self.channel else { return };
        let mut packet = [0; PACKET_BYTES_MAX];
        let message = match read_into(channel.as_fd(), &mut packet) {
            Err(Errno::AGAIN | Errno::INTR) => return,
            packet => Message::decode(packet.unwrap_or_default()),
        };
        if let Some(Message::NameServers(text)) = message {
            self.name_servers = Vec::from_slice(text).unwrap_or_default();
            return;
        }
        if message.is_none() {
            // It has ended, and nothing of it holds any more.
            self.channel = None;
            self.name_servers.clear();
        }
        let message = message.unwrap_or(Message::NetworkState(b""));
        shippers.iter().for_each(|shipper| shipper.send(message));
    }

    /// The root was switched: it gives the network back and ends.
    pub fn root_switched(&self, at_ms: u64) {
        if let Some(channel) = self.channel() {
            send(channel, Message::RootSwitched { at_ms });
        }
    }
}

/// Starts the program, if the image has it. Returns the channel to it.
fn start_program(options: &Options<'_>, origin: Origin<'_>) -> Option<OwnedFd> {
    let Ok(program) = openat(CWD, PROGRAM, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else {
        let word = Quoted(options.network_word);
        warn!("{word}= is set, but the image has no /earlykmsg.d/network: the network is left alone");
        return None;
    };
    fork_program(keep(program), options, origin).inspect_err(|error| left_alone(*error)).ok()
}

fn fork_program(program: BorrowedFd<'static>, options: &Options<'_>, origin: Origin<'_>) -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (channel, its_end) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).at(Step::OpenChannel)?;
    send_cmdline(channel.as_fd(), options, origin);
    match fork()? {
        Fork::Parent(_) => Ok(channel),
        Fork::Child => {
            left_alone(become_program(program, keep(its_end)));
            process::exit(exit::SOFTWARE)
        }
    }
}

fn left_alone(error: Error) {
    error!("/earlykmsg.d/network: {error}; the network is left alone");
}

/// Sends the words: those of the kernel's command line, and those that the program was started with by an init script.
fn send_cmdline(channel: BorrowedFd<'_>, options: &Options<'_>, origin: Origin<'_>) {
    let send = |text: &[u8]| {
        text.chunks(FILE_PIECE_BYTES).for_each(|piece| send(channel, Message::Cmdline(piece)));
    };
    send(options.cmdline);
    if let (Origin::Background { .. }, Some(args)) = (origin, Args::again()) {
        for arg in args.iter().skip(1) {
            send(b" ");
            send(arg.to_bytes());
        }
    }
    self::send(channel, Message::Cmdline(b""));
}

/// Becomes the program: its standard input is the channel, and its standard output the kernel's log, or the console where
/// that cannot be written. Returns only when that failed.
fn become_program(program: BorrowedFd<'static>, channel: BorrowedFd<'static>) -> Error {
    let log = logger::kernel_log().or(logger::stderr()).unwrap_or(channel);
    // First all of them out of each other's way: any may be 0 or 1.
    let moved = [program, channel, log].map(|fd| fcntl_dupfd_cloexec(fd, 3).map(keep));
    let [Ok(program), Ok(channel), Ok(log)] = moved else {
        return Step::OpenChannel.failed(Errno::MFILE.raw_os_error());
    };
    logger::use_kernel_log(log); // for what is said if this fails
    let _ = (dup2_stdin(channel), dup2_stdout(log));
    // Named as this process is, which systemd's initrd spares.
    exec_file(program, c"@earlykmsg")
}
