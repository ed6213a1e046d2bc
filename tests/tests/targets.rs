//! What `build.rs` tells the linker for each target, and that it refuses those that the program is not made for.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use earlykmsg_tests::binary::workspace;

/// The build script, compiled as cargo would. Each test is a process of its own, and compiles its own.
fn script() -> &'static PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let name = format!("build-script-{}", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let status = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
            .args(["--edition", "2024", "-o"])
            .arg(&path)
            .arg(workspace().join("build.rs"))
            .env("CARGO_MANIFEST_DIR", workspace())
            .status();
        assert!(status.expect("start rustc").success(), "build.rs does not compile");
        path
    })
}

/// Runs it for a target. Returns whether it succeeded, and what it said.
fn build(os: &str, arch: &str, env: &str) -> (bool, Vec<String>) {
    let output = Command::new(script())
        .env("CARGO_CFG_TARGET_OS", os)
        .env("CARGO_CFG_TARGET_ARCH", arch)
        .env("CARGO_CFG_TARGET_ENV", env)
        .output()
        .expect("run the build script");
    let said = String::from_utf8(output.stdout).expect("text");
    (output.status.success(), said.lines().map(str::to_owned).collect())
}

fn errors(said: &[String]) -> Vec<&str> {
    said.iter().filter_map(|line| line.strip_prefix("cargo:error=")).collect()
}

#[test]
fn a_gnu_target_is_linked_against_musl() {
    let arch = std::env::consts::ARCH;
    let (built, said) = build("linux", arch, "gnu");
    assert!(built, "{said:?}");
    let flags: Vec<&str> =
        said.iter().filter_map(|line| line.strip_prefix("cargo:rustc-link-arg-bins=")).collect();
    let files: Vec<&str> = flags.iter().copied().filter(|flag| flag.starts_with("/usr/lib/")).collect();
    let expected = ["rcrt1.o", "crti.o", "libc.a", "crtn.o"];
    assert_eq!(files, expected.map(|file| format!("/usr/lib/{arch}-linux-musl/{file}")));
    for flag in ["-nostartfiles", "-nostdlib", "-static-pie", "-Wl,-z,relro,-z,now"] {
        assert!(flags.contains(&flag), "no {flag}: {flags:?}");
    }
    // musl's start does not read them.
    assert!(flags.iter().all(|flag| !flag.contains("pack-relative-relocs")), "{flags:?}");
}

/// It brings its own start files and library.
#[test]
fn a_musl_target_is_left_as_it_is() {
    for arch in ["x86_64", "aarch64", "riscv64"] {
        let (built, said) = build("linux", arch, "musl");
        assert!(built, "{said:?}");
        assert!(said.iter().any(|line| line == "cargo:rustc-link-arg-bins=-lc"), "{said:?}");
        for own in ["-nostartfiles", "-nostdlib", "-static-pie", ".o"] {
            assert!(said.iter().all(|line| !line.ends_with(own)), "{own}: {said:?}");
        }
    }
}

#[test]
fn other_targets_are_refused_with_the_reason() {
    for (os, arch, env, why) in [
        ("freebsd", "x86_64", "", "Linux"),
        ("windows", "x86_64", "gnu", "Linux"),
        ("linux", "arm", "gnu", "not for arm"),
        ("linux", "arm", "musl", "not for arm"),
        ("linux", "x86", "gnu", "not for x86"),
    ] {
        let (built, said) = build(os, arch, env);
        assert!(!built, "{os} {arch} {env}");
        assert!(matches!(errors(&said)[..], [error] if error.contains(why)), "{said:?}");
    }
}
