//! What the watcher and a shipper say to each other, and the watcher and the programs that it starts: one message a packet.
//!
//! ```text
//! shipper   RequestFiles ------------------------------------------------> watcher
//! watcher   MountsChanged, RootSwitched --------------------------------> shipper
//! watcher   NameServers …, NameServers "", Hosts …, Hosts "", EndOfFiles -> shipper   in pieces; "" ends a file
//! watcher   NetworkState -----------------------------------------------> shipper
//! watcher   Cmdline …, Cmdline "", RootSwitched -------------------------> network   in pieces; "" ends it
//! network   NetworkState, NameServers (a whole file) --------------------> watcher
//! watcher   Cmdline …, Cmdline "", KeptLinesArrived --------------------> pstore
//! pstore    KeptLines ---------------------------------------------------> watcher
//! watcher   KeptLines ---------------------------------------------------> shipper
//! shipper   KeptLinesArrived --------------------------------------------> watcher
//! ```

use heapless::Vec;

use crate::limits::{FILE_PIECE_BYTES, PACKET_BYTES_MAX};

/// A message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message<'a> {
    /// The files that say where names lead are wanted.
    RequestFiles,
    /// The mounts have changed: a root switch may follow, or was just made.
    MountsChanged,
    /// The root was switched.
    RootSwitched {
        /// When, in milliseconds.
        at_ms: u64,
    },
    /// A piece of a file that names name servers; an empty one ends the file.
    NameServers(&'a [u8]),
    /// A piece of a file that is written like `/etc/hosts`; an empty one ends the file.
    Hosts(&'a [u8]),
    /// There are no more files.
    EndOfFiles,
    /// How far the network is that is brought up before the root switch, as a text.
    NetworkState(&'a [u8]),
    /// A piece of the kernel's command line; an empty one ends it.
    Cmdline(&'a [u8]),
    /// The file of what pstore kept is complete.
    KeptLines {
        /// How long it is; 0: there is nothing, or nothing yet, and nobody need wait for it.
        bytes: u64,
    },
    /// The receiver has acknowledged all lines that pstore kept; to the program that read them: all receivers have.
    KeptLinesArrived,
}

/// A message as it is sent.
pub type Packet = Vec<u8, PACKET_BYTES_MAX>;

const REQUEST_FILES: u8 = 1;
const MOUNTS_CHANGED: u8 = 2;
const ROOT_SWITCHED: u8 = 3;
const NAME_SERVERS: u8 = 4;
const HOSTS: u8 = 5;
const END_OF_FILES: u8 = 6;
const NETWORK_STATE: u8 = 7;
const CMDLINE: u8 = 8;
const KEPT_LINES: u8 = 9;
const KEPT_LINES_ARRIVED: u8 = 10;

impl<'a> Message<'a> {
    /// The message as a packet. A piece is no longer than [`FILE_PIECE_BYTES`].
    pub fn encode(&self) -> Packet {
        let number;
        let (kind, content): (u8, &[u8]) = match *self {
            Message::RequestFiles => (REQUEST_FILES, &[]),
            Message::MountsChanged => (MOUNTS_CHANGED, &[]),
            Message::RootSwitched { at_ms } => {
                number = at_ms.to_ne_bytes();
                (ROOT_SWITCHED, &number)
            }
            Message::NameServers(piece) => (NAME_SERVERS, piece),
            Message::Hosts(piece) => (HOSTS, piece),
            Message::EndOfFiles => (END_OF_FILES, &[]),
            Message::NetworkState(text) => (NETWORK_STATE, text),
            Message::Cmdline(piece) => (CMDLINE, piece),
            Message::KeptLines { bytes } => {
                number = bytes.to_ne_bytes();
                (KEPT_LINES, &number)
            }
            Message::KeptLinesArrived => (KEPT_LINES_ARRIVED, &[]),
        };
        debug_assert!(content.len() <= FILE_PIECE_BYTES);
        let mut packet = Packet::new();
        let _ = packet.push(kind);
        let _ = packet.extend_from_slice(content);
        packet
    }

    /// Reads a packet. `None`: it is no message.
    pub fn decode(packet: &'a [u8]) -> Option<Message<'a>> {
        let (&kind, content) = packet.split_first()?;
        Some(match kind {
            REQUEST_FILES => Message::RequestFiles,
            MOUNTS_CHANGED => Message::MountsChanged,
            ROOT_SWITCHED => Message::RootSwitched { at_ms: u64::from_ne_bytes(content.try_into().ok()?) },
            NAME_SERVERS => Message::NameServers(content),
            HOSTS => Message::Hosts(content),
            END_OF_FILES => Message::EndOfFiles,
            NETWORK_STATE => Message::NetworkState(content),
            CMDLINE => Message::Cmdline(content),
            KEPT_LINES => Message::KeptLines { bytes: u64::from_ne_bytes(content.try_into().ok()?) },
            KEPT_LINES_ARRIVED => Message::KeptLinesArrived,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_can_be_decoded() {
        let piece = [b'x'; FILE_PIECE_BYTES];
        for message in [
            Message::RequestFiles,
            Message::MountsChanged,
            Message::RootSwitched { at_ms: u64::MAX },
            Message::NameServers(b""),
            Message::NameServers(&piece),
            Message::Hosts(b"127.0.0.1 localhost\n"),
            Message::EndOfFiles,
            Message::NetworkState(b"eth0 has no carrier"),
            Message::Cmdline(b"quiet earlykmsg.ip=dhcp"),
            Message::KeptLines { bytes: u64::MAX },
            Message::KeptLinesArrived,
        ] {
            assert_eq!(Message::decode(&message.encode()), Some(message));
        }
        for wrong in [&b""[..], b"\0", b"\x0b", b"\x031234567", b"\x091234567"] {
            assert_eq!(Message::decode(wrong), None);
        }
    }
}
