//! How links get their addresses: by DHCP, by name, from the kernel.

use core::fmt::{self, Display, Write};

use heapless::String;

use super::link::{Bound, Service};
use super::{Client, is_link_local};
use crate::sys::{packet, time};
use earlykmsg::address::{Address, add};
use earlykmsg::channel::Message;
use earlykmsg::config::network::{Method, Static};
use earlykmsg::error::Result;
use earlykmsg::limits::{
    DHCP_ANSWER_BYTES_MAX, NAME_SERVERS_TEXT_BYTES_MAX, NEVER_MS, STATIC_AGAIN_MS, STATIC_S,
};
use earlykmsg::network::dhcp_client::{Change, Client as DhcpClient, Step};
use earlykmsg::network::journal::Entry;
use earlykmsg::wire::dhcp::{Lease, Question, is_question};
use earlykmsg::wire::rtnetlink::{add_address, add_default_route, add_network_route, delete_address};
use earlykmsg::wire::rtnetlink_news::AddressNews;

impl Client<'_> {
    /// A link that was down has lost its routes, and if it was renamed, its address its label.
    pub(super) fn refresh_routes(&mut self, place: usize, now_ms: u64) {
        let link = &mut self.links[place];
        if core::mem::take(&mut link.has_lost_routes)
            && let Some(bound) = link.bound
            && let Some(own) = self.journal.find(link.index).and_then(Entry::address)
        {
            let (index, label) = (link.index, link.name.label());
            let seconds = (own.end_ms.saturating_sub(now_ms) / 1_000) as u32;
            self.rtnl.request(&delete_address(bound.on(index)));
            self.rtnl.request(&add_address(bound.on(index), &label, seconds.max(1)));
            self.add_routes(index, bound);
        }
    }

    /// How a link is to get an address.
    pub(super) fn method(&self, place: usize) -> Option<Method> {
        Some(self.words.ip.get(self.links.get(place)?.word?)?.method)
    }

    /// Begins to get an address on a link that has a carrier.
    pub(super) fn begin(&mut self, place: usize, now_ms: u64) {
        let Some(method) = self.method(place) else { return };
        let link = &mut self.links[place];
        match method {
            Method::Dhcp => {
                let [.., a, b, c, d] = link.mac;
                let random = u32::from_be_bytes([a, b, c, d]) ^ time::raw_ns() as u32;
                link.service = Service::Dhcp(DhcpClient::new(link.mac, random, now_ms));
                let name = link.name;
                self.tell_state(format_args!("{name}: asking for an address by DHCP"));
            }
            Method::Auto6 => link.service = Service::Auto6,
            Method::Static(_) => link.service = Service::Static { again_ms: now_ms },
        }
    }

    /// Does what is due on a link with a carrier. Returns when the next thing is.
    pub(super) fn go_on(&mut self, place: usize, now_ms: u64) -> u64 {
        let link = &mut self.links[place];
        let index = link.index;
        match &mut link.service {
            Service::None | Service::Auto6 => NEVER_MS,
            Service::Static { again_ms } => {
                if now_ms >= *again_ms {
                    *again_ms = now_ms + STATIC_AGAIN_MS;
                    self.give_static(place);
                }
                now_ms + STATIC_AGAIN_MS
            }
            Service::Dhcp(client) => loop {
                match client.next(now_ms) {
                    Step::Wait(until_ms) => return until_ms,
                    Step::Expired => {
                        self.lose_address(place, "its lease is over");
                        return now_ms;
                    }
                    Step::Ask(question) => {
                        // The server that gave the lease, or all.
                        let is_to_server = matches!(question, Question::Keep { server: Some(_), .. });
                        let to = link.server_mac.filter(|_| is_to_server);
                        // One that does not leave is sent again.
                        let _ = packet::send(&self.packets, &client.packet(question, now_ms), index, to);
                    }
                }
            },
        }
    }

    pub(super) fn give_static(&mut self, place: usize) {
        let Some(Method::Static(fixed)) = self.method(place) else { return };
        let Static { address, prefix_length, gateway, name_servers } = fixed;
        self.add_servers(&mut name_servers.into_iter().flatten());
        self.bind(place, Bound { address, prefix_length, gateway }, STATIC_S);
    }

    /// Takes the datagrams of DHCP that have come.
    pub(super) fn take_packets(&mut self) -> Result<()> {
        let mut buffer = [0; DHCP_ANSWER_BYTES_MAX];
        while let Some(received) = packet::receive(&self.packets, &mut buffer)? {
            let packet = &buffer[..received.len.min(buffer.len())];
            if received.is_outgoing {
                if is_question(packet) {
                    self.give_way(format_args!("another program asks for an address by DHCP"));
                }
                continue;
            }
            let Some(place) = self.links.iter().position(|link| link.index == received.index) else {
                continue;
            };
            let Service::Dhcp(client) = &mut self.links[place].service else { continue };
            match client.receive(packet, time::now_ms()) {
                Change::None => {}
                Change::Refused => self.lose_address(place, "its server refuses to renew the lease"),
                Change::Bound(lease) => {
                    self.links[place].server_mac = Some(received.from);
                    self.take_lease(place, &lease);
                }
            }
        }
        Ok(())
    }

    pub(super) fn take_lease(&mut self, place: usize, lease: &Lease) {
        let bound = Bound {
            address: Address::new(lease.address),
            prefix_length: lease.prefix_length,
            gateway: lease.router.map(Address::new),
        };
        self.bind(place, bound, lease.seconds);
        if self.links[place].bound == Some(bound) {
            self.add_servers(&mut lease.name_servers.iter().map(|server| Address::new(*server)));
        }
    }

    /// Gives a link an address, or more time for the one that it has.
    pub(super) fn bind(&mut self, place: usize, bound: Bound, seconds: u32) {
        let link = &mut self.links[place];
        let (index, name, of) = (link.index, link.name, bound.on(link.index));
        let label = name.label();
        // A lease without a router decides nothing: another link may lead further.
        let decides = bound.gateway.is_some() || matches!(link.service, Service::Static { .. });
        if let Some(word) = link.word.filter(|_| decides)
            && *self.winners[word].get_or_insert(index) != index
        {
            return;
        }
        let Some(entry) = self.journal.enter(index) else { return };
        let is_new = link.bound != Some(bound);
        entry.set_address(of, time::now_ms() + u64::from(seconds) * 1_000);
        link.bound = Some(bound);
        self.rtnl.request(&add_address(of, &label, seconds));
        self.add_routes(index, bound);
        if is_new {
            let Bound { address, prefix_length, gateway } = bound;
            self.say(format_args!("{name}: {address}/{prefix_length} for {seconds} s{}", Via(gateway)));
        }
    }

    pub(super) fn add_routes(&self, index: u32, bound: Bound) {
        self.rtnl.request(&add_network_route(bound.on(index), bound.prefix_length));
        if let Some(gateway) = bound.gateway {
            self.rtnl.request(&add_default_route(bound.on(index), gateway));
        }
    }

    /// An address must not be used any more. Its routes go with it.
    pub(super) fn lose_address(&mut self, place: usize, why: &str) {
        let link = &mut self.links[place];
        let (index, name) = (link.index, link.name);
        link.bound = None;
        if let Some(entry) = self.journal.find(index)
            && let Some(own) = entry.address()
        {
            self.rtnl.request(&delete_address(own.of));
            entry.forget_address();
        }
        for winner in self.winners.iter_mut().filter(|winner| **winner == Some(index)) {
            *winner = None;
        }
        self.say(format_args!("{name}: {why}"));
    }

    /// An IPv6 address that the kernel has made of a router's advertisement.
    pub(super) fn take_kernels_address(&mut self, news: AddressNews) {
        let is_global = !is_link_local(news.of.address) && !news.of.address.is_ipv4();
        let link = self.links.iter().find(|link| link.index == news.of.index);
        let Some(link) = link.filter(|_| is_global && news.is_usable()) else { return };
        if let (Service::Auto6, Some(word)) = (&link.service, link.word)
            && self.winners[word].is_none()
        {
            self.winners[word] = Some(link.index);
            let name = link.name;
            self.say(format_args!("{name}: {}/{}", news.of.address, news.of.prefix_length));
        }
    }

    /// Tells the watcher of name servers, for the resolvers of the shippers.
    pub(super) fn add_servers(&mut self, servers: &mut dyn Iterator<Item = Address>) {
        let before = self.servers.len();
        servers.for_each(|server| add(&mut self.servers, server));
        if self.servers.len() == before {
            return;
        }
        let mut text = String::<NAME_SERVERS_TEXT_BYTES_MAX>::new();
        for server in &self.servers {
            // What does not fit is left out.
            let _ = match server.scope_id {
                0 => writeln!(text, "nameserver {server}"),
                index => writeln!(text, "nameserver {server}%{index}"),
            };
        }
        self.tell(Message::NameServers(text.as_bytes()));
    }
}

/// ` via GATEWAY`, or nothing.
struct Via(Option<Address>);

impl Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(gateway) => write!(f, " via {gateway}"),
            None => Ok(()),
        }
    }
}
