//! A decoder of raw records, written apart from the program's, so that one judges the other.

use serde_json::{Map, Value};

/// One read of `/dev/kmsg`, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Priority and facility in one number.
    pub code: u64,
    /// The sequence number.
    pub seq: u64,
    /// Microseconds.
    pub clock: u64,
    /// The text, decoded.
    pub msg: String,
}

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];
const PRIORITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
const LEVELS: [&str; 8] = ["error", "error", "error", "error", "warn", "info", "info", "debug"];

impl Record {
    /// Takes a well-formed record apart.
    pub fn parse(raw: &[u8]) -> Record {
        let split = raw.iter().position(|&b| b == b';').expect("a record has a ';'");
        let prefix = str::from_utf8(&raw[..split]).expect("a prefix is text");
        let mut fields = prefix.split(',').map(str::parse::<u64>);
        let mut next = || fields.next().expect("three fields").expect("a number");
        Record { code: next(), seq: next(), clock: next(), msg: text(&raw[split + 1..]) }
    }

    /// The JSON object that a receiver must get, `talos-time` left out.
    pub fn json(&self) -> Value {
        let facility = (self.code >> 3) as usize;
        let priority = (self.code & 7) as usize;
        let facility =
            FACILITIES.get(facility).map_or_else(|| facility.to_string(), |name| (*name).to_owned());
        let members: [(&str, Value); 6] = [
            ("clock", self.clock.into()),
            ("facility", facility.into()),
            ("msg", self.msg.clone().into()),
            ("priority", PRIORITIES[priority].into()),
            ("seq", self.seq.into()),
            ("talos-level", LEVELS[priority].into()),
        ];
        Value::Object(
            members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>(),
        )
    }
}

/// Decodes `\xNN`, then makes each byte that is no UTF-8 one U+FFFD.
fn text(mut raw: &[u8]) -> String {
    let mut bytes = Vec::new();
    while let Some((&first, rest)) = raw.split_first() {
        let escape = (first == b'\\').then(|| rest.get(..3).and_then(hex)).flatten();
        bytes.push(escape.unwrap_or(first));
        raw = if escape.is_some() { &rest[3..] } else { rest };
    }
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
    }
    text
}

/// `xNN`
fn hex(escape: &[u8]) -> Option<u8> {
    let digits = str::from_utf8(escape.strip_prefix(b"x")?).ok()?;
    u8::from_str_radix(digits, 16).ok()
}
