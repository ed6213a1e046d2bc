//! The processors that a release is made for, and what each is called by whom.

use std::io;

/// A processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// As `uname -m`, musl and rpm name it: `x86_64`.
    pub machine: &'static str,
    /// As Debian, Go and thereby Talos name it: `amd64`. Release files are named by it.
    pub debian: &'static str,
    /// The target of the compiler.
    pub rust_target: &'static str,
    /// As an ELF header names it.
    elf: u16,
}

impl Architecture {
    /// Intel's and AMD's with 64 bits.
    pub const AMD64: Architecture =
        Architecture { machine: "x86_64", debian: "amd64", rust_target: "x86_64-unknown-linux-gnu", elf: 62 };
    /// ARM's with 64 bits.
    pub const ARM64: Architecture = Architecture {
        machine: "aarch64",
        debian: "arm64",
        rust_target: "aarch64-unknown-linux-gnu",
        elf: 183,
    };
    /// RISC-V with 64 bits and all that a Debian expects.
    pub const RISCV64: Architecture = Architecture {
        machine: "riscv64",
        debian: "riscv64",
        rust_target: "riscv64gc-unknown-linux-gnu",
        elf: 243,
    };

    /// All for which the program can be built.
    pub const ALL: [Architecture; 3] = [Architecture::AMD64, Architecture::ARM64, Architecture::RISCV64];

    /// That of this machine.
    ///
    /// # Panics
    /// If it is none of them: what is tested here is not made for it.
    #[must_use]
    pub fn here() -> Architecture {
        let found = Architecture::ALL.into_iter().find(|known| known.machine == std::env::consts::ARCH);
        found.expect("a machine that the program is built for")
    }

    /// The one that a program was built for.
    ///
    /// # Errors
    /// That it is none of them.
    pub fn of(program: &[u8]) -> io::Result<Architecture> {
        const MACHINE: core::ops::Range<usize> = 18..20;
        let machine = program.get(MACHINE).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
        let known = Architecture::ALL.into_iter().find(|known| Some(known.elf) == machine);
        known.ok_or_else(|| {
            let names = Architecture::ALL.map(|known| known.machine).join(", ");
            io::Error::new(io::ErrorKind::InvalidData, format!("the program is for none of {names}"))
        })
    }
}
