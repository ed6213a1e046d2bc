//! What each machine's records came to: how often each arrived, and what was reported lost.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use earlykmsg_tests::json;

/// The records that everybody is to get, and what has arrived.
#[derive(Debug)]
pub struct Account {
    wanted: Vec<u64>,
    state: Mutex<State>,
    complete: Condvar,
}

#[derive(Debug)]
struct State {
    /// For each machine, how often each of the wanted arrived.
    arrived: Vec<Vec<u16>>,
    /// For each machine, the places of those that were reported as lost.
    reported: Vec<BTreeSet<usize>>,
    /// Machines from which something is missing that was not reported.
    incomplete: usize,
    missing: Vec<usize>,
    /// Of all machines, each record once.
    total: u64,
    bytes: u64,
}

/// How it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Wanted records that arrived, each counted once.
    pub arrived: u64,
    /// Those that arrived again.
    pub repeated: u64,
    /// Those that did not arrive, and were reported.
    pub reported: u64,
    /// Those that did not arrive, and nobody said so.
    pub unaccounted: u64,
    /// Bytes of all lines, whatever they say.
    pub bytes: u64,
}

impl State {
    /// One record of a machine more has arrived or was reported, if `is_new`.
    fn settle(&mut self, machine: usize, is_new: bool) {
        self.missing[machine] -= usize::from(is_new);
        self.incomplete -= usize::from(is_new && self.missing[machine] == 0);
    }
}

impl Account {
    /// Of so many machines; `wanted` are the sequence numbers of the records, sorted.
    #[must_use]
    pub fn new(machines: usize, wanted: Vec<u64>) -> Account {
        assert!(wanted.is_sorted() && !wanted.is_empty(), "records to wait for");
        let state = State {
            arrived: vec![vec![0; wanted.len()]; machines],
            reported: vec![BTreeSet::new(); machines],
            incomplete: machines,
            missing: vec![wanted.len(); machines],
            total: 0,
            bytes: 0,
        };
        Account { wanted, state: Mutex::new(state), complete: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes whole lines. What is none of a machine's counts in bytes alone.
    pub fn take(&self, text: &[u8]) {
        let mut state = self.state();
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            state.bytes += line.len() as u64;
            let (Some(machine), Some(seq)) = (machine(line), number(line, b"\"seq\":")) else { continue };
            if machine >= state.arrived.len() {
                continue;
            }
            if line.windows(REPORT.len()).any(|part| part == REPORT) {
                let range = json::report(&json::any(line.trim_ascii_end())).expect("a report");
                let [from, to] = [*range.start(), range.end() + 1]
                    .map(|end| self.wanted.partition_point(|seq| *seq < end));
                for index in from..to {
                    let is_known =
                        state.arrived[machine][index] > 0 || !state.reported[machine].insert(index);
                    state.settle(machine, !is_known);
                }
            } else if let Ok(index) = self.wanted.binary_search(&seq) {
                let is_first = state.arrived[machine][index] == 0;
                state.arrived[machine][index] += 1;
                state.total += u64::from(is_first);
                let is_known = !is_first || state.reported[machine].contains(&index);
                state.settle(machine, !is_known);
            }
        }
        if state.incomplete == 0 {
            self.complete.notify_all();
        }
    }

    /// Waits until everything has arrived or was reported as lost. Returns when, if it did in time.
    #[must_use]
    pub fn wait(&self, within: Duration) -> Option<Instant> {
        let (state, _) = self
            .complete
            .wait_timeout_while(self.state(), within, |state| state.incomplete > 0)
            .unwrap_or_else(PoisonError::into_inner);
        (state.incomplete == 0).then(Instant::now)
    }

    /// Waits until so many of the wanted records have arrived, or `within` is over.
    pub fn wait_for(&self, count: u64, within: Duration) {
        let end = Instant::now() + within;
        while self.arrived() < count && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// How many of the wanted records have arrived, each counted once.
    #[must_use]
    pub fn arrived(&self) -> u64 {
        self.state().total
    }

    /// How it stands now.
    #[must_use]
    pub fn balance(&self) -> Balance {
        let state = self.state();
        let mut balance = Balance { bytes: state.bytes, ..Balance::default() };
        for (machine, counts) in state.arrived.iter().enumerate() {
            for (index, count) in counts.iter().enumerate() {
                match count {
                    0 if state.reported[machine].contains(&index) => balance.reported += 1,
                    0 => balance.unaccounted += 1,
                    _ => {
                        balance.arrived += 1;
                        balance.repeated += u64::from(*count) - 1;
                    }
                }
            }
        }
        balance
    }
}

const REPORT: &[u8] = b",\"earlykmsg\":\"";

/// The machine that a line is of, which it has as its last field.
fn machine(line: &[u8]) -> Option<usize> {
    let line = line.trim_ascii_end().strip_suffix(b"\"}")?;
    let value = line.rsplit(|&byte| byte == b'"').next()?;
    str::from_utf8(value).ok()?.parse().ok()
}

/// The number behind a name. (In a text, its quote would stand behind a backslash.)
fn number(line: &[u8], name: &[u8]) -> Option<u64> {
    let at = line.windows(name.len()).position(|part| part == name)? + name.len();
    let digits = line[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    str::from_utf8(&line[at..at + digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(machine: usize, seq: u64) -> String {
        format!(
            "{{\"clock\":1,\"facility\":\"user\",\"msg\":\"a \\\"seq\\\":9\\n\",\"priority\":\"notice\",\"seq\":{seq},\
             \"talos-level\":\"info\",\"talos-time\":\"2026-01-01T00:00:00Z\",\"machine\":\"{machine}\"}}\n"
        )
    }

    #[test]
    fn each_record_is_accounted_for() {
        let account = Account::new(2, vec![5, 6, 7]);
        let text = [line(0, 5), line(0, 6), line(0, 6), line(0, 8), line(1, 5), line(7, 5)].concat();
        account.take(text.as_bytes());
        account.take(b"nothing of ours\n");
        let want = Balance { arrived: 3, repeated: 1, reported: 0, unaccounted: 3, bytes: 0 };
        assert_eq!(Balance { bytes: 0, ..account.balance() }, want);
        assert_eq!(account.wait(Duration::ZERO), None);
        account.take(line(0, 7).as_bytes());
        let report = "{\"clock\":1,\"facility\":\"user\",\"msg\":\"earlykmsg: lost 2 records, seq 6-7: why\\n\",\
            \"priority\":\"warning\",\"seq\":6,\"talos-level\":\"warn\",\"talos-time\":\"2026-01-01T00:00:00Z\",\
            \"earlykmsg\":\"lost\",\"machine\":\"1\"}\n";
        account.take(report.as_bytes());
        assert!(account.wait(Duration::ZERO).is_some());
        let want = Balance { arrived: 4, repeated: 1, reported: 2, unaccounted: 0, bytes: 0 };
        assert_eq!(Balance { bytes: 0, ..account.balance() }, want);
    }

    #[test]
    fn all_of_it() {
        let account = Account::new(1, vec![1]);
        account.take(line(0, 1).as_bytes());
        assert!(account.wait(Duration::ZERO).is_some());
        assert_eq!(account.arrived(), 1);
    }
}
