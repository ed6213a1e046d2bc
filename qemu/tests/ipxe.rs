//! Booted over the network by iPXE, with the program given as a file beside an initramfs that is as it was: the
//! script of docs/install.md.

use std::fs;

use earlykmsg_qemu::{Boot, End, Kernel, LONG, Machine, Receiver, earlykmsg, image, target_dir};

/// The script as the documentation has it, with this test's server, receiver and console in it.
fn script(receiver: &Receiver) -> String {
    let text = include_str!("../../docs/install.md");
    let start = text.find("    #!ipxe\n").expect("a script in the documentation");
    let lines = text[start..].lines().map_while(|line| line.strip_prefix("    "));
    let script: String = lines.map(|line| format!("{line}\n")).collect();
    for needed in ["http://10.0.0.1/", "talos.logging.kernel=tcp://10.0.0.1:5044/", " mode=755", "boot\n"] {
        assert!(script.contains(needed), "{needed} is not in\n{script}");
    }
    script
        .replace(
            "talos.logging.kernel=tcp://10.0.0.1:5044/",
            &format!("{} {}", receiver.word(), Machine::AMD64.kernel_words),
        )
        .replace("http://10.0.0.1/", "tftp://10.0.2.2/")
}

#[test]
fn the_program_as_a_file_beside_the_initramfs() {
    let kernel = Kernel::debian().unwrap();
    let (receiver, ring) = (Receiver::tcp(), Receiver::tcp());
    let folder = target_dir().join("qemu").join(format!("ipxe-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let init = format!(
        "network_up; stat -c 'mode %a' /earlykmsg; say 'of the init'; send_ring {}; wait_for_go",
        ring.port()
    );
    fs::write(folder.join("boot.ipxe"), script(&receiver)).unwrap();
    fs::write(folder.join("initrd.img"), image::standard(&kernel, &init).unwrap().to_cpio()).unwrap();
    fs::write(folder.join("earlykmsg"), earlykmsg().unwrap()).unwrap();
    fs::copy(&kernel.vmlinuz, folder.join("vmlinuz")).unwrap();
    let mut guest = Boot::from_network(&folder).start().unwrap();
    let ready = guest.wait_ready(LONG);
    fs::remove_dir_all(&folder).unwrap();
    ready.unwrap();
    let records = guest.explain(receiver.wait_whole_ring(&ring, LONG)).unwrap();
    assert!(records.iter().any(|record| record.msg.contains("of the init")), "{}", guest.failure("no init"));
    assert_eq!(guest.report("mode "), ["755"]);
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
}
