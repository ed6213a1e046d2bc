//! The program under test: always the release build.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use object::Endianness;
use object::elf::PT_GNU_RELRO;
use object::read::elf::{ElfFile64, ProgramHeader};

/// The root of the repository.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests live in the workspace")
}

/// The release binary, built now unless `EARLYKMSG_BIN` names it.
pub fn earlykmsg() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match std::env::var_os("EARLYKMSG_BIN") {
        Some(path) => path.into(),
        None => release("earlykmsg"),
    })
}

/// The release binary of the program that brings a network up, beside it.
pub fn earlykmsg_network() -> PathBuf {
    earlykmsg().with_file_name("earlykmsg-network")
}

/// The release binary of the program that reads pstore, beside it.
pub fn earlykmsg_pstore() -> PathBuf {
    earlykmsg().with_file_name("earlykmsg-pstore")
}

/// A release build that keeps its symbols.
pub fn unstripped() -> PathBuf {
    build("earlykmsg", "target/unstripped", &["--config", "profile.release.strip=false"])
}

/// The release build of a package of the program's workspace.
pub fn release(package: &str) -> PathBuf {
    build(package, "target", &[])
}

/// Where the part of a program lies that is read-only once it is relocated (RELRO), counted from where it is loaded.
///
/// # Panics
/// If it is no such program.
pub fn relro(program: &[u8]) -> core::ops::Range<u64> {
    let file = ElfFile64::<Endianness>::parse(program).expect("an ELF file");
    let endian = file.endian();
    let mut headers = file.elf_program_headers().iter();
    let relro = headers.find(|header| header.p_type(endian) == PT_GNU_RELRO).expect("such a part");
    let start = relro.p_vaddr(endian);
    start..start + relro.p_memsz(endian)
}

/// The release binary for another processor (`arm64`), built by `tools/cross`.
pub fn cross(architecture: &str) -> PathBuf {
    let output = tools_cross(&["build", architecture]);
    PathBuf::from(output.trim_end())
}

/// The same, linked by a C compiler and GNU ld as on a machine of that kind.
pub fn cross_by_gnu_ld(architecture: &str) -> PathBuf {
    let variables = tools_cross(&["env", architecture]);
    let variables: Vec<(&str, &str)> = variables.lines().filter_map(|line| line.split_once('=')).collect();
    let value = |wanted: &str| variables.iter().find(|(name, _)| *name == wanted).expect("a variable").1;
    let (rust_target, built) =
        (value("CARGO_BUILD_TARGET"), Path::new(value("CARGO_TARGET_DIR")).join("gnu-ld"));
    let name = format!("CARGO_TARGET_{}", rust_target.replace('-', "_").to_uppercase());
    let machine = rust_target.split('-').next().expect("a processor").trim_end_matches("gc");
    let mut command = plain_cargo();
    command
        .args(["build", "--quiet", "--locked", "--release"])
        .envs(variables.iter().copied())
        .env("CARGO_TARGET_DIR", &built)
        .env(format!("{name}_LINKER"), format!("{machine}-linux-gnu-gcc"))
        .env(format!("{name}_RUSTFLAGS"), "-Clink-arg=-fuse-ld=bfd");
    assert!(command.status().expect("start cargo").success(), "{command:?} failed");
    built.join(rust_target).join("release/earlykmsg")
}

/// What the script prints.
fn tools_cross(arguments: &[&str]) -> String {
    let mut command = Command::new(workspace().join("tools/cross"));
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit());
    without_what_cargo_says(&mut command);
    let output = command.output().expect("start tools/cross");
    assert!(output.status.success(), "{command:?}: {}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

fn build(package: &str, target: &str, more: &[&str]) -> PathBuf {
    let target = workspace().join(target);
    let mut command = plain_cargo();
    command
        .args(["build", "--quiet", "--release", "--package", package, "--target-dir"])
        .arg(&target)
        .args(more);
    assert!(command.status().expect("start cargo").success(), "{command:?} failed");
    target.join("release").join(package)
}

/// cargo in the program's workspace.
fn plain_cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace()).stdin(Stdio::null());
    without_what_cargo_says(&mut command);
    command
}

/// What cargo says of the package that runs this would be taken for the program's own.
fn without_what_cargo_says(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR" {
            command.env_remove(name);
        }
    }
}
