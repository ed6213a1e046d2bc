//! `./bench/fleet` starts this; see [`USAGE`].

use core::time::Duration;
use std::fs;
use std::process::ExitCode;

use earlykmsg_bench::fleet::cases::{Case, Fleet, Result};
use earlykmsg_bench::fleet::{picture, watch};

const USAGE: &str = "\
usage: bench/fleet [--machines N] [--records N] [--away SECONDS] [--svg FILE] [CASE]...

  --machines N     how many start at once; 2000
  --records N      that each of them sends; 300
  --away SECONDS   how long a receiver that dies is away; 30
  --svg FILE       draw connection attempts over time
  CASE             start, start-rsyslog, dies, dies-rsyslog, late, slow, names; without any, all
";

struct Words {
    fleet: Fleet,
    svg: Option<String>,
    cases: Vec<Case>,
}

fn words() -> Option<Words> {
    let fleet = Fleet {
        machines: 2_000,
        records: 300,
        away: Duration::from_secs(30),
        accepts_per_second: 100,
        within: Duration::from_secs(300),
    };
    let mut words = Words { fleet, svg: None, cases: Vec::new() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--machines" => {
                words.fleet.machines = arguments.next()?.parse().ok().filter(|count| *count > 0)?;
            }
            "--records" => words.fleet.records = arguments.next()?.parse().ok().filter(|count| *count > 0)?,
            "--away" => words.fleet.away = Duration::from_secs(arguments.next()?.parse().ok()?),
            "--svg" => words.svg = Some(arguments.next()?),
            case => words.cases.push(Case::ALL.iter().find(|(word, _)| *word == case)?.1),
        }
    }
    if words.cases.is_empty() {
        words.cases.extend(Case::ALL.map(|(_, case)| case));
    }
    Some(words)
}

fn main() -> ExitCode {
    let Some(words) = words() else {
        eprint!("{USAGE}");
        return ExitCode::from(64);
    };
    println!(
        "| {} machines, {} records each | all arrived after | repeated | reported lost | unaccounted | MB received | attempts, most in a second | CPU of all | Pss of one | connections | DNS questions |",
        words.fleet.machines, words.fleet.records
    );
    println!("| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |");
    let mut results = Vec::new();
    for case in &words.cases {
        let result = words.fleet.run(*case);
        println!("{}", row(&result));
        results.push(result);
    }
    if let Some(file) = &words.svg {
        fs::write(file, picture::draw(&results, words.fleet.machines)).expect("write the picture");
    }
    ExitCode::SUCCESS
}

fn row(result: &Result) -> String {
    let balance = &result.balance;
    let accepted: Vec<String> = result.accepted.iter().map(usize::to_string).collect();
    format!(
        "| {} | {} | {} | {} | {} | {:.0} | {}, {} | {:.1} s | {} kB | {} | {} |",
        result.case.title(),
        result.took.map_or("never".to_owned(), |took| format!("{:.1} s", took.as_secs_f64())),
        balance.repeated,
        balance.reported,
        balance.unaccounted,
        balance.bytes as f64 / 1e6,
        result.looks.last().map_or(0, |look| look.syns),
        watch::peak(&result.looks),
        result.usage.cpu.as_secs_f64(),
        result.usage.pss_kb,
        accepted.join(" + "),
        result.questions,
    )
}
