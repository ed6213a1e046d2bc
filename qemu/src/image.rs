//! The images that guests start from, in parts that a test puts together:
//!
//! ```text
//! image::standard(&kernel, "echo hello")?            busybox, the network's drivers, an /init for the script
//!     .with(image::earlykmsg()?)                     /earlykmsg, for rdinit=
//! ```

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use earlykmsg_initramfs::{Image, overlay};

use crate::error::{Error, Result};
use crate::kernel::{Kernel, run};
use crate::machine::Machine;
use crate::program;

/// Debian's busybox-static.
const BUSYBOX: &str = "/bin/busybox";

/// An image whose `/init` mounts `/proc`, `/sys` and `/dev`, runs the script and powers off. The script
/// can use the functions of `guest/network.sh` and `guest/steps.sh`, all of busybox, and `guest/tool.c` as
/// `tool`. Until `/init` runs, there is no `/proc`, and nothing in `/dev` but what the kernel brings.
///
/// # Errors
/// That busybox is not there or the tool could not be built.
pub fn standard(kernel: &Kernel, script: &str) -> Result<Image> {
    Ok(busybox_for(kernel.machine)?
        .with(network(kernel))
        .with(tool_for(kernel.machine)?)
        .file("/lib/steps.sh", 0o644, include_str!("../guest/steps.sh"))
        .file("/init", 0o755, include_str!("../guest/init.sh"))
        .file("/script", 0o644, script))
}

/// [`standard`] with a main system to switch to: `make_main_system` lays it out at `/new`, and its init
/// runs the second script.
///
/// # Errors
/// As [`standard`].
pub fn with_main_system(kernel: &Kernel, script: &str, main_script: &str) -> Result<Image> {
    Ok(standard(kernel, script)?.file("/script.main", 0o644, main_script))
}

/// An image that brings no network up and has no drivers: busybox, the tool, both programs, and an `/init` for the script,
/// which can use the functions of `guest/steps.sh`.
///
/// # Errors
/// As [`standard`], or that the programs could not be built.
pub fn bare(script: &str) -> Result<Image> {
    Ok(busybox()?
        .with(tool()?)
        .with(programs()?)
        .dir("/etc")
        .file("/lib/network.sh", 0o644, "")
        .file("/lib/steps.sh", 0o644, include_str!("../guest/steps.sh"))
        .file("/init", 0o755, include_str!("../guest/init.sh"))
        .file("/script", 0o644, script))
}

/// `/earlykmsg`, the release binary for this machine.
///
/// # Errors
/// That it could not be built.
pub fn earlykmsg() -> Result<Image> {
    earlykmsg_for(Machine::here())
}

/// `/earlykmsg` for a machine.
///
/// # Errors
/// That it could not be built.
pub fn earlykmsg_for(machine: Machine) -> Result<Image> {
    Ok(Image::new().file(overlay::PROGRAM, 0o755, program::earlykmsg_for(machine)?))
}

/// `/earlykmsg`, `/earlykmsg.d/network` and `/earlykmsg.d/pstore` for this machine.
///
/// # Errors
/// That they could not be built.
pub fn programs() -> Result<Image> {
    Ok(program::programs()?.image())
}

/// busybox with a link for each of its commands in `/bin`, for this machine.
///
/// # Errors
/// That it is not there, or needs shared libraries.
pub fn busybox() -> Result<Image> {
    busybox_for(Machine::here())
}

/// The same for a machine.
///
/// # Errors
/// As [`busybox`].
pub fn busybox_for(machine: Machine) -> Result<Image> {
    let mut path = program::guest_root(machine)?.join("bin/busybox");
    if !path.exists() {
        path = program::guest_root(machine)?.join("usr/bin/busybox"); // Debian 13's package
    }
    let shown = path.display();
    let bytes = fs::read(&path)
        .map_err(Error::at(format!("unable to read {shown} (Debian: apt-get install busybox-static)")))?;
    if bytes.windows(8).any(|bytes| bytes == b"/ld-linu") {
        return Err(Error::new(format!("{shown} is not static (Debian: apt-get install busybox-static)")));
    }
    let mut image = Image::new();
    // Asked of this machine's own, which can be run.
    for name in run(Command::new(BUSYBOX).arg("--list"))?.lines() {
        image = image.symlink(&format!("/bin/{name}"), "busybox");
    }
    Ok(image.file("/bin/busybox", 0o755, bytes))
}

/// The drivers of the network card and the functions that bring it up.
#[must_use]
pub fn network(kernel: &Kernel) -> Image {
    let mut image = Image::new()
        .file("/lib/network.sh", 0o644, include_str!("../guest/network.sh"))
        .file("/lib/dhcp.sh", 0o755, include_str!("../guest/dhcp.sh"))
        .dir("/etc");
    for (order, module) in kernel.network_modules.iter().enumerate() {
        image = image.file(&format!("/modules/{order:02}-{}.ko", module.name), 0o644, module.bytes.clone());
    }
    image
}

/// Drivers with what they need, where a kernel's own tools put them: `/lib/modules/RELEASE` and its lists.
///
/// # Errors
/// That one of them is not there.
pub fn drivers(kernel: &Kernel, names: &[&str]) -> Result<Image> {
    let mut image = Image::new();
    for (path, bytes) in kernel.tree_of_modules(names)? {
        image = image.file(&format!("/lib/modules/{}/{path}", kernel.release), 0o644, bytes);
    }
    Ok(image)
}

/// What spoils a network, for `netem` of `guest/network.sh`: the module, and this machine's iproute2.
///
/// # Errors
/// That `tc` or `ip` cannot be read.
pub fn netem(kernel: &Kernel) -> Result<Image> {
    let mut image = Image::new();
    for (order, module) in kernel.netem_modules.iter().enumerate() {
        image = image.file(&format!("/netem/{order:02}-{}.ko", module.name), 0o644, module.bytes.clone());
    }
    for program in ["tc", "ip"] {
        // Debian: iproute2. busybox's own, in /bin, know neither netem nor the size of bursts.
        let path = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(|dir| Path::new(dir).join(program));
        let path = path.iter().find(|path| path.exists());
        let path =
            path.ok_or_else(|| Error::new(format!("no {program} here (Debian: apt-get install iproute2)")))?;
        image = image.with(host_program(path, &format!("/netem/{program}"))?);
    }
    Ok(image)
}

/// The tool of `guest/tool.c` in `/bin`, for this machine.
///
/// # Errors
/// That it could not be built.
pub fn tool() -> Result<Image> {
    tool_for(Machine::here())
}

fn tool_for(machine: Machine) -> Result<Image> {
    Ok(Image::new().file("/bin/tool", 0o755, program::guest_tool_for(machine)?))
}

/// A program of this machine at another path, with the libraries that it needs.
///
/// # Errors
/// That it or one of its libraries cannot be read.
pub fn host_program(program: &Path, path: &str) -> Result<Image> {
    let read = |path: &Path| fs::read(path).map_err(Error::at(format!("unable to read {}", path.display())));
    let mut image = Image::new().file(path, 0o755, read(program)?);
    let libraries = run(Command::new("ldd").arg(OsStr::new(program)))?;
    for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
        image = image.file(library, 0o755, read(Path::new(library))?);
    }
    Ok(image)
}
