//! What is built for a guest: the release binary of earlykmsg, and the tool that tests use inside.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

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

/// The release binary, and never another build: built by `cargo build --release` at the first call.
/// `EARLYKMSG_BIN` names a binary to use instead.
///
/// # Errors
/// The build's own words, or that the file cannot be read.
pub fn earlykmsg() -> Result<Vec<u8>> {
    static PATH: OnceLock<core::result::Result<PathBuf, String>> = OnceLock::new();
    let path = PATH.get_or_init(|| build().map_err(|why| why.to_string()));
    let path = path.as_ref().map_err(Error::new)?;
    fs::read(path).map_err(Error::at(format!("unable to read {}", path.display())))
}

fn build() -> Result<PathBuf> {
    if let Some(path) = env::var_os("EARLYKMSG_BIN") {
        return Ok(path.into());
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--release",
        "--package",
        "earlykmsg",
        "--message-format",
        "json-render-diagnostics",
    ]);
    // What cargo says about this package would be taken for the program's own.
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR" {
            command.env_remove(name);
        }
    }
    let messages = run(command.current_dir(workspace()))?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "earlykmsg")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| Error::new("cargo build --release made no program earlykmsg"))
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

pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in a folder of the workspace")
}
