//! What a boot is: one value, and the QEMU command that comes of it.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::child::dying_with_us;
use crate::error::{Error, Result};
use crate::guest::Guest;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::program::target_dir;
use crate::slots::Slot;

/// A boot: all that the machine is made of. Nothing happens before [`Boot::start`].
#[derive(Clone, Debug)]
pub struct Boot {
    machine: Machine,
    source: Source,
    image: Vec<u8>,
    words: Vec<String>,
    memory_mib: u32,
    network: bool,
    reboots: bool,
    qemu_arguments: Vec<String>,
}

/// Where a machine gets its kernel from.
#[derive(Clone, Debug)]
enum Source {
    /// QEMU loads it.
    Kernel(PathBuf),
    /// Its BIOS (iPXE), from a folder.
    Network(PathBuf),
    /// Its UEFI firmware, from a disk.
    Firmware { disk: PathBuf },
}

impl Boot {
    /// A machine of 256 MiB with a network card and a quiet serial console, which stops at a reset. Its
    /// image is one archive or several, one behind the other.
    #[must_use]
    pub fn new(kernel: &Kernel, image: impl Into<Vec<u8>>) -> Boot {
        Boot {
            machine: kernel.machine,
            source: Source::Kernel(kernel.vmlinuz.clone()),
            image: image.into(),
            words: vec![kernel.machine.kernel_words.to_owned()],
            memory_mib: 256,
            network: true,
            reboots: false,
            qemu_arguments: Vec::new(),
        }
    }

    /// A PC that has nothing but a network card: its firmware (iPXE) is given `boot.ipxe` of a folder, and all
    /// files there by TFTP. What the kernel is told stands in that script.
    #[must_use]
    pub fn from_network(folder: &Path) -> Boot {
        Boot::by_itself(Machine::AMD64, Source::Network(folder.to_owned()))
    }

    /// A machine that has UEFI firmware and a disk with an EFI system partition. What the kernel is told stands there.
    #[must_use]
    pub fn from_firmware(machine: Machine, disk: &Path) -> Boot {
        Boot::by_itself(machine, Source::Firmware { disk: disk.to_owned() })
    }

    fn by_itself(machine: Machine, source: Source) -> Boot {
        Boot {
            machine,
            source,
            image: Vec::new(),
            words: Vec::new(),
            memory_mib: 512,
            network: true,
            reboots: false,
            qemu_arguments: Vec::new(),
        }
    }

    /// One more word, or several, at the end of the kernel's command line.
    #[must_use]
    pub fn word(mut self, word: impl Into<String>) -> Boot {
        self.words.push(word.into());
        self
    }

    /// What the kernel starts from the image: `rdinit=`.
    #[must_use]
    pub fn rdinit(self, path: &str) -> Boot {
        self.word(format!("rdinit={path}"))
    }

    /// All that the kernel says goes to the console too, not only what is urgent.
    #[must_use]
    pub fn loud(self) -> Boot {
        self.word("ignore_loglevel")
    }

    /// The size of the machine.
    #[must_use]
    pub fn memory_mib(mut self, size: u32) -> Boot {
        self.memory_mib = size;
        self
    }

    /// No network card at all.
    #[must_use]
    pub fn without_network(mut self) -> Boot {
        self.network = false;
        self
    }

    /// At a reset it starts again, with what is in its memory.
    #[must_use]
    pub fn reboots(mut self) -> Boot {
        self.reboots = true;
        self
    }

    /// One more argument for QEMU.
    #[must_use]
    pub fn qemu_argument(mut self, argument: impl Into<String>) -> Boot {
        self.qemu_arguments.push(argument.into());
        self
    }

    /// Starts the machine, as soon as fewer than two others run.
    ///
    /// # Errors
    /// That QEMU is not there or its image could not be handed over.
    pub fn start(&self) -> Result<Guest> {
        let command_line = self.words.join(" ");
        if command_line.len() >= self.machine.command_line_bytes_max {
            return Err(Error::new(format!("a command line that the kernel does not take: {command_line}")));
        }
        let slot = Slot::take()?;
        let image = self.image_file()?;
        let mut command = self.command(&image);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(Error::at(format!("unable to start {}", self.machine.qemu())))?;
        Ok(Guest::watch(child, image, slot))
    }

    fn command(&self, image: &File) -> Command {
        let mut command = dying_with_us(&self.machine.qemu());
        // KVM may be there and hang; emulation is the same everywhere.
        command.args(self.machine.qemu_arguments);
        command.args(["-accel", "tcg", "-nodefaults"]);
        if !self.reboots {
            command.arg("-no-reboot");
        }
        command.args(["-display", "none", "-serial", "stdio"]);
        command.args(["-m", &self.memory_mib.to_string()]);
        match &self.source {
            Source::Kernel(kernel) => {
                command.arg("-kernel").arg(kernel);
                command.args(["-initrd", &format!("/proc/{}/fd/{}", std::process::id(), image.as_raw_fd())]);
                command.args(["-append", &self.words.join(" ")]);
            }
            Source::Network(folder) => {
                let network = format!("user,id=net0,tftp={},bootfile=boot.ipxe", folder.display());
                command.args(["-netdev", &network, "-device", "virtio-net-pci,netdev=net0", "-boot", "n"]);
                command.args(&self.qemu_arguments);
                return command;
            }
            Source::Firmware { disk } => {
                for firmware in self.machine.firmware.iter().flatten() {
                    let drive = format!("if=pflash,format=raw,snapshot=on,file={firmware}");
                    command.args(["-drive", &drive]);
                }
                let drive = format!("if=virtio,format=raw,snapshot=on,file={}", disk.display());
                command.args(["-drive", &drive]);
            }
        }
        if self.network {
            command.args(["-netdev", "user,id=net0", "-device", "virtio-net-pci,netdev=net0,romfile="]);
        }
        command.args(&self.qemu_arguments);
        command
    }

    /// The image in a file without a name: nothing to remove, whatever happens.
    fn image_file(&self) -> Result<File> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = target_dir().join("qemu").join(format!("image.{}.{number}", std::process::id()));
        let step = || format!("unable to write {}", path.display());
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(Error::at(step()))?;
        fs::remove_file(&path).map_err(Error::at(step()))?;
        file.write_all(&self.image).map_err(Error::at(step()))?;
        Ok(file)
    }
}
