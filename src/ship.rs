//! The shipper: one destination, one loop. Source, encoder, batch, transport, ledger.
//!
//! It waits in one place, `Shipper::wait`, on everything at once: the receiver, the ring, signals and the
//! watcher. What interrupts it there is the [`Lifetime`]'s business; the loops only ask whether the end has come.

mod tcp;
mod udp;

use rustix::event::PollFlags;
use rustix::fd::BorrowedFd;

use crate::address::Address;
use crate::batch::{Batch, BatchBuffer, MadeOf};
use crate::board::{OldSockets, Progress};
use crate::clock::{StampOffset, WallOffset};
use crate::endpoint::{Endpoint, Host, Scheme};
use crate::error::{Error, Result, Step};
use crate::identity::Identity;
use crate::kmsg::record::Level;
use crate::kmsg::saved::Saved;
use crate::kmsg::source::{GapCause, Next, ReadBuffer, Source};
use crate::ledger::{Ledger, Marks};
use crate::lifetime::{End, Lifetime, Why};
use crate::limits::{
    ANSWERS_BYTES, COUNT_MS, FILL_RECORDS_MAX, LEDGER_STEP_BYTES, LOST_LINE_BYTES_MAX, NOT_UP_EVERY_MS,
    NOT_UP_MS, PAUSE_MS_MAX, PAUSE_MS_MIN, TAGS_BYTES_MAX, UDP_LEDGER_STEP_MS,
};
use crate::line::{Encoder, Lost, Unread};
use crate::news::{News, tell_network};
use crate::report::{self, Rate};
use crate::resolve::{Heard, Names};
use crate::sys::memory::Buffer;
use crate::sys::wait::{Awaited, wait};
use crate::sys::{signal, time};
use crate::takeover::Delivery;
use crate::words;
use crate::words::Line;

/// What a shipper is told when it starts.
pub struct Job<'a> {
    /// Where to.
    pub endpoint: &'a Endpoint<'a>,
    /// The least severe level that is shipped.
    pub level: Level,
    /// The members that are wanted besides Talos's.
    pub identity: Identity<'a>,
    /// When it ends.
    pub life: Lifetime,
    /// The first record that is wanted; none: the oldest there is.
    pub first: Option<u64>,
    /// The oldest record that the ring had when the program started.
    pub oldest_at_start: u64,
    /// The records that the program's own first lines may have pushed out of the ring.
    pub saved: &'a Saved,
    /// What records are read into.
    pub buffer: &'a mut ReadBuffer,
    /// The first record that was never sent, when there was a shipper before.
    pub unsent: Option<u64>,
    /// The kernel's time stamps.
    pub stamp: StampOffset,
    /// Where the watcher sees how far it is.
    pub progress: Progress,
}

/// The descriptors that a shipper works with.
pub struct Fds {
    /// `/dev/kmsg`.
    pub kmsg: BorrowedFd<'static>,
    /// Signals.
    pub signals: BorrowedFd<'static>,
    /// The watcher's channel: the switch, files; its end: the watcher is gone.
    pub watcher: BorrowedFd<'static>,
    /// The kernel's lists of sockets.
    pub delivery: Delivery,
}

/// How a shipper's work ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// All was sent and, where that can be, confirmed.
    Done,
    /// The time for the end was over before that; how much is missing was said.
    Unconfirmed,
}

/// Ships until its life ends.
pub fn ship(job: Job<'_>, fds: Fds) -> Result<Outcome> {
    struct Buffers {
        batch: BatchBuffer,
        marks: Marks,
        answers: [u8; ANSWERS_BYTES],
        encoder: Encoder,
    }
    static BUFFERS: Buffer<Buffers> = Buffer::new(Buffers {
        batch: BatchBuffer::EMPTY,
        marks: Marks::NONE,
        answers: [0; ANSWERS_BYTES],
        encoder: Encoder::NONE,
    });
    let Some(Buffers { batch, marks, answers, encoder }) = BUFFERS.take() else {
        return Err(Step::TakeBuffers.failed(0));
    };
    let now = time::now_ms();
    let step = match job.endpoint.scheme {
        Scheme::Tcp => LEDGER_STEP_BYTES,
        Scheme::Udp => UDP_LEDGER_STEP_MS,
    };
    let scheme = job.endpoint.scheme;
    let mut shipper = Shipper {
        source: Source::new(fds.kmsg, job.buffer, job.saved, job.first, job.oldest_at_start),
        batch: Batch::new(batch),
        ledger: Ledger::new(step, marks),
        encoder,
        identity: job.identity,
        wall: WallOffset(0), // it is read before anything is encoded
        ring_empty: false,
        unsent: job.unsent.or(job.first),
        signals: fds.signals,
        watcher: Some(fds.watcher),
        delivery: fds.delivery,
        words: Rate::new(),
        farewell_said: false,
        down: Down::since(now),
        pause_ms: 0,
        woken_ms: now,
        names: Names::new(job.endpoint.host, answers),
        news: News::DEAF,
        endpoint: job.endpoint,
        level: job.level,
        life: job.life,
        stamp: job.stamp,
        progress: job.progress,
    };
    if let OldSockets::Unknown = shipper.progress.old_sockets() {
        shipper.delivery.note_old(shipper.endpoint.port, shipper.progress);
    }
    shipper.identity.look();
    shipper.tell_tags();
    match scheme {
        Scheme::Tcp => shipper.ship_tcp(),
        Scheme::Udp => shipper.ship_udp(),
    }
}

/// A shipper at work.
#[repr(C)] // What is used most comes first: near the start it is reached with shorter instructions, 0.3 KiB in all.
pub(crate) struct Shipper<'a> {
    /// The ring had nothing more when it was last read.
    ring_empty: bool,
    farewell_said: bool,
    level: Level,
    signals: BorrowedFd<'static>,
    pub(crate) watcher: Option<BorrowedFd<'static>>,
    source: Source<'a>,
    batch: Batch,
    pub(crate) endpoint: &'a Endpoint<'a>,
    down: Down,
    pub(crate) news: News,
    /// The first record of which no byte was ever sent.
    unsent: Option<u64>,
    pause_ms: u64,
    /// When the last wait ended.
    woken_ms: u64,
    wall: WallOffset,
    stamp: StampOffset,
    progress: Progress,
    words: Rate,
    delivery: Delivery,
    pub(crate) life: Lifetime,
    ledger: Ledger,
    identity: Identity<'a>,
    encoder: &'static mut Encoder,
    pub(crate) names: Names<'a>,
}

/// Since when the receiver is not reached, and what was tried.
struct Down {
    since_ms: u64,
    tries: u64,
    said: usize,
}

impl Down {
    fn since(now_ms: u64) -> Down {
        Down { since_ms: now_ms, tries: 0, said: 0 }
    }

    /// Whether it is time to speak of it: after 10 s, 60 s and then every 10 min.
    fn must_say(&mut self, now_ms: u64) -> bool {
        let mut must = false;
        // What was due meanwhile is said with this.
        while now_ms - self.since_ms >= self.due_ms() {
            self.said += 1;
            must = true;
        }
        must
    }

    fn due_ms(&self) -> u64 {
        match NOT_UP_MS.get(self.said) {
            Some(&after) => after,
            None => NOT_UP_EVERY_MS * (self.said + 1 - NOT_UP_MS.len()) as u64,
        }
    }
}

/// How the work with a socket of datagrams ended. (An error is the receiver's or the way's; but one of [`Step::ReadKmsg`]
/// is this machine's own, and no other socket would be better.)
enum Over {
    /// The shipper's own end: everything is sent.
    Done,
    /// The shipper's own end: its time is over.
    Deadline,
    /// The name has another address now.
    Closed,
}

impl Shipper<'_> {
    /// Takes note of the wall clock and of the machine's name: what is encoded from now on carries them.
    fn look_at_machine(&mut self) {
        self.wall.follow(self.stamp, time::reading());
        if self.identity.look() {
            self.tell_tags();
        }
    }

    /// Has the tags say by which interface the destination is reached.
    fn look_at_way(&mut self, to: Address) {
        if self.identity.look_at_way(to, self.names.answers) {
            self.tell_tags();
        }
    }

    /// Has every object carry the tags as they are now.
    fn tell_tags(&mut self) {
        let left_out = self.identity.tell(self.encoder);
        if left_out > 0 {
            report::warn(|line| {
                words!(line, self.endpoint, ": ", left_out, " tags have no room in ", TAGS_BYTES_MAX as u64);
                words!(line, " bytes and are left out");
            });
        }
    }

    /// Looks for a name again. Returns whether its addresses are others than the one in use.
    #[inline(never)]
    fn has_moved(&mut self) -> bool {
        let used = self.names.address();
        let found = self.search(true).is_ok();
        !self.names.go_on_with(used) && found
    }

    /// Reads and encodes what the ring has and the batch takes, at most `lines`. The batch is empty; its first byte
    /// will stand at `position`. It stays empty when none of the next [`FILL_RECORDS_MAX`] records is to be shipped:
    /// who writes such records faster than they are read would keep the shipper from everything else.
    fn fill(&mut self, position: u64, lines: usize) -> Result<()> {
        let bytes_are_positions = self.endpoint.scheme == Scheme::Tcp;
        self.ring_empty = false;
        for _ in 0..FILL_RECORDS_MAX {
            let has_lines = !self.batch.is_empty();
            if has_lines && self.batch.lines() >= lines {
                break;
            }
            let begun = if bytes_are_positions { self.batch.waiting().len() as u64 } else { 0 };
            let room = self.batch.room();
            let bytes = room.len();
            // What a gap may need is kept free, so that it never has to be put back.
            if bytes < 2 * LOST_LINE_BYTES_MAX {
                break;
            }
            let encoder = &*self.encoder;
            // Looked at where it is: a record by value would be copied twice.
            match self.source.take(&|record| encoder.bytes_max(record) < bytes) {
                // What was read before that is sent first.
                Err(_) if has_lines => break,
                Err(error) => return Err(error),
                Ok(None) => break,
                Ok(Some(Next::Empty)) => {
                    self.ring_empty = true;
                    break;
                }
                Ok(Some(Next::Record(ref record))) => {
                    if record.level <= self.level {
                        let (seq, clock_us) = (record.seq, record.clock_us);
                        let len = match self.encoder.encode(room, record, self.wall) {
                            Some(len) => len,
                            // It was taken because it fits. If ever it does not, that is said in its place.
                            None => Lost { from: seq, to: seq, why: "its line has no room" }.encode(
                                self.encoder,
                                room,
                                clock_us,
                                self.wall,
                            ),
                        };
                        self.ledger.note(position + begun, seq);
                        self.batch.push(len, MadeOf { seq, clock_us });
                    }
                }
                Ok(Some(Next::Gap { from, to, clock_us, cause })) => {
                    self.ledger.note(position + begun, from);
                    let (unsent, why) = match cause {
                        GapCause::BeforeStart => (from, "the kernel's ring had overflowed before the start"),
                        GapCause::Overwritten => (
                            self.unsent.unwrap_or(from),
                            "the kernel's ring was overwritten before they could be sent",
                        ),
                    };
                    let sent_before = unsent.clamp(from, to.saturating_add(1));
                    if sent_before > from {
                        let unread = Unread { from, to: sent_before - 1 };
                        let len = unread.encode(self.encoder, room, clock_us, self.wall);
                        self.batch.push(len, MadeOf { seq: from, clock_us });
                    }
                    if sent_before <= to {
                        let lost = Lost { from: sent_before, to, why };
                        let len = lost.encode(self.encoder, self.batch.room(), clock_us, self.wall);
                        self.batch.push(len, MadeOf { seq: sent_before, clock_us });
                    }
                }
            }
        }
        if self.batch.is_empty() {
            // What was read is not wanted: nobody misses it.
            self.note_sent();
        }
        Ok(())
    }

    /// Goes back so that everything that was sent from `position` on is sent again, as far as it is still there:
    /// in the ring or, if the ring has already dropped it, in the batch. What is not sent again, from `unread` on,
    /// will be said.
    fn repeat_from(&mut self, position: u64, unread: Option<u64>) -> Result<()> {
        self.batch.keep_whole_lines();
        let Some(first) = self.ledger.record_at(position) else { return Ok(()) };
        let unread = unread.unwrap_or(first);
        self.ledger.clear();
        let kept = self.batch.first().map(|of| of.seq);
        let next = self.source.next_seq();
        let oldest = match self.source.back_to(first) {
            Ok(()) => self.source.peek()?,
            // Not the device, but something in its place that cannot go back.
            Err(_) => None,
        };
        let kept_before_ring = match (kept, oldest) {
            (Some(kept), Some(oldest)) => kept < oldest,
            (_, None) => true,
            (None, Some(_)) => false,
        };
        if !kept_before_ring {
            self.batch.clear();
            // The record that was looked at is held: what is missing before it is a gap.
            self.source.skip_to(unread);
            return Ok(());
        }
        let next = next.unwrap_or(first);
        if oldest.is_some() {
            self.source.skip_to(next);
        }
        let last = kept.unwrap_or(next);
        if unread < last {
            let clock_us = self.batch.first().map_or(0, |of| of.clock_us);
            let made_of = MadeOf { seq: unread, clock_us };
            let unread = Unread { from: unread, to: last - 1 };
            let mut line = [0; LOST_LINE_BYTES_MAX];
            let len = unread.encode(self.encoder, &mut line, clock_us, self.wall);
            if !self.batch.push_front(&line[..len], made_of) {
                // There is always room: `fill` leaves it.
                report::warn(|line| words!(line, unread));
            }
        }
        Ok(())
    }

    /// A new connection: what waits in the batch is the first that it carries.
    fn begin_ledger(&mut self, position: u64) {
        self.ledger.clear();
        if let Some(first) = self.batch.first() {
            self.ledger.note(position, first.seq);
        }
    }

    /// Something of the batch was sent.
    fn note_sent(&mut self) {
        // A line that is half written counts as sent.
        let unsent = self.batch.untouched().map(|of| of.seq).or(self.source.next_seq());
        if let Some(unsent) = unsent
            && self.unsent.is_none_or(|before| before < unsent)
        {
            self.unsent = Some(unsent);
        }
        self.progress.set_unsent(self.unsent);
        if self.progress.resume().is_none() {
            self.note_progress(Some(0));
        }
    }

    /// Tells where a successor would have to begin: at `position` of what is being sent, or at what waits.
    fn note_progress(&self, position: Option<u64>) {
        let sent = position.and_then(|position| self.ledger.record_at(position));
        let waiting = || self.batch.first().map(|of| of.seq);
        self.progress.set_resume(sent.or_else(waiting).or(self.source.next_seq()));
    }

    fn connected(&mut self) {
        let now = time::now_ms();
        self.life.reached(now);
        self.names.reached();
        if self.progress.reached_ms().is_none() {
            self.progress.set_reached_ms(now);
        }
        if self.words.allows(now) {
            report::info(|line| {
                words!(line, "connected to ", self.endpoint);
                self.put_address(line);
                if self.down.tries > 0 {
                    words!(line, ", failed tries before: ", self.down.tries);
                }
            });
        }
        self.down.tries = 0;
    }

    fn lost_connection(&mut self, error: Error) {
        if self.words.allows(time::now_ms()) {
            report::warn(|line| words!(line, "connection to ", self.endpoint, " lost: ", error));
        }
    }

    fn not_reached(&mut self, error: Error) {
        self.down.tries = self.down.tries.saturating_add(1);
        self.tell_of_absence(error);
        if !error.is(Step::LookUpName) {
            self.names.failed(self.news.attempt_until().is_some());
        }
    }

    /// Says, when it is time for it, that the receiver is not reached.
    pub(crate) fn tell_of_absence(&mut self, error: Error) {
        let now = time::now_ms();
        if self.down.must_say(now) {
            let what = match self.progress.reached_ms() {
                None => "network not up after ",
                Some(_) => "receiver not reached for ",
            };
            report::warn(|line| {
                let seconds = (now - self.down.since_ms) / 1_000;
                words!(line, what, seconds, " s: ", self.endpoint);
                if !error.is(Step::LookUpName) {
                    self.put_address(line);
                }
                words!(line, ": ", error);
                if matches!(self.endpoint.host, Host::Name(_)) {
                    words!(line, "; name servers: ", self.names.lookup);
                }
                words!(line, "; ", self.down.tries, " tries");
                tell_network(line, self.names.answers);
            });
        }
    }

    /// The address that a name led to.
    fn put_address(&self, line: &mut Line) {
        if matches!(self.endpoint.host, Host::Name(_))
            && let Some(address) = self.names.address()
        {
            words!(line, " at ", address);
        }
    }

    /// Waits before the next attempt, longer each time. `false`: the end has come.
    fn pause(&mut self) -> bool {
        if self.names.is_midway() {
            return !self.over(time::now_ms());
        }
        self.news.listen();
        // Jitter: machines that lost the same receiver do not come back in step.
        let jitter = time::raw_ns().unsigned_abs() % (self.pause_ms / 4 + 1);
        let until = time::now_ms() + self.pause_ms - jitter;
        self.pause_ms = (self.pause_ms * 2).clamp(PAUSE_MS_MIN, PAUSE_MS_MAX);
        loop {
            let now = time::now_ms();
            if self.over(now) {
                return false;
            }
            let until = self.news.pause_until().map_or(until, |news| news.min(until));
            if now >= until {
                return true;
            }
            self.wait([Awaited::NONE; 2], false, until);
        }
    }

    /// Whether the end has come, and its time is over.
    pub(crate) fn over(&mut self, now: u64) -> bool {
        self.life.end(now).is_some_and(|end| now >= end.deadline_ms)
    }

    /// Says that this is the end. `true`: it was said now, and the line itself is to be sent.
    fn say_farewell(&mut self, end: End) -> bool {
        if self.farewell_said {
            return false;
        }
        self.farewell_said = true;
        let Some(why) = end.why.words() else { return false };
        let last = self.source.last_seq().unwrap_or(0);
        if end.why == Why::NeverReached {
            // The console is all that can tell of it. What was not sent is said there too.
            report::error(|line| words!(line, self.endpoint, ": ", why));
        } else {
            report::info(|line| words!(line, self.endpoint, ": ", why, ", last seq sent ", last));
        }
        self.ring_empty = false;
        true
    }

    /// The time is over: says what was sent and not confirmed, or not sent at all.
    fn unconfirmed(&mut self, acked: Option<u64>) -> Result<Outcome> {
        if let Some(end) = self.life.end(time::now_ms()) {
            self.say_farewell(end);
        }
        self.batch.keep_whole_lines();
        let waiting = self.batch.first().map(|of| of.seq);
        let (mut first, mut last) = (acked.or(waiting), self.source.last_seq());
        self.batch.clear();
        // Who writes faster than this reads must not keep it from its end.
        let until = time::now_ms() + COUNT_MS;
        let mut looks: usize = 0;
        let is_whole = loop {
            looks += 1;
            if looks.is_multiple_of(FILL_RECORDS_MAX) && time::now_ms() >= until {
                break false;
            }
            let missing = match self.source.take(&|_| true) {
                Err(error) => return Err(error),
                Ok(None | Some(Next::Empty)) => break true,
                Ok(Some(Next::Record(record))) if record.level > self.level => continue,
                Ok(Some(Next::Gap { from, .. })) => Some(from),
                Ok(Some(Next::Record(_))) => self.source.last_seq(),
            };
            first = first.or(missing);
            last = self.source.last_seq();
        };
        let (Some(from), Some(to)) = (first, last) else { return Ok(Outcome::Done) };
        if from > to {
            return Ok(Outcome::Done);
        }
        report::error(|line| {
            words!(line, self.endpoint, ": ", to - from + 1, " records, seq ", from, "-", to);
            words!(line, ", not confirmed by the receiver");
            if !is_whole {
                words!(line, ", and more that were written meanwhile");
            }
        });
        Ok(Outcome::Unconfirmed)
    }

    /// Waits until a socket is ready, the ring has a record, a signal, the watcher's word or news of the network have
    /// come, or `until_ms`. Returns what is ready of the sockets.
    pub(crate) fn wait(&mut self, sockets: [Awaited<'_>; 2], ring: bool, until_ms: u64) -> [PollFlags; 2] {
        let [one, other] = sockets;
        let mut awaited = [
            Awaited::input(Some(self.signals)),
            Awaited::input(self.watcher),
            Awaited::input(ring.then(|| self.source.fd())),
            Awaited::input(self.news.fd()),
            one,
            other,
        ];
        // Once the end has begun, its deadline wakes those who wait.
        wait(&mut awaited, until_ms.min(self.life.wake_ms()));
        let [signal, watcher, _, news, one, other] = &awaited;
        let (signal, watcher, news) = (signal.is_ready(), watcher.is_ready(), news.is_ready());
        let ready = [one.events(), other.events()];
        if ring {
            self.ring_empty = false;
        }
        if news {
            self.news.read();
        }
        let now = time::now_ms();
        self.woken_ms = now;
        if signal && signal::received(self.signals).terminate {
            self.life.asked(now);
        }
        if watcher {
            self.hear(now);
        }
        if self.life.must_look(now) {
            // During a search, what is known is kept aside.
            let known = [&self.names.lookup.found, &self.names.found];
            let (port, old) = (self.endpoint.port, self.progress.old_sockets());
            let seen = known.iter().any(|known| self.delivery.seen(known, port, |inode| old.may_have(inode)));
            self.life.looked(seen, now);
        }
        ready
    }

    /// The same for one socket alone.
    fn wait_for(&mut self, socket: BorrowedFd<'_>, interest: PollFlags, until_ms: u64) -> PollFlags {
        let [events, _] = self.wait([Awaited::new(socket, interest), Awaited::NONE], false, until_ms);
        events
    }

    /// Takes the watcher's word.
    #[inline(never)]
    fn hear(&mut self, now: u64) {
        let Some(watcher) = &self.watcher else { return };
        match self.names.hear(*watcher) {
            Heard::Switched(when) => self.life.switched(when),
            Heard::Mounts => self.delivery.note_old(self.endpoint.port, self.progress),
            Heard::Nothing => {}
            Heard::Gone => {
                self.watcher = None;
                self.life.orphaned(now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absence_is_spoken_of_rarely() {
        const MINUTE_MS: u64 = 60_000;
        let mut down = Down::since(1_000);
        let said: std::vec::Vec<u64> =
            (0..40 * MINUTE_MS).step_by(1_000).filter(|&ms| down.must_say(1_000 + ms)).collect();
        assert_eq!(said, [10_000, MINUTE_MS, 10 * MINUTE_MS, 20 * MINUTE_MS, 30 * MINUTE_MS]);
        assert!(down.must_say(1_000_000 * MINUTE_MS), "after a long stop");
        assert!(!down.must_say(1_000_000 * MINUTE_MS), "only once");
    }
}
