//! Connection attempts over time, as an SVG that needs nothing but itself.

use core::fmt::Write as _;

use super::cases::Result;
use super::watch::{EVERY, Look};

const WIDTH: f64 = 880.0;
const LEFT: f64 = 60.0;
const HEIGHT: f64 = 90.0;

/// Panels, one below the other: bars are attempts a second, the line is the part of the records that has arrived.
#[must_use]
pub fn draw(results: &[Result], machines: usize) -> String {
    let panel = HEIGHT + 62.0;
    let height = panel * results.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for (index, result) in results.iter().enumerate() {
        draw_panel(&mut svg, result, machines, panel * index as f64);
    }
    svg + "</svg>\n"
}

fn draw_panel(svg: &mut String, result: &Result, machines: usize, top: f64) {
    let mut put = |line: String| writeln!(svg, "{line}").expect("a text takes all");
    let looks = apart(&result.looks);
    let rates: Vec<f64> = looks.windows(2).map(rate).collect();
    let most = rates.iter().copied().fold(1.0, f64::max);
    let seconds = result.looks.last().map_or(1.0, |look| look.at.as_secs_f64()).max(1.0);
    let all = (result.balance.arrived + result.balance.reported + result.balance.unaccounted).max(1) as f64;
    let base = top + 28.0 + HEIGHT;
    let x = |at: f64| LEFT + at / seconds * (WIDTH - LEFT - 60.0);
    put(format!(
        "<text x=\"{LEFT}\" y=\"{:.0}\" font-weight=\"bold\">{} ({machines} machines)</text>",
        top + 18.0,
        result.case.title()
    ));
    let mut bars = format!("M{LEFT},{base:.0}");
    for (rate, look) in rates.iter().zip(&looks[1..]) {
        write!(bars, "V{:.0}H{:.0}", base - rate / most * HEIGHT, x(look.at.as_secs_f64()))
            .expect("a text takes all");
    }
    put(format!("<path d=\"{bars}V{base:.0}Z\" fill=\"#5b7f95\"/>"));
    let points = looks.iter().map(|look| {
        format!("{:.0},{:.0}", x(look.at.as_secs_f64()), base - look.arrived as f64 / all * HEIGHT)
    });
    let points: Vec<String> = points.collect();
    put(format!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#d1495b\" stroke-width=\"2\"/>",
        points.join(" ")
    ));
    put(format!(
        "<line x1=\"{LEFT}\" y1=\"{base}\" x2=\"{:.0}\" y2=\"{base}\" stroke=\"#000\"/>",
        x(seconds)
    ));
    put(format!(
        "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{most:.0}/s</text>",
        LEFT - 6.0,
        top + 38.0
    ));
    put(format!("<text x=\"{:.0}\" y=\"{:.0}\" fill=\"#d1495b\">100 %</text>", x(seconds) + 6.0, top + 38.0));
    let step =
        [1.0, 2.0, 5.0, 10.0, 20.0, 60.0].into_iter().find(|step| seconds / step <= 12.0).unwrap_or(120.0);
    for tick in 0..=(seconds / step) as u32 {
        let at = f64::from(tick) * step;
        put(format!(
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{at} s</text>",
            x(at),
            base + 16.0
        ));
    }
}

/// Those that are not too close to the one before. (On a busy machine many come late, and then one after the other.)
fn apart(looks: &[Look]) -> Vec<Look> {
    let mut kept: Vec<Look> = Vec::new();
    for look in looks {
        if kept.last().is_none_or(|last| look.at - last.at >= EVERY) {
            kept.push(*look);
        }
    }
    kept
}

/// Attempts a second between two looks.
fn rate(pair: &[Look]) -> f64 {
    (pair[1].syns - pair[0].syns) as f64 / (pair[1].at - pair[0].at).as_secs_f64()
}
