//! The kernel's command line.

use earlykmsg::config::cmdline::{Arguments, Cmdline};
use earlykmsg::config::{Linger, Options};
use earlykmsg::limits::{
    CMDLINE_BYTES, DESTINATIONS_MAX, LINGER_SECONDS_MAX, MESSAGE_BYTES_MAX, PATH_BYTES_MAX,
};
use earlykmsg::text::Quoted;

/// Arguments are those that the kernel's own parser finds, and of a line that is too long all but the last one; whatever
/// they say, the options keep within their bounds, and every message fits into the kernel's log.
pub fn check(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(CMDLINE_BYTES)];
    if !bytes.contains(&0) {
        let want = kernel(bytes);
        assert_eq!(arguments(bytes), want, "{}", bytes.escape_ascii());
        assert_eq!(Cmdline::new(bytes).complete, bytes);

        let too_long = [&[b' '; CMDLINE_BYTES], &b"-"[..], bytes].concat();
        let cmdline = Cmdline::new(&too_long);
        let cut = cmdline.cut.expect("it is too long");
        assert_eq!([cmdline.complete, cut.0].concat(), too_long);
        assert_eq!(arguments(cut.0).len(), 1, "{}", bytes.escape_ascii());
        let want = kernel(&too_long);
        assert_eq!(arguments(cmdline.complete), want[..want.len() - 1], "{}", bytes.escape_ascii());
        fits(&cut.to_string());
    }

    let mut options = Options::none();
    options.read(bytes, &mut |problem| {
        let message = problem.to_string();
        fits(&message);
        assert!(message.starts_with(&Quoted(problem.name).to_string()), "{message}");
    });

    assert!(options.destinations.len() <= DESTINATIONS_MAX);
    assert!(options.wants_watcher() || options.destinations.is_empty());
    for (at, destination) in options.destinations.iter().enumerate() {
        assert!(!options.destinations[..at].contains(destination), "{destination} is there twice");
    }
    if let Linger::Seconds(seconds) = options.linger {
        assert!(seconds <= LINGER_SECONDS_MAX);
    }
    if let Some(path) = options.init {
        assert!(path.starts_with(b"/") && path.len() <= PATH_BYTES_MAX && !path.contains(&0));
    }

    // A later argument over an earlier one: the same line twice says nothing new.
    let twice = [bytes, b" ", bytes].concat();
    if bytes.iter().filter(|&&byte| byte == b'"').count().is_multiple_of(2) {
        let mut again = Options::none();
        again.read(&twice, &mut |_| {});
        assert_eq!(again.destinations, options.destinations);
        assert_eq!((again.level, again.init, again.linger), (options.level, options.init, options.linger));
    }
}

/// A message that the kernel's log takes as a whole.
fn fits(message: &str) {
    assert!("earlykmsg: ".len() + message.len() < MESSAGE_BYTES_MAX, "{} bytes: {message}", message.len());
    assert!(message.chars().all(|c| matches!(c, ' '..='~' | '…')), "{message}");
}

fn arguments(cmdline: &[u8]) -> Vec<Argument> {
    Arguments(cmdline).map(|argument| (argument.name.to_vec(), argument.value.map(<[u8]>::to_vec))).collect()
}

type Argument = (Vec<u8>, Option<Vec<u8>>);

/// The arguments by the kernel's `next_arg`, put into Rust line by line: it cuts a text in place with NULs.
fn kernel(cmdline: &[u8]) -> Vec<Argument> {
    let is_space = |byte| matches!(byte, b'\t'..=b'\r' | b' ' | 0xa0);
    let mut text = [cmdline, b"\0"].concat();
    let skip_spaces =
        |text: &[u8], from: usize| from + text[from..].iter().take_while(|&&b| is_space(b)).count();
    let until_nul =
        |text: &[u8], from: usize| text[from..].split(|&b| b == 0).next().unwrap_or_default().to_vec();

    let mut arguments = Vec::new();
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
        arguments.push((until_nul(&text, param), value.map(|from| until_nul(&text, from))));
        args = skip_spaces(&text, args);
    }
    arguments
}
