//! A whole boot on each processor: from the first record over the switch of root to the hand-over, with all that confines
//! the processes in force.

use earlykmsg_qemu::{Boot, End, Guest, Kernel, LONG, Machine, Receiver, earlykmsg_for, image};
use earlykmsg_qemu::{all_received, ring_records, seqs_repeated};
use earlykmsg_tests::binary;

const FAREWELL: &str = "handed over to the main system";

fn assert_a_whole_boot(machine: Machine, page_kib: u64) {
    let kernel = Kernel::of(machine).unwrap();
    let (receiver, ring) = (Receiver::tcp(), Receiver::tcp());
    let (port, ring_port) = (receiver.port(), ring.port());
    let script = "network_up; make_main_system; say 'before the switch'; move_mounts
        exec switch_root /new /sbin/init";
    let main = format!(
        "say 'after the switch'; wait_log 'connected to'; wait_log 'root switched'; show_confinement; wait_for_go
        tool hold tcp 10.0.2.2 {port} & wait_log '{FAREWELL}, last seq sent'; kill $!
        show_leftovers {port}; send_ring {ring_port}; wait_for_go"
    );
    let image = image::with_main_system(&kernel, script, &main).unwrap();
    let boot = Boot::new(&kernel, image.with(image::earlykmsg_for(machine).unwrap()).to_cpio())
        .rdinit("/earlykmsg")
        .memory_mib(512)
        .word(receiver.word());
    let mut guest = boot.start().unwrap();
    guest.wait_ready(LONG).unwrap();
    assert_confined(&guest, page_kib);
    assert_memory(&guest, &earlykmsg_for(machine).unwrap());
    guest.explain(receiver.wait_text("after the switch", LONG)).unwrap();
    guest.go().unwrap();
    guest.explain(ring.wait_closed(LONG)).unwrap();
    assert_eq!(guest.report("LEFT "), [""; 0], "{}", guest.failure("something is left"));
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);

    let records = receiver.records().unwrap();
    let ring = guest.explain(ring_records(&ring.bytes())).unwrap();
    let said = ring.iter().find(|record| record.msg.contains(FAREWELL)).unwrap().seq;
    let until: Vec<_> = ring.into_iter().filter(|record| record.seq < said).collect();
    guest.explain(all_received(&until, &records)).unwrap();
    assert_eq!(seqs_repeated(&records), [0; 0], "{}", guest.failure("sent twice"));
    assert_eq!(records[0].seq, 0, "{}", guest.failure("the first record"));
    for text in ["Linux version ", "before the switch", "root switched", "after the switch"] {
        assert!(records.iter().any(|record| record.msg.contains(text)), "{}", guest.failure(text));
    }
    assert!(records.last().unwrap().msg.contains(FAREWELL), "{}", guest.failure("the last record"));
    let (name, release, seconds) = (machine.name, &kernel.release, guest.age().as_secs_f64());
    println!("{name}, Linux {release}: {} records, {seconds:.1} s", records.len());
}

/// The watcher has its filter, and the shipper, which is no root, its own as well.
fn assert_confined(guest: &Guest, page_kib: u64) {
    assert_eq!(guest.report("PAGE_KB "), [page_kib.to_string()], "{}", guest.failure("the size of pages"));
    let processes = guest.report("CONFINED ");
    let filters = |words: &String| {
        let word = |name: &str| words.split(' ').skip_while(|word| *word != name).nth(1)?.parse::<u32>().ok();
        Some((word("Uid:")? == 0, word("Seccomp:")?, word("Seccomp_filters:")?))
    };
    let mut found: Vec<_> = processes.iter().map(filters).collect();
    found.sort_unstable();
    let expected = [Some((false, 2, 2)), Some((true, 2, 1))];
    assert_eq!(found, expected, "{}", guest.failure("the filters"));
}

/// What the kernel gives a stack at the start, and a process of earlykmsg does not keep.
const STACK_AT_START_BYTES: u64 = 128 * 1024;

/// What was relocated is read-only in each process, and its stack is small, whatever the size of pages.
fn assert_memory(guest: &Guest, program: &[u8]) {
    let relro = binary::relro(program);
    let maps = guest.report("MAP ");
    let parsed = maps.iter().map(|line| parse_map(line).expect("a line of /proc/PID/maps"));
    let maps: Vec<Map> = parsed.collect();
    let programs: Vec<&Map> = maps.iter().filter(|map| map.offset == 0 && map.is_program).collect();
    assert_eq!(programs.len(), 2, "{}", guest.failure("the program in memory"));
    let stacks: Vec<u64> = maps.iter().filter(|map| map.is_stack).map(|map| map.end - map.start).collect();
    assert_eq!(stacks.len(), 2, "{}", guest.failure("the stacks"));
    assert!(stacks.iter().all(|bytes| *bytes < STACK_AT_START_BYTES), "{stacks:?}");
    for program in programs {
        for address in [program.start + relro.start, program.start + relro.end - 1] {
            let holds = |map: &&Map| map.pid == program.pid && (map.start..map.end).contains(&address);
            let map = maps.iter().find(holds).unwrap_or_else(|| panic!("{}", guest.failure("not mapped")));
            assert_eq!(map.permissions, "r--p", "{}", guest.failure(&format!("{address:x} is writable")));
        }
    }
}

struct Map {
    pid: u32,
    start: u64,
    end: u64,
    permissions: String,
    offset: u64,
    is_program: bool,
    is_stack: bool,
}

/// `91 aaaacd400000-aaaacd405000 r--p 00000000 00:02 1026 /earlykmsg (deleted)`
fn parse_map(line: &str) -> Option<Map> {
    let mut words = line.split_whitespace();
    let pid = words.next()?.parse().ok()?;
    let (start, end) = words.next()?.split_once('-')?;
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    Some(Map {
        pid,
        start: hex(start)?,
        end: hex(end)?,
        permissions: words.next()?.to_owned(),
        offset: hex(words.next()?)?,
        is_program: line.contains("/earlykmsg"),
        is_stack: line.ends_with("[stack]"),
    })
}

#[test]
fn arm64() {
    assert_a_whole_boot(Machine::ARM64, 4);
}

#[test]
fn long_amd64() {
    assert_a_whole_boot(Machine::AMD64, 4);
}

#[test]
fn long_arm64_with_pages_of_16_kib() {
    assert_a_whole_boot(Machine::ARM64_16K, 16);
}

#[test]
fn long_riscv64() {
    assert_a_whole_boot(Machine::RISCV64, 4);
}
