//! A name across the switch of root: whose files and name servers count, and which addresses the main system may
//! deliver to itself.

use core::net::SocketAddr;
use core::time::Duration;
use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use earlykmsg_tests::foreign::until;
use earlykmsg_tests::kmsg::{Writer, newest, ring, tag};
use earlykmsg_tests::nameserver::{DnsFault, NameServer};
use earlykmsg_tests::pid1_sandbox::{Boot, Machine, image};
use earlykmsg_tests::proc;
use earlykmsg_tests::receiver::{End, Line, Lines, Tcp, TcpBehaviour, Udp};
use earlykmsg_tests::sandbox::{Sandbox, alone};
use nix::sys::signal::{Signal, kill};

const WITHIN: Duration = Duration::from_secs(20);
/// The image's name server, and the main system's.
const SERVERS: [&str; 2] = ["127.0.53.1", "127.0.53.2"];

/// PID 1 of the image, which becomes the main system's, in `/main`, when a line comes.
const INIT: &str = "echo it runs; read line
/bin/busybox mount --bind /main /main
exec /bin/busybox chroot /main /bin/busybox sh -c 'while read line; do :; done'";

fn at(last: u8) -> SocketAddr {
    ([127, 0, 9, last], 5044).into()
}

fn receiver(last: u8) -> Tcp {
    Tcp::at(at(last), TcpBehaviour::Reads)
}

/// A boot whose receiver has a name that nothing else on this machine has.
struct World {
    root: PathBuf,
    host: String,
    /// While it is there, nobody overruns the log.
    writer: Writer,
}

impl World {
    /// Both roots ask name servers of their own.
    fn new(sandbox: &Sandbox) -> World {
        let root = image(sandbox.dir(), INIT);
        for folder in ["bin", "etc"] {
            fs::create_dir_all(root.join("main").join(folder)).expect("make a folder");
        }
        fs::hard_link(root.join("bin/busybox"), root.join("main/bin/busybox")).expect("link busybox");
        let world = World { root, host: format!("{}.example", tag("names")), writer: Writer::new() };
        for (etc, server) in ["etc", "main/etc"].iter().zip(SERVERS) {
            world.write(etc, "resolv.conf", &format!("nameserver {server}\n"));
        }
        world
    }

    fn write(&self, etc: &str, name: &str, text: &str) {
        fs::write(self.root.join(etc).join(name), text).expect("write a file");
    }

    /// Puts a file anywhere into the image; the main system's root is in `main`.
    fn put(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
        fs::write(path, text).expect("write a file");
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.root.join(path)).expect("remove a file");
    }

    /// What a name server knows: the receiver's address, and how long that holds.
    fn zone(&self, last: u8, ttl_s: u32) -> String {
        format!("{} {ttl_s} A {}", self.host, at(last).ip())
    }

    /// A name server of the image (0) or of the main system (1).
    fn server(&self, of: usize, last: u8, ttl_s: u32, dns_fault: DnsFault) -> NameServer {
        let address = SERVERS[of].parse::<core::net::IpAddr>().expect("an address");
        NameServer::new(address, &self.zone(last, ttl_s), dns_fault)
    }

    fn boot(&self, scheme: &str) -> Machine {
        let url = format!("{scheme}://{}:5044/", self.host);
        let machine = Boot::of(&self.root).cmdline(format!("talos.logging.kernel={url}")).start();
        machine.console.wait(WITHIN, "the image", |lines| lines.iter().any(|l| l == "it runs").then_some(()));
        machine
    }

    /// Waits until the program has said so of this destination: into the log, which tells nobody.
    #[track_caller]
    fn says(&self, part: &str) {
        let (end, of) = (Instant::now() + WITHIN, format!("{}:5044/", self.host));
        loop {
            let words: Vec<String> = ring().into_iter().map(|record| record.msg).collect();
            let words: Vec<&String> = words.iter().filter(|text| text.contains(&of)).collect();
            if words.iter().any(|text| text.contains(part)) {
                return;
            }
            assert!(Instant::now() < end, "waited {WITHIN:?} for '{part}'; it said {words:#?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What is written now arrives.
    #[track_caller]
    fn reached(&self, lines: &Lines) {
        let text = tag("reached");
        self.writer.write(&text);
        lines.wait_for(&text, WITHIN);
    }
}

/// The root is another one now. Gives the number of the newest record before that.
fn switch(machine: &mut Machine) -> u64 {
    let (init, before) = (machine.init().expect("PID 1"), newest());
    machine.type_line("go");
    until("the switch", || {
        fs::read_link(format!("/proc/{init}/root")).is_ok_and(|root| root.ends_with("main"))
    });
    before
}

/// The watcher has told the shipper of the switch, and of the sockets before it. What is still unread is read before the
/// next record is; a delivery that begins after that is one from after the switch. (Boots come one after the other, so
/// this is said of the one at hand.)
fn knows_of_the_switch(before: u64, lines: &[&Lines]) {
    let is_told = |line: &Line| line.holds("root switched") && line.is_after(before);
    until("the word of the switch", || lines.iter().any(|lines| lines.items().iter().any(is_told)));
}

/// With one of the files alone that name name servers, the receiver is found.
#[test]
fn files_that_an_initramfs_has() {
    for (file, text) in [
        ("tmp/net.eth0.resolv.conf", "search lan\nnameserver 127.0.53.1\n"),
        ("run/net-eth0.conf", "DEVICE='eth0'\nIPV4DNS0='127.0.53.1'\nIPV4DNS1='0.0.0.0'\nDNSDOMAIN='lan'\n"),
        ("run/systemd/resolve/resolv.conf", "nameserver 127.0.53.1\nsearch .\n"),
    ] {
        alone(|sandbox| {
            let world = World::new(sandbox);
            world.remove("etc/resolv.conf");
            world.put(file, text);
            let receiver = receiver(1);
            let _server = world.server(0, 1, 300, DnsFault::Answers);
            let _machine = world.boot("tcp");
            world.reached(&receiver.lines);
            println!("{file} alone");
        });
    }
}

/// A main system with systemd-resolved, which does not listen yet: whom it would ask is asked.
#[test]
fn resolved_of_the_main_system() {
    alone(|sandbox| {
        let world = World::new(sandbox);
        world.remove("main/etc/resolv.conf");
        // Seen from the image, the link would lead to a file of the image.
        symlink("/run/systemd/resolve/stub-resolv.conf", world.root.join("main/etc/resolv.conf"))
            .expect("a link");
        world.put("main/run/systemd/resolve/stub-resolv.conf", "nameserver 127.0.0.53\nsearch .\n");
        world.put("main/run/systemd/resolve/resolv.conf", "nameserver 127.0.53.2\nsearch .\n");
        // What the image has left there counts less.
        world.put("main/run/net-eth0.conf", "IPV4DNS0='127.0.53.1'\nDNSDOMAIN='lan'\n");
        let (mut old, new) = (receiver(1), receiver(2));
        let _servers = [(0, 1), (1, 2)].map(|(of, last)| world.server(of, last, 0, DnsFault::Answers));
        let mut machine = world.boot("tcp");
        world.reached(&old.lines);
        let before = switch(&mut machine);
        knows_of_the_switch(before, &[&old.lines, &new.lines]);
        old.stop(End::Close);
        world.reached(&new.lines);
    });
}

/// Anybody may write to `/tmp` of the main system: nothing there names a name server, even if nothing else does.
#[test]
fn tmp_of_the_main_system() {
    alone(|sandbox| {
        let world = World::new(sandbox);
        world.remove("main/etc/resolv.conf");
        world.put("main/tmp/net.eth0.resolv.conf", "nameserver 127.0.53.2\n");
        let mut receiver = receiver(1);
        let [image, trap] = [(0, 1), (1, 2)].map(|(of, last)| world.server(of, last, 0, DnsFault::Answers));
        let mut machine = world.boot("tcp");
        world.reached(&receiver.lines);
        let before = switch(&mut machine);
        knows_of_the_switch(before, &[&receiver.lines]);
        let asked = image.asked.len();
        receiver.stop(End::Close);
        image.asked.wait(WITHIN, "a question after that", |all| (all.len() > asked).then_some(()));
        assert!(trap.asked.is_empty(), "asked whom a file in /tmp names");
    });
}

/// What the image's name server says after the switch holds for one connection.
#[test]
fn an_answer_that_comes_after_the_switch() {
    alone(|sandbox| {
        let world = World::new(sandbox);
        let (mut old, new) = (receiver(1), receiver(2));
        let image = world.server(0, 1, 300, DnsFault::Silent);
        let _main = world.server(1, 2, 300, DnsFault::Answers);
        let mut machine = world.boot("tcp");
        image.asked.wait(WITHIN, "a question", |asked| asked.first().map(|_| ()));
        switch(&mut machine);
        // It is asked once more after a second, and twice in a second round.
        image.becomes(DnsFault::Answers);
        world.reached(&old.lines);
        old.stop(End::Close);
        world.reached(&new.lines);
    });
}

/// Without the watcher there are no files any more; the name servers are asked all the same, and nothing that was
/// known once comes back.
#[test]
fn the_watcher_is_gone() {
    alone(|sandbox| {
        let world = World::new(sandbox);
        let mut receivers = [1, 2, 3].map(receiver);
        let server = world.server(0, 1, 0, DnsFault::Answers);
        let machine = world.boot("tcp");
        world.reached(&receivers[0].lines);
        let watcher = proc::children(machine.init().expect("PID 1"))[0];
        kill(watcher, Signal::SIGKILL).expect("kill the watcher");
        for (last, next) in [(0, 2), (1, 3)] {
            server.learns(&world.zone(next, 0));
            receivers[last].stop(End::Close);
            world.reached(&receivers[last + 1].lines);
        }
    });
}

/// The main system delivers while we search, and its delivery is seen at the address that was known before.
#[test]
fn taken_over_during_a_search() {
    alone(|sandbox| {
        let world = World::new(sandbox);
        let mut receiver = receiver(1);
        let servers = [0, 1].map(|of| world.server(of, 1, 0, DnsFault::Answers));
        let mut machine = world.boot("tcp");
        world.reached(&receiver.lines);
        let before = switch(&mut machine);
        knows_of_the_switch(before, &[&receiver.lines]);
        world.reached(&receiver.lines);
        servers.iter().for_each(|server| server.becomes(DnsFault::Silent));
        receiver.stop(End::Close);
        let _listener = TcpListener::bind(at(1)).expect("listen");
        let _delivery = TcpStream::connect(at(1)).expect("deliver");
        world.says(": handed over to the main system");
    });
}

/// The main system finds another address of the name than the one in use, by its own name server or file, and
/// delivers there.
#[test]
fn taken_over_at_another_address() {
    for (by_file, udp) in [(false, false), (true, false), (false, true), (true, true)] {
        alone(|sandbox| {
            let world = World::new(sandbox);
            if by_file {
                for (etc, last) in [("etc", 1), ("main/etc", 2)] {
                    world.write(etc, "hosts", &format!("{} {}\n", at(last).ip(), world.host));
                }
            }
            let _servers = [(0, 1), (1, 2)].map(|(of, last)| world.server(of, last, 1, DnsFault::Answers));
            let (_tcp, _udp, lines);
            if udp {
                let own = [1, 2].map(|last| Udp::with_room(at(last)));
                (lines, _udp, _tcp) = (own.each_ref().map(|own| own.lines.clone()), Some(own), None);
            } else {
                let own = [1, 2].map(receiver);
                (lines, _tcp, _udp) = (own.each_ref().map(|own| own.lines.clone()), Some(own), None);
            }
            let mut machine = world.boot(if udp { "udp" } else { "tcp" });
            world.reached(&lines[0]);
            let before = switch(&mut machine);
            knows_of_the_switch(before, &[&lines[0], &lines[1]]);
            if udp {
                // There, the next record asks.
                until("the other address", || {
                    world.writer.write(&world.host);
                    !lines[1].is_empty()
                });
            } else {
                world.reached(&lines[0]);
            }
            let delivery = UdpSocket::bind("127.0.0.1:0").expect("bind a socket");
            let _delivery = if udp {
                delivery.connect(at(2)).expect("deliver");
                None
            } else {
                Some(TcpStream::connect(at(2)).expect("deliver"))
            };
            println!("by file: {by_file}, over UDP: {udp}");
            world.says(": handed over to the main system");
        });
    }
}

/// The same address: the connection that is there goes on, and nobody takes over.
#[test]
fn the_same_address_after_the_switch() {
    alone(|sandbox| {
        let world = World::new(sandbox);
        let receiver = receiver(1);
        let servers = [0, 1].map(|of| world.server(of, 1, 1, DnsFault::Answers));
        let mut machine = world.boot("tcp");
        world.reached(&receiver.lines);
        switch(&mut machine);
        servers[1].asked.wait(WITHIN, "a question after the switch", |asked| asked.first().map(|_| ()));
        world.reached(&receiver.lines);
        assert_eq!(receiver.connections.len(), 1);
    });
}
