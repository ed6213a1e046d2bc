//! The kinds of machine that QEMU emulates here: all that differs between processors, as values.

use earlykmsg_initramfs::architecture::Architecture;

/// A kind of machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// What it is called, also in file names.
    pub name: &'static str,
    /// Its processor.
    pub architecture: Architecture,
    /// The board and the processor, as QEMU names them.
    pub(crate) qemu_arguments: &'static [&'static str],
    /// The words that every boot has, its serial port among them. On a PC, the kernel counts timer interrupts at its start,
    /// and panics where the emulated machine does not get the processor for long enough: it is told not to.
    pub kernel_words: &'static str,
    /// What the kernel takes as its command line, the NUL at the end included. QEMU takes more, and then nothing boots.
    pub(crate) command_line_bytes_max: usize,
    /// The suite of Debian that its kernel and its busybox come from: `host` for this machine's own.
    pub(crate) suite: &'static str,
    /// The package that names the present kernel by depending on it.
    pub(crate) kernel_package: &'static str,
    /// Debian's UEFI firmware without Secure Boot, and what it starts from as its variables.
    pub(crate) firmware: Option<[&'static str; 2]>,
    /// The name by which firmware starts a file from a disk.
    pub efi_name: &'static str,
}

impl Machine {
    /// A PC.
    pub const AMD64: Machine = Machine {
        name: "amd64",
        architecture: Architecture::AMD64,
        qemu_arguments: &["-machine", "q35"],
        kernel_words: "console=ttyS0 quiet panic=-1 no_timer_check",
        command_line_bytes_max: 2048,
        suite: "host",
        kernel_package: "linux-image-cloud-amd64",
        firmware: Some(["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"]),
        efi_name: "x64",
    };

    /// A PC with Debian's kernel for all machines.
    pub const AMD64_GENERIC: Machine =
        Machine { name: "amd64-generic", kernel_package: "linux-image-amd64", ..Machine::AMD64 };

    /// The same with that of Debian 13, whose modules are compressed.
    pub const AMD64_GENERIC_13: Machine =
        Machine { name: "amd64-generic-13", suite: "trixie", ..Machine::AMD64_GENERIC };

    /// A server with ARM's processor, pages of 4 KiB.
    pub const ARM64: Machine = Machine {
        name: "arm64",
        architecture: Architecture::ARM64,
        qemu_arguments: &["-machine", "virt", "-cpu", "cortex-a57"],
        kernel_words: "console=ttyAMA0 quiet panic=-1",
        command_line_bytes_max: 2048,
        suite: "host",
        kernel_package: "linux-image-cloud-arm64",
        firmware: Some(["/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"]),
        efi_name: "aa64",
    };

    /// The same with pages of 16 KiB, which only newer processors have.
    pub const ARM64_16K: Machine = Machine {
        name: "arm64-16k",
        qemu_arguments: &["-machine", "virt", "-cpu", "cortex-a76"],
        suite: "trixie",
        kernel_package: "linux-image-arm64-16k",
        ..Machine::ARM64
    };

    /// A server with RISC-V, whose firmware QEMU brings itself. Debian has it since 13.
    pub const RISCV64: Machine = Machine {
        name: "riscv64",
        architecture: Architecture::RISCV64,
        qemu_arguments: &["-machine", "virt"],
        kernel_words: "console=ttyS0 quiet panic=-1",
        command_line_bytes_max: 1024,
        suite: "trixie",
        kernel_package: "linux-image-riscv64",
        firmware: None, // Debian 12 has none
        efi_name: "riscv64",
    };

    /// Those that have a name of their own in commands.
    pub const ALL: [Machine; 4] = [Machine::AMD64, Machine::ARM64, Machine::ARM64_16K, Machine::RISCV64];

    /// One with the processor of this machine.
    #[must_use]
    pub fn here() -> Machine {
        let here = Architecture::here();
        Machine::ALL.into_iter().find(|machine| machine.architecture == here).expect("each has a machine")
    }

    /// Whether what runs in it runs here.
    pub(crate) fn is_native(&self) -> bool {
        self.architecture == Architecture::here()
    }

    /// The QEMU that emulates it.
    pub(crate) fn qemu(&self) -> String {
        format!("qemu-system-{}", self.architecture.machine)
    }
}
