//! The program that brings the network up before the root switch, as the watcher sees it.
//!
//! Without it nothing is missing but the network.

use heapless::Vec;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;

use super::Origin;
use super::child::{Child, send};
use super::program::Program;
use crate::sys::fds::read_into;
use earlykmsg::channel::Message;
use earlykmsg::config::Options;
use earlykmsg::limits::{NAME_SERVERS_TEXT_BYTES_MAX, PACKET_BYTES_MAX};

/// Where it lies.
const PROGRAM: Program = Program { path: c"/earlykmsg.d/network", without: "the network is left alone" };

/// The program at work.
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
        let start = || PROGRAM.start(options.network_word, options, origin, None);
        let channel = if is_asked_for { start() } else { None };
        Network { channel, name_servers: Vec::new() }
    }

    /// What to wait on.
    pub fn channel(&self) -> Option<BorrowedFd<'_>> {
        self.channel.as_ref().map(AsFd::as_fd)
    }

    /// Takes a message, if there is one. What says how far it is is passed on to the shippers of now.
    #[inline(never)] // its buffer is on the stack only while it runs
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
        let message = message.unwrap_or(Message::NetworkState(b"earlykmsg-network has ended"));
        shippers.iter().for_each(|shipper| shipper.send(message));
    }

    /// The root was switched: it gives the network back and ends.
    pub fn root_switched(&self, at_ms: u64) {
        if let Some(channel) = self.channel() {
            send(channel, Message::RootSwitched { at_ms });
        }
    }
}
