//! What listens on the host's loopback, where a guest finds it at 10.0.2.2, and what it got.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::sync::Arc;

use earlykmsg_tests::receiver::{Line, Lines, Tcp, TcpBehaviour, Udp};

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
    socket: Socket,
    lines: Arc<Lines>,
}

#[derive(Debug)]
enum Socket {
    Tcp(Tcp),
    Udp(Udp),
}

impl Receiver {
    /// Listens for TCP on 127.0.0.1, at a free port.
    ///
    /// # Errors
    /// None.
    pub fn tcp() -> Result<Receiver> {
        Ok(Receiver::tcp_at((Ipv4Addr::LOCALHOST, 0).into()))
    }

    /// Listens for TCP on ::1, which a guest finds at fec0::2.
    ///
    /// # Errors
    /// None.
    pub fn tcp6() -> Result<Receiver> {
        Ok(Receiver::tcp_at((Ipv6Addr::LOCALHOST, 0).into()))
    }

    /// Listens for datagrams on 127.0.0.1, at a free port.
    ///
    /// # Errors
    /// None.
    pub fn udp() -> Result<Receiver> {
        let udp = Udp::stock();
        Ok(Receiver { lines: Arc::clone(&udp.lines), socket: Socket::Udp(udp) })
    }

    /// As the protocol says.
    ///
    /// # Errors
    /// None.
    pub fn new(protocol: Protocol) -> Result<Receiver> {
        match protocol {
            Protocol::Tcp => Receiver::tcp(),
            Protocol::Udp => Receiver::udp(),
        }
    }

    fn tcp_at(address: SocketAddr) -> Receiver {
        let tcp = Tcp::at(address, TcpBehaviour::Reads);
        Receiver { lines: Arc::clone(&tcp.lines), socket: Socket::Tcp(tcp) }
    }

    fn address(&self) -> SocketAddr {
        match &self.socket {
            Socket::Tcp(tcp) => tcp.address,
            Socket::Udp(udp) => udp.address,
        }
    }

    /// The port, the same inside and outside of a guest.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address().port()
    }

    /// The destination as a guest's command line has it, such as `tcp://10.0.2.2:40001/`.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = match self.socket {
            Socket::Tcp(_) => "tcp",
            Socket::Udp(_) => "udp",
        };
        let host = if self.address().is_ipv6() { "[fec0::2]" } else { "10.0.2.2" };
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
    /// The first line or datagram that is no record, and why.
    pub fn records(&self) -> Result<Vec<Record>> {
        parse(&self.lines.items())
    }

    /// All bytes so far, for what is no stream of records.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        match &self.socket {
            Socket::Tcp(_) => self.streams().concat(),
            Socket::Udp(_) => self.lines.items().iter().flat_map(|line| line.bytes.clone()).collect(),
        }
    }

    /// The bytes of each connection so far, in the order in which the connections were made.
    #[must_use]
    pub fn streams(&self) -> Vec<Vec<u8>> {
        let Socket::Tcp(tcp) = &self.socket else { return Vec::new() };
        let mut streams = vec![Vec::new(); tcp.connections.len()];
        // Connections that come now are left to the next call.
        for line in self.lines.items().iter() {
            if let Some(stream) = line.connection.and_then(|connection| streams.get_mut(connection)) {
                stream.extend_from_slice(&line.bytes);
                stream.push(b'\n');
            }
        }
        for (connection, rest) in tcp.closed.items().iter() {
            if let Some(stream) = streams.get_mut(*connection) {
                stream.extend_from_slice(rest);
            }
        }
        streams
    }

    /// How many connections were made so far, and how many of them are open.
    #[must_use]
    pub fn connections(&self) -> (usize, usize) {
        let Socket::Tcp(tcp) = &self.socket else { return (0, 0) };
        let closed = tcp.closed.len(); // first: none is counted as closed that is not counted
        let made = tcp.connections.len();
        (made, made - closed)
    }

    /// Waits until the records satisfy a condition, and gives them.
    ///
    /// # Errors
    /// That they do not in time, with the last of them, or that one is none.
    pub fn wait_for(&self, timeout: Duration, condition: impl Fn(&[Record]) -> bool) -> Result<Vec<Record>> {
        let mut records: Vec<Record> = Vec::new();
        let found = self.lines.try_wait(timeout, |lines| match parse(&lines[records.len()..]) {
            Ok(new) => {
                records.extend(new);
                condition(&records).then_some(Ok(()))
            }
            Err(why) => Some(Err(why)),
        });
        match found {
            Some(result) => result.map(|()| records),
            None => {
                let last = records.iter().rev().take(5).rev().map(|record| format!("\n  {}", record.json));
                let last: String = last.collect();
                let count = records.len();
                Err(Error::new(format!(
                    "the receiver did not get what it waited for within {timeout:?}; it has {count} records, the last:{last}"
                )))
            }
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

    /// Waits until a line contains the text, whether it is a record or not.
    ///
    /// # Errors
    /// That none does in time.
    pub fn wait_bytes(&self, text: &str, timeout: Duration) -> Result<()> {
        let holds = |line: &Line| String::from_utf8_lossy(&line.bytes).contains(text);
        let found = self.lines.try_wait(timeout, |lines| lines.iter().any(holds).then_some(()));
        found.ok_or_else(|| Error::new(format!("nothing received with {text:?} within {timeout:?}")))
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
        let Socket::Tcp(tcp) = &self.socket else { return Err(Error::new("datagrams have no connection")) };
        let all = |closed: &[_]| (!closed.is_empty() && closed.len() == tcp.connections.len()).then_some(());
        tcp.closed.try_wait(timeout, all).ok_or_else(|| {
            let (made, open) = self.connections();
            Error::new(format!("{made} connections made, {open} still open after {timeout:?}"))
        })
    }
}

fn parse(lines: &[Line]) -> Result<Vec<Record>> {
    lines.iter().map(|line| Record::parse(&line.bytes, line.at, line.connection.unwrap_or(0))).collect()
}
