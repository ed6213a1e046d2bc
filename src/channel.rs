//! What the watcher and a shipper say to each other: packets, each of which begins with its kind. Pure.
//!
//! ```text
//! shipper   anything ----------------------------------------> watcher   the files, please
//! watcher   MOUNTS -----------------------------------------> shipper
//! watcher   SWITCHED and when -------------------------------> shipper
//! watcher   SERVERS text, SERVERS, HOSTS text, HOSTS, END ---> shipper   in pieces; the empty one ends a file
//! ```

/// The root was switched; the time in milliseconds follows.
pub const SWITCHED: u8 = 1;
/// A piece of what is written like `/etc/resolv.conf`.
pub const SERVERS: u8 = 2;
/// A piece of what is written like `/etc/hosts`.
pub const HOSTS: u8 = 3;
/// There are no more files.
pub const END: u8 = 4;
/// The mounts have changed: a switch of root may follow, or has just been made.
pub const MOUNTS: u8 = 5;
