//! The files that say where names lead: `hosts`, and `resolv.conf` with its like.

use core::net::{Ipv4Addr, Ipv6Addr};

use earlykmsg::address::{Address, Found};
use earlykmsg::limits::ADDRESSES_MAX;
use earlykmsg::names::hosts;
use earlykmsg::names::resolv::Config;

/// The first line is a name, the rest a file, read as both kinds: what is found is what a model that splits the text
/// finds.
pub fn check(bytes: &[u8]) {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else { return };
    let (name, file) = (&bytes[..end], &bytes[end + 1..]);
    if matches!(name, b"" | b".") {
        return; // no host
    }
    let interface_index = &mut |name: &[u8]| name.len() as u32;

    let mut found = Found::nothing();
    hosts::find(file, name, interface_index, &mut found);
    let mut want: [Vec<Address>; 2] = Default::default();
    let bare = name.strip_suffix(b".").unwrap_or(name);
    for line in lines(file) {
        let Some((first, names)) = line.split_first() else { continue };
        if names.iter().any(|own| own.eq_ignore_ascii_case(bare))
            && let Some(address) = address(first)
        {
            let family = &mut want[usize::from(!address.is_ipv4())];
            if !family.contains(&address) && family.len() < ADDRESSES_MAX {
                family.push(address);
            }
        }
    }
    assert!(found.iter().eq(want.concat()), "{} in {}", name.escape_ascii(), file.escape_ascii());

    let mut config = Config::empty();
    config.read(file, interface_index);
    let mut want = Vec::new();
    for line in lines(file) {
        if let [b"nameserver", server, ..] = line[..]
            && let Some(server) = address(server)
            && !want.contains(&server)
            && want.len() < ADDRESSES_MAX
        {
            want.push(server);
        }
    }
    assert_eq!(config.servers[..], want, "{}", file.escape_ascii());
}

/// The words of each line, without its comment.
fn lines(file: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    file.split(|&byte| byte == b'\n').map(|line| {
        let end = line.iter().position(|&byte| byte == b'#' || byte == b';').unwrap_or(line.len());
        line[..end].split(|&byte| byte <= b' ').filter(|word| !word.is_empty()).collect()
    })
}

fn address(word: &[u8]) -> Option<Address> {
    let end = word.iter().position(|&byte| byte == b'%');
    let (text, scope) = end.map_or((word, &b""[..]), |end| (&word[..end], &word[end + 1..]));
    let text = str::from_utf8(text).ok()?;
    if let Some(v4) = text.parse::<Ipv4Addr>().ok().filter(|_| end.is_none()) {
        return Some(Address::new(v4));
    }
    let ip = text.parse::<Ipv6Addr>().ok()?.to_canonical();
    Some(Address { ip, scope_id: scope.len() as u32 })
}
