//! How lines reach a receiver: what waits, what was sent and may have to be sent again, and when a shipper ends.

pub mod batch;
pub mod closing;
pub mod connection;
pub mod ledger;
pub mod lifetime;
pub mod outage;
pub mod progress;
pub mod sockets;
