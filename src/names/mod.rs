//! Names into addresses, without a C library's resolver.
//!
//! ```text
//! /etc/hosts ------- hosts ---------+
//! /etc/resolv.conf                  v
//! and its like ----- resolv ---> lookup ---> addresses, their TTL, what each server answered
//!                                  | ^
//!                          queries v | answers
//!                               wire::dns
//! ```
//!
//! The files come as bytes, from wherever the caller reads them. [`lookup`] decides what is asked, when and of whom;
//! its caller owns the sockets, the clock and the random numbers.

use crate::address::Address;
use crate::text::split_once;

pub mod file_lines;
pub mod hosts;
pub mod lookup;
pub mod resolv;

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
