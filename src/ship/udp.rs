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

use super::Outcome;
use super::events::Ring;
use super::shipper::Shipper;
use super::source::{Filling, Source};
use crate::logger::warn;
use crate::net::udp::{Report, Sent, Udp};
use crate::sys::time;
use crate::sys::wait::Awaited;
use earlykmsg::delivery::outage::Backoff;
use earlykmsg::error::Result;
use earlykmsg::limits::{
    NEVER_MS, UDP_BURST, UDP_BURST_BYTES, UDP_BURST_MS, UDP_LAST_MS, UDP_MTU_REPEAT_MS,
    UDP_NEIGHBOUR_LOOK_MS, UDP_REPEAT_MS, UDP_REPORTS_MAX, UDP_SEND_TRIES,
};
use earlykmsg::line::{Fate, Loss};
use earlykmsg::pstore::noted_line;

/// What to wait for on a socket of datagrams: nothing but reports, which `poll` always tells. What the receiver sends
/// is dropped before a burst: to wait for that would be to wake up for it again and again.
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

/// How the work with a socket ended. (An error is the receiver's or the network's, unless
/// [`Error::is_of_kernel_log`](earlykmsg::error::Error::is_of_kernel_log).)
enum Ended {
    /// The shipper's own end: everything is sent.
    Done,
    /// The shipper's own end: its time is over.
    Deadline,
    /// The name has another address now.
    Moved,
}

/// What follows: another state, or the end of the work with this socket.
type Next = ControlFlow<Ended, State>;

/// A socket, and what was done with it.
struct Socket {
    udp: Udp,
    opened_ms: u64,
    /// When it was last seen that nothing is reported. Whatever is found later was sent no longer than [`UDP_REPEAT_MS`]
    /// before that, even if the shipper has waited for a processor since.
    unreported_ms: u64,
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

/// What became of the lines that wait.
enum Given {
    /// One or more left.
    Sent,
    /// They wait: there is no room for them now, or others are sent again before them.
    Waits,
}

impl Socket {
    /// When the receiver counts as reached, if nothing is reported until then.
    fn quiet_ms(&self) -> u64 {
        self.sent_ms.unwrap_or(self.opened_ms) + UDP_LAST_MS
    }

    /// When the first datagram was sent that may still be reported.
    fn reportable_ms(&self) -> u64 {
        self.unreported_ms.saturating_sub(UDP_REPEAT_MS)
    }
}

/// Ships until the end of the shipper's lifetime.
pub fn ship(shipper: &mut Shipper<'_>) -> Result<Outcome> {
    loop {
        let error = match open(shipper) {
            Ok(mut socket) => match serve(shipper, &mut socket) {
                Ok(Ended::Done) => return Ok(Outcome::Done),
                Ok(Ended::Deadline) => {
                    let first =
                        if socket.udp.holds_unsent() { first_reportable(shipper, &socket) } else { None };
                    return shipper.end_unacknowledged(first);
                }
                // The name has another address now.
                Ok(Ended::Moved) => continue,
                Err(error) if error.is_of_kernel_log() => return Err(error),
                Err(error) => {
                    shipper.source.rewind_to(socket.reportable_ms(), None)?;
                    shipper.source.note_progress(None);
                    if shipper.log.outage.tries == 0 {
                        shipper.begin_outage();
                    }
                    error
                }
            },
            Err(_) if shipper.is_over() => return shipper.end_unacknowledged(None),
            Err(error) => error,
        };
        shipper.not_reached(error);
        if !shipper.pause() {
            return shipper.end_unacknowledged(None);
        }
    }
}

fn open(shipper: &mut Shipper<'_>) -> Result<Socket> {
    let udp = Udp::open(shipper.target()?)?;
    shipper.opened();
    let now = time::now_ms();
    shipper.events.woken_ms = now;
    shipper.source.ledger.clear();
    Ok(Socket { udp, opened_ms: now, unreported_ms: now, sent_ms: None, burst: 0, narrowed: None })
}

/// Sends datagrams until something keeps it from it.
fn serve(shipper: &mut Shipper<'_>, socket: &mut Socket) -> Result<Ended> {
    let mut state = State::Burst;
    while !shipper.events.is_over(shipper.events.woken_ms) {
        shipper.check_own_address(socket.udp.fd())?;
        let next = match state {
            State::Burst => send_burst(shipper, socket)?,
            State::Pause { until_ms } => wait_for_burst(shipper, socket, until_ms)?,
            State::Neighbour => wait_for_neighbour(shipper, socket)?,
            State::Idle => wait_for_records(shipper, socket)?,
        };
        match next {
            Continue(next) => state = next,
            Break(ended) => return Ok(ended),
        }
    }
    Ok(Ended::Deadline)
}

/// Sends what there is, up to a burst. The clocks are read once for all of it: three calls more for each datagram
/// would cost as much as it does.
fn send_burst(shipper: &mut Shipper<'_>, socket: &mut Socket) -> Result<Next> {
    let now = shipper.events.woken_ms;
    shipper.source.refresh_machine();
    if let Err(error) = socket.udp.discard()
        && !take_reports(shipper, socket)?
    {
        return Err(error);
    }
    if socket.sent_ms.is_none_or(|sent_ms| now >= sent_ms + UDP_BURST_MS) {
        socket.burst = 0;
    }
    let mut next = State::Pause { until_ms: now + UDP_BURST_MS };
    while socket.burst < UDP_BURST {
        if shipper.source.batch.is_empty() {
            // The first one goes alone: it has the kernel ask for the neighbour's address.
            let lines = if socket.sent_ms.is_none() { 1 } else { UDP_BURST - socket.burst };
            shipper.fill(Filling { position: None, lines: lines as usize })?;
        }
        if shipper.source.batch.is_empty() && shipper.source.ring_is_empty {
            next = State::Idle;
        }
        if shipper.source.batch.is_empty() {
            break;
        }
        if shipper.resolver.is_stale(&shipper.events, now) {
            // A search takes its time: after it, the clocks are read again.
            return Ok(if shipper.has_moved() { Break(Ended::Moved) } else { Continue(State::Burst) });
        }
        if matches!(send_lines(shipper, socket)?, Given::Waits) {
            break;
        }
        if socket.sent_ms.replace(now).is_none() {
            return Ok(Continue(State::Neighbour));
        }
    }
    shipper.source.note_progress(Some(now.saturating_sub(UDP_REPEAT_MS)));
    Ok(Continue(next))
}

/// Sends the lines that wait, as far as the burst goes; the batch is not empty.
fn send_lines(shipper: &mut Shipper<'_>, socket: &mut Socket) -> Result<Given> {
    for _ in 0..UDP_SEND_TRIES {
        let mut burst = if socket.sent_ms.is_none() { UDP_BURST - 1 } else { socket.burst };
        let lines = shipper.source.batch.waiting_texts().take_while(|line| {
            let has_room = burst < UDP_BURST;
            burst += weight(line);
            has_room
        });
        match socket.udp.send(lines) {
            Sent::Some(count) => {
                note_sent(shipper, socket, count);
                return Ok(Given::Sent);
            }
            Sent::Full => return Ok(Given::Waits),
            // Most likely it belongs to one that was sent before.
            Sent::TooLong => {
                if take_reports(shipper, socket)? {
                    return Ok(Given::Waits);
                }
            }
            Sent::Broken(error) => return Err(error),
        }
    }
    report_too_large(shipper);
    Ok(Given::Waits)
}

/// For how many datagrams of a burst a line counts.
fn weight(line: &[u8]) -> u32 {
    1 + line.len() as u32 / UDP_BURST_BYTES
}

/// The first `count` lines have left.
fn note_sent(shipper: &mut Shipper<'_>, socket: &mut Socket, count: usize) {
    let Source { batch, ledger, .. } = &mut shipper.source;
    for _ in 0..count {
        let (Some(made_of), Some(line)) = (batch.first(), batch.first_line()) else { break };
        let bytes = line.len();
        socket.burst += weight(line);
        ledger.note(shipper.events.woken_ms, made_of.seq);
        batch.written(bytes);
    }
    shipper.source.note_sent();
}

/// The kernel refuses the first line again and again, and nothing else explains it: reports it in its place.
fn report_too_large(shipper: &mut Shipper<'_>) {
    let (Some(made_of), Some(line)) = (shipper.source.batch.first(), shipper.source.batch.first_line())
    else {
        return;
    };
    shipper.source.batch.written(line.len());
    shipper.source.batch.keep_whole_lines();
    if let Some(line) = noted_line(made_of.seq) {
        warn!("lost: line {line} that pstore kept, too large for a datagram");
        return;
    }
    let fate = Fate::Lost { why: "too large for a datagram" };
    shipper.source.push_front(Loss { from: made_of.seq, to: made_of.seq, fate }, made_of.clock_us);
}

fn wait_for_burst(shipper: &mut Shipper<'_>, socket: &mut Socket, until_ms: u64) -> Result<Next> {
    wait(shipper, socket, Ring::Waits, until_ms)?;
    let waits = socket.udp.holds_unsent();
    Ok(Continue(if waits { State::Neighbour } else { State::Burst }))
}

fn wait_for_neighbour(shipper: &mut Shipper<'_>, socket: &mut Socket) -> Result<Next> {
    // Nothing tells that the address is known: it is looked for.
    let next = wait_for_burst(shipper, socket, shipper.events.woken_ms + UDP_NEIGHBOUR_LOOK_MS)?;
    if !matches!(next, Continue(State::Neighbour)) {
        // What waited has left just now, or the kernel has dropped it and is about to report that.
        socket.sent_ms = Some(shipper.events.woken_ms);
    }
    Ok(next)
}

/// Waits for records, or ends.
fn wait_for_records(shipper: &mut Shipper<'_>, socket: &mut Socket) -> Result<Next> {
    let (now, quiet_ms) = (shipper.events.woken_ms, socket.quiet_ms());
    let until_ms = if now < quiet_ms { quiet_ms } else { NEVER_MS };
    if let Some(end) = shipper.events.lifetime.end(now) {
        if shipper.log_farewell(end) {
            return Ok(Continue(State::Burst));
        }
        if now >= quiet_ms {
            let waits = socket.udp.holds_unsent();
            return Ok(if waits { Continue(State::Neighbour) } else { Break(Ended::Done) });
        }
    }
    wait(shipper, socket, Ring::Wakes, until_ms)?;
    shipper.source.ring_is_empty = false;
    if shipper.events.woken_ms >= quiet_ms {
        if now < quiet_ms {
            shipper.rest();
        }
        reached(shipper);
    }
    Ok(Continue(State::Burst))
}

/// Waits for reports and, if it wakes, the ring.
fn wait(shipper: &mut Shipper<'_>, socket: &mut Socket, ring: Ring, until_ms: u64) -> Result<()> {
    let awaited = Awaited::new(socket.udp.fd(), REPORTS);
    let [events, _] = shipper.events.wait([awaited, Awaited::NONE], ring, until_ms);
    if events.contains(PollFlags::ERR) {
        take_reports(shipper, socket)?;
    }
    socket.unreported_ms = shipper.events.woken_ms;
    Ok(())
}

/// Takes what the network reports of datagrams that were sent before, all of it: what is left would wake up the
/// shipper again. Returns whether there was something.
///
/// Datagrams that were too long for a link are sent again by the same socket, and the kernel, which knows the
/// link's MTU now, cuts them into fragments. Any other report is an error, and the socket is done with.
fn take_reports(shipper: &mut Shipper<'_>, socket: &mut Socket) -> Result<bool> {
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
        repeat_too_long(shipper, socket)?;
    }
    Ok(true)
}

/// Goes back to what was sent just now: a router that cannot pass on a datagram says so at once.
fn repeat_too_long(shipper: &mut Shipper<'_>, socket: &Socket) -> Result<()> {
    let reportable = first_reportable(shipper, socket);
    shipper.source.rewind_to(socket.unreported_ms.saturating_sub(UDP_MTU_REPEAT_MS), None)?;
    // What was sent before that can still be reported for another reason.
    if let Some(seq) = reportable {
        shipper.source.ledger.note(socket.reportable_ms(), seq);
    }
    Ok(())
}

/// The first record whose datagram may still be reported.
fn first_reportable(shipper: &Shipper<'_>, socket: &Socket) -> Option<u64> {
    shipper.source.ledger.record_at(socket.reportable_ms())
}

/// Nothing was reported for a while: as far as one can know, the receiver is there.
fn reached(shipper: &mut Shipper<'_>) {
    shipper.events.links.reached(shipper.resolver.target.address);
    if shipper.log.outage.tries > 0 || shipper.progress.reached_ms().is_none() {
        shipper.reached();
        shipper.backoff = Backoff::NONE;
        shipper.begin_outage();
    }
}
