//! Datagrams to one destination: sent in bursts, and sent again when the network reports that they did not arrive.
//!
//! Nobody confirms a datagram. What can be known is what the network reports of datagrams that were sent before: that
//! nobody listens, that nobody answers for the address, that a link on the way takes smaller packets only. A report
//! comes late, after a second datagram or a hundredth, up to some three seconds later. It quotes the beginning of the
//! datagram, often just eight bytes, and routers limit the rate of their reports, so it cannot be told which other
//! datagrams met the same fate. What the reports may concern is therefore found by time: the ledger's positions are
//! the milliseconds at which datagrams were sent.

use core::ops::ControlFlow::{self, Break, Continue};

use rustix::event::PollFlags;

use super::{Down, Outcome, Over, Shipper};
use crate::error::{Result, Step};
use crate::limits::{
    LOST_LINE_BYTES_MAX, NEVER_MS, UDP_BURST, UDP_BURST_BYTES, UDP_BURST_MS, UDP_LAST_MS, UDP_MTU_REPEAT_MS,
    UDP_NEIGHBOUR_LOOK_MS, UDP_REPEAT_MS, UDP_REPORTS_MAX, UDP_SEND_TRIES,
};
use crate::line::Lost;
use crate::sys::time;
use crate::sys::wait::Awaited;
use crate::transport::udp::{Report, Sent, Udp};

/// What to wait for on a socket of datagrams: nothing but reports, which `poll` always tells. What the receiver sends
/// is left unread: to wait for that would be to wake up for it again and again.
const REPORTS: PollFlags = PollFlags::empty();

/// What is being done with a socket.
#[derive(Clone, Copy)]
enum State {
    /// Datagrams leave, one after the other.
    Burst,
    /// A burst is over, or the send buffer is full, which does not say when it has room again.
    Pause { until_ms: u64 },
    /// What was sent has not left the machine: the neighbour's address is asked for. Nothing more is sent meanwhile,
    /// because of what waits for an address the kernel drops the oldest.
    Neighbour,
    /// The ring has nothing more.
    Idle,
}

/// What follows: another state, or the end of the work with this socket.
type Next = ControlFlow<Over, State>;

/// A socket, and what was done with it.
struct Socket {
    udp: Udp,
    opened_ms: u64,
    /// When the last datagram was sent.
    sent_ms: Option<u64>,
    /// How many were sent without a pause of a burst's length in between. A large one counts for several.
    burst: u32,
    /// The last time that datagrams were sent again because they were too long for a link.
    narrowed: Option<Narrowed>,
}

/// Datagrams were sent again for this MTU.
#[derive(Clone, Copy)]
struct Narrowed {
    mtu: u32,
    at_ms: u64,
}

/// What became of a line.
enum Given {
    /// It left, with so many bytes.
    Sent(u32),
    /// It waits: there is no room for it now, or others are sent again before it.
    Waits,
}

impl Socket {
    /// When the receiver counts as reached, if nothing is reported until then.
    fn quiet_ms(&self) -> u64 {
        self.sent_ms.unwrap_or(self.opened_ms) + UDP_LAST_MS
    }
}

impl Shipper<'_> {
    #[inline(never)] // TCP's frames would be larger
    pub(super) fn ship_udp(&mut self) -> Result<Outcome> {
        loop {
            let error = match self.open_udp() {
                Ok(mut socket) => match self.serve_udp(&mut socket) {
                    Ok(Over::Done) => return Ok(Outcome::Done),
                    Ok(Over::Deadline) => {
                        let first = if socket.udp.holds_unsent() { self.first_reportable() } else { None };
                        return self.unconfirmed(first);
                    }
                    // The name has another address now.
                    Ok(Over::Closed) => continue,
                    Err(error) if error.is(Step::ReadKmsg) => return Err(error),
                    Err(error) => {
                        self.repeat_from(time::now_ms().saturating_sub(UDP_REPEAT_MS), None)?;
                        self.note_progress(None);
                        if self.down.tries == 0 {
                            self.down = Down::since(time::now_ms());
                        }
                        error
                    }
                },
                Err(_) if self.over(time::now_ms()) => return self.unconfirmed(None),
                Err(error) => error,
            };
            self.not_reached(error);
            if !self.pause() {
                return self.unconfirmed(None);
            }
        }
    }

    fn open_udp(&mut self) -> Result<Socket> {
        let mut to = self.target()?;
        let udp = Udp::open(&mut to)?;
        self.look_at_way(to.address);
        self.woken_ms = time::now_ms();
        self.begin_ledger(self.woken_ms);
        Ok(Socket { udp, opened_ms: self.woken_ms, sent_ms: None, burst: 0, narrowed: None })
    }

    /// Sends datagrams until something keeps it from it.
    fn serve_udp(&mut self, socket: &mut Socket) -> Result<Over> {
        let mut state = State::Burst;
        while !self.over(self.woken_ms) {
            let next = match state {
                State::Burst => self.send_burst(socket)?,
                State::Pause { until_ms } => self.wait_for_burst(socket, until_ms)?,
                State::Neighbour => self.wait_for_neighbour(socket)?,
                State::Idle => self.wait_for_records(socket)?,
            };
            match next {
                Continue(next) => state = next,
                Break(over) => return Ok(over),
            }
        }
        Ok(Over::Deadline)
    }

    /// Sends what there is, up to a burst. The clocks are read once for all of it: three calls more for each datagram
    /// would cost as much as it does.
    fn send_burst(&mut self, socket: &mut Socket) -> Result<Next> {
        let now = self.woken_ms;
        self.look_at_machine();
        if socket.sent_ms.is_none_or(|sent_ms| now >= sent_ms + UDP_BURST_MS) {
            socket.burst = 0;
        }
        let mut next = State::Pause { until_ms: now + UDP_BURST_MS };
        while socket.burst < UDP_BURST {
            if self.batch.is_empty() {
                self.fill(now, 1)?;
            }
            if self.batch.is_empty() && self.ring_empty {
                next = State::Idle;
            }
            if self.batch.is_empty() {
                break;
            }
            if self.names.is_old(now) {
                // A search takes its time: after it, the clocks are read again.
                return Ok(if self.has_moved() { Break(Over::Closed) } else { Continue(State::Burst) });
            }
            match self.send_line(socket)? {
                Given::Waits => break,
                Given::Sent(bytes) => socket.burst += 1 + bytes / UDP_BURST_BYTES,
            }
            // The first one goes alone: it has the kernel ask for the neighbour's address.
            if socket.sent_ms.replace(now).is_none() {
                return Ok(Continue(State::Neighbour));
            }
        }
        self.note_progress(Some(now.saturating_sub(UDP_REPEAT_MS)));
        Ok(Continue(next))
    }

    /// Sends the line that waits first; the batch is not empty.
    fn send_line(&mut self, socket: &mut Socket) -> Result<Given> {
        for _ in 0..UDP_SEND_TRIES {
            let Some(line) = self.batch.first_line() else { break };
            let bytes = line.len() + 1;
            match socket.udp.send(line) {
                Sent::Yes => {
                    self.batch.written(bytes);
                    self.note_sent();
                    return Ok(Given::Sent(bytes as u32));
                }
                Sent::Full => return Ok(Given::Waits),
                // Most likely said of one that was sent before.
                Sent::TooLong => {
                    if self.take_reports(socket)? {
                        return Ok(Given::Waits);
                    }
                }
                Sent::Broken(error) => return Err(error),
            }
        }
        self.say_too_large();
        Ok(Given::Waits)
    }

    /// The kernel refuses the first line again and again, and nothing else explains it: says so in its place.
    #[inline(never)] // its line would be part of the frame below every record
    fn say_too_large(&mut self) {
        let (Some(made_of), Some(line)) = (self.batch.first(), self.batch.first_line()) else { return };
        self.batch.written(line.len() + 1);
        let mut line = [0; LOST_LINE_BYTES_MAX];
        let lost = Lost { from: made_of.seq, to: made_of.seq, why: "too large for a datagram" };
        let len = lost.encode(self.encoder, &mut line, made_of.clock_us, self.wall);
        self.batch.keep_whole_lines();
        self.batch.push_front(&line[..len], made_of);
    }

    fn wait_for_burst(&mut self, socket: &mut Socket, until_ms: u64) -> Result<Next> {
        self.wait_udp(socket, false, until_ms)?;
        let waits = socket.udp.holds_unsent();
        Ok(Continue(if waits { State::Neighbour } else { State::Burst }))
    }

    fn wait_for_neighbour(&mut self, socket: &mut Socket) -> Result<Next> {
        // Nothing tells that the address is known: it is looked for.
        self.wait_for_burst(socket, self.woken_ms + UDP_NEIGHBOUR_LOOK_MS)
    }

    /// Waits for records, or ends.
    fn wait_for_records(&mut self, socket: &mut Socket) -> Result<Next> {
        let (now, quiet_ms) = (self.woken_ms, socket.quiet_ms());
        let mut until_ms = if now < quiet_ms { quiet_ms } else { NEVER_MS };
        if let Some(end) = self.life.end(now) {
            if self.say_farewell(end) {
                return Ok(Continue(State::Burst));
            }
            if now >= quiet_ms {
                if !socket.udp.holds_unsent() {
                    return Ok(Break(Over::Done));
                }
                until_ms = now + UDP_NEIGHBOUR_LOOK_MS;
            }
        }
        self.wait_udp(socket, true, until_ms)?;
        if self.woken_ms >= quiet_ms {
            self.reached_udp();
        }
        Ok(Continue(State::Burst))
    }

    /// Waits for reports and, if that is wanted, the ring.
    fn wait_udp(&mut self, socket: &mut Socket, ring: bool, until_ms: u64) -> Result<()> {
        let awaited = Awaited::new(socket.udp.fd(), REPORTS);
        let [events, _] = self.wait([awaited, Awaited::NONE], ring, until_ms);
        if events.contains(PollFlags::ERR) {
            self.take_reports(socket)?;
        }
        Ok(())
    }

    /// Takes what the network reports of datagrams that were sent before, all of it: what is left would wake up the
    /// shipper again. Returns whether there was something.
    ///
    /// Datagrams that were too long for a link are sent again by the same socket, and the kernel, which knows the
    /// link's MTU now, cuts them into fragments. Any other report is an error, and the socket is done with.
    fn take_reports(&mut self, socket: &mut Socket) -> Result<bool> {
        let mut narrowest: Option<u32> = None;
        for _ in 0..UDP_REPORTS_MAX {
            match socket.udp.report() {
                None => break,
                Some(Report::Failed(error)) => return Err(error),
                Some(Report::TooLong { mtu }) => {
                    narrowest = Some(narrowest.map_or(mtu, |other| other.min(mtu)));
                }
            }
        }
        let Some(mtu) = narrowest else { return Ok(false) };
        let now = time::now_ms();
        // Each datagram of a burst is reported. By then all of them have been sent again.
        let is_done = |done: Narrowed| mtu >= done.mtu && now < done.at_ms + UDP_MTU_REPEAT_MS;
        if !socket.narrowed.is_some_and(is_done) {
            socket.narrowed = Some(Narrowed { mtu, at_ms: now });
            self.repeat_too_long(now)?;
        }
        Ok(true)
    }

    /// Goes back to what was sent just now: a router that cannot pass on a datagram says so at once.
    fn repeat_too_long(&mut self, now: u64) -> Result<()> {
        let reportable = self.first_reportable();
        self.repeat_from(now.saturating_sub(UDP_MTU_REPEAT_MS), None)?;
        // What was sent before that can still be reported for another reason.
        if let Some(seq) = reportable {
            self.ledger.note(now.saturating_sub(UDP_REPEAT_MS), seq);
        }
        Ok(())
    }

    /// The first record whose datagram may still be reported.
    fn first_reportable(&self) -> Option<u64> {
        self.ledger.record_at(time::now_ms().saturating_sub(UDP_REPEAT_MS))
    }

    /// Nothing was reported for a while: as far as one can know, the receiver is there.
    fn reached_udp(&mut self) {
        self.news.stop();
        if self.down.tries > 0 || self.progress.reached_ms().is_none() {
            self.connected();
            self.pause_ms = 0;
            self.down = Down::since(time::now_ms());
        }
    }
}
