//! Guests that crash for real: what their kernel kept of its end reaches the receiver after the next start.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::fs::{self, File};
use std::path::PathBuf;

use earlykmsg_initramfs::Image;
use earlykmsg_initramfs::overlay::Overlay;
use earlykmsg_qemu::{
    Boot, Debian, End, Guest, Kernel, LONG, Machine, Maker, Receiver, Record, image, programs, target_dir,
};
use earlykmsg_qemu::{seqs_missing, seqs_repeated};
use object::{Object, ObjectSection};

const CRASH: &str = "echo c > /proc/sysrq-trigger; sleep 1000";

/// The machine's memory for dumps, which outlives its boots: an ACPI ERST.
struct Store {
    path: PathBuf,
    bytes: u64,
}

impl Store {
    fn new(kib: u64) -> Store {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = target_dir().join("qemu").join(format!("erst.{}.{number}", std::process::id()));
        let bytes = kib * 1024;
        File::create(&path).and_then(|file| file.set_len(bytes)).expect("a file for the store");
        Store { path, bytes }
    }

    fn plug_into(&self, boot: Boot) -> Boot {
        let Store { path, bytes } = self;
        let memory = format!("memory-backend-file,id=erst,mem-path={},size={bytes},share=on", path.display());
        let arguments = ["-object", &memory, "-device", "acpi-erst,memdev=erst"];
        arguments.into_iter().fold(boot, Boot::qemu_argument)
    }

    fn boot(&self, kernel: &Kernel, image: &Image) -> Boot {
        self.plug_into(Boot::new(kernel, image.to_cpio())).loud().word("printk.devkmsg=on")
    }

    /// A boot whose init runs this script and does not survive it. Returns the console's lines.
    fn crash(&self, kernel: &Kernel, script: &str) -> Vec<String> {
        self.crash_with(kernel, Image::new(), script)
    }

    fn crash_with(&self, kernel: &Kernel, image: Image, script: &str) -> Vec<String> {
        let image = image.with(image::standard(kernel, script).unwrap());
        let mut guest = self.boot(kernel, &image).rdinit("/init").start().unwrap();
        assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
        guest.lines().into_iter().map(|line| line.text).collect()
    }

    /// A boot that ships. Its init brings the network up and runs this script.
    fn ship(&self, kernel: &Kernel, words: &str, receivers: &[&Receiver], script: &str) -> Guest {
        let script = format!("network_up; {script}");
        let image = image::standard(kernel, &script).unwrap().with(image::programs().unwrap());
        let boot = self.boot(kernel, &image).rdinit("/earlykmsg").word(words);
        receivers.iter().fold(boot, |boot, receiver| boot.word(receiver.word())).start().unwrap()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Lists what is in pstore, a line each with FILE in front.
const LIST: &str = "mkdir -p /sys/fs/pstore; mount -t pstore pstore /sys/fs/pstore; \
                    for file in $(ls /sys/fs/pstore); do echo FILE $file; done; umount /sys/fs/pstore";

fn is_kept(record: &Record) -> bool {
    record.json.get("pstore").is_some()
}

/// What was received of earlier boots, and of this one.
fn split(receiver: &Receiver) -> (Vec<Record>, Vec<Record>) {
    receiver.records().unwrap().into_iter().partition(is_kept)
}

/// The texts of a panic's lines, as the console shows them: up to what the kernel says after the dump.
fn last_lines(console: &[String]) -> Vec<&str> {
    let records =
        console.iter().filter_map(|line| line.strip_prefix('[')?.split_once("] ").map(|(_, text)| text));
    let after = ["Rebooting in", "---[ end Kernel panic", "ACPI MEMORY or I/O RESET_REG."];
    records.take_while(|text| !after.iter().any(|end| text.starts_with(end))).collect()
}

/// A module of the kernel whose first instruction, behind the one for tracing, is a BUG. It has no signature then.
fn module_with_a_bug(kernel: &Kernel) -> Vec<u8> {
    const TRACED: u64 = 5;
    const SIGNED: &[u8] = b"~Module signature appended~\n";
    let mut module = kernel.netem_modules.last().expect("a module").bytes.clone();
    let section = {
        let file = object::File::parse(&*module).expect("a module is an ELF file");
        file.section_by_name(".init.text").expect("an init").file_range().expect("it is in the file").0
    };
    let bug = usize::try_from(section + TRACED).unwrap();
    module[bug..bug + 2].copy_from_slice(&[0x0f, 0x0b]);
    if module.ends_with(SIGNED) {
        *module.last_mut().unwrap() = b' ';
    }
    module
}

/// That all lines which the console shows were received, in order; returns how many there are.
#[track_caller]
fn assert_all_received(console: &[String], kept: &[Record], guest: &Guest) -> usize {
    let shown = last_lines(console);
    assert!(
        shown.iter().any(|text| text.starts_with("Kernel panic - not syncing")),
        "no panic: {console:#?}"
    );
    // The oldest lines have no room in the store.
    let mut received = kept.iter().map(|record| record.msg.trim_end_matches('\n'));
    let first = received.clone().next().expect("a line");
    let from = shown.iter().position(|text| *text == first.trim_end()).unwrap_or_default();
    for text in &shown[from..] {
        assert!(
            received.by_ref().any(|line| line.trim_end() == text.trim_end()),
            "{}",
            guest.failure(&format!("{text:?} was not received in its place"))
        );
    }
    shown.len() - from
}

fn assert_numbered(kept: &[Record]) {
    let numbers: Vec<u64> = kept.iter().map(|record| record.seq).collect();
    let all: Vec<u64> = (1..=kept.len() as u64).collect();
    assert_eq!(numbers, all);
}

#[test]
fn a_panic_arrives_after_the_reboot() {
    assert_arrives_after_the_reboot(&Kernel::debian().unwrap());
}

/// With Linux 6.12.
#[test]
fn long_debian_13_a_panic_arrives_after_the_reboot() {
    assert_arrives_after_the_reboot(&Kernel::of(Machine::AMD64_GENERIC_13).unwrap());
}

fn assert_arrives_after_the_reboot(kernel: &Kernel) {
    let (store, receiver) = (Store::new(64), Receiver::tcp());
    let console = store.crash(kernel, &format!("say 'the last words'; {CRASH}"));
    let script = format!("say 'of this boot'; {LIST}; wait_for_go");
    let words = "earlykmsg.pstore=read earlykmsg.tags=site=lab,boot={boot_id}";
    let mut guest = store.ship(kernel, words, &[&receiver], &script);
    guest.wait_ready(LONG).unwrap();
    guest.explain(receiver.wait_text("of this boot", LONG)).unwrap();
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);

    let (kept, records) = split(&receiver);
    let all = receiver.records().unwrap();
    assert!(all[..kept.len()].iter().all(is_kept), "{}", guest.failure("not before all records"));
    assert_numbered(&kept);
    assert_eq!((seqs_missing(&records), seqs_repeated(&records)), (vec![], vec![]));
    let shown = assert_all_received(&console, &kept, &guest);
    println!("{}, ERST: {shown} lines on the console, {} received", kernel.release, kept.len());
    for (record, boot) in [(&kept[0], false), (&records[0], true)] {
        assert_eq!(record.json["site"], "lab");
        assert_eq!(record.json.get("boot").is_some(), boot, "{}", record.json);
    }
    let last = kept.last().unwrap();
    assert!(last.json["pstore"].as_str().unwrap().ends_with(" Panic#1 Part1"), "{}", last.json);
    let parts = kept.iter().map(|record| record.json["pstore"].to_string());
    let parts: std::collections::BTreeSet<String> = parts.collect();
    let said = format!(
        "earlykmsg: the last boot ended in Panic#1: {} lines in {} part{}\n",
        kept.len(),
        parts.len(),
        if parts.len() == 1 { "" } else { "s" }
    );
    assert!(records.iter().any(|record| record.msg == said), "{}", guest.failure(&said));
    assert_eq!(guest.report("FILE ").len(), parts.len(), "{}", guest.failure("the files stay"));
}

#[test]
fn over_udp() {
    let kernel = Kernel::debian().unwrap();
    let (store, receiver) = (Store::new(64), Receiver::udp());
    let console = store.crash(&kernel, CRASH);
    let mut guest = store.ship(
        &kernel,
        "earlykmsg.pstore=clear",
        &[&receiver],
        &format!("say 'of this boot'; {LIST}; wait_for_go"),
    );
    guest.wait_ready(LONG).unwrap();
    guest.explain(receiver.wait_text("of this boot", LONG)).unwrap();
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    let (kept, records) = split(&receiver);
    assert_numbered(&kept);
    assert_all_received(&console, &kept, &guest);
    assert_eq!((seqs_missing(&records), seqs_repeated(&records)), (vec![], vec![]));
    // Nobody can say that it arrived.
    let said = "no TCP destination can say what it has; nothing is removed";
    assert!(records.iter().any(|record| record.msg.contains(said)), "{}", guest.failure(said));
    assert!(!guest.report("FILE ").is_empty(), "{}", guest.failure("removed"));
}

/// Its files go when both have them, and not before.
#[test]
fn cleared_when_all_have_it() {
    let kernel = Kernel::debian().unwrap();
    let (store, receiver) = (Store::new(64), Receiver::tcp());
    store.crash(&kernel, CRASH);
    // The second receiver comes when the first has had all for long.
    let script = format!(
        "loopback_up; wait_log 'connected to tcp://10.0.2.2'; sleep 5; {LIST}; echo FILE -
         start_receiver tcp 5044; wait_log 'removed there'; {LIST}; wait_for_go"
    );
    let words = "earlykmsg.pstore=clear talos.logging.kernel=tcp://127.0.0.1:5044/";
    let mut guest = store.ship(&kernel, words, &[&receiver], &script);
    guest.wait_ready(LONG).unwrap();
    guest.explain(receiver.wait_text("removed there", LONG)).unwrap();
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    let files = guest.report("FILE ");
    println!("{files:?}");
    assert!(files.len() > 1, "{}", guest.failure("removed too early"));
    assert_eq!(files.last().map(String::as_str), Some("-"), "{}", guest.failure("not removed"));
    let (kept, _) = split(&receiver);
    assert_numbered(&kept);
    // And the next boot finds nothing. A guest that has ended still has its place among those that run at once.
    drop(guest);
    let receiver = Receiver::tcp();
    let mut guest =
        store.ship(&kernel, "earlykmsg.pstore=clear", &[&receiver], "say 'of this boot'; wait_for_go");
    guest.wait_ready(LONG).unwrap();
    guest.explain(receiver.wait_text("of this boot", LONG)).unwrap();
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    assert_eq!(split(&receiver).0.len(), 0);
}

/// The receiver reads the beginning and is killed: the next one gets all of it, and nothing of the boot is missing.
#[test]
fn a_receiver_dies_in_the_middle() {
    let kernel = Kernel::debian().unwrap();
    let (store, results) = (Store::new(64), Receiver::tcp());
    let console = store.crash(&kernel, CRASH);
    let script = format!(
        "loopback_up; start_receiver tcp 5044 stop=20000; kill_with_bytes_unread 5044; start_receiver tcp 5044
         say 'of this boot'; wait_arrived 'of this boot'; send_received {}",
        results.port()
    );
    let words = "earlykmsg.pstore=read talos.logging.kernel=tcp://127.0.0.1:5044/";
    let mut guest = store.ship(&kernel, words, &[], &script);
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    let streams = results.streams();
    assert!(streams.len() > 1, "{}", guest.failure("one connection"));
    let records = |stream: &[u8]| -> Vec<Record> {
        let lines = stream.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
        lines.map(|line| Record::parse(line, std::time::Instant::now(), 0).unwrap()).collect()
    };
    let first = records(&streams[0]);
    let (kept, of_boot): (Vec<Record>, Vec<Record>) =
        streams[1..].iter().flat_map(|stream| records(stream)).partition(is_kept);
    println!("{} lines before the death, {} and {} records after it", first.len(), kept.len(), of_boot.len());
    assert!(!first.is_empty() && first.iter().all(is_kept), "{}", guest.failure("not in the middle"));
    assert_numbered(&kept);
    assert_all_received(&console, &kept, &guest);
    assert_eq!((seqs_missing(&of_boot), seqs_repeated(&of_boot)), (vec![], vec![]));
}

/// An oops that the kernel survives, a panic, and one more after the next start: oldest first, each whole.
#[test]
fn an_oops_and_two_panics() {
    let kernel = Kernel::debian().unwrap();
    let (store, receiver) = (Store::new(256), Receiver::tcp());
    // An oops kills the process that causes it.
    let image = Image::new().file("/oops.ko", 0o644, module_with_a_bug(&kernel));
    let script = format!("insmod /oops.ko; say 'after the oops'; {CRASH}");
    store.crash_with(&kernel, image, &script);
    let console = store.crash(&kernel, &format!("tool storm 3000; say 'the second panic'; {CRASH}"));
    let mut guest =
        store.ship(&kernel, "earlykmsg.pstore=read", &[&receiver], "say 'of this boot'; wait_for_go");
    guest.wait_ready(LONG).unwrap();
    guest.explain(receiver.wait_text("of this boot", LONG)).unwrap();
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    let (kept, records) = split(&receiver);
    assert_numbered(&kept);
    let mut origins: Vec<&str> = kept.iter().map(|record| record.json["pstore"].as_str().unwrap()).collect();
    origins.dedup();
    println!("{origins:#?}");
    let dumps: Vec<&str> = origins.iter().map(|origin| origin.split(' ').nth(1).unwrap()).collect();
    let mut order = dumps.clone();
    order.dedup();
    assert_eq!(order, ["Oops#1", "Panic#2", "Panic#1"], "{origins:?}");
    let holds = |text: &str| kept.iter().any(|record| record.msg.contains(text));
    assert!(holds("invalid opcode: 0000") && holds("after the oops"), "{}", guest.failure("no oops"));
    let last = origins.iter().position(|origin| origin.ends_with("Panic#1 Part1")).unwrap();
    assert_eq!(last, origins.len() - 1);
    let of_last: Vec<Record> = kept
        .iter()
        .filter(|record| record.json["pstore"].as_str().unwrap().contains("Panic#1"))
        .cloned()
        .collect();
    assert_all_received(&console, &of_last, &guest);
    for said in ["the last boot ended in Panic#1: ", "; earlier dumps: 2, "] {
        assert!(records.iter().any(|record| record.msg.contains(said)), "{}", guest.failure(said));
    }
}

/// A store without room keeps no more dumps, and the kernel says nothing of that. That it still holds old ones is said.
#[test]
fn a_store_that_is_full() {
    let kernel = Kernel::debian().unwrap();
    let (store, receiver) = (Store::new(64), Receiver::tcp());
    for crash in 1..=6 {
        store.crash(&kernel, &format!("say 'crash {crash}'; {CRASH}"));
    }
    let mut guest = store.ship(
        &kernel,
        "earlykmsg.pstore=read",
        &[&receiver],
        &format!("{LIST}; say 'of this boot'; wait_for_go"),
    );
    guest.wait_ready(LONG).unwrap();
    guest.explain(receiver.wait_text("of this boot", LONG)).unwrap();
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    let (kept, records) = split(&receiver);
    let crashes = kept.iter().filter(|record| record.msg.starts_with("crash ")).count();
    println!("{crashes} of 6 crashes, {:?}", guest.report("FILE "));
    assert!(crashes > 0 && crashes < 6, "{}", guest.failure("not full"));
    let said = "; once pstore is full, no more are kept";
    assert!(records.iter().any(|record| record.msg.contains(said)), "{}", guest.failure(said));
}

/// Memory that outlives a reset, and drivers that the image loads after the program has started: the records of this boot
/// go first, and the lines follow when they are there.
#[test]
fn by_ramoops() {
    let kernel = Kernel::debian().unwrap();
    let receiver = Receiver::tcp();
    let mut image = Image::new();
    for (order, module) in kernel.modules(&["ramoops"]).unwrap().into_iter().enumerate() {
        image = image.file(&format!("/ramoops/{order:02}-{}.ko", module.name), 0o644, module.bytes);
    }
    let memory = "mem_address=0xa000000 mem_size=0x100000 record_size=0x10000 ecc=1";
    let script = format!(
        "network_up; wait_log 'connected to'
         for module in /ramoops/*.ko; do
             case $module in *ramoops*) insmod $module {memory} ;; *) insmod $module ;; esac
         done
         mkdir -p /sys/fs/pstore; mount -t pstore pstore /sys/fs/pstore
         ls /sys/fs/pstore/dmesg* || {{ say 'the last words'; {CRASH}; }}
         wait_log 'the last boot ended in'; say 'of the second boot'; wait_for_go"
    );
    let image = image.with(image::standard(&kernel, &script).unwrap()).with(image::programs().unwrap());
    let boot = Boot::new(&kernel, image.to_cpio())
        .rdinit("/earlykmsg")
        .loud()
        .reboots()
        .word("memmap=0x100000$0xa000000 earlykmsg.pstore=clear printk.devkmsg=on")
        .word(receiver.word());
    let mut guest = boot.start().unwrap();
    guest.wait_ready(LONG).unwrap();
    guest.explain(receiver.wait_text("removed there", LONG)).unwrap();
    guest.explain(receiver.wait_text("of the second boot", LONG)).unwrap();
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    let (kept, records) = split(&receiver);
    assert_numbered(&kept);
    let console: Vec<String> = guest.lines().into_iter().map(|line| line.text).collect();
    let mut boots = console.split(|line| line.contains("] Linux version")).skip(1).map(<[String]>::to_vec);
    let first_boot = boots.next().unwrap();
    let shown = assert_all_received(&first_boot, &kept, &guest);
    println!(
        "{shown} lines on the console, {} received; {:?}",
        kept.len(),
        kept.last().unwrap().json["pstore"]
    );
    let second = records.iter().rposition(|record| record.seq == 0).unwrap();
    assert_eq!((seqs_missing(&records[second..]), seqs_repeated(&records[second..])), (vec![], vec![]));
}

/// A place for dumps whose driver is a module that the image has, and earlykmsg loads.
struct Driven {
    module: &'static str,
    /// How the name begins that the kernel calls it by.
    backend: &'static str,
    words: &'static str,
    /// What QEMU is told of the machine.
    arguments: &'static [&'static str],
}

impl Driven {
    /// A machine that panics and starts again.
    fn assert_arrives_after_a_reset(&self, machine: Machine) {
        let kernel = Kernel::of(machine).unwrap();
        let receiver = Receiver::tcp();
        let script = format!(
            "network_up; wait_log 'connected to'; wait_log 'Registered {}'
             mkdir -p /sys/fs/pstore; mount -t pstore pstore /sys/fs/pstore
             ls /sys/fs/pstore/dmesg* || {{ say 'the last words'; {CRASH}; }}
             wait_log 'the last boot ended in'; say 'of the second boot'; wait_for_go",
            self.backend
        );
        let drivers = image::drivers(&kernel, &[self.module]).unwrap();
        let image = image::standard(&kernel, &script).unwrap().with(image::programs().unwrap()).with(drivers);
        let boot = Boot::new(&kernel, image.to_cpio())
            .memory_mib(512)
            .rdinit("/earlykmsg")
            .loud()
            .reboots()
            .word("earlykmsg.pstore=read printk.devkmsg=on")
            .word(format!("earlykmsg.modules={}", self.module))
            .word(self.words)
            .word(receiver.word());
        let boot = self.arguments.iter().fold(boot, |boot, argument| boot.qemu_argument(*argument));
        let mut guest = boot.start().unwrap();
        guest.wait_ready(LONG).unwrap();
        guest.explain(receiver.wait_text("of the second boot", LONG)).unwrap();
        guest.go().unwrap();
        assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
        let (kept, records) = split(&receiver);
        assert_numbered(&kept);
        let console: Vec<String> = guest.lines().into_iter().map(|line| line.text).collect();
        let mut boots =
            console.split(|line| line.contains("] Linux version")).skip(1).map(<[String]>::to_vec);
        let shown = assert_all_received(&boots.next().unwrap(), &kept, &guest);
        let all = receiver.records().unwrap();
        let second = all.iter().rposition(|record| record.seq == 0 && !is_kept(record)).unwrap();
        let first_kept = all.iter().position(is_kept).unwrap();
        println!(
            "{}, {}: {shown} lines on the console, {} received, {} all records",
            kernel.release,
            self.backend,
            kept.len(),
            if first_kept < second { "before" } else { "not before" }
        );
        let second = records.iter().rposition(|record| record.seq == 0).unwrap();
        assert_eq!((seqs_missing(&records[second..]), seqs_repeated(&records[second..])), (vec![], vec![]));
    }
}

#[test]
fn long_debian_12_ramoops() {
    let words = "memmap=0x100000$0xa000000 ramoops.mem_address=0xa000000 ramoops.mem_size=0x100000 \
                 ramoops.record_size=0x10000";
    Driven { module: "ramoops", backend: "ramoops", words, arguments: &[] }
        .assert_arrives_after_a_reset(Machine::AMD64_GENERIC);
}

#[test]
fn long_debian_13_ramoops() {
    let words = "reserve_mem=1M:4096:oops ramoops.mem_name=oops ramoops.record_size=0x10000";
    Driven { module: "ramoops", backend: "ramoops", words, arguments: &[] }
        .assert_arrives_after_a_reset(Machine::AMD64_GENERIC_13);
}

/// What UEFI keeps between boots.
const EFI: Driven = Driven {
    module: "efi_pstore",
    backend: "efi", // efi_pstore in newer kernels
    words: "efi_pstore.pstore_disable=0 pstore.kmsg_bytes=32768",
    arguments: &[
        "-drive",
        "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
        "-drive",
        "if=pflash,format=raw,snapshot=on,file=/usr/share/OVMF/OVMF_VARS_4M.fd",
    ],
};

#[test]
fn long_debian_12_efi_variables() {
    EFI.assert_arrives_after_a_reset(Machine::AMD64_GENERIC);
}

#[test]
fn long_debian_13_efi_variables() {
    EFI.assert_arrives_after_a_reset(Machine::AMD64_GENERIC_13);
}

/// With `read`, systemd-pstore of the main system finds the files, and archives them.
#[test]
fn long_systemd_pstore_finds_the_files() {
    let kernel = Kernel::debian().unwrap();
    let (store, receiver) = (Store::new(64), Receiver::tcp());
    let console = store.crash(&kernel, &format!("say 'the last words'; {CRASH}"));
    let overlay = Overlay::new(&programs().unwrap()).unwrap();
    let boot = Debian::with(&kernel).unwrap().boot(Maker::InitramfsTools, &overlay.gzip).unwrap();
    let boot = store.plug_into(boot).rdinit("/earlykmsg").word("earlykmsg.pstore=read");
    let mut guest = boot.word("systemd.mask=rsyslog.service").word(receiver.word()).start().unwrap();
    guest.wait_ready(LONG).unwrap();
    let list = "for file in $(find /var/lib/systemd/pstore -type f); do echo FILE $file; done
                cat $(find /var/lib/systemd/pstore -name 'dmesg*') | sed -n 's/.*\\(the last words\\).*/HOLDS \\1/p'
                ls /sys/fs/pstore | sed 's/^/LEFT /'; echo LISTED";
    guest.type_line(&list.replace('\n', ";")).unwrap();
    guest.wait_console("LISTED", LONG).unwrap();
    guest.type_line("systemctl poweroff").unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    let (kept, _) = split(&receiver);
    assert_numbered(&kept);
    assert_all_received(&console, &kept, &guest);
    println!("{:#?}", guest.report("FILE "));
    assert!(!guest.report("HOLDS ").is_empty(), "{}", guest.failure("not archived"));
    assert_eq!(guest.report("LEFT "), [""; 0], "{}", guest.failure("left where it was"));
}
