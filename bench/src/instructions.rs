//! How many instructions parsing and encoding take, by callgrind, of code that is built and linked as the program is.
//!
//! Nothing of it depends on the machine, only on the compiler and the C library's `memcpy`. The counts are kept in
//! `bench/instructions.txt`; `./bench/run instructions --write` writes it anew.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use earlykmsg_tests::binary::{release, workspace};

/// How much a count may grow before someone has to say so.
pub const GROWTH_PERCENT: f64 = 3.0;

/// The logs that are counted, as `bench/pure` names them.
pub const LOGS: [&str; 4] = ["boot", "edge", "syslog/boot", "syslog/edge"];

/// Where the counts are kept.
#[must_use]
pub fn file() -> PathBuf {
    workspace().join("bench/instructions.txt")
}

/// The counts that are kept: a log and its instructions.
#[must_use]
pub fn kept() -> Vec<(String, u64)> {
    let text = fs::read_to_string(file()).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pair = |line: &str| {
        let (name, count) = line.split_once(' ')?;
        Some((name.to_owned(), count.trim().parse().ok()?))
    };
    lines.map(|line| pair(line).unwrap_or_else(|| panic!("{line:?}: no count"))).collect()
}

/// Counts them now and keeps that.
pub fn keep() {
    let mut text = String::from(
        "# Instructions to parse and encode each log of tests/data once, as JSON or as syslog, written by\n\
         # `./bench/run instructions --write`.\n\
         # bench/tests/instructions.rs fails when one grows by more than 3 %. Made by:\n",
    );
    text += &format!("# {}\n", compiler());
    for log in LOGS {
        text += &format!("{log} {}\n", count(log));
    }
    fs::write(file(), text).expect("write the counts");
}

/// The compiler that is here.
#[must_use]
pub fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output().expect("start rustc");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The compiler that the kept counts were made by.
#[must_use]
pub fn compiler_then() -> String {
    let text = fs::read_to_string(file()).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("# rustc ")).unwrap_or("nobody");
    format!("rustc {line}")
}

/// The instructions of one round.
#[must_use]
pub fn count(what: &str) -> u64 {
    // What does not belong to the rounds is in both.
    (all(what, 3) - all(what, 1)) / 2
}

/// The instructions of a whole run.
fn all(what: &str, rounds: u32) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program())
        .args([what, &rounds.to_string()])
        .stdin(Stdio::null())
        .output()
        .expect("start valgrind (Debian: apt-get install valgrind)");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {words}");
    let count = words.lines().find_map(|line| line.split_once("Collected : ")).map(|(_, count)| count.trim());
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("callgrind counted nothing: {words}"))
}

/// `bench/pure`, the release build.
fn program() -> &'static PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| release("earlykmsg-pure"))
}
