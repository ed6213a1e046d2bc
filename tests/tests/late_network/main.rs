//! A network that comes late is used at once: the kernel tells of it, and no pause is waited for.
//!
//! What is missing comes just after an attempt. Without the kernel's word the next one would follow at the end of a
//! pause of three quarters of a second at least.

use core::time::Duration;

#[allow(dead_code)] // examples/route_time.rs uses all of it
mod late;

use earlykmsg_tests::sandbox::alone;
use late::{Late, Missing};

const AWAY: Duration = Duration::from_secs(1);
/// Less than a pause, much more than it takes.
const AT_ONCE: Duration = Duration::from_millis(600);

#[track_caller]
fn check(missing: Missing) {
    for (udp, v6, named) in
        [(false, false, false), (true, false, true), (false, true, true), (true, true, false)]
    {
        let late = Late { missing, udp, v6, named };
        let took = alone(|sandbox| late.run(sandbox, AWAY));
        println!("{late}: {took:?}");
        // Whether the first question for the neighbour is answered is the kernel's matter, which asks again a second
        // later.
        assert!(missing == Missing::Carrier || took.asked < AT_ONCE, "{late}: {took:?}");
    }
}

#[test]
fn an_address_is_added() {
    check(Missing::Address);
}

#[test]
fn a_route_appears() {
    check(Missing::Route);
}

#[test]
fn a_link_comes_up() {
    check(Missing::Link);
}

/// Here the kernel asks for the neighbour all the time, and an attempt cannot make it ask earlier.
#[test]
fn a_cable_is_plugged_in() {
    check(Missing::Carrier);
}
