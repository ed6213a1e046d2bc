//! What a command line says about pstore: `earlykmsg.pstore=`, and what else matters to the program that reads it.

use core::fmt::{self, Display};

use super::Problem;
use super::cmdline::{Argument, Arguments};
use super::endpoint::{Endpoint, Transport};
use crate::text::as_str;

/// What is done with what pstore kept of earlier boots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// It is shipped, and stays where it is.
    Read,
    /// It is shipped, and removed once every TCP destination has it.
    Clear,
}

/// The words that matter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PstoreWords {
    /// `earlykmsg.pstore=`; none: it is left alone.
    pub mode: Option<Mode>,
    /// Modules are loaded that may be a driver of pstore: `earlykmsg.modules=`.
    pub loads_modules: bool,
    /// A destination can say what it has.
    pub has_tcp: bool,
}

/// What is wrong with `earlykmsg.pstore=`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WrongMode;

impl PstoreWords {
    /// Reads a whole command line; of `earlykmsg.pstore=` the last one counts.
    pub fn read<'a>(cmdline: &'a [u8], report: &mut dyn FnMut(Problem<'a, WrongMode>)) -> PstoreWords {
        let mut words = PstoreWords { mode: None, loads_modules: false, has_tcp: false };
        for Argument { name, value } in Arguments(cmdline) {
            match (as_str(name), value) {
                ("earlykmsg.pstore", Some(b"read")) => words.mode = Some(Mode::Read),
                ("earlykmsg.pstore", Some(b"clear")) => words.mode = Some(Mode::Clear),
                ("earlykmsg.pstore", Some(value)) => {
                    report(Problem { name, value, reason: WrongMode });
                }
                ("earlykmsg.modules", Some(names)) => {
                    words.loads_modules = !matches!(names, b"auto" | b"none");
                }
                ("talos.logging.kernel" | "earlykmsg.to", Some(url)) => words.has_tcp |= is_tcp(url),
                // What an init script named.
                (_, None) => words.has_tcp |= is_tcp(name),
                _ => {}
            }
        }
        words
    }
}

fn is_tcp(url: &[u8]) -> bool {
    Endpoint::parse(url).is_ok_and(|endpoint| endpoint.transport == Transport::Tcp)
}

impl Display for WrongMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be read or clear; what pstore has is left alone")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn read(cmdline: &str) -> (PstoreWords, Vec<String>) {
        let mut said = Vec::new();
        let words = PstoreWords::read(cmdline.as_bytes(), &mut |problem| said.push(problem.to_string()));
        (words, said)
    }

    #[test]
    fn words() {
        for (cmdline, mode, loads_modules, has_tcp) in [
            ("quiet", None, false, false),
            ("earlykmsg.pstore=read talos.logging.kernel=udp://h:1", Some(Mode::Read), false, false),
            ("earlykmsg.pstore=read earlykmsg.pstore=clear tcp://h:1", Some(Mode::Clear), false, true),
            ("earlykmsg.to=syslog+tcp://h:1/ earlykmsg.to=udp://h:1 earlykmsg.pstore", None, false, true),
            ("earlykmsg.modules=ramoops earlykmsg.pstore=\"read\"", Some(Mode::Read), true, false),
            ("earlykmsg.modules=auto tcp://h", None, false, false),
            ("earlykmsg.modules=none", None, false, false),
        ] {
            assert_eq!(
                read(cmdline),
                (PstoreWords { mode, loads_modules, has_tcp }, Vec::new()),
                "{cmdline}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_said_and_left_out() {
        let (words, said) = read("earlykmsg.pstore=read earlykmsg.pstore=erase earlykmsg.pstore=");
        assert_eq!(words.mode, Some(Mode::Read));
        let must = "must be read or clear; what pstore has is left alone";
        assert_eq!(
            said,
            [std::format!("earlykmsg.pstore=erase: {must}"), std::format!("earlykmsg.pstore=: {must}")]
        );
    }
}
