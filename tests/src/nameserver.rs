//! Name servers on real sockets, with the faults that name servers have.
//!
//! A server has a zone, a text with a record a line: `logs.example 300 A 10.0.0.1` (or `AAAA`, `CNAME`, `TXT`). What
//! it would rightly answer from that is then spoiled by its [`DnsFault`]. Both can be changed while it runs.

use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use nix::sys::socket::{Shutdown, shutdown};

use crate::events::Events;

/// How a name server answers: as it should, or with one of the faults that they have.
#[derive(Clone, Copy, Debug)]
pub enum DnsFault {
    /// As it should. What does not fit into a datagram is left out, which it says, and comes over TCP.
    Answers,
    /// Never.
    Silent,
    /// With this code and no record: 1 FORMERR, 2 SERVFAIL, 3 NXDOMAIN, 5 REFUSED; 0 is a name without addresses.
    Code(u8),
    /// Rightly, but that late.
    Late(Duration),
    /// Rightly, and once more.
    Twice,
    /// Rightly, after two hundred answers with another number.
    Flood,
    /// With the first alias alone: its target must be asked for.
    OneByOne,
    /// With what this makes of the right answer.
    Changed(fn(&mut Vec<u8>)),
    /// Rightly, from an address that was not asked.
    From(SocketAddr),
    /// That it does not fit, whatever it is; and so over TCP.
    Truncated(OverTcp),
    /// For IPv4 addresses and for IPv6 addresses.
    Each(&'static DnsFault, &'static DnsFault),
    /// So to those who say that long answers are welcome (EDNS), and rightly to others.
    WithEdns(&'static DnsFault),
}

/// What becomes of a question over TCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OverTcp {
    /// The right answer.
    Answers,
    /// The same, a few bytes at a time, beginning with half of its length.
    Dribbles,
    /// The same, and as much behind it as one can say.
    Long,
    /// Half of it, then the end of the connection.
    Cut,
    /// Nothing.
    Silent,
    /// Nobody listens. This must be the server's fault from the start.
    Refused,
}

/// A question that was asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// When it came.
    pub at: Instant,
    /// Of this name, as it was written, without a final dot.
    pub name: String,
    /// For IPv6 addresses.
    pub v6: bool,
    /// Over TCP.
    pub tcp: bool,
    /// How long an answer may be; by EDNS, if that is not 512.
    pub room: usize,
    /// What it came from, and the number that it had: who cannot know both cannot answer.
    pub secret: (u16, u16),
    message: Vec<u8>,
}

/// A server of one address.
#[derive(Debug)]
pub struct NameServer {
    /// Every question, in order.
    pub asked: Arc<Events<Question>>,
    now: Arc<Mutex<Now>>,
    ended: Arc<AtomicBool>,
    listener: Option<Arc<TcpListener>>,
    threads: Vec<JoinHandle<()>>,
}

/// What a server is told to be.
#[derive(Clone, Debug)]
struct Now {
    dns_fault: DnsFault,
    zone: String,
}

impl NameServer {
    /// At port 53 of an address.
    pub fn new(address: impl Into<IpAddr>, zone: &str, dns_fault: DnsFault) -> NameServer {
        NameServer::at((address.into(), 53).into(), zone, dns_fault)
    }

    /// At an address.
    pub fn at(address: SocketAddr, zone: &str, dns_fault: DnsFault) -> NameServer {
        let socket = UdpSocket::bind(address).unwrap_or_else(|why| panic!("{address}: {why}"));
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("set a time-out");
        let listener = (!matches!(dns_fault, DnsFault::Truncated(OverTcp::Refused)))
            .then(|| Arc::new(TcpListener::bind(address).unwrap_or_else(|why| panic!("{address}: {why}"))));
        let now = Arc::new(Mutex::new(Now { dns_fault, zone: zone.to_owned() }));
        let (asked, ended) = (Arc::new(Events::default()), Arc::new(AtomicBool::new(false)));
        let mut threads = vec![thread::spawn({
            let (now, asked, ended) = (Arc::clone(&now), Arc::clone(&asked), Arc::clone(&ended));
            move || serve_datagrams(&socket, &now, &asked, &ended)
        })];
        threads.extend(listener.clone().map(|listener| {
            let (now, asked, ended) = (Arc::clone(&now), Arc::clone(&asked), Arc::clone(&ended));
            thread::spawn(move || {
                thread::scope(|scope| {
                    while let Ok((stream, _)) = listener.accept() {
                        let (now, asked, ended) = (&now, &asked, &ended);
                        scope.spawn(move || serve_stream(stream, now, asked, ended));
                    }
                });
            })
        }));
        NameServer { asked, now, ended, listener, threads }
    }

    /// Answers so from now on.
    pub fn becomes(&self, dns_fault: DnsFault) {
        lock(&self.now).dns_fault = dns_fault;
    }

    /// Has these records from now on.
    pub fn learns(&self, zone: &str) {
        zone.clone_into(&mut lock(&self.now).zone);
    }

    /// When it was first asked.
    pub fn first_asked(&self) -> Option<Instant> {
        self.asked.items().first().map(|question| question.at)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(listener) = &self.listener {
            let _ = shutdown(listener.as_raw_fd(), Shutdown::Both); // wakes the acceptor
        }
        for thread in self.threads.drain(..) {
            assert!(thread.join().is_ok() || thread::panicking(), "asked what nobody should ask; see above");
        }
    }
}

fn lock(now: &Mutex<Now>) -> MutexGuard<'_, Now> {
    now.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve_datagrams(socket: &UdpSocket, now: &Mutex<Now>, asked: &Events<Question>, ended: &AtomicBool) {
    thread::scope(|scope| {
        let mut buffer = [0; 1024];
        // Kept once they are open: a process that is just being started holds a closed one's port for a moment.
        let mut others = BTreeMap::new();
        while !ended.load(Ordering::Relaxed) {
            let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
            let question = Question::read(&buffer[..length], peer, false);
            asked.push(question.clone());
            let Now { mut dns_fault, zone } = lock(now).clone();
            loop {
                let right = || question.answer(&zone, usize::MAX);
                let send = |bytes: &[u8]| {
                    let _ = socket.send_to(bytes, peer);
                };
                match dns_fault {
                    DnsFault::Answers => send(&right()),
                    DnsFault::Silent => {}
                    DnsFault::Code(code) => send(&question.empty(u16::from(code))),
                    DnsFault::Late(time) => {
                        let (late, socket) = (right(), &socket);
                        scope.spawn(move || {
                            thread::sleep(time); // the fault itself, not a wait for anything
                            let _ = socket.send_to(&late, peer);
                        });
                    }
                    DnsFault::Twice => [right(), right()].iter().for_each(|bytes| send(bytes)),
                    DnsFault::Flood => {
                        let mut bytes = right();
                        for _ in 0..200 {
                            bytes[1] ^= 0x55;
                            send(&bytes);
                            bytes[1] ^= 0x55;
                        }
                        send(&bytes);
                    }
                    DnsFault::OneByOne => send(&question.answer(&zone, 1)),
                    DnsFault::Changed(change) => {
                        let mut bytes = right();
                        change(&mut bytes);
                        send(&bytes);
                    }
                    DnsFault::From(address) => {
                        let other = others
                            .entry(address)
                            .or_insert_with(|| UdpSocket::bind(address).expect("bind another address"));
                        let _ = other.send_to(&right(), peer);
                    }
                    DnsFault::Truncated(_) => send(&question.empty(TRUNCATED)),
                    DnsFault::Each(v4, v6) => {
                        dns_fault = if question.v6 { *v6 } else { *v4 };
                        continue;
                    }
                    DnsFault::WithEdns(so) => {
                        dns_fault = if question.room > PLAIN_BYTES { *so } else { DnsFault::Answers };
                        continue;
                    }
                }
                break;
            }
        }
    });
}

fn serve_stream(mut stream: TcpStream, now: &Mutex<Now>, asked: &Events<Question>, ended: &AtomicBool) {
    let _ = stream.set_read_timeout(Some(Duration::from_millis(50)));
    let Ok(peer) = stream.peer_addr() else { return };
    let (mut unread, mut buffer) = (Vec::new(), [0; 1024]);
    while !ended.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => unread.extend_from_slice(&buffer[..length]),
            Err(_) => {}
        }
        // Both questions may come over one connection.
        while let Some((length, rest)) = unread.split_first_chunk()
            && let Some(message) = rest.get(..usize::from(u16::from_be_bytes(*length)))
        {
            let question = Question::read(message, peer, true);
            unread.drain(..2 + message.len());
            asked.push(question.clone());
            let Now { dns_fault, zone } = lock(now).clone();
            let mut answer = question.answer(&zone, usize::MAX);
            if matches!(dns_fault, DnsFault::Truncated(OverTcp::Long)) {
                answer.resize(usize::from(u16::MAX), 0);
            }
            let bytes = [&(answer.len() as u16).to_be_bytes()[..], &answer].concat();
            let _ = match dns_fault {
                DnsFault::Silent | DnsFault::Truncated(OverTcp::Silent) => Ok(()),
                DnsFault::Truncated(OverTcp::Cut) => {
                    let _ = stream.write_all(&bytes[..bytes.len() / 2]);
                    return;
                }
                DnsFault::Truncated(OverTcp::Dribbles) => {
                    let (first, rest) = bytes.split_at(1);
                    [first].into_iter().chain(rest.chunks(8)).try_for_each(|piece| {
                        thread::sleep(Duration::from_millis(1)); // the fault itself
                        stream.write_all(piece)
                    })
                }
                _ => stream.write_all(&bytes),
            };
        }
    }
}

/// An answer's length without EDNS.
const PLAIN_BYTES: usize = 512;
const TRUNCATED: u16 = 0x0200;
const NO_NAME: u16 = 3;

const A: u16 = 1;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const OPT: u16 = 41;

/// Where the question of a message ends, and so the first record of an answer begins.
pub fn question_end(message: &[u8]) -> usize {
    let mut at = 12;
    while message[at] != 0 {
        at += 1 + usize::from(message[at]);
    }
    at + 5
}

/// A name as messages have it.
pub fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let length = |label: &str| u8::try_from(label.len()).expect("a short label");
    let mut wire: Vec<u8> = labels.flat_map(|label| [&[length(label)], label.as_bytes()].concat()).collect();
    wire.push(0);
    wire
}

/// A record, after its owner's name.
fn record(owner: &[u8], kind: u16, ttl_s: u32, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("a short record");
    let numbers = [kind.to_be_bytes(), 1u16.to_be_bytes()].concat();
    [owner, &numbers, &ttl_s.to_be_bytes(), &length.to_be_bytes(), data].concat()
}

/// One line of a zone.
struct Entry<'a> {
    owner: &'a str,
    ttl_s: u32,
    kind: u16,
    value: &'a str,
}

fn entries(zone: &str) -> Vec<Entry<'_>> {
    let entry = |line| {
        let words: Vec<&str> = str::split(line, ' ').collect();
        let [owner, ttl_s, kind, value] = words[..] else { panic!("'{line}' is no record") };
        let kind = match kind {
            "A" => A,
            "AAAA" => AAAA,
            "CNAME" => CNAME,
            "TXT" => TXT,
            _ => panic!("'{line}' is of no known kind"),
        };
        Entry { owner, ttl_s: ttl_s.parse().expect(line), kind, value }
    };
    zone.lines().filter(|line| !line.is_empty()).map(entry).collect()
}

impl Entry<'_> {
    fn data(&self) -> Vec<u8> {
        match (self.kind, self.value.parse()) {
            (A | AAAA, Ok(IpAddr::V4(address))) => address.octets().to_vec(),
            (A | AAAA, Ok(IpAddr::V6(address))) => address.octets().to_vec(),
            (CNAME, _) => wire(self.value),
            (TXT, _) => [&[self.value.len() as u8], self.value.as_bytes()].concat(),
            _ => panic!("'{}' is no address", self.value),
        }
    }
}

impl Question {
    /// Reads a query, which must be one as it should be.
    fn read(message: &[u8], peer: SocketAddr, tcp: bool) -> Question {
        let end = question_end(message);
        let (mut at, mut labels) = (12, Vec::new());
        while message[at] != 0 {
            let next = at + 1 + usize::from(message[at]);
            labels.push(String::from_utf8_lossy(&message[at + 1..next]).into_owned());
            at = next;
        }
        let number = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
        let (kind, class) = (number(end - 4), number(end - 2));
        assert!(matches!(kind, A | AAAA), "asked for {kind}");
        assert_eq!(class, 1, "the class");
        assert_eq!((number(2), number(4), number(6), number(8)), (0x0100, 1, 0, 0), "the header");
        let edns = number(10) == 1;
        let room = if edns {
            assert_eq!((message[end], number(end + 1)), (0, OPT), "the only other record");
            usize::from(number(end + 3))
        } else {
            PLAIN_BYTES
        };
        assert_eq!(message.len(), end + if edns { 11 } else { 0 }, "the length");
        let name = labels.join(".");
        let (v6, secret) = (kind == AAAA, (peer.port(), number(0)));
        let message = message[..end].to_vec();
        Question { at: Instant::now(), name, v6, tcp, room, secret, message }
    }

    /// An answer with these flags (of which the last four are the code) and no addresses.
    fn empty(&self, flags: u16) -> Vec<u8> {
        self.message_of(flags, &[])
    }

    /// The right answer, with so many aliases followed.
    fn answer(&self, zone: &str, aliases: usize) -> Vec<u8> {
        let zone = entries(zone);
        let of = |name: &str, kind: u16| {
            let name = name.to_owned();
            zone.iter().filter(move |entry| entry.owner.eq_ignore_ascii_case(&name) && entry.kind == kind)
        };
        // A ring of aliases is told to its end, and a little more.
        let (mut name, mut records) = (self.name.as_str(), Vec::new());
        while records.len() < aliases.min(16)
            && let Some(alias) = of(name, CNAME).next()
        {
            records.push(alias);
            name = alias.value;
        }
        let known = zone.iter().any(|entry| entry.owner.eq_ignore_ascii_case(name));
        if of(name, CNAME).next().is_none() {
            records.extend(of(name, if self.v6 { AAAA } else { A }));
            records.extend(of(name, TXT));
        }
        let bytes: Vec<Vec<u8>> = records
            .iter()
            .map(|entry| {
                let asked = entry.owner.eq_ignore_ascii_case(&self.name);
                let owner = if asked { vec![0xc0, 12] } else { wire(entry.owner) };
                record(&owner, entry.kind, entry.ttl_s, &entry.data())
            })
            .collect();
        let code = if known || aliases == 1 && !records.is_empty() { 0 } else { NO_NAME };
        let mut kept = bytes.len();
        loop {
            let flags = if kept < bytes.len() { code | TRUNCATED } else { code };
            let message = self.message_of(flags, &bytes[..kept]);
            if self.tcp || message.len() <= self.room {
                return message;
            }
            kept -= 1;
        }
    }

    /// A message in answer, with the start of the zone if there is no record, and as EDNS wants it.
    fn message_of(&self, flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
        let edns = self.room > PLAIN_BYTES;
        let mut message = self.message.clone();
        message[2..4].copy_from_slice(&(0x8180 | flags).to_be_bytes());
        message[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
        message[8..12].copy_from_slice(&[0, u8::from(records.is_empty()), 0, u8::from(edns)]);
        message.extend(records.concat());
        if records.is_empty() {
            message.extend(record(&[0], SOA, 60, &[0; 22]));
        }
        if edns {
            message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        }
        message
    }
}
