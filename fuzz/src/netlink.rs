//! What the kernel tells of links, addresses and routes.

use earlykmsg::network::netlink::{is_good_news, tell, tell_hardware};
use earlykmsg::words::Line;

/// Any bytes: cutting them short makes no news better, and what is told of them keeps within a line.
pub fn check(bytes: &[u8]) {
    let whole = is_good_news(bytes, &mut false);
    let half = is_good_news(&bytes[..bytes.len() / 2], &mut false);
    assert!(whole || !half, "good news that are none with more behind them");
    let mut line = Line::new();
    tell(bytes, &mut line);
    let told = line.bytes();
    assert!(told.is_empty() || told.starts_with(b", "), "{}", told.escape_ascii());
    for index in [0, 2, 3] {
        let mut line = Line::new();
        tell_hardware(bytes, &mut { index }, &mut line);
        assert!(line.bytes().is_empty() || bytes.len() > 16, "a hardware address out of nothing");
    }
}
