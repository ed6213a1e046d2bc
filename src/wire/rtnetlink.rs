//! rtnetlink: requests that change links, addresses and routes. What the kernel tells of them is in
//! [`super::rtnetlink_news`].

use core::net::IpAddr;

use heapless::Vec;

use super::netlink::field;
use crate::address::Address;
use crate::limits::LINK_REQUEST_BYTES_MAX;

// From the kernel's `if_link.h`, `if_addr.h`, `rtnetlink.h`: what the C library lacks.
pub(super) const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_VLAN_ID: u16 = 1;
const IFLA_BOND_MODE: u16 = 1;
const IFLA_BOND_MIIMON: u16 = 3;
pub(super) const IFA_CACHEINFO: u16 = 6;
pub(super) const IFA_FLAGS: u16 = 8;
pub(super) const IFA_F_NOPREFIXROUTE: u32 = 0x200;
const RTNH_F_ONLINK: u32 = 4;

/// Our routes carry this protocol, which nobody else uses …
pub const ROUTE_PROTOCOL: u8 = 200;
/// … and come behind all others.
pub const ROUTE_METRIC: u32 = 65_535;

/// The groups that tell of links, addresses and routes of both families, and of what routers advertise.
pub const GROUPS: u32 = 1 << 0 // RTNLGRP_LINK
    | 1 << 4 // RTNLGRP_IPV4_IFADDR
    | 1 << 6 // RTNLGRP_IPV4_ROUTE
    | 1 << 8 // RTNLGRP_IPV6_IFADDR
    | 1 << 10 // RTNLGRP_IPV6_ROUTE
    | 1 << 19; // RTNLGRP_ND_USEROPT

/// A request to the kernel. It answers only when it refuses.
#[derive(Clone, Debug)]
pub struct Request(Vec<u8, LINK_REQUEST_BYTES_MAX>);

impl Request {
    pub(super) fn new(kind: u16, flags: i32, header: &[u8]) -> Request {
        let mut request = Request(Vec::new());
        request.put(&[0; 4]);
        request.put(&kind.to_ne_bytes());
        request.put(&((libc::NLM_F_REQUEST | flags) as u16).to_ne_bytes());
        // The number that an error comes back with says which kind of request it was.
        request.put(&u32::from(kind).to_ne_bytes());
        request.put(&[0; 4]);
        request.put(header);
        request.0[field::LENGTH] = request.0.len() as u8;
        request
    }

    fn put(&mut self, bytes: &[u8]) {
        // The longest request has room.
        let _ = self.0.extend_from_slice(bytes);
    }

    /// Adds an attribute.
    pub(super) fn attribute(self, kind: u16, value: &[u8]) -> Request {
        let mut request = self.nested(kind, value);
        let length = (request.0.len() as u32).to_ne_bytes();
        request.0[field::LENGTH..field::KIND].copy_from_slice(&length);
        request
    }

    /// Adds an attribute to what will be the value of another one.
    fn nested(mut self, kind: u16, value: &[u8]) -> Request {
        self.put(&((field::attribute::VALUE + value.len()) as u16).to_ne_bytes());
        self.put(&kind.to_ne_bytes());
        self.put(value);
        self.put(&[0; 3][..value.len().next_multiple_of(4) - value.len()]);
        self
    }

    fn made_of(self, name: &[u8], kind: &[u8], data: &Request) -> Request {
        let info = Request(Vec::new()).nested(IFLA_INFO_KIND, kind).nested(IFLA_INFO_DATA, &data.0);
        self.attribute(libc::IFLA_IFNAME, name).attribute(libc::IFLA_LINKINFO, &info.0)
    }

    pub(super) fn number(self, kind: u16, value: u32) -> Request {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// What is sent.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

const NEW: i32 = libc::NLM_F_CREATE | libc::NLM_F_EXCL;

/// The header of a request about a link: neither family nor kind, then its number, flags, and which of these change.
fn link_header(index: u32, flags: u32, change: u32) -> [[u8; 4]; 4] {
    [0, index, flags, change].map(u32::to_ne_bytes)
}

/// Sets a link up or down.
pub fn set_link(index: u32, is_up: bool) -> Request {
    const UP: u32 = libc::IFF_UP as u32;
    Request::new(libc::RTM_NEWLINK, 0, link_header(index, if is_up { UP } else { 0 }, UP).as_flattened())
}

/// Makes a link a part of another one.
pub fn set_master(index: u32, master: u32) -> Request {
    Request::new(libc::RTM_NEWLINK, 0, link_header(index, 0, 0).as_flattened())
        .number(libc::IFLA_MASTER, master)
}

/// Removes a link that was made.
pub fn delete_link(index: u32) -> Request {
    Request::new(libc::RTM_DELLINK, 0, link_header(index, 0, 0).as_flattened())
}

/// Makes a VLAN of a link, with this number.
pub fn new_vlan(index: u32, name: &[u8], base: u32, id: u16) -> Request {
    let request = Request::new(libc::RTM_NEWLINK, NEW, link_header(index, 0, 0).as_flattened())
        .number(libc::IFLA_LINK, base);
    let data = Request(Vec::new()).nested(IFLA_VLAN_ID, &id.to_ne_bytes());
    request.made_of(name, b"vlan", &data)
}

/// Makes a bond without links, with this number.
pub fn new_bond(index: u32, name: &[u8], mode: u8, miimon_ms: u32) -> Request {
    let data = Request(Vec::new()).nested(IFLA_BOND_MODE, &[mode]);
    let data = data.nested(IFLA_BOND_MIIMON, &miimon_ms.to_ne_bytes());
    Request::new(libc::RTM_NEWLINK, NEW, link_header(index, 0, 0).as_flattened())
        .made_of(name, b"bond", &data)
}

/// An address on a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkAddress {
    /// The link.
    pub index: u32,
    /// The address.
    pub address: Address,
    /// How many bits of it are the network's.
    pub prefix_length: u8,
}

impl LinkAddress {
    /// The network that it belongs to.
    pub fn network(self) -> LinkAddress {
        let (_, mut network) = octets(self.address.ip);
        for (at, byte) in network.iter_mut().enumerate() {
            let bits = usize::from(self.prefix_length).saturating_sub(8 * at).min(8);
            *byte &= !(0xff_u16 >> bits) as u8;
        }
        LinkAddress { address: Address::from_octets(&network).unwrap_or(self.address), ..self }
    }
}

/// The address's family and bytes.
pub(super) fn octets(ip: IpAddr) -> (u8, Vec<u8, 16>) {
    let (family, octets) = match ip {
        IpAddr::V4(ip) => (libc::AF_INET, Vec::from_slice(&ip.octets())),
        IpAddr::V6(ip) => (libc::AF_INET6, Vec::from_slice(&ip.octets())),
    };
    (family as u8, octets.unwrap_or_default())
}

/// Gives a link an address for so many seconds, or more time for the one that it has. The kernel makes no route of it.
/// `label` is what old programs know an IPv4 address by (empty: the link's name).
pub fn add_address(of: LinkAddress, label: &[u8], seconds: u32) -> Request {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
    let [seconds, unused] = [seconds, 0].map(u32::to_ne_bytes);
    let request = change_address(libc::RTM_NEWADDR, flags, of)
        .attribute(IFA_CACHEINFO, [seconds, seconds, unused, unused].as_flattened())
        .number(IFA_FLAGS, IFA_F_NOPREFIXROUTE);
    if of.address.is_ipv4() && !label.is_empty() {
        request.attribute(libc::IFA_LABEL, label)
    } else {
        request
    }
}

/// Takes an address from a link.
pub fn delete_address(of: LinkAddress) -> Request {
    change_address(libc::RTM_DELADDR, 0, of)
}

fn change_address(kind: u16, flags: i32, of: LinkAddress) -> Request {
    let (family, octets) = octets(of.address.ip);
    let mut header = [0; field::address::BYTES];
    header[field::address::FAMILY] = family;
    header[field::address::PREFIX_LENGTH] = of.prefix_length;
    header[field::address::INDEX..].copy_from_slice(&of.index.to_ne_bytes());
    Request::new(kind, flags, &header)
        .attribute(libc::IFA_LOCAL, &octets)
        .attribute(libc::IFA_ADDRESS, &octets)
}

/// Has packets to an address's own network go out of its link.
pub fn add_network_route(of: LinkAddress, prefix_length: u8) -> Request {
    let network = LinkAddress { prefix_length, ..of }.network().address;
    new_route(of, prefix_length, libc::RT_SCOPE_LINK, 0).attribute(libc::RTA_DST, &octets(network.ip).1)
}

/// Removes the route to an IPv6 network that the kernel has made.
pub fn delete_kernels_route(network: LinkAddress) -> Request {
    const METRIC: u32 = 256;
    let (family, octets) = octets(network.address.ip);
    let mut header = [0; field::route::BYTES];
    header[field::route::FAMILY] = family;
    header[field::route::DESTINATION_BITS] = network.prefix_length;
    header[field::route::TABLE] = libc::RT_TABLE_MAIN;
    header[field::route::PROTOCOL] = libc::RTPROT_KERNEL;
    header[field::route::SCOPE] = libc::RT_SCOPE_NOWHERE;
    Request::new(libc::RTM_DELROUTE, 0, &header)
        .number(libc::RTA_OIF, network.index)
        .number(libc::RTA_PRIORITY, METRIC)
        .attribute(libc::RTA_DST, &octets)
}

/// Has packets to all other networks go to a gateway, which need not be of the link's own network.
pub fn add_default_route(of: LinkAddress, gateway: Address) -> Request {
    new_route(of, 0, libc::RT_SCOPE_UNIVERSE, RTNH_F_ONLINK)
        .attribute(libc::RTA_GATEWAY, &octets(gateway.ip).1)
}

fn new_route(of: LinkAddress, destination_bits: u8, scope: u8, flags: u32) -> Request {
    let (family, own) = octets(of.address.ip);
    let mut header = [0; field::route::BYTES];
    header[field::route::FAMILY] = family;
    header[field::route::DESTINATION_BITS] = destination_bits;
    header[field::route::TABLE] = libc::RT_TABLE_MAIN;
    header[field::route::PROTOCOL] = ROUTE_PROTOCOL;
    header[field::route::SCOPE] = scope;
    header[field::route::KIND] = libc::RTN_UNICAST;
    header[field::route::FLAGS..].copy_from_slice(&flags.to_ne_bytes());
    let request = Request::new(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, &header)
        .number(libc::RTA_OIF, of.index)
        .number(libc::RTA_PRIORITY, ROUTE_METRIC);
    // IPv6 takes an address as a source only once it knows that nobody else has it.
    if of.address.is_ipv4() { request.attribute(libc::RTA_PREFSRC, &own) } else { request }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec as List;

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
    fn requests_about_links() {
        let header = |index: u32, flags: u32, change: u32| {
            [[0; 4], index.to_ne_bytes(), flags.to_ne_bytes(), change.to_ne_bytes()].concat()
        };
        assert_eq!(set_link(7, true).bytes(), message(16, 1, &header(7, 1, 1), &[]));
        assert_eq!(set_link(7, false).bytes(), message(16, 1, &header(7, 0, 1), &[]));
        assert_eq!(delete_link(7).bytes(), message(17, 1, &header(7, 0, 0), &[]));
        assert_eq!(set_master(2, 7).bytes(), message(16, 1, &header(2, 0, 0), &[(10, &SEVEN)]));
        let data = attributes(&[(1, &5u16.to_ne_bytes())]);
        let info = attributes(&[(1, b"vlan"), (2, &data)]);
        assert_eq!(
            new_vlan(9, b"eth0.5", 7, 5).bytes(),
            message(16, 0x601, &header(9, 0, 0), &[(5, &SEVEN), (3, b"eth0.5"), (18, &info)])
        );
        let data = attributes(&[(1, &[1]), (3, &100u32.to_ne_bytes())]);
        let info = attributes(&[(1, b"bond"), (2, &data)]);
        let longest = b"a-name-of-15-by";
        assert_eq!(
            new_bond(9, longest, 1, 100).bytes(),
            message(16, 0x601, &header(9, 0, 0), &[(3, longest), (18, &info)])
        );
    }

    #[test]
    fn requests_about_addresses_and_routes() {
        let ip = [10, 0, 2, 15];
        let header = [&[2, 32, 0, 0][..], &SEVEN].concat();
        let times = [200u32.to_ne_bytes(), 200u32.to_ne_bytes(), [0; 4], [0; 4]].concat();
        assert_eq!(
            add_address(of("10.0.2.15", 32), b"", 200).bytes(),
            message(20, 0x501, &header, &[(2, &ip), (1, &ip), (6, &times), (8, &0x200u32.to_ne_bytes())])
        );
        assert!(
            add_address(of("10.0.2.15", 32), b"eth0:k", 200).bytes().ends_with(b"\x0a\0\x03\0eth0:k\0\0")
        );
        assert_eq!(
            delete_address(of("10.0.2.15", 32)).bytes(),
            message(21, 1, &header, &[(2, &ip), (1, &ip)])
        );
        let usual = [(4, &SEVEN[..]), (6, &[0xff, 0xff, 0, 0]), (7, &ip)];
        let route = [2, 20, 0, 0, 254, 200, 253, 1, 0, 0, 0, 0];
        assert_eq!(
            add_network_route(of("10.0.2.15", 32), 20).bytes(),
            message(24, 0x501, &route, &[&usual[..], &[(1, &[10, 0, 0, 0])]].concat())
        );
        let route = [2, 0, 0, 0, 254, 200, 0, 1, 4, 0, 0, 0];
        assert_eq!(
            add_default_route(of("10.0.2.15", 32), Address::new([10, 0, 2, 2])).bytes(),
            message(24, 0x501, &route, &[&usual[..], &[(5, &[10, 0, 2, 2])]].concat())
        );
        let octets = "2001:db8::".parse::<core::net::Ipv6Addr>().unwrap().octets();
        assert_eq!(
            delete_kernels_route(of("2001:db8::5", 64).network()).bytes(),
            message(
                25,
                1,
                &[10, 64, 0, 0, 254, 2, 255, 0, 0, 0, 0, 0],
                &[(4, &SEVEN), (6, &[0, 1, 0, 0]), (1, &octets)]
            )
        );
        // The longest one is not cut.
        let longest = add_address(of("2001:db8:1:2:3:4:5:6", 64), b"eth0:k", 200);
        assert_eq!(
            u32::from_ne_bytes(*longest.bytes().first_chunk().unwrap()) as usize,
            longest.bytes().len()
        );
        assert_eq!(longest.bytes().len(), 16 + 8 + 20 + 20 + 20 + 8);
        let network = add_network_route(of("2001:db8:1:2:3:4:5:6", 64), 44);
        assert!(network.bytes().ends_with(&octets), "{network:?}");
    }
}
