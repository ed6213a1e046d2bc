//! Which links are served, made, and set up.

use super::Client;
use super::link::{Link, Service};
use crate::sys::time;
use crate::udevd;
use earlykmsg::config::network::{Bond, Device, Vlan};
use earlykmsg::limits::{IP_WORDS_MAX, NEVER_MS, UDEVD_HELD_LOOK_MS, UDEVD_MS};
use earlykmsg::network::journal::Flag;
use earlykmsg::wire::rtnetlink::{Request, new_bond, new_vlan, set_link, set_master};
use earlykmsg::wire::rtnetlink_news as news;

/// The numbers of the links that are made: far from those that the kernel gives out, so that it goes on as without them.
const BONDS_FROM: u32 = 0x6b6d_0000;
/// See `BONDS_FROM`.
const VLANS_FROM: u32 = BONDS_FROM + IP_WORDS_MAX as u32;

impl<'a> Client<'a> {
    /// Takes note of a link, and sets it up if it is to be served.
    pub(super) fn take_link(&mut self, told: &news::Link<'_>) {
        let Some(mac) = told.mac else { return };
        let place = self.links.iter().position(|link| link.index == told.index);
        let place = place.or_else(|| {
            let link = Link::new(told.index, time::now_ms());
            self.links.push(link).ok().map(|()| self.links.len() - 1)
        });
        let Some(place) = place else { return };
        let word = self.word_for(told);
        let link = &mut self.links[place];
        link.update(told, mac);
        if link.word.is_none() {
            link.word = word;
        }
        if link.service.is_none() && !told.has_carrier() && told.is_up() {
            let name = link.name;
            self.tell_state(format_args!("{name} has no carrier"));
        }
        self.add_to_bonds();
        // A VLAN may be made of it.
        self.make_again_ms = 0;
    }

    /// The word that a link is served for.
    pub(super) fn word_for(&self, told: &news::Link<'_>) -> Option<usize> {
        let find = |wanted| self.words.ip.iter().position(|word| word.device == wanted);
        // Without a name, what is hardware (veth is, within a container), and what we have made of it.
        let is_made = self.journal.find(told.index).is_some_and(|entry| entry.is(Flag::Made));
        let is_plain = matches!(told.kind, b"" | b"veth") || is_made;
        // A VLAN has the hardware address of the link that it is made of, which a word can only mean by name.
        let is_base = self.is_base(told.name);
        let by_mac = || told.mac.and_then(|mac| find(Device::Mac(mac))).filter(|_| !is_base);
        let any = || find(Device::Any).filter(|_| is_plain && !is_base);
        let is_part_of_bond = told.master != 0 || self.bond_of(told.name).is_some();
        find(Device::Name(told.name)).or_else(by_mac).or_else(any).filter(|_| !is_part_of_bond)
    }

    /// The VLANs that are to be made, each with its number.
    pub(super) fn vlans(&self) -> impl Iterator<Item = (u32, Vlan<'a>)> {
        (VLANS_FROM..).zip(self.words.vlan.iter().copied())
    }

    /// The bonds that are to be made, each with its number.
    pub(super) fn bonds(&self) -> impl Iterator<Item = (u32, Bond<'a>)> {
        (BONDS_FROM..).zip(self.words.bond.iter().copied())
    }

    /// Whether a VLAN is made of the link with this name.
    pub(super) fn is_base(&self, name: &[u8]) -> bool {
        self.vlans().any(|(_, vlan)| vlan.device == name)
    }

    /// The number of the bond that a link becomes a part of.
    pub(super) fn bond_of(&self, name: &[u8]) -> Option<u32> {
        let mut bonds = self.bonds();
        bonds.find(|(_, bond)| bond.devices().any(|device| device == name)).map(|(index, _)| index)
    }

    /// Makes the bonds and VLANs that are not there yet.
    pub(super) fn make_links(&mut self) {
        self.make_again_ms = NEVER_MS;
        for (index, bond) in self.bonds() {
            self.make(index, &new_bond(index, bond.name, bond.mode, bond.miimon_ms));
        }
        for (index, vlan) in self.vlans() {
            if let Some(base) = self.links.iter().find(|link| link.name.bytes() == vlan.device) {
                self.make(index, &new_vlan(index, vlan.name, base.index, vlan.id));
            }
        }
    }

    pub(super) fn make(&self, index: u32, request: &Request) {
        if self.links.iter().all(|link| link.index != index)
            && let Some(entry) = self.journal.enter(index)
        {
            entry.set(Flag::Made);
            self.rtnl.request(request);
        }
    }

    /// Makes links parts of their bonds, which sets them up. A bond may be there before its links, or after them.
    fn add_to_bonds(&self) {
        for link in &self.links {
            if let Some(bond) = self.bond_of(link.name.bytes())
                && self.links.iter().any(|link| link.index == bond)
                && !link.has_master
                && !link.is_up
                && let Some(entry) = self.journal.enter(link.index)
                && !entry.is(Flag::Raised)
            {
                entry.set(Flag::Raised);
                self.rtnl.request(&set_master(link.index, bond));
            }
        }
    }

    /// Does what is due on all links. Returns when the next thing is.
    pub(super) fn serve_links(&mut self, now_ms: u64) -> u64 {
        if now_ms >= self.make_again_ms {
            self.make_links();
        }
        let mut until_ms = self.make_again_ms;
        for place in 0..self.links.len() {
            until_ms = until_ms.min(self.serve_link(place, now_ms));
        }
        until_ms
    }

    pub(super) fn serve_link(&mut self, place: usize, now_ms: u64) -> u64 {
        let link = &self.links[place];
        let (index, is_vlans) = (link.index, self.is_base(link.name.bytes()));
        let word = link.word;
        let is_winner = word.is_some_and(|word| self.winners[word] == Some(index));
        // One whose lease names no router takes nothing from the winner, and may be where the destination is.
        let is_beside = link.bound.is_some_and(|bound| bound.gateway.is_none());
        let is_undecided = word.is_some_and(|word| self.winners[word].is_none());
        let is_wanted = is_vlans || is_winner || is_beside || is_undecided;
        if is_wanted && !link.is_up {
            return self.raise(place, now_ms);
        }
        if word.is_none() {
            return NEVER_MS;
        }
        if !is_wanted {
            self.lower(place);
            return NEVER_MS;
        }
        if !self.links[place].has_carrier {
            return NEVER_MS;
        }
        if core::mem::take(&mut self.links[place].is_fresh)
            && let Service::Dhcp(client) = &mut self.links[place].service
            && !client.is_bound()
        {
            // What was asked without a carrier has reached nobody.
            client.restart(now_ms);
        }
        self.refresh_routes(place, now_ms);
        if self.links[place].service.is_none() {
            self.begin(place, now_ms);
        }
        self.go_on(place, now_ms)
    }

    /// Sets a link up, once.
    pub(super) fn raise(&mut self, place: usize, now_ms: u64) -> u64 {
        let link = &mut self.links[place];
        let is_raised = |flag| self.journal.find(link.index).is_some_and(|entry| entry.is(flag));
        // If somebody else has set it down, they know why.
        if is_raised(Flag::Raised) {
            return NEVER_MS;
        }
        let waits_for_udevd = self.must_wait_for_udevd
            && !is_raised(Flag::Named)
            && now_ms < link.seen_ms + UDEVD_MS
            && udevd::is_running();
        if waits_for_udevd {
            return now_ms + UDEVD_HELD_LOOK_MS;
        }
        if let Some(entry) = self.journal.enter(link.index) {
            entry.set(Flag::Raised);
            self.rtnl.request(&set_link(link.index, true));
        }
        NEVER_MS
    }

    /// Sets a link down that another one has won over.
    pub(super) fn lower(&mut self, place: usize) {
        let link = &mut self.links[place];
        link.service = Service::None;
        if let Some(entry) = self.journal.find(link.index)
            && entry.is(Flag::Raised)
            && link.is_up
        {
            self.rtnl.request(&set_link(link.index, false));
            entry.clear(Flag::Raised);
        }
    }
}
