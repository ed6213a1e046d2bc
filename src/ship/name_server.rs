//! The sockets to the name server that is asked: questions by datagram, and over TCP those whose answer was cut.

use rustix::event::PollFlags;
use rustix::fd::BorrowedFd;
use rustix::io::{Errno, read};

use crate::net::Target;
use crate::net::tcp::Tcp;
use crate::net::udp::{Sent, Udp};
use crate::random;
use crate::sys::fds::read_into;
use crate::sys::wait::Awaited;
use crate::sys::{failed, time};
use earlykmsg::address::Address;
use earlykmsg::error::{Errno as Number, Result, Step};
use earlykmsg::limits::{ANSWERS_BYTES, DNS_ANSWER_BYTES_MAX, NAME_PORT};
use earlykmsg::names::lookup::{Family, Lookup, Transport};
use earlykmsg::wire::dns::{QueryBytes, without_tcp_length};

/// The name server that is asked.
pub struct NameServer {
    server: Target<'static>,
    udp: Option<Udp>,
    tcp: Option<TcpQuery>,
    query: QueryBytes,
}

/// A query over a connection of its own.
struct TcpQuery {
    tcp: Tcp,
    family: Family,
    state: TcpQueryState,
}

enum TcpQueryState {
    /// The connection is not established yet.
    Connecting,
    /// The query was sent; so many bytes of its answer have come.
    Receiving(usize),
}

impl NameServer {
    /// None yet.
    pub fn new() -> NameServer {
        let address = Address::new([0; 4]);
        let server = Target { address, scope: b"", port: NAME_PORT };
        NameServer { server, udp: None, tcp: None, query: QueryBytes::new() }
    }

    /// Goes on with another one.
    pub fn connect(&mut self, server: Address, lookup: &mut Lookup<'_>) {
        self.server.address = server;
        self.tcp = None;
        match Udp::open(&mut self.server) {
            Ok(udp) => self.udp = Some(udp),
            Err(error) => self.udp_failed(error.errno.0, lookup),
        }
    }

    /// Asks by datagram.
    pub fn ask_udp(&mut self, family: Family, lookup: &mut Lookup<'_>) {
        lookup.write_query(family, random::number() as u16, &mut self.query);
        if let Some(udp) = &self.udp
            && let Sent::Broken(error) = udp.send([without_tcp_length(&self.query)])
        {
            self.udp_failed(error.errno.0, lookup);
        }
    }

    /// Asks over TCP, once there is a connection.
    pub fn ask_tcp(&mut self, family: Family, lookup: &mut Lookup<'_>) {
        match Tcp::begin(&mut self.server) {
            Ok(tcp) => self.tcp = Some(TcpQuery { tcp, family, state: TcpQueryState::Connecting }),
            Err(error) => self.tcp_failed(error.errno.0, lookup),
        }
    }

    fn udp_failed(&mut self, errno: i32, lookup: &mut Lookup<'_>) {
        self.udp = None;
        lookup.failed(Transport::Udp, errno);
    }

    fn tcp_failed(&mut self, errno: i32, lookup: &mut Lookup<'_>) {
        self.tcp = None;
        lookup.failed(Transport::Tcp, errno);
    }

    /// Whether an answer is being gathered over TCP.
    pub fn is_asked_over_tcp(&self) -> bool {
        self.tcp.is_some()
    }

    /// What to wait for: an answer to a datagram, and the next step over TCP.
    pub fn awaited(&self) -> [Awaited<'_>; 2] {
        let tcp = self.tcp.as_ref().map_or(Awaited::NONE, |query| {
            let interest = match query.state {
                TcpQueryState::Connecting => PollFlags::OUT,
                TcpQueryState::Receiving(_) => PollFlags::IN,
            };
            Awaited::new(query.tcp.fd(), interest)
        });
        [Awaited::input(self.udp.as_ref().map(Udp::fd)), tcp]
    }

    /// Takes what has come. Answers over TCP are gathered at the start of the buffer, datagrams go behind.
    pub fn receive(
        &mut self,
        tcp_is_ready: bool,
        lookup: &mut Lookup<'_>,
        answers: &mut [u8; ANSWERS_BYTES],
    ) {
        let (gathered, datagram) = answers.split_at_mut(ANSWERS_BYTES - DNS_ANSWER_BYTES_MAX);
        if let Some(udp) = &self.udp {
            match read_into(udp.fd(), datagram) {
                Ok(message) => lookup.answer(time::now_ms(), message, Transport::Udp),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => self.udp_failed(errno.raw_os_error(), lookup),
            }
        }
        if tcp_is_ready && let Some(query) = &mut self.tcp {
            match query.step(&mut self.query, lookup, gathered) {
                Ok(TcpStep::Pending) => {}
                Ok(TcpStep::Answered(len)) => {
                    let message = gathered.get(TCP_LENGTH_BYTES..len).unwrap_or_default();
                    lookup.answer(time::now_ms(), message, Transport::Tcp);
                    self.tcp = None;
                }
                Err(error) => self.tcp_failed(error.errno.0, lookup),
            }
        }
    }
}

/// The length that stands before a message over TCP.
const TCP_LENGTH_BYTES: usize = 2;

enum TcpStep {
    Pending,
    /// The answer is complete, or fills the buffer: so many bytes with its length.
    Answered(usize),
}

impl TcpQuery {
    /// The connection is ready for its next step.
    fn step(
        &mut self,
        bytes: &mut QueryBytes,
        lookup: &mut Lookup<'_>,
        gathered: &mut [u8],
    ) -> Result<TcpStep> {
        match &mut self.state {
            TcpQueryState::Connecting => {
                self.tcp.connected()?;
                lookup.write_query(self.family, 0, bytes);
                // The send buffer is empty: it takes all of it.
                self.tcp.send(bytes)?;
                self.state = TcpQueryState::Receiving(0);
                Ok(TcpStep::Pending)
            }
            TcpQueryState::Receiving(len) => {
                if !receive(self.tcp.fd(), gathered, len)? {
                    return Ok(TcpStep::Pending);
                }
                Ok(TcpStep::Answered(*len))
            }
        }
    }
}

/// Gathers an answer, up to what there is room for. Returns whether that is all of it.
fn receive(socket: BorrowedFd<'_>, gathered: &mut [u8], len: &mut usize) -> Result<bool> {
    match read(socket, gathered.get_mut(*len..).unwrap_or_default()) {
        Ok(0) => Err(Step::Receive.failed(Number::NONE)),
        Ok(more) => {
            *len += more;
            let complete = TCP_LENGTH_BYTES + usize::from(u16::from_be_bytes([gathered[0], gathered[1]]));
            Ok(*len >= TCP_LENGTH_BYTES && *len >= complete.min(gathered.len()))
        }
        Err(Errno::AGAIN | Errno::INTR) => Ok(false),
        Err(errno) => Err(failed(Step::Receive, errno)),
    }
}
