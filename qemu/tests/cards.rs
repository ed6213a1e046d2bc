//! A network of its own in bare images with Debian's kernels for all machines: each kind of network card, and each way to
//! get an address. The modules of Debian 12's kernel lie there as they are, those of 13's are compressed.

use core::net::Ipv6Addr;
use core::time::Duration;

use earlykmsg_qemu::{Boot, End, Kernel, Machine, Receiver, image, seqs_missing, timeline};
use earlykmsg_tests::nameserver::{DnsFault, NameServer};
use earlykmsg_tests::sandbox::alone;

/// A machine that shares its processors takes long for all.
const LONG: Duration = Duration::from_secs(300);

/// Drivers of all that QEMU has, and of what is made of links.
const MODULES: [&str; 10] = [
    "virtio_pci",
    "virtio_net",
    "e1000",
    "e1000e",
    "vmxnet3",
    "8139cp",
    "xhci_pci",
    "cdc_ether",
    "bonding",
    "8021q",
];

/// What there is of the network, behind a mark.
const SHOW: &str = "
show() {
    for link in /sys/class/net/*/device/driver; do
        [ ! -e $link ] || echo \"$1DRIVER $(echo $link | cut -d / -f 5) $(basename $(readlink $link))\"
    done
    ip -o link show | grep -v ' lo: ' | sed \"s/^/$1LINK /\"
    ip -o addr show | grep -v ' lo ' | sed \"s/^/$1ADDR /\"
    for family in 4 6; do
        ip -$family route show table all | grep -v 'dev lo ' | sed \"s/^/$1ROUTE /\"
    done
    show_processes | sed \"s/^/$1/\"
}";

/// A boot with a network of its own, from the first record to the end of the network.
struct Row {
    machine: Machine,
    /// What QEMU is told of its cards.
    cards: &'static [&'static str],
    words: &'static str,
    /// What the guest does once a connection stands.
    script: &'static str,
    /// What must be shown of the network before the root is switched: a mark and a part of its line each.
    shows: &'static [(&'static str, &'static str)],
}

impl Row {
    /// Every record arrives from the first on, and after the switch of root nothing is left.
    fn assert_ships(&self, receiver: &Receiver, destination: &str) {
        let kernel = Kernel::of(self.machine).unwrap();
        let script = format!(
            "{SHOW}\nwait_log 'earlykmsg: connected to'; {}; show BEFORE-; make_main_system; move_mounts\n\
             exec switch_root /new /sbin/init",
            self.script
        );
        let main =
            format!("{SHOW}\nwait_log 'the network is given back'; show AFTER-; echo SHOWN; wait_for_go");
        let image = image::bare(&script).unwrap().with(image::drivers(&kernel, &MODULES).unwrap());
        let image = image.file("/script.main", 0o644, main);
        let mut boot = Boot::new(&kernel, image.to_cpio()).without_network().rdinit("/earlykmsg");
        boot = boot.word(format!("talos.logging.kernel={destination}")).word(self.words);
        for argument in self.cards {
            boot = boot.qemu_argument(*argument);
        }
        let mut guest = boot.start().unwrap();
        guest.wait_console("SHOWN", LONG).unwrap();
        for (mark, part) in self.shows {
            let lines = guest.report(&format!("BEFORE-{mark} "));
            assert!(lines.iter().any(|line| line.contains(part)), "{}", guest.failure(part));
        }
        let up = guest.report("AFTER-LINK ").into_iter().filter(|line| line.contains("UP"));
        assert_eq!(up.collect::<Vec<_>>(), [""; 0], "{}", guest.failure("a link is up"));
        for mark in ["AFTER-ADDR ", "AFTER-ROUTE "] {
            assert_eq!(guest.report(mark), [""; 0], "{}", guest.failure("something is left"));
        }
        // The watcher and its shipper.
        assert_eq!(guest.report("AFTER-PROCESS ").len(), 2, "{}", guest.failure("a process is left"));
        let records = receiver.records().unwrap();
        assert_eq!(records.first().map(|record| record.seq), Some(0), "{}", guest.failure("the first"));
        assert_eq!(seqs_missing(&records), [0; 0]);
        let steps = timeline(&records, &["as init process", "earlykmsg: connected to"]);
        println!(
            "{}, {}: connected {} ms after the start of PID 1",
            kernel.release,
            self.words,
            steps[1].1 - steps[0].1
        );
        guest.go().unwrap();
        assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    }
}

/// The machines, and the name of the test's module for each.
macro_rules! on_both {
    ($($name:ident: $cards:expr, $words:expr, $script:expr, $shows:expr;)*) => {
        mod long_debian_12 {
            use super::*;
            $(on_both!(@test AMD64_GENERIC $name: $cards, $words, $script, $shows);)*
        }
        mod long_debian_13 {
            use super::*;
            $(on_both!(@test AMD64_GENERIC_13 $name: $cards, $words, $script, $shows);)*
        }
    };
    (@test $machine:ident $name:ident: $cards:expr, $words:expr, $script:expr, $shows:expr) => {
        #[test]
        fn $name() {
            let receiver = Receiver::tcp();
            let machine = Machine::$machine;
            let row = Row { machine, cards: $cards, words: $words, script: $script, shows: $shows };
            row.assert_ships(&receiver, &receiver.url());
        }
    };
}

const USER: &str = "user,id=net0";
const DHCP: &str = "earlykmsg.ip=dhcp";
const LEASE: (&str, &str) = ("ADDR", "10.0.2.15/32");

on_both! {
    virtio: &["-netdev", USER, "-device", "virtio-net-pci,netdev=net0,romfile="], DHCP, ":",
        &[LEASE, ("DRIVER", "virtio_net")];
    e1000: &["-netdev", USER, "-device", "e1000,netdev=net0,romfile="], DHCP, ":", &[LEASE, ("DRIVER", "e1000")];
    e1000e: &["-netdev", USER, "-device", "e1000e,netdev=net0,romfile="], DHCP, ":", &[LEASE, ("DRIVER", "e1000e")];
    vmxnet3: &["-netdev", USER, "-device", "vmxnet3,netdev=net0,romfile="], DHCP, ":", &[LEASE, ("DRIVER", "vmxnet3")];
    rtl8139: &["-netdev", USER, "-device", "rtl8139,netdev=net0,romfile="], DHCP, ":", &[LEASE, ("DRIVER", "8139cp")];
    usb: &["-netdev", USER, "-device", "qemu-xhci,id=usb", "-device", "usb-net,bus=usb.0,netdev=net0"], DHCP, ":",
        &[LEASE, ("DRIVER", "cdc_ether")];
    a_named_address: &["-netdev", USER, "-device", "virtio-net-pci,netdev=net0,romfile="],
        "earlykmsg.ip=10.0.2.20::10.0.2.2:24:node7::none", ":", &[("ADDR", "10.0.2.20/32")];
    // Nobody answers on the first.
    the_second_of_two_links: &["-device", "virtio-net-pci,romfile=", "-netdev", USER, "-device", "vmxnet3,netdev=net0,romfile="],
        DHCP, "until [ $(ls -d /sys/class/net/e* | wc -l) = 2 ]; do sleep 0.1; done", &[LEASE, ("DRIVER", "virtio_net"), ("DRIVER", "vmxnet3"), ("LINK", ": <BROADCAST,MULTICAST> ")];
    // The kernel numbers links as their drivers find them.
    links_in_the_order_of_their_slots: &["-device", "e1000e,addr=0x10,romfile=",
            "-netdev", USER, "-device", "vmxnet3,netdev=net0,addr=0x11,romfile="],
        DHCP, "until [ $(ls -d /sys/class/net/e* | wc -l) = 2 ]; do sleep 0.1; done",
        &[("DRIVER", "eth0 e1000e"), ("DRIVER", "eth1 vmxnet3")];
    // The first lease names no router. It is kept beside the other.
    the_lease_with_a_router: &["-netdev", "user,id=net1,net=10.0.3.0/24,restrict=on",
            "-device", "virtio-net-pci,netdev=net1,romfile=",
            "-netdev", USER, "-device", "e1000e,netdev=net0,romfile="],
        DHCP, ":", &[LEASE, ("ADDR", "10.0.3.15/32"), ("ROUTE", "default via 10.0.2.2")];
    a_vlan: &["-netdev", USER, "-device", "virtio-net-pci,netdev=net0,romfile="],
        "earlykmsg.vlan=eth0.5:eth0 earlykmsg.ip=10.9.5.1:::24::eth0.5:none earlykmsg.ip=eth0:dhcp",
        "wait_log 'eth0.5: 10.9.5.1/24'", &[LEASE, ("ADDR", "10.9.5.1/32"), ("LINK", "eth0.5@eth0: <BROADCAST,MULTICAST,UP")];
    // Both links lead to the same network, and the one in use fails.
    a_bond: &["-netdev", USER, "-netdev", "hubport,id=port0,hubid=0,netdev=net0",
            "-netdev", "hubport,id=port1,hubid=0", "-device", "virtio-net-pci,netdev=port1,romfile=",
            "-netdev", "hubport,id=port2,hubid=0", "-device", "virtio-net-pci,netdev=port2,romfile="],
        "earlykmsg.bond=bond7:eth0,eth1:mode=active-backup,miimon=100 earlykmsg.ip=bond7:dhcp",
        "bond=/sys/class/net/bond7/bonding
        used() { cat $bond/active_slave; }
        until [ \"$(cat $bond/slaves | wc -w)\" = 2 ]; do sleep 0.1; done
        first=$(used); ip link set $first down
        until [ \"$(used)\" ] && [ \"$(used)\" != $first ]; do sleep 0.1; done; say 'by the other link'
        echo BEFORE-USED other",
        &[LEASE, ("LINK", "bond7"), ("USED", "other")];
}

/// IPv6 alone: an address by a router's advertisements, and with it a name server, which knows the destination.
fn by_router_advertisements(machine: Machine) {
    alone(|sandbox| {
        // QEMU advertises a name server if its host has one with an IPv6 address.
        sandbox.bind(&sandbox.file("resolv.conf", "nameserver ::1\n"), "/etc/resolv.conf");
        let names = NameServer::new(Ipv6Addr::LOCALHOST, "logs.example 300 AAAA fec0::2", DnsFault::Answers);
        let receiver = Receiver::tcp6();
        let row = Row {
            machine,
            cards: &[
                "-netdev",
                "user,id=net0,ipv4=off,ipv6=on",
                "-device",
                "virtio-net-pci,netdev=net0,romfile=",
            ],
            words: "earlykmsg.ip=auto6",
            script: ":",
            shows: &[("ADDR", "fec0::"), ("ROUTE", "default via fe80::2")],
        };
        row.assert_ships(&receiver, &format!("tcp://logs.example:{}/", receiver.port()));
        assert!(names.first_asked().is_some());
    });
}

#[test]
fn long_debian_12_by_router_advertisements() {
    by_router_advertisements(Machine::AMD64_GENERIC);
}

#[test]
fn long_debian_13_by_router_advertisements() {
    by_router_advertisements(Machine::AMD64_GENERIC_13);
}
