//! What shipping over TCP and over UDP have in common: the way to the receiver, and the end.

use rustix::fd::BorrowedFd;

use crate::logger::{error, info};

use super::connection_log::ConnectionLog;
use super::events::{Events, Ring};
use super::resolver::Resolver;
use super::source::{Filling, Source};
use super::{Buffers, Fds, Job, Outcome};
use crate::net::Target;
use crate::random;
use crate::sys::memory::{give_back, give_back_stack};
use crate::sys::time;
use crate::sys::wait::Awaited;
use earlykmsg::channel::Message;
use earlykmsg::config::endpoint::Endpoint;
use earlykmsg::delivery::lifetime::{End, Lifetime, Why};
use earlykmsg::delivery::outage::{Backoff, Outage};
use earlykmsg::delivery::progress::Progress;
use earlykmsg::error::{Error, Result, Step};

/// A shipper at work.
pub struct Shipper<'a> {
    /// What is to be sent.
    pub source: Source<'a>,
    /// What is waited for.
    pub events: Events,
    /// Where the receiver is.
    pub resolver: Resolver<'a>,
    /// What is logged of the way to it.
    pub log: ConnectionLog<'a>,
    /// The pause before the next attempt to reach it.
    pub backoff: Backoff,
    /// What the watcher sees.
    pub progress: Progress,
    endpoint: &'a Endpoint<'a>,
    farewell_is_logged: bool,
}

impl<'a> Shipper<'a> {
    /// Puts the parts together.
    #[inline(never)] // the parts are on the stack only while it runs: 8 KiB
    pub fn new(job: Job<'a>, lifetime: Lifetime, fds: &Fds, buffers: &'static mut Buffers) -> Shipper<'a> {
        let Job { endpoint, progress, .. } = job;
        let descriptors = [fds.kmsg, fds.signals, fds.watcher];
        Shipper {
            source: Source::new(job, fds.kmsg, &mut buffers.source),
            events: Events::new(descriptors, fds.sockets, endpoint.port, progress, lifetime),
            resolver: Resolver::new(endpoint, &mut buffers.answers),
            log: ConnectionLog::new(endpoint, progress),
            backoff: Backoff::NONE,
            progress,
            endpoint,
            farewell_is_logged: false,
        }
    }

    /// What to connect to now.
    pub fn target(&mut self) -> Result<&mut Target<'a>> {
        self.resolver.target(&mut self.events, &mut self.log)
    }

    /// Looks for a name again. Returns whether the address in use is no longer one of its addresses.
    pub fn has_moved(&mut self) -> bool {
        self.resolver.has_moved(&mut self.events, &mut self.log)
    }

    /// The receiver at this address is reached.
    pub fn reached(&mut self) {
        let now = time::now_ms();
        self.events.links.reached(self.resolver.target.address);
        self.events.lifetime.reached(now);
        self.resolver.reached();
        if self.progress.reached_ms().is_none() {
            self.progress.set_reached_ms(now);
        }
        self.log.connected(self.resolver.address(), now);
    }

    /// A socket is connected to the target: the tags may name its interface.
    pub fn opened(&mut self) {
        self.source.refresh_mac(self.resolver.target.address, self.resolver.answers);
    }

    /// Fails when the address that a socket sends from is gone: nothing that is sent back arrives.
    pub fn check_own_address(&mut self, socket: BorrowedFd<'_>) -> Result<()> {
        self.events.links.check_own_address(socket, self.resolver.answers)
    }

    /// Reads and encodes what is sent next: see [`Source::fill`].
    pub fn fill(&mut self, filling: Filling) -> Result<()> {
        if let Some(bytes) = self.events.kept_bytes.take() {
            self.source.open_kept(bytes);
        }
        self.source.fill(filling)
    }

    /// The receiver has all up to this position. Once these are all lines that pstore kept, the watcher is told.
    pub fn acknowledged(&mut self, position: u64) {
        if self.source.kept_have_arrived(position) {
            self.progress.set_kept_arrived();
            self.events.tell_watcher(Message::KeptLinesArrived);
        }
    }

    /// All is sent and arrived, and most likely nothing comes for a while: gives back what only work needs.
    pub fn rest(&mut self) {
        if self.source.batch.is_empty() {
            give_back(self.source.batch.room());
        }
        give_back_stack();
    }

    /// An attempt to reach the receiver failed.
    pub fn not_reached(&mut self, error: Error) {
        self.log.outage.tries = self.log.outage.tries.saturating_add(1);
        let address = self.resolver.address();
        let (lookup, answers) = self.resolver.lookup_and_answers();
        self.log.not_reached(error, address, lookup, &self.events.network_state, answers);
        if error == Step::Connect.failed(libc::ETIMEDOUT) {
            self.backoff.unanswered();
        }
        if error.step != Step::LookUpName {
            self.resolver.failed(self.events.links.restart_attempt_ms().is_some());
        }
    }

    /// A new outage begins now.
    pub fn begin_outage(&mut self) {
        self.log.outage = Outage::new(time::now_ms());
    }

    /// Waits before the next attempt, longer each time. Returns `false` when the end has come.
    pub fn pause(&mut self) -> bool {
        // To both families: the next address may be of the other one.
        self.events.links.listen();
        if self.resolver.is_trying_next() {
            return !self.is_over();
        }
        let until_ms = time::now_ms() + self.backoff.next_ms(random::number());
        loop {
            if self.is_over() {
                return false;
            }
            let until_ms = self.events.links.end_pause_ms().map_or(until_ms, |end_ms| end_ms.min(until_ms));
            if time::now_ms() >= until_ms {
                return true;
            }
            self.events.wait([Awaited::NONE; 2], Ring::Waits, until_ms);
        }
    }

    /// Whether the end has come, and its time is over.
    pub fn is_over(&mut self) -> bool {
        self.events.is_over(time::now_ms())
    }

    /// Logs that this is the end. Returns whether that was done now, and the line itself is to be sent.
    pub fn log_farewell(&mut self, end: End) -> bool {
        if self.farewell_is_logged {
            return false;
        }
        self.farewell_is_logged = true;
        let Some(why) = end.why.text() else { return false };
        let (endpoint, last) = (self.endpoint, self.source.last_seq());
        if end.why == Why::NeverReached {
            // The console is all that can show it. What was not sent is logged there too.
            error!("{endpoint}: {why}");
        } else {
            info!("{endpoint}: {why}, last seq sent {last}");
        }
        self.source.ring_is_empty = false;
        true
    }

    /// The time is over: logs what was sent and not acknowledged (from `unacknowledged` on), or not sent at all.
    pub fn end_unacknowledged(&mut self, unacknowledged: Option<u64>) -> Result<Outcome> {
        if let Some(end) = self.events.lifetime.end(time::now_ms()) {
            self.log_farewell(end);
        }
        let (records, is_complete) = self.source.give_up(unacknowledged)?;
        let Some(records) = records else { return Ok(Outcome::Done) };
        let endpoint = self.endpoint;
        let more = if is_complete { "" } else { ", and more that were written meanwhile" };
        error!("{endpoint}: {records}, not acknowledged by the receiver{more}");
        Ok(Outcome::Unacknowledged)
    }
}
