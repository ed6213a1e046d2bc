//! The watcher: starts one shipper per destination, starts those again that die, and tells them of the root switch.
//!
//! It keeps what needs privilege, opens no IP socket and parses nothing that comes from outside the machine.

mod child;
pub mod kernel_log;
mod network;
mod origin;
mod program;
mod pstore;
mod root_files;
mod start_line;
mod switch_root;
mod wall_clock;

use crate::logger::{error, info, warn};
use heapless::Vec;
use rustix::event::PollFlags;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::read;
use rustix::process::{Signal, WaitOptions};
use rustix::system::uname;

use crate::exit;
use crate::kernel_fs::{KernelFs, empty_directory};
use crate::logger;
use crate::privileges;
use crate::ship::identity;
use crate::sys::fds::keep;
use crate::sys::memory::{give_back_stack, shared_numbers};
use crate::sys::socket::holds_unsent;
use crate::sys::wait::{AWAITED_MAX, Awaited, wait};
use crate::sys::{signal, time};
use child::{Child, Setup, State};
use earlykmsg::channel::Message;
use earlykmsg::config::tags::Facts;
use earlykmsg::config::{Linger, Options};
use earlykmsg::delivery::progress::Board;
use earlykmsg::error::Result;
use earlykmsg::limits::{
    DESTINATIONS_MAX, DRAIN_GRACE_MS, DRAIN_MS, NEVER_MS, PSTORE_AWAIT_MS, TERM_TO_SWITCH_MS,
};
use kernel_log::KernelLog;
use network::Network;
pub use origin::Origin;
use pstore::Pstore;
use start_line::StartLine;
use switch_root::RootSwitch;
use wall_clock::WallClock;

/// Ships `kernel_log` to all destinations until their shippers have ended. Returns the exit code.
pub fn watch(
    options: &Options<'_>,
    kernel_fs: &KernelFs,
    origin: Origin<'_>,
    kernel_log: Result<KernelLog>,
) -> i32 {
    if kernel_log.is_err()
        && origin.is_of_boot()
        && let Some(console) = kernel_fs.open_console()
    {
        logger::use_console(keep(console));
    }
    let mut watcher = kernel_log.and_then(|kernel_log| Watcher::new(options, kernel_fs, origin, kernel_log));
    match &mut watcher {
        Ok(watcher) => watcher.run(),
        Err(error) => {
            error!("{error}; the log is not shipped");
            exit::UNAVAILABLE
        }
    }
}

struct Watcher<'a> {
    setup: Setup<'a>,
    root_switch: Option<RootSwitch>,
    network: Network,
    pstore: Pstore,
    wall_clock: WallClock,
    /// The root to come back to from PID 1's: the empty directory, or without one the root at the start.
    home: Option<BorrowedFd<'static>>,
    /// When the root was switched.
    switched_ms: Option<u64>,
    /// When a signal asked for the end. A root switch after that makes it void.
    end_requested_ms: Option<u64>,
    shippers: Vec<Child<'a>, DESTINATIONS_MAX>,
    /// The highest exit code of a shipper.
    exit_code: i32,
}

/// What came while the watcher waited.
struct Ready {
    mounts: bool,
    wall_clock: bool,
    shippers: [bool; DESTINATIONS_MAX],
}

impl<'a> Watcher<'a> {
    /// Logs the start, opens all that the watcher needs and gives up the privileges that it does not.
    #[inline(never)] // its parts are on the stack only while it runs
    fn new(
        options: &'a Options<'a>,
        kernel_fs: &'a KernelFs,
        origin: Origin<'a>,
        kernel_log: KernelLog,
    ) -> Result<Watcher<'a>> {
        let signals = keep(signal::listen()?);
        logger::use_kernel_log(kernel_log.fd);
        let network = Network::start(options, origin);
        let pstore = Pstore::start(options, origin);
        let start = StartLine { kernel: uname(), options, origin };
        let stamp = kernel_log.measure_stamps(|| {
            let before_ns = time::raw_ns();
            info!("{start}");
            before_ns
        });
        if !WallClock::is_set() {
            warn!("the wall clock was never set: until it is, records carry wrong times");
        }
        let wall_clock = WallClock::watch();
        let mut facts = Facts::NONE;
        identity::learn(&mut facts, options, kernel_fs);
        let board = Board::new(shared_numbers()?);
        let root_switch = if origin.expects_root_switch() { RootSwitch::watch(kernel_fs) } else { None };
        let empty = empty_directory().map(keep);
        let home = if origin.expects_root_switch() { empty.or_else(root_files::open_root) } else { None };
        privileges::drop_to_watcher()?;
        // What pstore kept goes first, if it comes soon.
        let start_ms = pstore.channel().map_or(0, |_| time::now_ms() + PSTORE_AWAIT_MS);
        let destinations = options.destinations.iter().zip(board.slots()).enumerate();
        let shippers = destinations
            .map(|(number, (endpoint, progress))| Child::new(number, endpoint, progress, start_ms));
        // At the boot there is nothing before record 0: what the ring no longer has is a loss.
        let first = if origin.expects_root_switch() { Some(0) } else { kernel_log.oldest };
        // On a main system it goes on as after a root switch.
        let is_switched = origin.is_of_boot() && !origin.expects_root_switch();
        Ok(Watcher {
            shippers: shippers.collect(),
            setup: Setup {
                options,
                kernel_fs,
                origin,
                signals,
                kernel_log,
                stamp,
                first,
                facts,
                empty,
                kept: pstore.file,
            },
            root_switch,
            network,
            pstore,
            wall_clock,
            home,
            switched_ms: is_switched.then(time::now_ms),
            end_requested_ms: None,
            exit_code: exit::DONE,
        })
    }

    /// Runs until all shippers have ended. Returns the exit code.
    fn run(&mut self) -> i32 {
        loop {
            self.start_due(time::now_ms());
            if self.has_ended(time::now_ms()) {
                return self.exit_code;
            }
            give_back_stack();
            let ready = self.wait();
            self.network.take_message(&self.shippers);
            self.pstore.take_message(&mut self.shippers);
            self.setup.kept = self.pstore.file;
            self.answer_requests(&ready.shippers);
            if ready.wall_clock {
                self.log_clock_step();
            }
            if ready.mounts {
                self.mounts_changed();
            }
            let now = time::now_ms();
            if signal::received(self.setup.signals).terminate {
                self.end_requested_ms.get_or_insert(now);
                self.shippers.iter().for_each(|shipper| shipper.signal(Signal::TERM));
            }
            self.reap(now);
            if self.root_switch.as_mut().is_some_and(|switch| switch.has_happened(now)) {
                self.root_switched(now);
            }
            self.enforce_end(now);
        }
    }

    /// Whether all shippers have ended. With none, the program that arms netconsole has to end, or its time is over.
    fn has_ended(&self, now: u64) -> bool {
        let mut shippers = self.shippers.iter();
        shippers.all(|shipper| matches!(shipper.state, State::Ended))
            && (!self.shippers.is_empty() || self.network.channel().is_none() || now >= self.netconsole_ms())
    }

    /// Until when netconsole is kept for its own sake: until the linger time after the root switch is over, or the end is
    /// asked for, unless a root switch follows that.
    fn netconsole_ms(&self) -> u64 {
        let linger_ms = match (self.setup.options.linger, self.switched_ms) {
            (Linger::Seconds(seconds), Some(switched)) => switched + u64::from(seconds) * 1_000,
            _ => NEVER_MS,
        };
        let asked_ms = match self.switched_ms {
            Some(_) => self.end_requested_ms.unwrap_or(NEVER_MS),
            None => self.force_ms(),
        };
        linger_ms.min(asked_ms)
    }

    /// Starts every shipper whose time has come.
    fn start_due(&mut self, now: u64) {
        for shipper in &mut self.shippers {
            if !matches!(shipper.state, State::Due { at_ms } if now >= at_ms) {
                continue;
            }
            match shipper.start(&mut self.setup, now) {
                Ok(()) => {
                    if let Some(at_ms) = self.switched_ms {
                        shipper.send(Message::RootSwitched { at_ms });
                    }
                    if self.end_requested_ms.is_some() {
                        shipper.signal(Signal::TERM);
                    }
                }
                Err(error) => {
                    let endpoint = shipper.endpoint;
                    let is_once = self.setup.origin == Origin::ByHand { once: true };
                    if is_once && shipper.backoff_ms > DRAIN_MS {
                        error!("{endpoint}: {error}");
                        self.exit_code = exit::UNAVAILABLE;
                        shipper.state = State::Ended;
                    } else {
                        warn!("{endpoint}: {error}; tried again in {} ms", shipper.backoff_ms);
                        shipper.start_later(now);
                    }
                }
            }
        }
    }

    /// Waits for a signal, a change of mounts or of the clock, a shipper's message, or the next thing that is due.
    fn wait(&self) -> Ready {
        let mut until = if self.shippers.is_empty() { self.netconsole_ms() } else { self.force_ms() };
        let mut awaited = [Awaited::NONE; AWAITED_MAX];
        let [signals, mounts, wall_clock, network, pstore, channels @ ..] = &mut awaited;
        *signals = Awaited::new(self.setup.signals, PollFlags::IN);
        if let Some(switch) = &self.root_switch {
            *mounts = switch.awaited();
            until = until.min(switch.wake_ms());
        }
        *wall_clock = Awaited::input(self.wall_clock.fd());
        *network = Awaited::input(self.network.channel());
        *pstore = Awaited::input(self.pstore.channel());
        for (shipper, channel) in self.shippers.iter().zip(channels) {
            *channel = Awaited::input(shipper.channel());
            if let State::Due { at_ms } = shipper.state {
                until = until.min(at_ms);
            }
        }
        wait(&mut awaited, until);
        // Signals and the messages of both programs are looked for each time.
        let [_, mounts, wall_clock, _, _, shippers @ ..] = awaited.map(|awaited| awaited.is_ready());
        Ready { mounts, wall_clock, shippers }
    }

    /// Sends the files for name lookups to the shippers that have asked for them. The only other message that comes from
    /// one says that its receiver has what pstore kept.
    fn answer_requests(&mut self, ready: &[bool]) {
        let mut kept_lines_arrived = false;
        for (shipper, is_ready) in self.shippers.iter_mut().zip(ready) {
            if *is_ready
                && let State::Running { channel, .. } = &mut shipper.state
                && let Some(open) = channel
            {
                let mut packet = [0; 1];
                let length = read(&*open, &mut packet).unwrap_or(0);
                match Message::decode(packet.get(..length).unwrap_or_default()) {
                    Some(Message::KeptLinesArrived) => kept_lines_arrived = true,
                    Some(_) => {
                        let is_main_system = self.switched_ms.is_some();
                        let (fs, servers) = (self.setup.kernel_fs, &self.network.name_servers);
                        root_files::send_all(fs, self.home, is_main_system, servers, open.as_fd());
                    }
                    // It has closed its end.
                    None => *channel = None,
                }
            }
        }
        if kept_lines_arrived {
            self.pstore.arrived(&self.shippers);
        }
    }

    /// Logs by how much the wall clock was set forward or back, and before which record.
    fn log_clock_step(&mut self) {
        let Some(step) = self.wall_clock.take_step(time::now_ms()) else { return };
        match self.setup.kernel_log.newest(self.setup.kernel_fs) {
            Some(newest) => info!("wall clock stepped by {step} s at seq {}", newest + 1),
            None => info!("wall clock stepped by {step} s"),
        }
    }

    /// The mounts have changed, so a root switch may follow. The shippers are told.
    fn mounts_changed(&mut self) {
        let Some(switch) = &mut self.root_switch else { return };
        switch.mounts_changed(time::now_ms());
        if self.switched_ms.is_some() {
            return;
        }
        for shipper in &self.shippers {
            // A shipper that has not read an earlier message looks late enough anyway, and this keeps room for others.
            if shipper.channel().is_some_and(|channel| !holds_unsent(channel)) {
                shipper.send(Message::MountsChanged);
            }
        }
    }

    /// The root was switched. The shippers are told, the first time.
    fn root_switched(&mut self, now: u64) {
        if self.switched_ms.is_some() {
            return;
        }
        self.network.root_switched(now);
        self.switched_ms = Some(now);
        // A SIGTERM before the switch was not meant to end what outlives it.
        self.end_requested_ms = None;
        info!("root switched, shipping goes on");
        self.shippers.iter().for_each(|shipper| shipper.send(Message::RootSwitched { at_ms: now }));
    }

    /// Takes note of every shipper that has ended. The other programs say by themselves why they end, unless they are killed.
    fn reap(&mut self, now: u64) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let restarts = self.restarts();
            let Some(shipper) = self.shippers.iter_mut().find(|shipper| shipper.pid() == Some(pid)) else {
                if let Some(signal) = status.terminating_signal() {
                    error!(
                        "earlykmsg-network or earlykmsg-pstore was killed by signal {signal}; it is not started again"
                    );
                }
                continue;
            };
            if let Some(code @ (exit::DONE | exit::UNAVAILABLE)) = status.exit_status() {
                self.exit_code = self.exit_code.max(code);
                shipper.state = State::Ended;
                continue;
            }
            shipper.log_death(status);
            if restarts {
                shipper.restart(now);
            } else {
                self.exit_code = exit::SOFTWARE;
                shipper.state = State::Ended;
            }
        }
    }

    /// Whether a shipper that has died is started again. By hand, nobody waits for that when the end was asked for.
    fn restarts(&self) -> bool {
        match self.setup.origin {
            Origin::Pid1 { .. } | Origin::Background { .. } => true,
            Origin::ByHand { once } => !once && self.end_requested_ms.is_none(),
        }
    }

    /// When shippers that were asked to end are ended by force.
    fn force_ms(&self) -> u64 {
        let before_switch = self.setup.origin.is_of_boot() && self.switched_ms.is_none();
        let allowed_ms = if before_switch { TERM_TO_SWITCH_MS } else { DRAIN_MS };
        self.end_requested_ms.map_or(NEVER_MS, |requested| requested + allowed_ms + DRAIN_GRACE_MS)
    }

    /// Ends those by force that were asked to end and have not, and starts none again.
    fn enforce_end(&mut self, now: u64) {
        if now < self.force_ms() {
            return;
        }
        for shipper in &mut self.shippers {
            match shipper.state {
                State::Ended => continue,
                State::Due { .. } => {}
                State::Running { .. } => {
                    error!("{}: the shipper did not end in time and is ended by force", shipper.endpoint);
                    shipper.signal(Signal::KILL);
                }
            }
            self.exit_code = self.exit_code.max(exit::UNAVAILABLE);
            shipper.state = State::Ended;
        }
    }
}
