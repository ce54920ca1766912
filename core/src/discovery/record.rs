//! What is remembered of one super node.

use std::net::IpAddr;
use std::time::Duration;

use crate::channel::{HopCount, NodeLink};
use crate::wire::{
    node::{Load, Reason},
    time::UnixMillis,
};

/// A super node as the chooser knows it; plain, so that the store can keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// Key and address.
    pub link: NodeLink,
    /// Where it last answered, while `link` is another address that is on trial.
    pub home: Option<NodeLink>,
    /// Who named it.
    pub origin: Origin,
    /// What it is used for.
    pub role: Role,
    /// Since when it has that role.
    pub since: UnixMillis,
    /// Whether it can be used.
    pub condition: Condition,
    /// Failures in a row.
    pub failures: u32,
    /// How often it answered, in permille, the latest weighing most.
    pub reliability: u16,
    /// When that was last counted.
    pub counted: UnixMillis,
    /// Time from a request to its answer, smoothed; `None` before the first.
    pub rtt: Option<Duration>,
    /// What it says of itself.
    pub load: Option<NodeLoad>,
    /// Our distance from its operator, as it counts.
    pub hop_count: HopCount,
    /// Its clock is wrong, as far as other clocks show: much that others sealed it refuses.
    pub wrong_clock: bool,
    /// When it is next compared with another node.
    pub audit_at: UnixMillis,
    /// When that was last tried.
    pub audited: UnixMillis,
    /// Messages that were known to be missing when it was last compared.
    pub gap: u64,
    /// How often in a row it said by datagram that there is something, and nothing came.
    pub unproven: u32,
    /// How often in a row it did not answer a datagram.
    pub silent: u32,
    /// When it may be asked by datagram again.
    pub ask_at: UnixMillis,
}

impl NodeRecord {
    /// A node of which nothing is known but where it is.
    pub fn new(link: NodeLink, origin: Origin) -> Self {
        Self {
            link,
            home: None,
            origin,
            role: Role::Spare,
            since: UnixMillis::default(),
            condition: Condition::Healthy,
            failures: 0,
            reliability: UNPROVED,
            counted: UnixMillis::default(),
            rtt: None,
            load: None,
            hop_count: HopCount::STRANGER,
            wrong_clock: false,
            audit_at: UnixMillis::default(),
            audited: UnixMillis::default(),
            gap: 0,
            unproven: 0,
            silent: 0,
            ask_at: UnixMillis::default(),
        }
    }

    /// How often it answered, in permille: what is long ago counts for less.
    pub fn reliability_at(&self, now: UnixMillis) -> u16 {
        let past = now.since(self.counted).as_secs();
        let (halvings, rest) = (past / FORGETTING.as_secs(), past % FORGETTING.as_secs());
        let unproved = i64::from(UNPROVED);
        let shown = (i64::from(self.reliability) - unproved) / (1_i64 << halvings.min(62));
        // Straight from one halving to the next.
        let span = i64::try_from(2 * FORGETTING.as_secs()).unwrap_or(i64::MAX);
        let shown = shown * (span - i64::try_from(rest).unwrap_or(0)) / span;
        u16::try_from((unproved + shown).clamp(0, 1_000)).unwrap_or(UNPROVED)
    }

    pub(super) fn count(&mut self, answered: bool, now: UnixMillis) {
        let before = self.reliability_at(now);
        self.reliability = if answered {
            before + (1_000 - before.min(1_000)) / 8
        } else {
            before - before / 8
        };
        self.counted = now;
    }

    /// Tries it at another address until it fails there too; true unless that one is known or another is on trial.
    pub(super) fn try_at(&mut self, link: &NodeLink) -> bool {
        if self.home.is_some() || *link == self.link {
            return false;
        }
        self.home = Some(std::mem::replace(&mut self.link, link.clone()));
        true
    }

    /// Ends a trial; true if there was one.
    pub(super) fn return_home(&mut self) -> bool {
        let Some(home) = self.home.take() else {
            return false;
        };
        self.link = home;
        true
    }

    /// Whether it is used as it is, or to be.
    pub fn is_kept(&self) -> bool {
        self.role != Role::Spare
    }

    /// Whether nothing speaks against it.
    pub fn is_healthy(&self) -> bool {
        self.condition == Condition::Healthy
    }

    /// The part of the network it is in, all of which may fail at once: an IPv4 /24, an IPv6 /48, or a host name.
    pub fn network(&self) -> Network {
        match self
            .link
            .host()
            .parse::<IpAddr>()
            .map(|ip| ip.to_canonical())
        {
            Ok(IpAddr::V4(ip)) => {
                let [a, b, c, _] = ip.octets();
                Network::V4([a, b, c])
            }
            Ok(IpAddr::V6(ip)) => {
                let [a, b, c, ..] = ip.segments();
                Network::V6([a, b, c])
            }
            Err(_) => Network::Name(self.link.host().to_ascii_lowercase()),
        }
    }
}

/// See [`NodeRecord::network`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    /// An IPv4 /24.
    V4([u8; 3]),
    /// An IPv6 /48.
    V6([u16; 3]),
    /// A host name.
    Name(String),
}

/// Who named a node; the earlier, the more it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The user added it.
    User,
    /// It stood in a link.
    Link,
    /// A member of a channel keeps it.
    Member,
    /// It was found in the DHT.
    Dht,
}

/// What a node is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The one that is polled.
    Active,
    /// Has leases and copies, and takes over when the active one fails.
    Standby,
    /// Only remembered.
    Spare,
}

/// Whether a node can be used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Nothing speaks against it.
    Healthy,
    /// It answers again after a failure, and is used again a random time later.
    Returning {
        /// From when it counts as healthy.
        from: UnixMillis,
    },
    /// It did not answer.
    Down {
        /// Since when.
        since: UnixMillis,
        /// When it is tried again.
        retry: UnixMillis,
        /// What was seen.
        why: String,
    },
    /// It does not want us, or we do not want it.
    Refused {
        /// Until when it is left alone.
        until: UnixMillis,
        /// Why.
        why: Refusal,
    },
}

/// Why a node is left alone for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It has no room.
    Full,
    /// It takes no strangers.
    NoStrangers,
    /// It gave our place to somebody nearer to its operator.
    Evicted,
    /// The introduction counts no more.
    Introduction,
    /// It acknowledged messages and does not have them.
    Withheld,
}

impl Refusal {
    /// What a node's reason means for the choice of nodes; `None` if it is no reason to leave the node.
    pub fn of(reason: Reason) -> Option<Self> {
        match reason {
            Reason::NodeFull => Some(Self::Full),
            Reason::NoStrangers => Some(Self::NoStrangers),
            Reason::Evicted => Some(Self::Evicted),
            Reason::Revoked
            | Reason::SubtreeFull
            | Reason::BadIntroduction
            | Reason::IntroductionExpired => Some(Self::Introduction),
            _ => None,
        }
    }

    /// How long the node is left alone.
    pub fn lasts(self) -> Duration {
        match self {
            Self::Full => Duration::from_secs(3600),
            Self::NoStrangers | Self::Evicted | Self::Introduction => {
                Duration::from_secs(24 * 3600)
            }
            Self::Withheld => Duration::from_secs(7 * 24 * 3600),
        }
    }

    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::Full => "it is full",
            Self::NoStrangers => "it takes no strangers; ask a friend for an introduction",
            Self::Evicted => "it is full and gave our place to somebody nearer to its operator",
            Self::Introduction => "our introduction counts no more there; ask for another one",
            Self::Withheld => "it acknowledged messages and does not have them",
        }
    }
}

/// How busy a node says it is; a claim, which weighs less than what is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeLoad {
    /// Clients that hold leases.
    pub clients: u32,
    /// Of as many as it takes, in permille.
    pub clients_permille: u16,
    /// Of what it may keep, in permille.
    pub storage_permille: u16,
    /// Of all its cores, over the last minute, in permille.
    pub cpu_permille: u16,
    /// From a request to its answer, median of the last minute.
    pub latency: Duration,
}

impl NodeLoad {
    /// The highest of its shares, in permille.
    pub fn permille(&self) -> u16 {
        self.clients_permille
            .max(self.storage_permille)
            .max(self.cpu_permille)
    }
}

impl From<&Load> for NodeLoad {
    fn from(load: &Load) -> Self {
        let permille = |claim: u32| u16::try_from(claim.min(1_000)).unwrap_or(1_000);
        Self {
            clients: load.clients,
            clients_permille: permille(load.clients_permille),
            storage_permille: permille(load.storage_permille),
            cpu_permille: permille(load.cpu_permille),
            latency: Duration::from_millis(u64::from(load.latency_ms)),
        }
    }
}

/// What a node counts for before it has shown anything.
const UNPROVED: u16 = 975;
/// In which the past loses half its weight.
const FORGETTING: Duration = Duration::from_secs(6 * 3600);

#[cfg(test)]
mod tests {
    use crate::crypto::NodeKey;

    use super::*;

    fn at(host: &str) -> NodeRecord {
        let link = NodeLink::new(NodeKey::from_bytes([1; 32]), host, 1).unwrap();
        NodeRecord::new(link, Origin::User)
    }

    #[test]
    fn networks_are_a_24_a_48_or_a_name() {
        let same = |a: &str, b: &str| at(a).network() == at(b).network();
        assert!(same("192.0.2.1", "192.0.2.200"));
        assert!(!same("192.0.2.1", "192.0.3.1"));
        assert!(same("::ffff:192.0.2.1", "192.0.2.9"));
        assert!(same("2001:db8:1::1", "2001:db8:1:ff::1"));
        assert!(!same("2001:db8:1::1", "2001:db8:2::1"));
        assert!(same("Node.example", "node.example"));
        assert!(!same("a.example", "b.example"));
    }

    #[test]
    fn reliability_falls_fast_rises_slowly_and_is_forgotten() {
        let mut node = at("a");
        let now = UnixMillis::from_secs(1_000_000);
        for _ in 0..12 {
            node.count(false, now);
        }
        let low = node.reliability_at(now);
        assert!(low < 250, "{low}");
        node.count(true, now);
        assert!(node.reliability_at(now) < 400);
        let later = now.after(10 * FORGETTING);
        assert_eq!(node.reliability_at(later), UNPROVED);
        for _ in 0..60 {
            node.count(true, later);
        }
        assert!(node.reliability_at(later) > 990);
        assert_eq!(
            node.reliability_at(UnixMillis::from_millis(u64::MAX)),
            UNPROVED
        );
    }

    #[test]
    fn claims_are_bounded() {
        let load = NodeLoad::from(&Load {
            cpu_permille: u32::MAX,
            ..Load::default()
        });
        assert_eq!(load.permille(), 1_000);
    }
}
