//! The demo: a machine boots, netcat listens, and what it gets is shown as it comes. `qemu/demo` runs it.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::fs::File;
use std::io::{Read, Write, stdin, stdout};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;
use std::{env, fs, thread};

use earlykmsg_initramfs::overlay::{self, Overlay, Programs};
use earlykmsg_qemu::{Boot, End, Guest, Kernel, Machine, dying_with_us, image, programs_for, target_dir};
use earlykmsg_view::decode::{Decoder, Entry};
use earlykmsg_view::history::{Event, History};
use earlykmsg_view::print::{BOLD, DIM, Printer, takes_colours};
use earlykmsg_view::record::Record;

const USAGE: &str = "\
usage: qemu/demo [OPTION ...]

Boots a machine in QEMU whose kernel log comes to netcat on this one, from the
first line on, through a switch of root, until the main system delivers by itself.

  --udp             a datagram a record, instead of lines on a connection
  --receiver URL    ship to a receiver of your own, and start no netcat: tcp:// or
                    udp://HOST:PORT/; 127.0.0.1 is this machine
  --arch ARCH       a machine with another processor than this one: amd64, arm64
                    (arm64-16k: with pages of 16 KiB) or riscv64
  --kernel PATH     boot this kernel: a vmlinuz whose modules are in /lib/modules, or
                    a folder with an unpacked kernel package (dpkg -x)
  --initramfs FILE  append to this image, and start it as it is; its own init has to
                    bring the network up
  --append WORDS    more words for the kernel's command line
  --no-root         the initramfs finds no root disk and ends in a shell: its log
                    arrives all the same
  --image-network   the image brings the network up, not earlykmsg (earlykmsg.ip=)
  --panic           the machine panics: a second netcat gets the panic at once, by
                    netconsole; and when the machine has started again, the receiver
                    does (on a PC, whose firmware keeps it)
  --save FILE       keep what netcat prints, to look at it by earlykmsg-view
  --console         type commands for the machine when its main system runs
  --help            this text

Ctrl-C ends it and leaves nothing behind. Colours go to terminals, unless NO_COLOR is set.
";

/// The first init: the image's own, as if nothing stood before it. It knows nothing of a network.
const INIT: &str = "say 'demo: the image has its own /init, which brings no network up'
wait_log 'earlykmsg: connected to'; make_main_system
say 'demo: switching to the main system'; move_mounts; exec switch_root /new /sbin/init";

/// One that brings it up.
const INIT_WITH_NETWORK: &str = "network_by_dhcp > /dev/null 2>&1
say 'demo: the image has its own /init, and the network is up'; make_main_system
say 'demo: switching to the main system'; move_mounts; exec switch_root /new /sbin/init";

/// One that finds no root disk.
const INIT_WITHOUT_ROOT: &str = "say 'demo: the image has its own /init, which brings no network up'
say 'demo: the root disk UUID=0000-0000 is not there; this is a shell'
wait_log 'earlykmsg: connected to'; sleep 1
CONSOLE
echo \"RECORDS $(tool ring | grep -c '^[0-9]')\"";

/// What the main system does first: a network of its own, where the image has left none.
const MAIN_NETWORK: &str = "ip addr show dev eth0 | grep -q 'inet 10.0.2.15/24' || {
wait_log 'the network is given back'; is_given_back=yes; ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2; }
";

/// The main system: its own delivery begins, and earlykmsg goes.
const MAIN: &str = "say 'demo: the main system runs'; sleep 2
say 'demo: the main system begins to deliver its log itself'; tool hold PROTOCOL HOST PORT > /dev/null &
holder=$!; wait_log 'last seq sent'; kill $holder; show_leftovers PORT
CONSOLE
echo \"RECORDS $(tool ring | grep -c '^[0-9]')\"";

/// It waits until netconsole is armed on the main system's network, and then until its last record is seen here, unless a
/// receiver of one's own has it.
const PANIC: &str = "say 'demo: the main system runs'
CONSOLE
for _ in 1 2 3 4 5; do
    case \"$is_given_back$(tool ring | grep -o 'netconsole [a-z]*')\" in
        yes*stopped*sends | netconsole*sends) break ;;
    esac
    sleep 1
done
say 'demo: and now it panics'; read -t 5 -r _; echo c > /proc/sysrq-trigger";
const BEFORE_THE_PANIC: &str = "demo: and now it panics";

/// The main system after the panic.
const AFTER_THE_PANIC: &str = "say 'demo: the main system runs again'; wait_log 'removed there'
say 'demo: the receiver has the panic'
echo \"RECORDS $(tool ring | grep -c '^[0-9]')\"";

/// What a PC's firmware has for a kernel that dies (ACPI ERST), in a file that is gone with the demo.
struct ErrorStore(PathBuf);

impl ErrorStore {
    const BYTES: u64 = 256 * 1024;

    fn new() -> Result<ErrorStore> {
        let path = target_dir().join("qemu").join(format!("demo-erst.{}", std::process::id()));
        fs::File::create(&path)?.set_len(ErrorStore::BYTES)?;
        Ok(ErrorStore(path))
    }

    fn plug_into(&self, boot: Boot) -> Boot {
        let (path, bytes) = (self.0.display(), ErrorStore::BYTES);
        boot.qemu_argument("-object")
            .qemu_argument(format!("memory-backend-file,id=erst,mem-path={path},size={bytes},share=on"))
            .qemu_argument("-device")
            .qemu_argument("acpi-erst,memdev=erst")
    }
}

impl Drop for ErrorStore {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Runs what is typed, until `exit`.
const CONSOLE: &str =
    "echo 'Type a command for the machine (ps, dmesg | tail, echo hello > /dev/kmsg), or exit.'
stty -echo; while read -r line && [ \"$line\" != exit ]; do command eval \"$line\"; done";

/// How the line begins after which commands are taken.
const PROMPT: &str = "Type a command";

/// Longer than the demo's own boot takes.
const BOOT_AT_MOST: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    let demo = match Demo::from(env::args().skip(1)) {
        Ok(Some(demo)) => demo,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("demo: {why}; see qemu/demo --help");
            return ExitCode::from(64);
        }
    };
    match demo.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("demo: {why}");
            ExitCode::FAILURE
        }
    }
}

type Result<T> = core::result::Result<T, Box<dyn core::error::Error>>;

/// What is asked for.
struct Demo {
    machine: Machine,
    protocol: &'static str,
    receiver: Option<Target>,
    kernel: Option<PathBuf>,
    initramfs: Option<PathBuf>,
    append: String,
    save: Option<PathBuf>,
    no_root: bool,
    image_network: bool,
    panic: bool,
    console: bool,
}

/// A receiver as the machine reaches it.
struct Target {
    protocol: &'static str,
    host: String,
    port: u16,
}

impl Target {
    /// Reads a URL; this machine's loopback is another address inside.
    fn from(url: &str) -> Option<Target> {
        let (protocol, rest) = [("tcp", "tcp://"), ("udp", "udp://")]
            .into_iter()
            .find_map(|(protocol, scheme)| Some((protocol, url.strip_prefix(scheme)?)))?;
        let (host, port) = rest.strip_suffix('/').unwrap_or(rest).rsplit_once(':')?;
        let host = if ["127.0.0.1", "localhost"].contains(&host) { HOST_INSIDE } else { host };
        let port = port.parse().ok().filter(|port| *port != 0)?;
        (!host.is_empty()).then(|| Target { protocol, host: host.to_owned(), port })
    }

    fn url(&self) -> String {
        format!("{}://{}:{}/", self.protocol, self.host, self.port)
    }
}

/// Where QEMU's user network has the machine that it runs on.
const HOST_INSIDE: &str = "10.0.2.2";

impl Demo {
    /// What the words ask for; none: for help.
    fn from(mut words: impl Iterator<Item = String>) -> Result<Option<Demo>> {
        let mut demo = Demo {
            machine: Machine::here(),
            protocol: "tcp",
            receiver: None,
            kernel: None,
            initramfs: None,
            append: String::new(),
            save: None,
            no_root: false,
            image_network: false,
            panic: false,
            console: false,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} takes a value"));
            match word.as_str() {
                "--udp" => demo.protocol = "udp",
                "--receiver" => {
                    let url = value()?;
                    let target = Target::from(&url);
                    demo.receiver =
                        Some(target.ok_or_else(|| {
                            format!("--receiver {url}: must be tcp:// or udp://HOST:PORT/")
                        })?);
                }
                "--arch" => {
                    let name = value()?;
                    let machine = Machine::ALL.into_iter().find(|machine| machine.name == name);
                    demo.machine = machine.ok_or_else(|| format!("--arch {name}: no such machine"))?;
                }
                "--kernel" => demo.kernel = Some(value()?.into()),
                "--initramfs" => demo.initramfs = Some(value()?.into()),
                "--append" => demo.append = value()?,
                "--save" => demo.save = Some(value()?.into()),
                "--no-root" => demo.no_root = true,
                "--image-network" => demo.image_network = true,
                "--panic" => demo.panic = true,
                "--console" => demo.console = true,
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("{word}: no such option").into()),
            }
        }
        if demo.receiver.is_some() && demo.protocol == "udp" {
            return Err("--udp is for netcat; --receiver says the protocol itself".into());
        }
        if demo.receiver.is_some() && demo.save.is_some() {
            return Err("--save keeps what netcat prints, and with --receiver there is none".into());
        }
        if demo.initramfs.is_some() && (demo.panic || demo.console || demo.no_root || demo.image_network) {
            return Err("--no-root, --image-network, --panic and --console are of the demo's own image, \
                        not of another --initramfs"
                .into());
        }
        if demo.no_root && (demo.panic || demo.image_network) {
            return Err("--no-root has neither a main system nor a network of the image's".into());
        }
        Ok(Some(demo))
    }

    fn run(&self) -> Result<()> {
        step("Building the release");
        let programs = programs_for(self.machine)?;
        let overlay = Overlay::new(&programs)?;

        let kernel = match &self.kernel {
            Some(path) => Kernel::at(self.machine, path)?,
            None => {
                step("Fetching Debian's kernel (once, unpacked below target/, not installed)");
                Kernel::of(self.machine)?
            }
        };

        let mut netcat = None;
        let given;
        let target = match &self.receiver {
            Some(target) => target,
            None => {
                let port = free_port()?;
                given = Target { protocol: self.protocol, host: HOST_INSIDE.to_owned(), port };
                &given
            }
        };
        let store = (self.panic && self.machine == Machine::AMD64).then(ErrorStore::new).transpose()?;
        let image = self.image(&kernel, &overlay, target, if self.panic { PANIC } else { MAIN })?;
        if self.receiver.is_none() {
            let listen = if self.protocol == "udp" { "-luk" } else { "-lk" };
            step(&format!("Listening: nc {listen} 127.0.0.1 {}", target.port));
            netcat = Some(Netcat::start(listen, target.port, self.save.as_deref())?);
        } else {
            step(&format!("No netcat: the records go to {}, and here is the console", target.url()));
        }

        let mut netconsole = None;
        let mut words = format!("rdinit={} talos.logging.kernel={}", overlay::PROGRAM, target.url());
        if self.initramfs.is_none() && !self.image_network {
            words += " earlykmsg.ip=dhcp";
        }
        if store.is_some() {
            words += " earlykmsg.pstore=clear";
        }
        if self.panic && netcat.is_some() {
            let port = free_port()?;
            step(&format!("Listening for netconsole: nc -luk 127.0.0.1 {port}"));
            netconsole = Some(Netcat::start("-luk", port, None)?);
            words += &format!(" earlykmsg.netconsole=udp://{HOST_INSIDE}:{port}/");
        }
        let shown = format!("Booting Linux {} with {words} {}", kernel.release, self.append);
        step(shown.trim_end());
        let start = |image: Vec<u8>| {
            let mut boot = Boot::new(&kernel, image).word(&words).word(&self.append);
            if self.receiver.is_some() {
                boot = boot.loud();
            }
            store.iter().fold(boot, |boot, store| store.plug_into(boot)).start()
        };
        let mut guest = start(image)?;
        let mut seen = self.show(&mut guest, netcat.as_mut(), netconsole.as_mut())?;
        let sent_while_dying = seen.by_netconsole;
        if store.is_some() {
            step("The machine has panicked, and starts again");
            drop(guest); // only so many run at once
            guest = start(self.image(&kernel, &overlay, target, AFTER_THE_PANIC)?)?;
            // Its console is that of any boot.
            seen = self.show(&mut guest, netcat.as_mut(), None)?;
        }
        seen.by_netconsole = sent_while_dying;
        summary(&seen, &guest, netcat.is_some(), &programs, &overlay);
        match guest.wait_exit(Duration::ZERO)? {
            End::Off => Ok(()),
            End::Failed => Err(guest.failure("QEMU failed").into()),
        }
    }

    /// The image that is booted: the demo's own or another one, and the overlay behind it.
    fn image(&self, kernel: &Kernel, overlay: &Overlay, target: &Target, main: &str) -> Result<Vec<u8>> {
        let mut archives = match &self.initramfs {
            Some(path) => {
                step(&format!("Appending the overlay to {}", path.display()));
                fs::read(path).map_err(|why| format!("unable to read {}: {why}", path.display()))?
            }
            None => {
                step(&format!(
                    "Packing an image: busybox, an init, and {} as one more file",
                    overlay::PROGRAM
                ));
                let console = if self.console { CONSOLE } else { "" };
                let main = format!("{MAIN_NETWORK}{main}")
                    .replace("PROTOCOL", target.protocol)
                    .replace("HOST", target.host.trim_matches(['[', ']']))
                    .replace("PORT", &target.port.to_string())
                    .replace("CONSOLE", console);
                let init = match (self.no_root, self.image_network) {
                    (true, _) => &INIT_WITHOUT_ROOT.replace("CONSOLE", console),
                    (false, true) => INIT_WITH_NETWORK,
                    (false, false) => INIT,
                };
                let image = image::with_main_system(kernel, init, &main)?;
                let drivers = &["virtio_pci", "virtio_net", "netconsole"][..if self.panic { 3 } else { 2 }];
                image.with(image::drivers(kernel, drivers)?).to_cpio()
            }
        };
        archives.extend(&overlay.gzip);
        Ok(archives)
    }

    /// Shows records and console until the machine has ended and nothing more comes.
    fn show(
        &self,
        guest: &mut Guest,
        mut netcat: Option<&mut Netcat>,
        mut netconsole: Option<&mut Netcat>,
    ) -> Result<Seen> {
        let typed = self.console.then(typed_lines);
        let mut seen = Seen::default();
        let (mut history, mut printer) = (History::default(), printer());
        let mut lines_shown = 0;
        loop {
            // What the looks below find after that is the last that there is.
            let has_ended = guest.has_ended()
                && [&netcat, &netconsole].into_iter().flatten().all(|netcat| netcat.has_told_all());
            let entry = match &mut netcat {
                Some(netcat) => netcat.next(TICK)?,
                None => {
                    thread::sleep(TICK);
                    None
                }
            };
            let by_netconsole = netconsole.as_mut().map_or(Ok(None), |netcat| netcat.next(Duration::ZERO))?;
            let is_last = has_ended && entry.is_none() && by_netconsole.is_none();
            if let Some((_, Entry::Other { bytes, .. })) = by_netconsole {
                // Of a message, what stands behind its number and its time.
                let message = String::from_utf8_lossy(&bytes);
                let text = message.split_once(';').map_or(&*message, |(_, text)| text);
                seen.by_netconsole += usize::from(seen.is_panicking(text));
                if seen.by_netconsole > 0 {
                    say(&line_in(DIM, &format!("   netconsole | {}", text.trim_end())))?;
                }
            }
            match entry {
                Some((_, Entry::Other { bytes, is_cut })) => say(&printer.other(&bytes, is_cut))?,
                Some((at, Entry::Record(record))) => {
                    seen.taken += 1;
                    for event in history.take(record) {
                        say(&printer.event(&history, &event))?;
                        if let Event::Record { record, .. } = event {
                            seen.add(at, &record);
                            if let Some(words) = turn(&record) {
                                step(words);
                            }
                            if record.msg.starts_with(BEFORE_THE_PANIC) {
                                let _ = guest.go(); // it may have waited long enough
                            }
                        }
                    }
                }
                None => {}
            }
            let lines = guest.lines();
            for line in lines[lines_shown..].iter().filter(|line| !line.text.is_empty()) {
                say(&line_in(DIM, &format!("      console | {}", line.text)))?;
            }
            lines_shown = lines.len();
            // Before its shell reads, firmware and kernel would take what is typed.
            if lines.iter().any(|line| line.text.starts_with(PROMPT)) {
                for line in typed.iter().flat_map(Receiver::try_iter) {
                    // A machine that has ended takes none.
                    let _ = guest.type_line(&line);
                }
            }
            if is_last {
                return Ok(seen);
            }
            if guest.age() > BOOT_AT_MOST && !self.console && self.initramfs.is_none() {
                let why = match &self.receiver {
                    Some(target) => {
                        format!("the machine did not end; does a receiver listen at {}?", target.url())
                    }
                    None => "the machine did not end".to_owned(),
                };
                return Err(guest.failure(&why).into());
            }
        }
    }
}

/// How often the console is looked at.
const TICK: Duration = Duration::from_millis(50);

/// The lines of standard input as they are typed.
fn typed_lines() -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        stdin().lines().map_while(core::result::Result::ok).try_for_each(|line| sender.send(line))
    });
    lines
}

/// What is worth a line of its own: the steps on the road of every boot.
fn turn(record: &Record) -> Option<&'static str> {
    if record.pstore.is_some() {
        return None;
    }
    let msg = record.msg.strip_prefix("earlykmsg: ")?;
    let turns = [
        (
            "connected to ",
            "Connected: all above was in the kernel's ring before, all below arrives as it is written",
        ),
        ("the last boot ended in", "The lines above with a | are the end of the boot before: pstore kept it"),
        ("root switched", "The root is switched: the initramfs is gone, earlykmsg goes on"),
        ("handed over to", "Handed over: earlykmsg has ended"),
    ];
    turns.into_iter().find(|(text, _)| msg.contains(text)).map(|(_, words)| words)
}

fn step(words: &str) {
    // A pipe that nobody reads ends the demo with the next record.
    let _ = say(&line_in(BOLD, &format!("==> {words}")));
}

fn printer() -> Printer {
    Printer::new(takes_colours())
}

fn line_in(colour: &str, text: &str) -> String {
    printer().paint(text, colour) + "\n"
}

fn say(lines: &str) -> std::io::Result<()> {
    stdout().write_all(lines.as_bytes())
}

/// A port that is free for both protocols.
fn free_port() -> Result<u16> {
    loop {
        let tcp = TcpListener::bind(("127.0.0.1", 0))?;
        let port = tcp.local_addr()?.port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
}

/// netcat as anybody would start it, and the records in what it prints.
struct Netcat {
    child: Child,
    port: u16,
    entries: Receiver<(Instant, Entry)>,
    /// How many bytes of its output have become entries.
    taken: Arc<AtomicU64>,
}

impl Netcat {
    fn start(listen: &str, port: u16, save: Option<&Path>) -> Result<Netcat> {
        let create = |path: &Path| {
            File::create(path).map_err(|why| format!("unable to make {}: {why}", path.display()))
        };
        let mut kept = save.map(create).transpose()?;
        let mut child = dying_with_us("nc.openbsd")
            .args([listen, "127.0.0.1", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|why| {
                format!("unable to start netcat (Debian: apt-get install netcat-openbsd): {why}")
            })?;
        let mut output = child.stdout.take().ok_or("netcat has no output")?;
        let (sender, entries) = channel();
        let taken = Arc::new(AtomicU64::new(0));
        let sent = Arc::clone(&taken);
        thread::spawn(move || -> Option<()> {
            let (mut decoder, mut bytes) = (Decoder::default(), vec![0; 64 * 1024]);
            loop {
                let count = output.read(&mut bytes).ok().filter(|count| *count > 0)?;
                if let Some(file) = &mut kept {
                    file.write_all(&bytes[..count]).ok()?;
                }
                for entry in decoder.push(&bytes[..count]) {
                    sender.send((Instant::now(), entry)).ok()?;
                }
                sent.fetch_add(count as u64, Ordering::Release);
            }
        });
        Ok(Netcat { child, port, entries, taken })
    }

    /// Whether it holds nothing any more of a machine that has ended: its connections are closed, no datagram waits, it
    /// sleeps, and all that it has written is taken.
    fn has_told_all(&self) -> bool {
        let port = format!(":{:04X}", self.port);
        let table = |name: &str| fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default();
        let holds = |line: &str| {
            let mut fields = line.split_whitespace().skip(1);
            let (local, _, state, queues) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            // States of sockets that belong to no connection: listening, without a peer; and of one that is over.
            let is_open = !["0A", "07", "06"].contains(&state);
            Some(local.ends_with(&port) && (is_open || !queues.ends_with(":00000000")))
        };
        let is_empty = |table: &str| !table.lines().any(|line| holds(line) == Some(true));
        let process = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", self.child.id()));
        let status = process("status").unwrap_or_default();
        let written = process("io").unwrap_or_default();
        let written = written.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse::<u64>().ok());
        is_empty(&table("tcp"))
            && is_empty(&table("udp"))
            && status.contains("\nState:\tS")
            && written == Some(self.taken.load(Ordering::Acquire))
    }

    /// The next entry, if one comes in time.
    fn next(&mut self, within: Duration) -> Result<Option<(Instant, Entry)>> {
        match self.entries.recv_timeout(within) {
            Ok(record) => Ok(Some(record)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                Err("netcat has ended, or what it printed could not be kept".into())
            }
        }
    }
}

impl Drop for Netcat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the summary needs.
#[derive(Default)]
struct Seen {
    /// What came, repetitions included.
    taken: usize,
    records: usize,
    /// Lines of an earlier boot, which pstore kept.
    kept: usize,
    /// Lines of the panic that netconsole sent.
    by_netconsole: usize,
    first: Option<(Instant, u64)>,
    last: Option<u64>,
    /// When the machine's kernel started its clock: the earliest that any record allows, which is one that arrived
    /// as soon as it was written.
    kernel_start: Option<Instant>,
}

impl Seen {
    /// Whether a line of netconsole is one of the panic: the first is, and all behind it.
    fn is_panicking(&self, text: &str) -> bool {
        self.by_netconsole > 0 || text.contains("sysrq: Trigger a crash")
    }

    fn add(&mut self, at: Instant, record: &Record) {
        if record.pstore.is_some() {
            self.kept += 1;
            return;
        }
        self.records += 1;
        self.first.get_or_insert((at, record.seq));
        self.last = self.last.max(Some(record.seq));
        let start = at - Duration::from_micros(record.clock);
        self.kernel_start = Some(self.kernel_start.map_or(start, |earlier| earlier.min(start)));
    }
}

fn summary(seen: &Seen, guest: &Guest, netcat: bool, programs: &Programs, overlay: &Overlay) {
    println!();
    let row = |name: &str, value: &str| println!("{name:<26} {value}");
    match guest.report("RECORDS ").first() {
        Some(written) => row("records the kernel wrote", written),
        None => row("records the kernel wrote", "not known: the machine ended before it could count them"),
    }
    if netcat {
        row("records received", &seen.records.to_string());
        let again = seen.taken - seen.records - seen.kept;
        if again > 0 {
            // At the root switch the network goes for a moment, and what was sent over it is sent again to be on the safe
            // side.
            row("and again", &again.to_string());
        }
        if seen.by_netconsole > 0 {
            row("lines of the panic", &format!("{} received at once, by netconsole", seen.by_netconsole));
        }
        if seen.kept > 0 {
            row(
                "lines of the panic",
                &format!("{} received, which pstore kept of the boot before", seen.kept),
            );
        }
    }
    if let (Some((at, first)), Some(last), Some(start)) = (seen.first, seen.last, seen.kernel_start) {
        row("first and last seq", &format!("{first}, {last}"));
        row(
            "first record received",
            &format!("{:.2} s after the start of the kernel", (at - start).as_secs_f64()),
        );
    }
    row("size of the program", &format!("{} bytes", programs.earlykmsg.len()));
    let (plain, gzip, zstd) = (overlay.cpio.len(), overlay.gzip.len(), overlay.zstd.len());
    row("size of the overlay", &format!("{plain} bytes; by gzip {gzip}, by zstd {zstd}"));
    for left in guest.report("LEFT ") {
        row("left behind", &left);
    }
    if guest.lines().iter().any(|line| line.text.contains("Kernel panic")) {
        println!(
            "\nWhat the kernel says while it panics reaches no process any more. netconsole sends it at once: \
             docs/netconsole.md. Where pstore keeps it, it arrives after the next start: docs/pstore.md."
        );
    }
}
