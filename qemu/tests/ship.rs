//! What a receiver gets of a boot, against what the guest's own ring holds.

use earlykmsg_initramfs::Image;
use earlykmsg_qemu::{Boot, End, Kernel, LONG, Protocol, Receiver, Record, image, ring_records};
use earlykmsg_qemu::{seqs_missing, seqs_repeated};
use earlykmsg_tests::json::is_lost;

fn standard(kernel: &Kernel, script: &str) -> Image {
    image::standard(kernel, script).unwrap().with(image::earlykmsg().unwrap())
}

fn a_boot_arrives_whole(receiver: &Receiver) -> Vec<Record> {
    let kernel = Kernel::debian().unwrap();
    let ring = Receiver::tcp();
    let script = format!("network_up; say 'of the init'; send_ring {}; wait_for_go", ring.port());
    let boot =
        Boot::new(&kernel, standard(&kernel, &script).to_cpio()).rdinit("/earlykmsg").word(receiver.word());
    let mut guest = boot.start().unwrap();
    let records = guest.explain(receiver.wait_whole_ring(&ring, LONG)).unwrap();
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    assert!(records[0].msg.starts_with("Linux version "), "{}", records[0].json);
    for text in ["earlykmsg: ", "of the init"] {
        assert!(records.iter().any(|record| record.msg.contains(text)), "{}", guest.failure(text));
    }
    records
}

#[test]
fn over_tcp() {
    a_boot_arrives_whole(&Receiver::tcp());
}

#[test]
fn over_udp() {
    a_boot_arrives_whole(&Receiver::udp());
}

#[test]
fn over_tcp_on_ipv6() {
    a_boot_arrives_whole(&Receiver::tcp6());
}

/// The same again and again; prints what it counts.
#[test]
#[ignore = "two minutes; for a claim about twenty boots"]
fn twenty_boots_each() {
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for boot in 1..=20 {
            let receiver = Receiver::new(protocol);
            let records = a_boot_arrives_whole(&receiver);
            println!("{protocol:?} {boot}: {} records, none missing, none twice", records.len());
        }
    }
}

#[test]
fn two_destinations_at_once() {
    let kernel = Kernel::debian().unwrap();
    let (tcp, udp, ring) = (Receiver::tcp(), Receiver::udp(), Receiver::tcp());
    let script = format!("network_up; say 'of the init'; send_ring {}; wait_for_go", ring.port());
    let boot = Boot::new(&kernel, standard(&kernel, &script).to_cpio())
        .rdinit("/earlykmsg")
        .word(tcp.word())
        .word(udp.word())
        .word("earlykmsg.tags=kernel={kernel} earlykmsg.tags.1=to=tcp,mac={mac} earlykmsg.tags.2=to=udp");
    let mut guest = boot.start().unwrap();
    guest.explain(ring.wait_closed(LONG)).unwrap();
    for (receiver, to, mac) in [(&tcp, "tcp", Some("52:54:00:12:34:56")), (&udp, "udp", None)] {
        let records = guest.explain(receiver.wait_text("of the init", LONG)).unwrap();
        assert_eq!((seqs_missing(&records), seqs_repeated(&records)), (vec![], vec![]));
        let tags = |record: &Record| {
            ["kernel", "to", "mac"].map(|name| record.json[name].as_str().map(str::to_owned))
        };
        let want = [Some(kernel.release.as_str()), Some(to), mac].map(|tag| tag.map(str::to_owned));
        assert!(records.iter().all(|record| tags(record) == want), "{}", records[0].json);
    }
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
}

/// A storm before the network is there: what the ring lost is said, and nothing else is missing.
#[test]
fn a_storm_before_the_network() {
    let kernel = Kernel::debian().unwrap();
    let (receiver, ring) = (Receiver::tcp(), Receiver::tcp());
    let script = format!(
        "for n in $(seq 4000); do echo \"<6>storm $n\"; done | tool write-log; network_up; \
         say 'after the storm'; send_ring {}; wait_for_go",
        ring.port()
    );
    let boot = Boot::new(&kernel, standard(&kernel, &script).to_cpio())
        .rdinit("/earlykmsg")
        .word("printk.devkmsg=on")
        .word(receiver.word());
    let mut guest = boot.start().unwrap();
    guest.explain(ring.wait_closed(LONG)).unwrap();
    let ring = guest.explain(ring_records(&ring.bytes())).unwrap();
    let first = ring[0].seq;
    assert!(first > 0, "{}", guest.failure("the storm was none"));
    let records = guest.explain(receiver.wait_text("after the storm", LONG)).unwrap();
    let said: Vec<&Record> = records.iter().filter(|record| is_lost(&record.json)).collect();
    assert_eq!(said.len(), 1, "{}", guest.failure("the loss is said once"));
    // It was there when the program started, and the network was not.
    assert!(said[0].msg.contains("was overwritten before they could be sent"), "{}", said[0].msg);
    // What was read before the storm came through; the loss begins behind it and ends before what is there.
    let start = said[0].seq;
    let end = records.iter().map(|record| record.seq).filter(|seq| *seq > start).min().unwrap();
    let expected = format!("earlykmsg: lost {} records, seq {start}-{}", end - start, end - 1);
    assert!(said[0].msg.starts_with(&expected), "{} instead of {expected}", said[0].msg);
    let missing = seqs_missing(&records);
    assert!(missing.iter().all(|seq| (start..end).contains(seq)), "{missing:?} beside {start}-{}", end - 1);
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
}

/// A panic: what was received is the boot without a gap, and the distance to the console's end is told.
#[test]
fn up_to_a_panic() {
    let kernel = Kernel::debian().unwrap();
    let receiver = Receiver::tcp();
    let script = "network_up; say 'before the panic'; wait_for_go; echo c > /proc/sysrq-trigger; sleep 100";
    let boot = Boot::new(&kernel, standard(&kernel, script).to_cpio())
        .rdinit("/earlykmsg")
        .loud()
        .word(receiver.word());
    let mut guest = boot.start().unwrap();
    guest.wait_ready(LONG).unwrap();
    guest.explain(receiver.wait_text("before the panic", LONG)).unwrap();
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    let records = receiver.records().unwrap();
    assert_eq!((seqs_missing(&records), seqs_repeated(&records)), (vec![], vec![]));

    let lines = guest.lines();
    let is_record = |text: &str| text.starts_with('[') && text.contains("] ");
    let console: Vec<&str> =
        lines.iter().map(|line| line.text.as_str()).filter(|text| is_record(text)).collect();
    assert!(console.iter().any(|text| text.contains("Kernel panic")), "{}", guest.failure("no panic"));
    let last = records.last().unwrap();
    let last_line = last.msg.lines().next().unwrap();
    let shown = console.iter().rposition(|text| text.contains(last_line)).unwrap_or_default();
    println!("last received: seq {} {last_line:?}", last.seq);
    println!("the console has {} lines more, the last {:?}", console.len() - 1 - shown, console.last());
}

/// Without a network card the boot goes on, and the log says what is waited for.
#[test]
fn without_a_network_card() {
    let kernel = Kernel::debian().unwrap();
    let boot = Boot::new(&kernel, standard(&kernel, "echo INIT RUNS; wait_for_go").to_cpio())
        .rdinit("/earlykmsg")
        .loud()
        .without_network()
        .word("talos.logging.kernel=tcp://10.0.2.2:5044/");
    let mut guest = boot.start().unwrap();
    guest.wait_console("INIT RUNS", LONG).unwrap();
    guest.wait_console("network not up after 10 s", LONG).unwrap();
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
}
