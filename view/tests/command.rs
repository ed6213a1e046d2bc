//! The command as people use it: behind a pipe, at a terminal, on files that grow, are cut and are replaced.

use core::time::Duration;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

const WITHIN: Duration = Duration::from_secs(60);

fn view(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_earlykmsg-view"));
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_remove("NO_COLOR");
    command
}

fn line(seq: u64, text: &str) -> String {
    format!(
        "{{\"clock\":{seq}000000,\"facility\":\"kern\",\"msg\":\"{text}\\n\",\"priority\":\"err\",\"seq\":{seq}}}\n"
    )
}

fn shown(seq: u64, text: &str) -> String {
    format!("[{seq:5}.000000] {text}")
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The lines of a running viewer, as they come.
struct Lines(Receiver<String>);

impl Lines {
    fn of(output: ChildStdout) -> Lines {
        let (sender, lines) = channel();
        thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Lines(lines)
    }

    #[track_caller]
    fn assert_next(&self, expected: &str) {
        assert_eq!(self.0.recv_timeout(WITHIN).as_deref(), Ok(expected));
    }
}

/// Ends with the test.
struct Running(Child);

impl Running {
    fn lines(&mut self) -> Lines {
        Lines::of(self.0.stdout.take().unwrap())
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_pipe_is_shown_as_it_comes() {
    let mut viewer = Running(view(&[]).stdin(Stdio::piped()).spawn().unwrap());
    let (mut input, lines) = (viewer.0.stdin.take().unwrap(), viewer.lines());
    // An object is shown without its line end, and nothing waits for a buffer to be full.
    input.write_all(line(1, "one").trim_end().as_bytes()).unwrap();
    lines.assert_next(&shown(1, "one"));
    input.write_all(line(2, "two").as_bytes()).unwrap();
    lines.assert_next(&shown(2, "two"));
    drop(input);
    assert!(viewer.0.wait().unwrap().success());
}

/// `nc -lk 5044 | earlykmsg-view`, with two connections one after the other, the first of which breaks.
#[test]
fn behind_netcat() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut netcat = Command::new("nc.openbsd");
    netcat.args(["-lk", "127.0.0.1", &address.port().to_string()]).stdin(Stdio::null());
    let mut netcat = Running(netcat.stdout(Stdio::piped()).spawn().unwrap());
    let mut viewer = view(&[]);
    let mut viewer = Running(viewer.stdin(netcat.0.stdout.take().unwrap()).spawn().unwrap());
    let lines = viewer.lines();
    let connect = || {
        let end = std::time::Instant::now() + WITHIN;
        loop {
            match std::net::TcpStream::connect(address) {
                Ok(stream) => return stream,
                Err(why) => assert!(std::time::Instant::now() < end, "{why}"),
            }
            thread::sleep(Duration::from_millis(5)); // netcat does not say when it listens
        }
    };
    let (one, two, three) = (line(1, "one"), line(2, "two"), line(3, "three"));
    connect().write_all(format!("{one}{two}{}", &three[..30]).as_bytes()).unwrap();
    lines.assert_next(&shown(1, "one"));
    lines.assert_next(&shown(2, "two"));
    connect().write_all(format!("{two}{three}").as_bytes()).unwrap();
    lines.assert_next(&format!("?? {}", &three[..30]));
    lines.assert_next(&shown(3, "three"));
}

#[test]
fn files_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    fs::write(&one, line(1, "one") + &line(2, "two") + "broken").unwrap();
    fs::write(&two, line(2, "two") + &line(3, "three")).unwrap();
    let output = view(&[]).args([&one, &two]).output().unwrap();
    let expected = [&shown(1, "one"), &shown(2, "two"), "?? broken", &shown(3, "three"), ""].join("\n");
    assert_eq!(succeeded(&output), expected);
    let output = view(&["-", one.to_str().unwrap()]).stdin(File::open(&two).unwrap()).output().unwrap();
    assert!(succeeded(&output).starts_with(&shown(2, "two")));
}

#[test]
fn a_file_that_grows_is_cut_and_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (path, renamed) = (folder.path().join("log"), folder.path().join("log.1"));
    let append = |path: &Path, text: &str| {
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    // Not there yet.
    let mut viewer = Running(view(&["--follow"]).arg(&path).spawn().unwrap());
    let lines = viewer.lines();
    append(&path, &line(1, "one"));
    lines.assert_next(&shown(1, "one"));
    // In two parts.
    let two = line(2, "two");
    append(&path, &two[..20]);
    append(&path, &two[20..]);
    lines.assert_next(&shown(2, "two"));
    // Renamed, written on under its new name, and another one in its place.
    fs::rename(&path, &renamed).unwrap();
    append(&renamed, &line(3, "three"));
    append(&path, &line(4, "four"));
    lines.assert_next(&shown(3, "three"));
    lines.assert_next(&shown(4, "four"));
    // Emptied in place.
    File::create(&path).unwrap();
    append(&path, &line(5, "5"));
    lines.assert_next(&shown(5, "5"));
    // Gone for a while.
    fs::remove_file(&path).unwrap();
    append(&path, &line(6, "six"));
    lines.assert_next(&shown(6, "six"));
}

/// What the terminal of `script` gets.
fn at_a_terminal(words: &str, no_color: Option<&str>) -> String {
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(line(1, "one").as_bytes()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, line(1, "one")).unwrap();
    let mut command = Command::new("script");
    let line = format!("exec {} {words} {}", env!("CARGO_BIN_EXE_earlykmsg-view"), path.display());
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).stdin(Stdio::null());
    command.env_remove("NO_COLOR").envs(no_color.map(|value| ("NO_COLOR", value)));
    succeeded(&command.output().unwrap())
}

#[test]
fn when_there_are_colours() {
    let is_coloured = |text: &str| text.contains("\x1b[31mone\x1b[0m");
    for (words, no_color, expected) in [
        ("", None, true),
        ("", Some(""), true),
        ("", Some("1"), false),
        ("--color=never", None, false),
        ("--color always", Some("1"), true),
        ("--color=auto", None, true),
    ] {
        let shown = at_a_terminal(words, no_color);
        assert!(shown.contains("one"), "{shown}");
        assert_eq!(is_coloured(&shown), expected, "{words} {no_color:?}");
    }
    // Into a pipe.
    for (words, expected) in [(&[][..], false), (&["--color=always"], true)] {
        let mut viewer = view(words).stdin(Stdio::piped()).spawn().unwrap();
        viewer.stdin.take().unwrap().write_all(line(1, "one").as_bytes()).unwrap();
        assert_eq!(is_coloured(&succeeded(&viewer.wait_with_output().unwrap())), expected, "{words:?}");
    }
}

/// `earlykmsg-view | head`: it ends without a word.
#[test]
fn nobody_reads_on() {
    let mut viewer = Running(view(&[]).stdin(Stdio::piped()).spawn().unwrap());
    let mut input = viewer.0.stdin.take().unwrap();
    drop(viewer.0.stdout.take());
    // Until it has ended.
    let mut seq = 0;
    while input.write_all(line(seq, "text").as_bytes()).is_ok() {
        seq += 1;
    }
    assert!(viewer.0.wait().unwrap().success());
    let mut said = String::new();
    viewer.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}

/// Ctrl-C ends the watching, and the picture is drawn of what was seen.
#[test]
fn a_picture_after_ctrl_c() {
    let folder = tempfile::tempdir().unwrap();
    let (log, svg) = (folder.path().join("log"), folder.path().join("svg"));
    fs::write(&log, line(1, "one")).unwrap();
    for (words, signal) in [(&["--follow"][..], "INT"), (&["--follow"], "TERM"), (&[], "INT")] {
        let _ = fs::remove_file(&svg);
        let mut command = view(&["--svg", svg.to_str().unwrap()]);
        command.args(words).stdin(Stdio::piped());
        if !words.is_empty() {
            command.arg(&log);
        }
        let mut viewer = Running(command.spawn().unwrap());
        let mut input = viewer.0.stdin.take().unwrap();
        if words.is_empty() {
            input.write_all(line(1, "one").as_bytes()).unwrap();
        }
        viewer.lines().assert_next(&shown(1, "one"));
        viewer.signal(signal);
        assert!(viewer.0.wait().unwrap().success(), "{words:?} {signal}");
        assert!(fs::read_to_string(&svg).unwrap().contains("1 record"), "{words:?} {signal}");
    }
}

#[test]
fn mistakes_are_told() {
    for (words, why) in [
        (&["--verbose"][..], "invalid option '--verbose'"),
        (&["--level", "loud"], "--level loud: no such level"),
        (&["--color=blue"], "--color blue: must be always, never or auto"),
        (&["--follow"], "missing argument for option '--follow'"),
        (&["--decode=x"], "unexpected argument for option '--decode'"),
    ] {
        let output = view(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{words:?}: {said}");
        assert!(said.contains(why) && said.contains("--help"), "{words:?}: {said}");
    }
    for (words, why) in [
        (&["/no/such/file"][..], "unable to read /no/such/file: No such file"),
        (&["/tmp"], "unable to read /tmp: Is a directory"),
        (&["--follow", "/tmp"], "unable to read /tmp: Is a directory"),
        (&["--svg", "/no/such/file"], "unable to write /no/such/file: No such file"),
    ] {
        let output = view(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert!(said.contains(why), "{words:?}: {said}");
    }
}

/// The help and the man page name the same options, those that the source has.
#[test]
fn every_option_is_documented() {
    let help = succeeded(&view(&["--help"]).output().unwrap());
    let page = include_str!("../../docs/earlykmsg-view.1");
    let source = include_str!("../src/cli.rs");
    let options: Vec<&str> = source
        .split("Long(\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .filter(|name| *name != "colour")
        .collect();
    assert_eq!(options.len(), 9, "{options:?}");
    for name in options {
        assert!(help.contains(&format!("--{name} ")), "--{name} is not in\n{help}");
        assert!(page.contains(&format!("Fl -{name}")), "--{name} is not in the man page");
    }
    let version = succeeded(&view(&["--version"]).output().unwrap());
    assert_eq!(version, format!("earlykmsg-view {}\n", env!("CARGO_PKG_VERSION")));
}
