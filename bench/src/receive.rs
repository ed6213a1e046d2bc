//! Who listens: it takes what comes as fast as it comes and remembers when.

use core::time::Duration;
use std::time::Instant;

use earlykmsg_tests::receiver::{Line, Lines, Tcp, TcpBehaviour, Udp};

/// How records travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// Not at all.
    None,
    /// As a stream of lines.
    Tcp,
    /// As a stream of syslog messages, each with its length.
    Syslog,
    /// Each alone.
    Udp,
}

/// A listener on 127.0.0.1 and all that it got.
#[derive(Debug)]
pub enum Receiver {
    /// Of a sender that sends nothing.
    None,
    /// Of a stream.
    Tcp(Tcp),
    /// Of records that come each alone, with room for all of them.
    Udp(Udp),
}

/// Where a reader of the lines stands: so many came before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place(usize);

impl Receiver {
    /// Listens.
    #[must_use]
    pub fn new(transport: Transport) -> Receiver {
        match transport {
            Transport::None => Receiver::None,
            Transport::Tcp => Receiver::Tcp(Tcp::new(TcpBehaviour::ReadsMuch)),
            Transport::Syslog => Receiver::Tcp(Tcp::syslog(TcpBehaviour::ReadsMuch)),
            Transport::Udp => Receiver::Udp(Udp::new()),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Receiver::None => None,
            Receiver::Tcp(tcp) => Some(tcp.address.port()),
            Receiver::Udp(udp) => Some(udp.address.port()),
        }
    }

    fn lines(&self) -> Option<&Lines> {
        match self {
            Receiver::None => None,
            Receiver::Tcp(tcp) => Some(&tcp.lines),
            Receiver::Udp(udp) => Some(&udp.lines),
        }
    }

    /// The end of what has come.
    #[must_use]
    pub fn now(&self) -> Place {
        Place(self.lines().map_or(0, Lines::len))
    }

    /// Waits until a line with `text` has come after `place`, and says when; none when it did not in time.
    #[must_use]
    pub fn wait(&self, place: Place, text: &str, within: Duration) -> Option<Instant> {
        let mut looked = place.0;
        self.lines()?.try_wait(within, |lines: &[Line]| {
            let new = &lines[core::mem::replace(&mut looked, lines.len())..];
            new.iter().find(|line| line.holds(text)).map(|line| line.at)
        })
    }

    /// How many lines with `text` came since `place`.
    #[must_use]
    pub fn count(&self, place: Place, text: &str) -> usize {
        let count = |lines: &Lines| lines.items()[place.0..].iter().filter(|line| line.holds(text)).count();
        self.lines().map_or(0, count)
    }
}
