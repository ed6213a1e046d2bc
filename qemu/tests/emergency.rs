//! The case that a network of its own is for: the root disk is not there, and the image ends in an emergency shell.

use core::time::Duration;

use earlykmsg_initramfs::overlay::Overlay;
use earlykmsg_qemu::{Guest, Manager, Networked, Receiver, Starter, Suite, programs, seqs_missing, timeline};

/// A machine that shares its processors takes minutes.
const LONG: Duration = Duration::from_secs(400);

/// What tells dracut not to wait long, and systemd to log where this can be seen; initramfs-tools not to wait long either,
/// and, against the harness's own `panic=-1`, to give a shell.
const WORDS: &str = "root=UUID=9d3c7f6e-0000-4000-8000-000000000000 rd.timeout=10 rd.retry=5 \
                     systemd.log_target=kmsg printk.devkmsg=on rootdelay=5 panic=";

fn start(suite: Suite, starter: Starter, receiver: &Receiver) -> Guest {
    // Its disk is of no use.
    let machine = Networked::with(suite, Manager::NetworkdDhcp).unwrap();
    let overlay = Overlay::new(&programs().unwrap()).unwrap();
    let boot = machine.boot(starter, &overlay.gzip).unwrap().rdinit("/earlykmsg").word(receiver.word());
    boot.word("earlykmsg.ip=dhcp").word(WORDS).start().unwrap()
}

/// Every record up to this text arrives.
fn assert_arrives(text: &str, guest: &Guest, receiver: &Receiver) {
    let records = guest.explain(receiver.wait_text(text, LONG)).unwrap();
    assert_eq!(records[0].seq, 0, "{}", guest.failure("the first record"));
    assert_eq!(seqs_missing(&records), [0; 0]);
    let steps = ["as init process", " s via ", "earlykmsg: connected to", text];
    println!("{} records, {:?}", records.len(), timeline(&records, &steps));
}

/// systemd says when it starts the shell.
fn assert_of_dracut(suite: Suite, starter: Starter) {
    let receiver = Receiver::tcp();
    let guest = start(suite, starter, &receiver);
    assert_arrives("Emergency Shell", &guest, &receiver);
}

/// What is said in the shell arrives.
fn assert_of_initramfs_tools(suite: Suite) {
    let receiver = Receiver::tcp();
    let mut guest = start(suite, Starter::InitramfsTools, &receiver);
    guest.wait_console("(initramfs)", LONG).unwrap();
    guest.type_line("echo '<5>said in the shell' > /dev/kmsg").unwrap();
    assert_arrives("said in the shell", &guest, &receiver);
}

#[test]
fn long_debian_12_initramfs_tools() {
    assert_of_initramfs_tools(Suite::Bookworm);
}

#[test]
fn long_debian_13_initramfs_tools() {
    assert_of_initramfs_tools(Suite::Trixie);
}

#[test]
fn long_debian_12_dracut_legacy() {
    assert_of_dracut(Suite::Bookworm, Starter::DracutLegacy);
}

#[test]
fn long_debian_13_dracut_legacy() {
    assert_of_dracut(Suite::Trixie, Starter::DracutLegacy);
}

#[test]
fn long_debian_13_dracut_networkd() {
    assert_of_dracut(Suite::Trixie, Starter::DracutNetworkd);
}
