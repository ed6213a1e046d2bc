//! Records of the kernel's log, and the JSON made of them.

use earlykmsg::clock::WallOffset;
use earlykmsg::encode::Encoder;
use earlykmsg::kmsg::record::Record;
use earlykmsg::limits::{LINE_BYTES_MAX, RECORD_BYTES_MAX, RECORD_CUT_BYTES_MIN};
use serde_json::Value;

/// 2021-11-26T16:53:15Z
const BOOT: WallOffset = WallOffset(1_637_945_595_000_000);

/// Any bytes become one line of JSON that fits, with the members that a decoder of another make gives them.
pub fn check(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(RECORD_BYTES_MAX)];
    let record = Record::parse(bytes).unwrap_or_else(|| Record::broken(bytes));
    let room = Encoder::bytes_max(&record);
    assert!(room <= LINE_BYTES_MAX, "{room} bytes");
    let mut out = vec![b'~'; room];
    let len = Encoder::new().encode(&mut out, &record, BOOT);
    let line = &out[..len];
    assert!(!line.contains(&b'\n'), "a line holds no newline");

    let object: Value =
        serde_json::from_slice(line).unwrap_or_else(|why| panic!("{why}: {}", line.escape_ascii()));
    let want = Model::of(bytes);
    let members = object.as_object().expect("an object");
    let names = ["clock", "facility", "msg", "priority", "seq", "talos-level", "talos-time"];
    assert!(members.keys().eq(names), "{object}");
    assert_eq!(object["clock"], want.clock);
    assert_eq!(object["facility"], want.facility());
    assert_eq!(object["msg"], want.msg, "{}", bytes.escape_ascii());
    let levels = ["error", "error", "error", "error", "warn", "info", "info", "debug"];
    let priorities = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
    let level = (want.code % 8) as usize;
    assert_eq!(object["priority"], priorities[level]);
    assert_eq!(object["talos-level"], levels[level]);
    assert_eq!(object["seq"], want.seq);
}

/// A record, decoded slowly and plainly.
struct Model {
    code: u64,
    seq: u64,
    clock: u64,
    msg: String,
}

impl Model {
    fn of(bytes: &[u8]) -> Model {
        let mut fields = bytes.splitn(4, |&byte| byte == b',');
        let [code, seq, clock, rest] = [0; 4].map(|_: u8| fields.next());
        let rest = rest.and_then(|rest| Some(&rest[rest.iter().position(|&byte| byte == b';')? + 1..]));
        if let (Some(code), Some(seq), Some(clock), Some(rest)) =
            (number(code), number(seq), number(clock), rest)
        {
            let cut = bytes.len() >= RECORD_CUT_BYTES_MIN;
            return Model { code, seq, clock, msg: lossy(&unescaped(rest, cut)) };
        }
        // What can be read of a broken one: a number counts only when a comma ends it.
        let whole = |field, more: Option<&[u8]>| number(field).filter(|_| more.is_some());
        let mut fields = bytes.splitn(4, |&byte| byte == b',');
        let [code, seq, clock, rest] = [0; 4].map(|_: u8| fields.next());
        let seq_read = whole(code, seq).and_then(|_| whole(seq, clock));
        let clock_read = seq_read.and_then(|_| whole(clock, rest));
        Model { code: 3, seq: seq_read.unwrap_or(0), clock: clock_read.unwrap_or(0), msg: lossy(bytes) }
    }

    fn facility(&self) -> String {
        let names = "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp ntp audit alert clock local0 \
                     local1 local2 local3 local4 local5 local6 local7";
        let number = self.code / 8;
        let name = usize::try_from(number).ok().and_then(|at| names.split(' ').nth(at));
        name.map_or_else(|| number.to_string(), str::to_owned)
    }
}

fn number(field: Option<&[u8]>) -> Option<u64> {
    let field = field.filter(|field| !field.is_empty() && field.iter().all(u8::is_ascii_digit))?;
    str::from_utf8(field).ok()?.parse().ok()
}

/// Talos's way with escapes: a broken one disappears together with the byte that broke it. Of a record that the kernel
/// cut, the final newline belongs to no escape.
fn unescaped(text: &[u8], cut: bool) -> Vec<u8> {
    let end = if cut && text.ends_with(b"\n") { text.len() - 1 } else { text.len() };
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let byte = text[at];
        at += 1;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let mut escaped = || {
            let byte = text[..end].get(at).copied()?;
            at += 1;
            Some(byte)
        };
        match escaped() {
            Some(b'\\') => bytes.push(b'\\'),
            Some(b'x') => {
                let mut digit = || char::from(escaped()?).to_digit(16);
                if let Some(value) = digit().and_then(|high| Some(high * 16 + digit()?)) {
                    bytes.push(value as u8);
                }
            }
            _ => {}
        }
    }
    bytes
}

/// Each byte that is no UTF-8 becomes one U+FFFD.
fn lossy(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
    }
    text
}
