//! How much there is of a sender: on disk, packed into an image, and as memory it may write.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use earlykmsg_initramfs::Image;
use earlykmsg_tests::proc;
use nix::unistd::Pid;

/// The files that processes have mapped: programs, libraries, plugins.
#[must_use]
pub fn files(pids: &[Pid]) -> BTreeSet<PathBuf> {
    let maps: Vec<String> = pids.iter().map(|pid| proc::file(*pid, "maps")).collect();
    let paths = maps.iter().flat_map(|maps| maps.lines()).filter_map(|line| line.split_whitespace().nth(5));
    let files = paths.filter(|path| path.starts_with('/')).map(|path| fs::canonicalize(path).ok());
    // What it made for this run is none of it.
    files.flatten().filter(|path| path.is_file() && !path.starts_with(std::env::temp_dir())).collect()
}

/// Their bytes, and those of an image that holds them, compressed.
#[must_use]
pub fn sizes(files: &BTreeSet<PathBuf>) -> (usize, usize) {
    let read = |path: &Path| fs::read(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    let (mut bytes, mut image) = (0, Image::new());
    for path in files {
        let content = read(path);
        bytes += content.len();
        // One program lies where the overlay has it, so that both are the same archive.
        let to = if files.len() == 1 { "/earlykmsg".into() } else { path.to_string_lossy() };
        image = image.file(&to, 0o755, content);
    }
    let packed = zstd::bulk::compress(&image.to_cpio(), 19).expect("compress");
    (bytes, packed.len())
}

/// Kilobytes that a process may write at most: what is mapped so, and the stack's limit where its stack may still grow.
#[must_use]
pub fn writable_kb(pid: Pid) -> u64 {
    let maps = proc::file(pid, "maps");
    let length = |line: &str, of_stack: bool| -> Option<u64> {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let is_it = words.next()?.contains('w') && line.ends_with("[stack]") == of_stack;
        let address = |digits| u64::from_str_radix(digits, 16).ok();
        is_it.then_some(address(end)? - address(start)?)
    };
    let mapped = |of_stack: bool| -> u64 { maps.lines().filter_map(|line| length(line, of_stack)).sum() };
    let limits = proc::file(pid, "limits");
    let stack = limits.lines().find_map(|line| line.strip_prefix("Max stack size"));
    let limit: u64 =
        stack.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(u64::MAX / 2);
    (mapped(false) + mapped(true).max(limit)) / 1024
}
