//! All words of a command line that are about the network: those that bring one up, and those by which an image is told to
//! bring it up itself.

use heapless::Vec;

use super::Problem;
use super::cmdline::{Argument, Arguments};
use super::netconsole::Netconsole;
use super::network::{Bond, Ip, Modules, NetworkError, Vlan};
use crate::limits::IP_WORDS_MAX;
use crate::text::as_str;

/// The words that can be read.
#[derive(Clone, Debug)]
pub struct NetworkWords<'a> {
    /// `earlykmsg.ip=`
    pub ip: Vec<Ip<'a>, IP_WORDS_MAX>,
    /// `earlykmsg.vlan=`
    pub vlan: Vec<Vlan<'a>, IP_WORDS_MAX>,
    /// `earlykmsg.bond=`
    pub bond: Vec<Bond<'a>, IP_WORDS_MAX>,
    /// `earlykmsg.modules=`
    pub modules: Modules<'a>,
    /// `earlykmsg.netconsole=`
    pub netconsole: Option<Netconsole<'a>>,
    /// The kernel's whole command line.
    pub cmdline: &'a [u8],
}

/// A word that is left out.
pub type WrongWord<'a> = Problem<'a, NetworkError>;

impl<'a> NetworkWords<'a> {
    /// Reads a whole command line; of `earlykmsg.modules=` and `earlykmsg.netconsole=` the last one counts.
    pub fn read(cmdline: &'a [u8], report: &mut dyn FnMut(WrongWord<'a>)) -> NetworkWords<'a> {
        let mut words = NetworkWords {
            ip: Vec::new(),
            vlan: Vec::new(),
            bond: Vec::new(),
            modules: Modules::DEFAULT,
            netconsole: None,
            cmdline,
        };
        for Argument { name, value } in Arguments(cmdline) {
            if let Err(reason) = words.take(name, value.unwrap_or_default()) {
                report(Problem { name, value: value.unwrap_or_default(), reason });
            }
        }
        words
    }

    /// Takes one argument, if it is about the network.
    fn take(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), NetworkError> {
        match as_str(name) {
            "earlykmsg.ip" => self.ip.push(Ip::parse(value)?).map_err(|_| NetworkError::TooMany),
            "earlykmsg.vlan" => self.vlan.push(Vlan::parse(value)?).map_err(|_| NetworkError::TooMany),
            "earlykmsg.bond" => self.bond.push(Bond::parse(value)?).map_err(|_| NetworkError::TooMany),
            "earlykmsg.modules" => {
                self.modules = Modules::parse(value)?;
                Ok(())
            }
            "earlykmsg.netconsole" => {
                self.netconsole = None;
                if !value.is_empty() {
                    self.netconsole = Some(Netconsole::parse(value)?);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The word of a command line by which the image brings the network up itself, if there is one.
pub fn word_of_image(cmdline: &[u8]) -> Option<&[u8]> {
    Arguments(cmdline).find(|argument| is_word_of_image(*argument)).map(|argument| argument.name)
}

fn is_word_of_image(Argument { name, value }: Argument<'_>) -> bool {
    let value = value.unwrap_or_default();
    let is_comma = |byte: &u8| *byte == b',';
    let mut words = b"ip,BOOTIF,netroot,nfsroot,fetch,cloud-config-url".split(is_comma);
    let mut roots = b"nfs,/dev/nfs,iscsi,nbd,http,dhcp".split(is_comma);
    words.any(|word| word == name)
        || name == b"rd.neednet" && value != b"0"
        || name == b"root" && roots.any(|root| value.starts_with(root))
        || name.starts_with(b"rd.iscsi")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::vec::Vec;

    #[test]
    fn words_that_are_wrong() {
        for (word, want) in [
            ("earlykmsg.ip=eth0", "must be dhcp, auto6, or an address and its fields, the last of them none"),
            ("earlykmsg.ip", "must be dhcp, auto6, or an address and its fields, the last of them none"),
            ("earlykmsg.vlan=eth0", "must be NAME:DEVICE"),
            ("earlykmsg.bond=bond0", "must be NAME:DEVICE,DEVICE with options behind another ':'"),
            ("earlykmsg.modules=a,,b", "must be auto, none or names of modules with a comma between"),
            ("earlykmsg.netconsole=tcp://10.0.0.1:1", "must be udp://ADDRESS:PORT/ of another machine"),
        ] {
            let mut told = Vec::new();
            let words = NetworkWords::read(word.as_bytes(), &mut |problem| told.push(format!("{problem}")));
            let name = if word.contains('=') { word.into() } else { format!("{word}=") };
            assert_eq!(told, [format!("{name}: {want}; this word is left out")]);
            assert!(words.ip.is_empty() && words.vlan.is_empty() && words.bond.is_empty());
            assert_eq!(words.modules, Modules::DEFAULT);
        }
        let five = "earlykmsg.ip=dhcp ".repeat(IP_WORDS_MAX + 1);
        let mut problems = 0;
        let words = NetworkWords::read(five.as_bytes(), &mut |_| problems += 1);
        assert_eq!((words.ip.len(), problems), (IP_WORDS_MAX, 1));
    }

    #[test]
    fn the_last_netconsole_counts() {
        for (line, want) in [
            ("earlykmsg.netconsole=udp://10.0.0.1:1", Some("udp://10.0.0.1:1/")),
            (
                "earlykmsg.netconsole=udp://10.0.0.1:1 earlykmsg.netconsole=udp://10.0.0.2:2",
                Some("udp://10.0.0.2:2/"),
            ),
            ("earlykmsg.netconsole=udp://10.0.0.1:1 earlykmsg.netconsole=", None),
            ("earlykmsg.netconsole=udp://10.0.0.1:1 earlykmsg.netconsole=x", None),
            ("earlykmsg.netconsole", None),
        ] {
            let words = NetworkWords::read(line.as_bytes(), &mut |_| {});
            assert_eq!(words.netconsole.map(|to| format!("{to}")).as_deref(), want, "{line}");
        }
    }

    #[test]
    fn the_image_does_it() {
        for (cmdline, want) in [
            ("quiet root=/dev/vda earlykmsg.ip=dhcp", None),
            ("quiet ip=dhcp", Some("ip")),
            ("ip=", Some("ip")),
            ("rd.neednet", Some("rd.neednet")),
            ("rd.neednet=1", Some("rd.neednet")),
            ("rd.neednet=0", None),
            ("BOOTIF=01-52-54-00-12-34-56", Some("BOOTIF")),
            ("netroot=x", Some("netroot")),
            ("nfsroot=x", Some("nfsroot")),
            ("rd.iscsi.initiator=x", Some("rd.iscsi.initiator")),
            ("root=nfs:10.0.0.1:/x", Some("root")),
            ("root=/dev/nfs", Some("root")),
            ("root=iscsi:@10.0.0.1::3260::x", Some("root")),
            ("root=nbd:x", Some("root")),
            ("root=https://x/y", Some("root")),
            ("root=UUID=1", None),
            ("fetch=http://x", Some("fetch")),
            ("cloud-config-url=x", Some("cloud-config-url")),
        ] {
            assert_eq!(word_of_image(cmdline.as_bytes()), want.map(str::as_bytes), "{cmdline}");
        }
    }
}
