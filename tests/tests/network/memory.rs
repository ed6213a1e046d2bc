//! How much memory the processes take that stay until the root switch.

use std::collections::BTreeMap;

use earlykmsg_tests::proc;
use earlykmsg_tests::sandbox::alone;
use nix::unistd::Pid;

use super::{World, serve, wait_connected};

/// What the pages of a mapping are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    /// Of the program's file.
    File,
    Stack,
    /// Variables, and constants that were relocated.
    Variables,
    /// What the two share.
    Journal,
}

/// The memory of a process in kB by kind, each page divided by how many processes have it (Pss).
fn memory(pid: Pid) -> BTreeMap<Kind, u64> {
    let smaps = proc::file(pid, "smaps");
    let mut memory = BTreeMap::new();
    let (mut name, mut all_kb) = ("", 0);
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if !first.ends_with(':') {
            name = words.nth(4).unwrap_or_default();
            continue;
        }
        let kb: u64 = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
        match first {
            "Pss:" => all_kb = kb,
            // Comes later; a page of the file that was written to is the process's own.
            "Anonymous:" => {
                let kind = match name {
                    "[stack]" => Kind::Stack,
                    name if name.starts_with("/dev/zero") => Kind::Journal,
                    _ if kb > 0 => Kind::Variables,
                    _ => Kind::File,
                };
                *memory.entry(kind).or_default() += all_kb;
            }
            _ => {}
        }
    }
    memory
}

/// Without the program's file, which lies in the image's memory in any case. docs/network.md has the figures; how the stack
/// begins within its page makes a difference of a page or so.
#[test]
fn what_the_keeper_and_the_client_take() {
    const MOST_KB: u64 = 60;
    alone(|sandbox| {
        let world = World::new();
        serve(&world.network, |_, question| vec![question.usual([10, 9, 0, 50], 400)]);
        let machine = World::boot(sandbox, "earlykmsg.ip=dhcp");
        wait_connected(&world);
        let watcher = proc::children(machine.init().expect("it runs"))[0];
        let is_keeper = |pid: &Pid| proc::status(*pid, "Name") == "earlykmsg-netwo";
        let keeper = proc::children(watcher).into_iter().find(is_keeper).expect("a keeper");
        let client = proc::children(keeper)[0];
        let (keepers, clients) = (memory(keeper), memory(client));
        println!("keeper: {keepers:?}\nclient: {clients:?}");
        let own = |memory: &BTreeMap<Kind, u64>| -> u64 {
            memory.iter().filter(|(kind, _)| **kind != Kind::File).map(|(_, kb)| kb).sum()
        };
        let own_kb = own(&keepers) + own(&clients);
        assert!(own_kb <= MOST_KB, "{own_kb} kB");
    });
}
