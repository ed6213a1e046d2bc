//! rtnetlink: what to ask the kernel about the network, what it answers, and whether what it tells is a reason to try
//! again.
//!
//! The lengths in its messages are believed no more than those of a stranger.

use core::fmt::{self, Write};
use core::net::IpAddr;

use heapless::Vec;

use crate::address::Address;
use crate::limits::NETLINK_REQUEST_BYTES_MAX;
use crate::text::Quoted;

/// Where the fields of a message stand: of its header, and of the four bodies.
pub(super) mod field {
    pub(in crate::wire) const HEADER_BYTES: usize = 16;
    pub(in crate::wire) const LENGTH: usize = 0;
    pub(in crate::wire) const KIND: usize = 4;
    pub(in crate::wire) const SEQUENCE: usize = 8;

    /// `struct ifinfomsg`
    pub(in crate::wire) mod link {
        pub(in crate::wire) const FAMILY: usize = 0;
        /// ARPHRD_ETHER and the like.
        pub(in crate::wire) const HARDWARE: usize = 2;
        pub(in crate::wire) const INDEX: usize = 4;
        pub(in crate::wire) const FLAGS: usize = 8;
        pub(in crate::wire) const BYTES: usize = 16;
    }

    /// `struct ifaddrmsg`
    pub(in crate::wire) mod address {
        pub(in crate::wire) const FAMILY: usize = 0;
        pub(in crate::wire) const PREFIX_LENGTH: usize = 1;
        pub(in crate::wire) const FLAGS: usize = 2;
        pub(in crate::wire) const SCOPE: usize = 3;
        pub(in crate::wire) const INDEX: usize = 4;
        pub(in crate::wire) const BYTES: usize = 8;
    }

    /// `struct rtmsg`
    pub(in crate::wire) mod route {
        pub(in crate::wire) const FAMILY: usize = 0;
        pub(in crate::wire) const DESTINATION_BITS: usize = 1;
        pub(in crate::wire) const TABLE: usize = 4;
        pub(in crate::wire) const PROTOCOL: usize = 5;
        pub(in crate::wire) const SCOPE: usize = 6;
        pub(in crate::wire) const KIND: usize = 7;
        pub(in crate::wire) const FLAGS: usize = 8;
        pub(in crate::wire) const BYTES: usize = 12;
    }

    /// `struct rtattr`: a length, a kind, then the value.
    pub(in crate::wire) mod attribute {
        pub(in crate::wire) const LENGTH: usize = 0;
        pub(in crate::wire) const KIND: usize = 2;
        pub(in crate::wire) const VALUE: usize = 4;
    }
}

const ERROR: u16 = libc::NLMSG_ERROR as u16;
const DONE: u16 = libc::NLMSG_DONE as u16;
const UP: u32 = libc::IFF_UP as u32;
const LOOPBACK: u32 = libc::IFF_LOOPBACK as u32;
const RUNNING: u32 = libc::IFF_RUNNING as u32;
/// The link has a carrier (IFF_LOWER_UP).
const CARRIER: u32 = 0x1_0000;
/// Another machine has the address, or may have it.
const NOT_OURS: u8 = (libc::IFA_F_TENTATIVE | libc::IFA_F_DADFAILED) as u8;
const INET6: u8 = libc::AF_INET6 as u8;
/// The index of the loopback in every network namespace.
const LOOPBACK_INDEX: u32 = 1;
/// The kind of an attribute without its flags.
const ATTRIBUTE_KIND: u16 = 0x3fff;

/// The multicast group that tells of addresses of IPv4 (RTNLGRP_IPV4_IFADDR).
pub const IPV4_ADDRESS_GROUP: u32 = 5;
/// The same for IPv6 (RTNLGRP_IPV6_IFADDR).
pub const IPV6_ADDRESS_GROUP: u32 = 9;
/// Both.
pub const ADDRESS_GROUPS: [u32; 2] = [IPV4_ADDRESS_GROUP, IPV6_ADDRESS_GROUP];
/// Those that tell of links and routes.
pub const LINK_AND_ROUTE_GROUPS: [u32; 3] = [
    1,  // RTNLGRP_LINK
    7,  // RTNLGRP_IPV4_ROUTE
    11, // RTNLGRP_IPV6_ROUTE
];

/// What can be asked for as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dump {
    /// All links.
    Links = 18,
    /// All addresses.
    Addresses = 22,
    /// All routes.
    Routes = 26,
}

/// A request to the kernel.
pub type Request = Vec<u8, NETLINK_REQUEST_BYTES_MAX>;

/// Asks for all links, addresses or routes.
pub fn dump_request(dump: Dump) -> Request {
    const RTEXT_FILTER_SKIP_STATS: u32 = 8;
    // A header of zeros fits each of the three. The counters of a link would be most of the answer: they are left out.
    let header = [0; field::link::BYTES];
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    request(dump as u16, flags, &header, libc::IFLA_EXT_MASK, &RTEXT_FILTER_SKIP_STATS.to_ne_bytes())
}

/// Asks for the route to an address.
pub fn route_request(to: Address) -> Request {
    let ask = |family: i32, octets: &[u8]| {
        let mut header = [0; field::route::BYTES];
        header[field::route::FAMILY] = family as u8;
        header[field::route::DESTINATION_BITS] = octets.len() as u8 * 8;
        request(libc::RTM_GETROUTE, libc::NLM_F_REQUEST as u16, &header, libc::RTA_DST, octets)
    };
    match to.ip {
        IpAddr::V4(ip) => ask(libc::AF_INET, &ip.octets()),
        IpAddr::V6(ip) => ask(libc::AF_INET6, &ip.octets()),
    }
}

/// A request with one attribute.
fn request(kind: u16, flags: u16, header: &[u8], attribute: u16, value: &[u8]) -> Request {
    let attribute_length = field::attribute::VALUE + value.len();
    let length = (field::HEADER_BYTES + header.len() + attribute_length) as u32;
    let mut request = Request::new();
    for part in [
        &length.to_ne_bytes()[..],
        &kind.to_ne_bytes(),
        &flags.to_ne_bytes(),
        &[0; 8], // sequence number and port
        header,
        &(attribute_length as u16).to_ne_bytes(),
        &attribute.to_ne_bytes(),
        value,
    ] {
        // The longest request is that for a route to an IPv6 address, and it fits.
        let _ = request.extend_from_slice(part);
    }
    request
}

/// One message of the kernel. A field that is not there reads as zero.
#[derive(Clone, Copy, Debug)]
enum Message<'a> {
    Link(Body<'a>),
    Address(Body<'a>),
    AddressDeleted,
    Route(Body<'a>),
    /// The end of an answer.
    End,
    Other,
}

/// Takes the next message off what was received.
fn next_message<'a>(rest: &mut &'a [u8]) -> Option<Message<'a>> {
    let all = Body(rest);
    let length = all.u32(field::LENGTH) as usize;
    let body = Body(rest.get(field::HEADER_BYTES..length)?);
    // The last one may come without its padding.
    *rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some(match all.u16(field::KIND) {
        libc::RTM_NEWLINK => Message::Link(body),
        libc::RTM_NEWADDR => Message::Address(body),
        libc::RTM_DELADDR => Message::AddressDeleted,
        libc::RTM_NEWROUTE => Message::Route(body),
        ERROR | DONE => Message::End,
        _ => Message::Other,
    })
}

/// The body of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body<'a>(pub(super) &'a [u8]);

impl<'a> Body<'a> {
    pub(super) fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
    }

    pub(super) fn u8(&self, at: usize) -> u8 {
        u8::from_ne_bytes(self.array(at))
    }

    pub(super) fn u16(&self, at: usize) -> u16 {
        u16::from_ne_bytes(self.array(at))
    }

    pub(super) fn u32(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.array(at))
    }

    /// The value of an attribute behind a header of `header` bytes; empty when it is not there.
    pub(super) fn attribute(&self, header: usize, kind: u16) -> &'a [u8] {
        let mut rest = self.0.get(header..).unwrap_or_default();
        loop {
            let attribute = Body(rest);
            let length = usize::from(attribute.u16(field::attribute::LENGTH));
            let Some(value) = rest.get(field::attribute::VALUE..length) else { return &[] };
            if attribute.u16(field::attribute::KIND) & ATTRIBUTE_KIND == kind {
                return value;
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }

    fn link_flags(&self) -> u32 {
        self.u32(field::link::FLAGS)
    }

    /// A link that runs and leads somewhere. Bridges tell of their ports in a family of their own.
    fn is_running_link(&self) -> bool {
        self.u8(field::link::FAMILY) == 0 && self.link_flags() & (UP | RUNNING | LOOPBACK) == UP | RUNNING
    }

    /// An address that is this machine's, and not only the loopback's.
    fn is_usable_address(&self) -> bool {
        self.u8(field::address::FLAGS) & NOT_OURS == 0 && self.u32(field::address::INDEX) > LOOPBACK_INDEX
    }

    /// A route that leads away or to this machine, and is not only a cached answer.
    fn is_usable_route(&self) -> bool {
        matches!(self.u8(field::route::KIND), libc::RTN_UNICAST | libc::RTN_LOCAL)
            && self.u32(field::route::FLAGS) & libc::RTM_F_CLONED == 0
    }

    /// This machine's own address: on a point-to-point link, IFA_ADDRESS is that of the peer.
    pub(super) fn own_address(&self) -> Option<Address> {
        Address::from_octets(self.own_octets())
    }

    fn own_octets(&self) -> &'a [u8] {
        let own = self.attribute(field::address::BYTES, libc::IFA_LOCAL);
        let any = self.attribute(field::address::BYTES, libc::IFA_ADDRESS);
        if own.is_empty() { any } else { own }
    }
}

/// What is kept from message to message of what the kernel tells.
#[derive(Default, Debug)]
pub struct Seen {
    /// A link has a carrier, but does not run yet, which may take a second. An IPv6 neighbour that is asked for meanwhile
    /// does not answer, and is asked again only a second later; so IPv6 counts only afterwards. IPv4 works by then.
    pub link_is_starting: bool,
    /// An address was deleted.
    pub address_is_deleted: bool,
}

/// Whether what the kernel tells is a reason to try again: a link that runs, an address, a route.
pub fn should_retry(mut received: &[u8], seen: &mut Seen) -> bool {
    let mut counts = false;
    while let Some(message) = next_message(&mut received) {
        counts |= match message {
            Message::Link(link) => {
                seen.link_is_starting = link.link_flags() & (UP | CARRIER | RUNNING) == UP | CARRIER;
                link.is_running_link()
            }
            // An IPv6 address is not taken in yet when the kernel tells of it: its local route comes last.
            Message::Address(address) => {
                address.is_usable_address() && address.u8(field::address::FAMILY) != INET6
            }
            Message::AddressDeleted => {
                seen.address_is_deleted = true;
                false
            }
            Message::Route(route) if route.u8(field::route::FAMILY) == INET6 => {
                let is_prefix_route = route.u8(field::route::PROTOCOL) == libc::RTPROT_KERNEL
                    && route.u8(field::route::KIND) == libc::RTN_UNICAST;
                route.is_usable_route() && !is_prefix_route && !seen.link_is_starting
            }
            Message::Route(route) => route.is_usable_route(),
            Message::End | Message::Other => false,
        };
    }
    counts
}

/// Describes what came in answer to a [`dump_request`], each part after a comma: `, eth0 up, eth1 without carrier`, or
/// `, 10.0.2.15, fe80::1`, or `, IPv4 default route`. Returns whether that was the end of the answer.
pub fn describe(mut received: &[u8], out: &mut impl Write) -> Result<bool, fmt::Error> {
    while let Some(message) = next_message(&mut received) {
        match message {
            Message::Link(link) if link.link_flags() & LOOPBACK == 0 => {
                let name = link.attribute(field::link::BYTES, libc::IFLA_IFNAME);
                let name = Quoted(name.strip_suffix(b"\0").unwrap_or(name));
                let state = if link.is_running_link() {
                    "up"
                } else if link.link_flags() & UP != 0 {
                    "without carrier"
                } else {
                    "down"
                };
                write!(out, ", {name} {state}")?;
            }
            Message::Address(address) if address.is_usable_address() => {
                if let Some(address) = address.own_address() {
                    write!(out, ", {address}")?;
                }
            }
            Message::Route(route)
                if route.is_usable_route() && route.u8(field::route::DESTINATION_BITS) == 0 =>
            {
                let version = if route.u8(field::route::FAMILY) == INET6 { 6 } else { 4 };
                write!(out, ", IPv{version} default route")?;
            }
            Message::End => return Ok(true),
            _ => {}
        }
    }
    Ok(false)
}

/// Notes in `is_there` whether an address, of 4 or 16 bytes, is among those that came in answer to a [`dump_request`]. Returns
/// whether that was the end of the answer.
pub fn find_address(mut received: &[u8], octets: &[u8], is_there: &mut bool) -> bool {
    while let Some(message) = next_message(&mut received) {
        match message {
            Message::Address(address) => *is_there |= address.own_octets() == octets,
            Message::End => return true,
            _ => {}
        }
    }
    false
}

/// Takes the index of the interface from the answer to a [`route_request`]; 0: there is no route.
pub fn route_interface(mut received: &[u8]) -> u32 {
    while let Some(message) = next_message(&mut received) {
        if let Message::Route(route) = message {
            return Body(route.attribute(field::route::BYTES, libc::RTA_OIF)).u32(0);
        }
    }
    0
}

/// Writes the hardware address of the interface `index`, `52:54:00:12:34:56`, if it is among the links that came in
/// answer to a [`dump_request`]. Returns whether that was the end of the answer.
pub fn hardware_address(mut received: &[u8], index: u32, out: &mut impl Write) -> Result<bool, fmt::Error> {
    while let Some(message) = next_message(&mut received) {
        match message {
            Message::Link(link) if link.u32(field::link::INDEX) == index => {
                for (at, byte) in link.attribute(field::link::BYTES, libc::IFLA_ADDRESS).iter().enumerate() {
                    let separator = if at == 0 { "" } else { ":" };
                    write!(out, "{separator}{byte:02x}")?;
                }
            }
            Message::End => return Ok(true),
            _ => {}
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use core::net::Ipv6Addr;
    use std::string::String;
    use std::vec;
    use std::vec::Vec;

    /// What a kernel of the 6.18 line answered to [`dump_request`]: a network namespace with two pairs of veth,
    /// whose link-local addresses were tentative yet.
    const RECORDED: [&[u8]; 3] = [
        include_bytes!("recorded/links.bin"),
        include_bytes!("recorded/addresses.bin"),
        include_bytes!("recorded/routes.bin"),
    ];

    fn described(received: &[u8]) -> String {
        let mut text = String::new();
        describe(received, &mut text).expect("a string grows");
        text
    }

    /// Whether the end of an answer was seen.
    fn is_end(received: &[u8]) -> bool {
        describe(received, &mut String::new()).expect("a string grows")
    }

    fn message(kind: u16, body: &[u8], attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = body.to_vec();
        for (kind, value) in attributes {
            body.extend((value.len() as u16 + 4).to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let head = [(body.len() as u32 + 16).to_ne_bytes(), u32::from(kind).to_ne_bytes(), [1; 4], [2; 4]];
        body.resize(body.len().next_multiple_of(4), 0);
        [head.concat(), body].concat()
    }

    fn link(family: u8, index: u32, flags: u32, name: &[u8]) -> Vec<u8> {
        let index = index.to_ne_bytes();
        let flags = flags.to_ne_bytes();
        let body = [&[family, 0, 1, 0][..], &index, &flags, &[0xff; 4]].concat();
        message(16, &body, &[(1, &[2, 0, 0, 0, 0, 9]), (3, name), (13, &[1])])
    }

    fn address(flags: u8, index: u32, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        message(20, &[&[2, 24, flags, 0][..], &index.to_ne_bytes()].concat(), attributes)
    }

    fn route_with(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        message(24, &[2, 32, 0, 0, 254, 0, 0, 1, 0, 2, 0, 0], attributes)
    }

    fn route(family: u8, length: u8, kind: u8, flags: u32) -> Vec<u8> {
        message(24, &[&[family, length, 0, 0, 254, 3, 0, kind][..], &flags.to_ne_bytes()].concat(), &[])
    }

    #[test]
    fn a_network_as_it_was_recorded() {
        assert_eq!(described(RECORDED[0]), ", eth1 up, eth0 up, eth4 down, eth3 without carrier");
        assert_eq!(described(RECORDED[1]), ", 10.0.2.15, 2001:db8::5");
        assert_eq!(described(RECORDED[2]), ", IPv4 default route");
        for recorded in RECORDED {
            assert!(is_end(recorded), "its end was seen");
            assert!(!is_end(&recorded[..recorded.len() - 20]), "but not before");
            assert!(should_retry(recorded, &mut Seen::default()));
        }
        assert_eq!(described(&[]), "");
    }

    #[test]
    fn hardware_addresses() {
        let way = |index: u32| route_with(&[(1, &[10, 0, 2, 9]), (4, &index.to_ne_bytes())]);
        for (answer, links, want) in [
            (way(1), RECORDED[0], "00:00:00:00:00:00"),
            (way(3), RECORDED[0], "02:00:00:00:00:0a"),
            (way(99), RECORDED[0], ""),
            (route(2, 32, 7, 0), RECORDED[0], ""),
            (vec![], RECORDED[0], ""),
            (way(3), &link(0, 3, UP, b"tun0\0"), "02:00:00:00:00:09"),
            (way(3), &message(16, &[0, 0, 0, 0, 3], &[]), ""),
        ] {
            let mut text = String::new();
            hardware_address(links, route_interface(&answer), &mut text).expect("a string grows");
            assert_eq!(text, want, "{answer:?}, {links:?}");
        }
        assert_eq!(hardware_address(RECORDED[0], 0, &mut String::new()), Ok(true), "its end was seen");
    }

    #[test]
    fn what_is_asked() {
        let want = message(22, &[0; 16], &[(29, &8u32.to_ne_bytes())]);
        let got = dump_request(Dump::Addresses);
        assert_eq!((&got[..6], &got[16..]), (&want[..6], &want[16..]));
        assert_eq!(got[6..16], [&0x301u16.to_ne_bytes()[..], &[0; 8]].concat());

        let ask = |family, to: &[u8]| {
            let mut want = message(26, &[&[family, to.len() as u8 * 8][..], &[0; 10]].concat(), &[(1, to)]);
            want[6..16].copy_from_slice(&[&1u16.to_ne_bytes()[..], &[0; 8]].concat());
            want
        };
        let (v4, v6) = (ask(2, &[10, 0, 2, 9]), ask(10, &[7; 16]));
        assert_eq!(route_request(Address::new([7; 16]))[..], v6);
        assert_eq!(route_request(Address::new([10, 0, 2, 9]))[..], v4);
    }

    #[test]
    fn reasons_to_try_again() {
        let up = UP | CARRIER | RUNNING;
        let local: (u16, &[u8]) = (2, &[10, 0, 0, 1]);
        let cases = [
            (true, "a carrier", link(0, 2, up | 0x1000, b"eth0\0")),
            (false, "no carrier", link(0, 2, UP, b"eth0\0")),
            (false, "down", link(0, 2, 0, b"eth0\0")),
            (false, "the loopback", link(0, 1, up | LOOPBACK, b"lo\0")),
            (false, "a bridge's port", link(7, 2, up, b"eth0\0")),
            (true, "an address", address(0x80, 2, &[local])),
            (true, "the peer's address alone", address(0x80, 2, &[(1, &[10, 0, 0, 2])])),
            (false, "a tentative address", address(0xc0, 2, &[local])),
            (false, "a duplicate address", address(0x08, 2, &[local])),
            (false, "the loopback's", address(0x80, 1, &[local])),
            (true, "a route", route(2, 24, 1, 0)),
            (false, "an address of IPv6, which is not taken in yet", {
                let mut six = address(0x80, 2, &[(1, &[1; 16])]);
                six[16] = INET6;
                six
            }),
            (false, "the kernel's route to its neighbours", {
                let mut six = route(10, 64, 1, 0);
                six[16 + 5] = libc::RTPROT_KERNEL;
                six
            }),
            (true, "its route to ourselves", {
                let mut six = route(10, 128, 2, 0);
                six[16 + 5] = libc::RTPROT_KERNEL;
                six
            }),
            (true, "a local route", route(2, 32, 2, 0)),
            (false, "an unreachable one", route(10, 0, 7, 0)),
            (false, "a remembered one", route(10, 128, 1, libc::RTM_F_CLONED)),
            (false, "a link that went", {
                let mut gone = link(0, 2, up, b"eth0\0");
                gone[4] = 17;
                gone
            }),
            (false, "neighbours", message(28, &[1; 12], &[])),
            (
                false,
                "short bodies",
                [message(16, &[0; 11], &[]), message(20, &[0], &[]), message(24, &[1; 7], &[])].concat(),
            ),
            (
                false,
                "empty ones",
                [message(16, &[], &[]), message(20, &[], &[]), message(24, &[], &[])].concat(),
            ),
            (false, "nothing", vec![]),
        ];
        for (good, what, bytes) in &cases {
            assert_eq!(should_retry(bytes, &mut Seen::default()), *good, "{what}");
        }
        let bad: Vec<u8> = cases.iter().filter(|case| !case.0).flat_map(|case| case.2.clone()).collect();
        assert!(!should_retry(&bad, &mut Seen::default()));
        let late = [bad, route(10, 0, 1, 0)].concat();
        assert!(should_retry(&late, &mut Seen::default()), "after all that");
        assert!(!should_retry(&late[..late.len() - 1], &mut Seen::default()), "but not when it is cut");
    }

    /// Whatever else comes with it.
    #[test]
    fn a_deleted_address() {
        let deleted = {
            let mut bytes = address(0x80, 2, &[(2, &[10, 0, 0, 1])]);
            bytes[4] = libc::RTM_DELADDR as u8;
            bytes
        };
        for (bytes, counts) in [
            (deleted.clone(), false),
            ([route(2, 24, 1, 0), deleted.clone()].concat(), true),
            ([deleted, route(2, 24, 1, 0)].concat(), true),
        ] {
            let mut seen = Seen::default();
            assert_eq!(should_retry(&bytes, &mut seen), counts);
            assert!(seen.address_is_deleted);
        }
        let mut seen = Seen::default();
        should_retry(RECORDED[1], &mut seen);
        assert!(!seen.address_is_deleted);
    }

    #[test]
    fn whether_an_address_is_there() {
        let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 5).octets();
        let peer = address(0x80, 3, &[(1, &[10, 0, 0, 9]), (2, &[10, 0, 0, 8])]);
        for (answer, octets, want) in [
            (RECORDED[1], &[10, 0, 2, 15][..], true),
            (RECORDED[1], &[10, 0, 2, 16], false),
            (RECORDED[1], &[127, 0, 0, 1], true),
            (RECORDED[1], &v6, true),
            (RECORDED[1], &[0; 16], false),
            (&peer, &[10, 0, 0, 8], true),
            (&peer, &[10, 0, 0, 9], false),
            (&[], &[10, 0, 2, 15], false),
        ] {
            let mut is_there = false;
            let is_end = find_address(answer, octets, &mut is_there);
            assert_eq!((is_there, is_end), (want, answer == RECORDED[1]), "{octets:?}");
        }
        let mut is_there = true;
        find_address(RECORDED[1], &[10, 0, 2, 16], &mut is_there);
        assert!(is_there, "it was in another part of the answer");
    }

    /// As the kernel tells of a link that is set up: first of a carrier, at last that it runs.
    #[test]
    fn a_link_that_does_not_run_yet() {
        let coming = link(0, 2, UP | CARRIER, b"eth0\0");
        let of_v4 = route(2, 24, 1, 0);
        let route = route(10, 64, 1, 0);
        let runs = link(0, 2, UP | CARRIER | RUNNING, b"eth0\0");
        let mut state = Seen::default();
        for (bytes, good) in
            [(&coming, false), (&route, false), (&of_v4, true), (&runs, true), (&route, true)]
        {
            assert_eq!(should_retry(bytes, &mut state), good);
        }
        assert!(!should_retry(&[coming, route].concat(), &mut state));
        assert!(state.link_is_starting);
        // One that is lost meanwhile keeps nobody from another.
        assert!(!should_retry(&link(0, 2, UP, b"eth0\0"), &mut state));
        assert!(!state.link_is_starting);
    }

    #[test]
    fn what_is_described() {
        let up = UP | CARRIER | RUNNING;
        for (bytes, want) in [
            (link(0, 3, up, b"eth0\0"), ", eth0 up"),
            (link(0, 3, UP, b"eth0"), ", eth0 without carrier"),
            (link(0, 3, CARRIER | RUNNING, b"eth0\0"), ", eth0 down"),
            (link(0, 1, up | LOOPBACK, b"lo\0"), ""),
            // A point-to-point line has the other's address too.
            (address(0, 3, &[(1, &[10, 0, 0, 9]), (2, &[10, 0, 0, 8])]), ", 10.0.0.8"),
            (address(0x40, 3, &[(1, &[10, 0, 0, 9])]), ""),
            (address(0, 1, &[(1, &[127, 0, 0, 1])]), ""),
            (route(2, 0, 1, 0), ", IPv4 default route"),
            (route(10, 0, 1, 0), ", IPv6 default route"),
            (route(10, 0, 7, 0), ""),
            (message(24, &[2, 8, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0], &[(1, &[10, 0, 0, 0])]), ""),
        ] {
            assert_eq!(described(&bytes), want);
        }
    }

    /// Whatever the lengths say, reading ends.
    #[test]
    fn any_bytes_are_messages() {
        let mut random = Random::new(8);
        let mut reasons = 0;
        for round in 0..60_000 {
            let mut bytes = RECORDED[round % 3].to_vec();
            bytes.truncate(random.below(bytes.len() + 1));
            for _ in 0..random.below(8) {
                if !bytes.is_empty() {
                    let at = random.below(bytes.len()) & !usize::from(random.below(4) != 0);
                    bytes[at] = [0, 1, 4, 15, 16, 20, 0xff, random.byte()][random.below(8)];
                }
            }
            reasons += usize::from(should_retry(&bytes, &mut Seen::default()));
            described(&bytes);
            hardware_address(&bytes, route_interface(&bytes), &mut String::new()).expect("a string grows");
            hardware_address(&bytes, 3, &mut String::new()).expect("a string grows");
            find_address(&bytes, &[10, 0, 2, 15], &mut false);
            let noise: Vec<u8> = (0..random.below(64)).map(|_| random.byte() & 31).collect();
            should_retry(&noise, &mut Seen::default());
        }
        assert!(reasons > 1_000, "{reasons}");
    }
}
