//! Battery: what the phone tells, the plan that follows from it, and what was spent.

use std::time::{Duration, SystemTime};

use ailurus::client as core;

use crate::records::system_time;

pub use ailurus::client::{
    AppState, NetworkKind, NetworkState, PowerState, Preference, StandbyBucket,
};

/// Whether a person looks at the app.
#[uniffi::remote(Enum)]
pub enum AppState {
    /// It is on the screen: connections stay open and messages arrive at once.
    Foreground,
    /// It is not: no connection is held.
    Background,
}

/// What the phone is connected by.
#[uniffi::remote(Enum)]
pub enum NetworkKind {
    /// Nothing.
    Offline,
    /// Wi-Fi.
    Wifi,
    /// A mobile network.
    Cellular,
    /// Something else, or it is not known.
    Other,
}

/// The network as the phone reports it.
#[uniffi::remote(Record)]
pub struct NetworkState {
    /// What it is.
    pub kind: NetworkKind,
    /// It is paid for by volume.
    pub metered: bool,
    /// It is another operator's.
    pub roaming: bool,
}

/// The battery as the phone reports it.
#[uniffi::remote(Record)]
pub struct PowerState {
    /// 0 to 100; nothing if it is not known.
    pub battery_percent: Option<u8>,
    /// It is being charged.
    pub charging: bool,
    /// The phone saves power.
    pub saver: bool,
    /// The system lets apps run in its maintenance windows only (Android's doze).
    pub doze: bool,
    /// How often the system lets this app run.
    pub bucket: StandbyBucket,
}

/// How often the system lets an app run that is not on the screen (Android's app standby buckets).
#[uniffi::remote(Enum)]
pub enum StandbyBucket {
    /// Whenever it wants; also where the platform has no buckets.
    Active,
    /// Every two hours.
    WorkingSet,
    /// Every eight hours.
    Frequent,
    /// Once a day.
    Rare,
    /// Once a day, for a short time.
    Restricted,
}

/// What the user prefers in the background. Kept with the profile.
#[uniffi::remote(Enum)]
pub enum Preference {
    /// Messages soon, at the cost of battery.
    Fast,
    /// Messages within minutes by day, at a small cost.
    Balanced,
    /// Messages within the hour, at hardly any cost.
    Frugal,
}

/// What the library does now and next.
#[derive(uniffi::Record)]
pub struct Plan {
    /// Connections to super nodes stay open; otherwise there are none.
    pub live: bool,
    /// What is due next: `next_wakeup` in the background, the library's own work while live. Nothing if there is nothing
    /// to do, or no network to do it on.
    pub wakeup: Option<Wakeup>,
    /// Between packets that keep a live connection open; nothing if none are sent.
    pub keep_alive: Option<Duration>,
    /// This phone forwards for others.
    pub relay: bool,
}

/// When the app should call `sync_once` next.
#[derive(uniffi::Record)]
pub struct Wakeup {
    /// Not before this.
    pub at: SystemTime,
    /// How much later it may be, to share a wake-up with others.
    pub slack: Duration,
    /// What makes it necessary then.
    pub reasons: Vec<WakeupReason>,
    /// All that is done then: the reasons, and what may be done early and so shares the wake-up.
    pub carries: Vec<WakeupReason>,
}

/// What a wake-up is for, and what a byte was spent on.
#[derive(uniffi::Enum)]
#[non_exhaustive]
pub enum WakeupReason {
    /// To ask the super nodes for what is new.
    Sync,
    /// A message waits to be sent.
    Outbox,
    /// Registrations are renewed.
    Registration,
    /// Other super nodes are looked for in the DHT.
    Dht,
    /// A mesh is looked after.
    Mesh,
    /// Large bodies that waited for a better network.
    Resync,
    /// Cover traffic.
    Dust,
    /// A node that failed is tried again, or two are compared.
    Upkeep,
    /// A push said that there is something new.
    Push,
    /// The user asked for it.
    User,
    /// A person looks at the app.
    Foreground,
}

/// Sums of what was spent.
#[derive(uniffi::Record)]
pub struct Usage {
    /// Times that the radio was woken: traffic after 10 seconds of silence.
    pub wakeups: u64,
    /// How long the radio was up, by a model: no phone tells.
    pub radio_high: Duration,
    /// Bytes sent, IP and UDP headers included, as a mobile plan counts them.
    pub bytes_sent: u64,
    /// Bytes received, counted in the same way.
    pub bytes_received: u64,
    /// How long connections stood.
    pub connected: Duration,
}

/// What one reason cost on one kind of network.
#[derive(uniffi::Record)]
pub struct UsageRow {
    /// What for.
    pub reason: WakeupReason,
    /// On what.
    pub network: NetworkKind,
    /// How much.
    pub usage: Usage,
}

/// What was spent in a period.
#[derive(uniffi::Record)]
pub struct UsagePeriod {
    /// From here on, whole hours.
    pub from: SystemTime,
    /// The sum of all rows.
    pub total: Usage,
    /// By reason and network, those that are not zero.
    pub rows: Vec<UsageRow>,
}

/// What was spent today and in the last 7 days.
#[derive(uniffi::Record)]
pub struct UsageReport {
    /// Since midnight where the user is.
    pub today: UsagePeriod,
    /// The last 7 days.
    pub week: UsagePeriod,
}

impl From<core::Plan> for Plan {
    fn from(plan: core::Plan) -> Self {
        Self {
            live: plan.live,
            wakeup: plan.wakeup.map(Wakeup::from),
            keep_alive: plan.keep_alive,
            relay: plan.relay,
        }
    }
}

impl From<core::Wakeup> for Wakeup {
    fn from(wakeup: core::Wakeup) -> Self {
        Self {
            at: system_time(wakeup.at),
            slack: wakeup.slack,
            reasons: wakeup.reasons.into_iter().map(WakeupReason::from).collect(),
            carries: wakeup.carries.into_iter().map(WakeupReason::from).collect(),
        }
    }
}

impl From<core::WakeupReason> for WakeupReason {
    fn from(reason: core::WakeupReason) -> Self {
        match reason {
            core::WakeupReason::Sync => Self::Sync,
            core::WakeupReason::Outbox => Self::Outbox,
            core::WakeupReason::Registration => Self::Registration,
            core::WakeupReason::Dht => Self::Dht,
            core::WakeupReason::Mesh => Self::Mesh,
            core::WakeupReason::Resync => Self::Resync,
            core::WakeupReason::Dust => Self::Dust,
            core::WakeupReason::Upkeep => Self::Upkeep,
            core::WakeupReason::Push => Self::Push,
            core::WakeupReason::User => Self::User,
            core::WakeupReason::Foreground => Self::Foreground,
            // One that was added in the library and not here.
            other => {
                tracing::error!(?other, "unknown here");
                Self::Sync
            }
        }
    }
}

impl From<core::Usage> for Usage {
    fn from(usage: core::Usage) -> Self {
        Self {
            wakeups: usage.wakeups,
            radio_high: usage.radio_high,
            bytes_sent: usage.bytes_sent,
            bytes_received: usage.bytes_received,
            connected: usage.connected,
        }
    }
}

impl From<core::UsageRow> for UsageRow {
    fn from(row: core::UsageRow) -> Self {
        Self {
            reason: row.reason.into(),
            network: row.network,
            usage: row.usage.into(),
        }
    }
}

impl From<core::UsagePeriod> for UsagePeriod {
    fn from(period: core::UsagePeriod) -> Self {
        Self {
            from: system_time(period.from),
            total: period.total.into(),
            rows: period.rows.into_iter().map(UsageRow::from).collect(),
        }
    }
}

impl From<core::UsageReport> for UsageReport {
    fn from(report: core::UsageReport) -> Self {
        Self {
            today: report.today.into(),
            week: report.week.into(),
        }
    }
}
