//! The search for a name, with hostile answers.

use earlykmsg::address::Address;
use earlykmsg::limits::{ADDRESSES_MAX, CNAME_CHAIN_MAX, NAME_ASK_MS, NAME_ROUNDS};
use earlykmsg::names::lookup::{Action, Family, Lookup, Transport};
use earlykmsg::wire::dns::QueryBytes;

use crate::Input;

const SERVERS: usize = 2;

/// Answers, each a length, what is put right in it, and its bytes; in between, time passes. Whatever they say, the
/// search ends, within the time that its parts may take at most, and has no more than it has places for.
pub fn check(bytes: &[u8]) {
    let mut input = Input(bytes);
    let mut lookup = Lookup::idle();
    for server in 0..SERVERS as u8 {
        let _ = lookup.config.servers.push(Address::new([10, 0, 0, server + 1]));
    }
    let _ = lookup.config.search.extend_from_slice(b"one.example two.example");
    lookup.begin(if bytes.len().is_multiple_of(2) { b"logs" } else { b"logs.example." });

    // Three names at most, each with its aliases, and twice what silence costs for all servers in all rounds.
    let names = 3 * (1 + CNAME_CHAIN_MAX as u64);
    let most_ms = names * 2 * 2 * NAME_ASK_MS * SERVERS as u64 * NAME_ROUNDS as u64 * 2;
    let (mut now, mut steps, mut transport) = (0, 0, Transport::Udp);
    let mut queries = [QueryBytes::new(), QueryBytes::new()];
    loop {
        steps += 1;
        assert!(steps < 100_000, "it goes on and on");
        assert!(now <= most_ms, "{now} ms");
        match lookup.next(now) {
            Action::Done => break,
            Action::Failed => return assert!(lookup.found.is_empty()),
            Action::Connect(_) => transport = Transport::Udp,
            Action::Ask(family, over) => {
                lookup.write_query(family, 7, &mut queries[usize::from(family == Family::Ipv6)]);
                if over == Transport::Tcp {
                    transport = over;
                }
            }
            Action::Wait(until) => {
                assert!(until > now);
                match input.u8().zip(input.u16()) {
                    None => now = until,
                    Some((0..=7, _)) => now = until,
                    Some((8..=15, errno)) => lookup.failed(transport, i32::from(errno)),
                    Some((kind, len)) => {
                        let len = usize::from(len % 600).min(input.0.len());
                        let (message, rest) = input.0.split_at(len);
                        input.0 = rest;
                        lookup.answer(
                            now,
                            &answer(kind, message, &queries[usize::from(kind & 1)]),
                            transport,
                        );
                        now += 1;
                    }
                }
            }
        }
    }
    let found: Vec<Address> = lookup.found.iter().collect();
    assert!(!found.is_empty() && found.len() <= 2 * ADDRESSES_MAX);
    let families = [true, false].map(|v4| found.iter().filter(|address| address.is_ipv4() == v4).count());
    assert!(families.iter().all(|&count| count <= ADDRESSES_MAX), "{families:?}");
    assert!(!lookup.to_string().is_empty());
}

/// The message as it is, or behind the head of a right answer to the question.
fn answer(kind: u8, message: &[u8], query: &[u8]) -> Vec<u8> {
    let Some(question) = query.get(14..).filter(|_| kind & 2 != 0) else { return message.to_vec() };
    // The name, then kind and class.
    let end = question
        .iter()
        .position(|&byte| byte == 0)
        .map_or(question.len(), |end| (end + 5).min(question.len()));
    let head = [query[2], query[3], 0x81, 0x80, 0, 1, 0, kind >> 4, 0, 0, 0, 0];
    [&head[..], &question[..end], message].concat()
}
