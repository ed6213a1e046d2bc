//! What the packer writes: judged by `cpio`, by its own bytes, and by doing it twice.

use std::io::Write;
use std::process::{Command, Stdio};

use earlykmsg_initramfs::Image;
use earlykmsg_initramfs::overlay::Overlay;

fn sample() -> Image {
    Image::new()
        .file("/init", 0o755, "#!/bin/sh\n")
        .dir("/proc")
        .symlink("/bin/sh", "busybox")
        .file("/usr/lib/deep/down/five", 0o644, "12345")
        .file("/empty", 0o600, "")
        .char_device("/dev/console", 0o600, 5, 1)
}

/// Runs a tool with the archive as its input.
fn tool(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .env("TZ", "UTC")
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|why| panic!("{program}: {why}: install it (Debian: apt-get install {program})"));
    let mut pipe = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || pipe.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", output.status);
    output.stdout
}

fn listed(image: &Image) -> Vec<String> {
    let list = tool("cpio", &["-itv", "--numeric-uid-gid", "--quiet"], &image.to_cpio());
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    String::from_utf8(list).unwrap().lines().map(words).collect()
}

#[test]
fn cpio_lists_what_was_put_in() {
    let expected = [
        "drwxr-xr-x 2 0 0 0 Jan 1 1970 bin",
        "lrwxrwxrwx 1 0 0 7 Jan 1 1970 bin/sh -> busybox",
        "drwxr-xr-x 2 0 0 0 Jan 1 1970 dev",
        "crw------- 1 0 0 5, 1 Jan 1 1970 dev/console",
        "-rw------- 1 0 0 0 Jan 1 1970 empty",
        "-rwxr-xr-x 1 0 0 10 Jan 1 1970 init",
        "drwxr-xr-x 2 0 0 0 Jan 1 1970 proc",
        "drwxr-xr-x 2 0 0 0 Jan 1 1970 usr",
        "drwxr-xr-x 2 0 0 0 Jan 1 1970 usr/lib",
        "drwxr-xr-x 2 0 0 0 Jan 1 1970 usr/lib/deep",
        "drwxr-xr-x 2 0 0 0 Jan 1 1970 usr/lib/deep/down",
        "-rw-r--r-- 1 0 0 5 Jan 1 1970 usr/lib/deep/down/five",
    ];
    assert_eq!(listed(&sample()), expected);
}

#[test]
fn the_content_comes_out_again() {
    let content: Vec<u8> = (0..100_003_u32).map(|n| (n % 251) as u8).collect();
    for bytes in 0..9 {
        let image =
            sample().file("/content", 0o644, &content[..bytes]).file("/large", 0o644, content.clone());
        let archive = image.to_cpio();
        assert_eq!(tool("cpio", &["-i", "--to-stdout", "--quiet", "content"], &archive), content[..bytes]);
        assert_eq!(tool("cpio", &["-i", "--to-stdout", "--quiet", "large"], &archive), content);
    }
}

#[test]
fn same_input_same_bytes() {
    let other_order = Image::new()
        .char_device("/dev/console", 0o600, 5, 1)
        .file("/empty", 0o600, "")
        .file("/usr/lib/deep/down/five", 0o644, "replaced below")
        .file("/usr/lib/deep/down/five", 0o644, "12345")
        .with(Image::new().symlink("/bin/sh", "busybox").dir("/proc"))
        .file("/init", 0o755, "#!/bin/sh\n");
    assert_eq!(sample().to_cpio(), other_order.to_cpio());

    let overlay = || Overlay::of(&sample()).unwrap();
    let (one, two) = (overlay(), overlay());
    assert_eq!((one.cpio, one.gzip, one.zstd), (two.cpio, two.gzip, two.zstd));
}

/// Walks the headers as the kernel does: each part starts at a multiple of four.
#[test]
fn everything_is_aligned() {
    for length in 1..300 {
        let name = format!("/{}", "n".repeat(length));
        let archive = Image::new().file(&name, 0o644, vec![7; length]).to_cpio();
        assert_eq!(archive.len() % 512, 0);
        let mut at = 0;
        let mut names = Vec::new();
        while names.last().is_none_or(|name| name != "TRAILER!!!") {
            assert_eq!(at % 4, 0);
            assert_eq!(&archive[at..at + 6], b"070701");
            let field = |index: usize| {
                let digits = &archive[at + 6 + index * 8..at + 14 + index * 8];
                usize::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap()
            };
            let (size, name_bytes) = (field(6), field(11));
            names.push(String::from_utf8(archive[at + 110..at + 110 + name_bytes - 1].to_vec()).unwrap());
            assert_eq!(archive[at + 110 + name_bytes - 1], 0);
            let content = (at + 110 + name_bytes).next_multiple_of(4);
            assert!(archive[content..content + size].iter().all(|byte| *byte == 7));
            at = (content + size).next_multiple_of(4);
        }
        assert_eq!(names, [&name[1..], "TRAILER!!!"]);
        assert!(archive[at..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn long_names() {
    let folder = format!("/{}", ["f".repeat(200).as_str(); 15].join("/"));
    let path = format!("{folder}/{}", "n".repeat(255));
    let list = listed(&Image::new().file(&path, 0o644, "x"));
    assert_eq!(list.len(), 16);
    assert!(list.last().unwrap().ends_with(&path[1..]));
}

#[test]
fn mistakes_are_told() {
    let refused = |make: fn() -> Image| std::panic::catch_unwind(make).is_err();
    assert!(refused(|| Image::new().dir("relative")));
    assert!(refused(|| Image::new().dir("/a/../b")));
    assert!(refused(|| Image::new().dir("/a//b")));
    assert!(refused(|| Image::new().dir("/")));
    assert!(refused(|| Image::new().file("/a", 0o644, "").dir("/a/b")));
    assert!(refused(|| Image::new().dir("/a/b").file("/a", 0o644, "")));
    assert!(refused(|| Image::new().symlink("/a", "")));
    assert!(refused(|| Image::new().dir(&format!("/{}", "n".repeat(5000)))));
}
