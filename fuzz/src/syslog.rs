//! Records of the kernel's log, and the syslog messages made of them.

use earlykmsg::config::Extra;
use earlykmsg::config::endpoint::{Format, Transport};
use earlykmsg::config::tags::{Fact, Facts};
use earlykmsg::limits::{OCTET_COUNT_BYTES_MAX, RECORD_BYTES_MAX, SYSLOG_LINE_BYTES_MAX};
use earlykmsg::line::Encoder;
use earlykmsg::record::Record;

use crate::record::{BOOT, Model, lossy};
use crate::rfc5424::{Message, take_counted};

/// Tags that would do harm if they could, and one that syslog cannot name.
const TAGS: &str = "q=%22]\\%0a,two words=x,DEVICE=tag";

/// Any bytes become one message that fits and that a parser of another make understands, with what a decoder of another
/// make finds in them; the same over TCP with its length before it.
pub fn check(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(RECORD_BYTES_MAX)];
    for (caller, dict, tags) in [(false, false, ""), (true, false, TAGS), (false, true, TAGS)] {
        let extra = Extra { caller, dict };
        let datagram = encode(bytes, extra, tags, Transport::Udp);
        let stream = encode(bytes, extra, tags, Transport::Tcp);
        let mut rest = &stream[..];
        assert_eq!(take_counted(&mut rest).expect("a count"), Some(&datagram[..]));
        assert_eq!(rest, b"");
        let message =
            Message::parse(&datagram).unwrap_or_else(|why| panic!("{why}: {}", datagram.escape_ascii()));
        compare(&message, Model::of(bytes), caller, !tags.is_empty());
    }
}

fn encode(bytes: &[u8], extra: Extra, tags: &str, transport: Transport) -> Vec<u8> {
    let record = Record::parse(bytes).unwrap_or_else(|| Record::broken(bytes));
    let mut facts = Facts::NONE;
    facts.set(Fact::Hostname, b"node7");
    let mut encoder = Encoder::NONE;
    encoder.set_format(Format::Syslog, transport);
    let left_out = encoder.set(extra, [tags.as_bytes(), b""], &facts);
    assert_eq!(left_out, u64::from(!tags.is_empty()), "the one with two words");
    let room = encoder.bytes_max(&record);
    assert!(room <= SYSLOG_LINE_BYTES_MAX + OCTET_COUNT_BYTES_MAX, "{room} bytes");
    let mut out = vec![b'~'; room];
    let len = encoder.encode(&mut out, &record, BOOT).expect("room");
    out.truncate(len);
    out
}

/// `message` says what the record says.
fn compare(message: &Message, model: Model, caller: bool, tags: bool) {
    let facility = model.code / 8;
    assert_eq!(u64::from(message.severity), model.code % 8);
    assert_eq!(u64::from(message.facility), if facility < 24 { facility } else { 1 });
    assert_eq!((message.hostname.as_deref(), &message.msgid), (Some("node7"), &None));

    assert_eq!(message.msg, model.line());
    let raw = lossy(&model.raw);
    let (name, process) = if facility == 0 { (Some("kernel"), None) } else { sender(&raw) };
    assert_eq!((message.app_name.as_deref(), message.procid.as_deref()), (name, process), "{raw}");

    let sequence_id = (model.seq % 2_147_483_647 + 1).to_string();
    assert_eq!(message.param("meta", "sequenceId"), Some(&sequence_id[..]));
    let up_time = (model.clock / 10_000) as u32;
    assert_eq!(message.param("meta", "sysUpTime"), Some(&up_time.to_string()[..]));
    let mut params =
        vec![("seq".to_owned(), model.seq.to_string()), ("clock".to_owned(), model.clock.to_string())];
    if facility > 23 {
        params.push(("facility".to_owned(), facility.to_string()));
    }
    if caller && !model.caller.is_empty() {
        params.push(("caller".to_owned(), model.caller));
    }
    let (_, dictionary) = model.entries.unwrap_or_default();
    params.extend(dictionary.into_iter().filter(|(name, _)| !tags || name != "DEVICE"));
    if tags {
        params.push(("q".to_owned(), "\"]\\\n".to_owned()));
        params.push(("DEVICE".to_owned(), "tag".to_owned()));
    }
    assert_eq!(message.element("earlykmsg@32473"), Some(&params));
    assert_eq!(message.data.len(), 2);
}

/// Who wrote a text, by its beginning: `name[1]: …`, `name: …`.
fn sender(text: &str) -> (Option<&str>, Option<&str>) {
    let is_name = |name: &&str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        // A name that is nothing but a hyphen says that there is none.
        (1..=48).contains(&name.len()) && name.chars().all(is_plain) && *name != "-"
    };
    let Some((before, after)) = text.split_once(':') else { return (None, None) };
    match before.split_once('[') {
        Some((name, process)) => {
            let process = process.strip_suffix(']').filter(|process| {
                (1..=20).contains(&process.len()) && process.bytes().all(|byte| byte.is_ascii_digit())
            });
            (process.and(Some(name).filter(is_name)), process.filter(|_| is_name(&name)))
        }
        None => (Some(before).filter(is_name).filter(|_| after.starts_with(' ')), None),
    }
}
