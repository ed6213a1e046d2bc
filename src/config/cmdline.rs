//! The kernel's command line, split into arguments as the kernel's own parser splits it.

use core::fmt::{self, Display};

use crate::limits::{CMDLINE_BYTES, QUOTED_BYTES_MAX};
use crate::text::Quoted;

/// A command line as far as it was read.
#[derive(Clone, Copy, Default, Debug)]
pub struct Cmdline<'a> {
    /// The arguments that were read to their end.
    pub complete: &'a [u8],
    /// The argument that was not. It must not be believed: `:5044` may have become `:50`.
    pub cut: Option<CutArgument<'a>>,
}

/// The beginning of an argument that was not read to its end. Displays as the whole message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CutArgument<'a>(pub &'a [u8]);

impl<'a> Cmdline<'a> {
    /// Takes what was read, from a buffer with room for more than [`CMDLINE_BYTES`]: when there is more, the last
    /// argument may be cut.
    pub fn new(read: &'a [u8]) -> Cmdline<'a> {
        if read.len() <= CMDLINE_BYTES {
            return Cmdline { complete: read, cut: None };
        }
        let mut arguments = Arguments(read);
        let mut last = read;
        loop {
            let rest = trim_start(arguments.0);
            if arguments.next().is_none() {
                break;
            }
            last = rest;
        }
        Cmdline { complete: read.strip_suffix(last).unwrap_or_default(), cut: Some(CutArgument(last)) }
    }
}

impl Display for CutArgument<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = Quoted(&self.0[..self.0.len().min(QUOTED_BYTES_MAX)]);
        write!(f, "the kernel command line is longer than {CMDLINE_BYTES} bytes; ")?;
        write!(f, "{shown}… and all words behind it are left out")
    }
}

/// An argument of a command line: `name=value` or a bare `name`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Argument<'a> {
    /// All before the first `=`.
    pub name: &'a [u8],
    /// All after it; none where there is no `=`.
    pub value: Option<&'a [u8]>,
}

/// The arguments of a command line. Double quotes protect white space; those around a whole argument or a whole value
/// are no part of it.
#[derive(Clone, Debug)]
pub struct Arguments<'a>(pub &'a [u8]);

impl<'a> Iterator for Arguments<'a> {
    type Item = Argument<'a>;

    fn next(&mut self) -> Option<Argument<'a>> {
        let (text, is_quoted) = match trim_start(self.0) {
            [] => return None,
            [b'"', text @ ..] => (text, true),
            text => (text, false),
        };
        let mut in_quotes = is_quoted;
        let end = text.iter().position(|&byte| {
            in_quotes ^= byte == b'"';
            is_space(byte) && !in_quotes
        });
        let (argument, rest) = end.and_then(|end| text.split_at_checked(end)).unwrap_or((text, b""));
        self.0 = rest;
        // An `=` at the start belongs to the name.
        let equals = argument.iter().skip(1).position(|&byte| byte == b'=');
        Some(match equals.and_then(|at| argument.split_at_checked(at + 1)) {
            Some((name, [_, b'"', value @ ..])) => Argument { name, value: Some(until_quote(value)) },
            Some((name, [_, value @ ..])) if is_quoted => Argument { name, value: Some(until_quote(value)) },
            Some((name, [_, value @ ..])) => Argument { name, value: Some(value) },
            _ if is_quoted => Argument { name: until_quote(argument), value: None },
            _ => Argument { name: argument, value: None },
        })
    }
}

/// A quoted text without the quote at its end, which may be missing.
fn until_quote(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\"").unwrap_or(text)
}

/// A text without the white space before it.
fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_space(*first)
    {
        text = rest;
    }
    text
}

/// White space as the kernel has it, Latin-1's no-break space included.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | 0xa0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[track_caller]
    fn check_words(cmdline: &str, want: &[(&str, Option<&str>)]) {
        let got: std::vec::Vec<_> = Arguments(cmdline.as_bytes()).collect();
        let want: std::vec::Vec<_> =
            want.iter().map(|(n, v)| Argument { name: n.as_bytes(), value: v.map(str::as_bytes) }).collect();
        assert_eq!(got, want, "{cmdline:?}");
    }

    #[test]
    fn words_are_split_as_the_kernel_does() {
        check_words("", &[]);
        check_words(" \t\n", &[]);
        check_words("a b=c  d=e=f\n", &[("a", None), ("b", Some("c")), ("d", Some("e=f"))]);
        check_words("a= =b", &[("a", Some("")), ("=b", None)]);
        check_words("a=\"b c\" d", &[("a", Some("b c")), ("d", None)]);
        check_words("\"a=b c\" d", &[("a", Some("b c")), ("d", None)]);
        check_words("\"a b\" c", &[("a b", None), ("c", None)]);
        check_words("a=b\" \"c", &[("a", Some("b\" \"c"))]);
        check_words("a=\"b c", &[("a", Some("b c"))]);
        check_words("a=\"", &[("a", Some(""))]);
        check_words("\"", &[("", None)]);
        check_words("a=\"\" b", &[("a", Some("")), ("b", None)]);
    }

    /// Port 5044 must not become 50.
    #[test]
    fn a_word_that_was_cut_is_left_out() {
        let url = "talos.logging.kernel=tcp://10.0.0.1:5044/";
        let quoted = "\"talos.logging.kernel=tcp://10.0.0.1:5044/ and more\"";
        for word in [url, quoted, "quiet"] {
            for kept in 1..=word.len() {
                let before = format!("quiet {} ", "x".repeat(CMDLINE_BYTES - "quiet  ".len() + 1 - kept));
                let line = format!("{before}{word} init=/x");
                let read = &line.as_bytes()[..=CMDLINE_BYTES];
                let cmdline = Cmdline::new(read);
                assert_eq!(cmdline.complete, before.as_bytes(), "{kept}");
                assert_eq!(cmdline.cut, Some(CutArgument(&word.as_bytes()[..kept])), "{kept}");
            }
        }
        let full = [b'x'; CMDLINE_BYTES];
        assert!(Cmdline::new(&full).cut.is_none());
        assert_eq!(Cmdline::new(&full).complete, full);
        let one_word = [b'x'; CMDLINE_BYTES + 1];
        assert!(Cmdline::new(&one_word).complete.is_empty());
        let message = CutArgument(url.as_bytes()).to_string();
        let want = format!(
            "the kernel command line is longer than 8192 bytes; {url}… and all words behind it are left out"
        );
        assert_eq!(message, want);
    }

    #[test]
    fn spaces_where_it_was_cut() {
        let line = format!("quiet ro{}", " ".repeat(CMDLINE_BYTES));
        let cmdline = Cmdline::new(&line.as_bytes()[..=CMDLINE_BYTES]);
        assert_eq!(cmdline.complete, b"quiet ");
        assert!(Cmdline::new(&[b' '; CMDLINE_BYTES + 1]).complete.is_empty());
    }
}
