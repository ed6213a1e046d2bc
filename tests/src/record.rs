//! A decoder of raw records, written apart from the program's, so that one judges the other.

use serde_json::{Map, Value};

/// A read of this length or more may have been cut by the kernel, which ends some at 2,048 bytes.
const CUT_BYTES_MIN: usize = 2_040;

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

/// The names of facilities, by number.
pub const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];
/// The names of levels, by number.
pub const PRIORITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
/// Talos's names of them.
pub const LEVELS: [&str; 8] = ["error", "error", "error", "error", "warn", "info", "info", "debug"];

impl Record {
    /// Takes a well-formed record apart.
    #[track_caller]
    pub fn parse(raw: &[u8]) -> Record {
        Record::read(raw).unwrap_or_else(|| panic!("no record: {}", raw.escape_ascii()))
    }

    /// The same of what may be none.
    pub fn read(raw: &[u8]) -> Option<Record> {
        let split = raw.iter().position(|&b| b == b';')?;
        let prefix = str::from_utf8(&raw[..split]).ok()?;
        let mut fields = prefix.split(',').map(str::parse::<u64>);
        let mut next = || fields.next()?.ok();
        Some(Record {
            code: next()?,
            seq: next()?,
            clock: next()?,
            msg: text(&raw[split + 1..], raw.len() >= CUT_BYTES_MIN),
        })
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

/// Decodes `\xNN` and `\\`, then makes each byte that is no UTF-8 one U+FFFD. An escape that is none disappears with the
/// byte that broke it, but for the final newline of a record that the kernel has cut.
fn text(raw: &[u8], is_cut: bool) -> String {
    let mut bytes = Vec::new();
    let mut at = 0;
    while let Some(&first) = raw.get(at) {
        at += 1;
        if first != b'\\' {
            bytes.push(first);
            continue;
        }
        // What belongs to the escape: `\\`, or `xNN` up to the byte that breaks it.
        let mut digits = Vec::new();
        for place in 0..3 {
            let is_end = is_cut && raw[at..] == *b"\n";
            let Some(&byte) = raw.get(at).filter(|_| !is_end) else { break };
            at += 1;
            match (place, byte) {
                (0, b'\\') => bytes.push(b'\\'),
                (0, b'x') => continue,
                (1.., _) if byte.is_ascii_hexdigit() => {
                    digits.push(byte);
                    continue;
                }
                _ => {}
            }
            break;
        }
        if let [high, low] = digits[..] {
            let digit = |byte: u8| char::from(byte).to_digit(16).expect("a digit") as u8;
            bytes.push(digit(high) << 4 | digit(low));
        }
    }
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
    }
    text
}
