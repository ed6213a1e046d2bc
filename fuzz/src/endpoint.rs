//! URLs of destinations.

use core::net::{Ipv4Addr, Ipv6Addr};

use earlykmsg::address::Address;
use earlykmsg::config::endpoint::{Endpoint, Host};
use earlykmsg::limits::{INTERFACE_NAME_BYTES_MAX, NAME_BYTES_MAX};

/// What an endpoint displays is read as the same endpoint; its host is what `core` reads there; and every address that
/// `core` reads is read in a URL.
pub fn check(bytes: &[u8]) {
    match Endpoint::parse(bytes) {
        Ok(endpoint) => right(bytes, endpoint),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        let url = format!("udp://{text}:1");
        let got = Endpoint::parse(url.as_bytes()).map(|endpoint| endpoint.host);
        assert_eq!(got, Ok(Host::Address { address: Address::new(address), scope: b"" }), "{url}");
    }
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        let url = format!("udp://[{text}]:1");
        let got = Endpoint::parse(url.as_bytes()).map(|endpoint| endpoint.host);
        assert_eq!(got, Ok(Host::Address { address: Address::new(address), scope: b"" }), "{url}");
    }
}

fn right(url: &[u8], endpoint: Endpoint<'_>) {
    let shown = endpoint.to_string();
    assert!(shown.len() <= url.len() + 1, "{shown} is longer than what it was read from");
    let again = Endpoint::parse(shown.as_bytes()).unwrap_or_else(|error| panic!("{shown}: {error}"));
    assert_eq!(again, endpoint);
    assert_eq!(again.to_string(), shown);

    let (scheme, rest) = shown.split_once("://").expect("a scheme");
    assert!(url[..scheme.len()].eq_ignore_ascii_case(scheme.as_bytes()), "{shown}");
    let (host, port) = rest.strip_suffix('/').expect("a final slash").rsplit_once(':').expect("a port");
    assert_eq!(port.parse(), Ok(endpoint.port));
    assert_ne!(endpoint.port, 0);
    match endpoint.host {
        Host::Address { address, scope } => {
            match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
                None => {
                    let written: Ipv4Addr = host.parse().expect("an address");
                    assert_eq!((address, scope), (Address::new(written), &b""[..]));
                }
                Some(inner) => {
                    let (written, after) = inner.split_once('%').unwrap_or((inner, ""));
                    let written: Ipv6Addr = written.parse().expect("an address");
                    assert_eq!(address, Address::new(written));
                    let after = after.as_bytes();
                    assert!(after == scope || after.strip_prefix(b"25") == Some(scope), "scope of {shown}");
                    assert!(
                        scope.len() <= INTERFACE_NAME_BYTES_MAX && scope.is_empty() != inner.contains('%'),
                        "scope of {shown}"
                    );
                }
            }
        }
        Host::Name(name) => {
            assert_eq!(name, host.as_bytes());
            assert!(host.parse::<Ipv4Addr>().is_err());
            assert!((1..=NAME_BYTES_MAX + 1).contains(&name.len()), "{host}");
        }
    }
}
