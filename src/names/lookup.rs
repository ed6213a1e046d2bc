//! One search for the addresses of a name: what to ask, whom, when, and what the answers come to. Pure.
//!
//! Each server in its turn is a *visit*: a socket of its own, the questions for both families at once, once more
//! after [`NAME_ASK_MS`], and after the same time again the next server. So a silent server costs 2 s. What is wrong
//! with an answer ends the visit; that a name is not there, or is another, is believed and starts a visit of the same
//! server with the next name. After [`NAME_ROUNDS`] rounds of all servers it is given up.
//!
//! Its end is certain: the silence of servers is bounded by the rounds, the names by the search list, the aliases of
//! each by [`CHAIN_MAX`].

use core::mem::swap;

use super::message::{self, KINDS, Name, Said};
use super::resolv::Config;
use super::{Bytes, Found, word};
use crate::address::{Address, has};
use crate::limits::{ADDRESSES_MAX, CHAIN_MAX, NAME_ASK_MS, NAME_OTHER_MS, NAME_ROUNDS};
use crate::words;
use crate::words::{Line, Words};

const ECONNREFUSED: i32 = 111;

/// What the caller does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Close what is open and connect a new UDP socket to port 53 of this server.
    Connect(Address),
    /// Send [`Lookup::query`] of this family: over that socket, less its first two bytes; or over a new connection.
    Ask {
        /// For IPv6 addresses.
        v6: bool,
        /// Over TCP. There is never more than one such question open.
        tcp: bool,
    },
    /// Wait for an answer until this time.
    Wait(u64),
    /// The addresses are in [`Lookup::found`].
    Done,
    /// There are none: pause, then begin anew.
    Failed,
}

/// A search under way.
///
/// The caller asks for the [`Lookup::next`] action until there is something to wait for, and tells of every
/// [`Lookup::answer`] and of every step that [`Lookup::failed`].
#[derive(Clone, Debug)]
#[repr(C)] // The small ones first: what is near the start is reached with shorter instructions, 150 bytes in all.
pub struct Lookup<'a> {
    /// Twice the visits that are over, and one when the questions were repeated.
    turn: u8,
    /// Aliases that were asked for.
    chain: u8,
    /// The search list is behind, and the host itself is.
    last: bool,
    /// Within a visit: there is a socket; a question is open over TCP; something came that answers none of them.
    connected: bool,
    tcp: bool,
    strange: bool,
    /// A server could not tell.
    unsure: bool,
    over: bool,
    /// Within a visit, for IPv4 and IPv6.
    questions: [Question; 2],
    /// What each server said last.
    said: [Said; ADDRESSES_MAX],
    deadline_ms: u64,
    /// How much of the search list is behind.
    searched: usize,
    host: &'a [u8],
    /// What is asked now, and what it is another name of.
    name: Name,
    target: Name,
    /// Whom to ask, and the search list.
    pub config: Config,
    /// What was found, when it is done.
    pub found: Found,
}

#[derive(Clone, Copy, Debug)]
struct Question {
    id: u16,
    /// It must be sent.
    send: bool,
    state: Said,
}

/// A question at the start of a visit.
const NEW: Question = Question { id: 0, send: true, state: Said::Silent };

impl<'a> Lookup<'a> {
    /// Nothing to search for yet.
    pub const fn idle() -> Lookup<'a> {
        Lookup {
            config: Config::empty(),
            found: Found::nothing(),
            host: b"",
            searched: 0,
            last: false,
            chain: 0,
            name: Name::new(),
            target: Name::new(),
            turn: 0,
            questions: [NEW; 2],
            connected: false,
            tcp: false,
            strange: false,
            deadline_ms: 0,
            unsure: false,
            over: true,
            said: [Said::Nothing; ADDRESSES_MAX],
        }
    }

    /// Begins. The host has been looked for in the files of hosts already.
    #[inline(never)]
    pub fn begin(&mut self, host: &'a [u8]) {
        self.host = host;
        self.found.clear();
        // A name with a dot is whole.
        self.searched = if has(host, b'.') { self.config.search.len() } else { 0 };
        self.last = false;
        self.turn = 0;
        self.unsure = false;
        self.over = false;
        self.next_name();
    }

    /// Takes others to ask, if there are any. What was said before is forgotten only when they are others.
    pub fn ask(&mut self, config: &mut Config) {
        if !config.servers.is_empty() {
            if self.config.servers != config.servers {
                self.said = [Said::Nothing; ADDRESSES_MAX];
            }
            swap(&mut self.config, config);
        }
    }

    /// What to do now.
    #[inline(never)]
    pub fn next(&mut self, now_ms: u64) -> Action {
        loop {
            if self.over {
                return if self.found.is_empty() { Action::Failed } else { Action::Done };
            }
            if !self.connected {
                self.connected = true;
                self.deadline_ms = now_ms + NAME_ASK_MS;
                return match self.config.servers.get(self.server()) {
                    Some(&server) => Action::Connect(server),
                    None => Action::Failed,
                };
            }
            let mut open = false;
            for (family, question) in self.questions.iter_mut().enumerate() {
                let tcp = question.state == Said::Truncated;
                open |= tcp || question.state == Said::Silent;
                if question.send && !(tcp && self.tcp) {
                    question.send = false;
                    if tcp {
                        // Nothing is repeated any more.
                        self.tcp = true;
                        self.turn |= 1;
                        self.deadline_ms = now_ms + 2 * NAME_ASK_MS;
                    }
                    return Action::Ask { v6: family == 1, tcp };
                }
            }
            if open && now_ms < self.deadline_ms {
                return Action::Wait(self.deadline_ms);
            }
            if open && self.turn & 1 == 0 && self.found.is_empty() {
                self.turn |= 1;
                self.deadline_ms = now_ms + NAME_ASK_MS;
                for question in &mut self.questions {
                    question.send = question.state == Said::Silent;
                }
            } else {
                self.conclude();
            }
        }
    }

    /// Writes the question of [`Action::Ask`]. A repeated one keeps the number that it had.
    pub fn query(&mut self, v6: bool, random: u16, out: &mut Bytes) {
        let family = usize::from(v6);
        let question = &mut self.questions[family];
        if self.turn & 1 == 0 {
            question.id = random;
        }
        // A server that could not be made to answer is asked as of old in the second round.
        let plain = usize::from(self.turn / 2) >= self.config.servers.len();
        message::query(out, question.id, &self.name, KINDS[family], plain);
    }

    /// What came: a datagram, or over TCP a message without its length, of which the end may be missing.
    #[inline(never)]
    pub fn answer(&mut self, now_ms: u64, message: &[u8], tcp: bool) {
        for (question, kind) in self.questions.iter_mut().zip(&KINDS) {
            if question.state != open(tcp) {
                continue;
            }
            let said =
                message::read(message, question.id, &self.name, *kind, &mut self.found, &mut self.target);
            if said != Said::Strange {
                question.state = said;
                question.send = said == Said::Truncated && !tcp;
                self.tcp &= !tcp;
                if !self.found.is_empty() {
                    self.deadline_ms = self.deadline_ms.min(now_ms + NAME_OTHER_MS);
                }
                return;
            }
        }
        self.strange = true;
    }

    /// A step failed: the socket of datagrams, or the connection over TCP (0: it was closed).
    #[inline(never)]
    pub fn failed(&mut self, tcp: bool, errno: i32) {
        self.tcp &= !tcp;
        for question in &mut self.questions {
            if question.state == open(tcp) {
                question.state = if errno == ECONNREFUSED { Said::Closed } else { Said::Unreachable };
                question.send = false;
            }
        }
    }

    fn server(&self) -> usize {
        usize::from(self.turn / 2) % self.config.servers.len().max(1)
    }

    /// Begins a visit.
    fn visit(&mut self) {
        self.turn &= !1;
        self.questions = [NEW; 2];
        self.connected = false;
        self.tcp = false;
        self.strange = false;
    }

    /// Takes the next name that the host may mean: with each domain of the search list, then as it is.
    fn next_name(&mut self) {
        while !self.last {
            let mut rest = self.config.search.get(self.searched..).unwrap_or_default();
            let domain = word(&mut rest);
            self.searched = self.config.search.len() - rest.len();
            self.last = domain.is_empty();
            self.chain = 0;
            self.found.ttl_s = u32::MAX;
            let name = &mut self.name;
            name.clear();
            if message::labels(name, self.host)
                && message::labels(name, domain)
                && message::add_label(name, b"")
            {
                return self.visit();
            }
        }
        self.over = true;
    }

    /// Ends a visit.
    fn conclude(&mut self) {
        let [v4, v6] = &self.questions;
        let mut said = v4.state.max(v6.state);
        if said == Said::Silent && self.strange {
            said = Said::Strange;
        }
        self.unsure |= said == Said::ServFail;
        if !self.found.is_empty() {
            said = Said::Addresses;
            self.over = true;
        }
        let server = self.server();
        if let Some(last) = self.said.get_mut(server) {
            *last = said;
        }
        if self.over {
            return;
        }
        if said > Said::Alias {
            self.turn = (self.turn | 1) + 1;
            if usize::from(self.turn / 2) < self.config.servers.len() * NAME_ROUNDS {
                return self.visit();
            }
            // A domain of the search list may be all that is broken.
            self.turn = 0;
            self.last |= !self.unsure;
        } else if said == Said::Alias && self.chain < CHAIN_MAX {
            self.chain += 1;
            self.name = self.target.clone();
            return self.visit();
        }
        self.next_name();
    }
}

/// What was tried: `10.0.0.1 silent, 10.0.0.2 SERVFAIL`.
impl Words for Lookup<'_> {
    fn put(&self, line: &mut Line) {
        let mut between = "";
        for (server, said) in self.config.servers.iter().zip(&self.said) {
            words!(line, between, server, " ", said.words());
            between = ", ";
        }
        if between.is_empty() {
            words!(line, "no name server is known");
        }
    }
}

/// What a question is that is open over UDP or TCP.
fn open(tcp: bool) -> Said {
    if tcp { Said::Truncated } else { Said::Silent }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{address, answer, line_record, record, wire};
    use super::*;
    use crate::testing::{Random, said};
    use std::format;
    use std::string::String;
    use std::vec;
    use std::vec::Vec;

    /// A question as a server sees it.
    struct Asked {
        name: String,
        v6: bool,
        tcp: bool,
        /// Without TCP's length.
        query: Vec<u8>,
        /// Whether long answers are welcome.
        edns: bool,
        /// How many questions this server had before.
        nth: usize,
    }

    /// What a server does.
    #[derive(Clone)]
    enum Reply {
        Nothing,
        /// These messages, after some time.
        After(u64, Vec<Vec<u8>>),
        Errno(i32),
    }

    impl Asked {
        /// What a zone like `a A 10.0.0.1, b CNAME a` has for it; so many aliases are followed.
        fn records(&self, zone: &str, aliases: usize) -> (Vec<Vec<u8>>, u16) {
            let lines: Vec<Vec<&str>> = zone.split(", ").map(|line| line.split(' ').collect()).collect();
            let mut name = self.name.as_str();
            let mut records = Vec::new();
            for _ in 0..aliases {
                let Some(line) = lines.iter().find(|line| line[0] == name && line[1] == "CNAME") else {
                    break;
                };
                records.push(line_record(&line.join(" ")));
                name = line[2];
            }
            let kind = if self.v6 { "AAAA" } else { "A" };
            let of = lines.iter().filter(|line| line[0] == name && line[1] == kind);
            records.extend(of.map(|line| line_record(&line.join(" "))));
            (records, if lines.iter().any(|line| line[0] == name) { 0 } else { 3 })
        }

        fn bytes(&self, zone: &str, aliases: usize) -> Vec<u8> {
            let (records, code) = self.records(zone, aliases);
            answer(&self.query, code, &records)
        }

        /// The right answer, after 5 ms.
        fn zone(&self, zone: &str) -> Reply {
            self.send(self.bytes(zone, 99))
        }

        /// The right answer for `www`, changed.
        fn broken(&self, change: impl Fn(&mut Vec<u8>)) -> Reply {
            let mut bytes = self.bytes(ZONE, 99);
            change(&mut bytes);
            self.send(bytes)
        }

        fn flags(&self, flags: u16) -> Reply {
            self.send(answer(&self.query, flags, &[]))
        }

        fn send(&self, bytes: Vec<u8>) -> Reply {
            Reply::After(5, vec![bytes])
        }
    }

    const ZONE: &str = "www A 10.0.0.1, www AAAA 2001:db8::1";

    type Server<'s> = &'s dyn Fn(&Asked) -> Reply;
    type Does = fn(&Asked) -> Reply;

    /// How a search went.
    #[derive(Debug)]
    struct Run {
        end: Action,
        found: String,
        ttl_s: u32,
        told: String,
        took_ms: u64,
        /// Every question: `0 www AAAA`, with the server's number.
        asked: Vec<String>,
    }

    /// Searches with the servers 10.9.0.0 and on.
    fn run(host: &str, resolv: &str, servers: &[Server<'_>]) -> Run {
        let mut config = Config::empty();
        config.read(resolv.as_bytes(), &mut |_| 0);
        for at in 0..servers.len() {
            config.read(format!("nameserver 10.9.0.{at}").as_bytes(), &mut |_| 0);
        }
        let mut random = Random::new(9);
        let mut lookup = Lookup::idle();
        lookup.config = config;
        lookup.begin(host.as_bytes());
        let (mut now_ms, mut server, mut asked) = (0, 0, Vec::new());
        let mut coming: Vec<(u64, bool, Vec<u8>)> = Vec::new();
        let end = loop {
            assert!(asked.len() < 2_000, "{host} is asked for without end");
            match lookup.next(now_ms) {
                Action::Connect(address) => {
                    coming.clear();
                    server = usize::from(address.bytes[15]);
                }
                Action::Ask { v6, tcp } => {
                    let mut query = Bytes::new();
                    lookup.query(v6, random.bits() as u16, &mut query);
                    let query = query[2..].to_vec();
                    let own = format!("{server} ");
                    let nth = asked.iter().filter(|line: &&String| line.starts_with(&own)).count();
                    let (mut at, mut name) = (12, Vec::new());
                    while query[at] != 0 {
                        let end = at + 1 + usize::from(query[at]);
                        name.push(String::from_utf8_lossy(&query[at + 1..end]));
                        at = end;
                    }
                    let kind = if v6 { "AAAA" } else { "A" };
                    let name = name.join(".");
                    asked.push(format!("{server} {name} {kind}{}", if tcp { " tcp" } else { "" }));
                    assert_eq!(query[at + 2], if v6 { 28 } else { 1 });
                    let edns = query[11] == 1;
                    match servers[server](&Asked { name, v6, tcp, query, edns, nth }) {
                        Reply::Nothing => {}
                        Reply::After(ms, all) => {
                            coming.extend(all.into_iter().map(|bytes| (now_ms + ms, tcp, bytes)));
                        }
                        Reply::Errno(errno) => lookup.failed(tcp, errno),
                    }
                }
                Action::Wait(until) => {
                    assert!(until > now_ms && until <= now_ms + 2 * NAME_ASK_MS);
                    let first = (0..coming.len()).min_by_key(|&at| coming[at].0);
                    match first.filter(|&at| coming[at].0 < until) {
                        Some(at) => {
                            let (ms, tcp, bytes) = coming.remove(at);
                            now_ms = ms;
                            lookup.answer(now_ms, &bytes, tcp);
                        }
                        None => now_ms = until,
                    }
                }
                end => break end,
            }
        };
        let found: Vec<String> = (0..).map_while(|n| lookup.found.nth(n)).map(said).collect();
        let told = said(&lookup);
        assert_eq!(end == Action::Done, !found.is_empty());
        Run { end, found: found.join(" "), ttl_s: lookup.found.ttl_s, told, took_ms: now_ms, asked }
    }

    fn good(asked: &Asked) -> Reply {
        asked.zone(ZONE)
    }

    const BOTH: &str = "10.0.0.1 2001:db8::1";

    /// What is wrong with a server, what it does, what is told of it, whether it takes its time.
    const FAULTS: &[(&str, Does, &str, bool)] = &[
        ("silent", |_| Reply::Nothing, "silent", true),
        ("SERVFAIL", |asked| asked.flags(2), "SERVFAIL", false),
        ("REFUSED", |asked| asked.flags(5), "REFUSED", false),
        ("FORMERR", |asked| asked.flags(1), "an error code", false),
        (
            "lame: SERVFAIL for one family, nothing for the other",
            |asked| {
                if asked.v6 { Reply::Nothing } else { asked.flags(2) }
            },
            "SERVFAIL",
            true,
        ),
        ("nobody there", |_| Reply::Errno(111), "nobody listens", false),
        ("no route", |_| Reply::Errno(101), "unreachable", false),
        ("empty datagrams", |asked| asked.send(vec![]), "answers something else", true),
        ("noise", |asked| asked.send(vec![0xa5; 600]), "answers something else", true),
        ("a wrong number", |asked| asked.broken(|bytes| bytes[0] ^= 1), "answers something else", true),
        ("a wrong question", |asked| asked.broken(|bytes| bytes[13] ^= 1), "answers something else", true),
        ("no question", |asked| asked.broken(|bytes| bytes[5] = 0), "answers something else", true),
        ("the query itself", |asked| asked.send(asked.query.clone()), "answers something else", true),
        (
            "a pointer to itself",
            |asked| asked.send(answer(&asked.query, 0, &[b"\xc0\x15".repeat(9)])),
            "garbage",
            false,
        ),
        (
            "a pointer forwards",
            |asked| asked.send(answer(&asked.query, 0, &[b"\xc0\x30".repeat(30)])),
            "garbage",
            false,
        ),
        (
            "addresses of a wrong length",
            |asked| {
                let data = [1; 7];
                asked.send(answer(
                    &asked.query,
                    0,
                    &[record(&wire("www"), if asked.v6 { 28 } else { 1 }, 1, 60, &data)],
                ))
            },
            "garbage",
            false,
        ),
        (
            "a record longer than the message",
            |asked| asked.broken(|bytes| bytes[21 + 5 + 8] = 0xff),
            "garbage",
            false,
        ),
        (
            "records that are not there",
            |asked| {
                asked.send({
                    let mut bytes = answer(&asked.query, 0, &[]);
                    bytes[6..8].fill(0xff);
                    bytes
                })
            },
            "garbage",
            false,
        ),
        (
            "cut to nothing, and no TCP",
            |asked| {
                if asked.tcp { Reply::Errno(111) } else { asked.flags(0x200) }
            },
            "nobody listens",
            false,
        ),
        (
            "cut to nothing, and silent over TCP",
            |asked| {
                if asked.tcp { Reply::Nothing } else { asked.flags(0x200) }
            },
            "truncated and silent over TCP",
            true,
        ),
        ("cut to nothing over TCP too", |asked| asked.flags(0x200), "truncated and silent over TCP", true),
    ];

    #[test]
    fn a_fault_moves_on_to_the_next_server() {
        for &(fault, server, said, slow) in FAULTS {
            let got = run("www", "", &[&server, &good]);
            assert_eq!(got.found, BOTH, "{fault}");
            assert_eq!(got.told, format!("10.9.0.0 {said}, 10.9.0.1 has an answer"), "{fault}");
            let at_most = if slow { 2 * NAME_ASK_MS + 50 } else { 50 };
            assert!(got.took_ms <= at_most, "{fault} took {} ms", got.took_ms);
            assert_eq!(got.ttl_s, 300, "{fault}");
        }
    }

    #[test]
    fn a_fault_of_all_servers_is_told() {
        for &(fault, server, said, slow) in FAULTS {
            let got = run("www", "", &[&server, &server]);
            assert_eq!(got.end, Action::Failed, "{fault}");
            assert_eq!(got.told, format!("10.9.0.0 {said}, 10.9.0.1 {said}"), "{fault}");
            let at_most = if slow { 8 * NAME_ASK_MS + 50 } else { 50 };
            assert!(got.took_ms <= at_most, "{fault} took {} ms", got.took_ms);
        }
        let got = run("www", "", &[]);
        assert_eq!((got.end, got.told.as_str()), (Action::Failed, "no name server is known"));
    }

    /// Servers that are odd, but right.
    #[test]
    fn answers_that_are_good_enough() {
        let cases: &[(&str, Does, &str)] = &[
            ("both families", good, BOTH),
            ("one family", |asked| asked.zone("www A 10.0.0.1"), "10.0.0.1"),
            ("the other", |asked| asked.zone("www AAAA ::7"), "::7"),
            ("SERVFAIL for AAAA", |asked| if asked.v6 { asked.flags(2) } else { good(asked) }, "10.0.0.1"),
            ("NXDOMAIN for AAAA", |asked| if asked.v6 { asked.flags(3) } else { good(asked) }, "10.0.0.1"),
            ("no answer for AAAA", |asked| if asked.v6 { Reply::Nothing } else { good(asked) }, "10.0.0.1"),
            ("no answer for A", |asked| if asked.v6 { good(asked) } else { Reply::Nothing }, "2001:db8::1"),
            ("upper case", |asked| asked.broken(|bytes| bytes.make_ascii_uppercase()), BOTH),
            ("bytes behind", |asked| asked.broken(|bytes| bytes.extend([0xc0; 40])), BOTH),
            (
                "an OPT record",
                |asked| {
                    asked.broken(|bytes| {
                        bytes[11] = 1;
                        bytes.extend(b"\0\0\x29\x04\xd0\0\0\0\0\0\0");
                    })
                },
                BOTH,
            ),
            ("late", |asked| Reply::After(800, vec![asked.bytes(ZONE, 9)]), BOTH),
            (
                "later than the repetition",
                |asked| match asked.nth {
                    0..2 => Reply::After(1_300, vec![asked.bytes(ZONE, 9)]),
                    _ => Reply::Nothing,
                },
                BOTH,
            ),
            (
                "the first datagrams are lost",
                |asked| if asked.nth < 2 { Reply::Nothing } else { good(asked) },
                BOTH,
            ),
            (
                "all of the first round",
                |asked| if asked.nth < 4 { Reply::Nothing } else { good(asked) },
                BOTH,
            ),
            (
                "a stranger is faster",
                |asked| {
                    let right = asked.bytes(ZONE, 9);
                    let mut wrong = right.clone();
                    wrong[1] ^= 1;
                    Reply::After(5, vec![vec![], wrong, right.clone(), right])
                },
                BOTH,
            ),
            ("no EDNS", |asked| if asked.edns { asked.flags(1) } else { good(asked) }, BOTH),
            ("silent to EDNS", |asked| if asked.edns { Reply::Nothing } else { good(asked) }, BOTH),
            ("over TCP", |asked| if asked.tcp { good(asked) } else { asked.flags(0x200) }, BOTH),
            (
                "one over TCP",
                |asked| if asked.tcp || asked.v6 { good(asked) } else { asked.flags(0x200) },
                BOTH,
            ),
            (
                "slowly over TCP",
                |asked| match asked.tcp {
                    true => Reply::After(1_900, vec![asked.bytes("www AAAA ::7", 9)]),
                    false => asked.flags(0x200),
                },
                "::7",
            ),
            (
                "truncated, and no TCP",
                |asked| {
                    let (records, _) = asked.records(ZONE, 9);
                    if asked.tcp {
                        Reply::Errno(111)
                    } else {
                        asked.send(answer(&asked.query, 0x200, &records))
                    }
                },
                BOTH,
            ),
            ("addresses, then garbage", |asked| asked.broken(|bytes| bytes[7] = 9), BOTH),
            ("an alias", |asked| asked.zone("www CNAME a, a CNAME b.c, b.c A 10.0.0.4"), "10.0.0.4"),
            (
                "an alias alone",
                |asked| asked.zone(if asked.name == "www" { "www CNAME a, a TXT" } else { "a A 10.0.0.5" }),
                "10.0.0.5",
            ),
        ];
        for &(what, server, found) in cases {
            let got = run("www", "", &[&server]);
            assert_eq!((got.end, got.found.as_str()), (Action::Done, found), "{what}: {got:?}");
            assert_eq!(got.told, "10.9.0.0 has an answer", "{what}");
        }
    }

    /// The other family's addresses do not hold up those that are there.
    #[test]
    fn a_family_that_is_not_answered_costs_little() {
        let got = run("www", "", &[&|asked| if asked.v6 { Reply::Nothing } else { good(asked) }]);
        assert_eq!((got.took_ms, got.asked.len()), (5 + NAME_OTHER_MS, 2));
    }

    #[test]
    fn two_questions_over_tcp_come_one_after_the_other() {
        let got = run("www", "", &[&|asked| if asked.tcp { good(asked) } else { asked.flags(0x200) }]);
        assert_eq!(got.asked, ["0 www A", "0 www AAAA", "0 www A tcp", "0 www AAAA tcp"]);
        assert_eq!(got.took_ms, 15);
    }

    #[test]
    fn silence_is_bounded() {
        let silent = |_: &Asked| Reply::Nothing;
        let got = run("www", "search a b c", &[&silent, &silent, &silent, &silent]);
        assert_eq!((got.end, got.took_ms), (Action::Failed, 4 * 2 * 2 * NAME_ASK_MS));
        assert_eq!(got.asked.len(), 4 * 2 * 2 * 2);
    }

    /// The names that are asked for when there is none of them.
    #[track_caller]
    fn names(host: &str, resolv: &str, want: &[&str]) {
        let got = run(host, resolv, &[&|asked| asked.flags(3)]);
        let names: Vec<&str> = got.asked.iter().map(|line| line.split(' ').nth(1).unwrap()).collect();
        let first: Vec<&str> = names.iter().step_by(2).copied().collect();
        assert_eq!(first, want, "{host} {resolv}");
        assert_eq!(got.told, "10.9.0.0 NXDOMAIN");
    }

    #[test]
    fn the_search_list() {
        names("www", "", &["www"]);
        names("www", "search A.example b.example", &["www.a.example", "www.b.example", "www"]);
        names("www.", "search a.example", &["www"]);
        names("www.x", "search a.example", &["www.x"]);
        names("WWW.X.", "search a.example", &["www.x"]);
        // Domains that are none.
        names("www", "search .. a..b .a \u{e4} a.", &["www.\u{e4}", "www.a", "www"]);
        let long = "x.".repeat(126);
        names("www", &format!("search {long}"), &["www"]);
    }

    #[test]
    fn a_name_of_the_search_list() {
        let zone = "www.b A 10.0.0.2, www A 10.0.0.3, www.a CNAME nothing";
        let got = run("www", "search a b c", &[&|asked| asked.zone(zone)]);
        assert_eq!(got.found, "10.0.0.2");
        // Its domain's servers are broken: the next one counts all the same.
        let got = run(
            "www",
            "search a b c",
            &[&|asked| match asked.name.as_str() {
                "www.a" => asked.flags(2),
                _ => asked.zone(zone),
            }],
        );
        assert_eq!(got.found, "10.0.0.2");
        // How long another name's alias holds does not count.
        let got = run(
            "www",
            "search a b",
            &[&|asked| match asked.name.as_str() {
                "www.a" => {
                    asked.send(answer(&asked.query, 3, &[record(&wire("www.a"), 5, 1, 9, &wire("no"))]))
                }
                _ => asked.zone(zone),
            }],
        );
        assert_eq!((got.found.as_str(), got.ttl_s), ("10.0.0.2", 300));
        let got = run(
            "www",
            "search a b",
            &[&|asked| match asked.name.as_str() {
                "www.a" => {
                    asked.send(answer(&asked.query, 0, &[record(&wire("www.a"), 5, 1, 9, &wire("no"))]))
                }
                _ => asked.zone(zone),
            }],
        );
        assert_eq!((got.found.as_str(), got.ttl_s), ("10.0.0.2", 300));
    }

    #[test]
    fn no_address_is_not_silence() {
        let got = run("www", "", &[&|asked| asked.flags(0), &good]);
        assert_eq!((got.end, got.told.as_str()), (Action::Failed, "10.9.0.0 no address, 10.9.0.1 not asked"));
        // It is believed of both families only.
        let got = run("www", "", &[&|asked| asked.flags(if asked.v6 { 2 } else { 0 }), &good]);
        assert_eq!(got.found, BOTH);
    }

    #[test]
    fn aliases() {
        let chain = |n: usize| (0..n).map(|n| format!("a{n} CNAME a{}, ", n + 1)).collect::<String>();
        let zone = |n: usize| format!("{}a{n} A 10.0.0.6", chain(n));
        // Ten in one answer, ten in answers of their own, more than anybody has.
        let ten = zone(10);
        let whole = run("a0", "", &[&|asked| asked.zone(&ten)]);
        assert_eq!((whole.found.as_str(), whole.asked.len()), ("10.0.0.6", 2));
        let single = run("a0", "", &[&|asked| asked.send(asked.bytes(&ten, 1))]);
        assert_eq!((single.found.as_str(), single.ttl_s), ("10.0.0.6", 300));
        let many = zone(40);
        let many = run("a0", "", &[&|asked| asked.send(asked.bytes(&many, 1))]);
        assert_eq!((many.end, many.told.as_str()), (Action::Failed, "10.9.0.0 aliases without end"));
        // Rings, seen at once or one by one.
        let ring = "a CNAME b, b CNAME c, c CNAME a";
        for aliases in [1, 3, 50] {
            let got = run("a", "", &[&|asked| asked.send(asked.bytes(ring, aliases))]);
            assert_eq!(got.end, Action::Failed, "{aliases}: {got:?}");
            assert!(got.asked.len() <= 2 * (usize::from(CHAIN_MAX) + 1));
        }
        // The alias of one family is enough, and its life bounds the whole.
        let got = run(
            "www",
            "",
            &[&|asked| match asked.name.as_str() {
                "www" if asked.v6 => asked.flags(0),
                "www" => asked.send(answer(&asked.query, 0, &[record(&wire("www"), 5, 1, 9, &wire("a"))])),
                _ => asked.zone("a A 10.0.0.7"),
            }],
        );
        assert_eq!((got.found.as_str(), got.ttl_s), ("10.0.0.7", 9));
    }

    #[test]
    fn thirty_addresses() {
        let zone =
            (0..30).map(|n| format!("www A 10.0.0.{n}, www AAAA ::{n}")).collect::<Vec<_>>().join(", ");
        let got = run("www", "", &[&|asked| asked.zone(&zone)]);
        let found: Vec<&str> = got.found.split(' ').collect();
        assert_eq!((found.len(), found[7], found[8]), (16, "10.0.0.7", "::"));
    }

    #[test]
    fn a_life_of_nothing() {
        let got = run(
            "www",
            "",
            &[&|asked| {
                let kind = if asked.v6 { 28 } else { 1 };
                asked.send(answer(
                    &asked.query,
                    0,
                    &[record(&wire("www"), kind, 1, 0, &[4; 16][..if asked.v6 { 16 } else { 4 }])],
                ))
            }],
        );
        assert_eq!((got.end, got.ttl_s), (Action::Done, 0));
    }

    /// A server that does anything at all, at any time: the search ends, and soon.
    #[test]
    fn any_server() {
        let (mut done, mut longest) = (0, 0);
        for seed in 0..4_000 {
            let random = core::cell::RefCell::new(Random::new(seed));
            let below = |end| random.borrow_mut().below(end);
            let server = |asked: &Asked| {
                let after = below(2_500) as u64 * below(2) as u64;
                let mut bytes = asked.bytes("www CNAME a, a CNAME b, b A 10.0.0.1, b CNAME www", below(5));
                bytes[3] = [0x80, 0x82, 0x83, 0x80, 0x80, 0x80, 0x80, 0x80][below(8)];
                bytes[2] |= [0, 0, 0, 2][below(4)];
                for _ in 0..below(3) {
                    let at = below(bytes.len());
                    bytes[at] = random.borrow_mut().byte();
                }
                bytes.truncate(below(6 * bytes.len()));
                match below(8) {
                    0 => Reply::Nothing,
                    1 => Reply::Errno([101, 111][below(2)]),
                    _ => Reply::After(after, vec![bytes]),
                }
            };
            let got = run("www", ["", "search a b"][below(2)], &vec![&server as Server<'_>; 1 + below(4)]);
            done += usize::from(got.end == Action::Done);
            longest = longest.max(got.took_ms);
        }
        assert!(done > 500, "{done}");
        assert!(longest < 120_000, "{longest}");
    }

    #[test]
    fn a_socket_that_fails_is_the_servers() {
        let mut config = Config::empty();
        config.read(b"nameserver fe80::1\n", &mut |_| 0);
        let mut lookup = Lookup::idle();
        lookup.config = config;
        lookup.begin(b"www");
        for _ in 0..NAME_ROUNDS {
            assert_eq!(lookup.next(7), Action::Connect(address("fe80::1")));
            lookup.failed(false, 22);
        }
        assert_eq!(lookup.next(7), Action::Failed);
        assert_eq!(lookup.next(8), Action::Failed);
        assert_eq!(said(&lookup), "fe80::1 unreachable");
    }
}
