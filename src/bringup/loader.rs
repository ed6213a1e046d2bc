//! The loader: it loads the modules that are named, and the drivers of the network devices that are there.
//!
//! One driver makes new devices, as `virtio_pci` does: so it looks again as long as that helps, and waits a while for what
//! is behind a USB host. It ends then, and the right to load modules with it.

use core::ffi::CStr;

use heapless::Vec;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::CWD;
use rustix::io::{Errno, read};
use rustix::net::{RecvFlags, recv};
use rustix::system::{finit_module, uname};

use super::files::{for_each_line, for_each_name, is_below, open_at, open_below};
use super::rtnl::open_uevents;
use crate::exit;
use crate::kernel_fs::{DIRECTORY, sysfs};
use crate::logger::{info, warn};
use crate::privileges::{Role, drop_to};
use crate::sys::time;
use crate::sys::wait::{Awaited, wait};
use earlykmsg::config::network_words::NetworkWords;
use earlykmsg::drivers::settings::Settings;
use earlykmsg::drivers::{
    Name, for_each_firmware, is_compressed, leads_to_network, matches, may_lead_to_network, name_of,
    name_of_file, read_alias, read_dependencies,
};
use earlykmsg::error::Error;
use earlykmsg::limits::{
    DEVICE_NAME_BYTES_MAX, DEVICES_MS, DEVICES_SETTLE_MS, FILE_PIECE_BYTES, FIRMWARE_STRING_BYTES_MAX,
    MODALIAS_BYTES_MAX, MODULE_LINE_BYTES_MAX, MODULE_OPTIONS_BYTES_MAX, MODULES_MAX,
    SOFT_DEPENDENCIES_DEPTH_MAX, UEVENT_BYTES,
};
use earlykmsg::text::Quoted;

/// A device, and what it says that it is.
struct Device {
    name: Vec<u8, DEVICE_NAME_BYTES_MAX>,
    modalias: Vec<u8, MODALIAS_BYTES_MAX>,
}
/// A line of `modules.dep`.
type Line = Vec<u8, MODULE_LINE_BYTES_MAX>;

/// Where the modules of the image lie, before the release of the kernel.
const MODULES: &[u8] = b"/lib/modules/";
/// Where those lie that are added to it: of one kernel.
const ADDED_MODULES: &[u8] = b"/earlykmsg.d";
/// The folders whose `modprobe.d` says what holds for modules.
const SETTINGS: &[u8] = b"/lib,/usr/lib,/run,/etc";
/// The buses that network devices are on.
const BUSES: &[u8] = b"pci,virtio,vmbus,xen,usb";

struct Loader<'a> {
    sysfs: OwnedFd,
    /// [`MODULES`] and [`ADDED_MODULES`], if they are there.
    folders: Vec<OwnedFd, 2>,
    cmdline: &'a [u8],
    /// Modules that were dealt with, whatever came of it.
    done: Vec<Name, { 4 * MODULES_MAX }>,
    /// A USB host has devices, or will have.
    has_usb: bool,
}

/// Whether a module is loaded because somebody named it, or for a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reason {
    Named,
    ForDevice,
    /// Another one asks for it.
    ForAnother,
}

/// The loader's process. It closes `loading` when it has loaded what is asked for by name. Returns its exit code.
pub fn load_drivers(words: &NetworkWords<'_>, for_devices: bool, loading: OwnedFd) -> i32 {
    let uevents = open_uevents(1);
    let loader = Loader::new(words.cmdline).and_then(|loader| {
        drop_to(Role::Loader)?;
        Ok(loader)
    });
    match loader {
        Ok(mut loader) => {
            loader.load_named(words);
            drop(loading);
            if for_devices {
                loader.load_for_devices(uevents.ok().as_ref().map(AsFd::as_fd));
            }
        }
        Err(error) => warn!("{error}; no driver is loaded"),
    }
    exit::DONE
}

impl<'a> Loader<'a> {
    fn new(cmdline: &'a [u8]) -> Result<Loader<'a>, Error> {
        let sysfs = sysfs().ok_or(earlykmsg::error::Step::ReachSys.failed(Errno::NOENT.raw_os_error()))?;
        let release = uname();
        let images = open_at(CWD, &[MODULES, release.release().to_bytes()], DIRECTORY);
        let added = open_at(CWD, &[ADDED_MODULES], DIRECTORY);
        let folders = [images, added].into_iter().flatten().collect();
        Ok(Loader { sysfs, folders, cmdline, done: Vec::new(), has_usb: false })
    }

    fn load_named(&mut self, words: &NetworkWords<'_>) {
        for name in words.modules.names.split(|&byte| byte == b',').filter(|name| !name.is_empty()) {
            self.load_by_name(name);
        }
        if !words.vlan.is_empty() {
            self.load_by_name(b"8021q");
        }
        if !words.bond.is_empty() {
            self.load_by_name(b"bonding");
        }
        if words.netconsole.is_some()
            && let Some(name) = name_of(b"netconsole")
        {
            // Where it is part of the kernel, there is none.
            self.load(&name, Reason::ForAnother, 0);
        }
    }

    fn load_by_name(&mut self, name: &[u8]) {
        if let Some(name) = name_of(name) {
            self.load(&name, Reason::Named, 0);
        }
    }

    /// Loads drivers as long as that leads to new devices.
    fn load_for_devices(&mut self, uevents: Option<BorrowedFd<'_>>) {
        let until_ms = time::now_ms() + DEVICES_MS;
        loop {
            while self.load_round() {}
            if !self.has_usb || time::now_ms() >= until_ms {
                return;
            }
            wait(&mut [Awaited::input(uevents)], until_ms);
            // Some more come at once.
            wait(&mut [Awaited::NONE], time::now_ms() + DEVICES_SETTLE_MS);
            let mut buffer = [0; UEVENT_BYTES];
            while uevents.is_some_and(|fd| recv(fd, &mut buffer[..], RecvFlags::DONTWAIT).is_ok()) {}
        }
    }

    /// Loads the drivers of the devices that have none. Returns whether any was loaded.
    ///
    /// The order decides on the names that the kernel gives to links. It is that of the devices, PCI's before those that
    /// the drivers of some of them make, as udev has it.
    fn load_round(&mut self) -> bool {
        let mut devices = Vec::<Device, MODULES_MAX>::new();
        for bus in BUSES.split(|&byte| byte == b',') {
            self.find_devices(bus, &mut devices);
        }
        if devices.is_empty() {
            return false;
        }
        // Each with the first of the devices that it is for.
        let mut names = Vec::<(usize, Name), MODULES_MAX>::new();
        for folder in &self.folders {
            for_each_line(folder, b"modules.alias", &mut |line| {
                let Some((pattern, module)) = read_alias(line) else { return };
                if let Some(first) = devices.iter().position(|device| matches(pattern, &device.modalias))
                    && let Some(name) = name_of(module)
                {
                    match names.iter_mut().find(|(_, known)| *known == name) {
                        Some((place, _)) => *place = first.min(*place),
                        None => drop(names.push((first, name))),
                    }
                }
            });
        }
        let mut has_loaded = false;
        for place in 0..devices.len() {
            for (_, name) in names.iter().filter(|(first, _)| *first == place) {
                has_loaded |= self.load(name, Reason::ForDevice, 0);
            }
        }
        has_loaded
    }

    /// Adds the devices of a bus that may lead to a network and have no driver, in the order of their names.
    fn find_devices(&mut self, bus: &[u8], devices: &mut Vec<Device, MODULES_MAX>) {
        let parts = [b"bus/", bus, b"/devices"];
        let Some(folder) = open_at(self.sysfs.as_fd(), &parts, DIRECTORY) else { return };
        let others = devices.len();
        for_each_name(&folder, &mut |name| {
            let mut bytes = [0; MODALIAS_BYTES_MAX];
            let file = open_below(&folder, &[name, b"/modalias"]);
            let len = file.map_or(0, |file| read(&file, &mut bytes).unwrap_or(0));
            let modalias = Vec::from_slice(bytes[..len].trim_ascii_end()).unwrap_or_default();
            self.has_usb |= modalias.starts_with(b"usb:");
            if may_lead_to_network(&modalias)
                && !is_below(&folder, &[name, b"/driver"])
                && let Ok(name) = Vec::from_slice(name)
            {
                let place = others + devices[others..].partition_point(|device| device.name < name);
                let _ = devices.insert(place, Device { name, modalias });
            }
        });
    }

    /// Loads a module and what it needs. Returns whether that was done now.
    fn load(&mut self, name: &Name, reason: Reason, depth: u32) -> bool {
        if self.done.contains(name) || self.is_loaded(name) || self.done.push(name.clone()).is_err() {
            return false;
        }
        let Some((folder, line)) = self.find(name) else {
            if reason == Reason::Named {
                warn!("module {}: not found", Quoted(name));
            }
            return false;
        };
        let Some((file, needs)) = read_dependencies(&line) else { return false };
        if reason == Reason::ForDevice && !leads_to_network(file) {
            return false;
        }
        let settings = self.settings(name);
        let is_forbidden = settings.blacklisted && reason == Reason::ForDevice || settings.needs_command;
        if is_forbidden {
            info!("module {}: not loaded, modprobe.d or the command line says so", Quoted(name));
            return false;
        }
        for before in settings.before.iter().filter(|_| depth < SOFT_DEPENDENCIES_DEPTH_MAX) {
            self.load(before, Reason::ForAnother, depth + 1);
        }
        // The last one is needed by all before it.
        for needed in needs.rsplit(|&byte| byte == b' ').filter(|needed| !needed.is_empty()) {
            if let Some(name) = name_of_file(needed)
                && !self.is_loaded(&name)
            {
                let settings = self.settings(&name);
                self.insert(folder, needed, &name, &settings.options);
            }
        }
        if reason == Reason::ForDevice && !self.has_firmware_of(folder, file) {
            info!("module {}: not loaded, its firmware is missing", Quoted(name));
            return false;
        }
        let mut options = settings.options;
        if name == b"bonding" {
            // Without it, it makes a bond by itself.
            let _ = options.extend_from_slice(b" max_bonds=0");
        }
        let is_loaded = self.insert(folder, file, name, &options);
        for after in settings.after.iter().filter(|_| is_loaded && depth < SOFT_DEPENDENCIES_DEPTH_MAX) {
            self.load(after, Reason::ForAnother, depth + 1);
        }
        is_loaded
    }

    /// Whether the kernel has a module.
    fn is_loaded(&self, name: &Name) -> bool {
        is_below(&self.sysfs, &[b"module/", name])
    }

    /// The folder that has a module, and its line of `modules.dep`.
    fn find(&self, name: &Name) -> Option<(usize, Line)> {
        let mut found = None;
        for (number, folder) in self.folders.iter().enumerate() {
            for_each_line(folder, b"modules.dep", &mut |line| {
                let is_it = || {
                    let (file, _) = read_dependencies(line)?;
                    Some(name_of_file(file)? == *name)
                };
                if found.is_none() && is_it() == Some(true) {
                    found = Line::from_slice(line).ok().map(|line| (number, line));
                }
            });
        }
        found
    }

    fn settings(&self, name: &Name) -> Settings {
        let mut settings = Settings::of(name);
        for folder in &self.folders {
            for_each_line(folder, b"modules.softdep", &mut |line| settings.take_line(line));
        }
        for place in SETTINGS.split(|&byte| byte == b',') {
            let Some(folder) = open_at(CWD, &[place, b"/modprobe.d"], DIRECTORY) else { continue };
            for_each_name(&folder, &mut |name| {
                if name.ends_with(b".conf") {
                    for_each_line(&folder, name, &mut |line| settings.take_line(line));
                }
            });
        }
        settings.take_cmdline(self.cmdline);
        settings
    }

    /// Whether the image has any of the firmware that a driver names: without, it would fail now, and would not be tried
    /// again later. Of a compressed driver nobody knows.
    fn has_firmware_of(&self, folder: usize, file: &[u8]) -> bool {
        if is_compressed(file) {
            return true;
        }
        let Some(module) = open_below(&self.folders[folder], &[file]) else { return true };
        let Some(root) = open_at(CWD, &[b"/lib/firmware"], DIRECTORY) else {
            return !names_firmware(&module, &mut |_| true);
        };
        let mut is_there = false;
        let names_any = names_firmware(&module, &mut |name| {
            is_there |= [&b""[..], b".xz", b".zst"].iter().any(|ending| is_below(&root, &[name, ending]));
            is_there
        });
        is_there || !names_any
    }

    /// Gives a module to the kernel. Returns whether that has it now.
    fn insert(&self, folder: usize, file: &[u8], name: &Name, options: &[u8]) -> bool {
        const COMPRESSED: i32 = 4;
        let Some(module) = open_below(&self.folders[folder], &[file]) else {
            warn!("module {}: its file {} is missing", Quoted(name), Quoted(file));
            return false;
        };
        let mut parameters = Vec::<u8, { MODULE_OPTIONS_BYTES_MAX + 16 }>::new();
        let _ = parameters.extend_from_slice(options);
        let _ = parameters.push(0);
        let flags = if is_compressed(file) { COMPRESSED } else { 0 };
        let parameters = CStr::from_bytes_until_nul(&parameters).unwrap_or_default();
        match finit_module(&module, parameters, flags) {
            Ok(()) | Err(Errno::EXIST) => true,
            Err(errno) => {
                let error = earlykmsg::error::Errno(errno.raw_os_error());
                warn!("module {}: not loaded: {error}", Quoted(name));
                false
            }
        }
    }
}

/// Hands the firmware that a module's file names to `take`, until that returns `true`. Returns whether there was any.
fn names_firmware(module: &OwnedFd, take: &mut dyn FnMut(&[u8]) -> bool) -> bool {
    let mut buffer = [0; FILE_PIECE_BYTES];
    let (mut kept, mut has_any, mut is_enough) = (0, false, false);
    while let Ok(more @ 1..) = read(module, &mut buffer[kept..]) {
        let end = kept + more;
        for_each_firmware(&buffer[..end], &mut |name| {
            has_any = true;
            is_enough = is_enough || take(name);
        });
        if is_enough {
            break;
        }
        // The string that is not complete yet, and the NUL before it; one that is longer is none.
        kept = buffer[..end].iter().rev().position(|&byte| byte == 0).map_or(0, |at| at + 1);
        kept = if kept > FIRMWARE_STRING_BYTES_MAX { 0 } else { kept };
        buffer.copy_within(end - kept..end, 0);
    }
    has_any
}
