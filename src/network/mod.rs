//! A network of one's own before the root switch: addresses, and what of the network is whose; and what the kernel's
//! netconsole is told of a network.

pub mod dhcp_client;
pub mod journal;
pub mod netconsole;
pub mod ownership;
pub mod rename;
