//! From a destination's host to the address that is tried next: the files, through the watcher, and the name servers.
//!
//! What decides is in [`earlykmsg::names`]; here are its clock and its files, in [`super::name_server`] its sockets. Waiting is done by
//! [`Events`], so signals, the root switch and the end interrupt a search.

use super::connection_log::ConnectionLog;
use super::events::{Events, Ring};
use super::name_server::NameServer;
use crate::net::{Target, scope_id};
use crate::random;
use crate::sys::time;
use earlykmsg::address::{Address, Found};
use earlykmsg::channel::Message;
use earlykmsg::config::endpoint::{Endpoint, Host};
use earlykmsg::error::{Errno as Number, Result, Step};
use earlykmsg::limits::{ANSWERS_BYTES, FILES_MS, NAME_AGAIN_MS, NAME_IN_USE_MS, NAME_LATER_MS, NEVER_MS};
use earlykmsg::names::file_lines::FileLines;
use earlykmsg::names::hosts;
use earlykmsg::names::lookup::{Action, Lookup, Transport};
use earlykmsg::names::resolv::Config;

/// The addresses of one destination.
pub struct Resolver<'a> {
    endpoint: &'a Endpoint<'a>,
    /// The search for them, and what the name servers answered.
    lookup: Lookup<'a>,
    addresses: Found,
    /// Until when they may be used for a new connection.
    valid_until_ms: u64,
    /// While they are in use, they are not looked for again before this.
    search_again_ms: u64,
    /// The last search found nothing.
    failed: bool,
    /// They were looked for after the root switch.
    is_of_main_system: bool,
    /// In which order they are tried, for as long as this process lives: where a name has several, the machines spread
    /// over them.
    order: u64,
    /// Which of them is tried.
    current: usize,
    /// What was connected to last.
    pub target: Target<'a>,
    /// It is not the first one of this round.
    trying_next: bool,
    /// Room for pieces of files and for answers.
    pub answers: &'a mut [u8; ANSWERS_BYTES],
}

/// Why a search is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// For a new connection. That no address is found is reported.
    Connect,
    /// An address is in use meanwhile, and records wait: the search is given up when it takes long.
    Refresh,
}

impl<'a> Resolver<'a> {
    /// Nothing is known yet of a name.
    pub fn new(endpoint: &'a Endpoint<'a>, answers: &'a mut [u8; ANSWERS_BYTES]) -> Resolver<'a> {
        let mut addresses = Found::nothing();
        let mut valid_until_ms = 0;
        let mut target = Target { address: Address::new([0; 4]), scope: b"", port: endpoint.port };
        if let Host::Address { address, scope } = endpoint.host {
            addresses.add(address);
            valid_until_ms = NEVER_MS;
            target.scope = scope;
        }
        Resolver {
            endpoint,
            lookup: Lookup::idle(),
            addresses,
            valid_until_ms,
            search_again_ms: 0,
            failed: false,
            is_of_main_system: false,
            order: random::number(),
            current: 0,
            target,
            trying_next: false,
            answers,
        }
    }

    /// What to connect to now. Fails too when the end has come first.
    pub fn target(&mut self, events: &mut Events, log: &mut ConnectionLog<'_>) -> Result<&mut Target<'a>> {
        let now = time::now_ms();
        if !self.trying_next {
            events.links.begin_attempt(now);
            if self.is_name() && (now >= self.valid_until_ms || self.is_before_switch(events)) {
                self.search(Purpose::Connect, events, log)?;
            }
        }
        self.tell_addresses(events);
        self.target.address = self.address().ok_or(Step::LookUpName.failed(Number::NONE))?;
        Ok(&mut self.target)
    }

    /// The address that is tried, or in use.
    pub fn address(&self) -> Option<Address> {
        self.addresses.iter().nth(self.current)
    }

    /// The lookup, and room for answers of the kernel.
    pub fn lookup_and_answers(&mut self) -> (&Lookup<'a>, &mut [u8; ANSWERS_BYTES]) {
        (&self.lookup, self.answers)
    }

    /// The address was reached, and is tried first the next time.
    pub fn reached(&mut self) {
        self.trying_next = false;
    }

    /// The address was tried in vain. The next one follows without a pause, unless the network has changed so much that
    /// the round begins again.
    pub fn failed(&mut self, network_changed: bool) {
        self.current += 1;
        self.trying_next = !network_changed && self.address().is_some();
        if !self.trying_next {
            self.current = 0;
        }
    }

    /// Whether there are more addresses to be tried, without a pause.
    pub fn is_trying_next(&self) -> bool {
        self.trying_next
    }

    /// Whether the addresses have to be looked for again, while one of them is in use.
    pub fn is_stale(&self, events: &Events, now_ms: u64) -> bool {
        let before_switch = self.is_before_switch(events);
        let must = before_switch || self.failed || self.addresses.ttl_s != u32::MAX;
        let valid_until_ms = if before_switch { 0 } else { self.valid_until_ms };
        self.is_name() && must && now_ms >= valid_until_ms.max(self.search_again_ms)
    }

    /// Looks for the addresses again. Returns whether the one in use is no longer among them.
    pub fn has_moved(&mut self, events: &mut Events, log: &mut ConnectionLog<'_>) -> bool {
        let used = self.address();
        let found = self.search(Purpose::Refresh, events, log).is_ok();
        self.tell_addresses(events);
        let position = self.addresses.iter().position(|address| Some(address) == used);
        self.current = position.unwrap_or(0);
        found && position.is_none()
    }

    /// Has a delivery of the main system's be looked for at the addresses, if they have changed.
    fn tell_addresses(&self, events: &mut Events) {
        let [last, before] = &mut events.known_addresses;
        if *last != self.addresses {
            before.clone_from(last);
            last.clone_from(&self.addresses);
        }
    }

    fn is_name(&self) -> bool {
        matches!(self.endpoint.host, Host::Name(_))
    }

    /// Whether the addresses are those that the image found, and the main system may find others.
    fn is_before_switch(&self, events: &Events) -> bool {
        events.root_switched && !self.is_of_main_system
    }

    /// Looks for the addresses of a name.
    ///
    /// When nothing is found, those that came from a file stay in force.
    fn search(&mut self, purpose: Purpose, events: &mut Events, log: &mut ConnectionLog<'_>) -> Result<()> {
        let Host::Name(host) = self.endpoint.host else { return Ok(()) };
        self.is_of_main_system = events.root_switched;
        self.failed = false;
        let (mut config, in_file) = self.read_files(host, events)?;
        self.current = 0;
        self.lookup.use_config(&mut config);
        if !in_file.is_empty() {
            self.addresses = in_file;
            // The file is read again for the next connection.
            self.valid_until_ms = 0;
            return Ok(());
        }
        self.lookup.begin(host);
        let asked = self.ask_servers(purpose, events, log);
        let now = time::now_ms();
        if asked.is_ok() {
            self.addresses.clone_from(&self.lookup.found);
            self.addresses.shuffle(self.order);
            self.valid_until_ms = now + self.addresses.holds_ms();
            self.search_again_ms = now + NAME_AGAIN_MS;
            return asked;
        }
        self.valid_until_ms = 0;
        self.failed = true;
        self.search_again_ms = now + NAME_LATER_MS;
        let came_from_file = !self.addresses.is_empty() && self.addresses.ttl_s == u32::MAX;
        if came_from_file && !events.is_over(now) { Ok(()) } else { asked }
    }

    /// Reads the watcher's files: the name servers, and the addresses that `/etc/hosts` has for the host.
    fn read_files(&mut self, host: &[u8], events: &mut Events) -> Result<(Config, Found)> {
        let (mut config, mut found) = (Config::empty(), Found::nothing());
        let mut has_search = false;
        let watcher = events.watcher();
        let mut interface_index =
            |name: &[u8]| watcher.and_then(|socket| scope_id(socket, name).ok()).unwrap_or(0);
        let mut lines = FileLines::new(self.answers);
        let in_time = events.request_files(time::now_ms() + FILES_MS, &mut |message| match message {
            Message::NameServers(piece) => {
                lines.add(piece, &mut |text| config.read(text, has_search, &mut interface_index));
                has_search |= piece.is_empty() && !config.search.is_empty();
            }
            Message::Hosts(piece) => {
                lines.add(piece, &mut |text| hosts::find(text, host, &mut interface_index, &mut found));
            }
            _ => {}
        });
        if in_time { Ok((config, found)) } else { Err(Step::LookUpName.failed(Number::NONE)) }
    }

    /// Asks the name servers. What they find is in the lookup then.
    fn ask_servers(
        &mut self,
        purpose: Purpose,
        events: &mut Events,
        log: &mut ConnectionLog<'_>,
    ) -> Result<()> {
        let nothing = Step::LookUpName.failed(Number::NONE);
        let give_up_ms = match purpose {
            Purpose::Connect => NEVER_MS,
            Purpose::Refresh => time::now_ms() + NAME_IN_USE_MS,
        };
        let mut name_server = NameServer::new();
        loop {
            let now = time::now_ms();
            if events.is_over(now) || now >= give_up_ms {
                return Err(nothing);
            }
            if purpose == Purpose::Refresh && events.lifetime.end(now).is_some() {
                return Err(nothing);
            }
            let restart_ms = events.links.restart_attempt_ms();
            if restart_ms.is_some_and(|restart_ms| now >= restart_ms) {
                return Err(nothing);
            }
            // The report needs the buffer that an answer over TCP is gathered in.
            if purpose == Purpose::Connect && !name_server.is_asked_over_tcp() {
                log.not_reached(nothing, None, &self.lookup, &events.network_state, self.answers);
            }
            match self.lookup.next(now) {
                Action::Done => return Ok(()),
                Action::Failed => return Err(nothing),
                Action::Connect(server) => name_server.connect(server, &mut self.lookup),
                Action::Ask(family, Transport::Udp) => name_server.ask_udp(family, &mut self.lookup),
                Action::Ask(family, Transport::Tcp) => name_server.ask_tcp(family, &mut self.lookup),
                Action::Wait(until_ms) => {
                    let until_ms = restart_ms.map_or(until_ms, |restart_ms| restart_ms.min(until_ms));
                    let [_, tcp_events] = events.wait(name_server.awaited(), Ring::Waits, until_ms);
                    name_server.receive(!tcp_events.is_empty(), &mut self.lookup, self.answers);
                }
            }
        }
    }
}
