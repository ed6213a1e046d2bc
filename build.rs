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
    // The dev profile of `core` refers to the unwinder's personality; nothing unwinds here.
    arg("-Wl,--defsym=rust_eh_personality=0");
    // No identifier that differs from build to build.
    arg("-Wl,--build-id=none");
    // All relocations are done at the start and made read-only.
    arg("-Wl,-z,relro,-z,now");
    // Data is never run as code.
    arg("-Wl,-z,noexecstack");
    // No tables for unwinding: 19 KiB less.
    println!("cargo:rerun-if-changed=left-out.ld");
    arg("-T"); // a word of its own: in -Wl a comma in the path would end it
    arg(concat!(env!("CARGO_MANIFEST_DIR"), "/left-out.ld"));
    // A musl target brings its own start files, and only has to be told to link the C library.
    if var("CARGO_CFG_TARGET_ENV") == "musl" {
        arg("-lc");
        return;
    }

    let musl = format!("/usr/lib/{arch}-linux-musl");
    println!("cargo:rerun-if-changed={musl}/libc.a");
    if !Path::new(&musl).join("libc.a").exists() {
        fail(&format!(
            "{musl}/libc.a not found: the program is linked against musl; \
             install it (Debian: apt-get install musl-tools)"
        ));
    }
    // Neither the start files nor the libraries of the host's C library.
    arg("-nostartfiles");
    arg("-nostdlib");
    // No interpreter, no shared library, at a random address.
    arg("-static-pie");
    // musl's start files and library, by full path, so that no search path can find another's.
    for file in ["rcrt1.o", "crti.o", "libc.a", "crtn.o"] {
        arg(&format!("{musl}/{file}"));
    }
}

fn arg(flag: &str) {
    println!("cargo:rustc-link-arg-bins={flag}");
}

fn fail(why: &str) -> ! {
    println!("cargo:error={why}");
    exit(1);
}
