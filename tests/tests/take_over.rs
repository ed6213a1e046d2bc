//! Whose delivery ends ours: a socket to the destination that was not there before the switch of root.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::fs;
use std::net::{TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use earlykmsg_tests::foreign::until;
use earlykmsg_tests::kmsg::{Writer, newest, ring, tag};
use earlykmsg_tests::pid1_sandbox::{Boot, Machine, image};
use earlykmsg_tests::proc;
use earlykmsg_tests::receiver::{Format, Lines, Tcp, TcpBehaviour, Udp};
use earlykmsg_tests::sandbox::{Sandbox, alone};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const WITHIN: Duration = Duration::from_secs(20);
const TAKEN_OVER: &str = ": handed over to the main system";
const LINGERED: &str = ": nobody took over in the time given";
const IP: Ipv4Addr = Ipv4Addr::new(127, 0, 9, 1);

/// PID 1 of the image, which becomes the main system's, in `/main`, when a line comes.
const INIT: &str = "echo it runs; read line
/bin/busybox mount --bind /main /main
exec /bin/busybox chroot /main /bin/busybox sh -c 'while read line; do :; done'";

/// A boot that delivers to a receiver of this test.
struct World {
    root: PathBuf,
    writer: Writer,
    /// What the program calls its destination.
    url: String,
    to: SocketAddr,
    lines: Arc<Lines>,
    _receiver: (Option<Tcp>, Option<Udp>),
}

impl World {
    fn new(sandbox: &Sandbox, scheme: &str) -> World {
        let root = image(sandbox.dir(), INIT);
        fs::create_dir_all(root.join("main/bin")).expect("make a folder");
        fs::hard_link(root.join("bin/busybox"), root.join("main/bin/busybox")).expect("link busybox");
        // A port that no other test's boot has: the program's words of all of them are in one log.
        let port = free_port();
        let to = SocketAddr::from((IP, port));
        let format = if scheme.starts_with("syslog+") { Format::Syslog } else { Format::Json };
        let (lines, receiver) = if scheme.ends_with("tcp") {
            let tcp = Tcp::with_format(format, to, TcpBehaviour::Reads);
            (tcp.lines.clone(), (Some(tcp), None))
        } else {
            let udp = Udp::with_format(format, to);
            (udp.lines.clone(), (None, Some(udp)))
        };
        let url = format!("{scheme}://{IP}:{port}/");
        World { root, writer: Writer::new(), url, to, lines, _receiver: receiver }
    }

    fn boot(&self, words: &str) -> Machine {
        let word = if self.url.starts_with("syslog") { "earlykmsg.to" } else { "talos.logging.kernel" };
        let machine = Boot::of(&self.root).cmdline(format!("{word}={} {words}", self.url)).start();
        machine.console.wait(WITHIN, "the image", |lines| lines.iter().any(|l| l == "it runs").then_some(()));
        self.reached();
        machine
    }

    /// The root becomes another one, and the shipper knows of it and of the sockets before it: the watcher tells it
    /// before, or as, it says so.
    #[track_caller]
    fn switch(&self, machine: &mut Machine) {
        let (init, before) = (init(machine), newest());
        machine.type_line("go");
        until("the switch", || {
            fs::read_link(format!("/proc/{init}/root")).is_ok_and(|root| root.ends_with("main"))
        });
        self.lines.wait_for_after(before, "root switched", WITHIN);
        // What the watcher told before that is read, at the latest, before the next record is.
        self.reached();
    }

    /// What is written now arrives.
    #[track_caller]
    fn reached(&self) {
        let text = tag("reached");
        self.writer.write(&text);
        self.lines.wait_for(&text, WITHIN);
    }

    /// What the shipper says last: why it has ended.
    #[track_caller]
    fn end(&self) -> String {
        let end = Instant::now() + WITHIN;
        loop {
            let words = ring().into_iter().map(|record| record.msg);
            let mut words = words.filter(|text| text.starts_with(&format!("earlykmsg: {}", self.url)));
            if let Some(last) = words.find(|text| text.contains(TAKEN_OVER) || text.contains(LINGERED)) {
                return last;
            }
            assert!(Instant::now() < end, "it goes on");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// A socket of someone else's to the receiver. `mapped`: one of IPv6.
    fn deliver(&self, mapped: bool) -> Socket {
        let ip = if mapped { IP.to_ipv6_mapped().into() } else { IP.into() };
        let to = SocketAddr::new(ip, self.to.port());
        if self.url.contains("tcp://") {
            return Socket::Tcp(TcpStream::connect(to).expect("deliver"));
        }
        let socket = UdpSocket::bind(if mapped { "[::]:0" } else { "0.0.0.0:0" }).expect("bind a socket");
        socket.connect(to).expect("deliver");
        Socket::Udp(socket)
    }
}

/// A socket that stays for as long as this is kept.
enum Socket {
    Tcp(#[expect(dead_code)] TcpStream),
    Udp(#[expect(dead_code)] UdpSocket),
}

/// A port that is free in the whole machine, whose other tests have networks of their own.
fn free_port() -> u16 {
    let number = tag("port").bytes().fold(0u16, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    10_000 + number % 20_000
}

fn init(machine: &Machine) -> Pid {
    machine.init().expect("PID 1")
}

/// Each kind of socket, over each protocol.
const KINDS: [(&str, bool); 4] = [("tcp", false), ("tcp", true), ("udp", false), ("udp", true)];

/// A socket of the image's own (its `nc`) is no main system's.
#[test]
fn a_socket_from_before_the_switch() {
    for (scheme, mapped) in KINDS {
        alone(|sandbox| {
            let world = World::new(sandbox, scheme);
            let mut machine = world.boot("earlykmsg.linger=5");
            let _old = world.deliver(mapped);
            world.switch(&mut machine);
            let end = world.end();
            println!("{scheme}, IPv6: {mapped}: {end}");
            assert!(end.contains(LINGERED), "{end}");
        });
    }
}

/// One that comes after it is, whatever else there is.
#[test]
fn a_socket_from_after_the_switch() {
    for (scheme, mapped) in KINDS.into_iter().chain([("syslog+tcp", false), ("syslog+udp", true)]) {
        alone(|sandbox| {
            let world = World::new(sandbox, scheme);
            let mut machine = world.boot("");
            let _old = world.deliver(!mapped);
            world.switch(&mut machine);
            let _new = world.deliver(mapped);
            let end = world.end();
            println!("{scheme}, IPv6: {mapped}: {end}");
            assert!(end.contains(TAKEN_OVER), "{end}");
        });
    }
}

/// A shipper that is started again after the switch knows what its predecessor saw before it.
#[test]
fn a_shipper_that_was_started_again() {
    for new in [false, true] {
        alone(|sandbox| {
            let world = World::new(sandbox, "tcp");
            let mut machine = world.boot(if new { "" } else { "earlykmsg.linger=6" });
            let _old = world.deliver(false);
            world.switch(&mut machine);
            let _new = new.then(|| world.deliver(false));
            let watcher = proc::children(init(&machine))[0];
            kill(proc::children(watcher)[0], Signal::SIGKILL).expect("kill the shipper");
            let end = world.end();
            assert!(end.contains(if new { TAKEN_OVER } else { LINGERED }), "new: {new}, {end}");
        });
    }
}

/// More than can be remembered: then nothing is taken for a delivery, and the time to linger ends it.
#[test]
fn too_many_sockets_from_before_the_switch() {
    alone(|sandbox| {
        let world = World::new(sandbox, "tcp");
        let mut machine = world.boot("earlykmsg.linger=5");
        let _old: Vec<Socket> = (0..40).map(|at| world.deliver(at % 2 == 0)).collect();
        world.switch(&mut machine);
        let _new = world.deliver(false);
        let end = world.end();
        assert!(end.contains(LINGERED), "{end}");
    });
}
