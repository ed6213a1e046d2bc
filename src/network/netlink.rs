//! rtnetlink: what to ask the kernel, what it answers, and whether its news are good. Pure.
//!
//! The lengths in its messages are believed no more than those of a stranger.

use crate::address::Address;
use crate::words;
use crate::words::{Line, Quoted};

/// The groups to listen to (RTMGRP_*): links, addresses and routes of both families.
pub const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

/// What can be asked for: RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE.
pub const DUMPS: &[u8] = &[LINKS, 22, ROUTES];
/// See [`DUMPS`].
pub const LINKS: u8 = 18;
const ROUTES: u8 = 26;

const ERROR: u32 = 2;
const DONE: u32 = 3;
const NEW_LINK: u32 = 16;
const NEW_ADDRESS: u32 = 20;
const NEW_ROUTE: u32 = 24;

/// Of a link's flags (IFF_*).
const UP: u32 = 0x1;
const LOOPBACK: u32 = 0x8;
const RUNNING: u32 = 0x40;
const CARRIER: u32 = 0x1_0000;
/// Of an address's flags (IFA_F_*): another has it, or may have it.
const NOT_OURS: u8 = 0x40 | 0x08;
/// Of a route's kinds (RTN_*): the one that leads away, and the one to ourselves.
const UNICAST: u8 = 1;
/// See `UNICAST`.
const LOCAL: u8 = 2;
/// Who made it (RTPROT_*).
const BY_KERNEL: u8 = 2;
/// Of its flags (RTM_F_*): it is only remembered.
const CLONED: u32 = 0x200;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// The loopback's number, in every network namespace.
const LOOPBACK_INDEX: u32 = 1;

/// What asks for all links, addresses or routes: an `ifinfomsg` of zeros, which is a good head for each of them, and
/// the wish for links without their counters, which would be most of the answer.
pub fn request(dump: u8) -> [u8; 40] {
    let mut bytes = [0; 40];
    bytes[0] = 40;
    bytes[4] = dump;
    // NLM_F_REQUEST and NLM_F_DUMP; then a length, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS.
    bytes[6..8].copy_from_slice(&0x301u16.to_ne_bytes());
    bytes[32..].copy_from_slice(&[8, 0, 29, 0, 8, 0, 0, 0]);
    if cfg!(target_endian = "big") {
        for (at, length) in [(0, 4), (4, 2), (32, 2), (34, 2), (36, 4)] {
            bytes[at..at + length].reverse();
        }
    }
    bytes
}

/// What asks for the way to an address: an `rtmsg`, and the address. For one of IPv4 the last twelve bytes are not part
/// of it.
pub fn request_way(to: Address) -> [u8; 48] {
    const fn head(family: u8, size: u8) -> [u8; 48] {
        let mut bytes = [0; 48];
        // NLM_F_REQUEST and RTA_DST are 1.
        let low = if cfg!(target_endian = "big") { 1 } else { 0 };
        bytes[3 * low] = 32 + size;
        bytes[4 + low] = ROUTES;
        bytes[6 + low] = 1;
        bytes[16] = family;
        bytes[17] = size * 8;
        bytes[28 + low] = 4 + size;
        bytes[30 + low] = 1;
        bytes
    }
    let mut bytes;
    match to.as_v4() {
        Some(v4) => {
            bytes = const { head(AF_INET, 4) };
            bytes[32..36].copy_from_slice(&v4);
        }
        None => {
            bytes = const { head(AF_INET6, 16) };
            bytes[32..].copy_from_slice(&to.bytes);
        }
    }
    bytes
}

/// One message of the kernel's. What is not there reads as zero.
#[derive(Clone, Copy, Debug)]
struct Message<'a> {
    kind: u32,
    body: &'a [u8],
}

/// Cuts the next message off what was received.
fn next<'a>(rest: &mut &'a [u8]) -> Option<Message<'a>> {
    let all = *rest;
    let length = number(all, 0) as usize;
    // The last one may come without its padding.
    *rest = all.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some(Message { kind: halves(number(all, 4)).0, body: all.get(16..length)? })
}

impl<'a> Message<'a> {
    fn flags(&self) -> u32 {
        number(self.body, 8)
    }

    /// The number of the interface, of links and addresses.
    fn index(&self) -> u32 {
        number(self.body, 4)
    }

    /// Of a message about an address: that of this machine. On a line between two, the first is the other's.
    fn own_address(&self) -> &'a [u8] {
        let own = self.attribute(8, 2);
        if own.is_empty() { self.attribute(8, 1) } else { own }
    }

    /// Whether it is of use for reaching someone: a link that runs, an address that is ours, a route that leads
    /// away or to us; none of them the loopback's.
    fn is_good(&self) -> bool {
        let [family, _, flags, _] = number(self.body, 0).to_ne_bytes();
        match self.kind {
            // Bridges speak of their ports in a family of their own.
            NEW_LINK => family == 0 && self.flags() & (UP | RUNNING | LOOPBACK) == UP | RUNNING,
            NEW_ADDRESS => flags & NOT_OURS == 0 && self.index() > LOOPBACK_INDEX,
            NEW_ROUTE => {
                matches!(self.index().to_ne_bytes()[3], UNICAST | LOCAL) && self.flags() & CLONED == 0
            }
            _ => false,
        }
    }

    /// Whether it is a reason to try again. Of what happens when an address of IPv6 is added, that is the last, the
    /// route to ourselves: an answer that comes before it is lost, and the kernel asks for the neighbour only a second
    /// later again.
    fn is_news(&self) -> bool {
        let [_, protocol, _, kind] = self.index().to_ne_bytes();
        let early = match self.kind {
            NEW_ADDRESS => true,
            NEW_ROUTE => protocol == BY_KERNEL && kind == UNICAST,
            _ => false,
        };
        self.is_good() && !(early && self.body[0] == AF_INET6)
    }

    /// An attribute's value, by its kind and the length of what stands before them all; nothing when it is not there.
    fn attribute(&self, head: usize, kind: u32) -> &'a [u8] {
        let mut rest = self.body.get(head..).unwrap_or_default();
        loop {
            let (length, found) = halves(number(rest, 0));
            let Some(value) = rest.get(4..length as usize) else { return &[] };
            if found & 0x3fff == kind {
                return value;
            }
            rest = rest.get((length as usize).next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// Whether there is reason to try again: a link that runs, an address, a route. `coming`: a link has a carrier, but
/// does not run yet, which may take a second. A neighbour of IPv6 that is asked for meanwhile does not answer, and is
/// asked again only a second later; so what is told of IPv6 meanwhile is no reason. IPv4 works by then.
pub fn is_good_news(mut received: &[u8], coming: &mut bool) -> bool {
    while let Some(message) = next(&mut received) {
        if message.kind == NEW_LINK {
            *coming = message.flags() & (UP | CARRIER | RUNNING) == UP | CARRIER;
        }
        let is_v6 = number(message.body, 0).to_ne_bytes()[0] == AF_INET6;
        if message.is_news() && !(*coming && is_v6) {
            return true;
        }
    }
    false
}

/// Tells of what came in answer to [`request`], a comma before each: `, eth0 up, eth1 without carrier`, then
/// `, 10.0.2.15, fe80::1`, then `, IPv4 default route`. Returns whether that was the end of the answer.
pub fn tell(mut received: &[u8], line: &mut Line) -> bool {
    while let Some(message) = next(&mut received) {
        let good = message.is_good();
        let [family, length, ..] = number(message.body, 0).to_ne_bytes();
        match message.kind {
            NEW_LINK if message.flags() & LOOPBACK == 0 => {
                let name = message.attribute(16, 3);
                let name = Quoted(if let [name @ .., 0] = name { name } else { name });
                let state = if good {
                    " up"
                } else if message.flags() & UP != 0 {
                    " without carrier"
                } else {
                    " down"
                };
                words!(line, ", ", name, state);
            }
            NEW_ADDRESS if good => {
                words!(line, ", ", Address::of(message.own_address()));
            }
            NEW_ROUTE if good && length == 0 => {
                words!(line, if family == AF_INET6 { ", IPv6" } else { ", IPv4" }, " default route");
            }
            ERROR | DONE => return true,
            _ => {}
        }
    }
    false
}

/// Tells of the hardware address of an interface, a colon before each byte: `:52:54:00:12:34:56`. `index` is its number;
/// as long as that is 0, the answer about a way brings it. Returns whether that was the end of the answer.
pub fn tell_hardware(mut received: &[u8], index: &mut u32, line: &mut Line) -> bool {
    while let Some(message) = next(&mut received) {
        match message.kind {
            NEW_ROUTE if *index == 0 => *index = number(message.attribute(12, 4), 0),
            NEW_LINK if message.index() == *index => {
                for byte in message.attribute(16, 1) {
                    line.byte(b':');
                    line.hex(*byte);
                }
            }
            ERROR | DONE => return true,
            _ => {}
        }
    }
    false
}

/// The two shorter numbers that stand where one long was read.
fn halves(word: u32) -> (u32, u32) {
    let (low, high) = (word & 0xffff, word >> 16);
    if cfg!(target_endian = "big") { (high, low) } else { (low, high) }
}

/// A number in the machine's order.
fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use std::string::String;
    use std::vec;
    use std::vec::Vec;

    /// What a kernel of the 6.18 line answered to [`request`]: a network namespace with two pairs of veth,
    /// whose link-local addresses were tentative yet.
    const RECORDED: [&[u8]; 3] = [
        include_bytes!("recorded/links.bin"),
        include_bytes!("recorded/addresses.bin"),
        include_bytes!("recorded/routes.bin"),
    ];

    fn told(received: &[u8]) -> String {
        let mut line = Line::new();
        tell(received, &mut line);
        String::from_utf8_lossy(line.bytes()).into_owned()
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
        assert_eq!(told(RECORDED[0]), ", eth1 up, eth0 up, eth4 down, eth3 without carrier");
        assert_eq!(told(RECORDED[1]), ", 10.0.2.15, 2001:db8::5");
        assert_eq!(told(RECORDED[2]), ", IPv4 default route");
        for recorded in RECORDED {
            assert!(tell(recorded, &mut Line::new()), "its end was seen");
            assert!(!tell(&recorded[..recorded.len() - 20], &mut Line::new()), "but not before");
            assert!(is_good_news(recorded, &mut false));
        }
        assert_eq!(told(&[]), "");
    }

    #[test]
    fn hardware_addresses() {
        let way = |index: u32| route_with(&[(1, &[10, 0, 2, 9]), (4, &index.to_ne_bytes())]);
        for (index, way, links, want) in [
            (0, way(1), RECORDED[0], ":00:00:00:00:00:00"),
            (0, way(3), RECORDED[0], ":02:00:00:00:00:0a"),
            (3, way(1), RECORDED[0], ":02:00:00:00:00:0a"),
            (0, way(99), RECORDED[0], ""),
            (0, route(2, 32, 7, 0), RECORDED[0], ""),
            (0, vec![], RECORDED[0], ""),
            (0, way(3), &link(0, 3, UP, b"tun0\0"), ":02:00:00:00:00:09"),
            (0, way(3), &message(16, &[0, 0, 0, 0, 3], &[]), ""),
        ] {
            let (mut line, mut found) = (Line::new(), index);
            tell_hardware(&way, &mut found, &mut line);
            tell_hardware(links, &mut found, &mut line);
            assert_eq!(String::from_utf8_lossy(line.bytes()), want, "{index}, {way:?}, {links:?}");
        }
        assert!(tell_hardware(RECORDED[0], &mut 0, &mut Line::new()), "its end was seen");
    }

    #[test]
    fn what_is_asked() {
        let want = message(22, &[0; 16], &[(29, &8u32.to_ne_bytes())]);
        let got = request(22);
        assert_eq!((&got[..6], &got[16..]), (&want[..6], &want[16..]));
        assert_eq!(got[6..16], [&0x301u16.to_ne_bytes()[..], &[0; 8]].concat());

        let way = |family, to: &[u8]| {
            let mut want = message(26, &[&[family, to.len() as u8 * 8][..], &[0; 10]].concat(), &[(1, to)]);
            want[6..16].copy_from_slice(&[&1u16.to_ne_bytes()[..], &[0; 8]].concat());
            want
        };
        let (v4, v6) = (way(2, &[10, 0, 2, 9]), way(10, &[7; 16]));
        assert_eq!(request_way(Address::of(&[7; 16])), *v6);
        let got = request_way(Address::of(&[10, 0, 2, 9]));
        assert_eq!((&got[..36], &got[36..]), (&v4[..], &[0; 12][..]));
    }

    #[test]
    fn news_good_and_bad() {
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
                six[16] = AF_INET6;
                six
            }),
            (false, "the kernel's route to its neighbours", {
                let mut six = route(10, 64, 1, 0);
                six[16 + 5] = BY_KERNEL;
                six
            }),
            (true, "its route to ourselves", {
                let mut six = route(10, 128, 2, 0);
                six[16 + 5] = BY_KERNEL;
                six
            }),
            (true, "a local route", route(2, 32, 2, 0)),
            (false, "an unreachable one", route(10, 0, 7, 0)),
            (false, "a remembered one", route(10, 128, 1, CLONED)),
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
            assert_eq!(is_good_news(bytes, &mut false), *good, "{what}");
        }
        let bad: Vec<u8> = cases.iter().filter(|case| !case.0).flat_map(|case| case.2.clone()).collect();
        assert!(!is_good_news(&bad, &mut false));
        let late = [bad, route(10, 0, 1, 0)].concat();
        assert!(is_good_news(&late, &mut false), "after all that");
        assert!(!is_good_news(&late[..late.len() - 1], &mut false), "but not when it is cut");
    }

    /// As the kernel tells of a link that is set up: first of a carrier, at last that it runs.
    #[test]
    fn a_link_that_does_not_run_yet() {
        let coming = link(0, 2, UP | CARRIER, b"eth0\0");
        let of_v4 = route(2, 24, 1, 0);
        let route = route(10, 64, 1, 0);
        let runs = link(0, 2, UP | CARRIER | RUNNING, b"eth0\0");
        let mut state = false;
        for (bytes, good) in
            [(&coming, false), (&route, false), (&of_v4, true), (&runs, true), (&route, true)]
        {
            assert_eq!(is_good_news(bytes, &mut state), good);
        }
        assert!(!is_good_news(&[coming, route].concat(), &mut state));
        assert!(state);
        // One that is lost meanwhile keeps nobody from another.
        assert!(!is_good_news(&link(0, 2, UP, b"eth0\0"), &mut state));
        assert!(!state);
    }

    #[test]
    fn what_is_told() {
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
            assert_eq!(told(&bytes), want);
        }
    }

    /// Whatever the lengths say, reading ends.
    #[test]
    fn any_bytes_are_messages() {
        let mut random = Random::new(8);
        let mut news = 0;
        for round in 0..60_000 {
            let mut bytes = RECORDED[round % 3].to_vec();
            bytes.truncate(random.below(bytes.len() + 1));
            for _ in 0..random.below(8) {
                if !bytes.is_empty() {
                    let at = random.below(bytes.len()) & !usize::from(random.below(4) != 0);
                    bytes[at] = [0, 1, 4, 15, 16, 20, 0xff, random.byte()][random.below(8)];
                }
            }
            news += usize::from(is_good_news(&bytes, &mut false));
            tell(&bytes, &mut Line::new());
            tell_hardware(&bytes, &mut 3, &mut Line::new());
            tell_hardware(&bytes, &mut 0, &mut Line::new());
            let noise: Vec<u8> = (0..random.below(64)).map(|_| random.byte() & 31).collect();
            is_good_news(&noise, &mut false);
        }
        assert!(news > 1_000, "{news}");
    }
}
