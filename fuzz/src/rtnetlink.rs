//! What the kernel tells of links, addresses, routes and devices.

use earlykmsg::wire::rtnetlink_news::{News, name_servers, next_news};
use earlykmsg::wire::uevent;

/// Any bytes: they come to an end, no message is longer than what came, and a name is no longer than all of it.
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
    let uevent = uevent::read(bytes);
    assert!(!uevent.interface.contains(&0) && !uevent.subsystem.contains(&0) && !uevent.action.contains(&0));
}
