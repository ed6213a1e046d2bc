//! What networks do between the shipper and its receiver, over TCP: every record is received, or reported.

use core::net::{Ipv6Addr, SocketAddrV6};
use core::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::net::UdpSocket;
use std::thread;
use std::time::Instant;

use earlykmsg_tests::account::{Stream, account};
use earlykmsg_tests::fault::{self, Fault};
use earlykmsg_tests::foreign::until;
use earlykmsg_tests::kmsg::Fake;
use earlykmsg_tests::proc;
use earlykmsg_tests::program::{Run, start, start_on_own_log};
use earlykmsg_tests::receiver::{End, Tcp, TcpBehaviour, Udp};
use earlykmsg_tests::sandbox::{
    FAR, FAR_IP, NEAR, Network, alone, drop_nothing, drop_packets_to, far, far6, ip,
};
use earlykmsg_tests::scene::{Scene, after};
use nix::sys::signal::Signal;

const WITHIN: Duration = Duration::from_secs(30);

/// What recovery after a fault may take: a connection attempt is given up after 3 s, a pause is at most 1 s long, and a
/// busy machine has as much time again.
const BACK_WITHIN: Duration = Duration::from_secs(2 * (3 + 1));

/// A connection outlives what lasts so short: nothing comes twice.
#[track_caller]
fn outlived(fault: &Fault) {
    after(fault, |scene, account| {
        account.all_arrived_once();
        assert_eq!(scene.connections(), 1, "slow is not dead");
    });
}

#[test]
fn packets_dropped_for_a_moment() {
    outlived(&fault::PACKETS_DROPPED);
}

#[test]
fn a_route_that_goes_away_and_comes_back() {
    outlived(&fault::NO_ROUTE);
}

#[test]
fn an_interface_that_is_taken_down_and_up() {
    outlived(&fault::INTERFACE_DOWN);
}

/// Packets of any size that the wire takes: records larger and smaller than one, and a receiver that closes, and later
/// dies with bytes unread.
fn mtu(fault: &Fault) {
    alone(|sandbox| {
        let mut scene = Scene::new(fault, sandbox);
        for end in [End::Close, End::Reset] {
            let last = scene.write_long_records();
            scene.lines.wait_for(&last, WITHIN);
            if end == End::Reset {
                scene.receiver().pause();
                let last = scene.write_long_records();
                scene.receiver().wait_unread(&last, WITHIN);
            }
            scene.restart(end);
        }
        scene.happen();
        scene.account().all_arrived();
    });
}

#[test]
fn mtu_576() {
    mtu(&fault::MTU_576);
}

#[test]
fn mtu_9000() {
    mtu(&fault::MTU_9000);
}

/// Where there is nothing but IPv6: a receiver that closes, one that is killed with bytes unread.
#[test]
fn ipv6_only() {
    alone(|sandbox| {
        let mut scene = Scene::new(&fault::KILLED_BY_IPV6, sandbox);
        scene.restart(End::Close);
        scene.write_and_wait(10);
        scene.happen();
        scene.account().all_arrived();
    });
}

/// Link-local addresses are good on one link alone, which the destination names.
#[test]
fn a_link_local_address() {
    alone(|sandbox| {
        let network = Network::cable(&["fe80::1/64"], &["fe80::2/64"]);
        let log = Fake::new(sandbox);
        let at = |scope| SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2), 5044, 0, scope).into();
        let (tcp, udp) = network.enter(|| {
            let far = nix::net::if_::if_nametoindex("far").expect("a device");
            (Tcp::at(at(far), TcpBehaviour::Reads), Udp::at(at(far)))
        });
        for (scheme, lines) in [("tcp", &tcp.lines), ("udp", &udp.lines)] {
            let url = format!("{scheme}://[fe80::2%near]:5044/");
            let program = Run::fed(&[&url]).start_connected();
            log.feed("6,1,1,-;one record\n");
            lines.wait_for("one record", WITHIN);
            program.signal(Signal::SIGTERM);
            assert_eq!(program.finish(WITHIN).code, Some(0), "{url}");
        }
        // On the loopback, where all addresses of this machine are, there is no such neighbour.
        let end = Run::fed(&["--once", "tcp://[fe80::2%lo]:5044/"]).start();
        log.feed("6,2,2,-;another record\n");
        assert_eq!(end.finish(WITHIN).code, Some(69));
    });
}

/// Nothing answers at first, not even with a refusal: each attempt is given up in time to notice the end of that.
#[test]
fn a_black_hole_that_ends() {
    alone(|sandbox| {
        let network = Network::cable(NEAR, FAR);
        let receiver = network.enter(|| {
            drop_packets_to(FAR_IP);
            Tcp::at(far(5044), TcpBehaviour::Reads)
        });
        let mut stream = Stream::own(sandbox, "hole");
        let program = start_on_own_log(&receiver.url());
        stream.write(20);
        thread::sleep(Duration::from_secs(12)); // the fault itself: by now TCP alone would wait for 7 s
        assert!(receiver.connections.is_empty());
        network.enter(drop_nothing);
        let since = Instant::now();
        let first = |all: &[Instant]| all.first().copied();
        let at = receiver.connections.wait(WITHIN, "a connection", first);
        let last = stream.write(10);
        let account = account("black hole of 12 s at the start", &stream, &receiver.lines, &program, &last);
        account.all_arrived_once();
        println!("connected {:?} after it ended", at - since);
        assert!(at - since < BACK_WITHIN);
    });
}

/// The address that a connection is from is deleted: that is noticed at once, whether or not there is something to send,
/// and there is another connection as soon as there is another address.
fn own_address_deleted(fault: &Fault) {
    alone(|sandbox| {
        let mut scene = Scene::new(fault, sandbox);
        scene.delete_own_address();
        scene.program().says("lost: its own address was deleted", BACK_WITHIN);
        assert_eq!(scene.connections(), 1);
        scene.write_at_both_ends();
        scene.add_other_address();
        let since = Instant::now();
        let second = |all: &[Instant]| all.get(1).copied();
        let at = scene.receiver().connections.wait(WITHIN, "another connection", second);
        println!("connected {:?} after another address was there", at - since);
        assert!(at - since < BACK_WITHIN);
        let account = scene.account();
        account.all_arrived();
        assert!(account.duplicates >= 10, "what the first connection carried may be unread: {account:?}");
    });
}

#[test]
fn own_address_deleted_ipv4() {
    own_address_deleted(&fault::ADDRESS_DELETED);
}

#[test]
fn own_address_deleted_ipv6() {
    own_address_deleted(&fault::ADDRESS_DELETED_IPV6);
}

/// A connection outlives the end of other addresses, and that of its own where it is there twice.
#[test]
fn an_address_that_stays() {
    outlived(&Fault {
        name: "other addresses deleted, and its own, which is there twice",
        happen: |scene| {
            ip("addr add 10.9.0.7/24 dev near");
            ip("addr add 10.9.0.1/32 dev near");
            ip("addr del 10.9.0.7/24 dev near");
            scene.write_and_wait(10);
            ip("addr del 10.9.0.1/24 dev near");
            ip("route add 10.9.0.0/24 dev near");
            scene.write_and_wait(10);
        },
        ..fault::ADDRESS_DELETED
    });
}

/// A connection of IPv4 is not woken by what the kernel tells of IPv6, as at each router advertisement.
#[test]
fn addresses_of_the_other_family_wake_nobody() {
    alone(|sandbox| {
        let network = Network::cable(NEAR, FAR);
        let receiver = network.enter(|| Tcp::at(far(5044), TcpBehaviour::Reads));
        let mut stream = Stream::own(sandbox, "family");
        let program = start_on_own_log(&receiver.url());
        let last = stream.write(5);
        receiver.lines.wait_for(&last, WITHIN);
        let shipper = program.shippers()[0];
        until("nothing is due", || proc::waits_without_end(shipper));
        let before = proc::waits(shipper);
        for seconds in 100..110 {
            ip(&format!("addr change fd09::1/64 dev near valid_lft {seconds} preferred_lft {seconds}"));
        }
        // One of IPv4 wakes it.
        ip("addr add 10.9.0.7/24 dev near");
        until("it has woken", || proc::waits(shipper) > before && proc::waits_without_end(shipper));
        assert_eq!(proc::waits(shipper), before + 1);
        assert_eq!(receiver.connections.len(), 1);
    });
}

/// Datagrams are not sent from an address that was deleted; that is noticed at once, even where there is still a route.
#[test]
fn own_address_deleted_udp() {
    // The last is the first address as lists of sockets have it.
    for (to, own, other, list, listed) in [
        (far(5044), "10.9.0.1/24", "10.9.0.7/25", "net/udp", "0100090A:"),
        (far6(5044), "fd09::1/64", "fd09::7/64", "net/udp6", "000009FD000000000000000001000000:"),
    ] {
        alone(|_| {
            let network = Network::cable(NEAR, FAR);
            let socket = network.enter(|| UdpSocket::bind(to).expect("listen"));
            socket.set_read_timeout(Some(WITHIN)).expect("set a time-out");
            let mut stream = Stream::new("source");
            let program = start(&format!("udp://{to}/"));
            let mut numbers = BTreeSet::new();
            // Where the record with this text came from.
            let mut receive_up_to = |text: &str, stream: &Stream| {
                let mut buffer = [0; 65_536];
                loop {
                    let (len, from) = socket.recv_from(&mut buffer).expect("a datagram");
                    let line = String::from_utf8_lossy(&buffer[..len]);
                    numbers.extend(stream.number_in(line.as_bytes()));
                    if line.contains(text) {
                        return format!("{}/", from.ip());
                    }
                }
            };
            let last = stream.write(5);
            assert!(own.starts_with(&receive_up_to(&last, &stream)));
            ip(&format!("addr add {other} dev near nodad"));
            ip(&format!("addr del {own} dev near"));
            until("the socket is dropped", || !proc::file(program.shippers()[0], list).contains(listed));
            let last = stream.write(5);
            assert!(other.starts_with(&receive_up_to(&last, &stream)));
            assert_eq!(numbers.len(), 10, "{numbers:?}");
        });
    }
}

/// The same where the receiver's first address, of the other family, has refused datagrams just before, and records never
/// cease.
#[test]
fn own_address_deleted_udp_at_the_second_address() {
    const OWN: &str = "000009FD000000000000000001000000:";
    alone(|sandbox| {
        let network = Network::cable(NEAR, FAR);
        fs::write(sandbox.etc().join("hosts"), "10.9.0.2 logs.example\nfd09::2 logs.example\n")
            .expect("write a file");
        let [first, second] = [far(5044), far6(5044)].map(|to| network.enter(|| Udp::at(to)));
        let mut stream = Stream::own(sandbox, "second");
        let program = start_on_own_log("udp://logs.example:5044/");
        first.lines.wait_for(&stream.write(5), WITHIN);
        let shipper = program.shippers()[0];
        until("nothing is due", || proc::waits_without_end(shipper));
        drop(first);
        let uses_own_address = |stream: &mut Stream| {
            stream.write(1);
            proc::file(shipper, "net/udp6").contains(OWN)
        };
        until("the other address is tried", || uses_own_address(&mut stream));
        ip("addr add fd09::7/64 dev near nodad");
        ip("addr del fd09::1/64 dev near");
        until("the socket is dropped", || !uses_own_address(&mut stream));
        second.lines.wait_for(&stream.write(1), WITHIN);
    });
}

/// The peer's machine comes back and knows nothing of the connection.
#[test]
fn half_open() {
    after(&fault::HALF_OPEN, |scene, account| {
        account.all_arrived();
        assert_eq!(scene.connections(), 2);
    });
}

/// A route that goes away and comes back: the kernel tells, so nothing is waited for.
#[test]
fn a_link_that_comes_late() {
    alone(|sandbox| {
        let network = Network::cable(NEAR, FAR);
        let receiver = network.enter(|| Tcp::at(far(5044), TcpBehaviour::Reads));
        ip("link set near down");
        let mut stream = Stream::own(sandbox, "link");
        let _program = start_on_own_log(&receiver.url());
        let last = stream.write(5);
        thread::sleep(Duration::from_secs(4)); // long enough for the longest pause
        assert!(receiver.connections.is_empty());
        ip("link set near up");
        let since = Instant::now();
        let at = receiver.lines.wait_for(&last, WITHIN).at;
        println!("first record {:?} after the link came up", at - since);
        assert!(at - since < Duration::from_millis(1_500));
    });
}
