//! What listens on the host's loopback, where a guest finds it at 10.0.2.2, and what it got.

use core::net::{Ipv6Addr, SocketAddr};
use core::time::Duration;

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
pub enum Receiver {
    /// Lines on connections.
    Tcp(Tcp),
    /// A record a datagram.
    Udp(Udp),
}

impl Receiver {
    /// Listens for TCP on 127.0.0.1, at a free port.
    #[must_use]
    pub fn tcp() -> Receiver {
        Receiver::Tcp(Tcp::new(TcpBehaviour::Reads))
    }

    /// Listens for TCP on ::1, which a guest finds at fec0::2.
    #[must_use]
    pub fn tcp6() -> Receiver {
        Receiver::Tcp(Tcp::at((Ipv6Addr::LOCALHOST, 0).into(), TcpBehaviour::Reads))
    }

    /// Listens for datagrams on 127.0.0.1, at a free port, with room for all that come while others have the processor.
    #[must_use]
    pub fn udp() -> Receiver {
        Receiver::Udp(Udp::new())
    }

    /// As the protocol says.
    #[must_use]
    pub fn new(protocol: Protocol) -> Receiver {
        match protocol {
            Protocol::Tcp => Receiver::tcp(),
            Protocol::Udp => Receiver::udp(),
        }
    }

    fn address(&self) -> SocketAddr {
        match self {
            Receiver::Tcp(tcp) => tcp.address,
            Receiver::Udp(udp) => udp.address,
        }
    }

    fn lines(&self) -> &Lines {
        match self {
            Receiver::Tcp(tcp) => &tcp.lines,
            Receiver::Udp(udp) => &udp.lines,
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
        let scheme = match self {
            Receiver::Tcp(_) => "tcp",
            Receiver::Udp(_) => "udp",
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
        self.parse(&self.lines().items())
    }

    /// These lines as records, if all connections that have ended did so with a whole line.
    fn parse(&self, lines: &[Line]) -> Result<Vec<Record>> {
        if let Receiver::Tcp(tcp) = self
            && let Some(part) = tcp.unfinished.items().first()
        {
            let text = String::from_utf8_lossy(&part.bytes);
            return Err(Error::new(format!("a connection ended within a line: {text}")));
        }
        let record = |line: &Line| Record::parse(&line.bytes, line.at, line.connection.unwrap_or_default());
        lines.iter().map(record).collect()
    }

    /// All bytes so far, for what is no stream of records: those of each connection, one after the other.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.streams().concat()
    }

    /// The bytes of each connection so far, in the order in which the connections were made; of datagrams, all.
    #[must_use]
    pub fn streams(&self) -> Vec<Vec<u8>> {
        let tcp = match self {
            Receiver::Tcp(tcp) => tcp,
            Receiver::Udp(udp) => {
                return vec![udp.lines.items().iter().flat_map(|line| line.bytes.clone()).collect()];
            }
        };
        // A line can only be there after its connection.
        let (lines, unfinished) = (tcp.lines.items(), tcp.unfinished.items());
        let mut streams = vec![Vec::new(); tcp.connections.len()];
        let mut add = |line: &Line, end: &[u8]| {
            streams[line.connection.unwrap_or_default()].extend_from_slice(&[&line.bytes, end].concat());
        };
        lines.iter().for_each(|line| add(line, b"\n"));
        unfinished.iter().for_each(|part| add(part, b""));
        streams
    }

    /// How many connections were made so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        match self {
            Receiver::Tcp(tcp) => tcp.connections.len(),
            Receiver::Udp(_) => 0,
        }
    }

    /// Waits until the records satisfy a condition, and gives them.
    ///
    /// # Errors
    /// That they do not in time, with the last of them, or that one is none.
    pub fn wait_for(&self, timeout: Duration, condition: impl Fn(&[Record]) -> bool) -> Result<Vec<Record>> {
        let mut records: Vec<Record> = Vec::new();
        let met = self.lines().try_wait(timeout, |lines| match self.parse(&lines[records.len()..]) {
            Ok(new) => {
                records.extend(new);
                condition(&records).then_some(Ok(()))
            }
            Err(why) => Some(Err(why)),
        });
        match met {
            Some(met) => met.map(|()| records),
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

    /// Waits until a line or a datagram contains the text, whether it is a record or not.
    ///
    /// # Errors
    /// That none does in time.
    pub fn wait_bytes(&self, text: &str, timeout: Duration) -> Result<()> {
        let holds = |lines: &[Line]| lines.iter().any(|line| line.holds(text)).then_some(());
        let nothing = || Error::new(format!("nothing received with {text:?} within {timeout:?}"));
        self.lines().try_wait(timeout, holds).ok_or_else(nothing)
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
        let Receiver::Tcp(tcp) = self else { return Err(Error::new("datagrams have no connections")) };
        let all = |closed: &[usize]| {
            let made = tcp.connections.len();
            (made > 0 && closed.len() == made).then_some(())
        };
        tcp.closed.try_wait(timeout, all).ok_or_else(|| {
            let (made, closed) = (tcp.connections.len(), tcp.closed.len());
            Error::new(format!("{made} connections made, {closed} of them closed after {timeout:?}"))
        })
    }
}
