//! Arming the kernel's netconsole: the program as PID 1 of a namespace. The kernel's own part is played by a folder with the
//! same files; that it sends is tested in guests.

use core::net::SocketAddr;
use core::time::Duration;
use std::fs;
use std::path::Path;

use earlykmsg_tests::foreign::until;
use earlykmsg_tests::kmsg::{RingLock, newest};
use earlykmsg_tests::netconsole::Driver;
use earlykmsg_tests::pid1_sandbox::{Boot, Machine, add_network, hang_drivers, image};
use earlykmsg_tests::proc;
use earlykmsg_tests::receiver::{Tcp, TcpBehaviour, Udp};
use earlykmsg_tests::sandbox::{FAR, NEAR, Network, Sandbox, alone, far, ip};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const WITHIN: Duration = Duration::from_secs(30);

const FAR_MAC: &str = "02:00:00:00:00:0b";
const OTHER_MAC: &str = "02:00:00:00:00:99";

/// A boot beside a cable whose far end has the receiver and a hardware address that is known.
struct World {
    driver: Driver,
    network: Network,
    receiver: Tcp,
    machine: Machine,
    /// A port that no other test has named in the log, which all share.
    port: u16,
    /// The log's newest record before the start.
    since: u64,
    /// Nobody overruns the log meanwhile.
    _ring_lock: RingLock,
}

/// A cable whose far end has a hardware address that is known.
fn cable() -> Network {
    let network = Network::cable(NEAR, FAR);
    network.enter(|| ip(&format!("link set far address {FAR_MAC}")));
    network
}

/// Whether a process has ended. (PID 1 of this image asks for the end of nobody.)
fn has_ended(pid: Pid) -> bool {
    !proc::lives(pid) || proc::status(pid, "State").starts_with('Z')
}

/// With a driver, and by `earlykmsg.netconsole=` to the port of this address.
fn start(sandbox: &Sandbox, host: &str) -> World {
    let network = cable();
    ip("neigh flush dev near");
    start_beside(sandbox, network, host, "")
}

fn start_beside(sandbox: &Sandbox, network: Network, host: &str, words: &str) -> World {
    start_image(&image(sandbox.dir(), "exec /bin/busybox cat"), network, host, words)
}

/// The image gets the second program, and a driver.
fn start_image(root: &Path, network: Network, host: &str, words: &str) -> World {
    start_image_with(Driver::new(root), root, network, host, words)
}

fn start_image_with(driver: Driver, root: &Path, network: Network, host: &str, words: &str) -> World {
    let ring_lock = RingLock::shared();
    let receiver = network.enter(|| Tcp::at(far(5044), TcpBehaviour::Reads));
    add_network(root);
    let (port, since) = (unique_port(), newest());
    let modules = if words.contains("earlykmsg.modules=") { "" } else { "earlykmsg.modules=none" };
    let words = format!(
        "talos.logging.kernel=tcp://10.9.0.2:5044/ {modules} {words} \
         earlykmsg.netconsole=udp://{host}:{port}/"
    );
    let machine = Boot::of(root).cmdline(words).start();
    World { driver, network, receiver, machine, port, since, _ring_lock: ring_lock }
}

fn unique_port() -> u16 {
    20_000 + (std::process::id() % 40_000) as u16
}

impl World {
    /// Waits until the kernel was told these: the local and the remote address, and the hardware address.
    #[track_caller]
    fn armed(&self, local: &str, remote: &str, mac: &str) {
        let port = self.port.to_string();
        let want = ["1", "near", local, remote, &port, mac, "1"];
        until(&format!("{want:?}"), || self.driver.values() == want);
    }

    /// Waits until the program has said this.
    #[track_caller]
    fn says(&self, words: &str) {
        self.receiver.lines.wait_for_after(self.since, &format!("earlykmsg: {words}"), WITHIN);
    }

    fn url(&self, host: &str) -> String {
        format!("udp://{host}:{}/", self.port)
    }

    /// The watcher, the keeper, and the process that arms netconsole.
    fn processes(&self) -> [Pid; 3] {
        let watcher = proc::children(self.machine.init().expect("it runs"))[0];
        let is_root = |pid: &Pid| proc::status(*pid, "Uid").starts_with('0');
        let keeper = proc::children(watcher).into_iter().find(is_root).expect("a keeper");
        let netconsole = *proc::children(keeper).last().expect("one that arms netconsole");
        [watcher, keeper, netconsole]
    }
}

#[test]
fn a_neighbour_and_its_other_hardware_address() {
    alone(|sandbox| {
        let network = Network::cable(NEAR, &["10.9.0.2/24", "10.9.0.3/24"]);
        network.enter(|| ip(&format!("link set far address {FAR_MAC}")));
        let world = start_beside(sandbox, network, "10.9.0.3", "");
        let receiver = world.network.enter(|| Udp::at(SocketAddr::from(([10, 9, 0, 3], world.port))));
        let url = world.url("10.9.0.3");
        world.armed("10.9.0.1", "10.9.0.3", FAR_MAC);
        world.says(&format!("netconsole sends to {url} over near, to {FAR_MAC}"));

        ip(&format!("neigh replace 10.9.0.3 lladdr {OTHER_MAC} dev near nud reachable"));
        world.armed("10.9.0.1", "10.9.0.3", OTHER_MAC);
        world.says(&format!("netconsole sends to {url} over near, to {OTHER_MAC}"));

        ip("addr add 10.9.0.9/24 dev near");
        ip("route replace 10.9.0.3/32 dev near src 10.9.0.9");
        world.armed("10.9.0.9", "10.9.0.3", OTHER_MAC);

        ip("route replace unreachable 10.9.0.3/32");
        world.says(&format!("netconsole stopped: no route to {url}"));
        world.driver.clear();
        ip("route del unreachable 10.9.0.3/32");
        world.armed("10.9.0.1", "10.9.0.3", OTHER_MAC);
        assert!(receiver.lines.items().is_empty(), "the receiver is asked nothing");
    });
}

/// It may ask the kernel and write to configfs; systemd spares it in an initramfs.
#[test]
fn the_process_keeps_one_capability() {
    alone(|sandbox| {
        let world = start(sandbox, "10.9.0.2");
        world.armed("10.9.0.1", "10.9.0.2", FAR_MAC);
        let [_, _, pid] = world.processes();
        proc::assert_has_net_admin_alone(pid);
    });
}

#[test]
fn a_gateway_gets_the_packets() {
    alone(|sandbox| {
        let network = cable();
        let _behind = network.behind();
        ip("neigh flush dev near");
        let world = start_beside(sandbox, network, "10.8.0.2", "");
        world.armed("10.9.0.1", "10.8.0.2", FAR_MAC);
    });
}

#[test]
fn a_neighbour_by_ipv6() {
    alone(|sandbox| {
        let world = start(sandbox, "[fd09::2]");
        world.armed("fd09::1", "fd09::2", FAR_MAC);
    });
}

#[test]
fn a_link_local_address_by_its_interface() {
    alone(|sandbox| {
        let network = Network::cable(&["10.9.0.1/24", "fe80::77/64"], &["10.9.0.2/24", "fe80::99/64"]);
        network.enter(|| ip(&format!("link set far address {FAR_MAC}")));
        ip("neigh flush dev near");
        let world = start_beside(sandbox, network, "[fe80::99%near]", "");
        until("the target", || world.driver.values()[6] == "1");
        let [_, _, local, remote, _, mac, _] = world.driver.values();
        assert!(local.starts_with("fe80::"), "{local}");
        assert_eq!([remote, mac], ["fe80::99", FAR_MAC]);
    });
}

/// By an address that the program itself gets before the root switch.
#[test]
fn a_network_of_its_own() {
    alone(|sandbox| {
        let memory = sandbox.dir().join("memory");
        fs::create_dir(&memory).expect("make a folder");
        mount(Some("memory"), &memory, Some("tmpfs"), MsFlags::empty(), None::<&str>).expect("mount a tmpfs");
        let network = Network::cable(&[], FAR);
        network.enter(|| ip(&format!("link set far address {FAR_MAC}")));
        ip("link set near down");
        let root = image(&memory, "exec /bin/busybox cat");
        let word = "earlykmsg.ip=10.9.0.70:::24::near:none";
        let world = start_image(&root, network, "10.9.0.2", word);
        world.armed("10.9.0.70", "10.9.0.2", FAR_MAC);
        // Somebody else takes care of the network: ours is given back, and netconsole goes by theirs.
        world.driver.clear();
        ip("addr add 10.9.0.1/24 dev near");
        world.armed("10.9.0.1", "10.9.0.2", FAR_MAC);
    });
}

/// The kernel says nothing of the reason why: it is the neighbour that does not answer. Later it does.
#[test]
fn a_neighbour_that_does_not_answer() {
    alone(|sandbox| {
        let world = start(sandbox, "10.9.0.77");
        let url = world.url("10.9.0.77");
        world.says(&format!("netconsole waits: no answer from the neighbour on the way to {url}"));
        world.network.enter(|| ip("addr add 10.9.0.77/24 dev far"));
        world.armed("10.9.0.1", "10.9.0.77", FAR_MAC);
    });
}

#[test]
fn an_address_of_this_machine() {
    alone(|sandbox| {
        let world = start(sandbox, "10.9.0.1");
        let url = world.url("10.9.0.1");
        world.says(&format!("netconsole waits: {url} is not the address of one other machine"));
    });
}

#[test]
fn an_interface_that_is_no_ethernet() {
    alone(|sandbox| {
        let network = Network::cable(NEAR, FAR);
        ip("tuntap add mode tun name tunnel");
        ip("addr add 10.7.0.1/24 dev tunnel");
        ip("link set tunnel up");
        let world = start_beside(sandbox, network, "10.7.0.2", "");
        let url = world.url("10.7.0.2");
        world.says(&format!("netconsole waits: the interface to {url} is no Ethernet"));
    });
}

#[test]
fn a_kernel_without_netconsole() {
    alone(|sandbox| {
        let network = Network::cable(NEAR, FAR);
        let world = start_beside(sandbox, network, "10.9.0.77", "");
        let config = sandbox.dir().join("image/sys/kernel/config");
        fs::rename(&config, config.with_extension("away")).expect("rename a folder");
        world.network.enter(|| ip("addr add 10.9.0.77/24 dev far"));
        world.says("netconsole is not in this kernel, or its module netconsole is not loaded yet");
    });
}

/// What the kernel says when it does not want to: a line with the reason. Another way is tried.
#[test]
fn a_target_that_the_kernel_does_not_take() {
    alone(|sandbox| {
        let network = Network::cable(NEAR, FAR);
        let world = start_beside(sandbox, network, "10.9.0.77", "");
        fs::remove_file(world.driver.path("enabled")).expect("remove a file");
        world.network.enter(|| ip("addr add 10.9.0.77/24 dev far"));
        world.says("set up netconsole: no such file (errno 2), over near");
        fs::write(world.driver.path("enabled"), "").expect("write a file");
        ip(&format!("neigh replace 10.9.0.77 lladdr {OTHER_MAC} dev near nud reachable"));
        until("the target", || world.driver.values()[5..] == [OTHER_MAC, "1"]);
    });
}

/// Without the watcher nobody could take netconsole away. The process that arms it ends with it, and the keeper.
#[test]
fn the_end_of_the_watcher() {
    alone(|sandbox| {
        let world = start(sandbox, "10.9.0.2");
        world.armed("10.9.0.1", "10.9.0.2", FAR_MAC);
        let [watcher, keeper, netconsole] = world.processes();
        kill(watcher, Signal::SIGKILL).expect("kill it");
        until("their end", || has_ended(keeper) && has_ended(netconsole));
    });
}

/// A driver that hangs: the process that loads it never ends by itself. Netconsole is armed after a while, and taken away at
/// the end.
#[test]
fn a_driver_that_hangs() {
    alone(|sandbox| {
        let network = cable();
        let root = image(sandbox.dir(), "exec /bin/busybox cat");
        hang_drivers(&root);
        let world = start_image(&root, network, "10.9.0.2", "earlykmsg.modules=hangs");
        world.says(&format!("netconsole sends to {} over near, to {FAR_MAC}", world.url("10.9.0.2")));
        world.armed("10.9.0.1", "10.9.0.2", FAR_MAC);
        let [watcher, keeper, netconsole] = world.processes();
        let loader = proc::children(keeper)[0];
        assert_ne!(loader, netconsole);
        assert!(proc::lives(loader));
        kill(watcher, Signal::SIGTERM).expect("ask it to end");
        until("their end", || [loader, netconsole, keeper].into_iter().all(has_ended));
    });
}

/// Drivers that take long: where the kernel has no netconsole without them, it is armed when they are loaded.
#[test]
fn drivers_that_take_long() {
    alone(|sandbox| {
        let network = cable();
        let root = image(sandbox.dir(), "exec /bin/busybox cat");
        let modules = hang_drivers(&root);
        let driver = Driver::new(&root);
        driver.unload();
        let world = start_image_with(driver, &root, network, "10.9.0.2", "earlykmsg.modules=slow");
        world.says("netconsole waits: drivers are still being loaded");
        world.driver.load();
        // The list of modules ends, and is empty when it is read again.
        let pipe = fs::File::options().write(true).open(&modules).expect("open a pipe");
        fs::remove_file(&modules).expect("remove a pipe");
        fs::write(&modules, "").expect("write a file");
        drop(pipe);
        world.armed("10.9.0.1", "10.9.0.2", FAR_MAC);
    });
}

/// A process that dies is not started again: the kernel keeps what it was told.
#[test]
fn the_death_of_the_process() {
    alone(|sandbox| {
        let world = start(sandbox, "10.9.0.2");
        world.armed("10.9.0.1", "10.9.0.2", FAR_MAC);
        let [_, keeper, netconsole] = world.processes();
        kill(netconsole, Signal::SIGKILL).expect("kill it");
        until("the keeper's end", || !proc::lives(keeper) || proc::status(keeper, "State").starts_with('Z'));
        world.says("the process that arms netconsole has died; what it has armed stays");
        // As docs/netconsole.md says.
        world.armed("10.9.0.1", "10.9.0.2", FAR_MAC);
    });
}

/// Without a destination it lasts until the end is asked for. What cannot be read leaves nothing.
#[test]
fn without_destinations() {
    alone(|sandbox| {
        let _network = Network::cable(NEAR, FAR);
        let root = image(sandbox.dir(), "exec /bin/busybox cat");
        add_network(&root);
        let driver = Driver::new(&root);
        let boot = |url: &str| {
            let words = format!("earlykmsg.modules=none earlykmsg.netconsole={url}");
            Boot::of(&root).cmdline(words).start()
        };
        let ended = |machine: &Machine| {
            let runs_on = |init| proc::file(init, "cmdline").starts_with("/bin/busybox");
            until("the next init", || machine.init().is_some_and(runs_on));
            let lives = |pid: &Pid| !proc::status(*pid, "State").starts_with('Z');
            let is_alone = |init| !proc::children(init).iter().any(lives);
            until("the end of the others", || machine.init().is_some_and(is_alone));
        };
        {
            let machine = boot("udp://10.9.0.2:6666/");
            until("the target", || driver.values()[6] == "1");
            let watcher = machine.init().map(proc::children).expect("it runs")[0];
            kill(watcher, Signal::SIGTERM).expect("ask it to end");
            ended(&machine);
        }
        for url in ["tcp://10.9.0.2:6666/", "udp://console.example:6666/", "udp://127.0.0.1:6666/"] {
            ended(&boot(url));
        }
    });
}

#[test]
fn words_that_are_wrong() {
    for host in ["console.example", "127.0.0.1", "[ff02::1]"] {
        alone(|sandbox| {
            let world = start(sandbox, host);
            let url = world.url(host);
            let want = "must be udp://ADDRESS:PORT/ of another machine; this word is left out";
            world.says(&format!("earlykmsg.netconsole={url}: {want}"));
        });
    }
}
