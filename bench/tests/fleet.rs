//! A small fleet, so that what `./bench/fleet` measures with thousands goes on to hold.

use core::time::Duration;

use earlykmsg_bench::fleet::cases::{Case, Fleet, Result};
use earlykmsg_bench::fleet::picture;

const MACHINES: usize = 50;

const FLEET: Fleet = Fleet {
    machines: MACHINES,
    records: 100,
    away: Duration::from_secs(2),
    accepts_per_second: 50,
    within: Duration::from_secs(60),
};

/// Everything has arrived, whatever happened. What others write into the log may push some of it out, which is reported.
#[track_caller]
fn run(case: Case) -> Result {
    let result = FLEET.run(case);
    println!("{case:?}: {:?} {:?} {:?}", result.took, result.balance, result.accepted);
    assert!(result.took.is_some(), "{case:?}: {:?}", result.balance);
    let known = result.balance.arrived + result.balance.reported;
    assert_eq!(known, (MACHINES * FLEET.records) as u64, "{:?}", result.balance);
    assert_eq!(result.balance.unaccounted, 0, "{:?}", result.balance);
    assert_eq!(result.usage.processes, 2 * MACHINES);
    result
}

#[test]
fn a_fleet_starts_at_once() {
    let results = [run(Case::Start), run(Case::StartRsyslog), run(Case::Slow)];
    assert_eq!(results[0].accepted, [MACHINES], "a connection each");
    let svg = picture::draw(&results, MACHINES);
    assert_eq!(svg.matches("<polyline").count(), results.len());
}

#[test]
fn a_fleet_loses_its_receiver() {
    run(Case::Dies);
    run(Case::Late);
}

/// Of 50 machines that choose one of two addresses each, fewer than 8 choose one of them once in 500,000 times.
#[test]
fn a_fleet_spreads_over_the_addresses_of_a_name() {
    let result = run(Case::Names);
    assert!(result.accepted.iter().all(|count| *count >= 8), "{:?}", result.accepted);
    // Both families, and again where an answer was late.
    assert!((2 * MACHINES..10 * MACHINES).contains(&result.questions), "{}", result.questions);
}
