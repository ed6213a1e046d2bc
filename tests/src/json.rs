//! What a receiver may expect of every line, and the program's own words about losses.

use core::ops::RangeInclusive;

use jiff::Timestamp;
use serde_json::Value;

/// The names of a plain object, in order.
pub const MEMBERS: [&str; 7] = ["clock", "facility", "msg", "priority", "seq", "talos-level", "talos-time"];

/// What a report of lost records has behind these: see [`report`].
pub const REPORT: &str = "earlykmsg";

/// Reads one line and checks all that holds for every line: valid JSON, the seven members in their order, one more for a
/// report, no white space between them, a well-formed time.
#[track_caller]
pub fn checked(line: &[u8]) -> Value {
    checked_with(line, &[])
}

/// As [`checked`], with members of these names behind, in this order.
#[track_caller]
pub fn checked_with(line: &[u8], more: &[&str]) -> Value {
    let object = any(line);
    let names: Vec<&str> = object.as_object().expect("an object").keys().map(String::as_str).collect();
    let of_report = object.get(REPORT).map(|_| REPORT);
    let want: Vec<&str> = MEMBERS.into_iter().chain(of_report).chain(more.iter().copied()).collect();
    assert_eq!(names, want, "members of {}", String::from_utf8_lossy(line));
    object
}

/// As [`checked`], with any members behind.
#[track_caller]
pub fn any(line: &[u8]) -> Value {
    read(line).unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(line)))
}

/// As [`any`], of what may be wrong.
///
/// # Errors
/// What is.
pub fn read(line: &[u8]) -> Result<Value, String> {
    let object: Value = serde_json::from_slice(line).map_err(|why| format!("no JSON, {why}"))?;
    let members = object.as_object().ok_or("no object")?;
    if !members.keys().take(MEMBERS.len()).eq(MEMBERS) {
        return Err("not the seven members in order".to_owned());
    }
    if between(line).any(|b| b.is_ascii_whitespace()) {
        return Err("white space between members".to_owned());
    }
    if between(line).filter(|&b| b == b',').count() + 1 != members.len() {
        return Err("a member twice".to_owned());
    }
    if let Some(name) = ["clock", "seq"].into_iter().find(|name| !object[name].is_u64()) {
        return Err(format!("{name} is no number"));
    }
    if let Some((name, _)) =
        members.iter().find(|(name, text)| !["clock", "seq"].contains(&&***name) && !text.is_string())
    {
        return Err(format!("{name} is no text"));
    }
    read_time(&object)?;
    if object.get(REPORT).is_some() {
        if members.keys().nth(MEMBERS.len()).map(String::as_str) != Some(REPORT) {
            return Err(format!("{REPORT} is not the first of the others"));
        }
        read_report(&object)?;
    }
    Ok(object)
}

/// When `talos-time` says that it was.
#[track_caller]
pub fn time(object: &Value) -> Timestamp {
    read_time(object).unwrap_or_else(|why| panic!("{why}: {object}"))
}

/// The same of what may be none; its form is Go's RFC3339Nano.
fn read_time(object: &Value) -> Result<Timestamp, String> {
    let text = object["talos-time"].as_str().ok_or("no time")?;
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let fraction = shape.strip_prefix("0000-00-00T00:00:00").and_then(|rest| rest.strip_suffix('Z'));
    let fraction = fraction.ok_or_else(|| format!("time {text}"))?;
    let digits = fraction.strip_prefix('.').unwrap_or_default();
    let are_digits = (1..=9).contains(&digits.len()) && digits.bytes().all(|digit| digit == b'0');
    if !fraction.is_empty() && !are_digits {
        return Err(format!("fraction of {text}"));
    }
    if !fraction.is_empty() && text.ends_with("0Z") {
        return Err(format!("zeros not cut: {text}"));
    }
    text.parse().map_err(|why| format!("time {text}: {why}"))
}

/// The object without its `talos-time`.
pub fn timeless(mut object: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.shift_remove("talos-time");
    }
    object
}

/// The sequence number.
#[track_caller]
pub fn seq(object: &Value) -> u64 {
    object["seq"].as_u64().unwrap_or_else(|| panic!("no seq: {object}"))
}

/// The text.
#[track_caller]
pub fn msg(object: &Value) -> &str {
    object["msg"].as_str().unwrap_or_else(|| panic!("no msg: {object}"))
}

/// The range that an object of the program reports as lost, or possibly lost. Whatever a record says, it is none.
#[track_caller]
pub fn report(object: &Value) -> Option<RangeInclusive<u64>> {
    read_report(object).unwrap_or_else(|why| panic!("{why}: {object}"))
}

fn read_report(object: &Value) -> Result<Option<RangeInclusive<u64>>, String> {
    let Some(kind) = object.get(REPORT) else { return Ok(None) };
    let text = msg(object);
    let range = reported(text).ok_or("a report without a range")?;
    let of_text = if text.starts_with("earlykmsg: lost ") { "lost" } else { "possibly-lost" };
    if kind != of_text {
        return Err("a report whose text says something else".to_owned());
    }
    if seq(object) != *range.start() {
        return Err("a report with another number than its first".to_owned());
    }
    Ok(Some(range))
}

/// Whether an object of the program reports records as lost.
pub fn is_lost(object: &Value) -> bool {
    object.get(REPORT).is_some_and(|kind| kind == "lost")
}

/// The range that a text reports as lost or possibly lost, whoever wrote it: `earlykmsg: lost N records, seq A-B: why`
/// or `earlykmsg: N records, seq A-B, possibly lost: sent, but perhaps not read`, with `1 record` for one.
/// None when the count does not fit the range.
pub fn reported(text: &str) -> Option<RangeInclusive<u64>> {
    let rest = text.trim_end().strip_prefix("earlykmsg: ")?;
    let lost = rest.starts_with("lost ");
    let rest = rest.strip_prefix("lost ").unwrap_or(rest);
    let (count, rest) = rest.split_once(" record")?;
    let plural = if count == "1" { "" } else { "s" };
    let rest = rest.strip_prefix(plural)?.strip_prefix(", seq ")?;
    let (range, rest) = rest.split_once(if lost { ':' } else { ',' })?;
    if !lost && !rest.contains("possibly lost") {
        return None;
    }
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let in_range = last.checked_sub(first)?.checked_add(1)?;
    (count.parse() == Ok(in_range)).then_some(first..=last)
}

/// The number of records that a text of the program says are not acknowledged:
/// `earlykmsg: URL: N records, seq A-B, not acknowledged by the receiver`.
pub fn unconfirmed(text: &str) -> Option<u64> {
    let (before, after) = text.trim_end().strip_prefix("earlykmsg: ")?.split_once(" record")?;
    let count = before.rsplit(' ').next()?.parse().ok()?;
    after.contains("not acknowledged").then_some(count)
}

/// The bytes that stand between texts: an object's members are texts and numbers.
fn between(line: &[u8]) -> impl Iterator<Item = u8> {
    let (mut inside, mut escaped) = (false, false);
    line.iter().copied().filter(move |&b| {
        match (inside, b) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => inside = !inside,
            _ => {}
        }
        !inside
    })
}
