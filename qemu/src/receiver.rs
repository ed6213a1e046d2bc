//! What listens on the host's loopback, where a guest finds it at 10.0.2.2, and what it got.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::record::{Record, all_received, ring_records};

/// How records travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Lines on connections.
    Tcp,
    /// A record a datagram.
    Udp,
}

/// A receiver that keeps what it gets, over any number of connections.
#[derive(Debug)]
pub struct Receiver {
    protocol: Protocol,
    address: SocketAddr,
    inbox: Arc<Inbox>,
}

#[derive(Debug, Default)]
struct Inbox {
    mail: Mutex<Mail>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Mail {
    pieces: Vec<Piece>,
    connections: usize,
    open: Vec<(usize, TcpStream)>,
    closing: bool,
}

/// A line or a datagram.
#[derive(Clone, Debug)]
struct Piece {
    at: Instant,
    connection: usize,
    bytes: Vec<u8>,
}

impl Receiver {
    /// Listens for TCP on 127.0.0.1, at a free port.
    ///
    /// # Errors
    /// That no port can be had.
    pub fn tcp() -> Result<Receiver> {
        Receiver::tcp_at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Listens for TCP on ::1, which a guest finds at fec0::2.
    ///
    /// # Errors
    /// That no port can be had.
    pub fn tcp6() -> Result<Receiver> {
        Receiver::tcp_at((Ipv6Addr::LOCALHOST, 0).into())
    }

    /// Listens for datagrams on 127.0.0.1, at a free port.
    ///
    /// # Errors
    /// That no port can be had.
    pub fn udp() -> Result<Receiver> {
        let socket =
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::at("unable to bind for UDP"))?;
        let address = socket.local_addr().map_err(Error::at("unable to learn the port"))?;
        let inbox = Arc::new(Inbox::default());
        thread::spawn({
            let inbox = Arc::clone(&inbox);
            move || inbox.take_datagrams(&socket)
        });
        Ok(Receiver { protocol: Protocol::Udp, address, inbox })
    }

    /// As the protocol says.
    ///
    /// # Errors
    /// That no port can be had.
    pub fn new(protocol: Protocol) -> Result<Receiver> {
        match protocol {
            Protocol::Tcp => Receiver::tcp(),
            Protocol::Udp => Receiver::udp(),
        }
    }

    fn tcp_at(address: SocketAddr) -> Result<Receiver> {
        let listener = TcpListener::bind(address).map_err(Error::at("unable to listen for TCP"))?;
        let address = listener.local_addr().map_err(Error::at("unable to learn the port"))?;
        let inbox = Arc::new(Inbox::default());
        thread::spawn({
            let inbox = Arc::clone(&inbox);
            move || inbox.accept(&listener)
        });
        Ok(Receiver { protocol: Protocol::Tcp, address, inbox })
    }

    /// The port, the same inside and outside of a guest.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The destination as a guest's command line has it, such as `tcp://10.0.2.2:40001/`.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        let host = if self.address.is_ipv6() { "[fec0::2]" } else { "10.0.2.2" };
        format!("{scheme}://{host}:{}/", self.port())
    }

    /// The kernel's word that makes this a destination.
    #[must_use]
    pub fn word(&self) -> String {
        format!("talos.logging.kernel={}", self.url())
    }

    /// All records so far, each checked to be what a receiver must get.
    ///
    /// # Errors
    /// The first piece that is no record, and why.
    pub fn records(&self) -> Result<Vec<Record>> {
        parse(&self.inbox.lock().pieces)
    }

    /// All bytes so far, for what is no stream of records.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.inbox.lock().pieces.iter().flat_map(|piece| piece.bytes.clone()).collect()
    }

    /// The bytes of each connection so far, in the order in which the connections were made.
    #[must_use]
    pub fn streams(&self) -> Vec<Vec<u8>> {
        let mail = self.inbox.lock();
        let mut streams = vec![Vec::new(); mail.connections];
        for piece in &mail.pieces {
            streams[piece.connection].extend_from_slice(&piece.bytes);
        }
        streams
    }

    /// How many connections were made so far, and how many of them are open.
    #[must_use]
    pub fn connections(&self) -> (usize, usize) {
        let mail = self.inbox.lock();
        (mail.connections, mail.open.len())
    }

    /// Waits until the records satisfy a condition, and gives them.
    ///
    /// # Errors
    /// That they do not in time, with the last of them, or that one is none.
    pub fn wait_for(&self, timeout: Duration, condition: impl Fn(&[Record]) -> bool) -> Result<Vec<Record>> {
        let deadline = Instant::now() + timeout;
        let mut records: Vec<Record> = Vec::new();
        let mut mail = self.inbox.lock();
        loop {
            records.extend(parse(&mail.pieces[records.len()..])?);
            if condition(&records) {
                return Ok(records);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let last = records.iter().rev().take(5).rev().map(|record| format!("\n  {}", record.json));
                let last: String = last.collect();
                let count = records.len();
                return Err(Error::new(format!(
                    "the receiver did not get what it waited for within {timeout:?}; it has {count} records, the last:{last}"
                )));
            }
            mail = self.inbox.wait(mail, left);
        }
    }

    /// Waits until a record's text contains the given one, and gives all records so far.
    ///
    /// # Errors
    /// As [`Receiver::wait_for`].
    pub fn wait_text(&self, text: &str, timeout: Duration) -> Result<Vec<Record>> {
        self.wait_for(timeout, |records| records.iter().any(|record| record.msg.contains(text)))
            .map_err(Error::at(format!("no record with {text:?}")))
    }

    /// Waits until a piece contains the text, whether it is a record or not.
    ///
    /// # Errors
    /// That none does in time.
    pub fn wait_bytes(&self, text: &str, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        let mut mail = self.inbox.lock();
        while !mail.pieces.iter().any(|piece| String::from_utf8_lossy(&piece.bytes).contains(text)) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::new(format!("nothing received with {text:?} within {timeout:?}")));
            }
            mail = self.inbox.wait(mail, left);
        }
        Ok(())
    }

    /// Waits until everything is here that a guest sent of its own ring (`send_ring`, to another receiver),
    /// and claims that nothing of it is missing, repeated, out of order or different. Gives the records.
    ///
    /// # Errors
    /// What is missing or differs.
    pub fn wait_whole_ring(&self, ring: &Receiver, timeout: Duration) -> Result<Vec<Record>> {
        ring.wait_closed(timeout)?;
        let ring = ring_records(&ring.bytes())?;
        let last = ring.last().ok_or_else(|| Error::new("the guest's ring is empty"))?.seq;
        let records = self.wait_for(timeout, |records| records.iter().any(|record| record.seq >= last))?;
        all_received(&ring, &records)?;
        Ok(records)
    }

    /// Waits until all connections so far, at least one, were closed by the sender.
    ///
    /// # Errors
    /// That one is still open.
    pub fn wait_closed(&self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        let mut mail = self.inbox.lock();
        while mail.connections == 0 || !mail.open.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let (made, open) = (mail.connections, mail.open.len());
                return Err(Error::new(format!(
                    "{made} connections made, {open} still open after {timeout:?}"
                )));
            }
            mail = self.inbox.wait(mail, left);
        }
        Ok(())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut mail = self.inbox.lock();
        mail.closing = true;
        for (_, stream) in mail.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(mail);
        // Something to wake up for.
        match self.protocol {
            Protocol::Tcp => drop(TcpStream::connect(self.address)),
            Protocol::Udp => {
                let _ = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|s| s.send_to(&[], self.address));
            }
        }
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, mail: MutexGuard<'a, Mail>, at_most: Duration) -> MutexGuard<'a, Mail> {
        self.changed.wait_timeout(mail, at_most).unwrap_or_else(PoisonError::into_inner).0
    }

    fn accept(self: &Arc<Inbox>, listener: &TcpListener) {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let mut mail = self.lock();
            if mail.closing {
                return;
            }
            let connection = mail.connections;
            mail.connections += 1;
            if let Ok(handle) = stream.try_clone() {
                mail.open.push((connection, handle));
            }
            drop(mail);
            let inbox = Arc::clone(self);
            thread::spawn(move || {
                inbox.take_lines(connection, stream);
                inbox.lock().open.retain(|(open, _)| *open != connection);
                inbox.changed.notify_all();
            });
        }
    }

    fn take_lines(&self, connection: usize, stream: impl Read) {
        let mut lines = BufReader::with_capacity(64 * 1024, stream);
        loop {
            let mut bytes = Vec::new();
            match lines.read_until(b'\n', &mut bytes) {
                Ok(1..) => self.put(Piece { at: Instant::now(), connection, bytes }),
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return,
            }
        }
    }

    fn take_datagrams(&self, socket: &UdpSocket) {
        let mut bytes = vec![0; 65536];
        while let Ok(count) = socket.recv(&mut bytes) {
            if self.lock().closing {
                return;
            }
            self.put(Piece { at: Instant::now(), connection: 0, bytes: bytes[..count].to_vec() });
        }
    }

    fn put(&self, piece: Piece) {
        self.lock().pieces.push(piece);
        self.changed.notify_all();
    }
}

fn parse(pieces: &[Piece]) -> Result<Vec<Record>> {
    pieces.iter().map(|piece| Record::parse(&piece.bytes, piece.at, piece.connection)).collect()
}
