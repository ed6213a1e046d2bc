//! The program's memory while it runs: nothing can be both written and run, and what only the start had to write is
//! read-only afterwards.

use core::ops::Range;
use core::time::Duration;
use std::fs;

use earlykmsg_tests::foreign::until;
use earlykmsg_tests::kmsg::Fake;
use earlykmsg_tests::program::{Run, start_on_own_log};
use earlykmsg_tests::receiver::{Lines, Tcp, TcpBehaviour, Udp};
use earlykmsg_tests::sandbox::{Sandbox, alone};
use earlykmsg_tests::{binary, proc};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use object::elf;
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};

const WITHIN: Duration = Duration::from_secs(30);

/// A line of `/proc/PID/maps`.
struct Mapping {
    addresses: Range<u64>,
    rights: String,
    line: String,
}

fn mappings(pid: Pid) -> Vec<Mapping> {
    let read = |line: &str| {
        let mut fields = line.split_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let address = |digits| u64::from_str_radix(digits, 16).ok();
        let addresses = address(start)?..address(end)?;
        Some(Mapping { addresses, rights: fields.next()?.to_owned(), line: line.to_owned() })
    };
    let all = proc::file(pid, "maps");
    let mappings: Vec<Mapping> = all.lines().map(|line| read(line).expect("a mapping")).collect();
    assert!(!mappings.is_empty(), "{pid} is gone");
    mappings
}

/// Where the program's relocated constants are, counted from its lowest address.
fn relocated() -> Range<u64> {
    let bytes = fs::read(binary::earlykmsg()).expect("read the binary");
    let file = ElfFile64::<object::Endianness>::parse(&*bytes).expect("an ELF file");
    let endian = file.elf_header().endian().expect("a byte order");
    let header = file.elf_program_headers().iter().find(|header| header.p_type(endian) == elf::PT_GNU_RELRO);
    let header = header.expect("a header for what is made read-only");
    let start = header.p_vaddr(endian);
    start..start + header.p_memsz(endian)
}

#[test]
fn what_runs_cannot_be_written() {
    alone(|_| {
        let (tcp, udp) = (Tcp::new(TcpBehaviour::Reads), Udp::new());
        let program = Run::new(&[tcp.url(), udp.url()]).start();
        tcp.lines.wait_count(1, WITHIN);
        udp.lines.wait_count(1, WITHIN);
        let family = proc::family(program.pid);
        assert_eq!(family.len(), 3, "the watcher and a shipper for each destination");
        let relocated = relocated();
        for pid in family {
            let mappings = mappings(pid);
            for mapping in &mappings {
                let both = mapping.rights.contains('w') && mapping.rights.contains('x');
                assert!(!both, "{pid} could write what it runs: {}", mapping.line);
            }
            let name = binary::earlykmsg().to_string_lossy();
            let own =
                mappings.iter().find(|mapping| mapping.line.ends_with(&*name)).expect("the program itself");
            let base = own.addresses.start;
            let (first, last) = (base + relocated.start, base + relocated.end - 1);
            for address in [first, last] {
                let mapping = mappings.iter().find(|mapping| mapping.addresses.contains(&address));
                let mapping = mapping.unwrap_or_else(|| panic!("nothing at {address:x}"));
                assert!(
                    mapping.rights.starts_with("r--"),
                    "{pid} could change its constants: {}",
                    mapping.line
                );
            }
        }
    });
}

/// Bytes that a process may write: what is mapped so, its stack up to the stack's limit.
fn writable_bytes(pid: Pid) -> u64 {
    let length = |mapping: &Mapping| mapping.addresses.end - mapping.addresses.start;
    let mappings = mappings(pid);
    let writable = || mappings.iter().filter(|mapping| mapping.rights.contains('w'));
    let (stacks, others): (Vec<&Mapping>, Vec<&Mapping>) =
        writable().partition(|mapping| mapping.line.ends_with("[stack]"));
    let [stack] = stacks.as_slice() else { panic!("one stack, not {}", stacks.len()) };
    let limits = proc::file(pid, "limits");
    let limit =
        limits.lines().find_map(|line| line.strip_prefix("Max stack size")?.split_whitespace().next());
    let limit: u64 = limit.and_then(|bytes| bytes.parse().ok()).expect("a limit of the stack");
    let others: u64 = others.into_iter().map(length).sum();
    println!("{pid}: {others} bytes, a stack of {}, which may grow to {limit}", length(stack));
    others + length(stack).max(limit)
}

/// Kilobytes of a process that nobody else needs and that are no file's.
fn anonymous_kb(pid: Pid) -> u64 {
    let all = proc::file(pid, "smaps_rollup");
    let line = all.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    line.and_then(|value| value.trim().trim_end_matches(" kB").parse().ok()).expect("a figure")
}

/// Once all is sent and has arrived, a shipper gives back what only work needs.
fn gives_the_batch_back(url: &str, lines: &Lines, sandbox: &Sandbox) {
    const RECORDS: u64 = 50;
    let fake = Fake::new(sandbox);
    let program = start_on_own_log(url);
    let shipper = program.shippers()[0];
    let text = "x".repeat(900);
    // Stopped, so that it finds them all at once.
    kill(shipper, Signal::SIGSTOP).expect("stop it");
    (0..RECORDS).for_each(|seq| fake.feed_text(seq, &text));
    kill(shipper, Signal::SIGCONT).expect("let it go on");
    lines.wait_count(RECORDS as usize, WITHIN);
    until("nothing is due", || proc::waits_without_end(shipper));
    let kb = anonymous_kb(shipper);
    println!("{url}: {kb} kB");
    assert!(kb <= 80, "{url}: {kb} kB, a batch of 50 kB included");
}

#[test]
fn a_batch_that_arrived_takes_no_memory_tcp() {
    alone(|sandbox| {
        let tcp = Tcp::new(TcpBehaviour::Reads);
        gives_the_batch_back(&tcp.url(), &tcp.lines, sandbox);
    });
}

#[test]
fn a_batch_that_arrived_takes_no_memory_udp() {
    alone(|sandbox| {
        let udp = Udp::new();
        gives_the_batch_back(&udp.url(), &udp.lines, sandbox);
    });
}

/// What the documents say that each process may write: its stack, all that the stack may become, and what it shares with
/// the others included.
#[test]
fn what_can_be_written_is_bounded() {
    const MOST_KB: u64 = 156;
    alone(|_| {
        let (tcp, udp) = (Tcp::new(TcpBehaviour::Reads), Udp::new());
        let program = Run::new(&[tcp.url(), udp.url()]).start();
        tcp.lines.wait_count(1, WITHIN);
        udp.lines.wait_count(1, WITHIN);
        let family = proc::family(program.pid);
        assert_eq!(family.len(), 3, "the watcher and a shipper for each destination");
        for pid in family {
            let bytes = writable_bytes(pid);
            assert!(bytes <= MOST_KB * 1024, "{pid} may write {bytes} bytes");
        }
    });
    for document in ["README.md", "ARCHITECTURE.md", "SECURITY.md"] {
        let text = fs::read_to_string(binary::workspace().join(document)).expect("read a document");
        assert!(text.contains(&format!("{MOST_KB} KiB of memory")), "{document} says another figure");
    }
}
