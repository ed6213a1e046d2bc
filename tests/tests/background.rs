//! `earlykmsg --background`, as an init script starts it.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use earlykmsg_tests::foreign::until;
use earlykmsg_tests::kmsg::{Writer, newest, ring, tag};
use earlykmsg_tests::pid1_sandbox::{Boot, Machine, image, script};
use earlykmsg_tests::proc;
use earlykmsg_tests::receiver::{Tcp, TcpBehaviour};
use earlykmsg_tests::sandbox::{Sandbox, alone};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const WITHIN: Duration = Duration::from_secs(20);

/// An init script that runs the program with the arguments it is given, one line each, and tells the exit codes.
const STARTS: &str =
    r#"while read arguments; do /earlykmsg $arguments 2>&1; echo "returned $?"; done; exit 0"#;

/// An image whose PID 1 is a shell with this script.
fn boot(root: &Path) -> Machine {
    let arguments = vec!["sh".into(), "/init".into()];
    let boot = Boot { program: "/bin/busybox".into(), arguments, ..Boot::of(root) };
    boot.start()
}

/// Starts the program with these arguments; returns once it does, with what it has left on the console since.
fn start(machine: &mut Machine, arguments: &str) -> Vec<String> {
    let before = machine.console.items().len();
    machine.type_line(arguments);
    machine.console.wait(WITHIN, "the program's return", |lines| {
        let new = &lines[before..];
        new.iter().any(|line| line.starts_with("returned ")).then(|| new.to_vec())
    })
}

fn family(machine: &Machine) -> Vec<Pid> {
    proc::children(machine.init().expect("PID 1"))
}

/// A receiver at an address that no other test has: what is said of all destinations is in one log.
fn receiver() -> Tcp {
    let number =
        tag("address").bytes().fold(0_u16, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let [high, low] = number.to_be_bytes();
    Tcp::at((Ipv4Addr::new(127, 10, high, low.max(1)), 5044).into(), TcpBehaviour::Reads)
}

/// Whether the program has said in the ring that `what` became of its destination.
fn has_said(receiver: &Tcp, what: &str) -> bool {
    let start = format!("earlykmsg: {}: {what}", receiver.url());
    ring().iter().any(|record| record.msg.starts_with(&start))
}

/// It returns at once and ships on; a second start finds it at work; told to end, it ships what there is and ends, and
/// the next start is the first again.
#[test]
fn started_by_an_init_script() {
    alone(|sandbox| {
        let (receiver, writer, tag) = (receiver(), Writer::new(), tag("background"));
        let mut machine = boot(&image(sandbox.dir(), STARTS));
        let arguments = format!("--background {}", receiver.url());
        for text in [format!("{tag} first"), format!("{tag} second")] {
            assert_eq!(start(&mut machine, &arguments), ["returned 0"]);
            let watchers = family(&machine);
            let [watcher] = watchers[..] else { panic!("{watchers:?} run") };
            until("the mark that systemd spares", || proc::file(watcher, "cmdline").starts_with('@'));
            let open = proc::descriptors(watcher);
            assert!(!open.values().any(|to| to.to_string_lossy().starts_with("pipe:")), "{open:?}");
            writer.write(&text);
            receiver.lines.wait_for(&text, WITHIN);
            assert_eq!(start(&mut machine, &arguments), ["returned 0"], "the second start");
            assert_eq!(family(&machine), watchers, "after the second start");

            let last = format!("{text}, before the end");
            writer.write(&last);
            kill(watcher, Signal::SIGTERM).expect("end the watcher");
            receiver.lines.wait_for(&last, WITHIN);
            until("the end", || {
                proc::status(watcher, "State").starts_with('Z') || family(&machine).is_empty()
            });
        }
        let texts = receiver.lines.texts(&tag);
        assert_eq!(texts.len(), 2 + 4, "the second run ships all that the ring holds: {texts:#?}");
        assert_eq!(machine.finish(WITHIN), Some(0));
    });
}

fn seq(object: &serde_json::Value) -> u64 {
    object["seq"].as_u64().expect("a number")
}

/// With nowhere to ship to, a script that starts it on every machine sees nothing; with wrong words, all of them.
#[test]
fn nothing_to_do_and_wrong_usage() {
    alone(|sandbox| {
        let mut machine = boot(&image(sandbox.dir(), STARTS));
        assert_eq!(start(&mut machine, "--background"), ["returned 0"]);
        assert_eq!(family(&machine), []);
        let wrong = start(&mut machine, "--background tcp://127.0.0.1:1/ earlykmsg.level=9 --forground");
        println!("{wrong:#?}");
        assert_eq!(wrong.last().map(String::as_str), Some("returned 64"));
        for part in ["earlykmsg.level=9", "--forground"] {
            assert!(wrong.iter().any(|line| line.contains(part)), "{part} is not named");
        }
        assert_eq!(family(&machine), []);
        assert_eq!(machine.finish(WITHIN), Some(0));
    });
}

/// The init script of an image: it starts the program, and becomes the main system's when a line comes.
const SWITCHES: &str = "/earlykmsg --background URL; echo \"returned $?\"; read line
/bin/busybox mount --bind /main /main
exec /bin/busybox chroot /main /bin/busybox sh -c 'while read line; do :; done'";

/// An image with a main system's root in it.
fn with_main(sandbox: &Sandbox, url: &str) -> PathBuf {
    let root = image(sandbox.dir(), "");
    script(&root, "init", &SWITCHES.replace("URL", url));
    fs::create_dir_all(root.join("main/bin")).expect("make a folder");
    fs::copy(root.join("bin/busybox"), root.join("main/bin/busybox")).expect("copy busybox");
    root
}

/// A connection of someone else's to the receiver.
fn deliver(receiver: &Tcp) -> TcpStream {
    let url = receiver.url();
    TcpStream::connect(url.trim_start_matches("tcp://").trim_end_matches('/')).expect("deliver")
}

const TAKEN_OVER: &str = "handed over to the main system";

/// On an initramfs a root switch is to come: what delivers before it is the image's own. And the boot began just now:
/// records from 0 on that the ring no longer has are lost.
#[test]
fn on_an_initramfs() {
    alone(|sandbox| {
        let (receiver, writer, tag) = (receiver(), Writer::new(), tag("initramfs"));
        let tmpfs = Some("tmpfs");
        mount(tmpfs, sandbox.dir(), tmpfs, MsFlags::empty(), None::<&str>).expect("mount a tmpfs");
        let root = with_main(sandbox, &receiver.url());
        let mut machine = boot(&root);
        machine.console.wait(WITHIN, "the program's return", |lines| {
            lines.iter().any(|line| line == "returned 0").then_some(())
        });
        let _old = deliver(&receiver);
        writer.write(&format!("{tag} before"));
        receiver.lines.wait_for(&format!("{tag} before"), WITHIN);
        let objects = receiver.lines.objects();
        let first = objects.iter().find(|object| object.get("seq").is_some()).map(seq);
        let lost =
            objects.iter().any(|object| object["msg"].as_str().is_some_and(|msg| msg.contains("lost 0 ")));
        assert!(
            first == Some(0) || lost,
            "it begins with record {first:?}, and what came before is in silence"
        );

        let (init, before) = (machine.init().expect("PID 1"), newest());
        machine.type_line("go");
        until("the switch", || {
            fs::read_link(format!("/proc/{init}/root")).is_ok_and(|root| root.ends_with("main"))
        });
        writer.write(&format!("{tag} after"));
        receiver.lines.wait_for(&format!("{tag} after"), WITHIN);
        // Boots of tests come one after the other, so this is said of this one.
        receiver.lines.wait_for_after(before, "root switched", WITHIN);
        assert!(!has_said(&receiver, TAKEN_OVER), "the image's own socket was taken for the main system's");
        let _new = deliver(&receiver);
        until("the handover", || has_said(&receiver, TAKEN_OVER));
        until("the end", || family(&machine).is_empty());
    });
}

/// On a disk there is no root switch to wait for: it ends as soon as someone else delivers.
#[test]
fn on_a_main_system() {
    alone(|sandbox| {
        let (receiver, writer, tag) = (receiver(), Writer::new(), tag("main system"));
        let mut machine = boot(&image(sandbox.dir(), STARTS));
        let arguments = format!("--background {}", receiver.url());
        assert_eq!(start(&mut machine, &arguments), ["returned 0"]);
        writer.write(&tag);
        receiver.lines.wait_for(&tag, WITHIN);
        assert!(!has_said(&receiver, TAKEN_OVER), "before anyone else delivers");
        let _other = deliver(&receiver);
        until("the handover", || has_said(&receiver, TAKEN_OVER));
        assert_eq!(machine.finish(WITHIN), Some(0));
    });
}
