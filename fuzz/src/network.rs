//! The words that bring the network up, and the files that say which drivers there are.

use core::net::IpAddr;

use earlykmsg::config::netconsole::Netconsole;
use earlykmsg::config::network::{Bond, Device, Ip, Method, Modules, Vlan};
use earlykmsg::config::network_words::{NetworkWords, word_of_image};
use earlykmsg::drivers::settings::Settings;
use earlykmsg::drivers::{for_each_firmware, matches, name_of, name_of_file, read_alias, read_dependencies};

/// Any text: what is read of it keeps to the kernel's bounds, and a pattern without `*`, `?` and `[` matches itself alone.
pub fn check(bytes: &[u8]) {
    let is_name = |name: &[u8]| (1..=15).contains(&name.len()) && !name.contains(&b'/');
    if let Ok(ip) = Ip::parse(bytes) {
        if let Device::Name(name) = ip.device {
            assert!(is_name(name), "{ip:?}");
        }
        if let Method::Static(fixed) = ip.method {
            let (most, is_ipv4) = match fixed.address.ip {
                IpAddr::V4(_) => (32, true),
                IpAddr::V6(_) => (128, false),
            };
            assert!((1..=most).contains(&fixed.prefix_length), "{ip:?}");
            assert!(fixed.gateway.is_none_or(|gateway| gateway.is_ipv4() == is_ipv4), "{ip:?}");
        }
    }
    if let Ok(vlan) = Vlan::parse(bytes) {
        assert!(is_name(vlan.name) && is_name(vlan.device) && (1..=4094).contains(&vlan.id), "{vlan:?}");
    }
    if let Ok(bond) = Bond::parse(bytes) {
        assert!(is_name(bond.name) && bond.devices().all(is_name) && bond.mode < 7, "{bond:?}");
    }
    if let Ok(modules) = Modules::parse(bytes) {
        assert!(!modules.names.contains(&b'/') && !modules.names.contains(&b'.'), "{modules:?}");
    }
    if let Ok(to) = Netconsole::parse(bytes) {
        let again = to.to_string();
        let same = Netconsole::parse(again.as_bytes()).expect("what it displays as");
        assert_eq!((same.address, same.scope, same.port), (to.address, to.scope, to.port));
        assert!(to.port > 0 && !to.address.ip.is_loopback(), "{to}");
    }
    let _ = word_of_image(bytes);
    let _ = NetworkWords::read(bytes, &mut |problem| drop(problem.to_string()));
    drivers(bytes);
}

fn drivers(bytes: &[u8]) {
    let mut settings = Settings::of(&name_of(b"usb_core").expect("a short name"));
    for line in bytes.split(|&byte| byte == b'\n') {
        settings.take_line(line);
        if let Some((pattern, module)) = read_alias(line) {
            assert!(!module.is_empty());
            if !pattern.iter().any(|byte| b"*?[".contains(byte)) {
                assert!(matches(pattern, pattern));
                assert!(!matches(pattern, &[pattern, b"x"].concat()));
            }
        }
        if let Some((file, _)) = read_dependencies(line)
            && let Some(name) = name_of_file(file)
        {
            assert!(!name.contains(&b'/') && !name.contains(&b'-'), "{name:?}");
        }
    }
    settings.take_cmdline(bytes);
    for_each_firmware(bytes, &mut |name| assert!(!name.contains(&0)));
    if let Some((pattern, text)) = bytes.split_at_checked(bytes.len() / 2) {
        let _ = matches(pattern, text);
        assert!(matches(b"*", text));
    }
}
