//! rtnetlink: the way to an address as a driver needs it that builds packets by itself: over which interface, from which
//! address, to which hardware address.

use super::dhcp::Mac;
use super::netlink::{Body, field};
use super::rtnetlink::{Request, octets};
use crate::address::Address;

/// The multicast group that tells of neighbours (RTNLGRP_NEIGH).
pub const GROUP: u32 = 3;

/// `struct ndmsg`
mod ndmsg {
    pub(super) const FAMILY: usize = 0;
    pub(super) const INDEX: usize = 4;
    pub(super) const STATE: usize = 8;
    pub(super) const FLAGS: usize = 10;
    pub(super) const BYTES: usize = 12;
}

/// The states in which a neighbour's hardware address is known.
const KNOWN: u16 = libc::NUD_REACHABLE
    | libc::NUD_STALE
    | libc::NUD_DELAY
    | libc::NUD_PROBE
    | libc::NUD_NOARP
    | libc::NUD_PERMANENT;

/// How packets leave for an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// The number of the interface.
    pub interface: u32,
    /// The address that they come from.
    pub source: Address,
    /// Who gets them on the link: a gateway, or the receiver itself.
    pub next_hop: Address,
}

/// Why an address cannot be sent to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Obstacle {
    /// There is no route, or the interface has no address.
    NoRoute,
    /// The address is this machine's own, or that of all machines on a link.
    NoOtherMachine,
    /// The interface has no hardware addresses of Ethernet.
    NoEthernet,
    /// The neighbour's hardware address is not known now.
    NeighbourUnknown,
}

/// Asks for the route to an address, over the interface that it belongs to.
pub fn route_request(to: Address) -> Request {
    let (family, octets) = octets(to.ip);
    let mut header = [0; field::route::BYTES];
    header[field::route::FAMILY] = family;
    header[field::route::DESTINATION_BITS] = octets.len() as u8 * 8;
    let request = Request::new(libc::RTM_GETROUTE, 0, &header).attribute(libc::RTA_DST, &octets);
    if to.scope_id == 0 { request } else { request.number(libc::RTA_OIF, to.scope_id) }
}

/// Reads the answer to a [`route_request`] for `to`.
pub fn read_route(answer: &[u8], to: Address) -> Result<Route, Obstacle> {
    let route = body(answer, libc::RTM_NEWROUTE).ok_or(Obstacle::NoRoute)?;
    match route.u8(field::route::KIND) {
        libc::RTN_UNICAST => {}
        libc::RTN_LOCAL | libc::RTN_BROADCAST => return Err(Obstacle::NoOtherMachine),
        _ => return Err(Obstacle::NoRoute),
    }
    let attribute = |kind| route.attribute(field::route::BYTES, kind);
    let source = Address::from_octets(attribute(libc::RTA_PREFSRC)).ok_or(Obstacle::NoRoute)?;
    let gateway = Address::from_octets(attribute(libc::RTA_GATEWAY));
    let interface = Body(attribute(libc::RTA_OIF)).u32(0);
    Ok(Route { interface, source, next_hop: gateway.unwrap_or(to) })
}

/// Asks for an interface, without its counters.
pub fn link_request(interface: u32) -> Request {
    const RTEXT_FILTER_SKIP_STATS: u32 = 8;
    let mut header = [0; field::link::BYTES];
    header[field::link::INDEX..field::link::FLAGS].copy_from_slice(&interface.to_ne_bytes());
    Request::new(libc::RTM_GETLINK, 0, &header).number(libc::IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
}

/// Asks for the hardware address of the next hop.
pub fn neighbour_request(of: &Route) -> Request {
    about_next_hop(libc::RTM_GETNEIGH, 0, of, 0)
}

/// Has the kernel ask the next hop for its hardware address, as if something were to be sent there.
pub fn resolve_request(of: &Route) -> Request {
    const NTF_USE: u8 = 1;
    about_next_hop(libc::RTM_NEWNEIGH, libc::NLM_F_CREATE, of, NTF_USE)
}

fn about_next_hop(kind: u16, request_flags: i32, of: &Route, flags: u8) -> Request {
    let (family, octets) = octets(of.next_hop.ip);
    let mut header = [0; ndmsg::BYTES];
    header[ndmsg::FAMILY] = family;
    header[ndmsg::INDEX..ndmsg::STATE].copy_from_slice(&of.interface.to_ne_bytes());
    header[ndmsg::FLAGS] = flags;
    Request::new(kind, request_flags, &header).attribute(libc::NDA_DST, &octets)
}

/// Reads the answer to a [`neighbour_request`].
pub fn read_hardware_address(answer: &[u8]) -> Result<Mac, Obstacle> {
    let neighbour = body(answer, libc::RTM_NEWNEIGH).ok_or(Obstacle::NeighbourUnknown)?;
    if neighbour.u16(ndmsg::STATE) & KNOWN == 0 {
        return Err(Obstacle::NeighbourUnknown);
    }
    let address = neighbour.attribute(ndmsg::BYTES, libc::NDA_LLADDR);
    address.try_into().map_err(|_| Obstacle::NoEthernet)
}

/// The body of an answer, if it is of this kind.
fn body(answer: &[u8], kind: u16) -> Option<Body<'_>> {
    let all = Body(answer);
    let body = answer.get(field::HEADER_BYTES..all.u32(field::LENGTH) as usize)?;
    (all.u16(field::KIND) == kind).then_some(Body(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use core::net::IpAddr;
    use std::vec::Vec;

    /// A message of the kernel, or a request with these flags.
    fn message(kind: u16, flags: u16, body: &[u8], attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = body.to_vec();
        for (kind, value) in attributes {
            body.extend((value.len() as u16 + 4).to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let head = [
            &(body.len() as u32 + 16).to_ne_bytes()[..],
            &kind.to_ne_bytes(),
            &flags.to_ne_bytes(),
            &u32::from(kind).to_ne_bytes(),
            &[0; 4],
        ];
        [head.concat(), body].concat()
    }

    fn address(text: &str) -> Address {
        Address::parse(text.as_bytes()).expect("an address")
    }

    fn bytes(text: &str) -> Vec<u8> {
        match address(text).ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        }
    }

    /// An answer of the kernel: a route of this kind over interface 2, from a source, perhaps by a gateway.
    fn answer(kind: u8, source: &str, gateway: Option<&str>) -> Vec<u8> {
        let (source, gateway) = (bytes(source), gateway.map(bytes));
        let index = 2u32.to_ne_bytes();
        let mut attributes = std::vec![(libc::RTA_OIF, &index[..]), (libc::RTA_PREFSRC, &source[..])];
        attributes.extend(gateway.as_ref().map(|gateway| (libc::RTA_GATEWAY, &gateway[..])));
        message(24, 0, &[2, 32, 0, 0, 254, 0, 0, kind, 0, 2, 0, 0], &attributes)
    }

    fn found(next_hop: &str, source: &str) -> Result<Route, Obstacle> {
        Ok(Route { interface: 2, source: address(source), next_hop: address(next_hop) })
    }

    #[test]
    fn routes() {
        let to = address("10.0.2.2");
        assert_eq!(read_route(&answer(1, "10.0.2.15", None), to), found("10.0.2.2", "10.0.2.15"));
        assert_eq!(read_route(&answer(1, "10.0.3.15", Some("10.0.3.2")), to), found("10.0.3.2", "10.0.3.15"));
        let to = address("2001:db8::1");
        assert_eq!(read_route(&answer(1, "fec0::5", Some("fe80::2")), to), found("fe80::2", "fec0::5"));
    }

    #[test]
    fn addresses_that_no_route_leads_to() {
        let to = address("10.0.2.2");
        for (kind, want) in [
            (libc::RTN_LOCAL, Obstacle::NoOtherMachine),
            (libc::RTN_BROADCAST, Obstacle::NoOtherMachine),
            (libc::RTN_UNREACHABLE, Obstacle::NoRoute),
            (libc::RTN_BLACKHOLE, Obstacle::NoRoute),
        ] {
            assert_eq!(read_route(&answer(kind, "10.0.2.15", None), to), Err(want), "{kind}");
        }
        let refused = message(2, 0, &[&(-101i32).to_ne_bytes()[..], &[0; 16]].concat(), &[]);
        assert_eq!(read_route(&refused, to), Err(Obstacle::NoRoute));
        let sourceless = message(24, 0, &[2, 32, 0, 0, 254, 0, 0, 1, 0, 2, 0, 0], &[(4, &[2, 0, 0, 0])]);
        assert_eq!(read_route(&sourceless, to), Err(Obstacle::NoRoute));
        assert_eq!(read_route(&[], to), Err(Obstacle::NoRoute));
    }

    fn neighbour_answer(state: u16, mac: &[u8]) -> Vec<u8> {
        let mut body = [0; ndmsg::BYTES];
        body[ndmsg::STATE..][..2].copy_from_slice(&state.to_ne_bytes());
        message(28, 0, &body, &[(1, &[10, 0, 2, 2]), (2, mac)])
    }

    #[test]
    fn neighbours() {
        let mac = [0x52, 0x55, 10, 0, 2, 2];
        for state in [0x02, 0x04, 0x08, 0x10, 0x40, 0x80] {
            assert_eq!(read_hardware_address(&neighbour_answer(state, &mac)), Ok(mac), "{state:#x}");
        }
        // None yet, asked for, not found.
        for state in [0x00, 0x01, 0x20] {
            let answer = neighbour_answer(state, &mac);
            assert_eq!(read_hardware_address(&answer), Err(Obstacle::NeighbourUnknown), "{state:#x}");
        }
        for other in [&[][..], &[1; 4], &[1; 20]] {
            let answer = neighbour_answer(2, other);
            assert_eq!(read_hardware_address(&answer), Err(Obstacle::NoEthernet), "{other:?}");
        }
        let missing = message(2, 0, &[&(-2i32).to_ne_bytes()[..], &[0; 16]].concat(), &[]);
        assert_eq!(read_hardware_address(&missing), Err(Obstacle::NeighbourUnknown));
    }

    #[test]
    fn what_is_asked() {
        let route =
            |next_hop| Route { interface: 3, source: address("10.0.0.1"), next_hop: address(next_hop) };
        let want = message(30, 1, &[2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0], &[(1, &[10, 0, 0, 2])]);
        assert_eq!(neighbour_request(&route("10.0.0.2")).bytes(), want);
        let want = message(28, 0x401, &[10, 0, 0, 0, 3, 0, 0, 0, 0, 0, 1, 0], &[(1, &bytes("fe80::2"))]);
        assert_eq!(resolve_request(&route("fe80::2")).bytes(), want);
        let want = message(26, 1, &[&[2, 32][..], &[0; 10]].concat(), &[(1, &[10, 0, 0, 2])]);
        assert_eq!(route_request(address("10.0.0.2")).bytes(), want);
        let header = [0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(link_request(3).bytes(), message(18, 1, &header, &[(29, &[8, 0, 0, 0])]));
        let scoped = Address { scope_id: 3, ..address("fe80::2") };
        let header = [&[10, 128][..], &[0; 10]].concat();
        let want = message(26, 1, &header, &[(1, &bytes("fe80::2")), (4, &[3, 0, 0, 0])]);
        assert_eq!(route_request(scoped).bytes(), want);
    }

    #[test]
    fn any_bytes_are_read() {
        let mut random = Random::new(5);
        let answers = [answer(1, "10.0.2.15", Some("10.0.2.2")), neighbour_answer(2, &[2; 6])];
        for _ in 0..20_000 {
            let mut bytes = answers[random.below(2)].clone();
            for _ in 0..random.below(4) {
                let at = random.below(bytes.len());
                bytes[at] = random.byte();
            }
            bytes.truncate(random.below(bytes.len() + 1));
            let _ = read_route(&bytes, address("10.0.2.2"));
            let _ = read_hardware_address(&bytes);
        }
    }
}
