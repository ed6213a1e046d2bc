//! What this machine says of itself, for destinations that asked for it with a tag.
//!
//! What needs privilege is read once, by the watcher, before it gives that up. What can change, the name of the machine
//! and the interface that leads to the destination, the shipper reads itself.

use core::ffi::CStr;

use heapless::String;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat};
use rustix::system::uname;

use crate::kernel_fs::{KernelFs, sysfs};
use crate::net::link_monitor::hardware_address;
use crate::sys::fds::read_into;
use earlykmsg::address::Address;
use earlykmsg::config::Extra;
use earlykmsg::config::Options;
use earlykmsg::config::endpoint::{Endpoint, Format};
use earlykmsg::config::tags::{Fact, Facts};
use earlykmsg::limits::{ANSWERS_BYTES, FACT_BYTES_MAX};
use earlykmsg::line::Encoder;

/// Learns what can be known of the machine at the start: its name, and the rest if there is a tag.
pub fn learn(facts: &mut Facts, options: &Options<'_>, kernel_fs: &KernelFs) {
    const DEVICE_TREE: &CStr = c"firmware/devicetree/base/serial-number";
    facts.set(Fact::Hostname, options.hostname);
    if !options.has_tags() {
        return;
    }
    facts.set(Fact::Kernel, uname().release().to_bytes());
    let boot_id = kernel_fs.open_proc(c"sys/kernel/random/boot_id", OFlags::RDONLY);
    read_fact(facts, Fact::BootId, boot_id.ok());
    let Some(sys) = sysfs() else { return };
    // Where there is no SMBIOS there may be a device tree; the last one that is there counts.
    let open = |path: &CStr| openat(&sys, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok();
    read_fact(facts, Fact::Uuid, open(DEVICE_TREE));
    read_fact(facts, Fact::Serial, open(DEVICE_TREE));
    read_fact(facts, Fact::Uuid, open(c"class/dmi/id/product_uuid"));
    read_fact(facts, Fact::Serial, open(c"class/dmi/id/product_serial"));
}

/// Takes a fact from a file, unless that is empty.
fn read_fact(facts: &mut Facts, fact: Fact, file: Option<OwnedFd>) {
    let mut text = [0; 2 * FACT_BYTES_MAX];
    if let Some(file) = file
        && let Ok(text @ [_, ..]) = read_into(file.as_fd(), &mut text)
    {
        facts.set(fact, text);
    }
}

/// The members that one destination has besides Talos's, and what is known for them.
pub struct Identity<'a> {
    extra: Extra,
    tags: [&'a [u8]; 2],
    facts: &'a mut Facts,
    /// Every line has the machine's name.
    has_hostname: bool,
    /// How many tags were left out, at most.
    left_out: u64,
}

impl<'a> Identity<'a> {
    /// Those of the destination at this position of the list.
    pub fn new(options: &Options<'a>, destination: usize, facts: &'a mut Facts) -> Identity<'a> {
        let is_syslog = |endpoint: &Endpoint<'_>| endpoint.format == Format::Syslog;
        Identity {
            extra: options.extra,
            tags: options.tags(destination),
            facts,
            has_hostname: options.destinations.get(destination).is_some_and(is_syslog),
            left_out: 0,
        }
    }

    /// Reads the machine's name again. Returns whether it has changed.
    pub fn refresh_hostname(&mut self) -> bool {
        if !self.has_hostname && !self.has_tags() {
            return false;
        }
        let name = uname();
        let name = name.nodename().to_bytes();
        // As long as the machine has no name, there may be one on the command line.
        name != b"(none)" && self.facts.set(Fact::Hostname, name)
    }

    /// Reads the hardware address of the interface that leads to an address. Returns whether it has changed.
    pub fn refresh_mac(&mut self, to: Address, answers: &mut [u8; ANSWERS_BYTES]) -> bool {
        if !self.has_tags() {
            return false;
        }
        let mut mac = String::<FACT_BYTES_MAX>::new();
        hardware_address(to, &mut mac, answers);
        self.facts.set(Fact::Mac, mac.as_bytes())
    }

    /// Has the encoder write the tags and the machine's name as they are now. Returns how many tags are left out, if they
    /// are more than ever before.
    pub fn apply(&mut self, encoder: &mut Encoder) -> u64 {
        let left_out = encoder.set(self.extra, self.tags, self.facts);
        if left_out <= self.left_out {
            return 0;
        }
        self.left_out = left_out;
        left_out
    }

    fn has_tags(&self) -> bool {
        self.tags != [b""; 2]
    }
}
