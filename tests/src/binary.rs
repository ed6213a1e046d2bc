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
        None => build("target", &[]),
    })
}

/// A release build that keeps its symbols.
pub fn unstripped() -> PathBuf {
    build("target/unstripped", &["--config", "profile.release.strip=false"])
}

fn build(target: &str, more: &[&str]) -> PathBuf {
    let target = workspace().join(target);
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--release", "--package", "earlykmsg", "--target-dir"])
        .arg(&target)
        .args(more)
        .current_dir(workspace())
        .stdin(Stdio::null())
        .status()
        .expect("start cargo");
    assert!(status.success(), "cargo build --release failed");
    target.join("release/earlykmsg")
}
