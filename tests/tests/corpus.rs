//! What the fuzzer keeps, checked again on every change: each committed input of each target, and the golden records.

use core::panic::AssertUnwindSafe;
use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::PathBuf;

use earlykmsg_fuzz::{TARGETS, Target};
use earlykmsg_tests::binary::workspace;
use earlykmsg_tests::kmsg::golden;

fn corpus() -> PathBuf {
    workspace().join("fuzz/corpus")
}

/// The committed inputs of a target, with their names.
fn inputs(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = corpus().join(target.name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    let entries = entries.map(|entry| entry.expect("an entry of the folder").path());
    let mut inputs: Vec<_> =
        entries.map(|path| (path.display().to_string(), fs::read(&path).expect("read an input"))).collect();
    inputs.sort();
    inputs
}

/// Runs a target over inputs and tells all that break it.
fn check(target: &Target, inputs: &[(String, Vec<u8>)]) {
    let breaks = |bytes: &[u8]| catch_unwind(AssertUnwindSafe(|| (target.check)(bytes))).is_err();
    let broken: Vec<&str> =
        inputs.iter().filter(|(_, bytes)| breaks(bytes)).map(|(name, _)| name.as_str()).collect();
    println!("{}: {} inputs", target.name, inputs.len());
    assert!(broken.is_empty(), "{} breaks on {broken:#?}", target.name);
}

#[test]
fn every_committed_input_holds() {
    for target in TARGETS {
        let inputs = inputs(target);
        assert!(!inputs.is_empty(), "{} has no inputs", target.name);
        check(target, &inputs);
    }
}

#[test]
fn every_golden_record_holds() {
    let targets =
        ["record", "syslog"].map(|name| earlykmsg_fuzz::target(name).expect("a target for records"));
    let golden = [golden("boot"), golden("edge")].concat();
    let inputs: Vec<_> = golden.into_iter().map(|(raw, want)| (want["seq"].to_string(), raw)).collect();
    targets.iter().for_each(|target| check(target, &inputs));
}

/// Each folder belongs to a target, and what is committed stays small.
#[test]
fn the_corpus_is_small_and_known() {
    let folders = fs::read_dir(corpus()).expect("read the corpus");
    let folders: BTreeSet<String> =
        folders.map(|folder| folder.expect("a folder").file_name().to_string_lossy().into_owned()).collect();
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(folders, names);
    let inputs = TARGETS.iter().flat_map(inputs);
    let bytes: usize = inputs.map(|(_, bytes)| bytes.len()).sum();
    println!("{bytes} bytes");
    assert!(bytes < 300_000, "{bytes} bytes");
}
