//! Files that say whom to ask, and addresses with faults of their own.

use super::*;

/// The names that were asked for, one after the other.
fn names_asked(server: &NameServer) -> Vec<String> {
    let mut names: Vec<String> = server.asked.items().iter().map(|asked| asked.name.clone()).collect();
    names.dedup();
    names
}

/// Connected soon after the start, at an address of a name as the file of hosts has it, without any question.
fn in_hosts(home: &Home<'_>, line: &str, host: &str, at: &str) -> Outcome {
    let receiver = receiver(at);
    let server = NameServer::new(address(SERVER), FALSE, Answers);
    home.name_servers(&[SERVER]);
    home.write("hosts", &format!("# Known machines\n127.0.0.1\tlocalhost\n{line}\n"));
    let (_program, start) = home.start_now(&format!("tcp://{host}:{PORT}/"));
    let outcome = Outcome::connected(start, home.reaches(&receiver), SOON);
    assert!(server.asked.is_empty(), "asked for what the file has");
    outcome
}

/// Connected through a file that says whom to ask, put there while the program already waits.
fn resolv_conf_comes(home: &Home<'_>, before: impl FnOnce(), within_ms: u64) -> Outcome {
    let receiver = receiver(RECEIVER);
    let _server = NameServer::new(address(SECOND), RIGHT, Answers);
    before();
    let (program, _) = home.start_now(URL);
    thread::sleep(Duration::from_secs(2)); // the fault itself
    let since = Instant::now();
    home.name_servers(&[SECOND]);
    let outcome = Outcome::connected(since, home.reaches(&receiver), 0..=within_ms + SLACK_MS);
    assert_eq!(program.shippers().len(), 1, "it goes on");
    outcome
}

/// A name with these addresses, asked for with the given words in `resolv.conf`.
fn asked_as(home: &Home<'_>, resolv: &str, zone: &str, host: &str, names: &[&str]) -> Outcome {
    let receiver = receiver(RECEIVER);
    let server = NameServer::new(address(SERVER), zone, Answers);
    home.write("resolv.conf", &format!("{resolv}\nnameserver {SERVER}\n"));
    let _program = home.start(&format!("tcp://{host}:{PORT}/"));
    let at = home.reaches(&receiver);
    assert_eq!(names_asked(&server), names);
    Outcome::connected(server.first_asked().expect("a question"), at, SOON)
}

/// The addresses of a name, of which those in `dead` drop every packet; nobody listens at others but the last.
fn tried_in_turn(home: &Home<'_>, addresses: &[&str], dead: &[&str], ms: RangeInclusive<u64>) -> Outcome {
    let kind = |text: &str| if address(text).is_ipv6() { "AAAA" } else { "A" };
    let line = |text: &&str| format!("logs.example 300 {} {text}\n", kind(text));
    let server = NameServer::new(address(SERVER), &addresses.iter().map(line).collect::<String>(), Answers);
    for v6 in addresses.iter().filter(|text| address(text).is_ipv6()) {
        ip(&format!("addr add {v6}/128 dev lo nodad"));
    }
    let receiver = receiver(addresses.last().expect("a live one"));
    dead.iter().for_each(|dead| drop_packets_to(address(dead)));
    home.name_servers(&[SERVER]);
    let _program = home.start(URL);
    let at = home.reaches(&receiver);
    Outcome::connected(server.first_asked().expect("a question"), at, ms)
}

const V6: &str = "fd09::1";

/// A destination over UDP, by a name whose addresses hold for a second, in use; asked for when nobody answers any more.
struct InUse {
    program: Program,
    server: NameServer,
    lines: Arc<Lines>,
    others: Vec<NameServer>,
    receiver: Udp,
}

/// More servers than one are silent.
fn in_use(home: &Home<'_>, servers: &[&str]) -> InUse {
    let receiver = Udp::at((address(RECEIVER), PORT).into());
    let server = NameServer::new(address(SERVER), "logs.example 1 A 127.0.9.1", Answers);
    let others = servers.iter().filter(|&&at| at != SERVER);
    let others = others.map(|at| NameServer::new(address(at), "", Silent)).collect();
    home.name_servers(servers);
    let program = home.start("udp://logs.example:5044/");
    program.says("connected to udp://logs.example:5044/", WITHIN);
    home.record_arrives(&receiver.lines);
    InUse { program, server, lines: Arc::clone(&receiver.lines), others, receiver }
}

/// Its addresses are too old to be used without asking.
const TOO_OLD: Duration = Duration::from_millis(2_200);

/// The receiver closes, and the name leads to another by now.
fn follows(home: &Home<'_>, ttl_s: u64) -> Outcome {
    let (mut old, new) = (receiver(RECEIVER), receiver("127.0.9.2"));
    let zone = |last: u8| format!("logs.example {ttl_s} A 127.0.9.{last}");
    let server = NameServer::new(address(SERVER), &zone(1), Answers);
    home.name_servers(&[SERVER]);
    let _program = home.start(URL);
    home.reaches(&old);
    assert!(new.connections.is_empty(), "nobody has named that one yet");
    server.learns(&zone(2));
    let since = Instant::now();
    old.stop(End::Close);
    Outcome::connected(since, home.reaches(&new), 0..=(ttl_s + 1) * 1_000 + SLACK_MS)
}

fn cases() -> Vec<Case<'static>> {
    fn case(of: &str, case: impl FnOnce(&Home<'_>) -> Outcome + Send + 'static) -> Case<'static> {
        (of.to_owned(), Box::new(case))
    }
    vec![
        case("a name without a dot and a search list", |home| {
            let zone = "logs.b.example 300 A 127.0.9.1";
            let names = ["logs.a.example", "logs.b.example"];
            asked_as(home, "search a.example b.example c.example", zone, "logs", &names)
        }),
        case("a name without a dot that no domain has", |home| {
            asked_as(home, "domain a.example", "logs 300 A 127.0.9.1", "logs", &["logs.a.example", "logs"])
        }),
        case("a final dot and a search list", |home| {
            asked_as(home, "search a.example", "logs 300 A 127.0.9.1", "logs.", &["logs"])
        }),
        case("a name with a dot and a search list", |home| {
            asked_as(home, "search a.example", RIGHT, "Logs.EXAMPLE", &["logs.example"])
        }),
        case("a final dot", |home| asked_as(home, "", RIGHT, "logs.example.", &["logs.example"])),
        case("resolv.conf with much that is not understood", |home| {
            let words =
                format!("# {}\noptions ndots:5\nnameserver\nnameserver x\n\u{1}\u{7f}", "y".repeat(400));
            asked_as(home, &words, RIGHT, "logs.example", &["logs.example"])
        }),
        case("IPv4 in hosts", |home| in_hosts(home, "127.0.9.1 logs.example", "logs.example", RECEIVER)),
        case("IPv6 in hosts, the last of several names", |home| {
            in_hosts(home, "::1 one two logs.example # us", "logs.example", "::1")
        }),
        case("in upper case in hosts", |home| {
            in_hosts(home, "127.0.9.1 LOGS.Example logs", "logs.example", RECEIVER)
        }),
        case("in lower case in hosts, asked for in upper case with a final dot", |home| {
            in_hosts(home, "127.0.9.1\tlogs.example\r", "LOGS.example.", RECEIVER)
        }),
        case("in hosts 2 s after the start, and no resolv.conf", |home| {
            let receiver = receiver(RECEIVER);
            let (_program, _) = home.start_now(URL);
            thread::sleep(Duration::from_secs(2)); // the fault itself
            let since = Instant::now();
            home.write("hosts", "127.0.9.1 logs.example\n");
            Outcome::connected(since, home.reaches(&receiver), 0..=1_000 + SLACK_MS)
        }),
        case("a resolv.conf that comes 2 s after the start", |home| resolv_conf_comes(home, || {}, 1_000)),
        case("a resolv.conf that names a server where nobody listens, and changes", |home| {
            resolv_conf_comes(home, || home.name_servers(&[SERVER]), 1_000)
        }),
        case("a resolv.conf that names a silent server, and changes", |home| {
            let silent = NameServer::new(address(SERVER), "", Silent);
            // Two rounds of 2 s are finished first.
            let outcome = resolv_conf_comes(home, || home.name_servers(&[SERVER]), 3_000);
            assert!(!silent.asked.is_empty(), "it was asked");
            outcome
        }),
        case("a resolv.conf that is a FIFO, and changes", |home| {
            let fifo = || nix::unistd::mkfifo(&home.etc.join("resolv.conf"), Mode::S_IRUSR).expect("a FIFO");
            resolv_conf_comes(home, fifo, 1_000)
        }),
        case("a resolv.conf that leads to nothing, and changes", |home| {
            let link = || symlink("../run/nothing", home.etc.join("resolv.conf")).expect("a link");
            resolv_conf_comes(home, link, 1_000)
        }),
        case("a resolv.conf that is a link", |home| {
            let receiver = receiver(RECEIVER);
            let server = NameServer::new(address(SERVER), RIGHT, Answers);
            home.write("stub.conf", &format!("nameserver {SERVER}\n"));
            symlink("stub.conf", home.etc.join("resolv.conf")).expect("a link");
            let _program = home.start(URL);
            let at = home.reaches(&receiver);
            Outcome::connected(server.first_asked().expect("a question"), at, SOON)
        }),
        case("an address that changes, a life of 1 s", |home| follows(home, 1)),
        case("an address that changes, a life of 0 s", |home| follows(home, 0)),
        case("two receivers, of which the one in use goes away", |home| {
            let mut receivers = [receiver(RECEIVER), receiver("127.0.9.2")];
            let zone = "logs.example 300 A 127.0.9.1\nlogs.example 300 A 127.0.9.2";
            let _server = NameServer::new(address(SERVER), zone, Answers);
            home.name_servers(&[SERVER]);
            let program = home.start(URL);
            // Which one is tried first is the program's choice.
            let said = program.says("connected to tcp://logs.example:5044/ at 127.0.9.", WITHIN);
            let used = usize::from(said.contains("at 127.0.9.2"));
            home.reaches(&receivers[used]);
            let since = Instant::now();
            receivers[used].stop(End::Close);
            Outcome::connected(since, home.reaches(&receivers[1 - used]), 0..=1_000 + SLACK_MS)
        }),
        case("dead IPv6, live IPv4", |home| {
            tried_in_turn(home, &[V6, RECEIVER], &[V6], 0..=3_000 + SLACK_MS)
        }),
        case("dead IPv4, live IPv6", |home| {
            tried_in_turn(home, &[RECEIVER, V6], &[RECEIVER], 0..=3_000 + SLACK_MS)
        }),
        case("refused IPv6, live IPv4", |home| tried_in_turn(home, &[V6, RECEIVER], &[], SOON)),
        case("refused IPv4, live IPv6", |home| tried_in_turn(home, &[RECEIVER, V6], &[], SOON)),
        case("two IPv4 addresses, one refused", |home| {
            tried_in_turn(home, &["127.0.9.9", RECEIVER], &[], SOON)
        }),
        case("two IPv4 addresses, one dead", |home| {
            tried_in_turn(home, &["127.0.9.9", RECEIVER], &["127.0.9.9"], 0..=3_000 + SLACK_MS)
        }),
        case("IPv6 alone, the name server at a link-local address", |home| {
            let network = Network::cable(&["fe80::1/64", "fd09::1/64"], &["fe80::53/64", "fd09::2/64"]);
            let (server, receiver) = network.enter(|| {
                let zone = "logs.example 300 AAAA fd09::2";
                (NameServer::at(link_local("fe80::53", "far", 53), zone, Answers), receiver("fd09::2"))
            });
            home.name_servers(&["fe80::53%near"]);
            let _program = home.start(URL);
            let at = home.reaches(&receiver);
            Outcome::connected(server.first_asked().expect("a question"), at, SOON)
        }),
        case("a link-local address in hosts", |home| {
            let network = Network::cable(&["fe80::1/64"], &["fe80::2/64"]);
            let receiver = network.enter(|| Tcp::at(link_local("fe80::2", "far", PORT), TcpBehaviour::Reads));
            home.write("hosts", "fe80::2%near logs.example\n");
            let (_program, start) = home.start_now(URL);
            Outcome::connected(start, home.reaches(&receiver), SOON)
        }),
        case("UDP, a good server", |home| over_udp(home, &[SERVER], SOON)),
        case("UDP, a silent server before the good one", |home| {
            let _silent = NameServer::new(address(SECOND), FALSE, Silent);
            over_udp(home, &[SECOND, SERVER], about(2_000))
        }),
        case("UDP, two addresses, one refused", |home| {
            home.real_log();
            let receiver = Udp::with_room((address(RECEIVER), PORT).into());
            let zone = format!("logs.example 300 A 127.0.9.9\n{RIGHT}");
            let server = NameServer::new(address(SERVER), &zone, Answers);
            home.name_servers(&[SERVER]);
            let (writer, text) = (Writer::new(), tag("names"));
            writer.write(&text);
            let _program = Run::new(&["udp://logs.example:5044/"]).start();
            // It was in the log before the refusal.
            let at = receiver.lines.wait_for(&text, WITHIN).at;
            Outcome::connected(server.first_asked().expect("a question"), at, SOON)
        }),
        case("UDP, an address that changes, a life of 1 s", |home| {
            let [old, new] = [RECEIVER, "127.0.9.2"].map(|at| Udp::at((address(at), PORT).into()));
            let server = NameServer::new(address(SERVER), "logs.example 1 A 127.0.9.1", Answers);
            home.name_servers(&[SERVER]);
            let program = home.start("udp://logs.example:5044/");
            program.says("connected to udp://logs.example:5044/", WITHIN);
            home.record_arrives(&old.lines);
            server.learns("logs.example 1 A 127.0.9.2");
            let since = Instant::now();
            thread::sleep(Duration::from_secs(2)); // its life is over
            home.record_arrives(&new.lines);
            Outcome::connected(since, new.lines.items()[0].at, about(2_000))
        }),
        case("UDP, the other of two addresses in use, a life of 1 s", |home| {
            let receiver = Udp::at((address(RECEIVER), PORT).into());
            let zone = "logs.example 1 A 127.0.9.9\nlogs.example 1 A 127.0.9.1";
            let server = NameServer::new(address(SERVER), zone, Answers);
            home.name_servers(&[SERVER]);
            // Which one is tried first is its choice: one that begins with the address where nobody listens.
            let program = (0..30)
                .map(|_| home.start("udp://logs.example:5044/"))
                .find(|program| {
                    let said = program.says("connected to udp://logs.example:5044/ at ", WITHIN);
                    said.ends_with("127.0.9.9")
                })
                .expect("each is as often the first");
            home.kmsg.feed("6,1000,1,-;Refused.\n");
            program.says("connected to udp://logs.example:5044/ at 127.0.9.1", WITHIN);
            let asked = server.asked.len();
            thread::sleep(TOO_OLD); // its life is over
            let since = Instant::now();
            home.record_arrives(&receiver.lines);
            assert!(server.asked.len() > asked, "it was asked again");
            let said = program.words.items().iter().filter(|line| line.contains("connected to")).count();
            assert_eq!(said, 2, "the address in use is among the new ones, and kept");
            Outcome { of_it: "goes on with it".to_owned(), ..Outcome::connected(since, Instant::now(), SOON) }
        }),
        case("UDP, in use for 10 s, and then no name server answers", |home| {
            let InUse { program, server, lines, others: _others, receiver: _receiver } =
                in_use(home, &[SERVER, SECOND, "127.0.53.3"]);
            thread::sleep(Duration::from_secs(10)); // a line that it is not reached would be due
            server.becomes(Silent);
            let since = Instant::now();
            home.record_arrives(&lines);
            // Six times two seconds would be a whole search.
            let outcome = Outcome::connected(since, Instant::now(), about(5_000));
            let words = program.words.items().clone();
            assert!(!words.iter().any(|line| line.contains(" not ")), "{words:?}");
            Outcome { of_it: "goes on with it".to_owned(), ..outcome }
        }),
        case("UDP, a record and the end, a life of 1 s", |home| {
            let InUse { program, server, lines, others: _others, receiver: _receiver } =
                in_use(home, &[SERVER]);
            thread::sleep(TOO_OLD); // its life is over
            let (asked, shipper) = (server.asked.len(), program.shippers()[0]);
            let signal = |signal| kill(shipper, signal).expect("signal the shipper");
            // Both come at once.
            signal(Signal::SIGSTOP);
            signal(Signal::SIGTERM);
            let since = Instant::now();
            home.kmsg.feed("6,1000,1,-;The last.\n");
            signal(Signal::SIGCONT);
            lines.wait_for("The last.", WITHIN);
            assert_eq!(program.finish(WITHIN).code, Some(0));
            assert_eq!(server.asked.len(), asked, "nothing is looked for at the end");
            Outcome { of_it: "sent and ended".to_owned(), ..Outcome::connected(since, Instant::now(), SOON) }
        }),
        case("UDP, a record, and the end during the search", |home| {
            let InUse { program, server, lines, others: _others, receiver: _receiver } =
                in_use(home, &[SERVER]);
            thread::sleep(TOO_OLD); // its life is over
            server.becomes(Silent);
            let asked = server.asked.len();
            home.kmsg.feed("6,1000,1,-;The last.\n");
            server.asked.wait(WITHIN, "a question", |all| (all.len() > asked).then_some(()));
            program.signal(Signal::SIGTERM);
            let since = Instant::now();
            lines.wait_for("The last.", WITHIN);
            let outcome = Outcome::connected(since, Instant::now(), SOON);
            assert_eq!(program.finish(WITHIN).code, Some(0));
            Outcome { of_it: "sent and ended".to_owned(), ..outcome }
        }),
        case("/proc/net/pnp alone", |home| {
            let receiver = receiver(RECEIVER);
            let server = NameServer::new(address(SERVER), "logs.lan 300 A 127.0.9.1", Answers);
            let pnp = format!("#PROTO: DHCP\ndomain lan\nnameserver {SERVER}\nbootserver 10.0.2.2\n");
            let folder = home.sandbox.dir().join("net");
            fs::create_dir(&folder).expect("make a folder");
            let pnp = home.sandbox.file("net/pnp", pnp);
            let _program = Run::fed(&["tcp://logs:5044/"]).with_pnp(&pnp).start();
            let at = home.reaches(&receiver);
            Outcome::connected(server.first_asked().expect("a question"), at, SOON)
        }),
        case("three name servers, two of them silent", |home| {
            let receiver = receiver(RECEIVER);
            let silent = [SECOND, "127.0.53.3"].map(|at| NameServer::new(address(at), FALSE, Silent));
            let _good = NameServer::new(address(SERVER), RIGHT, Answers);
            home.name_servers(&[SECOND, "127.0.53.3", SERVER]);
            let _program = home.start(URL);
            let at = home.reaches(&receiver);
            Outcome::connected(silent[0].first_asked().expect("a question"), at, about(4_000))
        }),
        case("ten name servers, of which eight are asked", |home| {
            let receiver = receiver(RECEIVER);
            let at = |last: usize| format!("127.0.53.{last}");
            let servers: Vec<String> = (1..=10).map(at).collect();
            let zone = |last| if last == 8 { RIGHT } else { "" };
            let dns_fault = |last| if last == 8 { Answers } else { Code(5) };
            let all = (1..=10).map(|last| NameServer::new(address(&at(last)), zone(last), dns_fault(last)));
            let all: Vec<NameServer> = all.collect();
            home.name_servers(&servers.iter().map(String::as_str).collect::<Vec<_>>());
            let _program = home.start(URL);
            let at = home.reaches(&receiver);
            assert!(all[8..].iter().all(|server| server.asked.is_empty()), "eight are asked");
            Outcome::connected(all[0].first_asked().expect("a question"), at, SOON)
        }),
        case("IPv6 alone, the default route by router advertisement 2 s after the start", |home| {
            let network = Network::cable(&[], &["fe80::96/64", "2001:db8:96::1/64", "2001:db8:97::1/64"]);
            fs::write("/proc/sys/net/ipv6/conf/near/accept_dad", "0").expect("no wait for one's own address");
            let server = network.enter(|| {
                let zone = "logs.example 300 AAAA 2001:db8:97::1";
                NameServer::new(address("2001:db8:97::1"), zone, Answers)
            });
            let receiver = network.enter(|| receiver("2001:db8:97::1"));
            home.name_servers(&["2001:db8:97::1"]);
            let (_program, _) = home.start_now(URL);
            thread::sleep(Duration::from_secs(2)); // the fault itself
            assert!(server.asked.is_empty(), "there is no way yet");
            let since = Instant::now();
            network
                .enter(|| advertise_router("far", Ipv6Addr::new(0x2001, 0xdb8, 0x96, 0, 0, 0, 0, 0), 3_600));
            Outcome::connected(since, home.reaches(&receiver), 0..=1_000 + SLACK_MS)
        }),
        case("two destinations, one without an address", |home| {
            let receiver = receiver(RECEIVER);
            let server = NameServer::new(address(SERVER), RIGHT, Answers);
            home.name_servers(&[SERVER]);
            let _program = Run::fed(&["tcp://nowhere.example:5044/", URL]).start();
            let at = receiver.connections.wait(WITHIN, "a connection", |all| all.first().copied());
            let asked = server.asked.items().iter().find(|asked| asked.name == "logs.example").cloned();
            Outcome::connected(asked.expect("a question").at, at, SOON)
        }),
    ]
}

/// A link-local address, at the device of this network.
fn link_local(text: &str, device: &str, port: u16) -> SocketAddr {
    let device = CString::new(device).expect("a name");
    let scope = nix::net::if_::if_nametoindex(device.as_c_str()).expect("a device");
    let IpAddr::V6(address) = address(text) else { panic!("{text} is not of IPv6") };
    core::net::SocketAddrV6::new(address, port, 0, scope).into()
}

/// A receiver of datagrams, at the address that [`RIGHT`] has; the last server is a good one.
fn over_udp(home: &Home<'_>, servers: &[&str], ms: RangeInclusive<u64>) -> Outcome {
    let receiver = Udp::at((address(RECEIVER), PORT).into());
    let server = NameServer::new(address(SERVER), RIGHT, Answers);
    home.name_servers(servers);
    let (program, start) = home.start_now("udp://logs.example:5044/");
    server.asked.wait(WITHIN, "a question", |asked| asked.first().map(|_| ()));
    program.says("connected to udp://logs.example:5044/ at 127.0.9.1", WITHIN);
    let connected = Instant::now();
    home.record_arrives(&receiver.lines);
    Outcome::connected(start, connected, ms)
}

#[test]
fn files_and_addresses() {
    side_by_side(cases());
}
