//! A network of its own against DHCP servers of every kind: the program as PID 1 of a namespace, at a cable whose far end
//! has the server and the receiver.

mod faults;
mod memory;
mod other_client;
mod servers;

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::fs;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use earlykmsg_tests::events::Events;
use earlykmsg_tests::foreign::until;
use earlykmsg_tests::kmsg;
use earlykmsg_tests::pid1_sandbox::{Boot, Machine, add_network, image};
use earlykmsg_tests::proc;
use earlykmsg_tests::receiver::{Tcp, TcpBehaviour};
use earlykmsg_tests::sandbox::{Network, Sandbox, advertise_router, alone, far, far6, ip, ip_says};
use nix::mount::{MsFlags, mount};
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::Pid;

const WITHIN: Duration = Duration::from_secs(30);

/// What the client says, as far as a server cares.
#[derive(Clone, Debug)]
struct Question {
    message: Vec<u8>,
    kind: u8,
    /// Sent to this server alone.
    is_renewal: bool,
}

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;

impl Question {
    fn read(message: &[u8]) -> Option<Question> {
        let options = message.get(240..)?;
        let kind = *options.get(2).filter(|_| options.starts_with(&[53, 1]))?;
        Some(Question { message: message.to_vec(), kind, is_renewal: message[12..16] != [0; 4] })
    }

    /// An answer of this kind for an address, with these options behind.
    fn answer(&self, kind: u8, address: [u8; 4], options: &[u8]) -> Vec<u8> {
        let mut answer = self.message[..240].to_vec();
        answer[0] = 2;
        answer[12..16].fill(0);
        answer[16..20].copy_from_slice(&address);
        answer.extend([53, 1, kind, 54, 4, 10, 9, 0, 2]);
        answer.extend(options);
        answer.push(255);
        answer
    }

    /// As every server answers: an offer or a lease of so many seconds.
    fn usual(&self, address: [u8; 4], seconds: u32) -> Vec<u8> {
        let kind = if self.kind == DISCOVER { OFFER } else { ACK };
        let mut options = vec![1, 4, 255, 255, 255, 0, 3, 4, 10, 9, 0, 2, 51, 4];
        options.extend(seconds.to_be_bytes());
        self.answer(kind, address, &options)
    }
}

/// Answers at the far end as long as it is wanted. Returns the questions.
fn serve(
    network: &Network,
    mut answer: impl FnMut(usize, &Question) -> Vec<Vec<u8>> + Send + 'static,
) -> Arc<Events<Question>> {
    let socket = network.enter(|| {
        let socket = UdpSocket::bind("0.0.0.0:67").expect("bind the port of servers");
        setsockopt(&socket.as_fd(), sockopt::BindToDevice, &"far".into()).expect("bind to the cable");
        socket.set_broadcast(true).expect("allow broadcasts");
        socket
    });
    let questions = Arc::new(Events::default());
    thread::spawn({
        let questions = Arc::clone(&questions);
        move || {
            let mut buffer = [0; 2048];
            let mut number = 0;
            while let Ok(len) = socket.recv(&mut buffer) {
                let Some(question) = Question::read(&buffer[..len]) else { continue };
                for answer in answer(number, &question) {
                    let _ = socket.send_to(&answer, (Ipv4Addr::BROADCAST, 68));
                }
                number += 1;
                questions.push(question);
            }
        }
    });
    questions
}

/// The cable, the receiver, and the program at the near end, by these words.
struct World {
    network: Network,
    receiver: Tcp,
}

impl World {
    fn new() -> World {
        World::at(&["10.9.0.2/24"], far(5044))
    }

    /// With these addresses at the far end, and the receiver at one of them.
    fn at(far_addresses: &[&str], receiver: SocketAddr) -> World {
        let network = Network::cable(&[], far_addresses);
        ip("link set near down");
        let receiver = network.enter(|| Tcp::at(receiver, TcpBehaviour::Reads));
        World { network, receiver }
    }

    fn boot(sandbox: &Sandbox, words: &str) -> Machine {
        World::boot_to(sandbox, "tcp://10.9.0.2:5044/", words)
    }

    fn boot_to(sandbox: &Sandbox, url: &str, words: &str) -> Machine {
        let root = initramfs(sandbox);
        add_network(&root);
        Boot::of(&root).cmdline(format!("talos.logging.kernel={url} earlykmsg.modules=none {words}")).start()
    }
}

/// An image in memory, as an initramfs is, without the program that brings a network up.
fn initramfs(sandbox: &Sandbox) -> PathBuf {
    let folder = sandbox.dir().join("memory");
    fs::create_dir(&folder).expect("make a folder");
    mount(Some("memory"), &folder, Some("tmpfs"), MsFlags::empty(), None::<&str>).expect("mount a tmpfs");
    image(&folder, "exec /bin/busybox cat")
}

/// The IPv4 addresses of the near end.
fn addresses() -> String {
    let output =
        Command::new("ip").args(["-4", "-o", "addr", "show", "dev", "near"]).output().expect("start ip");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn wait_for_addresses(what: &str, is_it: impl Fn(&str) -> bool) {
    let deadline = Instant::now() + WITHIN;
    while !is_it(&addresses()) {
        assert!(Instant::now() < deadline, "{what}: {}", addresses());
        thread::sleep(Duration::from_millis(20));
    }
}

fn wait_connected(world: &World) {
    world.receiver.lines.wait_for("earlykmsg: connected to", WITHIN);
}

#[test]
fn a_short_lease_is_renewed() {
    alone(|sandbox| {
        let world = World::new();
        let questions = serve(&world.network, |_, question| vec![question.usual([10, 9, 0, 50], 4)]);
        let _machine = World::boot(sandbox, "earlykmsg.ip=dhcp");
        wait_connected(&world);
        let renewals =
            |questions: &[Question]| questions.iter().filter(|question| question.is_renewal).count() >= 4;
        assert!(questions.try_wait(WITHIN, |questions| renewals(questions).then_some(())).is_some());
        assert!(addresses().contains("10.9.0.50/32"), "{}", addresses());
        // Once there is a lease, nothing else is asked for.
        let kinds: Vec<u8> = questions.items().iter().map(|question| question.kind).collect();
        let asked = kinds.iter().position(|kind| *kind == REQUEST).expect("it was asked for");
        assert!(!kinds[asked..].contains(&DISCOVER), "{kinds:?}");
    });
}

/// The server falls silent: the address goes when the lease ends, and another server's is taken.
#[test]
fn another_server_after_the_end_of_a_lease() {
    alone(|sandbox| {
        let world = World::new();
        let since = Instant::now();
        let mut is_gone = false;
        serve(&world.network, move |_, question| {
            is_gone |= question.is_renewal;
            match (is_gone, question.is_renewal) {
                (false, _) => vec![question.usual([10, 9, 0, 50], 4)],
                (true, true) => vec![],
                (true, false) => vec![question.usual([10, 9, 0, 60], 400)],
            }
        });
        let _machine = World::boot(sandbox, "earlykmsg.ip=dhcp");
        wait_connected(&world);
        wait_for_addresses("another address", |shown| shown.contains("10.9.0.60/32"));
        assert!(!addresses().contains("10.9.0.50"), "{}", addresses());
        assert!(since.elapsed() >= Duration::from_secs(4), "before the end of the lease");
        world.receiver.lines.wait_for("its lease is over", WITHIN);
    });
}

/// What a hostile server, or several at once, may send before there is a good answer.
fn survives(what: &str, mut answer: impl FnMut(usize, &Question) -> Vec<Vec<u8>> + Send + 'static) {
    alone(|sandbox| {
        let world = World::new();
        let questions = serve(&world.network, move |number, question| answer(number, question));
        let _machine = World::boot(sandbox, "earlykmsg.ip=dhcp");
        wait_connected(&world);
        assert!(addresses().contains("10.9.0.50/32"), "{what}: {}", addresses());
        println!("{what}: {} questions", questions.len());
    });
}

const GOOD: [u8; 4] = [10, 9, 0, 50];

#[test]
fn silence_first() {
    survives("silence", |number, question| if number < 3 { vec![] } else { vec![question.usual(GOOD, 400)] });
}

#[test]
fn refusals_first() {
    survives("refusals", |number, question| match question.kind {
        REQUEST if number < 4 => vec![question.answer(NAK, [0; 4], &[])],
        _ => vec![question.usual(GOOD, 400)],
    });
}

#[test]
fn a_thousand_offers() {
    survives("offers", |_, question| match question.kind {
        // The first one counts.
        DISCOVER => {
            (0..1_000).map(|n| question.usual([10, 9, (n / 250) as u8, 50 + (n % 200) as u8], 400)).collect()
        }
        _ => vec![question.usual(GOOD, 400)],
    });
}

#[test]
fn what_cannot_be_used() {
    survives("garbage", |_, question| {
        let usual = || question.usual([10, 9, 0, 99], 400);
        let mut other_xid = usual();
        other_xid[5] ^= 1;
        let mut other_machine = usual();
        other_machine[30] ^= 1;
        let kind = if question.kind == DISCOVER { OFFER } else { ACK };
        let mut all = vec![
            vec![],
            vec![0xff; 300],
            usual()[..200].to_vec(),
            other_xid,
            other_machine,
            // Without a lease time, with one of zero, with a mask that is none; addresses that nobody has.
            question.answer(kind, [10, 9, 0, 99], &[]),
            question.usual([10, 9, 0, 99], 0),
            question.answer(kind, [10, 9, 0, 99], &[1, 4, 255, 0, 255, 0, 51, 4, 0, 0, 1, 0]),
            question.usual([127, 0, 0, 1], 400),
            question.usual([255; 4], 400),
            question.usual([0; 4], 400),
        ];
        // Options of many lengths, cut where the message ends. (What a socket holds is no more than all of this.)
        for length in (0..=255_u8).step_by(5) {
            let mut options = vec![length, length];
            options.extend(vec![0x35; usize::from(length) / 2]);
            let mut answer = question.answer(9, [10, 9, 0, 99], &options);
            answer.pop();
            all.push(answer);
        }
        all.push(question.usual(GOOD, 400));
        all
    });
}

/// Without a router and without a mask: the network is that of the address's class, and there is no default route.
#[test]
fn neither_router_nor_mask() {
    alone(|sandbox| {
        let world = World::new();
        serve(&world.network, |_, question| {
            let kind = if question.kind == DISCOVER { OFFER } else { ACK };
            vec![question.answer(kind, GOOD, &[51, 4, 0, 0, 1, 0])]
        });
        let _machine = World::boot(sandbox, "earlykmsg.ip=dhcp");
        wait_connected(&world);
        let routes = Command::new("ip").args(["-4", "route", "show"]).output().expect("start ip");
        let routes = String::from_utf8_lossy(&routes.stdout).into_owned();
        assert!(
            routes.starts_with("10.0.0.0/8 dev near proto 200") && routes.lines().count() == 1,
            "{routes}"
        );
    });
}

/// Old programs set addresses by name of the link (klibc's ipconfig does): they get one of their own, not ours changed, and
/// keep it with its route.
#[test]
fn an_address_that_is_set_by_name() {
    alone(|sandbox| {
        let world = World::new();
        serve(&world.network, |_, question| vec![question.usual(GOOD, 400)]);
        let _machine = World::boot(sandbox, "earlykmsg.ip=dhcp");
        wait_connected(&world);
        let words = ["ifconfig", "near", "10.9.0.50", "netmask", "255.255.255.0"];
        let status = Command::new("busybox").args(words).status().expect("start busybox");
        assert!(status.success());
        wait_for_addresses("ours given back", |shown| !shown.contains("/32"));
        let shown = addresses();
        assert!(shown.contains("10.9.0.50/24") && shown.contains("valid_lft forever"), "{shown}");
        assert!(!shown.contains("noprefixroute"), "{shown}");
        let routes = Command::new("ip").args(["-4", "route", "show"]).output().expect("start ip");
        let routes = String::from_utf8_lossy(&routes.stdout).into_owned();
        assert!(
            routes.starts_with("10.9.0.0/24 dev near proto kernel") && routes.lines().count() == 1,
            "{routes}"
        );
    });
}

/// The end of all gives it back too.
#[test]
fn given_back_with_the_watcher() {
    alone(|sandbox| {
        let world = World::new();
        serve(&world.network, |_, question| vec![question.usual(GOOD, 400)]);
        let machine = World::boot(sandbox, "earlykmsg.ip=dhcp");
        wait_connected(&world);
        let watcher = machine.init().and_then(|init| proc::children(init).first().copied());
        let watcher = watcher.expect("a watcher");
        nix::sys::signal::kill(watcher, nix::sys::signal::Signal::SIGKILL).expect("kill the watcher");
        wait_for_addresses("given back", str::is_empty);
    });
}

/// Where the network is not up, shippers say so if nobody brings it up any more: who is killed cannot.
#[test]
fn the_program_is_killed() {
    alone(|sandbox| {
        let _world = World::new();
        let machine = World::boot(sandbox, "earlykmsg.ip=dhcp");
        let network = || {
            let watcher = machine.init().and_then(|init| proc::children(init).first().copied())?;
            let is_network = |pid: &Pid| proc::status(*pid, "Name") == "earlykmsg-netwo";
            proc::children(watcher).into_iter().find(is_network)
        };
        until("the program", || network().is_some());
        nix::sys::signal::kill(network().expect("it runs"), nix::sys::signal::Signal::SIGKILL)
            .expect("kill it");
        let said = |text: &str| {
            text.contains("network not up after") && text.contains("; earlykmsg-network has ended")
        };
        until("a message", || kmsg::ring().iter().any(|record| said(&record.msg)));
    });
}

/// The keeper and the client may change the network and nothing else; systemd spares them in an initramfs.
#[test]
fn each_process_keeps_one_capability() {
    alone(|sandbox| {
        let world = World::new();
        serve(&world.network, |_, question| vec![question.usual(GOOD, 400)]);
        let machine = World::boot(sandbox, "earlykmsg.ip=dhcp");
        wait_connected(&world);
        let watcher = proc::children(machine.init().expect("it runs"))[0];
        let is_root = |pid: &Pid| proc::status(*pid, "Uid").starts_with('0');
        let keeper = proc::children(watcher).into_iter().find(is_root).expect("a keeper");
        let client = proc::children(keeper)[0];
        for pid in [keeper, client] {
            proc::assert_has_net_admin_alone(pid);
        }
    });
}

/// An address that is named, of IPv4 and of IPv6.
#[test]
fn named_addresses() {
    for (word, url, want) in [
        ("10.9.0.70:::24::near:none", "tcp://10.9.0.2:5044/", "10.9.0.70/32"),
        ("[fd09::70]:::64::near:none", "tcp://[fd09::2]:5044/", "fd09::70/64"),
    ] {
        alone(|sandbox| {
            let world = World::at(
                &["10.9.0.2/24", "fd09::2/64"],
                if url.contains('[') { far6(5044) } else { far(5044) },
            );
            let _machine = World::boot_to(sandbox, url, &format!("earlykmsg.ip={word}"));
            wait_connected(&world);
            let output =
                Command::new("ip").args(["-o", "addr", "show", "dev", "near"]).output().expect("start ip");
            let shown = String::from_utf8_lossy(&output.stdout).into_owned();
            let line = shown.lines().find(|line| line.contains(want)).unwrap_or_else(|| panic!("{shown}"));
            assert!(!line.contains("forever"), "{line}");
        });
    }
}

/// A router at the far end advertises again and again, once it has an address to do that from, a network for so many seconds.
fn advertise_until(world: &World, seconds: u32, is_taken: impl Fn() -> bool) {
    let deadline = Instant::now() + WITHIN;
    while !is_taken() {
        assert!(Instant::now() < deadline, "{}", addresses());
        world.network.enter(|| {
            let words = ["-6", "-o", "addr", "show", "dev", "far", "scope", "link", "-tentative"];
            let own = Command::new("ip").args(words).output().expect("start ip");
            if !own.stdout.is_empty() {
                advertise_router("far", "fd09::".parse().expect("a prefix"), seconds);
            }
        });
        thread::sleep(Duration::from_millis(500));
    }
}

/// By a router's advertisements alone, of a network for an hour or for ever.
#[test]
fn by_router_advertisements() {
    for seconds in [3_600, u32::MAX] {
        alone(|sandbox| {
            let world = World::at(&["fd09::2/64"], far6(5044));
            let machine = World::boot_to(sandbox, "tcp://[fd09::2]:5044/", "earlykmsg.ip=auto6");
            let has_address =
                || ip_says("-6 -o addr show dev near scope global -tentative").contains("fd09:");
            advertise_until(&world, seconds, || !world.receiver.connections.is_empty() && has_address());
            wait_connected(&world);
            // Nobody else is taken to have made the address: that would have ended the client.
            let watcher = proc::children(machine.init().expect("it runs"))[0];
            let has_client = proc::children(watcher).into_iter().any(|pid| !proc::children(pid).is_empty());
            assert!(has_client, "{seconds} s");
        });
    }
}

/// The program is not in the image, or not one that can be started: a line says so, and all else is as without the word.
#[test]
fn an_image_without_the_program() {
    const LEFT_ALONE: &str = "the network is left alone";
    let absent = format!("earlykmsg.ip= is set, but the image has no /earlykmsg.d/network: {LEFT_ALONE}");
    let refused = |error: &str| format!("earlykmsg: /earlykmsg.d/network: exec: {error}; {LEFT_ALONE}");
    for (file, said) in [
        (None, absent),
        (Some((&b"no program"[..], 0o755)), refused("not an executable (errno 8)")),
        (Some((b"", 0o644)), refused("permission denied (errno 13)")),
    ] {
        alone(|sandbox| {
            let world = World::new();
            ip("addr add 10.9.0.1/24 dev near");
            ip("link set near up");
            let root = initramfs(sandbox);
            if let Some((content, mode)) = file {
                let path = root.join("earlykmsg.d/network");
                fs::create_dir(root.join("earlykmsg.d")).expect("make a folder");
                fs::write(&path, content).expect("write a file");
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set its mode");
            }
            let words = "talos.logging.kernel=tcp://10.9.0.2:5044/ earlykmsg.ip=dhcp";
            let machine = Boot::of(&root).cmdline(words).start();
            wait_connected(&world);
            world.receiver.lines.wait_for(&said, WITHIN);
            let children = machine.init().map(proc::children).expect("it runs");
            assert_eq!(children.len(), 1, "the watcher");
            // The one that could not become the program ends behind its last words.
            until("a watcher with one shipper", || proc::children(children[0]).len() == 1);
            assert!(addresses().contains("10.9.0.1/24"), "{}", addresses());
        });
    }
}

/// Started by anybody else it does nothing.
#[test]
fn the_program_by_hand() {
    let output = Command::new(earlykmsg_tests::binary::earlykmsg_network())
        .arg("earlykmsg.ip=dhcp")
        .stdin(Stdio::null())
        .output()
        .expect("start it");
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(64), &b""[..]));
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("It is of no use by itself."), "{said}");
}
