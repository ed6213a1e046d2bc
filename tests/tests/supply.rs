//! The minimum Rust. (What comes from others is `cargo deny`'s business: see deny.toml.)

use std::process::Command;

use earlykmsg_tests::binary::workspace;
use serde_json::Value;

/// The packages of all workspaces: the program's, that of tests and tools, the fuzzer's.
fn packages() -> Vec<Value> {
    let manifests = ["Cargo.toml", "tests/Cargo.toml", "fuzz/Cargo.toml"];
    let metadata = manifests.map(|manifest| -> Value {
        let words =
            ["metadata", "--locked", "--all-features", "--format-version", "1", "--manifest-path", manifest];
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        let output = command.args(words).current_dir(workspace()).output().expect("start cargo");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("cargo's JSON")
    });
    metadata.iter().flat_map(|all| all["packages"].as_array().expect("a list").clone()).collect()
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
    let packages = packages();
    let own = packages.iter().find(|package| package["name"] == "earlykmsg").expect("the program");
    let stated = own["rust_version"].as_str().expect("a version").to_owned();
    for package in &packages {
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
