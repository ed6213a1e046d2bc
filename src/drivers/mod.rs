//! Which kernel modules drive a device, and what they are loaded with: the files of `/lib/modules/RELEASE` and
//! `modprobe.d`, line by line.

pub mod settings;

use heapless::Vec;

use crate::limits::MODULE_NAME_BYTES_MAX;
use crate::text::{next_word, split_once};

/// The name of a module, with `_` for each `-`.
pub type Name = Vec<u8, MODULE_NAME_BYTES_MAX>;

/// A module's name as the kernel has it. `None`: it is longer than any.
pub fn name_of(text: &[u8]) -> Option<Name> {
    let mut name = Name::from_slice(text).ok()?;
    name.iter_mut().filter(|byte| **byte == b'-').for_each(|byte| *byte = b'_');
    Some(name)
}

/// The name of the module in a file: `kernel/drivers/net/virtio_net.ko.xz` has `virtio_net`.
pub fn name_of_file(path: &[u8]) -> Option<Name> {
    let file = path.rsplit(|&byte| byte == b'/').next()?;
    let at = file.windows(3).position(|part| part == b".ko")?;
    name_of(&file[..at])
}

/// Whether the kernel has to unpack a module's file.
pub fn is_compressed(path: &[u8]) -> bool {
    !path.ends_with(b".ko")
}

/// Whether a module drives network cards, or what leads to one.
pub fn leads_to_network(path: &[u8]) -> bool {
    const FOLDERS: [&[u8]; 6] = [
        b"/drivers/net/",
        b"/drivers/virtio/",
        b"/drivers/usb/host/",
        b"/drivers/hv/",
        b"/drivers/xen/",
        b"/drivers/pci/",
    ];
    FOLDERS.iter().any(|folder| path.windows(folder.len()).any(|part| part == *folder))
}

/// Whether a device may be a network card, or lead to one: a USB host, all that is behind it.
pub fn may_lead_to_network(modalias: &[u8]) -> bool {
    // A network controller, a USB host; the kinds of network devices on the other buses.
    const PCI: [&[u8]; 2] = [b"bc02", b"bc0Csc03"];
    const OTHERS: [&[u8]; 4] =
        [b"virtio:d00000001", b"vmbus:635161f83edfc546913ff2d2f965ed0e", b"xen:vif", b"usb:"];
    let contains = |part: &&[u8]| modalias.windows(part.len()).any(|window| window == *part);
    let is_pci = modalias.starts_with(b"pci:") && PCI.iter().any(contains);
    is_pci || OTHERS.iter().any(|start| modalias.starts_with(start))
}

/// A line of `modules.alias`: `alias pci:v00008086d0000100Esv*sd*bc*sc*i* e1000`.
pub fn read_alias(mut line: &[u8]) -> Option<(&[u8], &[u8])> {
    if next_word(&mut line) != b"alias" {
        return None;
    }
    let (pattern, module) = (next_word(&mut line), next_word(&mut line));
    (!module.is_empty()).then_some((pattern, module))
}

/// A line of `modules.dep`: a module's file, and those of the modules that it needs, the first to be loaded last.
pub fn read_dependencies(line: &[u8]) -> Option<(&[u8], &[u8])> {
    split_once(line, b':')
}

/// Hands the firmware that a part of an uncompressed module names to `take`: strings `firmware=NAME`, each between NULs.
pub fn for_each_firmware(part: &[u8], take: &mut dyn FnMut(&[u8])) {
    // What stands before the first NUL and behind the last may be cut.
    let Some((_, rest)) = split_once(part, b'\0') else { return };
    let mut rest = rest;
    while let Some((text, after)) = split_once(rest, b'\0') {
        if let Some(name) = text.strip_prefix(b"firmware=") {
            take(name);
        }
        rest = after;
    }
}

/// Whether a pattern with `*`, `?` and `[a-z]` matches all of a text.
pub fn matches(mut pattern: &[u8], mut text: &[u8]) -> bool {
    // Behind the last star, and the text that it has not taken yet.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        let taken = match (pattern, text) {
            ([], []) => return true,
            ([b'*', after @ ..], _) => {
                pattern = after;
                retry = Some((after, text));
                continue;
            }
            ([b'[', ..], [byte, ..]) => match_class(&pattern[1..], *byte),
            ([b'?', after @ ..], [_, ..]) => Some(after),
            ([wanted, after @ ..], [byte, ..]) if wanted == byte => Some(after),
            _ => None,
        };
        match (taken, retry) {
            (Some(after), _) => {
                pattern = after;
                text = &text[1..];
            }
            // The star takes one byte more.
            (None, Some((after, [_, rest @ ..]))) => {
                (pattern, text) = (after, rest);
                retry = Some((after, rest));
            }
            (None, _) => return false,
        }
    }
}

/// Whether the class that a pattern begins with has this byte: returns what stands behind its `]` then.
fn match_class(class: &[u8], byte: u8) -> Option<&[u8]> {
    let (mut members, after) = split_once(class, b']')?;
    let mut found = false;
    while let [first, rest @ ..] = members {
        let last;
        (last, members) = match rest {
            [b'-', last, rest @ ..] => (last, rest),
            _ => (first, rest),
        };
        found |= (*first..=*last).contains(&byte);
    }
    found.then_some(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use std::string::String;

    #[test]
    fn names() {
        assert_eq!(name_of(b"usb-storage").unwrap(), b"usb_storage");
        assert_eq!(name_of_file(b"kernel/drivers/net/virtio_net.ko.xz").unwrap(), b"virtio_net");
        assert_eq!(name_of_file(b"xhci-pci.ko").unwrap(), b"xhci_pci");
        assert_eq!(name_of_file(b"kernel/README"), None);
        assert_eq!(name_of(&[b'x'; MODULE_NAME_BYTES_MAX + 1]), None);
        assert!(is_compressed(b"a.ko.xz") && is_compressed(b"a.ko.zst") && !is_compressed(b"a.ko"));
        assert!(leads_to_network(b"kernel/drivers/net/ethernet/intel/e1000/e1000.ko"));
        assert!(leads_to_network(b"kernel/drivers/virtio/virtio_pci.ko"));
        assert!(!leads_to_network(b"kernel/drivers/gpu/drm/bochs/bochs.ko"));
    }

    #[test]
    fn devices() {
        for modalias in [
            &b"pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00"[..],
            b"pci:v00001B36d0000000Dsv00001AF4sd00001100bc0Csc03i30",
            b"virtio:d00000001v00001AF4",
            b"usb:v0525pA4A2d0000dc02dsc00dp00ic02isc06ip00in00",
            b"xen:vif",
        ] {
            assert!(may_lead_to_network(modalias), "{}", String::from_utf8_lossy(modalias));
        }
        for modalias in [
            &b"pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01"[..],
            b"virtio:d00000002v00001AF4",
            b"xen:vbd",
            b"",
        ] {
            assert!(!may_lead_to_network(modalias), "{}", String::from_utf8_lossy(modalias));
        }
    }

    #[test]
    fn lines() {
        assert_eq!(
            read_alias(b"alias virtio:d00000001v* virtio_net"),
            Some((&b"virtio:d00000001v*"[..], &b"virtio_net"[..]))
        );
        for line in [&b""[..], b"# Aliases extracted from modules themselves.", b"alias x", b"options x y"] {
            assert_eq!(read_alias(line), None);
        }
        assert_eq!(read_dependencies(b"a/b.ko: c/d.ko e.ko"), Some((&b"a/b.ko"[..], &b" c/d.ko e.ko"[..])));
        assert_eq!(read_dependencies(b"a/b.ko:"), Some((&b"a/b.ko"[..], &b""[..])));
        assert_eq!(read_dependencies(b"a"), None);
    }

    #[test]
    fn firmware() {
        let named = |part: &[u8]| {
            let mut names = std::vec::Vec::new();
            for_each_firmware(part, &mut |name| names.push(String::from_utf8(name.to_vec()).unwrap()));
            names
        };
        assert_eq!(named(b"\x7fELF\0firmware=a/b.fw\0license=GPL\0firmware=c\0depends="), ["a/b.fw", "c"]);
        assert_eq!(named(b"firmware=a\0x\0firmware=b"), [""; 0]);
        assert_eq!(named(b""), [""; 0]);
    }

    #[test]
    fn patterns() {
        for (pattern, text, want) in [
            ("", "", true),
            ("*", "", true),
            ("", "a", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            (
                "pci:v00008086d0000100Esv*sd*bc*sc*i*",
                "pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00",
                true,
            ),
            (
                "pci:v00008086d0000100Esv*sd*bc*sc*i*",
                "pci:v00008086d0000100Fsv00001AF4sd00001100bc02sc00i00",
                false,
            ),
            ("usb:v0BDAp8152d[2-3]*", "usb:v0BDAp8152d3000", true),
            ("usb:v0BDAp8152d[2-3]*", "usb:v0BDAp8152d4000", false),
            ("x[0-9A-F]y", "xCy", true),
            ("x[0-9A-F]y", "xcy", false),
            ("x[abc", "xa", false),
            ("x[-]", "x-", true),
            ("*a*b", "xaxxb", true),
            ("*a*b", "xaxxbx", false),
            ("*ab", "aab", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), want, "{pattern} {text}");
        }
    }

    /// The same by trying everything.
    fn matches_slowly(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', after @ ..], _) => (0..=text.len()).any(|skip| matches_slowly(after, &text[skip..])),
            ([b'?', after @ ..], [_, rest @ ..]) => matches_slowly(after, rest),
            ([one, after @ ..], [other, rest @ ..]) if one == other => matches_slowly(after, rest),
            _ => false,
        }
    }

    #[test]
    fn any_pattern() {
        let mut random = Random::new(33);
        for _ in 0..20_000 {
            let mut text = |from: &[u8]| -> String {
                (0..random.below(8)).map(|_| char::from(from[random.below(from.len())])).collect()
            };
            let (pattern, text) = (text(b"ab*?"), text(b"ab"));
            let want = matches_slowly(pattern.as_bytes(), text.as_bytes());
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), want, "{pattern} {text}");
        }
    }
}
