//! One search for the addresses of a name: what to ask, whom, when, and what the answers come to.
//!
//! Each server in its turn gets a *visit*: a socket of its own, the questions for both families at once, once more
//! after [`NAME_ASK_MS`], and after the same time again the next server is visited. So a silent server costs 2 s. A
//! fault ends the visit; that a name does not exist, or is an alias, is believed, and the same server is visited with
//! the next name. After [`NAME_ROUNDS`] rounds of all servers the search fails.
//!
//! It always ends: the silence of servers is bounded by the rounds, the names by the search list, the aliases of each
//! name by [`CNAME_CHAIN_MAX`].

use core::fmt::{self, Display};
use core::mem::swap;

use super::resolv::Config;
use crate::address::{Address, Found};
use crate::limits::{ADDRESSES_MAX, CNAME_CHAIN_MAX, NAME_ASK_MS, NAME_OTHER_MS, NAME_ROUNDS};
use crate::text::next_word;
use crate::wire::dns::{self, Answer, Name, Query, QueryBytes, QueryType, ServerStatus};

/// What the caller does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Close what is open and connect a new UDP socket to port 53 of this server.
    Connect(Address),
    /// Send the query that [`Lookup::write_query`] writes.
    Ask(Family, Transport),
    /// Wait for an answer until this time.
    Wait(u64),
    /// The addresses are in [`Lookup::found`].
    Done,
    /// There are none: pause, then begin again.
    Failed,
}

/// Which addresses are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// A records.
    Ipv4,
    /// AAAA records.
    Ipv6,
}

/// How a query goes out, and how its answer comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// Over the socket that is connected to the server, without the length that TCP needs.
    Udp,
    /// Over a new connection. There is never more than one such query open.
    Tcp,
}

/// A search under way.
///
/// The caller asks for the [`Lookup::next`] action until there is something to wait for, and reports every
/// [`Lookup::answer`] and every action that [`Lookup::failed`].
#[derive(Clone, Debug)]
pub struct Lookup<'a> {
    /// The name servers and the search list.
    pub config: Config,
    /// What was found, when it is done.
    pub found: Found,
    /// What each server answered last.
    status: [ServerStatus; ADDRESSES_MAX],
    search: Option<Search<'a>>,
}

/// What is left to be tried.
#[derive(Clone, Debug)]
struct Search<'a> {
    host: &'a [u8],
    candidates: Candidates,
    /// The name that is asked for now.
    name: Name,
    /// Aliases that led to it.
    aliases: usize,
    /// The name that it turned out to be an alias of.
    alias: Option<Name>,
    /// A server failed to tell (SERVFAIL), perhaps for one domain of the search list only.
    server_failed: bool,
    /// Visits that ended with a fault, of all servers one after the other.
    faults: usize,
    visit: Visit,
}

/// The names that the host may stand for, in the order in which they are tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Candidates {
    /// With each domain of the search list behind this place, then as it is.
    SearchList(usize),
    /// None.
    Exhausted,
}

/// One server asked for one name.
#[derive(Clone, Debug)]
struct Visit {
    progress: Progress,
    questions: [Question; 2],
    /// Something came that answers none of the questions.
    saw_unrelated: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Progress {
    /// There is no socket yet.
    New,
    /// Both questions were asked once. They are repeated at this time.
    FirstTry(u64),
    /// Nothing is repeated any more. The visit ends at this time.
    LastTry(u64),
}

#[derive(Clone, Copy, Debug)]
struct Question {
    family: Family,
    id: u16,
    state: QuestionState,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum QuestionState {
    /// To be sent in a datagram.
    Unsent,
    /// Sent in a datagram.
    Sent,
    /// Its answer was truncated. To be sent over TCP, when no other question is.
    TcpUnsent,
    /// Sent over TCP.
    TcpSent,
    /// Answered, or failed.
    Ended(ServerStatus),
}

impl QuestionState {
    fn is_open(self) -> bool {
        !matches!(self, QuestionState::Ended(_))
    }

    /// What is logged of the server when nothing more comes.
    fn status(self) -> ServerStatus {
        match self {
            QuestionState::Unsent | QuestionState::Sent => ServerStatus::Silent,
            QuestionState::TcpUnsent | QuestionState::TcpSent => ServerStatus::Truncated,
            QuestionState::Ended(status) => status,
        }
    }
}

impl Family {
    fn query_type(self) -> QueryType {
        match self {
            Family::Ipv4 => QueryType::A,
            Family::Ipv6 => QueryType::Aaaa,
        }
    }
}

impl Visit {
    fn new() -> Visit {
        let question = |family| Question { family, id: 0, state: QuestionState::Unsent };
        Visit {
            progress: Progress::New,
            questions: [question(Family::Ipv4), question(Family::Ipv6)],
            saw_unrelated: false,
        }
    }

    /// What to do on this visit now; none: it is over.
    fn next(&mut self, server: Option<&Address>, now_ms: u64, found_some: bool) -> Option<Action> {
        if self.progress == Progress::New {
            self.progress = Progress::FirstTry(now_ms + NAME_ASK_MS);
            return Some(server.map_or(Action::Failed, |&server| Action::Connect(server)));
        }
        loop {
            if let Some(ask) = self.next_question(now_ms) {
                return Some(ask);
            }
            if !self.questions.iter().any(|question| question.state.is_open()) {
                return None;
            }
            match self.progress {
                Progress::FirstTry(until) | Progress::LastTry(until) if now_ms < until => {
                    return Some(Action::Wait(until));
                }
                Progress::FirstTry(_) if !found_some => self.repeat(now_ms),
                _ => return None,
            }
        }
    }

    /// Takes the next question that has to be sent.
    fn next_question(&mut self, now_ms: u64) -> Option<Action> {
        let tcp_is_open = self.questions.iter().any(|question| question.state == QuestionState::TcpSent);
        for question in &mut self.questions {
            match question.state {
                QuestionState::Unsent => {
                    question.state = QuestionState::Sent;
                    return Some(Action::Ask(question.family, Transport::Udp));
                }
                QuestionState::TcpUnsent if !tcp_is_open => {
                    question.state = QuestionState::TcpSent;
                    self.progress = Progress::LastTry(now_ms + 2 * NAME_ASK_MS);
                    return Some(Action::Ask(question.family, Transport::Tcp));
                }
                _ => {}
            }
        }
        None
    }

    /// Has every question that is unanswered asked once more.
    fn repeat(&mut self, now_ms: u64) {
        self.progress = Progress::LastTry(now_ms + NAME_ASK_MS);
        for question in &mut self.questions {
            if question.state == QuestionState::Sent {
                question.state = QuestionState::Unsent;
            }
        }
    }

    /// Addresses were found: the other family's are waited for only a little longer.
    fn hurry(&mut self, now_ms: u64) {
        if let Progress::FirstTry(until) | Progress::LastTry(until) = &mut self.progress {
            *until = (*until).min(now_ms + NAME_OTHER_MS);
        }
    }

    fn status(&self) -> ServerStatus {
        let [ipv4, ipv6] = &self.questions;
        match ipv4.state.status().max(ipv6.state.status()) {
            ServerStatus::Silent if self.saw_unrelated => ServerStatus::Unrelated,
            status => status,
        }
    }
}

impl<'a> Lookup<'a> {
    /// Nothing to search for yet.
    pub const fn idle() -> Lookup<'a> {
        Lookup {
            config: Config::empty(),
            found: Found::nothing(),
            status: [ServerStatus::NotAsked; ADDRESSES_MAX],
            search: None,
        }
    }

    /// Begins to search. The host was looked for in `/etc/hosts` already.
    pub fn begin(&mut self, host: &'a [u8]) {
        self.found.clear();
        // A name with a dot is complete.
        let start = if host.contains(&b'.') { self.config.search.len() } else { 0 };
        self.search = Some(Search {
            host,
            candidates: Candidates::SearchList(start),
            name: Name::new(),
            aliases: 0,
            alias: None,
            server_failed: false,
            faults: 0,
            visit: Visit::new(),
        });
        self.next_name();
    }

    /// Takes other name servers, if there are any. What the last ones answered is forgotten only when they are others.
    pub fn use_config(&mut self, config: &mut Config) {
        if !config.servers.is_empty() {
            if self.config.servers != config.servers {
                self.status = [ServerStatus::NotAsked; ADDRESSES_MAX];
            }
            swap(&mut self.config, config);
        }
    }

    /// What to do now.
    pub fn next(&mut self, now_ms: u64) -> Action {
        loop {
            let server = self.server();
            let Some(search) = &mut self.search else {
                return if self.found.is_empty() { Action::Failed } else { Action::Done };
            };
            let server = self.config.servers.get(server);
            match search.visit.next(server, now_ms, !self.found.is_empty()) {
                Some(action) => return action,
                None => self.end_visit(),
            }
        }
    }

    /// Writes the query of [`Action::Ask`]. One that is repeated keeps its ID; `random` is for a new one.
    pub fn write_query(&mut self, family: Family, random: u16, out: &mut QueryBytes) {
        let Some(search) = &mut self.search else { return };
        // A server that could not be made to answer is asked without EDNS in the second round.
        let edns = search.faults < self.config.servers.len();
        let is_first_try = matches!(search.visit.progress, Progress::FirstTry(_));
        let question = &mut search.visit.questions[family as usize];
        if is_first_try {
            question.id = random;
        }
        let query = Query { id: question.id, name: &search.name, query_type: family.query_type() };
        dns::write_query(out, query, edns);
    }

    /// Takes what came: a datagram, or a message over TCP without its length, whose end may be missing.
    pub fn answer(&mut self, now_ms: u64, message: &[u8], transport: Transport) {
        let Some(search) = &mut self.search else { return };
        let visit = &mut search.visit;
        for question in visit.questions.iter_mut().filter(|question| question.awaits(transport)) {
            let query =
                Query { id: question.id, name: &search.name, query_type: question.family.query_type() };
            match dns::read_answer(message, query, &mut self.found) {
                Answer::Unrelated => continue,
                Answer::Alias(target) => {
                    question.state = QuestionState::Ended(ServerStatus::Alias);
                    search.alias = Some(target);
                }
                Answer::Status(ServerStatus::Truncated) if transport == Transport::Udp => {
                    question.state = QuestionState::TcpUnsent;
                }
                Answer::Status(status) => question.state = QuestionState::Ended(status),
            }
            if !self.found.is_empty() {
                visit.hurry(now_ms);
            }
            return;
        }
        visit.saw_unrelated = true;
    }

    /// An action failed: the socket of datagrams, or the connection over TCP (0: it was closed).
    pub fn failed(&mut self, transport: Transport, errno: i32) {
        let Some(search) = &mut self.search else { return };
        let status =
            if errno == libc::ECONNREFUSED { ServerStatus::PortClosed } else { ServerStatus::Unreachable };
        for question in &mut search.visit.questions {
            if question.goes_over(transport) {
                question.state = QuestionState::Ended(status);
            }
        }
    }

    /// The number of the server that is visited.
    fn server(&self) -> usize {
        let faults = self.search.as_ref().map_or(0, |search| search.faults);
        faults % self.config.servers.len().max(1)
    }

    /// Draws conclusions from a visit that is over.
    fn end_visit(&mut self) {
        let server = self.server();
        let Some(search) = &mut self.search else { return };
        let mut status = search.visit.status();
        search.server_failed |= status == ServerStatus::ServFail;
        if !self.found.is_empty() {
            status = ServerStatus::Addresses;
            self.search = None;
        }
        if let Some(last) = self.status.get_mut(server) {
            *last = status;
        }
        match status {
            ServerStatus::Addresses => {}
            ServerStatus::Alias => self.follow_alias(),
            ServerStatus::NoAddress | ServerStatus::NoSuchName => self.next_name(),
            _ => self.next_server(),
        }
    }

    /// Visits the same server with the name that an alias leads to, or gives the name up.
    fn follow_alias(&mut self) {
        let Some(search) = &mut self.search else { return };
        match search.alias.take() {
            Some(target) if search.aliases < CNAME_CHAIN_MAX => {
                search.aliases += 1;
                search.name = target;
                search.visit = Visit::new();
            }
            _ => self.next_name(),
        }
    }

    /// Visits the next server with the same name; after all rounds, the name is given up.
    fn next_server(&mut self) {
        let Some(search) = &mut self.search else { return };
        search.faults += 1;
        if search.faults < self.config.servers.len() * NAME_ROUNDS {
            search.visit = Visit::new();
            return;
        }
        search.faults = 0;
        if !search.server_failed {
            // Nobody answers at all: another name would not change that.
            search.candidates = Candidates::Exhausted;
        }
        self.next_name();
    }

    /// Begins with the next name that the host may stand for. Without one the search is over.
    fn next_name(&mut self) {
        let Some(search) = &mut self.search else { return };
        while let Candidates::SearchList(start) = search.candidates {
            let mut rest = self.config.search.get(start..).unwrap_or_default();
            let domain = next_word(&mut rest);
            search.candidates = if domain.is_empty() {
                Candidates::Exhausted
            } else {
                Candidates::SearchList(self.config.search.len() - rest.len())
            };
            if let Ok(name) = Name::from_dotted([search.host, domain]) {
                search.name = name;
                search.alias = None;
                search.aliases = 0;
                search.visit = Visit::new();
                self.found.ttl_s = u32::MAX;
                return;
            }
        }
        self.search = None;
    }
}

impl Question {
    /// Whether an answer over `transport` may be the one to this question.
    fn awaits(&self, transport: Transport) -> bool {
        match transport {
            Transport::Udp => self.state == QuestionState::Sent,
            Transport::Tcp => self.state == QuestionState::TcpSent,
        }
    }

    /// Whether this question needs `transport` to be answered.
    fn goes_over(&self, transport: Transport) -> bool {
        match transport {
            Transport::Udp => matches!(self.state, QuestionState::Unsent | QuestionState::Sent),
            Transport::Tcp => matches!(self.state, QuestionState::TcpUnsent | QuestionState::TcpSent),
        }
    }
}

/// What was tried: `10.0.0.1 silent, 10.0.0.2 SERVFAIL`.
impl Display for Lookup<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.config.servers.is_empty() {
            return f.write_str("no name server is known");
        }
        for (at, (server, status)) in self.config.servers.iter().zip(&self.status).enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(f, "{separator}{server} {status}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{address, answer, line_record, record, wire};
    use super::*;
    use crate::testing::Random;
    use core::net::IpAddr;
    use std::format;
    use std::string::{String, ToString};
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
        config.read(resolv.as_bytes(), false, &mut |_| 0);
        for at in 0..servers.len() {
            config.read(format!("nameserver 10.9.0.{at}").as_bytes(), false, &mut |_| 0);
        }
        let mut random = Random::new(9);
        let mut lookup = Lookup::idle();
        lookup.config = config;
        lookup.begin(host.as_bytes());
        let (mut now_ms, mut server, mut asked) = (0, 0, Vec::new());
        let mut coming: Vec<(u64, Transport, Vec<u8>)> = Vec::new();
        let end = loop {
            assert!(asked.len() < 2_000, "{host} is asked for without end");
            match lookup.next(now_ms) {
                Action::Connect(address) => {
                    coming.clear();
                    let IpAddr::V4(ip) = address.ip else { panic!("{address}") };
                    server = usize::from(ip.octets()[3]);
                }
                Action::Ask(family, transport) => {
                    let (v6, tcp) = (family == Family::Ipv6, transport == Transport::Tcp);
                    let mut query = QueryBytes::new();
                    lookup.write_query(family, random.bits() as u16, &mut query);
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
                            coming.extend(all.into_iter().map(|bytes| (now_ms + ms, transport, bytes)));
                        }
                        Reply::Errno(errno) => lookup.failed(transport, errno),
                    }
                }
                Action::Wait(until) => {
                    assert!(until > now_ms && until <= now_ms + 2 * NAME_ASK_MS);
                    let first = (0..coming.len()).min_by_key(|&at| coming[at].0);
                    match first.filter(|&at| coming[at].0 < until) {
                        Some(at) => {
                            let (ms, transport, bytes) = coming.remove(at);
                            now_ms = ms;
                            lookup.answer(now_ms, &bytes, transport);
                        }
                        None => now_ms = until,
                    }
                }
                end => break end,
            }
        };
        let found: Vec<String> = lookup.found.iter().map(|address| address.to_string()).collect();
        let told = lookup.to_string();
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
            "malformed answer",
            false,
        ),
        (
            "a pointer forwards",
            |asked| asked.send(answer(&asked.query, 0, &[b"\xc0\x30".repeat(30)])),
            "malformed answer",
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
            "malformed answer",
            false,
        ),
        (
            "a record longer than the message",
            |asked| asked.broken(|bytes| bytes[21 + 5 + 8] = 0xff),
            "malformed answer",
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
            "malformed answer",
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
    fn the_first_answer_to_a_question_counts() {
        let got = run(
            "www",
            "",
            &[&|asked| {
                let no_such_name_then_servfail = [3, 2].map(|code| answer(&asked.query, code, &[]));
                Reply::After(if asked.v6 { 10 } else { 5 }, no_such_name_then_servfail.to_vec())
            }],
        );
        assert_eq!((got.told.as_str(), got.asked.len()), ("10.9.0.0 NXDOMAIN", 2));
    }

    /// Two servers, each asked twice for both families in each round.
    #[test]
    fn long_answers_are_welcome_in_the_first_round() {
        let edns = core::cell::RefCell::new(Vec::new());
        let silent = |asked: &Asked| {
            edns.borrow_mut().push(asked.edns);
            Reply::Nothing
        };
        run("www", "", &[&silent, &silent]);
        assert_eq!(*edns.borrow(), [[true; 8], [false; 8]].concat());
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
        assert_eq!((many.end, many.told.as_str()), (Action::Failed, "10.9.0.0 CNAME chain too long"));
        // Rings, seen at once or one by one.
        let ring = "a CNAME b, b CNAME c, c CNAME a";
        for aliases in [1, 3, 50] {
            let got = run("a", "", &[&|asked| asked.send(asked.bytes(ring, aliases))]);
            assert_eq!(got.end, Action::Failed, "{aliases}: {got:?}");
            assert!(got.asked.len() <= 2 * (CNAME_CHAIN_MAX + 1));
        }
        // The alias of one family is enough, and its TTL bounds the whole.
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
    fn a_ttl_of_zero() {
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
    fn other_servers_take_the_place_of_those_known() {
        let config = |text: &str| {
            let mut config = Config::empty();
            config.read(text.as_bytes(), false, &mut |_| 0);
            config
        };
        let mut lookup = Lookup::idle();
        lookup.use_config(&mut config("nameserver 10.0.0.1"));
        lookup.begin(b"www");
        while lookup.next(0) != Action::Failed {
            lookup.failed(Transport::Udp, libc::ENETUNREACH);
        }
        for (text, told) in [
            ("", "10.0.0.1 unreachable"),
            ("search a\nnameserver 10.0.0.1", "10.0.0.1 unreachable"),
            ("nameserver 10.0.0.2", "10.0.0.2 not asked"),
        ] {
            lookup.use_config(&mut config(text));
            assert_eq!(lookup.to_string(), told);
        }
    }

    #[test]
    fn a_socket_that_fails_is_the_servers() {
        let mut config = Config::empty();
        config.read(b"nameserver fe80::1\n", false, &mut |_| 0);
        let mut lookup = Lookup::idle();
        lookup.config = config;
        lookup.begin(b"www");
        for _ in 0..NAME_ROUNDS {
            assert_eq!(lookup.next(7), Action::Connect(address("fe80::1")));
            lookup.failed(Transport::Udp, 22);
        }
        assert_eq!(lookup.next(7), Action::Failed);
        assert_eq!(lookup.next(8), Action::Failed);
        assert_eq!(lookup.to_string(), "fe80::1 unreachable");
    }
}
