//! What is logged of the way to the receiver: that it is reached, that it is lost, and that it is not reached for long.

use core::fmt::{self, Display};

use crate::logger::{info, warn};

use crate::net::link_monitor::describe_network;
use crate::sys::time;
use earlykmsg::address::Address;
use earlykmsg::config::endpoint::{Endpoint, Host};
use earlykmsg::delivery::outage::Outage;
use earlykmsg::delivery::progress::Progress;
use earlykmsg::error::{Error, Step};
use earlykmsg::limits::{ANSWERS_BYTES, NETWORK_TEXT_BYTES_MAX};
use earlykmsg::names::lookup::Lookup;
use earlykmsg::rate_limit::RateLimit;
use earlykmsg::text::Quoted;

/// Logs of one receiver.
pub struct ConnectionLog<'a> {
    endpoint: &'a Endpoint<'a>,
    progress: Progress,
    limit: RateLimit,
    /// The time in which the receiver is not reached.
    pub outage: Outage,
}

impl<'a> ConnectionLog<'a> {
    /// Nothing was tried yet.
    pub fn new(endpoint: &'a Endpoint<'a>, progress: Progress) -> ConnectionLog<'a> {
        ConnectionLog { endpoint, progress, limit: RateLimit::new(), outage: Outage::new(time::now_ms()) }
    }

    /// The receiver is reached.
    pub fn connected(&mut self, address: Option<Address>, now_ms: u64) {
        if self.limit.allows(now_ms) {
            let (endpoint, at) = (self.endpoint, self.at(address));
            match self.outage.tries {
                0 => info!("connected to {endpoint}{at}"),
                tries => info!("connected to {endpoint}{at}, failed tries before: {tries}"),
            }
        }
        self.outage.tries = 0;
    }

    /// A connection broke.
    pub fn lost(&mut self, error: Error) {
        if self.limit.allows(time::now_ms()) {
            warn!("connection to {} lost: {error}", self.endpoint);
        }
    }

    /// Logs, when it is time for it, that the receiver is not reached, and why.
    pub fn not_reached(
        &mut self,
        error: Error,
        address: Option<Address>,
        lookup: &Lookup<'_>,
        network_state: &[u8],
        answers: &mut [u8; ANSWERS_BYTES],
    ) {
        let now = time::now_ms();
        if !self.outage.is_report_due(now) {
            return;
        }
        let what = match self.progress.reached_ms() {
            None => "network not up after",
            Some(_) => "receiver not reached for",
        };
        let seconds = (now - self.outage.since_ms) / 1_000;
        let at = self.at(address.filter(|_| error.step != Step::LookUpName));
        let servers = NameServers { lookup, is_used: matches!(self.endpoint.host, Host::Name(_)) };
        let mut network = heapless::String::<NETWORK_TEXT_BYTES_MAX>::new();
        describe_network(&mut network, answers);
        let (endpoint, tries) = (self.endpoint, self.outage.tries);
        let separator = if network_state.is_empty() { "" } else { "; " };
        let state = Quoted(network_state);
        warn!(
            "{what} {seconds} s: {endpoint}{at}: {error}{servers}; {tries} tries{network}{separator}{state}"
        );
    }

    /// Where a name led.
    fn at(&self, address: Option<Address>) -> At {
        At(address.filter(|_| matches!(self.endpoint.host, Host::Name(_))))
    }
}

/// ` at ADDRESS`, or nothing.
struct At(Option<Address>);

impl Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => write!(f, " at {address}"),
            None => Ok(()),
        }
    }
}

/// `; name servers: …`, where names are looked up.
struct NameServers<'a> {
    lookup: &'a Lookup<'a>,
    is_used: bool,
}

impl Display for NameServers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_used { write!(f, "; name servers: {}", self.lookup) } else { Ok(()) }
    }
}
