//! What became of a stretch of the kernel's log, by what a receiver got of it: each record was received, or a report
//! in the stream covers it. What the program says elsewhere is no report.
//!
//! The judge computes: which records there were and what was received go in, a [`Verdict`] comes out.

use core::ops::RangeInclusive;
use std::collections::BTreeSet;

use serde_json::Value;

use crate::json;

/// What one line or datagram covers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// A record.
    Record(u64),
    /// A report of lost records.
    Lost(RangeInclusive<u64>),
    /// A report of records that are possibly lost.
    Unread(RangeInclusive<u64>),
}

impl Piece {
    /// What a received object covers. A record that says the same as a report is a record.
    #[must_use]
    pub fn of(object: &Value) -> Piece {
        match json::report(object) {
            Some(range) if json::is_lost(object) => Piece::Lost(range),
            Some(range) => Piece::Unread(range),
            None => Piece::Record(json::seq(object)),
        }
    }

    fn range(&self) -> RangeInclusive<u64> {
        match self {
            Piece::Record(seq) => *seq..=*seq,
            Piece::Lost(range) | Piece::Unread(range) => range.clone(),
        }
    }
}

/// What was received so far.
#[derive(Debug, Default)]
pub struct Judge {
    received: BTreeSet<u64>,
    /// Those of them that came by a connection.
    received_in_order: BTreeSet<u64>,
    lost: BTreeSet<u64>,
    unread: BTreeSet<u64>,
    duplicates: u64,
    reports: usize,
    /// The connection that brought the last line, and the sequence number that must follow there.
    next: Option<(usize, u64)>,
    wrong: Vec<String>,
}

/// What became of a range of records.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// How many different ones were received.
    pub received: u64,
    /// How many lie in ranges reported as lost.
    pub lost: u64,
    /// How many lie in ranges reported as possibly lost.
    pub perhaps_unread: u64,
    /// How many of all records came once more.
    pub duplicates: u64,
    /// How many reports there were, of whatever records.
    pub reports: usize,
    /// What was neither received nor reported.
    pub unaccounted: Vec<RangeInclusive<u64>>,
    /// Lines at a wrong place, and records that were received although they are reported as lost.
    pub wrong: Vec<String>,
}

impl Judge {
    /// Takes what comes next. Within a connection each line begins where the one before it ended: records in order,
    /// each once, and each report at its place. Datagrams, which have no connection, may come in any order.
    pub fn add(&mut self, connection: Option<usize>, piece: Piece) {
        let range = piece.range();
        if let Some(connection) = connection {
            if let Some((before, next)) = self.next
                && before == connection
                && next != *range.start()
            {
                self.wrong.push(format!("connection {connection}: {piece:?} where {next} should begin"));
            }
            self.next = Some((connection, range.end() + 1));
        }
        match piece {
            Piece::Record(seq) => {
                self.duplicates += u64::from(!self.received.insert(seq));
                if connection.is_some() {
                    self.received_in_order.insert(seq);
                }
            }
            Piece::Lost(range) => {
                self.reports += 1;
                self.lost.extend(range);
            }
            Piece::Unread(range) => {
                self.reports += 1;
                self.unread.extend(range);
            }
        }
    }

    /// What became of these records: from the oldest that the log held at the start, which is 0 for PID 1.
    #[must_use]
    pub fn verdict(&self, records: RangeInclusive<u64>) -> Verdict {
        let count = |seqs: &BTreeSet<u64>| seqs.range(records.clone()).count() as u64;
        let is_known =
            |seq: &u64| [&self.received, &self.lost, &self.unread].iter().any(|set| set.contains(seq));
        let mut unaccounted: Vec<RangeInclusive<u64>> = Vec::new();
        for seq in records.clone().filter(|seq| !is_known(seq)) {
            match unaccounted.last_mut() {
                Some(range) if *range.end() + 1 == seq => *range = *range.start()..=seq,
                _ => unaccounted.push(seq..=seq),
            }
        }
        // What was on its way as a datagram when it was given up may have arrived all the same.
        let both = self.lost.intersection(&self.received_in_order);
        let both = both.map(|seq| format!("{seq} was received, and is reported as lost"));
        Verdict {
            received: count(&self.received),
            lost: count(&self.lost),
            perhaps_unread: count(&self.unread),
            duplicates: self.duplicates,
            reports: self.reports,
            unaccounted,
            wrong: self.wrong.iter().cloned().chain(both).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(seq: u64, msg: &str) -> Value {
        json!({ "facility": "user", "msg": format!("{msg}\n"), "priority": "warning", "seq": seq })
    }

    fn records(range: RangeInclusive<u64>) -> Vec<Value> {
        range.map(|seq| line(seq, "a record")).collect()
    }

    fn report(kind: &str, seq: u64, text: &str) -> Value {
        let mut object = line(seq, text);
        object["earlykmsg"] = kind.into();
        object
    }

    /// What stands in a report behind "earlykmsg: " or "earlykmsg: lost ".
    fn count(range: &RangeInclusive<u64>) -> String {
        let (first, last) = (range.start(), range.end());
        let plural = if first == last { "" } else { "s" };
        format!("{} record{plural}, seq {first}-{last}", last - first + 1)
    }

    fn lost(range: RangeInclusive<u64>) -> Value {
        report("lost", *range.start(), &format!("earlykmsg: lost {}: why", count(&range)))
    }

    fn unread(range: RangeInclusive<u64>) -> Value {
        report("possibly-lost", *range.start(), &format!("earlykmsg: {}, possibly lost: why", count(&range)))
    }

    /// The log holds records 10 to 29; these lines came by one connection.
    fn by_connection(lines: &[Value]) -> Verdict {
        let mut judge = Judge::default();
        lines.iter().for_each(|line| judge.add(Some(0), Piece::of(line)));
        judge.verdict(10..=29)
    }

    /// The same as datagrams.
    fn by_datagrams(lines: &[Value]) -> Verdict {
        let mut judge = Judge::default();
        lines.iter().for_each(|line| judge.add(None, Piece::of(line)));
        judge.verdict(10..=29)
    }

    /// All that was there, or was told of.
    fn whole() -> Vec<Value> {
        [vec![lost(10..=12)], records(13..=17), vec![unread(18..=20)], records(21..=29)].concat()
    }

    #[test]
    fn a_whole_stream() {
        for verdict in [by_connection(&whole()), by_datagrams(&whole())] {
            let expected =
                Verdict { received: 14, lost: 3, perhaps_unread: 3, reports: 2, ..Verdict::default() };
            assert_eq!(verdict, expected);
        }
    }

    /// Each line in turn is missing: the head, the tail and the reports among them.
    #[test]
    fn a_line_is_missing() {
        for at in 0..whole().len() {
            let mut lines = whole();
            let range = Piece::of(&lines.remove(at)).range();
            let unaccounted = [range];
            assert_eq!(by_connection(&lines).unaccounted, unaccounted);
            assert_eq!(by_datagrams(&lines).unaccounted, unaccounted);
        }
    }

    #[test]
    fn a_head_and_a_tail_are_missing() {
        for count in 1..whole().len() {
            let all = whole();
            let (head, tail) = all.split_at(count);
            for (left, from, to) in [
                (tail, 10, *Piece::of(&head[count - 1]).range().end()),
                (head, *Piece::of(&tail[0]).range().start(), 29),
            ] {
                assert_eq!(by_connection(left).unaccounted, [from..=to]);
                assert_eq!(by_datagrams(left).unaccounted, [from..=to]);
            }
        }
        assert_eq!(by_connection(&[]).unaccounted, [10..=29]);
    }

    #[test]
    fn two_lines_are_swapped() {
        for at in 1..whole().len() {
            let mut lines = whole();
            lines.swap(at - 1, at);
            let verdict = by_connection(&lines);
            assert!(verdict.unaccounted.is_empty() && !verdict.wrong.is_empty(), "{at}: {verdict:?}");
            assert_eq!(by_datagrams(&lines), by_datagrams(&whole()), "datagrams have no order");
        }
    }

    #[test]
    fn a_line_comes_twice() {
        for at in 0..whole().len() {
            let mut lines = whole();
            lines.insert(at, lines[at].clone());
            let verdict = by_connection(&lines);
            assert!(verdict.unaccounted.is_empty() && !verdict.wrong.is_empty(), "{at}: {verdict:?}");
            let verdict = by_datagrams(&lines);
            let is_record = matches!(Piece::of(&lines[at]), Piece::Record(_));
            assert_eq!((verdict.duplicates, verdict.reports), if is_record { (1, 2) } else { (0, 3) });
        }
    }

    /// One record takes the place of others: one with another's number, then one that says that they are lost.
    #[test]
    fn a_record_in_the_place_of_others() {
        let mut lines = whole();
        lines[4] = line(3, "a record");
        assert_eq!(by_connection(&lines).unaccounted, [16..=16]);
        let forgeries = [
            // It has its own number, and the facility and priority of a report.
            line(13, "earlykmsg: lost 4 records, seq 13-16: why"),
            line(13, "earlykmsg: 4 records, seq 13-16, possibly lost: why"),
            // A number that is not its range's first; a count that does not fit.
            line(14, "earlykmsg: lost 4 records, seq 13-16: why"),
            line(13, "earlykmsg: lost 5 records, seq 13-16: why"),
        ];
        for forgery in forgeries {
            let mut lines = whole();
            lines.splice(1..5, [forgery.clone()]);
            for verdict in [by_connection(&lines), by_datagrams(&lines)] {
                assert!(!verdict.unaccounted.is_empty(), "{forgery}: {verdict:?}");
                assert_eq!((verdict.lost, verdict.reports), (3, 2), "{forgery}");
            }
        }
    }

    #[test]
    fn ranges_that_overlap() {
        let lines =
            [vec![lost(10..=15), lost(12..=18), unread(17..=20), unread(18..=18)], records(22..=29)].concat();
        let verdict = by_datagrams(&lines);
        assert_eq!((verdict.lost, verdict.perhaps_unread, verdict.reports), (9, 4, 4), "each counts once");
        assert_eq!(verdict.unaccounted, [21..=21]);
        assert!(!by_connection(&lines).wrong.is_empty());
        // What lies beyond the records in question is not counted.
        let lines = [vec![lost(5..=12)], records(13..=28), vec![unread(29..=40)]].concat();
        let verdict = by_connection(&lines);
        assert_eq!((verdict.lost, verdict.perhaps_unread, verdict.unaccounted), (3, 1, vec![]));
    }

    #[test]
    fn lost_and_yet_received() {
        let lines = [records(10..=29), vec![lost(20..=22)]].concat();
        assert_eq!(by_datagrams(&lines).wrong, [""; 0]);
        let mut judge = Judge::default();
        lines.iter().enumerate().for_each(|(at, line)| judge.add(Some(at / 20), Piece::of(line)));
        assert_eq!(judge.verdict(10..=29).wrong.len(), 3);
    }

    /// A connection may begin where it likes: what it skips is unaccounted for, what it brings again comes twice.
    #[test]
    fn two_connections() {
        for (start, unaccounted, duplicates) in [(20, vec![], 0), (17, vec![], 3), (22, vec![20..=21], 0)] {
            let mut judge = Judge::default();
            records(10..=19).iter().for_each(|line| judge.add(Some(0), Piece::of(line)));
            records(start..=29).iter().for_each(|line| judge.add(Some(1), Piece::of(line)));
            let verdict = judge.verdict(10..=29);
            assert_eq!((&verdict.unaccounted, verdict.duplicates), (&unaccounted, duplicates));
            assert_eq!(verdict.wrong, [""; 0]);
        }
    }
}
