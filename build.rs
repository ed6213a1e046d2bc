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
    // The dev profile of `core` refers to the unwinder's personality; nothing unwinds here.
    arg("-Wl,--defsym=rust_eh_personality=0");
    // No identifier that differs from build to build.
    arg("-Wl,--build-id=none");
    // One segment for code and constants instead of two padded ones: 7 KiB less.
    arg("-Wl,-z,noseparate-code");
    // All relocations are done at the start and made read-only.
    arg("-Wl,-z,relro,-z,now");
    // Data is never run as code.
    arg("-Wl,-z,noexecstack");
    // Nothing unwinds, and nothing links to the program: no tables for it. 12 KiB less.
    arg("-Wl,--no-eh-frame-hdr");
    println!("cargo:rerun-if-changed=left-out.ld");
    arg("-T"); // a word of its own: in -Wl a comma in the path would end it
    arg(concat!(env!("CARGO_MANIFEST_DIR"), "/left-out.ld"));
    // A musl target brings its own start files, which `src/sys/start.rs` then uses; it only has to be told to link the
    // C library.
    if var("CARGO_CFG_TARGET_ENV") == "musl" {
        arg("-lc");
        return;
    }

    let arch = var("CARGO_CFG_TARGET_ARCH");
    let musl = format!("/usr/lib/{arch}-linux-musl");
    println!("cargo:rerun-if-changed={musl}/libc.a");
    if !Path::new(&musl).join("libc.a").exists() {
        fail(&format!(
            "{musl}/libc.a not found: the program is linked against musl; \
             install it (Debian: apt-get install musl-tools)"
        ));
    }
    // Neither the start files (`src/sys/start.rs` is ours) nor the libraries of the host's C library.
    arg("-nostartfiles");
    arg("-nostdlib");
    // No interpreter, no shared library, at a random address.
    arg("-static-pie");
    // The list of places that hold addresses has a bit for each instead of 24 bytes: 0.3 KiB less. Our start reads it,
    // musl's does not.
    arg("-Wl,-z,pack-relative-relocs");
    // musl's library, by full path, so that no search path can find another's.
    arg(&format!("{musl}/libc.a"));
}

fn arg(flag: &str) {
    println!("cargo:rustc-link-arg-bins={flag}");
}

fn fail(why: &str) -> ! {
    println!("cargo:error={why}");
    exit(1);
}
