//! The program's own lines about records that never came or may be unread.

use earlykmsg::config::Extra;
use earlykmsg::config::endpoint::{Format, Transport};
use earlykmsg::limits::LOST_LINE_BYTES_MAX;
use earlykmsg::line::{Encoder, Fate, Loss};
use earlykmsg::record::clock::WallOffset;
use serde_json::Value;

use crate::Input;
use crate::rfc5424::{Message, take_counted};

/// Any range at any time becomes one line of JSON that fits and names the range.
pub fn check(bytes: &[u8]) {
    let mut input = Input(bytes);
    let numbers = (|| Some((input.u64()?, input.u64()?, input.u64()?, input.i64()?)))();
    let Some((one, other, clock_us, wall)) = numbers else { return };
    let (from, to) = (one.min(other), one.max(other));
    let count = (to - from).saturating_add(1);
    let records = if count == 1 { "1 record".to_owned() } else { format!("{count} records") };
    let (encoder, wall) = (&mut Encoder::new(Extra::default()), WallOffset(wall));

    let mut out = [b'~'; LOST_LINE_BYTES_MAX];
    let why = "the kernel log buffer was overwritten before they could be sent";
    let len = Loss { from, to, fate: Fate::Lost { why } }
        .encode(encoder, &mut out, clock_us, wall)
        .expect("it fits");
    let words = format!("earlykmsg: lost {records}, seq {from}-{to}: {why}\n");
    line(&out[..len], from, clock_us, &words, "lost");

    let mut out = [b'~'; LOST_LINE_BYTES_MAX];
    let len = Loss { from, to, fate: Fate::PossiblyLost }
        .encode(encoder, &mut out, clock_us, wall)
        .expect("it fits");
    let words = format!("earlykmsg: {records}, seq {from}-{to}, possibly lost: sent, but perhaps not read\n");
    line(&out[..len], from, clock_us, &words, "possibly-lost");

    // As syslog, with its length before it.
    encoder.set_format(Format::Syslog, Transport::Tcp);
    let loss = Loss { from, to, fate: Fate::Lost { why } };
    let len = loss.encode(encoder, &mut out, clock_us, wall).expect("it fits");
    let message = take_counted(&mut &out[..len]).expect("a count").expect("a whole message");
    let message = Message::parse(message).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!((message.facility, message.severity), (1, 4));
    assert_eq!(message.app_name.as_deref(), Some("earlykmsg"));
    assert_eq!(message.msg, format!("earlykmsg: lost {records}, seq {from}-{to}: {why}"));
    let param = |name| message.param("earlykmsg@32473", name);
    let (seq, clock) = (from.to_string(), clock_us.to_string());
    assert_eq!((param("seq"), param("clock")), (Some(&seq[..]), Some(&clock[..])));
    assert_eq!(param("earlykmsg"), Some("lost"));
}

fn line(line: &[u8], seq: u64, clock_us: u64, msg: &str, kind: &str) {
    assert!(line.len() < LOST_LINE_BYTES_MAX, "{} bytes and a newline", line.len());
    let object: Value = serde_json::from_slice(line).expect("JSON");
    assert_eq!((&object["seq"], &object["clock"]), (&seq.into(), &clock_us.into()));
    assert_eq!((&object["msg"], &object["earlykmsg"]), (&msg.into(), &kind.into()));
    assert_eq!((&object["facility"], &object["priority"]), (&"user".into(), &"warning".into()));
}
