//! The parts of the document: each measures something and says it as a table.

use core::fmt::Write as _;
use core::time::Duration;
use std::fs;
use std::thread;
use std::time::Instant;

use earlykmsg_tests::binary;

use crate::chart::{Panel, draw};
use crate::measure::{self, Figures, LOAD, Load};
use crate::receive::Transport;
use crate::sender::{EARLYKMSG, EARLYKMSG_SYSLOG, EARLYKMSG_UDP, FLOOR, FLOOR_UDP, Sender};
use crate::stats::Spread;
use crate::{guest, instructions, size};

/// Between two runs others have their turn at the machine's log.
const PAUSE: Duration = Duration::from_millis(30);
/// How often earlykmsg starts to nobody for each run of the senders.
const SET_UPS: usize = 5;
/// How often a run that did not come through is made again.
const TRIES: usize = 5;

/// One line of the budget.
#[derive(Clone, Debug)]
pub struct Budget {
    what: String,
    limit: f64,
    figure: f64,
    unit: &'static str,
}

impl Budget {
    fn new(what: &str, limit: f64, figure: f64, unit: &'static str) -> Budget {
        Budget { what: what.to_owned(), limit, figure, unit }
    }
}

/// What was measured so far, part by part, and against the budget.
#[derive(Debug, Default)]
pub struct Report {
    /// Names of parts and their text.
    pub parts: Vec<(&'static str, String)>,
    /// What the limits are about.
    pub budget: Vec<Budget>,
    /// The chart.
    pub chart: Option<String>,
}

/// A table's rows.
struct Table(String);

impl Table {
    /// The first column is of words, the others of numbers.
    fn new(columns: &[&str]) -> Table {
        let rule = columns.iter().enumerate().map(|(at, _)| if at == 0 { "---" } else { "--:" });
        let rule: Vec<&str> = rule.collect();
        Table(format!("| {} |\n| {} |\n", columns.join(" | "), rule.join(" | ")))
    }

    fn row(&mut self, cells: &[String]) {
        writeln!(self.0, "| {} |", cells.join(" | ")).expect("a text takes all");
    }
}

fn spread(figures: impl Iterator<Item = f64>) -> Option<Spread> {
    Spread::of(&figures.collect::<Vec<_>>())
}

/// The figures of senders, run after run in turn.
fn in_turn(senders: &[Sender], load: &Load, runs: usize) -> Vec<Vec<Figures>> {
    let mut all = vec![Vec::new(); senders.len()];
    for run in 0..runs {
        for at in 0..senders.len() {
            // Another one begins each time.
            let at = (at + run) % senders.len();
            all[at].push(through(|| measure::run(&senders[at], load)));
        }
    }
    all
}

/// What a measurement gives that may have to be made again, because others overran the ring, or the processor was theirs.
fn through<R>(measure: impl Fn() -> Option<R>) -> R {
    for _ in 0..TRIES {
        let result = measure();
        thread::sleep(PAUSE);
        if let Some(result) = result {
            return result;
        }
    }
    panic!("not once in {TRIES} times: this machine has too much else to do");
}

/// How many times more than another's, run by run.
fn times(ours: &[Figures], others: &[Figures], figure: impl Fn(&Figures) -> Option<f64>) -> Option<Spread> {
    spread(ours.iter().zip(others).filter_map(|(ours, other)| Some(figure(ours)? / figure(other)?)))
}

fn drain(figures: &Figures) -> Option<f64> {
    Some(figures.drain_ns)
}

/// What the measuring machine is.
#[must_use]
pub fn machine(runs: usize) -> String {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = file("/proc/cpuinfo");
    let model =
        cpuinfo.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let load = file("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or_default().to_owned();
    let rsyslog = std::process::Command::new("rsyslogd").arg("-v").output();
    let rsyslog =
        rsyslog.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let rsyslog: Vec<&str> = rsyslog.split_whitespace().take(2).collect();
    let size = fs::metadata(binary::earlykmsg()).expect("the program").len();
    format!(
        "Linux {}, {} with {cores} processors; {runs} runs of each sender, in turn; load average {load} before. \
         earlykmsg of {size} bytes, {}; {}.",
        file("/proc/sys/kernel/osrelease").trim(),
        model.unwrap_or("a processor"),
        instructions::compiler().split(" (").next().unwrap_or_default(),
        rsyslog.join(" "),
    )
}

impl Report {
    fn part(&mut self, name: &'static str, text: String) {
        println!("== {name}\n\n{text}");
        self.parts.push((name, text));
    }

    /// All senders beside each other.
    pub fn senders(&mut self, given: &[Sender], runs: usize) {
        let mut senders = Sender::all(LOAD.more());
        senders.extend_from_slice(given);
        let all = in_turn(&senders, &LOAD, runs);
        let figures = |name: &str| {
            let at = senders.iter().position(|sender| sender.name == name).expect("it was measured");
            &all[at]
        };
        let floor = figures(FLOOR);
        let of = |figures: &[Figures], places: usize, figure: &dyn Fn(&Figures) -> Option<f64>| {
            spread(figures.iter().filter_map(figure))
                .map_or("–".to_owned(), |spread| format!("{spread:.places$}"))
        };
        let ratio = |spread: Option<Spread>| spread.map_or("–".to_owned(), |spread| format!("{spread:.2}"));
        let live = |figures: &Figures| figures.live_ns;

        let mut time = Table::new(&[
            "sender",
            "backlog: µs a record",
            "× floor",
            "live: µs a record",
            "× floor",
            "start: ms",
            "whole ring at the start: ms of wall time",
            "calls a record: backlog / live",
            "delay: ms, median / most",
            "arrived",
        ]);
        for (sender, all) in senders.iter().zip(&all) {
            let (backlog_calls, live_calls) = through(|| measure::calls(sender, &LOAD));
            let mut delays: Vec<f64> =
                all.iter().flat_map(|run| &run.delays).map(|delay| delay.as_secs_f64() * 1e3).collect();
            delays.sort_by(f64::total_cmp);
            let delay = match delays.as_slice() {
                [] => "–".to_owned(),
                [.., most] => format!("{:.1} / {most:.1}", delays[delays.len() / 2]),
            };
            let arrived = spread(all.iter().map(|run| run.arrived)).map_or(0.0, |spread| spread.median);
            time.row(&[
                sender.name.clone(),
                of(all, 2, &|run| Some(run.drain_ns / 1e3)),
                ratio(times(all, floor, drain)),
                of(all, 2, &|run| Some(run.live_ns? / 1e3)),
                ratio(times(all, floor, live)),
                of(all, 2, &Figures::start_ms),
                of(all, 1, &|run| Some(run.start_wall?.as_secs_f64() * 1e3)),
                format!("{backlog_calls:.2} / {live_calls:.2}"),
                delay,
                if sender.transport == Transport::None {
                    "–".to_owned()
                } else {
                    format!("{:.1} %", arrived * 100.0)
                },
            ]);
        }
        self.part("senders", time.0);

        let mut space = Table::new(&[
            "sender",
            "processes",
            "Pss: kB",
            "most resident: kB",
            "on disk: KiB",
            "in an image, zstd: KiB",
        ]);
        let mut sizes = Vec::new();
        for (sender, all) in
            senders.iter().zip(&all).filter(|(sender, _)| !sender.is_floor || sender.name == FLOOR)
        {
            let files = &all.last().expect("a run").files;
            let (disk, packed) = size::sizes(files);
            let pss = spread(all.iter().map(|run| run.pss_kb as f64)).map_or(0.0, |spread| spread.median);
            let peak = spread(all.iter().map(|run| run.peak_kb as f64)).map_or(0.0, |spread| spread.median);
            space.row(&[
                sender.name.clone(),
                all[0].processes.to_string(),
                format!("{pss:.0}"),
                format!("{peak:.0}"),
                format!("{:.0}", disk as f64 / 1024.0),
                format!("{:.1}", packed as f64 / 1024.0),
            ]);
            sizes.push((sender.name.as_str(), pss, disk as f64));
        }
        self.part("space", space.0);

        let ours = figures(EARLYKMSG);
        let median = |spread: Option<Spread>| spread.map_or(f64::NAN, |spread| spread.median);
        let (_, pss, disk) =
            sizes.iter().find(|(name, ..)| *name == EARLYKMSG).copied().expect("it was measured");
        let set_up = (0..SET_UPS * runs).map(|_| through(measure::set_up).as_secs_f64() * 1e3);
        let set_up = spread(set_up).expect("there are runs");
        self.part(
            "set-up",
            format!("Until its first read of a record it spends {set_up:.2} ms in all processes."),
        );
        let writable = spread(ours.iter().map(|run| run.writable_kb as f64));
        self.budget.extend([
            Budget::new("a record of a backlog, TCP, × floor", 1.5, median(times(ours, floor, drain)), ""),
            Budget::new(
                "a record of the live stream, TCP, × floor",
                1.5,
                median(times(ours, floor, live)),
                "",
            ),
            Budget::new(
                "a record of a backlog, syslog over TCP, × JSON over TCP",
                1.0,
                median(times(figures(EARLYKMSG_SYSLOG), ours, drain)),
                "",
            ),
            Budget::new(
                "a record of a backlog, UDP, × floor with a datagram each",
                1.3,
                median(times(figures(EARLYKMSG_UDP), figures(FLOOR_UDP), drain)),
                "",
            ),
            Budget::new(
                "a record of the live stream, UDP, × floor with a datagram each",
                1.3,
                median(times(figures(EARLYKMSG_UDP), figures(FLOOR_UDP), live)),
                "",
            ),
            Budget::new("the start, up to the first read", 1.0, median(Some(set_up)), "ms"),
            Budget::new(
                "memory that a shipper may write, its stack included",
                200.0,
                median(writable),
                "KiB",
            ),
            Budget::new("Pss of all processes, one destination", 200.0, pss, "kB"),
            Budget::new("binary", 128.0, disk / 1024.0, "KiB"),
        ]);

        let bars = |figure: &dyn Fn(&Figures) -> Option<f64>| -> Vec<(&str, f64)> {
            let bar = |(sender, all): (&'_ Sender, &Vec<Figures>)| {
                spread(all.iter().filter_map(figure))
                    .map(|spread| spread.median)
                    .map(|median| (sender.name.clone(), median))
            };
            senders.iter().zip(&all).filter_map(bar).map(|(name, value)| (&*name.leak(), value)).collect()
        };
        self.chart = Some(draw(&[
            Panel {
                title: "Processor time a record of a backlog, µs",
                bars: bars(&|run| Some(run.drain_ns / 1e3)),
            },
            Panel {
                title: "Processor time a record of a live stream, µs",
                bars: bars(&|run| Some(run.live_ns? / 1e3)),
            },
            Panel {
                title: "Memory of all processes (Pss), kB",
                bars: sizes.iter().map(|&(name, pss, ..)| (name, pss)).collect(),
            },
            Panel {
                title: "On disk with all libraries, KiB",
                bars: sizes.iter().map(|&(name, _, disk)| (name, disk / 1024.0)).collect(),
            },
        ]));
    }

    /// How the cost grows with a record.
    pub fn growth(&mut self, runs: usize) {
        let senders = [Sender::batched(), Sender::earlykmsg(1)];
        let mut table = Table::new(&[
            "records",
            "bytes of text",
            "floor: µs",
            "earlykmsg: µs",
            "× floor",
            "instructions to parse and encode",
        ]);
        let plain = "abcdefghi ";
        let kinds = [
            ("plain", plain, 20, "plain:20"),
            ("plain", plain, 100, "plain:100"),
            ("plain", plain, 300, "plain:300"),
            ("plain", plain, 950, "plain:950"),
            ("plain", "", 2_000, "plain:2000"),
            ("each tenth byte a quote", "abcdefghi\"", 100, "quotes:100"),
            ("each tenth byte a quote", "abcdefghi\"", 950, "quotes:950"),
            // The kernel writes \xNN for each byte: four times as many to read.
            ("two-byte characters", "éèüßñ", 25, "utf8:100"),
            ("two-byte characters", "éèüßñ", 240, "utf8:960"),
            ("control characters", "\u{1b}\u{7}", 25, "control:100"),
        ];
        for (name, part, bytes, what) in kinds {
            let count = instructions::count(what);
            let mut cells = vec![name.to_owned(), bytes.to_string()];
            if part.is_empty() {
                // A program cannot write so many.
                cells.extend(["–", "–", "–"].map(str::to_owned));
            } else {
                let all = in_turn(&senders, &Load::of(part, bytes), runs);
                let drain_us =
                    |all: &[Figures]| spread(all.iter().map(|run| run.drain_ns / 1e3)).expect("runs");
                cells.push(format!("{:.2}", drain_us(&all[0])));
                cells.push(format!("{:.2}", drain_us(&all[1])));
                cells.push(format!("{:.2}", times(&all[1], &all[0], drain).expect("runs")));
            }
            cells.push(count.to_string());
            table.row(&cells);
        }
        self.part("records", table.0);

        let senders: Vec<Sender> = (1..=4).map(Sender::earlykmsg).collect();
        let load = Load { bursts: 0, singles: 0, ..LOAD };
        let all = in_turn(&senders, &load, runs);
        let mut table =
            Table::new(&["destinations", "µs a record, all together", "start: ms", "processes", "Pss: kB"]);
        for (sender, all) in senders.iter().zip(&all) {
            table.row(&[
                sender.destinations.to_string(),
                format!("{:.2}", spread(all.iter().map(|run| run.drain_ns / 1e3)).expect("runs")),
                format!("{:.2}", spread(all.iter().filter_map(Figures::start_ms)).expect("runs")),
                all[0].processes.to_string(),
                format!("{:.0}", spread(all.iter().map(|run| run.pss_kb as f64)).expect("runs").median),
            ]);
        }
        self.part("destinations", table.0);
    }

    /// Parsing and encoding alone.
    pub fn instructions(&mut self) {
        let mut table = Table::new(&["log", "instructions", "kept", "growth"]);
        for (name, before) in instructions::kept() {
            let now = instructions::count(&name);
            let growth = (now as f64 / before as f64 - 1.0) * 100.0;
            table.row(&[name, now.to_string(), before.to_string(), format!("{growth:+.1} %")]);
        }
        self.part("instructions", table.0);
    }

    /// What takes boots.
    ///
    /// # Errors
    /// What of a boot failed.
    pub fn guests(&mut self) -> earlykmsg_qemu::Result<()> {
        let [bare, with, with_network] = guest::pid1_us()?;
        self.budget.push(Budget::new(
            "PID 1's exec, later than without, of 10⁶ instructions",
            1.0,
            (with - bare) / 1e3,
            "",
        ));
        self.budget.push(Budget::new(
            "PID 1's exec, later because of a network, of 10⁶ instructions",
            0.2,
            (with_network - with) / 1e3,
            "",
        ));
        let wakes = guest::wakes_in_a_silent_minute()?;
        self.budget.push(Budget::new("wake-ups in a silent minute", 0.0, wakes as f64, ""));
        self.part(
            "boot",
            format!(
                "From the kernel's start of PID 1 to the first act of the next init: {bare:.0} thousand instructions \
                 without earlykmsg, {with:.0} thousand with it. Wake-ups of both its processes in a minute without a \
                 record: {wakes}."
            ),
        );
        let mut table = Table::new(&[
            "initramfs of",
            "multi-user.target: s without",
            "with",
            "processor's work until the shell: s without",
            "with",
        ]);
        for boot in guest::multi_user()? {
            let [reached, reached_with] = boot.reached_s.map(|seconds| format!("{seconds:.2}"));
            let [busy, busy_with] = boot.busy_s.map(|seconds| format!("{seconds:.2}"));
            table.row(&[boot.maker.to_owned(), reached, reached_with, busy, busy_with]);
        }
        self.part("multi-user", table.0);
        let mut table = Table::new(&[
            "`log_buf_len`",
            "records",
            "floor: instructions a record",
            "earlykmsg: instructions a record",
            "× floor",
        ]);
        for drained in guest::rings()? {
            let each = |us: f64| us * 1e3 / drained.records as f64;
            table.row(&[
                drained.ring.to_owned(),
                drained.records.to_string(),
                format!("{:.0}", each(drained.floor_us)),
                format!("{:.0}", each(drained.ours_us)),
                format!("{:.2}", drained.ours_us / drained.floor_us),
            ]);
        }
        self.part("rings", table.0);
        let mut table = Table::new(&["sender", "written", "received", "reported as lost"]);
        let storms = guest::storms()?;
        for storm in &storms {
            table.row(&[
                storm.sender.to_owned(),
                storm.written.to_string(),
                storm.received.to_string(),
                storm.reported.to_string(),
            ]);
        }
        self.part("storm", table.0);
        let lost = |name: &str| {
            let storm = storms.iter().find(|storm| storm.sender == name).expect("it stormed");
            (storm.written - storm.received) as f64
        };
        self.budget.push(Budget::new(
            "records of a storm not received, at most as many as of the floor",
            lost(FLOOR),
            lost(EARLYKMSG),
            "",
        ));
        Ok(())
    }

    /// What was measured of the budget.
    pub fn budget(&mut self) {
        let mut table = Table::new(&["budget", "at most", "measured", "reached"]);
        for budget in &self.budget {
            let unit = if budget.unit.is_empty() { String::new() } else { format!(" {}", budget.unit) };
            table.row(&[
                budget.what.clone(),
                format!("{}{unit}", budget.limit),
                format!("{:.2}{unit}", budget.figure),
                if budget.figure <= budget.limit { "yes" } else { "**no**" }.to_owned(),
            ]);
        }
        self.part("budget", table.0);
    }
}

/// Runs something and says how long it took.
pub fn timed<R>(name: &str, work: impl FnOnce() -> R) -> R {
    let began = Instant::now();
    let result = work();
    eprintln!("{name}: {:.0} s", began.elapsed().as_secs_f64());
    result
}
