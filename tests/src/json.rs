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
    let shown = String::from_utf8_lossy(line);
    let object: Value = serde_json::from_slice(line).unwrap_or_else(|why| panic!("{why}: {shown}"));
    let members = object.as_object().unwrap_or_else(|| panic!("no object: {shown}"));
    assert!(members.keys().take(MEMBERS.len()).eq(MEMBERS), "not the seven members in order: {shown}");
    assert!(!between(line).any(|b| b.is_ascii_whitespace()), "white space between members: {shown}");
    let commas = between(line).filter(|&b| b == b',').count();
    assert_eq!(commas + 1, members.len(), "a member twice: {shown}");
    time(&object);
    if object.get(REPORT).is_some() {
        assert_eq!(members.keys().nth(MEMBERS.len()).map(String::as_str), Some(REPORT), "{shown}");
        assert!(report(&object).is_some(), "no report: {shown}");
    }
    object
}

/// When `talos-time` says that it was; its form is Go's RFC3339Nano.
#[track_caller]
pub fn time(object: &Value) -> Timestamp {
    let text = object["talos-time"].as_str().unwrap_or_else(|| panic!("no time: {object}"));
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let (seconds, fraction) = shape.split_at(19.min(shape.len()));
    assert_eq!(seconds, "0000-00-00T00:00:00", "time {text}");
    let fraction = fraction.strip_suffix('Z').unwrap_or_else(|| panic!("time {text} is not UTC"));
    let digits = fraction.strip_prefix('.').unwrap_or("");
    assert!(fraction.is_empty() || (1..=9).contains(&digits.len()), "fraction of {text}");
    assert!(fraction.is_empty() || !text.ends_with("0Z"), "zeros not cut: {text}");
    text.parse().unwrap_or_else(|why| panic!("time {text}: {why}"))
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
    let kind = object.get(REPORT)?;
    let range = reported(msg(object)).unwrap_or_else(|| panic!("no range: {object}"));
    let of_text = if msg(object).starts_with("earlykmsg: lost ") { "lost" } else { "possibly-lost" };
    assert_eq!(kind, of_text, "the text says something else: {object}");
    assert_eq!(seq(object), *range.start(), "seq is that of the first: {object}");
    Some(range)
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

/// The number of records that a text of the program says are not confirmed:
/// `earlykmsg: URL: N records, seq A-B, not confirmed by the receiver`.
pub fn unconfirmed(text: &str) -> Option<u64> {
    let (before, after) = text.trim_end().strip_prefix("earlykmsg: ")?.split_once(" record")?;
    let count = before.rsplit(' ').next()?.parse().ok()?;
    after.contains("not confirmed").then_some(count)
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
