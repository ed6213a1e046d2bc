//! The watcher: starts one shipper a destination, starts those again that die, and tells them of the switch of root.
//!
//! It keeps what needs privilege, opens no IP socket and parses nothing that comes from outside the machine.

use core::ffi::CStr;

use rustix::event::PollFlags;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::read;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process};

use crate::board::{Board, Progress};
use crate::boot::kernel_fs::{DIRECTORY, KernelFs, empty_directory};
use crate::boot::switch::Switch;
use crate::channel::{MOUNTS, SWITCHED};
use crate::clock::StampOffset;
use crate::cmdline::Options;
use crate::endpoint::Endpoint;
use crate::error::{Error, Result, Step};
use crate::files;
use crate::harden::privileges;
use crate::identity::{self, Identity};
use crate::kmsg::start::Log;
use crate::lifetime::Lifetime;
use crate::limits::{
    DESTINATIONS_MAX, DRAIN_GRACE_MS, DRAIN_MS, NEVER_MS, RESTART_FORGET_MS, RESTART_MS_MAX, RESTART_MS_MIN,
    SHIPPER_UID, TERM_TO_SWITCH_MS,
};
use crate::report;
use crate::ship::{Fds, Job, Outcome, ship};
use crate::sys::At;
use crate::sys::fds::{close_all_but, keep};
use crate::sys::process::{Fork, exit, fork};
use crate::sys::socket::holds_unsent;
use crate::sys::wait::{Awaited, wait};
use crate::sys::{signal, time};
use crate::tags::Facts;
use crate::takeover::Delivery;
use crate::wall::Wall;
use crate::words;
use crate::words::{Line, Quoted, Words};

/// How the program was started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin<'a> {
    /// As PID 1, which is becoming this program.
    Pid1 {
        /// The path of the next init, as far as it can be foreseen.
        next_init: Option<&'a [u8]>,
    },
    /// By hand, or from a script.
    Hand {
        /// `--once`
        once: bool,
    },
}

/// Exit codes, as `sysexits.h` has them.
pub mod code {
    /// All done.
    pub const DONE: i32 = 0;
    /// The command was used wrongly.
    pub const USAGE: i32 = 64;
    /// Asked for a system call that the process's filter denies.
    pub const DENIED: i32 = 77;
    /// Gave up, where giving up was asked for.
    pub const UNAVAILABLE: i32 = 69;
    /// The program itself failed.
    pub const SOFTWARE: i32 = 70;
}

/// Ships `log` to all destinations until their lives end. Returns the exit code.
pub fn watch(options: &Options<'_>, reach: &KernelFs, origin: Origin<'_>, log: Result<Log>) -> i32 {
    let log = match log {
        Ok(log) => log,
        Err(error) => {
            if matches!(origin, Origin::Pid1 { .. })
                && let Some(console) = reach.open_console()
            {
                report::to_console(keep(console));
            }
            report::error(|line| words!(line, error, "; the log is not shipped"));
            return code::UNAVAILABLE;
        }
    };
    // As a reference: it is not moved.
    match &mut begin(options, reach, origin, log) {
        Ok(watcher) => watcher.run(),
        Err(error) => {
            report::error(|line| words!(line, *error, "; the log is not shipped"));
            code::UNAVAILABLE
        }
    }
}

#[inline(never)]
fn begin<'a>(
    options: &'a Options<'a>,
    reach: &'a KernelFs,
    origin: Origin<'a>,
    mut log: Log,
) -> Result<Watcher<'a>> {
    let signals = keep(signal::listen()?);
    report::to_kernel_log(Some(log.fd));
    let stamp = log.measure(|| {
        let mut before_ns = 0;
        report::info(|line| {
            words!(line, Start { options, origin });
            before_ns = time::raw_ns();
        });
        before_ns
    });
    if !Wall::is_set() {
        report::warn(|line| {
            words!(line, "the wall clock was never set: until it is, records carry wrong times");
        });
    }
    let wall = Wall::watch();
    let mut facts = Facts::NONE;
    identity::learn(&mut facts, options, reach);
    let board = Board::new()?;
    let switch = if matches!(origin, Origin::Pid1 { .. }) { Switch::watch(reach) } else { None };
    let empty = empty_directory();
    let home = match origin {
        Origin::Hand { .. } => None,
        Origin::Pid1 { .. } => match &empty {
            Some(empty) => rustix::io::fcntl_dupfd_cloexec(empty, 3).ok(),
            None => open(c"/", DIRECTORY, Mode::empty()).ok(),
        },
    };
    privileges::drop_to_watcher()?;
    let mut shippers = heapless::Vec::new();
    for (number, endpoint) in options.destinations.iter().enumerate() {
        // As many as there are destinations.
        let _ = shippers.push(Shipper::new(number, endpoint, board.place(number)));
    }
    Ok(Watcher {
        options,
        reach,
        origin,
        signals,
        stamp,
        // As PID 1 there is nothing before record 0: what the ring no longer has is a loss.
        first: if matches!(origin, Origin::Pid1 { .. }) { Some(0) } else { log.oldest },
        log,
        switch,
        wall,
        facts,
        empty,
        home,
        switched_ms: None,
        asked_ms: None,
        shippers,
        worst: code::DONE,
    })
}

struct Watcher<'a> {
    options: &'a Options<'a>,
    reach: &'a KernelFs,
    origin: Origin<'a>,
    signals: BorrowedFd<'static>,
    stamp: StampOffset,
    log: Log,
    /// The first record that is to be shipped, as far as it is known.
    first: Option<u64>,
    switch: Option<Switch>,
    wall: Wall,
    facts: Facts,
    /// A directory without anything in it: the shippers' root.
    empty: Option<OwnedFd>,
    /// The root to come back to from PID 1's.
    home: Option<OwnedFd>,
    switched_ms: Option<u64>,
    asked_ms: Option<u64>,
    shippers: heapless::Vec<Shipper<'a>, DESTINATIONS_MAX>,
    /// The highest exit code of a shipper.
    worst: i32,
}

/// One destination, as the watcher sees it.
struct Shipper<'a> {
    number: usize,
    endpoint: &'a Endpoint<'a>,
    progress: Progress,
    state: State,
    pause_ms: u64,
}

enum State {
    /// To be started at this time.
    Due(u64),
    /// At work since this time; the channel is gone when it has closed its end.
    AtWork { pid: Pid, since_ms: u64, channel: Option<OwnedFd> },
    /// It has ended, as it should.
    Ended,
}

impl<'a> Shipper<'a> {
    fn new(number: usize, endpoint: &'a Endpoint<'a>, progress: Progress) -> Shipper<'a> {
        Shipper { number, endpoint, progress, state: State::Due(0), pause_ms: RESTART_MS_MIN }
    }
}

impl<'a> Watcher<'a> {
    #[inline(never)]
    fn run(&mut self) -> i32 {
        loop {
            let now = time::now_ms();
            self.start_due(now);
            if self.shippers.iter().all(|shipper| matches!(shipper.state, State::Ended)) {
                return self.worst;
            }
            self.wait();
            let now = time::now_ms();
            let signals = signal::received(self.signals);
            if signals.terminate {
                self.asked_ms.get_or_insert(now);
                self.signal_all(Signal::TERM);
            }
            self.reap(now);
            if self.switch.as_mut().is_some_and(|switch| switch.happened(now)) {
                self.tell_switch(now);
            }
            self.enforce_end(now);
        }
    }

    /// Starts every shipper whose time has come.
    fn start_due(&mut self, now: u64) {
        for at in 0..self.shippers.len() {
            if matches!(self.shippers[at].state, State::Due(due) if now >= due)
                && let Err(error) = self.start(at, now)
            {
                let shipper = &mut self.shippers[at];
                if self.origin == (Origin::Hand { once: true }) && shipper.pause_ms > DRAIN_MS {
                    report::error(|line| words!(line, shipper.endpoint, ": ", error));
                    self.worst = code::UNAVAILABLE;
                    shipper.state = State::Ended;
                    continue;
                }
                report::warn(|line| {
                    words!(line, shipper.endpoint, ": ", error, "; tried again in ", shipper.pause_ms, " ms");
                });
                shipper.state = State::Due(now + shipper.pause_ms);
                shipper.pause_ms = (shipper.pause_ms * 2).min(RESTART_MS_MAX);
            }
        }
    }

    fn start(&mut self, at: usize, now: u64) -> Result<()> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (channel, shippers) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).at(Step::MakeChannel)?;
        self.shippers[at].progress.begin();
        match fork()? {
            Fork::Child => {
                drop(channel);
                exit(self.be_shipper(at, keep(shippers)))
            }
            Fork::Parent(pid) => {
                if let Some(switched) = self.switched_ms {
                    tell_switched(&channel, switched);
                }
                if self.asked_ms.is_some() {
                    let _ = kill_process(pid, Signal::TERM);
                }
                self.shippers[at].state = State::AtWork { pid, since_ms: now, channel: Some(channel) };
                Ok(())
            }
        }
    }

    /// The shipper's process. Returns its exit code.
    fn be_shipper(&mut self, at: usize, watcher: BorrowedFd<'static>) -> i32 {
        let endpoint = self.shippers[at].endpoint;
        let fail = |error: Error| {
            report::error(|line| words!(line, endpoint, ": ", error));
            code::SOFTWARE
        };
        let (job, fds) = match self.prepare_shipper(at, watcher) {
            Ok(prepared) => prepared,
            Err(error) => return fail(error),
        };
        match ship(job, fds) {
            Ok(Outcome::Done) => code::DONE,
            Ok(Outcome::Unconfirmed) => code::UNAVAILABLE,
            Err(error) => {
                let code = fail(error);
                // To start again would lead to the same.
                if error == Error::log_ends() { code::UNAVAILABLE } else { code }
            }
        }
    }

    /// Opens what a shipper needs, and gives up everything else.
    fn prepare_shipper(&mut self, at: usize, watcher: BorrowedFd<'static>) -> Result<(Job<'_>, Fds)> {
        let shipper = &self.shippers[at];
        let by_hand = matches!(self.origin, Origin::Hand { .. });
        // It tells whoever reads it of the reader's own signals.
        let signals = self.signals;
        let kmsg = keep(self.reach.open_kmsg()?);
        let mut delivery = Delivery::default();
        if !by_hand {
            // A kernel without IPv6 has no such list.
            let open = |name: &'static CStr| self.reach.open_proc(name, OFlags::RDONLY).ok().map(keep);
            delivery = Delivery::new(shipper.endpoint.scheme, open);
        }
        if let Some(empty) = &self.empty {
            privileges::hide_files(empty)?;
        }
        let stderr = if by_hand { report::stderr() } else { None };
        let [list, other] = delivery.lists;
        close_all_but(&[Some(signals), Some(kmsg), Some(watcher), list, other, stderr]);
        report::to_kernel_log(Some(kmsg));
        let id = SHIPPER_UID + shipper.number as u32;
        privileges::drop_to_shipper(id, stderr.is_some(), shipper.progress)?;

        let mut life = Lifetime::new(!by_hand, self.options.linger);
        if let Some(reached) = shipper.progress.reached_ms() {
            life.reached(reached);
        }
        if let Origin::Hand { once: true } = self.origin {
            life.once(time::now_ms());
        }
        let job = Job {
            endpoint: shipper.endpoint,
            level: self.options.level,
            identity: Identity::new(self.options, shipper.number, &mut self.facts),
            life,
            first: shipper.progress.resume().or(self.first),
            oldest_at_start: self.log.oldest.unwrap_or(0),
            saved: self.log.saved,
            buffer: self.log.buffer,
            unsent: shipper.progress.unsent(),
            stamp: self.stamp,
            progress: shipper.progress,
        };
        Ok((job, Fds { kmsg, signals, watcher, delivery }))
    }

    /// Waits for a signal, a change of mounts or of the clock, a shipper's question, or the next thing that is due.
    /// Answers questions.
    fn wait(&mut self) {
        let mut until = self.force_ms();
        let mut awaited = [Awaited::NONE; 3 + DESTINATIONS_MAX];
        let [of_signals, of_mounts, of_clock, of_shippers @ ..] = &mut awaited;
        *of_signals = Awaited::new(self.signals, PollFlags::IN);
        *of_clock = Awaited::input(self.wall.fd());
        if let Some(switch) = &self.switch {
            *of_mounts = switch.awaited();
            until = until.min(switch.wake_ms());
        }
        for (shipper, awaited) in self.shippers.iter().zip(of_shippers) {
            match &shipper.state {
                State::Due(due) => until = until.min(*due),
                State::AtWork { channel, .. } => {
                    *awaited = Awaited::input(channel.as_ref().map(AsFd::as_fd));
                }
                State::Ended => {}
            }
        }
        wait(&mut awaited, until);
        let ready = awaited.map(|awaited| awaited.is_ready());
        for (shipper, ready) in self.shippers.iter_mut().zip(&ready[3..]) {
            if *ready
                && let State::AtWork { channel, .. } = &mut shipper.state
                && let Some(open) = channel
            {
                if matches!(read(&mut *open, &mut [0; 1]), Ok(1..)) {
                    files::hand_over(self.reach, self.home.as_ref(), open.as_fd());
                } else {
                    *channel = None;
                }
            }
        }
        if ready[2]
            && let Some(step_us) = self.wall.stepped(time::now_ms())
        {
            say_step(step_us, self.log.newest(self.reach));
        }
        if ready[1]
            && let Some(switch) = &mut self.switch
        {
            switch.changed(time::now_ms());
            if self.switched_ms.is_none() {
                self.tell_mounts();
            }
        }
    }

    /// Takes note of every shipper that has ended.
    fn reap(&mut self, now: u64) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let ended = self
                .shippers
                .iter_mut()
                .find(|s| matches!(s.state, State::AtWork { pid: own, .. } if own == pid));
            let Some(shipper) = ended else { continue };
            let exit = status.exit_status();
            if let Some(exit @ (code::DONE | code::UNAVAILABLE)) = exit {
                self.worst = self.worst.max(exit);
                shipper.state = State::Ended;
                continue;
            }
            say_death(shipper, status);
            let once = self.origin == Origin::Hand { once: true };
            if once || (self.asked_ms.is_some() && matches!(self.origin, Origin::Hand { .. })) {
                // There is nothing to start again for.
                self.worst = code::SOFTWARE;
                shipper.state = State::Ended;
                continue;
            }
            if let State::AtWork { since_ms, .. } = shipper.state
                && now - since_ms >= RESTART_FORGET_MS
            {
                shipper.pause_ms = RESTART_MS_MIN;
            }
            report::warn(|line| {
                let pause = shipper.pause_ms;
                words!(line, shipper.endpoint, ": the shipper is started again in ", pause, " ms");
            });
            shipper.state = State::Due(now + shipper.pause_ms);
            shipper.pause_ms = (shipper.pause_ms * 2).min(RESTART_MS_MAX);
        }
    }

    /// Tells the shippers that a switch of root may be under way.
    fn tell_mounts(&self) {
        for shipper in &self.shippers {
            if let State::AtWork { channel: Some(channel), .. } = &shipper.state
                // Who has not read what it was told before will look late enough, and what else it must be told has room.
                && !holds_unsent(channel)
            {
                files::tell(channel.as_fd(), &[MOUNTS]);
            }
        }
    }

    fn tell_switch(&mut self, now: u64) {
        if self.switched_ms.is_some() {
            return;
        }
        self.switched_ms = Some(now);
        // A SIGTERM before the switch was not meant to end what outlives it.
        self.asked_ms = None;
        report::info(|line| words!(line, "root switched, shipping goes on"));
        for shipper in &self.shippers {
            if let State::AtWork { channel: Some(channel), .. } = &shipper.state {
                tell_switched(channel, now);
            }
        }
    }

    fn signal_all(&self, signal: Signal) {
        for shipper in &self.shippers {
            if let State::AtWork { pid, .. } = shipper.state {
                let _ = kill_process(pid, signal);
            }
        }
    }

    /// When shippers that were asked to end are ended by force.
    fn force_ms(&self) -> u64 {
        let before_switch = matches!(self.origin, Origin::Pid1 { .. }) && self.switched_ms.is_none();
        let allowed = if before_switch { TERM_TO_SWITCH_MS } else { DRAIN_MS };
        self.asked_ms.map_or(NEVER_MS, |asked| asked + allowed + DRAIN_GRACE_MS)
    }

    /// Ends those by force that were asked to end and have not, and starts none again.
    fn enforce_end(&mut self, now: u64) {
        if now < self.force_ms() {
            return;
        }
        for shipper in &mut self.shippers {
            if let State::AtWork { pid, .. } = shipper.state {
                report::error(|line| {
                    words!(line, shipper.endpoint, ": the shipper did not end in time and is ended by force");
                });
                let _ = kill_process(pid, Signal::KILL);
            }
            if !matches!(shipper.state, State::Ended) {
                self.worst = self.worst.max(code::UNAVAILABLE);
                shipper.state = State::Ended;
            }
        }
    }
}

fn tell_switched(channel: &OwnedFd, switched_ms: u64) {
    let mut packet = [SWITCHED; 9];
    packet[1..].copy_from_slice(&switched_ms.to_ne_bytes());
    files::tell(channel.as_fd(), &packet);
}

fn say_death(shipper: &Shipper<'_>, status: WaitStatus) {
    let (how, code) = match (status.terminating_signal(), status.exit_status()) {
        (Some(signal), _) => ("was killed by signal ", signal),
        (None, exit) => ("ended with code ", exit.unwrap_or(-1)),
    };
    report::warn(|line| {
        words!(line, shipper.endpoint, ": the shipper ");
        match shipper.progress.denied() {
            Some(call) => {
                words!(line, "asked for system call ", call, ", which it may not make, and was ended");
            }
            None => words!(line, how, code.unsigned_abs()),
        }
        match shipper.progress.unsent().and_then(|unsent| unsent.checked_sub(1)) {
            Some(last) => words!(line, ", last seq sent ", last),
            None => words!(line, ", nothing was sent"),
        }
    });
}

/// Says by how much the wall clock was set forward or back, and before which record.
fn say_step(step_us: i64, newest: Option<u64>) {
    report::info(|line| {
        let step_ms = (step_us.unsigned_abs() + 500) / 1_000;
        let sign = if step_us < 0 { "-" } else { "+" };
        words!(line, "wall clock stepped by ", sign, step_ms / 1_000, ".");
        for place in &[100, 10, 1] {
            line.byte(b'0' + (step_ms / place % 10) as u8);
        }
        words!(line, " s");
        if let Some(newest) = newest {
            words!(line, " at seq ", newest + 1);
        }
    });
}

/// The line that says who starts and what for.
struct Start<'a> {
    options: &'a Options<'a>,
    origin: Origin<'a>,
}

impl Words for Start<'_> {
    fn put(&self, line: &mut Line) {
        let name = rustix::system::uname();
        words!(line, concat!(env!("CARGO_PKG_VERSION"), " on "), Quoted(name.release().to_bytes()));
        for (at, endpoint) in self.options.destinations.iter().enumerate() {
            words!(line, if at == 0 { ", shipping to " } else { " and " }, endpoint);
        }
        if let Origin::Pid1 { next_init } = self.origin {
            words!(line, ", next init ", Quoted(next_init.unwrap_or(b"not found")));
        }
    }
}
