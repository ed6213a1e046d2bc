//! What went into the program, as a CycloneDX bill of materials: the crates that were compiled, with their
//! checksums, Rust's `core`, the C library and the compiler. No time and no random number is in it: the same program
//! has the same bill.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::{env, fs, io};

use serde_json::{Value, json};

use crate::architecture::Architecture;
use crate::at;
use crate::overlay::{Programs, sha256};
use crate::release::{output, workspace};

/// The bill of the programs that were built from this workspace.
///
/// # Errors
/// The step that failed: the program is for no known processor, or `cargo`, `rustc` or the lock file say nothing.
pub fn of(programs: &Programs) -> io::Result<Vec<u8>> {
    let architecture = Architecture::of(&programs.earlykmsg)?;
    let toolchain = Toolchain::of(&architecture)?;
    let rustc = toolchain.rustc()?;
    let base = [rust_library("core", &rustc), toolchain.musl(&architecture)];
    let parts = [("earlykmsg-network", &programs.network[..]), ("earlykmsg-pstore", &programs.pstore[..])];
    bill(&programs.earlykmsg, &parts, ".", "earlykmsg", &rustc, base)
}

/// The bill of the viewer, which was built for this machine: it has Rust's whole library, and the C library of the
/// machine.
///
/// # Errors
/// As [`of`].
pub fn of_viewer(program: &[u8]) -> io::Result<Vec<u8>> {
    let rustc = Toolchain(Vec::new()).rustc()?;
    let base = [rust_library("std", &rustc), glibc(&Architecture::of(program)?)];
    bill(program, &[], "tests", "earlykmsg-view", &rustc, base)
}

/// The bill of a package in the workspace of a folder, with what is linked besides its crates. `parts` are other programs
/// of it.
fn bill(
    program: &[u8],
    parts: &[(&str, &[u8])],
    folder: &str,
    package: &str,
    rustc: &str,
    base: [Value; 2],
) -> io::Result<Vec<u8>> {
    let architecture = Architecture::of(program)?;
    let crates = crates(&architecture, &workspace().join(folder), package)?;
    let [root, libraries @ ..] = &crates[..] else { return Err(unknown("cargo tree names no crate")) };

    let mut needs: BTreeMap<String, BTreeSet<String>> =
        crates.iter().map(|library| (library.reference(), library.needs.clone())).collect();
    for part in &base {
        let reference = part["bom-ref"].as_str().unwrap_or_default().to_owned();
        needs.entry(root.reference()).or_default().insert(reference.clone());
        needs.entry(reference).or_default();
    }
    let mut components: Vec<Value> = libraries.iter().map(Crate::component).collect();
    components.extend(base);
    let part = |(name, program): &(&str, &[u8])| {
        json!({
            "type": "application",
            "name": name,
            "version": root.version,
            "hashes": hashes(&sha256(program)),
            "licenses": licenses(&root.license),
        })
    };
    let edges = needs.iter().map(|(reference, needs)| json!({ "ref": reference, "dependsOn": needs }));
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "tools": { "components": [{ "type": "application", "name": "rustc", "version": rustc }] },
            "component": {
                "type": "application",
                "bom-ref": root.reference(),
                "name": root.name,
                "version": root.version,
                "hashes": hashes(&sha256(program)),
                "licenses": licenses(&root.license),
                "properties": [{ "name": "earlykmsg:processor", "value": architecture.machine }],
                "components": parts.iter().map(part).collect::<Vec<_>>(),
            },
        },
        "components": components,
        "dependencies": edges.collect::<Vec<_>>(),
    });
    Ok(format!("{bill:#}\n").into_bytes())
}

/// A crate that is compiled into the program.
struct Crate {
    name: String,
    version: String,
    license: String,
    /// SHA-256 of the package, as the lock file has it; none for the program's own.
    checksum: Option<String>,
    /// The references of those that it uses itself.
    needs: BTreeSet<String>,
}

impl Crate {
    fn reference(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, self.version)
    }

    fn component(&self) -> Value {
        json!({
            "type": "library",
            "bom-ref": self.reference(),
            "name": self.name,
            "version": self.version,
            "scope": "required",
            "hashes": self.checksum.as_deref().map_or_else(|| json!([]), hashes),
            "licenses": licenses(&self.license),
            "purl": self.reference(),
        })
    }
}

/// The package's own crate first, then all that cargo compiles into it, by name. What comes from this repository is a part
/// of the first.
fn crates(architecture: &Architecture, folder: &Path, package: &str) -> io::Result<Vec<Crate>> {
    let tree = said(
        Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args([
                "tree",
                "--locked",
                "--package",
                package,
                "--edges",
                "normal,no-proc-macro",
                "--no-dedupe",
            ])
            .arg("--manifest-path")
            .arg(folder.join("Cargo.toml"))
            .args(["--prefix", "depth", "--format", "\t{p}\t{l}\t", "--target", architecture.rust_target]),
    )?;
    let lock = folder.join("Cargo.lock");
    let checksums = checksums(&fs::read_to_string(&lock).map_err(at("unable to read", &lock))?);

    let mut crates: BTreeMap<String, Crate> = BTreeMap::new();
    // The references above the line that is read.
    let mut above: Vec<String> = Vec::new();
    for line in tree.lines() {
        let (depth, name, version, license) =
            branch(line).ok_or_else(|| unknown("cargo tree speaks differently"))?;
        let checksum = checksums.get(&(name.to_owned(), version.to_owned())).cloned();
        let found = Crate {
            name: name.to_owned(),
            version: version.to_owned(),
            license: license.to_owned(),
            checksum,
            needs: BTreeSet::new(),
        };
        above.truncate(depth);
        if let (None, Some(root)) = (&found.checksum, above.first()) {
            above.push(root.clone());
            continue;
        }
        let reference = found.reference();
        if let Some(user) = above.last().and_then(|user| crates.get_mut(user)) {
            user.needs.insert(reference.clone());
        }
        crates.entry(reference.clone()).or_insert(found);
        above.push(reference);
    }
    let root = above.first().and_then(|root| crates.remove(root));
    Ok(root.into_iter().chain(crates.into_values()).collect())
}

/// `2⇥hash32 v0.3.1⇥MIT OR Apache-2.0⇥`: depth, name, version, licence.
fn branch(line: &str) -> Option<(usize, &str, &str, &str)> {
    let mut fields = line.split('\t');
    let (depth, package, license) = (fields.next()?, fields.next()?, fields.next()?);
    let mut package = package.split(' ');
    let (name, version) = (package.next()?, package.next()?.strip_prefix('v')?);
    Some((depth.parse().ok()?, name, version, license))
}

/// The checksums of a lock file, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let packages = lock.split("[[package]]").skip(1).filter_map(|package| {
        let field = |name: &str| {
            let value = |line: &str| {
                Some(line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"')?.to_owned())
            };
            package.lines().find_map(value)
        };
        Some(((field("name")?, field("version")?), field("checksum")?))
    });
    packages.collect()
}

/// What a program is built with: the variables that `tools/cross` has for another processor than this machine's, none
/// for its own.
struct Toolchain(Vec<(String, String)>);

impl Toolchain {
    fn of(architecture: &Architecture) -> io::Result<Toolchain> {
        if *architecture == Architecture::here() {
            return Ok(Toolchain(Vec::new()));
        }
        let text = said(Command::new(workspace().join("tools/cross")).args(["env", architecture.debian]))?;
        let variables = text.lines().filter_map(|line| line.split_once('='));
        Ok(Toolchain(variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }

    fn variable(&self, wanted: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == wanted).map(|(_, value)| &value[..])
    }

    /// `1.95.0 (59807616e 2026-04-14)`
    fn rustc(&self) -> io::Result<String> {
        let own = || env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let rustc = self.variable("RUSTC").map_or_else(own, Into::into);
        let words = said(Command::new(rustc).arg("--version").envs(self.0.iter().map(|(n, v)| (n, v))))?;
        let version = words.trim().strip_prefix("rustc ").ok_or_else(|| unknown("rustc tells no version"))?;
        Ok(version.to_owned())
    }

    /// The C library that `build.rs` links. What is not known of it here (a build elsewhere) is left out.
    fn musl(&self, architecture: &Architecture) -> Value {
        let installed = format!("/usr/lib/{}-linux-musl", architecture.machine);
        let folder = Path::new(self.variable("EARLYKMSG_MUSL").unwrap_or(&installed));
        let archive = fs::read(folder.join("libc.a")).ok();
        let mut musl = json!({
            "type": "library",
            "bom-ref": "musl",
            "name": "musl",
            "scope": "required",
            "hashes": archive.map_or_else(|| json!([]), |archive| hashes(&sha256(&archive))),
            "licenses": licenses("MIT"),
        });
        if let Some(version) = self.musl_version(folder, architecture) {
            musl["purl"] = json!(format!("pkg:deb/debian/musl-dev@{version}?arch={}", architecture.debian));
            musl["version"] = json!(version);
        }
        musl
    }

    /// The version of its package, which is installed, or was unpacked (`tools/fetch` leaves a list).
    fn musl_version(&self, folder: &Path, architecture: &Architecture) -> Option<String> {
        if self.0.is_empty() {
            let package = format!("musl-dev:{}", architecture.debian);
            let ask = ["--show", "--showformat=${Version}", &package];
            return said(Command::new("dpkg-query").args(ask)).ok();
        }
        let list = fs::read_to_string(folder.join("../../../packages")).ok()?;
        let version = list.lines().find_map(|line| line.strip_prefix("musl-dev "))?;
        Some(version.to_owned())
    }
}

/// The C library of this machine, linked statically.
fn glibc(architecture: &Architecture) -> Value {
    let mut glibc = json!({
        "type": "library",
        "bom-ref": "glibc",
        "name": "glibc",
        "scope": "required",
        "licenses": licenses("LGPL-2.1-or-later"),
    });
    let package = format!("libc6-dev:{}", architecture.debian);
    if let Ok(version) =
        said(Command::new("dpkg-query").args(["--show", "--showformat=${Version}", &package]))
    {
        glibc["purl"] = json!(format!("pkg:deb/debian/libc6-dev@{version}?arch={}", architecture.debian));
        glibc["version"] = json!(version);
    }
    glibc
}

/// The part of Rust's standard library that is in a program.
fn rust_library(name: &str, rustc: &str) -> Value {
    let version = rustc.split(' ').next().unwrap_or_default();
    json!({
        "type": "library",
        "bom-ref": format!("rust-{name}@{version}"),
        "name": name,
        "version": version,
        "description": format!("Rust's {name} library, as the compiler brings it"),
        "scope": "required",
        "licenses": licenses("MIT OR Apache-2.0"),
    })
}

fn hashes(sha256: &str) -> Value {
    json!([{ "alg": "SHA-256", "content": sha256 }])
}

fn licenses(expression: &str) -> Value {
    json!([{ "expression": expression }])
}

/// What a command says, in the workspace.
fn said(command: &mut Command) -> io::Result<String> {
    let text = output(command.current_dir(workspace()))?;
    String::from_utf8(text).map_err(|_| unknown("a tool that says no text"))
}

fn unknown(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
