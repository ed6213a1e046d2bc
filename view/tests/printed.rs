//! Recorded streams, and what is printed of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// The file with this name is what these words print of `mixed.stream`.
#[track_caller]
fn assert_prints(words: &[&str], name: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_earlykmsg-view"));
    let output = command.args(words).arg(data("mixed.stream")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shown = String::from_utf8(output.stdout).unwrap();
    let expected = fs::read_to_string(data(name)).unwrap();
    if let Some((line, (one, two))) =
        (1..).zip(shown.lines().zip(expected.lines())).find(|(_, (one, two))| one != two)
    {
        panic!("line {line} of {name} is now\n{one}\nand was\n{two}");
    }
    assert_eq!(shown.len(), expected.len(), "{name} has another end");
}

/// Every kind of line: levels, several lines, losses, reboots, machines, commands for terminals, syslog, what is none.
#[test]
fn all_kinds_of_lines() {
    assert_prints(&[], "mixed.txt");
}

#[test]
fn in_colours() {
    assert_prints(&["--color=always"], "mixed.ansi");
}

#[test]
fn with_facility_and_level() {
    assert_prints(&["--decode"], "mixed.decoded.txt");
}

/// What is lost and where a boot begins is told at any level.
#[test]
fn severe_records() {
    assert_prints(&["--level", "err"], "mixed.err.txt");
}

#[test]
fn one_machine() {
    assert_prints(&["--machine", "node2"], "mixed.node2.txt");
}

/// The lines in README.md are printed of the boots that were recorded.
#[test]
fn the_lines_in_the_documents() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = fs::read_to_string(repository.join("README.md")).unwrap();
    let (_, block) = readme.split_once("earlykmsg-view --svg").unwrap().1.split_once("```text\n").unwrap();
    let block = block.split("```").next().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_earlykmsg-view"));
    let output = command.arg(repository.join("tests/data/boots.jsonl")).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let mut lines = shown.lines();
    assert!(block.lines().count() >= 3);
    for line in block.lines() {
        assert!(lines.any(|printed| printed == line), "{line}");
    }
}
