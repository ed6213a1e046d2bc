//! A received object, and the same record as the guest's own ring has it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use earlykmsg_tests::json;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// An object that a receiver got.
#[derive(Clone, Debug)]
pub struct Record {
    /// When it arrived.
    pub at: Instant,
    /// On which connection, counted from 0.
    pub connection: usize,
    /// The member `seq`.
    pub seq: u64,
    /// The member `msg`.
    pub msg: String,
    /// The whole object.
    pub json: Value,
}

impl Record {
    /// Reads a line or a datagram, and refuses what a receiver must never get.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8], at: Instant, connection: usize) -> Result<Record> {
        let json = json::read(bytes.trim_ascii_end())
            .map_err(|why| Error::new(format!("{why}: {}", String::from_utf8_lossy(bytes))))?;
        let (seq, msg) = (json::seq(&json), json::msg(&json).to_owned());
        Ok(Record { at, connection, seq, msg, json })
    }

    /// The object without `talos-time`, which no one else can know exactly.
    fn timeless(&self) -> Map<String, Value> {
        let mut object = self.json.as_object().cloned().unwrap_or_default();
        object.shift_remove("talos-time");
        object
    }
}

/// A record as `/dev/kmsg` gives it, read inside the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingRecord {
    /// Its sequence number.
    pub seq: u64,
    /// Its text, decoded, with all that follows it.
    pub msg: String,
    /// What a receiver must get of it, all but `talos-time`.
    pub object: Map<String, Value>,
}

impl RingRecord {
    /// That a received record is this one.
    ///
    /// # Errors
    /// Both, when they differ.
    pub fn agrees(&self, received: &Record) -> Result<()> {
        let got = received.timeless();
        if got == self.object {
            return Ok(());
        }
        let (got, expected) = (Value::Object(got), Value::Object(self.object.clone()));
        Err(Error::new(format!("record {}:\n  the ring has  {expected}\n  received was  {got}", self.seq)))
    }
}

/// Takes apart what the guest's `tool ring` wrote: records as they were read, one behind the other.
///
/// # Errors
/// The first line that is none.
pub fn ring_records(dump: &[u8]) -> Result<Vec<RingRecord>> {
    let mut records: Vec<Vec<u8>> = Vec::new();
    for line in dump.split_inclusive(|byte| *byte == b'\n') {
        match records.last_mut() {
            // A line of a record's dictionary.
            Some(record) if line.starts_with(b" ") => record.extend_from_slice(line),
            _ => records.push(line.to_vec()),
        }
    }
    records.iter().map(|record| ring_record(record)).collect()
}

fn ring_record(raw: &[u8]) -> Result<RingRecord> {
    let refused = || Error::new(format!("not a record of the ring: {:?}", String::from_utf8_lossy(raw)));
    let record = earlykmsg_tests::record::Record::read(raw).ok_or_else(refused)?;
    let Value::Object(object) = record.json() else { return Err(refused()) };
    Ok(RingRecord { seq: record.seq, msg: record.msg, object })
}

/// That all records of a guest's ring were received as they are, once each and in their order; those that
/// were received beyond the ring's last must follow it without a gap.
///
/// # Errors
/// What is missing or differs.
pub fn all_received(ring: &[RingRecord], received: &[Record]) -> Result<()> {
    let missing = seqs_missing(received);
    if !missing.is_empty() {
        return Err(Error::new(format!("records never received: {missing:?}")));
    }
    let again = seqs_repeated(received);
    if !again.is_empty() {
        return Err(Error::new(format!("records received more than once: {again:?}")));
    }
    if !received.is_sorted_by_key(|record| record.seq) {
        return Err(Error::new("records received out of order"));
    }
    let by_seq: BTreeMap<u64, &Record> = received.iter().map(|record| (record.seq, record)).collect();
    for record in ring {
        match by_seq.get(&record.seq) {
            Some(received) => record.agrees(received)?,
            None => {
                return Err(Error::new(format!("record {} never received: {:?}", record.seq, record.msg)));
            }
        }
    }
    Ok(())
}

/// The sequence numbers from 0 to the last received that were not received.
#[must_use]
pub fn seqs_missing(records: &[Record]) -> Vec<u64> {
    let seen: BTreeSet<u64> = records.iter().map(|record| record.seq).collect();
    let end = seen.last().map_or(0, |last| last + 1);
    (0..end).filter(|seq| !seen.contains(seq)).collect()
}

/// When each of these texts first stood in a record, in milliseconds since the start of the kernel. Those that stood in
/// none are left out.
#[must_use]
pub fn timeline<'a>(records: &[Record], texts: &[&'a str]) -> Vec<(&'a str, u64)> {
    let at = |text: &str| {
        let record = records.iter().find(|record| record.msg.contains(text))?;
        Some(record.json["clock"].as_u64()? / 1_000)
    };
    texts.iter().filter_map(|text| Some((*text, at(text)?))).collect()
}

/// The sequence numbers that were received more than once.
#[must_use]
pub fn seqs_repeated(records: &[Record]) -> Vec<u64> {
    let mut seen = BTreeSet::new();
    records.iter().map(|record| record.seq).filter(|seq| !seen.insert(*seq)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_becomes_what_a_receiver_must_get() {
        let dump = b"4,711,6252819,-;tab\\x09 and \\\\ and \\xff\n SUBSYSTEM=usb\n\
                     190,712,6252820,-,caller=T1;two\n";
        let records = ring_records(dump).unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].msg, "tab\t and \\ and \u{fffd}\n SUBSYSTEM=usb\n");
        let line = br#"{"clock":6252820,"facility":"local7","msg":"two\n","priority":"info","seq":712,"talos-level":"info","talos-time":"2021-11-26T16:53:21.3258698Z"}"#;
        let received = Record::parse(line, Instant::now(), 0).unwrap();
        records[1].agrees(&received).unwrap();
        records[0].agrees(&received).unwrap_err();
    }

    #[test]
    fn what_no_receiver_must_get_is_refused() {
        let good = r#"{"clock":1,"facility":"kern","msg":"x\n","priority":"info","seq":7,"talos-level":"info","talos-time":"2021-11-26T16:53:21Z"}"#;
        let parse = |line: &str| Record::parse(line.as_bytes(), Instant::now(), 0);
        assert_eq!(parse(good).unwrap().seq, 7);
        for (from, to) in [
            ("}", ""),
            ("\"seq\":7,", ""),
            ("\"seq\":7,", "\"seq\":\"7\","),
            ("\"seq\":7,", "\"seq\":7,\"seq\":7,"),
            ("\"clock\":1,", ""),
            ("\"clock\":1,", "\"clock\": 1,"),
            ("\"facility\":\"kern\",\"msg\":\"x\\n\"", "\"msg\":\"x\\n\",\"facility\":\"kern\""),
            ("2021-11-26T16:53:21Z", "later"),
        ] {
            assert!(good.contains(from));
            assert!(parse(&good.replacen(from, to, 1)).is_err(), "{from} > {to}");
        }
    }
}
