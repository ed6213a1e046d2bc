//! A network that comes late: what is missing, what brings it, and how long the first record then takes.

use core::fmt::{self, Display, Formatter};
use core::net::SocketAddr;
use core::time::Duration;
use std::fs;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

use crate::program::Run;
use crate::receiver::{Lines, Manner, Tcp, Udp};
use crate::sandbox::{Network, ip};

/// What is missing at first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing {
    /// An address of ours.
    Address,
    /// The way to the receiver, which is behind a router.
    Route,
    /// The link is down.
    Link,
    /// The link is up, but the cable's other end is not.
    Carrier,
}

/// A receiver and what keeps it from being reached.
#[derive(Clone, Copy, Debug)]
pub struct Late {
    /// What is missing.
    pub missing: Missing,
    /// Over UDP, else TCP.
    pub udp: bool,
    /// Over IPv6, else IPv4.
    pub v6: bool,
}

impl Display for Late {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let transport = if self.udp { "UDP" } else { "TCP" };
        write!(out, "{transport}, IPv{}, {:?}", if self.v6 { 6 } else { 4 }, self.missing)
    }
}

/// How long it took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// From before the command that brings what was missing until the first record is complete.
    pub command: Duration,
    /// From the kernel's last word about it before that record; zero when the record was faster.
    pub event: Duration,
}

impl Late {
    /// Keeps the program waiting for so long, then brings what is missing. In a network of the caller's own, which is
    /// used up.
    #[track_caller]
    pub fn run(self, away: Duration) -> Took {
        let (ours, theirs, behind, all) = match self.v6 {
            false => ("10.96.0.1/24", "10.96.0.2", "10.97.0.1", "0.0.0.0/0"),
            true => ("2001:db8:96::1/64", "2001:db8:96::2", "2001:db8:97::1", "::/0"),
        };
        let family = if self.v6 { "-6" } else { "-4" };
        let bits = if self.v6 { "64" } else { "24" };
        let addressed = self.missing != Missing::Address;
        let network = Network::cable(
            &[ours][..usize::from(addressed)],
            &[&format!("{theirs}/{bits}"), &format!("{behind}/{bits}")],
        );
        if self.v6 {
            // Else a link that goes down takes its addresses with it.
            keep_addresses("near");
            network.enter(|| keep_addresses("far"));
        }
        match self.missing {
            Missing::Address | Missing::Route => {}
            Missing::Link => ip("link set near down"),
            Missing::Carrier => network.enter(|| ip("link set far down")),
        }
        let bring = match self.missing {
            Missing::Address => format!("addr add {ours} dev near nodad"),
            Missing::Route => format!("{family} route add {all} via {theirs}"),
            Missing::Link => "link set near up".to_owned(),
            Missing::Carrier => "link set far up".to_owned(),
        };
        let host = if self.missing == Missing::Route { behind } else { theirs };
        let address = SocketAddr::new(host.parse().expect("an address"), 5044);
        let (_tcp, _udp, lines, url);
        if self.udp {
            let receiver = network.enter(|| Udp::at(address));
            (lines, url) = (Arc::clone(&receiver.lines), receiver.url());
            (_udp, _tcp) = (Some(receiver), None);
        } else {
            let receiver = network.enter(|| Tcp::at(address, Manner::Reads));
            (lines, url) = (Arc::clone(&receiver.lines), receiver.url());
            (_tcp, _udp) = (Some(receiver), None);
        }
        let program = Run::new(&[url]).start();
        program.says("shipping to ", Duration::from_secs(10));
        thread::sleep(away); // the fault itself
        assert!(lines.is_empty(), "{self}: it was reached before");
        let news = listen();
        let before = Instant::now();
        if self.missing == Missing::Carrier {
            network.enter(|| ip(&bring));
        } else {
            ip(&bring);
        }
        let first = first_line(&lines);
        let event = news.try_iter().take_while(|&at| at <= first).last();
        Took { command: first - before, event: first.saturating_duration_since(event.unwrap_or(first)) }
    }
}

/// When the first record was complete.
#[track_caller]
fn first_line(lines: &Lines) -> Instant {
    lines.wait(Duration::from_secs(20), "the first record", |lines| lines.first().map(|line| line.at))
}

fn keep_addresses(device: &str) {
    fs::write(format!("/proc/sys/net/ipv6/conf/{device}/keep_addr_on_down"), "1")
        .expect("set keep_addr_on_down");
}

/// When the kernel told of links, addresses and routes, from now on.
fn listen() -> Receiver<Instant> {
    /// Links, and addresses and routes of both families.
    const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
    let (kind, flags) = (SockType::Raw, SockFlag::SOCK_CLOEXEC);
    let fd = socket(AddressFamily::Netlink, kind, flags, SockProtocol::NetlinkRoute).expect("open a socket");
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, GROUPS)).expect("listen to the kernel");
    let (tell, told) = channel();
    thread::spawn(move || {
        // It ends with whoever listens to it, at the next news: those of its network's end at the latest.
        while recv(fd.as_raw_fd(), &mut [0; 8192], MsgFlags::empty()).is_ok()
            && tell.send(Instant::now()).is_ok()
        {}
    });
    told
}
