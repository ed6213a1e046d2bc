//! Files besides `/etc/resolv.conf` that name name servers. (Those in `/tmp` are tried in `names_switch`.)

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::chown;
use std::path::Path;

use super::*;

/// However long it takes: what counts is who is asked.
const IN_TIME: RangeInclusive<u64> = 0..=WITHIN.as_millis() as u64;

/// What klibc's `ipconfig` leaves behind. `0.0.0.0` is no server.
fn of_klibc(servers: [&str; 2], domain: &str) -> String {
    format!(
        "DEVICE='eth0'\nPROTO='dhcp'\nIPV4ADDR='10.0.2.15'\nIPV4BROADCAST='10.0.2.255'\n\
         IPV4NETMASK='255.255.255.0'\nIPV4GATEWAY='10.0.2.2'\nIPV4DNS0='{}'\nIPV4DNS1='{}'\nHOSTNAME='machine'\n\
         DNSDOMAIN='{domain}'\nNISDOMAIN=''\nROOTSERVER='10.0.2.2'\nROOTPATH=''\nfilename=''\nUPTIME='7'\n\
         DHCPLEASETIME='86400'\nDOMAINSEARCH=''\n",
        servers[0], servers[1]
    )
}

/// Puts a file into `/run`.
fn put(run: &Path, name: impl AsRef<OsStr>, text: &str) {
    let path = run.join(name.as_ref());
    fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
    fs::write(path, text).expect("write a file");
}

/// Connected through one server, which the files of `/run` name.
fn named_in_run(home: &Home<'_>, host: &str, fill: impl FnOnce(&Path)) -> Outcome {
    let run = home.run();
    let receiver = receiver(RECEIVER);
    let server = NameServer::new(address(SERVER), "logs.lan 300 A 127.0.9.1", Answers);
    fill(&run);
    let _program = home.start(&format!("tcp://{host}:{PORT}/"));
    let at = home.reaches(&receiver);
    Outcome::connected(server.first_asked().expect("a question"), at, IN_TIME)
}

/// Every file names a server of its own: the order in which they are asked.
fn in_order(home: &Home<'_>) -> Outcome {
    let run = home.run();
    let receiver = receiver(RECEIVER);
    let at = |last: usize| format!("127.0.53.{last}");
    let server = |last| NameServer::new(address(&at(last)), RIGHT, if last == 5 { Answers } else { Code(5) });
    let servers: Vec<NameServer> = (1..=5).map(server).collect();
    let line = |last| format!("nameserver {}\n", at(last));
    home.write("resolv.conf", &line(1));
    put(&run, "systemd/resolve/resolv.conf", &(line(1) + &line(2)));
    put(&run, "net-eth0.conf", &of_klibc([&at(3), &at(4)], ""));
    fs::create_dir(home.sandbox.dir().join("net")).expect("make a folder");
    let pnp = home.sandbox.file("net/pnp", line(5));
    let _program = Run::fed(&[URL]).with_pnp(&pnp).start();
    let at = home.reaches(&receiver);
    let asked: Vec<Instant> =
        servers.iter().map(|server| server.first_asked().expect("a question")).collect();
    assert!(asked.is_sorted(), "in another order");
    Outcome::connected(asked[0], at, IN_TIME)
}

/// The search list is that of the first file that has one.
fn one_search_list(home: &Home<'_>) -> Outcome {
    home.write("resolv.conf", "# none\nsearch\n");
    named_in_run(home, "logs", |run| {
        put(run, "systemd/resolve/resolv.conf", "search lan\n");
        put(run, "net-eth0.conf", &of_klibc([SERVER, "0.0.0.0"], "elsewhere"));
    })
}

/// Entries that are no files of ours, or somebody else's: nobody follows them, and they are in nobody's way.
fn hostile_entries(home: &Home<'_>) -> Outcome {
    let (run, receiver) = (home.run(), receiver(RECEIVER));
    let trap = NameServer::new(address(SECOND), FALSE, Answers);
    let wrong = of_klibc([SECOND, SECOND], "");
    put(&run, "elsewhere", &wrong);
    symlink("elsewhere", run.join("net-link.conf")).expect("a link");
    symlink("net-loop.conf", run.join("net-loop.conf")).expect("a link");
    nix::unistd::mkfifo(&run.join("net-fifo.conf"), Mode::S_IRWXU).expect("a FIFO");
    fs::create_dir(run.join("net-folder.conf")).expect("make a folder");
    put(&run, "net-nobody.conf", &wrong);
    chown(run.join("net-nobody.conf"), Some(65_534), Some(65_534)).expect("give a file away");
    for name in ["net-eth1.conf.bak", "xnet-eth1.conf", ".net-eth1.conf", "net", "conf", "NET-eth1.CONF"] {
        put(&run, name, &wrong);
    }
    put(&run, "net.conf", "\0\u{1}\u{7f}='''\n'=\nIPV4DNS0=\nIPV4DNS1='");
    put(&run, OsStr::from_bytes(b"net-\xff\n%s $(reboot).conf"), "IPV4DNS0='$(reboot)'\n");
    put(&run, format!("net-{}.conf", "x".repeat(246)), &of_klibc([SERVER, "0.0.0.0"], ""));
    let server = NameServer::new(address(SERVER), RIGHT, Code(5));
    let _program = home.start(URL);
    // Any other that were known would be asked in turn.
    server.asked.wait(WITHIN, "two rounds of questions", |asked| (asked.len() > 4).then_some(()));
    assert!(trap.asked.is_empty(), "asked whom another's file names");
    let since = Instant::now();
    server.becomes(Answers);
    Outcome::connected(since, home.reaches(&receiver), IN_TIME)
}

/// More and larger files than are sent: what stands in `/etc` has come before them.
fn too_many(home: &Home<'_>) -> Outcome {
    home.name_servers(&[SERVER]);
    let long = "# ".to_owned() + &"x".repeat(3_000) + "\n";
    let hosts = format!("{}127.0.9.66 other\n", "127.0.9.66 another\n".repeat(4_000));
    home.write("hosts", &hosts);
    named_in_run(home, "logs.lan", |run| {
        (0..100).for_each(|number| put(run, format!("net-eth{number}.conf"), &long));
        (0..3_000).for_each(|number| put(run, format!("{number}"), ""));
    })
}

/// A system call of the watcher's fails: the first time, and the file is read for the next lookup, or always, and the
/// server of another file is asked.
fn failing(home: &Home<'_>, call: &str, errno: &str) -> Outcome {
    let receiver = receiver(RECEIVER);
    let servers = [SERVER, SECOND].map(|at| NameServer::new(address(at), RIGHT, Answers));
    put(&home.run(), "net-eth0.conf", &of_klibc([SERVER, "0.0.0.0"], ""));
    let trace = home.sandbox.dir().join("trace");
    let mut outcome = None;
    for when in ["1", "1+"] {
        let inject = format!("inject={call}:error={errno}:when={when}:syscall=getpid");
        let trace = trace.to_str().expect("a path");
        let arguments = ["-o", trace, "-e", &format!("trace={call}"), "-e", &inject];
        let (known, before) = (receiver.connections.len(), Instant::now());
        let _program = Run::fed(&[URL]).traced(&arguments).start();
        let at = receiver.connections.wait(WITHIN, "a connection", |all| all.get(known).copied());
        assert!(fs::read_to_string(trace).is_ok_and(|trace| trace.contains("(INJECTED)")), "{call} {when}");
        outcome.get_or_insert_with(|| Outcome::connected(before, at, IN_TIME));
        // For the second run.
        home.name_servers(&[SECOND]);
    }
    assert!(servers.iter().all(|server| !server.asked.is_empty()), "each is asked once");
    outcome.expect("two runs")
}

#[test]
fn files_of_an_initramfs() {
    fn case(of: &str, case: impl FnOnce(&Home<'_>) -> Outcome + Send + 'static) -> Case<'static> {
        (of.to_owned(), Box::new(case))
    }
    side_by_side(vec![
        case("/run/net-eth0.conf alone", |home| {
            named_in_run(home, "logs", |run| {
                put(run, "net-eth0.conf", &of_klibc([SERVER, "0.0.0.0"], "lan"));
            })
        }),
        case("/run/net-*.conf of two interfaces, one without a server", |home| {
            named_in_run(home, "logs", |run| {
                put(run, "net-eth0.conf", &of_klibc(["0.0.0.0", "0.0.0.0"], ""));
                put(run, "net-eth1.conf", &of_klibc(["0.0.0.0", SERVER], "lan"));
            })
        }),
        case("/run/systemd/resolve/resolv.conf alone", |home| {
            named_in_run(home, "logs", |run| {
                put(run, "systemd/resolve/resolv.conf", &format!("nameserver {SERVER}\nsearch lan\n"));
            })
        }),
        case("a resolv.conf that names 127.0.0.53, where nobody listens, and resolved's own", |home| {
            symlink("/run/systemd/resolve/stub-resolv.conf", home.etc.join("resolv.conf")).expect("a link");
            named_in_run(home, "logs.lan", |run| {
                let stub = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n";
                put(run, "systemd/resolve/stub-resolv.conf", stub);
                put(run, "systemd/resolve/resolv.conf", &format!("nameserver {SERVER}\nsearch .\n"));
            })
        }),
        case("/run/net-eth0.conf that comes 2 s after the start", |home| {
            let run = home.run();
            let receiver = receiver(RECEIVER);
            let _server = NameServer::new(address(SERVER), RIGHT, Answers);
            let (_program, _) = home.start_now(URL);
            thread::sleep(Duration::from_secs(2)); // the fault itself
            let since = Instant::now();
            put(&run, "net-eth0.conf", &of_klibc([SERVER, "0.0.0.0"], "lan"));
            Outcome::connected(since, home.reaches(&receiver), IN_TIME)
        }),
        case("all files, each with a server of its own", in_order),
        case("three files, two with a search list", one_search_list),
        case("/run with links, FIFOs, folders, others' files and odd names", hostile_entries),
        case("/run with too many files", too_many),
        case("/run cannot be listed", |home| failing(home, "getdents64", "EIO")),
        case("nobody knows whose a file is", |home| failing(home, "fstat", "EIO")),
    ]);
}
