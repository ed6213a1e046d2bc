//! What is built for a guest: the release binary of earlykmsg, and the tool that tests use inside.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

use earlykmsg_tests::binary;
pub(crate) use earlykmsg_tests::binary::workspace;

use crate::error::{Error, Result};
use crate::kernel::run;

/// Where cargo builds, and where everything here is kept.
#[must_use]
pub fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => workspace().join(dir),
        None => workspace().join("target"),
    }
}

/// The release binary, and never another build; `EARLYKMSG_BIN` names a binary to use instead.
///
/// # Errors
/// That the file cannot be read.
pub fn earlykmsg() -> Result<Vec<u8>> {
    let path = binary::earlykmsg();
    fs::read(path).map_err(Error::at(format!("unable to read {}", path.display())))
}

/// The tool that runs inside guests (`guest/tool.c` says what it can do), built once by musl's compiler.
///
/// # Errors
/// The compiler's own words.
pub fn guest_tool() -> Result<Vec<u8>> {
    static TOOL: OnceLock<core::result::Result<Vec<u8>, String>> = OnceLock::new();
    TOOL.get_or_init(|| build_tool().map_err(|why| why.to_string())).clone().map_err(Error::new)
}

fn build_tool() -> Result<Vec<u8>> {
    let source = workspace().join("qemu/guest/tool.c");
    let home = target_dir().join("qemu");
    fs::create_dir_all(&home).map_err(Error::at(format!("unable to make {}", home.display())))?;
    let program = home.join(format!("guest-tool.{}", std::process::id()));
    let flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Os", "-static", "-s"];
    run(Command::new("musl-gcc").args(flags).arg(&source).arg("-o").arg(&program))?;
    let bytes = fs::read(&program).map_err(Error::at(format!("unable to read {}", program.display())));
    let _ = fs::remove_file(&program);
    bytes
}
