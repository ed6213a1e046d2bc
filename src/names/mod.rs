//! Names into addresses, without a C library's resolver.
//!
//! ```text
//! /etc/hosts ------- hosts ---------+
//! /etc/resolv.conf                  v
//! /proc/net/pnp ---- resolv ---> lookup ---> addresses, their TTL, what each server said
//!                                  | ^
//!                          queries v | answers
//!                               wire::dns
//! ```
//!
//! The files come as bytes, from wherever the caller reads them. [`lookup`] decides what is asked, when and of whom;
//! its caller owns the sockets, the clock and the random numbers.

use heapless::Vec;

use crate::address::Address;
use crate::limits::{ADDRESSES_MAX, NAME_KEPT_S};
use crate::text::split_once;

pub mod file_lines;
pub mod hosts;
pub mod lookup;
pub mod resolv;

/// Addresses of a name, or of the name servers.
pub type Addresses = Vec<Address, ADDRESSES_MAX>;

/// Gives the number of an interface by its name, 0 for none.
pub type InterfaceIndex<'a> = &'a mut dyn FnMut(&[u8]) -> u32;

/// Reads an address, perhaps with a scope: `10.0.0.1`, `fe80::1%eth0`.
fn parse_address(text: &[u8], interface_index: InterfaceIndex<'_>) -> Option<Address> {
    match split_once(text, b'%') {
        None => Address::parse(text),
        Some((ip, scope)) => {
            let mut address = Address::parse_ipv6(ip)?;
            address.scope_id = interface_index(scope);
            Some(address)
        }
    }
}

/// Adds an address, once. What there is no room for is left out.
fn add(list: &mut Addresses, address: Address) {
    if !list.contains(&address) {
        let _ = list.push(address);
    }
}

/// The addresses that were found for a name.
#[derive(Clone, Debug)]
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

/// Takes the next line off a file, without its comment.
fn next_line<'a>(text: &mut &'a [u8]) -> Option<&'a [u8]> {
    if text.is_empty() {
        return None;
    }
    let line = crate::text::next_part(text, b'\n');
    let comment = line.iter().position(|&byte| matches!(byte, b'#' | b';'));
    Some(&line[..comment.unwrap_or(line.len())])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::text::next_word;
    use core::net::IpAddr;
    use std::vec::Vec;

    /// An address from its usual text; the zone `eth0` has the number 7.
    pub(crate) fn address(text: &str) -> Address {
        parse_address(text.as_bytes(), &mut |zone| if zone == b"eth0" { 7 } else { 0 }).expect(text)
    }

    /// A name as messages have it.
    pub(crate) fn wire(name: &str) -> Vec<u8> {
        let labels = name.split('.').filter(|label| !label.is_empty());
        let mut wire: Vec<u8> = labels.flat_map(|l| [&[l.len() as u8], l.as_bytes()].concat()).collect();
        wire.push(0);
        wire
    }

    /// A record: its owner's name, as a message has it, kind, class and data.
    pub(crate) fn record(owner: &[u8], kind: u16, class: u16, ttl_s: u32, data: &[u8]) -> Vec<u8> {
        let length = (data.len() as u16).to_be_bytes();
        let numbers = [&kind.to_be_bytes()[..], &class.to_be_bytes(), &ttl_s.to_be_bytes(), &length].concat();
        [owner, &numbers, data].concat()
    }

    fn octets(text: &str) -> Vec<u8> {
        match address(text).ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        }
    }

    /// A record from its text: `www A 10.0.0.1`, `www AAAA ::1`, `www CNAME web.example`; it holds for 300 s.
    pub(crate) fn line_record(line: &str) -> Vec<u8> {
        let mut words = line.split(' ');
        let mut next = || words.next().expect(line);
        let owner = wire(next());
        match next() {
            "A" => record(&owner, 1, 1, 300, &octets(next())),
            "AAAA" => record(&owner, 28, 1, 300, &octets(next())),
            "CNAME" => record(&owner, 5, 1, 300, &wire(next())),
            other => panic!("{other}"),
        }
    }

    /// The answer to a query: its number and question, these flags, these records.
    pub(crate) fn answer(query: &[u8], flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
        let question = 12 + query[12..].iter().position(|&byte| byte == 0).expect("a name") + 5;
        let mut answer = query[..question].to_vec();
        answer[2..4].copy_from_slice(&(0x8180 | flags).to_be_bytes());
        answer[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
        answer[10..12].fill(0);
        answer.extend(records.concat());
        answer
    }

    #[test]
    fn addresses_with_zones() {
        assert_eq!(address("fe80::1%eth0"), Address { scope_id: 7, ..address("fe80::1") });
        for wrong in ["", "%", "%eth0", "10.0.0", "10.0.0.1%eth0", "fe80::1::", "name"] {
            assert_eq!(parse_address(wrong.as_bytes(), &mut |_| 0), None, "{wrong}");
        }
    }

    #[test]
    fn neither_family_crowds_the_other_out() {
        let mut found = Found::nothing();
        assert!(found.is_empty());
        for last in 0..30 {
            found.add(Address::new([10, 0, 0, last]));
            found.add(Address::new([10, 0, 0, last]));
        }
        found.add(address("2001:db8::1"));
        let all: Vec<Address> = found.iter().collect();
        assert_eq!(all.len(), ADDRESSES_MAX + 1);
        assert_eq!(all[7], address("10.0.0.7"));
        assert_eq!(all[8], address("2001:db8::1"));
        assert!(!found.is_empty());
    }

    #[test]
    fn no_ttl_is_longer_than_a_minute() {
        for (ttl_s, holds_ms) in
            [(0, 0), (59, 59_000), (60, 60_000), (300, 60_000), (i32::MAX as u32, 60_000)]
        {
            assert_eq!(Found { ttl_s, ..Found::nothing() }.holds_ms(), holds_ms, "{ttl_s}");
        }
    }

    #[test]
    fn lines_and_words() {
        let mut text = &b"a  b\r\n\n\tc # d\n;e\nf"[..];
        let mut got = Vec::new();
        while let Some(mut line) = next_line(&mut text) {
            got.push(std::vec![]);
            loop {
                let word = next_word(&mut line);
                if word.is_empty() {
                    break;
                }
                got.last_mut().unwrap().push(word);
            }
        }
        let want: [&[&[u8]]; 5] = [&[b"a", b"b"], &[], &[b"c"], &[], &[b"f"]];
        assert_eq!(got, want);
    }
}
