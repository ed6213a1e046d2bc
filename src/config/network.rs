//! What one word about the network asks for: `earlykmsg.ip=`, `earlykmsg.vlan=`, `earlykmsg.bond=`, `earlykmsg.modules=`.

use core::fmt::{self, Display};
use core::net::{IpAddr, Ipv4Addr};

use crate::address::Address;
use crate::limits::INTERFACE_NAME_BYTES_MAX;
use crate::text::{decimal, hexadecimal, next_part, split_once};
use crate::wire::dhcp::{Mac, class_length, mask_length};

/// What `earlykmsg.ip=` asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ip<'a> {
    /// Which link.
    pub device: Device<'a>,
    /// How it gets an address.
    pub method: Method,
    /// The machine's name; empty: none.
    pub hostname: &'a [u8],
}

/// Which link a word is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Device<'a> {
    /// All that no other word names.
    Any,
    /// The one with this name.
    Name(&'a [u8]),
    /// The one with this hardware address.
    Mac(Mac),
}

/// How a link gets an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// By DHCP.
    Dhcp,
    /// By the router advertisements of IPv6, which the kernel hears.
    Auto6,
    /// It is named.
    Static(Static),
}

/// An address and what belongs to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Static {
    /// The address.
    pub address: Address,
    /// How many bits of it are the network's.
    pub prefix_length: u8,
    /// Where packets to other networks go.
    pub gateway: Option<Address>,
    /// Name servers.
    pub name_servers: [Option<Address>; 2],
}

/// What is wrong with such a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // the texts below explain them
pub enum NetworkError {
    Method,
    Device,
    Client,
    Mask,
    Gateway,
    NameServer,
    Vlan,
    VlanId,
    Bond,
    BondOption,
    Module,
    Netconsole,
    TooMany,
}

impl Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            NetworkError::Method => {
                "must be dhcp, auto6, or an address and its fields, the last of them none"
            }
            NetworkError::Device => "the device must be a name of 1 to 15 characters or a hardware address",
            NetworkError::Client => "the address is none of IPv4, nor one of IPv6 in '[' and ']'",
            NetworkError::Mask => "the mask must be a number of bits or, for IPv4, like 255.255.255.0",
            NetworkError::Gateway => "the gateway must be an address of the same kind",
            NetworkError::NameServer => "a name server must be an address",
            NetworkError::Vlan => "must be NAME:DEVICE",
            NetworkError::VlanId => "the name must end in the number of the VLAN, 1 to 4094",
            NetworkError::Bond => "must be NAME:DEVICE,DEVICE with options behind another ':'",
            NetworkError::BondOption => "of options, mode= and miimon= are taken",
            NetworkError::Module => "must be auto, none or names of modules with a comma between",
            NetworkError::Netconsole => "must be udp://ADDRESS:PORT/ of another machine",
            NetworkError::TooMany => "there are too many of these words",
        };
        write!(f, "{what}; this word is left out")
    }
}

impl<'a> Ip<'a> {
    /// Reads the value of `earlykmsg.ip=`.
    pub fn parse(value: &'a [u8]) -> Result<Ip<'a>, NetworkError> {
        let mut rest = value;
        let first = next_field(&mut rest);
        let short = |device, method| Ok(Ip { device, method, hostname: b"" });
        if let Some(method) = automatic(first).filter(|_| rest.is_empty()) {
            return short(Device::Any, method);
        }
        if let Some(method) = automatic(rest) {
            return short(Device::parse(first)?, method);
        }
        let [_server, gateway, mask, hostname] = [(); 4].map(|()| next_field(&mut rest));
        let device = match next_field(&mut rest) {
            b"" => Device::Any,
            name => Device::parse(name)?,
        };
        let method = match next_field(&mut rest) {
            b"none" | b"off" => Method::Static(Static::parse(first, gateway, mask, rest)?),
            other => automatic(other).ok_or(NetworkError::Method)?,
        };
        Ok(Ip { device, method, hostname })
    }
}

/// A method that needs no address.
fn automatic(text: &[u8]) -> Option<Method> {
    match text {
        b"dhcp" | b"on" | b"any" => Some(Method::Dhcp),
        b"auto6" => Some(Method::Auto6),
        _ => None,
    }
}

/// Takes the next field: what stands before a colon, in brackets or not, or a hardware address with its colons.
fn next_field<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let text = *rest;
    let length = match text {
        [b'[', ..] => text.iter().position(|&byte| byte == b']').map_or(0, |at| at + 1),
        _ if text.get(..MAC_TEXT_BYTES).is_some_and(|start| parse_mac(start).is_some()) => MAC_TEXT_BYTES,
        _ => 0,
    };
    match text.get(length) {
        Some(b':') => {
            *rest = &text[length + 1..];
            &text[..length]
        }
        None => {
            *rest = b"";
            text
        }
        Some(_) => next_part(rest, b':'),
    }
}

const MAC_TEXT_BYTES: usize = "00:00:00:00:00:00".len();

/// Reads a hardware address, its parts separated by `:` or `-`.
fn parse_mac(text: &[u8]) -> Option<Mac> {
    let mut mac = Mac::default();
    if text.len() != MAC_TEXT_BYTES
        || text.iter().skip(2).step_by(3).any(|&byte| !matches!(byte, b':' | b'-'))
    {
        return None;
    }
    for (byte, digits) in mac.iter_mut().zip(text.chunks(3)) {
        *byte = hexadecimal(&digits[..2])? as u8;
    }
    Some(mac)
}

impl<'a> Device<'a> {
    fn parse(text: &'a [u8]) -> Result<Device<'a>, NetworkError> {
        if let Some(mac) = parse_mac(text) {
            return Ok(Device::Mac(mac));
        }
        if is_device_name(text) { Ok(Device::Name(text)) } else { Err(NetworkError::Device) }
    }
}

/// Whether the kernel would take a name for a link.
fn is_device_name(name: &[u8]) -> bool {
    (1..=INTERFACE_NAME_BYTES_MAX).contains(&name.len())
        && name.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':')
}

impl Static {
    fn parse(client: &[u8], gateway: &[u8], mask: &[u8], mut servers: &[u8]) -> Result<Static, NetworkError> {
        let address = parse_address(client).ok_or(NetworkError::Client)?;
        let same_kind = |other: &Address| other.is_ipv4() == address.is_ipv4();
        let optional = |text: &[u8], error| match text {
            b"" => Ok(None),
            _ => parse_address(text).ok_or(error).map(Some),
        };
        let gateway = optional(gateway, NetworkError::Gateway)?;
        if !gateway.iter().all(same_kind) {
            return Err(NetworkError::Gateway);
        }
        let prefix_length = match (address.ip, mask) {
            (IpAddr::V4(ip), b"") => class_length(ip),
            (IpAddr::V6(_), b"") => 64,
            (IpAddr::V4(_), mask) => read_mask(mask).ok_or(NetworkError::Mask)?,
            (IpAddr::V6(_), mask) => prefix_length(mask, 128).ok_or(NetworkError::Mask)?,
        };
        let [first, second] = [(); 2].map(|()| optional(next_field(&mut servers), NetworkError::NameServer));
        Ok(Static { address, prefix_length, gateway, name_servers: [first?, second?] })
    }
}

fn read_mask(mask: &[u8]) -> Option<u8> {
    let dotted = || mask_length(core::str::from_utf8(mask).ok()?.parse::<Ipv4Addr>().ok()?);
    prefix_length(mask, 32).or_else(dotted).filter(|&length| length > 0)
}

fn prefix_length(text: &[u8], most: u32) -> Option<u8> {
    decimal(text).filter(|length| (1..=most).contains(length)).map(|length| length as u8)
}

/// An IPv4 address, or an IPv6 address in brackets.
fn parse_address(text: &[u8]) -> Option<Address> {
    match text {
        [b'[', inner @ .., b']'] => Address::parse_ipv6(inner).filter(|address| !address.is_ipv4()),
        _ => Address::parse(text).filter(Address::is_ipv4),
    }
}

/// What `earlykmsg.vlan=` asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vlan<'a> {
    /// The new link's name.
    pub name: &'a [u8],
    /// The link that it is made of.
    pub device: &'a [u8],
    /// Its number.
    pub id: u16,
}

impl<'a> Vlan<'a> {
    /// Reads the value: `eth0.5:eth0`, `vlan0005:eth0`.
    pub fn parse(value: &'a [u8]) -> Result<Vlan<'a>, NetworkError> {
        let (name, device) = split_once(value, b':').ok_or(NetworkError::Vlan)?;
        if !is_device_name(name) || !is_device_name(device) {
            return Err(NetworkError::Device);
        }
        let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        match decimal(&name[name.len() - digits..]) {
            Some(id @ 1..=4094) => Ok(Vlan { name, device, id: id as u16 }),
            _ => Err(NetworkError::VlanId),
        }
    }
}

/// What `earlykmsg.bond=` asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bond<'a> {
    /// The new link's name.
    pub name: &'a [u8],
    /// The links that it is made of, with a comma between.
    pub devices: &'a [u8],
    /// The number of its mode.
    pub mode: u8,
    /// How often its links' carriers are looked at.
    pub miimon_ms: u32,
}

/// The modes of a bond, each at its number.
const BOND_MODES: [&[u8]; 7] = [
    b"balance-rr",
    b"active-backup",
    b"balance-xor",
    b"broadcast",
    b"802.3ad",
    b"balance-tlb",
    b"balance-alb",
];
/// dracut's own value where none is given.
const MIIMON_MS: u32 = 100;

impl<'a> Bond<'a> {
    /// Reads the value: `bond0:eth0,eth1:mode=active-backup,miimon=100`.
    pub fn parse(value: &'a [u8]) -> Result<Bond<'a>, NetworkError> {
        let mut rest = value;
        let [name, devices, mut options] = [(); 3].map(|()| next_part(&mut rest, b':'));
        if devices.is_empty() {
            return Err(NetworkError::Bond);
        }
        let mut bond = Bond { name, devices, mode: 0, miimon_ms: MIIMON_MS };
        if !is_device_name(name) || !bond.devices().all(is_device_name) {
            return Err(NetworkError::Device);
        }
        while !options.is_empty() {
            match split_once(next_part(&mut options, b','), b'=') {
                Some((b"mode", value)) => bond.mode = bond_mode(value).ok_or(NetworkError::BondOption)?,
                Some((b"miimon", value)) => {
                    bond.miimon_ms = decimal(value).ok_or(NetworkError::BondOption)?;
                }
                _ => return Err(NetworkError::BondOption),
            }
        }
        Ok(bond)
    }

    /// The links that it is made of.
    pub fn devices(&self) -> impl Iterator<Item = &'a [u8]> {
        self.devices.split(|&byte| byte == b',')
    }
}

fn bond_mode(value: &[u8]) -> Option<u8> {
    let number = BOND_MODES.iter().position(|&name| name == value);
    let number = number.or_else(|| decimal(value).map(|number| number as usize));
    number.filter(|&number| number < BOND_MODES.len()).map(|number| number as u8)
}

/// What `earlykmsg.modules=` asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Modules<'a> {
    /// Names, with a comma between; empty: none.
    pub names: &'a [u8],
    /// Whether the drivers of the network devices that are there are loaded besides.
    pub auto: bool,
}

impl<'a> Modules<'a> {
    /// What holds without the word.
    pub const DEFAULT: Modules<'static> = Modules { names: b"", auto: true };

    /// Reads the value.
    pub fn parse(value: &'a [u8]) -> Result<Modules<'a>, NetworkError> {
        let is_name = |name: &[u8]| {
            !name.is_empty()
                && name.iter().all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        };
        match value {
            b"auto" => Ok(Modules::DEFAULT),
            b"none" => Ok(Modules { names: b"", auto: false }),
            names if names.split(|&byte| byte == b',').all(is_name) => Ok(Modules { names, auto: true }),
            _ => Err(NetworkError::Module),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    fn shown(value: &str) -> String {
        let device = |device| match device {
            Device::Any => "any".into(),
            Device::Name(name) => String::from_utf8_lossy(name).into_owned(),
            Device::Mac(mac) => format!("{mac:02x?}"),
        };
        match Ip::parse(value.as_bytes()) {
            Err(error) => format!("{error:?}"),
            Ok(Ip { device: of, method: Method::Dhcp, .. }) => format!("{} dhcp", device(of)),
            Ok(Ip { device: of, method: Method::Auto6, .. }) => format!("{} auto6", device(of)),
            Ok(Ip { device: of, method: Method::Static(fixed), hostname }) => {
                let gateway = fixed.gateway.map_or("-".into(), |gateway| format!("{gateway}"));
                let servers: Vec<String> =
                    fixed.name_servers.iter().flatten().map(|one| format!("{one}")).collect();
                format!(
                    "{} {}/{} {gateway} {} {}",
                    device(of),
                    fixed.address,
                    fixed.prefix_length,
                    servers.join(","),
                    String::from_utf8_lossy(hostname)
                )
            }
        }
    }

    #[test]
    fn each_form() {
        for (value, want) in [
            ("dhcp", "any dhcp"),
            ("on", "any dhcp"),
            ("any", "any dhcp"),
            ("auto6", "any auto6"),
            ("eth0:dhcp", "eth0 dhcp"),
            ("enp0s2:auto6", "enp0s2 auto6"),
            ("52:54:00:12:34:56:dhcp", "[52, 54, 00, 12, 34, 56] dhcp"),
            ("52-54-00-12-34-5F:dhcp", "[52, 54, 00, 12, 34, 5f] dhcp"),
            (":::::eth0:dhcp", "eth0 dhcp"),
            ("::::node7:eth0:dhcp", "eth0 dhcp"),
            ("10.0.2.15::10.0.2.2:255.255.255.0:node7:eth0:none", "eth0 10.0.2.15/24 10.0.2.2  node7"),
            ("10.0.2.15::10.0.2.2:24::eth0:off", "eth0 10.0.2.15/24 10.0.2.2  "),
            ("10.0.2.15::::::none", "any 10.0.2.15/8 -  "),
            ("192.168.1.9::::::none:192.168.1.1", "any 192.168.1.9/24 - 192.168.1.1 "),
            (
                "10.0.2.15:10.0.2.9:10.0.2.2:24:h:52:54:00:12:34:56:none:10.0.2.3:10.0.2.4",
                "[52, 54, 00, 12, 34, 56] 10.0.2.15/24 10.0.2.2 10.0.2.3,10.0.2.4 h",
            ),
            (
                "[2001:db8::5]::[2001:db8::1]:64:h:eth0:none:[2001:db8::53]:10.0.0.1",
                "eth0 2001:db8::5/64 2001:db8::1 2001:db8::53,10.0.0.1 h",
            ),
            ("[2001:db8::5]:::::eth0:none", "eth0 2001:db8::5/64 -  "),
            ("", "Method"),
            ("none", "Method"),
            ("eth0", "Method"),
            ("eth0:bootp", "Method"),
            ("10.0.2.15::10.0.2.2:24::eth0", "Method"),
            ("10.0.2.15::10.0.2.2:24::eth0:both", "Method"),
            ("a-name-that-is-too-long:dhcp", "Device"),
            ("a/b:dhcp", "Device"),
            (":dhcp", "Device"),
            ("10.0.2.15::::h:a-name-that-is-too-long:none", "Device"),
            ("::::::none", "Client"),
            ("10.0.2.300::::::none", "Client"),
            ("[10.0.2.3]::::::none", "Client"),
            ("10.0.2.15::[2001:db8::1]::::none", "Gateway"),
            ("[2001:db8::5]::10.0.0.1::::none", "Gateway"),
            ("10.0.2.15::x::::none", "Gateway"),
            ("10.0.2.15:::33:::none", "Mask"),
            ("10.0.2.15:::0:::none", "Mask"),
            ("10.0.2.15:::0.0.0.0:::none", "Mask"),
            ("10.0.2.15:::255.0.255.0:::none", "Mask"),
            ("[2001:db8::5]:::129:::none", "Mask"),
            ("[2001:db8::5]:::255.255.255.0:::none", "Mask"),
            ("10.0.2.15:::24:::none:x", "NameServer"),
            ("10.0.2.15:::24:::none:10.0.0.1:x", "NameServer"),
            ("[2001:db8::5", "Method"),
        ] {
            assert_eq!(shown(value), want, "{value}");
        }
    }

    #[test]
    fn vlans() {
        let read = |value: &'static str| {
            Vlan::parse(value.as_bytes())
                .map(|vlan| (str::from_utf8(vlan.name).unwrap(), vlan.device, vlan.id))
        };
        assert_eq!(read("eth0.5:eth0"), Ok(("eth0.5", &b"eth0"[..], 5)));
        assert_eq!(read("vlan0042:enp1s0"), Ok(("vlan0042", &b"enp1s0"[..], 42)));
        for (value, error) in [
            ("eth0.5", NetworkError::Vlan),
            ("eth0.5:", NetworkError::Device),
            ("trunk:eth0", NetworkError::VlanId),
            ("vlan0:eth0", NetworkError::VlanId),
            ("vlan4095:eth0", NetworkError::VlanId),
        ] {
            assert_eq!(read(value), Err(error), "{value}");
        }
    }

    #[test]
    fn bonds() {
        let bond = Bond::parse(b"bond0:eth0,eth1:mode=active-backup,miimon=50").unwrap();
        assert_eq!((bond.name, bond.mode, bond.miimon_ms), (&b"bond0"[..], 1, 50));
        assert_eq!(bond.devices().collect::<Vec<_>>(), [b"eth0", b"eth1"]);
        let bond = Bond::parse(b"bond0:eth0").unwrap();
        assert_eq!((bond.mode, bond.miimon_ms), (0, 100));
        assert_eq!(Bond::parse(b"b:e:mode=4").unwrap().mode, 4);
        for (value, error) in [
            ("bond0", NetworkError::Bond),
            ("bond0:", NetworkError::Bond),
            ("bond0:eth0,:mode=1", NetworkError::Device),
            (":eth0", NetworkError::Device),
            ("bond0:eth0:mode=7", NetworkError::BondOption),
            ("bond0:eth0:mode=fast", NetworkError::BondOption),
            ("bond0:eth0:miimon=", NetworkError::BondOption),
            ("bond0:eth0:primary=eth0", NetworkError::BondOption),
        ] {
            assert_eq!(Bond::parse(value.as_bytes()), Err(error), "{value}");
        }
    }

    #[test]
    fn modules() {
        assert_eq!(Modules::parse(b"auto"), Ok(Modules::DEFAULT));
        assert_eq!(Modules::parse(b"none"), Ok(Modules { names: b"", auto: false }));
        assert_eq!(Modules::parse(b"ramoops,r8169"), Ok(Modules { names: b"ramoops,r8169", auto: true }));
        for value in [&b""[..], b",", b"a,,b", b"../x", b"a b"] {
            assert_eq!(Modules::parse(value), Err(NetworkError::Module));
        }
    }
}
