//! The kernel's command line.

use earlykmsg::cmdline::{Options, Split};
use earlykmsg::lifetime::Linger;
use earlykmsg::limits::{
    CMDLINE_BYTES, DESTINATIONS_MAX, LINGER_SECONDS_MAX, PATH_BYTES_MAX, WORDS_BYTES_MAX,
};

use crate::said;

/// Words are those that the kernel's own parser finds; whatever they say, the options keep within their bounds, and
/// every message fits into the kernel's log.
pub fn check(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(CMDLINE_BYTES)];
    if !bytes.contains(&0) {
        let ours = Split(bytes).map(|word| (word.name.to_vec(), word.value.map(<[u8]>::to_vec)));
        assert_eq!(ours.collect::<Vec<_>>(), kernel(bytes), "{}", bytes.escape_ascii());
    }

    let mut options = Options::none();
    options.read(bytes, &mut |problem| {
        let told = said(problem);
        assert!("earlykmsg: ".len() + told.len() < WORDS_BYTES_MAX, "{} bytes: {told}", told.len());
        assert!(told.chars().all(|c| matches!(c, ' '..='~' | '…')), "{told}");
        assert!(told.as_bytes().starts_with(problem.name), "{told}");
    });

    assert!(options.destinations.len() <= DESTINATIONS_MAX);
    assert!(options.wanted || options.destinations.is_empty());
    for (at, destination) in options.destinations.iter().enumerate() {
        assert!(!options.destinations[..at].contains(destination), "{} is there twice", said(*destination));
    }
    if let Linger::Seconds(seconds) = options.linger {
        assert!(seconds <= LINGER_SECONDS_MAX);
    }
    if let Some(path) = options.init {
        assert!(path.starts_with(b"/") && path.len() <= PATH_BYTES_MAX && !path.contains(&0));
    }

    // A later word over an earlier one: the same line twice says nothing new.
    let twice = [bytes, b" ", bytes].concat();
    if bytes.iter().filter(|&&byte| byte == b'"').count().is_multiple_of(2) {
        let mut again = Options::none();
        again.read(&twice, &mut |_| {});
        assert_eq!(again.destinations, options.destinations);
        assert_eq!((again.level, again.init, again.linger), (options.level, options.init, options.linger));
    }
}

type Word = (Vec<u8>, Option<Vec<u8>>);

/// The words by the kernel's `next_arg`, put into Rust line by line: it cuts a text in place with NULs.
fn kernel(cmdline: &[u8]) -> Vec<Word> {
    let is_space = |byte| matches!(byte, b'\t'..=b'\r' | b' ' | 0xa0);
    let mut text = [cmdline, b"\0"].concat();
    let skip_spaces =
        |text: &[u8], from: usize| from + text[from..].iter().take_while(|&&b| is_space(b)).count();
    let until_nul =
        |text: &[u8], from: usize| text[from..].split(|&b| b == 0).next().unwrap_or_default().to_vec();

    let mut words = Vec::new();
    let mut args = skip_spaces(&text, 0);
    while text[args] != 0 {
        let quoted = text[args] == b'"';
        let mut in_quote = quoted;
        args += usize::from(quoted);
        let (mut i, mut equals) = (0, 0);
        while text[args + i] != 0 && (in_quote || !is_space(text[args + i])) {
            if equals == 0 && text[args + i] == b'=' {
                equals = i;
            }
            in_quote ^= text[args + i] == b'"';
            i += 1;
        }
        let param = args;
        let mut value = None;
        if equals != 0 {
            text[args + equals] = 0;
            let mut from = args + equals + 1;
            if text[from] == b'"' {
                from += 1;
                if text[args + i - 1] == b'"' {
                    text[args + i - 1] = 0;
                }
            }
            value = Some(from);
        }
        if quoted && i > 0 && text[args + i - 1] == b'"' {
            text[args + i - 1] = 0;
        }
        let more = text[args + i] != 0;
        text[args + i] = 0;
        args += i + usize::from(more);
        words.push((until_nul(&text, param), value.map(|from| until_nul(&text, from))));
        args = skip_spaces(&text, args);
    }
    words
}
