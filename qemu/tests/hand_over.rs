//! The end: the main system's own delivery is there, everything is sent, and nothing is left.

use earlykmsg_qemu::{Boot, End, Kernel, LONG, Protocol, Receiver, all_received, image, ring_records};

/// A boot with a switch of root, whose main system runs a command in the background for its delivery.
/// Claims that earlykmsg then ends with a farewell and after all that it must have sent.
fn assert_ends(protocol: Protocol, delivery: &str, words: &str, farewell: &str) {
    assert_ends_with(&Receiver::new(protocol), delivery, words, farewell);
}

fn assert_ends_with(receiver: &Receiver, delivery: &str, words: &str, farewell: &str) {
    let kernel = Kernel::debian().unwrap();
    let ring = Receiver::tcp();
    let port = receiver.port();
    let main = format!(
        "say 'after the switch'; wait_for_go; {} & \n\
         wait_log '{farewell}, last seq sent'; kill $!; show_leftovers {port}; send_ring {}; wait_for_go",
        delivery.replace("PORT", &port.to_string()),
        ring.port()
    );
    let script = "network_up; make_main_system; move_mounts; exec switch_root /new /sbin/init";
    let image = image::with_main_system(&kernel, script, &main).unwrap();
    let boot = Boot::new(&kernel, image.with(image::earlykmsg().unwrap()).to_cpio())
        .rdinit("/earlykmsg")
        .word(receiver.word())
        .word(words);
    let mut guest = boot.start().unwrap();
    guest.wait_ready(LONG).unwrap();
    guest.explain(receiver.wait_text("after the switch", LONG)).unwrap();
    guest.go().unwrap();
    guest.explain(ring.wait_closed(LONG)).unwrap();
    assert_eq!(guest.report("LEFT "), [""; 0], "{}", guest.failure("something is left"));
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);

    // What was said last is that it is handed over; what the ring held then was received before it.
    let records = receiver.records().unwrap();
    let ring = guest.explain(ring_records(&ring.bytes())).unwrap();
    let said = ring.iter().find(|record| record.msg.contains(farewell)).unwrap().seq;
    let until: Vec<_> = ring.into_iter().filter(|record| record.seq < said).collect();
    guest.explain(all_received(&until, &records)).unwrap();
    let last = records.last().unwrap();
    assert!(last.msg.contains(farewell), "{}", guest.failure(&format!("the last is {}", last.json)));
}

#[test]
fn to_another_connection() {
    assert_ends(Protocol::Tcp, "tool hold tcp 10.0.2.2 PORT", "", "handed over to the main system");
}

#[test]
fn to_a_connection_of_an_ipv6_socket() {
    assert_ends(Protocol::Tcp, "tool hold tcp ::ffff:10.0.2.2 PORT", "", "handed over to the main system");
}

#[test]
fn to_another_connection_on_ipv6() {
    let receiver = Receiver::tcp6();
    assert_ends_with(&receiver, "tool hold tcp fec0::2 PORT", "", "handed over to the main system");
}

#[test]
fn to_another_datagram_socket() {
    assert_ends(Protocol::Udp, "tool hold udp 10.0.2.2 PORT", "", "handed over to the main system");
}

/// Nobody takes over: the end comes when the time to linger is over.
#[test]
fn after_the_time_to_linger() {
    assert_ends(Protocol::Tcp, "sleep 1000", "earlykmsg.linger=4", "nobody took over in the time given");
}

/// A socket to the same destination before the switch is no main system's.
#[test]
fn not_before_the_switch() {
    let kernel = Kernel::debian().unwrap();
    let receiver = Receiver::tcp();
    let script = format!(
        "network_up; tool hold tcp 10.0.2.2 {} & sleep 6; say 'still here'; wait_for_go",
        receiver.port()
    );
    let image = image::standard(&kernel, &script).unwrap().with(image::earlykmsg().unwrap());
    let boot = Boot::new(&kernel, image.to_cpio()).rdinit("/earlykmsg").word(receiver.word());
    let mut guest = boot.start().unwrap();
    let records = guest.explain(receiver.wait_text("still here", LONG)).unwrap();
    assert!(!records.iter().any(|record| record.msg.contains("handed over")));
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
}
