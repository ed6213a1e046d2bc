//! Packets between the watcher and a shipper.

use earlykmsg::channel::Message;
use earlykmsg::limits::PACKET_BYTES_MAX;

/// The first byte alone says whether it is a message, but for the length of a time. A message's own packet is read as the
/// same message, and stands at the beginning of the packet that it was read from.
pub fn check(bytes: &[u8]) {
    let packet = &bytes[..bytes.len().min(PACKET_BYTES_MAX)];
    let message = Message::decode(packet);
    let is_message = match packet {
        [3, content @ ..] => content.len() == 8,
        [kind, ..] => (1..=6).contains(kind),
        [] => false,
    };
    assert_eq!(message.is_some(), is_message, "{}", packet.escape_ascii());
    let Some(message) = message else { return };
    let encoded = message.encode();
    assert_eq!(Message::decode(&encoded), Some(message));
    assert!(packet.starts_with(&encoded), "{message:?} is not {}", packet.escape_ascii());
    let has_content =
        matches!(message, Message::RootSwitched { .. } | Message::NameServers(_) | Message::Hosts(_));
    assert_eq!(encoded.len(), if has_content { packet.len() } else { 1 });
}
