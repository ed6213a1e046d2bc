//! The kernel's netconsole: armed as soon as there is a way to the receiver, armed anew when that changes, taken away at the
//! end. A panicking kernel sends by itself, to an address on the link that it was told before.
//!
//! All that this process knows of the network, the kernel tells it. It sends nothing but requests to the kernel.

mod target;

use core::fmt::Arguments;

use heapless::Vec;
use rustix::fd::BorrowedFd;
use rustix::net::{RecvFlags, recv};

use super::rtnl::{Received, Rtnl, open_uevents};
use crate::exit;
use crate::kernel_fs::configfs;
use crate::logger::{info, warn};
use crate::privileges::{Role, drop_to, hide_other_files};
use crate::sys::fds::keep;
use crate::sys::socket::{interface_index, set_groups};
use crate::sys::time;
use crate::sys::wait::{Awaited, wait};
use earlykmsg::address::Address;
use earlykmsg::config::netconsole::Netconsole;
use earlykmsg::error::Result;
use earlykmsg::limits::{
    LINK_NEWS_BYTES, NETCONSOLE_MODULES_MS, NETCONSOLE_PATIENCE_MS, NETCONSOLE_SETTLE_MS, NEVER_MS,
    RESOLVE_AGAIN_MS, UEVENT_BYTES,
};
use earlykmsg::network::netconsole::{InTheWay, Refusal, ShowMac, Target};
use earlykmsg::rate_limit::RateLimit;
use earlykmsg::text::{Quoted, decimal};
use earlykmsg::wire::neighbour::{
    self, Obstacle, link_request, neighbour_request, read_hardware_address, read_route, resolve_request,
    route_request,
};
use earlykmsg::wire::netlink::{ADDRESS_GROUPS, LINK_AND_ROUTE_GROUPS};
use earlykmsg::wire::rtnetlink_news::{News, next_news};
use target::{open_driver, remove, set_up};

struct Armer<'a> {
    to: &'a Netconsole<'a>,
    /// Closed by the keeper at the end.
    keeper: BorrowedFd<'static>,
    /// Told of what changes in the network.
    changes: Rtnl,
    /// Told of nothing but answers.
    requests: Rtnl,
    /// What the kernel tells of modules, among others.
    uevents: Option<BorrowedFd<'static>>,
    /// A mount of configfs that nobody else sees, if it was possible.
    configfs: Option<BorrowedFd<'static>>,
    /// The driver's directory, once it is there.
    driver: Option<BorrowedFd<'static>>,
    state: State,
    /// What is in the way.
    waits: Option<Waits>,
    messages: RateLimit,
}

/// What came of the last attempt.
enum State {
    /// None was made.
    Idle,
    /// The kernel has no driver yet, which was logged.
    NoDriver,
    Armed(Target),
    /// The kernel does not take this.
    Refused(Target),
}

struct Waits {
    on: Obstacle,
    /// When that is logged; never: it was.
    log_ms: u64,
}

/// The process. It begins when `loaded` is closed, as modules are loaded then, and ends when `keeper` is.
pub fn serve(to: &Netconsole<'_>, loaded: BorrowedFd<'static>, keeper: BorrowedFd<'static>) -> i32 {
    match Armer::start(to, loaded, keeper) {
        Ok(mut armer) => armer.run(),
        Err(error) => warn!("{error}; netconsole is left alone"),
    }
    exit::DONE
}

/// Opens configfs and netconsole's folder in it, once modules are loaded; earlier if that takes long and the folder is there: a
/// driver may hang, and the kernel may have netconsole already.
fn await_driver(
    loaded: BorrowedFd<'static>,
    keeper: BorrowedFd<'static>,
) -> (Option<BorrowedFd<'static>>, Option<BorrowedFd<'static>>) {
    let ends = || [loaded, keeper].map(|fd| Awaited::input(Some(fd)));
    let mut awaited = ends();
    wait(&mut awaited, time::now_ms() + NETCONSOLE_MODULES_MS);
    let files = configfs().map(keep);
    let driver = open_driver(files);
    if driver.is_some() || awaited.iter().any(Awaited::is_ready) {
        return (files, driver);
    }
    info!("netconsole waits: drivers are still being loaded");
    wait(&mut ends(), NEVER_MS);
    let files = files.or_else(|| configfs().map(keep));
    (files, open_driver(files))
}

impl<'a> Armer<'a> {
    fn start(
        to: &'a Netconsole<'a>,
        loaded: BorrowedFd<'static>,
        keeper: BorrowedFd<'static>,
    ) -> Result<Armer<'a>> {
        let uevents = open_uevents(1).ok().map(keep);
        let (configfs, driver) = await_driver(loaded, keeper);
        if let (Some(configfs), Some(_)) = (configfs, driver) {
            hide_other_files(configfs)?;
        }
        let (changes, requests) = (Rtnl::open()?, Rtnl::open()?);
        for groups in [&ADDRESS_GROUPS[..], &LINK_AND_ROUTE_GROUPS, &[neighbour::GROUP]] {
            set_groups(changes.fd(), true, groups);
        }
        // A socket that has sent nothing is told nothing.
        changes.request(&route_request(to.address));
        drop_to(Role::Netconsole)?;
        Ok(Armer {
            to,
            keeper,
            changes,
            requests,
            uevents,
            configfs,
            driver,
            state: State::Idle,
            waits: None,
            messages: RateLimit::new(),
        })
    }

    fn run(&mut self) {
        // At first there is nothing to wait for.
        let mut until_ms = 0;
        loop {
            let uevents = self.uevents.filter(|_| matches!(self.state, State::NoDriver));
            let mut awaited = [Some(self.keeper), Some(self.changes.fd()), uevents].map(Awaited::input);
            wait(&mut awaited, until_ms);
            let [is_end, has_changed, has_uevent] = awaited.map(|awaited| awaited.is_ready());
            if is_end {
                if self.disarm() {
                    info!("netconsole stopped, as shipping has ended");
                }
                return;
            }
            if has_changed || has_uevent {
                // One change is rarely alone.
                wait(&mut [Awaited::input(Some(self.keeper))], time::now_ms() + NETCONSOLE_SETTLE_MS);
                if let Err(error) = self.forget_changes() {
                    self.disarm();
                    warn!("what the kernel tells of the network: {error}; netconsole is stopped");
                    return;
                }
            }
            self.look();
            until_ms = self.wake_ms();
        }
    }

    /// What was told is forgotten: all is looked at anew.
    fn forget_changes(&self) -> Result<()> {
        let mut buffer = [0; LINK_NEWS_BYTES];
        while !matches!(self.changes.receive(&mut buffer)?, Received::Nothing) {}
        while self
            .uevents
            .is_some_and(|fd| recv(fd, &mut buffer[..UEVENT_BYTES], RecvFlags::DONTWAIT).is_ok())
        {}
        Ok(())
    }

    /// When it looks again though nothing has changed.
    fn wake_ms(&self) -> u64 {
        match &self.waits {
            Some(Waits { on: Obstacle::NeighbourUnknown, .. }) => time::now_ms() + RESOLVE_AGAIN_MS,
            Some(waits) => waits.log_ms,
            None => NEVER_MS,
        }
    }

    /// Looks for the way to the receiver, and tells the kernel if it is another one.
    fn look(&mut self) {
        match (self.find(), &self.state) {
            (Ok(target), State::Armed(same) | State::Refused(same)) if target == *same => self.waits = None,
            (Ok(target), _) => {
                self.waits = None;
                self.disarm();
                self.arm(target);
            }
            // A neighbour that does not answer now may do so later.
            (Err(Obstacle::NeighbourUnknown), _) => self.wait_on(Obstacle::NeighbourUnknown),
            (Err(obstacle), _) => {
                if self.disarm() {
                    self.log_obstacle("stopped", obstacle);
                    self.waits = Some(Waits { on: obstacle, log_ms: NEVER_MS });
                }
                self.wait_on(obstacle);
            }
        }
    }

    /// Finds the way. When the kernel does not know the neighbour's hardware address, it is made to ask for it.
    fn find(&self) -> core::result::Result<Target, Obstacle> {
        let mut buffer = [0; LINK_NEWS_BYTES];
        let to = Address { scope_id: self.scope_id().ok_or(Obstacle::NoRoute)?, ..self.to.address };
        let route = read_route(self.requests.ask(&route_request(to), &mut buffer), to)?;
        let mut answer = self.requests.ask(&link_request(route.interface), &mut buffer);
        // If it is gone, so is the route.
        let Some(News::Link(link)) = next_news(&mut answer) else { return Err(Obstacle::NoRoute) };
        if link.mac.is_none() {
            return Err(Obstacle::NoEthernet);
        }
        let interface = Vec::from_slice(link.name).unwrap_or_default();
        let mac = read_hardware_address(self.requests.ask(&neighbour_request(&route), &mut buffer));
        if mac == Err(Obstacle::NeighbourUnknown) {
            self.requests.request(&resolve_request(&route));
        }
        Ok(Target { interface, local: route.source, mac: mac? })
    }

    /// The number of the interface that the receiver's address belongs to; 0: to none. None: it is not there.
    fn scope_id(&self) -> Option<u32> {
        match self.to.scope {
            b"" => Some(0),
            scope => decimal(scope).or_else(|| interface_index(self.requests.fd(), scope).ok()),
        }
    }

    fn arm(&mut self, target: Target) {
        self.driver = self.driver.or_else(|| open_driver(self.configfs));
        let Some(driver) = self.driver else {
            if !matches!(self.state, State::NoDriver) {
                self.state = State::NoDriver;
                self.log(format_args!(
                    "netconsole is not in this kernel, or its module netconsole is not loaded yet"
                ));
            }
            return;
        };
        let to = self.to;
        match set_up(driver, to, &target) {
            Ok(()) => {
                let (interface, mac) = (Quoted(&target.interface), ShowMac(target.mac));
                self.log(format_args!("netconsole sends to {to} over {interface}, to {mac}"));
                self.state = State::Armed(target);
            }
            Err(errno) => {
                remove(driver);
                let refusal = Refusal { errno: errno.raw_os_error(), interface: &target.interface };
                self.log(format_args!("{refusal}"));
                self.state = State::Refused(target);
            }
        }
    }

    /// Removes the target. Returns whether there was one.
    fn disarm(&mut self) -> bool {
        let was_armed = matches!(self.state, State::Armed(_));
        if let Some(driver) = self.driver {
            if was_armed {
                remove(driver);
            }
            self.state = State::Idle;
        }
        was_armed
    }

    /// What is in the way is logged if it lasts: most often the network is about to come up.
    fn wait_on(&mut self, obstacle: Obstacle) {
        let now = time::now_ms();
        match &mut self.waits {
            Some(waits) if waits.on == obstacle => {
                if now >= waits.log_ms && !matches!(self.state, State::Armed(_)) {
                    waits.log_ms = NEVER_MS;
                    self.log_obstacle("waits", obstacle);
                }
            }
            _ => self.waits = Some(Waits { on: obstacle, log_ms: now + NETCONSOLE_PATIENCE_MS }),
        }
    }

    fn log_obstacle(&mut self, what: &str, obstacle: Obstacle) {
        let in_the_way = InTheWay { obstacle, to: self.to };
        self.log(format_args!("netconsole {what}: {in_the_way}"));
    }

    fn log(&mut self, message: Arguments<'_>) {
        if self.messages.allows(time::now_ms()) {
            info!("{message}");
        }
    }
}
