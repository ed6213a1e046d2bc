//! Links against musl as the program is (the reasons stand in its `build.rs`): the instructions of its `memcpy` count
//! too, and the host's C library has another one for each kind of processor.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let var = |name: &str| env::var(name).unwrap_or_default();
    arg("-Wl,--defsym=rust_eh_personality=0");
    if var("CARGO_CFG_TARGET_ENV") == "musl" {
        arg("-lc");
        return;
    }
    for flag in ["-nostartfiles", "-nostdlib", "-static-pie"] {
        arg(flag);
    }
    for file in ["rcrt1.o", "crti.o", "libc.a", "crtn.o"] {
        arg(&format!("/usr/lib/{}-linux-musl/{file}", var("CARGO_CFG_TARGET_ARCH")));
    }
}

fn arg(flag: &str) {
    println!("cargo:rustc-link-arg-bins={flag}");
}
