//! What became of a guest's records: received, reported, or neither.

use core::ops::RangeInclusive;
use std::time::Instant;

use earlykmsg_tests::judge::{Judge, Piece};

use crate::error::{Error, Result};
use crate::record::Record;

/// The figures of a boot whose records are numbered from 0 to the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// How many there were.
    pub written: u64,
    /// How many different ones were received.
    pub received: u64,
    /// How many were received once more.
    pub duplicates: u64,
    /// How many lie in ranges reported as lost.
    pub lost: u64,
    /// How many lie in ranges reported as possibly lost, beside those lost.
    pub perhaps_unread: u64,
    /// How many reports there were.
    pub reports: usize,
    /// What was neither received nor reported.
    pub unaccounted: Vec<RangeInclusive<u64>>,
}

/// Reads a line that a test knows by heart, faster than any: its number, or none for other lines.
pub type Known = fn(&[u8]) -> Result<Option<u64>>;

/// For streams without such lines.
///
/// # Errors
/// None.
pub fn none_known(_: &[u8]) -> Result<Option<u64>> {
    Ok(None)
}

/// What a line covers.
fn piece(line: &[u8], known: Known) -> Result<Piece> {
    if let Some(seq) = known(line)? {
        return Ok(Piece::Record(seq));
    }
    let record = Record::parse(line, Instant::now(), 0)?;
    Ok(Piece::of(&record.json))
}

impl Account {
    /// Judges the streams of a receiver's connections, one after the other, of a boot whose last record is `last`.
    /// Within a connection each line must begin where the one before it ended: records in order, each once, and
    /// each report at its place. A line without its end is passed over, unless its connection is the last.
    ///
    /// # Errors
    /// A line that is none, or that stands at a wrong place.
    pub fn of_connections(streams: &[Vec<u8>], last: u64, known: Known) -> Result<Account> {
        let mut judge = Judge::default();
        for (connection, stream) in streams.iter().enumerate() {
            for line in stream.split_inclusive(|byte| *byte == b'\n') {
                if !line.ends_with(b"\n") && connection + 1 < streams.len() {
                    break;
                }
                judge.add(Some(connection), piece(line, known)?);
            }
        }
        Account::by(&judge, last)
    }

    /// The same of datagrams, a line each, which may come in any order.
    ///
    /// # Errors
    /// A line that is none.
    pub fn of_datagrams(lines: &[u8], last: u64, known: Known) -> Result<Account> {
        let mut judge = Judge::default();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            judge.add(None, piece(line, known)?);
        }
        Account::by(&judge, last)
    }

    /// The same of records as `/dev/kmsg` has them, in any order, from a shipper that reports nothing.
    ///
    /// # Errors
    /// None.
    pub fn of_raw(streams: &[Vec<u8>], last: u64) -> Result<Account> {
        let mut judge = Judge::default();
        let seq = |line: &[u8]| -> Option<u64> {
            let (prefix, _) = str::from_utf8(line).ok()?.split_once(';')?;
            prefix.split(',').nth(1)?.parse().ok()
        };
        for line in streams.iter().flat_map(|stream| stream.split_inclusive(|byte| *byte == b'\n')) {
            if let Some(seq) = seq(line) {
                judge.add(None, Piece::Record(seq));
            }
        }
        Account::by(&judge, last)
    }

    /// As PID 1 has to account for the records of a boot: from the very first on.
    fn by(judge: &Judge, last: u64) -> Result<Account> {
        let verdict = judge.verdict(0..=last);
        if let [first, ..] = &verdict.wrong[..] {
            return Err(Error::new(format!("{first}; {} in all", verdict.wrong.len())));
        }
        Ok(Account {
            written: last + 1,
            received: verdict.received,
            duplicates: verdict.duplicates,
            lost: verdict.lost,
            perhaps_unread: verdict.perhaps_unread,
            reports: verdict.reports,
            unaccounted: verdict.unaccounted,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seq: u64, msg: &str) -> String {
        format!(
            "{{\"clock\":1,\"facility\":\"user\",\"msg\":\"{msg}\\n\",\"priority\":\"warning\",\"seq\":{seq},\"talos-level\":\"info\",\"talos-time\":\"2021-11-26T16:53:21Z\"}}\n"
        )
    }

    fn report(seq: u64, kind: &str, msg: &str) -> String {
        line(seq, msg).replace("}\n", &format!(",\"earlykmsg\":\"{kind}\"}}\n"))
    }

    #[test]
    fn figures_of_two_connections() {
        let lost = report(2, "lost", "earlykmsg: lost 3 records, seq 2-4: why");
        let text = "earlykmsg: 2 records, seq 5-6, possibly lost: sent, but perhaps not read";
        let unread = report(5, "possibly-lost", text);
        let first = line(0, "a") + &line(1, "b") + &lost + &line(5, "c") + "{\"clock";
        let streams = [first.into_bytes(), (unread + &line(7, "d") + &line(8, "e")).into_bytes()];
        let account = Account::of_connections(&streams, 9, none_known).unwrap();
        let expected = Account {
            written: 10,
            received: 5,
            duplicates: 0,
            lost: 3,
            perhaps_unread: 2,
            reports: 2,
            unaccounted: vec![9..=9],
        };
        assert_eq!(account, expected);
        assert_eq!(Account::of_datagrams(&streams[1], 8, none_known).unwrap().unaccounted, [0..=4]);
    }

    #[test]
    fn a_connection_goes_on_where_it_was() {
        let text = "earlykmsg: lost 2 records, seq 1-2: why";
        let (lost, forged) = (report(1, "lost", text), line(1, text));
        for (text, good) in [
            (line(0, "a") + &line(1, "b"), true),
            (line(0, "a") + &lost + &line(3, "b"), true),
            (line(0, "a") + &line(2, "b"), false),
            (line(0, "a") + &line(0, "a"), false),
            (line(0, "a") + &lost + &line(2, "b"), false),
            (line(0, "a") + &lost + &line(4, "b"), false),
            (line(0, "a") + &lost + &lost, false),
            (report(0, "lost", text), false),
            (line(0, "a") + &forged + &line(3, "b"), false),
            (line(0, "a") + &forged + &line(2, "b"), true),
            (line(0, "a") + "{\"clock", false),
        ] {
            assert_eq!(
                Account::of_connections(&[text.clone().into_bytes()], 5, none_known).is_ok(),
                good,
                "{text}"
            );
        }
    }

    #[test]
    fn raw_records() {
        let account =
            Account::of_raw(&[b"6,0,12,-;a\n DEVICE=b\n6,2,13,-;c\n6,2,13,-;c\n6,3,1".to_vec()], 2).unwrap();
        assert_eq!((account.received, account.duplicates), (2, 1));
        assert_eq!(account.unaccounted, [1..=1]);
    }
}
