//! Records of the kernel's log, and the JSON made of them.

use earlykmsg::config::Extra;
use earlykmsg::limits::{
    CALLER_BYTES_MAX, LINE_BYTES_MAX, PARAM_NAME_BYTES_MAX, RECORD_BYTES_MAX, RECORD_CUT_BYTES_MIN,
};
use earlykmsg::line::Encoder;
use earlykmsg::record::Record;
use earlykmsg::record::clock::WallOffset;
use serde_json::Value;

/// 2021-11-26T16:53:15Z
pub(crate) const BOOT: WallOffset = WallOffset(1_637_945_595_000_000);

/// Any bytes become one line of JSON that fits, with the members that a decoder of another make gives them.
pub fn check(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(RECORD_BYTES_MAX)];
    for (caller, dict) in [(false, false), (true, false), (false, true), (true, true)] {
        check_with(bytes, Extra { caller, dict });
    }
}

fn check_with(bytes: &[u8], extra: Extra) {
    let record = Record::parse(bytes).unwrap_or_else(|| Record::broken(bytes));
    let mut encoder = Encoder::new(extra);
    let room = encoder.bytes_max(&record);
    assert!(room <= LINE_BYTES_MAX, "{room} bytes");
    let mut out = vec![b'~'; room];
    let len = encoder.encode(&mut out, &record, BOOT).expect("room");
    let line = &out[..len];
    assert!(!line.contains(&b'\n'), "a line holds no newline");

    let object: Value =
        serde_json::from_slice(line).unwrap_or_else(|why| panic!("{why}: {}", line.escape_ascii()));
    let mut want = Model::of(bytes);
    let members = object.as_object().expect("an object");
    let names = ["clock", "facility", "msg", "priority", "seq", "talos-level", "talos-time"];
    let mut more = Vec::new();
    if extra.caller && !want.caller.is_empty() {
        more.push(("caller".to_owned(), want.caller.clone()));
    }
    if extra.dict
        && let Some((msg, entries)) = want.entries.take()
    {
        want.msg = msg;
        more.extend(entries);
    }
    let all: Vec<&str> = names.into_iter().chain(more.iter().map(|(name, _)| name.as_str())).collect();
    assert!(members.keys().eq(&all), "{object}, not {all:?}");
    for (name, value) in more {
        assert_eq!(object[&name], value, "{}", bytes.escape_ascii());
    }
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
pub(crate) struct Model {
    pub(crate) code: u64,
    pub(crate) seq: u64,
    pub(crate) clock: u64,
    pub(crate) msg: String,
    pub(crate) caller: String,
    /// The text without its dictionary, and that.
    pub(crate) entries: Option<(String, Vec<(String, String)>)>,
    /// The text as it stands in the record, and how it is to be decoded.
    pub(crate) raw: Vec<u8>,
    coding: Coding,
}

/// How a text is to be decoded.
enum Coding {
    Plain,
    Escaped { cut: bool },
}

impl Model {
    pub(crate) fn of(bytes: &[u8]) -> Model {
        let mut fields = bytes.splitn(4, |&byte| byte == b',');
        let [code, seq, clock, rest] = [0; 4].map(|_: u8| fields.next());
        let rest = rest.and_then(|rest| Some(&rest[rest.iter().position(|&byte| byte == b';')? + 1..]));
        if let (Some(code), Some(seq), Some(clock), Some(rest)) =
            (number(code), number(seq), number(clock), rest)
        {
            let cut = bytes.len() >= RECORD_CUT_BYTES_MIN;
            let flags = bytes.splitn(4, |&byte| byte == b',').nth(3).unwrap_or_default();
            let flags = &flags[..flags.len() - rest.len() - 1];
            let caller = flags.split(|&byte| byte == b',').find_map(|piece| piece.strip_prefix(b"caller="));
            let caller = caller.map_or(&b""[..], |caller| &caller[..caller.len().min(CALLER_BYTES_MAX)]);
            return Model {
                code,
                seq,
                clock,
                msg: lossy(&unescaped(rest, cut)),
                caller: lossy(caller),
                entries: entries(rest, cut),
                raw: rest.to_vec(),
                coding: Coding::Escaped { cut },
            };
        }
        // What can be read of a broken one: a number counts only when a comma ends it.
        let whole = |field, more: Option<&[u8]>| number(field).filter(|_| more.is_some());
        let mut fields = bytes.splitn(4, |&byte| byte == b',');
        let [code, seq, clock, rest] = [0; 4].map(|_: u8| fields.next());
        let seq_read = whole(code, seq).and_then(|_| whole(seq, clock));
        let clock_read = seq_read.and_then(|_| whole(clock, rest));
        Model {
            code: 3,
            seq: seq_read.unwrap_or(0),
            clock: clock_read.unwrap_or(0),
            msg: lossy(bytes),
            caller: String::new(),
            entries: None,
            raw: bytes.to_vec(),
            coding: Coding::Plain,
        }
    }

    /// The text without its dictionary and the newline before that or at its end.
    pub(crate) fn line(&self) -> String {
        let first = self.raw.split_inclusive(|&byte| byte == b'\n').next().unwrap_or_default();
        let text = if self.entries.is_some() { first } else { &self.raw };
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        match self.coding {
            Coding::Plain => lossy(text),
            Coding::Escaped { cut } => lossy(&unescaped(text, cut)),
        }
    }

    fn facility(&self) -> String {
        let names = "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp ntp audit alert clock local0 \
                     local1 local2 local3 local4 local5 local6 local7";
        let number = self.code / 8;
        let name = usize::try_from(number).ok().and_then(|at| names.split(' ').nth(at));
        name.map_or_else(|| number.to_string(), str::to_owned)
    }
}

/// A text whose lines but for the first are all entries: ` NAME=value`. Of the same name, the first counts.
fn entries(text: &[u8], cut: bool) -> Option<(String, Vec<(String, String)>)> {
    let first = text.iter().position(|&byte| byte == b'\n')? + 1;
    let (msg, lines) = text.split_at(first);
    let mut entries: Vec<(String, String)> = Vec::new();
    let lines = lines.strip_suffix(b"\n").unwrap_or(lines);
    for line in lines.split(|&byte| byte == b'\n').filter(|_| text.len() > first) {
        let line = line.strip_prefix(b" ")?;
        let equals = line.iter().position(|&byte| byte == b'=')?;
        let name = str::from_utf8(&line[..equals]).ok()?;
        if !(1..=PARAM_NAME_BYTES_MAX).contains(&name.len())
            || name.contains(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
        {
            return None;
        }
        if entries.iter().all(|(known, _)| known != name) {
            entries.push((name.to_owned(), lossy(&unescaped(&line[equals + 1..], false))));
        }
    }
    Some((lossy(&unescaped(msg, cut)), entries))
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
pub(crate) fn lossy(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
    }
    text
}
