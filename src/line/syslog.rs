//! Messages of RFC 5424.
//!
//! ```text
//! <30>1 2021-11-26T16:53:21.252819Z node7 systemd 1 - [meta _][earlykmsg@32473 _] systemd[1]: Hello.
//!  |  |  TIMESTAMP                  |     |       | |  STRUCTURED-DATA             MSG: the whole text
//!  |  VERSION                       |     APP-NAME| MSGID
//!  PRI: facility and level          HOSTNAME      PROCID
//! ```
//!
//! MSG has neither the record's final newline nor its dictionary, whose entries are parameters here. `earlykmsg@32473`
//! holds all that JSON has and the header has not: `seq`, `clock`, a facility that syslog does not know, caller,
//! dictionary, tags. (32473 is the number that RFC 5612 sets aside for those who have none.)

use super::writer::{Escaping, Writer};
use super::{Line, Members};
use crate::limits::{APP_NAME_BYTES_MAX, PARAM_NAME_BYTES_MAX, PROCID_BYTES_MAX};
use crate::record::{Body, KERN, Record, USER};
use crate::text::split_once;

/// Facilities from here on are not syslog's.
const FACILITIES: u64 = 24;
/// `sequenceId` begins with 1 again behind its greatest value.
const SEQUENCE_ID_MAX: u64 = 2_147_483_647;
/// `sysUpTime` is a number of 32 bits.
const UP_TIMES: u64 = 1 << 32;
/// `sysUpTime` counts hundredths of a second.
const UP_TIME_US: u64 = 10_000;
/// A field that has no value.
const NIL: &[u8] = b"-";

/// Writes the message of a record.
pub(super) fn write(out: &mut Writer<'_>, line: &Line<'_>) -> Option<()> {
    let Line { record, time, hostname, .. } = line;
    let is_known = record.facility < FACILITIES;
    let facility = if is_known { record.facility } else { USER };
    out.push_array(b"<")?;
    out.push_number(facility * 8 + u64::from(record.level.number()))?;
    out.push_array(b">1 ")?;
    out.push(time)?;
    out.push_array(b" ")?;
    out.push_short(if hostname.is_empty() { NIL } else { hostname })?;
    out.push_array(b" ")?;
    let (name, process) = sender(record);
    out.push_short(name)?;
    out.push_array(b" ")?;
    out.push_short(process)?;
    out.push_array(b" - [meta sequenceId=\"")?;
    out.push_number(record.seq % SEQUENCE_ID_MAX + 1)?;
    out.push_array(b"\" sysUpTime=\"")?;
    out.push_number(record.clock_us / UP_TIME_US % UP_TIMES)?;
    out.push_array(b"\"][earlykmsg@32473 seq=\"")?;
    out.push_number(record.seq)?;
    out.push_array(b"\" clock=\"")?;
    out.push_number(record.clock_us)?;
    out.push_array(b"\"")?;
    if !is_known {
        out.push_array(b" facility=\"")?;
        out.push_number(record.facility)?;
        out.push_array(b"\"")?;
    }
    write_members(out, line)?;
    out.push(line.tags.text())?;
    out.push_array(b"] ")?;
    out.push_body(without_newline(record.body), &Escaping::NONE)
}

/// The parameters that not every message has, before the tags.
fn write_members(out: &mut Writer<'_>, line: &Line<'_>) -> Option<()> {
    let Members { own, caller, dictionary } = line.members;
    if let Some((name, value)) = own {
        write_param(out, name.as_bytes(), Body::Plain(value.as_bytes()))?;
    }
    if let Some(caller) = caller
        && !line.tags.has("caller")
    {
        write_param(out, b"caller", Body::Plain(caller))?;
    }
    for (name, value) in dictionary.entries().filter(|(name, _)| !line.tags.has(name)) {
        write_param(out, name.as_bytes(), value)?;
    }
    Some(())
}

/// One more parameter, with the space before it.
pub(super) fn write_param(out: &mut Writer<'_>, name: &[u8], value: Body<'_>) -> Option<()> {
    out.push_array(b" ")?;
    out.push_short(name)?;
    out.push_array(b"=\"")?;
    out.push_body(value, &Escaping::PARAM)?;
    out.push_array(b"\"")
}

/// Whether a parameter may have this name.
pub(super) fn is_param_name(name: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'=' | b']' | b'"');
    (1..=PARAM_NAME_BYTES_MAX).contains(&name.len()) && name.iter().all(is_allowed)
}

/// Who wrote a record, APP-NAME and PROCID: the kernel, or a program that begins its text with its name, as in
/// `systemd[1]: …` or `dracut: …`.
fn sender<'a>(record: &Record<'a>) -> (&'a [u8], &'a [u8]) {
    if record.facility == KERN {
        return (b"kernel", NIL);
    }
    let text = record.body.bytes();
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
    // One byte more than a name may have: a longer one ends in the middle of a word.
    let longest = text.iter().take(APP_NAME_BYTES_MAX + 1);
    let (name, rest) =
        text.split_at_checked(longest.take_while(|byte| is_of_name(byte)).count()).unwrap_or_default();
    if !(1..=APP_NAME_BYTES_MAX).contains(&name.len()) {
        return (NIL, NIL);
    }
    if rest.starts_with(b": ") {
        return (name, NIL);
    }
    match rest.strip_prefix(b"[").and_then(|rest| split_once(rest, b']')) {
        Some((process, [b':', ..])) if is_process(process) => (name, process),
        _ => (NIL, NIL),
    }
}

/// Whether this is the number of a process.
fn is_process(text: &[u8]) -> bool {
    (1..=PROCID_BYTES_MAX).contains(&text.len()) && text.iter().all(u8::is_ascii_digit)
}

/// A text without the newline by which the kernel ends it.
fn without_newline(body: Body<'_>) -> Body<'_> {
    let trim = |text| <[u8]>::strip_suffix(text, b"\n").unwrap_or(text);
    match body {
        Body::Escaped { text, cut } => Body::Escaped { text: trim(text), cut },
        Body::Plain(text) => Body::Plain(trim(text)),
    }
}
