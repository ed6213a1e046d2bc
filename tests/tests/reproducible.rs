//! The same sources give the same bytes, wherever and by whomever they are built: all that is published.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use earlykmsg_tests::binary::workspace;

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

/// The release as somebody else makes it: other folders for sources, output and fetched crates, another home, umask,
/// time zone, language and number of jobs.
fn released_elsewhere(architectures: &[&str], folder: &Path, out: &Path) {
    let (sources, home) = (folder.join("src/earlykmsg"), folder.join("home"));
    copy_sources(&sources);
    fs::create_dir_all(home.join("cargo")).expect("make a home");
    symlink(cargo_home().join("registry"), home.join("cargo/registry")).expect("make a link");
    // What tools/cross has fetched, by another path.
    let debian = std::env::var_os("EARLYKMSG_DEBIAN");
    let debian = debian.map_or_else(|| workspace().join("target/debian"), PathBuf::from);
    symlink(debian, folder.join("debian")).expect("make a link");
    let rustup = std::env::var_os("RUSTUP_HOME");
    let rustup = rustup.unwrap_or_else(|| cargo_home().with_file_name(".rustup").into_os_string());
    run(Command::new("sh")
        .args(["-c", "umask 077; exec \"$0\" \"$@\""])
        .arg(sources.join("initramfs/release"))
        .args(architectures.iter().flat_map(|name| ["--arch", name]))
        .arg(out)
        .current_dir("/")
        .env("CARGO_TARGET_DIR", folder.join("built"))
        .env("EARLYKMSG_DEBIAN", folder.join("debian"))
        .env("CARGO_BUILD_JOBS", "1")
        .env("CARGO_NET_OFFLINE", "true")
        .env("CARGO_HOME", home.join("cargo"))
        .env("RUSTUP_HOME", rustup)
        .env("HOME", &home)
        .env("TZ", "Pacific/Kiritimati")
        .env("LC_ALL", "C"));
}

fn assert_same_bytes_from_anywhere(architectures: &[&str]) {
    // A careless build would stumble over its name.
    let folder = tempfile::Builder::new().prefix("somewhere else, with a long name ").tempdir();
    let folder = folder.expect("make a folder");
    let (here, there) = (folder.path().join("release"), folder.path().join("elsewhere"));
    run(Command::new(workspace().join("initramfs/release"))
        .args(architectures.iter().flat_map(|name| ["--arch", name]))
        .arg(&here)
        .current_dir("/"));
    released_elsewhere(architectures, folder.path(), &there);

    let read = |folder: &Path, name: &str| fs::read(folder.join(name)).expect("read what is published");
    let sums = String::from_utf8(read(&here, "SHA256SUMS")).expect("text");
    let names: Vec<&str> = sums.lines().filter_map(|line| line.split("  ").nth(1)).collect();
    // The viewer is built for this machine's processor.
    let viewers = architectures.contains(&"amd64");
    assert_eq!(names.len(), 10 * architectures.len() + usize::from(viewers) + 1, "{sums}");
    for name in names.into_iter().chain(["SHA256SUMS"]) {
        let (one, two) = (read(&here, name), read(&there, name));
        let differs = one.iter().zip(&two).position(|(a, b)| a != b);
        assert_eq!(differs, None, "{name} differs from this byte on");
        assert_eq!(one.len(), two.len(), "{name}");
    }
    run(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(&here));
    for architecture in architectures {
        let program = read(&here, &format!("earlykmsg-{architecture}"));
        assert_names_no_folder(&program);
        assert!(holds(&program, b"src/") && holds(&program, b"crates/rustix-"));
    }
    if viewers {
        check_viewer(&here, folder.path());
    }
}

/// The viewer's package: nothing to say for lintian, and a program that needs no library and runs.
fn check_viewer(released: &Path, work: &Path) {
    let package = fs::read_dir(released).expect("read a folder").map(|entry| entry.expect("an entry").path());
    let mut package = package.filter(|path| path.to_string_lossy().contains("/earlykmsg-view_"));
    let package = package.next().expect("the viewer's package");
    let lintian = Command::new("lintian")
        .args(["--allow-root", "--no-tag-display-limit", "--fail-on", "error,warning"])
        .arg(&package)
        .output()
        .expect("start lintian");
    assert!(lintian.status.success(), "{}", String::from_utf8_lossy(&lintian.stdout));
    let root = work.join("viewer");
    run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&root));
    let program = root.join("usr/bin/earlykmsg-view");
    assert_names_no_folder(&fs::read(&program).expect("read the viewer"));
    // In a root with nothing else in it.
    let shown =
        Command::new("chroot").arg(root.join("usr/bin")).args(["/earlykmsg-view", "--version"]).output();
    let shown = shown.expect("start chroot");
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    assert!(shown.stdout.starts_with(b"earlykmsg-view "));
}

fn holds(program: &[u8], part: &[u8]) -> bool {
    program.windows(part.len()).any(|window| window == part)
}

/// A panic names the file that it happened in, and nothing above the crate's own folder.
fn assert_names_no_folder(program: &[u8]) {
    let cargo_home = cargo_home();
    let rustup_home = cargo_home.with_file_name(".rustup");
    for part in [workspace(), &cargo_home, &rustup_home] {
        let part = part.as_os_str().as_encoded_bytes();
        assert!(!holds(program, part), "{} is in it", part.escape_ascii());
    }
    assert!(!holds(program, b"registry/src"));
}

#[test]
fn the_same_bytes_from_anywhere() {
    assert_same_bytes_from_anywhere(&["amd64", "arm64"]);
}

#[test]
fn long_the_same_bytes_for_riscv64() {
    assert_same_bytes_from_anywhere(&["riscv64"]);
}
