//! A destination's URL: `tcp://`, `udp://`, `syslog+tcp://` or `syslog+udp://`, a host, a port, then nothing or `/`.

use core::fmt::{self, Display};

use crate::address::Address;
use crate::limits::{INTERFACE_NAME_BYTES_MAX, LABEL_BYTES_MAX, NAME_BYTES_MAX};
use crate::text::{Quoted, decimal, split_once, without_final_dot};

/// Where records go: one destination of the command line.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint<'a> {
    /// What is sent.
    pub format: Format,
    /// By what it is sent.
    pub transport: Transport,
    /// The receiver's host.
    pub host: Host<'a>,
    /// The receiver's port, 1 to 65535.
    pub port: u16,
    /// Host and port as they were written.
    authority: &'a [u8],
}

/// How a record is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// A JSON object: `tcp://`, `udp://`.
    Json,
    /// A message of RFC 5424: `syslog+tcp://`, `syslog+udp://`.
    Syslog,
}

/// How records travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// One after the other in a connection.
    Tcp,
    /// One a datagram.
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
        scope: &'a [u8],
    },
    /// `logs.example.org`
    Name(&'a [u8]),
}

/// What is wrong with a URL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // the texts below explain them
pub enum UrlError {
    NotText,
    Scheme,
    User,
    NoHost,
    NoPort,
    Port,
    Bracket,
    Ipv6,
    Ipv6WithoutBrackets,
    Scope,
    Ipv4,
    Name,
    Path,
    Query,
}

impl Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UrlError::NotText => "must be printable ASCII",
            UrlError::Scheme => "scheme must be tcp://, udp://, syslog+tcp:// or syslog+udp://",
            UrlError::User => "must not name a user",
            UrlError::NoHost => "host is missing",
            UrlError::NoPort => "port is missing",
            UrlError::Port => "port must be a number from 1 to 65535",
            UrlError::Bracket => "the ']' of the IPv6 address is missing",
            UrlError::Ipv6 => "no IPv6 address between '[' and ']'",
            UrlError::Ipv6WithoutBrackets => "an IPv6 address must stand in '[' and ']'",
            UrlError::Scope => "the interface after '%' must be of 1 to 15 characters",
            UrlError::Ipv4 => "host is neither an IPv4 address nor a name",
            UrlError::Name => "host is not a valid name",
            UrlError::Path => "nothing but '/' may follow the port",
            UrlError::Query => "must not have a query or fragment",
        })
    }
}

impl<'a> Endpoint<'a> {
    /// Reads a URL.
    pub fn parse(url: &'a [u8]) -> Result<Endpoint<'a>, UrlError> {
        if !url.iter().all(u8::is_ascii_graphic) {
            return Err(UrlError::NotText);
        }
        let (scheme, rest) = split_once(url, b':').ok_or(UrlError::Scheme)?;
        let rest = rest.strip_prefix(b"//").ok_or(UrlError::Scheme)?;
        let (format, transport) = parse_scheme(scheme).ok_or(UrlError::Scheme)?;
        if rest.contains(&b'?') || rest.contains(&b'#') {
            return Err(UrlError::Query);
        }
        let (authority, path) = split_once(rest, b'/').unwrap_or((rest, b""));
        if authority.contains(&b'@') {
            return Err(UrlError::User);
        }
        let (host, port) = parse_authority(authority)?;
        let port = match decimal(port) {
            Some(port @ 1..=0xffff) => port as u16,
            _ if port.is_empty() => return Err(UrlError::NoPort),
            _ => return Err(UrlError::Port),
        };
        if !path.is_empty() {
            return Err(UrlError::Path);
        }
        Ok(Endpoint { format, transport, host, port, authority })
    }
}

/// What a scheme asks for, in any case.
fn parse_scheme(scheme: &[u8]) -> Option<(Format, Transport)> {
    const SCHEMES: [(&str, Format, Transport); 4] = [
        ("tcp", Format::Json, Transport::Tcp),
        ("udp", Format::Json, Transport::Udp),
        ("syslog+tcp", Format::Syslog, Transport::Tcp),
        ("syslog+udp", Format::Syslog, Transport::Udp),
    ];
    let (_, format, transport) =
        SCHEMES.into_iter().find(|(name, ..)| name.as_bytes().eq_ignore_ascii_case(scheme))?;
    Some((format, transport))
}

/// Splits a host from its port, and reads the host.
fn parse_authority(authority: &[u8]) -> Result<(Host<'_>, &[u8]), UrlError> {
    match authority {
        [] => Err(UrlError::NoHost),
        [b'[', inner @ ..] => {
            let (inner, after) = split_once(inner, b']').ok_or(UrlError::Bracket)?;
            let port = after.strip_prefix(b":").unwrap_or_default();
            Ok((parse_ipv6(inner)?, port))
        }
        _ => {
            let (host, port) = split_once(authority, b':').ok_or(UrlError::NoPort)?;
            if port.contains(&b':') {
                return Err(UrlError::Ipv6WithoutBrackets);
            }
            Ok((parse_ipv4_or_name(host)?, port))
        }
    }
}

/// What stands between the brackets: an address, perhaps an interface after `%` or, as URLs have it, `%25`.
fn parse_ipv6(inner: &[u8]) -> Result<Host<'_>, UrlError> {
    let (ip, scope) = match split_once(inner, b'%') {
        None => (inner, &b""[..]),
        Some((ip, scope)) => {
            let scope = match scope.strip_prefix(b"25") {
                Some(decoded) if !decoded.is_empty() => decoded,
                _ => scope,
            };
            let is_name = (1..=INTERFACE_NAME_BYTES_MAX).contains(&scope.len());
            if !is_name || scope.contains(&b'%') || scope.contains(&b'[') {
                return Err(UrlError::Scope);
            }
            (ip, scope)
        }
    };
    let address = Address::parse_ipv6(ip).ok_or(UrlError::Ipv6)?;
    Ok(Host::Address { address, scope })
}

/// A host outside brackets. One whose last label is a number is meant as an address and must be one.
fn parse_ipv4_or_name(host: &[u8]) -> Result<Host<'_>, UrlError> {
    if host.is_empty() {
        return Err(UrlError::NoHost);
    }
    if let Some(address) = Address::parse(host) {
        return Ok(Host::Address { address, scope: b"" });
    }
    let name = without_final_dot(host);
    if name.len() > NAME_BYTES_MAX {
        return Err(UrlError::Name);
    }
    let mut last_is_number = false;
    for label in name.split(|&byte| byte == b'.') {
        let allowed = label.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let hyphen_at_end = label.starts_with(b"-") || label.ends_with(b"-");
        if label.is_empty() || label.len() > LABEL_BYTES_MAX || hyphen_at_end || !allowed {
            return Err(UrlError::Name);
        }
        last_is_number = label.iter().all(u8::is_ascii_digit);
    }
    if last_is_number {
        return Err(UrlError::Ipv4);
    }
    Ok(Host::Name(host))
}

/// The same destination, however it is written.
impl PartialEq for Endpoint<'_> {
    fn eq(&self, other: &Self) -> bool {
        let (own, others) = ((self.format, self.transport), (other.format, other.transport));
        own == others && self.host == other.host && self.port == other.port
    }
}

/// The same host: names without regard to case or the final dot.
impl PartialEq for Host<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Host::Address { address: a, scope: sa }, Host::Address { address: b, scope: sb }) => {
                a == b && sa == sb
            }
            (Host::Name(a), Host::Name(b)) => without_final_dot(a).eq_ignore_ascii_case(without_final_dot(b)),
            _ => false,
        }
    }
}

/// The URL in its plain form, host and port as they were written.
impl Display for Endpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = match self.format {
            Format::Json => "",
            Format::Syslog => "syslog+",
        };
        let transport = match self.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        write!(f, "{format}{transport}://{}/", Quoted(self.authority))
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
        let got = got.map_or_else(|error| error.to_string(), |endpoint| endpoint.to_string());
        assert_eq!(got, want, "{url}");
    }

    #[test]
    fn urls_that_are_right() {
        check("tcp://10.0.0.1:5044/", "tcp://10.0.0.1:5044/");
        check("tcp://10.0.0.1:5044", "tcp://10.0.0.1:5044/");
        check("UDP://10.0.0.1:1/", "udp://10.0.0.1:1/");
        check("syslog+tcp://10.0.0.1:514", "syslog+tcp://10.0.0.1:514/");
        check("Syslog+UDP://[::1]:514/", "syslog+udp://[::1]:514/");
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
                UrlError::Scheme,
                &[
                    "",
                    "10.0.0.1:5044",
                    "tpc://10.0.0.1:5044",
                    "tcp:/10.0.0.1:5044",
                    "://h:1",
                    "https://h:1",
                    "syslog://h:1",
                    "syslog+tls://h:1",
                    "+tcp://h:1",
                    "tcp+syslog://h:1",
                ][..],
            ),
            (UrlError::NotText, &["tcp://h\u{e9}:1", "tcp://h :1", "tcp://h\x01:1"]),
            (UrlError::User, &["tcp://u@h:1", "tcp://u:p@h:1/"]),
            (UrlError::NoHost, &["tcp://", "tcp:///", "tcp://:5044"]),
            (
                UrlError::NoPort,
                &["tcp://h", "tcp://h/", "tcp://h:", "tcp://h:/", "tcp://[::1]", "tcp://[::1]/"],
            ),
            (
                UrlError::Port,
                &["tcp://h:0", "tcp://h:65536", "tcp://h:+1", "tcp://h:-1", "tcp://h:http", "tcp://h:1x"],
            ),
            (UrlError::Bracket, &["tcp://[::1:5044", "tcp://[::1/]:5"]),
            (UrlError::Ipv6, &["tcp://[]:1", "tcp://[10.0.0.1]:1", "tcp://[::g]:1", "tcp://[:::]:1"]),
            (UrlError::Ipv6WithoutBrackets, &["tcp://::1:5044", "tcp://fe80::1"]),
            (
                UrlError::Scope,
                &["tcp://[fe80::1%]:1", "tcp://[fe80::1%0123456789abcdef]:1", "tcp://[fe80::1%a%b]:1"],
            ),
            (UrlError::Ipv4, &["tcp://10.0.0.300:1", "tcp://10.0.1:1", "tcp://010.0.0.1:1", "tcp://7:1"]),
            (
                UrlError::Name,
                &["tcp://-h:1", "tcp://h-:1", "tcp://a..b:1", "tcp://.:1", "tcp://h!:1", "tcp://h%20:1"],
            ),
            (UrlError::Path, &["tcp://h:1//", "tcp://h:1/x", "tcp://h:1/logs/"]),
            (UrlError::Query, &["tcp://h:1?x", "tcp://h:1/#x", "tcp://h:1/?x=1"]),
        ];
        for (error, urls) in cases {
            for url in urls {
                check(url, &error.to_string());
            }
        }
        let long = std::format!("tcp://{}:1", "a".repeat(LABEL_BYTES_MAX + 1));
        check(&long, &UrlError::Name.to_string());
        let long = std::format!("tcp://{}x:1", "a.".repeat(NAME_BYTES_MAX / 2 + 1));
        check(&long, &UrlError::Name.to_string());
    }

    #[test]
    fn the_longest_names() {
        let label = "a".repeat(LABEL_BYTES_MAX);
        check(&std::format!("tcp://{label}:1"), &std::format!("tcp://{label}:1/"));
        let name = "a.".repeat(NAME_BYTES_MAX / 2) + "a";
        assert_eq!(name.len(), NAME_BYTES_MAX);
        check(&std::format!("tcp://{name}.:1"), &std::format!("tcp://{name}.:1/"));
        check(&std::format!("tcp://{name}b:1"), &UrlError::Name.to_string());
    }

    #[test]
    fn interfaces_of_addresses() {
        let cases =
            [("fe80::1", ""), ("fe80::1%eth0", "eth0"), ("fe80::1%25eth0", "eth0"), ("fe80::1%25", "25")];
        for (host, want) in cases {
            let url = std::format!("udp://[{host}]:1");
            let Ok(Endpoint { host: Host::Address { scope, .. }, .. }) = Endpoint::parse(url.as_bytes())
            else {
                panic!("{url}");
            };
            assert_eq!(scope, want.as_bytes(), "{url}");
        }
    }

    #[test]
    fn the_same_destination() {
        let same = |a: &str, b: &str| Endpoint::parse(a.as_bytes()) == Endpoint::parse(b.as_bytes());
        assert!(same("tcp://h:1", "TCP://H.:1/"));
        assert!(same("tcp://[::1]:1", "tcp://[0::1]:1/"));
        assert!(same("tcp://[::ffff:10.0.0.1]:1", "tcp://10.0.0.1:1/"));
        assert!(!same("tcp://h:1", "udp://h:1"));
        assert!(!same("tcp://h:1", "syslog+tcp://h:1"));
        assert!(same("syslog+udp://h:1", "SYSLOG+udp://h.:1/"));
        assert!(!same("tcp://h:1", "tcp://h:2"));
        assert!(!same("tcp://[fe80::1%a]:1", "tcp://[fe80::1%b]:1"));
    }
}
