//! A network with a receiver and a shipper in it, where a [`Fault`] happens.

use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use nix::sys::socket::{setsockopt, shutdown, sockopt};

use crate::account::{Account, Stream, account};
use crate::fault::{Fault, Log, Way};
use crate::foreign;
use crate::kmsg::RingLock;
use crate::program::Program;
use crate::receiver::{End, Format, Lines, Tcp, TcpBehaviour, Udp};
use crate::sandbox::{FAR, NEAR, Network, OTHER, Sandbox, alone, drop_packets_to, far, far6, ip};
use crate::shipper::{Kind, Shipper};

/// Where the receiver listens.
pub const PORT: u16 = 5044;

/// How long what nothing stands in the way of may take.
const WITHIN: Duration = Duration::from_secs(20);

/// What a fault happens in.
#[derive(Debug)]
pub struct Scene<'f> {
    /// The fault.
    pub fault: &'f Fault,
    /// Ended first: it would log that its receiver ends.
    pub shipper: Shipper,
    slowed: Slowed,
    receiver: Receiver,
    /// What arrived, at all receivers.
    pub lines: Arc<Lines>,
    /// What was written.
    pub stream: Stream,
    /// How long the first record took that was written after the fault, by [`Scene::account`].
    pub recovered: Duration,
    kind: Kind,
    network: Network,
    host: IpAddr,
}

/// There is always one, but while it is restarted.
#[derive(Debug)]
enum Receiver {
    Tcp(Option<Tcp>),
    Udp { _udp: Udp },
}

/// Lets a fault happen to earlykmsg, and gives what became of the records to who expects something of it.
#[track_caller]
pub fn after(fault: &Fault, expect: impl FnOnce(&mut Scene<'_>, &Account) + Send) {
    alone(|sandbox| {
        let mut scene = Scene::new(fault, sandbox);
        scene.happen();
        let account = scene.account();
        expect(&mut scene, &account);
    });
}

impl<'f> Scene<'f> {
    /// With earlykmsg.
    #[track_caller]
    pub fn new(fault: &'f Fault, sandbox: &Sandbox) -> Scene<'f> {
        let stream = match fault.log {
            Log::Own => Stream::own(sandbox, "fault"),
            Log::Few => Stream::new("fault"),
            Log::Storm => Stream::storm("fault"),
        };
        Scene::with(fault, Kind::Earlykmsg, sandbox, stream)
    }

    /// The same on the machine's log, under a lock of the ring that is the caller's.
    #[track_caller]
    pub fn within(ring_lock: &RingLock, fault: &'f Fault, sandbox: &Sandbox) -> Scene<'f> {
        Scene::with(fault, Kind::Earlykmsg, sandbox, Stream::within(ring_lock, "fault"))
    }

    /// With any shipper, on the machine's log; the stream notes the numbers of its records there.
    #[track_caller]
    pub fn of(kind: Kind, fault: &'f Fault, sandbox: &Sandbox) -> Scene<'f> {
        let stream = if fault.log == Log::Storm { Stream::storm("fault") } else { Stream::new("fault") };
        Scene::with(fault, kind, sandbox, stream.noting_seqs())
    }

    #[track_caller]
    fn with(fault: &'f Fault, kind: Kind, sandbox: &Sandbox, mut stream: Stream) -> Scene<'f> {
        let family = if fault.way == Way::Tcp6 { 1..2 } else { 0..1 };
        let network = Network::cable(&NEAR[family.clone()], &FAR[family]);
        ip(&format!("link set near mtu {}", fault.mtu));
        network.enter(|| ip(&format!("link set far mtu {}", fault.mtu)));
        if fault.ahead > 1_000 {
            stream = stream.short();
        }
        stream.write(fault.ahead);

        let address = if fault.way == Way::Tcp6 { far6(PORT) } else { far(PORT) };
        let (receiver, lines) = network.enter(|| Receiver::new(fault, address));
        let slowed = network.enter(|| Slowed::new((address.ip(), PORT + 1).into(), address));
        let to = if fault.way == Way::Slowed { slowed.address } else { address };
        let protocol = match fault.way {
            Way::Udp => "udp",
            Way::Syslog => "syslog+tcp",
            Way::Tcp | Way::Tcp6 | Way::Slowed => "tcp",
        };
        let shipper = if stream.is_own() {
            Shipper::start_on_own_log(protocol, to)
        } else {
            Shipper::start(kind, sandbox, protocol, to)
        };
        let host = address.ip();
        let recovered = Duration::ZERO;
        let mut scene =
            Scene { fault, shipper, slowed, receiver, lines, stream, recovered, kind, network, host };
        if fault.way == Way::Udp {
            scene.lines.wait(WITHIN, "a datagram", |lines| lines.first().map(|line| line.at));
        } else if matches!(fault.behaviour, TcpBehaviour::Reads | TcpBehaviour::Talks) {
            scene.write_and_wait(10);
        } else {
            scene.receiver().connections.wait(WITHIN, "a connection", |all| all.first().copied());
        }
        scene
    }

    /// Lets the fault happen.
    pub fn happen(&mut self) {
        (self.fault.happen)(self);
    }

    /// What became of the records, when ten more have been written and the last has arrived. Of earlykmsg.
    #[track_caller]
    pub fn account(&mut self) -> Account {
        let since = Instant::now();
        let last = self.stream.write(10);
        let account = account(self.fault.name, &self.stream, &self.lines, self.program(), &last);
        self.recovered = self.lines.wait_for(&last, WITHIN).at - since;
        println!("recovered in {:?}", self.recovered);
        account
    }

    /// The shipper, which is earlykmsg.
    #[track_caller]
    pub fn program(&self) -> &Program {
        self.shipper.earlykmsg()
    }

    /// The receiver, over TCP.
    #[track_caller]
    pub fn receiver(&mut self) -> &mut Tcp {
        match &mut self.receiver {
            Receiver::Tcp(Some(tcp)) => tcp,
            Receiver::Tcp(None) | Receiver::Udp { .. } => panic!("this fault is of TCP"),
        }
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        match &self.receiver {
            Receiver::Tcp(tcp) => tcp.as_ref().map_or(0, |tcp| tcp.connections.len()),
            Receiver::Udp { .. } => 0,
        }
    }

    /// The receiver ends.
    pub fn stop(&mut self, end: End) {
        self.receiver().stop(end);
    }

    /// It ends if it has not yet, and there is another one at once, which reads.
    pub fn restart(&mut self, end: End) {
        if let Receiver::Tcp(tcp) = &mut self.receiver {
            let before = tcp.take();
            *tcp = self.network.enter(|| before.map(|before| before.restart(end, Duration::ZERO)));
        }
    }

    /// Does something in the receiver's network.
    pub fn enter<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        self.network.enter(body)
    }

    /// Deletes the address that the shipper sends from.
    pub fn delete_own_address(&self) {
        ip(&format!("addr del {} dev near", self.own_addresses()[0]));
    }

    /// Adds another address that the shipper can send from.
    pub fn add_other_address(&self) {
        ip(&format!("addr add {} dev near nodad", self.own_addresses()[1]));
    }

    fn own_addresses(&self) -> [&'static str; 2] {
        if self.fault.way == Way::Tcp6 { [NEAR[1], OTHER[1]] } else { [NEAR[0], OTHER[0]] }
    }

    /// From now on, what is sent to the receiver reaches nobody.
    pub fn drop_packets(&self) {
        self.enter(|| drop_packets_to(self.host));
    }

    /// Whether the shipper's connection passes on only 20 KB a second.
    pub fn be_slow(&self, is_slow: bool) {
        self.slowed.slow.store(is_slow, Ordering::Relaxed);
    }

    /// Writes more, and waits until the last has arrived.
    #[track_caller]
    pub fn write_and_wait(&mut self, count: usize) {
        let last = self.stream.write(count);
        self.lines.wait_for(&last, WITHIN);
    }

    /// Waits until a record with this text has arrived, which some shippers do not bring about.
    pub fn wait_until_read(&self, text: &str) {
        let _ = self.lines.try_wait(WITHIN, |lines| lines.iter().any(|line| line.holds(text)).then_some(()));
    }

    /// Writes what there is to write while the fault lasts, some of it each second.
    pub fn write_meanwhile(&mut self) {
        let seconds = self.fault.lasts.as_secs();
        for _ in 0..seconds {
            self.stream.write(self.fault.records / seconds as usize);
            thread::sleep(Duration::from_secs(1)); // the fault itself
        }
    }

    /// Writes half of it at the fault's begin and half at its end.
    pub fn write_at_both_ends(&mut self) {
        self.stream.write(self.fault.records / 2);
        thread::sleep(self.fault.lasts); // the fault itself
        self.stream.write(self.fault.records / 2);
    }

    /// Writes records that are longer and shorter than a packet, and more; gives the last one's text.
    pub fn write_long_records(&mut self) -> String {
        for length in [1, 100, 300, 500, 700, 900] {
            (0..5).for_each(|_| _ = self.stream.write_one(&"x".repeat(length)));
        }
        self.stream.write(self.fault.records)
    }

    /// The receiver reads no more, and has bytes that it has not read.
    #[track_caller]
    pub fn leave_unread(&mut self) {
        self.receiver().pause();
        let last = self.stream.write(100);
        self.receiver().wait_unread(&last, WITHIN);
    }

    /// How many bytes the receiver has not read.
    pub fn unread_bytes(&self) -> usize {
        self.enter(|| foreign::unread_bytes(PORT))
    }

    /// Writes more to a receiver that reads nothing, no faster than the shipper reads: nothing is to be lost in the ring.
    pub fn write_and_leave_unread(&mut self, count: usize) {
        // What others make of a record is shorter.
        let line_bytes = if self.kind == Kind::Earlykmsg { 200 } else { 100 };
        let (more, end) = (self.unread_bytes() + count * line_bytes, Instant::now() + WITHIN);
        self.stream.write(count);
        while self.unread_bytes() < more && self.shipper.lives() && Instant::now() < end {
            thread::sleep(Duration::from_millis(10)); // nothing tells that more bytes wait
        }
    }
}

impl Receiver {
    fn new(fault: &Fault, address: SocketAddr) -> (Receiver, Arc<Lines>) {
        if fault.way == Way::Udp {
            let udp = Udp::at(address);
            let lines = Arc::clone(&udp.lines);
            return (Receiver::Udp { _udp: udp }, lines);
        }
        let format = if fault.way == Way::Syslog { Format::Syslog } else { Format::Json };
        let tcp = Tcp::with_format(format, address, fault.behaviour);
        if let Some(bytes) = fault.buffer {
            tcp.set_buffer(bytes);
        }
        let lines = Arc::clone(&tcp.lines);
        (Receiver::Tcp(Some(tcp)), lines)
    }
}

/// A listener that passes on what it reads: all at once, or 2 KB each tenth of a second.
#[derive(Debug)]
struct Slowed {
    address: SocketAddr,
    slow: Arc<AtomicBool>,
    listener: Arc<TcpListener>,
    acceptor: Option<JoinHandle<()>>,
}

impl Slowed {
    fn new(address: SocketAddr, receiver: SocketAddr) -> Slowed {
        let listener = Arc::new(TcpListener::bind(address).expect("listen"));
        setsockopt(&*listener, sockopt::RcvBuf, &8192).expect("set SO_RCVBUF");
        let slow = Arc::new(AtomicBool::new(false));
        let acceptor = thread::spawn({
            let (listener, slow) = (Arc::clone(&listener), Arc::clone(&slow));
            move || {
                thread::scope(|scope| {
                    while let Ok((from, _)) = listener.accept() {
                        let to = TcpStream::connect(receiver).expect("connect");
                        let slow = &slow;
                        scope.spawn(move || pass_on(from, to, slow));
                    }
                });
            }
        });
        Slowed { address, slow, listener, acceptor: Some(acceptor) }
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, slow: &AtomicBool) {
    let mut buffer = [0; 2048];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            return;
        }
        if slow.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(100));
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

impl Drop for Slowed {
    /// The shipper has ended before.
    fn drop(&mut self) {
        let _ = shutdown(self.listener.as_raw_fd(), nix::sys::socket::Shutdown::Both);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}
