//! The kernel's lists of sockets.

use core::cell::RefCell;

use earlykmsg::address::Address;
use earlykmsg::endpoint::{Endpoint, Host};
use earlykmsg::limits::{DESTINATIONS_MAX, SHIPPER_UID};
use earlykmsg::names::Found;
use earlykmsg::sys::fds::keep;
use earlykmsg::takeover::Delivery;
use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, SeekFrom, ftruncate, memfd_create, seek};

use crate::said;

/// Lines beyond this are no kernel's, and how they are passed over is not the model's business.
const LINE_BYTES_MAX: usize = 512;

struct List {
    file: OwnedFd,
    delivery: Delivery,
}

thread_local! {
    static LIST: RefCell<List> = RefCell::new({
        let file = memfd_create("list", MemfdFlags::CLOEXEC).expect("a file in memory");
        let list = keep(rustix::io::dup(&file).expect("another descriptor"));
        let delivery = Delivery { lists: [Some(list), None] };
        List { file, delivery }
    });
}

/// The first line is a URL, the rest a list: a connected socket to it that is not ours is found when a model that
/// splits the text finds one.
pub fn check(bytes: &[u8]) {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else { return };
    let (url, list) = (&bytes[..end], &bytes[end + 1..]);
    let Ok(endpoint) = Endpoint::parse(url) else { return };
    let seen = LIST.with_borrow_mut(|List { file, delivery }| {
        ftruncate(&*file, 0).expect("empty the file");
        seek(&*file, SeekFrom::Start(0)).expect("go to its start");
        let mut rest = list;
        while !rest.is_empty() {
            let written = rustix::io::write(&*file, rest).expect("write the list");
            rest = &rest[written..];
        }
        let mut addresses = Found::nothing();
        if let Host::Address { address, .. } = endpoint.host {
            addresses.add(address);
        }
        delivery.seen(&addresses, endpoint.port, |_| false)
    });
    if list.split(|&byte| byte == b'\n').all(|line| line.len() <= LINE_BYTES_MAX) {
        let whole = list.iter().rposition(|&byte| byte == b'\n').map_or(&list[..0], |end| &list[..end]);
        let want = whole.split(|&byte| byte == b'\n').any(|line| is_it(line, &endpoint).unwrap_or(false));
        assert_eq!(seen, want, "{} in {}", said(endpoint), list.escape_ascii());
    }
}

fn is_it(line: &[u8], endpoint: &Endpoint<'_>) -> Option<bool> {
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').filter(|field| !field.is_empty()).collect();
    let text = |at: usize| str::from_utf8(fields.get(at)?).ok();
    let (address, port) = text(2)?.split_once(':')?;
    let established = text(3).map_or(fields.get(3)? == b"01", |state| state == "01");
    let decimal = |at: usize| -> Option<u32> {
        text(at).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
    };
    let (uid, _inode) = (decimal(7)?, decimal(9)?);
    let port = hex(port).filter(|_| port.len() <= 8)?;
    let address = match address.len() {
        8 => Address::of(&hex(address)?.to_le_bytes()),
        32 => {
            let words: Option<Vec<u32>> = (0..4).map(|at| hex(address.get(at * 8..at * 8 + 8)?)).collect();
            let bytes: Vec<u8> = words?.into_iter().flat_map(u32::to_le_bytes).collect();
            Address::of(&bytes)
        }
        _ => return None,
    };
    let Host::Address { address: wanted, .. } = endpoint.host else { return None };
    let ours = uid.checked_sub(SHIPPER_UID).is_some_and(|which| which < DESTINATIONS_MAX as u32);
    let there = address == wanted && port == u32::from(endpoint.port);
    Some(established && there && !ours)
}

fn hex(digits: &str) -> Option<u32> {
    let digits = Some(digits).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u32::from_str_radix(digits, 16).ok()
}
