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

use super::Line;
use super::writer::{Escaping, Writer};
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
    line.each_member(&mut |name, value| write_param(out, name.as_bytes(), value))?;
    line.tags.write(out, line.members.is_of_earlier_boot)?;
    out.push_array(b"] ")?;
    out.push_body(without_newline(record.body), Escaping::None)
}

/// A tag, with the space before it. `None` too when a parameter cannot have its name.
pub(super) fn write_tag(out: &mut Writer<'_>, name: &[u8], value: Body<'_>) -> Option<()> {
    let is_allowed = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'=' | b']' | b'"');
    let is_name = (1..=PARAM_NAME_BYTES_MAX).contains(&name.len()) && name.iter().all(is_allowed);
    if is_name { write_param(out, name, value) } else { None }
}

/// One more parameter, with the space before it.
fn write_param(out: &mut Writer<'_>, name: &[u8], value: Body<'_>) -> Option<()> {
    out.push_array(b" ")?;
    out.push_short(name)?;
    out.push_array(b"=\"")?;
    out.push_body(value, Escaping::Param)?;
    out.push_array(b"\"")
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
    if !(1..=APP_NAME_BYTES_MAX).contains(&name.len()) || name == NIL {
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

#[cfg(test)]
mod tests {
    use super::super::rfc5424::Message;
    use super::super::{Encoder, Fate, Loss};
    use super::*;
    use crate::config::Extra;
    use crate::config::endpoint::{Format, Transport};
    use crate::config::tags::{Fact, Facts};
    use crate::limits::{
        LOST_LINE_BYTES_MAX, OCTET_COUNT_BYTES_MAX, RECORD_BYTES_MAX, SYSLOG_LINE_BYTES_MAX, TAGS_BYTES_MAX,
    };
    use crate::record::clock::WallOffset;
    use crate::testing::Random;
    use std::format;
    use std::string::{String, ToString};
    use std::vec;
    use std::vec::Vec;

    /// 2021-11-26T16:53:15Z, the boot time of the golden records.
    const BOOT: WallOffset = WallOffset(1_637_945_595_000_000);

    fn encoder(extra: Extra, tags: &str, hostname: &[u8]) -> Encoder {
        let mut facts = Facts::NONE;
        facts.set(Fact::Hostname, hostname);
        let mut encoder = Encoder::NONE;
        encoder.set_format(Format::Syslog, Transport::Udp);
        encoder.set(extra, [tags.as_bytes(), b""], &facts);
        encoder
    }

    /// The message of a record, in exactly as many bytes as it may take at most.
    fn encode(encoder: &mut Encoder, bytes: &[u8]) -> String {
        let record = Record::parse(bytes).unwrap_or_else(|| Record::broken(bytes));
        let mut out = vec![0; encoder.bytes_max(&record)];
        let len = encoder.encode(&mut out, &record, BOOT).expect("room");
        out.truncate(len);
        String::from_utf8(out).expect("UTF-8")
    }

    fn message(encoder: &mut Encoder, bytes: &[u8]) -> Message {
        let text = encode(encoder, bytes);
        Message::parse(text.as_bytes()).unwrap_or_else(|why| panic!("{why}: {text}"))
    }

    #[track_caller]
    fn check(record: &str, want: &str) {
        assert_eq!(encode(&mut encoder(Extra::default(), "", b"node7"), record.as_bytes()), want);
    }

    #[test]
    fn whole_messages() {
        check(
            "30,711,6252819,-;systemd[1]: Hello.\n",
            "<30>1 2021-11-26T16:53:21.252819Z node7 systemd 1 - [meta sequenceId=\"712\" sysUpTime=\"625\"]\
             [earlykmsg@32473 seq=\"711\" clock=\"6252819\"] systemd[1]: Hello.",
        );
        check(
            "4,8,500000,c;pci 0000:00:02.0: BAR\\x09\\xc3\\xa9\\xff\n SUBSYSTEM=pci\n DEVICE=+pci:\"]\\x5c\n",
            "<4>1 2021-11-26T16:53:15.5Z node7 kernel - - [meta sequenceId=\"9\" sysUpTime=\"50\"]\
             [earlykmsg@32473 seq=\"8\" clock=\"500000\" SUBSYSTEM=\"pci\" DEVICE=\"+pci:\\\"\\]\\\\\"] pci 0000:00:02.0: \
             BAR\t\u{e9}\u{fffd}",
        );
        check(
            "2046,1,0,-;x: \n",
            "<14>1 2021-11-26T16:53:15Z node7 x - - [meta sequenceId=\"2\" sysUpTime=\"0\"][earlykmsg@32473 seq=\"1\" \
             clock=\"0\" facility=\"255\"] x: ",
        );
        check(
            "no record: at all\n",
            "<3>1 2021-11-26T16:53:15Z node7 kernel - - [meta sequenceId=\"1\" sysUpTime=\"0\"][earlykmsg@32473 seq=\"0\" \
             clock=\"0\"] no record: at all",
        );
    }

    #[test]
    fn numbers_begin_anew() {
        let meta = |seq: u64, clock_us: u64| {
            let record = format!("6,{seq},{clock_us},-;x\n");
            let message = message(&mut encoder(Extra::default(), "", b""), record.as_bytes());
            let param =
                |name| message.param("meta", name).and_then(|number| number.parse::<u64>().ok()).unwrap();
            (param("sequenceId"), param("sysUpTime"))
        };
        assert_eq!(meta(0, 9_999), (1, 0));
        assert_eq!(meta(2_147_483_646, 10_000), (2_147_483_647, 1));
        assert_eq!(meta(2_147_483_647, 42_949_672_959_999), (1, 4_294_967_295));
        assert_eq!(meta(u64::MAX, 42_949_672_960_000), (u64::MAX % 2_147_483_647 + 1, 0));
    }

    #[test]
    fn names_of_machines() {
        let hostname =
            |name: &[u8]| message(&mut encoder(Extra::default(), "", name), b"6,1,2,-;x\n").hostname;
        assert_eq!(hostname(b"node7.example"), Some("node7.example".to_string()));
        for unknown in [&b""[..], b"two words", b"n\xc3\xa9", b"-"] {
            assert_eq!(hostname(unknown), None, "{unknown:?}");
        }
    }

    #[test]
    fn senders() {
        let check = |text: &str, want: (&str, &str)| {
            let message =
                message(&mut encoder(Extra::default(), "", b""), format!("14,1,2,-;{text}\n").as_bytes());
            let field = |field: Option<String>| field.unwrap_or("-".to_string());
            assert_eq!((&field(message.app_name)[..], &field(message.procid)[..]), want, "{text}");
            assert_eq!(message.msg, text);
        };
        check("systemd[1]: x", ("systemd", "1"));
        check("dracut-pre-udev[312]:x", ("dracut-pre-udev", "312"));
        check("earlykmsg: x", ("earlykmsg", "-"));
        check("postfix/smtp_d.2[12345678901234567890]: x", ("postfix/smtp_d.2", "12345678901234567890"));
        for none in [
            "",
            ":",
            ": x",
            "[1]: x",
            "[talos] x: y",
            "x",
            "x:",
            "x:y",
            "x y: z",
            "x[1] y",
            "x[1]",
            "x[]: y",
            "x[a]: y",
            "x[1: y",
            "(x)[1]: y",
            "\u{e9}: y",
            "x[123456789012345678901]: y",
            "-: x",
            "-[1]: x",
        ] {
            // An escape in a record stands for a byte, and is no part of a name.
            let escaped = none.replace('\u{e9}', "\\xc3\\xa9");
            let bytes = format!("14,1,2,-;{escaped}\n");
            let message = message(&mut encoder(Extra::default(), "", b""), bytes.as_bytes());
            assert_eq!((message.app_name, message.procid, &message.msg[..]), (None, None, none), "{none}");
        }
        check(&format!("{}: x", "a".repeat(48)), (&"a".repeat(48), "-"));
        check(&format!("{}: x", "a".repeat(49)), ("-", "-"));
        let kernel = message(&mut encoder(Extra::default(), "", b""), b"6,1,2,-;systemd[1]: x\n");
        assert_eq!((kernel.app_name, kernel.procid), (Some("kernel".to_string()), None));
    }

    /// The newline of the kernel goes, one of the text stays.
    #[test]
    fn the_end_of_a_text() {
        let msg = |text: &str| {
            message(&mut encoder(Extra::default(), "", b""), format!("14,1,2,-;{text}").as_bytes()).msg
        };
        for (text, want) in [
            ("x\n", "x"),
            ("x", "x"),
            ("", ""),
            ("\n", ""),
            ("x\\x0a\n", "x\n"),
            ("x\n\n", "x\n"),
            ("x\\\n", "x"),
        ] {
            assert_eq!(msg(text), want, "{text:?}");
        }
        let no_dictionary = format!("x\n {}=1", "A".repeat(PARAM_NAME_BYTES_MAX + 1));
        assert_eq!(msg(&format!("{no_dictionary}\n")), no_dictionary);
    }

    /// Tags, caller and dictionary, with what would end a value, and the names that cannot be.
    #[test]
    fn parameters() {
        let extra = Extra { caller: true, dict: false };
        let long = "n".repeat(PARAM_NAME_BYTES_MAX);
        let tags = format!(
            "q=%22]%5c{{hostname}},two words=1,a]b=1,a%22=1,\u{e9}=1,a\"b=1,{long}=1,{long}n=1,DEVICE=tag"
        );
        let record = b"6,1,2,-,caller=C1\"];x\n SUBSYSTEM=a\\x22b\n DEVICE=gone\n";
        let message = message(&mut encoder(extra, &tags, b"h"), record);
        let left_out = |format| {
            let mut encoder = Encoder::NONE;
            encoder.set_format(format, Transport::Udp);
            encoder.set(extra, [tags.as_bytes(), b"x y=1"], &Facts::NONE)
        };
        assert_eq!((left_out(Format::Syslog), left_out(Format::Json)), (6, 0));
        let want = [
            ("seq", "1"),
            ("clock", "2"),
            ("caller", "C1\"]"),
            ("SUBSYSTEM", "a\"b"),
            ("q", "\"]\\h"),
            ("a%22", "1"),
            (&long, "1"),
            ("DEVICE", "tag"),
        ];
        let got = message.element("earlykmsg@32473").expect("the element");
        assert!(got.iter().map(|(name, value)| (&name[..], &value[..])).eq(want), "{got:?}");
    }

    #[test]
    fn reports_of_losses_have_a_parameter_of_their_own() {
        let mut out = [0; LOST_LINE_BYTES_MAX];
        let mut encoder = encoder(Extra { caller: true, dict: true }, "site=a", b"node7");
        let loss = Loss { from: 7, to: 11, fate: Fate::Lost { why: "the ring was overwritten" } };
        let len = loss.encode(&mut encoder, &mut out, 1_000_000, BOOT).unwrap();
        assert_eq!(
            core::str::from_utf8(&out[..len]).unwrap(),
            "<12>1 2021-11-26T16:53:16Z node7 earlykmsg - - [meta sequenceId=\"8\" sysUpTime=\"100\"][earlykmsg@32473 \
             seq=\"7\" clock=\"1000000\" earlykmsg=\"lost\" site=\"a\"] earlykmsg: lost 5 records, seq 7-11: the ring was \
             overwritten"
        );
    }

    /// With the most of everything it fits, with its length before it.
    #[test]
    fn the_longest_report_fits() {
        let tag = format!("n={}", "x".repeat(TAGS_BYTES_MAX - " n=\"\"".len()));
        let mut encoder = encoder(Extra::default(), &tag, &[b'h'; 64]);
        encoder.set_format(Format::Syslog, Transport::Tcp);
        let mut out = [0; LOST_LINE_BYTES_MAX];
        let loss = Loss { from: 0, to: u64::MAX, fate: Fate::Lost { why: "w".repeat(100).leak() } };
        assert!(loss.encode(&mut encoder, &mut out, u64::MAX, BOOT).is_some());
    }

    /// Whatever stands in a record, its message has no parameter `earlykmsg`.
    #[test]
    fn no_record_can_look_like_a_report() {
        let mut encoder = encoder(Extra { caller: true, dict: true }, "earlykmsg=lost", b"node7");
        for record in [
            "12,7,1,-;earlykmsg: lost 5 records, seq 7-11: the ring was overwritten\n",
            "12,7,1,-;x\n earlykmsg=lost\n",
            "12,7,1,-,caller=\"] earlykmsg,earlykmsg=lost;x\n A=\" earlykmsg=\"lost\n",
            "12,7,1,-;[earlykmsg@32473 earlykmsg=\"lost\"] x\n",
        ] {
            assert_eq!(message(&mut encoder, record.as_bytes()).param("earlykmsg@32473", "earlykmsg"), None);
        }
    }

    /// The worst that a record can be, with the most that can be asked for.
    #[test]
    fn the_largest_record_fits() {
        let tag = format!("n={}", "x".repeat(TAGS_BYTES_MAX - " n=\"\"".len()));
        let number = u64::MAX.to_string();
        let prefix = format!("{number},{number},{number},-,caller={};", "\u{1}".repeat(20));
        let sender = format!("{}[{}]: ", "a".repeat(48), "1".repeat(20));
        for fill in [&b"\\xff"[..], b"\xff", b"\"", b"\\x", b"x", b"\n A=\xff", b"\n A=\"", b"\n A="] {
            for begin in [String::new(), prefix.clone(), format!("{prefix}{sender}")] {
                let mut bytes = begin.into_bytes();
                while bytes.len() + fill.len() < RECORD_BYTES_MAX {
                    bytes.extend_from_slice(fill);
                }
                bytes.resize(RECORD_BYTES_MAX - 1, b'"');
                bytes.push(b'\n');
                let mut encoder = encoder(Extra { caller: true, dict: true }, &tag, &[b'h'; 64]);
                let line = encode(&mut encoder, &bytes);
                assert!(line.len() + OCTET_COUNT_BYTES_MAX <= SYSLOG_LINE_BYTES_MAX + OCTET_COUNT_BYTES_MAX);
                let message = Message::parse(line.as_bytes()).unwrap_or_else(|why| panic!("{why}: {line}"));
                assert!(message.param("earlykmsg@32473", "n").is_some());
            }
        }
    }

    /// Where there is too little room nothing is written, and the caller learns that.
    #[test]
    fn what_does_not_fit_is_told() {
        let record = Record::parse(b"12,711,6252819,-;text\n").unwrap();
        let mut encoder = encoder(Extra::default(), "a=b", b"node7");
        let mut out = [0; 512];
        let len = encoder.encode(&mut out, &record, BOOT).expect("room");
        assert_eq!(encoder.encode(&mut out[..len], &record, BOOT), Some(len));
        for room in 0..len {
            assert_eq!(encoder.encode(&mut out[..room], &record, BOOT), None, "{room}");
        }
    }

    /// Any bytes make one message that says what a record says.
    #[test]
    fn any_bytes_are_a_record() {
        let mut random = Random::new(2);
        let parts: [&[u8]; 14] = [
            b"\"] [x",
            b"\\x",
            b"\\",
            b"\"",
            b"\n ",
            b"\xe2\x80\xa8",
            b"\xf0\x9f",
            b"\\xc3\\xa9",
            b"abc[12]: ",
            b"\x00",
            b"=",
            b";",
            b"\\x0",
            b"]",
        ];
        let mut encoder = encoder(Extra { caller: true, dict: true }, "q=%22]", b"node7");
        for round in 0..30_000 {
            let (priority, seq, clock_us) =
                (random.below(300), random.bits(), random.bits() >> random.below(64));
            let mut bytes = match round % 4 {
                0 => Vec::new(),
                _ => format!("{priority},{seq},{clock_us},-;").into_bytes(),
            };
            for _ in 0..random.below(20) {
                match random.below(3) {
                    0 => bytes.push(random.byte()),
                    _ => bytes.extend_from_slice(parts[random.below(parts.len())]),
                }
            }
            let message = message(&mut encoder, &bytes);
            assert_eq!(message.param("earlykmsg@32473", "q"), Some("\"]"));
            if round % 4 == 0 {
                continue;
            }
            let facility = priority / 8;
            assert_eq!(usize::from(message.severity), priority % 8);
            assert_eq!(usize::from(message.facility), if facility < 24 { facility } else { 1 });
            let param = |name| message.param("earlykmsg@32473", name).map(ToString::to_string);
            assert_eq!((param("seq"), param("clock")), (Some(seq.to_string()), Some(clock_us.to_string())));
            assert_eq!(param("facility"), (facility > 23).then(|| facility.to_string()));
        }
    }
}
