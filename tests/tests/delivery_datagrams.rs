//! Datagrams: every one leaves, a burst is one that stock listeners take, a refusal is answered by sending again.

use core::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;

use earlykmsg_tests::account::{Stream, account};
use earlykmsg_tests::foreign::{Foreign, listens, objects, until};
use earlykmsg_tests::json::{self, timeless};
use earlykmsg_tests::kmsg::Fake;
use earlykmsg_tests::program::{Run, start};
use earlykmsg_tests::receiver::Udp;
use earlykmsg_tests::record::Record;
use earlykmsg_tests::sandbox::{FAR, NEAR, Network, Sandbox, alone, far, far6, ip};
use nix::sys::signal::Signal;

const WITHIN: Duration = Duration::from_secs(10);

/// Nobody listens for datagrams at first: what the refusals tell of is sent again.
#[test]
fn datagrams_refused() {
    alone(|_| {
        let address = Udp::stock().address;
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
        let receiver = Udp::stock();
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
    });
}

/// A shipper that is killed does not send again what was delivered long ago.
#[test]
fn datagrams_of_a_killed_shipper() {
    alone(|_| {
        let receiver = Udp::stock();
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

/// No way to the receiver for a while: what was refused at once, or sent within its second, goes out again.
#[test]
fn datagrams_without_a_route() {
    alone(|_| {
        let network = Network::cable(NEAR, FAR);
        let receiver = network.enter(|| Udp::at(far(5044)));
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
        thread::sleep(Duration::from_millis(1_500)); // nobody is there
        let receiver = network.enter(|| Udp::at(far6(5044)));
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
        let receiver = network.enter(|| Udp::at(address));
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
        let receiver = network.enter(|| Udp::at(far(5044)));
        let _program = Run::fed(&[receiver.url()]).start_connected();
        let text = "\x01".repeat(2_000);
        (0..200).for_each(|seq| fake.feed(format!("6,{seq},{seq},-;{text}\n")));
        receiver.lines.wait_for("\"seq\":199,", WITHIN);
        let got = receiver.lines.len();
        println!("{got} of 200 datagrams of 12 KB");
        // A busy machine may keep the listener from reading for a moment. Paced by number alone, 14 to 48 are missing.
        assert!(got >= 190, "{got} of 200");
    });
}
