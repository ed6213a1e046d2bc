//! A destination's URL: `tcp://` or `udp://`, a host, a port, then nothing or `/`. Pure.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::limits::{LABEL_BYTES_MAX, NAME_BYTES_MAX, ZONE_BYTES_MAX};

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
    text: &'a str,
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
    /// `10.0.0.1`
    V4(Ipv4Addr),
    /// `[2001:db8::1]`, `[fe80::1%eth0]`
    V6 {
        /// The address.
        address: Ipv6Addr,
        /// The interface's name or number.
        zone: Option<&'a str>,
    },
    /// `logs.example.org`
    Name(&'a str),
}

/// What is wrong with a URL. Displays as the words that follow it in a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // each is explained by its words below
pub enum Wrong {
    NotText,
    Scheme,
    User,
    NoHost,
    NoPort,
    Port,
    Bracket,
    V6,
    V6Bare,
    Zone,
    V4,
    Name,
    Path,
    Query,
}

impl Wrong {
    /// What the operator reads.
    pub const fn words(self) -> &'static str {
        match self {
            Wrong::NotText => "must be printable ASCII",
            Wrong::Scheme => "scheme must be tcp:// or udp://",
            Wrong::User => "must not name a user",
            Wrong::NoHost => "host is missing",
            Wrong::NoPort => "port is missing",
            Wrong::Port => "port must be a number from 1 to 65535",
            Wrong::Bracket => "the ']' of the IPv6 address is missing",
            Wrong::V6 => "no IPv6 address between '[' and ']'",
            Wrong::V6Bare => "an IPv6 address must stand in '[' and ']'",
            Wrong::Zone => "the zone after '%' must be an interface of 1 to 15 characters",
            Wrong::V4 => "host is neither an IPv4 address nor a name",
            Wrong::Name => "host is not a valid name",
            Wrong::Path => "nothing but '/' may follow the port",
            Wrong::Query => "must not have a query or fragment",
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

impl<'a> Endpoint<'a> {
    /// Reads a URL.
    pub fn parse(url: &'a [u8]) -> Result<Endpoint<'a>, Wrong> {
        if !url.iter().all(|b| b.is_ascii_graphic()) {
            return Err(Wrong::NotText);
        }
        let url = core::str::from_utf8(url).map_err(|_| Wrong::NotText)?;
        let (scheme, rest) = url.split_once("://").ok_or(Wrong::Scheme)?;
        let scheme = match scheme {
            s if s.eq_ignore_ascii_case("tcp") => Scheme::Tcp,
            s if s.eq_ignore_ascii_case("udp") => Scheme::Udp,
            _ => return Err(Wrong::Scheme),
        };
        if rest.contains(['?', '#']) {
            return Err(Wrong::Query);
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(Wrong::User);
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(inner) => {
                let (inner, port) = inner.split_once(']').ok_or(Wrong::Bracket)?;
                (v6(inner)?, port.strip_prefix(':').ok_or(Wrong::NoPort)?)
            }
            None => {
                let (host, port) = match authority.split_once(':') {
                    Some((_, port)) if port.contains(':') => return Err(Wrong::V6Bare),
                    Some(parts) => parts,
                    None if authority.is_empty() => return Err(Wrong::NoHost),
                    None => return Err(Wrong::NoPort),
                };
                (v4_or_name(host)?, port)
            }
        };
        let port = number(port)?;
        match path {
            "" | "/" => Ok(Endpoint { scheme, host, port, text: authority }),
            _ => Err(Wrong::Path),
        }
    }
}

/// A port: digits only, so that `+1` and an empty text are none.
fn number(port: &str) -> Result<u16, Wrong> {
    match port {
        "" => Err(Wrong::NoPort),
        _ if !port.bytes().all(|b| b.is_ascii_digit()) => Err(Wrong::Port),
        _ => port.parse().ok().filter(|&port| port != 0).ok_or(Wrong::Port),
    }
}

/// What stands between the brackets: an address, perhaps a zone after `%` or, as URLs have it, `%25`.
fn v6(inner: &str) -> Result<Host<'_>, Wrong> {
    let (address, zone) = match inner.split_once('%') {
        Some((address, zone)) => {
            let zone = zone.strip_prefix("25").filter(|rest| !rest.is_empty()).unwrap_or(zone);
            if zone.is_empty() || zone.len() > ZONE_BYTES_MAX || zone.contains(['%', '[']) {
                return Err(Wrong::Zone);
            }
            (address, Some(zone))
        }
        None => (inner, None),
    };
    let address = address.parse().map_err(|_| Wrong::V6)?;
    Ok(Host::V6 { address, zone })
}

/// A host outside brackets. One whose last label is a number is meant as an address and must be one.
fn v4_or_name(host: &str) -> Result<Host<'_>, Wrong> {
    if host.is_empty() {
        return Err(Wrong::NoHost);
    }
    if let Ok(address) = host.parse() {
        return Ok(Host::V4(address));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= LABEL_BYTES_MAX
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if name.len() > NAME_BYTES_MAX || !name.split('.').all(label) {
        return Err(Wrong::Name);
    }
    if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
        return Err(Wrong::V4);
    }
    Ok(Host::Name(host))
}

impl PartialEq for Endpoint<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.host == other.host && self.port == other.port
    }
}

/// The same host: names without regard to case or the final dot.
impl PartialEq for Host<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Host::V4(a), Host::V4(b)) => a == b,
            (Host::V6 { address: a, zone: za }, Host::V6 { address: b, zone: zb }) => a == b && za == zb,
            (Host::Name(a), Host::Name(b)) => {
                a.strip_suffix('.').unwrap_or(a).eq_ignore_ascii_case(b.strip_suffix('.').unwrap_or(b))
            }
            _ => false,
        }
    }
}

/// The URL in its plain form, host and port as they were written.
impl fmt::Display for Endpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.scheme {
            Scheme::Tcp => "tcp://",
            Scheme::Udp => "udp://",
        })?;
        f.write_str(self.text)?;
        f.write_str("/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    /// `want` is the plain form of the URL, or the words of what is wrong with it.
    #[track_caller]
    fn check(url: &str, want: &str) {
        let got = Endpoint::parse(url.as_bytes());
        let got = got.map_or_else(|wrong| wrong.to_string(), |endpoint| endpoint.to_string());
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
                check(url, wrong.words());
            }
        }
        let long = std::format!("tcp://{}:1", "a".repeat(LABEL_BYTES_MAX + 1));
        check(&long, Wrong::Name.words());
        let long = std::format!("tcp://{}x:1", "a.".repeat(NAME_BYTES_MAX / 2 + 1));
        check(&long, Wrong::Name.words());
    }

    #[test]
    fn the_same_destination() {
        let same = |a: &str, b: &str| Endpoint::parse(a.as_bytes()) == Endpoint::parse(b.as_bytes());
        assert!(same("tcp://h:1", "TCP://H.:1/"));
        assert!(same("tcp://[::1]:1", "tcp://[0::1]:1/"));
        assert!(!same("tcp://h:1", "udp://h:1"));
        assert!(!same("tcp://h:1", "tcp://h:2"));
        assert!(!same("tcp://[fe80::1%a]:1", "tcp://[fe80::1%b]:1"));
    }
}
