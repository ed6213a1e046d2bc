//! Against the servers that people have: dnsmasq and ISC dhcpd.

use core::time::Duration;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use earlykmsg_tests::foreign::until;
use earlykmsg_tests::sandbox::{Network, Sandbox, alone, ip};

use super::{WITHIN, World, addresses, wait_connected};

/// The client's hardware address.
const MAC: &str = "02:00:00:00:00:09";

/// A server of DHCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Dnsmasq,
    Dhcpd,
}

/// What it serves.
#[derive(Clone, Copy, Debug)]
struct Lease {
    /// The last bytes of the first and of the last address that it gives to anybody.
    range: (u8, u8),
    /// The last byte of the address that it has for this client alone.
    of_client: Option<u8>,
    seconds: u32,
    /// When it is to be renewed; none: the server says, or leaves it to the client.
    renewed_after_s: Option<u32>,
}

const LEASE: Lease = Lease { range: (50, 59), of_client: None, seconds: 600, renewed_after_s: None };

/// A server at the far end, ended with this value.
#[derive(Debug)]
struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    fn start(kind: Kind, lease: Lease, network: &Network, sandbox: &Sandbox) -> Server {
        let (name, arguments) = match kind {
            Kind::Dnsmasq => ("dnsmasq", dnsmasq(lease, sandbox)),
            Kind::Dhcpd => ("dhcpd", dhcpd(lease, sandbox)),
        };
        // A copy: AppArmor would know the program by its path, and keep it from this test's folder.
        let program = sandbox.dir().join(name);
        let installed = ["/usr/sbin", "/usr/bin"].map(|folder| PathBuf::from(folder).join(name));
        let installed = installed.iter().find(|path| path.exists()).unwrap_or_else(|| panic!("no {name}"));
        fs::copy(installed, &program).expect("copy the server");
        let log = sandbox.dir().join(format!("{name}.log"));
        let child = Command::new("nsenter")
            .arg(format!("--net={}", network.path()))
            .args(["setpriv", "--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("make a file"))
            .spawn();
        let server = Server { child: child.expect("start nsenter"), log };
        let ready = if kind == Kind::Dnsmasq { "DHCP, IP range" } else { "Server starting service" };
        until("the server", || server.log().contains(ready));
        server
    }

    /// What it has said.
    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).expect("read its log")).into_owned()
    }

    /// How often it has given this client a lease.
    fn acks(&self) -> usize {
        self.log().lines().filter(|line| line.contains("DHCPACK") && line.contains(MAC)).count()
    }

    /// How often the client has looked for a server.
    fn discoveries(&self) -> usize {
        self.log().lines().filter(|line| line.contains("DHCPDISCOVER") && line.contains(MAC)).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        println!("{}", self.log());
    }
}

fn dnsmasq(lease: Lease, sandbox: &Sandbox) -> Vec<String> {
    let Lease { range: (first, last), seconds, .. } = lease;
    let mut arguments: Vec<String> = [
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--port=0",
        "--user=root",
        "--pid-file=",
        "--log-facility=-",
        "--interface=far",
        "--dhcp-authoritative",
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.push(format!("--dhcp-range=10.9.0.{first},10.9.0.{last},255.255.255.0,{seconds}"));
    arguments.push(format!("--dhcp-leasefile={}", sandbox.dir().join("dnsmasq.leases").display()));
    arguments.extend(lease.of_client.map(|byte| format!("--dhcp-host={MAC},10.9.0.{byte}")));
    arguments.extend(lease.renewed_after_s.map(|seconds| format!("--dhcp-option=option:T1,{seconds}")));
    arguments
}

fn dhcpd(lease: Lease, sandbox: &Sandbox) -> Vec<String> {
    let Lease { range: (first, last), seconds, .. } = lease;
    let host = lease.of_client.map_or_else(String::new, |byte| {
        format!("host client {{ hardware ethernet {MAC}; fixed-address 10.9.0.{byte}; }}")
    });
    let renewal = lease
        .renewed_after_s
        .map_or_else(String::new, |seconds| format!("option dhcp-renewal-time {seconds};"));
    let config = format!(
        "authoritative; {renewal} {host}\n\
         min-lease-time {seconds}; default-lease-time {seconds}; max-lease-time {seconds};\n\
         subnet 10.9.0.0 netmask 255.255.255.0 {{ range 10.9.0.{first} 10.9.0.{last}; option routers 10.9.0.2; }}\n"
    );
    let config = sandbox.file("dhcpd.conf", config).display().to_string();
    let leases = sandbox.file("dhcpd.leases", "").display().to_string();
    let arguments = ["-4", "-f", "-d", "--no-pid", "-cf", &config, "-lf", &leases, "far"];
    arguments.map(str::to_owned).to_vec()
}

/// The cable, with the client's address at its near end.
fn world() -> World {
    let world = World::new();
    ip(&format!("link set near address {MAC}"));
    world
}

/// Has a server renew a lease so often; the address and the connection stay all the time.
fn is_renewed(kind: Kind, lease: Lease, times: usize, within: Duration) {
    alone(|sandbox| {
        let world = world();
        let server = Server::start(kind, lease, &world.network, sandbox);
        let _machine = World::boot(sandbox, "earlykmsg.ip=dhcp");
        wait_connected(&world);
        let (asked, own) = (server.discoveries(), addresses());
        let own = own.split_whitespace().find(|word| word.ends_with("/32")).expect("an address");
        let end = Instant::now() + within;
        while server.acks() <= times {
            assert!(Instant::now() < end, "renewed {} times", server.acks() - 1);
            assert!(addresses().contains(own), "{own} is gone: {}", addresses());
            thread::sleep(Duration::from_millis(100)); // nothing tells of an address that is there
        }
        assert_eq!((server.discoveries(), world.receiver.connections.len()), (asked, 1));
    });
}

#[test]
fn renewed_by_dhcpd() {
    is_renewed(Kind::Dhcpd, Lease { seconds: 6, ..LEASE }, 3, WITHIN);
}

/// It gives no lease of less than two minutes, but says when to renew it.
#[test]
fn renewed_by_dnsmasq() {
    is_renewed(Kind::Dnsmasq, Lease { renewed_after_s: Some(3), ..LEASE }, 3, WITHIN);
}

const THREE_MINUTES: Duration = Duration::from_secs(180);

/// For three minutes; the client renews after half of a lease.
#[test]
fn long_leases_of_20_seconds_by_dhcpd() {
    is_renewed(Kind::Dhcpd, Lease { seconds: 20, ..LEASE }, 17, THREE_MINUTES + WITHIN);
}

/// It makes two minutes of 20 seconds.
#[test]
fn long_leases_of_20_seconds_by_dnsmasq() {
    is_renewed(Kind::Dnsmasq, Lease { seconds: 20, ..LEASE }, 3, THREE_MINUTES + WITHIN);
}

/// An address that the server has for this client alone, by its hardware address.
#[test]
fn an_address_of_its_own() {
    for kind in [Kind::Dnsmasq, Kind::Dhcpd] {
        alone(|sandbox| {
            let world = world();
            let lease = Lease { of_client: Some(77), ..LEASE };
            let _server = Server::start(kind, lease, &world.network, sandbox);
            let _machine = World::boot(sandbox, "earlykmsg.ip=dhcp");
            wait_connected(&world);
            assert!(addresses().contains("10.9.0.77/32"), "{kind:?}: {}", addresses());
        });
    }
}

/// The server is gone, and another one is there that has other addresses and knows nothing of the lease.
fn another_server(before: (Kind, Lease), after: Kind, within: Duration) {
    alone(|sandbox| {
        let world = world();
        let server = Server::start(before.0, before.1, &world.network, sandbox);
        let _machine = World::boot(sandbox, "earlykmsg.ip=dhcp");
        wait_connected(&world);
        assert!(addresses().contains("10.9.0.5"), "{}", addresses());
        drop(server);
        let lease = Lease { range: (80, 89), ..LEASE };
        let _server = Server::start(after, lease, &world.network, sandbox);
        let second = |all: &[Instant]| all.get(1).copied();
        world.receiver.connections.wait(within, "another connection", second);
        assert!(addresses().contains("10.9.0.8") && !addresses().contains("10.9.0.5"), "{}", addresses());
    });
}

/// It refuses to renew what it does not know.
#[test]
fn dnsmasq_in_place_of_dhcpd() {
    another_server((Kind::Dhcpd, Lease { renewed_after_s: Some(3), ..LEASE }), Kind::Dnsmasq, WITHIN);
}

/// It says nothing of what it does not know: the lease ends.
#[test]
fn another_dhcpd() {
    another_server((Kind::Dhcpd, Lease { seconds: 6, ..LEASE }), Kind::Dhcpd, WITHIN);
}

#[test]
fn long_dhcpd_in_place_of_dnsmasq() {
    another_server((Kind::Dnsmasq, Lease { seconds: 120, ..LEASE }), Kind::Dhcpd, THREE_MINUTES);
}
