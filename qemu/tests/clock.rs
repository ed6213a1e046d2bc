//! Times of a guest whose clock begins in 1970, and is set while it runs.
//!
//! The guest's tool says by `CLOCK_MONOTONIC` when it wrote a record, and after each step by how much the wall clock is
//! ahead of that: both run alike, so the sum is the time that a record must carry.

use core::ops::RangeInclusive;

use earlykmsg_qemu::{Boot, End, Guest, Kernel, LONG, Receiver, Record, image};
use earlykmsg_tests::json::time;

const TIMED: usize = 20;
/// What may be beside the truth at worst: an emulated machine stands still whenever its host has other things to do,
/// also where two clocks are read at once.
const WORST_BESIDE_US: i64 = 500_000;
/// What may be in the middle of many records, beside the distance that was measured at the start, and at the best of
/// several steps.
const BESIDE_US: i64 = 2_000;
/// What the distance that was measured at the start may be wrong, if the machine stood still right then.
const OF_BOOT_US: i64 = 50_000;
const NEVER_SET: &str = "the wall clock was never set";

fn time_us(record: &Record) -> i64 {
    time(&record.json).as_microsecond()
}

/// The numbers in a text.
fn numbers(text: &str) -> Vec<i64> {
    text.split(|c: char| !c.is_ascii_digit() && c != '-').filter_map(|word| word.parse().ok()).collect()
}

fn with_text<'a>(records: &'a [Record], text: &str) -> Vec<&'a Record> {
    records.iter().filter(|record| record.msg.starts_with(text)).collect()
}

/// What `tool time-log` wrote, and by `CLOCK_MONOTONIC` when.
fn timed(records: &[Record]) -> Vec<(&Record, RangeInclusive<i64>)> {
    let all = with_text(records, "timed ");
    let pairs = all.iter().zip(all.iter().skip(1)).filter(|(_, next)| !next.msg.starts_with("timed 0 "));
    pairs.map(|(record, next)| (*record, numbers(&record.msg)[1]..=numbers(&next.msg)[2])).collect()
}

/// By how much the times of these records are later than the truth, where the wall clock is so much ahead: zero for
/// what is possible. Sorted.
fn late_us(what: &str, timed: &[(&Record, RangeInclusive<i64>)], ahead_us: i64) -> Vec<i64> {
    let (mut late, mut errors) = (Vec::new(), Vec::new());
    for (record, when) in timed {
        let said = time_us(record) - ahead_us;
        late.push(said - said.clamp(*when.start(), *when.end()));
        errors.push(said - (when.start() + when.end()) / 2);
    }
    late.sort_unstable();
    errors.sort_unstable_by_key(|error| error.abs());
    let (middle, worst) = (errors[errors.len() / 2], errors[errors.len() - 1]);
    println!("{what}: {} records, off by {middle} us in the middle, {worst} us at worst", errors.len());
    late
}

/// Waits for the record of a step and for what the program says of it; gives how far that is beside the truth, and by
/// how much the clock is ahead then.
fn step(guest: &Guest, receiver: &Receiver, count: usize) -> (i64, i64) {
    let both = |records: &[Record]| {
        with_text(records, "stepped by ").len() == count
            && with_text(records, "earlykmsg: wall clock stepped by ").len() == count
    };
    let records = guest.explain(receiver.wait_for(LONG, both)).unwrap();
    let (tool, said) =
        (with_text(&records, "stepped by "), with_text(&records, "earlykmsg: wall clock stepped "));
    let [step, ahead] = numbers(&tool[count - 1].msg)[..] else { panic!("{:?}", tool[count - 1]) };
    let words = said[count - 1].msg.trim_end();
    let rest = words.strip_prefix("earlykmsg: wall clock stepped by ").expect("a step");
    let (amount, seq) = rest.split_once(" s at seq ").unwrap_or_else(|| panic!("{words}"));
    assert!(amount.starts_with(if step < 0 { '-' } else { '+' }), "{words}");
    let (_, decimals) = amount.split_once('.').unwrap_or_else(|| panic!("{words}"));
    assert_eq!(decimals.len(), 3, "{words}");
    let amount: i64 = amount.replace(['.', '+'], "").parse().unwrap_or_else(|_| panic!("{words}"));
    let beside = (amount * 1_000 - step).abs();
    assert!(beside <= WORST_BESIDE_US, "{words}, and it was {step} us");
    // What was written before the clock was set is before that number, and nothing that was written after this was said.
    let last_before = with_text(&records, "timed ")
        .into_iter()
        .filter(|timed| timed.seq < tool[count - 1].seq)
        .max_by_key(|timed| timed.seq);
    let seq: u64 = seq.parse().unwrap_or_else(|_| panic!("{words}"));
    let first = last_before.expect("some were timed before").seq + 1;
    assert!((first..=said[count - 1].seq).contains(&seq), "{words}: from {first} to {}", said[count - 1].seq);
    println!("{words}; it was {step} us");
    (beside, ahead)
}

#[test]
fn a_clock_that_was_never_set() {
    let kernel = Kernel::debian().unwrap();
    let receiver = Receiver::tcp();
    let log = format!("tool time-log {TIMED}");
    let script = format!(
        "{log}; tool step-clock 1700000000000; network_up
         wait_for_go; {log}; tool step-clock -5250
         wait_for_go; {log}; tool step-clock 1626004
         wait_for_go; {log}; say 'all timed'; wait_for_go"
    );
    let image = image::standard(&kernel, &script).unwrap().with(image::earlykmsg().unwrap());
    let boot = Boot::new(&kernel, image.to_cpio())
        .rdinit("/earlykmsg")
        .word("printk.devkmsg=on earlykmsg.tags=site=x")
        .word(receiver.word())
        .qemu_argument("-rtc")
        .qemu_argument("base=1970-01-01T00:00:00");
    let mut guest = boot.start().unwrap();
    // The first step was before anything could be sent.
    let (mut beside, mut ahead) = (Vec::new(), Vec::new());
    for count in 1..=3 {
        let (beside_us, ahead_us) = step(&guest, &receiver, count);
        beside.push(beside_us);
        ahead.push(ahead_us);
        guest.go().unwrap();
    }
    assert!(beside.iter().any(|&us| us <= BESIDE_US), "steps were said wrongly by so many us: {beside:?}");
    let records = guest.explain(receiver.wait_text("all timed", LONG)).unwrap();
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);

    assert_eq!(
        with_text(&records, &format!("earlykmsg: {NEVER_SET}")).len(),
        1,
        "{}",
        guest.failure(NEVER_SET)
    );
    let timed = timed(&records);
    assert_eq!(timed.len(), 4 * TIMED, "{}", guest.failure("not all were timed"));
    let parts: Vec<_> = timed.chunks(TIMED).collect();
    let late = [
        late_us("written before the clock was set, sent after it", parts[0], ahead[0]),
        late_us("written after it", parts[1], ahead[0]),
        late_us("after a step back", parts[2], ahead[1]),
        late_us("after a step forward", parts[3], ahead[2]),
    ];
    let of_boot = late[0][TIMED / 2];
    assert!(of_boot.abs() <= OF_BOOT_US, "all times are {of_boot} us off");
    for late in late {
        assert!((late[TIMED / 2] - of_boot).abs() <= BESIDE_US, "{late:?} beside {of_boot}");
        assert!(late[0].abs().max(late[TIMED - 1].abs()) <= WORST_BESIDE_US, "{late:?}");
    }
    // The kernel's own first words, from before all clocks.
    let first = time_us(&records[0]);
    assert!(records[0].seq == 0 && (first - ahead[0]).abs() < 1_000_000, "{}", records[0].json);
}

#[test]
fn a_clock_that_is_right() {
    let kernel = Kernel::debian().unwrap();
    let receiver = Receiver::udp();
    let script = format!("network_up; tool time-log {TIMED}; say 'all timed'; wait_for_go");
    let image = image::standard(&kernel, &script).unwrap().with(image::earlykmsg().unwrap());
    let boot = Boot::new(&kernel, image.to_cpio())
        .rdinit("/earlykmsg")
        .word("printk.devkmsg=on")
        .word(receiver.word())
        .qemu_argument("-rtc")
        .qemu_argument("base=2024-02-29T12:00:00");
    let mut guest = boot.start().unwrap();
    let records = guest.explain(receiver.wait_text("all timed", LONG)).unwrap();
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    assert_eq!(
        with_text(&records, "earlykmsg: wall clock").len(),
        0,
        "{}",
        guest.failure("it never stepped")
    );
    assert!(!records.iter().any(|record| record.msg.contains(NEVER_SET)), "{}", guest.failure(NEVER_SET));
    for record in &records {
        let time = time(&record.json).to_string();
        assert!(time.starts_with("2024-02-29T12:0"), "{}", record.json);
    }
}
