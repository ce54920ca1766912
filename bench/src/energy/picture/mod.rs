//! The picture: battery a day against delay, one point a policy, as SVG.

mod labels;

use std::fmt::Write as _;

use labels::{Box, place};

/// A policy in the picture.
pub struct Point {
    pub title: String,
    /// A day.
    pub milliampere_hours: f64,
    /// In seconds.
    pub median_s: f64,
    pub p95_s: f64,
    /// Of this library.
    pub ours: bool,
}

/// What is said around the points.
pub struct Words {
    /// Below the title.
    pub subtitle: String,
    /// Below the picture, a line each.
    pub caption: Vec<String>,
}

/// The whole file.
pub fn draw(points: &[Point], words: &Words) -> String {
    let scale = Scale::around(points);
    let mut svg = String::new();
    begin(&mut svg, words, points);
    axes(&mut svg, &scale);
    lines(&mut svg, &scale, points);
    let boxes = labelled(&mut svg, &scale, points);
    for (point, label) in points.iter().zip(boxes) {
        mark(&mut svg, &scale, point, &label);
    }
    end(&mut svg, words);
    svg
}

/// From figures to places. Both axes are logarithmic.
struct Scale {
    charge: (f64, f64),
    delay: (f64, f64),
}

impl Scale {
    /// Room for all points.
    fn around(points: &[Point]) -> Self {
        let charges = points
            .iter()
            .map(|point| point.milliampere_hours.max(LEAST_CHARGE));
        let (mut low, mut high) = (f64::MAX, f64::MIN_POSITIVE);
        for charge in charges {
            low = low.min(charge);
            high = high.max(charge);
        }
        let last = points
            .iter()
            .map(|point| point.p95_s)
            .fold(3_600.0, f64::max);
        Self {
            charge: (nice(low / 1.5, f64::floor), nice(high * 1.5, f64::ceil)),
            delay: (LEAST_DELAY_S, (last * 2.0).max(2.0 * 3_600.0)),
        }
    }

    fn x(&self, delay_s: f64) -> f64 {
        let part = part(delay_s.max(self.delay.0), self.delay);
        LEFT + part * (RIGHT - LEFT)
    }

    fn y(&self, charge: f64) -> f64 {
        let part = part(charge.max(self.charge.0), self.charge);
        BOTTOM - part * (BOTTOM - TOP)
    }
}

fn part(value: f64, (from, to): (f64, f64)) -> f64 {
    (value / from).ln() / (to / from).ln()
}

/// A 1, 2 or 5 with zeros, on this side of a value.
fn nice(value: f64, side: fn(f64) -> f64) -> f64 {
    let thirds = side(value.log10() * 3.0) as i32;
    let decade = 10_f64.powi(thirds.div_euclid(3));
    [1.0, 2.0, 5.0][thirds.rem_euclid(3) as usize] * decade
}

fn begin(svg: &mut String, words: &Words, points: &[Point]) {
    let spoken: Vec<String> = points
        .iter()
        .map(|point| {
            format!(
                "{}: {} mAh a day, {} in the median",
                point.title,
                figure(point.milliampere_hours),
                time(point.median_s)
            )
        })
        .collect();
    let _ = write!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" aria-labelledby="title desc">
<title id="title">{TITLE}</title>
<desc id="desc">{}</desc>
<style>{STYLE}</style>
<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="6"/>
<text class="title" x="{LEFT}" y="38">{TITLE}</text>
<text class="small" x="{LEFT}" y="60">{}</text>
"#,
        escaped(&spoken.join(". ")),
        escaped(&words.subtitle)
    );
}

fn axes(svg: &mut String, scale: &Scale) {
    let mut decade = 10_f64.powf(scale.charge.0.log10().floor());
    while decade <= scale.charge.1 {
        for step in [1.0, 2.0, 5.0] {
            let charge = decade * step;
            if (scale.charge.0..=scale.charge.1 * 1.001).contains(&charge) {
                let y = scale.y(charge);
                let class = if step == 1.0 { "grid" } else { "faint" };
                let _ = writeln!(
                    svg,
                    r#"<line class="{class}" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1}" y2="{y:.1}"/><text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
                    LEFT - 9.0,
                    y + 4.5,
                    figure(charge)
                );
            }
        }
        decade *= 10.0;
    }
    for (seconds, name) in TIMES {
        if (scale.delay.0..=scale.delay.1).contains(&seconds) {
            let x = scale.x(seconds);
            let _ = writeln!(
                svg,
                r#"<line class="faint" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{BOTTOM}"/><text class="tick" x="{x:.1}" y="{:.1}" text-anchor="middle">{name}</text>"#,
                BOTTOM + 20.0
            );
        }
    }
    let middle = f64::midpoint(TOP, BOTTOM);
    let _ = writeln!(
        svg,
        r#"<path class="axis" d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}"/>
<text class="name" x="{:.1}" y="{:.1}" text-anchor="middle">delay of a message (logarithmic)</text>
<text class="name" transform="translate(26 {middle:.1}) rotate(-90)" text-anchor="middle">battery, mAh a day (logarithmic)</text>"#,
        f64::midpoint(LEFT, RIGHT),
        BOTTOM + 46.0
    );
}

/// From the median to the 95th percentile.
fn lines(svg: &mut String, scale: &Scale, points: &[Point]) {
    for point in points {
        let (x, y) = (scale.x(point.median_s), scale.y(point.milliampere_hours));
        let end = scale.x(point.p95_s);
        if end - x > 3.0 {
            let _ = writeln!(
                svg,
                r#"<path class="reach{}" d="M{x:.1} {y:.1}H{end:.1}m0 -5v10"/>"#,
                ours(point)
            );
        }
    }
}

fn labelled(svg: &mut String, scale: &Scale, points: &[Point]) -> Vec<Box> {
    let taken: Vec<Box> = points
        .iter()
        .map(|point| {
            let (x, y) = (scale.x(point.median_s), scale.y(point.milliampere_hours));
            let end = scale.x(point.p95_s).max(x);
            Box {
                x: x - DOT - 1.0,
                y: y - DOT - 1.0,
                width: end - x + 2.0 * DOT + 2.0,
                height: 2.0 * DOT + 2.0,
            }
        })
        .collect();
    let sizes: Vec<f64> = points
        .iter()
        .map(|point| {
            label(point).chars().count() as f64 * CHARACTER + if point.ours { 12.0 } else { 0.0 }
        })
        .collect();
    let page = Box {
        x: LEFT + 2.0,
        y: TOP,
        width: RIGHT - LEFT + BESIDE,
        height: BOTTOM - TOP,
    };
    let boxes = place(&taken, &sizes, &page);
    for (dot, label) in taken.iter().zip(&boxes) {
        // Whoever stands apart from its point is tied to it.
        let from = (dot.x + DOT + 1.0, dot.y + DOT + 1.0);
        let to = (label.x - 2.0, label.y + label.height / 2.0);
        if (to.1 - from.1).abs() > 8.0 && to.0 > from.0 {
            let _ = writeln!(
                svg,
                r#"<path class="tie" d="M{:.1} {:.1}L{:.1} {:.1}"/>"#,
                from.0, from.1, to.0, to.1
            );
        }
    }
    boxes
}

fn mark(svg: &mut String, scale: &Scale, point: &Point, at: &Box) {
    let (x, y) = (scale.x(point.median_s), scale.y(point.milliampere_hours));
    let class = ours(point);
    let _ = writeln!(
        svg,
        r#"<circle class="dot{class}" cx="{x:.1}" cy="{y:.1}" r="{DOT}"/><text class="label{class}" x="{:.1}" y="{:.1}">{}</text>"#,
        at.x,
        at.y + at.height - 4.0,
        escaped(&label(point))
    );
}

fn label(point: &Point) -> String {
    format!("{} — {} mAh", point.title, figure(point.milliampere_hours))
}

fn end(svg: &mut String, words: &Words) {
    for (index, line) in (0_u32..).zip(&words.caption) {
        let _ = writeln!(
            svg,
            r#"<text class="small" x="{LEFT}" y="{:.1}">{}</text>"#,
            BOTTOM + 76.0 + f64::from(index) * 18.0,
            escaped(line)
        );
    }
    svg.push_str("</svg>\n");
}

fn ours(point: &Point) -> &'static str {
    if point.ours { " ours" } else { "" }
}

/// Two digits that matter, or all before the point.
pub fn figure(value: f64) -> String {
    if value >= 999.5 {
        let whole = value.round() as u64;
        format!("{},{:03}", whole / 1_000, whole % 1_000)
    } else if value >= 9.95 || (value >= 0.995 && value.fract() == 0.0) {
        format!("{value:.0}")
    } else if value >= 0.995 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// For people.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1_000.0),
        s if s < 100.0 => format!("{s:.1} s"),
        s if s < 5_400.0 => format!("{:.1} min", s / 60.0),
        s => format!("{:.1} h", s / 3_600.0),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

const TITLE: &str = "A phone in the background: battery against delay";
const TIMES: [(f64, &str); 10] = [
    (0.1, "0.1 s"),
    (1.0, "1 s"),
    (10.0, "10 s"),
    (60.0, "1 min"),
    (300.0, "5 min"),
    (900.0, "15 min"),
    (3_600.0, "1 h"),
    (4.0 * 3_600.0, "4 h"),
    (12.0 * 3_600.0, "12 h"),
    (48.0 * 3_600.0, "2 days"),
];
/// Drawn in the reader's scheme, on paper of its own.
const STYLE: &str = "
text{font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:#1f2328}
.paper{fill:#fff}.title{font-size:20px;font-weight:600}.small,.tick{font-size:13px;fill:#57606a}
.name{font-size:14px}.label{font-size:13px;fill:#424a53}.label.ours{font-weight:700;fill:#a63a13}
.grid{stroke:#c9d1d9}.faint{stroke:#e6eaef}.axis{stroke:#57606a;fill:none}
.dot{fill:#fff;stroke:#57606a;stroke-width:2}.dot.ours{fill:#c8481c;stroke:#c8481c}
.label{paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}
.reach{stroke:#8c959f;stroke-width:1.5;fill:none}.reach.ours{stroke:#c8481c;stroke-width:2}.tie{stroke:#8c959f;fill:none}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.paper{fill:#0d1117}.small,.tick{fill:#9198a1}.label{fill:#c9d1d9}.label.ours{fill:#ff9b73}
.grid{stroke:#3d444d}.faint{stroke:#21262d}.axis{stroke:#9198a1}
.dot{fill:#0d1117;stroke:#9198a1}.dot.ours{fill:#ff7b4a;stroke:#ff7b4a}
.label{stroke:#0d1117}.reach{stroke:#6e7681}.reach.ours{stroke:#ff7b4a}.tie{stroke:#6e7681}}
";
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 720.0;
const LEFT: f64 = 86.0;
const RIGHT: f64 = 800.0;
/// How far labels may stand out of the frame.
const BESIDE: f64 = 140.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = 584.0;
const DOT: f64 = 5.5;
/// The width of a character of a label, on average.
const CHARACTER: f64 = 7.1;
const LEAST_CHARGE: f64 = 0.01;
const LEAST_DELAY_S: f64 = 0.02;

#[cfg(test)]
mod tests {
    use super::*;

    fn point(title: &str, charge: f64, median_s: f64, p95_s: f64) -> Point {
        Point {
            title: title.to_owned(),
            milliampere_hours: charge,
            median_s,
            p95_s,
            ours: title == "ours",
        }
    }

    #[test]
    fn scales_end_at_figures_that_people_read() {
        assert_eq!(nice(0.7, f64::floor), 0.5);
        assert_eq!(nice(13.0, f64::floor), 10.0);
        assert_eq!(nice(1_400.0, f64::ceil), 2_000.0);
        assert_eq!(nice(2_300.0, f64::ceil), 5_000.0);
    }

    #[test]
    fn more_battery_is_higher_and_later_is_further_right() {
        let points = [
            point("a", 1_000.0, 0.035, 0.035),
            point("ours", 40.0, 400.0, 1_100.0),
        ];
        let scale = Scale::around(&points);
        assert!(scale.y(1_000.0) < scale.y(40.0));
        assert!(scale.x(0.035) < scale.x(400.0) && scale.x(1_100.0) < RIGHT);
    }

    #[test]
    fn the_file_is_well_formed_and_names_each_policy_once() {
        let points = [
            point("a & b", 300.0, 0.035, 0.035),
            point("ours", 40.0, 400.0, 1_100.0),
        ];
        let words = Words {
            subtitle: "x < y".to_owned(),
            caption: vec!["one".to_owned(), "two".to_owned()],
        };
        let svg = draw(&points, &words);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert_eq!(svg.matches("<circle ").count(), 2);
        assert_eq!(svg.matches(">a &amp; b — ").count(), 1);
        assert!(svg.contains("x &lt; y") && !svg.contains("NaN"));
        for element in ["svg", "style", "text", "title", "desc"] {
            let (opened, closed) = (format!("<{element}"), format!("</{element}>"));
            let opened = svg.matches(&format!("{opened} ")).count()
                + svg.matches(&format!("{opened}>")).count();
            assert_eq!(opened, svg.matches(&closed).count(), "{element}");
        }
    }
}
