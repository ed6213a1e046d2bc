//! Another program of the machine asks for an address by DHCP: all is left to it, at once, as it has it by then.

use core::net::Ipv4Addr;
use std::fs;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::process::Command;

use earlykmsg_tests::foreign::until;
use earlykmsg_tests::pid1_sandbox::Machine;
use earlykmsg_tests::proc;
use earlykmsg_tests::sandbox::{alone, far, ip};
use nix::sys::socket::{setsockopt, sockopt};

use super::{GOOD, World, advertise_until, serve, wait_connected, wait_for_addresses};

/// Asks as that program, and waits until all is given back.
fn ask(machine: &Machine) {
    let watcher = proc::children(machine.init().expect("it runs"))[0];
    let mut processes = proc::children(watcher).into_iter();
    let keeper = processes.find(|pid| !proc::children(*pid).is_empty()).expect("a keeper with a client");
    let other = UdpSocket::bind("0.0.0.0:68").expect("bind the port of clients");
    other.set_broadcast(true).expect("allow broadcasts");
    setsockopt(&other.as_fd(), sockopt::BindToDevice, &"near".into()).expect("bind to the cable");
    other.send_to(&[1; 300], (Ipv4Addr::BROADCAST, 67)).expect("ask for an address");
    wait_for_addresses("given back", str::is_empty);
    until("no client", || proc::children(keeper).is_empty() && proc::waits_in_poll(keeper));
}

/// What `ip` shows.
fn shown(words: &str) -> String {
    let output = Command::new("ip").args(words.split(' ')).output().expect("start ip");
    String::from_utf8(output.stdout).expect("text")
}

/// How often the near end has got a carrier or lost it.
fn carrier_changes() -> u64 {
    let all: serde_json::Value =
        serde_json::from_str(&shown("-json -stats -stats link show dev near")).expect("JSON");
    all[0]["stats64"]["tx"]["carrier_changes"].as_u64().expect("a number")
}

/// The route that the kernel has made to the network that the router advertises.
fn route() -> String {
    shown("-6 route show fd09::/64 dev near proto kernel")
}

/// A link that is set down loses the routes of the other program, which the kernel does not tell it.
#[test]
fn its_links_stay_up() {
    alone(|sandbox| {
        let world = World::new();
        serve(&world.network, |_, question| vec![question.usual(GOOD, 400)]);
        let machine = World::boot(sandbox, "earlykmsg.ip=dhcp");
        wait_connected(&world);
        let before = carrier_changes();
        ask(&machine);
        assert_eq!(carrier_changes(), before);
        assert!(shown("link show dev near").contains(",UP"), "{}", shown("link show dev near"));
    });
}

/// What the kernel has made of a router's advertisements stays with a program that leaves that to the kernel. One that takes
/// them itself, as networkd does, has the kernel ignore them, and deletes the addresses: then the route to their network goes.
#[test]
fn routes_by_router_advertisements() {
    for takes_them_itself in [false, true] {
        alone(|sandbox| {
            let world = World::at(&["10.9.0.2/24", "fd09::2/64"], far(5044));
            serve(&world.network, |_, question| vec![question.usual(GOOD, 400)]);
            let machine = World::boot(sandbox, "earlykmsg.ip=dhcp");
            wait_connected(&world);
            advertise_until(&world, 3_600, || !route().is_empty());
            if takes_them_itself {
                fs::write("/proc/sys/net/ipv6/conf/near/accept_ra", "0").expect("ignore routers");
                ip("-6 addr flush dev near scope global");
            }
            assert!(!route().is_empty(), "it stays behind its address");
            ask(&machine);
            assert_eq!(route().is_empty(), takes_them_itself, "{}", route());
        });
    }
}
