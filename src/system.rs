//! What the programs share of what calls the system: the start, the messages, the kernel's file systems, giving up
//! privileges.
//!
//! What computes is the core (`lib.rs`); what only one of them needs stands in its own folders (`main.rs`,
//! `bringup/main.rs`, `pstore_reader/main.rs`).

#![no_std]

pub mod companion;
pub mod confine;
pub mod exit;
pub mod kernel_fs;
pub mod logger;
pub mod sys;
