//! Any bytes: nothing panics, no command reaches a terminal, and every record between them is shown once.

use earlykmsg_view::decode::{Decoder, Entry};
use earlykmsg_view::history::{Event, History};
use earlykmsg_view::print::Printer;
use earlykmsg_view::record::Record;
use earlykmsg_view::timeline::Timeline;
use fastrand::Rng;
use serde_json::json;

/// All that is done with a stream: the records that are shown, and the text.
fn shown(stream: &[u8], random: &mut Rng) -> (Vec<Record>, String) {
    let (mut decoder, mut history) = (Decoder::default(), History::default());
    let (mut printer, mut timeline) = (Printer::new(true), Timeline::default());
    let (mut records, mut text) = (Vec::new(), String::new());
    let mut rest = stream;
    loop {
        let (part, behind) = rest.split_at(random.usize(0..=rest.len().min(5000)));
        let is_end = rest.is_empty();
        rest = behind;
        for entry in if is_end { decoder.finish() } else { decoder.push(part) } {
            match entry {
                Entry::Other { bytes, is_cut } => text += &printer.other(&bytes, is_cut),
                Entry::Record(record) => {
                    for event in history.take(record) {
                        timeline.add(&history, &event);
                        text += &printer.event(&history, &event);
                        if let Event::Record { record, .. } = event {
                            records.push(record);
                        }
                    }
                }
            }
        }
        if is_end {
            assert!(timeline.svg().starts_with("<svg"));
            return (records, text);
        }
    }
}

/// What a terminal would take for a command, but for our own colours.
fn commands(text: &str) -> Vec<char> {
    let mut plain = text.to_owned();
    for code in ["0", "1", "2", "1;31", "31", "32", "33", "34", "35", "1;35", "36", "94", "95", "96"] {
        plain = plain.replace(&format!("\x1b[{code}m"), "");
    }
    plain.chars().filter(|character| character.is_control() && !['\n', '\t'].contains(character)).collect()
}

/// Lines of garbage, made of parts that mean something.
fn garbage(random: &mut Rng) -> Vec<u8> {
    let parts: [&[u8]; 14] = [
        b"{",
        b"}",
        b"\"",
        b"\\",
        b"{\"clock\"",
        b":1,\"seq\":1,\"msg\":\"\\u001b[2J\"}",
        b":18446744073709551615,\"seq\":18446744073709551615,\"msg\":\"\"}",
        b":7,\"seq\":0,\"msg\":\"earlykmsg: lost 1 record, seq 0-18446744073709551615: \",\"earlykmsg\":\"lost\"}",
        b"[earlykmsg@32473 seq=\"1\" clock=\"1\"] x",
        b"12 <13>",
        b"<13>1 - - - - - ",
        b"\x1b[31m",
        b"\r",
        b"\xff\xc3",
    ];
    let mut bytes = Vec::new();
    for _ in 0..random.usize(0..30) {
        match random.u8(0..4) {
            0 => bytes.push(random.u8(..)),
            1 => bytes.extend(core::iter::repeat_n(random.u8(..), random.usize(0..200))),
            _ => bytes.extend_from_slice(random.choice(parts).unwrap()),
        }
    }
    bytes
}

/// A sequence number here is the only one of its kind, so that a machine has one boot and each record is new.
#[test]
fn records_between_garbage() {
    for seed in 0..2000 {
        let mut random = Rng::with_seed(seed);
        let (mut stream, mut sent) = (Vec::new(), Vec::new());
        for seq in 1000..1000 + random.u64(0..20) {
            let mut line = garbage(&mut random);
            // What counts octets takes them from the lines behind it.
            if random.bool() && !line.windows(2).any(|pair| pair == b" <") {
                stream.append(&mut line);
                stream.push(b'\n');
            }
            let text: String = (0..random.usize(0..40)).map(|_| random.char(..)).collect();
            let object = json!({"clock": seq * 1000, "facility": "kern", "msg": text, "priority": "info", "seq": seq, "boot": "b"});
            let times = if random.u8(0..4) == 0 { 2 } else { 1 };
            for _ in 0..times {
                stream.extend(object.to_string().into_bytes());
                if random.bool() {
                    stream.push(b'\n');
                }
            }
            sent.push((seq, text));
        }
        let (records, text) = shown(&stream, &mut random);
        let of_ours = records.into_iter().filter(|record| record.tag("boot") == Some("b"));
        let received: Vec<(u64, String)> = of_ours.map(|record| (record.seq, record.msg)).collect();
        assert_eq!(received, sent, "seed {seed}: {}", stream.escape_ascii());
        assert_eq!(commands(&text), [], "seed {seed}");
    }
}

#[test]
fn nothing_but_garbage() {
    for seed in 0..3000 {
        let mut random = Rng::with_seed(seed);
        let stream: Vec<u8> = (0..random.usize(0..20)).flat_map(|_| garbage(&mut random)).collect();
        let (_, text) = shown(&stream, &mut random);
        assert_eq!(commands(&text), [], "seed {seed}: {}", stream.escape_ascii());
    }
}

/// A recorded stream with bytes that are changed, left out and doubled.
#[test]
fn a_stream_that_is_damaged() {
    let recorded = include_bytes!("data/mixed.stream");
    for seed in 0..500 {
        let mut random = Rng::with_seed(seed);
        let mut stream = recorded.to_vec();
        for _ in 0..random.usize(1..40) {
            let at = random.usize(0..stream.len());
            match random.u8(0..3) {
                0 => stream[at] = random.u8(..),
                1 => _ = stream.remove(at),
                _ => {
                    let part = stream[at..(at + 300).min(stream.len())].to_vec();
                    stream.splice(at..at, part);
                }
            }
        }
        let (_, text) = shown(&stream, &mut random);
        assert_eq!(commands(&text), [], "seed {seed}");
    }
}
