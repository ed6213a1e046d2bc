//! Broken command lines and URLs: the exact message that each gets, as an argument and on the kernel's command
//! line. What is wrong with one word never touches the others.

use core::time::Duration;

use earlykmsg_tests::kmsg::Fake;
use earlykmsg_tests::program::Run;
use earlykmsg_tests::receiver::{Tcp, TcpBehaviour};
use earlykmsg_tests::sandbox::alone;

const WITHIN: Duration = Duration::from_secs(30);

/// A broken URL, and what is said of it after `talos.logging.kernel=URL: `.
const URLS: &[(&str, &str)] = &[
    ("syslog://10.0.0.1:514/", SCHEME),
    ("Syslog+sctp://10.0.0.1:514/", SCHEME),
    ("syslog+tcp://10.0.0.1:0/", PORT),
    ("10.0.0.1:5044", SCHEME),
    ("http://10.0.0.1:5044/", SCHEME),
    ("tls://10.0.0.1:5044", SCHEME),
    ("tcp:10.0.0.1:5044", SCHEME),
    ("://10.0.0.1:5044", SCHEME),
    ("tcp//10.0.0.1:5044", SCHEME),
    ("tcp://", "host is missing"),
    ("tcp:///", "host is missing"),
    ("tcp://:5044", "host is missing"),
    ("tcp://10.0.0.1", "port is missing"),
    ("tcp://10.0.0.1/", "port is missing"),
    ("tcp://10.0.0.1:", "port is missing"),
    ("tcp://[::1]", "port is missing"),
    ("tcp://[::1]/", "port is missing"),
    ("tcp://10.0.0.1:0", PORT),
    ("tcp://10.0.0.1:65536", PORT),
    ("tcp://10.0.0.1:99999999999999999999", PORT),
    ("tcp://10.0.0.1:+1", PORT),
    ("tcp://10.0.0.1:-1", PORT),
    ("tcp://10.0.0.1:http", PORT),
    ("tcp://10.0.0.1:50 44", "must be printable ASCII"),
    ("tcp://10.0.0.1:5044/path", "nothing but '/' may follow the port"),
    ("tcp://10.0.0.1:5044//", "nothing but '/' may follow the port"),
    ("tcp://10.0.0.1:5044/?x", "must not have a query or fragment"),
    ("tcp://10.0.0.1:5044#x", "must not have a query or fragment"),
    ("tcp://me@10.0.0.1:5044", "must not name a user"),
    ("tcp://me:secret@10.0.0.1:5044", "must not name a user"),
    ("tcp://[::1:5044", "the ']' of the IPv6 address is missing"),
    ("tcp://::1:5044", "an IPv6 address must stand in '[' and ']'"),
    ("tcp://[]:5044", "no IPv6 address between '[' and ']'"),
    ("tcp://[10.0.0.1]:5044", "no IPv6 address between '[' and ']'"),
    ("tcp://[fe80::1::2]:5044", "no IPv6 address between '[' and ']'"),
    ("tcp://[fe80::1%]:5044", ZONE),
    ("tcp://[fe80::1%abcdefghijklmnop]:5044", ZONE),
    ("tcp://256.0.0.1:5044", "host is neither an IPv4 address nor a name"),
    ("tcp://10.0.0:5044", "host is neither an IPv4 address nor a name"),
    ("tcp://10.0.0.0.1:5044", "host is neither an IPv4 address nor a name"),
    ("tcp://no-:5044", "host is not a valid name"),
    ("tcp://a..b:5044", "host is not a valid name"),
    ("tcp://-a:5044", "host is not a valid name"),
    ("tcp://caf\u{e9}:5044", "must be printable ASCII"),
    ("tcp://10.0.0.1:5044\u{1}", "must be printable ASCII"),
];
const SCHEME: &str = "scheme must be tcp:// or udp://";
const PORT: &str = "port must be a number from 1 to 65535";
const ZONE: &str = "the interface after '%' must be of 1 to 15 characters";

/// Another broken word, and what is said after it.
const WORDS: &[(&str, &str)] = &[
    ("talos.logging.kernel=syslog+tcp://10.0.0.1:514/", TALOS_SYSLOG),
    ("talos.logging.kernel=SYSLOG+UDP://10.0.0.1:514", TALOS_SYSLOG),
    ("earlykmsg.to=10.0.0.1:514", ANY_SCHEME),
    ("earlykmsg.to=syslog://10.0.0.1:514/", ANY_SCHEME),
    ("earlykmsg.to=syslog+tls://10.0.0.1:514/", ANY_SCHEME),
    ("earlykmsg.to=syslog+udp://10.0.0.1/", "port is missing; this destination is left out"),
    ("earlykmsg.level=", LEVEL),
    ("earlykmsg.level=loud", LEVEL),
    ("earlykmsg.level=ERR", LEVEL),
    ("earlykmsg.init=", INIT),
    ("earlykmsg.init=sbin/init", INIT),
    ("earlykmsg.linger=", LINGER),
    ("earlykmsg.linger=-1", LINGER),
    ("earlykmsg.linger=2m", LINGER),
    ("earlykmsg.linger=86401", LINGER),
    ("earlykmsg.linger=99999999999999999999", LINGER),
];
const TALOS_SYSLOG: &str = "Talos knows no syslog, so it needs earlykmsg.to=; this destination is left out";
const ANY_SCHEME: &str =
    "scheme must be tcp://, udp://, syslog+tcp:// or syslog+udp://; this destination is left out";
const LEVEL: &str =
    "must be one of emerg, alert, crit, err, warning, notice, info, debug; all records are shipped";
const INIT: &str = "must be an absolute path; the usual ones are tried";
const LINGER: &str = "must be a number of seconds from 0 to 86400, or forever; 120 s are taken";

/// The message for a URL that stands on a command line.
fn message(url: &str, why: &str) -> String {
    let url = url.as_bytes().escape_ascii();
    format!("talos.logging.kernel={url}: {why}; this destination is left out")
}

/// All the broken words on one command line: each has its message, once, and the good destination among
/// them is served.
#[test]
fn on_the_kernel_command_line() {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        let receiver = Tcp::new(TcpBehaviour::Reads);
        // The kernel's limit is 4,096 bytes: several lines.
        for part in URLS
            .iter()
            .map(|(url, why)| (format!("talos.logging.kernel={url}"), message(url, why)))
            .chain(WORDS.iter().map(|(word, why)| ((*word).to_owned(), format!("{word}: {why}"))))
            .filter(|(word, _)| !word.contains(' '))
            .collect::<Vec<_>>()
            .chunks(12)
        {
            let words: Vec<&str> = part.iter().map(|(word, _)| word.as_str()).collect();
            sandbox.cmdline(format!(
                "quiet {} talos.logging.kernel={} -- x\n",
                words.join(" "),
                receiver.url()
            ));
            let program = Run::fed::<&str>(&[]).start_connected();
            for (word, message) in part {
                program.says(message, WITHIN);
                let told = program.words.items().iter().filter(|line| line.contains(message)).count();
                assert_eq!(told, 1, "{word}");
            }
            let before = receiver.lines.len();
            kmsg.feed("6,1,1,-;one record\n");
            receiver.lines.wait_count(before + 1, WITHIN);
        }
    });
}

/// As the only argument there is nothing left to do: a usage error.
#[test]
fn as_an_argument() {
    alone(|sandbox| {
        let _kmsg = Fake::new(sandbox);
        for (url, why) in URLS {
            let end = Run::fed(&[url]).finish(WITHIN);
            assert_eq!(end.code, Some(64), "{url}: {:?}", end.words);
            let shown = url.as_bytes().escape_ascii();
            let why = if *why == SCHEME { ANY_SCHEME } else { why };
            let want = match url {
                url if !url.contains("://") => format!("{shown}: not an option, a word or a URL; see --help"),
                _ => format!("earlykmsg.to={shown}: {why}"),
            };
            assert!(end.said(&want), "'{want}' expected, said {:?}", end.words);
            assert!(end.words.iter().all(|line| line.starts_with("earlykmsg: ")), "{:?}", end.words);
        }
    });
}

/// Whoever starts the program by hand can correct it: one broken argument, and nothing is started.
#[test]
fn beside_a_good_argument() {
    alone(|sandbox| {
        let _kmsg = Fake::new(sandbox);
        let receiver = Tcp::new(TcpBehaviour::Reads);
        let end = Run::fed(&["tpc://10.0.0.1:5044", &receiver.url(), "earlykmsg.level=loud"]).finish(WITHIN);
        assert_eq!(end.code, Some(64), "{end:?}");
        assert!(end.said(&format!("earlykmsg.to=tpc://10.0.0.1:5044: {ANY_SCHEME}")), "{end:?}");
        assert!(end.said(&format!("earlykmsg.level=loud: {LEVEL}")), "{end:?}");
        assert!(receiver.connections.is_empty());
    });
}

/// Command lines that are no text, or none at all: no destination, so a usage error, and never a crash.
#[test]
fn command_lines_that_are_none() {
    alone(|sandbox| {
        let _kmsg = Fake::new(sandbox);
        let binary: Vec<u8> = (0..4096u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let rows: [(&str, Vec<u8>); 7] = [
            ("empty", Vec::new()),
            ("a newline", b"\n".to_vec()),
            ("quotes only", b"\"\"\" \"\" \"".to_vec()),
            ("no value", b"talos.logging.kernel= talos.logging.kernel earlykmsg.tags=\n".to_vec()),
            ("4,096 bytes of one word", vec![b'x'; 4096]),
            ("4,096 bytes of white space", vec![b' '; 4096]),
            ("4,096 bytes of anything", binary),
        ];
        for (what, cmdline) in rows {
            sandbox.cmdline(cmdline);
            let end = Run::fed::<&str>(&[]).finish(WITHIN);
            assert_eq!(end.code, Some(64), "{what}: {end:?}");
        }
    });
}

/// A command line of the greatest length: its last word counts like the first.
#[test]
fn the_last_word_of_a_long_line() {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        let receiver = Tcp::new(TcpBehaviour::Reads);
        let word = format!("talos.logging.kernel={}", receiver.url());
        sandbox.cmdline(format!("{:x<1$} {word}\n", "", 4094 - word.len()));
        let _program = Run::fed::<&str>(&[]).start_connected();
        kmsg.feed("6,1,1,-;one record\n");
        receiver.lines.wait_for("one record", WITHIN);
    });
}

/// A bootconfig makes the command line longer than what a boot loader can give.
#[test]
fn a_command_line_with_a_bootconfig() {
    alone(|sandbox| {
        let kmsg = Fake::new(sandbox);
        let receiver = Tcp::new(TcpBehaviour::Reads);
        let word = format!("talos.logging.kernel={}", receiver.url());
        sandbox.cmdline(format!("quiet {} {word} -- {}\n", "kernel.x=1 ".repeat(600), "init.x ".repeat(100)));
        let program = Run::fed::<&str>(&[]).start_connected();
        kmsg.feed("6,1,1,-;one record\n");
        receiver.lines.wait_for("one record", WITHIN);
        let words = program.words.items();
        assert!(!words.iter().any(|line| line.contains("command line is longer")), "{words:?}");
    });
}

/// Wherever a destination is cut, what is left of it is not believed.
#[test]
fn a_command_line_that_is_too_long() {
    alone(|sandbox| {
        let _kmsg = Fake::new(sandbox);
        let word = "talos.logging.kernel=tcp://127.0.0.1:5044/";
        for kept in word.len() - 6..=word.len() {
            let before = format!("quiet {} ", "x".repeat(8193 - "quiet  ".len() - kept));
            sandbox.cmdline(format!("{before}{word} {}\n", "y".repeat(100)));
            let end = Run::fed::<&str>(&[]).finish(WITHIN);
            let cut = &word[..kept];
            let said = format!(
                "earlykmsg: the kernel command line is longer than 8192 bytes; \
                 {cut}… and all words behind it are left out"
            );
            assert_eq!(end.code, Some(64), "{end:?}");
            assert_eq!(end.words[0], said);
            assert!(end.words[1].contains("no destination"), "{end:?}");
            assert_eq!(end.words.len(), 2, "{end:?}");
        }
    });
}

/// Fifty destinations: four are served, each other one is an error line.
#[test]
fn fifty_destinations() {
    alone(|sandbox| {
        let _kmsg = Fake::new(sandbox);
        let receivers: Vec<Tcp> = (0..4).map(|_| Tcp::new(TcpBehaviour::Reads)).collect();
        let mut urls: Vec<String> = receivers.iter().map(Tcp::url).collect();
        urls.extend((4..50).map(|n| format!("tcp://127.0.0.{n}:9/")));
        // Both words are counted together.
        let names = ["talos.logging.kernel", "earlykmsg.to"].into_iter().cycle();
        let words: Vec<String> = names.zip(&urls).map(|(name, url)| format!("{name}={url}")).collect();
        sandbox.cmdline(words.join(" "));
        let program = Run::fed::<&str>(&[]).start();
        for receiver in &receivers {
            receiver.connections.wait(WITHIN, "a connection", |all| all.first().map(|_| ()));
        }
        let left_out = |words: &[String]| {
            let all = words.iter().filter(|line| line.contains("only 4 destinations are served"));
            (all.count() == 46).then_some(())
        };
        program.words.wait(WITHIN, "46 messages", left_out);
        assert_eq!(program.shippers().len(), 4);
    });
}

/// Options of the program itself.
#[test]
fn wrong_options() {
    alone(|sandbox| {
        let _kmsg = Fake::new(sandbox);
        let rows: &[&[&str]] = &[
            &["--frobnicate"],
            &["-x"],
            &["--once=1", "tcp://127.0.0.1:9/"],
            &["--", "tcp://127.0.0.1:9/", "--once"],
            &[""],
            &["tcp://127.0.0.1:9/", "rubbish"],
        ];
        for arguments in rows {
            let end = Run::fed(arguments).finish(WITHIN);
            assert_eq!(end.code, Some(64), "{arguments:?}: {end:?}");
            assert!(!end.words.is_empty(), "{arguments:?} gets no words");
        }
    });
}
