//! One shipper as the watcher sees it: starting it, sending it messages, its death.

use core::fmt::{self, Display};

use crate::logger::{error, warn};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, WaitStatus, kill_process};

use super::Origin;
use super::kernel_log::KernelLog;
use crate::exit;
use crate::kernel_fs::KernelFs;
use crate::logger;
use crate::privileges;
use crate::ship::handover::SocketLists;
use crate::ship::identity::Identity;
use crate::ship::kept_lines::KeptFile;
use crate::ship::{Fds, Job, Outcome, ship};
use crate::sys::fds::{close_all_but, keep};
use crate::sys::process::{self, Fork, fork};
use crate::sys::{At, time};
use earlykmsg::channel::Message;
use earlykmsg::config::Options;
use earlykmsg::config::endpoint::Endpoint;
use earlykmsg::config::tags::Facts;
use earlykmsg::delivery::lifetime::Lifetime;
use earlykmsg::delivery::progress::Progress;
use earlykmsg::error::{Error, Result, Step};
use earlykmsg::limits::{RESTART_FORGET_MS, RESTART_MS_MAX, RESTART_MS_MIN, SHIPPER_UID};
use earlykmsg::record::clock::StampOffset;

/// What all shippers are started with.
pub struct Setup<'a> {
    /// What was asked for.
    pub options: &'a Options<'a>,
    /// Where the log and files below `/proc` are opened.
    pub kernel_fs: &'a KernelFs,
    /// How the program was started.
    pub origin: Origin<'a>,
    /// The descriptor of signals. It tells each process that reads it of that process's own signals.
    pub signals: BorrowedFd<'static>,
    /// The kernel's log as it was at the start.
    pub kernel_log: KernelLog,
    /// The offset of the kernel's stamps.
    pub stamp: StampOffset,
    /// The first record that is to be shipped, as far as it is known.
    pub first: Option<u64>,
    /// What is known of the machine.
    pub facts: Facts,
    /// A directory without anything in it: the shippers' root.
    pub empty: Option<BorrowedFd<'static>>,
    /// What pstore kept.
    pub kept: KeptFile,
}

/// One shipper.
pub struct Child<'a> {
    number: usize,
    /// Its destination.
    pub endpoint: &'a Endpoint<'a>,
    progress: Progress,
    /// What it is doing.
    pub state: State,
    /// The pause before it is started again the next time.
    pub backoff_ms: u64,
}

/// What a shipper is doing.
pub enum State {
    /// It is to be started at this time.
    Due { at_ms: u64 },
    /// It runs since this time. The channel is gone when it has closed its end.
    Running { pid: Pid, since_ms: u64, channel: Option<OwnedFd> },
    /// It has ended and is not started again.
    Ended,
}

impl<'a> Child<'a> {
    /// The shipper of the destination with this number, to be started at this time.
    pub fn new(number: usize, endpoint: &'a Endpoint<'a>, progress: Progress, at_ms: u64) -> Child<'a> {
        Child { number, endpoint, progress, state: State::Due { at_ms }, backoff_ms: RESTART_MS_MIN }
    }

    /// Has it started at once, if it is to be started.
    pub fn start_now(&mut self) {
        if let State::Due { at_ms } = &mut self.state {
            *at_ms = 0;
        }
    }

    /// Whether its receiver has all lines that pstore kept.
    pub fn has_kept_lines(&self) -> bool {
        self.progress.kept_have_arrived()
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<Pid> {
        match self.state {
            State::Running { pid, .. } => Some(pid),
            State::Due { .. } | State::Ended => None,
        }
    }

    /// The channel to it, while it listens.
    pub fn channel(&self) -> Option<BorrowedFd<'_>> {
        match &self.state {
            State::Running { channel, .. } => channel.as_ref().map(AsFd::as_fd),
            State::Due { .. } | State::Ended => None,
        }
    }

    /// Sends it a message, if it runs.
    pub fn send(&self, message: Message<'_>) {
        if let Some(channel) = self.channel() {
            send(channel, message);
        }
    }

    /// Sends it a signal, if it runs.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, signal);
        }
    }

    /// Starts its process.
    pub fn start(&mut self, setup: &mut Setup<'_>, now_ms: u64) -> Result<()> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (channel, other_end) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).at(Step::OpenChannel)?;
        self.progress.begin();
        match fork()? {
            Fork::Child => {
                drop(channel);
                process::exit(self.run(setup, keep(other_end)))
            }
            Fork::Parent(pid) => {
                self.state = State::Running { pid, since_ms: now_ms, channel: Some(channel) };
                Ok(())
            }
        }
    }

    /// Has it started again after a pause, which doubles each time.
    pub fn start_later(&mut self, now_ms: u64) {
        self.state = State::Due { at_ms: now_ms + self.backoff_ms };
        self.backoff_ms = (self.backoff_ms * 2).min(RESTART_MS_MAX);
    }

    /// It has died, and is started again.
    pub fn restart(&mut self, now_ms: u64) {
        if let State::Running { since_ms, .. } = self.state
            && now_ms - since_ms >= RESTART_FORGET_MS
        {
            self.backoff_ms = RESTART_MS_MIN;
        }
        warn!("{}: the shipper is started again in {} ms", self.endpoint, self.backoff_ms);
        self.start_later(now_ms);
    }

    /// Logs how it died.
    pub fn log_death(&self, status: WaitStatus) {
        let death = Death { denied_call: self.progress.denied(), status };
        match self.progress.unsent().and_then(|unsent| unsent.checked_sub(1)) {
            Some(last) => warn!("{}: the shipper {death}, last seq sent {last}", self.endpoint),
            None => warn!("{}: the shipper {death}, nothing was sent", self.endpoint),
        }
    }

    /// The shipper's process. Returns its exit code.
    fn run(&self, setup: &mut Setup<'_>, watcher: BorrowedFd<'static>) -> i32 {
        let fds = self.open(setup, watcher);
        let lifetime = self.lifetime(setup);
        match fds.and_then(|fds| ship(self.job(setup), lifetime, &fds)) {
            Ok(Outcome::Done) => exit::DONE,
            Ok(Outcome::Unacknowledged) => exit::UNAVAILABLE,
            Err(error) => {
                error!("{}: {error}", self.endpoint);
                exit_code(error)
            }
        }
    }

    /// Opens what a shipper needs, and gives up everything else.
    fn open(&self, setup: &Setup<'_>, watcher: BorrowedFd<'static>) -> Result<Fds> {
        let is_of_boot = setup.origin.is_of_boot();
        let signals = setup.signals;
        let kmsg = keep(setup.kernel_fs.open_kmsg()?);
        let sockets = if is_of_boot {
            SocketLists::open(self.endpoint.transport, setup.kernel_fs)
        } else {
            SocketLists::default()
        };
        if let Some(empty) = setup.empty {
            privileges::hide_files(empty)?;
        }
        // The watcher's may be the console, which a shipper does not need.
        let stderr = if is_of_boot { None } else { logger::stderr() };
        let [ipv4, ipv6] = sockets.0;
        close_all_but(&[Some(signals), Some(kmsg), Some(watcher), ipv4, ipv6, stderr, setup.kept.fd]);
        logger::use_kernel_log(kmsg);
        let id = SHIPPER_UID + self.number as u32;
        privileges::drop_to_shipper(id, stderr.is_some(), self.progress.denied_call())?;
        Ok(Fds { kmsg, signals, watcher, sockets })
    }

    /// When it ends.
    fn lifetime(&self, setup: &Setup<'_>) -> Lifetime {
        let mut lifetime = Lifetime::new(setup.origin.is_of_boot(), setup.options.linger);
        if let Some(reached_ms) = self.progress.reached_ms() {
            lifetime.reached(reached_ms);
        }
        if let Origin::ByHand { once: true } = setup.origin {
            lifetime.once(time::now_ms());
        }
        lifetime
    }

    /// What it is to do: all that was asked for, from where its predecessor came to.
    fn job<'s>(&self, setup: &'s mut Setup<'_>) -> Job<'s>
    where
        'a: 's,
    {
        Job {
            endpoint: self.endpoint,
            level: setup.options.level,
            identity: Identity::new(setup.options, self.number, &mut setup.facts),
            first: self.progress.resume().or(setup.first),
            oldest_at_start: setup.kernel_log.oldest.unwrap_or(0),
            saved: setup.kernel_log.saved,
            unsent: self.progress.unsent(),
            stamp: setup.stamp,
            kept: KeptFile { next: self.progress.kept_resume(), ..setup.kept },
            progress: self.progress,
        }
    }
}

/// The exit code of a shipper that failed. The watcher starts it again, unless that would lead to the same.
fn exit_code(error: Error) -> i32 {
    if error.step == Step::KmsgEnded { exit::UNAVAILABLE } else { exit::SOFTWARE }
}

/// Sends a message without waiting. It is lost when the shipper has closed its end or reads too slowly.
pub fn send(channel: BorrowedFd<'_>, message: Message<'_>) {
    let _ = rustix::net::send(channel, &message.encode(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
}

/// How a shipper died.
struct Death {
    denied_call: Option<u64>,
    status: WaitStatus,
}

impl Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(call) = self.denied_call {
            return write!(f, "asked for system call {call}, which it may not make, and was ended");
        }
        match self.status.terminating_signal() {
            Some(signal) => write!(f, "was killed by signal {signal}"),
            None => write!(f, "ended with code {}", self.status.exit_status().unwrap_or_default()),
        }
    }
}
