//! Bars, as an SVG that needs nothing but itself.

use core::fmt::Write as _;

/// One picture.
#[derive(Clone, Debug)]
pub struct Panel<'a> {
    /// What it shows, with its unit.
    pub title: &'a str,
    /// Names and values.
    pub bars: Vec<(&'a str, f64)>,
}

const WIDTH: u32 = 880;
const NAMES: u32 = 250;
const VALUES: u32 = 70;
const ROW: u32 = 20;

/// Panels, one below the other. Those whose names begin with `earlykmsg` stand out.
#[must_use]
pub fn draw(panels: &[Panel<'_>]) -> String {
    let height: u32 = panels.iter().map(|panel| 50 + ROW * panel.bars.len() as u32).sum();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let mut put = |line: String| writeln!(svg, "{line}").expect("a text takes all");
    let mut y = 0;
    for panel in panels {
        y += 28;
        put(format!("<text x=\"8\" y=\"{y}\" font-weight=\"bold\">{}</text>", escaped(panel.title)));
        y += 8;
        let most = panel.bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
        for (name, value) in &panel.bars {
            let room = f64::from(WIDTH - NAMES - VALUES);
            let length = (room * value / most).max(1.0);
            let colour = if name.starts_with("earlykmsg") {
                "#d1495b"
            } else if name.starts_with("floor") {
                "#b8bec4"
            } else {
                "#5b7f95"
            };
            let (base, top) = (y + 15, y + 3);
            put(format!(
                "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{}</text>",
                NAMES - 8,
                escaped(name)
            ));
            put(format!(
                "<rect x=\"{NAMES}\" y=\"{top}\" width=\"{length:.0}\" height=\"{}\" fill=\"{colour}\"/>",
                ROW - 4
            ));
            put(format!(
                "<text x=\"{:.0}\" y=\"{base}\">{}</text>",
                f64::from(NAMES) + length + 6.0,
                short(*value)
            ));
            y += ROW;
        }
        y += 14;
    }
    svg + "</svg>\n"
}

/// Three digits.
fn short(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "").replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_bars_for_more() {
        let svg = draw(&[Panel { title: "µs & more", bars: vec![("floor", 1.0), ("a \\| b", 10.0)] }]);
        let widths =
            svg.lines().filter_map(|line| line.split_once("fill=\"#b8").or(line.split_once("fill=\"#5b")));
        let width = |line: &str| -> u32 {
            let (_, width) = line.split_once("width=\"").expect("a width");
            width.split('"').next().expect("digits").parse().expect("a number")
        };
        let widths: Vec<u32> = widths.map(|(line, _)| width(line)).collect();
        assert_eq!(widths.len(), 2);
        assert!(widths[0] > 0 && widths[0] < widths[1], "{widths:?}");
        assert!(svg.contains("µs &amp; more") && svg.contains(">a | b<"));
    }
}
