//! Debians that bring their network up in each of the usual ways, and what became of it: to be compared between two
//! boots that differ in one thing.

use core::time::Duration;
use std::fs::{self, File};
use std::path::PathBuf;

use crate::boot::Boot;
use crate::error::{Error, Result};
use crate::guest::{End, Guest};
use crate::installed::{Suite, in_namespaces, make_whole, recipe};
use crate::kernel::{Kernel, run};
use crate::machine::Machine;
use crate::program::{guest_tool, target_dir};

/// What makes the initramfs, and what is in it for networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starter {
    /// Debian's own.
    InitramfsTools,
    /// The same with dropbear, which asks by DHCP for the initramfs: `IP=dhcp` in a file of its own, on no command line.
    Dropbear,
    /// dracut with its scripts around dhclient.
    DracutLegacy,
    /// dracut with systemd-networkd.
    DracutNetworkd,
}

impl Starter {
    fn name(self) -> &'static str {
        match self {
            Starter::InitramfsTools => "initramfs-tools",
            Starter::Dropbear => "dropbear",
            Starter::DracutLegacy => "dracut-legacy",
            Starter::DracutNetworkd => "dracut-networkd",
        }
    }
}

/// What manages the network of the main system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// ifupdown with dhclient.
    Ifupdown,
    /// systemd-networkd, by DHCP.
    NetworkdDhcp,
    /// systemd-networkd with fixed addresses.
    NetworkdStatic,
    /// NetworkManager without a profile, by DHCP.
    NetworkManagerDhcp,
    /// NetworkManager with profiles of fixed addresses.
    NetworkManagerStatic,
}

impl Manager {
    fn name(self) -> &'static str {
        match self {
            Manager::Ifupdown => "ifupdown",
            Manager::NetworkdDhcp => "networkd-dhcp",
            Manager::NetworkdStatic => "networkd-static",
            Manager::NetworkManagerDhcp => "networkmanager-dhcp",
            Manager::NetworkManagerStatic => "networkmanager-static",
        }
    }
}

/// A Debian with one manager, and the initramfs of each maker.
#[derive(Debug)]
pub struct Networked {
    kernel: Kernel,
    base: PathBuf,
    disk: PathBuf,
}

impl Networked {
    /// The first caller makes the Debian below `target/qemu/matrix`, which takes minutes and root, and the disk for this
    /// manager; what was made by the same recipe is taken as it is.
    ///
    /// # Errors
    /// What of making it failed.
    pub fn with(suite: Suite, manager: Manager) -> Result<Networked> {
        let home = target_dir().join("qemu/matrix");
        fs::create_dir_all(&home).map_err(Error::at(format!("unable to make {}", home.display())))?;
        let lock = home.join(format!("{}.lock", suite.name()));
        let lock_file =
            File::create(&lock).map_err(Error::at(format!("unable to make {}", lock.display())))?;
        lock_file.lock().map_err(Error::at(format!("unable to lock {}", lock.display())))?;
        let kind = format!("{}-", suite.name());
        let base =
            home.join(format!("{kind}{}", recipe(&["matrix/make.sh", "matrix/tree", "steps.sh", "tool.c"])?));
        if !base.exists() {
            make_whole(&home, &kind, &base, |part| {
                let tool = part.join("tool");
                fs::write(&tool, guest_tool()?)
                    .map_err(Error::at(format!("unable to write {}", tool.display())))?;
                run(in_namespaces("matrix/make.sh").arg(suite.name()).arg(&tool).arg(part))
                    .map_err(Error::at("unable to make a Debian"))
            })?;
        }
        let kind = format!("{}-", manager.name());
        let folder = base.join(format!("{kind}{}", recipe(&["matrix/disk.sh", "matrix/disk"])?));
        if !folder.exists() {
            make_whole(&base, &kind, &folder, |part| {
                run(in_namespaces("matrix/disk.sh").arg(&base).arg(manager.name()).arg(part))
                    .map_err(Error::at("unable to make a disk"))
            })?;
        }
        Ok(Networked {
            kernel: Kernel::at(Machine::here(), &base.join("vmlinuz"))?,
            base,
            disk: folder.join("root.img"),
        })
    }

    /// A boot by one initramfs with these archives behind it, with two cards of different drivers. The second one's network
    /// has neither a router nor a name server, else it would be chance which of two is taken. The machine says what became
    /// of its network and switches itself off.
    ///
    /// # Errors
    /// That the initramfs cannot be read.
    pub fn boot(&self, starter: Starter, overlay: &[u8]) -> Result<Boot> {
        let path = self.base.join(format!("{}.initrd", starter.name()));
        let mut image = fs::read(&path).map_err(Error::at(format!("unable to read {}", path.display())))?;
        image.extend(overlay);
        let mut boot = Boot::new(&self.kernel, image)
            .memory_mib(512)
            .without_network()
            .word("root=/dev/vda rw systemd.show_status=no");
        let drive = format!("file={},format=raw,if=virtio,snapshot=on", self.disk.display());
        for arguments in [
            ["-drive", &drive],
            ["-netdev", "user,id=net0,ipv6-prefix=fd00:2::"],
            ["-device", "virtio-net-pci,netdev=net0,romfile=,addr=0x10,mac=52:54:00:12:34:01"],
            ["-netdev", "user,id=net1,net=10.0.3.0/24,ipv6-prefix=fd00:3::,restrict=on"],
            ["-device", "vmxnet3,netdev=net1,romfile=,addr=0x11,mac=52:54:00:12:34:02"],
        ] {
            for argument in arguments {
                boot = boot.qemu_argument(argument);
            }
        }
        Ok(boot)
    }
}

/// What became of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Links, addresses, routes, name servers, failed units, and what the manager says: a line each, sorted.
    pub facts: Vec<String>,
    /// The time from the start of the kernel to network-online.target.
    pub online: Duration,
    /// The same to multi-user.target.
    pub multi_user: Duration,
}

impl Outcome {
    /// Waits until the machine has said it and switched itself off.
    ///
    /// # Errors
    /// That it did not.
    pub fn of(guest: &mut Guest, timeout: Duration) -> Result<Outcome> {
        if guest.wait_exit(timeout)? != End::Off || !guest.console().contains("PROBED") {
            return Err(guest.failure("the machine did not say what became of its network"));
        }
        let time = |mark: &str| {
            let microseconds = guest.report(mark).first().and_then(|text| text.parse().ok());
            microseconds
                .filter(|time| *time != 0)
                .map(Duration::from_micros)
                .ok_or_else(|| guest.failure(&format!("{mark}was not reached")))
        };
        Ok(Outcome {
            facts: guest.report("FACT "),
            online: time("ONLINE ")?,
            multi_user: time("MULTI-USER ")?,
        })
    }
}
