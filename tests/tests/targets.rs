//! What `build.rs` tells the linker for each target, and that it refuses those that the program is not made for.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use earlykmsg_tests::binary::workspace;
use object::elf;
use object::read::elf::{ElfFile64, ProgramHeader};

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
    build_with(os, arch, env, &[])
}

/// The same with more variables.
fn build_with(os: &str, arch: &str, env: &str, more: &[(&str, &str)]) -> (bool, Vec<String>) {
    let output = Command::new(script())
        .env("CARGO_CFG_TARGET_OS", os)
        .env("CARGO_CFG_TARGET_ARCH", arch)
        .env("CARGO_CFG_TARGET_ENV", env)
        .envs(more.iter().copied())
        .output()
        .expect("run the build script");
    let said = String::from_utf8(output.stdout).expect("text");
    (output.status.success(), said.lines().map(str::to_owned).collect())
}

fn errors(said: &[String]) -> Vec<&str> {
    said.iter().filter_map(|line| line.strip_prefix("cargo:error=")).collect()
}

fn flags(said: &[String]) -> Vec<&str> {
    said.iter().filter_map(|line| line.strip_prefix("cargo:rustc-link-arg-bins=")).collect()
}

#[test]
fn a_gnu_target_is_linked_against_musl() {
    let arch = std::env::consts::ARCH;
    let (built, said) = build("linux", arch, "gnu");
    assert!(built, "{said:?}");
    let flags = flags(&said);
    let files: Vec<&str> = flags.iter().copied().filter(|flag| flag.starts_with("/usr/lib/")).collect();
    let expected = ["rcrt1.o", "crti.o", "libc.a", "crtn.o"];
    assert_eq!(files, expected.map(|file| format!("/usr/lib/{arch}-linux-musl/{file}")));
    for flag in ["-nostartfiles", "-nostdlib", "-static-pie", "-Wl,-z,relro", "-Wl,-z,now"] {
        assert!(flags.contains(&flag), "no {flag}: {flags:?}");
    }
    // musl's start does not read them.
    assert!(flags.iter().all(|flag| !flag.contains("pack-relative-relocs")), "{flags:?}");
}

/// A linker that is no C compiler takes neither `-Wl` nor a compiler's options; musl may be in any folder.
#[test]
fn a_bare_linker_gets_its_own_words() {
    let musl = tempfile::tempdir().expect("make a folder");
    std::fs::write(musl.path().join("libc.a"), "").expect("write a file");
    let musl = musl.path().to_str().expect("text");
    for linker in ["rust-lld", "/usr/bin/ld.lld", "aarch64-linux-gnu-ld"] {
        let more = [("RUSTC_LINKER", linker), ("EARLYKMSG_MUSL", musl)];
        let (built, said) = build_with("linux", "aarch64", "gnu", &more);
        assert!(built, "{said:?}");
        let flags = flags(&said);
        for flag in ["relro", "now", "--build-id=none", "-static", "-pie", "--no-dynamic-linker"] {
            assert!(flags.contains(&flag), "no {flag}: {flags:?}");
        }
        assert!(flags.contains(&&*format!("{musl}/rcrt1.o")), "{flags:?}");
        let foreign = flags.iter().find(|flag| flag.starts_with("-Wl") || flag.contains(' '));
        assert_eq!(foreign, None);
    }
    let (built, said) = build_with("linux", "aarch64", "gnu", &[("EARLYKMSG_MUSL", "/nowhere")]);
    assert!(!built);
    assert!(matches!(errors(&said)[..], [error] if error.contains("/nowhere/libc.a not found")), "{said:?}");
}

/// It brings its own start files and library.
#[test]
fn a_musl_target_is_left_as_it_is() {
    for arch in ["x86_64", "aarch64", "riscv64"] {
        let features = ("CARGO_CFG_TARGET_FEATURE", "a,crt-static");
        let (built, said) = build_with("linux", arch, "musl", &[features]);
        assert!(built, "{said:?}");
        assert!(said.iter().any(|line| line == "cargo:rustc-link-arg-bins=-lc"), "{said:?}");
        for own in ["-nostartfiles", "-nostdlib", "-static-pie", ".o"] {
            assert!(said.iter().all(|line| !line.ends_with(own)), "{own}: {said:?}");
        }
    }
}

/// The one whose programs need libraries unless it is told otherwise.
#[test]
fn a_musl_target_is_built_static() {
    let (built, said) = build("linux", "riscv64", "musl");
    assert!(!built);
    assert!(matches!(errors(&said)[..], [error] if error.contains("+crt-static")), "{said:?}");
}

/// As rustup has these targets, by the plain command. Their programs stand at a fixed address, but on x86_64.
#[test]
fn long_the_targets_of_rustup() {
    let output = Command::new(workspace().join("tests/rustup-targets")).output().expect("start the script");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).expect("text");
    let paths: Vec<&str> = said.lines().collect();
    assert_eq!(paths.len(), 3, "{said}");
    for path in paths {
        let bytes = std::fs::read(path).expect("read the program");
        println!("{path}: {} bytes", bytes.len());
        let file = ElfFile64::<object::Endianness>::parse(&*bytes).expect("an ELF file");
        let kinds: Vec<_> =
            file.elf_program_headers().iter().map(|header| header.p_type(file.endian())).collect();
        assert!(kinds.contains(&elf::PT_GNU_RELRO) && !kinds.contains(&elf::PT_INTERP), "{path}: {kinds:?}");
        let machine = path.split('/').rev().nth(2).and_then(|target| target.split(['-', 'g']).next());
        let run =
            Command::new(format!("qemu-{}", machine.expect("a target"))).args([path, "--help"]).output();
        let run = run.expect("start qemu-user (Debian: apt-get install qemu-user)");
        assert!(run.status.success() && run.stdout.starts_with(b"earlykmsg "), "{run:?}");
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
