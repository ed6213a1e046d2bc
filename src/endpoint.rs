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
        if !url.iter().all(u8::is_ascii_graphic) {
            return Err(Wrong::NotText);
        }
        let (scheme, rest) = cut(url, b':').ok_or(Wrong::Scheme)?;
        let rest = rest.strip_prefix(b"//").ok_or(Wrong::Scheme)?;
        let scheme = match scheme {
            s if s.eq_ignore_ascii_case(b"tcp") => Scheme::Tcp,
            s if s.eq_ignore_ascii_case(b"udp") => Scheme::Udp,
            _ => return Err(Wrong::Scheme),
        };
        if rest.contains(&b'?') || rest.contains(&b'#') {
            return Err(Wrong::Query);
        }
        let (authority, path) = cut(rest, b'/').unwrap_or((rest, b""));
        if authority.contains(&b'@') {
            return Err(Wrong::User);
        }
        let (host, port) = match authority.strip_prefix(b"[") {
            Some(inner) => {
                let (inner, port) = cut(inner, b']').ok_or(Wrong::Bracket)?;
                (v6(inner)?, port.strip_prefix(b":").ok_or(Wrong::NoPort)?)
            }
            None => {
                let (host, port) = match cut(authority, b':') {
                    Some((_, port)) if port.contains(&b':') => return Err(Wrong::V6Bare),
                    Some(parts) => parts,
                    None if authority.is_empty() => return Err(Wrong::NoHost),
                    None => return Err(Wrong::NoPort),
                };
                (v4_or_name(host)?, port)
            }
        };
        let port = match port {
            b"" => return Err(Wrong::NoPort),
            digits => number(digits).and_then(|port| u16::try_from(port).ok()),
        };
        let port = port.filter(|&port| port != 0).ok_or(Wrong::Port)?;
        match path {
            b"" => Ok(Endpoint { scheme, host, port, text: text(authority) }),
            _ => Err(Wrong::Path),
        }
    }
}

/// What stands before and after the first `at`.
fn cut(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let found = bytes.iter().position(|&byte| byte == at)?;
    Some((&bytes[..found], &bytes[found + 1..]))
}

/// Bytes that were found to be ASCII.
fn text(ascii: &[u8]) -> &str {
    core::str::from_utf8(ascii).unwrap_or_default()
}

/// A decimal number: digits only, so that `+1` and an empty text are none.
pub fn number(digits: &[u8]) -> Option<u32> {
    let value = digits.iter().try_fold(0u32, |value, &digit| {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 { None } else { value.checked_mul(10)?.checked_add(u32::from(digit)) }
    });
    value.filter(|_| !digits.is_empty())
}

/// What stands between the brackets: an address, perhaps a zone after `%` or, as URLs have it, `%25`.
fn v6(inner: &[u8]) -> Result<Host<'_>, Wrong> {
    let (address, zone) = match cut(inner, b'%') {
        Some((address, zone)) => {
            let zone = zone.strip_prefix(b"25").filter(|rest| !rest.is_empty()).unwrap_or(zone);
            if zone.is_empty() || zone.len() > ZONE_BYTES_MAX || zone.contains(&b'%') || zone.contains(&b'[')
            {
                return Err(Wrong::Zone);
            }
            (address, Some(text(zone)))
        }
        None => (inner, None),
    };
    let address = v6_address(address).ok_or(Wrong::V6)?;
    Ok(Host::V6 { address, zone })
}

/// Four numbers up to 255, without leading zeros. (`core`'s parsers of addresses take 2 KiB, these 600 bytes.)
fn v4_address(digits: &[u8]) -> Option<Ipv4Addr> {
    let mut bytes = [0; 4];
    let mut parts = digits.split(|&byte| byte == b'.');
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 1 || part.first() != Some(&b'0'))?;
        *byte = u8::try_from(number(part)?).ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(bytes))
}

/// Eight groups of up to four hexadecimal digits; `::` stands once for one or more of them that are zero, and the
/// last two may be written as an IPv4 address.
fn v6_address(text: &[u8]) -> Option<Ipv6Addr> {
    let mut groups = [0u16; 8];
    let mut count = 0;
    let mut gap = None;
    let mut rest = text;
    if let Some(after) = rest.strip_prefix(b"::") {
        (gap, rest) = (Some(0), after);
    }
    while !rest.is_empty() {
        let (group, after) = cut(rest, b':').map_or((rest, None), |(group, after)| (group, Some(after)));
        if after.is_none()
            && let Some(v4) = v4_address(group)
        {
            let [a, b, c, d] = v4.octets();
            *groups.get_mut(count)? = u16::from_be_bytes([a, b]);
            *groups.get_mut(count + 1)? = u16::from_be_bytes([c, d]);
            count += 2;
            break;
        }
        *groups.get_mut(count)? = u16::try_from(hex(group).filter(|_| group.len() <= 4)?).ok()?;
        count += 1;
        rest = match after.map(|after| (after, after.strip_prefix(b":"))) {
            None => break,
            // A single colon must be followed by a group.
            Some((b"", _)) => return None,
            Some((after, None)) => after,
            Some((_, Some(after))) => {
                if gap.replace(count).is_some() {
                    return None;
                }
                after
            }
        };
    }
    match gap {
        None if count == 8 => {}
        Some(gap) if count < 8 => {
            groups.copy_within(gap..count, 8 - (count - gap));
            groups[gap..8 - (count - gap)].fill(0);
        }
        _ => return None,
    }
    Some(Ipv6Addr::from(groups))
}

/// A number of up to eight hexadecimal digits.
pub fn hex(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    digits.iter().try_fold(0, |value, &digit| Some(value << 4 | char::from(digit).to_digit(16)?))
}

/// A host outside brackets. One whose last label is a number is meant as an address and must be one.
fn v4_or_name(host: &[u8]) -> Result<Host<'_>, Wrong> {
    if host.is_empty() {
        return Err(Wrong::NoHost);
    }
    if let Some(address) = v4_address(host) {
        return Ok(Host::V4(address));
    }
    let name = host.strip_suffix(b".").unwrap_or(host);
    if name.len() > NAME_BYTES_MAX {
        return Err(Wrong::Name);
    }
    let mut last_is_number = false;
    for label in name.split(|&byte| byte == b'.') {
        let allowed = label.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let hyphen = label.first() == Some(&b'-') || label.last() == Some(&b'-');
        if label.is_empty() || label.len() > LABEL_BYTES_MAX || hyphen || !allowed {
            return Err(Wrong::Name);
        }
        last_is_number = label.iter().all(u8::is_ascii_digit);
    }
    if last_is_number {
        return Err(Wrong::V4);
    }
    Ok(Host::Name(text(host)))
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
                let bare = |name: &'_ str| -> usize { name.len() - usize::from(name.ends_with('.')) };
                a.as_bytes()[..bare(a)].eq_ignore_ascii_case(&b.as_bytes()[..bare(b)])
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
    use crate::testing::Random;
    use std::string::{String, ToString};

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

    /// Random texts of the right letters: what `core` makes of them, ours must make of them.
    #[test]
    fn addresses_are_read_as_core_reads_them() {
        let mut random = Random::new(11);
        let parts =
            [":", "::", "0", "1", "ff", "abcd", "10", "255", "256", ".", "1.2.3.4", "g", "00", "01", ":1:2"];
        let mut right = 0;
        for _ in 0..400_000 {
            let mut text = String::new();
            for _ in 0..random.below(14) {
                text += parts[random.below(parts.len())];
            }
            let (v4, v6) = (text.parse().ok(), text.parse().ok());
            assert_eq!(v4_address(text.as_bytes()), v4, "{text}");
            assert_eq!(v6_address(text.as_bytes()), v6, "{text}");
            right += usize::from(v4.is_some() || v6.is_some());
        }
        assert!(right > 1_000, "{right}");
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
