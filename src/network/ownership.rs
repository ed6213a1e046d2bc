//! Whose an address or a route is: ours, the kernel's, or another program's, to which all of the network is left then.

use core::net::IpAddr;

use super::journal::{Entry, Journal, OwnAddress};
use crate::limits::{LIFETIME_APART_MS, NEVER_MS};
use crate::wire::rtnetlink::{LinkAddress, ROUTE_PROTOCOL};
use crate::wire::rtnetlink_news::{AddressNews, RouteNews};

/// Who made something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// We.
    Us,
    /// The kernel, by itself or for a router.
    Kernel,
    /// Another program.
    Another,
    /// Another program has taken over what was ours.
    TakenOver,
}

/// The loopback's number in every network namespace.
const LOOPBACK: u32 = 1;

/// Whose an address is.
pub fn owner_of_address(news: AddressNews, journal: &Journal, now_ms: u64) -> Owner {
    let own = journal.find(news.of.index).and_then(Entry::address);
    match own {
        Some(own) if own.of == news.of => owner_of_ours(news, own, now_ms),
        _ if news.of.index == LOOPBACK || is_kernels(news) => Owner::Kernel,
        _ => Owner::Another,
    }
}

/// One that we gave: its lifetime is the one that we gave it.
fn owner_of_ours(news: AddressNews, own: OwnAddress, now_ms: u64) -> Owner {
    let left_ms = own.end_ms.saturating_sub(now_ms);
    let is_as_given = news.valid_ms != NEVER_MS && news.valid_ms.abs_diff(left_ms) <= LIFETIME_APART_MS;
    if is_as_given { Owner::Us } else { Owner::TakenOver }
}

/// An IPv6 address of the link alone, or one that a router's advertisement led to: never one that is permanent (not even if
/// it is for ever), never one without its network or the route to it. (NetworkManager and networkd, which take advertisements
/// themselves, make that route.)
fn is_kernels(news: AddressNews) -> bool {
    const WHOLE: u8 = 128;
    let is_permanent = news.flags & libc::IFA_F_PERMANENT != 0;
    let is_of_router = !is_permanent && news.of.prefix_length != WHOLE && news.makes_route();
    !news.of.address.is_ipv4() && (news.scope == libc::RT_SCOPE_LINK || is_of_router)
}

/// Whose a route is.
pub fn owner_of_route(news: RouteNews<'_>) -> Owner {
    const ROUTER_ADVERTISEMENT: u8 = 9;
    match news.protocol {
        ROUTE_PROTOCOL => Owner::Us,
        libc::RTPROT_UNSPEC | libc::RTPROT_REDIRECT | libc::RTPROT_KERNEL | ROUTER_ADVERTISEMENT => {
            Owner::Kernel
        }
        _ if news.is_cached || news.index == LOOPBACK => Owner::Kernel,
        _ => Owner::Another,
    }
}

/// The IPv6 network that the kernel has made this route to: for an address of it, or because a router advertises it.
pub fn network_of_kernel(route: RouteNews<'_>) -> Option<LinkAddress> {
    const WHOLE: u8 = 128;
    let network = route.network().filter(|_| route.protocol == libc::RTPROT_KERNEL)?;
    let IpAddr::V6(ip) = network.address.ip else { return None };
    let is_whole = network.prefix_length == WHOLE;
    (!is_whole && !ip.is_multicast() && !ip.is_unicast_link_local()).then_some(network)
}

#[cfg(test)]
mod tests {
    use super::super::journal::tests::{journal, link_address};
    use super::*;

    #[test]
    fn addresses() {
        let journal = journal();
        journal.enter(2).unwrap().set_address(link_address(2, "10.0.2.15", 24), 100_000);
        let owner = |index, address, prefix_length, scope, valid_ms| {
            let of = link_address(index, address, prefix_length);
            let flags = if valid_ms == NEVER_MS { libc::IFA_F_PERMANENT } else { 0 };
            owner_of_address(AddressNews { of, flags, scope, valid_ms }, &journal, 40_000)
        };
        let (world, link) = (0, 253);
        assert_eq!(owner(2, "10.0.2.15", 24, world, 60_000), Owner::Us);
        assert_eq!(owner(2, "10.0.2.15", 24, world, 58_000), Owner::Us);
        assert_eq!(owner(2, "10.0.2.15", 24, world, NEVER_MS), Owner::TakenOver);
        assert_eq!(owner(2, "10.0.2.15", 24, world, 86_400_000), Owner::TakenOver);
        assert_eq!(owner(2, "10.0.2.15", 24, world, 10_000), Owner::TakenOver);
        assert_eq!(owner(2, "10.0.2.15", 16, world, 60_000), Owner::Another);
        assert_eq!(owner(3, "10.0.2.15", 24, world, 60_000), Owner::Another);
        assert_eq!(owner(1, "127.0.0.1", 8, world, NEVER_MS), Owner::Kernel);
        assert_eq!(owner(3, "169.254.0.9", 16, link, NEVER_MS), Owner::Another);
        assert_eq!(owner(3, "fe80::1", 64, link, NEVER_MS), Owner::Kernel);
        assert_eq!(owner(3, "2001:db8::1", 64, world, 86_400_000), Owner::Kernel);
        assert_eq!(owner(3, "2001:db8::1", 64, world, NEVER_MS), Owner::Another);
        assert_eq!(owner(3, "2001:db8::1", 128, world, 86_400_000), Owner::Another);
        let of = link_address(3, "2001:db8::1", 64);
        let for_ever = AddressNews { of, flags: 0, scope: world, valid_ms: NEVER_MS };
        assert_eq!(owner_of_address(for_ever, &journal, 40_000), Owner::Kernel, "a router can say so");
        let without_route = AddressNews { of, flags: 0x200, scope: world, valid_ms: 86_400_000 };
        assert_eq!(owner_of_address(without_route, &journal, 40_000), Owner::Another);
    }

    #[test]
    fn networks_of_the_kernel() {
        let octets = |address: &str| address.parse::<core::net::Ipv6Addr>().unwrap().octets();
        let of_world = octets("2001:db8::");
        let (of_link, of_many) = (octets("fe80::"), octets("ff02::"));
        let network = |destination, protocol| {
            network_of_kernel(RouteNews { family: 10, destination, index: 3, protocol, is_cached: false })
        };
        assert_eq!(network((&of_world, 64), 2), Some(link_address(3, "2001:db8::", 64)));
        assert_eq!(network((&of_world, 64), 9), None, "of whoever takes the router's advertisements");
        assert_eq!(network((&of_world, 64), ROUTE_PROTOCOL), None);
        assert_eq!(network((&of_world, 128), 2), None, "an address");
        assert_eq!(network((&of_link, 64), 2), None);
        assert_eq!(network((&of_many, 8), 2), None);
        assert_eq!(network((&[10, 0, 2, 0], 24), 2), None);
        assert_eq!(network((&[], 0), 2), None);
    }

    #[test]
    fn routes() {
        for (protocol, index, owner) in [
            (ROUTE_PROTOCOL, 2, Owner::Us),
            (2, 2, Owner::Kernel),
            (9, 2, Owner::Kernel),
            (3, 2, Owner::Another),
            (4, 2, Owner::Another),
            (16, 2, Owner::Another),
            (3, 1, Owner::Kernel),
        ] {
            let news = RouteNews { family: 2, destination: (&[], 0), index, protocol, is_cached: false };
            assert_eq!(owner_of_route(news), owner, "{protocol}");
            assert_eq!(
                owner_of_route(RouteNews { is_cached: true, ..news }),
                if owner == Owner::Us { owner } else { Owner::Kernel }
            );
        }
    }
}
