//! What networks do between the shipper and its receiver, over TCP: every record is received, or reported.

use core::net::{Ipv6Addr, SocketAddrV6};
use core::time::Duration;
use std::thread;
use std::time::Instant;

use earlykmsg_tests::account::{Stream, account};
use earlykmsg_tests::kmsg::Fake;
use earlykmsg_tests::program::{Run, start, start_on_own_log};
use earlykmsg_tests::receiver::{End, Tcp, TcpBehaviour, Udp};
use earlykmsg_tests::sandbox::{
    FAR, FAR_IP, NEAR, Network, alone, drop_nothing, drop_packets_to, far, far6, ip,
};
use nix::sys::signal::Signal;

const WITHIN: Duration = Duration::from_secs(10);

/// What recovery after a fault may take: a connection attempt is given up after 3 s, a pause is at most 1 s long, and a
/// busy machine has as much time again.
const BACK_WITHIN: Duration = Duration::from_secs(2 * (3 + 1));

/// Something is done to a connection for a while that it outlives: nothing comes twice.
fn outlived(fault: &str, begin: impl FnOnce(&Network) + Send, end: impl FnOnce(&Network) + Send) {
    alone(|sandbox| {
        let network = Network::cable(NEAR, FAR);
        let receiver = network.enter(|| Tcp::at(far(5044), TcpBehaviour::Reads));
        let mut stream = Stream::own(sandbox, "outlived");
        let program = start_on_own_log(&receiver.url());
        stream.write_and_wait(10, &receiver.lines);
        begin(&network);
        stream.write(50);
        thread::sleep(Duration::from_secs(4)); // the fault itself
        stream.write(50);
        end(&network);
        let since = Instant::now();
        let last = stream.write(10);
        let back = receiver.lines.wait_for(&last, Duration::from_secs(60)).at;
        account(fault, &stream, &receiver.lines, &program, &last).all_arrived_once();
        println!("recovered in {:?}", back - since);
        assert_eq!(receiver.connections.len(), 1, "slow is not dead");
    });
}

#[test]
fn packets_dropped_for_a_moment() {
    let begin = |network: &Network| network.enter(|| drop_packets_to(FAR_IP));
    outlived("packets dropped for 4 s", begin, |network| network.enter(drop_nothing));
}

#[test]
fn a_route_that_goes_away_and_comes_back() {
    let begin = |_: &Network| ip("route del 10.9.0.0/24");
    outlived("no route for 4 s", begin, |_| ip("route add 10.9.0.0/24 dev near"));
}

#[test]
fn an_interface_that_is_taken_down_and_up() {
    let begin = |_: &Network| ip("link set near down");
    outlived("interface down for 4 s", begin, |_| ip("link set near up"));
}

/// Packets of any size that the wire takes: records larger and smaller than one, and a receiver that restarts.
fn mtu(bytes: u32) {
    alone(|_| {
        let network = Network::cable(&NEAR[..1], &FAR[..1]);
        ip(&format!("link set near mtu {bytes}"));
        network.enter(|| ip(&format!("link set far mtu {bytes}")));
        let receiver = network.enter(|| Tcp::at(far(5044), TcpBehaviour::Reads));
        let mut stream = Stream::storm("mtu");
        let program = start(&receiver.url());
        let write = |stream: &mut Stream| {
            for length in [1, 300, 500, 700, 900] {
                (0..5).for_each(|_| _ = stream.write_one(&"x".repeat(length)));
            }
            stream.write(50)
        };
        receiver.lines.wait_for(&write(&mut stream), WITHIN);
        let receiver = network.enter(|| receiver.restart(End::Close, Duration::ZERO));
        receiver.lines.wait_for(&write(&mut stream), WITHIN);
        receiver.pause();
        receiver.wait_unread(&write(&mut stream), WITHIN);
        let receiver = network.enter(|| receiver.restart(End::Reset, Duration::ZERO));
        let last = write(&mut stream);
        let fault = format!("MTU {bytes}; closed, later killed");
        account(&fault, &stream, &receiver.lines, &program, &last).all_arrived();
    });
}

#[test]
fn mtu_576() {
    mtu(576);
}

#[test]
fn mtu_9000() {
    mtu(9000);
}

/// Where there is nothing but IPv6: a receiver that closes, one that is killed with bytes unread.
#[test]
fn ipv6_only() {
    alone(|_| {
        let network = Network::cable(&NEAR[1..], &FAR[1..]);
        let receiver = network.enter(|| Tcp::at(far6(5044), TcpBehaviour::Reads));
        let mut stream = Stream::new("ipv6");
        let program = start(&receiver.url());
        stream.write_and_wait(10, &receiver.lines);
        let receiver = network.enter(|| receiver.restart(End::Close, Duration::ZERO));
        stream.write_and_wait(10, &receiver.lines);
        receiver.pause();
        receiver.wait_unread(&stream.write(120), WITHIN);
        let receiver = network.enter(|| receiver.restart(End::Reset, Duration::ZERO));
        let last = stream.write(10);
        let account = account("IPv6 only; closed, later killed", &stream, &receiver.lines, &program, &last);
        account.all_arrived();
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

/// The peer's machine comes back and knows nothing of the connection.
#[test]
fn half_open() {
    alone(|_| {
        let network = Network::cable(NEAR, FAR);
        let receiver = network.enter(|| Tcp::at(far(5044), TcpBehaviour::Reads));
        let mut stream = Stream::new("half");
        let program = start(&receiver.url());
        stream.write_and_wait(10, &receiver.lines);
        // Its last words reach nobody: the cable is out while it dies.
        network.enter(|| ip("link set far down"));
        let lines = std::sync::Arc::clone(&receiver.lines);
        let receiver = network.enter(|| {
            let receiver = receiver.restart(End::Reset, Duration::ZERO);
            ip("link set far up");
            receiver
        });
        let last = stream.write(10);
        let account = account("half-open: the peer forgot the connection", &stream, &lines, &program, &last);
        account.all_arrived();
        assert_eq!(receiver.connections.len(), 2);
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
