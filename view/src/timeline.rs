//! Each boot as a time line: an SVG that needs nothing but itself.
//!
//! A boot is a bar with a stroke for every record. What no text can stand on is drawn; what is written has a place of
//! its own: marks in rows above the bar, the largest gaps as a list below it.

mod draw;

use std::collections::BTreeMap;

use crate::history::{Event, History, Place};
use crate::record::{Level, Record};
use crate::text::{printable, shortened};

/// The boots that were seen.
#[derive(Debug, Default)]
pub struct Timeline {
    boots: BTreeMap<Place, Boot>,
}

/// One of them.
#[derive(Debug, Default)]
struct Boot {
    label: String,
    /// When its first record was written.
    time: String,
    kernel: Option<String>,
    is_kept: bool,
    has_panicked: bool,
    /// How many records, reports of lost ones left out.
    records: usize,
    strokes: Vec<Stroke>,
    marks: Vec<Mark>,
}

/// A record, or a report of lost ones.
#[derive(Clone, Debug)]
struct Stroke {
    clock: u64,
    level: Level,
    /// The beginning of its text.
    text: String,
}

/// What a boot comes past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    clock: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Connected,
    Switched,
    Lost,
    HandedOver,
    Panic,
}

impl Kind {
    fn text(self) -> &'static str {
        match self {
            Kind::Connected => "connected",
            Kind::Switched => "root switched",
            Kind::Lost => "records lost",
            Kind::HandedOver => "handed over",
            Kind::Panic => "panic",
        }
    }

    /// What a record is a mark of.
    fn of(record: &Record) -> Option<Kind> {
        if record.report.is_some() {
            return Some(Kind::Lost);
        }
        if record.is_panic() {
            return Some(Kind::Panic);
        }
        let words = record.msg.strip_prefix("earlykmsg: ").filter(|_| record.facility == "user")?;
        let texts = [
            ("connected to ", Kind::Connected),
            ("root switched", Kind::Switched),
            ("handed over to ", Kind::HandedOver),
        ];
        texts.into_iter().find(|(text, _)| words.contains(text)).map(|(_, kind)| kind)
    }
}

/// The beginning of a text that is kept for each record.
const TEXT_CHARS_MAX: usize = 60;

impl Timeline {
    /// Adds what an event tells.
    pub fn add(&mut self, history: &History, event: &Event) {
        let place = event.place();
        let boot = self.boots.entry(place).or_default();
        boot.label = printable(history.label(place.machine));
        match event {
            Event::Record { record, .. } => boot.add(record),
            Event::Kept { origin, .. } => {
                boot.is_kept = true;
                // Also where the line that says so was not kept.
                boot.has_panicked = origin.contains(" Panic#");
            }
            Event::Missing { .. } => boot.marks.push(Mark { clock: boot.clock(), kind: Kind::Lost }),
            Event::Machine { .. } | Event::Boot { .. } | Event::Again { .. } => {}
        }
    }

    /// The picture.
    #[must_use]
    pub fn svg(&self) -> String {
        let several = self.boots.keys().any(|place| place.boot > 0);
        let boots = self.boots.iter().filter(|(_, boot)| !boot.strokes.is_empty());
        let boots: Vec<(String, Boot)> =
            boots.map(|(place, boot)| (boot.title(place.boot + 1, several), boot.in_order())).collect();
        draw::svg(&boots)
    }
}

impl Boot {
    fn add(&mut self, record: &Record) {
        self.marks.extend(Kind::of(record).map(|kind| Mark { clock: record.clock, kind }));
        self.records += usize::from(record.report.is_none());
        let text = printable(record.lines().first().unwrap_or(&"")).replace('\t', " ");
        if let Some(version) = text.strip_prefix("Linux version ") {
            self.kernel = version.split(' ').next().map(str::to_owned);
        }
        if self.time.is_empty() {
            self.time = printable(&record.time);
        }
        let text = shortened(&text, TEXT_CHARS_MAX);
        self.strokes.push(Stroke { clock: record.clock, level: record.level, text });
    }

    /// The last time stamp so far.
    fn clock(&self) -> u64 {
        self.strokes.last().map_or(0, |stroke| stroke.clock)
    }

    /// The same sorted by time.
    fn in_order(&self) -> Boot {
        let mut strokes = self.strokes.clone();
        strokes.sort_by_key(|stroke| stroke.clock);
        let mut marks = self.marks.clone();
        if self.has_panicked && !marks.iter().any(|mark| mark.kind == Kind::Panic) {
            marks.extend(strokes.last().map(|last| Mark { clock: last.clock, kind: Kind::Panic }));
        }
        marks.sort_by_key(|mark| mark.clock);
        Boot {
            label: self.label.clone(),
            time: self.time.clone(),
            kernel: self.kernel.clone(),
            is_kept: self.is_kept,
            has_panicked: self.has_panicked,
            records: self.records,
            strokes,
            marks,
        }
    }

    /// Who, which boot, which kernel, when, how much.
    fn title(&self, number: usize, several: bool) -> String {
        let mut parts = Vec::new();
        if !self.label.is_empty() {
            parts.push(shortened(&self.label, 36));
        }
        if several {
            parts.push(format!("boot {number}"));
        }
        parts.extend(self.kernel.as_ref().map(|kernel| format!("Linux {}", shortened(kernel, 30))));
        // To the second.
        let time = self.time.split('.').next().unwrap_or_default().trim_end_matches('Z').replace('T', " ");
        if !time.is_empty() {
            parts.push(format!("{} UTC", shortened(&time, 20)));
        }
        let count = self.records;
        parts.push(format!("{count} record{}", if count == 1 { "" } else { "s" }));
        if self.is_kept {
            parts.push("kept by pstore".to_owned());
        }
        parts.join(" · ")
    }

    /// Its largest gaps, in the order of time: each between the record with this number and the next.
    fn largest_gaps(&self, count: usize, at_least: u64) -> Vec<usize> {
        let length = |before: &usize| self.strokes[before + 1].clock - self.strokes[*before].clock;
        let gaps = 0..self.strokes.len().saturating_sub(1);
        let mut gaps: Vec<usize> = gaps.filter(|before| length(before) >= at_least).collect();
        gaps.sort_by_key(|before| core::cmp::Reverse(length(before)));
        gaps.truncate(count);
        gaps.sort_unstable();
        gaps
    }
}
