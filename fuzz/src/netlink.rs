//! What the kernel tells of links, addresses and routes.

use earlykmsg::wire::netlink::{
    Seen, describe, find_address, hardware_address, route_interface, should_retry,
};

/// Any bytes: cutting them short makes no reason to try again, what is told of them is text whose parts each stand after
/// a comma, all readers of an answer see the same end of it, and an interface or a hardware address needs a message.
pub fn check(bytes: &[u8]) {
    let whole = should_retry(bytes, &mut Seen::default());
    let half = should_retry(&bytes[..bytes.len() / 2], &mut Seen::default());
    assert!(whole || !half, "a reason to try again that is none with more behind it");

    let mut description = String::new();
    let is_end = describe(bytes, &mut description).expect("a String takes everything");
    assert!(description.is_empty() || description.starts_with(", "), "{description}");
    assert!(description.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{description}");

    let mut is_there = false;
    assert_eq!(is_end, find_address(bytes, &[10, 0, 2, 15], &mut is_there), "the end of the answer");

    let has_message = bytes.len() > 16;
    assert!(has_message || !is_there, "an address out of nothing");
    assert!(has_message || route_interface(bytes) == 0, "an interface out of nothing");
    for index in [0, 2, 3] {
        let mut text = String::new();
        let is_end_again = hardware_address(bytes, index, &mut text).expect("a String takes everything");
        assert_eq!(is_end, is_end_again, "the end of the answer");
        assert!(text.is_empty() || has_message, "a hardware address out of nothing");
        assert!(text.bytes().all(|byte| byte == b':' || byte.is_ascii_hexdigit()), "{text}");
    }
}
