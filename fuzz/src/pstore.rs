//! Files of pstore, and the lines that are shipped of them.

use std::collections::BTreeSet;

use earlykmsg::limits::{PSTORE_BYTES_MAX, PSTORE_LABEL_BYTES_MAX, PSTORE_LINE_BYTES_MAX};
use earlykmsg::pstore::catalog::{Catalog, Kind, kind};
use earlykmsg::pstore::dump::{Header, first_line, lines};
use earlykmsg::pstore::item::{HEAD_BYTES, Item};

use crate::Input;

/// The first byte tells how many files follow; of each a byte for its time, one for the end of its name, two for its
/// length, and its content. What is shipped is the end of each file, of each once, and no line of it is another than a
/// parser of another make finds there.
pub fn check(bytes: &[u8]) {
    check_lines(bytes);
    let _ = kind(bytes);
    let mut input = Input(bytes);
    let Some(count) = input.u8() else { return };
    let mut files = Vec::new();
    for number in 0..count % 8 {
        let (Some(time), Some(name), Some(length)) = (input.u8(), input.u8(), input.u16()) else { break };
        let (content, rest) = input.0.split_at(input.0.len().min(length.into()));
        input.0 = rest;
        // Some are repeated, so that there are more bytes than are shipped.
        let times = if name % 32 == 0 { 1 + PSTORE_BYTES_MAX / 2 / content.len().max(1) } else { 1 };
        files.push((format!("dmesg-erst-{name}{number}"), i64::from(time) * 500_000, content.repeat(times)));
    }
    let mut catalog = Catalog::EMPTY;
    for (handle, (name, modified_us, content)) in files.iter().enumerate() {
        assert_eq!(kind(name.as_bytes()), Kind::Dump);
        catalog.add(handle, name.as_bytes(), content.len(), *modified_us);
    }
    let mut text = vec![b'~'; PSTORE_BYTES_MAX];
    let text = catalog.read(&mut text, |&handle, offset, buffer| {
        let rest = &files[handle].2[offset..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        length
    });
    let mut out = Vec::new();
    let said = catalog.write(text, &mut |bytes| out.extend_from_slice(bytes)).to_string();
    assert!(said.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{said}");

    let all: usize = files.iter().map(|(.., content)| content.len()).sum();
    assert_eq!(catalog.bytes_left_out, all.saturating_sub(PSTORE_BYTES_MAX));
    let whole: BTreeSet<&[u8]> = catalog.whole_files().collect();
    let (mut names, mut content, mut lines_left) = (BTreeSet::new(), &b""[..], 0);
    let mut rest = &out[..];
    while let Some(item) = Item::decode(rest) {
        rest = &rest[item.bytes()..];
        match item {
            Item::Part { origin, .. } => {
                assert_eq!(lines_left, 0, "a whole file's lines are all there");
                assert!(origin.iter().all(|&byte| matches!(byte, b' '..=b'~') && !b"\"\\]".contains(&byte)));
                assert!(origin.len() <= PSTORE_LABEL_BYTES_MAX);
                let name = origin.split(|&byte| byte == b' ').next().expect("a name");
                let file = files.iter().find(|(own, ..)| own.as_bytes() == name);
                let (name, _, all) = file.expect("a file that was given");
                assert!(names.insert(name), "{name} twice");
                content = all;
                check_lines(content);
                let has_header = Header::parse(content).part > 0;
                let all_lines = lines(content).count() - usize::from(has_header);
                lines_left = if whole.contains(name.as_bytes()) { all_lines } else { 0 };
            }
            Item::Line { clock_us, priority, text } => {
                lines_left = lines_left.saturating_sub(1);
                assert!(text.len() <= PSTORE_LINE_BYTES_MAX);
                let said = lines(content).find(|line| {
                    line.text.ends_with(text)
                        && line.priority.unwrap_or(3) == priority
                        && line.clock_us.is_none_or(|clock| clock == clock_us)
                });
                // Where a file is cut, lines begin elsewhere.
                assert!(said.is_some() || content.len() > PSTORE_BYTES_MAX / 4, "{text:?}");
            }
        }
    }
    assert!(rest.is_empty() && lines_left == 0);
    assert!(
        out.len()
            <= PSTORE_BYTES_MAX * (1 + HEAD_BYTES) + files.len() * (HEAD_BYTES + PSTORE_LABEL_BYTES_MAX)
    );
}

/// All bytes belong to one line each, and the lines are those that a model finds.
fn check_lines(text: &[u8]) {
    let (mut at, mut found) = (0, Vec::new());
    while let Some((line, length)) = first_line(&text[at..]) {
        let window = &text[at..text.len().min(at + PSTORE_LINE_BYTES_MAX)];
        assert_eq!(first_line(window), Some((line, length)), "a window shows another line");
        if let Some(line) = line {
            assert_eq!((line.priority, line.clock_us, line.text), model(&text[at..at + length]));
        }
        found.extend(line);
        at += length;
    }
    assert_eq!(at, text.len());
    assert!(lines(text).eq(found));
}

/// `<6>[    1.234567] text`, read word by word.
fn model(line: &[u8]) -> (Option<u32>, Option<u64>, &[u8]) {
    let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = |bytes: &[u8]| str::from_utf8(bytes).ok()?.parse::<u32>().ok();
    let priority = line.strip_prefix(b"<").and_then(|rest| {
        let end = digits(rest);
        (rest.get(end) == Some(&b'>')).then(|| Some((number(&rest[..end])?, &rest[end + 1..])))?
    });
    let Some((priority, text)) = priority else { return (None, None, line) };
    let stamp = text.strip_prefix(b"[").and_then(|rest| {
        let close = rest.iter().position(|&byte| byte == b']')?;
        let (time, mut after) = (&rest[..close], &rest[close + 1..]);
        let start = time.iter().position(|&byte| byte > b' ')?;
        let end = time[start..].iter().position(|&byte| byte <= b' ').map_or(time.len(), |end| start + end);
        let dot = time[start..end].iter().position(|&byte| byte == b'.')? + start;
        let (seconds, micros) = (number(&time[start..dot])?, number(&time[dot + 1..end])?);
        if time[start] == b'+' || time[dot + 1] == b'+' {
            return None;
        }
        if let Some(caller) = after.strip_prefix(b"[") {
            after = &caller[caller.iter().position(|&byte| byte == b']')? + 1..];
        }
        let text = after.strip_prefix(b" ")?;
        Some((u64::from(seconds) * 1_000_000 + u64::from(micros), text))
    });
    match stamp {
        Some((clock_us, text)) => (Some(priority), Some(clock_us), text),
        None => (Some(priority), None, text),
    }
}
