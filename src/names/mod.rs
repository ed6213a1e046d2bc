//! Names into addresses, without a resolver of a C library. Pure.
//!
//! ```text
//! /etc/hosts ------- hosts ---------+
//! /etc/resolv.conf                  v
//! /proc/net/pnp ---- resolv ---> lookup ---> addresses, how long they hold, what each server said
//!                                  | ^
//!                          queries v | answers
//!                                message
//! ```
//!
//! The files come as bytes, from wherever the caller reads them. [`lookup`] decides what is asked, when and of whom;
//! its caller owns the sockets, the clock and the random numbers.

use heapless::Vec;

use crate::address::{Address, v4_address, v6_address};
use crate::limits::{ADDRESSES_MAX, NAME_KEPT_S, QUERY_BYTES_MAX};

pub mod hosts;
pub mod lookup;
pub mod message;
pub mod resolv;

/// A query, a name, a search list: one type for all, because each would bring code of its own.
pub type Bytes = Vec<u8, QUERY_BYTES_MAX>;

/// Addresses: of a name, or of those who are asked.
pub type Addresses = Vec<Address, ADDRESSES_MAX>;

/// Gives the number of an interface by its name, 0 for none.
pub type Scope<'a> = &'a mut dyn FnMut(&[u8]) -> u32;

/// Reads an address, with a zone perhaps: `10.0.0.1`, `fe80::1%eth0`.
fn read_address(mut text: &[u8], scope: Scope<'_>) -> Option<Address> {
    if let Some(v4) = v4_address(text) {
        return Some(v4);
    }
    let mut v6 = v6_address(cut(&mut text, b'%'))?;
    if !text.is_empty() {
        v6.scope = scope(text);
    }
    Some(v6)
}

/// Takes an address, which twice is once. What is too much is left out.
fn add(list: &mut Addresses, address: Address) {
    if !list.contains(&address) {
        let _ = list.push(address);
    }
}

/// What was found for a name.
#[derive(Clone, Debug)]
pub struct Found {
    /// IPv4's, then IPv6's: neither can crowd the other out.
    families: [Addresses; 2],
    /// For how many seconds that holds. What comes from a file has no end (`u32::MAX`).
    pub ttl_s: u32,
}

impl Found {
    /// Nothing yet.
    pub const fn nothing() -> Found {
        Found { families: [const { Vec::new() }; 2], ttl_s: u32::MAX }
    }

    /// Takes one address.
    pub fn add(&mut self, address: Address) {
        add(&mut self.families[usize::from(!address.is_v4())], address);
    }

    /// The addresses one after the other, IPv4's first. (What has no route fails at once, so that the family that has
    /// one is as good as the first.)
    pub fn nth(&self, n: usize) -> Option<Address> {
        let [v4, v6] = &self.families;
        v4.get(n).or_else(|| v6.get(n.wrapping_sub(v4.len()))).copied()
    }

    /// All of them, in that order.
    pub fn iter(&self) -> impl Iterator<Item = Address> {
        (0..).map_while(|n| self.nth(n))
    }

    /// Forgets it all.
    pub fn clear(&mut self) {
        self.families.iter_mut().for_each(Vec::clear);
        self.ttl_s = u32::MAX;
    }

    /// How long that holds, at most: a receiver that has moved is found.
    pub fn holds_ms(&self) -> u64 {
        u64::from(self.ttl_s.min(NAME_KEPT_S)) * 1_000
    }

    /// Whether there is no address.
    pub fn is_empty(&self) -> bool {
        self.families.iter().all(Vec::is_empty)
    }
}

/// Cuts the next line off, without its comment.
fn line<'a>(text: &mut &'a [u8]) -> Option<&'a [u8]> {
    if text.is_empty() {
        return None;
    }
    let mut line = cut(text, b'\n');
    Some(cut(&mut cut(&mut line, b'#'), b';'))
}

/// Cuts the next word off; none is empty. Control characters are blanks too, so a CR does no harm.
pub(crate) fn word<'a>(line: &mut &'a [u8]) -> &'a [u8] {
    while let [b'\0'..=b' ', rest @ ..] = *line {
        *line = rest;
    }
    cut(line, b' ')
}

/// What stands before the first `end`; the rest begins after that.
fn cut<'a>(text: &mut &'a [u8], end: u8) -> &'a [u8] {
    let all = *text;
    let at = all.iter().position(|&byte| byte == end || end == b' ' && byte < end).unwrap_or(all.len());
    *text = all.get(at + 1..).unwrap_or_default();
    &all[..at]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// An address from its usual text; the zone `eth0` has the number 7.
    pub(super) fn address(text: &str) -> Address {
        read_address(text.as_bytes(), &mut |zone| if zone == b"eth0" { 7 } else { 0 }).expect(text)
    }

    /// A name as messages have it.
    pub(super) fn wire(name: &str) -> Vec<u8> {
        let labels = name.split('.').filter(|label| !label.is_empty());
        let mut wire: Vec<u8> = labels.flat_map(|l| [&[l.len() as u8], l.as_bytes()].concat()).collect();
        wire.push(0);
        wire
    }

    /// A record: its owner's name, as a message has it, kind, class and data.
    pub(super) fn record(owner: &[u8], kind: u16, class: u16, ttl_s: u32, data: &[u8]) -> Vec<u8> {
        let length = (data.len() as u16).to_be_bytes();
        let numbers = [&kind.to_be_bytes()[..], &class.to_be_bytes(), &ttl_s.to_be_bytes(), &length].concat();
        [owner, &numbers, data].concat()
    }

    /// A record from its text: `www A 10.0.0.1`, `www AAAA ::1`, `www CNAME web.example`; it holds for 300 s.
    pub(super) fn line_record(line: &str) -> Vec<u8> {
        let mut words = line.split(' ');
        let mut next = || words.next().expect(line);
        let owner = wire(next());
        match next() {
            "A" => record(&owner, 1, 1, 300, &address(next()).as_v4().expect(line)),
            "AAAA" => record(&owner, 28, 1, 300, &address(next()).bytes),
            "CNAME" => record(&owner, 5, 1, 300, &wire(next())),
            other => panic!("{other}"),
        }
    }

    /// The answer to a query: its number and question, these flags, these records.
    pub(super) fn answer(query: &[u8], flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
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
        assert_eq!(address("fe80::1%eth0"), Address { scope: 7, ..address("fe80::1") });
        for wrong in ["", "%", "%eth0", "10.0.0", "10.0.0.1%eth0", "fe80::1::", "name"] {
            assert_eq!(read_address(wrong.as_bytes(), &mut |_| 0), None, "{wrong}");
        }
    }

    #[test]
    fn neither_family_crowds_the_other_out() {
        let mut found = Found::nothing();
        assert!(found.is_empty());
        for last in 0..30 {
            found.add(Address::of(&[10, 0, 0, last]));
            found.add(Address::of(&[10, 0, 0, last]));
        }
        found.add(address("2001:db8::1"));
        let all: Vec<Address> = (0..).map_while(|n| found.nth(n)).collect();
        assert_eq!(all.len(), ADDRESSES_MAX + 1);
        assert_eq!(all[7], address("10.0.0.7"));
        assert_eq!(all[8], address("2001:db8::1"));
        assert!(!found.is_empty());
    }

    #[test]
    fn no_life_is_longer_than_a_minute() {
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
        while let Some(mut line) = line(&mut text) {
            got.push(std::vec![]);
            loop {
                let word = word(&mut line);
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
