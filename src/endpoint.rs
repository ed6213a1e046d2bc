//! A destination's URL: `tcp://` or `udp://`, a host, a port, then nothing or `/`. Pure.

use crate::address::{Address, cut, has, number, v4_address, v6_address};
use crate::limits::{LABEL_BYTES_MAX, NAME_BYTES_MAX, ZONE_BYTES_MAX};
use crate::words;
use crate::words::{Line, Words, named};

/// Where records go: one value of `talos.logging.kernel=`.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint<'a> {
    /// How.
    pub scheme: Scheme,
    /// To whom.
    pub host: Host<'a>,
    /// 1 to 65535.
    pub port: u16,
    /// Host and port as they were written.
    text: &'a [u8],
}

/// The transport that a URL asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// One JSON object a line.
    Tcp,
    /// One JSON object a datagram.
    Udp,
}

/// The host of a URL, checked but not looked up.
#[derive(Clone, Copy, Debug)]
pub enum Host<'a> {
    /// `10.0.0.1`, `[2001:db8::1]`, `[fe80::1%eth0]`
    Address {
        /// The address.
        address: Address,
        /// The interface's name or number; empty: none.
        zone: &'a [u8],
    },
    /// `logs.example.org`
    Name(&'a [u8]),
}

named! {
    /// What is wrong with a URL. Displays as the words that follow it in a message.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    #[allow(missing_docs)] // each is explained by its words below
    pub enum Wrong {
        NotText = "must be printable ASCII",
        Scheme = "scheme must be tcp:// or udp://",
        User = "must not name a user",
        NoHost = "host is missing",
        NoPort = "port is missing",
        Port = "port must be a number from 1 to 65535",
        Bracket = "the ']' of the IPv6 address is missing",
        V6 = "no IPv6 address between '[' and ']'",
        V6Bare = "an IPv6 address must stand in '[' and ']'",
        Zone = "the zone after '%' must be an interface of 1 to 15 characters",
        V4 = "host is neither an IPv4 address nor a name",
        Name = "host is not a valid name",
        Path = "nothing but '/' may follow the port",
        Query = "must not have a query or fragment",
    }
}

impl<'a> Endpoint<'a> {
    /// Reads a URL.
    pub fn parse(url: &'a [u8]) -> Result<Endpoint<'a>, Wrong> {
        let mut endpoint = Endpoint { scheme: Scheme::Tcp, host: Host::Name(b""), port: 0, text: b"" };
        endpoint.read(url)?;
        Ok(endpoint)
    }

    /// Fills it in, part by part. What goes wrong on the way is one byte, a whole endpoint would be a copy.
    #[inline(never)]
    fn read(&mut self, url: &'a [u8]) -> Result<(), Wrong> {
        if !url.iter().all(u8::is_ascii_graphic) {
            return Err(Wrong::NotText);
        }
        let Some((scheme, [b'/', b'/', rest @ ..])) = cut(url, b':') else { return Err(Wrong::Scheme) };
        self.scheme = match scheme {
            s if same_name(s, b"tcp") => Scheme::Tcp,
            s if same_name(s, b"udp") => Scheme::Udp,
            _ => return Err(Wrong::Scheme),
        };
        if has(rest, b'?') || has(rest, b'#') {
            return Err(Wrong::Query);
        }
        let (authority, path) = cut(rest, b'/').unwrap_or((rest, b""));
        self.text = authority;
        if has(authority, b'@') {
            return Err(Wrong::User);
        }
        let port = match authority {
            [] => return Err(Wrong::NoHost),
            [b'[', inner @ ..] => {
                let (inner, port) = cut(inner, b']').ok_or(Wrong::Bracket)?;
                self.read_v6(inner)?;
                if let [b':', port @ ..] = port { port } else { b"" }
            }
            _ => {
                let (host, port) = cut(authority, b':').ok_or(Wrong::NoPort)?;
                if has(port, b':') {
                    return Err(Wrong::V6Bare);
                }
                self.read_v4_or_name(host)?;
                port
            }
        };
        self.port = match number(port) {
            Some(number @ 1..=0xffff) => number as u16,
            _ if port.is_empty() => return Err(Wrong::NoPort),
            _ => return Err(Wrong::Port),
        };
        if path.is_empty() { Ok(()) } else { Err(Wrong::Path) }
    }

    /// What stands between the brackets: an address, perhaps a zone after `%` or, as URLs have it, `%25`.
    fn read_v6(&mut self, inner: &'a [u8]) -> Result<(), Wrong> {
        let (address, zone) = match cut(inner, b'%') {
            Some((address, zone)) => {
                let zone = if let [b'2', b'5', rest @ ..] = zone
                    && !rest.is_empty()
                {
                    rest
                } else {
                    zone
                };
                if zone.is_empty() || zone.len() > ZONE_BYTES_MAX || has(zone, b'%') || has(zone, b'[') {
                    return Err(Wrong::Zone);
                }
                (address, zone)
            }
            None => (inner, &b""[..]),
        };
        let address = v6_address(address).ok_or(Wrong::V6)?;
        self.host = Host::Address { address, zone };
        Ok(())
    }

    /// A host outside brackets. One whose last label is a number is meant as an address and must be one.
    fn read_v4_or_name(&mut self, host: &'a [u8]) -> Result<(), Wrong> {
        if host.is_empty() {
            return Err(Wrong::NoHost);
        }
        if let Some(address) = v4_address(host) {
            self.host = Host::Address { address, zone: b"" };
            return Ok(());
        }
        let name = bare(host);
        if name.len() > NAME_BYTES_MAX {
            return Err(Wrong::Name);
        }
        let mut last_is_number = false;
        for label in name.split(|&byte| byte == b'.') {
            let allowed = label.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            let hyphen = matches!(label, [b'-', ..] | [.., b'-']);
            if label.is_empty() || label.len() > LABEL_BYTES_MAX || hyphen || !allowed {
                return Err(Wrong::Name);
            }
            last_is_number = label.iter().all(u8::is_ascii_digit);
        }
        if last_is_number {
            return Err(Wrong::V4);
        }
        self.host = Host::Name(host);
        Ok(())
    }
}

impl PartialEq for Endpoint<'_> {
    #[inline(never)]
    fn eq(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.host == other.host && self.port == other.port
    }
}

/// The same host: names without regard to case or the final dot.
impl PartialEq for Host<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Host::Address { address: a, zone: za }, Host::Address { address: b, zone: zb }) => {
                a == b && za == zb
            }
            (Host::Name(a), Host::Name(b)) => same_name(bare(a), bare(b)),
            _ => false,
        }
    }
}

/// A name without its final dot.
pub fn bare(name: &[u8]) -> &[u8] {
    if let [name @ .., b'.'] = name { name } else { name }
}

/// Names are the same in any case. (`core`'s own comparison takes 300 bytes.)
pub fn same_name(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && (0..one.len()).all(|at| one[at].eq_ignore_ascii_case(&other[at]))
}

/// The URL in its plain form, host and port as they were written.
impl Words for Endpoint<'_> {
    fn put(&self, line: &mut Line) {
        let scheme = match self.scheme {
            Scheme::Tcp => "tcp://",
            Scheme::Udp => "udp://",
        };
        words!(line, scheme, self.text, "/");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::said;

    /// `want` is the plain form of the URL, or the words of what is wrong with it.
    #[track_caller]
    fn check(url: &str, want: &str) {
        let got = Endpoint::parse(url.as_bytes());
        let got = got.map_or_else(|wrong| said(wrong.words()), said);
        assert_eq!(got, want, "{url}");
    }

    #[test]
    fn urls_that_are_right() {
        check("tcp://10.0.0.1:5044/", "tcp://10.0.0.1:5044/");
        check("tcp://10.0.0.1:5044", "tcp://10.0.0.1:5044/");
        check("UDP://10.0.0.1:1/", "udp://10.0.0.1:1/");
        check("Tcp://logs.example.org:65535/", "tcp://logs.example.org:65535/");
        check("tcp://logs.example.org.:5044/", "tcp://logs.example.org.:5044/");
        check("tcp://log_host-1:5044", "tcp://log_host-1:5044/");
        check("tcp://[2001:db8::1]:5044/", "tcp://[2001:db8::1]:5044/");
        check("tcp://[::ffff:10.0.0.1]:5044/", "tcp://[::ffff:10.0.0.1]:5044/");
        check("udp://[fe80::1%eth0]:5044/", "udp://[fe80::1%eth0]:5044/");
        check("udp://[fe80::1%25eth0]:5044/", "udp://[fe80::1%25eth0]:5044/");
        check("udp://[fe80::1%25]:5044/", "udp://[fe80::1%25]:5044/");
        check("udp://[fe80::1%3]:5044", "udp://[fe80::1%3]:5044/");
        check("tcp://1host:5044", "tcp://1host:5044/");
        check("tcp://10.0.0.1:00080", "tcp://10.0.0.1:00080/");
    }

    #[test]
    fn urls_that_are_wrong() {
        let cases = [
            (
                Wrong::Scheme,
                &["", "10.0.0.1:5044", "tpc://10.0.0.1:5044", "tcp:/10.0.0.1:5044", "://h:1", "https://h:1"]
                    [..],
            ),
            (Wrong::NotText, &["tcp://h\u{e9}:1", "tcp://h :1", "tcp://h\x01:1"]),
            (Wrong::User, &["tcp://u@h:1", "tcp://u:p@h:1/"]),
            (Wrong::NoHost, &["tcp://", "tcp:///", "tcp://:5044"]),
            (Wrong::NoPort, &["tcp://h", "tcp://h/", "tcp://h:", "tcp://h:/", "tcp://[::1]", "tcp://[::1]/"]),
            (
                Wrong::Port,
                &["tcp://h:0", "tcp://h:65536", "tcp://h:+1", "tcp://h:-1", "tcp://h:http", "tcp://h:1x"],
            ),
            (Wrong::Bracket, &["tcp://[::1:5044", "tcp://[::1/]:5"]),
            (Wrong::V6, &["tcp://[]:1", "tcp://[10.0.0.1]:1", "tcp://[::g]:1", "tcp://[:::]:1"]),
            (Wrong::V6Bare, &["tcp://::1:5044", "tcp://fe80::1"]),
            (
                Wrong::Zone,
                &["tcp://[fe80::1%]:1", "tcp://[fe80::1%0123456789abcdef]:1", "tcp://[fe80::1%a%b]:1"],
            ),
            (Wrong::V4, &["tcp://10.0.0.300:1", "tcp://10.0.1:1", "tcp://010.0.0.1:1", "tcp://7:1"]),
            (
                Wrong::Name,
                &["tcp://-h:1", "tcp://h-:1", "tcp://a..b:1", "tcp://.:1", "tcp://h!:1", "tcp://h%20:1"],
            ),
            (Wrong::Path, &["tcp://h:1//", "tcp://h:1/x", "tcp://h:1/logs/"]),
            (Wrong::Query, &["tcp://h:1?x", "tcp://h:1/#x", "tcp://h:1/?x=1"]),
        ];
        for (wrong, urls) in cases {
            for url in urls {
                check(url, &said(wrong.words()));
            }
        }
        let long = std::format!("tcp://{}:1", "a".repeat(LABEL_BYTES_MAX + 1));
        check(&long, &said(Wrong::Name.words()));
        let long = std::format!("tcp://{}x:1", "a.".repeat(NAME_BYTES_MAX / 2 + 1));
        check(&long, &said(Wrong::Name.words()));
    }

    #[test]
    fn the_same_destination() {
        let same = |a: &str, b: &str| Endpoint::parse(a.as_bytes()) == Endpoint::parse(b.as_bytes());
        assert!(same("tcp://h:1", "TCP://H.:1/"));
        assert!(same("tcp://[::1]:1", "tcp://[0::1]:1/"));
        assert!(same("tcp://[::ffff:10.0.0.1]:1", "tcp://10.0.0.1:1/"));
        assert!(!same("tcp://h:1", "udp://h:1"));
        assert!(!same("tcp://h:1", "tcp://h:2"));
        assert!(!same("tcp://[fe80::1%a]:1", "tcp://[fe80::1%b]:1"));
    }
}
