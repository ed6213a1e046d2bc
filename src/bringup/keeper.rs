//! The keeper: it starts the client and the loader, and gives the network back, whatever becomes of them.
//!
//! It also keeps links down for as long as udevd takes to name them: kernels before 6.2 cannot rename a link that is up.

use core::ffi::CStr;
use core::fmt::Write;

use heapless::Vec;
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::{Errno, read};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::pipe::pipe;
use rustix::process::{Pid, Signal, WaitOptions, kill_process};
use rustix::system::uname;

use super::give_back::{Links, give_back};
use super::rtnl::{Rtnl, open_uevents};
use super::{client, loader};
use crate::exit;
use crate::kernel_fs::sysfs;
use crate::logger::{self, error, info, warn};
use crate::privileges::{Role, drop_to};
use crate::sys::At;
use crate::sys::fds::{close_all_but, keep};
use crate::sys::memory::shared_numbers;
use crate::sys::process::{self, Fork, fork};
use crate::sys::wait::{Awaited, wait};
use crate::sys::{failed, signal, time};
use crate::udevd;
use earlykmsg::channel::Message;
use earlykmsg::config::netconsole;
use earlykmsg::config::network_words::NetworkWords;
use earlykmsg::error::{Result, Step};
use earlykmsg::limits::{CLIENT_END_MS, LINKS_MAX, NEVER_MS, PACKET_BYTES_MAX, UDEVD_MS, UEVENT_BYTES};
use earlykmsg::network::journal::{Flag, Journal};
use earlykmsg::network::rename::renames_links_that_are_up;
use earlykmsg::wire::rtnetlink::set_link;
use earlykmsg::wire::uevent;

struct Keeper {
    /// The descriptor of signals.
    signals: BorrowedFd<'static>,
    rtnl: Rtnl,
    /// What the kernel and udevd tell of devices; none where links can be renamed at any time.
    uevents: Option<BorrowedFd<'static>>,
    sysfs: Option<OwnedFd>,
    journal: Journal,
    /// Links that are down until udevd has named them, and until when at most.
    ducked: Vec<Ducked, LINKS_MAX>,
    client: Option<Pid>,
    loader: Option<Pid>,
    netconsole: Option<Netconsole>,
}

/// The process that arms netconsole.
struct Netconsole {
    pid: Pid,
    /// Closed, it tells that process to end.
    _pipe: OwnedFd,
}

/// The keeper's process. Returns its exit code.
pub fn keep_network(words: &NetworkWords<'_>, wants_network: bool, watcher: BorrowedFd<'static>) -> i32 {
    match Keeper::start(words, wants_network, watcher) {
        Ok(mut keeper) => {
            let why = keeper.serve(watcher);
            if why != Why::WatcherEnded {
                keeper.stay_for_others(watcher);
            }
            keeper.end_loader();
            keeper.end_netconsole();
            exit::DONE
        }
        Err(error) => {
            warn!("{error}; the network is not brought up");
            exit::SOFTWARE
        }
    }
}

/// A link that is down until udevd has named it.
struct Ducked {
    index: u32,
    /// Until then at most: udevd may leave it alone, or be gone.
    until_ms: u64,
}

/// Why the network is given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Why {
    RootSwitched,
    WatcherEnded,
    /// It has given way to somebody else, and said so.
    ClientGaveWay,
    ClientDied,
    NothingToKeep,
}

impl Keeper {
    fn start(words: &NetworkWords<'_>, wants_network: bool, watcher: BorrowedFd<'static>) -> Result<Keeper> {
        let signals = keep(signal::listen()?);
        let journal = Journal::new(shared_numbers()?);
        let must_duck = !renames_links_that_are_up(uname().release().to_bytes());
        let keeper = Keeper {
            signals,
            rtnl: Rtnl::open()?,
            uevents: if must_duck && wants_network { open_uevents(1 | 2).ok().map(keep) } else { None },
            sysfs: if must_duck { sysfs() } else { None },
            journal,
            ducked: Vec::new(),
            client: None,
            loader: None,
            netconsole: None,
        };
        let wants_drivers = wants_network && words.modules.auto;
        let wants_netconsole = words.netconsole.is_some() && words.modules.auto;
        let (loaded, loading) = pipe().at(Step::OpenChannel)?;
        let loader = if wants_drivers || wants_netconsole || !words.modules.names.is_empty() {
            Some(start_process(|| loader::load_drivers(words, wants_drivers, loading))?)
        } else {
            drop(loading);
            None
        };
        let netconsole = match &words.netconsole {
            Some(to) => Some(Netconsole::start(to, keep(loaded))?),
            None => None,
        };
        let client = if wants_network {
            // The kernel closes the one end when the keeper ends, and the other one tells the client.
            let (of_client, of_keeper) = pipe().at(Step::OpenChannel)?;
            let (of_client, _) = (keep(of_client), keep(of_keeper));
            Some(start_process(|| {
                close_all_but(&[Some(watcher), Some(of_client), logger::kernel_log(), logger::stderr()]);
                client::serve(words, must_duck, journal, watcher, of_client)
            })?)
        } else {
            None
        };
        drop_to(Role::Keeper)?;
        Ok(Keeper { client, loader, netconsole, ..keeper })
    }

    /// Keeps the network until it is to be given back, and gives it back.
    fn serve(&mut self, watcher: BorrowedFd<'static>) -> Why {
        if self.client.is_none() {
            return Why::NothingToKeep;
        }
        let why = self.wait_for_end(watcher);
        self.end(why);
        let has_raised = self.journal.entries().any(|entry| entry.is(Flag::Raised));
        if why != Why::ClientGaveWay || !has_raised {
            return why;
        }
        tell_of_no_network(watcher);
        let why = self.wait_for_end(watcher);
        give_back(&self.rtnl, self.journal, Links::SetDown);
        why
    }

    /// Waits until the network is to be given back.
    fn wait_for_end(&mut self, watcher: BorrowedFd<'static>) -> Why {
        loop {
            let mut awaited = [
                Awaited::input(Some(watcher)),
                Awaited::input(Some(self.signals)),
                Awaited::input(self.uevents),
            ];
            let until_ms = self.ducked.iter().map(|ducked| ducked.until_ms).min().unwrap_or(NEVER_MS);
            wait(&mut awaited, until_ms);
            let [from_watcher, signal, uevents] = awaited.map(|awaited| awaited.is_ready());
            if from_watcher && let Some(why) = told_end(watcher) {
                return why;
            }
            if signal {
                // The watcher decides what a request to end means, and when.
                let _ = signal::received(self.signals);
                if let Some(why) = self.reap() {
                    return why;
                }
            }
            if uevents {
                self.take_uevents();
            }
            let now_ms = time::now_ms();
            self.raise_ducked(|ducked| now_ms >= ducked.until_ms);
        }
    }

    /// Takes note of those that have ended. Returns whether that is the end of all.
    fn reap(&mut self) -> Option<Why> {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let is_done = status.exit_status() == Some(exit::DONE);
            if self.client == Some(pid) {
                self.client = None;
                return Some(if is_done { Why::ClientGaveWay } else { Why::ClientDied });
            }
            if self.netconsole.take_if(|netconsole| netconsole.pid == pid).is_some() {
                if !is_done {
                    error!("the process that arms netconsole has died; what it has armed stays");
                }
                continue;
            }
            if self.loader.take_if(|loader| *loader == pid).is_some() && !is_done {
                warn!("the process that loads drivers has ended before its time");
            }
        }
        None
    }

    /// Sets a link of ours down when udevd is about to name it, and up again when that is done.
    fn take_uevents(&mut self) {
        let Some(uevents) = self.uevents else { return };
        let mut buffer = [0; UEVENT_BYTES];
        loop {
            let len = match recv(uevents, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((len, _)) => len,
                // More than the kernel could keep.
                Err(Errno::AGAIN | Errno::NOBUFS) => return,
                Err(errno) => {
                    warn!("what is told of devices: {}", failed(Step::Receive, errno));
                    self.uevents = None;
                    return;
                }
            };
            let uevent = uevent::read(&buffer[..len.min(UEVENT_BYTES)]);
            if uevent.subsystem != b"net" || uevent.action != b"add" || uevent.index == 0 {
                continue;
            }
            let entry = if uevent.is_udevs {
                self.journal.enter(uevent.index)
            } else {
                self.journal.find(uevent.index)
            };
            let Some(entry) = entry else { continue };
            if uevent.is_udevs {
                entry.set(Flag::Named);
                self.raise_ducked(|ducked| ducked.index == uevent.index);
            } else if entry.is(Flag::Raised)
                && udevd::is_running()
                && !self.is_renamed(uevent.interface)
                && self.ducked.iter().all(|ducked| ducked.index != uevent.index)
            {
                let until_ms = time::now_ms() + UDEVD_MS;
                if self.ducked.push(Ducked { index: uevent.index, until_ms }).is_ok() {
                    self.rtnl.request(&set_link(uevent.index, false));
                }
            }
        }
    }

    /// Sets those of the links up again that need not be down any more.
    fn raise_ducked(&mut self, is_over: impl Fn(&Ducked) -> bool) {
        for ducked in self.ducked.iter().filter(|ducked| is_over(ducked)) {
            // The client may have set it down since.
            if self.journal.find(ducked.index).is_some_and(|entry| entry.is(Flag::Raised)) {
                self.rtnl.request(&set_link(ducked.index, true));
            }
        }
        self.ducked.retain(|ducked| !is_over(ducked));
    }

    /// Whether a link has been renamed already: udevd leaves it alone then.
    fn is_renamed(&self, name: &[u8]) -> bool {
        const RENAMED: u8 = b'4';
        let mut path = heapless::String::<64>::new();
        let Ok(name) = core::str::from_utf8(name) else { return false };
        let _ = write!(path, "class/net/{name}/name_assign_type\0");
        let Ok(path) = CStr::from_bytes_with_nul(path.as_bytes()) else { return false };
        let Some(sysfs) = &self.sysfs else { return false };
        let Ok(file) = openat(sysfs, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) else {
            return false;
        };
        let mut kind = [0];
        read(&file, &mut kind).is_ok() && kind == [RENAMED]
    }

    /// Gives the network back.
    fn end(&mut self, why: Why) {
        for process in [self.client, self.loader].into_iter().flatten() {
            let _ = kill_process(process, Signal::KILL);
        }
        // What the client was doing is finished then, or not begun.
        await_end(self.client);
        let links = if why == Why::ClientGaveWay { Links::StayUp } else { Links::SetDown };
        give_back(&self.rtnl, self.journal, links);
        match why {
            Why::ClientDied => error!("the process that brings the network up has died; it is given back"),
            _ => info!("the network is given back"),
        }
        self.end_loader();
    }

    /// Stays without a network of ours: while drivers are loaded, until the root switch, and while there is netconsole, until
    /// the watcher ends. (Whoever is left without a parent becomes PID 1's, which may never ask for its end.)
    fn stay_for_others(&mut self, watcher: BorrowedFd<'static>) {
        tell_of_no_network(watcher);
        while self.loader.is_some() || self.netconsole.is_some() {
            wait(&mut [watcher, self.signals].map(|fd| Awaited::input(Some(fd))), NEVER_MS);
            match told_end(watcher) {
                Some(Why::RootSwitched) => {
                    let _ = read(watcher, &mut [0; PACKET_BYTES_MAX]);
                    self.end_loader();
                }
                Some(_) => return,
                None => {}
            }
            let _ = signal::received(self.signals);
            self.reap();
        }
    }

    /// Ends the process that loads drivers, if it is still there.
    fn end_loader(&mut self) {
        let Some(loader) = self.loader.take() else { return };
        let _ = kill_process(loader, Signal::KILL);
        if !await_end(Some(loader)) {
            warn!("the process that loads drivers does not end: a driver hangs");
        }
    }

    /// Takes netconsole away.
    fn end_netconsole(&mut self) {
        // It is told by the end of the pipe.
        let pid = self.netconsole.take().map(|netconsole| netconsole.pid);
        await_end(pid);
    }
}

impl Netconsole {
    fn start(to: &netconsole::Netconsole<'_>, loaded: BorrowedFd<'static>) -> Result<Netconsole> {
        let (end, pipe) = pipe().at(Step::OpenChannel)?;
        let end = keep(end);
        let pid = start_process(|| {
            close_all_but(&[Some(loaded), Some(end), logger::kernel_log(), logger::stderr()]);
            super::netconsole::serve(to, loaded, end)
        })?;
        Ok(Netconsole { pid, _pipe: pipe })
    }
}

/// Takes what the watcher tells. Returns why the network is to be given back, if it is; what tells of the root switch stays
/// there, for the client to see.
fn told_end(watcher: BorrowedFd<'static>) -> Option<Why> {
    let mut packet = [0; PACKET_BYTES_MAX];
    match recv(watcher, &mut packet, RecvFlags::PEEK) {
        Ok((0, _)) | Err(Errno::CONNRESET) => Some(Why::WatcherEnded),
        Ok((len, _)) => {
            if let Some(Message::RootSwitched { .. }) = Message::decode(&packet[..len]) {
                return Some(Why::RootSwitched);
            }
            let _ = read(watcher, &mut packet);
            None
        }
        Err(Errno::AGAIN) => None,
        Err(errno) => {
            error!("messages of the watcher: {}", failed(Step::Receive, errno));
            Some(Why::WatcherEnded)
        }
    }
}

/// Tells the watcher that there is no network of ours.
fn tell_of_no_network(watcher: BorrowedFd<'static>) {
    for nothing in [Message::NameServers(b""), Message::NetworkState(b"")] {
        let _ = send(watcher, &nothing.encode(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }
}

/// Waits for the end of a process that was killed, unless that takes too long. Returns whether it has ended.
fn await_end(process: Option<Pid>) -> bool {
    let until_ms = time::now_ms() + CLIENT_END_MS;
    while process.is_some() && time::now_ms() < until_ms {
        match rustix::process::waitpid(process, WaitOptions::NOHANG) {
            Ok(None) => wait(&mut [Awaited::NONE], time::now_ms() + 1),
            _ => return true,
        }
    }
    process.is_none()
}

/// Starts a process that returns the exit code of `run`.
fn start_process(run: impl FnOnce() -> i32) -> Result<Pid> {
    match fork()? {
        Fork::Parent(pid) => Ok(pid),
        Fork::Child => process::exit(run()),
    }
}
