//! Storms in a guest, past receivers that fail, for earlykmsg and for busybox, as a Markdown table.
//!
//! `cargo run --manifest-path qemu/Cargo.toml --example storm [WORD ...]` boots a guest for each row. A word is a shipper
//! (`earlykmsg`, `cat-nc`), a size of the ring (`16M`, `1M`) or a part of what the receiver does; without any, all
//! run. `docs/measurements/delivery.md` says what the columns mean.

use std::process::ExitCode;

use earlykmsg_qemu::storm::{Manner, RECORDS, Shipper, Storm};
use earlykmsg_qemu::{Kernel, Result};

const RINGS: [&str; 2] = ["16M", "1M"];
const SHIPPERS: [(Shipper, &str, &str); 2] =
    [(Shipper::Earlykmsg, "earlykmsg", "earlykmsg"), (Shipper::CatNc, "cat-nc", "busybox cat \\| nc")];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("storm: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let is_ring = |word: &&String| RINGS.contains(&word.as_str());
    let is_shipper = |word: &&String| SHIPPERS.iter().any(|(_, name, _)| name == word);
    let wanted = |kind: &dyn Fn(&&String) -> bool, fits: &dyn Fn(&str) -> bool| {
        let mut of_kind = words.iter().filter(kind).peekable();
        of_kind.peek().is_none() || of_kind.any(|word| fits(word))
    };
    println!("Linux {}, {RECORDS} records\n", Kernel::debian()?.release);
    println!(
        "| ring | receiver | shipper | records written | received (unique) | duplicates \
         | reported lost / perhaps unread | unaccounted | time to write | time until the last |\n\
         | --- | --- | --- | --: | --: | --: | --: | --: | --: | --: |"
    );
    for ring in RINGS.into_iter().filter(|ring| wanted(&is_ring, &|word| word == *ring)) {
        for manner in Manner::ALL {
            if !wanted(&|word| !is_ring(word) && !is_shipper(word), &|word| manner.name().contains(word)) {
                continue;
            }
            for (shipper, name, shown) in SHIPPERS {
                if wanted(&is_shipper, &|word| word == name) {
                    let row = row(&Storm { ring, manner, shipper })?;
                    println!("| {ring} | {} | {shown} | {row} |", manner.name());
                }
            }
        }
    }
    Ok(())
}

fn row(storm: &Storm) -> Result<String> {
    let outcome = storm.run()?;
    let account = &outcome.account;
    // For earlykmsg there must be none.
    let unaccounted: u64 = account.unaccounted.iter().map(|range| range.end() - range.start() + 1).sum();
    if storm.shipper == Shipper::Earlykmsg && unaccounted > 0 {
        eprintln!("lost in silence: {:?}", account.unaccounted);
    }
    if outcome.bytes_unread > 0 {
        eprintln!("{} bytes were unread when the receiver was killed", outcome.bytes_unread);
    }
    let draining = match outcome.draining {
        Some(time) => format!("{:.1} s", time.as_secs_f64()),
        None => "never, it has exited".to_owned(),
    };
    Ok(format!(
        "{} | {} | {} | {} / {} | {unaccounted} | {:.1} s | {draining}",
        account.written,
        account.received,
        account.duplicates,
        account.lost,
        account.perhaps_unread,
        outcome.writing.as_secs_f64()
    ))
}
