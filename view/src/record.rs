//! What an object says.

use serde::Deserialize;
use serde_json::{Map, Value};

/// How severe a record is; the most severe is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(u8);

impl Level {
    /// The names, the most severe first.
    pub const NAMES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

    /// The most severe.
    pub const EMERG: Level = Level(0);
    /// The least severe.
    pub const DEBUG: Level = Level(7);
    /// Records that say no level have this.
    pub const INFO: Level = Level(6);
    /// The least severe error.
    pub const ERR: Level = Level(3);
    /// Between errors and what is usual.
    pub const WARNING: Level = Level(4);
    /// The level of nearly everything.
    pub const NOTICE: Level = Level(5);

    /// A level by its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Level> {
        Level::NAMES.iter().zip(0..).find(|(known, _)| **known == name).map(|(_, number)| Level(number))
    }

    /// The level in the priority of a syslog message.
    pub(crate) fn of_priority(priority: u8) -> Level {
        Level(priority & 7)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Level::NAMES[usize::from(self.0)]
    }
}

/// A record, or a report of lost ones, which looks like one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The sequence number.
    pub seq: u64,
    /// Microseconds since the boot.
    pub clock: u64,
    /// As in the object.
    pub facility: String,
    /// How severe it is.
    pub level: Level,
    /// The text, with its final newline and the lines about a device.
    pub msg: String,
    /// When it was written, as in the object; empty if that is not told.
    pub time: String,
    /// The kind of a report of lost records.
    pub report: Option<String>,
    /// Where in pstore it was kept: it is of a boot before.
    pub pstore: Option<String>,
    /// Everything else in the object that is a text.
    pub tags: Vec<(String, String)>,
}

/// An object as it comes. A member of another type makes it no record.
#[derive(Deserialize)]
struct Object {
    clock: u64,
    seq: u64,
    msg: String,
    facility: Option<String>,
    priority: Option<String>,
    #[serde(rename = "talos-time")]
    time: Option<String>,
    earlykmsg: Option<String>,
    pstore: Option<String>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

impl Record {
    /// Reads an object; none if it is no record.
    #[must_use]
    pub fn from_json(bytes: &[u8]) -> Option<Record> {
        let object: Object = serde_json::from_slice(bytes).ok()?;
        let tags = object.more.into_iter().filter(|(name, _)| name != "talos-level");
        let tags = tags.filter_map(|(name, value)| match value {
            Value::String(text) => Some((name, text)),
            _ => None,
        });
        Some(Record {
            seq: object.seq,
            clock: object.clock,
            facility: object.facility.unwrap_or_default(),
            level: object.priority.and_then(|name| Level::from_name(&name)).unwrap_or(Level::INFO),
            msg: object.msg,
            time: object.time.unwrap_or_default(),
            report: object.earlykmsg,
            pstore: object.pstore,
            tags: tags.collect(),
        })
    }

    /// The value of a tag.
    #[must_use]
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// The lines of its text, without those about a device.
    #[must_use]
    pub fn lines(&self) -> Vec<&str> {
        let mut lines: Vec<&str> = self.msg.strip_suffix('\n').unwrap_or(&self.msg).split('\n').collect();
        while lines.len() > 1 && lines.last().is_some_and(|line| is_of_device(line)) {
            lines.pop();
        }
        lines
    }

    /// The range that a report names.
    #[must_use]
    pub fn reported(&self) -> Option<(u64, u64)> {
        self.report.as_ref()?;
        let (_, rest) = self.msg.split_once("seq ")?;
        let (first, rest) = rest.split_once('-')?;
        let end = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
        let (first, last) = (first.parse().ok()?, rest[..end].parse().ok()?);
        (first <= last).then_some((first, last))
    }

    /// Whether the kernel says here that it panics.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        self.facility == "kern" && self.msg.starts_with("Kernel panic - ")
    }
}

/// ` SUBSYSTEM=pci`
fn is_of_device(line: &str) -> bool {
    let name = line.strip_prefix(' ').and_then(|rest| rest.split_once('=')).map(|(name, _)| name);
    name.is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object() {
        let record = Record::from_json(
            br#"{"clock":6252819,"facility":"user","msg":"one\ntwo\n SUBSYSTEM=pci\n DEVICE=+pci:0\n","priority":"warning","seq":711,"talos-level":"warn","talos-time":"2021-11-26T16:53:21.252819Z","boot":"b","port":7,"host":"h"}"#,
        );
        let record = record.unwrap();
        assert_eq!((record.seq, record.clock, record.level.name()), (711, 6_252_819, "warning"));
        assert_eq!(record.lines(), ["one", "two"]);
        assert_eq!(record.tags, [("boot", "b"), ("host", "h")].map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(record.time, "2021-11-26T16:53:21.252819Z");
        assert_eq!((record.tag("host"), record.tag("clock")), (Some("h"), None));
    }

    #[test]
    fn what_is_none() {
        for text in [
            "{}",
            "[]",
            "7",
            r#"{"clock":1,"seq":2}"#,
            r#"{"clock":-1,"seq":2,"msg":""}"#,
            r#"{"clock":1.5,"seq":2,"msg":""}"#,
            r#"{"clock":1,"seq":2,"msg":7}"#,
            r#"{"clock":1,"seq":2,"msg":"","msg":""}"#,
            r#"{"clock":1,"seq":2,"msg":"\ud800"}"#,
        ] {
            assert_eq!(Record::from_json(text.as_bytes()), None, "{text}");
        }
        let least = Record::from_json(br#"{"clock":1,"seq":2,"msg":""}"#).unwrap();
        assert_eq!((least.level, least.lines()), (Level::INFO, vec![""]));
    }

    #[test]
    fn ranges_of_reports() {
        let range = |report: &str, msg: &str| {
            let text = format!(r#"{{"clock":1,"seq":2,"msg":"{msg}","earlykmsg":"{report}"}}"#);
            Record::from_json(text.as_bytes()).unwrap().reported()
        };
        assert_eq!(range("lost", "earlykmsg: lost 40 records, seq 10-49: why\\n"), Some((10, 49)));
        assert_eq!(range("possibly-lost", "earlykmsg: 1 record, seq 7-7, possibly lost"), Some((7, 7)));
        assert_eq!(range("lost", "seq 9-8"), None);
        assert_eq!(range("lost", "seq 9-99999999999999999999"), None);
        let record = Record::from_json(br#"{"clock":1,"seq":2,"msg":"seq 1-2: "}"#).unwrap();
        assert_eq!(record.reported(), None, "a record with such words reports nothing");
    }
}
