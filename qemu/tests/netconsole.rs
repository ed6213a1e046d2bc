//! The kernel's netconsole: armed by earlykmsg, it sends what a kernel prints while it dies.

use core::str::FromStr;
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;

use earlykmsg_initramfs::Image;
use earlykmsg_initramfs::drivers::Drivers;
use earlykmsg_initramfs::overlay::Overlay;
use earlykmsg_qemu::{Boot, Kernel, LONG, Machine, Receiver, image};
use earlykmsg_tests::foreign::{Foreign, listens, until};
use earlykmsg_tests::receiver::Udp;
use serde_json::Value;

/// An image whose `/init` runs the script, with netconsole where a kernel's own tools put it.
fn image(kernel: &Kernel, script: &str) -> Image {
    with_modules(kernel, image::standard(kernel, script).unwrap(), &["netconsole"])
}

fn with_modules(kernel: &Kernel, image: Image, names: &[&str]) -> Image {
    image.with(image::drivers(kernel, names).unwrap()).with(image::programs().unwrap())
}

fn boot(kernel: &Kernel, image: &Image, netconsole: &str) -> Boot {
    Boot::new(kernel, image.to_cpio())
        .rdinit("/earlykmsg")
        .word("printk.devkmsg=on")
        .word(format!("earlykmsg.netconsole={netconsole}"))
}

/// A message of netconsole in the extended format: `6,1234,5678901,-;text`.
struct Message {
    seq: u64,
    text: String,
}

fn messages(receiver: &Udp) -> Vec<Message> {
    let lines = receiver.lines.items();
    let parse = |line: &earlykmsg_tests::receiver::Line| {
        let datagram = String::from_utf8_lossy(&line.bytes).into_owned();
        let (header, text) = datagram.split_once(';').expect(&datagram);
        let seq = header.split(',').nth(1).and_then(|seq| seq.parse().ok()).expect(&datagram);
        Message { seq, text: text.lines().next().unwrap_or_default().to_owned() }
    };
    lines.iter().map(parse).collect()
}

/// The kernel dies, and its last line arrives: all that the console shows after netconsole was armed does, once, and with
/// the numbers that the same records have in the JSON lines.
fn assert_the_last_line_arrives(kernel: &Kernel) {
    let (receiver, console) = (Receiver::tcp(), Udp::new());
    let script = "network_up; wait_log 'netconsole sends to'; say 'a last record'; wait_for_go\n\
                  echo c > /proc/sysrq-trigger";
    let url = format!("udp://10.0.2.2:{}/", console.address.port());
    // `panic=0`: it stays dead. The line is printed only by a kernel that does not start anew.
    let boot = boot(kernel, &image(kernel, script), &url).loud().word("panic=0").word(receiver.word());
    let mut guest = boot.start().unwrap();
    guest.wait_ready(LONG).unwrap();
    console.lines.wait_for("a last record", LONG);
    guest.explain(receiver.wait_text("a last record", LONG)).unwrap();
    guest.go().unwrap();
    guest.wait_console("---[ end Kernel panic", LONG).unwrap();
    console.lines.wait_for("---[ end Kernel panic", LONG);

    let came = messages(&console);
    assert!(came.windows(2).all(|pair| pair[0].seq < pair[1].seq), "each once, and in order");
    let shown: Vec<String> = guest.lines().into_iter().map(|line| line.text).collect();
    let dying = shown.iter().position(|line| line.contains("sysrq: Trigger a crash")).expect("it crashes");
    for line in &shown[dying..] {
        let text = line.split_once("] ").map_or(line.as_str(), |(_, text)| text);
        let count = came.iter().filter(|message| message.text.contains(text)).count();
        assert!(count >= 1, "{}", guest.failure(&format!("{line:?} did not come")));
    }
    let dying_came = came.iter().position(|message| message.text.contains("sysrq: Trigger a crash"));
    let received = came.len() - dying_came.expect("the crash");
    println!("{}: {} lines on the console, {received} received", kernel.release, shown.len() - dying);
    let records = receiver.records().unwrap();
    let record = records.iter().find(|record| record.msg.contains("a last record")).unwrap();
    let message = came.iter().find(|message| message.text.contains("a last record")).unwrap();
    assert_eq!(record.seq, message.seq, "both say which record it is");
    assert!(!records.iter().any(|record| record.msg.contains("end Kernel panic")), "nothing else sends it");
}

#[test]
fn the_last_line_of_a_panic() {
    assert_the_last_line_arrives(&Kernel::debian().unwrap());
}

/// Linux 6.12, whose modules are compressed.
#[test]
fn long_the_last_line_of_a_panic_of_debian_13() {
    assert_the_last_line_arrives(&Kernel::of(Machine::AMD64_GENERIC_13).unwrap());
}

/// The commands of docs/netconsole.md that begin so, in their order.
fn documented(start: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/netconsole.md");
    let text = fs::read_to_string(path).unwrap();
    let commands = text.lines().filter_map(|line| line.strip_prefix("    "));
    commands.filter(|command| command.starts_with(start)).map(str::to_owned).collect()
}

/// The receiver of the documentation gets the panic, and what the documentation makes of both files is the whole boot with
/// its end.
#[test]
fn as_documented() {
    let kernel = Kernel::debian().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let socat = documented("socat -u UDP-RECV:")[0].replace("6666", &port.to_string());
    let run = format!("cd {} && exec {socat}", dir.path().display());
    let _socat = Foreign::start("sh", &["-c", &run], &dir.path().join("output"));
    until("a listener", || listens("udp", port));

    let receiver = Receiver::tcp();
    let script = "network_up; wait_log 'netconsole sends to'; wait_for_go; echo c > /proc/sysrq-trigger";
    let url = format!("udp://10.0.2.2:{port}/");
    let boot = boot(&kernel, &image(&kernel, script), &url).word("panic=0").word(receiver.word());
    let mut guest = boot.start().unwrap();
    guest.wait_ready(LONG).unwrap();
    guest.explain(receiver.wait_text("netconsole sends to", LONG)).unwrap();
    guest.go().unwrap();
    let file = dir.path().join("console.log");
    let has_arrived = || fs::read_to_string(&file).is_ok_and(|text| text.contains("---[ end Kernel panic"));
    until("the last line", has_arrived);

    fs::write(dir.path().join("kernels.jsonl"), receiver.bytes()).unwrap();
    let commands = documented("jq ").join("\n");
    let output = Command::new("sh").arg("-ec").arg(commands).current_dir(dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let whole = String::from_utf8(output.stdout).unwrap();
    let seqs: Vec<u64> =
        whole.lines().map(|line| Value::from_str(line).unwrap()["seq"].as_u64().unwrap()).collect();
    assert!(seqs.is_sorted_by(|one, next| one < next) && seqs[0] == 0, "{seqs:?}");
    let last = Value::from_str(whole.lines().last().unwrap()).unwrap();
    assert!(last["msg"].as_str().unwrap().starts_with("---[ end Kernel panic"), "{last}");
    assert_eq!(last["priority"], "emerg");
}

/// What has been set up, as the guest's init shows it.
const SHOW: &str = "show() {
    [ -d /sys/kernel/config/netconsole ] || mount -t configfs none /sys/kernel/config
    echo \"TARGET $(cd /sys/kernel/config/netconsole && for target in *; do
        [ -d $target ] && (cd $target && echo $target $(cat dev_name local_ip remote_mac extended enabled)); done)\"
}";

/// Without any other destination. Another hardware address of the neighbour, a route over another interface: netconsole
/// is armed anew each time. Without a route it is taken away.
#[test]
fn it_follows_the_way() {
    let kernel = Kernel::debian().unwrap();
    let console = Udp::new();
    let script = format!(
        "{SHOW}; network_up; wait_log 'over eth0, to 52:55:0a:00:02:02'; show
        for pid in $(show_processes | cut -d ' ' -f 2); do echo ROOT $(ls /proc/$pid/root); done
        /netem/ip neigh replace 10.0.2.2 lladdr 02:00:00:00:00:99 dev eth0 nud reachable
        wait_log 'over eth0, to 02:00:00:00:00:99'; show
        ip link set eth1 up; ip addr add 10.0.3.15/24 dev eth1; ip route add 10.0.2.2/32 via 10.0.3.2
        wait_log 'over eth1, to 52:55:0a:00:03:02'; show
        ip link set eth1 down; wait_log 'over eth0, to 02:00:00:00:00:99$'; ip addr flush dev eth0
        wait_log 'netconsole stopped: no route to udp://10.0.2.2'; show"
    );
    let image = image(&kernel, &script).with(image::netem(&kernel).unwrap());
    let url = format!("udp://10.0.2.2:{}/", console.address.port());
    let boot = boot(&kernel, &image, &url)
        .qemu_argument("-netdev")
        .qemu_argument("user,id=net1,net=10.0.3.0/24")
        .qemu_argument("-device")
        .qemu_argument("virtio-net-pci,netdev=net1,romfile=");
    let mut guest = boot.start().unwrap();
    guest.wait_exit(LONG).unwrap();
    let want = [
        "earlykmsg eth0 10.0.2.15 52:55:0a:00:02:02 1 1",
        "earlykmsg eth0 10.0.2.15 02:00:00:00:00:99 1 1",
        "earlykmsg eth1 10.0.3.15 52:55:0a:00:03:02 1 1",
        "",
    ];
    assert_eq!(guest.report("TARGET "), want, "{}", guest.failure("the way"));
    // Of watcher, keeper and this one, the last sees configfs and nothing else.
    let roots = guest.report("ROOT ");
    assert_eq!((roots.len(), roots.iter().filter(|root| *root == "netconsole").count()), (3, 1), "{roots:?}");
}

/// A process that is killed leaves its target. The command of docs/netconsole.md removes it.
#[test]
fn what_a_killed_process_leaves() {
    const REMOVE: &str = "rmdir /sys/kernel/config/netconsole/earlykmsg";
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/netconsole.md");
    assert!(fs::read_to_string(page).unwrap().contains(&format!("`{REMOVE}`")), "the page says another");
    let kernel = Kernel::debian().unwrap();
    let console = Udp::new();
    let script = format!(
        "{SHOW}; network_up; wait_log 'netconsole sends to'
        for pid in $(show_processes | cut -d ' ' -f 2); do
            [ ! -d /proc/$pid/root/netconsole ] || kill -KILL $pid
        done
        wait_log 'what it has armed stays'; show; {REMOVE}; show"
    );
    let url = format!("udp://10.0.2.2:{}/", console.address.port());
    let mut guest = boot(&kernel, &image(&kernel, &script), &url).start().unwrap();
    guest.wait_exit(LONG).unwrap();
    let want = ["earlykmsg eth0 10.0.2.15 52:55:0a:00:02:02 1 1", ""];
    assert_eq!(guest.report("TARGET "), want, "{}", guest.failure("what is left"));
}

/// Boots by the image's own network and switches the root. Gives the targets that the main system's script shows.
fn targets_of_a_main_system(words: &str, script: &str, main: &str) -> Vec<String> {
    let kernel = Kernel::debian().unwrap();
    let console = Udp::new();
    let script = format!("{script}; make_main_system; move_mounts; exec switch_root /new /sbin/init");
    let modules = ["netconsole", "virtio_pci", "virtio_net"];
    let image = image::with_main_system(&kernel, &script, &format!("{SHOW}; {main}")).unwrap();
    let url = format!("udp://10.0.2.2:{}/", console.address.port());
    let boot = boot(&kernel, &with_modules(&kernel, image, &modules), &url);
    let mut guest = boot.word(words).start().unwrap();
    guest.wait_exit(LONG).unwrap();
    println!("{}", guest.console());
    assert_eq!(guest.report("LEFT "), [""; 0], "{}", guest.failure("its end"));
    guest.report("TARGET ")
}

/// The end of shipping is the end of netconsole, with other destinations and alone. Until then it stays in the main system,
/// when that keeps the network.
#[test]
fn nothing_is_left_at_the_end() {
    let receiver = Receiver::tcp();
    for word in [receiver.word(), String::new()] {
        let main = format!("wait_log 'root switched'; show; show_leftovers {}; show", receiver.port());
        let words = format!("{word} earlykmsg.linger=3");
        let targets = targets_of_a_main_system(&words, "network_up; wait_log 'netconsole sends to'", &main);
        assert!(targets[0].starts_with("earlykmsg eth0 10.0.2.15 "), "{targets:?}");
        assert_eq!(targets[1..], [""], "{word}");
    }
}

/// By a network of our own: netconsole goes with that at the root switch, is armed again by the main system's, and is
/// taken away at the end.
#[test]
fn by_a_network_of_its_own() {
    let receiver = Receiver::tcp();
    let main = format!(
        "wait_log 'netconsole stopped: no route to'; show
        ip link set eth0 up; ip addr add 10.0.2.77/24 dev eth0
        until show | grep -q 'eth0 10.0.2.77'; do sleep 0.1; done; show
        show_leftovers {}; show",
        receiver.port()
    );
    let words = format!("{} earlykmsg.ip=dhcp earlykmsg.linger=10", receiver.word());
    let targets = targets_of_a_main_system(&words, "wait_log 'netconsole sends to'", &main);
    assert_eq!(targets[0], "");
    assert!(targets[1].starts_with("earlykmsg eth0 10.0.2.77 "), "{targets:?}");
    assert_eq!(targets[2..], [""]);
}

/// An image that brings its network up itself and says so on the command line: `earlykmsg.ip=` is left alone, netconsole is
/// not.
#[test]
fn by_the_images_own_network() {
    let main = "wait_log 'root switched'; show; show_leftovers 9; show";
    let words = "ip=dhcp earlykmsg.ip=dhcp earlykmsg.linger=3";
    let script =
        "wait_log 'the image brings the network up itself: ip'; network_up; wait_log 'netconsole sends to'";
    let targets = targets_of_a_main_system(words, script, main);
    assert!(targets[0].starts_with("earlykmsg eth0 10.0.2.15 "), "{targets:?}");
    assert_eq!(targets[1..], [""]);
}

/// An image without netconsole, and the overlay of drivers behind it.
#[test]
fn modules_of_an_overlay() {
    let kernel = Kernel::debian().unwrap();
    let console = Udp::new();
    let script = "network_up; wait_log 'netconsole sends to'; say 'a record'; wait_for_go";
    let image = image::standard(&kernel, script).unwrap().with(image::programs().unwrap());
    let drivers = Drivers::of(&kernel.folder, &[]).unwrap();
    let archives = [image.to_cpio(), Overlay::of(&drivers.image).unwrap().zstd].concat();
    let word = format!("earlykmsg.netconsole=udp://10.0.2.2:{}/", console.address.port());
    let boot = Boot::new(&kernel, archives).rdinit("/earlykmsg").word("printk.devkmsg=on").word(word);
    let mut guest = boot.loud().start().unwrap();
    guest.wait_ready(LONG).unwrap();
    console.lines.wait_for("a record", LONG);
    guest.go().unwrap();
    guest.wait_exit(LONG).unwrap();
}

/// Modules that the image loads by itself, some time later.
#[test]
fn modules_that_come_later() {
    let kernel = Kernel::debian().unwrap();
    let console = Udp::new();
    let script = "network_up; wait_log 'netconsole is not in this kernel'; cd /lib/modules/*/kernel
        insmod fs/configfs/configfs.ko; mount -t configfs none /sys/kernel/config
        insmod drivers/net/netconsole.ko; wait_log 'netconsole sends to'; say 'a record'; wait_for_go";
    let url = format!("udp://10.0.2.2:{}/", console.address.port());
    let boot = boot(&kernel, &image(&kernel, script), &url).loud().word("earlykmsg.modules=none");
    let mut guest = boot.start().unwrap();
    guest.wait_ready(LONG).unwrap();
    console.lines.wait_for("a record", LONG);
    guest.go().unwrap();
    guest.wait_exit(LONG).unwrap();
}

/// The other family, and the name of an interface in the address.
#[test]
fn by_ipv6() {
    let kernel = Kernel::debian().unwrap();
    let console = Udp::with_room((std::net::Ipv6Addr::LOCALHOST, 0).into());
    let script = "network_up; wait_log 'netconsole sends to'; say 'a record over IPv6'; wait_for_go";
    let url = format!("udp://[fec0::2%eth0]:{}/", console.address.port());
    let mut guest = boot(&kernel, &image(&kernel, script), &url).loud().start().unwrap();
    guest.wait_ready(LONG).unwrap();
    console.lines.wait_for("a record over IPv6", LONG);
    guest.go().unwrap();
    guest.wait_exit(LONG).unwrap();
}

/// An interface that the kernel gives to nobody else: a line. The bridge itself can.
#[test]
fn a_port_of_a_bridge() {
    let kernel = Kernel::debian().unwrap();
    let script = "load_network; until grep -qs live /sys/module/bridge/initstate; do sleep 0.1; done
        ip link add br0 type bridge
        /netem/ip link set eth0 master br0; ip addr add 10.0.2.15/24 dev eth0
        /netem/ip neigh replace 10.0.2.2 lladdr 52:55:0a:00:02:02 dev eth0 nud permanent
        wait_log 'part of a bridge'; tool ring | grep 'set up netconsole' | sed 's/.*;/SAID /'
        ip addr flush dev eth0; ip link set br0 up; ip addr add 10.0.2.15/24 dev br0
        wait_log 'netconsole sends to udp://10.0.2.2:9/ over br0, to 52:55:0a:00:02:02'";
    let image = image::standard(&kernel, script).unwrap().with(image::netem(&kernel).unwrap());
    let boot = boot(&kernel, &with_modules(&kernel, image, &["bridge", "netconsole"]), "udp://10.0.2.2:9/");
    let mut guest = boot.word("earlykmsg.modules=bridge").start().unwrap();
    guest.wait_exit(LONG).unwrap();
    let want = "earlykmsg: set up netconsole: busy (errno 16), over eth0: it is part of a bridge or bond";
    assert_eq!(guest.report("SAID "), [want], "{}", guest.failure("a bridge"));
}
