//! Shipping over TCP: one connection after the other, and what each end of one means for the next.

use rustix::event::PollFlags;

use super::{Down, Outcome, Shipper};
use crate::closing::{Closing, Seen, Verdict};
use crate::error::{Error, Result, Step};
use crate::lifetime::End;
use crate::limits::{
    ACK_LOOK_MS, CLOSE_MS, CONNECT_MS, FILL_LINES, LIFE_LOOK_MS, NEVER_MS, PAUSE_MS_MAX, REPEAT_BYTES_MAX,
};
use crate::sys::wait::Awaited;
use crate::sys::{self, time};
use crate::transport::tcp::Tcp;

/// How a connection ended. (An error is the receiver's or the network's; but one of [`Step::ReadKmsg`] is this machine's
/// own, and no other connection would be better.)
enum Ended {
    /// The shipper's own end: everything is confirmed.
    Done,
    /// The shipper's own end: its time is over.
    Deadline,
    /// The receiver closed it, and its kernel has every byte.
    AllArrived,
    /// The receiver closed it, and nothing arrived from this position on.
    NothingSince(u64),
}

impl Shipper<'_> {
    pub(super) fn ship_tcp(&mut self) -> Result<Outcome> {
        loop {
            let began_ms = time::now_ms();
            match self.connect_tcp() {
                Err(_) if self.over(time::now_ms()) => return self.unconfirmed(None),
                Err(error) => self.not_reached(error),
                Ok(mut tcp) => {
                    match self.serve_tcp(&mut tcp) {
                        Ok(Ended::Done) => return Ok(Outcome::Done),
                        Ok(Ended::Deadline) => {
                            let first = self.first_unconfirmed(&tcp);
                            return self.unconfirmed(first);
                        }
                        Ok(Ended::AllArrived) => self.go_on_behind(),
                        Ok(Ended::NothingSince(position)) => self.repeat_from(position, None)?,
                        Err(error) if error.is(Step::ReadKmsg) => return Err(error),
                        Err(error) => self.repeat_what_may_be_unread(&tcp, error)?,
                    }
                    self.note_progress(None);
                    self.down = Down::since(time::now_ms());
                }
            }
            // A receiver that was there for a while is tried again at once.
            if self.down.tries == 0 && time::now_ms() - began_ms >= PAUSE_MS_MAX {
                self.pause_ms = 0;
            }
            if !self.pause() {
                return self.unconfirmed(None);
            }
        }
    }

    /// The first record that a connection carried and that is not acknowledged.
    fn first_unconfirmed(&self, tcp: &Tcp) -> Option<u64> {
        match tcp.state() {
            Ok(state) if state.all_acked => None,
            Ok(state) => self.ledger.record_at(state.acked),
            Err(_) => self.ledger.first(),
        }
    }

    /// The receiver has all that the connection carried.
    fn go_on_behind(&mut self) {
        self.batch.keep_whole_lines();
        // A receiver that closes its side early gets one batch a connection: what still waits is not held up.
        if !self.batch.is_empty() || !self.ring_empty {
            self.pause_ms = 0;
        }
    }

    /// A connection broke, and nobody knows what its receiver has read.
    fn repeat_what_may_be_unread(&mut self, tcp: &Tcp, error: Error) -> Result<()> {
        self.lost_connection(error);
        let position = tcp.written().saturating_sub(REPEAT_BYTES_MAX);
        self.repeat_from(position, self.ledger.first())
    }

    /// Connects. It fails too when the end has come first.
    fn connect_tcp(&mut self) -> Result<Tcp> {
        let mut to = self.target()?;
        let tcp = Tcp::begin(&mut to)?;
        let until = time::now_ms() + CONNECT_MS;
        loop {
            // Only the first address of a round: no storm of news keeps the others from their time.
            let anew = self.news.attempt_until().filter(|_| !self.names.is_midway());
            let until = anew.map_or(until, |anew| anew.min(until));
            if !self.wait_for(tcp.fd(), PollFlags::OUT, until).is_empty() {
                tcp.connected()?;
                break;
            }
            let now = time::now_ms();
            if now >= until || self.over(now) {
                return Err(Step::Connect.failed(sys::TIMED_OUT));
            }
        }
        self.news.stop();
        self.connected();
        self.look_at_way(to.address);
        // What waits in the batch is the first that it carries.
        self.ledger.clear();
        for (begins, made_of) in self.batch.waiting_lines() {
            self.ledger.note(begins as u64, made_of.seq);
        }
        Ok(tcp)
    }

    /// Sends records over a connection until one of its ends.
    fn serve_tcp(&mut self, tcp: &mut Tcp) -> Result<Ended> {
        // When to look whether the receiver lives: while something is unconfirmed.
        let mut look_ms = NEVER_MS;
        // What was acknowledged when the receiver's FIN came. It is heeded only when a batch was sent: a receiver that
        // closes its side as soon as it has accepted, and reads on, gets a batch with each connection.
        let mut fin = None;
        let mut batch_sent = false;
        loop {
            if self.batch.is_empty() {
                self.look_at_machine();
                self.fill(tcp.written(), FILL_LINES)?;
            }
            match self.send_waiting(tcp) {
                Ok(true) if look_ms == NEVER_MS => look_ms = time::now_ms() + LIFE_LOOK_MS,
                Ok(_) => {}
                // Reset after a FIN; a reset alone is another error.
                Err(error) if error.errno() == sys::BROKEN_PIPE => {
                    return self.after_fin(tcp, fin.unwrap_or(tcp.state()?.acked));
                }
                Err(error) => return Err(error),
            }
            batch_sent |= self.batch.is_empty() && tcp.written() > 0;
            if batch_sent && let Some(acked) = fin {
                return self.after_fin(tcp, acked);
            }
            let now = time::now_ms();
            if let Some(end) = self.life.end(now) {
                if self.batch.is_empty() && self.ring_empty && !self.say_farewell(end) {
                    return self.close_tcp(tcp, end);
                }
                if now >= end.deadline_ms {
                    return Ok(Ended::Deadline);
                }
            }
            if now >= look_ms {
                look_ms = self.look_whether_it_lives(tcp, now)?;
            }

            let more = self.batch.is_empty() && !self.ring_empty;
            // The main system delivers to the addresses that it finds itself.
            if self.batch.is_empty() && !more && self.life.looks() && self.names.is_old(now) {
                self.has_moved();
                continue;
            }
            let until = if more { now } else { look_ms };
            if self.wait_tcp(tcp, fin.is_none(), until) && tcp.discard()? {
                let state = tcp.state()?;
                let acked = *fin.get_or_insert(state.acked);
                if batch_sent || state.broken {
                    return self.after_fin(tcp, acked);
                }
            }
        }
    }

    /// Writes what the send buffer takes of the batch. Returns whether that was anything.
    fn send_waiting(&mut self, tcp: &mut Tcp) -> Result<bool> {
        let mut any = false;
        while !self.batch.is_empty() {
            let sent = tcp.send(self.batch.waiting())?;
            if sent == 0 {
                break;
            }
            self.batch.written(sent);
            self.note_sent();
            any = true;
        }
        Ok(any)
    }

    /// Returns when to look again.
    fn look_whether_it_lives(&mut self, tcp: &Tcp, now: u64) -> Result<u64> {
        let state = tcp.state()?;
        if state.dead {
            return Err(Step::Answer.failed(sys::TIMED_OUT));
        }
        self.note_progress(Some(tcp.written().saturating_sub(REPEAT_BYTES_MAX)));
        Ok(if state.all_acked { NEVER_MS } else { now + LIFE_LOOK_MS })
    }

    /// Waits for room in the send buffer, for records when none waits, and for the receiver. Returns whether there is
    /// something of the receiver's: bytes, its FIN (where that is `awaited`: one that has come would be there for ever),
    /// a reset.
    fn wait_tcp(&mut self, tcp: &Tcp, awaited: bool, until_ms: u64) -> bool {
        let idle = self.batch.is_empty() && self.ring_empty;
        let mut interest = PollFlags::empty();
        interest.set(PollFlags::IN | PollFlags::RDHUP, awaited);
        interest.set(PollFlags::OUT, !self.batch.is_empty());
        let [events, _] = self.wait([Awaited::new(tcp.fd(), interest), Awaited::NONE], idle, until_ms);
        events.intersects(PollFlags::IN | PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR)
    }

    /// The receiver has closed its side: nothing more is sent, and what becomes of the bytes on their way tells where the
    /// next connection begins.
    fn after_fin(&mut self, tcp: &Tcp, acked_at_fin: u64) -> Result<Ended> {
        let mut closing = Closing::new(acked_at_fin, time::now_ms());
        loop {
            let (now, state) = (time::now_ms(), tcp.state()?);
            let seen = Seen { written: tcp.written(), acked: state.acked, broken: state.broken };
            match closing.judge(seen, now) {
                Verdict::Wait => {}
                Verdict::AllArrived => return Ok(Ended::AllArrived),
                Verdict::NothingSince(position) => return Ok(Ended::NothingSince(position)),
                Verdict::Unknown => return Err(Step::Send.failed(0)),
            }
            if self.over(now) {
                return Ok(Ended::Deadline);
            }
            // Nothing tells of acknowledgements: it is looked for. A reset comes without being asked for.
            self.wait_for(tcp.fd(), PollFlags::empty(), closing.until_ms().min(now + ACK_LOOK_MS));
        }
    }

    /// The orderly end of a connection: our side is closed, everything acknowledged, the receiver's side closed too
    /// or given time for it.
    fn close_tcp(&mut self, tcp: &mut Tcp, end: End) -> Result<Ended> {
        tcp.close_our_side()?;
        let mut closed = false;
        let mut confirmed_ms = None;
        loop {
            let now = time::now_ms();
            let state = tcp.state()?;
            if state.close_acked {
                let since = *confirmed_ms.get_or_insert(now);
                if closed || now >= (since + CLOSE_MS).min(end.deadline_ms) {
                    return Ok(Ended::Done);
                }
            }
            if now >= end.deadline_ms {
                return Ok(Ended::Deadline);
            }
            // Nothing tells of acknowledgements: it is looked for.
            let socket = Awaited::new(tcp.fd(), PollFlags::IN | PollFlags::RDHUP);
            let socket = if closed { Awaited::NONE } else { socket };
            let [events, _] = self.wait([socket, Awaited::NONE], false, now + ACK_LOOK_MS);
            if !events.is_empty() {
                closed = tcp.discard()?;
            }
        }
    }
}
