//! `ailurus usage`: what the library spent, and when it wakes up next.

use std::time::Duration;

use ailurus::{
    client::{
        Client, NetworkKind, Plan, Preference, Usage, UsagePeriod, UsageReport, UsageRow,
        WakeupReason,
    },
    wire::time::UnixMillis,
};
use serde::Serialize;

use crate::{
    args::{self, UsageArgs},
    exit::{CliError, Outcome},
    local_time,
    output::{self, Style},
};

/// Sets the preference if one is given, and shows what was spent.
pub fn run(client: &Client, usage: &UsageArgs, now: UnixMillis) -> Result<Outcome, CliError> {
    if let Some(preference) = usage.preference {
        client.set_preference(match preference {
            args::Preference::Fast => Preference::Fast,
            args::Preference::Balanced => Preference::Balanced,
            args::Preference::Frugal => Preference::Frugal,
        })?;
    }
    let offset = local_time::utc_offset(now);
    let report = client.usage(offset)?;
    let (preference, plan) = (client.preference(), client.plan());
    if usage.json {
        output::json(&UsageRecord::new(&report, preference, &plan))?;
        return Ok(Outcome::Done);
    }
    let style = Style::of_stdout();
    for (title, period) in [("Today", &report.today), ("Last 7 days", &report.week)] {
        let since = output::utc(period.from.offset(i64::from(offset) * 1_000));
        let since = since.get(..16).unwrap_or(&since);
        let title = style.bold(title);
        output::line(&format!("{title} {}", style.dim(&format!("since {since}"))))?;
        for line in table(period, style) {
            output::line(&line)?;
        }
        output::line("")?;
    }
    let next = next(&plan, now);
    output::line(&format!("Preference {}; {next}.", name_of(preference)))?;
    Ok(Outcome::Done)
}

fn next(plan: &Plan, now: UnixMillis) -> String {
    let Some(wakeup) = &plan.wakeup else {
        return "no wake-up is planned".to_owned();
    };
    let reasons: Vec<&str> = wakeup
        .reasons
        .iter()
        .map(|reason| reason_name(*reason))
        .collect();
    let wait = wakeup.at.since(now);
    let when = if wait.is_zero() {
        "now".to_owned()
    } else {
        format!("in {} to {}", time(wait), time(wait + wakeup.slack))
    };
    format!("an app would wake up {when} ({})", reasons.join(", "))
}

/// A line for each reason and network, the costliest first, with a bar for the time that the radio was up.
fn table(period: &UsagePeriod, style: Style) -> Vec<String> {
    if period.rows.is_empty() {
        return vec![style.dim("  nothing")];
    }
    let mut rows: Vec<&UsageRow> = period.rows.iter().collect();
    rows.sort_by_key(|row| std::cmp::Reverse((row.usage.radio_high, row.usage.bytes_sent)));
    let most = rows
        .first()
        .map_or(Duration::ZERO, |row| row.usage.radio_high);
    let mut lines = Vec::new();
    let header = cells(
        "",
        "",
        "",
        ["wake-ups", "radio up", "sent", "received", "connected"],
    );
    lines.push(style.dim(&header));
    for row in rows {
        lines.push(line(
            reason_name(row.reason),
            network_name(row.network),
            &bar(row.usage.radio_high, most),
            &row.usage,
        ));
    }
    lines.push(style.bold(&line("in all", "", "", &period.total)));
    lines
}

fn line(reason: &str, network: &str, bar: &str, usage: &Usage) -> String {
    let numbers = [
        usage.wakeups.to_string(),
        time(usage.radio_high),
        bytes(usage.bytes_sent),
        bytes(usage.bytes_received),
        time(usage.connected),
    ];
    cells(reason, network, bar, numbers.each_ref().map(String::as_str))
}

fn cells(reason: &str, network: &str, bar: &str, numbers: [&str; 5]) -> String {
    let [wakeups, radio, sent, received, connected] = numbers;
    let line = format!(
        "  {reason:<12} {network:<8} {bar:<BAR$} {wakeups:>8} {radio:>10} {sent:>10} {received:>10} {connected:>10}"
    );
    line.trim_end().to_owned()
}

/// Eighths of a block, so that small differences show.
fn bar(part: Duration, whole: Duration) -> String {
    let eighths = part.as_millis() * BAR as u128 * 8 / whole.as_millis().max(1);
    let eighths = usize::try_from(eighths).unwrap_or(0).min(BAR * 8);
    let mut bar = "█".repeat(eighths / 8);
    bar.extend(PARTS.get(eighths % 8).copied());
    bar
}

/// Characters of the longest bar.
const BAR: usize = 16;
const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{}.{} s", seconds, time.subsec_millis() / 100),
        60..3_600 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{}.{} h", seconds / 3_600, seconds % 3_600 / 360),
    }
}

fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{}.{} kB", bytes / 1_000, bytes % 1_000 / 100),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

#[derive(Serialize)]
struct UsageRecord {
    preference: &'static str,
    /// Null while none is planned.
    next_wakeup: Option<WakeupRecord>,
    today: PeriodRecord,
    week: PeriodRecord,
}

#[derive(Serialize)]
struct WakeupRecord {
    at_ms: u64,
    slack_ms: u64,
    reasons: Vec<&'static str>,
}

#[derive(Serialize)]
struct PeriodRecord {
    from_ms: u64,
    total: SumRecord,
    rows: Vec<RowRecord>,
}

#[derive(Serialize)]
struct RowRecord {
    reason: &'static str,
    network: &'static str,
    #[serde(flatten)]
    usage: SumRecord,
}

#[derive(Serialize)]
struct SumRecord {
    wakeups: u64,
    radio_high_ms: u64,
    bytes_sent: u64,
    bytes_received: u64,
    connected_ms: u64,
}

impl UsageRecord {
    fn new(report: &UsageReport, preference: Preference, plan: &Plan) -> Self {
        Self {
            preference: name_of(preference),
            next_wakeup: plan.wakeup.as_ref().map(|wakeup| WakeupRecord {
                at_ms: wakeup.at.as_millis(),
                slack_ms: millis(wakeup.slack),
                reasons: wakeup
                    .reasons
                    .iter()
                    .map(|reason| reason_name(*reason))
                    .collect(),
            }),
            today: PeriodRecord::from(&report.today),
            week: PeriodRecord::from(&report.week),
        }
    }
}

impl From<&UsagePeriod> for PeriodRecord {
    fn from(period: &UsagePeriod) -> Self {
        let rows = period.rows.iter().map(|row| RowRecord {
            reason: reason_name(row.reason),
            network: network_name(row.network),
            usage: SumRecord::from(&row.usage),
        });
        Self {
            from_ms: period.from.as_millis(),
            total: SumRecord::from(&period.total),
            rows: rows.collect(),
        }
    }
}

impl From<&Usage> for SumRecord {
    fn from(usage: &Usage) -> Self {
        Self {
            wakeups: usage.wakeups,
            radio_high_ms: millis(usage.radio_high),
            bytes_sent: usage.bytes_sent,
            bytes_received: usage.bytes_received,
            connected_ms: millis(usage.connected),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn name_of(preference: Preference) -> &'static str {
    match preference {
        Preference::Fast => "fast",
        Preference::Balanced => "balanced",
        Preference::Frugal => "frugal",
    }
}

fn reason_name(reason: WakeupReason) -> &'static str {
    match reason {
        WakeupReason::Sync => "sync",
        WakeupReason::Outbox => "outbox",
        WakeupReason::Registration => "registration",
        WakeupReason::Dht => "dht",
        WakeupReason::Mesh => "mesh",
        WakeupReason::Resync => "resync",
        WakeupReason::Dust => "dust",
        WakeupReason::Upkeep => "upkeep",
        WakeupReason::Push => "push",
        WakeupReason::User => "user",
        WakeupReason::Foreground => "foreground",
        _ => "other",
    }
}

fn network_name(network: NetworkKind) -> &'static str {
    match network {
        NetworkKind::Offline => "offline",
        NetworkKind::Wifi => "wifi",
        NetworkKind::Cellular => "cellular",
        NetworkKind::Other => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(time(Duration::from_millis(10_140)), "10.1 s");
        assert_eq!(time(seconds(61)), "2 min");
        assert_eq!(time(seconds(9_000)), "2.5 h");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(12_345), "12.3 kB");
        assert_eq!(bytes(1_260_000), "1.2 MB");
    }

    #[test]
    fn bars_compare_and_the_longest_is_full() {
        assert_eq!(bar(seconds(10), seconds(10)), "█".repeat(BAR));
        assert_eq!(bar(seconds(5), seconds(10)), "█".repeat(BAR / 2));
        assert_eq!(bar(Duration::from_millis(79), seconds(10)), "▏");
        assert_eq!(bar(Duration::ZERO, Duration::ZERO), "");
    }
}
