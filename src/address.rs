//! IP addresses of both families, and the numbers that texts hold. Pure.
//!
//! An address is 16 bytes; one of IPv4 is kept as IPv6 maps it (`::ffff:10.0.0.1`), so that both ways to write it are
//! the same address.

use crate::words::{Line, Words, hex_digit};

/// An address of either family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address {
    /// As IPv6 has it.
    pub bytes: [u8; 16],
    /// The number of the interface for addresses that hold only there, else 0.
    pub scope: u32,
}

/// What stands before the four bytes of an IPv4 address.
const V4_PREFIX: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

impl Address {
    /// An address from its 4 or 16 bytes.
    pub fn of(bytes: &[u8]) -> Address {
        let mut all = [0; 16];
        if bytes.len() == 4 {
            all[10..12].fill(0xff);
        }
        for (to, from) in all.iter_mut().rev().zip(bytes.iter().rev()) {
            *to = *from;
        }
        Address { bytes: all, scope: 0 }
    }

    /// The four bytes of an IPv4 address.
    pub fn as_v4(&self) -> Option<[u8; 4]> {
        self.bytes.strip_prefix(&V4_PREFIX)?.try_into().ok()
    }

    /// Whether it is an IPv4 address.
    pub fn is_v4(&self) -> bool {
        self.bytes[..12] == V4_PREFIX
    }
}

/// Its usual text, without the zone.
impl Words for Address {
    fn put(&self, line: &mut Line) {
        // What becomes of the `::`: it is to come, being passed over, behind.
        let (mut gap, start, base) = if self.is_v4() { (2, 12, 10) } else { (0, 0, 16) };
        let mut at = start;
        while at < 16 {
            let before = at;
            let mut group = u32::from(self.bytes[at]);
            at += 1;
            if base == 16 {
                group = group << 8 | u32::from(self.bytes[at & 15]);
                at += 1;
            }
            // One group alone is not worth it.
            if group == 0 && (gap == 1 || gap == 0 && self.bytes[at..].starts_with(&[0; 2])) {
                if gap == 0 {
                    b"::".put(line);
                }
                gap = 1;
                continue;
            }
            if before > start && gap != 1 {
                line.byte(if base == 10 { b'.' } else { b':' });
            }
            gap += gap & 1;
            digits(group, base, line);
        }
    }
}

/// A number of at most five digits.
fn digits(mut value: u32, base: u32, line: &mut Line) {
    let mut digits = [0; 5];
    let mut start = 5;
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = hex_digit((value % base) as u8);
        value /= base;
        start = at;
        if value == 0 {
            break;
        }
    }
    digits[start..].put(line);
}

/// What stands before and after the first `at`.
pub fn cut(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let found = bytes.iter().position(|&byte| byte == at)?;
    Some((&bytes[..found], &bytes[found + 1..]))
}

/// Cuts off what stands before the first `at`, or all there is.
#[inline(never)]
pub fn part<'a>(rest: &mut &'a [u8], at: u8) -> &'a [u8] {
    let (part, after) = cut(rest, at).unwrap_or((rest, b""));
    *rest = after;
    part
}

/// Whether there is an `at`. (`core`'s own search is made for long texts and takes 200 bytes.)
#[allow(clippy::manual_contains)] // see above
pub fn has(bytes: &[u8], at: u8) -> bool {
    bytes.iter().any(|&byte| byte == at)
}

/// A decimal number: digits only, so that `+1` and an empty text are none.
pub fn number(digits: &[u8]) -> Option<u32> {
    in_base(10, digits)
}

/// A number of up to eight hexadecimal digits.
pub fn hex(digits: &[u8]) -> Option<u32> {
    in_base(16, digits).filter(|_| digits.len() <= 8)
}

fn in_base(base: u32, digits: &[u8]) -> Option<u32> {
    let mut value = if digits.is_empty() { None } else { Some(0u32) };
    for &digit in digits {
        let digit = char::from(digit).to_digit(base)?;
        value = value?.checked_mul(base)?.checked_add(digit);
    }
    value
}

/// Four numbers up to 255, without leading zeros. (`core`'s parsers of addresses take 2 KiB, these 500 bytes.)
pub fn v4_address(text: &[u8]) -> Option<Address> {
    let mut bytes = [0; 4];
    let mut rest = text;
    for (at, byte) in bytes.iter_mut().enumerate() {
        let part;
        (part, rest) = if at < 3 { cut(rest, b'.')? } else { (rest, &b""[..]) };
        if part.len() > 1 && part[0] == b'0' {
            return None;
        }
        *byte = u8::try_from(number(part)?).ok()?;
    }
    Some(Address::of(&bytes))
}

/// Eight groups of up to four hexadecimal digits; `::` stands once for one or more of them that are zero, and the
/// last two may be written as an IPv4 address.
pub fn v6_address(text: &[u8]) -> Option<Address> {
    let mut bytes = [0; 16];
    let mut len = 0;
    let mut gap = None;
    let mut rest = text;
    if let [b':', b':', after @ ..] = rest {
        (gap, rest) = (Some(0), after);
    }
    while !rest.is_empty() {
        let (group, after) = match cut(rest, b':') {
            // A single colon must be followed by a group.
            Some((_, [])) => return None,
            Some(parts) => parts,
            None => (rest, &b""[..]),
        };
        rest = after;
        let place = bytes.get_mut(len..)?;
        if rest.is_empty()
            && let Some(v4) = v4_address(group)
        {
            *place.first_chunk_mut()? = v4.as_v4()?;
            len += 4;
            break;
        }
        let group = hex(group).filter(|_| group.len() <= 4)? as u16;
        *place.first_chunk_mut()? = group.to_be_bytes();
        len += 2;
        if let [b':', after @ ..] = rest {
            if gap.replace(len).is_some() {
                return None;
            }
            rest = after;
        }
    }
    match gap {
        None if len == 16 => {}
        Some(gap) if len < 16 => {
            // What stands behind the gap belongs at the end.
            for at in (gap..len).rev() {
                bytes.swap(at, at + 16 - len);
            }
        }
        _ => return None,
    }
    Some(Address::of(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, said};
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::string::{String, ToString};

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
            let v4 = text.parse().ok().map(|v4: Ipv4Addr| Address::of(&v4.octets()));
            let v6 = text.parse().ok().map(|v6: Ipv6Addr| Address::of(&v6.octets()));
            assert_eq!(v4_address(text.as_bytes()), v4, "{text}");
            assert_eq!(v6_address(text.as_bytes()), v6, "{text}");
            right += usize::from(v4.is_some() || v6.is_some());
        }
        assert!(right > 1_000, "{right}");
    }

    #[test]
    fn addresses_are_written_as_they_are_read() {
        for wanted in [
            "0.0.0.0",
            "10.0.2.255",
            "::",
            "::1",
            "fe80::1",
            "2001:db8::",
            "2001:db8::1:0:1",
            "1:2:3:4:5:6:7:8",
            "1:0:3:4:5:6:7:0",
            "1:2:3:4:5:6::",
            "100::abcd",
        ] {
            let read = v4_address(wanted.as_bytes()).or(v6_address(wanted.as_bytes()));
            assert_eq!(said(read.expect(wanted)), wanted);
        }
        assert_eq!(v6_address(b"::ffff:10.0.0.1"), v4_address(b"10.0.0.1"));
        assert_eq!(Address::of(&[10, 0, 0, 1]).as_v4(), Some([10, 0, 0, 1]));
        assert_eq!(Address::of(&[1; 16]).as_v4(), None);
    }

    #[test]
    fn every_address_written_can_be_read() {
        let mut random = Random::new(3);
        for _ in 0..20_000 {
            let bytes = [0; 16].map(|_: u8| if random.below(3) == 0 { random.byte() } else { 0 });
            let got = said(Address::of(&bytes));
            let read: IpAddr = got.parse().expect(&got);
            let want = Ipv6Addr::from(bytes);
            assert_eq!(read.to_canonical(), want.to_canonical(), "{got}");
            assert!(got.len() <= want.to_string().len() + 8, "{got}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(number(b"4294967295"), Some(u32::MAX));
        assert_eq!(hex(b"fFffFfff"), Some(u32::MAX));
        for bad in ["", "+1", "-1", " 1", "4294967296", "99999999999999999999", "a"] {
            assert_eq!(number(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(hex(b"000000001"), None);
    }
}
