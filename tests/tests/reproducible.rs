//! The same sources give the same bytes, wherever and by whomever they are built: the program, and all that is published of it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use earlykmsg_tests::binary::workspace;

/// A folder whose name a careless build would stumble over, gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let name = format!("earlykmsg somewhere else, with a long name {}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("make a folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Copies what git knows, as a fresh clone would have it.
fn copy_sources(to: &Path) {
    let files = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(workspace())
        .output()
        .expect("start git");
    assert!(files.status.success(), "git ls-files failed");
    let files = String::from_utf8(files.stdout).expect("paths are text");
    for name in files.split_terminator('\0').filter(|name| workspace().join(name).is_file()) {
        let copy = to.join(name);
        fs::create_dir_all(copy.parent().expect("a folder above")).expect("make a folder");
        fs::copy(workspace().join(name), copy).expect("copy a file");
    }
}

/// Where cargo keeps what it has fetched.
fn cargo_home() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cargo");
    std::env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from)
}

fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.unwrap_or_else(|why| panic!("{command:?}: {why}"));
    assert!(status.success(), "{command:?}: {status}");
}

/// Builds as somebody else: other folders for sources, output and fetched crates, another home, umask, time zone,
/// language and number of jobs.
fn built_elsewhere(folder: &Path) -> PathBuf {
    let (sources, target, home) = (folder.join("src/earlykmsg"), folder.join("out"), folder.join("home"));
    copy_sources(&sources);
    fs::create_dir_all(home.join("cargo")).expect("make a home");
    symlink(cargo_home().join("registry"), home.join("cargo/registry")).expect("make a link");
    let rustup = std::env::var_os("RUSTUP_HOME");
    let rustup = rustup.unwrap_or_else(|| cargo_home().with_file_name(".rustup").into_os_string());
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut remapped = OsString::from("--remap-path-prefix=");
    remapped.extend([home.join("cargo").as_os_str(), OsStr::new("=cargo")]);
    run(Command::new("sh")
        .args(["-c", "umask 077; exec \"$0\" \"$@\""])
        .arg(cargo)
        .args(["build", "--quiet", "--release", "--locked", "--offline", "--jobs", "1", "--manifest-path"])
        .arg(sources.join("Cargo.toml"))
        .current_dir("/")
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_HOME", home.join("cargo"))
        // As initramfs/release has it.
        .env("CARGO_ENCODED_RUSTFLAGS", remapped)
        .env("RUSTUP_HOME", rustup)
        .env("HOME", &home)
        .env("TZ", "Pacific/Kiritimati")
        .env("LC_ALL", "C"));
    target.join("release/earlykmsg")
}

#[test]
fn the_same_bytes_from_anywhere() {
    let folder = Folder::new();
    // What is published: here by its one command, there by the packer alone.
    let (release, packed) = (folder.0.join("release"), folder.0.join("packed"));
    run(Command::new(workspace().join("initramfs/release")).arg(&release).current_dir("/"));
    let (here, there) = (release.join("earlykmsg"), built_elsewhere(&folder.0));
    let (one, two) = (fs::read(&here).expect("read a binary"), fs::read(&there).expect("read a binary"));
    if let Some(at) = one.iter().zip(&two).position(|(a, b)| a != b) {
        panic!("{} and {} differ from byte {at:#x} on", here.display(), there.display());
    }
    assert_eq!(one.len(), two.len());

    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let pack = ["run", "--quiet", "--manifest-path", "initramfs/Cargo.toml", "--", "overlay", "--program"];
    run(Command::new(cargo).args(pack).arg(&there).arg("--out").arg(&packed).current_dir(workspace()));
    let read = |folder: &Path, name: &str| fs::read(folder.join(name)).expect("read what is published");
    let sums = String::from_utf8(read(&release, "SHA256SUMS")).expect("text");
    let names: Vec<&str> = sums.lines().filter_map(|line| line.split("  ").nth(1)).collect();
    let expected =
        ["earlykmsg", "earlykmsg.cpio", "earlykmsg.cpio.gz", "earlykmsg.cpio.zst", "earlykmsg.cdx.json"];
    assert_eq!(names, expected);
    for name in names.into_iter().chain(["SHA256SUMS"]) {
        assert!(read(&release, name) == read(&packed, name), "{name} differs");
    }
    run(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(&release));

    // Whatever differs in a path must not get into the program either.
    let cargo_home = cargo_home();
    let rustup_home = cargo_home.with_file_name(".rustup");
    for part in [workspace(), &cargo_home, &rustup_home] {
        let part = part.as_os_str().as_encoded_bytes();
        assert!(!one.windows(part.len()).any(|window| window == part), "{} is in it", part.escape_ascii());
    }
}
