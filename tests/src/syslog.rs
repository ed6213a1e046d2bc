//! Syslog messages as the JSON objects that say the same: what judges the one judges the other.

use earlykmsg_fuzz::rfc5424::Message;
use serde_json::{Map, Value};

use crate::json::REPORT;
use crate::record::{FACILITIES, LEVELS, PRIORITIES};

/// The element that has what JSON has and the header has not.
pub const ELEMENT: &str = "earlykmsg@32473";

/// The object that says what a message says. A dictionary stands behind the text, as in JSON.
///
/// # Errors
/// What is wrong with the message.
pub fn json(bytes: &[u8]) -> Result<Value, String> {
    let message = Message::parse(bytes)?;
    let mut params: Vec<(String, String)> = message.element(ELEMENT).ok_or("no element of ours")?.to_vec();
    let mut take = |name: &str| {
        let at = params.iter().position(|(own, _)| own == name)?;
        Some(params.remove(at).1)
    };
    let seq: u64 = take("seq").and_then(|seq| seq.parse().ok()).ok_or("no seq")?;
    let clock: u64 = take("clock").and_then(|clock| clock.parse().ok()).ok_or("no clock")?;
    let facility = take("facility").unwrap_or_else(|| FACILITIES[usize::from(message.facility)].to_owned());
    let report = take(REPORT);
    check_meta(&message, seq, clock)?;
    let (dictionary, more): (Vec<_>, Vec<_>) = params.into_iter().partition(|(name, _)| is_of_kernel(name));
    let lines: String = dictionary.iter().map(|(name, value)| format!(" {name}={value}\n")).collect();
    let severity = usize::from(message.severity);
    let members: [(&str, Value); 7] = [
        ("clock", clock.into()),
        ("facility", facility.into()),
        ("msg", format!("{}\n{lines}", message.msg).into()),
        ("priority", PRIORITIES[severity].into()),
        ("seq", seq.into()),
        ("talos-level", LEVELS[severity].into()),
        ("talos-time", message.timestamp.into()),
    ];
    let members = members.map(|(name, value)| (name.to_owned(), value)).into_iter();
    let report = report.map(|kind| (REPORT.to_owned(), kind.into()));
    let more = more.into_iter().map(|(name, value)| (name, value.into()));
    Ok(Value::Object(members.chain(report).chain(more).collect::<Map<_, _>>()))
}

/// The bytes of that object; of a message that is none, the message.
pub fn as_json(bytes: Vec<u8>) -> Vec<u8> {
    json(&bytes).map_or(bytes, |object| object.to_string().into_bytes())
}

/// What the header and the element `meta` say must be what the element of ours says.
fn check_meta(message: &Message, seq: u64, clock: u64) -> Result<(), String> {
    let sequence_id = (seq % 2_147_483_647 + 1).to_string();
    let up_time = ((clock / 10_000) as u32).to_string();
    let meta = |name| message.param("meta", name);
    if meta("sequenceId") != Some(&sequence_id) || meta("sysUpTime") != Some(&up_time) {
        return Err(format!("meta says something else than seq {seq}, clock {clock}"));
    }
    if message.msgid.is_some() || message.data.len() != 2 {
        return Err("more than there is to say".to_owned());
    }
    Ok(())
}

/// Whether a parameter is one of the kernel's dictionary: the tags of the tests have no such names.
fn is_of_kernel(name: &str) -> bool {
    name.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
}
