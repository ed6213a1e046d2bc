//! Links the program as a static musl executable, each flag with its reason; nothing else happens here.
//!
//! The code needs nothing of the Rust target but `core`, which is the same for gnu and musl targets.
//! So the plain `*-linux-gnu` toolchain builds it, and the C library comes from Debian's musl-dev.
//! All flags go to binaries only: tests and build scripts link as they always do.

use std::env;
use std::path::Path;
use std::process::exit;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let var = |name: &str| env::var(name).unwrap_or_default();

    if var("CARGO_CFG_TARGET_OS") != "linux" {
        fail("earlykmsg reads the Linux kernel log and builds for Linux targets only");
    }
    let arch = var("CARGO_CFG_TARGET_ARCH");
    if !["x86_64", "aarch64", "riscv64"].contains(&arch.as_str()) {
        fail(&format!("earlykmsg builds for x86_64, aarch64 and riscv64, not for {arch}"));
    }
    let linker = Linker::from(&var("RUSTC_LINKER"));
    // The dev profile of `core` refers to the unwinder's personality; nothing unwinds here.
    linker.option("--defsym=rust_eh_personality=0");
    // No identifier that differs from build to build.
    linker.option("--build-id=none");
    // All relocations are done at the start and made read-only.
    linker.option("-z relro");
    linker.option("-z now");
    // Data is never run as code.
    linker.option("-z noexecstack");
    // No tables for unwinding: 19 KiB less. Large buffers behind all else.
    println!("cargo:rerun-if-changed=sections.ld");
    arg("-T"); // a word of its own: in -Wl a comma in the path would end it
    arg(concat!(env!("CARGO_MANIFEST_DIR"), "/sections.ld"));
    // A musl target brings its own start files, and only has to be told to link the C library.
    if var("CARGO_CFG_TARGET_ENV") == "musl" {
        // All but this one link static programs unless told otherwise. .cargo/config.toml tells it; RUSTFLAGS replace that.
        let is_static = var("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static");
        if arch == "riscv64" && !is_static {
            fail("the program is static: build it for this target with -C target-feature=+crt-static");
        }
        arg("-lc");
        return;
    }

    println!("cargo:rerun-if-env-changed=EARLYKMSG_MUSL");
    let musl = env::var("EARLYKMSG_MUSL").unwrap_or_else(|_| format!("/usr/lib/{arch}-linux-musl"));
    println!("cargo:rerun-if-changed={musl}/libc.a");
    if !Path::new(&musl).join("libc.a").exists() {
        fail(&format!(
            "{musl}/libc.a not found: the program is linked against musl; install it \
             (Debian: apt-get install musl-tools), or name its folder by EARLYKMSG_MUSL"
        ));
    }
    linker.static_pie();
    // musl's start files and library, by full path, so that no search path can find another's.
    for file in ["rcrt1.o", "crti.o", "libc.a", "crtn.o"] {
        arg(&format!("{musl}/{file}"));
    }
}

/// What links the program.
enum Linker {
    /// A C compiler, which hands words to its linker.
    Compiler,
    /// A linker itself.
    Bare,
}

impl Linker {
    /// By the name of the one that cargo is configured to use: a linker's ends in `ld` (`rust-lld`, `ld.lld`). Without a
    /// name it is the C compiler.
    fn from(path: &str) -> Linker {
        if path.ends_with("ld") { Linker::Bare } else { Linker::Compiler }
    }

    /// An option for the linker, of one word or several.
    fn option(&self, words: &str) {
        match self {
            Linker::Compiler => arg(&format!("-Wl,{}", words.replace(' ', ","))),
            Linker::Bare => words.split(' ').for_each(arg),
        }
    }

    /// At a random address, no shared library, no interpreter.
    fn static_pie(&self) {
        match self {
            // Neither the start files nor the libraries of the host's C library.
            Linker::Compiler => ["-nostartfiles", "-nostdlib", "-static-pie"].into_iter().for_each(arg),
            Linker::Bare => ["-static", "-pie"].into_iter().for_each(arg),
        }
        // GCC 12 for riscv64 names an interpreter all the same.
        self.option("--no-dynamic-linker");
        self.option("-z text");
    }
}

fn arg(flag: &str) {
    println!("cargo:rustc-link-arg-bins={flag}");
}

fn fail(why: &str) -> ! {
    println!("cargo:error={why}");
    exit(1);
}
