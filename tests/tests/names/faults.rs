//! What name servers answer, with faults and without.

use super::*;

/// A name server with a fault, its records, and whom the file names after it.
struct Fault {
    is: &'static str,
    /// None: nobody listens.
    dns_fault: Option<DnsFault>,
    zone: String,
    second: bool,
    receiver: &'static str,
    /// When it is connected, all told. None: as long as the fault lasts, never.
    connected_ms: Option<RangeInclusive<u64>>,
}

/// A fault that hides the second server, a good one, for that long.
fn with_second(is: &'static str, dns_fault: DnsFault, connected_ms: RangeInclusive<u64>) -> Fault {
    Fault { second: true, ..harmless(is, dns_fault, FALSE, connected_ms) }
}

/// What is no reason to ask anybody else.
fn harmless(is: &'static str, dns_fault: DnsFault, zone: &str, connected_ms: RangeInclusive<u64>) -> Fault {
    Fault { connected_ms: Some(connected_ms), ..alone_with(is, dns_fault, zone) }
}

/// No address can be known while it lasts.
fn alone_with(is: &'static str, dns_fault: DnsFault, zone: &str) -> Fault {
    let (zone, receiver) = (zone.to_owned(), RECEIVER);
    Fault { is, dns_fault: Some(dns_fault), zone, second: false, receiver, connected_ms: None }
}

/// The same, though a good server stands behind.
fn believed(is: &'static str, dns_fault: DnsFault, zone: &str) -> Fault {
    Fault { second: true, ..alone_with(is, dns_fault, zone) }
}

/// `l0 → l1 → … → the receiver`, beginning with the name that is asked for.
fn aliases(count: usize) -> String {
    let name = |n: usize| if n == 0 { "logs.example".to_owned() } else { format!("l{n}.other.example") };
    let alias = |n: usize| format!("{} 300 CNAME {}\n", name(n), name(n + 1));
    let aliases: String = (0..count).map(alias).collect();
    format!("{aliases}{} 300 A {RECEIVER}", name(count))
}

/// So many addresses, of which one, counted from 0, is the receiver's. Nobody listens at the others.
fn addresses(count: usize, receiver: usize) -> String {
    let last = |n: usize| if n == receiver { 1 } else { 100 + n };
    (0..count).map(|n| format!("logs.example 300 A 127.0.9.{}\n", last(n))).collect()
}

/// Where the first record's kind, class, life, length and data stand, after an owner by pointer.
fn first_record(message: &mut [u8]) -> &mut [u8] {
    let start = question_end(message);
    &mut message[start..]
}

/// FORMERR as those say it that did not understand a word.
const HEADER: DnsFault = Changed(|message| {
    message.truncate(12);
    message[3] = 0x81;
    message[4..].fill(0);
});

fn faults() -> Vec<Fault> {
    let ring =
        "logs.example 300 CNAME b.example\nb.example 300 CNAME c.example\nc.example 300 CNAME b.example";
    let text = format!("logs.example 300 TXT {}\n", "x".repeat(250));
    let garbage: DnsFault = Changed(|message| {
        *message = (0..300).map(|n: u32| (n * n * 37 + 11) as u8).collect();
    });
    let itself: DnsFault = Changed(|message| {
        let [high, low] = (0xc000 | question_end(message) as u16).to_be_bytes();
        first_record(message)[..2].copy_from_slice(&[high, low]);
    });
    let over_tcp = |over| Truncated(over);
    vec![
        with_second("silent", Silent, about(2_000)),
        Fault { dns_fault: None, ..with_second("nobody listens", Silent, SOON) },
        with_second("SERVFAIL", Code(2), SOON),
        with_second("REFUSED", Code(5), SOON),
        with_second("FORMERR", Code(1), SOON),
        with_second("NOTIMP", Code(4), SOON),
        with_second("an unknown error code", Code(11), SOON),
        with_second("garbage", garbage, about(2_000)),
        with_second("an empty datagram", Changed(Vec::clear), about(2_000)),
        with_second("a header and nothing else", Changed(|message| message.truncate(12)), about(2_000)),
        with_second("FORMERR, a header and nothing else", HEADER, about(2_000)),
        with_second("the wrong number", Changed(|message| message[0] ^= 0x55), about(2_000)),
        with_second("another question", Changed(|message| message[13] ^= 1), about(2_000)),
        with_second("no question", Changed(|message| message[5] = 0), about(2_000)),
        with_second("a question instead of an answer", Changed(|message| message[2] &= 0x7f), about(2_000)),
        with_second("from another port", From((address(SERVER), 5353).into()), about(2_000)),
        with_second("from another address", From((address("127.0.53.99"), 53).into()), about(2_000)),
        with_second("a pointer to itself", itself, SOON),
        with_second(
            "a pointer forward",
            Changed(|message| {
                let [high, low] = (0xc000 | (question_end(message) + 12) as u16).to_be_bytes();
                first_record(message)[..2].copy_from_slice(&[high, low]);
            }),
            SOON,
        ),
        with_second(
            "cut within a record",
            Changed(|message| message.truncate(question_end(message) + 14)),
            SOON,
        ),
        with_second(
            "a record longer than the message",
            Changed(|message| first_record(message)[11] = 200),
            SOON,
        ),
        with_second("an address of three bytes", Changed(|message| first_record(message)[11] = 3), SOON),
        with_second("truncated, and nobody listens over TCP", over_tcp(OverTcp::Refused), SOON),
        with_second("truncated, and cut over TCP", over_tcp(OverTcp::Cut), SOON),
        with_second("truncated, and silent over TCP", over_tcp(OverTcp::Silent), about(2_000)),
        harmless("700 ms late", Late(Duration::from_millis(700)), RIGHT, about(700)),
        // On a busy machine it may be too late for the first round, of 2 s.
        harmless("1.5 s late", Late(Duration::from_millis(1_500)), RIGHT, 750..=3_500 + SLACK_MS),
        harmless("twice", Twice, RIGHT, SOON),
        harmless("after 200 answers with another number", Flood, RIGHT, SOON),
        harmless("truncated, with 64 KiB over TCP", over_tcp(OverTcp::Long), RIGHT, SOON),
        harmless("truncated, whole over TCP", over_tcp(OverTcp::Answers), RIGHT, SOON),
        harmless("truncated, piece by piece over TCP", over_tcp(OverTcp::Dribbles), RIGHT, SOON),
        harmless("an alias without its target", OneByOne, &aliases(1), SOON),
        harmless("a chain of 10 aliases", Answers, &aliases(10), SOON),
        harmless("a chain of 10 aliases, one an answer", OneByOne, &aliases(10), SOON),
        harmless("30 addresses, the first seven dead", Answers, &addresses(30, 7), SOON),
        harmless("100 addresses, which need TCP", Answers, &addresses(100, 0), SOON),
        harmless("1,200 bytes", Answers, &format!("{RIGHT}\n{}", text.repeat(4)), SOON),
        harmless(
            "counts that lie",
            Changed(|message| message[6..12].copy_from_slice(&[0xff; 6])),
            RIGHT,
            SOON,
        ),
        harmless(
            "the name in upper case",
            Changed(|message| {
                let end = question_end(message);
                message[12..end - 4].make_ascii_uppercase();
            }),
            RIGHT,
            SOON,
        ),
        harmless("bytes after the end", Changed(|message| message.extend([0xff; 90])), RIGHT, SOON),
        harmless("a life of 0 s", Answers, "logs.example 0 A 127.0.9.1", SOON),
        harmless("FORMERR to EDNS", WithEdns(&Code(1)), RIGHT, SOON),
        harmless("FORMERR to EDNS, a header and nothing else", WithEdns(&HEADER), RIGHT, about(2_000)),
        harmless("silent to EDNS", WithEdns(&Silent), RIGHT, about(2_000)),
        harmless("silent about IPv6", Each(&Answers, &Silent), RIGHT, about(300)),
        harmless("SERVFAIL about IPv6", Each(&Answers, &Code(2)), RIGHT, SOON),
        Fault {
            receiver: "::1",
            ..harmless("silent about IPv4", Each(&Silent, &Answers), "logs.example 300 AAAA ::1", about(300))
        },
        alone_with("silent", Silent, RIGHT),
        Fault { dns_fault: None, ..alone_with("nobody listens", Silent, RIGHT) },
        alone_with("SERVFAIL", Code(2), RIGHT),
        alone_with("REFUSED", Code(5), RIGHT),
        alone_with("garbage", garbage, FALSE),
        alone_with("a pointer to itself", itself, FALSE),
        alone_with("truncated, and cut over TCP", over_tcp(OverTcp::Cut), FALSE),
        alone_with("aliases in a ring", Answers, ring),
        alone_with("aliases in a ring, one an answer", OneByOne, ring),
        alone_with("a chain of 30 aliases, one an answer", OneByOne, &aliases(30)),
        believed("NXDOMAIN", Code(3), RIGHT),
        believed("a name without addresses", Code(0), RIGHT),
        believed("a record of another kind", Changed(|message| first_record(message)[3] = 16), FALSE),
        believed("a record of another class", Changed(|message| first_record(message)[5] = 3), FALSE),
        // The pointer's target is `example` in the question's `logs.example`.
        believed("a record of another name", Changed(|message| first_record(message)[1] = 17), FALSE),
    ]
}

/// Runs one fault.
fn try_fault(home: &Home<'_>, fault: &Fault) -> Outcome {
    let (receiver, trap) = (receiver(fault.receiver), receiver(TRAP));
    let mut first = fault.dns_fault.map(|dns_fault| NameServer::new(address(SERVER), &fault.zone, dns_fault));
    let second = fault.second.then(|| NameServer::new(address(SECOND), RIGHT, Answers));
    home.name_servers(if fault.second { &[SERVER, SECOND] } else { &[SERVER] });
    let (program, start) = home.start_now(URL);
    let outcome = match fault.connected_ms.clone() {
        Some(ms) => {
            let at = home.reaches(&receiver);
            let asked = first.iter().chain(&second).find_map(NameServer::first_asked);
            Outcome::connected(asked.unwrap_or(start), at, ms)
        }
        None => {
            let outcome = gets_well(&program, &mut first, &receiver);
            home.record_arrives(&receiver.lines);
            outcome
        }
    };
    if fault.connected_ms.is_none() {
        let others = second.map_or(0, |second| second.asked.len());
        assert_eq!(others, 0, "that there is no address is an answer: no reason to ask another server");
    }
    assert!(trap.connections.is_empty(), "a false answer was believed");
    assert_eq!(program.shippers().len(), 1, "it goes on");
    outcome
}

/// How long a server has its fault before it gets well.
const ILL: Duration = Duration::from_millis(3_500);

/// What it may cost to wait for it, the start of the program included.
const WAITING_CPU_MAX: Duration = Duration::from_millis(150);

/// The only name server gets well, after its fault was felt for a while.
fn gets_well(program: &Program, first: &mut Option<NameServer>, receiver: &Tcp) -> Outcome {
    let questions = match first {
        Some(server) => server.asked.wait(WITHIN, "questions all the time", |asked| {
            let since = asked.first()?.at;
            asked.iter().position(|question| question.at > since + ILL)
        }),
        None => {
            thread::sleep(ILL); // the fault itself: that nobody hears a question
            0
        }
    };
    let family = proc::family(program.pid);
    let cpu: Duration = family.iter().map(|&pid| proc::cpu(pid)).sum();
    assert!(cpu <= WAITING_CPU_MAX, "{cpu:?} for {questions} questions");
    assert!(receiver.connections.is_empty(), "no address can be known");
    if let Some(server) = first {
        assert_secrets(server);
    }
    let well = Instant::now();
    match first {
        Some(server) => {
            server.learns(RIGHT);
            server.becomes(Answers);
        }
        None => *first = Some(NameServer::new(address(SERVER), RIGHT, Answers)),
    }
    let at = receiver.connections.wait(WITHIN, "a connection", |all| all.first().copied());
    assert_eq!(proc::family(program.pid), family, "nobody was started again");
    let cpu_ms = cpu.as_millis();
    let of_it = format!("waited ({questions} questions, {cpu_ms} ms CPU), then connected");
    // A question that was lost is repeated after 1 s; between two searches is at most a pause of 1 s.
    Outcome { of_it, ..Outcome::connected(well, at, 0..=2_000 + SLACK_MS) }
}

/// Neither the ports nor the numbers of questions can be guessed: they are as many as they can be. (Both questions of
/// a visit have one port, and one that is repeated has the port and the number that it had.)
#[track_caller]
fn assert_secrets(server: &NameServer) {
    let (ports, numbers): (BTreeSet<u16>, BTreeSet<u16>) =
        server.asked.items().iter().map(|question| question.secret).unzip();
    let questions = server.asked.len();
    // Some come twice by chance.
    assert!(ports.len() * 5 >= questions, "{} ports for {questions} questions", ports.len());
    assert!(numbers.len() * 5 >= questions * 2, "{} numbers for {questions} questions", numbers.len());
}

#[test]
fn faults_of_name_servers() {
    let title =
        |fault: &Fault| format!("{}{}", fault.is, if fault.second { "; a good server behind" } else { "" });
    let case = |fault: Fault| -> Case<'_> { (title(&fault), Box::new(move |home| try_fault(home, &fault))) };
    side_by_side(faults().into_iter().map(case).collect());
}

/// The server is a good one, as the C library sees it.
#[test]
fn another_resolver_is_content() {
    for (zone, dns_fault, count) in [
        (RIGHT, Answers, 1),
        ("logs.example 300 A 127.0.9.1\nlogs.example 300 AAAA ::1", Answers, 2),
        (&aliases(10), Answers, 1),
        (&addresses(100, 0), Answers, 100),
        (RIGHT, Truncated(OverTcp::Answers), 1),
        (RIGHT, Truncated(OverTcp::Dribbles), 1),
        (FALSE, Changed(|message| message[0] ^= 0x55), 0),
    ] {
        alone(|sandbox| {
            let home = Home::new(sandbox);
            let _server = NameServer::new(address(SERVER), zone, dns_fault);
            home.write("resolv.conf", &format!("nameserver {SERVER}\noptions timeout:1 attempts:1\n"));
            let output = Command::new("getent").args(["ahosts", "logs.example"]).output().expect("getent");
            let text = String::from_utf8_lossy(&output.stdout);
            assert_eq!(text.matches("STREAM").count(), count, "{dns_fault:?} {zone}\n{text}");
        });
    }
}
