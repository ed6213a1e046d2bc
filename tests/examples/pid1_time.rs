//! How long PID 1 takes to become the next init: bare, and through earlykmsg.
//!
//! `cargo run --manifest-path tests/Cargo.toml --example pid1_time [RUNS]` boots in a namespace of its own each time and
//! prints medians. Measured is from just before the exec of the program (or, bare, of the next init) until the
//! first byte of the next init, a shell that says one word. A destination has to stand on the kernel's command
//! line, which only a tracer can fake here; it lets PID 1 go as soon as that is read. What the tracing
//! itself costs is the difference of the two rows without a destination.

use core::time::Duration;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;

use earlykmsg_tests::pid1_sandbox::{Boot, add_network, enter_if_asked, image};
use earlykmsg_tests::receiver::{Tcp, TcpBehaviour};
use earlykmsg_tests::sandbox::alone;
use nix::mount::{MsFlags, mount};

fn main() {
    enter_if_asked();
    let runs = std::env::args().nth(1).and_then(|runs| runs.parse().ok()).unwrap_or(1_000);
    alone(|sandbox| {
        let folder = sandbox.dir().join("memory");
        fs::create_dir(&folder).expect("make a folder");
        // As an initramfs is.
        mount(Some("memory"), &folder, Some("tmpfs"), MsFlags::empty(), None::<&str>).expect("mount a tmpfs");
        let root = image(&folder, "");
        add_network(&root);
        fs::rename(root.join("bin/busybox"), root.join("bin/sh")).expect("rename busybox");
        fs::remove_file(root.join("init")).expect("remove a file");
        let receiver = Tcp::new(TcpBehaviour::Reads);
        let ways = ways(&root, &format!("talos.logging.kernel={}", receiver.url()));
        let mut times = vec![Vec::new(); ways.len()];
        for _ in 0..runs {
            for ((_, boot), times) in ways.iter().zip(&mut times) {
                times.push(time(boot));
            }
        }
        println!("{runs} runs each, in turn: median, 90th percentile");
        for ((name, _), times) in ways.iter().zip(&mut times) {
            times.sort_unstable();
            println!("{name:<40} {:>10.1?} {:>10.1?}", times[runs / 2], times[runs * 9 / 10]);
        }
        let median = |way: usize| times[way][runs / 2].as_secs_f64() * 1e6;
        println!(
            "one destination, without tracing: {:.0} µs more than bare",
            median(1) - median(0) + median(3) - median(2)
        );
        println!("with a network: {:.0} µs more than that", median(4) - median(3));
    });
}

fn ways(root: &Path, ship: &str) -> [(&'static str, Boot); 5] {
    let arguments = |first: &str| [first, "-c", "echo up"].map(str::to_owned).to_vec();
    let through = Boot { arguments: arguments("/earlykmsg"), timed: true, ..Boot::of(root) };
    let bare = Boot { program: "/bin/sh".into(), arguments: arguments("/bin/sh"), ..through.clone() };
    [
        ("bare exec of the next init", bare),
        ("through earlykmsg, no destination", through.clone()),
        ("the same, traced", through.clone().cmdline("quiet")),
        ("one destination, traced", through.clone().cmdline(ship)),
        ("one destination and a network, traced", through.cmdline(format!("{ship} earlykmsg.ip=dhcp"))),
    ]
}

/// One boot: from the exec until the next init speaks.
fn time(boot: &Boot) -> Duration {
    let mut child = boot.command().spawn().expect("start the stage");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
    let began = lines.next().expect("the time").expect("a line").parse().expect("nanoseconds");
    let up = lines.next().expect("the next init").expect("a line");
    let now = std::time::UNIX_EPOCH.elapsed().expect("a time after 1970");
    assert_eq!(up, "up");
    child.wait().expect("wait for the stage");
    now.saturating_sub(Duration::from_nanos(began))
}
