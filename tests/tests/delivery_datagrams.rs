//! Datagrams: every one leaves, a burst is one that stock listeners take, a refusal is answered by sending again.

use core::time::Duration;
use std::collections::BTreeSet;
use std::thread;

use earlykmsg_tests::account::{Stream, account};
use earlykmsg_tests::program::start;
use earlykmsg_tests::receiver::Udp;
use earlykmsg_tests::sandbox::{FAR, NEAR, Network, alone, far};
use nix::sys::signal::Signal;

const WITHIN: Duration = Duration::from_secs(10);

/// Nobody listens for datagrams at first: what the refusals tell of is sent again.
#[test]
fn datagrams_refused() {
    alone(|_| {
        let address = Udp::new().address;
        let mut stream = Stream::new("refused");
        let program = start(&format!("udp://{address}/"));
        program.words.wait(WITHIN, "its first words", |words| words.first().map(|_| ()));
        stream.write(5);
        thread::sleep(Duration::from_millis(1_500)); // nobody is there
        stream.write(5);
        let receiver = Udp::at(address);
        let last = stream.write(5);
        receiver.lines.wait_for(&last, WITHIN);
        let got = receiver.lines.texts(&stream.tag).len();
        println!("{got} of 15 arrived");
        let account = account("datagrams refused, then taken", &stream, &receiver.lines, &program, &last);
        println!("{account:?}");
        assert_eq!(account.received, 15, "the ring held them all the time");
    });
}

/// The receiver of datagrams restarts: the refusal comes late, what was sent within its second goes out again.
#[test]
fn datagrams_to_a_receiver_that_restarts() {
    alone(|_| {
        let receiver = Udp::new();
        let (address, lines) = (receiver.address, std::sync::Arc::clone(&receiver.lines));
        let mut stream = Stream::new("udp-restart");
        let program = start(&receiver.url());
        stream.write_and_wait(10, &lines);
        drop(receiver);
        stream.write(10);
        thread::sleep(Duration::from_millis(300)); // nobody is there
        let again = Udp::at(address);
        let last = stream.write(10);
        again.lines.wait_for(&last, WITHIN);
        let got: BTreeSet<String> =
            [&lines, &again.lines].into_iter().flat_map(|lines| lines.texts(&stream.tag)).collect();
        println!("{} of 30; it said {:?}", got.len(), *program.words.items());
        assert_eq!(got.len(), 30);
    });
}

/// Nobody answers for the receiver's address: nothing is sent into the void until somebody does.
#[test]
fn datagrams_wait_for_the_neighbour() {
    alone(|_| {
        let network = Network::cable(NEAR, FAR);
        let answer = |how: &str| {
            network
                .enter(|| std::fs::write("/proc/sys/net/ipv4/conf/all/arp_ignore", how))
                .expect("set arp_ignore");
        };
        answer("8");
        let receiver = network.enter(|| Udp::at(far(5044)));
        let mut stream = Stream::new("neighbour");
        let program = start(&format!("udp://{}/", far(5044)));
        program.words.wait(WITHIN, "its first words", |words| words.first().map(|_| ()));
        stream.write(100);
        thread::sleep(Duration::from_secs(5)); // the fault itself: longer than the kernel asks for the address
        assert!(
            !program.words.items().iter().any(|line| line.contains("connected to")),
            "nobody is there yet: {:?}",
            *program.words.items()
        );
        answer("0");
        let last = stream.write(10);
        let account = account("nobody answers for the address", &stream, &receiver.lines, &program, &last);
        // What the full ring dropped meanwhile is said; what it still had has arrived, none of it sent in vain.
        assert_eq!(account.received, account.written);
        assert!(account.perhaps_unread <= 1, "only the first datagram was sent before: {account:?}");
    });
}

/// A shipper that is killed does not send again what was delivered long ago.
#[test]
fn datagrams_of_a_killed_shipper() {
    alone(|_| {
        let receiver = Udp::new();
        let mut stream = Stream::new("udp-killed");
        let program = start(&receiver.url());
        stream.write_and_wait(10, &receiver.lines);
        thread::sleep(Duration::from_millis(1_500)); // more than is sent again
        stream.write_and_wait(1, &receiver.lines);
        program.says("connected to", WITHIN);
        let shipper = program.shippers()[0];
        nix::sys::signal::kill(shipper, Signal::SIGKILL).expect("kill the shipper");
        program.says("is started again", WITHIN);
        let last = stream.write(5);
        let account = account("shipper killed, datagrams", &stream, &receiver.lines, &program, &last);
        assert_eq!(account.received, account.written); // what a full ring drops of others' does not matter here
        assert!(account.duplicates < 200, "{account:?}");
    });
}
