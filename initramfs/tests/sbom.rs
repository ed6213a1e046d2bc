//! The bill of materials: all that is compiled into the program and nothing else, the same bytes every time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use earlykmsg_initramfs::overlay::Programs;
use serde_json::Value;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn cargo(arguments: &[&str]) -> String {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(arguments).current_dir(workspace()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Bytes that pass for a program.
fn program(machine: u8) -> Vec<u8> {
    let mut elf = b"\x7fELF".to_vec();
    elf.resize(64, 0);
    elf[18] = machine;
    elf
}

fn programs(machine: u8) -> Programs {
    Programs { earlykmsg: program(machine), network: program(machine), pstore: program(machine) }
}

const X86_64: u8 = 62;
const AARCH64: u8 = 183;

fn bill(machine: u8) -> Value {
    let bytes = earlykmsg_initramfs::sbom::of(&programs(machine)).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no text {name} in {value}"))
}

/// The components that are crates: name and version, and the whole.
fn crates(bill: &Value) -> BTreeMap<String, &Value> {
    let components = bill["components"].as_array().unwrap().iter();
    let crates =
        components.filter(|part| part["purl"].as_str().is_some_and(|purl| purl.starts_with("pkg:cargo/")));
    crates.map(|part| (format!("{} v{}", text(part, "name"), text(part, "version")), part)).collect()
}

#[test]
fn it_holds_what_cargo_compiles_and_no_more() {
    for (machine, target) in [(X86_64, "x86_64-unknown-linux-gnu"), (AARCH64, "aarch64-unknown-linux-gnu")] {
        let tree = [
            "tree",
            "--locked",
            "--package",
            "earlykmsg",
            "--edges",
            "normal,no-proc-macro",
            "--prefix",
            "none",
        ];
        let tree = cargo(&[&tree[..], &["--format", "{p}", "--target", target]].concat());
        let own = "earlykmsg";
        let want: BTreeSet<&str> = tree
            .lines()
            .map(|line| line.trim_end_matches(" (*)"))
            .filter(|line| !line.starts_with(own))
            .collect();
        assert!(want.len() > 5, "{want:?}");
        let bill = bill(machine);
        let got = crates(&bill);
        assert!(got.keys().map(String::as_str).eq(want.iter().copied()), "{:?} {want:?}", got.keys());
    }
}

#[test]
fn each_crate_has_its_licence_and_the_checksum_of_the_lock_file() {
    let lock = fs::read_to_string(workspace().join("Cargo.lock")).unwrap();
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--locked", "--format-version", "1"])).unwrap();
    let bill = bill(X86_64);
    for (name, part) in crates(&bill) {
        let checksum = text(&part["hashes"][0], "content");
        assert_eq!(part["hashes"][0]["alg"], "SHA-256");
        let locked = format!("name = \"{}\"\nversion = \"{}\"\n", text(part, "name"), text(part, "version"));
        let (_, rest) = lock.split_once(&locked).unwrap_or_else(|| panic!("{name} is not locked"));
        let entry = rest.split("[[package]]").next().unwrap();
        assert!(entry.contains(&format!("checksum = \"{checksum}\"")), "{name}: {entry}");

        let packages = metadata["packages"].as_array().unwrap();
        let package = packages
            .iter()
            .find(|package| package["name"] == part["name"] && package["version"] == part["version"]);
        assert_eq!(part["licenses"][0]["expression"], package.unwrap()["license"], "{name}");
    }
}

/// The viewer's crates are those of the workspace of the tests, without what its tests use.
#[test]
fn the_viewers() {
    let bytes = earlykmsg_initramfs::sbom::of_viewer(&program(X86_64)).unwrap();
    let bill: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(bill["metadata"]["component"]["name"], "earlykmsg-view");
    let lock = fs::read_to_string(workspace().join("tests/Cargo.lock")).unwrap();
    let crates = crates(&bill);
    let has = |name: &str| crates.keys().any(|found| found.starts_with(&format!("{name} v")));
    assert!(
        has("serde_json") && has("lexopt") && !has("roxmltree") && !has("earlykmsg-qemu"),
        "{:?}",
        crates.keys()
    );
    for (name, part) in &crates {
        let checksum = format!("checksum = \"{}\"", text(&part["hashes"][0], "content"));
        assert!(lock.contains(&checksum), "{name}");
    }
    let components = bill["components"].as_array().unwrap();
    for name in ["std", "glibc"] {
        assert!(components.iter().any(|part| part["name"] == name), "{name}");
    }
}

/// What every reader of CycloneDX 1.5 relies on.
#[test]
fn it_is_well_formed() {
    let bill = bill(X86_64);
    assert_eq!((text(&bill, "bomFormat"), text(&bill, "specVersion")), ("CycloneDX", "1.5"));
    assert_eq!(bill["version"], 1);
    let own = &bill["metadata"]["component"];
    assert_eq!((text(own, "type"), text(own, "name")), ("application", "earlykmsg"));
    for (other, name) in [(0, "earlykmsg-network"), (1, "earlykmsg-pstore")] {
        let other = &own["components"][other];
        assert_eq!((text(other, "type"), text(other, "name")), ("application", name));
        assert_eq!(text(&other["hashes"][0], "alg"), "SHA-256");
    }
    let components = bill["components"].as_array().unwrap();
    let mut references = BTreeSet::from([text(own, "bom-ref")]);
    for part in components {
        assert_eq!(text(part, "type"), "library");
        assert!(!text(&part["licenses"][0], "expression").is_empty());
        assert!(!text(part, "name").is_empty());
        assert!(references.insert(text(part, "bom-ref")), "{part} is there twice");
    }
    let named = |name: &str| components.iter().find(|part| part["name"] == name).unwrap();
    let rustc = text(&bill["metadata"]["tools"]["components"][0], "version");
    assert!(rustc.starts_with(text(named("core"), "version")), "{rustc}");
    let musl =
        Command::new("dpkg-query").args(["--show", "--showformat=${Version}", "musl-dev"]).output().unwrap();
    assert_eq!(text(named("musl"), "version"), String::from_utf8(musl.stdout).unwrap());

    // Everything is reached from the program.
    let edges: BTreeMap<&str, Vec<&str>> = bill["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| {
            (
                text(edge, "ref"),
                edge["dependsOn"].as_array().unwrap().iter().flat_map(Value::as_str).collect(),
            )
        })
        .collect();
    let (mut reached, mut next) = (BTreeSet::new(), vec![text(own, "bom-ref")]);
    while let Some(reference) = next.pop() {
        if reached.insert(reference) {
            next.extend(edges.get(reference).unwrap_or_else(|| panic!("{reference} has no edges")));
        }
    }
    assert_eq!(reached, references);
}

/// The compiler and the C library of another processor, which are not this machine's.
#[test]
fn it_names_what_builds_for_another_processor() {
    let bill = bill(AARCH64);
    let rustc = text(&bill["metadata"]["tools"]["components"][0], "version");
    let components = bill["components"].as_array().unwrap();
    let named = |name: &str| components.iter().find(|part| part["name"] == name).unwrap();
    assert!(rustc.starts_with(text(named("core"), "version")), "{rustc}");
    let (musl, archive) = (named("musl"), "rust-arm64/usr/lib/aarch64-linux-musl/libc.a");
    assert!(text(musl, "purl").ends_with("?arch=arm64"), "{musl}");
    let home =
        env::var_os("EARLYKMSG_DEBIAN").map_or_else(|| workspace().join("target/debian"), PathBuf::from);
    let sum = Command::new("sha256sum").arg(home.join(archive)).output().unwrap();
    assert!(String::from_utf8(sum.stdout).unwrap().starts_with(text(&musl["hashes"][0], "content")));
}

/// The whole folder, made by two people in two places.
#[test]
fn same_program_same_folder() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sbom-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("program");
    for file in [&file, &folder.join("earlykmsg-network"), &folder.join("earlykmsg-pstore")] {
        fs::write(file, program(X86_64)).unwrap();
    }
    let make = |name: &str, cwd: &str, umask: &str, zone: &str| -> BTreeMap<String, Vec<u8>> {
        let out = folder.join(name);
        let made = Command::new("sh")
            .args([
                "-c",
                "umask $1; shift; exec \"$@\"",
                "sh",
                umask,
                env!("CARGO_BIN_EXE_initramfs"),
                "release",
            ])
            .arg("--program")
            .arg(&file)
            .arg("--out")
            .arg(&out)
            .current_dir(cwd)
            .env("TZ", zone)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let entries = fs::read_dir(out).unwrap().map(|entry| entry.unwrap());
        entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
    };
    let one = make("one", "/", "022", "UTC");
    let two = make("a folder with a longer name", env!("CARGO_MANIFEST_DIR"), "077", "Asia/Kathmandu");
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(one.len(), 12);
    assert!(one == two, "the files differ");
    let sums = String::from_utf8(one["SHA256SUMS"].clone()).unwrap();
    let summed: BTreeSet<&str> = sums.lines().filter_map(|line| line.split("  ").nth(1)).collect();
    let others: BTreeSet<&str> =
        one.keys().map(String::as_str).filter(|name| *name != "SHA256SUMS").collect();
    assert_eq!(summed, others, "every file has its checksum");
}

#[test]
fn a_program_for_nothing_known_is_refused() {
    let why = earlykmsg_initramfs::sbom::of(&programs(3)).unwrap_err();
    assert_eq!(why.to_string(), "the program is for none of x86_64, aarch64, riscv64");
}
