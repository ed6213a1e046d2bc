//! Debian's kernels: downloaded once, unpacked beside the builds, never installed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::program::fetched;

/// What QEMU's network card needs; what these need in turn, they say themselves.
const NETWORK_MODULES: [&str; 2] = ["virtio_pci", "virtio_net"];

/// What spoils a network: loss, delay, order.
const NETEM_MODULES: [&str; 1] = ["sch_netem"];

/// A kernel that QEMU can start, and its modules for networks.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The machine that it is for.
    pub machine: Machine,
    /// The compressed kernel.
    pub vmlinuz: PathBuf,
    /// The unpacked package.
    pub folder: PathBuf,
    /// The version as `uname -r` has it.
    pub release: String,
    /// The drivers of QEMU's network card, in the order of loading; those built in are left out.
    pub network_modules: Vec<Module>,
    /// What `tc qdisc add … netem` takes, in the order of loading.
    pub netem_modules: Vec<Module>,
}

/// A kernel module, not compressed.
#[derive(Clone, Debug)]
pub struct Module {
    /// Such as `virtio_net`.
    pub name: String,
    /// What `insmod` takes.
    pub bytes: Vec<u8>,
}

impl Kernel {
    /// Debian's present cloud kernel for the processor of this machine.
    ///
    /// # Errors
    /// As [`Kernel::of`].
    pub fn debian() -> Result<Kernel> {
        Kernel::of(Machine::here())
    }

    /// Debian's present kernel for a machine. The first caller downloads and unpacks it below `target/debian`, the
    /// others wait for that; a folder that is there is taken as it is, without a question to the network (remove it to
    /// get a newer kernel).
    ///
    /// # Errors
    /// What of fetching and unpacking failed.
    pub fn of(machine: Machine) -> Result<Kernel> {
        let package = format!("{}/linux-image-", machine.kernel_package);
        let name = format!("kernel-{}", machine.name);
        Kernel::unpacked(machine, &fetched(machine, &name, &[&package])?)
    }

    /// A kernel of one's own: an unpacked package, or a `vmlinuz` whose modules are installed on this machine. One
    /// without modules has its drivers built in.
    ///
    /// # Errors
    /// That it is neither.
    pub fn at(machine: Machine, path: &Path) -> Result<Kernel> {
        if path.is_dir() {
            return Kernel::unpacked(machine, path);
        }
        let step = || format!("unable to read {}", path.display());
        let image = fs::read(path).map_err(Error::at(step()))?;
        if machine.architecture != Machine::AMD64.architecture {
            let why =
                format!("{}: for {}, take a folder with an unpacked package", path.display(), machine.name);
            return Err(Error::new(why));
        }
        let release = release_of(&image)
            .ok_or_else(|| Error::new(format!("{}: no kernel for x86 (a bzImage)", path.display())))?;
        let folder = Path::new("/");
        let modules_dir = Path::new("/lib/modules").join(&release);
        let (mut network_modules, mut netem_modules) = (Vec::new(), Vec::new());
        if modules_dir.exists() {
            network_modules = read_modules(&modules_dir, &NETWORK_MODULES)?;
            netem_modules = read_modules(&modules_dir, &NETEM_MODULES).unwrap_or_default();
        }
        Ok(Kernel {
            machine,
            vmlinuz: path.to_owned(),
            folder: folder.to_owned(),
            release,
            network_modules,
            netem_modules,
        })
    }

    /// A kernel package that was unpacked into a folder by `dpkg -x`.
    ///
    /// # Errors
    /// What of a kernel and its modules is not there.
    pub fn unpacked(machine: Machine, folder: &Path) -> Result<Kernel> {
        let boot = folder.join("boot");
        let kernels = list(&boot)?;
        let vmlinuz = kernels
            .into_iter()
            .find(|path| release_in(path).is_some())
            .ok_or_else(|| Error::new(format!("no vmlinuz in {}", boot.display())))?;
        let release = release_in(&vmlinuz).unwrap_or_default();
        let modules_dir = modules_dir(folder, &release);
        let network_modules = read_modules(&modules_dir, &NETWORK_MODULES)?;
        let netem_modules = read_modules(&modules_dir, &NETEM_MODULES)?;
        Ok(Kernel { machine, vmlinuz, folder: folder.to_owned(), release, network_modules, netem_modules })
    }

    /// Other modules of an unpacked kernel, each behind those that it depends on.
    ///
    /// # Errors
    /// That one of them is not there.
    pub fn modules(&self, wanted: &[&str]) -> Result<Vec<Module>> {
        read_modules(&modules_dir(&self.folder, &self.release), wanted)
    }
}

impl Kernel {
    /// The files of modules and of those that they need, with the lists that `depmod` would make of them: each with its
    /// path below `/lib/modules/RELEASE`. What is built in has no file.
    ///
    /// # Errors
    /// That one cannot be read.
    pub fn tree_of_modules(&self, names: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
        let dir = modules_dir(&self.folder, &self.release);
        let mut files = BTreeMap::new();
        if dir.exists() {
            find_modules(&dir.join("kernel"), &mut files)?;
        }
        let (mut tree, mut dep, mut alias) = (Vec::new(), String::new(), String::new());
        let mut wanted: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut done = Vec::new();
        while let Some(name) = wanted.pop() {
            let Some(path) = files.get(&name).filter(|_| !done.contains(&name)) else { continue };
            let below = |path: &Path| path.strip_prefix(&dir).unwrap_or(path).display().to_string();
            let mut needs = Vec::new();
            find_needs(&name, &files, &mut needs)?;
            // What all others need stands last.
            let files_needed = needs.iter().rev().map(|need| format!(" {}", below(&files[need])));
            dep.push_str(&format!("{}:{}\n", below(path), files_needed.collect::<String>()));
            for pattern in strings_of(&read_module(path)?, b"alias=") {
                alias.push_str(&format!("alias {pattern} {name}\n"));
            }
            let bytes = fs::read(path).map_err(Error::at(format!("unable to read {}", path.display())))?;
            tree.push((below(path), bytes));
            wanted.extend(needs);
            done.push(name);
        }
        tree.push(("modules.dep".to_owned(), dep.into_bytes()));
        tree.push(("modules.alias".to_owned(), alias.into_bytes()));
        Ok(tree)
    }
}

/// The modules that one needs and that are no part of the kernel, in the order of loading.
fn find_needs(name: &str, files: &BTreeMap<String, PathBuf>, needs: &mut Vec<String>) -> Result<()> {
    for need in dependencies(&read_module(&files[name])?) {
        if files.contains_key(&need) && !needs.contains(&need) {
            find_needs(&need, files, needs)?;
            needs.push(need);
        }
    }
    Ok(())
}

/// What a module says of itself under one name.
fn strings_of(module: &[u8], start: &[u8]) -> Vec<String> {
    let strings = module.split(|byte| *byte == 0).filter_map(|string| string.strip_prefix(start));
    strings.map(|string| String::from_utf8_lossy(string).into_owned()).collect()
}

/// Where an unpacked package, or this machine, has the modules of a kernel.
fn modules_dir(folder: &Path, release: &str) -> PathBuf {
    let old = folder.join("lib/modules").join(release);
    if old.exists() { old } else { folder.join("usr/lib/modules").join(release) }
}

/// The release in the header of a bzImage, as the boot protocol of x86 has it.
fn release_of(image: &[u8]) -> Option<String> {
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let offset = usize::from(u16::from_le_bytes(image.get(0x20e..0x210)?.try_into().ok()?)) + 0x200;
    let text = image.get(offset..)?.split(|byte| *byte == 0).next()?;
    let release = str::from_utf8(text).ok()?.split(' ').next()?;
    Some(release.to_owned())
}

/// The release in the name of a kernel, which one for RISC-V has uncompressed.
fn release_in(path: &Path) -> Option<String> {
    let name = name_of(path);
    ["vmlinuz-", "vmlinux-"].iter().find_map(|start| name.strip_prefix(start)).map(str::to_owned)
}

/// The modules wanted, each behind those that it depends on.
fn read_modules(dir: &Path, wanted: &[&str]) -> Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    find_modules(&dir.join("kernel"), &mut files)?;
    let builtin = fs::read_to_string(dir.join("modules.builtin")).unwrap_or_default();
    let mut modules = Vec::new();
    for name in wanted {
        read_with_dependencies(name, &files, &builtin, &mut modules)?;
    }
    Ok(modules)
}

fn read_with_dependencies(
    name: &str,
    files: &BTreeMap<String, PathBuf>,
    builtin: &str,
    modules: &mut Vec<Module>,
) -> Result<()> {
    let is_builtin = || builtin.lines().any(|line| line.ends_with(&format!("/{name}.ko")));
    if modules.iter().any(|module| module.name == name) {
        return Ok(());
    }
    let Some(path) = files.get(name) else {
        return if is_builtin() {
            Ok(())
        } else {
            Err(Error::new(format!("no module {name} for the kernel")))
        };
    };
    let bytes = read_module(path)?;
    for other in dependencies(&bytes) {
        read_with_dependencies(&other, files, builtin, modules)?;
    }
    modules.push(Module { name: name.to_owned(), bytes });
    Ok(())
}

/// The modules that a module names in its `depends=a,b`.
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(start) = module.windows(KEY.len()).position(|bytes| bytes == KEY) else { return Vec::new() };
    let value = module[start + KEY.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(value);
    names.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

/// All modules below a folder, by name.
fn find_modules(dir: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for path in list(dir)? {
        if path.is_dir() {
            find_modules(&path, files)?;
        } else if let Some((name, _)) = name_of(&path).split_once(".ko") {
            files.insert(name.replace('-', "_"), path);
        }
    }
    Ok(())
}

fn read_module(path: &Path) -> Result<Vec<u8>> {
    let unpacker = match path.extension().and_then(|ending| ending.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return fs::read(path).map_err(Error::at(format!("unable to read {}", path.display()))),
    };
    let output = Command::new(unpacker)
        .arg("-dc")
        .arg(path)
        .output()
        .map_err(Error::at(format!("unable to start {unpacker}")))?;
    if !output.status.success() {
        return Err(Error::new(format!("{unpacker} -dc {}: {}", path.display(), output.status)));
    }
    Ok(output.stdout)
}

/// Runs a command to its end and gives what it printed.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().map_err(Error::at(format!("unable to start {name}")))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(Error::new(format!("{command:?}: {}\n{words}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What is in a folder, in a fixed order.
pub(crate) fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let step = || format!("unable to read {}", dir.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::at(step()))? {
        paths.push(entry.map_err(Error::at(step()))?.path());
    }
    paths.sort();
    Ok(paths)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
