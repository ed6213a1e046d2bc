//! Receivers that go away while the system changes: around the switch of root, and when the main system ends.

use earlykmsg_qemu::{Account, Boot, End, Guest, Kernel, LONG, Receiver, image, none_known};
use earlykmsg_tests::json::unconfirmed;

const PORT: u16 = 5044;

/// What the receiver in the guest got, and the guest.
fn boot(script: &str, main: &str) -> (Vec<Vec<u8>>, Guest) {
    let kernel = Kernel::debian().unwrap();
    let results = Receiver::tcp();
    let script = format!(
        "network_up; loopback_up; make_main_system; received=/new/tmp/received
         {script}
         move_mounts; exec switch_root /new /sbin/init"
    );
    let main = format!("received=/tmp/received\n{main}\nsend_received {}", results.port());
    let image = image::with_main_system(&kernel, &script, &main).unwrap();
    let boot = Boot::new(&kernel, image.with(image::earlykmsg().unwrap()).to_cpio())
        .rdinit("/earlykmsg")
        .word("printk.devkmsg=on log_buf_len=4M")
        .word(format!("talos.logging.kernel=tcp://127.0.0.1:{PORT}/"));
    let mut guest = boot.start().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    (results.streams(), guest)
}

/// The number of the last record that counts, as the guest told it.
fn last(guest: &Guest) -> u64 {
    let last = guest.report("LAST ").first().and_then(|last| last.parse().ok());
    last.unwrap_or_else(|| panic!("{}", guest.failure("no last record")))
}

/// Claims that all arrived up to that record, and gives the figures.
fn assert_all_received(streams: &[Vec<u8>], guest: &Guest) -> Account {
    let account = guest.explain(Account::of_connections(streams, last(guest), none_known)).unwrap();
    println!("{} connections, {account:?}", streams.len());
    assert_eq!(account.unaccounted, [], "{}", guest.failure("lost in silence"));
    assert_eq!((account.received, account.lost), (account.written, 0), "{}", guest.failure("not all"));
    account
}

/// Its kernel had acknowledged what goes with it; the next one, in the new root, gets it again.
#[test]
fn killed_before_the_switch_and_back_after_it() {
    let script = format!(
        "start_receiver tcp {PORT} stop=200000; tool storm 4000; kill_with_bytes_unread {PORT}
         tool count-log 1000 &"
    );
    let main = format!(
        "wait_log 'numbered 1000 of'; start_receiver tcp {PORT}
         echo \"LAST $(tool say 'after the switch')\"; wait_arrived 'after the switch'"
    );
    let (streams, guest) = boot(&script, &main);
    let account = assert_all_received(&streams, &guest);
    assert!(account.duplicates > 0, "{}", guest.failure("nothing was sent again"));
}

#[test]
fn away_before_the_switch_and_back_two_seconds_after_it() {
    let main = format!(
        "tool storm 1000; sleep 2; start_receiver tcp {PORT}
         echo \"LAST $(tool say 'after the switch')\"; wait_arrived 'after the switch'"
    );
    let script = format!(
        "start_receiver tcp {PORT}; say 'before it'; wait_arrived 'before it'; kill_receiver; tool storm 1000"
    );
    let (streams, guest) = boot(&script, &main);
    assert_all_received(&streams, &guest);
}

/// The end as an init orders it: SIGTERM to all, and SIGKILL when they have ended or had eight seconds. The
/// receiver stands for another machine's, and is spared until it has what was sent.
fn the_end(before: &str, after: &str) -> (Vec<Vec<u8>>, Guest) {
    let main = format!(
        "trap '' TERM
         {before}; echo \"LAST $(tool say 'going down')\"
         say_time TERM; kill -TERM -1
         {{ {after}; }} &
         for _ in $(seq 80); do [ -n \"$(show_processes)\" ] || break; sleep 0.1; done
         say_time GONE; show_processes; tool ring | grep 'not acknowledged' | cut -d ';' -f 2 | sed 's/^/SAID /'
         wait $!; kill -KILL -1"
    );
    let (streams, guest) = boot("", &main);
    println!("{:?} {:?}", guest.report("TERM "), guest.report("GONE "));
    assert_eq!(guest.report("PROCESS "), [""; 0], "{}", guest.failure("it had to be killed"));
    (streams, guest)
}

/// The last that is received is that nothing more comes.
#[test]
fn the_end_with_a_slow_receiver() {
    let start =
        format!("start_receiver tcp {PORT} slow=1000000; until [ -e $received/000 ]; do sleep 0.05; done");
    let (streams, guest) = the_end(&format!("{start}; tool storm 5000"), "wait_arrived 'asked to end'");
    assert_all_received(&streams, &guest);
}

#[test]
fn the_end_with_a_receiver_that_comes_back_after_two_seconds() {
    let back = format!("sleep 2; start_receiver tcp {PORT}; wait_arrived 'asked to end'");
    let (streams, guest) = the_end("tool storm 1000", &back);
    assert_all_received(&streams, &guest);
}

#[test]
fn the_end_with_a_receiver_that_died_with_bytes_unread() {
    let start = format!("start_receiver tcp {PORT} stop=200000; tool storm 15000; wait_bytes_unread {PORT}");
    let back = format!("kill_receiver; start_receiver tcp {PORT}; wait_arrived 'asked to end'");
    let (streams, guest) = the_end(&start, &back);
    assert_all_received(&streams, &guest);
}

/// Five seconds save nothing: the kernel's log says what goes.
#[test]
fn the_end_without_a_receiver() {
    let (streams, guest) = the_end("tool storm 5000", "true");
    assert_eq!(streams.len(), 0);
    let said = guest.report("SAID ");
    let unconfirmed: Vec<u64> = said.iter().filter_map(|text| unconfirmed(text)).collect();
    assert_eq!(unconfirmed.len(), 1, "{}", guest.failure("not said, or said twice"));
    assert!(unconfirmed[0] > last(&guest), "{}", guest.failure(&said[0]));
}
