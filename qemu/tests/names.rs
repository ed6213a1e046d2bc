//! Destinations by name, across the switch of root: who knows the name is only there after it.

use earlykmsg_qemu::{Boot, End, Kernel, LONG, Receiver, image};

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
    let boot = Boot::new(&kernel, image.with(image::earlykmsg().unwrap()).to_cpio())
        .rdinit("/earlykmsg")
        .word("printk.devkmsg=on")
        .word(format!("talos.logging.kernel=tcp://logs.example:{}/", receiver.port()));
    let mut guest = boot.start().unwrap();
    guest.wait_ready(LONG).unwrap();
    let records = guest.explain(receiver.wait_whole_ring(&ring, LONG)).unwrap();
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    let at = |text: &str| records.iter().position(|record| record.msg.contains(text)).expect(text);
    assert!(at("root switched") < at("known now"), "{}", guest.failure("it switches first"));
    assert!(at("known now") < at("connected to tcp://logs.example"), "{}", guest.failure("it is found then"));
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
