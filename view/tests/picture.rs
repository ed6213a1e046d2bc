//! The picture of boots: that of `docs/` is what the tool draws; it is well-formed, and nothing stands on anything else.
//!
//! `tests/data/boots.jsonl` are three boots as `qemu/demo --save FILE` kept them, with
//! `--append 'earlykmsg.tags=host=NAME,boot={boot_id}'`: amd64, arm64 (`--arch arm64`), and one that panicked (`--panic`).
//! What a kernel says while it panics reaches no process: the last two lines were taken from that machine's console.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use earlykmsg_view::decode::{Decoder, Entry};
use earlykmsg_view::history::History;
use earlykmsg_view::timeline::Timeline;
use roxmltree::{Document, Node};
use serde_json::json;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn drawn(stream: &[u8]) -> String {
    let (mut history, mut timeline) = (History::default(), Timeline::default());
    for entry in Decoder::default().push(stream) {
        let Entry::Record(record) = entry else { continue };
        for event in history.take(record) {
            timeline.add(&history, &event);
        }
    }
    timeline.svg()
}

#[derive(Clone, Copy, Debug)]
struct Area {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Area {
    fn is_upon(self, other: Area) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }
}

fn number(node: Node<'_, '_>, name: &str) -> f64 {
    node.attribute(name).unwrap_or_else(|| panic!("{name} of {node:?}")).parse().unwrap()
}

/// Where a text is, whatever font there is: it is fitted to its length.
fn text_area(node: Node<'_, '_>) -> Area {
    let (left, base) = (number(node, "x"), number(node, "y"));
    assert_eq!(node.attribute("lengthAdjust"), Some("spacingAndGlyphs"));
    Area { left, right: left + number(node, "textLength"), top: base - 10.0, bottom: base + 3.0 }
}

/// The upright lines of a mark or of records, in `M x y V y` or `M x y v height`.
fn strokes(node: Node<'_, '_>) -> Vec<Area> {
    let parts = node.attribute("d").unwrap().split('M').skip(1);
    let of_part = |part: &str| {
        let at = part.find(['V', 'v', 'H'])?;
        let (x, y) = part[..at].split_once(' ')?;
        let (x, y, to): (f64, f64, f64) = (x.parse().ok()?, y.parse().ok()?, part[at + 1..].parse().ok()?);
        let end = match &part[at..=at] {
            "V" => to,
            "v" => y + to,
            _ => return None,
        };
        Some(Area { left: x - 1.5, right: x + 1.5, top: y.min(end), bottom: y.max(end) })
    };
    parts.filter_map(of_part).collect()
}

/// Checks all that holds for every picture, and gives its texts.
#[track_caller]
fn checked(svg: &str) -> Vec<String> {
    let document = Document::parse(svg).unwrap_or_else(|why| panic!("{why}\n{svg}"));
    let root = document.root_element();
    let page = Area { left: 0.0, right: number(root, "width"), top: 0.0, bottom: number(root, "height") };
    let texts: Vec<Node<'_, '_>> = root.descendants().filter(|node| node.has_tag_name("text")).collect();
    for (at, one) in texts.iter().enumerate() {
        let area = text_area(*one);
        let is_inside = area.left >= page.left
            && area.right <= page.right
            && area.top >= 0.0
            && area.bottom <= page.bottom;
        assert!(is_inside, "{:?} stands outside: {area:?}", one.text());
        for two in &texts[..at] {
            assert!(!area.is_upon(text_area(*two)), "{:?} stands on {:?}", one.text(), two.text());
        }
    }
    for path in root.descendants().filter(|node| node.has_tag_name("path")) {
        for stroke in strokes(path) {
            assert!(stroke.left >= 0.0 && stroke.right <= page.right && stroke.top >= 0.0, "{stroke:?}");
            let crossed = texts.iter().find(|text| text_area(**text).is_upon(stroke));
            assert_eq!(crossed.map(Node::text), None, "{path:?} goes through it at {stroke:?}");
        }
    }
    texts.iter().map(|text| text.text().unwrap_or_default().to_owned()).collect()
}

/// Made anew by `earlykmsg-view --svg docs/boots.svg tests/data/boots.jsonl`.
#[test]
fn the_picture_in_the_documents() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("svg");
    let mut command = Command::new(env!("CARGO_BIN_EXE_earlykmsg-view"));
    command.arg("--svg").arg(&path).arg(repository().join("tests/data/boots.jsonl")).stdout(Stdio::null());
    assert!(command.status().unwrap().success());
    let svg = fs::read_to_string(&path).unwrap();
    let texts = checked(&svg);
    for part in ["Linux 6.1.0-56-cloud-amd64", "Linux 6.1.0-56-cloud-arm64", "handed over", "panic"] {
        assert!(texts.iter().any(|text| text.contains(part)), "{part}: {texts:?}");
    }
    assert!(
        svg == fs::read_to_string(repository().join("docs/boots.svg")).unwrap(),
        "docs/boots.svg is not what is drawn"
    );
}

/// Any times, marks anywhere, texts of any kind.
#[test]
fn any_boots() {
    let mut random = fastrand::Rng::with_seed(20);
    for _ in 0..100 {
        let (mut stream, mut clock, mut seq) = (String::new(), 0_u64, 0_u64);
        let unit = 10_u64.pow(random.u32(0..13));
        for _ in 0..random.u64(1..60) {
            clock = clock.saturating_add(random.u64(0..=unit));
            seq += 1;
            let msg = match random.u8(0..12) {
                0 => "earlykmsg: connected to tcp://10.0.0.1:5044/, failed tries before: 1\n".to_owned(),
                1 => "earlykmsg: root switched, shipping goes on\n".to_owned(),
                2 => "earlykmsg: tcp://10.0.0.1:5044/: handed over to the main system, last seq sent 9\n"
                    .to_owned(),
                3 => "Kernel panic - not syncing: <&>\"\n".to_owned(),
                4 => "\u{0}\u{1b}]\u{ffff}\u{fffe}\u{b}".to_owned(),
                _ => (0..random.usize(0..200)).map(|_| random.char(..)).collect(),
            };
            let is_own = msg.starts_with("earlykmsg");
            let mut object = json!({
                "clock": clock, "facility": if is_own { "user" } else { "kern" }, "msg": msg,
                "priority": random.choice(earlykmsg_view::record::Level::NAMES), "seq": seq,
                "host": random.choice(["a", "<b>", "a name that is much too long for a title, which is cut"]),
            });
            match random.u8(0..20) {
                0 => object["earlykmsg"] = "lost".into(),
                1 => object["pstore"] = "dmesg-erst-1".into(),
                2 => seq = 0,
                _ => {}
            }
            stream += &format!("{object}\n");
        }
        checked(&drawn(stream.as_bytes()));
    }
    checked(&drawn(b""));
    let last = json!({"clock": u64::MAX, "seq": u64::MAX, "msg": "last"});
    checked(&drawn(format!("{last}{}", json!({"clock": 0, "seq": 0, "msg": "first"})).as_bytes()));
}

/// However long a boot is, its picture is not.
#[test]
fn many_records_and_losses() {
    let lines = (0..50_000_u64).map(|number| {
        json!({"clock": number * 1000, "seq": number * 2, "msg": "text\n", "priority": "info"}).to_string()
    });
    let svg = drawn(lines.collect::<String>().as_bytes());
    assert!(svg.len() < 100_000, "{} bytes", svg.len());
    checked(&svg);
}

/// The names of gaps are the lines before and after them, the longest gaps first to be named.
#[test]
fn gaps_are_named() {
    let clocks = [0, 1, 4, 5, 13, 14, 30, 31, 32, 64, 65, 66, 100];
    let lines = clocks.iter().zip(0..).map(|(clock, seq): (&u64, u64)| {
        json!({"clock": clock * 1_000_000, "seq": seq, "msg": format!("line {seq}\n")}).to_string()
    });
    let texts = checked(&drawn(lines.collect::<String>().as_bytes()));
    for (length, between) in [
        ("3.000 s", "line 1 → line 2"),
        ("8.000 s", "line 3 → line 4"),
        ("16.000 s", "line 5 → line 6"),
        ("32.000 s", "line 8 → line 9"),
        ("34.000 s", "line 11 → line 12"),
    ] {
        let at = texts.iter().position(|text| text == between);
        assert_eq!(at.map(|at| &*texts[at - 1]), Some(length), "{texts:?}");
    }
}
