//! What `earlykmsg.netconsole=` asks for: where the kernel's netconsole sends to.

use core::fmt::{self, Display};

use super::endpoint::{Endpoint, Format, Host, Transport};
use super::network::NetworkError;
use crate::address::Address;

/// The receiver.
#[derive(Clone, Copy, Debug)]
pub struct Netconsole<'a> {
    /// Its address.
    pub address: Address,
    /// The name or number of the interface that a link-local address belongs to; empty: none.
    pub scope: &'a [u8],
    /// Its port.
    pub port: u16,
    endpoint: Endpoint<'a>,
}

impl<'a> Netconsole<'a> {
    /// Reads the value: `udp://10.0.0.1:6666/`. A name is none of the kernel's: it would have to be looked up, and again
    /// whenever its address may have changed.
    pub fn parse(value: &'a [u8]) -> Result<Netconsole<'a>, NetworkError> {
        match Endpoint::parse(value) {
            Ok(
                endpoint @ Endpoint {
                    format: Format::Json,
                    transport: Transport::Udp,
                    host: Host::Address { address, scope },
                    port,
                    ..
                },
            ) if address.is_of_another_machine() => Ok(Netconsole { address, scope, port, endpoint }),
            _ => Err(NetworkError::Netconsole),
        }
    }
}

/// The URL.
impl Display for Netconsole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.endpoint.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn receivers() {
        let right = Netconsole::parse(b"udp://[fe80::1%eth0]:6666").expect("a receiver");
        assert_eq!(
            (right.address.to_string().as_str(), right.scope, right.port),
            ("fe80::1", &b"eth0"[..], 6666)
        );
        assert_eq!(right.to_string(), "udp://[fe80::1%eth0]:6666/");
        for value in ["udp://10.0.2.2:1", "UDP://10.0.2.2:1/", "udp://[2001:db8::1]:1"] {
            assert!(Netconsole::parse(value.as_bytes()).is_ok(), "{value}");
        }
        for value in [
            "tcp://10.0.2.2:1",
            "syslog+udp://10.0.2.2:1",
            "udp://logs:1",
            "udp://10.0.2.2",
            "10.0.2.2:1",
            "udp://127.0.0.1:1",
            "udp://[::1]:1",
            "udp://224.0.0.1:1",
            "@/eth0,@10.0.2.2/",
        ] {
            assert_eq!(Netconsole::parse(value.as_bytes()).err(), Some(NetworkError::Netconsole), "{value}");
        }
    }
}
