//! What the kernel tells of links, addresses, routes and routers by rtnetlink.

use core::net::Ipv6Addr;

use super::dhcp::Mac;
use super::netlink::{Body, field};
use super::rtnetlink::{
    IFA_CACHEINFO, IFA_F_NOPREFIXROUTE, IFA_FLAGS, IFLA_INFO_KIND, LinkAddress, ROUTE_METRIC, ROUTE_PROTOCOL,
    Request,
};
use crate::address::Address;
use crate::limits::NEVER_MS;

/// From the kernel's `rtnetlink.h`.
const RTM_NEWNDUSEROPT: u16 = 68;
/// From the kernel's `if_link.h`.
const IFLA_AF_SPEC: u16 = 26;
/// A lifetime without end.
const FOREVER_S: u32 = u32::MAX;
/// What the kernel tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News<'a> {
    /// A link is there, or has changed.
    Link(Link<'a>),
    /// A link is gone.
    LinkGone(u32),
    /// An address is there, or has changed.
    Address(AddressNews),
    /// An address is gone.
    AddressGone(LinkAddress),
    /// A route is there.
    Route(RouteNews<'a>),
    /// A router advertises this option.
    RouterOption {
        /// The link.
        index: u32,
        /// The option with its kind and length.
        option: &'a [u8],
    },
    /// The end of an answer.
    End,
    /// A request was refused: its kind, and why.
    Refused(u16, i32),
}

/// A link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link<'a> {
    /// Its number.
    pub index: u32,
    /// Its flags.
    pub flags: u32,
    /// Its name.
    pub name: &'a [u8],
    /// Its hardware address, if it is an Ethernet.
    pub mac: Option<Mac>,
    /// The link that it is a part of; 0: none.
    pub master: u32,
    /// What makes it a link: empty for hardware, else `bond`, `vlan`, `veth` and so on.
    pub kind: &'a [u8],
    /// The kernel takes no router advertisements there.
    pub ignores_routers: bool,
}

impl Link<'_> {
    /// Whether it is set up.
    pub fn is_up(&self) -> bool {
        self.flags & libc::IFF_UP as u32 != 0
    }

    /// Whether it is set up and has a carrier: what is sent leaves.
    pub fn has_carrier(&self) -> bool {
        const LOWER_UP: u32 = 0x1_0000;
        self.is_up() && self.flags & LOWER_UP != 0
    }
}

/// An address as the kernel tells of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AddressNews {
    /// Which.
    pub of: LinkAddress,
    /// Its flags.
    pub flags: u32,
    /// How far it reaches.
    pub scope: u8,
    /// For how many milliseconds it is valid.
    pub valid_ms: u64,
}

impl AddressNews {
    /// Whether it can be used.
    pub fn is_usable(&self) -> bool {
        self.flags & (libc::IFA_F_TENTATIVE | libc::IFA_F_DADFAILED) == 0
    }

    /// Whether the kernel makes a route to its network.
    pub fn makes_route(&self) -> bool {
        self.flags & IFA_F_NOPREFIXROUTE == 0
    }
}

/// A route as the kernel tells of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RouteNews<'a> {
    /// Its family.
    pub family: u8,
    /// The network that it leads to: its address and bits.
    pub destination: (&'a [u8], u8),
    /// The link that it leads out of; 0: none.
    pub index: u32,
    /// Who made it.
    pub protocol: u8,
    /// It is only a remembered answer.
    pub is_cached: bool,
}

impl RouteNews<'_> {
    /// The network that it leads to, on its link.
    pub fn network(&self) -> Option<LinkAddress> {
        let (octets, prefix_length) = self.destination;
        Some(LinkAddress { index: self.index, address: Address::from_octets(octets)?, prefix_length })
    }
}

/// Removes a route of ours.
pub fn delete_route(of: RouteNews<'_>) -> Request {
    let (destination, destination_bits) = of.destination;
    let mut header = [0; field::route::BYTES];
    header[field::route::FAMILY] = of.family;
    header[field::route::DESTINATION_BITS] = destination_bits;
    header[field::route::TABLE] = libc::RT_TABLE_MAIN;
    header[field::route::PROTOCOL] = ROUTE_PROTOCOL;
    header[field::route::SCOPE] = libc::RT_SCOPE_NOWHERE;
    let request = Request::new(libc::RTM_DELROUTE, 0, &header)
        .number(libc::RTA_OIF, of.index)
        .number(libc::RTA_PRIORITY, ROUTE_METRIC);
    // That of all others has no address.
    if destination.len() <= 16 && destination_bits > 0 {
        request.attribute(libc::RTA_DST, destination)
    } else {
        request
    }
}

/// Takes the next message off what was received.
pub fn next_news<'a>(rest: &mut &'a [u8]) -> Option<News<'a>> {
    loop {
        let all = Body(rest);
        let length = all.u32(field::LENGTH) as usize;
        let body = Body(rest.get(field::HEADER_BYTES..length)?);
        *rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        let news = match all.u16(field::KIND) {
            // Bridges tell of their ports in a family of their own.
            libc::RTM_NEWLINK if body.u8(field::link::FAMILY) == 0 => Some(News::Link(read_link(body))),
            libc::RTM_DELLINK if body.u8(field::link::FAMILY) == 0 => {
                Some(News::LinkGone(body.u32(field::link::INDEX)))
            }
            libc::RTM_NEWADDR => read_address(body).map(News::Address),
            libc::RTM_DELADDR => read_address(body).map(|news| News::AddressGone(news.of)),
            libc::RTM_NEWROUTE => Some(News::Route(read_route(body))),
            RTM_NEWNDUSEROPT => {
                const INDEX: usize = 4;
                const OPTION: usize = 16;
                let option = body.0.get(OPTION..).unwrap_or_default();
                Some(News::RouterOption { index: body.u32(INDEX), option })
            }
            kind if kind == libc::NLMSG_DONE as u16 => Some(News::End),
            kind if kind == libc::NLMSG_ERROR as u16 => {
                let refused = Body(body.0.get(4..).unwrap_or_default());
                Some(News::Refused(
                    refused.u32(field::SEQUENCE) as u16,
                    body.u32(0).cast_signed().wrapping_neg(),
                ))
            }
            _ => None,
        };
        if news.is_some() {
            return news;
        }
    }
}

fn read_link(body: Body<'_>) -> Link<'_> {
    let attribute = |kind| body.attribute(field::link::BYTES, kind);
    let text = |bytes: &'_ [u8]| bytes.len() - usize::from(bytes.ends_with(b"\0"));
    let name = attribute(libc::IFLA_IFNAME);
    let kind = Body(attribute(libc::IFLA_LINKINFO)).attribute(0, IFLA_INFO_KIND);
    let is_ethernet = body.u16(field::link::HARDWARE) == libc::ARPHRD_ETHER;
    Link {
        index: body.u32(field::link::INDEX),
        flags: body.u32(field::link::FLAGS),
        name: &name[..text(name)],
        mac: attribute(libc::IFLA_ADDRESS).try_into().ok().filter(|_| is_ethernet),
        master: Body(attribute(libc::IFLA_MASTER)).u32(0),
        kind: &kind[..text(kind)],
        ignores_routers: accept_ra(Body(attribute(IFLA_AF_SPEC))) == Some(0),
    }
}

/// The setting `accept_ra`, from the settings of a link for each family.
fn accept_ra(of_families: Body<'_>) -> Option<u32> {
    const INET6_CONF: u16 = 2;
    const ACCEPT_RA: usize = 3;
    let settings = Body(of_families.attribute(0, libc::AF_INET6 as u16)).attribute(0, INET6_CONF);
    settings.as_chunks::<4>().0.get(ACCEPT_RA).map(|setting| u32::from_ne_bytes(*setting))
}

fn read_address(body: Body<'_>) -> Option<AddressNews> {
    let flags = body.attribute(field::address::BYTES, IFA_FLAGS);
    let flags = if flags.is_empty() { u32::from(body.u8(field::address::FLAGS)) } else { Body(flags).u32(0) };
    const VALID: usize = 4;
    let valid_s = match body.attribute(field::address::BYTES, IFA_CACHEINFO) {
        [] => FOREVER_S,
        times => Body(times).u32(VALID),
    };
    Some(AddressNews {
        of: LinkAddress {
            index: body.u32(field::address::INDEX),
            address: body.own_address()?,
            prefix_length: body.u8(field::address::PREFIX_LENGTH),
        },
        flags,
        scope: body.u8(field::address::SCOPE),
        valid_ms: if valid_s == FOREVER_S { NEVER_MS } else { u64::from(valid_s) * 1_000 },
    })
}

fn read_route(body: Body<'_>) -> RouteNews<'_> {
    let destination = body.attribute(field::route::BYTES, libc::RTA_DST);
    RouteNews {
        family: body.u8(field::route::FAMILY),
        destination: (destination, body.u8(field::route::DESTINATION_BITS)),
        index: Body(body.attribute(field::route::BYTES, libc::RTA_OIF)).u32(0),
        protocol: body.u8(field::route::PROTOCOL),
        is_cached: body.u32(field::route::FLAGS) & libc::RTM_F_CLONED != 0,
    }
}

/// The name servers in a router's option; none in any other.
pub fn name_servers(option: &[u8]) -> impl Iterator<Item = Address> {
    const RDNSS: u8 = 25;
    const KIND_LENGTH_LIFETIME: usize = 8;
    let is_rdnss = option.first() == Some(&RDNSS);
    let length = option.get(1).map_or(0, |&eights| 8 * usize::from(eights));
    let servers = option.get(KIND_LENGTH_LIFETIME..length).filter(|_| is_rdnss).unwrap_or_default();
    servers.as_chunks::<16>().0.iter().map(|octets| Address::new(Ipv6Addr::from(*octets)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::netlink::{Dump, dump_request};
    use crate::wire::rtnetlink::set_link;
    use std::string::String;
    use std::vec::Vec as List;

    const RECORDED: [&[u8]; 3] = [
        include_bytes!("recorded/links.bin"),
        include_bytes!("recorded/addresses.bin"),
        include_bytes!("recorded/routes.bin"),
    ];

    fn attributes(all: &[(u16, &[u8])]) -> List<u8> {
        let mut bytes = List::new();
        for (kind, value) in all {
            bytes.extend((value.len() as u16 + 4).to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(*value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    /// A message of this kind, flags, header and attributes.
    fn message(kind: u16, flags: u16, header: &[u8], all: &[(u16, &[u8])]) -> List<u8> {
        let body = [header, &attributes(all)].concat();
        let head = [
            &(body.len() as u32 + 16).to_ne_bytes()[..],
            &kind.to_ne_bytes(),
            &flags.to_ne_bytes(),
            &u32::from(kind).to_ne_bytes(),
            &[0; 4],
        ];
        [head.concat(), body].concat()
    }

    fn of(address: &str, prefix_length: u8) -> LinkAddress {
        LinkAddress { index: 7, address: Address::parse(address.as_bytes()).unwrap(), prefix_length }
    }

    const SEVEN: [u8; 4] = 7u32.to_ne_bytes();

    #[test]
    fn a_route_is_deleted() {
        let usual = [(4, &SEVEN[..]), (6, &[0xff, 0xff, 0, 0])];
        let route = [2, 20, 0, 0, 254, 200, 255, 0, 0, 0, 0, 0];
        let of_network = RouteNews {
            family: 2,
            destination: (&[10, 0, 0, 0], 20),
            index: 7,
            protocol: ROUTE_PROTOCOL,
            is_cached: false,
        };
        assert_eq!(
            delete_route(of_network).bytes(),
            message(25, 1, &route, &[&usual[..], &[(1, &[10, 0, 0, 0])]].concat())
        );
        let of_all = RouteNews { destination: (&[], 0), ..of_network };
        assert_eq!(delete_route(of_all).bytes().len(), 16 + 12 + 8 + 8);
    }

    #[test]
    fn what_was_recorded() {
        let (mut names, mut addresses, mut routes, mut ends) = (String::new(), String::new(), 0, 0);
        for mut rest in RECORDED {
            while let Some(news) = next_news(&mut rest) {
                match news {
                    News::Link(link) => {
                        names += str::from_utf8(link.name).unwrap();
                        names += if link.has_carrier() { " up" } else { "" };
                        names += if link.mac.is_some() { " ether " } else { " " };
                    }
                    News::Address(news) => {
                        addresses += &std::format!("{}/{} ", news.of.address, news.of.prefix_length);
                    }
                    News::Route(_) => routes += 1,
                    News::End => ends += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(ends, 3);
        assert!(names.contains("eth0 up ether") && names.contains("eth4 ether"), "{names}");
        assert!(addresses.contains("10.0.2.15/24 "), "{addresses}");
        assert!(routes > 3);
    }

    #[test]
    fn what_changes() {
        let link = [&[0, 0, 1, 0][..], &SEVEN, &0x1_0001u32.to_ne_bytes(), &[0; 4]].concat();
        let info = attributes(&[(1, b"bond\0")]);
        let all: [(u16, &[u8]); 4] = [(3, b"eth9\0"), (1, &[2; 6]), (10, &[9, 0, 0, 0]), (18, &info)];
        let want = Link {
            index: 7,
            flags: 0x1_0001,
            name: b"eth9",
            mac: Some([2; 6]),
            master: 9,
            kind: b"bond",
            ignores_routers: false,
        };
        assert_eq!(next_news(&mut &message(16, 0, &link, &all)[..]), Some(News::Link(want)));
        assert_eq!(next_news(&mut &message(17, 0, &link, &[])[..]), Some(News::LinkGone(7)));
        let header = [&[2, 32, 0, 0][..], &SEVEN].concat();
        let times = [10u32.to_ne_bytes(), 20u32.to_ne_bytes(), [0; 4], [0; 4]].concat();
        let all: [(u16, &[u8]); 3] = [(2, &[10, 0, 2, 15]), (6, &times), (8, &[0, 2, 0, 0])];
        let news = AddressNews { of: of("10.0.2.15", 32), flags: 0x200, scope: 0, valid_ms: 20_000 };
        assert_eq!(next_news(&mut &message(20, 0, &header, &all)[..]), Some(News::Address(news)));
        assert_eq!(next_news(&mut &message(21, 0, &header, &all)[..]), Some(News::AddressGone(news.of)));
        let all: [(u16, &[u8]); 1] = [(2, &[10, 0, 2, 15])];
        let Some(News::Address(news)) = next_news(&mut &message(20, 0, &header, &all)[..]) else { panic!() };
        assert_eq!(news.valid_ms, NEVER_MS);
        let refused = [&(-95i32).to_ne_bytes()[..], set_link(7, true).bytes()].concat();
        assert_eq!(next_news(&mut &message(2, 0, &refused, &[])[..]), Some(News::Refused(16, 95)));
        let refused = [&i32::MIN.to_ne_bytes()[..], set_link(7, true).bytes()].concat();
        assert!(matches!(next_news(&mut &message(2, 0, &refused, &[])[..]), Some(News::Refused(16, _))));
        assert_eq!(next_news(&mut &dump_request(Dump::Links)[..]), None);
    }

    #[test]
    fn links_without_advertisements() {
        let ignores = |settings: [u32; 4]| {
            let conf = attributes(&[(1, &[0; 4]), (2, settings.map(u32::to_ne_bytes).as_flattened())]);
            let families = attributes(&[(2, &[0; 8]), (10, &conf)]);
            match next_news(&mut &message(16, 0, &[0; 16], &[(26, &families)])[..]) {
                Some(News::Link(link)) => link.ignores_routers,
                other => panic!("{other:?}"),
            }
        };
        assert!(ignores([1, 64, 1500, 0]));
        assert!(!ignores([0, 64, 1500, 1]) && !ignores([0, 64, 1500, 2]));
        let mut links = RECORDED[0];
        while let Some(news) = next_news(&mut links) {
            assert!(!matches!(news, News::Link(Link { ignores_routers: true, .. })), "{news:?}");
        }
    }

    #[test]
    fn the_network_of_a_route() {
        let route =
            |destination| RouteNews { family: 2, destination, index: 7, protocol: 2, is_cached: false };
        assert_eq!(route((&[10, 0, 2, 0], 24)).network(), Some(of("10.0.2.0", 24)));
        assert_eq!(route((&[0x20; 16], 64)).network().unwrap().prefix_length, 64);
        assert_eq!(route((&[], 0)).network(), None);
    }

    #[test]
    fn name_servers_of_a_router() {
        let option = [&[25, 3, 0, 0, 0, 0, 2, 88][..], &[0x20; 16]].concat();
        let servers: List<Address> = name_servers(&option).collect();
        assert_eq!(servers, [Address::from_octets(&[0x20; 16]).unwrap()]);
        for other in [&option[..23], &[31, 3, 0, 0], &[25, 0, 0, 0, 0, 0, 0, 0, 9], &[25]] {
            assert_eq!(name_servers(other).count(), 0, "{other:?}");
        }
        let told = message(68, 0, &[&[10, 0, 24, 0][..], &SEVEN, &[134, 0, 0, 0, 0, 0, 0, 0]].concat(), &[]);
        let mut told = [told, option.clone()].concat();
        let length = (told.len() as u32).to_ne_bytes();
        told[..4].copy_from_slice(&length);
        assert_eq!(next_news(&mut &told[..]), Some(News::RouterOption { index: 7, option: &option }));
    }
}
