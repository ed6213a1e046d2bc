//! What a line has around it on its way.

use super::writer::Writer;
use crate::config::endpoint::{Format, Transport};
use crate::limits::OCTET_COUNT_BYTES_MAX;

/// What tells a receiver where a line ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Framing {
    /// It is a datagram. (The first, so that [`Encoder::NONE`](super::Encoder::NONE) is zeros: 60 KB of buffers are not in the program's file.)
    Datagram,
    /// A newline behind it.
    Newline,
    /// Its length before it, in digits and with a space: the octet counting of RFC 6587.
    OctetCount,
}

impl Framing {
    pub(super) fn new(format: Format, transport: Transport) -> Framing {
        match (transport, format) {
            (Transport::Udp, _) => Framing::Datagram,
            (Transport::Tcp, Format::Json) => Framing::Newline,
            (Transport::Tcp, Format::Syslog) => Framing::OctetCount,
        }
    }

    /// The bytes that it takes beside the line at most.
    pub(super) fn bytes_max(self) -> usize {
        match self {
            Framing::Datagram => 0,
            Framing::Newline => 1,
            Framing::OctetCount => OCTET_COUNT_BYTES_MAX,
        }
    }

    /// Has `write` write a line, and adds what belongs to it. Returns how long both are.
    pub(super) fn frame(
        self,
        out: &mut [u8],
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<usize> {
        match self {
            Framing::Datagram => write(out),
            Framing::Newline => {
                let len = write(out)?;
                *out.get_mut(len)? = b'\n';
                Some(len + 1)
            }
            Framing::OctetCount => {
                // Most messages have a length of three digits. Others are moved when it is known.
                const USUAL: usize = b"250 ".len();
                let len = write(out.get_mut(USUAL..)?)?;
                let mut room = [0; OCTET_COUNT_BYTES_MAX];
                let mut count = Writer::new(&mut room);
                count.push_number(len as u64)?;
                count.push_array(b" ")?;
                let begin = count.len();
                let end = begin + len;
                if end > out.len() {
                    return None;
                }
                if begin != USUAL {
                    out.copy_within(USUAL..USUAL + len, begin);
                }
                out.get_mut(..begin)?.copy_from_slice(room.get(..begin)?);
                Some(end)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    /// A line of this length, framed in this much room.
    fn framed(framing: Framing, len: usize, room: usize) -> Option<Vec<u8>> {
        let mut room = vec![b'~'; room];
        let len = framing.frame(&mut room, |out| {
            out.get_mut(..len)?.fill(b'x');
            Some(len)
        })?;
        room.truncate(len);
        Some(room)
    }

    #[test]
    fn by_transport_and_format() {
        for (format, transport, want) in [
            (Format::Json, Transport::Udp, "xxx"),
            (Format::Syslog, Transport::Udp, "xxx"),
            (Format::Json, Transport::Tcp, "xxx\n"),
            (Format::Syslog, Transport::Tcp, "3 xxx"),
        ] {
            assert_eq!(framed(Framing::new(format, transport), 3, 16).as_deref(), Some(want.as_bytes()));
        }
    }

    /// Of whatever length a message is, its length stands before it, and there is room to the byte.
    #[test]
    fn octets_are_counted() {
        for len in [0, 1, 9, 10, 99, 100, 250, 999, 1_000, 9_999, 10_000, 65_535] {
            let want = [std::format!("{len} ").into_bytes(), vec![b'x'; len]].concat();
            let most = len + Framing::OctetCount.bytes_max();
            assert_eq!(framed(Framing::OctetCount, len, most), Some(want.clone()), "{len}");
            // A short message is written further back than it stands in the end.
            let room = want.len().max(len + b"250 ".len());
            assert_eq!(framed(Framing::OctetCount, len, room), Some(want), "{len}");
            assert_eq!(framed(Framing::OctetCount, len, room - 1), None, "{len}");
        }
        assert_eq!(framed(Framing::OctetCount, 100_000, 200_000), None, "longer than any message");
    }

    #[test]
    fn a_newline_needs_room() {
        assert_eq!(framed(Framing::Newline, 3, 4).as_deref(), Some(&b"xxx\n"[..]));
        assert_eq!(framed(Framing::Newline, 3, 3), None);
        assert_eq!(Framing::Newline.bytes_max(), 1);
    }
}
