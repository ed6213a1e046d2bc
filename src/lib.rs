//! The pure core of earlykmsg: bytes and the time come in, bytes and a next step go out.
//!
//! Nothing here makes a system call. The way of the data:
//!
//! ```text
//! config -> (reader) -> record -> line -> delivery::batch -> (tcp, udp) -> delivery::ledger
//! ```
//!
//! What stands in brackets calls the system and belongs to the program, `main.rs`. ARCHITECTURE.md has the whole picture.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod address;
pub mod channel;
pub mod config;
pub mod delivery;
pub mod drivers;
pub mod elf_note;
pub mod error;
pub mod init_paths;
pub mod limits;
pub mod line;
pub mod names;
pub mod network;
pub mod policy;
pub mod pstore;
pub mod rate_limit;
pub mod record;
pub mod text;
pub mod wire;

#[cfg(test)]
mod testing;
