//! The kernel's lists of sockets.

use core::net::{IpAddr, Ipv6Addr};

use earlykmsg::address::Address;
use earlykmsg::config::endpoint::{Endpoint, Host};
use earlykmsg::delivery::sockets::Socket;
use earlykmsg::limits::{DESTINATIONS_MAX, SHIPPER_UID};

/// The first line is a URL, the rest a list: each of its lines is a socket when a model that splits the text finds one
/// there, with the same inode, and then both agree whether it is another process's connection to the URL's receiver.
pub fn check(bytes: &[u8]) {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else { return };
    let (url, list) = (&bytes[..end], &bytes[end + 1..]);
    let Ok(endpoint) = Endpoint::parse(url) else { return };
    let receiver = match endpoint.host {
        Host::Address { address, .. } => address,
        Host::Name(_) => Address::new([10, 0, 2, 15]),
    };
    for line in list.split(|&byte| byte == b'\n') {
        let (socket, want) = (Socket::parse(line), Model::of(line));
        let shown = line.escape_ascii();
        assert_eq!(socket.map(|socket| socket.inode), want.map(|want| want.inode), "{shown}");
        if let (Some(socket), Some(want)) = (socket, want) {
            let is_foreign = want.is_foreign && want.port == endpoint.port;
            assert_eq!(socket.is_foreign(endpoint.port), is_foreign, "{shown}");
            let delivers = is_foreign && want.ip == receiver.ip;
            assert_eq!(socket.delivers_to(receiver, endpoint.port), delivers, "{endpoint} in {shown}");
        }
    }
}

/// A line, split plainly.
#[derive(Clone, Copy)]
struct Model {
    ip: IpAddr,
    port: u16,
    /// Established, and not a shipper's.
    is_foreign: bool,
    inode: u64,
}

impl Model {
    fn of(line: &[u8]) -> Option<Model> {
        let fields: Vec<&[u8]> = line.split(|&byte| byte <= b' ').filter(|field| !field.is_empty()).collect();
        let text = |at: usize| str::from_utf8(fields.get(at)?).ok();
        let (ip, port) = text(2)?.split_once(':')?;
        let decimal = |at: usize| -> Option<u32> {
            text(at).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
        };
        let (uid, inode) = (decimal(7)?, decimal(9)?);
        let is_ours = uid.checked_sub(SHIPPER_UID).is_some_and(|which| which < DESTINATIONS_MAX as u32);
        Some(Model {
            ip: parse_ip(ip)?,
            port: hexadecimal(port).filter(|_| port.len() <= 8)?.try_into().ok()?,
            is_foreign: fields[3] == b"01" && !is_ours,
            inode: inode.into(),
        })
    }
}

/// Words of 32 bits in the machine's own byte order. An IPv4 address may be written as IPv6 maps it.
fn parse_ip(digits: &str) -> Option<IpAddr> {
    match digits.len() {
        8 => Some(hexadecimal(digits)?.to_ne_bytes().into()),
        32 => {
            let words: Option<Vec<u32>> =
                (0..4).map(|at| hexadecimal(digits.get(at * 8..at * 8 + 8)?)).collect();
            let octets: Vec<u8> = words?.into_iter().flat_map(u32::to_ne_bytes).collect();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).to_canonical())
        }
        _ => None,
    }
}

fn hexadecimal(digits: &str) -> Option<u32> {
    let digits = Some(digits).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u32::from_str_radix(digits, 16).ok()
}
