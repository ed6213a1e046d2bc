//! Everything that reads bytes from outside, and what must hold for any bytes.
//!
//! A *target* is a module with one function `check(&[u8])`, which panics when something does not hold. It is used twice:
//!
//! - `fuzz/run` has libFuzzer look for bytes that break it, starting from `fuzz/corpus/TARGET/`;
//! - `tests/tests/corpus.rs` runs it over the same files on every change, with the stable compiler and no fuzzer.
//!
//! A new parser gets a file here, a line in [`TARGETS`] and a folder of seeds. A check compares with a model that is
//! written another way (`serde_json`, `core`'s parsers, the kernel's own code put into Rust) or turns a result back into
//! what it came from; "does not crash" is the least of it. Bytes that a check has no use for are passed over in silence:
//! a target for structured input reads it with [`Input`].

#![forbid(unsafe_code)]

pub mod batch;
pub mod channel;
pub mod clock;
pub mod cmdline;
pub mod dhcp;
pub mod elf_note;
pub mod endpoint;
pub mod file_lines;
pub mod files;
pub mod ledger;
pub mod lifetime;
pub mod lookup;
pub mod lost;
pub mod netlink;
pub mod network;
pub mod pstore;
pub mod record;
pub mod rfc5424;
pub mod rtnetlink;
pub mod sockets;
pub mod syslog;
pub mod tags;

/// A parser and what must hold for it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its folder of inputs.
    pub name: &'static str,
    /// Panics when something does not hold for these bytes.
    pub check: fn(&[u8]),
    /// Longer inputs find nothing that shorter ones do not.
    pub bytes_max: usize,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "batch", check: batch::check, bytes_max: 192 },
    Target { name: "channel", check: channel::check, bytes_max: 2049 },
    Target { name: "clock", check: clock::check, bytes_max: 48 },
    Target { name: "cmdline", check: cmdline::check, bytes_max: 4096 },
    Target { name: "dhcp", check: dhcp::check, bytes_max: 600 },
    Target { name: "elf_note", check: elf_note::check, bytes_max: 512 },
    Target { name: "endpoint", check: endpoint::check, bytes_max: 300 },
    Target { name: "file_lines", check: file_lines::check, bytes_max: 1024 },
    Target { name: "files", check: files::check, bytes_max: 1024 },
    Target { name: "ledger", check: ledger::check, bytes_max: 1024 },
    Target { name: "lifetime", check: lifetime::check, bytes_max: 192 },
    Target { name: "lookup", check: lookup::check, bytes_max: 2048 },
    Target { name: "lost", check: lost::check, bytes_max: 32 },
    Target { name: "netlink", check: netlink::check, bytes_max: 4096 },
    Target { name: "network", check: network::check, bytes_max: 400 },
    Target { name: "pstore", check: pstore::check, bytes_max: 4096 },
    Target { name: "record", check: record::check, bytes_max: 8192 },
    Target { name: "rtnetlink", check: rtnetlink::check, bytes_max: 2048 },
    Target { name: "sockets", check: sockets::check, bytes_max: 4096 },
    Target { name: "syslog", check: syslog::check, bytes_max: 8192 },
    Target { name: "tags", check: tags::check, bytes_max: 900 },
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Bytes taken as numbers, for targets that are fed with operations. When they are used up there is nothing more.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a>(pub &'a [u8]);

impl Input<'_> {
    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_le_bytes)
    }

    /// Two bytes, the lower one first.
    pub fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    /// Eight bytes, the lowest one first.
    pub fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    /// Eight bytes with a sign.
    pub fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }
}
