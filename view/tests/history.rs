//! Machines, boots, repetitions and losses, told apart in streams as they come from earlykmsg and from others.

use earlykmsg_view::history::{Event, History};
use earlykmsg_view::record::Record;
use serde_json::{Map, Value, json};

fn record(seq: u64, clock: u64, msg: &str, tags: &[(&str, &str)]) -> Record {
    let mut object = json!({"clock": clock, "facility": "kern", "msg": format!("{msg}\n"), "priority": "info", "seq": seq});
    let members: &mut Map<String, Value> = object.as_object_mut().unwrap();
    members.extend(tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())));
    Record::from_json(object.to_string().as_bytes()).unwrap()
}

/// The first records of a boot: those without a time stamp are the same each time.
fn boot(count: u64, speed: u64, tags: &[(&str, &str)]) -> Vec<Record> {
    let clock = |seq: u64| seq.saturating_sub(20) * speed;
    (0..count).map(|seq| record(seq, clock(seq), &format!("record {seq}"), tags)).collect()
}

/// What is told of records, in short: `m0b0#7` for a record of the first boot of the first machine.
fn told(history: &mut History, records: impl IntoIterator<Item = Record>) -> Vec<String> {
    let mut told = Vec::new();
    for record in records {
        for event in history.take(record) {
            let place = event.place();
            let what = match event {
                Event::Record { record, .. } if record.report.is_some() => format!("!{}", record.seq),
                Event::Record { record, .. } => format!("#{}", record.seq),
                Event::Machine { .. } => " new".to_owned(),
                Event::Boot { .. } => " boots".to_owned(),
                Event::Kept { .. } => " kept".to_owned(),
                Event::Again { .. } => " again".to_owned(),
                Event::Missing { first, last, .. } => format!(" missing {first}-{last}"),
            };
            told.push(format!("m{}b{}{what}", place.machine, place.boot));
        }
    }
    told
}

fn numbers(place: &str, range: core::ops::Range<u64>) -> Vec<String> {
    range.map(|seq| format!("{place}#{seq}")).collect()
}

#[test]
fn repetitions_are_dropped() {
    for tags in [&[][..], &[("boot", "b")], &[("uuid", "u")], &[("host", "h"), ("boot_id", "b")]] {
        let all = boot(60, 10_000, tags);
        let mut history = History::default();
        assert_eq!(told(&mut history, all[..50].to_vec()), numbers("m0b0", 0..50), "{tags:?}");
        // From the beginning, from the middle, and on behind it.
        assert_eq!(told(&mut history, all[..50].to_vec()), [""; 0], "{tags:?}");
        assert_eq!(told(&mut history, all[30..].to_vec()), numbers("m0b0", 50..60), "{tags:?}");
        assert_eq!(told(&mut history, all[..10].to_vec()), [""; 0], "{tags:?}");
    }
}

#[test]
fn a_reboot_told_by_a_tag() {
    let mut history = History::default();
    let (one, two) = (boot(30, 10_000, &[("boot", "1")]), boot(30, 10_000, &[("boot", "2")]));
    assert_eq!(told(&mut history, one.clone()), numbers("m0b0", 0..30));
    assert_eq!(told(&mut history, two), [&["m0b1 boots".to_owned()][..], &numbers("m0b1", 0..30)].concat());
    assert_eq!(told(&mut history, one), [""; 0]);
    let late = record(30, 100_000, "late", &[("boot", "1")]);
    assert_eq!(told(&mut history, [late]), ["m0b0 again", "m0b0#30"]);
}

/// The records at 0 are the same in both boots, and nothing of the second is left out.
#[test]
fn a_reboot_told_by_its_records() {
    for tags in [&[][..], &[("host", "h")]] {
        let mut history = History::default();
        assert_eq!(told(&mut history, boot(100, 10_000, tags)), numbers("m0b0", 0..100));
        let mut seen = told(&mut history, boot(40, 10_001, tags));
        assert_eq!(seen.remove(0), "m0b1 boots");
        assert_eq!(seen, numbers("m0b1", 0..40));
        // A third one, which says something else from its first line on; and the second once more.
        let other = |seq| record(seq, 0, "another kernel", tags);
        assert_eq!(told(&mut history, [other(0), other(1)]), ["m0b2 boots", "m0b2#0", "m0b2#1"]);
        assert_eq!(told(&mut history, boot(40, 10_001, tags).split_off(25)), [""; 0]);
    }
}

/// The first boot was seen from its middle on.
#[test]
fn a_reboot_from_before_what_was_seen() {
    let mut history = History::default();
    told(&mut history, boot(400, 10_000, &[]).split_off(200));
    let seen = told(&mut history, boot(30, 10_001, &[]));
    assert_eq!(seen[0], "m0b1 boots");
    assert_eq!(seen[1..], numbers("m0b1", 0..30));
}

#[test]
fn what_is_missing() {
    let mut history = History::default();
    let all = boot(30, 10_000, &[]);
    assert_eq!(
        told(&mut history, [all[5].clone(), all[9].clone()]),
        ["m0b0#5", "m0b0 missing 6-8", "m0b0#9"]
    );
    // Too late, and then not missing.
    assert_eq!(told(&mut history, [all[7].clone(), all[10].clone()]), ["m0b0#7", "m0b0#10"]);
    // Reported, so it is told once.
    let mut report = record(11, 13, "earlykmsg: lost 2 records, seq 11-12: why", &[("earlykmsg", "lost")]);
    report.facility = "user".to_owned();
    let reported = [report.clone(), all[13].clone(), report];
    assert_eq!(told(&mut history, reported), ["m0b0!11", "m0b0#13"]);
}

/// With `earlykmsg.level=`, numbers have gaps and nothing is missing.
#[test]
fn what_was_never_sent_is_not_missing() {
    let mut history = History::default();
    let notice = |seq| Record {
        level: earlykmsg_view::record::Level::NOTICE,
        ..record(seq, seq, &format!("Kernel command line: earlykmsg.level=info {seq}"), &[])
    };
    assert_eq!(told(&mut history, [notice(1), notice(9)]), ["m0b0#1", "m0b0#9"]);
    assert_eq!(told(&mut history, [record(11, 11, "info", &[])]), ["m0b0#11"]);

    // The command line is not sent.
    let warning = |seq| Record {
        level: earlykmsg_view::record::Level::WARNING,
        ..record(seq, seq, &format!("warning {seq}"), &[])
    };
    assert_eq!(told(&mut History::default(), [warning(1), warning(9)]), ["m0b0#1", "m0b0#9"]);
}

#[test]
fn datagrams_out_of_order() {
    let mut history = History::default();
    let mut all = boot(40, 10_000, &[]);
    all.swap(25, 26);
    all.swap(30, 33);
    let seen = told(&mut history, all);
    assert_eq!(seen.iter().filter(|line| line.starts_with("m0b0#")).count(), 40);
    assert!(seen.iter().all(|line| line.starts_with("m0b0") && !line.contains("boots")), "{seen:?}");
}

#[test]
fn machines_between_each_other() {
    let mut history = History::default();
    let (one, two) = (boot(30, 10_000, &[("host", "a")]), boot(30, 10_001, &[("host", "b")]));
    let both = one.into_iter().zip(two).flat_map(|(one, two)| [one, two]);
    let seen = told(&mut history, both);
    assert_eq!(seen[..3], ["m0b0#0", "m1b0 new", "m1b0#0"]);
    assert_eq!(seen.len(), 61);
    assert_eq!((history.label(0), history.label(1)), ("a", "b"));
}

/// Two of one name are told apart by what comes before it in the list, or by the tag that is asked for.
#[test]
fn machines_of_one_name() {
    let (one, two) = ([("uuid", "1"), ("hostname", "debian")], [("uuid", "2"), ("hostname", "debian")]);
    for (tag, machines) in [(None, 2), (Some("uuid".to_owned()), 2), (Some("hostname".to_owned()), 1)] {
        let mut history = History::new(tag);
        told(&mut history, [record(0, 0, "x", &one), record(0, 0, "y", &two)]);
        assert_eq!(history.machines(), machines);
    }
}

/// What is known of a machine comes while it boots: its name, an address.
#[test]
fn a_name_that_comes_later() {
    let mut history = History::default();
    let named = [("mac", "02:00"), ("hostname", "node1")];
    let all = boot(40, 10_000, &[]);
    let tagged = |from: usize, to: usize, tags: &[(&str, &str)]| -> Vec<Record> {
        all[from..to].iter().map(|one| record(one.seq, one.clock, one.msg.trim_end(), tags)).collect()
    };
    let mut seen = told(&mut history, tagged(0, 10, &[("mac", ""), ("hostname", "(none)")]));
    seen.extend(told(&mut history, tagged(10, 20, &[("mac", "02:00"), ("hostname", "(none)")])));
    seen.extend(told(&mut history, tagged(20, 30, &named)));
    assert_eq!(seen, numbers("m0b0", 0..30));
    assert_eq!(history.label(0), "node1");
    assert!(history.is_called(0, "02:00") && history.is_called(0, "node1"));
    // Sent again, everything has the newest tags.
    assert_eq!(told(&mut history, tagged(0, 30, &named)), [""; 0]);
}

/// Talos's own sender has no tags, and begins with the first record.
#[test]
fn a_second_sender_without_tags() {
    for tags in [&[("boot", "b")][..], &[("uuid", "u"), ("boot", "b")], &[("uuid", "u")]] {
        let mut history = History::default();
        assert_eq!(told(&mut history, boot(50, 10_000, tags)), numbers("m0b0", 0..50), "{tags:?}");
        assert_eq!(told(&mut history, boot(60, 10_000, &[])), numbers("m0b0", 50..60), "{tags:?}");
    }
}

/// The first records of two machines with one kernel are the same. What comes without a tag then is of the first until it
/// differs.
#[test]
fn a_machine_without_tags_beside_one_with_them() {
    let mut history = History::default();
    told(&mut history, boot(50, 10_000, &[("uuid", "u")]));
    let seen = told(&mut history, boot(40, 10_001, &[]));
    assert_eq!(seen[0], "m1b0 new");
    assert_eq!(seen[1..], numbers("m1b0", 21..40));
    assert_eq!(told(&mut history, boot(51, 10_000, &[("uuid", "u")])), ["m0b0#50"]);
}

/// Two dumps, the first in two parts, and the second one again; then the boot that found them.
#[test]
fn what_pstore_kept() {
    let mut history = History::default();
    let kept = |file: &str, seq, clock| record(seq, clock, "line", &[("pstore", file), ("host", "a")]);
    let (one, two) =
        (kept("dmesg-erst-3 Panic#1 Part1", 1, 9_000_100), kept("dmesg-erst-3 Panic#1 Part1", 2, 9_000_200));
    let seen = told(
        &mut history,
        [
            kept("dmesg-erst-1 Panic#1 Part2", 1, 5_000_000),
            kept("dmesg-erst-2 Panic#1 Part1", 2, 9_000_000),
            one.clone(),
            two.clone(),
            one,
            two,
        ],
    );
    assert_eq!(seen, ["m0b0 kept", "m0b0#1", "m0b0#2", "m0b1 kept", "m0b1#1", "m0b1#2"]);
    let seen = told(&mut history, boot(3, 10_000, &[("host", "a"), ("boot", "b")]));
    assert_eq!(seen, ["m0b2 boots", "m0b2#0", "m0b2#1", "m0b2#2"]);
}

/// By syslog a record comes without its last newline and the lines about a device.
#[test]
fn the_same_by_json_and_by_syslog() {
    let mut history = History::default();
    let mut one = record(7, 10, "text", &[("boot", "b")]);
    let other = Record { msg: "text".to_owned(), ..one.clone() };
    one.msg += " SUBSYSTEM=pci\n DEVICE=+pci:0\n";
    assert_eq!(told(&mut history, [one, other]), ["m0b0#7"]);
}
