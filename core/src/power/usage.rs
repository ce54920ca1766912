//! What was spent: the ledger's report.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::wire::time::UnixMillis;

use super::{Hour, NetworkKind, WakeupReason};

/// Sums of what was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Times that the radio was woken: traffic after 10 seconds of silence.
    pub wakeups: u64,
    /// How long the radio was up, by the model that the laboratory uses too.
    pub radio_high: Duration,
    /// Bytes sent, IP and UDP headers included, as a mobile plan counts them.
    pub bytes_sent: u64,
    /// Bytes received, counted in the same way.
    pub bytes_received: u64,
    /// How long connections stood.
    pub connected: Duration,
}

/// What one reason cost on one kind of network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// What for.
    pub reason: WakeupReason,
    /// On what.
    pub network: NetworkKind,
    /// How much.
    pub usage: Usage,
}

/// What was spent in a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsagePeriod {
    /// From here on, whole hours.
    pub from: UnixMillis,
    /// The sum of all rows.
    pub total: Usage,
    /// By reason and network, those that are not zero.
    pub rows: Vec<UsageRow>,
}

/// What was spent today and in the last 7 days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageReport {
    /// Since midnight where the user is.
    pub today: UsagePeriod,
    /// The last 7 days.
    pub week: UsagePeriod,
}

impl UsageReport {
    /// The report at `now` from the rows of past hours. `utc_offset`: how far the user's clock is ahead of UTC, in
    /// seconds; midnight is rounded down to a whole hour of Unix time.
    pub fn of(rows: &[(Hour, UsageRow)], now: UnixMillis, utc_offset: i32) -> Self {
        let offset = i64::from(utc_offset) * 1_000;
        let local = now.offset(offset);
        let midnight = UnixMillis::from_secs(local.as_secs() / DAY * DAY).offset(-offset);
        let this = Hour::of(now);
        Self {
            today: UsagePeriod::of(rows, Hour::of(midnight), this),
            week: UsagePeriod::of(rows, Hour(this.0.saturating_sub(7 * 24 - 1)), this),
        }
    }
}

impl UsagePeriod {
    /// The sums of the rows from one hour to another, both included.
    fn of(rows: &[(Hour, UsageRow)], from: Hour, to: Hour) -> Self {
        let mut total = Usage::default();
        let mut sums: BTreeMap<(WakeupReason, NetworkKind), Usage> = BTreeMap::new();
        for (_, row) in rows.iter().filter(|(hour, _)| (from..=to).contains(hour)) {
            total.add(&row.usage);
            sums.entry((row.reason, row.network))
                .or_default()
                .add(&row.usage);
        }
        let rows = sums
            .into_iter()
            .filter(|(_, usage)| *usage != Usage::default())
            .map(|((reason, network), usage)| UsageRow {
                reason,
                network,
                usage,
            })
            .collect();
        Self {
            from: from.start(),
            total,
            rows,
        }
    }
}

const DAY: u64 = 24 * 3_600;

#[cfg(test)]
mod tests {
    use super::*;

    /// Midnight in Greenwich.
    const MIDNIGHT: u64 = 20_000 * DAY;

    fn row(hour: u64, bytes: u64) -> (Hour, UsageRow) {
        let usage = Usage {
            bytes_sent: bytes,
            ..Usage::default()
        };
        let row = UsageRow {
            reason: WakeupReason::Sync,
            network: NetworkKind::Wifi,
            usage,
        };
        (Hour(MIDNIGHT / 3_600 + hour - 240), row)
    }

    #[test]
    fn today_begins_at_the_users_midnight() {
        let rows = [row(237, 1), row(238, 10), row(240, 100), row(243, 1_000)];
        let now = UnixMillis::from_secs(MIDNIGHT + 3 * 3_600 + 1_800);
        let today = |hours: i32, minutes: i32| {
            let report = UsageReport::of(&rows, now, hours * 3_600 + minutes * 60);
            report.today.total.bytes_sent
        };
        assert_eq!(today(0, 0), 1_100);
        assert_eq!(today(2, 0), 1_110, "22:00 in Greenwich");
        assert_eq!(
            today(-3, -30),
            1_000,
            "the hour in which the day began counts"
        );
        assert_eq!(today(-5, 0), 1_111, "still yesterday there");
        let report = UsageReport::of(&rows, now, 5 * 3_600 + 1_800);
        assert_eq!(report.today.from.as_secs(), MIDNIGHT - 6 * 3_600);
    }

    #[test]
    fn a_week_is_seven_days_of_hours_and_rows_are_summed() {
        let rows = [
            row(0, 1),
            row(240 - 165, 10),
            row(240 - 164, 100),
            row(240, 1_000),
            row(300, 5),
        ];
        let now = UnixMillis::from_secs(MIDNIGHT + 3 * 3_600);
        let week = UsageReport::of(&rows, now, 0).week;
        assert_eq!(
            week.total.bytes_sent, 1_100,
            "neither older nor from the future"
        );
        assert_eq!(week.rows.len(), 1);
        assert_eq!(week.rows[0].usage, week.total);
    }
}
