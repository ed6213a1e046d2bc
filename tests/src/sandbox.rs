//! A network, mounts and a host name of a test's own, gone when it ends.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use core::time::Duration;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, sendto, setsockopt, socket,
    sockopt,
};

/// The namespaces that a test runs in. Threads and processes that it starts are in them too.
#[derive(Debug)]
pub struct Sandbox {
    dir: tempfile::TempDir,
}

/// Runs `body` on a thread with a network (only `lo`, up), mounts and a host name of its own.
pub fn alone<T: Send>(body: impl FnOnce(&Sandbox) -> T + Send) -> T {
    assert!(nix::unistd::geteuid().is_root(), "these tests make namespaces: run them as root");
    in_thread(|| {
        let flags = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS;
        unshare(flags).expect("make namespaces");
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
            .expect("keep mounts to ourselves");
        ip("link set lo up");
        body(&Sandbox { dir: tempfile::tempdir().expect("make a folder") })
    })
}

impl Sandbox {
    /// A folder for this test.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Puts `content` in a file of this test's folder.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir().join(name);
        fs::write(&path, content).expect("write a file");
        path
    }

    /// Lets `target` be `source` for this test.
    pub fn bind(&self, source: &Path, target: &str) {
        mount(Some(source), target, None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("bind a file");
    }

    /// Lets `/etc` be an empty folder, to be filled and changed as the test goes on, and `/run` too: this machine's may
    /// name name servers. Gives the first.
    pub fn etc(&self) -> PathBuf {
        self.empty("run");
        self.empty("etc")
    }

    /// Lets `/NAME` be an empty folder, the one of this name in this test's.
    fn empty(&self, name: &str) -> PathBuf {
        let path = self.dir().join(name);
        fs::create_dir(&path).expect("make a folder");
        self.bind(&path, &format!("/{name}"));
        path
    }

    /// Lets `/proc/cmdline` be `words`, from now on.
    pub fn cmdline(&self, words: impl AsRef<[u8]>) {
        let there = self.dir().join("cmdline").exists();
        let path = self.file("cmdline", words);
        if !there {
            self.bind(&path, "/proc/cmdline");
        }
    }
}

/// The addresses of the near end of a cable, unless a test has others.
pub const NEAR: &[&str] = &["10.9.0.1/24", "fd09::1/64"];
/// Others of the same networks.
pub const OTHER: &[&str] = &["10.9.0.7/24", "fd09::7/64"];
/// Those of the far end.
pub const FAR: &[&str] = &["10.9.0.2/24", "fd09::2/64"];

/// Those of the far end as a router, on the cable to the network behind it.
const ROUTER: &[&str] = &["10.8.0.1/24", "fd08::1/64"];
/// Those of the network behind it.
const BEHIND: &[&str] = &["10.8.0.2/24", "fd08::2/64"];

/// The far end's IPv4 address.
pub const FAR_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 2));

/// A port of the far end.
pub fn far(port: u16) -> SocketAddr {
    (FAR_IP, port).into()
}

/// A port of the far end, by IPv6.
pub fn far6(port: u16) -> SocketAddr {
    (Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2), port).into()
}

/// A port of the near end, by IPv6.
pub fn near6(port: u16) -> SocketAddr {
    (Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1), port).into()
}

/// A port of the network behind the far end.
pub fn behind(port: u16) -> SocketAddr {
    (Ipv4Addr::new(10, 8, 0, 2), port).into()
}

/// A port of the network behind the far end, by IPv6.
pub fn behind6(port: u16) -> SocketAddr {
    (Ipv6Addr::new(0xfd08, 0, 0, 0, 0, 0, 0, 2), port).into()
}

/// Another network, behind a cable. It ends with this value and the sockets in it.
#[derive(Debug)]
pub struct Network {
    namespace: File,
}

impl Network {
    /// A network that leads nowhere.
    pub fn alone() -> Network {
        let namespace = in_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("make a network");
            ip("link set lo up");
            File::open("/proc/thread-self/ns/net").expect("open the namespace")
        });
        Network { namespace }
    }

    /// A network with one end of a cable, `far`, whose other end, `near`, is in the caller's network.
    /// Both are up and have their addresses, so the far side is reached at `far_addresses`.
    pub fn cable(near_addresses: &[&str], far_addresses: &[&str]) -> Network {
        Network::connect(["near", "far"], near_addresses, far_addresses)
    }

    /// A network behind this one, which becomes a router: the way to [`behind`] and [`behind6`] leads from the caller's network through
    /// it.
    pub fn behind(&self) -> Network {
        let behind = self.enter(|| {
            let behind = Network::connect(["exit", "end"], ROUTER, BEHIND);
            for file in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
                fs::write(format!("/proc/sys/net/{file}"), "1").expect("be a router");
            }
            behind
        });
        behind.enter(|| {
            ip("route add default via 10.8.0.1");
            ip("-6 route add default via fd08::1");
        });
        ip("route add 10.8.0.0/24 via 10.9.0.2");
        ip("-6 route add fd08::/64 via fd09::2");
        // A router that still looks for its neighbour drops most of a burst.
        for address in [self::behind(9), behind6(9)] {
            wait_for_way_to(address);
        }
        behind
    }

    /// From now on, the way from this router to the network behind it takes packets of up to `mtu` bytes.
    pub fn narrow_behind(&self, behind: &Network, mtu: u32) {
        self.enter(|| ip(&format!("link set exit mtu {mtu}")));
        behind.enter(|| ip(&format!("link set end mtu {mtu}")));
    }

    /// A network at the far one of these two ends of a cable.
    fn connect([near, far_end]: [&str; 2], near_addresses: &[&str], far_addresses: &[&str]) -> Network {
        let far = Network::alone();
        ip(&format!("link add {near} type veth peer name {far_end}"));
        far.adopt(far_end);
        for address in near_addresses {
            ip(&format!("addr add {address} dev {near} nodad"));
        }
        ip(&format!("link set {near} up"));
        far.enter(|| {
            for address in far_addresses {
                ip(&format!("addr add {address} dev {far_end} nodad"));
            }
            ip(&format!("link set {far_end} up"));
        });
        far
    }

    /// Moves a device of the caller's network here.
    fn adopt(&self, device: &str) {
        // `ip` wants a process or a name: a thread inside the namespace is one.
        let (at_work, done) = (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
        thread::scope(|scope| {
            let namespace = &self.namespace;
            let (tell, wait) = (at_work.0, done.1);
            scope.spawn(move || {
                setns(namespace, CloneFlags::CLONE_NEWNET).expect("enter a network");
                tell.send(nix::unistd::gettid()).expect("say the thread");
                let _ = wait.recv();
            });
            let thread = at_work.1.recv_timeout(Duration::from_secs(5)).expect("a thread");
            ip(&format!("link set {device} netns {thread}"));
            drop(done.0);
        });
    }

    /// Where another process finds it.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd())
    }

    /// Runs `body` in this network. Sockets made there stay there.
    pub fn enter<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        in_thread(|| {
            setns(&self.namespace, CloneFlags::CLONE_NEWNET).expect("enter a network");
            body()
        })
    }
}

/// Waits until the network of this address says that nobody listens there.
fn wait_for_way_to(address: SocketAddr) {
    let any: IpAddr =
        if address.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).expect("open a socket");
    socket.connect(address).expect("a route");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("set a time-out");
    let refused = || {
        let _ = socket.send(b"");
        socket.recv(&mut []).is_err_and(|why| why.kind() == ErrorKind::ConnectionRefused)
    };
    assert!((0..100).any(|_| refused()), "no way to {address}");
}

/// Tells the machines at the other end of `device` once that this one is a router, and what they shall make their
/// addresses of. It needs a link-local address that is in use already.
pub fn advertise_router(device: &str, prefix: Ipv6Addr, seconds: u32) {
    let (kind, flags) = (SockType::Raw, SockFlag::SOCK_CLOEXEC);
    let fd = socket(AddressFamily::Inet6, kind, flags, SockProtocol::IcmpV6).expect("open a socket");
    // Who is further away than one hop is not believed.
    setsockopt(&fd, sockopt::Ipv6MulticastHops, &255).expect("set the hop limit");
    // Router advertisement; the kernel computes the checksum. Hop limit, flags, how long it is a router, two timers.
    let mut message = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    // A prefix of 64 bits, on this link, good for addresses; how long, twice.
    message.extend([3, 4, 64, 0xc0]);
    message.extend([seconds, seconds, 0].map(u32::to_be_bytes).as_flattened());
    message.extend(prefix.octets());
    // Who says that it is none when it is asked for its address is one no more.
    fs::write(format!("/proc/sys/net/ipv6/conf/{device}/forwarding"), "1").expect("be a router");
    let scope = nix::net::if_::if_nametoindex(device).expect("a device");
    let all = SocketAddrV6::new(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 0, 0, scope);
    sendto(fd.as_raw_fd(), &message, &SockaddrIn6::from(all), MsgFlags::empty()).expect("advertise");
}

/// Reports to the sender of a datagram, by IPv6, that the host that it was for does not answer.
pub fn report_unreachable(from: SocketAddr, to: SocketAddr) {
    let (SocketAddr::V6(from), SocketAddr::V6(to)) = (from, to) else { panic!("IPv6 only") };
    let fd = socket(AddressFamily::Inet6, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::IcmpV6);
    // Destination unreachable: address; the kernel computes the checksum. Then the headers of the datagram.
    let mut message = vec![1, 3, 0, 0, 0, 0, 0, 0];
    message.extend([0x60, 0, 0, 0, 0, 8, 17, 64]);
    message.extend(from.ip().octets());
    message.extend(to.ip().octets());
    message.extend([from.port().to_be_bytes(), to.port().to_be_bytes(), [0, 8], [0, 0]].concat());
    let sender = SocketAddrV6::new(*from.ip(), 0, 0, 0);
    let fd = fd.expect("open a socket");
    sendto(fd.as_raw_fd(), &message, &SockaddrIn6::from(sender), MsgFlags::empty()).expect("report");
}

/// `ip …`, which must succeed.
pub fn ip(words: &str) {
    run("ip", words);
}

/// From now on, what comes to this address of the caller's network is dropped without a word.
pub fn drop_packets_to(address: IpAddr) {
    let family = if address.is_ipv6() { "ip6" } else { "ip" };
    drop_packets(&format!("{family} daddr {address}"));
}

/// From now on, what comes from this port of a peer is dropped without a word: of its connections, one.
pub fn drop_packets_from(peer: SocketAddr) {
    drop_packets(&format!("tcp sport {}", peer.port()));
}

/// From now on, what comes to this network and is what nft calls `which` is dropped without a word.
pub fn drop_packets(which: &str) {
    handle_packets(&format!("{which} drop"));
}

/// Of the datagrams that come to this network from now on, the first `count` are refused, as if nobody listened.
pub fn refuse_datagrams(count: u32) {
    handle_packets(&format!("meta l4proto udp limit rate 1/day burst {count} packets reject"));
}

fn handle_packets(rule: &str) {
    run("nft", "add table inet fault");
    run("nft", "add chain inet fault input { type filter hook input priority 0 ; }");
    run("nft", &format!("add rule inet fault input {rule}"));
}

/// Ends [`drop_packets`] and its kin.
pub fn drop_nothing() {
    run("nft", "delete table inet fault");
}

/// What `ip …` prints.
pub fn ip_says(words: &str) -> String {
    run("ip", words)
}

fn run(program: &str, words: &str) -> String {
    let output = Command::new(program).args(words.split(' ')).output();
    let output = output.unwrap_or_else(|why| panic!("{program}: {why}"));
    assert!(output.status.success(), "{program} {words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn in_thread<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(body).join().unwrap_or_else(|panic| resume_unwind(panic)))
}
