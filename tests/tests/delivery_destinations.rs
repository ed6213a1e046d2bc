//! Several destinations at once: none waits for another.

use core::time::Duration;
use std::thread;
use std::time::Instant;

use earlykmsg_tests::account::{Stream, account};
use earlykmsg_tests::proc;
use earlykmsg_tests::program::Run;
use earlykmsg_tests::receiver::{Tcp, TcpBehaviour};
use earlykmsg_tests::sandbox::{FAR, FAR_IP, NEAR, Network, alone, drop_packets_to, far};

/// A storm to a receiver that reads all the time, beside one that never does.
#[test]
fn storm_to_a_healthy_receiver_beside_a_stuck_one() {
    alone(|_| {
        let (healthy, stuck) = (Tcp::new(TcpBehaviour::Reads), Tcp::new(TcpBehaviour::Ignores));
        let mut stream = Stream::storm("storm");
        let program = Run::new(&[stuck.url(), healthy.url()]).start_on_ring();
        stream.write_and_wait(10, &healthy.lines);
        for _ in 0..100 {
            stream.write_and_wait(200, &healthy.lines);
        }
        let last = stream.write(10);
        let account =
            account("20,000 records beside a stuck destination", &stream, &healthy.lines, &program, &last);
        account.all_arrived();
        assert_eq!((account.duplicates, healthy.connections.len(), stuck.connections.len()), (0, 1, 1));
    });
}

/// Beside one that never answers and one that is slow, a healthy one gets every record at once, and nobody needs more
/// memory for it.
#[test]
fn one_dead_one_slow_one_healthy() {
    alone(|_| {
        let network = Network::cable(NEAR, FAR);
        network.enter(|| drop_packets_to(FAR_IP));
        let (slow, healthy) = (Tcp::with_buffer(4096, TcpBehaviour::Sips), Tcp::new(TcpBehaviour::Reads));
        let mut stream = Stream::storm("beside");
        let dead = format!("tcp://{}/", far(5044));
        let program = Run::new(&[dead, slow.url(), healthy.url()]).start_on_ring();
        stream.write_and_wait(300, &healthy.lines);
        let memory = || -> Vec<u64> {
            proc::family(program.pid).into_iter().map(|pid| proc::number(pid, "VmHWM")).collect()
        };
        let before = memory();
        let mut late: Vec<Duration> = Vec::new();
        for _ in 0..400 {
            let written = Instant::now();
            late.push(stream.write_and_wait(1, &healthy.lines) - written);
            thread::sleep(Duration::from_millis(20)); // long enough for several attempts at the dead one
        }
        let after = memory();
        late.sort_unstable();
        let at = |tenths: usize| late[late.len() * tenths / 10 - 1];
        let (middle, nine_tenths, worst) = (at(5), at(9), at(10));
        println!("late by {middle:?}, nine of ten by {nine_tenths:?}, at worst {worst:?}");
        println!("kB of memory: {before:?}, later {after:?}");
        // There is an attempt at the dead one nearly all the time, and what the slow one has before it takes 2 s: who
        // waits for either is late most of the time. The worst of all is the machine's matter.
        let soon = Duration::from_millis(100);
        assert!(middle < soon && nine_tenths < 10 * soon, "{late:?}");
        assert_eq!(before.len(), 4, "the watcher and three shippers");
        // A shipper that rests has given back its batch and unused stack, and may have both again.
        let at_work = 80;
        let mut both = before.iter().zip(&after);
        assert!(both.all(|(before, after)| *after <= before + at_work), "{before:?}, later {after:?}");
        let last = stream.write(10);
        let fault = "beside a dead and a slow destination";
        account(fault, &stream, &healthy.lines, &program, &last).all_arrived_once();
        account("the slow one of them", &stream, &slow.lines, &program, &last).all_arrived_once();
        assert_eq!((healthy.connections.len(), slow.connections.len()), (1, 1));
    });
}
