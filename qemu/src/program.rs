//! What is built for a guest: the release binary of earlykmsg, and the tool that tests use inside.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

use earlykmsg_initramfs::overlay::Programs;
use earlykmsg_tests::binary;
pub(crate) use earlykmsg_tests::binary::workspace;

use crate::error::{Error, Result};
use crate::kernel::run;
use crate::machine::Machine;

/// Where cargo builds, and where everything here is kept.
#[must_use]
pub fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => workspace().join(dir),
        None => workspace().join("target"),
    }
}

/// The release binary for this machine, and never another build; `EARLYKMSG_BIN` names a binary to use instead.
///
/// # Errors
/// That the file cannot be read.
pub fn earlykmsg() -> Result<Vec<u8>> {
    earlykmsg_for(Machine::here())
}

/// The release binary for a machine.
///
/// # Errors
/// That the file cannot be read.
pub fn earlykmsg_for(machine: Machine) -> Result<Vec<u8>> {
    let path = path_for(machine);
    fs::read(&path).map_err(Error::at(format!("unable to read {}", path.display())))
}

fn path_for(machine: Machine) -> PathBuf {
    if machine.is_native() {
        binary::earlykmsg().to_owned()
    } else {
        binary::cross(machine.architecture.debian)
    }
}

/// Both programs for this machine: what an overlay is made of.
///
/// # Errors
/// That a file cannot be read.
pub fn programs() -> Result<Programs> {
    programs_for(Machine::here())
}

/// Both programs for a machine.
///
/// # Errors
/// That a file cannot be read.
pub fn programs_for(machine: Machine) -> Result<Programs> {
    Programs::read(&path_for(machine)).map_err(|why| Error::new(why.to_string()))
}

/// The tool that runs inside guests (`guest/tool.c` says what it can do), for this machine.
///
/// # Errors
/// The compiler's own words.
pub fn guest_tool() -> Result<Vec<u8>> {
    guest_tool_for(Machine::here())
}

/// The tool for a machine, built once by each process.
///
/// # Errors
/// The compiler's own words.
pub fn guest_tool_for(machine: Machine) -> Result<Vec<u8>> {
    static TOOLS: Mutex<BTreeMap<&str, Vec<u8>>> = Mutex::new(BTreeMap::new());
    let mut tools = TOOLS.lock().unwrap_or_else(PoisonError::into_inner);
    let name = machine.architecture.debian;
    if !tools.contains_key(name) {
        tools.insert(name, build_tool(machine)?);
    }
    Ok(tools[name].clone())
}

fn build_tool(machine: Machine) -> Result<Vec<u8>> {
    let source = workspace().join("qemu/guest/tool.c");
    let home = target_dir().join("qemu");
    fs::create_dir_all(&home).map_err(Error::at(format!("unable to make {}", home.display())))?;
    let program = home.join(format!("guest-tool.{}.{}", std::process::id(), machine.architecture.debian));
    let name = machine.architecture.machine;
    let musl = guest_root(machine)?.join("usr");
    let library = |file: &str| musl.join(format!("lib/{name}-linux-musl")).join(file);
    let mut compiler = Command::new(format!("{name}-linux-gnu-gcc"));
    compiler.args([
        "-std=gnu11",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Os",
        "-static",
        "-s",
        "-nostdinc",
        "-nostdlib",
    ]);
    compiler.arg("-isystem").arg(musl.join(format!("include/{name}-linux-musl")));
    compiler.args([library("crt1.o"), library("crti.o"), source, library("libc.a")]);
    run(compiler.arg("-lgcc").arg(library("crtn.o")).arg("-o").arg(&program))?;
    let bytes = fs::read(&program).map_err(Error::at(format!("unable to read {}", program.display())));
    let _ = fs::remove_file(&program);
    bytes
}

/// Where the busybox and the musl for a machine are installed, or unpacked.
pub(crate) fn guest_root(machine: Machine) -> Result<PathBuf> {
    if machine.is_native() {
        return Ok("/".into());
    }
    fetched(machine, &format!("guest-{}", machine.name), &["busybox-static", "musl-dev"])
}

/// Where packages of Debian are unpacked, as `tools/cross` does it too.
#[must_use]
pub fn debian_dir() -> PathBuf {
    env::var_os("EARLYKMSG_DEBIAN").map_or_else(|| workspace().join("target/debian"), PathBuf::from)
}

/// A folder with unpacked packages of Debian for a machine, fetched once (`tools/fetch`).
pub(crate) fn fetched(machine: Machine, name: &str, packages: &[&str]) -> Result<PathBuf> {
    let folder = debian_dir().join(name);
    let mut command = Command::new(workspace().join("tools/fetch"));
    run(command.args([machine.suite, machine.architecture.debian]).arg(&folder).args(packages))?;
    Ok(folder)
}
