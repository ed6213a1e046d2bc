//! The demo: a machine boots, netcat listens, and what it gets is shown as it comes. `qemu/demo` runs it.

use core::time::Duration;
use std::env;
use std::io::{BufReader, IsTerminal};
use std::net::{TcpListener, UdpSocket};
use std::process::{Child, ChildStdout, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

use earlykmsg_initramfs::overlay::{self, Overlay};
use earlykmsg_qemu::{Boot, Guest, Kernel, dying_with_us, earlykmsg, image};
use serde_json::Value;

const USAGE: &str = "\
usage: qemu/demo [--udp] [--panic]

Boots a machine in QEMU whose kernel log comes to netcat on this one, from the first line on.
  --udp    a datagram a record, instead of lines on a connection
  --panic  the machine ends by a kernel panic
";

/// The first init: the image's own, as if nothing stood before it.
const INIT: &str =
    "network_up; say 'demo: the image has its own /init, and the network is up'; make_main_system
say 'demo: switching to the main system'; move_mounts; exec switch_root /new /sbin/init";

/// The main system: its own delivery begins, and earlykmsg goes.
const MAIN: &str = "say 'demo: the main system runs'; sleep 2
say 'demo: the main system begins to deliver its log itself'; tool hold PROTOCOL 10.0.2.2 PORT > /dev/null &
wait_log 'last seq sent'; kill $!; show_leftovers PORT
echo \"RECORDS $(tool ring | grep -c '^[0-9]')\"";

const PANIC: &str =
    "say 'demo: the main system runs, and now it panics'; sleep 1; echo c > /proc/sysrq-trigger";

/// Longer than any boot takes.
const BOOT_AT_MOST: Duration = Duration::from_secs(180);
/// After the machine's end, what netcat has not printed by then does not come.
const QUIET_AT_END: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let mut demo = Demo { protocol: "tcp", panic: false };
    for word in env::args().skip(1) {
        match word.as_str() {
            "--udp" => demo.protocol = "udp",
            "--panic" => demo.panic = true,
            "--help" | "-h" => {
                print!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            _ => {
                eprint!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    match demo.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("demo: {why}");
            ExitCode::FAILURE
        }
    }
}

type Result<T> = core::result::Result<T, Box<dyn core::error::Error>>;

struct Demo {
    protocol: &'static str,
    panic: bool,
}

impl Demo {
    fn run(&self) -> Result<()> {
        step("Building the release");
        let program = earlykmsg()?;
        let overlay = Overlay::new(&program)?;

        step("Fetching Debian's cloud kernel (once, unpacked below target/, not installed)");
        let kernel = Kernel::debian()?;

        let port = free_port()?;
        step(&format!("Packing an image: busybox, an init, and {} as one more file", overlay::PROGRAM));
        let main = if self.panic { PANIC } else { MAIN };
        let main = main.replace("PROTOCOL", self.protocol).replace("PORT", &port.to_string());
        let mut archives = image::with_main_system(&kernel, INIT, &main)?.to_cpio();
        archives.extend(&overlay.cpio);

        let listen = if self.protocol == "udp" { "-luk" } else { "-lk" };
        step(&format!("Listening: nc {listen} 127.0.0.1 {port}"));
        let mut netcat = Netcat::start(listen, port)?;

        let url = format!("{}://10.0.2.2:{port}/", self.protocol);
        let words = format!("rdinit={} talos.logging.kernel={url}", overlay::PROGRAM);
        step(&format!("Booting Linux {} with {words}", kernel.release));
        let start = Instant::now();
        let guest = Boot::new(&kernel, archives).word(words).start()?;
        let seen = self.show(&guest, &mut netcat)?;
        summary(&seen, start, &guest, &program, &overlay);
        Ok(())
    }

    /// Shows records and console until the machine has ended and nothing more comes.
    fn show(&self, guest: &Guest, netcat: &mut Netcat) -> Result<Seen> {
        let colours = std::io::stdout().is_terminal();
        let mut seen = Seen::default();
        let mut lines_shown = 0;
        let mut last_at = Instant::now();
        loop {
            match netcat.records.recv_timeout(Duration::from_millis(50)) {
                Ok((at, record)) => {
                    println!("{}", readable(&record, colours));
                    seen.add(at, &record);
                    last_at = Instant::now();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err("netcat has ended".into()),
            }
            let lines = guest.lines();
            for line in lines[lines_shown..].iter().filter(|line| !line.text.is_empty()) {
                println!("{}", paint(&format!("      console | {}", line.text), DIM, colours));
            }
            lines_shown = lines.len();
            if guest.has_ended() && last_at.elapsed() > QUIET_AT_END {
                return Ok(seen);
            }
            if guest.age() > BOOT_AT_MOST {
                return Err(guest.failure("the machine did not end").into());
            }
        }
    }
}

fn step(words: &str) {
    println!("{}", paint(&format!("==> {words}"), BOLD, std::io::stdout().is_terminal()));
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
    records: Receiver<(Instant, Value)>,
}

impl Netcat {
    fn start(listen: &str, port: u16) -> Result<Netcat> {
        let mut child = dying_with_us("nc.openbsd")
            .args([listen, "127.0.0.1", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|why| {
                format!("unable to start netcat (Debian: apt-get install netcat-openbsd): {why}")
            })?;
        let output = child.stdout.take().ok_or("netcat has no output")?;
        let (sender, records) = channel();
        thread::spawn(move || {
            for record in objects(output) {
                if sender.send((Instant::now(), record)).is_err() {
                    return;
                }
            }
        });
        Ok(Netcat { child, records })
    }
}

impl Drop for Netcat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The objects in a stream; of datagrams they follow each other without a line end.
fn objects(stream: ChildStdout) -> impl Iterator<Item = Value> {
    serde_json::Deserializer::from_reader(BufReader::new(stream))
        .into_iter()
        .map_while(core::result::Result::ok)
}

/// What the summary needs.
#[derive(Default)]
struct Seen {
    records: usize,
    first: Option<(Instant, u64)>,
    last: Option<u64>,
}

impl Seen {
    fn add(&mut self, at: Instant, record: &Value) {
        let Some(seq) = record["seq"].as_u64() else { return };
        self.records += 1;
        self.first.get_or_insert((at, seq));
        self.last = Some(seq);
    }
}

fn summary(seen: &Seen, start: Instant, guest: &Guest, program: &[u8], overlay: &Overlay) {
    println!();
    let row = |name: &str, value: &str| println!("{name:<22} {value}");
    if let Some(written) = guest.report("RECORDS ").first() {
        row("written by the kernel", written);
    }
    row("received", &seen.records.to_string());
    if let (Some((at, first)), Some(last)) = (seen.first, seen.last) {
        row("first seq", &first.to_string());
        row("last seq", &last.to_string());
        row("first received after", &format!("{:.1} s of the machine's life", (at - start).as_secs_f64()));
    }
    row("the program", &format!("{} bytes", program.len()));
    let (plain, gzip, zstd) = (overlay.cpio.len(), overlay.gzip.len(), overlay.zstd.len());
    row("the overlay", &format!("{plain} bytes; by gzip {gzip}, by zstd {zstd}"));
    for left in guest.report("LEFT ") {
        row("left behind", &left);
    }
}

const BOLD: &str = "1";
const DIM: &str = "2";

/// `[   12.345678] warning kern: text`
fn readable(record: &Value, colours: bool) -> String {
    let text = |name: &str| record[name].as_str().unwrap_or("?");
    let seconds = record["clock"].as_f64().unwrap_or_default() / 1e6;
    let colour = match text("talos-level") {
        "error" => "31",
        "warn" => "33",
        "info" => "0",
        _ => DIM,
    };
    let first_line = text("msg").lines().next().unwrap_or_default();
    paint(
        &format!("[{seconds:12.6}] {:<7} {}: {first_line}", text("priority"), text("facility")),
        colour,
        colours,
    )
}

fn paint(text: &str, colour: &str, colours: bool) -> String {
    if colours { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
}
