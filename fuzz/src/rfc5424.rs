//! A parser of syslog messages that takes nothing but what RFC 5424 allows, and of their octet counting (RFC 6587).

use std::borrow::ToOwned;
use std::format;
use std::string::String;
use std::vec::Vec;

/// The parameters of an element, by name.
pub type Params = Vec<(String, String)>;

/// A message, taken apart. A header field is none where it is `-`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// 0 to 23.
    pub facility: u8,
    /// 0 to 7.
    pub severity: u8,
    /// TIMESTAMP, which this program always has.
    pub timestamp: String,
    /// HOSTNAME
    pub hostname: Option<String>,
    /// APP-NAME
    pub app_name: Option<String>,
    /// PROCID
    pub procid: Option<String>,
    /// MSGID
    pub msgid: Option<String>,
    /// STRUCTURED-DATA: each element's name and parameters.
    pub data: Vec<(String, Params)>,
    /// MSG. A BOM at its beginning, which the RFC allows to mark UTF-8, is a part of the text: this program adds none.
    pub msg: String,
}

impl Message {
    /// Reads a message.
    ///
    /// # Errors
    /// What is not as the RFC has it.
    pub fn parse(bytes: &[u8]) -> Result<Message, String> {
        let mut rest = str::from_utf8(bytes).map_err(|why| format!("no UTF-8: {why}"))?;
        let priority = until(expect(&mut rest, "<")?, ">")?;
        let number: u8 = priority.parse().map_err(|_| format!("PRI {priority}"))?;
        if number > 191 || priority != format!("{number}") {
            return Err(format!("PRI {priority}"));
        }
        expect(&mut rest, "1 ")?;
        let timestamp = until(&mut rest, " ")?.to_owned();
        check_time(&timestamp)?;
        let hostname = field(&mut rest, "HOSTNAME", 255)?;
        let app_name = field(&mut rest, "APP-NAME", 48)?;
        let procid = field(&mut rest, "PROCID", 128)?;
        let msgid = field(&mut rest, "MSGID", 32)?;
        let data = structured_data(&mut rest)?;
        let msg = expect(&mut rest, " ")?.to_owned();
        let (facility, severity) = (number / 8, number % 8);
        Ok(Message { facility, severity, timestamp, hostname, app_name, procid, msgid, data, msg })
    }

    /// The parameters of an element.
    pub fn element(&self, name: &str) -> Option<&Params> {
        self.data.iter().find(|(own, _)| own == name).map(|(_, params)| params)
    }

    /// The value of a parameter.
    pub fn param(&self, element: &str, name: &str) -> Option<&str> {
        self.element(element)?.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// Takes the first message off a stream of counted ones. `None` while it is not complete.
///
/// # Errors
/// What stands there is no count.
pub fn take_counted<'a>(stream: &mut &'a [u8]) -> Result<Option<&'a [u8]>, String> {
    let Some(space) = stream.iter().take(7).position(|&byte| byte == b' ') else {
        let digits = stream.len() < 7 && stream.iter().all(u8::is_ascii_digit);
        return if digits { Ok(None) } else { Err(format!("no count: {}", stream.escape_ascii())) };
    };
    let digits = str::from_utf8(&stream[..space]).unwrap_or_default();
    let len: usize = digits.parse().map_err(|_| format!("count {digits}"))?;
    if len == 0 || digits != format!("{len}") {
        return Err(format!("count {digits}"));
    }
    let Some(message) = stream[space + 1..].get(..len) else { return Ok(None) };
    *stream = &stream[space + 1 + len..];
    Ok(Some(message))
}

/// Takes a known text.
fn expect<'a, 'b>(rest: &'b mut &'a str, text: &str) -> Result<&'b mut &'a str, String> {
    *rest = rest.strip_prefix(text).ok_or_else(|| format!("'{text}' is missing before '{rest}'"))?;
    Ok(rest)
}

/// Takes what stands before a text, and that.
fn until<'a>(rest: &mut &'a str, text: &str) -> Result<&'a str, String> {
    let (before, after) = rest.split_once(text).ok_or_else(|| format!("no '{text}' in '{rest}'"))?;
    *rest = after;
    Ok(before)
}

/// Takes a field of the header, and the space behind it.
fn field(rest: &mut &str, name: &str, bytes_max: usize) -> Result<Option<String>, String> {
    let text = until(rest, " ")?;
    if text.is_empty() || text.len() > bytes_max || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("{name} '{text}'"));
    }
    Ok((text != "-").then(|| text.to_owned()))
}

/// `2021-11-26T16:53:21.252819Z`, with up to six digits behind a point that is not there without any.
fn check_time(text: &str) -> Result<(), String> {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let fraction = shape.strip_prefix("0000-00-00T00:00:00").and_then(|rest| rest.strip_suffix('Z'));
    let is_right = match fraction.map(|fraction| fraction.strip_prefix('.').unwrap_or(fraction)) {
        Some("") => !text.contains('.'),
        Some(digits) => text.contains('.') && digits.len() <= 6 && digits.bytes().all(|digit| digit == b'0'),
        None => false,
    };
    if is_right { Ok(()) } else { Err(format!("TIMESTAMP {text}")) }
}

/// Takes the elements, of which there must be one.
fn structured_data(rest: &mut &str) -> Result<Vec<(String, Params)>, String> {
    let mut elements: Vec<(String, Params)> = Vec::new();
    while rest.starts_with('[') {
        expect(rest, "[")?;
        let name = sd_name(rest)?;
        let mut params = Params::new();
        while !rest.starts_with(']') {
            let param = sd_name(expect(rest, " ")?)?;
            let value = value(expect(rest, "=\"")?)?;
            if params.iter().any(|(known, _)| *known == param) {
                return Err(format!("{param} stands twice"));
            }
            params.push((param, value));
        }
        expect(rest, "]")?;
        if elements.iter().any(|(known, _)| *known == name) {
            return Err(format!("{name} stands twice"));
        }
        elements.push((name, params));
    }
    if elements.is_empty() { Err(format!("no STRUCTURED-DATA: '{rest}'")) } else { Ok(elements) }
}

/// Takes the name of an element or a parameter.
fn sd_name(rest: &mut &str) -> Result<String, String> {
    let end = rest.find(['=', ' ', ']', '"']).ok_or("a name without an end")?;
    let (name, after) = rest.split_at(end);
    *rest = after;
    if !(1..=32).contains(&name.len()) || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("name '{name}'"));
    }
    Ok(name.to_owned())
}

/// Takes a value and the quote behind it. What need not be escaped must not be: this program does not.
fn value(rest: &mut &str) -> Result<String, String> {
    let mut value = String::new();
    let mut chars = rest.char_indices();
    while let Some((at, character)) = chars.next() {
        match character {
            '"' => {
                *rest = &rest[at + 1..];
                return Ok(value);
            }
            ']' => return Err("a ']' without a backslash".to_owned()),
            '\\' => match chars.next() {
                Some((_, escaped @ ('"' | '\\' | ']'))) => value.push(escaped),
                other => return Err(format!("a backslash before {other:?}")),
            },
            _ => value.push(character),
        }
    }
    Err("a value without an end".to_owned())
}
