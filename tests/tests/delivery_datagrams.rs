//! Datagrams: every one leaves, a burst is one that stock listeners take, a refusal is answered by sending again.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::thread;
use std::time::Instant;

use earlykmsg_tests::account::{Stream, account};
use earlykmsg_tests::foreign::{Foreign, listens, objects, until};
use earlykmsg_tests::json::{self, timeless};
use earlykmsg_tests::kmsg::Fake;
use earlykmsg_tests::proc;
use earlykmsg_tests::program::{Program, Run, start};
use earlykmsg_tests::receiver::Udp;
use earlykmsg_tests::record::Record;
use earlykmsg_tests::sandbox::{
    FAR, NEAR, Network, Sandbox, alone, behind, behind6, drop_nothing, drop_packets, far, far6, ip, ip_says,
    near6, refuse_datagrams, report_unreachable,
};
use nix::sys::signal::Signal;

const WITHIN: Duration = Duration::from_secs(30);

/// How many datagrams came to a port of this network where nobody listens.
fn refusals(file: &str, line: &str) -> u64 {
    let all = fs::read_to_string(format!("/proc/thread-self/net/{file}")).expect("read the counters");
    // IPv4's stand in a row behind their name, below their names; IPv6's have a line each.
    let line = all.lines().rfind(|all| all.starts_with(line)).expect("the counter");
    line.split_whitespace()
        .nth(if file == "snmp" { 2 } else { 1 })
        .and_then(|n| n.parse().ok())
        .expect("a number")
}

/// Nobody listens for datagrams at first: what the refusals tell of is sent again.
#[test]
fn datagrams_refused() {
    alone(|_| {
        let address = Udp::new().address;
        let mut stream = Stream::new("refused");
        let program = start(&format!("udp://{address}/"));
        program.words.wait(WITHIN, "its first words", |words| words.first().map(|_| ()));
        stream.write(5);
        until("a refusal", || refusals("snmp", "Udp:") > 0);
        stream.write(5);
        let receiver = Udp::with_room(address);
        let last = stream.write(5);
        receiver.lines.wait_for(&last, WITHIN);
        let got = receiver.lines.texts(&stream.tag).len();
        println!("{got} of 15 arrived");
        let account = account("datagrams refused, then taken", &stream, &receiver.lines, &program, &last);
        println!("{account:?}");
        assert_eq!(account.received, 15, "the ring held them all the time");
    });
}

/// The receiver of datagrams restarts: the refusal comes late, what was sent within the last seconds goes out again.
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
        until("a refusal", || refusals("snmp", "Udp:") > 0);
        let again = Udp::with_room(address);
        let last = stream.write(10);
        again.lines.wait_for(&last, WITHIN);
        let got: BTreeSet<String> =
            [&lines, &again.lines].into_iter().flat_map(|lines| lines.texts(&stream.tag)).collect();
        println!("{} of 30; it said {:?}", got.len(), *program.words.items());
        assert_eq!(got.len(), 30);
    });
}

/// What the receiver has sent fills the buffer in which reports would stand. Of a burst the first ones are refused: that
/// is noticed all the same.
#[test]
fn datagrams_refused_by_a_receiver_that_talks() {
    alone(|_| {
        let network = Network::cable(NEAR, FAR);
        let talker = network.enter(|| UdpSocket::bind(far(5044)).expect("listen"));
        let mut stream = Stream::new("talks");
        let program = start(&format!("udp://{}/", far(5044)));
        program.says("connected to", WITHIN);
        let (_, shipper_address) = talker.recv_from(&mut [0; 65_536]).expect("a datagram");
        until("its buffer to be full", || {
            for _ in 0..500 {
                talker.send_to(&[0; 1_000], shipper_address).expect("talk");
            }
            has_dropped(shipper_address.port())
        });
        let shipper = program.shippers()[0];
        nix::sys::signal::kill(shipper, Signal::SIGSTOP).expect("stop the shipper");
        drop(talker);
        let receiver = network.enter(|| Udp::with_room(far(5044)));
        network.enter(|| refuse_datagrams(4));
        let last = stream.write(40); // one burst
        nix::sys::signal::kill(shipper, Signal::SIGCONT).expect("continue the shipper");
        receiver.lines.wait_for(&last, WITHIN);
        let tag = stream.tag.clone();
        receiver.lines.wait(WITHIN, "the first ones again", |lines| {
            let own = lines.iter().filter(|line| line.holds(&tag));
            let seqs: BTreeSet<u64> = own.map(|line| json::seq(&line.json())).collect();
            (seqs.len() == 40).then_some(())
        });
    });
}

/// Whether the socket of this port in this network has dropped something that came in.
fn has_dropped(port: u16) -> bool {
    let all = fs::read_to_string("/proc/thread-self/net/udp").expect("read the list of sockets");
    let own = format!(":{port:04X}");
    all.lines().any(|line| {
        let mut fields = line.split_whitespace();
        fields.nth(1).is_some_and(|local| local.ends_with(&own)) && fields.next_back() != Some("0")
    })
}

/// "8": this network answers nobody who asks for its IPv4 addresses; "0": it does.
fn answer_arp(how: &str) {
    fs::write("/proc/sys/net/ipv4/conf/all/arp_ignore", how).expect("set arp_ignore");
}

/// Nobody answers for the receiver's address: nothing is sent into the void until somebody does.
#[test]
fn datagrams_wait_for_the_neighbour() {
    alone(|_| {
        let network = Network::cable(NEAR, FAR);
        network.enter(|| answer_arp("8"));
        let receiver = network.enter(|| Udp::with_room(far(5044)));
        let mut stream = Stream::new("neighbour");
        let program = start(&format!("udp://{}/", far(5044)));
        program.words.wait(WITHIN, "its first words", |words| words.first().map(|_| ()));
        stream.write(100);
        until("the kernel has given up", || ip_says("neigh show 10.9.0.2").contains("FAILED"));
        assert!(
            !program.words.items().iter().any(|line| line.contains("connected to")),
            "nobody is there yet: {:?}",
            *program.words.items()
        );
        network.enter(|| answer_arp("0"));
        let last = stream.write(10);
        let account = account("nobody answers for the address", &stream, &receiver.lines, &program, &last);
        // What the full ring dropped meanwhile is said; what it still had has arrived, none of it sent in vain.
        assert_eq!(account.received, account.written);
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
        let early = receiver.lines.texts(&stream.tag);
        thread::sleep(Duration::from_millis(100)); // records of one moment are sent again together
        stream.write_and_wait(1, &receiver.lines);
        thread::sleep(Duration::from_millis(4_100)); // more than is sent again
        stream.write_and_wait(1, &receiver.lines);
        program.says("connected to", WITHIN);
        let shipper = program.shippers()[0];
        nix::sys::signal::kill(shipper, Signal::SIGKILL).expect("kill the shipper");
        program.says("is started again", WITHIN);
        let last = stream.write(5);
        let account = account("shipper killed, datagrams", &stream, &receiver.lines, &program, &last);
        assert_eq!(account.received, account.written); // what a full ring drops of others' does not matter here
        let texts = receiver.lines.texts(&stream.tag);
        for text in &early {
            assert_eq!(texts.iter().filter(|other| *other == text).count(), 1, "{text:?}");
        }
    });
}

/// No way to the receiver for a while: what was refused at once, or sent shortly before, goes out again.
#[test]
fn datagrams_without_a_route() {
    alone(|_| {
        let network = Network::cable(NEAR, FAR);
        let receiver = network.enter(|| Udp::with_room(far(5044)));
        let mut stream = Stream::new("udp-route");
        let program = start(&receiver.url());
        stream.write_and_wait(10, &receiver.lines);
        ip("route del 10.9.0.0/24");
        stream.write(20);
        thread::sleep(Duration::from_secs(2)); // the fault itself
        ip("route add 10.9.0.0/24 dev near");
        let last = stream.write(10);
        let account = account("datagrams, no route for 2 s", &stream, &receiver.lines, &program, &last);
        assert_eq!(account.received, account.written);
    });
}

/// Where there is nothing but IPv6: nobody listens, then somebody does.
#[test]
fn datagrams_over_ipv6() {
    alone(|_| {
        let network = Network::cable(&NEAR[1..], &FAR[1..]);
        let mut stream = Stream::new("udp6");
        let program = start(&format!("udp://{}/", far6(5044)));
        program.words.wait(WITHIN, "its first words", |words| words.first().map(|_| ()));
        stream.write(10);
        network.enter(|| until("a refusal", || refusals("snmp6", "Udp6NoPorts") > 0));
        let receiver = network.enter(|| Udp::with_room(far6(5044)));
        let last = stream.write(10);
        let account = account("datagrams by IPv6 alone", &stream, &receiver.lines, &program, &last);
        assert_eq!(account.received, account.written);
    });
}

/// Datagrams of any size arrive whole, in fragments where the wire takes no larger ones.
fn fragments(mtu: u32, by_ipv6: bool) {
    const LENGTHS: [usize; 8] = [1, 300, 400, 1_100, 1_300, 2_000, 3_000, 4_000];
    alone(|sandbox| {
        let fake = Fake::new(sandbox);
        let family = if by_ipv6 { 1..2 } else { 0..1 };
        let network = Network::cable(&NEAR[family.clone()], &FAR[family]);
        ip(&format!("link set near mtu {mtu}"));
        network.enter(|| ip(&format!("link set far mtu {mtu}")));
        let address = if by_ipv6 { far6(5044) } else { far(5044) };
        let receiver = network.enter(|| Udp::with_room(address));
        let _program = Run::fed(&[receiver.url()]).start_connected();
        let mut records: Vec<Vec<u8>> = Vec::new();
        for (seq, length) in LENGTHS.into_iter().cycle().take(80).enumerate() {
            // Every other one becomes six times as long: 24 KB at most.
            let byte = if seq % 16 < 8 { b'x' } else { 1 };
            records.push(
                [format!("6,{seq},{seq},-;").into_bytes(), vec![byte; length], b"\n".to_vec()].concat(),
            );
            // One at a time: it is the wire that is narrow here, not the listener's buffer.
            fake.feed(&records[seq]);
            receiver.lines.wait_count(seq + 1, WITHIN);
        }
        let lines = receiver.lines.items();
        for (line, record) in lines.iter().zip(&records) {
            assert_eq!(timeless(line.json()), Record::parse(record).json());
        }
        let largest = lines.iter().map(|line| line.bytes.len()).max().unwrap_or_default();
        println!("MTU {mtu}: {} datagrams, the largest {largest} bytes", lines.len());
        assert!(largest > 20_000);
    });
}

#[test]
fn datagrams_beyond_an_mtu_of_576() {
    fragments(576, false);
}

#[test]
fn datagrams_beyond_an_mtu_of_9000() {
    fragments(9_000, false);
}

#[test]
fn datagrams_beyond_the_smallest_mtu_of_ipv6() {
    fragments(1_280, true);
}

/// Large and small records on a path whose second link begins to take smaller packets than its first: all arrive, none is sent
/// more than twice, and afterwards the shipper rests.
fn narrow_path(mtu: u32, address: SocketAddr) {
    alone(|_| {
        let router = Network::cable(NEAR, FAR);
        let network = router.behind();
        let receiver = network.enter(|| Udp::with_room(address));
        let mut stream = Stream::new("narrow");
        let program = start(&receiver.url());
        program.says("connected to", WITHIN);
        stream.write_and_wait(10, &receiver.lines);
        router.narrow_behind(&network, mtu);
        let mut last = String::new();
        for _ in 0..6 {
            // A byte of these becomes six in the datagram: less than the second MTU, between the two, more than both.
            for length in [1, 190, 1, 1, 400] {
                last = stream.write_one(&"\x01".repeat(length));
            }
        }
        let account = account("a narrow path", &stream, &receiver.lines, &program, &last);
        assert_eq!(account.received, account.written);
        let texts = receiver.lines.texts(&stream.tag);
        for text in &texts {
            let times = texts.iter().filter(|other| *other == text).count();
            assert!(times <= 2, "{text:?} came {times} times");
        }
        assert!(!receiver.lines.objects().iter().any(|object| json::msg(object).contains("too large")));
        rests(&program);
    });
}

/// Waits for a second in which the shipper does nothing; one that spins has none. (In any single one, records of others
/// may wake it up, and it may have to wait for a processor.)
#[track_caller]
fn rests(program: &Program) {
    let shipper = program.shippers()[0];
    until("the shipper to rest", || {
        let (since, busy) = (Instant::now(), proc::busy(shipper));
        thread::sleep(Duration::from_secs(1)); // what is measured
        let (busy, took) = (proc::busy(shipper) - busy, since.elapsed());
        println!("busy for {busy:?} of {took:?}");
        busy < took / 4
    });
}

#[test]
fn datagrams_over_ipv6_behind_a_narrower_link() {
    narrow_path(1_280, behind6(5044));
}

#[test]
fn datagrams_over_ipv4_behind_a_narrower_link() {
    narrow_path(1_000, behind(5044));
}

/// The neighbour falls silent, and the kernel tells of it three seconds after the first datagram that it holds back:
/// all of them are sent again.
fn silent_neighbour(address: SocketAddr, fall_silent: fn(), answer_again: fn()) {
    alone(|_| {
        let network = Network::cable(NEAR, FAR);
        let receiver = network.enter(|| Udp::with_room(address));
        let mut stream = Stream::new("silent");
        let program = start(&receiver.url());
        program.says("connected to", WITHIN);
        stream.write_and_wait(10, &receiver.lines);
        network.enter(fall_silent);
        ip(&format!("neigh flush to {}", address.ip()));
        for _ in 0..4 {
            stream.write(1);
            thread::sleep(Duration::from_millis(650)); // the fault itself: they are spread over 2.6 s
        }
        until("the kernel has given up", || {
            ip_says(&format!("neigh show {}", address.ip())).contains("FAILED")
        });
        network.enter(answer_again);
        let last = stream.write(1);
        let account = account("a neighbour falls silent", &stream, &receiver.lines, &program, &last);
        assert_eq!(account.received, account.written);
        rests(&program);
    });
}

#[test]
fn datagrams_held_for_a_silent_neighbour() {
    silent_neighbour(far(5044), || answer_arp("8"), || answer_arp("0"));
}

#[test]
fn datagrams_held_for_a_silent_neighbour_by_ipv6() {
    silent_neighbour(far6(5044), || drop_packets("icmpv6 type nd-neighbor-solicit"), drop_nothing);
}

/// What is reported of several datagrams finds the shipper without a processor, for longer than it looks back: all of them
/// are sent again.
#[test]
fn datagrams_reported_to_a_shipper_that_is_stopped() {
    alone(|_| {
        let network = Network::cable(NEAR, FAR);
        let receiver = network.enter(|| Udp::with_room(far6(5044)));
        let mut stream = Stream::new("stopped");
        let program = start(&receiver.url());
        program.says("connected to", WITHIN);
        stream.write_and_wait(10, &receiver.lines);
        network.enter(|| drop_packets("udp dport 5044"));
        for _ in 0..3 {
            stream.write(1);
            thread::sleep(Duration::from_millis(100)); // they leave at different times
        }
        let shipper = program.shippers()[0];
        nix::sys::signal::kill(shipper, Signal::SIGSTOP).expect("stop the shipper");
        thread::sleep(Duration::from_millis(4_100)); // the fault itself
        let from = near6(socket_port());
        network.enter(|| {
            drop_nothing();
            report_unreachable(from, far6(5044));
        });
        nix::sys::signal::kill(shipper, Signal::SIGCONT).expect("continue the shipper");
        let last = stream.write(1);
        let account = account("reported while stopped", &stream, &receiver.lines, &program, &last);
        assert_eq!(account.received, account.written);
    });
}

/// The port of the one socket of datagrams in this network.
fn socket_port() -> u16 {
    let all = fs::read_to_string("/proc/thread-self/net/udp6").expect("read the list of sockets");
    let local = all.lines().nth(1).and_then(|line| line.split_whitespace().nth(1)).expect("a socket");
    let (_, port) = local.rsplit_once(':').expect("a port");
    u16::from_str_radix(port, 16).expect("a number")
}

/// The end comes while a datagram waits for its neighbour: that one is not acknowledged, which is said.
#[test]
fn the_end_says_what_waits_for_the_neighbour() {
    alone(|sandbox| {
        let fake = Fake::new(sandbox);
        let network = Network::cable(NEAR, FAR);
        network.enter(|| answer_arp("8"));
        let program = Run::fed(&[format!("udp://{}/", far(5044))]).start_connected();
        fake.feed("6,0,0,-;a record that nobody takes\n");
        program.signal(Signal::SIGTERM);
        let end = program.finish(WITHIN);
        let told = end.words.iter().find_map(|line| json::unconfirmed(line));
        assert_eq!(told, Some(1), "it said {:#?}", end.words);
    });
}

/// The records of a whole boot.
const BOOT: usize = 3_000;

/// As many records at once as a boot has, to a stock listener with its own buffer: each arrives, in order.
fn burst(who: &str, listen: impl FnOnce(&Sandbox, &Path) -> Foreign + Send) {
    alone(|sandbox| {
        let fake = Fake::new(sandbox);
        let output = sandbox.dir().join("out");
        let _listener = listen(sandbox, &output);
        until(who, || listens("udp", 5044));
        let program = Run::fed(&["udp://127.0.0.1:5044/"]).start_connected();
        let text = "x".repeat(70);
        for seq in 0..BOOT {
            fake.feed(format!("6,{seq},{},-;a record of the boot {text}\n", seq * 1_000));
        }
        let last = format!("\"seq\":{},", BOOT - 1);
        until("the last record", || {
            let bytes = fs::read(&output).unwrap_or_default();
            bytes.windows(last.len()).any(|part| part == last.as_bytes())
                && bytes.trim_ascii_end().ends_with(b"}")
        });
        let seqs: Vec<u64> = objects(&output).iter().map(json::seq).collect();
        println!("{who}: {} of {BOOT}", seqs.len());
        assert!(seqs.iter().copied().eq(0..BOOT as u64), "{who}: {} of {BOOT}: {seqs:?}", seqs.len());
        drop(program);
    });
}

#[test]
fn a_boot_at_once_to_socat() {
    burst("socat", |_, output| Foreign::start("socat", &["-u", "UDP-RECV:5044,bind=127.0.0.1", "-"], output));
}

#[test]
fn a_boot_at_once_to_netcat() {
    burst("netcat", |_, output| Foreign::start("nc.openbsd", &["-u", "-l", "127.0.0.1", "5044"], output));
}

#[test]
fn a_boot_at_once_to_rsyslog() {
    burst("rsyslog", |sandbox, output| {
        let config = format!(
            r#"
module(load="imudp")
template(name="line" type="string" string="%rawmsg%\n")
ruleset(name="all") {{ action(type="omfile" file="{}" template="line") }}
input(type="imudp" port="5044" address="127.0.0.1" ruleset="all")
"#,
            output.display()
        );
        Foreign::rsyslogd(sandbox, &config)
    });
}

/// Large records at once are paced by their size as well: a stock listener's buffer holds a dozen of them.
#[test]
fn large_datagrams_at_once() {
    alone(|sandbox| {
        let fake = Fake::new(sandbox);
        let network = Network::cable(NEAR, FAR);
        let receiver = network.enter(|| Udp::with_room(far(5044)));
        let _program = Run::fed(&[receiver.url()]).start_connected();
        let text = "\x01".repeat(2_000);
        let since = Instant::now();
        (0..200).for_each(|seq| fake.feed(format!("6,{seq},{seq},-;{text}\n")));
        let took = receiver.lines.wait_for("\"seq\":199,", WITHIN).at - since;
        let got = receiver.lines.len();
        println!("{got} datagrams of 12 KB in {took:?}");
        assert_eq!(got, 200);
        // Two of them in four milliseconds. Paced by number alone they take a twentieth of that.
        assert!(took >= Duration::from_millis(390), "{took:?}");
    });
}
