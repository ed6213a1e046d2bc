//! `earlykmsg-pure WHAT ROUNDS` parses and encodes a log so often, and does nothing else: two counts of instructions
//! with different numbers of rounds differ by what the rounds cost.
//!
//! WHAT is `boot` (the golden boot log), `edge` (records that are hard to read), or a kind of text and its bytes:
//! `plain:100`, `quotes:100` (each tenth byte is a quote), `utf8:100` (two-byte characters, as the kernel escapes them)
//! or `control:100` (nothing else). Behind `syslog/` it is encoded as syslog.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::ops::Range;

use earlykmsg::config::Extra;
use earlykmsg::config::endpoint::{Format, Transport};
use earlykmsg::limits::{BATCH_BYTES, RECORD_BYTES_MAX};
use earlykmsg::line::Encoder;
use earlykmsg::record::Record;
use earlykmsg::record::clock::WallOffset;
use earlykmsg_system::sys::args::Args;
use earlykmsg_system::sys::memory::Buffer;
use earlykmsg_system::sys::process::exit;

earlykmsg_system::entry!(crate::run);

const BOOT: &[u8] = include_bytes!("../../../tests/data/boot.kmsg");
const EDGE: &[u8] = include_bytes!("../../../tests/data/edge.kmsg");
const RECORDS_MAX: usize = 1024;
/// 2021-11-26T16:53:15Z
const WALL: WallOffset = WallOffset(1_637_945_595_000_000);

fn run(args: Args) -> i32 {
    static LINE: Buffer<[u8; BATCH_BYTES]> = Buffer::new([0; BATCH_BYTES]);
    static MADE: Buffer<[u8; RECORD_BYTES_MAX]> = Buffer::new([0; RECORD_BYTES_MAX]);
    static RANGES: Buffer<[(u32, u32); RECORDS_MAX]> = Buffer::new([(0, 0); RECORDS_MAX]);
    let (Some(line), Some(made), Some(ranges)) = (LINE.take(), MADE.take(), RANGES.take()) else { return 70 };
    let mut words = args.iter().skip(1).map(core::ffi::CStr::to_bytes);
    let (Some(what), Some(rounds)) = (words.next(), words.next().and_then(number)) else { return 64 };
    let (what, format) = match what.strip_prefix(b"syslog/") {
        Some(what) => (what, Format::Syslog),
        None => (what, Format::Json),
    };
    let log = match what {
        b"boot" => BOOT,
        b"edge" => EDGE,
        _ => match make(what, made) {
            Some(length) => &made[..length],
            None => return 64,
        },
    };
    // Where each record is, found once whatever the number of rounds.
    let (mut count, mut start) = (0, 0);
    for (at, _) in log.iter().enumerate().filter(|(_, byte)| **byte == 0) {
        let Some(place) = ranges.get_mut(count) else { return 70 };
        *place = (start as u32, at as u32);
        (count, start) = (count + 1, at + 1);
    }
    let mut encoder = Encoder::new(Extra::default());
    encoder.set_format(format, Transport::Tcp);
    for _ in 0..rounds {
        for &(start, end) in &ranges[..count] {
            let range: Range<usize> = start as usize..end as usize;
            let bytes = black_box(&log[range]);
            let record = Record::parse(bytes).unwrap_or_else(|| Record::broken(bytes));
            black_box(encoder.encode(line, &record, WALL));
        }
    }
    0
}

/// One record, ended by a NUL.
fn make(what: &[u8], out: &mut [u8]) -> Option<usize> {
    let colon = what.iter().position(|&byte| byte == b':')?;
    let bytes = number(&what[colon + 1..])?;
    let part: &[u8] = match &what[..colon] {
        b"plain" => b"abcdefghi ",
        b"quotes" => b"abcdefghi\"",
        b"utf8" => b"\\xc3\\xa9",
        b"control" => b"\\x1b",
        _ => return None,
    };
    let prefix = b"14,1234567,123456789012,-;";
    let text = part.iter().cycle().take(bytes);
    let mut length = 0;
    for &byte in prefix.iter().chain(text).chain(b"\n\0") {
        *out.get_mut(length)? = byte;
        length += 1;
    }
    Some(length)
}

fn number(digits: &[u8]) -> Option<usize> {
    core::str::from_utf8(digits).ok()?.parse().ok()
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(70)
}
