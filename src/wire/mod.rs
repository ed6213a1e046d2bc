//! What comes from the network and from the kernel's network sockets, byte for byte.

pub mod dhcp;
pub mod dns;
pub mod neighbour;
pub mod netlink;
pub mod rtnetlink;
pub mod rtnetlink_news;
pub mod uevent;
