//! A network of its own: guests whose image brings none up.

use core::time::Duration;

use earlykmsg_initramfs::Image;
use earlykmsg_initramfs::drivers::Drivers;
use earlykmsg_initramfs::overlay::Overlay;
use earlykmsg_qemu::{Boot, End, Guest, Kernel, Receiver, image};

/// A machine that shares its processors takes long for all.
const LONG: Duration = Duration::from_secs(180);

/// An image with the drivers of a kernel where the kernel's own tools put them, that brings no network up.
fn bare(kernel: &Kernel, script: &str) -> Image {
    let drivers = image::drivers(kernel, &["virtio_pci", "virtio_net", "bonding", "8021q"]).unwrap();
    image::bare(script).unwrap().with(drivers)
}

fn boot(image: &Image, words: &str, receiver: &Receiver) -> Boot {
    let kernel = Kernel::debian().unwrap();
    Boot::new(&kernel, image.to_cpio()).rdinit("/earlykmsg").word(receiver.word()).word(words)
}

fn start(image: &Image, words: &str, receiver: &Receiver) -> Guest {
    boot(image, words, receiver).start().unwrap()
}

/// What is shown of the network: `wait_for_go` in front lets the test decide when.
const SHOW: &str = "ip -o link show | sed 's/^/LINK /'; ip -o addr show | sed 's/^/ADDR /'; \
                    ip route show table all | sed 's/^/ROUTE /'; ip -6 route show table all | sed 's/^/ROUTE6 /'; \
                    show_processes; echo SHOWN";

/// Bound by these words: every record from the first on arrives.
fn assert_ships(words: &str) -> Guest {
    assert_ships_with(words, &[])
}

/// The same with more of the machine.
fn assert_ships_with(words: &str, qemu_arguments: &[&str]) -> Guest {
    let receiver = Receiver::tcp();
    let image = bare(&Kernel::debian().unwrap(), &format!("wait_for_go; {SHOW}; wait_for_go"));
    let boot = boot(&image, words, &receiver);
    let boot = qemu_arguments.iter().fold(boot, |boot, argument| boot.qemu_argument(*argument));
    let mut guest = boot.start().unwrap();
    guest.wait_ready(LONG).unwrap();
    let records = guest.explain(receiver.wait_text("earlykmsg: connected to", LONG)).unwrap();
    assert_eq!(records[0].seq, 0, "{}", guest.failure("the first record"));
    let clock = |text: &str| {
        let record = records.iter().find(|record| record.msg.contains(text));
        let record = record.unwrap_or_else(|| panic!("{}", guest.failure(text)));
        record.json["clock"].as_u64().unwrap()
    };
    let ms = (clock("earlykmsg: connected to") - clock("as init process")) / 1_000;
    println!("{words}: connected {ms} ms after the start of PID 1");
    guest.go().unwrap();
    guest.wait_console("SHOWN", LONG).unwrap();
    guest
}

#[test]
fn by_dhcp() {
    let mut guest = assert_ships("earlykmsg.ip=dhcp");
    let addresses = guest.report("ADDR ");
    let own = addresses.iter().find(|line| line.contains("10.0.2.15/32")).expect("the address");
    assert!(own.contains("valid_lft 86"), "an address for ever: {own}");
    let routes = guest.report("ROUTE ");
    for route in ["default via 10.0.2.2 dev eth0", "10.0.2.0/24 dev eth0"] {
        let route = routes.iter().find(|line| line.contains(route)).unwrap_or_else(|| panic!("{routes:?}"));
        assert!(route.contains("metric 65535"), "{route}");
    }
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
}

#[test]
fn by_a_named_address() {
    for device in ["", "eth0", "52:54:00:12:34:56"] {
        let mut guest = assert_ships(&format!("earlykmsg.ip=10.0.2.20::10.0.2.2:24:node7:{device}:none"));
        assert!(guest.report("ADDR ").iter().any(|line| line.contains("10.0.2.20/32")));
        guest.go().unwrap();
        assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    }
}

/// An image without drivers, and those of an overlay behind it.
#[test]
fn with_drivers_of_our_own() {
    let kernel = Kernel::debian().unwrap();
    let drivers = Drivers::of(&kernel.folder, &[]).unwrap();
    let receiver = Receiver::tcp();
    let image = image::bare(&format!("wait_for_go; {SHOW}")).unwrap().to_cpio();
    let overlay = Overlay::of(&drivers.image).unwrap().zstd;
    let boot = Boot::new(&kernel, [image, overlay].concat()).rdinit("/earlykmsg").word(receiver.word());
    let mut guest = boot.word("earlykmsg.ip=dhcp").start().unwrap();
    guest.wait_ready(LONG).unwrap();
    guest.explain(receiver.wait_text("earlykmsg: connected to", LONG)).unwrap();
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
}

/// A second link, on which nobody answers, is set down again.
#[test]
fn of_two_links_the_one_that_answers() {
    let mut guest = assert_ships_with("earlykmsg.ip=dhcp", &["-device", "virtio-net-pci,romfile="]);
    let links = guest.report("LINK ");
    let up: Vec<&String> = links.iter().filter(|line| line.contains("eth") && line.contains("UP")).collect();
    assert!(up.len() == 1, "{links:?}");
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
}

/// A network whose server names no router answers as well, and leads nowhere.
#[test]
fn of_two_leases_the_one_with_a_router() {
    let receiver = Receiver::tcp();
    let image = bare(&Kernel::debian().unwrap(), "wait_for_go");
    let mut boot = boot(&image, "earlykmsg.ip=dhcp", &receiver).without_network();
    for argument in [
        ["-netdev", "user,id=net1,net=10.0.3.0/24,restrict=on"],
        ["-device", "virtio-net-pci,netdev=net1,romfile="],
        ["-netdev", "user,id=net0"],
        ["-device", "virtio-net-pci,netdev=net0,romfile="],
    ] {
        boot = argument.iter().fold(boot, |boot, argument| boot.qemu_argument(*argument));
    }
    let mut guest = boot.start().unwrap();
    guest.explain(receiver.wait_text("earlykmsg: connected to", LONG)).unwrap();
    guest.wait_ready(LONG).unwrap();
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
}

#[test]
fn by_a_bond() {
    let words = "earlykmsg.bond=bond7:eth0:mode=active-backup earlykmsg.ip=bond7:dhcp";
    let mut guest = assert_ships(words);
    let links = guest.report("LINK ");
    assert!(links.iter().any(|line| line.contains("bond7") && line.contains("UP")), "{links:?}");
    assert!(links.iter().all(|line| !line.contains("bond0")), "{links:?}");
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
}

/// A VLAN is made beside the link that is served, and is gone after the switch of root.
#[test]
fn a_vlan_and_its_end() {
    let receiver = Receiver::tcp();
    let main = format!("mount -t sysfs sys /sys; wait_log 'is given back'; {SHOW}; wait_for_go");
    let script = "wait_log 'eth0.5: 10.9.5.1/24'; wait_log 'earlykmsg: connected to'\n\
                  ip -o link show eth0.5 | sed 's/^/VLAN /'; make_main_system; move_mounts\n\
                  exec switch_root /new /sbin/init";
    let image = bare(&Kernel::debian().unwrap(), script).file("/script.main", 0o644, main.as_str());
    let words = "earlykmsg.vlan=eth0.5:eth0 earlykmsg.ip=10.9.5.1:::24::eth0.5:none earlykmsg.ip=eth0:dhcp";
    let mut guest = start(&image, words, &receiver);
    guest.wait_console("SHOWN", LONG).unwrap();
    let vlan = guest.report("VLAN ");
    assert!(vlan.iter().any(|line| line.contains("UP")), "{vlan:?}");
    assert!(
        guest.report("LINK ").iter().all(|line| !line.contains("eth0.5")),
        "{}",
        guest.failure("the VLAN")
    );
    assert_given_back(&guest);
    guest.wait_ready(LONG).unwrap();
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
}

/// Finds the processes that bring the network up, for a script: `$keeper` and `$client`.
const FIND: &str = r#"
children_of() {
    for dir in /proc/[0-9]*; do
        grep -qs "^PPid:.$1$" $dir/status && grep -qs earlykmsg $dir/comm && grep -qs '^Uid:.0' $dir/status && echo ${dir#/proc/}
    done
}
watcher=$(children_of 1); keeper=$(children_of $watcher); client=$(children_of $keeper)
"#;

/// Nothing is left of it.
fn assert_given_back(guest: &Guest) {
    let links = guest.report("LINK ");
    let eth0 = links.iter().find(|line| line.contains("eth0")).expect("the link is still there");
    assert!(!eth0.contains("UP"), "{eth0}");
    assert_eq!(guest.report("ADDR ").iter().filter(|line| line.contains("eth0")).count(), 0);
    assert_eq!(guest.report("ROUTE "), [""; 0]);
    // The watcher and one shipper.
    assert_eq!(guest.report("PROCESS ").len(), 2, "{}", guest.failure("a process of the network's is left"));
}

/// Whatever ends one of its processes, the other one gives the network back.
#[test]
fn given_back_when_a_process_dies() {
    for who in ["client", "keeper"] {
        let receiver = Receiver::tcp();
        let script = format!(
            "wait_for_go\n{FIND}\nkill -KILL ${who}; wait_log 'given back'; sleep 0.2; {SHOW}; wait_for_go"
        );
        let mut guest = start(&bare(&Kernel::debian().unwrap(), &script), "earlykmsg.ip=dhcp", &receiver);
        guest.wait_ready(LONG).unwrap();
        guest.explain(receiver.wait_text("earlykmsg: connected to", LONG)).unwrap();
        guest.go().unwrap();
        guest.wait_console("SHOWN", LONG).unwrap();
        assert_given_back(&guest);
        guest.go().unwrap();
        assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    }
}

/// A client that hangs does not keep the network from being given back.
#[test]
fn given_back_when_the_client_hangs() {
    let receiver = Receiver::tcp();
    let main = format!("mount -t sysfs sys /sys; wait_log 'is given back'; {SHOW}; wait_for_go");
    let script = format!(
        "wait_log 'earlykmsg: connected to'\n{FIND}\nkill -STOP $client; make_main_system; move_mounts; \
         exec switch_root /new /sbin/init"
    );
    let image = bare(&Kernel::debian().unwrap(), &script).file("/script.main", 0o644, main.as_str());
    let mut guest = start(&image, "earlykmsg.ip=dhcp", &receiver);
    guest.wait_console("SHOWN", LONG).unwrap();
    assert_given_back(&guest);
    guest.wait_ready(LONG).unwrap();
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
}

/// A kernel before 6.2 cannot rename a link that is up. It is set down for udevd when there is one, and up again even if
/// that never answers.
#[test]
fn down_for_udevd_alone() {
    let receiver = Receiver::tcp();
    let script = "wait_for_go
        is_up() { ip -o link show eth0 | grep -q ',UP'; }
        echo add > /sys/class/net/eth0/uevent; sleep 1; is_up && echo 'STATE without udevd: up'
        mkdir -p /run/udev; : > /run/udev/control; echo add > /sys/class/net/eth0/uevent
        while is_up; do sleep 0.05; done; echo 'STATE with a silent one: down'
        while ! is_up; do sleep 0.05; done; echo 'STATE with a silent one: up again'
        echo SHOWN; wait_for_go";
    let mut guest = start(&bare(&Kernel::debian().unwrap(), script), "earlykmsg.ip=dhcp", &receiver);
    guest.wait_ready(LONG).unwrap();
    guest.explain(receiver.wait_text("earlykmsg: connected to", LONG)).unwrap();
    guest.go().unwrap();
    guest.wait_console("SHOWN", LONG).unwrap();
    let want = ["without udevd: up", "with a silent one: down", "with a silent one: up again"];
    assert_eq!(guest.report("STATE "), want, "{}", guest.failure("the link"));
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
}

/// At the switch of root nothing is left of it, and what the main system does with the network works.
#[test]
fn given_back_at_the_switch() {
    let receiver = Receiver::tcp();
    let main = format!(
        "mount -t sysfs sys /sys; wait_log 'the network is given back'; {SHOW}; say 'of the main system'\n\
         ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2; wait_for_go"
    );
    let script =
        "wait_log 'earlykmsg: connected to'; make_main_system; move_mounts; exec switch_root /new /sbin/init";
    let image = bare(&Kernel::debian().unwrap(), script).file("/script.main", 0o644, main.as_str());
    let mut guest = start(&image, "earlykmsg.ip=dhcp", &receiver);
    guest.wait_console("SHOWN", LONG).unwrap();
    assert_given_back(&guest);
    let records = guest.explain(receiver.wait_text("of the main system", LONG)).unwrap();
    assert_eq!(records[0].seq, 0);
    guest.wait_ready(LONG).unwrap();
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
}

/// Somebody else takes care of the network: it is left to them, with what is theirs untouched.
#[test]
fn gives_way_to_an_address() {
    let receiver = Receiver::tcp();
    let script = format!(
        "wait_for_go; ip addr add 10.0.2.99/24 dev eth0; wait_log 'the network is given back'; {SHOW}; wait_for_go"
    );
    let mut guest = start(&bare(&Kernel::debian().unwrap(), &script), "earlykmsg.ip=dhcp", &receiver);
    guest.wait_ready(LONG).unwrap();
    guest.explain(receiver.wait_text("earlykmsg: connected to", LONG)).unwrap();
    guest.go().unwrap();
    guest.wait_console("SHOWN", LONG).unwrap();
    let addresses: Vec<String> = guest
        .report("ADDR ")
        .into_iter()
        .filter(|line| line.contains("eth0") && line.contains("inet "))
        .collect();
    assert!(addresses.len() == 1 && addresses[0].contains("10.0.2.99"), "{addresses:?}");
    let links = guest.report("LINK ");
    assert!(links.iter().any(|line| line.contains("eth0") && line.contains("UP")), "{links:?}");
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
}

/// Another program asks for an address by DHCP: both links stay up for it until the root is switched. As it has not given
/// them an address by then, nothing is left.
#[test]
fn gives_way_to_another_client() {
    let receiver = Receiver::tcp();
    let main = "mount -t sysfs sys /sys; while ip -o link show | grep -v lo: | grep -q ',UP'; do sleep 0.05; done; wait_for_go";
    let script = format!(
        "wait_log 'eth0: 10.0.2.15/24'; wait_log 'eth1: 10.0.3.15/24'; udhcpc -i eth0 -n -q -f -s /bin/true\n\
         wait_log 'the network is given back'; {SHOW}; make_main_system; move_mounts; exec switch_root /new /sbin/init"
    );
    let image = bare(&Kernel::debian().unwrap(), &script).file("/script.main", 0o644, main);
    let boot = boot(&image, "earlykmsg.ip=eth0:dhcp earlykmsg.ip=eth1:dhcp", &receiver)
        .qemu_argument("-netdev")
        .qemu_argument("user,id=net1,net=10.0.3.0/24,restrict=on")
        .qemu_argument("-device")
        .qemu_argument("virtio-net-pci,netdev=net1,romfile=");
    let mut guest = boot.start().unwrap();
    guest.wait_console("SHOWN", LONG).unwrap();
    let is_up = |lines: &[String], link: &str| {
        let line = lines.iter().find(|line| line.contains(link)).expect("the link is there");
        line.contains("UP")
    };
    let links = guest.report("LINK ");
    assert!(is_up(&links, "eth0") && is_up(&links, "eth1"), "{links:?}");
    let addresses = guest.report("ADDR ");
    assert!(addresses.iter().all(|line| !line.contains(" inet 10.")), "{addresses:?}");
    guest.wait_ready(LONG).unwrap();
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
}

/// The image does it: nothing is done, and said so.
#[test]
fn left_to_the_image() {
    let receiver = Receiver::tcp();
    let script = format!("wait_log 'the image brings the network up itself: rd.neednet'; {SHOW}");
    let mut guest =
        start(&bare(&Kernel::debian().unwrap(), &script), "earlykmsg.ip=dhcp rd.neednet=1", &receiver);
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    assert_eq!(guest.report("LINK ").iter().filter(|line| line.contains("eth0")).count(), 0);
}
