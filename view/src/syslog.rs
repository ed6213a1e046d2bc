//! What a syslog message of earlykmsg says (RFC 5424): what a JSON object has as members stands in the structured data.

use crate::record::{Level, Record};

/// The names of facilities, in the order of their numbers.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];

/// The structured data that earlykmsg writes.
const OWN_DATA: &str = "earlykmsg@32473";

/// Reads a message; none if earlykmsg did not write it.
pub(crate) fn parse(bytes: &[u8]) -> Option<Record> {
    let message = String::from_utf8_lossy(bytes);
    let (priority, rest) = message.strip_prefix('<')?.split_once(">1 ")?;
    let priority: u8 = priority.parse().ok().filter(|priority| *priority <= 191)?;
    let mut fields = rest.splitn(6, ' ');
    let (time, host) = (fields.next()?, fields.next()?);
    let (_app, _process, _kind) = (fields.next()?, fields.next()?, fields.next()?);
    let (data, msg) = structured_data(fields.next()?)?;
    let known = |text: &str| (text != "-").then(|| text.to_owned());
    let mut record = Record {
        seq: 0,
        clock: 0,
        facility: FACILITIES[usize::from(priority >> 3)].to_owned(),
        level: Level::of_priority(priority),
        msg: msg.strip_prefix('\u{feff}').unwrap_or(msg).to_owned(),
        time: known(time).unwrap_or_default(),
        report: None,
        pstore: None,
        tags: Vec::new(),
    };
    let (mut seq, mut clock) = (None, None);
    for (name, value) in data {
        match &*name {
            "seq" => seq = value.parse().ok(),
            "clock" => clock = value.parse().ok(),
            "facility" => record.facility = value,
            "earlykmsg" => record.report = Some(value),
            "pstore" => record.pstore = Some(value),
            _ => record.tags.push((name, value)),
        }
    }
    (record.seq, record.clock) = (seq?, clock?);
    if let Some(host) = known(host).filter(|_| record.tag("hostname").is_none()) {
        record.tags.push(("hostname".to_owned(), host));
    }
    Some(record)
}

/// Names and values.
type Parameters = Vec<(String, String)>;

/// The parameters of our own element, and the text behind all elements.
fn structured_data(text: &str) -> Option<(Parameters, &str)> {
    let mut own = None;
    let mut rest = text;
    while let Some(element) = rest.strip_prefix('[') {
        let end = element.find([' ', ']'])?;
        let (parameters, behind) = element_parameters(&element[end..])?;
        if &element[..end] == OWN_DATA {
            own = Some(parameters);
        }
        rest = behind;
    }
    let msg = rest.strip_prefix(' ').or_else(|| rest.is_empty().then_some(rest))?;
    Some((own?, msg))
}

/// ` NAME="VALUE" NAME="VALUE"]`, and what is behind it. A `"`, `\` or `]` in a value has a `\` before it.
fn element_parameters(mut rest: &str) -> Option<(Parameters, &str)> {
    let mut parameters = Parameters::new();
    while let Some(parameter) = rest.strip_prefix(' ') {
        let (name, quoted) = parameter.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => match characters.next()?.1 {
                    escaped @ ('"' | '\\' | ']') => value.push(escaped),
                    other => value.extend(['\\', other]),
                },
                (_, character) => value.push(character),
            }
        };
        parameters.push((name.to_owned(), value));
        rest = &quoted[end + 1..];
    }
    Some((parameters, rest.strip_prefix(']')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message() {
        let text = r#"<12>1 2021-11-26T16:53:21.252819Z node1 - - - [meta sequenceId="712" sysUpTime="625"][earlykmsg@32473 seq="711" clock="6252819" boot="a\]\"\\b"] one
 SUBSYSTEM=pci
"#;
        let record = parse(text.as_bytes()).unwrap();
        assert_eq!((record.seq, record.clock, record.level.name()), (711, 6_252_819, "warning"));
        assert_eq!((&*record.facility, record.lines()), ("user", vec!["one"]));
        assert_eq!((record.tag("boot"), record.tag("hostname")), (Some("a]\"\\b"), Some("node1")));
        assert_eq!(record.time, "2021-11-26T16:53:21.252819Z");
    }

    #[test]
    fn reports_and_unknown_facilities() {
        let text = r#"<14>1 - - - - - [earlykmsg@32473 seq="10" clock="1" facility="31" earlykmsg="lost" pstore="p"]"#;
        let record = parse(text.as_bytes()).unwrap();
        assert_eq!((&*record.facility, record.report.as_deref()), ("31", Some("lost")));
        assert_eq!((record.pstore.as_deref(), &*record.msg, record.tags.len()), (Some("p"), "", 0));
    }

    #[test]
    fn what_is_none() {
        for text in [
            "<13>1 - - - - - - of another program",
            "<192>1 - - - - - [earlykmsg@32473 seq=\"1\" clock=\"1\"] x",
            "<13>1 - - - - - [earlykmsg@32473 seq=\"1\"] x",
            "<13>1 - - - - - [earlykmsg@32473 seq=\"1\" clock=\"1\"]x",
            "<13>1 - - - - - [earlykmsg@32473 seq=\"1\" clock=\"1",
            "<13>1 - -",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
