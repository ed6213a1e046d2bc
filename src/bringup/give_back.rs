//! Undoing what was changed in the network, but for what is another's by now.

use heapless::Vec;

use super::rtnl::{Received, Rtnl};
use crate::sys::time;
use earlykmsg::limits::{IP_WORDS_MAX, LEARNT_NETWORKS_MAX, LINK_NEWS_BYTES, LINKS_MAX};
use earlykmsg::network::journal::{Flag, Journal};
use earlykmsg::network::ownership::{Owner, network_of_kernel, owner_of_address, owner_of_route};
use earlykmsg::wire::netlink::Dump;
use earlykmsg::wire::rtnetlink::{
    LinkAddress, Request, delete_address, delete_kernels_route, delete_link, set_link,
};
use earlykmsg::wire::rtnetlink_news::{News, delete_route, next_news};

/// What becomes of the links that were set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Links {
    /// They are set down.
    SetDown,
    /// They stay up: whoever takes care of the network may be using them already. A link that is set down loses its routes,
    /// and not everybody sets them again when it is up again (networkd, if it was just about to set them).
    StayUp,
}

/// Undoes all that the journal has. The socket is one that is told of nothing else.
pub fn give_back(rtnl: &Rtnl, journal: Journal, links: Links) {
    let mut routes = Routes::default();
    for what in [Dump::Links, Dump::Routes, Dump::Addresses] {
        rtnl.dump(what);
        let mut buffer = [0; LINK_NEWS_BYTES];
        while let Ok(Received::News(mut rest)) = rtnl.receive(&mut buffer) {
            while let Some(news) = next_news(&mut rest) {
                routes.take(news, journal);
                note_if_foreign(news, journal);
            }
        }
    }
    routes.ours.iter().for_each(|route| rtnl.request(route));
    routes.forgotten.iter().for_each(|network| rtnl.request(&delete_kernels_route(*network)));
    for entry in journal.entries() {
        if let Some(own) = entry.address() {
            rtnl.request(&delete_address(own.of));
            entry.forget_address();
        }
    }
    let ours = || journal.entries().filter(|entry| !entry.is(Flag::Foreign));
    for entry in ours().filter(|entry| entry.is(Flag::Made)) {
        rtnl.request(&delete_link(entry.index()));
    }
    if links == Links::StayUp {
        return;
    }
    for entry in ours().filter(|entry| entry.is(Flag::Raised)) {
        rtnl.request(&set_link(entry.index(), false));
        entry.clear(Flag::Raised);
    }
}

/// The routes that are to be deleted.
#[derive(Default)]
struct Routes {
    /// Ours. Those of an address that somebody else has too would stay.
    ours: Vec<Request, { 2 * IP_WORDS_MAX }>,
    /// Links that we set up, on which somebody has the kernel ignore routers by now: networkd, for one, takes their
    /// advertisements itself.
    without_routers: Vec<u32, LINKS_MAX>,
    /// Networks of such links that the kernel has made a route to before. Whoever deletes the address that came with it
    /// leaves it behind, and nobody renews it.
    forgotten: Vec<LinkAddress, LEARNT_NETWORKS_MAX>,
}

impl Routes {
    /// Takes what there is: first the links, then the routes, then the addresses. What there is no room for stays.
    fn take(&mut self, news: News<'_>, journal: Journal) {
        match news {
            News::Link(link) => {
                let is_raised = journal.find(link.index).is_some_and(|entry| entry.is(Flag::Raised));
                if is_raised && link.ignores_routers {
                    let _ = self.without_routers.push(link.index);
                }
            }
            News::Route(route) if owner_of_route(route) == Owner::Us => {
                let _ = self.ours.push(delete_route(route));
            }
            News::Route(route) => {
                if let Some(network) = network_of_kernel(route)
                    && self.without_routers.contains(&network.index)
                {
                    let _ = self.forgotten.push(network);
                }
            }
            // The route is that of this address.
            News::Address(news) if news.makes_route() => {
                self.forgotten.retain(|network| *network != news.of.network());
            }
            _ => {}
        }
    }
}

/// Notes whose addresses, routes and links are another's by now.
fn note_if_foreign(news: News<'_>, journal: Journal) {
    let (index, owner) = match news {
        News::Link(link) if link.master != 0 => {
            let is_ours = journal.find(link.master).is_some_and(|master| master.is(Flag::Made));
            (link.index, if is_ours { Owner::Us } else { Owner::Another })
        }
        News::Address(news) => (news.of.index, owner_of_address(news, &journal, time::now_ms())),
        News::Route(route) => (route.index, owner_of_route(route)),
        _ => return,
    };
    let Some(entry) = journal.find(index) else { return };
    match owner {
        Owner::Us | Owner::Kernel => {}
        Owner::Another => entry.set(Flag::Foreign),
        Owner::TakenOver => {
            entry.forget_address();
            entry.set(Flag::Foreign);
        }
    }
}
