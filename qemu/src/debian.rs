//! A Debian with systemd: made once by mmdebstrap, from its packages to a disk, and started by the initramfs that it
//! makes for itself.

use core::hash::{Hash, Hasher};
use core::sync::atomic::{AtomicUsize, Ordering};
use std::fs::{self, File};
use std::hash::DefaultHasher;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::boot::Boot;
use crate::child::dying_with_us;
use crate::error::{Error, Result};
use crate::kernel::{Kernel, list, run};
use crate::program::{guest_tool, target_dir, workspace};

/// Who made the initramfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// Debian's own: shell scripts and busybox.
    InitramfsTools,
    /// dracut: systemd in the initramfs too.
    Dracut,
}

impl Maker {
    /// The maker's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Maker::InitramfsTools => "initramfs-tools",
            Maker::Dracut => "dracut",
        }
    }
}

/// A disk with a Debian whose rsyslog delivers the kernel's log to where the command line says, and that runs what is
/// typed on its console ([`crate::Guest::type_line`]) when it stands at READY.
#[derive(Debug)]
pub struct Debian {
    kernel: Kernel,
    folder: PathBuf,
    /// A disk of its own, gone with this value.
    own_disk: Option<PathBuf>,
}

impl Drop for Debian {
    fn drop(&mut self) {
        if let Some(disk) = &self.own_disk {
            let _ = fs::remove_file(disk);
        }
    }
}

impl Debian {
    /// The disk for a kernel. The first caller makes it below `target/qemu/debian`, which takes a minute and root; what
    /// was made by the same recipe is taken as it is.
    ///
    /// # Errors
    /// What of making it failed.
    pub fn with(kernel: &Kernel) -> Result<Debian> {
        let home = target_dir().join("qemu/debian");
        fs::create_dir_all(&home).map_err(Error::at(format!("unable to make {}", home.display())))?;
        let lock = home.join("lock");
        let lock_file =
            File::create(&lock).map_err(Error::at(format!("unable to make {}", lock.display())))?;
        lock_file.lock().map_err(Error::at(format!("unable to lock {}", lock.display())))?;
        let folder = home.join(recipe(kernel)?);
        if !folder.exists() {
            make(kernel, &home, &folder)?;
        }
        Ok(Debian { kernel: kernel.clone(), folder, own_disk: None })
    }

    /// The same with a file on its disk, in a folder that is there.
    ///
    /// # Errors
    /// That the disk could not be copied or written.
    pub fn and_file(mut self, path: &str, content: &[u8], mode: u32) -> Result<Debian> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let own = |what: &str| self.folder.join(format!("{what}.{}.{number}", std::process::id()));
        let file = own("file");
        fs::write(&file, content).map_err(Error::at(format!("unable to write {}", file.display())))?;
        let disk = match &self.own_disk {
            Some(disk) => disk.clone(),
            None => {
                let disk = own("root");
                let copied = run(Command::new("cp")
                    .args(["--sparse=always", "--reflink=auto"])
                    .arg(self.folder.join("root.img"))
                    .arg(&disk));
                self.own_disk = Some(disk.clone());
                copied?;
                disk
            }
        };
        for order in
            [format!("write {} {path}", file.display()), format!("set_inode_field {path} mode 0100{mode:o}")]
        {
            run(Command::new("debugfs").args(["-w", "-R", &order]).arg(&disk))?;
        }
        fs::remove_file(&file).map_err(Error::at(format!("unable to remove {}", file.display())))?;
        Ok(self)
    }

    /// A boot by the initramfs of one maker with these archives behind it. What the machine writes to its disk is
    /// gone with it.
    ///
    /// # Errors
    /// That the initramfs cannot be read.
    pub fn boot(&self, maker: Maker, overlay: &[u8]) -> Result<Boot> {
        let boot = self.boot_without_network(maker, overlay)?;
        Ok(boot.word("net.ifnames=0 rd.neednet=1 ip=10.0.2.15::10.0.2.2:255.255.255.0::eth0:off"))
    }

    /// The same without a word about the network.
    ///
    /// # Errors
    /// As [`Debian::boot`].
    pub fn boot_without_network(&self, maker: Maker, overlay: &[u8]) -> Result<Boot> {
        let path = self.folder.join(format!("{}.img", maker.name()));
        let mut image = fs::read(&path).map_err(Error::at(format!("unable to read {}", path.display())))?;
        image.extend(overlay);
        let disk = self.own_disk.clone().unwrap_or_else(|| self.folder.join("root.img"));
        Ok(Boot::new(&self.kernel, image)
            .memory_mib(512)
            .word("root=/dev/vda rw")
            .qemu_argument("-drive")
            .qemu_argument(format!("file={},format=raw,if=virtio,snapshot=on", disk.display())))
    }
}

pub(crate) fn guest_folder() -> PathBuf {
    workspace().join("qemu/guest")
}

/// A name for what is made of these files and this kernel.
fn recipe(kernel: &Kernel) -> Result<String> {
    let mut hash = DefaultHasher::new();
    kernel.release.hash(&mut hash);
    hash_below(&guest_folder().join("debian"), &mut hash)?;
    for name in ["steps.sh", "tool.c"] {
        hash_below(&guest_folder().join(name), &mut hash)?;
    }
    Ok(format!("{:016x}", hash.finish()))
}

/// A file, or all files below a folder, with their names.
pub(crate) fn hash_below(path: &Path, hash: &mut DefaultHasher) -> Result<()> {
    path.file_name().hash(hash);
    if path.is_dir() {
        return list(path)?.iter().try_for_each(|path| hash_below(path, hash));
    }
    fs::read(path).map_err(Error::at(format!("unable to read {}", path.display())))?.hash(hash);
    Ok(())
}

fn make(kernel: &Kernel, home: &Path, folder: &Path) -> Result<()> {
    // Of other recipes, and of one that was broken off.
    for old in list(home)?.iter().filter(|path| path.is_dir()) {
        fs::remove_dir_all(old).map_err(Error::at(format!("unable to remove {}", old.display())))?;
    }
    let part = home.join("part");
    let tool = part.join("tool");
    fs::create_dir_all(&part).map_err(Error::at(format!("unable to make {}", part.display())))?;
    fs::write(&tool, guest_tool()?).map_err(Error::at(format!("unable to write {}", tool.display())))?;
    // Whatever is mounted in the making is gone with the last of its processes.
    let mut command = dying_with_us("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--"]);
    command.arg(guest_folder().join("debian/make.sh"));
    command.arg(&kernel.folder).arg(&kernel.release).arg(&tool).arg(&part);
    run(&mut command).map_err(Error::at("unable to make a Debian"))?;
    fs::rename(&part, folder).map_err(Error::at(format!("unable to make {}", folder.display())))
}
