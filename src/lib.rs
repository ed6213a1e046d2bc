//! earlykmsg ships the kernel's log, from the first line of the boot on, as Talos-compatible JSON lines.
//!
//! The way of the data, one room after the other:
//!
//! ```text
//! /proc/cmdline -> cmdline -> endpoint
//!                                 |
//! /dev/kmsg -> kmsg::source -> kmsg::record -> line -> transport -> receiver
//!                                    ^                       |
//!                                    +------- ledger <-------+   what must be read and sent again
//! ```
//!
//! Rules of the house:
//!
//! 1. Nothing here may keep a machine from booting, and no record is lost in silence.
//! 2. No heap: whoever calls owns the buffer, and every bound stands in [`limits`].
//! 3. Pure rooms (`cmdline`, `endpoint`, `kmsg::record`, `tags`, `line`, `clock`, `ledger`, `closing`, `harden::policy`) get bytes
//!    and times and give back values. They make no system call and know no room that does.
//! 4. `unsafe` stands in [`sys`] alone. Everything else is built of its safe calls and of rustix.
//! 5. An error says which step and which errno; only its caller decides what follows.

#![cfg_attr(not(test), no_std)]

#[cfg(test)]
extern crate std;

pub mod address;
pub mod batch;
pub mod board;
pub mod boot;
pub mod channel;
pub mod clock;
pub mod closing;
pub mod cmdline;
pub mod endpoint;
pub mod error;
pub mod files;
pub mod hand;
pub mod harden;
pub mod identity;
pub mod kmsg;
pub mod ledger;
pub mod lifetime;
pub mod limits;
pub mod line;
pub mod names;
pub mod network;
pub mod news;
pub mod report;
pub mod resolve;
pub mod ship;
pub mod sys;
pub mod tags;
pub mod takeover;
#[cfg(test)]
mod testing;
pub mod transport;
pub mod wall;
pub mod watch;
pub mod words;
