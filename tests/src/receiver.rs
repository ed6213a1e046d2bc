//! Receivers on real sockets, with the faults that receivers have.

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use earlykmsg_fuzz::rfc5424::take_counted;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, Shutdown, recv, setsockopt, shutdown, sockopt};
use serde_json::Value;

use crate::events::Events;
use crate::{json, syslog};

/// How long a shipper may take to close its side.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

/// One line or datagram that arrived.
#[derive(Clone, Debug)]
pub struct Line {
    /// When it was complete.
    pub at: Instant,
    /// The connection that it came by, counted from 0; none for a datagram.
    pub connection: Option<usize>,
    /// Its bytes, without the newline. Of a syslog message, the object that says the same.
    pub bytes: Vec<u8>,
}

/// How records are written: as the schemes of a URL have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Lines of JSON.
    Json,
    /// Syslog messages.
    Syslog,
}

impl Format {
    /// The scheme of a URL, with this transport.
    fn scheme(self, transport: &str) -> String {
        match self {
            Format::Json => transport.to_owned(),
            Format::Syslog => format!("syslog+{transport}"),
        }
    }

    /// What is kept of one.
    fn line(self, bytes: Vec<u8>) -> Vec<u8> {
        match self {
            Format::Json => bytes,
            Format::Syslog => syslog::as_json(bytes),
        }
    }
}

impl Line {
    /// The object, checked for all that holds for every line.
    #[track_caller]
    pub fn json(&self) -> Value {
        json::checked(&self.bytes)
    }

    /// Whether its number is above `seq`.
    #[track_caller]
    pub fn is_after(&self, seq: u64) -> bool {
        json::seq(&json::any(&self.bytes)) > seq
    }

    /// Whether its text holds `part`.
    pub fn holds(&self, part: &str) -> bool {
        String::from_utf8_lossy(&self.bytes).contains(part)
    }
}

/// Everything that arrived at one receiver.
pub type Lines = Events<Line>;

impl Events<Line> {
    /// Waits until a record whose `msg` holds `part` is there.
    #[track_caller]
    pub fn wait_for(&self, part: &str, within: Duration) -> Line {
        let mut seen = 0;
        self.wait(within, &format!("a record with '{part}'"), |lines| {
            let new = &lines[core::mem::replace(&mut seen, lines.len())..];
            new.iter().rev().find(|line| line.holds(part)).cloned()
        })
    }

    /// The same of a record with a number above `seq`. (What was said before is in the ring, and arrives too.)
    #[track_caller]
    pub fn wait_for_after(&self, seq: u64, part: &str, within: Duration) -> Line {
        self.wait(within, &format!("a record after {seq} with '{part}'"), |lines| {
            lines.iter().rev().find(|line| line.holds(part) && line.is_after(seq)).cloned()
        })
    }

    /// Waits until `count` have arrived.
    #[track_caller]
    pub fn wait_count(&self, count: usize, within: Duration) {
        self.wait(within, &format!("{count} records"), |lines| (lines.len() >= count).then_some(()));
    }

    /// All of them as objects.
    #[track_caller]
    pub fn objects(&self) -> Vec<Value> {
        self.items().iter().map(Line::json).collect()
    }

    /// The numbers of their records, in order of arrival.
    #[track_caller]
    pub fn seqs(&self) -> Vec<u64> {
        self.objects().iter().map(json::seq).collect()
    }

    /// All of them as objects with members of these names beside the seven.
    #[track_caller]
    pub fn objects_with(&self, more: &[&str]) -> Vec<Value> {
        self.items().iter().map(|line| json::checked_with(&line.bytes, more)).collect()
    }

    /// The texts that hold `tag`, in order of arrival.
    #[track_caller]
    pub fn texts(&self, tag: &str) -> Vec<String> {
        let texts = self.objects().into_iter().map(|object| json::msg(&object).trim_end().to_owned());
        texts.filter(|text| text.contains(tag)).collect()
    }
}

/// What a TCP receiver does with a connection. When the peer has closed its side, it closes its own, unless it says
/// something else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TcpBehaviour {
    /// Reads all there is.
    Reads,
    /// Reads all there is, much at once: what is measured beside it is to be disturbed little.
    ReadsMuch,
    /// Reads all there is, and does not close its side when the peer has closed the other one.
    KeepsOpen,
    /// Closes it as soon as it is there.
    Closes,
    /// Closes its own side as soon as it is there, and reads all there is.
    HalfCloses,
    /// The same, but reads 1 KiB twenty times a second.
    HalfClosesAndSips,
    /// Accepts and never reads.
    Ignores,
    /// Sends a line of its own at the start and for each read.
    Talks,
    /// Reads 4 KiB twenty times a second.
    Sips,
    /// Reads one byte a second.
    Crawls,
}

impl TcpBehaviour {
    /// How much it reads at once, and how long it waits then.
    fn pace(self) -> (usize, Duration) {
        match self {
            TcpBehaviour::Crawls => (1, Duration::from_secs(1)),
            TcpBehaviour::Sips => (4096, Duration::from_millis(50)),
            TcpBehaviour::HalfClosesAndSips => (1024, Duration::from_millis(50)),
            TcpBehaviour::ReadsMuch => (256 * 1024, Duration::ZERO),
            _ => (16 * 1024, Duration::ZERO),
        }
    }
}

/// How a TCP receiver ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Orderly: it closes its side and reads on, until the shipper has closed the other one too.
    Close,
    /// As a program that ends: all that has arrived is read and then closed. The kernel answers what is still on its way
    /// with a reset.
    Quit,
    /// As if killed with bytes unread: the peer gets a reset.
    Reset,
}

impl End {
    /// Brings it about for one connection.
    fn apply(self, stream: &TcpStream) {
        if self == End::Close {
            let _ = stream.shutdown(std::net::Shutdown::Write); // the shipper may have gone
            return;
        }
        if self == End::Reset {
            let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
            setsockopt(stream, sockopt::Linger, &at_once).expect("set SO_LINGER");
        }
        let _ = stream.shutdown(std::net::Shutdown::Read); // wakes the reader and tells nobody
    }
}

/// Lets readers pass, one at a time.
#[derive(Debug, Default)]
struct Gate {
    now: Mutex<(bool, Option<End>)>,
    changed: Condvar,
}

impl Gate {
    fn now(&self) -> MutexGuard<'_, (bool, Option<End>)> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes who may pass. When this returns, nobody is inside who may not.
    fn set(&self, change: impl FnOnce(&mut (bool, Option<End>))) {
        change(&mut self.now());
        self.changed.notify_all();
    }

    /// Waits while reading is paused, then does this, which must not wait, with how to end, if so.
    fn pass<T>(&self, inside: impl FnOnce(Option<End>) -> T) -> T {
        let paused = |now: &mut (bool, Option<End>)| now.0 && now.1.is_none();
        let now = self.changed.wait_while(self.now(), paused).unwrap_or_else(PoisonError::into_inner);
        inside(now.1)
    }

    /// Waits for the end.
    fn wait_for_end(&self) {
        let goes_on = |now: &mut (bool, Option<End>)| now.1.is_none();
        drop(self.changed.wait_while(self.now(), goes_on));
    }

    /// The same, no longer than `within`.
    fn pace(&self, within: Duration) {
        if within.is_zero() {
            return;
        }
        let goes_on = |now: &mut (bool, Option<End>)| now.1.is_none();
        drop(self.changed.wait_timeout_while(self.now(), within, goes_on));
    }
}

/// The connections of a receiver that are open, each with its number.
type Open = Mutex<Vec<(usize, TcpStream)>>;

/// A TCP listener and all its connections.
#[derive(Debug)]
pub struct Tcp {
    /// Where it listens.
    pub address: SocketAddr,
    format: Format,
    /// What arrived.
    pub lines: Arc<Lines>,
    /// When each connection was accepted.
    pub connections: Arc<Events<Instant>>,
    /// Connections that have ended, after all that came by them has become lines.
    pub closed: Arc<Events<usize>>,
    /// What connections ended with, if that was no newline.
    pub unfinished: Arc<Lines>,
    gate: Arc<Gate>,
    listener: Option<Arc<TcpListener>>,
    open: Arc<Open>,
    acceptor: Option<JoinHandle<()>>,
    /// All connections have ended.
    ended: Arc<Events<()>>,
}

impl Tcp {
    /// On a free port of 127.0.0.1.
    pub fn new(behaviour: TcpBehaviour) -> Tcp {
        Tcp::at((Ipv4Addr::LOCALHOST, 0).into(), behaviour)
    }

    /// At an address.
    pub fn at(address: SocketAddr, behaviour: TcpBehaviour) -> Tcp {
        Tcp::with_format(Format::Json, address, behaviour)
    }

    /// One of syslog messages, on a free port of 127.0.0.1.
    pub fn syslog(behaviour: TcpBehaviour) -> Tcp {
        Tcp::with_format(Format::Syslog, (Ipv4Addr::LOCALHOST, 0).into(), behaviour)
    }

    /// One of records in this format, at an address.
    pub fn with_format(format: Format, address: SocketAddr, behaviour: TcpBehaviour) -> Tcp {
        Tcp::again(format, address, behaviour, Lists::default())
    }

    /// Ends, then listens at the same address and goes on with the same lists after `pause`.
    #[must_use]
    pub fn restart(mut self, end: End, pause: Duration) -> Tcp {
        self.stop(end);
        thread::sleep(pause); // the fault itself, not a wait for anything
        Tcp::again(self.format, self.address, TcpBehaviour::Reads, self.lists())
    }

    /// On a free port of 127.0.0.1, with a receive buffer of this size for each connection.
    pub fn with_buffer(bytes: usize, behaviour: TcpBehaviour) -> Tcp {
        let receiver = Tcp::new(behaviour);
        receiver.set_buffer(bytes);
        receiver
    }

    /// Gives each connection that comes from now on a receive buffer of this size.
    pub fn set_buffer(&self, bytes: usize) {
        let listener = self.listener.as_ref().expect("it listens");
        setsockopt(listener, sockopt::RcvBufForce, &bytes).expect("set SO_RCVBUFFORCE");
    }

    fn again(format: Format, address: SocketAddr, behaviour: TcpBehaviour, lists: Lists) -> Tcp {
        let listener = Arc::new(TcpListener::bind(address).unwrap_or_else(|why| panic!("{address}: {why}")));
        let address = listener.local_addr().expect("an address");
        let (gate, open) = (Arc::<Gate>::default(), Arc::<Open>::default());
        let service = Service {
            format,
            behaviour,
            lists: lists.clone(),
            gate: Arc::clone(&gate),
            open: Arc::clone(&open),
        };
        let ended = Arc::<Events<()>>::default();
        let acceptor = thread::spawn({
            let (listener, ended) = (Arc::clone(&listener), Arc::clone(&ended));
            move || {
                service.accept(&listener);
                ended.push(());
            }
        });
        let Lists { lines, connections, closed, unfinished } = lists;
        let (listener, acceptor) = (Some(listener), Some(acceptor));
        Tcp { address, format, lines, connections, closed, unfinished, gate, listener, open, acceptor, ended }
    }

    /// Its lists, for one that goes on with them.
    fn lists(&self) -> Lists {
        Lists {
            lines: Arc::clone(&self.lines),
            connections: Arc::clone(&self.connections),
            closed: Arc::clone(&self.closed),
            unfinished: Arc::clone(&self.unfinished),
        }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("{}://{}/", self.format.scheme("tcp"), self.address)
    }

    /// The other end of the last open connection.
    #[track_caller]
    pub fn peer(&self) -> SocketAddr {
        lock(&self.open).last().expect("a connection").1.peer_addr().expect("it is connected")
    }

    /// Reads no more for now: what arrives when this has returned stays unread.
    pub fn pause(&self) {
        self.gate.set(|now| now.0 = true);
    }

    /// Reads on.
    pub fn resume(&self) {
        self.gate.set(|now| now.0 = false);
    }

    /// What the kernel holds unread of the last open connection, up to a mebibyte.
    pub fn unread(&self) -> Vec<u8> {
        let open = lock(&self.open);
        let Some((_, stream)) = open.last() else { return Vec::new() };
        let mut buffer = vec![0; 1 << 20];
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        let length = recv(stream.as_raw_fd(), &mut buffer, flags).unwrap_or(0);
        buffer.truncate(length);
        buffer
    }

    /// Waits until `text` lies unread in the last open connection.
    #[track_caller]
    pub fn wait_unread(&self, text: &str, within: Duration) {
        let end = Instant::now() + within;
        let holds = || self.unread().windows(text.len()).any(|part| part == text.as_bytes());
        while !holds() {
            assert!(Instant::now() < end, "'{text}' did not come within {within:?}");
            thread::sleep(Duration::from_millis(5)); // nothing tells that more bytes wait behind unread ones
        }
    }

    /// Ends the listener and its connections.
    pub fn stop(&mut self, end: End) {
        let Some(acceptor) = self.acceptor.take() else { return };
        // First of all: a shipper whose connection ends connects again at once.
        let listener = self.listener.take();
        if let Some(listener) = &listener {
            let _ = shutdown(listener.as_raw_fd(), Shutdown::Both); // wakes the acceptor
        }
        self.gate.set(|now| now.1 = Some(end));
        let apply = |end: End| lock(&self.open).iter().for_each(|(_, stream)| end.apply(stream));
        apply(end);
        if end == End::Close {
            // A shipper that has sent nothing by it, or that packets no longer reach, does not close its side.
            let _ = self.ended.try_wait(CLOSED_WITHIN, |ended| ended.first().copied());
            apply(End::Quit);
        }
        let _ = acceptor.join();
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        self.stop(End::Quit);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a receiver tells of itself: see [`Tcp`].
#[derive(Clone, Debug, Default)]
struct Lists {
    lines: Arc<Lines>,
    connections: Arc<Events<Instant>>,
    closed: Arc<Events<usize>>,
    unfinished: Arc<Lines>,
}

/// What connections are served with.
#[derive(Debug)]
struct Service {
    format: Format,
    behaviour: TcpBehaviour,
    lists: Lists,
    gate: Arc<Gate>,
    open: Arc<Open>,
}

impl Service {
    /// Serves all connections until the listener is shut down.
    fn accept(&self, listener: &TcpListener) {
        thread::scope(|scope| {
            while let Ok((stream, _)) = listener.accept() {
                let connection = self.lists.connections.len();
                if self.behaviour == TcpBehaviour::Closes {
                    self.lists.connections.push(Instant::now());
                    drop(stream);
                    self.lists.closed.push(connection);
                    continue;
                }
                lock(&self.open).push((connection, stream.try_clone().expect("a second handle")));
                self.lists.connections.push(Instant::now());
                // It may have come while the others were being ended.
                let end = self.gate.now().1;
                end.inspect(|end| end.apply(&stream));
                scope.spawn(move || self.serve(stream, connection));
            }
        });
    }

    /// Serves a connection until either side ends it, and closes it.
    fn serve(&self, mut stream: TcpStream, connection: usize) {
        self.read(&mut stream, connection);
        if self.behaviour == TcpBehaviour::KeepsOpen {
            self.gate.wait_for_end();
        }
        // A socket is closed with its last handle.
        drop(stream);
        lock(&self.open).retain(|(open, _)| *open != connection);
        self.lists.closed.push(connection);
    }

    fn read(&self, stream: &mut TcpStream, connection: usize) {
        if self.behaviour == TcpBehaviour::Ignores {
            self.gate.set(|now| now.0 = true);
        }
        if matches!(self.behaviour, TcpBehaviour::HalfCloses | TcpBehaviour::HalfClosesAndSips) {
            End::Close.apply(stream);
        }
        let (length, pause) = self.behaviour.pace();
        let mut buffer = vec![0; length];
        let mut partial = Vec::new();
        loop {
            if self.behaviour == TcpBehaviour::Talks {
                let _ = stream.write_all(b"hello, I have something to say\n");
            }
            // The read finds something, so that it does not wait where it holds up who wants to pause it.
            let mut readable = [PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
            while poll(&mut readable, PollTimeout::NONE).is_err() {}
            let read = self.gate.pass(|end| (end != Some(End::Reset)).then(|| stream.read(&mut buffer)));
            match read {
                Some(Ok(0)) => break,
                Some(Ok(length)) => {
                    take(self.format, &buffer[..length], connection, &mut partial, &self.lists.lines);
                }
                None | Some(Err(_)) => return,
            }
            self.gate.pace(pause);
        }
        if !partial.is_empty() {
            self.lists.unfinished.push(Line {
                at: Instant::now(),
                connection: Some(connection),
                bytes: partial,
            });
        }
    }
}

/// Adds what has arrived by a connection to the lines; `partial` is the beginning of one that is not complete.
pub fn take(format: Format, bytes: &[u8], connection: usize, partial: &mut Vec<u8>, lines: &Lines) {
    let at = Instant::now();
    partial.extend_from_slice(bytes);
    let mut rest = &partial[..];
    lines.change(|lines| {
        while let Some(bytes) = take_line(format, &mut rest) {
            lines.push(Line { at, connection: Some(connection), bytes: format.line(bytes) });
        }
    });
    *partial = rest.to_vec();
}

/// Takes the first line off what has arrived, if it is complete. What has no length before it, where it should, is one.
fn take_line(format: Format, rest: &mut &[u8]) -> Option<Vec<u8>> {
    match format {
        Format::Json => {
            let newline = rest.iter().position(|&byte| byte == b'\n')?;
            let line = rest[..newline].to_vec();
            *rest = &rest[newline + 1..];
            Some(line)
        }
        Format::Syslog => match take_counted(rest) {
            Ok(message) => message.map(<[u8]>::to_vec),
            Err(_) => Some(core::mem::take(rest).to_vec()),
        },
    }
}

/// A UDP socket with the stock buffer.
#[derive(Debug)]
pub struct Udp {
    /// Where it listens.
    pub address: SocketAddr,
    format: Format,
    /// What arrived, one line a datagram.
    pub lines: Arc<Lines>,
    ended: Arc<AtomicBool>,
    threads: Option<(JoinHandle<()>, JoinHandle<()>)>,
}

impl Udp {
    /// On a free port of 127.0.0.1, with room as [`Udp::with_room`] has.
    pub fn new() -> Udp {
        Udp::with_room((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// At an address, with a stock receive buffer.
    pub fn at(address: SocketAddr) -> Udp {
        Udp::again(Format::Json, address, Arc::default(), None)
    }

    /// One of syslog messages, on a free port of 127.0.0.1, with room as [`Udp::with_room`] has.
    pub fn syslog() -> Udp {
        Udp::with_format(Format::Syslog, (Ipv4Addr::LOCALHOST, 0).into())
    }

    /// One of records in this format, at an address, with room as [`Udp::with_room`] has.
    pub fn with_format(format: Format, address: SocketAddr) -> Udp {
        Udp::again(format, address, Arc::default(), Some(1 << 26))
    }

    /// At an address, with a receive buffer that holds a whole ring: nothing is lost on a machine that lets us wait.
    pub fn with_room(address: SocketAddr) -> Udp {
        Udp::again(Format::Json, address, Arc::default(), Some(1 << 26))
    }

    /// Ends, then listens at the same address and goes on with the same list after `pause`.
    #[must_use]
    pub fn restart(mut self, pause: Duration) -> Udp {
        self.stop();
        thread::sleep(pause); // the fault itself, not a wait for anything
        Udp::again(self.format, self.address, Arc::clone(&self.lines), None)
    }

    fn again(format: Format, address: SocketAddr, lines: Arc<Lines>, buffer_bytes: Option<usize>) -> Udp {
        let socket = UdpSocket::bind(address).unwrap_or_else(|why| panic!("{address}: {why}"));
        if let Some(bytes) = buffer_bytes {
            setsockopt(&socket, sockopt::RcvBufForce, &bytes).expect("set SO_RCVBUFFORCE");
        }
        let address = socket.local_addr().expect("an address");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("set a time-out");
        let ended = Arc::new(AtomicBool::new(false));
        // The reader does nothing but read: it is the buffer that is small, not our patience.
        let (arrived, take) = channel::<Line>();
        let reader = thread::spawn({
            let ended = Arc::clone(&ended);
            move || {
                let mut buffer = vec![0; 65_536];
                while !ended.load(Ordering::Relaxed) {
                    if let Ok(length) = socket.recv(&mut buffer) {
                        let bytes = buffer[..length].to_vec();
                        let _ = arrived.send(Line { at: Instant::now(), connection: None, bytes });
                    }
                }
            }
        });
        let keeper = thread::spawn({
            let lines = Arc::clone(&lines);
            move || {
                let arrived = take.into_iter();
                arrived.for_each(|line| lines.push(Line { bytes: format.line(line.bytes), ..line }));
            }
        });
        Udp { address, format, lines, ended, threads: Some((reader, keeper)) }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("{}://{}/", self.format.scheme("udp"), self.address)
    }

    fn stop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some((reader, keeper)) = self.threads.take() {
            let _ = (reader.join(), keeper.join());
        }
    }
}

impl Default for Udp {
    fn default() -> Udp {
        Udp::new()
    }
}

impl Drop for Udp {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(10);

    /// A connection that has sent these bytes and closed its side.
    fn sent(receiver: &Tcp, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(receiver.address).expect("connect");
        stream.write_all(bytes).expect("send");
        stream.shutdown(std::net::Shutdown::Write).expect("close one side");
        stream
    }

    #[test]
    fn a_receiver_closes_when_its_peer_has_closed() {
        let receiver = Tcp::new(TcpBehaviour::Reads);
        let mut stream = sent(&receiver, b"one\ntwo\nthr");
        assert_eq!(stream.read(&mut [0]).expect("wait for the other side"), 0);
        let lines: Vec<Vec<u8>> = receiver.lines.items().iter().map(|line| line.bytes.clone()).collect();
        assert_eq!(lines, [b"one", b"two"]);
        let unfinished: Vec<Vec<u8>> =
            receiver.unfinished.items().iter().map(|line| line.bytes.clone()).collect();
        assert_eq!(unfinished, [b"thr"]);
        let closed = receiver.closed.wait(WITHIN, "the end of a connection", |all| all.first().copied());
        assert_eq!((closed, receiver.connections.len()), (0, 1));
    }

    #[test]
    fn what_comes_after_a_pause_stays_unread() {
        for round in 0..5 {
            let receiver = Tcp::new(TcpBehaviour::Reads);
            let mut stream = TcpStream::connect(receiver.address).expect("connect");
            stream.write_all(b"one\n").expect("send");
            receiver.lines.wait_for("one", WITHIN);
            thread::sleep(Duration::from_millis(20)); // the reader waits for more by then, of which nothing tells
            receiver.pause();
            stream.write_all(b"two\n").expect("send");
            thread::sleep(Duration::from_millis(20)); // who would read it had the time
            receiver.wait_unread("two\n", WITHIN);
            assert_eq!(receiver.lines.len(), 1, "round {round}");
            receiver.resume();
            receiver.lines.wait_for("two", WITHIN);
        }
    }

    #[test]
    fn a_receiver_that_keeps_its_side_open_closes_when_it_ends() {
        let mut receiver = Tcp::new(TcpBehaviour::KeepsOpen);
        let mut stream = sent(&receiver, b"one\n");
        receiver.lines.wait_for("one", WITHIN);
        stream.set_nonblocking(true).expect("do not wait");
        assert_eq!(stream.read(&mut [0]).expect_err("it is open").kind(), ErrorKind::WouldBlock);
        stream.set_nonblocking(false).expect("wait again");
        receiver.stop(End::Quit);
        assert_eq!(stream.read(&mut [0]).expect("wait for the other side"), 0);
    }
}
