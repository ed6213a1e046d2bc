//! What comes into the house from others: whose crates, under which licences, from where, for which Rust. The policy is
//! `deny.toml`, which cargo-deny reads as well.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use earlykmsg_tests::binary::workspace;
use serde_json::Value;
use toml::Table;

/// What is compiled into the program. One more is a decision, not an accident.
const PROGRAM: [&str; 13] = [
    "bitflags",           // rustix
    "byteorder",          // hash32
    "hash32",             // heapless
    "heapless",           // lists with a fixed capacity
    "libc",               // the calls that rustix leaves out
    "linux-raw-sys",      // rustix
    "log",                // the macros for its messages
    "rustix",             // system calls
    "ryu",                // serde-json-core, for numbers with a fraction, of which the program has none
    "serde",              // what an object is, as serde-json-core wants it said
    "serde-json-core",    // JSON objects
    "serde_core",         // serde
    "stable_deref_trait", // heapless
];

const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

fn cargo(arguments: &[&str]) -> String {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let output = command.args(arguments).current_dir(workspace()).output().expect("start cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo speaks UTF-8")
}

/// All packages of a workspace, as cargo sees them.
fn metadata(manifest: &str) -> Value {
    let text = cargo(&[
        "metadata",
        "--locked",
        "--all-features",
        "--format-version",
        "1",
        "--manifest-path",
        manifest,
    ]);
    serde_json::from_str(&text).expect("cargo's JSON")
}

/// The workspaces: the program's, that of tests and tools, the fuzzer's.
const WORKSPACES: [&str; 3] = ["", "tests/", "fuzz/"];

/// The packages of all workspaces.
fn packages() -> Vec<Value> {
    let all = WORKSPACES.map(|folder| metadata(&format!("{folder}Cargo.toml")));
    all.iter().flat_map(|all| all["packages"].as_array().expect("a list").clone()).collect()
}

fn toml(name: &str) -> Table {
    let text = fs::read_to_string(workspace().join(name)).unwrap_or_else(|why| panic!("{name}: {why}"));
    text.parse().unwrap_or_else(|why| panic!("{name}: {why}"))
}

fn words(list: &toml::Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|word| word.as_str().expect("a word")).collect()
}

/// The crates in the program for a target, with their versions.
fn in_program(target: &str) -> BTreeSet<(String, String)> {
    // Macros run while it is compiled, and are no part of it.
    let edges = "normal,build,no-proc-macro";
    let tree =
        ["tree", "--locked", "--package", "earlykmsg", "--edges", edges, "--prefix", "none", "--no-dedupe"];
    let tree = cargo(&[&tree[..], &["--format", "{p}", "--target", target]].concat());
    let all = tree.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?.to_owned(), words.next()?.trim_start_matches('v').to_owned()))
    });
    all.filter(|(name, _)| name != "earlykmsg").collect()
}

#[test]
fn the_program_is_made_of_these() {
    for target in TARGETS {
        let found = in_program(target);
        assert!(
            found.iter().map(|(name, _)| name.as_str()).eq(PROGRAM),
            "for {target}, each once: {found:#?}"
        );
    }
}

#[test]
fn licences_are_allowed() {
    let policy = toml("deny.toml");
    let allowed = words(&policy["licenses"]["allow"]);
    let program: BTreeSet<(String, String)> = TARGETS.into_iter().flat_map(in_program).collect();
    let mut told = Vec::new();
    for package in packages() {
        let (name, version) = (package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
        let license = package["license"].as_str().unwrap_or_default();
        let expression = spdx::Expression::parse_mode(license, spdx::ParseMode::LAX);
        let ships = program.contains(&(name.to_owned(), version.to_owned()));
        let enough = |requirement: &spdx::LicenseReq| {
            let plain = requirement.addition.is_none();
            let id = requirement.license.id().map(|id| id.name);
            // The Boost licence, ryu's, asks for nothing beside a binary.
            let enough =
                |id: &str| if ships { ["MIT", "BSL-1.0"].contains(&id) } else { allowed.contains(&id) };
            plain && id.is_some_and(enough)
        };
        if !expression.is_ok_and(|expression| expression.evaluate(enough)) {
            told.push(format!("{name} {version}: {license}"));
        }
    }
    assert!(told.is_empty(), "licences that deny.toml does not allow:\n{}", told.join("\n"));
}

/// Everything is locked with its checksum, and comes from the registry that cargo knows by itself.
#[test]
fn all_comes_from_the_registry() {
    let policy = toml("deny.toml");
    for kind in ["unknown-registry", "unknown-git"] {
        assert_eq!(policy["sources"][kind].as_str(), Some("deny"));
    }
    for folder in WORKSPACES {
        let name = format!("{folder}Cargo.lock");
        let lock = toml(&name);
        let own = |name: &str| name == "earlykmsg" || name.starts_with("earlykmsg-");
        let packages = lock["package"].as_array().expect("packages");
        assert!(packages.len() > PROGRAM.len());
        for package in packages {
            let word = |field| package.get(field).and_then(toml::Value::as_str);
            match word("source") {
                None => assert!(word("name").is_some_and(own), "from nowhere: {package:?}"),
                Some(source) => {
                    let known = source.starts_with("registry+") && source.ends_with("/crates.io-index");
                    assert!(known, "{name}: {package:?}");
                    assert_eq!(word("checksum").map(str::len), Some(64), "{name}: {package:?}");
                }
            }
        }
    }
}

/// Either would bring a heap and a second panic handler, wherever it is switched on.
#[test]
fn no_feature_brings_the_standard_library() {
    let edges = "normal,build,dev";
    let tree = ["tree", "--locked", "--workspace", "--edges", edges, "--prefix", "none", "--no-dedupe"];
    let tree = cargo(&[&tree[..], &["--format", "{p}\t{f}"]].concat());
    let program: BTreeSet<(String, String)> = TARGETS.into_iter().flat_map(in_program).collect();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let (package, features) = line.split_once('\t').expect("two columns");
        let mut package = package.split(" v");
        let (name, version) = (package.next().unwrap(), package.next().unwrap_or_default());
        // That of libc only means: libraries are not named once more to the linker.
        if name != "libc" && program.contains(&(name.to_owned(), version.to_owned())) {
            let found = features.split(',').find(|feature| ["alloc", "std"].contains(feature));
            assert_eq!(found, None, "{line}");
        }
    }
}

/// `1.95` or `1.95.0` as numbers.
fn release(version: &str) -> (u32, u32) {
    let mut numbers = version.split(['.', '-', ' ']).map(|number| number.parse().expect("a number"));
    (numbers.next().expect("major"), numbers.next().expect("minor"))
}

/// One minimum Rust, stated everywhere, that every crate is content with. That nothing newer is used is clippy's
/// business (`incompatible_msrv`), whatever compiler is at hand.
#[test]
fn the_minimum_rust_is_stated_and_enough() {
    let stated =
        toml("Cargo.toml")["workspace"]["package"]["rust-version"].as_str().expect("a version").to_owned();
    for package in packages() {
        let needs = package["rust_version"].as_str();
        if package["source"].is_null() {
            assert_eq!(needs, Some(&*stated), "{}", package["name"]);
        }
        assert!(
            needs.is_none_or(|needs| release(needs) <= release(&stated)),
            "{}: {needs:?}",
            package["name"]
        );
    }
    let rustc =
        Command::new("rustc").arg("--version").current_dir(workspace()).output().expect("start rustc");
    let rustc = String::from_utf8(rustc.stdout).expect("text");
    println!("stated: {stated}, built with: {}", rustc.trim());
    assert!(release(rustc.strip_prefix("rustc ").expect("a version")) >= release(&stated));
}
