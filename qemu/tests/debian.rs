//! A Debian with systemd, as its own tools start it: the overlay behind the initramfs, and `rdinit=/earlykmsg`.

use std::time::Instant;

use earlykmsg_initramfs::overlay::Overlay;
use earlykmsg_qemu::{
    Debian, End, Guest, Kernel, LONG, Maker, Receiver, Record, all_received, earlykmsg, programs,
    ring_records, seqs_missing,
};

fn debian() -> Debian {
    Debian::with(&Kernel::debian().unwrap()).unwrap()
}

/// By the overlay behind the initramfs.
fn start(maker: Maker, receiver: &Receiver, words: &str) -> Guest {
    let overlay = Overlay::new(&programs().unwrap()).unwrap();
    let boot = debian().boot(maker, &overlay.gzip).unwrap().rdinit("/earlykmsg");
    let guest = boot.word(receiver.word()).word(words).start().unwrap();
    guest.wait_ready(LONG).unwrap();
    guest
}

/// The records that earlykmsg sent; rsyslog's lines begin with their level.
fn of_earlykmsg(receiver: &Receiver) -> Vec<Record> {
    let stream: Vec<u8> =
        receiver.streams().into_iter().filter(|stream| stream.starts_with(b"{")).flatten().collect();
    let lines = stream.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| Record::parse(line, Instant::now(), 0).unwrap()).collect()
}

/// From the first record to the hand-over: nothing is missing, nothing is left, and rsyslog goes on.
fn assert_handed_over(maker: Maker) {
    const FAREWELL: &str = "handed over to the main system";
    let (receiver, ring) = (Receiver::tcp(), Receiver::tcp());
    let mut guest = start(maker, &receiver, "");
    guest.type_line(&format!("wait_log '{FAREWELL}'; say 'after the end'; echo HANDED OVER")).unwrap();
    guest.wait_console("HANDED OVER", LONG).unwrap();
    guest.explain(receiver.wait_bytes("after the end", LONG)).unwrap();
    let (port, ring_port) = (receiver.port(), ring.port());
    let stop = "systemctl stop rsyslog syslog.socket";
    guest.type_line(&format!("{stop}; show_leftovers {port}; send_ring {ring_port}; echo TOLD")).unwrap();
    guest.wait_console("TOLD", LONG).unwrap();
    assert_eq!(guest.report("LEFT "), [""; 0], "{}", guest.failure("something is left"));
    guest.explain(ring.wait_closed(LONG)).unwrap();
    guest.type_line("systemctl poweroff").unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);

    let records = of_earlykmsg(&receiver);
    let ring = guest.explain(ring_records(&ring.bytes())).unwrap();
    assert_eq!((ring[0].seq, records[0].seq), (0, 0), "{}", guest.failure("the first record"));
    let said = ring.iter().find(|record| record.msg.contains(FAREWELL)).unwrap().seq;
    let until: Vec<_> = ring.into_iter().filter(|record| record.seq < said).collect();
    guest.explain(all_received(&until, &records)).unwrap();
    assert!(records.last().unwrap().msg.contains(FAREWELL), "{}", guest.failure("more after the farewell"));
    for text in ["root switched, shipping goes on", "systemd 2"] {
        assert!(records.iter().any(|record| record.msg.contains(text)), "{}", guest.failure(text));
    }
}

#[test]
fn by_initramfs_tools() {
    assert_handed_over(Maker::InitramfsTools);
}

#[test]
fn by_dracut() {
    assert_handed_over(Maker::Dracut);
}

/// Nobody takes over, and the machine is switched off: it waits for nothing, and the last records arrive.
fn assert_switched_off(mut guest: Guest, receiver: &Receiver) {
    guest.type_line("say 'before the end'; systemctl poweroff").unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    let records = of_earlykmsg(receiver);
    assert_eq!(seqs_missing(&records), [0; 0]);
    for text in ["before the end", "asked to end"] {
        assert!(records.iter().any(|record| record.msg.contains(text)), "{}", guest.failure(text));
    }
    assert!(!guest.console().contains("Waiting for process"), "{}", guest.failure("it was waited for"));
}

#[test]
fn switched_off_while_shipping() {
    let receiver = Receiver::tcp();
    let guest = start(Maker::InitramfsTools, &receiver, "systemd.mask=rsyslog.service");
    assert_switched_off(guest, &receiver);
}

/// `init=` on the real root: there is no switch of root to be seen, and systemd is the next init.
#[test]
fn as_the_init_of_a_real_root() {
    let receiver = Receiver::tcp();
    let debian = debian().and_file("earlykmsg", &earlykmsg().unwrap(), 0o755).unwrap();
    let boot = debian.boot(Maker::InitramfsTools, &[]).unwrap().word("init=/earlykmsg").word(receiver.word());
    let guest = boot.word("systemd.mask=rsyslog.service").start().unwrap();
    guest.wait_ready(LONG).unwrap();
    let records = guest.explain(receiver.wait_text("next init /sbin/init", LONG)).unwrap();
    assert_eq!(records[0].seq, 0);
    assert_switched_off(guest, &receiver);
}
