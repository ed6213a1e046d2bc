//! Across the switch of root: what is written before, during and after it arrives.

use std::path::Path;

use earlykmsg_initramfs::Image;
use earlykmsg_qemu::{Boot, End, Kernel, LONG, Receiver, image};

const NUMBERED: usize = 1500; // milliseconds of records: the switch falls into them

/// Switches by a command line that the first init becomes, and claims that nothing is missing.
fn assert_survives(switch: &str, more: Image) {
    let kernel = Kernel::debian().unwrap();
    let (receiver, ring) = (Receiver::tcp(), Receiver::tcp());
    let script = format!(
        "network_up; make_main_system; say 'before the switch'; tool count-log {NUMBERED} & \n\
         wait_log 'numbered 100 of'\n{switch}\necho UNABLE TO SWITCH"
    );
    let main = format!(
        "say 'after the switch'; wait_log 'numbered {NUMBERED} of'; send_ring {}; wait_for_go",
        ring.port()
    );
    let image = image::with_main_system(&kernel, &script, &main).unwrap();
    let boot = Boot::new(&kernel, image.with(image::earlykmsg().unwrap()).with(more).to_cpio())
        .rdinit("/earlykmsg")
        .word("printk.devkmsg=on")
        .word(receiver.word());
    let mut guest = boot.start().unwrap();
    guest.wait_ready(LONG).unwrap();
    let records = guest.explain(receiver.wait_whole_ring(&ring, LONG)).unwrap();
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);

    let count = |text: &str| records.iter().filter(|record| record.msg.contains(text)).count();
    for text in ["before the switch", "after the switch", "root switched"] {
        assert_eq!(count(text), 1, "{}", guest.failure(text));
    }
    assert_eq!(count("numbered "), NUMBERED);
}

#[test]
fn by_busybox() {
    assert_survives("move_mounts; exec switch_root /new /sbin/init", Image::new());
}

#[test]
fn by_util_linux() {
    let tool = image::host_program(Path::new("/usr/sbin/switch_root"), "/usr/sbin/switch_root").unwrap();
    assert_survives("exec /usr/sbin/switch_root /new /sbin/init", tool);
}

/// As Talos's init does it; that one dies when the old root cannot be emptied.
#[test]
fn by_moving_the_mount() {
    assert_survives("move_mounts; exec tool move-root /new /sbin/init", Image::new());
}

/// systemd's initrd tells all to end, and does not wait.
#[test]
fn told_to_end_by_systemd() {
    assert_told_to_end("term_as_systemd");
}

/// The watcher is told as well.
#[test]
fn told_to_end_with_all_others() {
    assert_told_to_end("kill -TERM -1");
}

fn assert_told_to_end(how: &str) {
    let kernel = Kernel::debian().unwrap();
    let (receiver, ring) = (Receiver::tcp(), Receiver::tcp());
    let script = format!(
        "network_up; make_main_system; say 'before the end'; {how}; say 'after the end'\n\
         move_mounts; exec switch_root /new /sbin/init"
    );
    // Later than any time that is given for an end.
    let main = format!(
        "say 'after the switch'; sleep 12; say 'long after the switch'; send_ring {}; wait_for_go",
        ring.port()
    );
    let image = image::with_main_system(&kernel, &script, &main).unwrap();
    let boot = Boot::new(&kernel, image.with(image::earlykmsg().unwrap()).to_cpio())
        .rdinit("/earlykmsg")
        .word("printk.devkmsg=on")
        .word(receiver.word());
    let mut guest = boot.start().unwrap();
    guest.wait_ready(LONG).unwrap();
    let records = guest.explain(receiver.wait_whole_ring(&ring, LONG)).unwrap();
    assert!(records.iter().any(|record| record.msg.contains("root switched")), "{}", guest.failure(how));
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
}

/// Told to end, and no switch follows: all that the ring holds is sent, and nothing is left.
#[test]
fn told_to_end_without_a_switch() {
    let kernel = Kernel::debian().unwrap();
    let (receiver, ring) = (Receiver::tcp(), Receiver::tcp());
    let script = format!(
        "network_up; say 'before the end'; wait_for_go; send_ring {}; kill -TERM -1; wait_for_go; show_leftovers {}",
        ring.port(),
        receiver.port()
    );
    let image = image::standard(&kernel, &script).unwrap().with(image::earlykmsg().unwrap());
    let boot = Boot::new(&kernel, image.to_cpio()).rdinit("/earlykmsg").word(receiver.word());
    let mut guest = boot.start().unwrap();
    guest.wait_ready(LONG).unwrap();
    guest.explain(receiver.wait_text("before the end", LONG)).unwrap();
    guest.go().unwrap();
    guest.explain(receiver.wait_closed(LONG)).unwrap();
    guest.explain(receiver.wait_whole_ring(&ring, LONG)).unwrap();
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    assert_eq!(guest.report("LEFT "), [""; 0], "{}", guest.failure("something is left"));
}
