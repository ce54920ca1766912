//! What was spent: the ledger's report.

use std::time::Duration;

use crate::wire::time::UnixMillis;

use super::{NetworkKind, WakeupReason};

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
