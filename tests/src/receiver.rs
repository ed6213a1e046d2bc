//! Receivers on real sockets, with the faults that receivers have.

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use nix::sys::socket::{MsgFlags, Shutdown, recv, setsockopt, shutdown, sockopt};
use serde_json::Value;

use crate::events::Events;
use crate::json;

/// How long a shipper may take to close its side.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

/// One line or datagram that arrived.
#[derive(Clone, Debug)]
pub struct Line {
    /// When it was complete.
    pub at: Instant,
    /// The connection that it came by, counted from 0; none for a datagram.
    pub connection: Option<usize>,
    /// Its bytes, without the newline.
    pub bytes: Vec<u8>,
}

impl Line {
    /// The object, checked for all that holds for every line.
    #[track_caller]
    pub fn json(&self) -> Value {
        json::checked(&self.bytes)
    }
}

/// Everything that arrived at one receiver.
pub type Lines = Events<Line>;

impl Events<Line> {
    /// Waits until a record whose `msg` holds `part` is there.
    #[track_caller]
    pub fn wait_for(&self, part: &str, within: Duration) -> Line {
        let holds = |line: &&Line| String::from_utf8_lossy(&line.bytes).contains(part);
        let mut seen = 0;
        self.wait(within, &format!("a record with '{part}'"), |lines| {
            let new = &lines[core::mem::replace(&mut seen, lines.len())..];
            new.iter().rev().find(holds).cloned()
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

/// What a TCP receiver does with a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TcpBehaviour {
    /// Reads all there is.
    Reads,
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

#[derive(Debug, Default)]
struct Gate {
    now: Mutex<(bool, Option<End>)>,
    changed: Condvar,
}

impl Gate {
    fn now(&self) -> MutexGuard<'_, (bool, Option<End>)> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, change: impl FnOnce(&mut (bool, Option<End>))) {
        change(&mut self.now());
        self.changed.notify_all();
    }

    /// Waits while reading is paused; says whether to end.
    fn pass(&self) -> Option<End> {
        let mut now = self.now();
        while now.0 && now.1.is_none() {
            now = self.changed.wait(now).unwrap_or_else(PoisonError::into_inner);
        }
        now.1
    }

    /// Waits for the end, no longer than `within`.
    fn pace(&self, within: Duration) {
        if within.is_zero() {
            return;
        }
        let now = self.now();
        let end = |now: &mut (bool, Option<End>)| now.1.is_none();
        drop(self.changed.wait_timeout_while(now, within, end));
    }
}

/// A TCP listener and all its connections.
#[derive(Debug)]
pub struct Tcp {
    /// Where it listens.
    pub address: SocketAddr,
    /// What arrived.
    pub lines: Arc<Lines>,
    /// When each connection was accepted.
    pub connections: Arc<Events<Instant>>,
    gate: Arc<Gate>,
    listener: Option<Arc<TcpListener>>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
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
        Tcp::again(address, behaviour, Arc::default(), Arc::default())
    }

    /// Ends, then listens at the same address and goes on with the same lists after `pause`.
    #[must_use]
    pub fn restart(mut self, end: End, pause: Duration) -> Tcp {
        self.stop(end);
        thread::sleep(pause); // the fault itself, not a wait for anything
        Tcp::again(self.address, TcpBehaviour::Reads, Arc::clone(&self.lines), Arc::clone(&self.connections))
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

    fn again(
        address: SocketAddr,
        behaviour: TcpBehaviour,
        lines: Arc<Lines>,
        connections: Arc<Events<Instant>>,
    ) -> Tcp {
        let listener = Arc::new(TcpListener::bind(address).unwrap_or_else(|why| panic!("{address}: {why}")));
        let address = listener.local_addr().expect("an address");
        let (gate, streams) = (Arc::new(Gate::default()), Arc::new(Mutex::new(Vec::new())));
        let ended = Arc::<Events<()>>::default();
        let acceptor = thread::spawn({
            let (lines, connections, ended) =
                (Arc::clone(&lines), Arc::clone(&connections), Arc::clone(&ended));
            let (gate, streams, listener) = (Arc::clone(&gate), Arc::clone(&streams), Arc::clone(&listener));
            move || {
                thread::scope(|scope| {
                    while let Ok((stream, _)) = listener.accept() {
                        let connection = connections.len();
                        connections.push(Instant::now());
                        if behaviour == TcpBehaviour::Closes {
                            continue;
                        }
                        lock(&streams).push(stream.try_clone().expect("a second handle"));
                        // It may have come while the others were being ended.
                        let end = gate.now().1;
                        end.inspect(|end| end.apply(&stream));
                        let (lines, gate) = (&lines, &gate);
                        scope.spawn(move || serve(stream, connection, behaviour, lines, gate));
                    }
                });
                ended.push(());
            }
        });
        Tcp {
            address,
            lines,
            connections,
            gate,
            listener: Some(listener),
            streams,
            acceptor: Some(acceptor),
            ended,
        }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("tcp://{}/", self.address)
    }

    /// The other end of the last connection.
    #[track_caller]
    pub fn peer(&self) -> SocketAddr {
        lock(&self.streams).last().expect("a connection").peer_addr().expect("it is connected")
    }

    /// Reads no more for now.
    pub fn pause(&self) {
        self.gate.set(|now| now.0 = true);
    }

    /// Reads on.
    pub fn resume(&self) {
        self.gate.set(|now| now.0 = false);
    }

    /// What the last connection's kernel holds unread, up to a mebibyte.
    pub fn unread(&self) -> Vec<u8> {
        let streams = lock(&self.streams);
        let Some(stream) = streams.last() else { return Vec::new() };
        let mut buffer = vec![0; 1 << 20];
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        let length = recv(stream.as_raw_fd(), &mut buffer, flags).unwrap_or(0);
        buffer.truncate(length);
        buffer
    }

    /// Waits until `text` lies unread in the last connection.
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
        self.gate.set(|now| now.1 = Some(end));
        let listener = self.listener.take();
        if let Some(listener) = &listener {
            let _ = shutdown(listener.as_raw_fd(), Shutdown::Both); // wakes the acceptor
        }
        lock(&self.streams).iter().for_each(|stream| end.apply(stream));
        if end == End::Close {
            // A shipper that has sent nothing by it, or that packets no longer reach, does not close its side.
            let _ = self.ended.try_wait(CLOSED_WITHIN, |ended| ended.first().copied());
            lock(&self.streams).iter().for_each(|stream| End::Quit.apply(stream));
        }
        lock(&self.streams).clear();
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

fn serve(mut stream: TcpStream, connection: usize, behaviour: TcpBehaviour, lines: &Lines, gate: &Gate) {
    if behaviour == TcpBehaviour::Ignores {
        gate.set(|now| now.0 = true);
    }
    if matches!(behaviour, TcpBehaviour::HalfCloses | TcpBehaviour::HalfClosesAndSips) {
        End::Close.apply(&stream);
    }
    let (length, pause) = behaviour.pace();
    let mut buffer = vec![0; length];
    let mut partial = Vec::new();
    loop {
        if gate.pass() == Some(End::Reset) {
            return;
        }
        if behaviour == TcpBehaviour::Talks {
            let _ = stream.write_all(b"hello, I have something to say\n");
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(length) => take(&buffer[..length], connection, &mut partial, lines),
        }
        gate.pace(pause);
    }
}

/// Adds what has arrived by a connection to the lines; `partial` is the beginning of one that is not complete.
pub fn take(bytes: &[u8], connection: usize, partial: &mut Vec<u8>, lines: &Lines) {
    let at = Instant::now();
    lines.change(|lines| {
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            partial.extend_from_slice(piece);
            if partial.pop_if(|last| *last == b'\n').is_some() {
                lines.push(Line { at, connection: Some(connection), bytes: core::mem::take(partial) });
            }
        }
    });
}

/// A UDP socket with the stock buffer.
#[derive(Debug)]
pub struct Udp {
    /// Where it listens.
    pub address: SocketAddr,
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

    /// On a free port of 127.0.0.1, with a stock receive buffer.
    pub fn stock() -> Udp {
        Udp::at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// At an address, with a stock receive buffer.
    pub fn at(address: SocketAddr) -> Udp {
        Udp::again(address, Arc::default(), None)
    }

    /// At an address, with a receive buffer that holds a whole ring: nothing is lost on a machine that lets us wait.
    pub fn with_room(address: SocketAddr) -> Udp {
        Udp::again(address, Arc::default(), Some(1 << 26))
    }

    /// Ends, then listens at the same address and goes on with the same list after `pause`.
    #[must_use]
    pub fn restart(mut self, pause: Duration) -> Udp {
        self.stop();
        thread::sleep(pause); // the fault itself, not a wait for anything
        Udp::again(self.address, Arc::clone(&self.lines), None)
    }

    fn again(address: SocketAddr, lines: Arc<Lines>, buffer_bytes: Option<usize>) -> Udp {
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
            move || take.into_iter().for_each(|line| lines.push(line))
        });
        Udp { address, lines, ended, threads: Some((reader, keeper)) }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("udp://{}/", self.address)
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
