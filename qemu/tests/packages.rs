//! The package for Debian in machines that it is installed in: their own initramfs starts it, without `rdinit=`; and
//! when it is purged nothing is left, whatever the kernel's command line still says.

use std::time::Instant;

use earlykmsg_initramfs::release::{Release, VERSION};
use earlykmsg_qemu::{
    End, Guest, Installed, LONG, Maker, Receiver, Record, Suite, When, all_received, programs, ring_records,
    seqs_missing, seqs_repeated,
};

/// What the command line says in all boots beside the destination: no word of it may hurt once the program is gone.
const WORDS: &str = "earlykmsg.tags=uuid={uuid} earlykmsg.level=debug earlykmsg.linger=600";

fn installed(suite: Suite, maker: Maker) -> Installed {
    let release = Release::new(&[programs().unwrap()], None, &std::env::temp_dir()).unwrap();
    let deb = release.file(&format!("earlykmsg_{VERSION}_amd64.deb")).unwrap();
    Installed::with(suite, maker, deb).unwrap()
}

fn start(machine: &Installed, when: When, words: &str) -> Guest {
    let guest = machine.boot(when).unwrap().word(WORDS).word(words).start().unwrap();
    guest.wait_ready(LONG).unwrap();
    guest
}

/// Types a line and waits until it has been carried out.
fn order(guest: &mut Guest, line: &str, done: &str) {
    guest.type_line(&format!("{line}; echo {done}")).unwrap();
    guest.wait_console(done, LONG).unwrap();
}

/// The units that systemd calls failed.
fn assert_no_unit_failed(guest: &mut Guest) {
    order(guest, "systemctl --failed --plain --no-legend | sed 's/^/UNIT /'", "UNITS TOLD");
    assert_eq!(guest.report("UNIT "), [""; 0], "{}", guest.failure("a unit failed"));
}

/// The records that earlykmsg sent; rsyslog's lines begin with their level.
fn of_earlykmsg(receiver: &Receiver) -> Vec<Record> {
    let stream: Vec<u8> =
        receiver.streams().into_iter().filter(|stream| stream.starts_with(b"{")).flatten().collect();
    let lines = stream.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| Record::parse(line, Instant::now(), 0).unwrap()).collect()
}

/// Installed: every record from the first to the hand-over arrives once, then nothing is left of it.
fn assert_ships_until_the_hand_over(machine: &Installed, words: &str) {
    const FAREWELL: &str = "handed over to the main system";
    let (receiver, ring) = (Receiver::tcp(), Receiver::tcp());
    let mut guest = start(machine, When::Installed, &format!("{} {words}", receiver.word()));
    order(&mut guest, &format!("wait_log '{FAREWELL}'"), "HANDED OVER");
    assert_no_unit_failed(&mut guest);
    let (port, ring_port) = (receiver.port(), ring.port());
    let stop = "systemctl stop rsyslog syslog.socket";
    order(&mut guest, &format!("{stop}; show_leftovers {port}; send_ring {ring_port}"), "RING TOLD");
    assert_eq!(guest.report("LEFT "), [""; 0], "{}", guest.failure("something is left"));
    guest.explain(ring.wait_closed(LONG)).unwrap();
    guest.type_line("systemctl poweroff").unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);

    let records = of_earlykmsg(&receiver);
    let ring = guest.explain(ring_records(&ring.bytes())).unwrap();
    let first = records.first().map(|record| record.seq);
    assert_eq!((ring[0].seq, first), (0, Some(0)), "{}", guest.failure("the first record"));
    let said = ring.iter().find(|record| record.msg.contains(FAREWELL)).unwrap().seq;
    let until: Vec<_> = ring.into_iter().filter(|record| record.seq < said).collect();
    let untagged: Vec<Record> = records.iter().map(without_tags).collect();
    guest.explain(all_received(&until, &untagged)).unwrap();
    assert_eq!(seqs_repeated(&records), [0; 0], "{}", guest.failure("more than one shipper"));
    assert!(records.iter().any(|record| record.msg.contains("root switched, shipping goes on")));
    println!("{} records written until the hand-over, {} received", until.len(), records.len());
}

/// As the ring has it.
fn without_tags(record: &Record) -> Record {
    let mut record = record.clone();
    record.json.as_object_mut().unwrap().shift_remove("uuid");
    record
}

/// Installed, and nobody takes over: every record until the power-off, for which nothing waits.
fn assert_ships_until_the_end(machine: &Installed) {
    let receiver = Receiver::tcp();
    let mut guest =
        start(machine, When::Installed, &format!("{} systemd.mask=rsyslog.service", receiver.word()));
    assert_no_unit_failed(&mut guest);
    guest.type_line("say 'before the end'; systemctl poweroff").unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    let records = of_earlykmsg(&receiver);
    assert_eq!(records.first().map(|record| record.seq), Some(0), "{}", guest.failure("the first record"));
    assert_eq!(seqs_missing(&records), [0; 0]);
    for text in ["before the end", "asked to end"] {
        assert!(records.iter().any(|record| record.msg.contains(text)), "{}", guest.failure(text));
    }
    println!("{} records received until the power-off", records.len());
}

/// Purged: the same command line, and the machine boots as if nothing had ever been there.
fn assert_gone(machine: &Installed) {
    let names = machine.names_in_initramfs(When::Installed).unwrap();
    assert!(names.split_whitespace().any(|name| name == "earlykmsg"), "{names}");
    let names = machine.names_in_initramfs(When::Purged).unwrap();
    assert!(names.contains("kernel") && !names.contains("earlykmsg"), "{names}");
    assert_eq!(machine.left_after_purge().unwrap(), "");

    let receiver = Receiver::tcp();
    let mut guest =
        start(machine, When::Purged, &format!("{} systemd.mask=rsyslog.service", receiver.word()));
    assert_no_unit_failed(&mut guest);
    order(&mut guest, &format!("show_leftovers {}", receiver.port()), "LEFTOVERS TOLD");
    assert_eq!(guest.report("LEFT "), [""; 0], "{}", guest.failure("something is left"));
    guest.type_line("systemctl poweroff").unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    assert_eq!(receiver.connections(), 0, "{}", guest.failure("something was sent"));
}

fn assert_a_whole_life(suite: Suite, maker: Maker) {
    let machine = installed(suite, maker);
    assert_ships_until_the_hand_over(&machine, "");
    assert_gone(&machine);
}

#[test]
fn by_initramfs_tools() {
    assert_a_whole_life(Suite::Bookworm, Maker::InitramfsTools);
}

#[test]
fn by_dracut() {
    assert_a_whole_life(Suite::Bookworm, Maker::Dracut);
}

/// The kernel starts it, and the script would start it once more.
#[test]
fn started_both_ways_at_once() {
    let machine = installed(Suite::Bookworm, Maker::InitramfsTools);
    assert_ships_until_the_hand_over(&machine, "rdinit=/earlykmsg");
}

/// A machine with the package and without a destination.
#[test]
fn long_installed_without_a_destination() {
    let machine = installed(Suite::Bookworm, Maker::Dracut);
    let mut guest = start(&machine, When::Installed, "");
    assert_no_unit_failed(&mut guest);
    order(&mut guest, "tool ring | grep -q 'earlykmsg: ' && echo LOUD; show_leftovers 1", "LEFTOVERS TOLD");
    assert_eq!(guest.report("LEFT "), [""; 0], "{}", guest.failure("something is left"));
    assert!(!guest.console().contains("LOUD\n"), "{}", guest.failure("it said something"));
}

#[test]
fn long_until_the_power_off_by_initramfs_tools() {
    assert_ships_until_the_end(&installed(Suite::Bookworm, Maker::InitramfsTools));
}

#[test]
fn long_until_the_power_off_by_dracut() {
    assert_ships_until_the_end(&installed(Suite::Bookworm, Maker::Dracut));
}

#[test]
fn long_debian_13_by_initramfs_tools() {
    assert_a_whole_life(Suite::Trixie, Maker::InitramfsTools);
}

#[test]
fn long_debian_13_by_dracut() {
    assert_a_whole_life(Suite::Trixie, Maker::Dracut);
}
