//! What this machine says of itself, for those who have asked for it with a tag.
//!
//! What needs privilege is read once, by the watcher, before it gives that up. What can change, the name of the machine
//! and the interface that leads to the destination, the shipper looks at itself.

use core::ffi::CStr;

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::read;
use rustix::system::uname;

use crate::address::Address;
use crate::boot::kernel_fs::{KernelFs, sysfs};
use crate::cmdline::Options;
use crate::limits::{ANSWERS_BYTES, FACT_BYTES_MAX};
use crate::line::{Encoder, Extra};
use crate::news::tell_hardware;
use crate::tags::{Fact, Facts};
use crate::words::Line;

/// Learns what can be known of the machine at the start, if there is a tag.
#[inline(never)]
pub fn learn(facts: &mut Facts, options: &Options<'_>, reach: &KernelFs) {
    if !options.has_tags() {
        return;
    }
    facts.set(Fact::Hostname, options.hostname);
    facts.set(Fact::Kernel, uname().release().to_bytes());
    take(facts, Fact::BootId, reach.open_proc(c"sys/kernel/random/boot_id", OFlags::RDONLY).ok());
    let Some(sys) = sysfs() else { return };
    const DEVICE_TREE: &CStr = c"firmware/devicetree/base/serial-number";
    // Where there is no SMBIOS there may be a device tree; what is said last counts.
    for (fact, path) in &[
        (Fact::Uuid, DEVICE_TREE),
        (Fact::Serial, DEVICE_TREE),
        (Fact::Uuid, c"class/dmi/id/product_uuid"),
        (Fact::Serial, c"class/dmi/id/product_serial"),
    ] {
        take(facts, *fact, openat(&sys, *path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok());
    }
}

#[inline(never)]
fn take(facts: &mut Facts, fact: Fact, file: Option<OwnedFd>) {
    let mut said = [0; 2 * FACT_BYTES_MAX];
    // What says nothing is no answer.
    if let Some(file) = file
        && let Ok(len @ 1..) = read(file, &mut said)
    {
        facts.set(fact, &said[..len]);
    }
}

/// The members that one destination wants besides Talos's, and what is known for them.
pub struct Identity<'a> {
    extra: Extra,
    words: [&'a [u8]; 2],
    facts: &'a mut Facts,
    /// How many tags had no room, at most.
    left_out: u64,
}

impl<'a> Identity<'a> {
    /// Of the destination at this place of the list.
    pub fn new(options: &Options<'a>, destination: usize, facts: &'a mut Facts) -> Identity<'a> {
        Identity { extra: options.extra, words: options.tags(destination), facts, left_out: 0 }
    }

    /// Looks at the machine's name again. Returns whether that is news.
    #[inline(never)]
    pub fn look(&mut self) -> bool {
        if self.is_nobodys() {
            return false;
        }
        let name = uname();
        let name = name.nodename().to_bytes();
        // As long as it has none, there may be one of the command line's.
        name != b"(none)" && self.facts.set(Fact::Hostname, name)
    }

    /// Looks at the interface that leads to an address. Returns whether that is news.
    #[inline(never)]
    pub fn look_at_way(&mut self, to: Address, answers: &mut [u8; ANSWERS_BYTES]) -> bool {
        if self.is_nobodys() {
            return false;
        }
        let mut line = Line::new();
        tell_hardware(to, &mut line, answers);
        // Without the colon before the first.
        self.facts.set(Fact::Mac, line.bytes().get(1..).unwrap_or_default())
    }

    /// Has the encoder write the members as they are now. Returns how many tags have no room, if they are more than
    /// there ever were.
    pub fn tell(&mut self, encoder: &mut Encoder) -> u64 {
        let left_out = encoder.set(self.extra, self.words, self.facts);
        if left_out <= self.left_out {
            return 0;
        }
        self.left_out = left_out;
        left_out
    }

    /// There are no tags.
    fn is_nobodys(&self) -> bool {
        self.words == [b""; 2]
    }
}
