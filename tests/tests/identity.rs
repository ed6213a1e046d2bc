//! What every record says of the machine that it comes from: tags, and what `earlykmsg.extra=` adds.

use core::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use earlykmsg_tests::account::{Stream, account_with};
use earlykmsg_tests::json::{checked_with, msg, report, seq, timeless};
use earlykmsg_tests::kmsg::{Fake, RingLock, Writer, ring, tag};
use earlykmsg_tests::program::{Program, Run};
use earlykmsg_tests::receiver::{End, Lines, Tcp, TcpBehaviour, Udp};
use earlykmsg_tests::sandbox::{FAR, NEAR, Network, Sandbox, alone, far, far6, ip};
use nix::sys::signal::{Signal, kill};
use nix::unistd::sethostname;
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(30);

/// A tag for everything that can be asked.
const ALL: &str = "earlykmsg.tags=site=ams3,uuid={uuid},serial={serial},mac={mac},host={hostname},\
                   boot={boot_id},kernel={kernel},both=<{kernel}/{boot_id}>";
const ALL_NAMES: &[&str] = &["site", "uuid", "serial", "mac", "host", "boot", "kernel", "both"];

/// The interface on the way, first and later.
const MACS: [&str; 2] = ["02:0e:0a:12:0b:01", "02:0e:0a:12:0b:0f"];

/// Starts it on the machine's own log, with these words on the kernel's command line.
fn start(sandbox: &Sandbox, words: &str) -> Program {
    sandbox.cmdline(words);
    Run::new::<&str>(&[]).start_on_ring()
}

fn destination(url: &str) -> String {
    format!("talos.logging.kernel={url} ")
}

/// What a file says, without the white space around it and a NUL; empty where there is none.
fn file(path: &str) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned()
}

/// What firmware says, by SMBIOS or a device tree.
fn firmware(name: &str) -> String {
    let smbios = file(&format!("/sys/class/dmi/id/{name}"));
    if smbios.is_empty() { file("/sys/firmware/devicetree/base/serial-number") } else { smbios }
}

/// The tags of [`ALL`] on this machine.
fn all_tags(mac: &str, host: &str) -> Value {
    let (boot, kernel) = (file("/proc/sys/kernel/random/boot_id"), file("/proc/sys/kernel/osrelease"));
    assert!(boot.len() == 36 && !kernel.is_empty(), "{boot:?} {kernel:?}");
    json!({
        "site": "ams3", "uuid": firmware("product_uuid"), "serial": firmware("product_serial"), "mac": mac,
        "host": host, "both": format!("<{kernel}/{boot}>"), "boot": boot, "kernel": kernel,
    })
}

/// Every one of `objects` says this.
#[track_caller]
fn check_tags(objects: &[Value], want: &Value) {
    assert!(!objects.is_empty(), "nothing arrived");
    for object in objects {
        for (name, value) in want.as_object().expect("tags") {
            assert_eq!(&object[name], value, "{name} of {object}");
        }
    }
}

/// The object with this text.
#[track_caller]
fn object(lines: &Lines, text: &str, names: &[&str]) -> Value {
    checked_with(&lines.wait_for(text, WITHIN).bytes, names)
}

/// Four ways to the same machine, over an interface among others: every record says all, the first ones too.
#[test]
fn every_record_says_where_it_comes_from() {
    alone(|sandbox| {
        sethostname("node-1").expect("set the name of this machine");
        ip("link add beside type veth peer name besides");
        ip("addr add 10.7.0.1/24 dev beside");
        let network = Network::cable(NEAR, FAR);
        ip(&format!("link set near address {}", MACS[0]));
        let (tcp4, tcp6) = network
            .enter(|| (Tcp::at(far(5044), TcpBehaviour::Reads), Tcp::at(far6(5044), TcpBehaviour::Reads)));
        let (udp4, udp6) = network.enter(|| (Udp::with_room(far(5044)), Udp::with_room(far6(5044))));
        let (writer, oldest) = (Writer::new(), ring()[0].seq);
        let words: String =
            [tcp4.url(), tcp6.url(), udp4.url(), udp6.url()].iter().map(|url| destination(url)).collect();
        let _program = start(sandbox, &(words + ALL));
        let last = tag("all");
        writer.write(&last);
        for lines in [&tcp4.lines, &tcp6.lines, &udp4.lines, &udp6.lines] {
            let last = object(lines, &last, ALL_NAMES);
            let objects = lines.objects_with(ALL_NAMES);
            check_tags(&objects, &all_tags(MACS[0], "node-1"));
            assert!(seq(&objects[0]) <= oldest.max(ring()[0].seq), "the first is the ring's oldest");
            println!("{} records from {} on say all of it: {last}", objects.len(), seq(&objects[0]));
        }
    });
}

/// What is sent over a connection says which interface it goes by.
#[test]
fn another_interface_on_the_way() {
    alone(|sandbox| {
        let network = Network::cable(NEAR, FAR);
        ip(&format!("link set near address {}", MACS[0]));
        let receiver = network.enter(|| Tcp::at(far(5044), TcpBehaviour::Reads));
        let writer = Writer::new();
        let program = start(sandbox, &(destination(&receiver.url()) + "earlykmsg.tags=mac={mac}"));
        let before = tag("before");
        writer.write(&before);
        let mac = |text: &str, lines: &Lines| object(lines, text, &["mac"])["mac"].clone();
        assert_eq!(mac(&before, &receiver.lines), MACS[0]);
        ip(&format!("link set near address {}", MACS[1]));
        // The other side learns of it by what it is sent.
        let meanwhile = tag("meanwhile");
        writer.write(&meanwhile);
        assert_eq!(mac(&meanwhile, &receiver.lines), MACS[0]);
        let receiver = network.enter(|| receiver.restart(End::Close, Duration::ZERO));
        receiver.connections.wait(WITHIN, "a new connection", |all| (all.len() > 1).then_some(()));
        let after = tag("after");
        writer.write(&after);
        assert_eq!(mac(&after, &receiver.lines), MACS[1]);
        let of = |connection| {
            let items = receiver.lines.items();
            items
                .iter()
                .filter(|line| line.connection == Some(connection))
                .map(|line| checked_with(&line.bytes, &["mac"]))
                .collect::<Vec<_>>()
        };
        check_tags(&of(0), &json!({ "mac": MACS[0] }));
        assert!(program.shippers().len() == 1, "the same shipper");
    });
}

/// A host that announces its own address by a routing protocol sends from the loopback's address, but not over it.
#[test]
fn an_address_of_another_interface() {
    alone(|sandbox| {
        let network = Network::cable(NEAR, FAR);
        ip(&format!("link set near address {}", MACS[0]));
        ip("address add 10.77.0.1/32 dev lo");
        ip("route replace 10.9.0.0/24 dev near src 10.77.0.1");
        let (tcp, udp) = network.enter(|| {
            ip("route add 10.77.0.1/32 dev far");
            (Tcp::at(far(5044), TcpBehaviour::Reads), Udp::with_room(far(5044)))
        });
        let writer = Writer::new();
        let words = destination(&tcp.url()) + &destination(&udp.url()) + "earlykmsg.tags=mac={mac}";
        let _program = start(sandbox, &words);
        let last = tag("by-route");
        writer.write(&last);
        for lines in [&tcp.lines, &udp.lines] {
            lines.wait_for(&last, WITHIN);
            check_tags(&lines.objects_with(&["mac"]), &json!({ "mac": MACS[0] }));
        }
    });
}

/// By the loopback there is no interface with an address of its own.
#[test]
fn no_interface_on_the_way() {
    alone(|sandbox| {
        let receiver = Tcp::new(TcpBehaviour::Reads);
        let writer = Writer::new();
        let _program = start(sandbox, &(destination(&receiver.url()) + "earlykmsg.tags=mac=<{mac}>"));
        let last = tag("loopback");
        writer.write(&last);
        let last = object(&receiver.lines, &last, &["mac"]);
        assert_eq!(last["mac"], "<00:00:00:00:00:00>", "{last}");
    });
}

/// The machine's name is looked at again and again. As long as the kernel has none, `ip=` may.
#[test]
fn the_name_of_the_machine() {
    alone(|sandbox| {
        let receiver = Tcp::new(TcpBehaviour::Reads);
        let writer = Writer::new();
        sethostname("(none)").expect("set the name of this machine");
        let words = "ip=10.0.0.2::10.0.0.1:255.255.255.0:node7:eth0:off earlykmsg.tags=host={hostname}. ";
        let _program = start(sandbox, &(words.to_owned() + &destination(&receiver.url())));
        let mut seen = 0;
        for (name, said) in [("(none)", "node7."), ("one", "one."), ("", "."), ("\u{e9}\"\\", "\u{e9}\"\\.")]
        {
            sethostname(name).expect("set the name of this machine");
            // What is encoded now may have looked before; what follows has not.
            for text in [tag("settle"), tag("name")] {
                writer.write(&text);
                receiver.lines.wait_for(&text, WITHIN);
                seen += 1;
                if seen % 2 == 0 {
                    assert_eq!(
                        object(&receiver.lines, &text, &["host"])["host"],
                        said,
                        "the name is {name:?}"
                    );
                }
            }
        }
    });
}

/// Tags for all and for one, which is counted by the words as they stand on the command line.
#[test]
fn each_destination_has_tags_of_its_own() {
    alone(|sandbox| {
        let (tcp, udp) = (Tcp::new(TcpBehaviour::Reads), Udp::new());
        let writer = Writer::new();
        let words = format!(
            "earlykmsg.tags.4=who=second {} talos.logging.kernel=http://wrong/ {} {} \
             earlykmsg.tags=\"site=a b,who=all\" earlykmsg.tags.1=who=first,only=1 earlykmsg.tags.3=who=twice \
             earlykmsg.tags.2=who=wrong",
            destination(&tcp.url()),
            destination(&tcp.url().to_uppercase().replace("TCP", "tcp")),
            destination(&udp.url()),
        );
        let _program = start(sandbox, &words);
        let last = tag("own");
        writer.write(&last);
        object(&tcp.lines, &last, &["site", "who", "only"]);
        object(&udp.lines, &last, &["site", "who"]);
        check_tags(
            &tcp.lines.objects_with(&["site", "who", "only"]),
            &json!({ "site": "a b", "who": "first", "only": "1" }),
        );
        check_tags(&udp.lines.objects_with(&["site", "who"]), &json!({ "site": "a b", "who": "second" }));
    });
}

/// No tag takes the place of a standard member; whatever bytes a value has, they come as text.
#[test]
fn tags_of_any_bytes_and_of_standard_names() {
    alone(|sandbox| {
        let receiver = Tcp::new(TcpBehaviour::Reads);
        let writer = Writer::new();
        let words = "earlykmsg.tags=facility=rack%2012,earlykmsg=lost,seqs=rack%2012,~=%22%5C%00%FF%C3%A9%0A%2c%7Duuid},!=first,\
                     =left,alone,b=%4,c={mac,talos-level={nothing},zone=old,zone=new ";
        let program = start(sandbox, &(words.to_owned() + &destination(&receiver.url())));
        let last = tag("bytes");
        writer.write(&last);
        let names = ["seqs", "~", "!", "zone"];
        object(&receiver.lines, &last, &names);
        let want = json!({
            "!": "first", "seqs": "rack 12", "zone": "new",
            "~": "\"\\\0\u{fffd}\u{e9}\n,}uuid}",
        });
        let objects = receiver.lines.objects_with(&names);
        check_tags(&objects, &want);
        assert!(objects.iter().all(|object| object["facility"] != "rack 12"), "a tag that is left out");
        for wrong in [
            "=left: must be NAME=VALUE",
            "alone: must be NAME=VALUE",
            "b=%4: two hexadecimal digits",
            "c={mac: what stands in",
            "talos-level={nothing}: a standard field has this name; this tag is left out",
            "facility=rack%2012: a standard field has this name",
            "earlykmsg=lost: a standard field has this name",
        ] {
            let said = program
                .words
                .items()
                .iter()
                .filter(|line| line.contains(&format!("earlykmsg.tags={wrong}")))
                .count();
            assert_eq!(said, 1, "{wrong}: {:#?}", *program.words.items());
        }
    });
}

/// More than there is room for: it is said, and all records go out with those that fit.
#[test]
fn too_many_tags_and_too_long_ones() {
    alone(|sandbox| {
        let mut receiver = Tcp::new(TcpBehaviour::Reads);
        let writer = Writer::new();
        let many: Vec<String> = (0..18).map(|n| format!("n{n:02}=x")).collect();
        let long = "y".repeat(900);
        let words = format!(
            "{}earlykmsg.tags={} earlykmsg.tags.1=long={long},longer=y{long}",
            destination(&receiver.url()),
            many.join(",")
        );
        let program = start(sandbox, &words);
        let names: Vec<String> = (0..16).map(|n| format!("n{n:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for connection in 0..4 {
            let last = tag("many");
            writer.write(&last);
            object(&receiver.lines, &last, &names);
            if connection < 3 {
                receiver = receiver.restart(End::Close, Duration::ZERO);
            }
        }
        for object in receiver.lines.objects_with(&names) {
            assert!(names.iter().all(|name| object[name] == "x"), "{object}");
        }
        let said = |part: &str| program.words.items().iter().filter(|line| line.contains(part)).count();
        let words = || program.words.items().clone();
        assert_eq!(
            said("earlykmsg.tags=n16=x: these are too many; this tag is left out"),
            1,
            "{:#?}",
            words()
        );
        assert_eq!(
            said("earlykmsg.tags=n17=x: these are too many; this tag is left out"),
            1,
            "{:#?}",
            words()
        );
        // Not with every connection.
        assert_eq!(said(": 2 tags have no room in 1024 bytes and are left out"), 1, "{:#?}", words());
    });
}

/// What the kernel says of a record besides its text becomes members. What the program says of losses has none.
#[test]
fn callers_and_dictionaries() {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        let receiver = Tcp::new(TcpBehaviour::Reads);
        let words = ["earlykmsg.extra=dict,caller", "earlykmsg.tags=site=x,zone=y"];
        let _program = Run::fed(&[&words[..], &[&receiver.url()]].concat()).start_connected();
        kmsg.feed("6,700,1000,-,caller=T148;one\n SUBSYSTEM=pci\n DEVICE=+pci:0000:00:01.0\n");
        kmsg.feed("6,701,1001,-,caller=C10,more=1;two \\x22quoted\\x22\\x0aand a line\n");
        kmsg.feed("6,702,1002,-;three\n SUBSYSTEM=\\x0a\\xff\n DEVICE==\n");
        kmsg.feed("6,710,1003,-,caller=T1;last\n");
        let tags = ["site", "zone"];
        receiver.lines.wait_for("last", WITHIN);
        let lines = receiver.lines.items();
        let is = |line: &[u8], names: &[&str], want: Value| {
            let object = timeless(checked_with(line, &[names, &tags[..]].concat()));
            let mut all = json!({ "facility": "kern", "priority": "info", "site": "x",
                                  "talos-level": "info", "zone": "y" });
            for (name, value) in want.as_object().expect("members") {
                all[name] = value.clone();
            }
            assert_eq!(object, all);
        };
        let [one, two, three, lost, last] = &lines[..] else { panic!("{} lines", lines.len()) };
        is(
            &one.bytes,
            &["caller", "SUBSYSTEM", "DEVICE"],
            json!({ "caller": "T148", "clock": 1000, "seq": 700,
            "DEVICE": "+pci:0000:00:01.0", "SUBSYSTEM": "pci", "msg": "one\n" }),
        );
        is(
            &two.bytes,
            &["caller"],
            json!({ "caller": "C10", "clock": 1001, "seq": 701,
            "msg": "two \"quoted\"\nand a line\n" }),
        );
        is(
            &three.bytes,
            &["SUBSYSTEM", "DEVICE"],
            json!({ "clock": 1002, "seq": 702, "DEVICE": "=", "SUBSYSTEM": "\n\u{fffd}",
            "msg": "three\n" }),
        );
        let gap = checked_with(&lost.bytes, &tags);
        assert_eq!(report(&gap), Some(703..=709), "{gap}");
        check_tags(
            &[gap],
            &json!({ "site": "x", "zone": "y", "seq": 703, "clock": 1003,
            "facility": "user", "priority": "warning" }),
        );
        is(&last.bytes, &["caller"], json!({ "caller": "T1", "clock": 1003, "seq": 710, "msg": "last\n" }));
    });
}

/// The ring of this machine, whatever it holds: with both extras every record is what it was, taken apart.
#[test]
fn extras_of_the_ring() {
    alone(|_| {
        let receiver = Tcp::new(TcpBehaviour::Reads);
        let (_ring_lock, before) = (RingLock::shared(), ring());
        let end = Run::new(&["--once", "earlykmsg.extra=caller,dict", &receiver.url()]).finish(WITHIN);
        assert_eq!(end.code, Some(0), "{end:?}");
        let (oldest, mut dictionaries) = (ring()[0].seq, 0);
        let got: Vec<Value> =
            receiver.lines.items().iter().map(|line| earlykmsg_tests::json::any(&line.bytes)).collect();
        for record in before.iter().filter(|record| record.seq >= oldest) {
            let mut want = record.json();
            let object = got
                .iter()
                .find(|object| seq(object) == record.seq)
                .unwrap_or_else(|| panic!("no {}", record.seq));
            let mut object = timeless(object.clone());
            let members = object.as_object_mut().expect("an object");
            members.shift_remove("caller");
            // The text of a record ends with its first newline: those within it are escaped. Decoded, both look alike.
            let dictionary: Vec<(String, Value)> = members
                .iter()
                .filter(|(name, _)| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            dictionaries += usize::from(!dictionary.is_empty());
            for (name, value) in dictionary {
                members.shift_remove(&name);
                let line = format!(" {name}={}\n", value.as_str().expect("a text"));
                let text = msg(&want).replacen(&line, "", 1);
                assert!(text.len() < msg(&want).len(), "{line:?} of {want}");
                want["msg"] = text.into();
            }
            assert_eq!(object, want);
        }
        println!("{} records, {dictionaries} with a dictionary", before.len());
    });
}

/// A receiver dies with bytes unread; what is sent again says the same.
#[test]
fn what_is_sent_again_has_its_tags() {
    alone(|sandbox| {
        sethostname("node-2").expect("set the name of this machine");
        let mut receiver = Tcp::new(TcpBehaviour::Reads);
        let mut stream = Stream::new("again");
        let program = start(sandbox, &(destination(&receiver.url()) + ALL));
        let first = stream.write(10);
        object(&receiver.lines, &first, ALL_NAMES);
        receiver.pause();
        let last = stream.write(120);
        receiver.wait_unread(&last, WITHIN);
        receiver = receiver.restart(End::Reset, Duration::ZERO);
        receiver.lines.wait_for(&last, WITHIN);
        let last = stream.write(10);
        account_with(
            ALL_NAMES,
            "killed with bytes unread, with tags",
            &stream,
            &receiver.lines,
            &program,
            &last,
        )
        .all_arrived();
        let objects = receiver.lines.objects_with(ALL_NAMES);
        check_tags(&objects, &all_tags("00:00:00:00:00:00", "node-2"));
        let once = by_the_recipe(sandbox, &objects);
        println!("{} objects, {} of them others", objects.len(), once.len());
        assert!(once.len() < objects.len(), "something came twice");
        assert!(once.is_sorted_by_key(seq), "in order");
        let twice = |object: &Value| (seq(object), msg(object).to_owned());
        let (all, left): (BTreeSet<_>, Vec<_>) =
            (objects.iter().map(twice).collect(), once.iter().map(twice).collect());
        assert_eq!(left, all.into_iter().collect::<Vec<_>>(), "each once, and none is missing");
    });
}

/// What is left of these objects by the recipe of docs/output.md, which is that of README.md.
#[track_caller]
fn by_the_recipe(sandbox: &Sandbox, objects: &[Value]) -> Vec<Value> {
    let recipe = |page: &'static str| {
        page.lines().map(str::trim).find(|line| line.starts_with("jq -cs ")).expect("a recipe")
    };
    let recipe_of_all = recipe(include_str!("../../docs/output.md"));
    assert_eq!(recipe(include_str!("../../README.md")), recipe_of_all);
    let lines: String = objects.iter().map(|object| format!("{object}\n")).collect();
    let file = sandbox.file("kernels.jsonl", lines.as_bytes());
    let dir = file.parent().expect("a folder");
    let jq = Command::new("sh").args(["-c", recipe_of_all]).current_dir(dir).output().expect("start sh");
    assert!(jq.status.success(), "{}", String::from_utf8_lossy(&jq.stderr));
    let left = String::from_utf8(jq.stdout).expect("UTF-8");
    left.lines().map(|line| serde_json::from_str(line).expect("an object")).collect()
}

/// A shipper in the place of one that was killed has nothing of its own: it is told all again.
#[test]
fn a_shipper_that_is_started_again() {
    alone(|sandbox| {
        sethostname("node-3").expect("set the name of this machine");
        let network = Network::cable(NEAR, FAR);
        ip(&format!("link set near address {}", MACS[0]));
        let (tcp, udp) =
            network.enter(|| (Tcp::at(far(5044), TcpBehaviour::Reads), Udp::with_room(far(5044))));
        let mut stream = Stream::new("killed");
        let program = start(sandbox, &(destination(&tcp.url()) + &destination(&udp.url()) + ALL));
        let first = stream.write(10);
        for lines in [&tcp.lines, &udp.lines] {
            object(lines, &first, ALL_NAMES);
        }
        let before = program.shippers();
        assert_eq!(before.len(), 2, "a shipper each");
        for &shipper in &before {
            kill(shipper, Signal::SIGKILL).expect("kill a shipper");
        }
        program.says("started again", WITHIN);
        let last = stream.write(10);
        for (way, lines) in [("TCP", &tcp.lines), ("UDP", &udp.lines)] {
            let fault = format!("{way}: a shipper with tags killed");
            account_with(ALL_NAMES, &fault, &stream, lines, &program, &last).all_arrived();
            check_tags(&lines.objects_with(ALL_NAMES), &all_tags(MACS[0], "node-3"));
        }
        assert!(program.shippers().iter().all(|shipper| !before.contains(shipper)), "others in their place");
    });
}
