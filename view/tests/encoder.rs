//! The encoder of earlykmsg and the decoder here: a recorded boot arrives whole, as JSON and as syslog, and is the same.

use earlykmsg::config::Extra;
use earlykmsg::config::endpoint::{Format, Transport};
use earlykmsg::config::tags::Facts;
use earlykmsg::line::{Encoder, Fate, Loss};
use earlykmsg::record::Record as Raw;
use earlykmsg::record::clock::WallOffset;
use earlykmsg_view::decode::{Decoder, Entry};
use earlykmsg_view::history::History;
use earlykmsg_view::record::Record;

/// What the kernel gave, record by record.
fn recorded() -> Vec<&'static [u8]> {
    let bytes = include_bytes!("../../tests/data/boot.kmsg");
    bytes.split(|byte| *byte == 0).filter(|record| !record.is_empty()).collect()
}

/// All of it, and a report of lost records, as a connection carries it.
fn sent(format: Format) -> Vec<u8> {
    let mut encoder = Encoder::new(Extra { caller: false, dict: false });
    encoder.set_format(format, Transport::Tcp);
    let tags: [&[u8]; 2] = [br#"host=a]"\b,boot=1"#, b""];
    assert_eq!(encoder.set(Extra { caller: false, dict: false }, tags, &Facts::NONE), 0);
    let (wall, mut line) = (WallOffset(1_637_945_595_000_000), vec![0; 64 * 1024]);
    let mut stream = Vec::new();
    for raw in recorded() {
        let record = Raw::parse(raw).unwrap();
        let length = encoder.encode(&mut line, &record, wall).unwrap();
        stream.extend_from_slice(&line[..length]);
    }
    let loss = Loss { from: 1000, to: 1009, fate: Fate::PossiblyLost };
    let length = loss.encode(&mut encoder, &mut line, 5_000_000, wall).unwrap();
    stream.extend_from_slice(&line[..length]);
    stream
}

fn received(stream: &[u8]) -> Vec<Record> {
    let mut decoder = Decoder::default();
    let mut entries = decoder.push(stream);
    entries.extend(decoder.finish());
    let record = |entry| match entry {
        Entry::Record(record) => record,
        Entry::Other { bytes, .. } => panic!("no record: {}", bytes.escape_ascii()),
    };
    entries.into_iter().map(record).collect()
}

#[test]
fn a_boot_by_json_and_by_syslog() {
    let (json, syslog) = (received(&sent(Format::Json)), received(&sent(Format::Syslog)));
    assert_eq!(json.len(), recorded().len() + 1);
    assert_eq!(json.len(), syslog.len());
    for (one, two) in json.iter().zip(&syslog) {
        assert_eq!((one.seq, one.clock, one.level), (two.seq, two.clock, two.level));
        assert_eq!((&one.facility, &one.time, &one.report), (&two.facility, &two.time, &two.report));
        assert_eq!(one.lines(), two.lines());
        for tag in ["host", "boot"] {
            assert!(one.tag(tag).is_some());
            assert_eq!(one.tag(tag), two.tag(tag));
        }
    }
    assert_eq!(json.last().unwrap().reported(), Some((1000, 1009)));
    // What came by one is a repetition by the other.
    let mut history = History::default();
    let count = json.len();
    let shown = json.into_iter().map(|record| history.take(record).len()).sum::<usize>();
    assert_eq!(shown, count);
    assert_eq!(syslog.into_iter().map(|record| history.take(record).len()).sum::<usize>(), 0);
}
