//! The fuzzer: libFuzzer's own `main`, which throws bytes at the target that `EARLYKMSG_FUZZ` names.

#![no_main]

use std::sync::LazyLock;

use earlykmsg_fuzz::{Target, target};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("EARLYKMSG_FUZZ").unwrap_or_default();
    target(&name).unwrap_or_else(|| panic!("EARLYKMSG_FUZZ={name}: no such target"))
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (TARGET.check)(bytes));
