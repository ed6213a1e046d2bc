//! A network of one's own before the root switch: addresses, and what of the network is whose.

pub mod dhcp_client;
pub mod journal;
pub mod ownership;
pub mod rename;
