//! Where the parts of a stream begin and end.
//!
//! Over TCP an object is a line; datagrams that socat prints follow each other without a line end; a connection that
//! breaks leaves half an object, directly before the first of the next connection. Each byte is looked at once.

use core::mem;

/// A part of a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// A JSON object, as far as its braces tell.
    Object(Vec<u8>),
    /// A syslog message: counted in octets (RFC 6587), or a line of its own.
    Message(Vec<u8>),
    /// Anything else, without its line end.
    Other {
        /// Its bytes, at most [`SHOWN_BYTES_MAX`].
        bytes: Vec<u8>,
        /// There were more.
        is_cut: bool,
    },
}

/// The longest part. A record makes a line of at most 50 KB, and tags make it longer.
pub const FRAME_BYTES_MAX: usize = 256 * 1024;

/// How much of what is no record is kept to be shown.
pub const SHOWN_BYTES_MAX: usize = 1024;

/// How an object of earlykmsg begins. Within an object these bytes stand nowhere else: quotes in texts are escaped. Where
/// they come, what stood before is a broken part.
const START: &[u8] = b"{\"clock\":";

/// Takes bytes as they come and gives the parts that are complete.
#[derive(Debug, Default)]
pub struct Framer {
    /// The part at hand.
    buffer: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// In a line, or before one.
    #[default]
    Line,
    Object {
        depth: usize,
        text: InText,
    },
    /// In a syslog message of which so many bytes are to come.
    Counted {
        left: usize,
    },
    /// In a part that is too long.
    TooLong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InText {
    No,
    Yes,
    Escape,
}

impl Framer {
    /// Takes bytes, and appends what is complete to `frames`.
    pub fn push(&mut self, bytes: &[u8], frames: &mut Vec<Frame>) {
        for &byte in bytes {
            self.take(byte, frames);
        }
    }

    /// The stream is at its end: what is incomplete is given as it is.
    pub fn finish(&mut self, frames: &mut Vec<Frame>) {
        self.end_line(frames);
    }

    fn take(&mut self, byte: u8, frames: &mut Vec<Frame>) {
        if let State::Counted { left } = self.state {
            return self.take_counted(byte, left, frames);
        }
        if byte == b'\n' {
            return self.end_line(frames);
        }
        self.buffer.push(byte);
        if byte == b':' && self.buffer.ends_with(START) {
            return self.start_object(frames);
        }
        match self.state {
            State::Line if byte == b'{' && self.buffer.len() == 1 => {
                self.state = State::Object { depth: 1, text: InText::No };
            }
            State::Line if byte == b'<' => self.start_counted(),
            State::Object { depth, text } => self.take_of_object(byte, depth, text, frames),
            _ => {}
        }
        self.bound(frames);
    }

    fn take_of_object(&mut self, byte: u8, depth: usize, text: InText, frames: &mut Vec<Frame>) {
        let (depth, text) = match (text, byte) {
            (InText::No, b'{') => (depth + 1, InText::No),
            (InText::No, b'}') => (depth - 1, InText::No),
            (InText::No, b'"') | (InText::Escape, _) => (depth, InText::Yes),
            (InText::Yes, b'"') => (depth, InText::No),
            (InText::Yes, b'\\') => (depth, InText::Escape),
            _ => (depth, text),
        };
        self.state = State::Object { depth, text };
        if depth == 0 {
            self.state = State::Line;
            frames.push(Frame::Object(mem::take(&mut self.buffer)));
        }
    }

    /// An object of earlykmsg has begun, perhaps behind what has no end.
    fn start_object(&mut self, frames: &mut Vec<Frame>) {
        let before = self.buffer.len() - START.len();
        let start = self.buffer.split_off(before);
        // What is too long was told already.
        if !matches!(self.state, State::TooLong) {
            self.give_other(frames);
        }
        self.buffer = start;
        self.state = State::Object { depth: 1, text: InText::No };
    }

    /// A `<`: what stands before it may count the octets of a message.
    fn start_counted(&mut self) {
        let [digits @ .., b' ', b'<'] = &self.buffer[..] else { return };
        let is_count = digits.len() <= 6 && digits.first().is_some_and(|first| (b'1'..=b'9').contains(first));
        let count = str::from_utf8(digits).ok().filter(|_| is_count).and_then(|text| text.parse().ok());
        if let Some(count @ 1..=FRAME_BYTES_MAX) = count {
            self.buffer.drain(..self.buffer.len() - 1);
            self.state = State::Counted { left: count - 1 };
        }
    }

    fn take_counted(&mut self, byte: u8, left: usize, frames: &mut Vec<Frame>) {
        if !could_be_header(&self.buffer, byte) {
            // No message, whatever the number before it says.
            self.state = State::Line;
            return self.take(byte, frames);
        }
        self.buffer.push(byte);
        self.state = State::Counted { left: left.saturating_sub(1) };
        if left <= 1 {
            self.state = State::Line;
            frames.push(Frame::Message(mem::take(&mut self.buffer)));
        }
    }

    fn end_line(&mut self, frames: &mut Vec<Frame>) {
        match mem::take(&mut self.state) {
            State::TooLong => self.buffer.clear(),
            State::Line if is_header(&self.buffer) => {
                frames.push(Frame::Message(mem::take(&mut self.buffer)));
            }
            _ => self.give_other(frames),
        }
    }

    /// Ends a part that is too long, and passes over the rest of its line.
    fn bound(&mut self, frames: &mut Vec<Frame>) {
        if matches!(self.state, State::TooLong) {
            // No more than is needed to see the start of an object.
            if self.buffer.len() > 4096 {
                self.buffer.drain(..self.buffer.len() - START.len());
            }
        } else if self.buffer.len() > FRAME_BYTES_MAX {
            self.give_other(frames);
            self.state = State::TooLong;
        }
    }

    /// Gives what is at hand as what it is: no record.
    fn give_other(&mut self, frames: &mut Vec<Frame>) {
        let bytes = mem::take(&mut self.buffer);
        frames.extend(other(bytes));
    }
}

/// Bytes that are no record; none if there is nothing to show.
pub(crate) fn other(mut bytes: Vec<u8>) -> Option<Frame> {
    if bytes.trim_ascii().is_empty() {
        return None;
    }
    let is_cut = bytes.len() > SHOWN_BYTES_MAX;
    bytes.truncate(SHOWN_BYTES_MAX);
    if bytes.ends_with(b"\r") {
        bytes.pop();
    }
    Some(Frame::Other { bytes, is_cut })
}

/// Whether a line begins as RFC 5424 has it: `<PRI>1 `.
fn is_header(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"<") else { return false };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (1..=3).contains(&digits) && rest[digits..].starts_with(b">1 ")
}

/// The longest beginning that [`is_header`] looks at: `<191>1 `.
const HEADER_BYTES_MAX: usize = 7;

/// Whether a message that begins so, and goes on with this byte, can have that beginning.
fn could_be_header(begun: &[u8], next: u8) -> bool {
    if begun.len() >= HEADER_BYTES_MAX {
        return true;
    }
    let line = [begun, &[next]].concat();
    let digits = line[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = &line[1 + digits..];
    let ends_so = if rest.len() < 3 { b">1 ".starts_with(rest) } else { rest.starts_with(b">1 ") };
    digits <= 3 && ends_so && (digits > 0 || rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(bytes: &[u8]) -> Vec<Frame> {
        let (mut framer, mut frames) = (Framer::default(), Vec::new());
        framer.push(bytes, &mut frames);
        framer.finish(&mut frames);
        frames
    }

    fn object(text: &str) -> Frame {
        Frame::Object(text.as_bytes().to_vec())
    }

    fn message(text: &str) -> Frame {
        Frame::Message(text.as_bytes().to_vec())
    }

    fn cut_off(text: &str) -> Frame {
        Frame::Other { bytes: text.as_bytes().to_vec(), is_cut: false }
    }

    const ONE: &str = r#"{"clock":1,"msg":"a } \" \\"}"#;

    #[test]
    fn lines_and_what_has_no_line_ends() {
        let two = r#"{"boot":{"id":"x"}}"#;
        assert_eq!(frames(format!("{ONE}\n\r\n{two}\n").as_bytes()), [object(ONE), object(two)]);
        assert_eq!(frames(format!("{ONE}{two} {ONE}").as_bytes())[..2], [object(ONE), object(two)]);
        assert_eq!(frames(format!("{ONE}{ONE}").as_bytes()), [object(ONE), object(ONE)]);
        assert_eq!(frames(b"hello\r\n\n  \nworld"), [cut_off("hello"), cut_off("world")]);
    }

    #[test]
    fn a_broken_object_costs_no_other() {
        for end in 1..ONE.len() {
            let broken = &ONE[..end];
            for between in ["", "\n"] {
                let all = frames(format!("{broken}{between}{ONE}\n").as_bytes());
                assert_eq!(all, [cut_off(broken), object(ONE)], "{broken}");
            }
        }
        let garbage = r#"}}"{\"#;
        assert_eq!(frames(format!("{garbage}{ONE}").as_bytes()), [cut_off(garbage), object(ONE)]);
    }

    #[test]
    fn what_is_too_long_is_cut() {
        for start in ["x", "{", "{\"a\":\"", "{\"clock\":\"", "<13>1 "] {
            let long = format!("{start}{}", "y".repeat(3 * FRAME_BYTES_MAX));
            for between in ["", "\n"] {
                let all = frames(format!("{long}{between}{ONE}\nend").as_bytes());
                let Frame::Other { bytes, is_cut: true } = &all[0] else { panic!("{:?}", all[0]) };
                assert_eq!(bytes[..], long.as_bytes()[..SHOWN_BYTES_MAX]);
                assert_eq!(all[1..], [object(ONE), cut_off("end")], "{start}");
            }
        }
    }

    #[test]
    fn syslog_messages() {
        let one = "<13>1 - - - - - - text\n next line\n";
        let counted = format!("{} {one}", one.len());
        assert_eq!(frames(format!("{counted}{counted}").as_bytes()), [message(one), message(one)]);
        assert_eq!(frames(format!("{counted}\n{ONE}").as_bytes()), [message(one), object(ONE)]);
        assert_eq!(
            frames(b"<191>1 - - - - - - text\n<1>2 x"),
            [message("<191>1 - - - - - - text"), cut_off("<1>2 x")]
        );
        // A number before a `<` counts nothing unless a message follows.
        for line in ["12 <b>", "1 <", "99999 <13> {}", "99999 <1234>1 ", "0 <13>1 x", "9 <>1 "] {
            assert_eq!(frames(format!("{line}\n{ONE}").as_bytes()).last(), Some(&object(ONE)), "{line}");
        }
    }

    #[test]
    fn however_the_bytes_come() {
        let one = "<13>1 - - - - - - text\n";
        let stream = format!("{ONE}\nx{ONE}{{\"clock\":{} {one}{ONE}hello\n", one.len());
        let whole = frames(stream.as_bytes());
        for size in 1..20 {
            let (mut framer, mut parts) = (Framer::default(), Vec::new());
            stream.as_bytes().chunks(size).for_each(|part| framer.push(part, &mut parts));
            framer.finish(&mut parts);
            assert_eq!(parts, whole);
        }
    }
}
