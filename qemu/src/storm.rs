//! Storms: a guest writes 200,000 records as fast as it can, past a receiver that is slow, away or killed.
//!
//! All of it happens inside the guest, over its loopback, so that the receiver's end is a kernel of its own and
//! not QEMU's user network, which acknowledges megabytes for the host. What was received comes to the host afterwards.

use core::time::Duration;
use std::fs;
use std::path::Path;

use crate::account::Account;
use crate::boot::Boot;
use crate::error::{Error, Result};
use crate::guest::{End, Guest};
use crate::image;
use crate::kernel::Kernel;
use crate::receiver::Receiver;

/// How many records a storm has.
pub const RECORDS: u64 = 200_000;

/// Where the receiver listens in the guest.
const PORT: u16 = 5044;
const LONG: Duration = Duration::from_secs(240);

/// What the receiver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It reads all the time.
    Reads,
    /// It comes when the storm is over.
    Away,
    /// It reads half a megabyte a second, and at its full speed when the storm is over.
    Slow,
    /// It reads 8 MB and stops, is killed when its kernel has filled up behind it, and another one starts at once.
    Killed,
}

impl Manner {
    /// All of them.
    pub const ALL: [Manner; 4] = [Manner::Reads, Manner::Slow, Manner::Killed, Manner::Away];

    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Manner::Reads => "reads all the time",
            Manner::Away => "away until the storm is over",
            Manner::Slow => "reads 0.5 MB/s until the storm is over",
            Manner::Killed => "killed with bytes unread in the storm, restarted at once",
        }
    }

    /// Before the storm, and after it.
    fn steps(self) -> (String, String) {
        let start = |how: &str| format!("start_receiver tcp {PORT} {how}");
        let none = String::new;
        match self {
            Manner::Reads => (start(""), none()),
            Manner::Away => (none(), start("")),
            Manner::Slow => (start("slow=500000"), "kill -USR1 $receiver".to_owned()),
            Manner::Killed => (
                format!(
                    "{}; {{ kill_with_bytes_unread {PORT}; {}; }} & killer=$!",
                    start("stop=8000000"),
                    start("")
                ),
                "wait $killer".to_owned(),
            ),
        }
    }
}

/// Who ships.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shipper {
    /// As the first program of the boot.
    Earlykmsg,
    /// busybox's `cat /dev/kmsg | nc`, started before the storm.
    CatNc,
    /// A static program of this machine that sends raw records, started as `PROGRAM batched HOST PORT` before the storm.
    Raw(&'static Path),
}

/// A storm, before it happens.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// The kernel's `log_buf_len=`.
    pub ring: &'static str,
    /// What the receiver does.
    pub manner: Manner,
    /// Who ships.
    pub shipper: Shipper,
}

/// What a storm gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What became of all records of the guest, those of the storm and a few hundred more.
    pub account: Account,
    /// How many connections the receiver had.
    pub connections: usize,
    /// How long the storm took to write.
    pub writing: Duration,
    /// From the storm's end until the last record was there; none: the shipper has ended before.
    pub draining: Option<Duration>,
    /// What the receiver's kernel held of a killed receiver.
    pub bytes_unread: u64,
}

impl Storm {
    /// Boots a guest, lets it happen, and counts.
    ///
    /// # Errors
    /// What of the boot failed, or a stream that is not as it must be.
    pub fn run(&self) -> Result<Outcome> {
        let kernel = Kernel::debian()?;
        let results = Receiver::tcp();
        let (before, after) = self.manner.steps();
        let (shipper, shipper_lives) = match self.shipper {
            Shipper::Earlykmsg => (String::new(), "true"),
            Shipper::CatNc => {
                (format!("{{ cat /dev/kmsg | nc 127.0.0.1 {PORT}; }} & shipper=$!"), "kill -0 $shipper")
            }
            Shipper::Raw(_) => {
                (format!("/bin/raw batched 127.0.0.1 {PORT} & shipper=$!"), "kill -0 $shipper")
            }
        };
        let connected = match self.manner {
            Manner::Away => "true",
            _ => "until [ -e $received/000 ]; do sleep 0.05; done",
        };
        let script = format!(
            "network_up; loopback_up
             {before}
             {shipper}
             {connected}
             say_time BEGAN; tool storm {RECORDS}; say_time WRITTEN
             {after}
             echo \"LAST $(tool say 'after the storm')\"
             while {shipper_lives} && ! has_arrived 'after the storm'; do sleep 0.05; done
             ! has_arrived 'after the storm' || say_time ARRIVED
             send_received {}",
            results.port()
        );
        let image = image::standard(&kernel, &script)?;
        let (image, words) = match self.shipper {
            Shipper::Earlykmsg => (
                image.with(image::earlykmsg()?),
                format!("rdinit=/earlykmsg talos.logging.kernel=tcp://127.0.0.1:{PORT}/"),
            ),
            Shipper::CatNc => (image, String::new()),
            Shipper::Raw(program) => {
                let bytes =
                    fs::read(program).map_err(Error::at(format!("unable to read {}", program.display())))?;
                (image.file("/bin/raw", 0o755, bytes), String::new())
            }
        };
        let boot = Boot::new(&kernel, image.to_cpio()).memory_mib(512);
        let boot = boot.word(format!("printk.devkmsg=on log_buf_len={}", self.ring)).word(words);
        let mut guest = boot.start()?;
        if guest.wait_exit(LONG)? != End::Off {
            return Err(guest.failure("QEMU failed"));
        }
        let outcome = self.outcome(&guest, &results.streams());
        guest.explain(outcome)
    }

    fn outcome(&self, guest: &Guest, streams: &[Vec<u8>]) -> Result<Outcome> {
        let last = number(guest, "LAST ")?.ok_or_else(|| Error::new("the last record is not in the ring"))?;
        let account = match self.shipper {
            Shipper::Earlykmsg => Account::of_connections(streams, last, seq_of_storm)?,
            Shipper::CatNc | Shipper::Raw(_) => Account::of_raw(streams, last)?,
        };
        let time = |mark| Ok(number(guest, mark)?.map(Duration::from_millis));
        let (began, written) = (time("BEGAN ")?.unwrap_or_default(), time("WRITTEN ")?.unwrap_or_default());
        Ok(Outcome {
            account,
            connections: streams.len(),
            writing: written - began,
            draining: time("ARRIVED ")?.map(|arrived| arrived - written),
            bytes_unread: number(guest, "UNREAD ")?.unwrap_or_default(),
        })
    }
}

/// The sequence number of a record of the storm, whose line has no freedom but in its numbers.
fn seq_of_storm(line: &[u8]) -> Result<Option<u64>> {
    const START: &[u8] = br#","facility":"user","msg":"storm "#;
    const MIDDLE: &[u8] = br#": the quick brown fox jumps over the lazy dog and runs on and on and on\n","priority":"info","seq":"#;
    const END: &[u8] = br#","talos-level":"info","talos-time":""#;
    let Some((_, line_left)) = number_after(line, br#"{"clock":"#) else { return Ok(None) };
    if !line_left.starts_with(START) {
        return Ok(None);
    }
    let exact = || {
        let (_, left) = number_after(line_left, START)?;
        let (seq, left) = number_after(left, MIDDLE)?;
        let time = left.strip_prefix(END)?.strip_suffix(b"Z\"}\n")?;
        time.iter().all(|byte| byte.is_ascii_digit() || b"-T:.".contains(byte)).then_some(seq)
    };
    match exact() {
        Some(seq) => Ok(Some(seq)),
        None => Err(Error::new(format!("not a record of the storm: {}", String::from_utf8_lossy(line)))),
    }
}

/// The number behind a text at the start, and what follows it.
fn number_after<'a>(bytes: &'a [u8], text: &[u8]) -> Option<(u64, &'a [u8])> {
    let rest = bytes.strip_prefix(text)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    Some((str::from_utf8(&rest[..digits]).ok()?.parse().ok()?, &rest[digits..]))
}

/// The number that the guest told behind a mark; seconds with two places become milliseconds.
fn number(guest: &Guest, mark: &str) -> Result<Option<u64>> {
    let Some(told) = guest.report(mark).into_iter().next() else { return Ok(None) };
    let number = match told.split_once('.') {
        Some((seconds, hundredths)) => format!("{seconds}{hundredths}0").parse(),
        None => told.parse(),
    };
    number.map(Some).map_err(Error::at(format!("{mark}{told} is no number")))
}
