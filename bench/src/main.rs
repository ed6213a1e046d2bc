//! `./bench/run` starts this; see [`USAGE`].

use std::fs;
use std::process::ExitCode;

use earlykmsg_bench::parts::{Report, machine, timed};
use earlykmsg_bench::sender::Sender;
use earlykmsg_bench::{document, instructions, place};

const USAGE: &str = "\
usage: bench/run [quick] [--write] [--runs N] [--sender 'NAME=COMMAND']... [PART]...

  quick      two runs of each sender and nothing else, less than a minute
  --write    put the tables into docs/measurements/performance.md, the chart beside it, and keep the counts of instructions
  --runs N   of each sender; 11
  --sender   one more, started as COMMAND with {host} and {port} filled in; it reads /dev/kmsg and sends to TCP
  PART       senders, growth, instructions, guests; without any, all
";

struct Words {
    quick: bool,
    write: bool,
    runs: usize,
    given: Vec<Sender>,
    parts: Vec<String>,
}

fn words() -> Option<Words> {
    let mut words = Words { quick: false, write: false, runs: 11, given: Vec::new(), parts: Vec::new() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "quick" => {
                words.quick = true;
                words.runs = 2;
            }
            "--write" => words.write = true,
            "--runs" => words.runs = arguments.next()?.parse().ok().filter(|runs| *runs > 0)?,
            "--sender" => words.given.push(Sender::given(&arguments.next()?)?),
            "senders" | "growth" | "instructions" | "guests" => words.parts.push(argument),
            _ => return None,
        }
    }
    if words.quick && words.parts.is_empty() {
        words.parts.push("senders".to_owned());
    }
    Some(words)
}

fn main() -> ExitCode {
    let Some(words) = words() else {
        eprint!("{USAGE}");
        return ExitCode::from(64);
    };
    let wanted = |part: &str| words.parts.is_empty() || words.parts.iter().any(|word| word == part);
    let about = machine(words.runs);
    println!("{about}\n");
    let mut report = Report::default();
    if wanted("instructions") {
        if words.write {
            instructions::keep();
        }
        timed("instructions", || report.instructions());
    }
    if wanted("guests")
        && let Err(why) = timed("guests", || report.guests())
    {
        eprintln!("bench: {why}");
        return ExitCode::FAILURE;
    }
    place::leave_senders_processor();
    if wanted("senders") {
        timed("senders", || report.senders(&words.given, words.runs));
        report.parts.push(("machine", about));
    }
    if wanted("growth") {
        timed("growth", || report.growth((words.runs / 2).max(1)));
    }
    if !report.budget.is_empty() {
        report.budget();
    }
    if words.write {
        for (part, text) in &report.parts {
            // Of a part of the budget there is no whole table.
            if *part != "budget" || words.parts.is_empty() {
                document::write(part, text);
            }
        }
        if let Some(chart) = &report.chart {
            fs::write(document::path().with_extension("svg"), chart).expect("write the chart");
        }
    }
    ExitCode::SUCCESS
}
