//! The client: it sets links up, gets addresses for them, and gives way to everybody else.
//!
//! All that it knows of the network, the kernel has told it, at the start and since. It notes what it changes in the
//! journal before, and never undoes more than a lease that is over: the keeper does that.

mod addresses;
mod link;
mod links;

use core::fmt::{Arguments, Write};
use core::net::IpAddr;

use heapless::{String, Vec};
use rustix::event::PollFlags;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::{SendFlags, send};

use super::give_back::{Links, give_back};
use super::rtnl::{Received, Rtnl};
use crate::exit;
use crate::logger::{error, info, warn};
use crate::privileges::{Role, drop_to};
use crate::sys::memory::give_back_stack;
use crate::sys::wait::{Awaited, wait};
use crate::sys::{packet, time};
use earlykmsg::address::{Address, Addresses};
use earlykmsg::channel::Message;
use earlykmsg::config::network_words::NetworkWords;
use earlykmsg::error::{Error, Result};
use earlykmsg::limits::{
    CLIENT_END_MS, IP_WORDS_MAX, LINK_NEWS_BYTES, LINKS_MAX, MAKE_AGAIN_MS, NETWORK_STATE_BYTES_MAX, NEVER_MS,
};
use earlykmsg::network::journal::Journal;
use earlykmsg::network::ownership::{Owner, owner_of_address, owner_of_route};
use earlykmsg::rate_limit::RateLimit;
use earlykmsg::wire::netlink::Dump;
use earlykmsg::wire::rtnetlink::LinkAddress;
use earlykmsg::wire::rtnetlink_news::{News, name_servers, next_news};
use link::Link;

/// All that the kernel is asked for at the start, the first one last.
const ALL: Vec<Dump, 3> = Vec::from_array([Dump::Routes, Dump::Addresses, Dump::Links]);

struct Client<'a> {
    rtnl: Rtnl,
    /// Told of nothing, for the end.
    requests: Rtnl,
    packets: OwnedFd,
    watcher: BorrowedFd<'static>,
    journal: Journal,
    words: &'a NetworkWords<'a>,
    links: Vec<Link, LINKS_MAX>,
    /// The link that each word has an address on.
    winners: [Option<u32>; IP_WORDS_MAX],
    /// What the kernel still has to be asked for at the start.
    dumps: Vec<Dump, 3>,
    servers: Addresses,
    /// Links that are up cannot be renamed: udevd goes first.
    must_wait_for_udevd: bool,
    messages: RateLimit,
    /// When links that could not be made are tried again.
    make_again_ms: u64,
    /// All of the network is left to somebody else.
    gave_way: bool,
}

/// The client's process. Returns its exit code.
pub fn serve(
    words: &NetworkWords<'_>,
    must_wait_for_udevd: bool,
    journal: Journal,
    watcher: BorrowedFd<'static>,
    keeper: BorrowedFd<'static>,
) -> i32 {
    let (rtnl, requests, packets) = match start() {
        Ok(sockets) => sockets,
        Err(error) => {
            warn!("{error}; the network is not brought up");
            return exit::DONE;
        }
    };
    let mut client = Client {
        rtnl,
        requests,
        packets,
        watcher,
        journal,
        words,
        links: Vec::new(),
        winners: [None; IP_WORDS_MAX],
        dumps: ALL,
        servers: Addresses::new(),
        must_wait_for_udevd,
        messages: RateLimit::new(),
        make_again_ms: 0,
        gave_way: false,
    };
    client.run(keeper)
}

/// Opens the sockets: for what the kernel tells, for requests alone, for DHCP.
fn start() -> Result<(Rtnl, Rtnl, OwnedFd)> {
    let sockets = (Rtnl::open_and_listen()?, Rtnl::open()?, packet::open()?);
    drop_to(Role::Client)?;
    Ok(sockets)
}

impl Client<'_> {
    /// Runs until somebody else takes care of the network, or it cannot be seen any more whether anybody does. Returns the
    /// exit code.
    fn run(&mut self, keeper: BorrowedFd<'static>) -> i32 {
        self.ask_next();
        self.tell_state(format_args!("no network device yet"));
        // Until then the keeper, which is told to give the network back, may take to end this process.
        let mut keeper_until_ms = NEVER_MS;
        while !self.gave_way {
            let until_ms = self.serve_links(time::now_ms());
            let is_kept = keeper_until_ms == NEVER_MS;
            let mut awaited = [
                Awaited::new(self.rtnl.fd(), PollFlags::IN),
                Awaited::input(Some(self.packets.as_fd())),
                Awaited::input(Some(keeper)),
                Awaited::input(is_kept.then_some(self.watcher)),
            ];
            give_back_stack();
            wait(&mut awaited, until_ms.min(keeper_until_ms));
            let [news, packets, has_no_keeper, is_the_end] = awaited.map(|awaited| awaited.is_ready());
            let now_ms = time::now_ms();
            if is_the_end {
                keeper_until_ms = now_ms + CLIENT_END_MS;
            }
            if has_no_keeper || now_ms >= keeper_until_ms {
                let state = if has_no_keeper { "has died" } else { "is stuck" };
                error!("the keeper of the network {state}; the network is given back");
                give_back(&self.requests, self.journal, Links::SetDown);
                return exit::DONE;
            }
            if packets && let Err(error) = self.take_packets() {
                return stop("packets of DHCP", error);
            }
            if news && let Err(error) = self.take_news() {
                return stop("what the kernel tells of the network", error);
            }
        }
        exit::DONE
    }

    /// Asks for the next thing that there is of the network.
    fn ask_next(&mut self) {
        if let Some(dump) = self.dumps.pop() {
            self.rtnl.dump(dump);
        }
    }

    #[inline(never)] // its buffer is no part of the frame that waits: 8 KiB less
    fn take_news(&mut self) -> Result<()> {
        let mut buffer = [0; LINK_NEWS_BYTES];
        loop {
            match self.rtnl.receive(&mut buffer)? {
                Received::News(mut rest) => {
                    while let Some(news) = next_news(&mut rest) {
                        self.take(news);
                    }
                }
                Received::Lost => {
                    self.dumps = ALL;
                    self.ask_next();
                }
                Received::Nothing => return Ok(()),
            }
        }
    }

    fn take(&mut self, news: News<'_>) {
        match news {
            News::Link(link) => self.take_link(&link),
            News::LinkGone(index) => self.links.retain(|link| link.index != index),
            News::Address(news) => match owner_of_address(news, &self.journal, time::now_ms()) {
                Owner::Us => {}
                Owner::Kernel => self.take_kernels_address(news),
                Owner::Another | Owner::TakenOver => self.give_way_to_address(news.of),
            },
            News::Route(route) => {
                if owner_of_route(route) == Owner::Another {
                    self.give_way(format_args!("a route is not ours (protocol {})", route.protocol));
                }
            }
            News::RouterOption { index, option } => {
                if self.journal.find(index).is_some() {
                    self.add_servers(&mut name_servers(option).map(|mut server| {
                        server.scope_id = if is_link_local(server) { index } else { 0 };
                        server
                    }));
                }
            }
            News::End => self.ask_next(),
            News::Refused(kind, errno) => {
                // The module that makes such links may not be loaded yet.
                if errno == libc::EOPNOTSUPP {
                    self.make_again_ms = time::now_ms() + MAKE_AGAIN_MS;
                    return;
                }
                let errno = earlykmsg::error::Errno(errno);
                self.log(format_args!(
                    "the kernel refuses a change of the network (request {kind}): {errno}"
                ));
            }
            News::AddressGone(_) => {}
        }
    }

    fn give_way_to_address(&mut self, of: LinkAddress) {
        self.give_way(format_args!("the address {}/{} is not ours", of.address, of.prefix_length));
    }

    /// Somebody else takes care of the network: all of it is left to them.
    fn give_way(&mut self, why: Arguments<'_>) {
        if !self.gave_way {
            info!("{why}: the network is left to whoever made it");
            self.gave_way = true;
        }
    }

    fn tell_state(&self, state: Arguments<'_>) {
        let mut text = String::<NETWORK_STATE_BYTES_MAX>::new();
        let _ = text.write_fmt(state);
        self.tell(Message::NetworkState(text.as_bytes()));
    }

    fn tell(&self, message: Message<'_>) {
        let _ = send(self.watcher, &message.encode(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }

    /// Logs how far it is, and tells the watcher.
    fn say(&mut self, state: Arguments<'_>) {
        self.tell_state(state);
        self.log(state);
    }

    fn log(&mut self, message: Arguments<'_>) {
        if self.messages.allows(time::now_ms()) {
            info!("{message}");
        }
    }
}

/// Ends the client: `what` it must know of cannot be received any more. Returns the exit code, at which the keeper gives the
/// network back.
fn stop(what: &str, error: Error) -> i32 {
    error!("{what}: {error}");
    exit::SOFTWARE
}

/// Whether an address belongs to one link alone.
fn is_link_local(address: Address) -> bool {
    match address.ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}
