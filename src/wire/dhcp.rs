//! DHCP (RFC 2131, RFC 2132): what a client sends and what a server answers, each in the IPv4 packet that a packet socket
//! sends and receives.
//!
//! No option 61 is sent: a server then knows the machine by its hardware address, and gives the main system the same
//! address later, whatever identifier that sends.

use core::net::Ipv4Addr;
use core::ops::Range;

use heapless::Vec;

use crate::limits::{DHCP_PACKET_BYTES, DOMAIN_BYTES_MAX, LEASE_NAME_SERVERS_MAX, LEASE_S_MAX};

/// Where the fields stand: of the IPv4 and UDP headers, and of the message behind them.
mod field {
    use super::Range;

    pub(super) const IP_BYTES: usize = 20;
    pub(super) const IP_LENGTH: Range<usize> = 2..4;
    pub(super) const IP_FRAGMENT: Range<usize> = 6..8;
    pub(super) const IP_PROTOCOL: usize = 9;
    pub(super) const IP_CHECKSUM: Range<usize> = 10..12;

    pub(super) const UDP_BYTES: usize = 8;
    pub(super) const UDP_DESTINATION: Range<usize> = 2..4;
    pub(super) const UDP_LENGTH: Range<usize> = 4..6;

    pub(super) const OPERATION: usize = 0;
    pub(super) const XID: Range<usize> = 4..8;
    /// The address that it is given.
    pub(super) const YIADDR: Range<usize> = 16..20;
    pub(super) const CHADDR: Range<usize> = 28..34;
    pub(super) const COOKIE: Range<usize> = 236..240;
    pub(super) const OPTIONS: usize = 240;
}

const VERSION_AND_HEADER_WORDS: u8 = 0x45;
const TTL: u8 = 64;
const UDP: u8 = 17;
const SERVER_PORT: [u8; 2] = 67u16.to_be_bytes();
const CLIENT_PORT: [u8; 2] = 68u16.to_be_bytes();
const BOOT_REQUEST: u8 = 1;
const BOOT_REPLY: u8 = 2;
const ETHERNET: u8 = 1;
const MAGIC_COOKIE: [u8; 4] = [99, 130, 83, 99];
/// A packet of an Ethernet without its headers.
const LONGEST_ANSWER: [u8; 2] = 1472u16.to_be_bytes();

mod option {
    pub(super) const PAD: u8 = 0;
    pub(super) const MASK: u8 = 1;
    pub(super) const ROUTER: u8 = 3;
    pub(super) const NAME_SERVER: u8 = 6;
    pub(super) const DOMAIN: u8 = 15;
    pub(super) const ADDRESS: u8 = 50;
    pub(super) const LEASE_TIME: u8 = 51;
    pub(super) const KIND: u8 = 53;
    pub(super) const SERVER: u8 = 54;
    pub(super) const WANTED: u8 = 55;
    pub(super) const LENGTH_MAX: u8 = 57;
    pub(super) const RENEW_TIME: u8 = 58;
    pub(super) const REBIND_TIME: u8 = 59;
    pub(super) const END: u8 = 255;
}

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// The hardware address of an Ethernet link.
pub type Mac = [u8; 6];

/// A packet that is to be sent, its IPv4 header included.
pub type Packet = Vec<u8, DHCP_PACKET_BYTES>;

/// What a client asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Question {
    /// Any address: DHCPDISCOVER.
    Discover,
    /// An address that this server has offered.
    Take {
        /// The address.
        address: Ipv4Addr,
        /// The server.
        server: Ipv4Addr,
    },
    /// The address that it has, for longer: of the server that gave it, or of any.
    Keep {
        /// The address.
        address: Ipv4Addr,
        /// The server that gave it; none: any.
        server: Option<Ipv4Addr>,
    },
}

/// Writes a question as a packet. `seconds`: how long the client has been asking.
pub fn write(question: Question, mac: Mac, xid: u32, seconds: u16) -> Packet {
    const UDP_LENGTH: u16 = (DHCP_PACKET_BYTES - field::IP_BYTES) as u16;
    let (mut client, mut to) = ([0; 4], [255; 4]);
    if let Question::Keep { address, server } = question {
        client = address.octets();
        to = server.map_or(to, |server| server.octets());
    }
    let mut packet = Packet::new();
    let mut put = |bytes: &[u8]| {
        // The packet has room for all of it.
        let _ = packet.extend_from_slice(bytes);
    };
    put(&[VERSION_AND_HEADER_WORDS, 0]);
    put(&(DHCP_PACKET_BYTES as u16).to_be_bytes());
    put(&[0, 0, 0, 0, TTL, UDP, 0, 0]);
    put(&client);
    put(&to);
    put(&CLIENT_PORT);
    put(&SERVER_PORT);
    put(&UDP_LENGTH.to_be_bytes());
    // Over IPv4 a UDP checksum of zero means that there is none.
    put(&[0; 2]);
    put(&[BOOT_REQUEST, ETHERNET, mac.len() as u8, 0]);
    put(&xid.to_be_bytes());
    put(&seconds.to_be_bytes());
    put(&[0; 2]);
    put(&client);
    put(&[0; field::CHADDR.start - field::YIADDR.start]);
    put(&mac);
    put(&[0; field::COOKIE.start - field::CHADDR.end]);
    put(&MAGIC_COOKIE);
    match question {
        Question::Discover => put(&[option::KIND, 1, DISCOVER]),
        Question::Take { address, server } => {
            put(&[option::KIND, 1, REQUEST, option::ADDRESS, 4]);
            put(&address.octets());
            put(&[option::SERVER, 4]);
            put(&server.octets());
        }
        Question::Keep { .. } => put(&[option::KIND, 1, REQUEST]),
    }
    put(&[option::LENGTH_MAX, 2]);
    put(&LONGEST_ANSWER);
    put(&[option::WANTED, 4, option::MASK, option::ROUTER, option::NAME_SERVER, option::DOMAIN, option::END]);
    // It grows to its full length.
    let _ = packet.resize(DHCP_PACKET_BYTES, option::PAD);
    let checksum = packet.first_chunk().map_or(0, ip_checksum);
    packet[field::IP_CHECKSUM].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// The checksum of an IPv4 header whose own field is zero.
fn ip_checksum(header: &[u8; field::IP_BYTES]) -> u16 {
    let words = header.as_chunks::<2>().0.iter();
    let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    // Ten words carry over at most twice.
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum + (sum >> 16)) as u16)
}

/// What a server says to this machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It offers a lease.
    Offer(Lease),
    /// It grants one.
    Ack(Lease),
    /// It refuses what was asked for.
    Nak,
}

/// An address and what belongs to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    /// The address.
    pub address: Ipv4Addr,
    /// How many bits of it are the network's.
    pub prefix_length: u8,
    /// Where packets to other networks go.
    pub router: Option<Ipv4Addr>,
    /// The server that granted it.
    pub server: Ipv4Addr,
    /// For how long, in seconds.
    pub seconds: u32,
    /// After how many it is to be renewed …
    pub renew_after_s: u32,
    /// … and, if its server is silent, by any.
    pub rebind_after_s: u32,
    /// Name servers.
    pub name_servers: Vec<Ipv4Addr, LEASE_NAME_SERVERS_MAX>,
    /// The domain of the machine; empty: none.
    pub domain: Vec<u8, DOMAIN_BYTES_MAX>,
}

/// Whether an IPv4 packet goes to a server of DHCP.
pub fn is_question(packet: &[u8]) -> bool {
    udp_message(packet, SERVER_PORT).is_some()
}

/// Reads an IPv4 packet. `None`: it is no answer to the question with this `xid` of the machine with this address, or
/// one that no client could use.
pub fn read(packet: &[u8], mac: Mac, xid: u32) -> Option<Answer> {
    let message = udp_message(packet, CLIENT_PORT)?;
    let is_for_us = *message.get(field::OPERATION)? == BOOT_REPLY
        && message.get(field::XID)? == xid.to_be_bytes()
        && message.get(field::CHADDR)? == mac
        && message.get(field::COOKIE)? == MAGIC_COOKIE;
    let options = Options(message.get(field::OPTIONS..)?);
    if !is_for_us {
        return None;
    }
    let address = Ipv4Addr::from(<[u8; 4]>::try_from(message.get(field::YIADDR)?).ok()?);
    match *options.find(option::KIND)? {
        [OFFER] => Some(Answer::Offer(read_lease(address, options)?)),
        [ACK] => Some(Answer::Ack(read_lease(address, options)?)),
        [NAK] => Some(Answer::Nak),
        _ => None,
    }
}

fn read_lease(address: Ipv4Addr, options: Options<'_>) -> Option<Lease> {
    let server = options.address(option::SERVER)?;
    // One without end gets one: an address never outlives the program for long.
    let seconds = options.seconds(option::LEASE_TIME)?.min(LEASE_S_MAX);
    let prefix_length = match options.address(option::MASK) {
        Some(mask) => mask_length(mask)?,
        None => class_length(address),
    };
    if !is_host(address) || seconds == 0 {
        return None;
    }
    let half = seconds / 2;
    let most = seconds - seconds / 8;
    let renew = options.seconds(option::RENEW_TIME).unwrap_or(half);
    let rebind = options.seconds(option::REBIND_TIME).unwrap_or(most);
    let is_in_order = renew <= rebind && rebind <= seconds;
    let (renew_after_s, rebind_after_s) = if is_in_order { (renew, rebind) } else { (half, most) };
    let servers = options.find(option::NAME_SERVER).unwrap_or_default().as_chunks::<4>().0.iter();
    let domain = options.find(option::DOMAIN).unwrap_or_default();
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let domain = if domain.iter().all(is_name) { domain } else { b"" };
    Some(Lease {
        address,
        prefix_length,
        router: options.address(option::ROUTER).filter(|router| is_host(*router)),
        server,
        seconds,
        renew_after_s,
        rebind_after_s,
        name_servers: servers
            .map(|server| Ipv4Addr::from(*server))
            .filter(|server| is_host(*server))
            .take(LEASE_NAME_SERVERS_MAX)
            .collect(),
        domain: Vec::from_slice(domain).unwrap_or_default(),
    })
}

/// Whether an address can be a single machine's on a network.
fn is_host(address: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    (1..224).contains(&first) && first != 127
}

/// The bits of a network mask, if they stand together.
pub fn mask_length(mask: Ipv4Addr) -> Option<u8> {
    let mask = mask.to_bits();
    let length = mask.leading_ones();
    (mask.count_ones() == length).then_some(length as u8)
}

/// The bits of the network where no mask is told, by the classes that networks once had.
pub fn class_length(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..128 => 8,
        128..192 => 16,
        _ => 24,
    }
}

/// The message in a UDP datagram to this port.
fn udp_message(packet: &[u8], to: [u8; 2]) -> Option<&[u8]> {
    let (&version_and_words, length) = (packet.first()?, packet.get(field::IP_LENGTH)?);
    let header = 4 * usize::from(version_and_words & 0xf);
    // A short frame is padded behind the packet.
    let length = usize::from(u16::from_be_bytes(length.try_into().ok()?));
    let datagram = packet.get(header..length)?;
    // Neither a part of a datagram, the bit that forbids to cut it aside, nor anything but UDP.
    let [flags, offset] = packet.get(field::IP_FRAGMENT)?.try_into().ok()?;
    let is_whole = flags & 0x3f == 0 && offset == 0;
    let is_udp =
        version_and_words >> 4 == 4 && header >= field::IP_BYTES && *packet.get(field::IP_PROTOCOL)? == UDP;
    if !is_whole || !is_udp || datagram.get(field::UDP_DESTINATION)? != to {
        return None;
    }
    let length = u16::from_be_bytes(datagram.get(field::UDP_LENGTH)?.try_into().ok()?);
    datagram.get(field::UDP_BYTES..usize::from(length))
}

/// The options of a message: a kind, a length, then the value.
#[derive(Clone, Copy)]
struct Options<'a>(&'a [u8]);

impl<'a> Options<'a> {
    /// The value of the first option of this kind.
    fn find(&self, kind: u8) -> Option<&'a [u8]> {
        let mut rest = self.0;
        loop {
            rest = match *rest {
                [option::PAD, ref after @ ..] => after,
                [option::END, ..] | [_] | [] => return None,
                [found, length, ref after @ ..] => {
                    let value = after.get(..usize::from(length))?;
                    if found == kind {
                        return Some(value);
                    }
                    &after[value.len()..]
                }
            };
        }
    }

    /// The first address of an option.
    fn address(&self, kind: u8) -> Option<Ipv4Addr> {
        self.find(kind)?.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets))
    }

    fn seconds(&self, kind: u8) -> Option<u32> {
        self.find(kind)?.try_into().ok().map(u32::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec as List;

    const MAC: Mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
    const XID: u32 = 0x0102_0304;

    /// A server's packet with these options, each with its kind.
    fn packet(yiaddr: [u8; 4], options: &[(u8, &[u8])]) -> List<u8> {
        let mut message = [0; field::OPTIONS];
        message[..3].copy_from_slice(&[BOOT_REPLY, ETHERNET, 6]);
        message[field::XID].copy_from_slice(&XID.to_be_bytes());
        message[field::YIADDR].copy_from_slice(&yiaddr);
        message[field::CHADDR].copy_from_slice(&MAC);
        message[field::COOKIE].copy_from_slice(&MAGIC_COOKIE);
        let mut message = message.to_vec();
        for (kind, value) in options {
            message.extend([*kind, value.len() as u8]);
            message.extend(*value);
        }
        message.push(option::END);
        let udp_length = message.len() as u16 + 8;
        let ip = [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 2, 2, 255, 255, 255, 255];
        let udp = [0, 67, 0, 68, (udp_length >> 8) as u8, udp_length as u8, 0, 0];
        let mut packet = [&ip[..], &udp, &message].concat();
        let length = (packet.len() as u16).to_be_bytes();
        packet[2..4].copy_from_slice(&length);
        packet
    }

    const USUAL: [(u8, &[u8]); 7] = [
        (53, &[5]),
        (1, &[255, 255, 255, 0]),
        (3, &[10, 0, 2, 2]),
        (6, &[10, 0, 2, 3, 10, 0, 2, 4]),
        (15, b"example.org"),
        (51, &[0, 0, 0, 200]),
        (54, &[10, 0, 2, 2]),
    ];

    /// The usual options, one of them with another value; none: without it.
    fn but(kind: u8, value: Option<&[u8]>) -> List<u8> {
        let others = USUAL.into_iter().filter(|(other, _)| *other != kind);
        let options: List<(u8, &[u8])> = others.chain(value.map(|value| (kind, value))).collect();
        packet([10, 0, 2, 15], &options)
    }

    fn lease(packet: &[u8]) -> Option<Lease> {
        match read(packet, MAC, XID)? {
            Answer::Ack(lease) => Some(lease),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_lease_as_it_is_granted() {
        let want = Lease {
            address: Ipv4Addr::new(10, 0, 2, 15),
            prefix_length: 24,
            router: Some(Ipv4Addr::new(10, 0, 2, 2)),
            server: Ipv4Addr::new(10, 0, 2, 2),
            seconds: 200,
            renew_after_s: 100,
            rebind_after_s: 175,
            name_servers: Vec::from_slice(&[Ipv4Addr::new(10, 0, 2, 3), Ipv4Addr::new(10, 0, 2, 4)]).unwrap(),
            domain: Vec::from_slice(b"example.org").unwrap(),
        };
        let granted = packet([10, 0, 2, 15], &USUAL);
        assert_eq!(read(&granted, MAC, XID), Some(Answer::Ack(want.clone())));
        let offered = but(53, Some(&[2]));
        assert_eq!(read(&offered, MAC, XID), Some(Answer::Offer(want.clone())));
        // A short frame is padded.
        assert_eq!(lease(&[&granted[..], &[0; 20]].concat()), Some(want));
        assert_eq!(read(&packet([0; 4], &[(53, &[6])]), MAC, XID), Some(Answer::Nak));
    }

    #[test]
    fn what_is_missing_or_odd() {
        assert_eq!(lease(&but(3, None)).unwrap().router, None);
        assert_eq!(lease(&but(3, Some(&[0, 0, 0, 0]))).unwrap().router, None);
        assert_eq!(lease(&but(3, Some(&[10, 0]))).unwrap().router, None);
        assert_eq!(lease(&but(1, None)).unwrap().prefix_length, 8);
        assert_eq!(lease(&but(1, Some(&[255; 4]))).unwrap().prefix_length, 32);
        assert_eq!(lease(&but(6, None)).unwrap().name_servers, [Ipv4Addr::UNSPECIFIED; 0]);
        assert_eq!(lease(&but(6, Some(&[224, 0, 0, 1, 10, 0, 0, 1, 9]))).unwrap().name_servers.len(), 1);
        for domain in [&b"a\nnameserver 10.0.0.1"[..], b"", b"a b", &[b'x'; DOMAIN_BYTES_MAX + 1]] {
            assert_eq!(lease(&but(15, Some(domain))).unwrap().domain, b"");
        }
        // None of these can be used.
        for (kind, value) in [
            (54, None),
            (51, None),
            (51, Some(&[0, 0, 0, 0][..])),
            (51, Some(&[0, 0, 1])),
            (1, Some(&[255, 0, 255, 0])),
            (53, None),
            (53, Some(&[5, 5])),
            (53, Some(&[4])),
        ] {
            assert_eq!(read(&but(kind, value), MAC, XID), None, "option {kind} {value:?}");
        }
        for address in [[0; 4], [127, 0, 0, 1], [224, 0, 0, 1], [255; 4]] {
            assert_eq!(read(&packet(address, &USUAL), MAC, XID), None);
        }
    }

    #[test]
    fn times_of_renewal() {
        let times_of = |more: &[(u8, &[u8])]| {
            let options = [&USUAL[..], more].concat();
            let lease = lease(&packet([10, 0, 2, 15], &options)).unwrap();
            (lease.renew_after_s, lease.rebind_after_s)
        };
        let times = |renew: [u8; 4], rebind: [u8; 4]| times_of(&[(58, &renew), (59, &rebind)]);
        assert_eq!(times_of(&[]), (100, 175));
        assert_eq!(times_of(&[(58, &[0, 0, 0, 10])]), (10, 175));
        assert_eq!(times_of(&[(58, &[0, 0, 0, 180])]), (100, 175));
        assert_eq!(times_of(&[(59, &[0, 0, 0, 150])]), (100, 150));
        assert_eq!(times([0, 0, 0, 10], [0, 0, 0, 20]), (10, 20));
        assert_eq!(times([0, 0, 0, 30], [0, 0, 0, 20]), (100, 175));
        assert_eq!(times([0, 0, 0, 30], [0, 0, 0, 201]), (100, 175));
        assert_eq!(times([255; 4], [255; 4]), (100, 175));
    }

    #[test]
    fn what_is_not_for_us() {
        let granted = packet([10, 0, 2, 15], &USUAL);
        assert_eq!(read(&granted, MAC, XID + 1), None);
        assert_eq!(read(&granted, [0; 6], XID), None);
        for (at, value) in
            [(0, 0x65), (0, 0x44), (6, 0x20), (7, 1), (9, 6), (22, 1), (23, 69), (28, 1), (264, 0)]
        {
            let mut other = granted.clone();
            assert_ne!(other[at], value);
            other[at] = value;
            assert_eq!(read(&other, MAC, XID), None, "byte {at} as {value}");
        }
        // A header that is shorter than any.
        assert_eq!(read(&[0x40, 0, 0, 4], MAC, XID), None);
        for end in 0..granted.len() {
            assert_eq!(read(&granted[..end], MAC, XID), None, "{end} bytes");
        }
    }

    #[test]
    fn what_is_asked() {
        let discover = write(Question::Discover, MAC, XID, 7);
        assert_eq!(discover.len(), DHCP_PACKET_BYTES);
        assert_eq!(discover[..20], *b"\x45\0\x01\x48\0\0\0\0\x40\x11\x79\xa6\0\0\0\0\xff\xff\xff\xff");
        assert_eq!(discover[20..28], [0, 68, 0, 67, 1, 52, 0, 0]);
        assert_eq!(discover[28..40], [1, 1, 6, 0, 1, 2, 3, 4, 0, 7, 0, 0]);
        assert_eq!(discover[56..62], MAC);
        let options = b"\x63\x82\x53\x63\x35\x01\x01\x39\x02\x05\xc0\x37\x04\x01\x03\x06\x0f\xff";
        assert_eq!(discover[264..264 + options.len()], *options);
        assert!(is_question(&discover));
        assert!(!is_question(&packet([10, 0, 2, 15], &USUAL)));

        let (address, server) = (Ipv4Addr::new(10, 0, 2, 15), Ipv4Addr::new(10, 0, 2, 2));
        let take = write(Question::Take { address, server }, MAC, XID, 0);
        assert_eq!(take[12..20], [0, 0, 0, 0, 255, 255, 255, 255]);
        assert_eq!(take[268..283], *b"\x35\x01\x03\x32\x04\x0a\0\x02\x0f\x36\x04\x0a\0\x02\x02");
        let keep = write(Question::Keep { address, server: Some(server) }, MAC, XID, 0);
        assert_eq!(keep[12..20], [10, 0, 2, 15, 10, 0, 2, 2]);
        assert_eq!((&keep[40..44], &keep[268..271]), (&[10, 0, 2, 15][..], &[53, 1, 3][..]));
        let keep = write(Question::Keep { address, server: None }, MAC, XID, 0);
        assert_eq!(keep[16..20], [255; 4]);
        assert_eq!(keep[271], 57, "neither an address nor a server");
    }

    #[test]
    fn masks() {
        assert_eq!(mask_length(Ipv4Addr::new(255, 255, 254, 0)), Some(23));
        assert_eq!(mask_length(Ipv4Addr::new(0, 0, 0, 0)), Some(0));
        assert_eq!(mask_length(Ipv4Addr::new(255, 255, 0, 255)), None);
        for (first, length) in [(10, 8), (127, 8), (128, 16), (191, 16), (192, 24)] {
            assert_eq!(class_length(Ipv4Addr::new(first, 0, 0, 1)), length);
        }
    }
}
