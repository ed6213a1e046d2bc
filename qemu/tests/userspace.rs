//! The userspace's own messages reach the receiver by the ways of docs/userspace-log.md, in a Debian with systemd.

use std::sync::OnceLock;

use earlykmsg_initramfs::release::{Release, VERSION};
use earlykmsg_qemu::{Guest, Installed, LONG, Maker, Receiver, Suite, When, programs};

const DOCUMENT: &str = include_str!("../../docs/userspace-log.md");

/// The indented block of the document that begins like this.
fn block(start: &str) -> String {
    let at = DOCUMENT.find(&format!("    {start}")).expect("a block in the documentation");
    let lines = DOCUMENT[at..].lines().map_while(|line| match line {
        "" => Some(""),
        line => line.strip_prefix("    "),
    });
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

fn machine() -> Installed {
    static DEB: OnceLock<Vec<u8>> = OnceLock::new();
    let deb = DEB.get_or_init(|| {
        let release = Release::new(&[programs().unwrap()], None, &std::env::temp_dir()).unwrap();
        release.file(&format!("earlykmsg_{VERSION}_amd64.deb")).unwrap().to_vec()
    });
    Installed::with(Suite::Bookworm, Maker::InitramfsTools, deb).unwrap()
}

/// Shipping, and nobody takes over.
fn start(machine: &Installed, receiver: &Receiver, words: &str) -> Guest {
    let boot = machine.boot(When::Installed).unwrap().word(receiver.word());
    let guest = boot.word("systemd.mask=rsyslog.service").word(words).start().unwrap();
    guest.wait_ready(LONG).unwrap();
    guest
}

/// The numbered lines that arrived.
fn numbers(receiver: &Receiver, mark: &str) -> Vec<u32> {
    let records = receiver.records().unwrap();
    let number = |msg: &str| msg.split_once(mark)?.1.split_whitespace().next()?.parse().ok();
    records.iter().filter_map(|record| number(&record.msg)).collect()
}

/// More than ten, in a burst.
const MANY: u32 = 200;

fn write_many(guest: &mut Guest, receiver: &Receiver, command: &str, last: &str) {
    guest.type_line(&format!("for n in $(seq {MANY}); do echo \"number $n\"; done | {command}")).unwrap();
    guest.type_line(&format!("echo '{last}' | {command}")).unwrap();
    guest.explain(receiver.wait_text(last, LONG)).unwrap();
}

#[test]
fn what_journald_gets() {
    let (machine, receiver) = (machine(), Receiver::tcp());
    let mut guest = start(&machine, &receiver, &block("systemd.journald.forward_to_kmsg=1"));
    write_many(&mut guest, &receiver, "systemd-cat -t teller -p info", "the last of journald");
    assert_eq!(numbers(&receiver, "number "), (1..=MANY).collect::<Vec<_>>());
    let records = receiver.records().unwrap();
    let told = records.iter().find(|record| record.msg.contains("number 7\n")).unwrap();
    assert!(told.msg.starts_with("teller["), "{}", told.msg);
    assert_eq!(told.json["priority"], "info");
    // What systemd itself says of its units.
    assert!(
        records.iter().any(|record| record.msg.contains("Reached target")),
        "{}",
        guest.failure("no unit")
    );
}

#[test]
fn what_is_written_to_the_console() {
    let (machine, receiver) = (machine(), Receiver::tcp());
    let words = block("console=tty0 console=ttyprintk");
    let mut guest = start(&machine, &receiver, &words);
    // Before the module is there, /dev/console is another.
    guest.type_line("modprobe ttyprintk").unwrap();
    write_many(&mut guest, &receiver, "cat > /dev/console", "the last of the console");
    assert_eq!(numbers(&receiver, "number "), (1..=MANY).collect::<Vec<_>>());
    let records = receiver.records().unwrap();
    let told = records.iter().find(|record| record.msg.contains("number 7\n")).unwrap();
    let (facility, priority) = (&told.json["facility"], &told.json["priority"]);
    assert_eq!((told.msg.as_str(), facility, priority), ("[U] number 7\n", &"kern".into(), &"info".into()));
}

#[test]
fn what_a_script_prints() {
    let (machine, receiver) = (machine(), Receiver::tcp());
    let mut guest = start(&machine, &receiver, "");
    // As it is where no systemd has lifted the limit: the loop needs no more than the kernel allows.
    guest.type_line("echo ratelimit > /proc/sys/kernel/printk_devkmsg").unwrap();
    let main = format!(
        "main() {{ for n in $(seq {MANY}); do echo \"number $n\"; done; printf '%2000s\\n' long; printf 'half '; \
         sleep 3; echo 'and half'; echo 'the last of the script' >&2; }}"
    );
    let script = format!("{main}\n{}", block("# The lines of a file"));
    for line in script.lines() {
        let quoted = line.replace('\'', "'\\''");
        guest.type_line(&format!("echo '{quoted}' >> /root/script")).unwrap();
    }
    guest.type_line("busybox sh -eu /root/script; echo SCRIPT ENDED").unwrap();
    guest.wait_console("SCRIPT ENDED", LONG).unwrap();
    guest.explain(receiver.wait_text("init: the last of the script\n", LONG)).unwrap();
    assert_eq!(numbers(&receiver, "init: number "), (1..=MANY).collect::<Vec<_>>());
    let records = receiver.records().unwrap();
    let own: Vec<&str> =
        records.iter().map(|record| record.msg.as_str()).filter(|msg| msg.starts_with("init: ")).collect();
    assert!(own.contains(&"init: half and half\n"), "{own:?}");
    assert!(own.iter().any(|msg| msg.len() == "init: \n".len() + 900), "no line was cut");

    // What the page warns of: as much as fits, and no more; and ten of a burst.
    guest.type_line("printf '<14>%970s' fits > /dev/kmsg && echo FITS").unwrap();
    guest.wait_console("FITS", LONG).unwrap();
    guest.type_line("(printf '<14>%1021s' long > /dev/kmsg) || echo REFUSED").unwrap();
    guest.wait_console("REFUSED", LONG).unwrap();
    write_many(
        &mut guest,
        &receiver,
        "(while read -r l; do echo \"dropped $l\"; done > /dev/kmsg)",
        "the end",
    );
    let came = numbers(&receiver, "dropped number ");
    assert!((1..MANY as usize / 2).contains(&came.len()), "{came:?}");
}
