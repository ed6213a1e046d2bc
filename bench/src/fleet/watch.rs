//! Connection attempts over time, as the receiver's network sees them, and what had arrived by then.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::process::Command;
use std::thread;
use std::time::Instant;

use super::account::Account;

/// How often it is looked.
pub const EVERY: Duration = Duration::from_millis(250);

/// One look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Since the start of the machines.
    pub at: Duration,
    /// SYN segments so far.
    pub syns: u64,
    /// Wanted records that had arrived.
    pub arrived: u64,
}

/// Has the caller's network count what asks for a connection.
pub fn count_syns() {
    nft("add table inet fleet");
    nft("add chain inet fleet input { type filter hook input priority -10 ; }");
    nft("add rule inet fleet input tcp flags & (syn | ack) == syn counter");
}

/// Looks until it is told to end, in the network that [`count_syns`] was called in.
#[must_use]
pub fn watch(account: &Account, began: Instant, ended: &AtomicBool) -> Vec<Look> {
    let mut looks = Vec::new();
    loop {
        let is_last = ended.load(Ordering::Relaxed);
        looks.push(Look { at: began.elapsed(), syns: syns(), arrived: account.arrived() });
        if is_last {
            return looks;
        }
        let next = EVERY * u32::try_from(looks.len()).expect("a short time");
        thread::sleep(next.saturating_sub(began.elapsed()));
    }
}

/// The most attempts a second, over at least one. (On a busy machine the looks are further apart than they should be.)
#[must_use]
pub fn peak(looks: &[Look]) -> u64 {
    const SECOND: Duration = Duration::from_secs(1);
    let rate = |(index, from): (usize, &Look)| {
        let to = looks[index..].iter().find(|look| look.at - from.at >= SECOND)?;
        Some(((to.syns - from.syns) as f64 / (to.at - from.at).as_secs_f64()).round() as u64)
    };
    let rates = looks.iter().enumerate().filter_map(rate);
    rates.max().unwrap_or_else(|| looks.last().map_or(0, |look| look.syns))
}

fn syns() -> u64 {
    let chain = nft("list chain inet fleet input");
    let mut words = chain.split_whitespace().skip_while(|word| *word != "packets").skip(1);
    words.next().and_then(|count| count.parse().ok()).expect("a counter")
}

fn nft(words: &str) -> String {
    let output = Command::new("nft").args(words.split(' ')).output().expect("start nft");
    assert!(output.status.success(), "nft {words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_within_a_second() {
        let looks = [0, 10, 100, 110, 120, 130, 250, 251, 252].iter().zip(0..);
        let looks: Vec<Look> = looks.map(|(&syns, n)| Look { at: EVERY * n, syns, arrived: 0 }).collect();
        assert_eq!(peak(&looks), 150);
        assert_eq!(peak(&looks[..3]), 100);
    }
}
