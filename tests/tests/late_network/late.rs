//! A network that comes late: what is missing, what brings it, and how long the first record then takes.

use core::fmt::{self, Display, Formatter};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

use earlykmsg_tests::foreign::until;
use earlykmsg_tests::kmsg::Fake;
use earlykmsg_tests::nameserver::{DnsFault, NameServer};
use earlykmsg_tests::proc;
use earlykmsg_tests::program::{Program, start_on_own_log};
use earlykmsg_tests::receiver::{Lines, Tcp, TcpBehaviour, Udp};
use earlykmsg_tests::sandbox::{Network, Sandbox, drop_nothing, drop_packets_to, ip};

const WITHIN: Duration = Duration::from_secs(20);

/// What is missing at first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Missing {
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
pub(crate) struct Late {
    /// What is missing.
    pub(crate) missing: Missing,
    /// Over UDP, else TCP.
    pub(crate) udp: bool,
    /// Over IPv6, else IPv4.
    pub v6: bool,
    /// By name: the receiver's machine is the name server too.
    pub(crate) named: bool,
}

impl Display for Late {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let transport = if self.udp { "UDP" } else { "TCP" };
        let by = if self.named { "name" } else { "address" };
        write!(out, "{transport}, IPv{}, by {by}, {:?}", if self.v6 { 6 } else { 4 }, self.missing)
    }
}

/// How long it took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    /// From before the command that brings what was missing until the first record is complete.
    pub(crate) command: Duration,
    /// From the kernel's last word about it before that record; zero when the record was faster.
    pub(crate) event: Duration,
    /// From before the command until the machine asked for its neighbour, which is the first that an attempt does.
    pub(crate) asked: Duration,
}

impl Late {
    /// Keeps the program waiting for so long, and until it has just tried in vain after a long pause, then brings what
    /// is missing. (Without a carrier it tries all the time.) In a sandbox of the caller's own, which is used up.
    #[track_caller]
    pub(crate) fn run(self, sandbox: &Sandbox, away: Duration) -> Took {
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
            let receiver = network.enter(|| Tcp::at(address, TcpBehaviour::Reads));
            (lines, url) = (Arc::clone(&receiver.lines), receiver.url());
            (_tcp, _udp) = (Some(receiver), None);
        }
        let _server = self.named.then(|| {
            fs::write(sandbox.etc().join("resolv.conf"), format!("nameserver {host}\n"))
                .expect("write a file");
            let zone = format!("logs.example 300 {} {host}", if self.v6 { "AAAA" } else { "A" });
            network.enter(|| NameServer::new(address.ip(), &zone, DnsFault::Answers))
        });
        let url = if self.named { url.replace(&address.to_string(), "logs.example:5044") } else { url };
        let (program, _log) = with_a_record(sandbox, &url);
        thread::sleep(away); // the fault itself
        if self.missing != Missing::Carrier {
            wait_for_attempt(&program);
        }
        assert!(lines.is_empty(), "{self}: it was reached before");
        let news = listen();
        let questions = watch(theirs.parse().expect("an address"));
        let before = Instant::now();
        if self.missing == Missing::Carrier {
            network.enter(|| ip(&bring));
        } else {
            ip(&bring);
        }
        let first = first_line(&lines);
        let event = news.try_iter().take_while(|&at| at <= first).last();
        let asked = questions.recv_timeout(WITHIN).expect("it asked for its neighbour");
        Took {
            command: first - before,
            event: first.saturating_duration_since(event.unwrap_or(first)),
            asked: asked.saturating_duration_since(before),
        }
    }
}

/// Keeps the receiver behind a hole that swallows every packet, for so long. Returns how long the first record then
/// takes; nothing tells the machine of the hole's end. In a network of the caller's own, which is used up.
#[track_caller]
pub(crate) fn hole(sandbox: &Sandbox, long: Duration) -> Duration {
    let receiver = Tcp::at(SocketAddr::from(([127, 0, 9, 1], 5044)), TcpBehaviour::Reads);
    drop_packets_to(receiver.address.ip());
    let _running = with_a_record(sandbox, &receiver.url());
    thread::sleep(long); // the fault itself
    assert!(receiver.lines.is_empty(), "it was reached before");
    let before = Instant::now();
    drop_nothing();
    first_line(&receiver.lines) - before
}

/// Starts the program on a log of its own, so that nothing that others write wakes it, with a record to ship.
#[track_caller]
fn with_a_record(sandbox: &Sandbox, url: &str) -> (Program, Fake) {
    let log = Fake::new(sandbox);
    let program = start_on_own_log(url);
    log.feed_text(0, "the first record");
    (program, log)
}

/// Waits until the shipper has tried after a long pause, for which alone it runs: what follows is another pause, of
/// which it has nothing behind it.
#[track_caller]
fn wait_for_attempt(program: &Program) {
    /// Less than a pause that is as long as they get, more than one before.
    const LONG: Duration = Duration::from_millis(700);
    until("a shipper", || !program.shippers().is_empty());
    let shippers = program.shippers();
    let waits = || shippers.iter().map(|&shipper| proc::waits(shipper)).sum::<u64>();
    let (mut before, mut since, end) = (waits(), Instant::now(), Instant::now() + WITHIN);
    loop {
        thread::sleep(Duration::from_millis(1)); // nothing tells of it
        let (now, at) = (waits(), Instant::now());
        if now != before && at > since + LONG {
            return;
        }
        if now != before {
            (before, since) = (now, at);
        }
        assert!(at < end, "it tries no more");
    }
}

/// When the first record was complete.
#[track_caller]
fn first_line(lines: &Lines) -> Instant {
    lines.wait(WITHIN, "the first record", |lines| lines.first().map(|line| line.at))
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
    times(fd, |_| true)
}

/// When this machine asked for a neighbour, from now on.
fn watch(neighbour: IpAddr) -> Receiver<Instant> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let fd =
        socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll).expect("open a socket");
    times(fd, move |frame| match neighbour {
        // ARP, a request; ICMPv6, a neighbour solicitation.
        IpAddr::V4(ip) => frame[12..14] == [8, 6] && frame[20..22] == [0, 1] && frame[38..42] == ip.octets(),
        IpAddr::V6(ip) => frame[12..14] == [0x86, 0xdd] && frame[54] == 135 && frame[62..78] == ip.octets(),
    })
}

/// When what comes from a socket is of a kind.
fn times(fd: OwnedFd, of: impl Fn(&[u8]) -> bool + Send + 'static) -> Receiver<Instant> {
    let (tell, told) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 8192];
        // It ends with whoever listens to it, at the next of them: those of its network's end at the latest.
        while recv(fd.as_raw_fd(), &mut buffer, MsgFlags::empty()).is_ok()
            && (!of(&buffer) || tell.send(Instant::now()).is_ok())
        {}
    });
    told
}
