//! The demo: what it shows of a boot, each of its options, what it says of mistakes, and that Ctrl-C leaves nothing.

use core::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use earlykmsg_qemu::{Kernel, LONG, Receiver, image, seqs_missing, target_dir};
use earlykmsg_view::decode::{Decoder, Entry};

fn demo(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The demo at a terminal of its own.
fn at_a_terminal(words: &str) -> Command {
    let mut command = Command::new("script");
    // Whoever runs the tests in the background has them ignore Ctrl-C; a terminal does not.
    let line = format!("exec env --default-signal=INT {} {words}", env!("CARGO_BIN_EXE_demo"));
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).env_remove("NO_COLOR");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{}\n{shown}{}", output.status, text(&output.stderr));
    shown
}

/// The value of a row of the summary.
#[track_caller]
fn row<'a>(shown: &'a str, name: &str) -> &'a str {
    let rest = shown.lines().find_map(|line| line.strip_prefix(name));
    rest.unwrap_or_else(|| panic!("no row {name:?} in\n{shown}")).trim()
}

#[test]
fn mistakes_are_told() {
    for (words, why) in [
        (&["--verbose"][..], "--verbose: no such option"),
        (&["--receiver"], "--receiver takes a value"),
        (&["--receiver", "http://10.0.0.1:80/"], "must be tcp:// or udp://HOST:PORT/"),
        (&["--receiver", "tcp://10.0.0.1/"], "must be tcp:// or udp://HOST:PORT/"),
        (&["--receiver", "tcp://10.0.0.1:0/"], "must be tcp:// or udp://HOST:PORT/"),
        (&["--arch", "vax"], "--arch vax: no such machine"),
        (&["--udp", "--receiver", "tcp://10.0.0.1:1/"], "--receiver says the protocol itself"),
        (&["--save", "file", "--receiver", "tcp://10.0.0.1:1/"], "with --receiver there is none"),
        (&["--initramfs", "image", "--panic"], "not of another --initramfs"),
    ] {
        let output = demo(words).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{words:?}: {said}");
        assert!(said.contains(why) && said.contains("--help"), "{words:?}: {said}");
    }
    for option in ["--initramfs", "--kernel"] {
        let output = demo(&[option, "/no/such/file"]).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("unable to read /no/such/file"), "{said}");
    }
}

#[test]
fn the_help_names_every_option() {
    let help = succeeded(&demo(&["--help"]).output().unwrap());
    let source = include_str!("../src/demo.rs");
    let options: Vec<&str> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("\"--")?.split_once("\" "))
        .map(|(name, _)| name)
        .filter(|name| !name.contains(' '))
        .collect();
    assert!(options.len() >= 8, "{options:?}");
    for name in options {
        assert!(help.contains(&format!("\n  --{name} ")), "--{name} is not in\n{help}");
    }
}

/// Over datagrams and at a terminal, in colours: all records, the turns of the boot, the summary.
#[test]
fn a_whole_boot() {
    let kept = target_dir().join("qemu").join(format!("kept-{}", std::process::id()));
    let words = format!("--udp --save '{}'", kept.display());
    let shown = succeeded(&at_a_terminal(&words).output().unwrap());
    assert!(shown.contains("\x1b[32m[    0.000000]\x1b[0m \x1b[1mLinux version "), "{shown}");
    let plain = shown.replace("\x1b[1m", "").replace("\x1b[0m", "").replace('\r', "");
    for turn in ["==> Connected", "==> The root is switched", "==> Handed over"] {
        assert!(plain.contains(&format!("\n{turn}")), "{turn}: {plain}");
    }
    let written = row(&plain, "records the kernel wrote");
    assert_eq!(row(&plain, "records received"), written);
    let last = written.parse::<u64>().unwrap() - 1;
    assert_eq!(row(&plain, "first and last seq"), format!("0, {last}"));
    let seconds = row(&plain, "first record received").split(' ').next().unwrap();
    assert!((0.1..60.0).contains(&seconds.parse::<f64>().unwrap()), "{seconds}");
    assert!(!plain.contains("left behind"), "{plain}");
    let entries = Decoder::default().push(&fs::read(&kept).unwrap());
    fs::remove_file(kept).unwrap();
    // At the root switch the network goes for a moment, and datagrams are sent again to be on the safe side.
    let seqs: BTreeSet<u64> = entries
        .iter()
        .map(|entry| match entry {
            Entry::Record(record) => record.seq,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(seqs.len().to_string(), written);
}

/// A machine with another processor: the same boot.
#[test]
fn long_another_processor() {
    let shown = succeeded(&demo(&["--arch", "arm64"]).output().unwrap());
    for turn in ["==> Connected", "==> The root is switched", "==> Handed over"] {
        assert!(shown.contains(&format!("\n{turn}")), "{turn}: {shown}");
    }
    assert_eq!(row(&shown, "records received"), row(&shown, "records the kernel wrote"));
}

/// An initramfs that finds no root disk: its log arrives, by a network that nobody else brought up.
#[test]
fn no_root() {
    let shown = succeeded(&demo(&["--no-root"]).output().unwrap());
    assert!(shown.contains("earlykmsg: eth0: 10.0.2.15/24"), "{shown}");
    assert!(shown.contains("demo: the root disk UUID=0000-0000 is not there; this is a shell"), "{shown}");
    assert_eq!(row(&shown, "records received"), row(&shown, "records the kernel wrote"));
}

/// The network is the image's, as in most of them.
#[test]
fn with_the_network_of_the_image() {
    let shown = succeeded(&demo(&["--image-network"]).output().unwrap());
    assert!(!shown.contains("earlykmsg.ip="), "{shown}");
    assert!(shown.contains("==> Handed over"), "{shown}");
    assert!(!shown.contains("left behind"), "{shown}");
}

/// A receiver, a kernel and an initramfs of one's own.
#[test]
fn all_of_ones_own() {
    let receiver = Receiver::tcp();
    let kernel = Kernel::debian().unwrap();
    let script = "network_up; say \"of an init of its own: $(cat /proc/cmdline)\"; wait_log 'connected to'; tool say 'the end'; kill -TERM -1; show_leftovers PORT";
    let script = script.replace("PORT", &receiver.port().to_string());
    let own = target_dir().join("qemu").join(format!("own-{}.img", std::process::id()));
    fs::write(&own, image::standard(&kernel, &script).unwrap().to_cpio()).unwrap();
    let (url, own_text) = (format!("tcp://localhost:{}/", receiver.port()), own.display().to_string());
    let folder = kernel.folder.display().to_string();
    let words = ["--receiver", &url, "--initramfs", &own_text, "--append", "own.word=1", "--kernel", &folder];
    let output = demo(&words).output().unwrap();
    fs::remove_file(own).unwrap();
    let shown = succeeded(&output);
    let goes_to = format!("No netcat: the records go to {}", receiver.url());
    assert!(shown.contains(&goes_to) && shown.contains("console | [    0.000000] Linux version"), "{shown}");
    let records = receiver.wait_text("the end", LONG).unwrap();
    assert_eq!(seqs_missing(&records), [0; 0]);
    assert!(
        records.iter().any(|record| record.msg.contains("of its own") && record.msg.contains("own.word=1"))
    );
}

/// What is typed reaches the machine, which then panics.
#[test]
fn a_console_and_a_panic() {
    let mut child = demo(&["--console", "--panic"]).stdin(Stdio::piped()).spawn().unwrap();
    // What comes early waits for the machine.
    let typed = b"echo $((6 * 7)) typed > /dev/kmsg\nexit\n";
    child.stdin.take().unwrap().write_all(typed).unwrap();
    let shown = succeeded(&child.wait_with_output().unwrap());
    for part in [
        "] 42 typed\n",
        "demo: and now it panics",
        "kept by pstore of an earlier boot",
        "netconsole | Kernel panic - not syncing",
        "received at once, by netconsole",
        "the receiver has the panic",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("\x1b["), "colours in a pipe: {shown}");
}

/// All processes that have a variable in their environment.
fn processes_with(variable: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let has = |path: &std::path::PathBuf| {
        let environment = fs::read(path.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|part| part == variable.as_bytes())
    };
    let name = |path: std::path::PathBuf| text(&fs::read(path.join("cmdline")).unwrap_or_default());
    processes.filter(has).map(name).filter(|name| !name.is_empty()).collect()
}

/// Ctrl-C in the middle of a boot, at a terminal that asks for no colours.
#[test]
fn ctrl_c_leaves_nothing() {
    let mark = format!("EARLYKMSG_TEST_OF={}", std::process::id());
    let (name, value) = mark.split_once('=').unwrap();
    let before = files_of_the_dead();
    let mut child = at_a_terminal("").env(name, value).env("NO_COLOR", "1").spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    let first = lines.find(|line| line.contains("Linux version 6") && line.starts_with('['));
    assert!(first.is_some(), "no record was shown");
    let running = processes_with(&mark);
    assert!(running.iter().any(|words| words.contains("qemu-system")), "{running:?}");
    assert!(running.iter().any(|words| words.contains("nc.openbsd")), "{running:?}");
    child.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    assert!(!lines.any(|line| line.contains("\x1b[")), "colours in spite of NO_COLOR");
    assert_eq!(ended(&mut child).code(), Some(130), "ended by SIGINT, as a shell says it");
    let end = Instant::now() + LONG;
    while !processes_with(&mark).is_empty() {
        assert!(Instant::now() < end, "left: {:?}", processes_with(&mark));
        std::thread::sleep(Duration::from_millis(20));
    }
    let left: Vec<_> = files_of_the_dead().difference(&before).cloned().collect();
    assert!(left.is_empty(), "files left: {left:?}");
}

fn ended(child: &mut Child) -> std::process::ExitStatus {
    let mut rest = Vec::new();
    let _ = child.stderr.take().map(|mut pipe| pipe.read_to_end(&mut rest));
    child.wait().unwrap()
}

/// Temporary files, which have the number of their process in their names, of processes that are no more.
fn files_of_the_dead() -> BTreeSet<String> {
    // The folder may be still to be made.
    let names = fs::read_dir(target_dir().join("qemu")).into_iter().flatten();
    let names = names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let is_of_the_dead = |name: &String| {
        let rest = ["image.", "guest-tool."].iter().find_map(|start| name.strip_prefix(start));
        let number = rest.and_then(|rest| rest.split('.').next());
        number.is_some_and(|number| !fs::exists(format!("/proc/{number}")).unwrap_or(true))
    };
    names.filter(is_of_the_dead).collect()
}
