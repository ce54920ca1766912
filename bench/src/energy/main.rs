//! `make energy`: what days in the background cost a phone, in virtual time, beside what other programs do.
//!
//! Messages come by a [`trace`]; each policy, [`ours`] and those of [`peers`], makes packets of them; a [`radio`] says
//! what these cost. [`rows`] are judged. docs/BATTERY.md, "How the laboratory works", explains method and sources.

mod course;
mod ours;
mod peers;
mod picture;
mod radio;
mod rows;
mod table;
mod trace;
mod wire;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use ailurus_bench::{
    harness::{Failure, report::Report},
    random::Random,
};
use clap::{Parser, ValueEnum as _};

use course::Outcome;
use ours::{Node, Os, POLICIES, Scene};
use peers::PEERS;
use picture::{Point, Words};
use radio::{PROFILES, Profile};
use trace::{KINDS, Kind, Message};
use wire::{Recorded, Wire};

/// Lets days pass for phones in the background and says what it cost them; exits 1 if a budget is exceeded.
#[derive(Parser)]
#[command(
    name = "ailurus-energy",
    version,
    after_help = "Example:\n  make energy ENERGY='--kind quiet --days 1 --radio wifi'"
)]
struct Cli {
    /// What chance begins with; the same seed repeats a run
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Days that are measured, from midnight on
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
    /// What kind of days: family, quiet, busy or night
    #[arg(long, default_value = trace::FAMILY.name, value_parser = KINDS.map(|kind| kind.name))]
    kind: String,
    /// Messages from this file instead: a JSON object a line, with `t` in seconds and `bytes` of text
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Messages that the phone sends a day, at any time from 7 to 23 o'clock
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    own: u32,
    /// The radio: lte (recalibrated), lte2012, 3g or wifi
    #[arg(long, default_value = radio::LTE.name, value_parser = PROFILES.map(|profile| profile.name))]
    radio: String,
    /// When the platform wakes an app
    #[arg(long, value_enum, default_value_t)]
    os: Os,
    /// Learn nothing from two weeks before
    #[arg(long)]
    cold: bool,
    /// Draw the picture into this file
    #[arg(long, value_name = "FILE", overrides_with = "svg")]
    svg: Option<PathBuf>,
    /// Say where the policies of others come from
    #[arg(long)]
    sources: bool,
    /// Only judge the budgets, and print their rows
    #[arg(long)]
    rows: bool,
    /// Record conversations of a real client and node again, into this file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

fn main() -> ExitCode {
    match work(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("ailurus-energy: {error}");
            ExitCode::from(2)
        }
    }
}

/// True if every budget is kept.
fn work(cli: &Cli) -> Result<bool, Failure> {
    if let Some(path) = &cli.record {
        let recorded = tokio::runtime::Runtime::new()?.block_on(wire::record())?;
        std::fs::write(path, recorded.to_text()?)?;
        return Ok(true);
    }
    let wire = Wire::new(&Recorded::kept()?)?;
    if !cli.rows {
        show(cli, &wire)?;
        println!();
    }
    let mut report = Report::open("energy.jsonl", true)?;
    let mut all = true;
    for row in rows::SUITE.measure() {
        all &= row.ok;
        report.add(&row)?;
    }
    Ok(all)
}

/// The table and the picture.
fn show(cli: &Cli, wire: &Wire) -> Result<(), Failure> {
    let kind = find(&KINDS, &cli.kind, |kind| kind.name)?;
    let profile = find(&PROFILES, &cli.radio, |profile| profile.name)?;
    let days = Days::new(kind, cli)?;
    let told = days.told(kind, profile, cli);
    println!("{told}");
    let rows = days.compare(profile, cli, Node::Real, wire)?;
    table::print(&rows);
    if cli.sources {
        println!("\nsources and packets of others");
        for peer in PEERS {
            println!("{}: {}; {}", peer.title, peer.source, peer.packets);
        }
    }
    if let Some(path) = &cli.svg {
        std::fs::write(path, picture(&rows, told))?;
        println!("\ndrawn: {}", path.display());
    }
    Ok(())
}

fn picture(rows: &[(String, Outcome, bool)], subtitle: String) -> String {
    let caption = caption();
    picture::draw(&points(rows), &Words { subtitle, caption })
}

/// What is to come, and what came before.
struct Days {
    messages: Vec<Message>,
    history: Vec<Message>,
    sends: Vec<Duration>,
    end: Duration,
}

impl Days {
    fn new(kind: &Kind, cli: &Cli) -> Result<Self, Failure> {
        let (messages, history, end) = match &cli.trace {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| format!("{}: {error}", path.display()))?;
                let messages =
                    trace::parse(&text).map_err(|error| format!("{}, {error}", path.display()))?;
                let last = messages.last().map_or(Duration::ZERO, |last| last.at);
                let days = u32::try_from(last.as_secs() / DAY.as_secs() + 1)?;
                (messages, Vec::new(), DAY * days)
            }
            None => {
                let (messages, history) = kind.days(cli.days, HISTORY_DAYS, cli.seed);
                (messages, history, DAY * cli.days)
            }
        };
        let mut random = Random::new(cli.seed, 3);
        let mut sends = Vec::new();
        for day in 0..u32::try_from(end.as_secs() / DAY.as_secs())? {
            for _ in 0..cli.own {
                let hour = 7.0 + 16.0 * random.unit();
                sends.push(DAY * day + Duration::from_secs_f64(3_600.0 * hour));
            }
        }
        sends.sort_unstable();
        Ok(Self {
            messages,
            history: if cli.cold { Vec::new() } else { history },
            sends,
            end,
        })
    }

    /// What each policy makes of them, and whether it is ours.
    fn compare(
        &self,
        profile: &Profile,
        cli: &Cli,
        node: Node,
        wire: &Wire,
    ) -> Result<Vec<(String, Outcome, bool)>, Failure> {
        let scene = Scene {
            messages: &self.messages,
            history: &self.history,
            history_lasts: HISTORY,
            sends: &self.sends,
            outages: &[],
            end: self.end,
            os: cli.os,
            node,
            seed: cli.seed,
            wire,
        };
        let mut rows = Vec::new();
        for (policy, course) in POLICIES.iter().zip(ours::run(&scene, &POLICIES)?) {
            let outcome = Outcome::of(&course, profile, self.end);
            rows.push((policy.title.to_owned(), outcome, true));
        }
        for peer in PEERS {
            let course = peer.run(&self.messages, self.end);
            let outcome = Outcome::of(&course, profile, self.end);
            rows.push((peer.title.to_owned(), outcome, false));
        }
        Ok(rows)
    }

    fn told(&self, kind: &Kind, profile: &Profile, cli: &Cli) -> String {
        let days = self.end.as_secs() / DAY.as_secs();
        let what = match &cli.trace {
            Some(path) => format!(
                "{} messages from {}",
                self.messages.len(),
                path.file_name().unwrap_or_default().to_string_lossy()
            ),
            None => format!(
                "trace \"{}\" ({}), seed {}",
                kind.name, kind.about, cli.seed
            ),
        };
        let mut told = format!(
            "{} day{}, {}; {what}",
            days,
            if days == 1 { "" } else { "s" },
            profile.title
        );
        if cli.own > 0 {
            told.push_str(&format!("; sends {} a day", cli.own));
        }
        if cli.os != Os::default() {
            let name = cli.os.to_possible_value();
            let name = name.as_ref().map_or("other", |name| name.get_name());
            told.push_str(&format!("; woken as on {name}"));
        }
        told
    }
}

fn points(rows: &[(String, Outcome, bool)]) -> Vec<Point> {
    let points = rows.iter().filter_map(|(title, outcome, ours)| {
        Some(Point {
            title: title.clone(),
            milliampere_hours: outcome.milliampere_hours,
            median_s: outcome.delay_median_s?,
            p95_s: outcome.delay_p95_s?,
            ours: *ours,
        })
    });
    points.collect()
}

fn caption() -> Vec<String> {
    let lines = [
        "A point a policy: battery above that of an idle radio, and the median delay; the line reaches to the 95th percentile.",
        "Computed by radio models (docs/BATTERY.md): no phone was measured. A battery has about 4,000 mAh. Of others, only the",
        "intervals that their code or documents give are simulated, with favourable sizes; source in bench/src/energy/peers.rs.",
    ];
    lines.map(str::to_owned).to_vec()
}

fn find<T>(of: &[&'static T], name: &str, named: fn(&T) -> &str) -> Result<&'static T, Failure> {
    let found = of.iter().find(|one| named(one) == name);
    found
        .copied()
        .ok_or_else(|| format!("there is no {name}").into())
}

const DAY: Duration = Duration::from_secs(24 * 3_600);
const HISTORY_DAYS: u32 = 14;
const HISTORY: Duration = Duration::from_secs(14 * 24 * 3_600);

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures that stand in a picture, by policy.
    fn figures(svg: &str) -> Vec<(String, f64)> {
        let labels = svg.split("<text class=\"label").skip(1);
        let told = labels.filter_map(|label| {
            let (_, text) = label.split_once('>')?;
            let (text, _) = text.split_once(" mAh</text>")?;
            let (title, figure) = text.split_once(" — ")?;
            Some((title.to_owned(), figure.replace(',', "").parse().ok()?))
        });
        told.collect()
    }

    #[test]
    fn the_picture_in_the_documentation_is_still_true() {
        let cli = Cli::parse_from(["ailurus-energy"]);
        let wire = Wire::new(&Recorded::kept().unwrap()).unwrap();
        let days = Days::new(&trace::FAMILY, &cli).unwrap();
        let rows = days.compare(&radio::LTE, &cli, Node::Light, &wire).unwrap();
        let now = figures(&picture(&rows, String::new()));
        let kept = figures(include_str!("../../../docs/energy.svg"));
        assert_eq!(now.len(), POLICIES.len() + PEERS.len());
        assert_eq!(now.len(), kept.len(), "draw it again: make energy");
        for ((title, now), (kept_title, kept)) in now.iter().zip(&kept) {
            assert_eq!(title, kept_title, "draw it again: make energy");
            // Rounded to two digits, and the small node is not the real one.
            let off = (now / kept - 1.0).abs();
            assert!(off < 0.06, "{title}: {now}, drawn {kept}; make energy");
        }
    }
}
