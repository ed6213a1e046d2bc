//! What happens to the receiver of a fleet.

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use earlykmsg_tests::foreign::{Foreign, listens, until};
use earlykmsg_tests::kmsg::{Writer, ring, tag};
use earlykmsg_tests::nameserver::{DnsFault, NameServer};
use earlykmsg_tests::sandbox::{NEAR, Network, Sandbox, alone, drop_packets};

use super::account::{Account, Balance};
use super::machines::{Machines, Usage, read_only_log, write_records};
use super::sink::{Accepts, Sink};
use super::watch::{Look, count_syns, watch};

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    /// How many machines.
    pub machines: usize,
    /// How many records each has.
    pub records: usize,
    /// How long a receiver that dies is away.
    pub away: Duration,
    /// Connections that the slow receiver accepts in a second.
    pub accepts_per_second: u32,
    /// When a case is given up.
    pub within: Duration,
}

/// A thing that happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Case {
    /// All start at once.
    Start,
    /// The same with rsyslog.
    StartRsyslog,
    /// The receiver dies with half of it delivered, and comes back.
    Dies,
    /// The same with rsyslog.
    DiesRsyslog,
    /// It is not there at the start.
    Late,
    /// It accepts slowly: SYNs are dropped.
    Slow,
    /// A name with four addresses, of which the first and the third lead nowhere, and one name server.
    Names,
}

impl Case {
    /// All of them, with the words that name them.
    pub const ALL: [(&str, Case); 7] = [
        ("start", Case::Start),
        ("start-rsyslog", Case::StartRsyslog),
        ("dies", Case::Dies),
        ("dies-rsyslog", Case::DiesRsyslog),
        ("late", Case::Late),
        ("slow", Case::Slow),
        ("names", Case::Names),
    ];

    /// What it is, for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Case::Start => "all start, plain sink",
            Case::StartRsyslog => "all start, rsyslog",
            Case::Dies => "sink dies half way, comes back",
            Case::DiesRsyslog => "rsyslog dies half way, comes back",
            Case::Late => "sink comes late",
            Case::Slow => "sink accepts slowly, backlog 128",
            Case::Names => "a name, two of four addresses dead",
        }
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Result {
    /// What happened.
    pub case: Case,
    /// How long everything took, from the start or, after an absence, from the return of the receiver; none if it never
    /// came.
    pub took: Option<Duration>,
    /// What arrived.
    pub balance: Balance,
    /// Attempts over time.
    pub looks: Vec<Look>,
    /// What the machines used.
    pub usage: Usage,
    /// Connections at each living address.
    pub accepted: Vec<usize>,
    /// Questions to the name server.
    pub questions: usize,
}

const PORT: u16 = 5044;
/// The receiver's addresses; the first and the third are dead where a name has all four.
const ADDRESSES: [&str; 4] = ["10.9.0.3/24", "10.9.0.4/24", "10.9.0.5/24", "10.9.0.2/24"];
const LIVING: [usize; 2] = [1, 3];
const ZONE: &str = "logs.example 60 A 10.9.0.3\nlogs.example 60 A 10.9.0.4\nlogs.example 60 A 10.9.0.5\nlogs.example 60 A 10.9.0.2\n";

fn address(index: usize) -> SocketAddr {
    let (ip, _) = ADDRESSES[index].split_once('/').expect("a prefix");
    (ip.parse::<Ipv4Addr>().expect("an address"), PORT).into()
}

/// The receiver at work.
enum Receiver {
    Sinks(Vec<Sink>),
    Rsyslog { _running: Foreign },
    None,
}

struct Place<'a> {
    fleet: &'a Fleet,
    case: Case,
    sandbox: &'a Sandbox,
    network: &'a Network,
    account: &'a Arc<Account>,
}

impl Fleet {
    /// Lets it happen. The machine's log is shared with others meanwhile, and must not be overrun.
    #[must_use]
    pub fn run(&self, case: Case) -> Result {
        alone(|sandbox| {
            let writer = Writer::new();
            let tag = tag("fleet");
            write_records(&writer, &tag, self.records);
            let wanted = ring().into_iter().filter(|record| record.msg.starts_with(&tag));
            let account = Arc::new(Account::new(self.machines, wanted.map(|record| record.seq).collect()));
            read_only_log(sandbox);
            // As Linux before 6.5 has it, Debian 12's among them: SYNs after 0, 1 and 3 s, not each second.
            let _ = fs::write("/proc/sys/net/ipv4/tcp_syn_linear_timeouts", "0");
            let network = Network::cable(NEAR, &ADDRESSES);
            network.enter(count_syns);
            Place { fleet: self, case, sandbox, network: &network, account: &account }.run()
        })
    }
}

impl Place<'_> {
    fn run(&self) -> Result {
        let name_server = (self.case == Case::Names).then(|| self.name_server());
        let url = if name_server.is_some() {
            format!("tcp://logs.example:{PORT}/")
        } else {
            format!("tcp://{}/", address(3))
        };
        let receiver = if self.case == Case::Late { Receiver::None } else { self.receiver() };
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            let began = Instant::now();
            let ended = &ended;
            let looks = scope.spawn(move || self.network.enter(|| watch(self.account, began, ended)));
            let machines = Machines::start(self.fleet.machines, &url);
            let (since, receiver) = self.happens(began, receiver);
            let took = self.account.wait(self.fleet.within).map(|at| at - since);
            let usage = machines.usage();
            ended.store(true, Ordering::Relaxed);
            let looks = looks.join().expect("it looks");
            drop(machines);
            let accepted = match &receiver {
                Receiver::Sinks(sinks) => sinks.iter().map(Sink::accepted).collect(),
                _ => Vec::new(),
            };
            drop(receiver);
            let questions = name_server.map_or(0, |server| server.asked.len());
            let balance = self.account.balance();
            Result { case: self.case, took, balance, looks, usage, accepted, questions }
        })
    }

    /// Lets it happen to the receiver. Returns from when on the time counts, and the receiver that is there then.
    fn happens(&self, began: Instant, receiver: Receiver) -> (Instant, Receiver) {
        match self.case {
            Case::Start | Case::StartRsyslog | Case::Slow | Case::Names => (began, receiver),
            Case::Late => {
                thread::sleep(self.fleet.away);
                (Instant::now(), self.receiver())
            }
            Case::Dies | Case::DiesRsyslog => {
                let half = (self.fleet.machines * self.fleet.records / 2) as u64;
                self.account.wait_for(half, self.fleet.within);
                drop(receiver);
                thread::sleep(self.fleet.away);
                (Instant::now(), self.receiver())
            }
        }
    }

    fn receiver(&self) -> Receiver {
        let accepts = match self.case {
            Case::Slow => {
                Accepts { backlog: 128, pause: Duration::from_secs(1) / self.fleet.accepts_per_second }
            }
            _ => Accepts::FAST,
        };
        match self.case {
            Case::StartRsyslog | Case::DiesRsyslog => Receiver::Rsyslog { _running: self.rsyslog() },
            Case::Names => {
                let sinks = LIVING.map(|index| self.sink(index, accepts));
                Receiver::Sinks(sinks.into())
            }
            _ => Receiver::Sinks(vec![self.sink(3, accepts)]),
        }
    }

    fn sink(&self, index: usize, accepts: Accepts) -> Sink {
        self.network.enter(|| Sink::new(address(index), accepts, self.account))
    }

    fn name_server(&self) -> NameServer {
        fs::write(self.sandbox.etc().join("resolv.conf"), "nameserver 10.9.0.2\n").expect("write a file");
        self.network.enter(|| {
            let dead = [address(0), address(2)].map(|address| address.ip().to_string()).join(", ");
            drop_packets(&format!("ip daddr {{ {dead} }}"));
            NameServer::new(address(3).ip(), ZONE, DnsFault::Answers)
        })
    }

    /// rsyslogd, which writes into a file that the account follows.
    fn rsyslog(&self) -> Foreign {
        let dir = self.sandbox.dir();
        let file = dir.join("lines");
        if !file.exists() {
            fs::File::create(&file).expect("make a file");
            let account = Arc::clone(self.account);
            thread::spawn(move || count_lines(&file, &account));
        }
        let config = format!(
            "global(workDirectory=\"{0}\" maxMessageSize=\"64k\" net.enableDNS=\"off\")\n\
             module(load=\"imtcp\" maxSessions=\"{1}\")\n\
             template(name=\"line\" type=\"string\" string=\"%rawmsg%\\n\")\n\
             ruleset(name=\"all\") {{ action(type=\"omfile\" flushOnTXEnd=\"on\" file=\"{0}/lines\" template=\"line\") }}\n\
             input(type=\"imtcp\" port=\"{PORT}\" ruleset=\"all\")\n",
            dir.display(),
            self.fleet.machines + 1_000,
        );
        let config = self.sandbox.file("rsyslog.conf", config).display().to_string();
        let (network, pid) =
            (format!("--net={}", self.network.path()), dir.join("pid").display().to_string());
        // Started by this thread: with the one that started it, it would end.
        let arguments = [&network, "--", "rsyslogd", "-n", "-f", &config, "-i", &pid];
        let rsyslog = Foreign::start("nsenter", &arguments, &dir.join("stdout"));
        until("rsyslogd", || self.network.enter(|| listens("tcp", PORT)));
        rsyslog
    }
}

/// Follows a file until it is gone. (A file that grows tells nobody.)
fn count_lines(path: &Path, account: &Account) {
    let mut file = File::open(path).expect("open a file");
    let (mut part, mut buffer) = (Vec::new(), vec![0; 1 << 18]);
    while let Ok(length) = file.read(&mut buffer) {
        if length == 0 {
            if !path.exists() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        part.extend_from_slice(&buffer[..length]);
        let whole = part.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        account.take(&part[..whole]);
        part.drain(..whole);
    }
}
