//! What the kernel tells of links, addresses, routes and devices.

use earlykmsg::address::Address;
use earlykmsg::wire::neighbour::{read_hardware_address, read_route};
use earlykmsg::wire::rtnetlink_news::{News, name_servers, next_news};
use earlykmsg::wire::uevent;

/// Any bytes: they come to an end, no message is longer than what came, and a name is no longer than all of it; a way to a
/// receiver needs a message.
pub fn check(bytes: &[u8]) {
    let (mut rest, mut messages) = (bytes, 0);
    while let Some(news) = next_news(&mut rest) {
        messages += 1;
        assert!(messages * 16 <= bytes.len(), "messages out of nothing");
        match news {
            News::Link(link) => assert!(link.name.len() + link.kind.len() <= bytes.len()),
            News::RouterOption { option, .. } => {
                assert!(name_servers(option).count() * 16 <= option.len());
            }
            _ => {}
        }
    }
    let has_message = bytes.len() > 16;
    assert!(has_message || read_route(bytes, Address::new([10, 0, 0, 1])).is_err(), "a route out of nothing");
    assert!(has_message || read_hardware_address(bytes).is_err(), "a neighbour out of nothing");
    let uevent = uevent::read(bytes);
    assert!(!uevent.interface.contains(&0) && !uevent.subsystem.contains(&0) && !uevent.action.contains(&0));
}
