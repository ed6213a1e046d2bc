//! A Debian that starts itself by what its own packages make: with earlykmsg's package installed, and after it is purged.

use core::hash::{Hash, Hasher};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::DefaultHasher;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::boot::Boot;
use crate::child::dying_with_us;
use crate::debian::{Maker, guest_folder, hash_below};
use crate::error::{Error, Result};
use crate::kernel::{Kernel, list, run};
use crate::machine::Machine;
use crate::program::{guest_tool, target_dir};

/// Which Debian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// Debian 12.
    Bookworm,
    /// Debian 13.
    Trixie,
}

impl Suite {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Suite::Bookworm => "bookworm",
            Suite::Trixie => "trixie",
        }
    }
}

/// A Debian on a disk, whose initramfs was made by the trigger of a package that came, and again when it went.
#[derive(Debug)]
pub struct Installed {
    kernel: Kernel,
    folder: PathBuf,
}

/// When a machine is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// While the package is installed.
    Installed,
    /// After it was purged.
    Purged,
}

impl When {
    fn name(self) -> &'static str {
        match self {
            When::Installed => "installed",
            When::Purged => "purged",
        }
    }
}

impl Installed {
    /// Installs a package and purges it, in a Debian whose initramfs is made by this maker. The first caller makes that
    /// Debian below `target/qemu/installed`, and installs there, which takes two minutes and root; what was made by the same
    /// recipe of the same package is taken as it is.
    ///
    /// # Errors
    /// What of it failed, with the words of the package's tools.
    pub fn with(suite: Suite, maker: Maker, package: &[u8]) -> Result<Installed> {
        let home = target_dir().join("qemu/installed");
        fs::create_dir_all(&home).map_err(Error::at(format!("unable to make {}", home.display())))?;
        let kind = format!("{}-{}", suite.name(), maker.name());
        let lock = home.join(format!("{kind}.lock"));
        let lock_file =
            File::create(&lock).map_err(Error::at(format!("unable to make {}", lock.display())))?;
        lock_file.lock().map_err(Error::at(format!("unable to lock {}", lock.display())))?;

        let base = home.join(format!("{kind}-{}", recipe(&BASE)?));
        if !base.exists() {
            make_whole(&home, &format!("{kind}-"), &base, |part| {
                let tool = part.join("tool");
                fs::write(&tool, guest_tool()?)
                    .map_err(Error::at(format!("unable to write {}", tool.display())))?;
                run(in_namespaces("installed/make.sh")
                    .args([suite.name(), maker.name()])
                    .arg(&tool)
                    .arg(part))
                .map_err(Error::at("unable to make a Debian"))
            })?;
        }
        let mut hash = DefaultHasher::new();
        package.hash(&mut hash);
        hash_below(&guest_folder().join("installed/install.sh"), &mut hash)?;
        let folder = base.join(format!("package-{:016x}", hash.finish()));
        if !folder.exists() {
            make_whole(&base, "package-", &folder, |part| {
                let deb = part.join("earlykmsg.deb");
                fs::write(&deb, package).map_err(Error::at(format!("unable to write {}", deb.display())))?;
                run(in_namespaces("installed/install.sh").arg(&base).arg(&deb).arg(part))
                    .map_err(Error::at("unable to install the package"))
            })?;
        }
        Ok(Installed { kernel: Kernel::at(Machine::AMD64, &base.join("vmlinuz"))?, folder })
    }

    /// What is in the initramfs of one time, as the machine's own tools list it: a line for each file, its name last.
    ///
    /// # Errors
    /// That the list cannot be read.
    pub fn names_in_initramfs(&self, when: When) -> Result<String> {
        let path = self.folder.join(format!("{}.names", when.name()));
        fs::read_to_string(&path).map_err(Error::at(format!("unable to read {}", path.display())))
    }

    /// The paths that purging left behind or took with it, as `diff` has them.
    ///
    /// # Errors
    /// That the list cannot be read.
    pub fn left_after_purge(&self) -> Result<String> {
        let path = self.folder.join("left");
        fs::read_to_string(&path).map_err(Error::at(format!("unable to read {}", path.display())))
    }

    /// A boot as the machine's own boot loader would do it, by the initramfs that lies in its `/boot`. What the machine
    /// writes to its disk is gone with it.
    ///
    /// # Errors
    /// That the initramfs cannot be read.
    pub fn boot(&self, when: When) -> Result<Boot> {
        let path = |ending: &str| self.folder.join(format!("{}.{ending}", when.name()));
        let initramfs = path("initrd");
        let image =
            fs::read(&initramfs).map_err(Error::at(format!("unable to read {}", initramfs.display())))?;
        Ok(Boot::new(&self.kernel, image)
            .memory_mib(512)
            .word("root=/dev/vda rw net.ifnames=0 rd.neednet=1")
            .word("ip=10.0.2.15::10.0.2.2:255.255.255.0::eth0:off")
            .qemu_argument("-drive")
            .qemu_argument(format!("file={},format=raw,if=virtio,snapshot=on", path("img").display())))
    }
}

/// What a Debian is made of.
const BASE: [&str; 5] = ["installed/make.sh", "installed/tree", "debian/tree", "steps.sh", "tool.c"];

/// A name for what is made by these files of the guests' folder.
pub(crate) fn recipe(names: &[&str]) -> Result<String> {
    let mut hash = DefaultHasher::new();
    for name in names {
        hash_below(&guest_folder().join(name), &mut hash)?;
    }
    Ok(format!("{:016x}", hash.finish()))
}

/// Makes a folder: whole, or not at all. Those of its kind that were made before go, they are out of date.
pub(crate) fn make_whole(
    home: &Path,
    kind: &str,
    folder: &Path,
    make: impl FnOnce(&Path) -> Result<String>,
) -> Result<()> {
    let is_old =
        |path: &PathBuf| path.is_dir() && path.file_name().is_some_and(|name| starts_with(name, kind));
    for old in list(home)?.iter().filter(|path| is_old(path)) {
        fs::remove_dir_all(old).map_err(Error::at(format!("unable to remove {}", old.display())))?;
    }
    let part = home.join(format!("{kind}part"));
    fs::create_dir_all(&part).map_err(Error::at(format!("unable to make {}", part.display())))?;
    make(&part)?;
    fs::rename(&part, folder).map_err(Error::at(format!("unable to make {}", folder.display())))
}

fn starts_with(name: &OsStr, start: &str) -> bool {
    name.as_encoded_bytes().starts_with(start.as_bytes())
}

/// A script of the guests' folder. Whatever it mounts is gone with the last of its processes.
pub(crate) fn in_namespaces(script: &str) -> Command {
    let mut command = dying_with_us("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--"]);
    command.arg(guest_folder().join(script));
    command
}
