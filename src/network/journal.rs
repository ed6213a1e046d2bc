//! What was changed in the network and is to be changed back, in memory that two processes share: the one that makes the
//! changes notes each before it is made, and the one that undoes them outlives it.

use core::net::{IpAddr, Ipv6Addr};
use core::sync::atomic::{AtomicU64, Ordering};

use crate::address::Address;
use crate::limits::LINKS_MAX;
use crate::wire::rtnetlink::LinkAddress;

/// The numbers that a link takes.
pub const NUMBERS_OF_LINK: usize = 4;

/// The shared memory.
pub type Numbers = [[AtomicU64; NUMBERS_OF_LINK]; LINKS_MAX];

// Which number holds what.
const INDEX_AND_FLAGS: usize = 0;
const ADDRESS_HIGH: usize = 1;
const ADDRESS_LOW: usize = 2;
/// When the address ends, in milliseconds, and the length of its prefix below it. 0: there is none.
const END_AND_PREFIX: usize = 3;

const PREFIX_BITS: u32 = 8;
const FLAGS_FROM: u32 = 32;

/// What holds for a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flag {
    /// We have set it up.
    Raised = 0,
    /// We have made it.
    Made = 1,
    /// Udevd has dealt with it.
    Named = 2,
    /// It, or its address, is no longer ours: it stays as it is.
    Foreign = 3,
}

/// All links.
#[derive(Clone, Copy, Debug)]
pub struct Journal(&'static Numbers);

/// One link.
#[derive(Clone, Copy, Debug)]
pub struct Entry(&'static [AtomicU64; NUMBERS_OF_LINK]);

/// An address that we gave to a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OwnAddress {
    /// The address.
    pub of: LinkAddress,
    /// When its time is over.
    pub end_ms: u64,
}

impl Journal {
    /// In this memory, which is all zeros at first.
    pub fn new(numbers: &'static Numbers) -> Journal {
        Journal(numbers)
    }

    /// All links that it has.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.0.iter().map(Entry).filter(|entry| entry.index() != 0)
    }

    /// A link, if it has it.
    pub fn find(&self, index: u32) -> Option<Entry> {
        self.entries().find(|entry| entry.index() == index)
    }

    /// A link, which it has from now on. `None`: there is no room; then nothing may be done with it.
    pub fn enter(&self, index: u32) -> Option<Entry> {
        let free = || self.0.iter().map(Entry).find(|entry| entry.index() == 0);
        let entry = self.find(index).or_else(free)?;
        entry.0[INDEX_AND_FLAGS].fetch_or(u64::from(index), Ordering::SeqCst);
        Some(entry)
    }
}

impl Entry {
    /// The link's number.
    pub fn index(self) -> u32 {
        self.0[INDEX_AND_FLAGS].load(Ordering::SeqCst) as u32
    }

    /// Whether something holds.
    pub fn is(self, flag: Flag) -> bool {
        self.0[INDEX_AND_FLAGS].load(Ordering::SeqCst) & bit(flag) != 0
    }

    /// Notes that it holds.
    pub fn set(self, flag: Flag) {
        self.0[INDEX_AND_FLAGS].fetch_or(bit(flag), Ordering::SeqCst);
    }

    /// Notes that it does not.
    pub fn clear(self, flag: Flag) {
        self.0[INDEX_AND_FLAGS].fetch_and(!bit(flag), Ordering::SeqCst);
    }

    /// The address that we gave it.
    pub fn address(self) -> Option<OwnAddress> {
        let [high, low, end] =
            [ADDRESS_HIGH, ADDRESS_LOW, END_AND_PREFIX].map(|at| self.0[at].load(Ordering::SeqCst));
        let bits = u128::from(high) << 64 | u128::from(low);
        let of = LinkAddress {
            index: self.index(),
            address: Address::new(Ipv6Addr::from_bits(bits)),
            prefix_length: end as u8,
        };
        (end != 0).then_some(OwnAddress { of, end_ms: end >> PREFIX_BITS })
    }

    /// Notes the address that it is about to get, and when that ends.
    pub fn set_address(self, of: LinkAddress, end_ms: u64) {
        let bits = match of.address.ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
            IpAddr::V6(ip) => ip.to_bits(),
        };
        self.forget_address();
        self.0[ADDRESS_HIGH].store((bits >> 64) as u64, Ordering::SeqCst);
        self.0[ADDRESS_LOW].store(bits as u64, Ordering::SeqCst);
        self.0[END_AND_PREFIX].store(end_ms << PREFIX_BITS | u64::from(of.prefix_length), Ordering::SeqCst);
    }

    /// It has none of ours any more.
    pub fn forget_address(self) {
        self.0[END_AND_PREFIX].store(0, Ordering::SeqCst);
    }
}

fn bit(flag: Flag) -> u64 {
    1 << (FLAGS_FROM + flag as u32)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::boxed::Box;

    pub(in crate::network) fn journal() -> Journal {
        Journal::new(Box::leak(Box::default()))
    }

    pub(in crate::network) fn link_address(index: u32, address: &str, prefix_length: u8) -> LinkAddress {
        LinkAddress { index, address: Address::parse(address.as_bytes()).unwrap(), prefix_length }
    }

    #[test]
    fn what_is_noted_is_read() {
        let journal = journal();
        assert!(journal.find(2).is_none());
        assert_eq!(journal.entries().count(), 0);
        let entry = journal.enter(2).unwrap();
        assert_eq!((entry.index(), entry.address(), entry.is(Flag::Raised)), (2, None, false));
        entry.set(Flag::Raised);
        entry.set(Flag::Named);
        entry.clear(Flag::Named);
        assert_eq!(
            (entry.is(Flag::Raised), entry.is(Flag::Named), entry.is(Flag::Made)),
            (true, false, false)
        );
        for (address, prefix_length) in [("10.0.2.15", 24), ("2001:db8::5", 64), ("fe80::1", 128)] {
            let of = link_address(2, address, prefix_length);
            journal.enter(2).unwrap().set_address(of, 1_234_567);
            assert_eq!(journal.find(2).unwrap().address(), Some(OwnAddress { of, end_ms: 1_234_567 }));
        }
        entry.forget_address();
        assert_eq!(entry.address(), None);
        assert_eq!(journal.entries().count(), 1);
    }

    #[test]
    fn room_for_some() {
        let journal = journal();
        for index in 1..=LINKS_MAX as u32 {
            assert!(journal.enter(index).is_some());
        }
        assert!(journal.enter(99).is_none());
        assert!(journal.enter(3).is_some());
    }
}
