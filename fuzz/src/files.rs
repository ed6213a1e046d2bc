//! The files that say where names lead: `hosts`, and `resolv.conf` with its like.

use core::net::{Ipv4Addr, Ipv6Addr};

use earlykmsg::address::{Address, Found};
use earlykmsg::limits::{ADDRESSES_MAX, SEARCH_BYTES_MAX};
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
    config.read(file, false, interface_index);
    let (mut want, mut search) = (Vec::new(), &b""[..]);
    for (name, value) in file.split(|&byte| byte == b'\n').map(without_comment).map(name_and_value) {
        match name {
            b"IPV4DNS0" | b"IPV4DNS1" if value == b"0.0.0.0" => {}
            b"nameserver" | b"IPV4DNS0" | b"IPV4DNS1" => {
                let server = words(value).first().and_then(|word| address(word));
                want.extend(server.filter(|server| !want.contains(server) && want.len() < ADDRESSES_MAX));
            }
            b"search" | b"domain" | b"DNSDOMAIN" | b"DOMAINSEARCH" if !value.is_empty() => {
                search = if value.len() > SEARCH_BYTES_MAX { b"" } else { value };
            }
            _ => {}
        }
    }
    assert_eq!(config.servers[..], want, "{}", file.escape_ascii());
    assert_eq!(config.search[..], *search, "{}", file.escape_ascii());

    // Behind another file with a search list, only the servers count.
    let mut after = Config::empty();
    after.search.extend_from_slice(b"example").expect("room for it");
    after.read(file, true, interface_index);
    assert_eq!((&after.servers, &after.search[..]), (&config.servers, &b"example"[..]));
}

/// `name='value'` or `name value`.
fn name_and_value(line: &[u8]) -> (&[u8], &[u8]) {
    if let Some(equals) = line.iter().position(|&byte| byte == b'=')
        && line.len() >= equals + 3
        && (line[equals + 1], line[line.len() - 1]) == (b'\'', b'\'')
    {
        return (&line[..equals], &line[equals + 2..line.len() - 1]);
    }
    let start = line.iter().position(|&byte| byte > b' ').unwrap_or(line.len());
    let end = line[start..].iter().position(|&byte| byte <= b' ').map_or(line.len(), |end| start + end);
    (&line[start..end], line[end..].trim_ascii_start())
}

/// The words of each line, without its comment.
fn lines(file: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    file.split(|&byte| byte == b'\n').map(without_comment).map(words)
}

fn without_comment(line: &[u8]) -> &[u8] {
    let end = line.iter().position(|&byte| byte == b'#' || byte == b';');
    &line[..end.unwrap_or(line.len())]
}

fn words(line: &[u8]) -> Vec<&[u8]> {
    line.split(|&byte| byte <= b' ').filter(|word| !word.is_empty()).collect()
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
