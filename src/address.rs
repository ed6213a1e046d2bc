//! IP addresses, each together with the interface that a link-local one belongs to, and lists of them.

use core::fmt::{self, Display};
use core::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

use heapless::Vec;

use crate::limits::{ADDRESSES_MAX, NAME_KEPT_S};

/// An IP address and its scope ID. An IPv4 address that is written as IPv6 maps it (`::ffff:10.0.0.1`) is kept as
/// IPv4, so that both are the same address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address {
    /// The address itself.
    pub ip: IpAddr,
    /// The number of the interface that a link-local address belongs to, else 0.
    pub scope_id: u32,
}

impl Address {
    /// An address that belongs to no interface.
    pub fn new(ip: impl Into<IpAddr>) -> Address {
        Address { ip: ip.into().to_canonical(), scope_id: 0 }
    }

    /// The address in a message of the network or of the kernel: 4 or 16 bytes.
    pub fn from_octets(octets: &[u8]) -> Option<Address> {
        if let Ok(octets) = <[u8; 4]>::try_from(octets) {
            return Some(Address::new(octets));
        }
        <[u8; 16]>::try_from(octets).ok().map(Address::new)
    }

    /// Reads an address without a scope: `10.0.0.1`, `2001:db8::1`.
    pub fn parse(text: &[u8]) -> Option<Address> {
        core::str::from_utf8(text).ok()?.parse::<IpAddr>().ok().map(Address::new)
    }

    /// Reads an IPv6 address without a scope. (An IPv4 address has no colon.)
    pub fn parse_ipv6(text: &[u8]) -> Option<Address> {
        Address::parse(text).filter(|_| text.contains(&b':'))
    }

    /// Whether it is an IPv4 address.
    pub fn is_ipv4(&self) -> bool {
        self.ip.is_ipv4()
    }

    /// Whether it is that of one machine, other than this one.
    pub fn is_of_another_machine(&self) -> bool {
        let ip = self.ip;
        !(ip.is_loopback() || ip.is_multicast() || ip.is_unspecified() || ip == IpAddr::from([0xff; 4]))
    }

    /// The address with a port, to connect to.
    pub fn with_port(&self, port: u16) -> SocketAddr {
        match self.ip {
            IpAddr::V4(ip) => SocketAddrV4::new(ip, port).into(),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, self.scope_id).into(),
        }
    }
}

/// The usual text, without the scope.
impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip.fmt(f)
    }
}

/// Addresses of a name, or of the name servers.
pub type Addresses = Vec<Address, ADDRESSES_MAX>;

/// Adds an address, once. What there is no room for is left out.
pub fn add(list: &mut Addresses, address: Address) {
    if !list.contains(&address) {
        let _ = list.push(address);
    }
}

/// The addresses that were found for a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    // Two lists, so that neither family can crowd the other out.
    ipv4: Addresses,
    ipv6: Addresses,
    /// For how many seconds they may be used. What comes from a file has no end (`u32::MAX`).
    pub ttl_s: u32,
}

impl Found {
    /// Nothing yet.
    pub const fn nothing() -> Found {
        Found { ipv4: Vec::new(), ipv6: Vec::new(), ttl_s: u32::MAX }
    }

    /// Adds one address.
    pub fn add(&mut self, address: Address) {
        add(if address.is_ipv4() { &mut self.ipv4 } else { &mut self.ipv6 }, address);
    }

    /// All addresses, IPv4's first: an address without a route fails at once, so the other family loses nothing.
    pub fn iter(&self) -> impl Iterator<Item = Address> {
        self.ipv4.iter().chain(&self.ipv6).copied()
    }

    /// Puts the addresses of each family into an order that `random` decides. It is the same for the same number and the
    /// same addresses, and every address is as often the first as any other.
    pub fn shuffle(&mut self, random: u64) {
        for list in [&mut self.ipv4, &mut self.ipv6] {
            let mut random = random;
            for last in (1..list.len()).rev() {
                let count = last as u64 + 1;
                list.swap(last, (random % count) as usize);
                random /= count;
            }
        }
    }

    /// Forgets all addresses.
    pub fn clear(&mut self) {
        *self = Found::nothing();
    }

    /// How long they are used: no longer than a minute, so that a receiver that has moved is found.
    pub fn holds_ms(&self) -> u64 {
        u64::from(self.ttl_s.min(NAME_KEPT_S)) * 1_000
    }

    /// Whether there is no address.
    pub fn is_empty(&self) -> bool {
        self.ipv4.is_empty() && self.ipv6.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    #[test]
    fn a_mapped_address_is_ipv4() {
        let mapped = Address::parse(b"::ffff:10.0.0.1");
        assert_eq!(mapped, Address::parse(b"10.0.0.1"));
        assert_eq!(mapped, Address::parse_ipv6(b"::ffff:10.0.0.1"));
        assert_eq!(mapped.map(|address| address.to_string()), Some("10.0.0.1".into()));
        assert_eq!(Address::parse_ipv6(b"10.0.0.1"), None);
    }

    #[test]
    fn octets() {
        assert_eq!(Address::from_octets(&[10, 0, 0, 1]), Address::parse(b"10.0.0.1"));
        assert_eq!(Address::from_octets(&[1; 16]), Address::parse(b"101:101:101:101:101:101:101:101"));
        for length in [0, 3, 5, 15, 17] {
            assert_eq!(Address::from_octets(&std::vec![1; length]), None);
        }
    }

    #[test]
    fn of_another_machine() {
        for (text, want) in [
            ("10.0.2.2", true),
            ("2001:db8::1", true),
            ("fe80::1", true),
            ("127.0.0.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("0.0.0.0", false),
            ("::1", false),
            ("::", false),
            ("ff02::1", false),
        ] {
            let is_of_another =
                Address::parse(text.as_bytes()).map(|address| address.is_of_another_machine());
            assert_eq!(is_of_another, Some(want), "{text}");
        }
    }

    #[test]
    fn with_a_port() {
        let mut address = Address::parse(b"fe80::1").expect("an address");
        address.scope_id = 7;
        assert_eq!(address.with_port(5044).to_string(), "[fe80::1%7]:5044");
        assert_eq!(Address::new([10, 0, 0, 1]).with_port(53).to_string(), "10.0.0.1:53");
    }

    #[test]
    fn neither_family_crowds_the_other_out() {
        let mut found = Found::nothing();
        let ipv6 = Address::parse(b"2001:db8::1").expect("an address");
        assert!(found.is_empty());
        for last in 0..30 {
            found.add(Address::new([10, 0, 0, last]));
            found.add(Address::new([10, 0, 0, last]));
        }
        found.add(ipv6);
        let all: Vec<Address> = found.iter().collect();
        assert_eq!(all.len(), ADDRESSES_MAX + 1);
        assert_eq!(all[7], Address::new([10, 0, 0, 7]));
        assert_eq!(all[8], ipv6);
        assert!(!found.is_empty());
        found.clear();
        assert!(found.is_empty());
    }

    /// A thousand machines and a name with four addresses.
    #[test]
    fn machines_spread_over_the_addresses() {
        let all: Vec<Address> = (1..=4).map(|last| Address::new([10, 0, 0, last])).collect();
        let ipv6 = Address::parse(b"2001:db8::1").expect("an address");
        let mut first = [0; 4];
        for machine in 0..1_000_u64 {
            let random = machine.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let order = || {
                let mut found = Found::nothing();
                all.iter().chain([&ipv6]).for_each(|address| found.add(*address));
                found.shuffle(random);
                found.iter().collect::<Vec<Address>>()
            };
            let got = order();
            assert_eq!(got, order(), "the same again");
            assert!(all.iter().all(|address| got.contains(address)) && got[4] == ipv6, "{got:?}");
            first[all.iter().position(|address| *address == got[0]).expect("one of them")] += 1;
        }
        assert!(first.iter().all(|count| (200..=300).contains(count)), "{first:?}");
        let mut none = Found::nothing();
        none.shuffle(7);
        assert!(none.is_empty());
    }

    #[test]
    fn no_ttl_is_longer_than_a_minute() {
        for (ttl_s, holds_ms) in
            [(0, 0), (59, 59_000), (60, 60_000), (300, 60_000), (i32::MAX as u32, 60_000)]
        {
            assert_eq!(Found { ttl_s, ..Found::nothing() }.holds_ms(), holds_ms, "{ttl_s}");
        }
    }
}
