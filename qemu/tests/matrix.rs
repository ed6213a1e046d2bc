//! What a Debian makes of its network is the same with earlykmsg as without: addresses, routes, names of links, units, and
//! when it is online, for each way to start and each way to manage a network.

use core::time::Duration;
use std::time::Instant;

use earlykmsg_initramfs::Image;
use earlykmsg_initramfs::overlay::Overlay;
use earlykmsg_qemu::{
    Manager, Networked, Outcome, Receiver, Record, Starter, Suite, programs, seqs_missing, seqs_repeated,
    timeline,
};

/// A machine that shares its processors boots a Debian in a minute and a half, and a network that does not come is waited
/// for another two.
const LONG: Duration = Duration::from_secs(600);

/// How much later a machine may be online that began in this time: much, as others may get the processors in one of the
/// boots alone. A service that waits in vain fails as well, which is no matter of time.
fn later_max(online: Duration) -> Duration {
    online * 3 + Duration::from_secs(90)
}

/// What happens in a boot, in this order: the driver of one card, its link, a lease, and so on.
const STEPS: [&str; 8] = [
    "as init process",
    "vmxnet3 virtual NIC driver",
    "NIC Link is Up",
    " s via ",
    "earlykmsg: connected to",
    "renamed from",
    "root switched",
    "is given back",
];

/// What earlykmsg is told besides a destination.
const WORDS: &str = "earlykmsg.ip=dhcp";

/// Keeps the root from being switched until networkd in dracut's image has given both links all that they get.
const SETTLE: &str = "
both() { [ $(grep -c \"$1\") = 2 ]; }
until ip -4 -o address | both ' metric 1024 ' && ip -4 route | grep -q '^default .* proto dhcp ' &&
    ip -6 route | both '^fd.* proto ra ' && ip -6 route | both '^default .* proto ra ' &&
    ! ip -6 -o address show tentative | grep -q .
do sleep 0.2; done";

/// What starts it. Networkd is not waited for without end.
const SETTLE_UNIT: &str = "[Unit]
DefaultDependencies=no
Before=initrd-cleanup.service
[Service]
Type=oneshot
ExecStart=/bin/sh /settle.sh
TimeoutStartSec=90";

/// One machine.
struct Row {
    suite: Suite,
    starter: Starter,
    manager: Manager,
    /// What the kernel's command line says, with earlykmsg and without.
    words: &'static str,
}

impl Row {
    /// What the image has besides. In Debian 13, networkd in dracut's image takes all links without a word on the command line,
    /// and is stopped at the root switch. What it has got by then, and left to the main system, would be chance.
    fn settle(&self) -> Vec<u8> {
        if (self.suite, self.starter) != (Suite::Trixie, Starter::DracutNetworkd) {
            return Vec::new();
        }
        let image = Image::new()
            .file("/settle.sh", 0o644, SETTLE)
            .file("/etc/systemd/system/settle.service", 0o644, SETTLE_UNIT)
            .file("/etc/systemd/system/initrd.target.d/settle.conf", 0o644, "[Unit]\nWants=settle.service\n");
        Overlay::of(&image).unwrap().gzip
    }

    /// The outcome of a boot with these archives behind the initramfs and these words.
    fn outcome(&self, machine: &Networked, overlay: &[u8], words: &str) -> Outcome {
        let archives = [&self.settle(), overlay].concat();
        let boot = machine.boot(self.starter, &archives).unwrap().word(self.words).word(words);
        let mut guest = boot.start().unwrap();
        let outcome = Outcome::of(&mut guest, LONG).unwrap();
        println!("{:?}\nonline {:.1?}, multi-user {:.1?}", guest.age(), outcome.online, outcome.multi_user);
        outcome
    }

    fn assert_the_same(&self) {
        let machine = Networked::with(self.suite, self.manager).unwrap();
        let without = self.outcome(&machine, &[], "");
        println!("{}", without.facts.join("\n"));
        assert_sound(&without);
        let overlay = Overlay::new(&programs().unwrap()).unwrap();
        let receiver = Receiver::tcp();
        let words = format!("rdinit=/earlykmsg {} {WORDS}", receiver.word());
        let with = self.outcome(&machine, &overlay.gzip, &words);
        assert_eq!(differences(&without.facts, &with.facts), [""; 0]);
        // The network ends before the machine does, so the last of them may be missing.
        let records = received(&receiver.streams());
        assert_eq!(records.iter().map(|record| record.seq).min(), Some(0));
        assert_eq!(seqs_missing(&records), [0; 0]);
        let (count, again) = (records.len(), seqs_repeated(&records).len());
        println!("{} records, {again} repeated, in {} connections", count - again, receiver.connections());
        println!("{:?}", timeline(&records, &STEPS));
        assert!(with.online < later_max(without.online), "online {:?}, {:?}", without.online, with.online);
    }
}

/// What only one of two has, as `diff` marks it.
fn differences(without: &[String], with: &[String]) -> Vec<String> {
    let only = |mark: &'static str, one: &[String], other: &[String]| {
        let lines = one.iter().filter(|line| !other.contains(line));
        lines.map(|line| format!("{mark}{line}")).collect::<Vec<_>>()
    };
    [only("-", without, with), only("+", with, without)].concat()
}

#[test]
fn differences_are_told() {
    let [without, with] = [["a", "b"], ["b", "c"]].map(|lines| lines.map(str::to_owned));
    assert_eq!(differences(&without, &with), ["-a", "+c"]);
    assert_eq!(differences(&with, &with), [""; 0]);
}

/// The records of streams, each of which may end within one.
fn received(streams: &[Vec<u8>]) -> Vec<Record> {
    let lines = streams.iter().flat_map(|stream| stream.split_inclusive(|byte| *byte == b'\n'));
    let whole = lines.filter(|line| line.ends_with(b"\n"));
    whole.map(|line| Record::parse(line, Instant::now(), 0).unwrap()).collect()
}

/// That the machine shows something to be compared: both cards with an address, a route to the world.
fn assert_sound(outcome: &Outcome) {
    // In Debian 12 it fails by itself where the initramfs has run it before, with a word that it makes files of.
    let is_known = |fact: &str| fact == "failed systemd-network-generator.service";
    let count = |start: &str, text: &str| {
        let facts = outcome.facts.iter().filter(|fact| !is_known(fact));
        facts.filter(|fact| fact.starts_with(start) && fact.contains(text)).count()
    };
    for (start, text, times) in [
        ("link ", " virtio_net 52:54:00:12:34:01 up", 1),
        ("link ", " vmxnet3 52:54:00:12:34:02 up", 1),
        ("address ", " inet 10.0.2.", 1),
        ("address ", " inet 10.0.3.", 1),
        ("address ", " inet6 fd00:2:", 1),
        ("failed ", "", 0),
        ("waiting ", "", 0),
    ] {
        assert_eq!(count(start, text), times, "{start}{text}: {:#?}", outcome.facts);
    }
    assert!(count("route ", "default via 10.0.2.2 ") >= 1, "{:#?}", outcome.facts);
}

/// A test for each row.
macro_rules! rows {
    ($($name:ident: $suite:ident $starter:ident $manager:ident $words:literal;)*) => {
        $(
            #[test]
            fn $name() {
                let (suite, starter, manager) = (Suite::$suite, Starter::$starter, Manager::$manager);
                Row { suite, starter, manager, words: $words }.assert_the_same();
            }
        )*
    };
}

rows! {
    debian_12_dracut_legacy_ifupdown: Bookworm DracutLegacy Ifupdown "";
    debian_12_initramfs_tools_networkmanager_static: Bookworm InitramfsTools NetworkManagerStatic "";
    debian_12_initramfs_tools_networkd: Bookworm InitramfsTools NetworkdDhcp "";

    long_debian_12_initramfs_tools_ifupdown: Bookworm InitramfsTools Ifupdown "";
    long_debian_12_initramfs_tools_networkd_static: Bookworm InitramfsTools NetworkdStatic "";
    long_debian_12_initramfs_tools_networkmanager: Bookworm InitramfsTools NetworkManagerDhcp "";
    long_debian_12_dracut_legacy_networkd: Bookworm DracutLegacy NetworkdDhcp "";
    long_debian_12_dracut_legacy_networkd_static: Bookworm DracutLegacy NetworkdStatic "";
    long_debian_12_dracut_legacy_networkmanager: Bookworm DracutLegacy NetworkManagerDhcp "";
    long_debian_12_dracut_legacy_networkmanager_static: Bookworm DracutLegacy NetworkManagerStatic "";
    long_debian_12_dracut_networkd_ifupdown: Bookworm DracutNetworkd Ifupdown "";
    long_debian_12_dracut_networkd_networkd: Bookworm DracutNetworkd NetworkdDhcp "";
    long_debian_12_dracut_networkd_networkd_static: Bookworm DracutNetworkd NetworkdStatic "";
    long_debian_12_dracut_networkd_networkmanager: Bookworm DracutNetworkd NetworkManagerDhcp "";
    long_debian_12_dracut_networkd_networkmanager_static: Bookworm DracutNetworkd NetworkManagerStatic "";

    long_debian_13_initramfs_tools_ifupdown: Trixie InitramfsTools Ifupdown "";
    long_debian_13_initramfs_tools_networkd: Trixie InitramfsTools NetworkdDhcp "";
    long_debian_13_initramfs_tools_networkd_static: Trixie InitramfsTools NetworkdStatic "";
    long_debian_13_initramfs_tools_networkmanager: Trixie InitramfsTools NetworkManagerDhcp "";
    long_debian_13_initramfs_tools_networkmanager_static: Trixie InitramfsTools NetworkManagerStatic "";
    long_debian_13_dracut_legacy_ifupdown: Trixie DracutLegacy Ifupdown "";
    long_debian_13_dracut_legacy_networkd: Trixie DracutLegacy NetworkdDhcp "";
    long_debian_13_dracut_legacy_networkd_static: Trixie DracutLegacy NetworkdStatic "";
    long_debian_13_dracut_legacy_networkmanager: Trixie DracutLegacy NetworkManagerDhcp "";
    long_debian_13_dracut_legacy_networkmanager_static: Trixie DracutLegacy NetworkManagerStatic "";
    long_debian_13_dracut_networkd_ifupdown: Trixie DracutNetworkd Ifupdown "";
    long_debian_13_dracut_networkd_networkmanager: Trixie DracutNetworkd NetworkManagerDhcp "";
    long_debian_13_dracut_networkd_networkmanager_static: Trixie DracutNetworkd NetworkManagerStatic "";
    long_debian_13_dracut_networkd_networkd: Trixie DracutNetworkd NetworkdDhcp "";
    long_debian_13_dracut_networkd_networkd_static: Trixie DracutNetworkd NetworkdStatic "";

    // Images that bring the network up themselves: by a word, and without one.
    long_debian_12_dracut_legacy_by_itself: Bookworm DracutLegacy NetworkdDhcp "ip=dhcp rd.neednet=1";
    long_debian_12_dracut_networkd_by_itself: Bookworm DracutNetworkd NetworkdDhcp "ip=dhcp rd.neednet=1";
    long_debian_12_dropbear_ifupdown: Bookworm Dropbear Ifupdown "";
    long_debian_12_dropbear_networkd: Bookworm Dropbear NetworkdDhcp "";
    long_debian_13_dropbear_ifupdown: Trixie Dropbear Ifupdown "";
    long_debian_13_dropbear_networkd: Trixie Dropbear NetworkdDhcp "";

    // Links with the names that the kernel gives them.
    long_debian_12_unnamed_ifupdown: Bookworm InitramfsTools Ifupdown "net.ifnames=0";
    long_debian_12_unnamed_networkd: Bookworm DracutLegacy NetworkdDhcp "net.ifnames=0";
    long_debian_13_unnamed_networkmanager: Trixie DracutLegacy NetworkManagerDhcp "net.ifnames=0";
}
