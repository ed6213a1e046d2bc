//! The program under test: always the release build.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

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

/// A release build that keeps its symbols.
pub fn unstripped() -> PathBuf {
    build("earlykmsg", "target/unstripped", &["--config", "profile.release.strip=false"])
}

/// The release build of a package of the program's workspace.
pub fn release(package: &str) -> PathBuf {
    build(package, "target", &[])
}

fn build(package: &str, target: &str, more: &[&str]) -> PathBuf {
    let target = workspace().join(target);
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["build", "--quiet", "--release", "--package", package, "--target-dir"])
        .arg(&target)
        .args(more)
        .current_dir(workspace())
        .stdin(Stdio::null());
    // What cargo says of the package that runs this would be taken for the program's own.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR" {
            command.env_remove(name);
        }
    }
    assert!(command.status().expect("start cargo").success(), "{command:?} failed");
    target.join("release").join(package)
}
