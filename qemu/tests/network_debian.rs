//! A network of its own in machines whose own initramfs and main system take care of theirs: with it and without, the
//! same comes out.

use core::time::Duration;

use earlykmsg_initramfs::overlay::Overlay;
use earlykmsg_qemu::{Debian, End, Guest, Kernel, Maker, Receiver, programs, seqs_missing, timeline};

/// A machine that shares its processors boots a Debian in a minute and a half.
const LONG: Duration = Duration::from_secs(400);

/// What the main system is told to do with its network.
struct MainSystem {
    name: &'static str,
    /// Files of its disk, each with its path.
    files: &'static [(&'static str, &'static str)],
    words: &'static str,
    /// Succeeds once the network is there.
    wait: &'static str,
}

const NETWORKD_DHCP: MainSystem = MainSystem {
    name: "networkd, DHCP",
    files: &[("/etc/systemd/network/10-all.network", "[Match]\nName=e*\n[Network]\nDHCP=ipv4\n")],
    words: "systemd.wants=systemd-networkd.service",
    wait: "until ip -4 route show default | grep -q 'proto dhcp'; do sleep 0.2; done",
};

const NETWORKD_STATIC: MainSystem = MainSystem {
    name: "networkd, static",
    files: &[(
        "/etc/systemd/network/10-all.network",
        "[Match]\nName=e*\n[Network]\nAddress=10.0.2.77/24\nGateway=10.0.2.2\nLinkLocalAddressing=no\n",
    )],
    words: "systemd.wants=systemd-networkd.service",
    wait: "until ip -4 route show default | grep -q 'proto static'; do sleep 0.2; done",
};

/// What there is of the network, in a form that can be compared.
const SHOW: &str = "ip -o link show | sed 's/qlen.*//; s/^/NET /'; ip -4 -o addr show | sed 's/valid_lft.*//; s/^/NET /'; \
    ip -4 route show | sed 's/^/NET /'; systemctl --failed --plain --no-legend | sed 's/^/NET /'; echo SHOWN";

/// Boots, and returns what there is of the network in the end.
fn network_of(debian: &Debian, maker: Maker, system: &MainSystem, with_us: Option<&Receiver>) -> Vec<String> {
    let overlay = Overlay::new(&programs().unwrap()).unwrap();
    let boot = debian
        .boot_without_network(maker, &overlay.gzip)
        .unwrap()
        .word(system.words)
        .word("systemd.mask=rsyslog.service");
    let boot = match with_us {
        Some(receiver) => boot.rdinit("/earlykmsg").word(receiver.word()).word("earlykmsg.ip=dhcp"),
        None => boot,
    };
    let mut guest: Guest = boot.start().unwrap();
    guest.wait_ready(LONG).unwrap();
    if with_us.is_some() {
        guest.type_line("wait_log 'the network is given back'; echo GIVEN BACK").unwrap();
        guest.wait_console("GIVEN BACK", LONG).unwrap();
    }
    guest.type_line(&format!("{}; {SHOW}", system.wait)).unwrap();
    guest.wait_console("SHOWN", LONG).unwrap();
    if let Some(receiver) = with_us {
        guest.type_line("say 'of the main system'").unwrap();
        let records = guest.explain(receiver.wait_text("of the main system", LONG)).unwrap();
        assert_eq!(records[0].seq, 0, "{}", guest.failure("the first record"));
        let at = |text: &str| records.iter().position(|record| record.msg.contains(text));
        assert!(
            at("earlykmsg: connected to") < at("root switched"),
            "{}",
            guest.failure("not before the switch")
        );
        println!("{}, {}: {:?}", maker.name(), system.name, timeline(&records, &STEPS));
    }
    let shown = guest.report("NET ");
    guest.type_line("systemctl poweroff").unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    shown
}

/// What happens in a boot, in this order.
const STEPS: [&str; 6] = [
    "as init process",
    " s via ",
    "earlykmsg: connected to",
    "renamed from",
    "root switched",
    "is given back",
];

fn assert_equal_with_and_without(maker: Maker, system: &MainSystem) {
    let mut debian = Debian::with(&Kernel::debian().unwrap()).unwrap();
    for (path, text) in system.files {
        debian = debian.and_file(path, text.as_bytes(), 0o644).unwrap();
    }
    let receiver = Receiver::tcp();
    let with = network_of(&debian, maker, system, Some(&receiver));
    let without = network_of(&debian, maker, system, None);
    println!("{}, {}: {}", maker.name(), system.name, without.join("\n"));
    assert_eq!(with, without, "{}, {}", maker.name(), system.name);
}

/// Its kernel does not rename links that are up.
#[test]
fn dracut_and_networkd() {
    assert_equal_with_and_without(Maker::Dracut, &NETWORKD_DHCP);
}

#[test]
fn dracut_and_networkd_with_a_named_address() {
    assert_equal_with_and_without(Maker::Dracut, &NETWORKD_STATIC);
}

/// What makes an initramfs of initramfs-tools ask by DHCP stands on no command line: when it does, the network is left to it.
#[test]
fn initramfs_tools_that_asks_by_dhcp() {
    let receiver = Receiver::tcp();
    let overlay = Overlay::new(&programs().unwrap()).unwrap();
    let debian = Debian::with(&Kernel::debian().unwrap()).unwrap();
    let boot =
        debian.boot_without_network(Maker::InitramfsTools, &overlay.gzip).unwrap().rdinit("/earlykmsg");
    let boot =
        boot.word(receiver.word()).word("earlykmsg.ip=dhcp systemd.mask=rsyslog.service net.ifnames=0");
    let mut guest = boot.start().unwrap();
    guest.wait_ready(LONG).unwrap();
    guest.type_line(&format!("wait_log 'asks for an address by DHCP'; {SHOW}")).unwrap();
    guest.wait_console("SHOWN", LONG).unwrap();
    // That of the image, which nobody has taken away.
    let shown = guest.report("NET ");
    assert!(shown.iter().any(|line| line.contains("10.0.2.15/24")), "{}", guest.failure("its address"));
    assert!(shown.iter().any(|line| line.contains("default via 10.0.2.2")), "{}", guest.failure("its route"));
    guest.type_line("say 'of the main system'").unwrap();
    let records = guest.explain(receiver.wait_text("of the main system", LONG)).unwrap();
    assert_eq!(records[0].seq, 0);
    guest.type_line("systemctl poweroff").unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
}

/// The case that all of this is for: no root disk, and an emergency shell.
#[test]
fn an_emergency_shell_of_dracut() {
    let receiver = Receiver::tcp();
    let overlay = Overlay::new(&programs().unwrap()).unwrap();
    let debian = Debian::with(&Kernel::debian().unwrap()).unwrap();
    let boot = debian.boot_without_network(Maker::Dracut, &overlay.gzip).unwrap().rdinit("/earlykmsg");
    let boot =
        boot.word(receiver.word()).word("earlykmsg.ip=dhcp root=UUID=9d3c7f6e-0000-4000-8000-000000000000");
    let guest =
        boot.word("rd.timeout=10 rd.retry=5 systemd.log_target=kmsg printk.devkmsg=on").start().unwrap();
    let records = guest.explain(receiver.wait_text("Emergency Shell", LONG)).unwrap();
    assert_eq!(records[0].seq, 0, "{}", guest.failure("the first record"));
    assert_eq!(seqs_missing(&records), [0; 0]);
    println!("dracut, emergency shell: {} records, {:?}", records.len(), timeline(&records, &STEPS));
}
