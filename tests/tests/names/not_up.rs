//! What is said when the receiver was not reached for ten seconds.

use super::*;

/// The network is not up, for this reason: what is said after 10 s has these parts.
fn not_up(home: &Home<'_>, url: &str, parts: &[&str], never: &[&str]) -> Outcome {
    let (program, start) = home.start_now(url);
    let said = program.says("network not up after ", Duration::from_secs(10) + WITHIN);
    let after = start.elapsed();
    let missing: Vec<_> = parts.iter().filter(|part| !said.contains(**part)).collect();
    let wrong: Vec<_> = never.iter().filter(|part| said.contains(**part)).collect();
    assert!(missing.is_empty() && wrong.is_empty(), "no {missing:?}, but {wrong:?} in: {said}");
    // A word of the program may be on its way to us for a while.
    assert!(after + Duration::from_millis(SLACK_MS) >= Duration::from_secs(10), "it said so after {after:?}");
    assert!(after <= NOT_UP_MAX + Duration::from_millis(SLACK_MS), "it said so after {after:?}");
    Outcome::new(&format!("`{said}`"), after)
}

/// It is said at the end of an attempt, which a silent name server makes 4 s longer.
const NOT_UP_MAX: Duration = Duration::from_secs(10 + 2 * 4);

/// A cable to a network where 10.9.0.2 is.
fn cable() -> Network {
    Network::cable(&["10.9.0.1/24"], &["10.9.0.2/24"])
}

#[test]
fn what_is_said_after_ten_seconds() {
    fn case(
        of: &'static str,
        url: &'static str,
        parts: &'static [&'static str],
        never: &'static [&'static str],
        begin: impl FnOnce(&Home<'_>, &mut dyn FnMut()) + Send + 'static,
    ) -> Case<'static> {
        let run = move |home: &Home<'_>| {
            let mut outcome = None;
            begin(home, &mut || outcome = Some(not_up(home, url, parts, never)));
            outcome.expect("it was begun")
        };
        (of.to_owned(), Box::new(run))
    }
    side_by_side(vec![
        case("no interface", URL, &["no name server"], &["lo up", "route"], |_, run| run()),
        case(
            "no interface is up",
            URL,
            &["near down", "10.9.0.2 unreachable"],
            &["near up", "route"],
            |home, run| {
                ip("link add near type veth peer name far");
                home.name_servers(&["10.9.0.2"]);
                run();
            },
        ),
        case(
            "an interface without a carrier, an address by number",
            "tcp://10.9.0.2:5044/",
            &["near without carrier", "unreachable (errno 101)"],
            &["near up", "route,"],
            |_, run| {
                ip("link add near type veth peer name far");
                ip("link set near up");
                run();
            },
        ),
        case(
            "an address but no route to the name server",
            URL,
            &["near up", "10.9.0.1", "10.99.0.1 unreachable"],
            &["default route"],
            |home, run| {
                let _network = cable();
                home.name_servers(&["10.99.0.1"]);
                run();
            },
        ),
        case(
            "silent name servers",
            URL,
            &["near up", "10.9.0.1", "IPv4 default route", "10.9.0.2 silent, 10.9.0.3 silent"],
            &[],
            |home, run| {
                let network = Network::cable(&["10.9.0.1/24"], &["10.9.0.2/24", "10.9.0.3/24"]);
                ip("route add default via 10.9.0.2");
                let silent = |at| NameServer::new(address(at), "", Silent);
                let _servers = network.enter(|| [silent("10.9.0.2"), silent("10.9.0.3")]);
                home.name_servers(&["10.9.0.2", "10.9.0.3"]);
                run();
            },
        ),
        case("no such name", URL, &["near up", "10.9.0.1", "10.9.0.2 NXDOMAIN"], &["silent"], |home, run| {
            let network = cable();
            let _server = network.enter(|| NameServer::new(address("10.9.0.2"), "", Answers));
            home.name_servers(&["10.9.0.2"]);
            run();
        }),
        case(
            "no name server anywhere, one that cannot tell",
            URL,
            &["near up", "10.9.0.2 nobody listens, 10.9.0.3 SERVFAIL"],
            &[],
            |home, run| {
                let network = Network::cable(&["10.9.0.1/24"], &["10.9.0.2/24", "10.9.0.3/24"]);
                let _server = network.enter(|| NameServer::new(address("10.9.0.3"), "", Code(2)));
                home.name_servers(&["10.9.0.2", "10.9.0.3"]);
                run();
            },
        ),
        case(
            "refused by the receiver",
            URL,
            &["near up", "10.9.0.1", "refused (errno 111)"],
            &["silent", "NXDOMAIN"],
            |home, run| {
                let network = cable();
                let zone = "logs.example 300 A 10.9.0.2";
                let _server = network.enter(|| NameServer::new(address("10.9.0.2"), zone, Answers));
                home.name_servers(&["10.9.0.2"]);
                run();
            },
        ),
    ]);
}
