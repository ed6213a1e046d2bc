//! How long a network that comes late is unused: from the kernel's word to the first record at the receiver.
//!
//! `cargo run -p earlykmsg-tests --example route_time [RUNS]` takes some two seconds a run and prints medians. The
//! cable is one between two namespaces, of some 50 µs there and back.

use core::time::Duration;

use earlykmsg_tests::late::{Late, Missing, Took};
use earlykmsg_tests::sandbox::alone;

fn main() {
    let runs = std::env::args().nth(1).and_then(|runs| runs.parse().ok()).unwrap_or(50);
    println!("{runs} runs each: median, 90th percentile, longest");
    for missing in [Missing::Route, Missing::Address, Missing::Link] {
        for (udp, v6) in [(false, false), (false, true), (true, false), (true, true)] {
            let late = Late { missing, udp, v6 };
            let all: Vec<Took> =
                (0..runs).map(|run| alone(|_| late.run(Duration::from_millis(1_000 + 13 * run)))).collect();
            let figures = |of: fn(&Took) -> Duration| {
                let mut times: Vec<Duration> = all.iter().map(of).collect();
                times.sort_unstable();
                let last = times.len() - 1;
                format!("{:>9.1?} {:>9.1?} {:>9.1?}", times[last / 2], times[last * 9 / 10], times[last])
            };
            let (event, command) = (figures(|took| took.event), figures(|took| took.command));
            println!("{:<22} from the kernel's word {event}, from the command {command}", late.to_string());
        }
    }
}
