//! What comes from the network and from the kernel's network sockets, byte for byte.

pub mod dns;
pub mod netlink;
