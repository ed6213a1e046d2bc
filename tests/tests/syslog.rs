//! Destinations that get syslog messages: what faults do to them, what the messages say of the machine, and all four
//! schemes side by side.

use core::time::Duration;
use std::sync::Arc;

use earlykmsg_fuzz::rfc5424::Message;
use earlykmsg_tests::account::{Stream, account, check_order_of_losses};
use earlykmsg_tests::fault::{self, Fault, Way};
use earlykmsg_tests::json::{self, timeless};
use earlykmsg_tests::kmsg::Fake;
use earlykmsg_tests::program::{Run, start};
use earlykmsg_tests::receiver::{End, Format, Lines, Tcp, TcpBehaviour, Udp};
use earlykmsg_tests::sandbox::alone;
use earlykmsg_tests::scene::after;
use earlykmsg_tests::syslog::ELEMENT;
use nix::unistd::sethostname;
use serde_json::Value;

const WITHIN: Duration = Duration::from_secs(30);

#[test]
fn killed_with_bytes_unread() {
    let fault = Fault { name: "syslog: killed with bytes unread", way: Way::Syslog, ..fault::KILLED };
    after(&fault, |_, account| account.all_arrived());
}

#[test]
fn closed_with_all_read() {
    let fault =
        Fault { name: "syslog: closed with all read", way: Way::Syslog, end: End::Close, ..fault::CLOSED };
    after(&fault, |_, account| account.all_arrived_once());
}

/// What the ring loses while nobody listens is reported in its place, by messages of its own.
#[test]
fn ring_overrun_while_away() {
    let fault = Fault {
        name: "syslog: away, 20,000 records written",
        way: Way::Syslog,
        end: End::Close,
        records: 20_000,
        ..fault::CLOSED_AND_RING_OVERRUN
    };
    after(&fault, |scene, account| {
        assert!(account.lost > 10_000, "{account:?}");
        assert_eq!(account.duplicates, 0);
        check_order_of_losses(&scene.lines);
    });
}

/// Nobody listens at first.
#[test]
fn refused_at_first() {
    alone(|_| {
        let mut receiver = Tcp::syslog(TcpBehaviour::Reads);
        receiver.stop(End::Close);
        let mut stream = Stream::new("syslog-refused");
        let program = start(&receiver.url());
        stream.write(10);
        program.says("refused", WITHIN);
        let receiver = receiver.restart(End::Close, Duration::ZERO);
        let last = stream.write(10);
        account("syslog: nobody listens at first", &stream, &receiver.lines, &program, &last)
            .all_arrived_once();
    });
}

/// The same with datagrams: what the refusals tell of is sent again.
#[test]
fn datagrams_refused_at_first() {
    alone(|_| {
        let address = Udp::syslog().address;
        let mut stream = Stream::new("syslog-udp");
        let program = start(&format!("syslog+udp://{address}/"));
        stream.write(10);
        program.says("refused", WITHIN);
        let receiver = Udp::with_format(Format::Syslog, address);
        let last = stream.write(10);
        account("syslog: datagrams refused at first", &stream, &receiver.lines, &program, &last)
            .all_arrived();
    });
}

/// All four schemes, named by both words, with tags for each: the same records with the same fields.
#[test]
fn four_schemes_side_by_side() {
    alone(|sandbox| {
        let (json_tcp, json_udp) = (Tcp::new(TcpBehaviour::Reads), Udp::new());
        let (syslog_tcp, syslog_udp) = (Tcp::syslog(TcpBehaviour::Reads), Udp::syslog());
        sandbox.cmdline(format!(
            "talos.logging.kernel={} earlykmsg.to={} earlykmsg.to={} earlykmsg.to={} earlykmsg.to={} \
             earlykmsg.tags=who=all earlykmsg.tags.2=who=two earlykmsg.tags.3=who=three earlykmsg.tags.4=who=%22four]",
            json_tcp.url(),
            json_udp.url(),
            syslog_tcp.url(),
            syslog_udp.url(),
            syslog_tcp.url(), // once more
        ));
        let mut stream = Stream::new("four");
        let program = Run::new::<&str>(&[]).start_on_ring();
        stream.write(50);
        let last = stream.write_one("] \"\\ \u{e9}");
        let lines = [&json_tcp.lines, &json_udp.lines, &syslog_tcp.lines, &syslog_udp.lines];
        let all: Vec<Vec<Value>> = lines
            .iter()
            .zip(["all", "two", "three", "\"four]"])
            .map(|(lines, who)| own(lines, &stream, &last, who))
            .collect();
        for others in &all[1..] {
            for (one, other) in all[0].iter().zip(others) {
                assert_eq!(timeless(one.clone()), timeless(other.clone()));
                let apart = json::time(one).duration_since(json::time(other)).abs();
                assert!(apart.as_millis() < 1, "{one}\n{other}");
            }
            assert_eq!(others.len(), stream.written);
        }
        assert_eq!(program.shippers().len(), 4);
        assert_eq!(syslog_tcp.connections.len(), 1);
    });
}

/// The records of a stream that arrived, each once, without their tag, which is this one.
fn own(lines: &Arc<Lines>, stream: &Stream, last: &str, who: &str) -> Vec<Value> {
    lines.wait_for(last, WITHIN);
    let mut objects: Vec<Value> = lines.objects_with(&["who"]);
    objects.retain(|object| json::msg(object).contains(&stream.tag));
    objects.sort_by_key(json::seq);
    objects.dedup_by_key(|object| json::seq(object)); // datagrams may come twice
    for object in &mut objects {
        let tag = object.as_object_mut().expect("an object").shift_remove("who");
        assert_eq!(tag, Some(who.into()));
    }
    objects
}

/// HOSTNAME is `-` while the machine has no name, then the one in `ip=`, then the kernel's, from the next write on.
#[test]
fn the_name_of_the_machine() {
    for (ip, first) in [("", None), (" ip=::::node7:eth0:dhcp", Some("node7"))] {
        alone(|sandbox| {
            sethostname("(none)").expect("set the name");
            let kmsg = Fake::new(sandbox);
            // Datagrams as they come.
            let receiver = Udp::new();
            sandbox.cmdline(format!("earlykmsg.to=syslog+{}{ip}", receiver.url()));
            let _program = Run::fed::<&str>(&[]).start_connected();
            let hostname = |text: &str| {
                let line = receiver.lines.wait_for(text, WITHIN);
                Message::parse(&line.bytes).expect("a message").hostname
            };
            kmsg.feed("6,1,1,-;one\n");
            assert_eq!(hostname("one").as_deref(), first);
            sethostname("main.example").expect("set the name");
            kmsg.feed("6,2,1,-;two\n");
            assert_eq!(hostname("two").as_deref(), Some("main.example"));
        });
    }
}

/// Tags whose names syslog cannot have are said once, and left out; all others are parameters.
#[test]
fn tags_that_syslog_has_no_name_for() {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        let receiver = Udp::new();
        sandbox.cmdline(format!(
            "earlykmsg.to=syslog+{} \"earlykmsg.tags=site=a,b c=1,{}=2,host={{hostname}}\"",
            receiver.url(),
            "n".repeat(33)
        ));
        let program = Run::fed::<&str>(&[]).start_connected();
        for (seq, name) in [(1, "one"), (2, "two")] {
            sethostname(name).expect("set the name");
            kmsg.feed(format!("6,{seq},1,-;{name}\n"));
            let line = receiver.lines.wait_for(&format!("] {name}"), WITHIN);
            let message = Message::parse(&line.bytes).expect("a message");
            let params: Vec<&str> =
                message.element(ELEMENT).expect("parameters").iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(params, ["seq", "clock", "site", "host"]);
            assert_eq!(message.param(ELEMENT, "host"), Some(name));
        }
        let said = program
            .words
            .items()
            .iter()
            .filter(|line| {
                line.contains(
                    "2 tags have no room in 1024 bytes, or a name that syslog does not allow, and are left out",
                )
            })
            .count();
        assert_eq!(said, 1, "{:?}", *program.words.items());
    });
}

/// Who may write to the log can write the words of a report, but not its parameter.
#[test]
fn a_forged_report() {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        let receiver = Tcp::syslog(TcpBehaviour::Reads);
        let _program = Run::fed(&[receiver.url()]).start_connected();
        kmsg.feed("12,7,1,-;earlykmsg: lost 5 records, seq 2-6: why\n earlykmsg=lost\n");
        kmsg.feed("12,8,1,-;[earlykmsg@32473 earlykmsg=\"lost\"] earlykmsg: lost 1 record, seq 8-8: why\n");
        kmsg.feed("6,20,1,-;behind a gap\n");
        receiver.lines.wait_for("behind a gap", WITHIN);
        let reports: Vec<Value> = receiver.lines.objects().into_iter().filter(json::is_lost).collect();
        assert_eq!(reports.len(), 1, "{reports:?}");
        assert_eq!(json::report(&reports[0]), Some(9..=19));
    });
}
