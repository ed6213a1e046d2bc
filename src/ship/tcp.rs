//! Shipping over TCP: one connection after the other, and what each end of one means for the next.

use rustix::event::PollFlags;

use super::Outcome;
use super::events::Ring;
use super::shipper::Shipper;
use super::source::Filling;
use crate::net::tcp::Tcp;
use crate::sys::time;
use crate::sys::wait::Awaited;
use earlykmsg::delivery::closing::{Closing, Seen, Verdict};
use earlykmsg::delivery::lifetime::End;
use earlykmsg::delivery::outage::Backoff;
use earlykmsg::error::{Errno, Error, Result, Step};
use earlykmsg::limits::{
    ACK_LOOK_MS, BACKOFF_MS_MAX, CLOSE_MS, CONNECT_MS, FILL_LINES, LIFE_LOOK_MS, NEVER_MS, REPEAT_BYTES_MAX,
};

/// A receiver that closed its side, then resets what is still sent.
const BROKEN_PIPE: Errno = Errno(libc::EPIPE);
/// An attempt, or a receiver's answer, took too long.
const TIMED_OUT: Errno = Errno(libc::ETIMEDOUT);

/// How a connection ended. (An error is the receiver's or the network's, unless [`Error::is_of_kernel_log`].)
enum Ended {
    /// The shipper's own end: everything is acknowledged.
    Done,
    /// The shipper's own end: its time is over.
    Deadline,
    /// The receiver closed it, and its kernel has every byte.
    AllArrived,
    /// The receiver closed it, and nothing arrived from this position on.
    NothingSince(u64),
}

/// What the receiver did with its side of a connection, and what was sent before.
#[derive(Default)]
struct Fin {
    /// What was acknowledged when the FIN came.
    acked: Option<u64>,
    /// A FIN is heeded only when a batch was sent: a receiver that closes its side as soon as it has accepted, and reads
    /// on, gets a batch with each connection.
    batch_is_sent: bool,
}

/// Ships until the end of the shipper's lifetime.
pub fn ship(shipper: &mut Shipper<'_>) -> Result<Outcome> {
    loop {
        let began_ms = time::now_ms();
        match connect(shipper) {
            Err(_) if shipper.is_over() => return shipper.end_unacknowledged(None),
            Err(error) => shipper.not_reached(error),
            Ok(mut tcp) => {
                match serve(shipper, &mut tcp) {
                    Ok(Ended::Done) => {
                        shipper.acknowledged(u64::MAX);
                        return Ok(Outcome::Done);
                    }
                    Ok(Ended::Deadline) => {
                        let first = first_unacknowledged(shipper, &tcp);
                        return shipper.end_unacknowledged(first);
                    }
                    Ok(Ended::AllArrived) => go_on_behind(shipper, &tcp),
                    Ok(Ended::NothingSince(position)) => {
                        shipper.acknowledged(position);
                        shipper.source.rewind_to(position, None)?;
                    }
                    Err(error) if error.is_of_kernel_log() => return Err(error),
                    Err(error) => repeat_what_may_be_unread(shipper, &tcp, error)?,
                }
                shipper.source.note_progress(None);
                shipper.begin_outage();
            }
        }
        // A receiver that was there for a while is tried again at once.
        if shipper.log.outage.tries == 0 && time::now_ms() - began_ms >= BACKOFF_MS_MAX {
            shipper.backoff = Backoff::NONE;
        }
        if !shipper.pause() {
            return shipper.end_unacknowledged(None);
        }
    }
}

/// The first record that a connection carried and that is not acknowledged.
fn first_unacknowledged(shipper: &Shipper<'_>, tcp: &Tcp) -> Option<u64> {
    match tcp.state() {
        Ok(state) if state.all_acked => None,
        Ok(state) => shipper.source.ledger.record_at(state.acked),
        Err(_) => shipper.source.ledger.first(),
    }
}

/// The receiver has all that the connection carried.
fn go_on_behind(shipper: &mut Shipper<'_>, tcp: &Tcp) {
    shipper.source.batch.keep_whole_lines();
    shipper.acknowledged(tcp.written());
    // A receiver that closes its side early gets one batch a connection: what still waits is not held up.
    if !shipper.source.batch.is_empty() || !shipper.source.ring_is_empty {
        shipper.backoff = Backoff::NONE;
    }
}

/// A connection broke, and nobody knows what its receiver has read.
fn repeat_what_may_be_unread(shipper: &mut Shipper<'_>, tcp: &Tcp, error: Error) -> Result<()> {
    shipper.log.lost(error);
    let position = tcp.written().saturating_sub(REPEAT_BYTES_MAX);
    let first = shipper.source.ledger.first();
    shipper.source.rewind_to(position, first)
}

/// Connects. Fails too when the end has come first.
fn connect(shipper: &mut Shipper<'_>) -> Result<Tcp> {
    let tcp = Tcp::begin(shipper.target()?)?;
    let give_up_ms = time::now_ms() + CONNECT_MS;
    loop {
        // Only the first address of a round: no storm of changes keeps the others from their time.
        let restart_ms =
            shipper.events.links.restart_attempt_ms().filter(|_| !shipper.resolver.is_trying_next());
        let until_ms = restart_ms.map_or(give_up_ms, |restart_ms| restart_ms.min(give_up_ms));
        if !shipper.events.wait_for(tcp.fd(), PollFlags::OUT, until_ms).is_empty() {
            tcp.connected()?;
            break;
        }
        if time::now_ms() >= until_ms || shipper.is_over() {
            return Err(Step::Connect.failed(TIMED_OUT));
        }
    }
    shipper.reached();
    shipper.opened();
    shipper.source.begin_connection();
    Ok(tcp)
}

/// Sends records over a connection until one of its ends.
fn serve(shipper: &mut Shipper<'_>, tcp: &mut Tcp) -> Result<Ended> {
    // When to look whether the receiver answers: while something is unacknowledged.
    let mut look_ms = NEVER_MS;
    let mut fin = Fin::default();
    loop {
        shipper.check_own_address(tcp.fd())?;
        if shipper.source.batch.is_empty() {
            shipper.source.refresh_machine();
            shipper.fill(Filling { position: Some(tcp.written()), lines: FILL_LINES })?;
        }
        match send_waiting(shipper, tcp) {
            Ok(true) if look_ms == NEVER_MS => look_ms = time::now_ms() + LIFE_LOOK_MS,
            Ok(_) => {}
            // Reset after a FIN; a reset alone is another error.
            Err(error) if error.errno == BROKEN_PIPE => {
                let acked = fin.acked.map_or_else(|| tcp.state().map(|state| state.acked), Ok)?;
                return after_fin(shipper, tcp, acked);
            }
            Err(error) => return Err(error),
        }
        fin.batch_is_sent |= shipper.source.batch.is_empty() && tcp.written() > 0;
        if let Fin { acked: Some(acked), batch_is_sent: true } = fin {
            return after_fin(shipper, tcp, acked);
        }
        let now = time::now_ms();
        if let Some(end) = shipper.events.lifetime.end(now) {
            if shipper.source.batch.is_empty() && shipper.source.ring_is_empty && !shipper.log_farewell(end) {
                return close(shipper, tcp, end);
            }
            if now >= end.deadline_ms {
                return Ok(Ended::Deadline);
            }
        }
        if now >= look_ms {
            look_ms = look_whether_it_answers(shipper, tcp, now)?;
        }
        if let Some(ended) = wait(shipper, tcp, &mut fin, look_ms)? {
            return Ok(ended);
        }
    }
}

/// Writes what the send buffer takes of the batch. Returns whether that was anything.
fn send_waiting(shipper: &mut Shipper<'_>, tcp: &mut Tcp) -> Result<bool> {
    let mut is_sent = false;
    while !shipper.source.batch.is_empty() {
        let sent = tcp.send(shipper.source.batch.waiting())?;
        if sent == 0 {
            break;
        }
        shipper.source.batch.written(sent);
        shipper.source.note_sent();
        is_sent = true;
    }
    Ok(is_sent)
}

/// Returns when to look again.
fn look_whether_it_answers(shipper: &mut Shipper<'_>, tcp: &Tcp, now: u64) -> Result<u64> {
    let state = tcp.state()?;
    if state.dead {
        return Err(Step::AwaitAnswer.failed(TIMED_OUT));
    }
    shipper.acknowledged(state.acked);
    shipper.source.note_progress(Some(tcp.written().saturating_sub(REPEAT_BYTES_MAX)));
    if !state.all_acked {
        return Ok(now + LIFE_LOOK_MS);
    }
    shipper.rest();
    Ok(NEVER_MS)
}

/// Waits for room in the send buffer, for records when none waits, and for the receiver. Returns how the connection
/// ended, if it did.
fn wait(shipper: &mut Shipper<'_>, tcp: &Tcp, fin: &mut Fin, look_ms: u64) -> Result<Option<Ended>> {
    let now = time::now_ms();
    let is_idle = shipper.source.batch.is_empty() && shipper.source.ring_is_empty;
    let has_more = shipper.source.batch.is_empty() && !shipper.source.ring_is_empty;
    // The main system delivers to the addresses that it finds itself.
    if is_idle && shipper.events.lifetime.looks() && shipper.resolver.is_stale(&shipper.events, now) {
        shipper.has_moved();
        return Ok(None);
    }
    let mut interest = PollFlags::empty();
    // A FIN that has come would end every wait.
    interest.set(PollFlags::IN | PollFlags::RDHUP, fin.acked.is_none());
    interest.set(PollFlags::OUT, !shipper.source.batch.is_empty());
    let ring = if is_idle { Ring::Wakes } else { Ring::Waits };
    let until_ms = if has_more { now } else { look_ms };
    let [events, _] = shipper.events.wait([Awaited::new(tcp.fd(), interest), Awaited::NONE], ring, until_ms);
    if is_idle {
        shipper.source.ring_is_empty = false;
    }
    if events.intersects(PollFlags::IN | PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR)
        && tcp.discard()?
    {
        let state = tcp.state()?;
        let acked = *fin.acked.get_or_insert(state.acked);
        if fin.batch_is_sent || state.broken {
            return after_fin(shipper, tcp, acked).map(Some);
        }
    }
    Ok(None)
}

/// The receiver has closed its side: nothing more is sent, and what becomes of the bytes on their way tells where the
/// next connection begins.
fn after_fin(shipper: &mut Shipper<'_>, tcp: &Tcp, acked_at_fin: u64) -> Result<Ended> {
    let mut closing = Closing::new(acked_at_fin, time::now_ms());
    loop {
        let (now, state) = (time::now_ms(), tcp.state()?);
        let seen = Seen { written: tcp.written(), acked: state.acked, broken: state.broken };
        match closing.judge(seen, now) {
            Verdict::Wait => {}
            Verdict::AllArrived => return Ok(Ended::AllArrived),
            Verdict::NothingSince(position) => return Ok(Ended::NothingSince(position)),
            Verdict::Unknown => return Err(Step::Send.failed(Errno::NONE)),
        }
        if shipper.events.is_over(now) {
            return Ok(Ended::Deadline);
        }
        // Nothing tells of acknowledgements: they are looked for. A reset comes without being asked for.
        let until_ms = closing.until_ms().min(now + ACK_LOOK_MS);
        shipper.events.wait_for(tcp.fd(), PollFlags::empty(), until_ms);
    }
}

/// The orderly end of a connection: our side is closed, everything acknowledged, the receiver's side closed too or given
/// time for it.
fn close(shipper: &mut Shipper<'_>, tcp: &mut Tcp, end: End) -> Result<Ended> {
    tcp.close_our_side()?;
    let mut is_closed = false;
    let mut acked_ms = None;
    loop {
        let now = time::now_ms();
        if tcp.state()?.close_acked {
            let since_ms = *acked_ms.get_or_insert(now);
            if is_closed || now >= (since_ms + CLOSE_MS).min(end.deadline_ms) {
                return Ok(Ended::Done);
            }
        }
        if now >= end.deadline_ms {
            return Ok(Ended::Deadline);
        }
        // Nothing tells of acknowledgements: they are looked for.
        let socket = Awaited::new(tcp.fd(), PollFlags::IN | PollFlags::RDHUP);
        let socket = if is_closed { Awaited::NONE } else { socket };
        let [events, _] = shipper.events.wait([socket, Awaited::NONE], Ring::Waits, now + ACK_LOOK_MS);
        if !events.is_empty() {
            is_closed = tcp.discard()?;
        }
    }
}
