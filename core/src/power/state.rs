//! What the platform and the user tell: the inputs of the plan.

/// The battery and what the system does to save it, as the platform tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PowerState {
    /// How full it is, from 0 to 100; `None` if that is not known.
    pub battery_percent: Option<u8>,
    /// Power comes from outside.
    pub charging: bool,
    /// The user has switched the platform's power saver on.
    pub saver: bool,
    /// The system lets apps run in its maintenance windows only (Android's doze).
    pub doze: bool,
    /// How often the system lets this app run.
    pub bucket: StandbyBucket,
}

/// How often the system lets an app run that is not on the screen (Android's app standby buckets).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum StandbyBucket {
    /// Whenever it wants; also where the platform has no buckets.
    #[default]
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

/// What the phone is connected by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum NetworkKind {
    /// By nothing.
    Offline,
    /// A wireless LAN.
    Wifi,
    /// A mobile network.
    Cellular,
    /// Anything else, or not known.
    #[default]
    Other,
}

/// The network, as the platform tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkState {
    /// What the phone is connected by.
    pub kind: NetworkKind,
    /// Traffic costs money.
    pub metered: bool,
    /// In a foreign mobile network.
    pub roaming: bool,
}

/// Whether a person looks at the app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AppState {
    /// On the screen.
    Foreground,
    /// Not on the screen, where every client begins.
    #[default]
    Background,
}

/// What the user prefers in the background. Kept with the profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    /// Messages soon, at the cost of battery.
    Fast,
    /// Messages within minutes by day, at a small cost.
    #[default]
    Balanced,
    /// Messages within the hour, at hardly any cost.
    Frugal,
}
