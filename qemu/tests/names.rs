//! Destinations by name: who knows the name is only there after the switch of root, or is named in a file that an
//! initramfs has in place of `/etc/resolv.conf`.

use earlykmsg_initramfs::Image;
use earlykmsg_qemu::{Boot, End, Guest, Kernel, LONG, Receiver, Record, image};

/// Boots with a name for the receiver, to the end. Every record of the ring arrives.
fn ship_by_name(kernel: &Kernel, image: Image, receiver: &Receiver, ring: &Receiver) -> (Guest, Vec<Record>) {
    let boot = Boot::new(kernel, image.with(image::earlykmsg().unwrap()).to_cpio())
        .rdinit("/earlykmsg")
        .word("printk.devkmsg=on")
        .word(format!("talos.logging.kernel=tcp://logs.example:{}/", receiver.port()));
    let mut guest = boot.start().unwrap();
    guest.wait_ready(LONG).unwrap();
    let records = guest.explain(receiver.wait_whole_ring(ring, LONG)).unwrap();
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    (guest, records)
}

/// Where the first record with this text stands.
fn position(records: &[Record], text: &str) -> usize {
    records.iter().position(|record| record.msg.contains(text)).expect(text)
}

/// Boots with a name for the receiver that the main system alone can look up, by these words of its init.
fn assert_found(by: &str) {
    let kernel = Kernel::debian().unwrap();
    let (receiver, ring) = (Receiver::tcp(), Receiver::tcp());
    let script = "network_up; make_main_system; say 'before the switch'\nmove_mounts; exec switch_root /new /sbin/init";
    // A link that begins with a slash means the main system's root.
    let main = format!(
        "say 'after the switch'; mkdir -p /run; ln -s /run/resolv.conf /etc/resolv.conf; sleep 2; say 'known now'\n\
         {by}\nwait_log 'connected to tcp://logs.example'; send_ring {}; wait_for_go",
        ring.port()
    );
    let image = image::with_main_system(&kernel, script, &main).unwrap();
    let (guest, records) = ship_by_name(&kernel, image, &receiver, &ring);
    let at = |text: &str| position(&records, text);
    assert!(at("root switched") < at("known now"), "{}", guest.failure("it switches first"));
    assert!(at("known now") < at("connected to tcp://logs.example"), "{}", guest.failure("it is found then"));
}

/// Boots with a name for the receiver, and with this one file that names a name server.
fn assert_read_in_initramfs(file: &str, text: &str) {
    let kernel = Kernel::debian().unwrap();
    let (receiver, ring) = (Receiver::tcp(), Receiver::tcp());
    let script = format!(
        "network_up; rm -f /etc/resolv.conf; tool name-server 10.0.2.2 &\nsay 'known now'; mkdir -p /run\n\
         printf \"{text}\" > {file}\nwait_log 'connected to tcp://logs.example'; send_ring {}; wait_for_go",
        ring.port()
    );
    let image = image::standard(&kernel, &script).unwrap();
    let (guest, records) = ship_by_name(&kernel, image, &receiver, &ring);
    let at = |text: &str| position(&records, text);
    assert!(at("known now") < at("connected to tcp://logs.example"), "{}", guest.failure("it is found then"));
}

#[test]
fn a_file_of_klibc() {
    let text = "DEVICE='eth0'\\nIPV4DNS0='127.0.0.1'\\nIPV4DNS1='0.0.0.0'\\nDNSDOMAIN='lan'\\n";
    assert_read_in_initramfs("/run/net-eth0.conf", text);
}

#[test]
fn a_file_of_dracut() {
    assert_read_in_initramfs("/tmp/net.eth0.resolv.conf", "search lan\\nnameserver 127.0.0.1\\n");
}

#[test]
fn a_name_server_of_the_main_system() {
    assert_found(
        "ip link set lo up; tool name-server 10.0.2.2 & \n\
         echo 'nameserver 127.0.0.1' > /run/resolv.conf",
    );
}

#[test]
fn the_hosts_of_the_main_system() {
    assert_found("echo '10.0.2.2 logs logs.example' > /etc/hosts");
}
