//! The files that name the name servers and the search list.
//!
//! - `/etc/resolv.conf`, and `/proc/net/pnp`, systemd-resolved's and dracut's, which have the same lines
//! - `/run/net-*.conf` of klibc's `ipconfig`: assignments of a shell, `IPV4DNS0='10.0.2.3'`
//!
//! One parser reads both kinds of lines. Options do not count: [`super::lookup`] decides what is asked how often, and a
//! name with a dot is complete.

use heapless::Vec;

use super::{InterfaceIndex, next_line, parse_address};
use crate::address::{Addresses, add};
use crate::limits::SEARCH_BYTES_MAX;
use crate::text::{as_str, next_word, split_once};

/// What the files say.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name servers, each once, in the order in which they were read.
    pub servers: Addresses,
    /// The search list: domains with white space between them. A list that does not fit is ignored.
    pub search: Vec<u8, SEARCH_BYTES_MAX>,
}

impl Config {
    /// No name server.
    pub const fn empty() -> Config {
        Config { servers: Addresses::new(), search: Vec::new() }
    }

    /// Adds what a file says: its servers to those that are known already, and, unless `has_search` says that a file
    /// before it had one, its search list. Of several lists in a file the last counts.
    pub fn read(&mut self, mut text: &[u8], has_search: bool, interface_index: InterfaceIndex<'_>) {
        while let Some(line) = next_line(&mut text) {
            let (name, mut value) = match split_once(line, b'=') {
                Some((variable, [b'\'', value @ .., b'\''])) => (variable, value),
                _ => {
                    let mut rest = line;
                    (next_word(&mut rest), rest.trim_ascii_start())
                }
            };
            match as_str(name) {
                "IPV4DNS0" | "IPV4DNS1" if value == b"0.0.0.0" => {} // none
                "nameserver" | "IPV4DNS0" | "IPV4DNS1" => {
                    if let Some(address) = parse_address(next_word(&mut value), interface_index) {
                        add(&mut self.servers, address);
                    }
                }
                "search" | "domain" | "DNSDOMAIN" | "DOMAINSEARCH" if !has_search && !value.is_empty() => {
                    self.search.clear();
                    let _ = self.search.extend_from_slice(value);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::ADDRESSES_MAX;
    use crate::testing::Random;
    use std::format;
    use std::string::String;

    #[track_caller]
    fn check(texts: &[&str], servers: &str, search: &str) {
        let mut config = Config::empty();
        for text in texts {
            let has_search = !config.search.is_empty();
            config.read(text.as_bytes(), has_search, &mut |zone| if zone == b"eth0" { 7 } else { 0 });
        }
        let got: std::vec::Vec<String> =
            config.servers.iter().map(|server| format!("{server} {}", server.scope_id)).collect();
        assert_eq!(got.join(", "), servers, "{texts:?}");
        assert_eq!(str::from_utf8(&config.search).unwrap().trim(), search, "{texts:?}");
    }

    #[test]
    fn files_as_they_are_found() {
        check(&[""], "", "");
        check(
            &["# by hand\n; old style\nnameserver 10.0.0.1 # first\nnameserver 10.0.0.2;x\n"],
            "10.0.0.1 0, 10.0.0.2 0",
            "",
        );
        check(
            &["nameserver\tfe80::1%eth0\r\nnameserver   2001:db8::53\r\nsearch a.example  b.example\r\n"],
            "fe80::1 7, 2001:db8::53 0",
            "a.example  b.example",
        );
        // The last list counts; `domain` is a list of one.
        check(&["search a b\ndomain c.example\n"], "", "c.example");
        check(&["domain c.example\nsearch a b # c\noptions edns0 ndots:3 trust-ad\n"], "", "a b");
        // The file before has precedence, unless it has none.
        check(&["search a", "search b"], "", "a");
        check(&["nameserver 10.0.0.1\nsearch\n", "search b", "domain c"], "10.0.0.1 0", "b");
        check(&["search a\nsearch \n"], "", "a");
        // What ip=dhcp leaves behind.
        check(&["#PROTO: DHCP\ndomain lan\nnameserver 10.0.2.3\nbootserver 10.0.2.2\n"], "10.0.2.3 0", "lan");
        // The same twice, one that is in both files, more than are asked.
        check(
            &[
                "nameserver 1.0.0.1\nnameserver 1.0.0.1\nnameserver 1.0.0.2\nnameserver 1.0.0.3\n",
                "nameserver 1.0.0.2\nnameserver 1.0.0.4\nnameserver 1.0.0.5\n",
            ],
            "1.0.0.1 0, 1.0.0.2 0, 1.0.0.3 0, 1.0.0.4 0, 1.0.0.5 0",
            "",
        );
        let many: String = (0..30).map(|n| format!("nameserver 1.0.0.{n}\n")).collect();
        let kept: std::vec::Vec<String> = (0..ADDRESSES_MAX).map(|n| format!("1.0.0.{n} 0")).collect();
        check(&[&many], &kept.join(", "), "");
        check(
            &[
                "nameserver\nnameserver x\nnameserver 10.0.0.300\nnameservers 10.0.0.1\n",
                "NAMESERVER 10.0.0.1\n\u{0}\ndomainname x\n nameserver 10.0.0.9",
            ],
            "10.0.0.9 0",
            "",
        );
    }

    /// As klibc's `ipconfig` 2.0.12 writes it.
    const OF_KLIBC: &str = "DEVICE='eth0'\nPROTO='dhcp'\nIPV4ADDR='10.0.2.15'\nIPV4BROADCAST='10.0.2.255'\n\
        IPV4NETMASK='255.255.255.0'\nIPV4GATEWAY='10.0.2.2'\nIPV4DNS0='10.0.2.3'\nIPV4DNS1='0.0.0.0'\n\
        HOSTNAME='machine'\nDNSDOMAIN='lan.example'\nNISDOMAIN=''\nROOTSERVER='10.0.2.2'\nROOTPATH=''\n\
        filename=''\nUPTIME='7'\nDHCPLEASETIME='86400'\nDOMAINSEARCH=''\n";

    #[test]
    fn assignments() {
        check(&[OF_KLIBC], "10.0.2.3 0", "lan.example");
        // Two interfaces, with a server in common; the kernel's own is the third.
        check(
            &[
                OF_KLIBC,
                "IPV4DNS0='10.0.2.3'\nIPV4DNS1='10.0.2.4'\nDNSDOMAIN='other'\n",
                "nameserver 10.0.2.5",
            ],
            "10.0.2.3 0, 10.0.2.4 0, 10.0.2.5 0",
            "lan.example",
        );
        check(&["DNSDOMAIN='a.example'\nDOMAINSEARCH='b.example c.example'\n"], "", "b.example c.example");
        check(&["DNSDOMAIN=''\n", "search a.example"], "", "a.example");
        // Nothing is executed, and what is written otherwise is passed over.
        check(
            &["IPV4DNS0='$(echo 10.0.0.1)'\nIPV4DNS1=`10.0.0.2`\nIPV4DNS2='10.0.0.3'\nIPV4DNS0='10.0.0.4\n\
               IPV4DNS0=10.0.0.5\nexport IPV4DNS0='10.0.0.6'\nIPV4DNS0=''\nIPV4DNS0='\nIPV4DNS0=\n=''\n="],
            "",
            "",
        );
        // Only there is 0.0.0.0 no address.
        check(&["nameserver 0.0.0.0"], "0.0.0.0 0", "");
    }

    #[test]
    fn a_long_search_list() {
        let list = "a-subdomain-of-some-site.example ".repeat(15);
        check(&[&format!("search {list}\n")], "", list.trim());
    }

    #[test]
    fn a_search_list_that_does_not_fit_is_ignored() {
        let long = "x".repeat(SEARCH_BYTES_MAX);
        check(&[&format!("search {long}")], "", &long);
        check(&[&format!("search {long}x")], "", "");
    }

    #[test]
    fn any_bytes_are_a_file() {
        let mut random = Random::new(6);
        let parts: [&[u8]; 15] = [
            b"nameserver",
            b" ",
            b"\n",
            b"10.0.0.",
            b"1",
            b"search",
            b"\xff",
            b"\0",
            b"options ndots:",
            b"99999999999",
            b"%",
            b"::",
            b"IPV4DNS0=",
            b"DNSDOMAIN=",
            b"'",
        ];
        for _ in 0..20_000 {
            let mut text = std::vec::Vec::new();
            for _ in 0..random.below(60) {
                text.extend_from_slice(parts[random.below(parts.len())]);
            }
            Config::empty().read(&text, false, &mut |_| 1);
        }
    }
}
