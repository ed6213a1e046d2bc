//! A Debian's boots and shutdowns with and without earlykmsg, as a Markdown table.
//!
//! `cargo run --release --manifest-path qemu/Cargo.toml --example debian [RUNS]` boots a guest for each row, in turn, RUNS (5) times: by
//! initramfs-tools and by dracut; without earlykmsg, with it until it hands over, and with it until the power-off.

use core::time::Duration;
use std::env;
use std::process::ExitCode;
use std::time::Instant;

use earlykmsg_initramfs::overlay::Overlay;
use earlykmsg_qemu::{Debian, Kernel, Maker, Receiver, Result, programs, ring_records};

const LONG: Duration = Duration::from_secs(600);

/// What runs beside the boot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Without,
    HandedOver,
    UntilTheEnd,
}

impl Way {
    const ALL: [(Way, &str); 3] = [
        (Way::Without, "without"),
        (Way::HandedOver, "handed over to rsyslog"),
        (Way::UntilTheEnd, "shipping until the power-off"),
    ];
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("debian: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let runs: usize = env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(5);
    println!(
        "| initramfs by | earlykmsg | run | records written | received | root switched, s | handed over, s \
         | multi-user.target, s | shutdown, s |\n| --- | --- | --: | --: | --: | --: | --: | --: | --: |"
    );
    for run in 1..=runs {
        for maker in [Maker::InitramfsTools, Maker::Dracut] {
            for (way, name) in Way::ALL {
                println!("| {} | {name} | {run} | {} |", maker.name(), row(maker, way)?);
            }
        }
    }
    Ok(())
}

fn row(maker: Maker, way: Way) -> Result<String> {
    let (receiver, ring) = (Receiver::tcp(), Receiver::tcp());
    let overlay = Overlay::new(&programs()?).expect("bytes in memory are packed");
    let debian = Debian::with(&Kernel::debian()?)?;
    let mut boot = match way {
        Way::Without => debian.boot(maker, &[])?.word(format!("deliver={}", receiver.url())),
        _ => debian.boot(maker, &overlay.gzip)?.rdinit("/earlykmsg").word(receiver.word()),
    };
    if way == Way::UntilTheEnd {
        boot = boot.word("systemd.mask=rsyslog.service");
    }
    let mut guest = boot.start()?;
    guest.wait_ready(LONG)?;
    let multi_user: f64 =
        guest.report("MULTI-USER ").first().and_then(|told| told.parse().ok()).unwrap_or_default();
    let wait = if way == Way::HandedOver { "wait_log 'handed over'; " } else { "" };
    guest.type_line(&format!("{wait}send_ring {}; echo TOLD", ring.port()))?;
    guest.wait_console("TOLD", LONG)?;
    ring.wait_closed(LONG)?;
    let start = Instant::now();
    guest.type_line("systemctl poweroff")?;
    guest.wait_exit(LONG)?;
    let shutdown = start.elapsed().as_secs_f64();

    let ring = ring_records(&ring.bytes())?;
    let at = |text: &str| {
        let record = ring.iter().find(|record| record.msg.contains(text));
        let clock = record.and_then(|record| record.object["clock"].as_f64());
        clock.map_or_else(|| "-".to_owned(), |clock| format!("{:.2}", clock / 1e6))
    };
    // All until the hand-over; without one also what was written after the ring was read.  rsyslog's lines begin otherwise.
    let received = receiver.streams().into_iter().filter(|stream| stream.starts_with(b"{"));
    let received = received.flatten().filter(|byte| *byte == b'\n').count();
    let farewell = ring.iter().position(|record| record.msg.contains("handed over"));
    Ok(format!(
        "{} | {} | {} | {} | {:.2} | {shutdown:.2}",
        farewell.map_or(ring.len(), |last| last + 1),
        if way == Way::Without { "-".to_owned() } else { received.to_string() },
        at("earlykmsg: root switched"),
        at("handed over"),
        multi_user / 1e6
    ))
}
