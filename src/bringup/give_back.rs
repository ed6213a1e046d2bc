//! Undoing what was changed in the network, but for what is another's by now.

use heapless::Vec;

use super::rtnl::{Received, Rtnl};
use crate::sys::time;
use earlykmsg::limits::{IP_WORDS_MAX, LINK_NEWS_BYTES};
use earlykmsg::network::journal::{Flag, Journal};
use earlykmsg::network::ownership::{Owner, owner_of_address, owner_of_route};
use earlykmsg::wire::netlink::Dump;
use earlykmsg::wire::rtnetlink::{Request, delete_address, delete_link, set_link};
use earlykmsg::wire::rtnetlink_news::{News, delete_route, next_news};

/// What becomes of the links that were set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Links {
    /// They are set down.
    SetDown,
    /// They are set down and up again, and what the kernel has made of router advertisements goes with that: whoever takes
    /// care of the network may be about to use them, and networkd, for one, does not set up what somebody else sets down.
    SetUpAgain,
}

/// Undoes all that the journal has. The socket is one that is told of nothing else.
pub fn give_back(rtnl: &Rtnl, journal: Journal, links: Links) {
    // Those of an address that somebody else has too would stay.
    let mut routes = Vec::<Request, { 2 * IP_WORDS_MAX }>::new();
    for what in [Dump::Links, Dump::Addresses, Dump::Routes] {
        rtnl.dump(what);
        let mut buffer = [0; LINK_NEWS_BYTES];
        while let Ok(Received::News(mut rest)) = rtnl.receive(&mut buffer) {
            while let Some(news) = next_news(&mut rest) {
                match news {
                    News::Route(route) if owner_of_route(route) == Owner::Us => {
                        let _ = routes.push(delete_route(route));
                    }
                    _ => note_if_foreign(news, journal),
                }
            }
        }
    }
    routes.iter().for_each(|route| rtnl.request(route));
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
    for entry in ours().filter(|entry| entry.is(Flag::Raised)) {
        rtnl.request(&set_link(entry.index(), false));
        match links {
            Links::SetDown => entry.clear(Flag::Raised),
            Links::SetUpAgain => rtnl.request(&set_link(entry.index(), true)),
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
