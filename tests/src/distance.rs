//! A network that is far away: each packet takes its time.

use core::time::Duration;
use std::net::Shutdown;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::foreign::{Foreign, until};
use crate::sandbox::{FAR, NEAR, Network, Sandbox};

/// A network whose addresses are those of the far end of a cable ([`FAR`]; IPv4 alone), and the caller's own address
/// there. At either end a `socat` has a tunnel device, and hands its packets to this process, which keeps each for a
/// while. (Not every kernel has the queue that delays packets by itself.)
#[derive(Debug)]
pub struct Distance {
    /// What is far away.
    pub network: Network,
    ends: [End; 2],
    threads: Vec<JoinHandle<()>>,
}

/// One end of the tunnel.
#[derive(Debug)]
struct End {
    socket: UnixDatagram,
    /// Where its `socat` takes packets.
    path: PathBuf,
    _socat: Foreign,
}

impl Distance {
    /// Each packet takes `delay`, in either direction.
    pub fn new(sandbox: &Sandbox, delay: Duration) -> Distance {
        let network = Network::alone();
        let inside = format!("--net={}", network.path());
        let near = End::new(sandbox.dir(), "near", NEAR[0], &["socat"]);
        let far = End::new(sandbox.dir(), "far", FAR[0], &["nsenter", &inside, "socat"]);
        let mut threads = Vec::new();
        for (from, to) in [(&near, &far), (&far, &near)] {
            let (put, take) = channel();
            let (socket, out) = (from.clone_socket(), to.clone_socket());
            let path = to.path.clone();
            threads.push(thread::spawn(move || receive(&socket, delay, &put)));
            threads.push(thread::spawn(move || deliver(&take, &out, &path)));
        }
        Distance { network, ends: [near, far], threads }
    }
}

impl Drop for Distance {
    fn drop(&mut self) {
        for end in &self.ends {
            let _ = end.socket.shutdown(Shutdown::Both); // wakes who receives
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl End {
    fn new(dir: &Path, name: &str, address: &str, command: &[&str]) -> End {
        let (ours, path) = (dir.join(format!("{name}.ours")), dir.join(format!("{name}.socat")));
        let socket = UnixDatagram::bind(&ours).expect("bind a socket");
        let device = format!("TUN:{address},tun-name={name},iff-no-pi,iff-up");
        let packets = format!("UNIX-SENDTO:{},bind={}", ours.display(), path.display());
        let words: Vec<&str> = command[1..].iter().copied().chain([&*device, &*packets]).collect();
        let socat = Foreign::start(command[0], &words, &dir.join(format!("{name}.out")));
        until("a tunnel", || path.exists());
        End { socket, path, _socat: socat }
    }

    fn clone_socket(&self) -> UnixDatagram {
        self.socket.try_clone().expect("a second handle")
    }
}

/// A packet, and when it arrives.
type Packet = (Instant, Vec<u8>);

fn receive(socket: &UnixDatagram, delay: Duration, put: &Sender<Packet>) {
    let mut buffer = [0; 2048];
    while let Ok(length @ 1..) = socket.recv(&mut buffer) {
        let _ = put.send((Instant::now() + delay, buffer[..length].to_vec()));
    }
}

fn deliver(take: &Receiver<Packet>, out: &UnixDatagram, path: &Path) {
    for (at, packet) in take {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        let _ = out.send_to(&packet, path); // at the end nobody is there
    }
}
