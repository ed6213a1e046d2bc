//! A network that comes late is used at once: the kernel tells of it, and no pause is waited for.

use core::time::Duration;

use earlykmsg_tests::late::{Late, Missing};
use earlykmsg_tests::sandbox::alone;

/// By then the pauses between two attempts are about a second long.
const AWAY: Duration = Duration::from_millis(1_600);
/// Far less than a pause, much more than it takes.
const AT_ONCE: Duration = Duration::from_millis(300);

#[track_caller]
fn check(missing: Missing, within: Duration) {
    for (udp, v6) in [(false, false), (true, false), (false, true), (true, true)] {
        let late = Late { missing, udp, v6 };
        // A machine that is busy elsewhere may lose the kernel's first question for the neighbour, which it repeats a
        // second later; of three times that may be one.
        let mut times = [0; 3].map(|_| alone(|_| late.run(AWAY)).command);
        times.sort_unstable();
        println!("{late}: {times:?}");
        assert!(times[1] < within, "{late}: {times:?}");
    }
}

#[test]
fn an_address_is_added() {
    check(Missing::Address, AT_ONCE);
}

#[test]
fn a_route_appears() {
    check(Missing::Route, AT_ONCE);
}

#[test]
fn a_link_comes_up() {
    check(Missing::Link, AT_ONCE);
}

/// Until the kernel asks again for the neighbour that did not answer, a second may go by.
#[test]
fn a_cable_is_plugged_in() {
    check(Missing::Carrier, AT_ONCE + Duration::from_millis(1_100));
}
