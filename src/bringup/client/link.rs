//! A link as the client knows it.

use core::fmt::{self, Display};

use heapless::Vec;

use earlykmsg::address::Address;
use earlykmsg::limits::INTERFACE_NAME_BYTES_MAX;
use earlykmsg::network::dhcp_client::Client;
use earlykmsg::text::Quoted;
use earlykmsg::wire::dhcp::Mac;
use earlykmsg::wire::rtnetlink::LinkAddress;
use earlykmsg::wire::rtnetlink_news as news;

/// A link.
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name at this time.
    pub name: LinkName,
    /// Its hardware address at this time.
    pub mac: Mac,
    /// When it was first seen.
    pub seen_ms: u64,
    /// It is set up.
    pub is_up: bool,
    /// It is a part of a bond or a bridge.
    pub has_master: bool,
    /// What is sent leaves.
    pub has_carrier: bool,
    /// It was down since its routes were made.
    pub has_lost_routes: bool,
    /// It has its carrier since a moment ago.
    pub is_fresh: bool,
    /// The word that it is served for.
    pub word: Option<usize>,
    /// How it gets an address.
    pub service: Service,
    /// The address that it has from us.
    pub bound: Option<Bound>,
    /// Who granted the lease, on the link.
    pub server_mac: Option<Mac>,
}

/// The name of a link, with NULs behind it.
#[derive(Clone, Copy, Default)]
pub struct LinkName([u8; INTERFACE_NAME_BYTES_MAX + 1]);

impl LinkName {
    fn new(text: &[u8]) -> LinkName {
        let mut name = LinkName::default();
        name.0.iter_mut().zip(text).for_each(|(place, byte)| *place = *byte);
        name
    }

    /// Without the NULs.
    pub fn bytes(&self) -> &[u8] {
        self.0.split(|&byte| byte == 0).next().unwrap_or_default()
    }
}

impl Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Quoted(self.bytes()).fmt(f)
    }
}

/// An address from us, and the network that it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bound {
    /// The address.
    pub address: Address,
    /// How many bits of it are the network's.
    pub prefix_length: u8,
    /// Where packets to other networks go.
    pub gateway: Option<Address>,
}

/// What is put behind a link's name for the label of its address.
const LABEL_END: &[u8] = b":k";

impl LinkName {
    /// The label of our address: another one than the link's name, by which ioctls find an address that they change.
    /// Without room for it, none.
    pub fn label(&self) -> Vec<u8, INTERFACE_NAME_BYTES_MAX> {
        let mut label = Vec::from_slice(self.bytes()).unwrap_or_default();
        if label.extend_from_slice(LABEL_END).is_err() {
            label.clear();
        }
        label
    }
}

impl Bound {
    /// The address as it is given to a link. One of IPv4 is given without its network: else an address of the same network
    /// that somebody else adds would be a secondary one, and the kernel would remove it together with ours; and the same
    /// address could not be added at all.
    pub fn on(&self, index: u32) -> LinkAddress {
        let Bound { address, prefix_length, .. } = *self;
        LinkAddress { index, address, prefix_length: if address.is_ipv4() { 32 } else { prefix_length } }
    }
}

/// How a link gets an address.
pub enum Service {
    /// Nothing was begun.
    None,
    /// By DHCP.
    Dhcp(Client),
    /// By the kernel, from a router's advertisements.
    Auto6,
    /// It is named, and given again at this time.
    Static { again_ms: u64 },
}

impl Service {
    /// Whether nothing was begun.
    pub fn is_none(&self) -> bool {
        matches!(self, Service::None)
    }
}

impl Link {
    /// A link that was just seen.
    pub fn new(index: u32, now_ms: u64) -> Link {
        Link {
            index,
            name: LinkName::default(),
            mac: Mac::default(),
            seen_ms: now_ms,
            is_up: false,
            has_master: false,
            has_carrier: false,
            has_lost_routes: false,
            is_fresh: false,
            word: None,
            service: Service::None,
            bound: None,
            server_mac: None,
        }
    }

    /// Takes what the kernel tells of it.
    pub fn update(&mut self, told: &news::Link<'_>, mac: Mac) {
        self.name = LinkName::new(told.name);
        self.has_lost_routes |= self.is_up && !told.is_up();
        self.is_fresh |= !self.has_carrier && told.has_carrier();
        self.is_up = told.is_up();
        self.has_master = told.master != 0;
        self.has_carrier = told.has_carrier();
        self.mac = mac;
    }
}
