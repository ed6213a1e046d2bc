//! Where everything of the picture stands.

use core::fmt::Write as _;

use super::{Boot, Kind, Level, Mark};
use crate::text::shortened;

const WIDTH: u64 = 960;
/// Left of the bars.
const LEFT: u64 = 16;
/// Right of them: as wide as the longest mark, which begins at its place on the bar.
const RIGHT: u64 = 120;
const BAR_WIDTH: u64 = WIDTH - LEFT - RIGHT;

const BAR_HEIGHT: u64 = 28;
/// A line of text.
const ROW: u64 = 16;
/// Below a boot.
const SPACE: u64 = 24;

/// A character of the font, which every text is fitted to.
const CHARACTER: f64 = 7.2;
const FONT_SIZE: u64 = 12;

/// So many gaps are named.
const GAPS_MAX: usize = 5;
/// No gap that is named is narrower: its number stands in it.
const GAP_WIDTH_MIN: u64 = 14;

/// Where the length of a gap ends in the list.
const GAP_LENGTH_END: u64 = 100;

/// Of the text before and after a gap.
const GAP_TEXT_CHARS_MAX: usize = 48;

const STYLE: &str = "\
text{font:12px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#1f2328}
.title{font-weight:bold}.page{fill:#fff}.bar{fill:#eff2f5}.gap{fill:#d1d9e0}.dim{fill:#59636e}
path{fill:none;stroke-width:1}.axis{stroke:#818b98}.usual{stroke:#57748f}.warning{stroke:#bf8700;stroke-width:2}
.error{stroke:#cf222e;stroke-width:2}.mark{stroke:#8250df;stroke-width:2}.panic{stroke:#cf222e;stroke-width:3}
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.page{fill:#0d1117}.bar{fill:#21262d}.gap{fill:#3d444d}
.dim{fill:#9198a1}.axis{stroke:#656c76}.usual{stroke:#79a8d1}.warning{stroke:#d29922}.error{stroke:#f85149}
.mark{stroke:#ab7df8}.panic{stroke:#f85149}}
";

const LEGEND: &str = "A stroke: records, the more the longer; warnings amber, errors red. Shaded and numbered: the longest gaps.";

/// The picture of boots, each with its title.
pub(super) fn svg(boots: &[(String, Boot)]) -> String {
    let longest = boots.iter().map(|(_, boot)| end(boot)).max().unwrap_or(1);
    let mut page = Page { body: String::new(), y: 8 };
    for (title, boot) in boots {
        // One scale for all, so that they can be compared, unless that leaves nothing to see.
        let scale = if longest / 10 <= end(boot) { longest } else { end(boot) };
        page.boot(title, boot, Scale(scale));
    }
    page.text(LEFT, page.y + 8, "dim", LEGEND);
    let height = page.y + ROW;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\">\n<style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>\n{}</svg>\n",
        page.body
    )
}

/// The last time stamp, and at least a millisecond.
fn end(boot: &Boot) -> u64 {
    let last = boot.strokes.last().map(|stroke| stroke.clock);
    last.max(boot.marks.last().map(|mark| mark.clock)).unwrap_or_default().max(1000)
}

/// How many microseconds the bar is long.
#[derive(Clone, Copy)]
struct Scale(u64);

impl Scale {
    /// Where on the picture a time is.
    fn x(self, clock: u64) -> u64 {
        let x = u128::from(clock) * u128::from(BAR_WIDTH) / u128::from(self.0);
        LEFT + u64::try_from(x).unwrap_or(BAR_WIDTH).min(BAR_WIDTH)
    }

    /// How long this many points are.
    fn micros(self, points: u64) -> u64 {
        (self.0 / BAR_WIDTH).saturating_mul(points).saturating_add(points)
    }

    /// The distance of the numbers on the axis: one, two or five of a power of ten.
    fn step(self) -> u64 {
        let least = self.micros(75).max(1000);
        let mut power = 1000;
        loop {
            for factor in [1, 2, 5] {
                if power * factor >= least {
                    return power * factor;
                }
            }
            match u64::checked_mul(power, 10).filter(|next| *next < u64::MAX / 5) {
                Some(next) => power = next,
                None => return self.0.max(1),
            }
        }
    }
}

struct Page {
    body: String,
    /// How far down it is used.
    y: u64,
}

impl Page {
    fn put(&mut self, line: &str) {
        self.body.push_str(line);
        self.body.push('\n');
    }

    /// A text from here to the right, its letters upon `y`.
    fn text(&mut self, x: u64, y: u64, class: &str, text: &str) {
        let length = width(text);
        self.put(&format!(
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" textLength=\"{length}\" lengthAdjust=\"spacingAndGlyphs\">{}</text>",
            escaped(text)
        ));
    }

    fn boot(&mut self, title: &str, boot: &Boot, scale: Scale) {
        self.y += ROW;
        self.text(LEFT, self.y, "title", &shortened(title, characters(WIDTH - 2 * LEFT)));
        self.y += 8;
        let lanes = lanes(&boot.marks, scale);
        let rows = lanes.iter().map(|(_, lane)| lane + 1).max().unwrap_or(0);
        let top = self.y + rows * ROW + 2;
        let end_x = scale.x(end(boot)).max(LEFT + 1);
        self.put(&format!(
            "<rect class=\"bar\" x=\"{LEFT}\" y=\"{top}\" width=\"{}\" height=\"{BAR_HEIGHT}\"/>",
            end_x - LEFT
        ));
        let gaps = self.gaps(boot, scale, top);
        self.strokes(boot, scale, top);
        self.marks(boot, &lanes, scale, top);
        self.axis(boot, scale, top + BAR_HEIGHT);
        self.y = top + BAR_HEIGHT + ROW + 4;
        for (number, before) in (1_u32..).zip(gaps) {
            self.y += ROW;
            let (one, two) = (&boot.strokes[before], &boot.strokes[before + 1]);
            let text = |text: &str| shortened(text, GAP_TEXT_CHARS_MAX);
            self.text(LEFT, self.y, "dim", &number.to_string());
            let length = duration(two.clock - one.clock, 3);
            self.text((LEFT + GAP_LENGTH_END).saturating_sub(width(&length)), self.y, "dim", &length);
            let between = format!("{} → {}", text(&one.text), text(&two.text));
            self.text(LEFT + GAP_LENGTH_END + 16, self.y, "dim", &between);
        }
        self.y += SPACE;
    }

    /// The largest gaps, with their numbers in them.
    fn gaps(&mut self, boot: &Boot, scale: Scale, top: u64) -> Vec<usize> {
        let gaps = boot.largest_gaps(GAPS_MAX, scale.micros(GAP_WIDTH_MIN));
        for (number, before) in (1..).zip(&gaps) {
            let (left, right) =
                (scale.x(boot.strokes[*before].clock), scale.x(boot.strokes[before + 1].clock));
            self.put(&format!(
                "<rect class=\"gap\" x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{BAR_HEIGHT}\"/>",
                right.saturating_sub(left)
            ));
            let x = u64::midpoint(left, right).saturating_sub(3);
            self.text(x, top + 18, "title", &format!("{number}"));
        }
        gaps
    }

    /// A stroke for each point of the bar on which there are records, as severe as the most severe of them.
    fn strokes(&mut self, boot: &Boot, scale: Scale, top: u64) {
        let mut columns: Vec<(u64, Level, u32)> = Vec::new();
        for stroke in &boot.strokes {
            let x = scale.x(stroke.clock);
            match columns.last_mut() {
                Some((last, level, count)) if *last == x => {
                    (*level, *count) = ((*level).min(stroke.level), *count + 1);
                }
                _ => columns.push((x, stroke.level, 1)),
            }
        }
        for (class, levels) in [
            ("usual", Level::NOTICE..=Level::DEBUG),
            ("warning", Level::WARNING..=Level::WARNING),
            ("error", Level::EMERG..=Level::ERR),
        ] {
            let mut path = String::new();
            for (x, _, count) in columns.iter().filter(|(_, level, _)| levels.contains(level)) {
                // 8 for one, all of the bar for 64 and more.
                let height = (8 + 4 * u64::from(count.ilog2())).min(BAR_HEIGHT);
                let _ = write!(path, "M{x} {}v-{height}", top + BAR_HEIGHT);
            }
            if !path.is_empty() {
                self.put(&format!("<path class=\"{class}\" d=\"{path}\"/>"));
            }
        }
    }

    /// Lines through the bar, up to their texts.
    fn marks(&mut self, boot: &Boot, lanes: &[(Mark, u64)], scale: Scale, top: u64) {
        let bottom = top + BAR_HEIGHT + 3;
        let mut last = None;
        for mark in &boot.marks {
            let lane = lanes.iter().find(|(labelled, _)| labelled == mark).map(|(_, lane)| *lane);
            // Of a thousand lost records at one place, one is enough.
            let place = Some((scale.x(mark.clock), mark.kind));
            if lane.is_none() && last == place {
                continue;
            }
            last = place;
            let start = lane.map_or(top, |lane| top - 2 - lane * ROW - 12);
            let class = if mark.kind == Kind::Panic { "panic" } else { "mark" };
            let x = scale.x(mark.clock);
            self.put(&format!("<path class=\"{class}\" d=\"M{x} {start}V{bottom}\"/>"));
        }
        for (mark, lane) in lanes {
            self.text(scale.x(mark.clock) + 4, top - 4 - lane * ROW, "label", mark.kind.text());
        }
    }

    fn axis(&mut self, boot: &Boot, scale: Scale, y: u64) {
        let end = end(boot);
        let step = scale.step();
        let mut path = format!("M{LEFT} {y}H{}", scale.x(end));
        let places = core::iter::successors(Some(0_u64), |at| at.checked_add(step));
        for at in places.take_while(|at| *at <= end) {
            let x = scale.x(at);
            let _ = write!(path, "M{x} {y}v4");
            self.text(x, y + ROW, "dim", &duration(at, if step < 1_000_000 { 3 } else { 0 }));
        }
        self.put(&format!("<path class=\"axis\" d=\"{path}\"/>"));
    }
}

/// The first mark of each kind, with the row above the bar in which its text stands, from 0 for the lowest. Texts go to the
/// right of their lines. A later mark stands lower, so that no line goes through the text of another.
fn lanes(marks: &[Mark], scale: Scale) -> Vec<(Mark, u64)> {
    let is_first = |(at, mark): &(usize, &Mark)| !marks[..*at].iter().any(|before| before.kind == mark.kind);
    let labelled: Vec<Mark> = marks.iter().enumerate().filter(is_first).map(|(_, mark)| *mark).collect();
    let mut placed: Vec<(Mark, u64)> = Vec::new();
    for mark in labelled.into_iter().rev() {
        let right = scale.x(mark.clock) + 4 + width(mark.kind.text()) + 6;
        let is_in_the_way = |other: &Mark| scale.x(other.clock) < right;
        let lane = placed.iter().filter(|(other, _)| is_in_the_way(other)).map(|(_, lane)| lane + 1).max();
        placed.push((mark, lane.unwrap_or(0)));
    }
    placed
}

/// How wide a text is drawn.
fn width(text: &str) -> u64 {
    (text.chars().count() as f64 * CHARACTER).round() as u64
}

/// How many characters have room.
fn characters(width: u64) -> usize {
    (width as f64 / CHARACTER) as usize
}

/// A time in the unit that needs few digits.
fn duration(micros: u64, digits: usize) -> String {
    const HOUR: f64 = 3600.0;
    const DAY: f64 = 24.0 * HOUR;
    const YEAR: f64 = 365.25 * DAY;
    let seconds = micros as f64 / 1e6;
    match seconds {
        ..10_000.0 => format!("{seconds:.digits$} s"),
        ..360_000.0 => format!("{:.1} h", seconds / HOUR),
        ..86_400_000.0 => format!("{:.1} d", seconds / DAY),
        _ => format!("{:.1} y", seconds / YEAR),
    }
}

/// As it stands in XML, which has no place for some characters.
fn escaped(text: &str) -> String {
    let allowed = text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}");
    allowed.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const _: () = assert!(RIGHT as f64 > "root switched".len() as f64 * CHARACTER + 10.0);
const _: () = assert!(FONT_SIZE < ROW);
