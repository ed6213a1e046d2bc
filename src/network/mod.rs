//! What the kernel tells of the network. Pure.

pub mod netlink;
