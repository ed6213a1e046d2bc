//! How long a network that comes late is unused: from the kernel's word to the first record at the receiver.
//!
//! `cargo run --manifest-path tests/Cargo.toml --example route_time [RUNS [MISSING]]` takes some three seconds a run and prints
//! medians; `MISSING` is `Route` (the default), `Address`, `Link` or `hole`. The cable is one between two namespaces,
//! of some 50 µs there and back.

use core::time::Duration;

#[allow(dead_code)] // the test late_network uses all of it
#[path = "../tests/late_network/late.rs"]
mod late;

use earlykmsg_tests::sandbox::alone;
use late::{Late, Missing, Took, hole};

/// Median, 90th percentile, longest.
fn figures(times: impl Iterator<Item = Duration>) -> String {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1_000.0);
    let last = times.len() - 1;
    format!("{} | {} | {}", ms(times[last / 2]), ms(times[last * 9 / 10]), ms(times[last]))
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let runs = arguments.next().and_then(|runs| runs.parse().ok()).unwrap_or(50);
    let missing = match arguments.next().as_deref() {
        None | Some("Route") => Missing::Route,
        Some("Address") => Missing::Address,
        Some("Link") => Missing::Link,
        Some("hole") => {
            let all =
                (0..runs).map(|run| alone(|sandbox| hole(sandbox, Duration::from_millis(3_000 + 370 * run))));
            println!("{runs} runs, after a black hole, in ms: {}", figures(all));
            return;
        }
        Some(other) => panic!("{other} cannot be missing"),
    };
    println!("{runs} runs each, in ms: median, 90 %, longest; from the kernel's word, and from the command");
    for named in [false, true] {
        for (udp, v6) in [(false, false), (false, true), (true, false), (true, true)] {
            let late = Late { missing, udp, v6, named };
            let away = |run| Duration::from_millis(1_000 + 13 * run);
            let all: Vec<Took> = (0..runs).map(|run| alone(|sandbox| late.run(sandbox, away(run)))).collect();
            let (event, command) = (all.iter().map(|took| took.event), all.iter().map(|took| took.command));
            println!("| {late} | {} | {} |", figures(event), figures(command));
        }
    }
}
