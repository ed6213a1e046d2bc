//! A network that loses, delays, repeats, reorders and spoils packets.

use earlykmsg_qemu::{
    Account, Boot, End, Guest, Kernel, LONG, Protocol, Receiver, all_received, image, none_known,
    ring_records,
};

const PORT: u16 = 5044;

/// What the network does, by the words of netem. It is one network for both directions.
const LOSSLESS: [&str; 3] = [
    "delay 100ms 50ms",           // with jitter, which reorders
    "delay 20ms duplicate 20%",   // each in its turn once more
    "delay 50ms reorder 30% 50%", // some are not delayed
];
const LOSSY: [&str; 4] =
    ["loss 5%", "loss 20%", "corrupt 10%", "delay 50ms 20ms loss 5% duplicate 5% corrupt 2% reorder 20% 50%"];

/// Boots with a receiver in the guest, and gives what it got, what the ring held at the end, and the guest.
fn boot(protocol: Protocol, script: &str) -> (Receiver, Receiver, Guest) {
    let kernel = Kernel::debian().unwrap();
    let (results, ring) = (Receiver::tcp(), Receiver::tcp());
    let scheme = match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    let script = format!(
        "network_up; loopback_up; start_receiver {scheme} {PORT}; say 'before it'; wait_arrived 'before it'
         # Single records, a millisecond apart, and then many at once.
         records() {{ tool count-log 100; tool storm 300; }}
         {script}
         send_received {}; send_ring {}",
        results.port(),
        ring.port()
    );
    let image = image::standard(&kernel, &script).unwrap();
    let image = image.with(image::netem(&kernel).unwrap()).with(image::earlykmsg().unwrap());
    let boot = Boot::new(&kernel, image.to_cpio())
        .rdinit("/earlykmsg")
        .word("printk.devkmsg=on log_buf_len=4M")
        .word(format!("talos.logging.kernel={scheme}://127.0.0.1:{PORT}/"));
    let mut guest = boot.start().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    (results, ring, guest)
}

/// The number that the guest told behind a mark.
fn told(guest: &Guest, mark: &str) -> u64 {
    let report = guest.report(mark);
    let number = report.first().and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("{}", guest.failure(mark)))
}

/// In order, each once, and nothing else than the ring has. Only a connection that broke would excuse a
/// repetition, and nothing a loss.
#[test]
fn over_tcp() {
    let phases: String = LOSSLESS
        .iter()
        .chain(&LOSSY)
        .map(|words| {
            format!(
                "netem {words}; say_time 'FROM {words}:'; records; last=$(tool say 'with {words}')
                 wait_arrived 'with {words}'; say_time 'TO {words}:'\n"
            )
        })
        .collect();
    let script = format!(
        "{phases} echo \"LAST $last\"
         echo \"RETRANSMITTED $(awk '/^Tcp:/ {{ count = $13 }} END {{ print count }}' /proc/net/snmp)\""
    );
    let (results, ring, guest) = boot(Protocol::Tcp, &script);
    for line in
        guest.lines().iter().filter(|line| line.text.starts_with("FROM") || line.text.starts_with("TO"))
    {
        println!("{}", line.text);
    }
    let streams = results.streams();
    let account = Account::of_connections(&streams, told(&guest, "LAST "), none_known);
    let account = guest.explain(account).unwrap();
    let retransmitted = told(&guest, "RETRANSMITTED ");
    println!("{} connections, {retransmitted} segments sent again, {account:?}", streams.len());
    assert!(retransmitted > 0, "{}", guest.failure("the network lost nothing"));
    assert_eq!(account.unaccounted, [], "{}", guest.failure("lost in silence"));
    if streams.len() == 1 {
        let ring = guest.explain(ring_records(&ring.bytes())).unwrap();
        guest.explain(all_received(&ring, &results.records().unwrap())).unwrap();
        assert_eq!((account.received, account.duplicates, account.reports), (account.written, 0, 0));
    }
}

/// What the network does not lose arrives; what it loses nobody can know, and it goes on.
#[test]
fn over_udp() {
    let phases = |all: &[&str]| -> String {
        all.iter()
            .map(|words| {
                format!(
                    "netem {words}; records
                     until has_arrived 'with {words}'; do last=$(tool say 'with {words}'); sleep 0.2; done
                     wait_loopback_empty\n"
                )
            })
            .collect()
    };
    let script = format!(
        "{} echo \"WHOLE $last\"; {} netem loss 0%; echo \"LAST $(tool say 'at last')\"; wait_arrived 'at last'",
        phases(&LOSSLESS),
        phases(&LOSSY)
    );
    let (results, _, guest) = boot(Protocol::Udp, &script);
    let lines = results.bytes();
    let whole = Account::of_datagrams(&lines, told(&guest, "WHOLE "), none_known);
    let whole = guest.explain(whole).unwrap();
    let last = Account::of_datagrams(&lines, told(&guest, "LAST "), none_known).unwrap();
    println!("without losses: {whole:?}");
    println!("with losses: {} of {} received", last.received, last.written);
    assert_eq!((whole.received, whole.reports), (whole.written, 0), "{}", guest.failure("not all arrived"));
    assert!(whole.duplicates > 0, "{}", guest.failure("the network repeated nothing"));
    let seqs: Vec<u64> = results.records().unwrap().iter().map(|record| record.seq).collect();
    assert!(!seqs.is_sorted(), "{}", guest.failure("the network kept the order"));
    assert!(last.received < last.written, "{}", guest.failure("the network lost nothing"));
}
