//! What a node counts, for Prometheus. No label names a client, an address or a channel.

use std::sync::atomic::{AtomicBool, Ordering};

use ailurus::{
    channel::Standing,
    crypto::Pseudonym,
    wire::node::{Load, Reason, Response, response::Kind},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::{push::Outcome, store::Store};

/// Counters and gauges of one node.
pub struct Metrics {
    registry: Registry,
    /// Envelopes stored.
    pub accepted: Counter,
    /// Envelopes that were there already, and acknowledged again.
    pub repeated: Counter,
    /// Requests and items refused, by reason.
    pub refused: Family<ReasonLabel, Counter>,
    /// Envelopes taken away after their 7 days.
    pub expired: Counter,
    /// Requests to store something that were answered, after their commit.
    pub acknowledged: Counter,
    /// Transactions.
    pub commits: Counter,
    /// Transactions that failed.
    pub commits_failed: Counter,
    /// Batches handed to live subscribers.
    pub pushed: Counter,
    /// Times a live subscriber was too slow and was sent back to the store.
    pub fallbacks: Counter,
    /// Connections accepted.
    pub connections: Counter,
    /// Connections open.
    pub open_connections: Gauge,
    /// Connections refused by a limit.
    pub connections_refused: Counter,
    /// Handshakes that failed.
    pub handshakes_failed: Counter,
    /// Frames and messages that did not parse.
    pub malformed: Counter,
    /// Datagrams that cannot have been QUIC.
    pub foreign_datagrams: Gauge,
    /// Polls by datagram that were answered, by what was said.
    pub probes_answered: Family<SaidLabel, Counter>,
    /// Polls by datagram whose ticket this node did not seal within two days, or who asked did not know.
    pub probes_unopened: Counter,
    /// Polls by datagram above the limit of their network.
    pub probes_limited: Counter,
    /// Polls by datagram for which the database was read.
    pub probes_loaded: Counter,
    /// Polls by datagram that were not answered because too many waited for the database.
    pub probes_dropped: Counter,
    /// UDP payload bytes sent on connections that ended.
    pub bytes_sent: Counter,
    /// UDP payload bytes received on connections that ended.
    pub bytes_received: Counter,
    /// Clients that hold leases.
    pub registrations: Gauge,
    /// Of these, clients without an introduction.
    pub strangers: Gauge,
    /// Other super nodes that hold leases.
    pub peers: Gauge,
    /// Connections to other super nodes that this one dialled and that work.
    pub peer_links: Gauge,
    /// Other super nodes that are left alone for a day, as they withheld something or sent what no honest node sends.
    pub peers_distrusted: Gauge,
    /// How often that happened.
    pub peers_withheld: Counter,
    /// Requests to push services and the gateway, by how they went.
    pub pushes: Family<OutcomeLabel, Counter>,
    /// Clients that were not woken, as too many wait already.
    pub wakeups_left_out: Counter,
    /// Clients that are woken by push.
    pub push_endpoints: Gauge,
    /// Clients that wait for a push to be sent, or were woken lately.
    pub pushes_waiting: Gauge,
    /// Clients that lost all their leases before the time, by reason.
    pub evicted: Family<ReasonLabel, Counter>,
    /// Clients, of as many as there may be, in permille.
    pub load_clients: Gauge,
    /// Bytes kept, of as many as there may be, in permille.
    pub load_storage: Gauge,
    /// Processor time of all cores in the last minute, in permille.
    pub load_cpu: Gauge,
    /// Median from a request to its answer in the last minute, in milliseconds.
    pub load_latency: Gauge,
    /// Envelopes kept.
    pub envelopes: Gauge,
    /// Bytes that may still be written to the disk of the data directory.
    pub disk_free: Gauge,
    /// One while the time may be wrong and nothing is deleted, else zero.
    pub clock_held: Gauge,
    failing: AtomicBool,
    nearly_full: AtomicBool,
}

/// Why something was refused.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ReasonLabel {
    /// Name of the reason in the protocol, in lower case and without its prefix.
    pub reason: String,
}

/// How a request to a push service went.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct OutcomeLabel {
    /// One of `delivered`, `later`, `gone`, `refused` and `not_public`.
    pub outcome: &'static str,
}

impl ReasonLabel {
    fn of(reason: Reason) -> Self {
        let name = reason.as_str_name();
        let reason = name.strip_prefix("REASON_").unwrap_or(name);
        Self {
            reason: reason.to_ascii_lowercase(),
        }
    }
}

/// What a poll by datagram was told.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct SaidLabel {
    /// `nothing`, `news` or `unknown`.
    pub said: &'static str,
}

impl SaidLabel {
    fn of(standing: Standing) -> Self {
        let said = match standing {
            Standing::Nothing => "nothing",
            Standing::News => "news",
            Standing::Unknown => "unknown",
        };
        Self { said }
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("ailurus_node"),
            accepted: Counter::default(),
            repeated: Counter::default(),
            refused: Family::default(),
            expired: Counter::default(),
            acknowledged: Counter::default(),
            commits: Counter::default(),
            commits_failed: Counter::default(),
            pushed: Counter::default(),
            fallbacks: Counter::default(),
            connections: Counter::default(),
            open_connections: Gauge::default(),
            connections_refused: Counter::default(),
            handshakes_failed: Counter::default(),
            malformed: Counter::default(),
            foreign_datagrams: Gauge::default(),
            probes_answered: Family::default(),
            probes_unopened: Counter::default(),
            probes_limited: Counter::default(),
            probes_loaded: Counter::default(),
            probes_dropped: Counter::default(),
            bytes_sent: Counter::default(),
            bytes_received: Counter::default(),
            registrations: Gauge::default(),
            strangers: Gauge::default(),
            peers: Gauge::default(),
            peer_links: Gauge::default(),
            peers_distrusted: Gauge::default(),
            peers_withheld: Counter::default(),
            pushes: Family::default(),
            wakeups_left_out: Counter::default(),
            push_endpoints: Gauge::default(),
            pushes_waiting: Gauge::default(),
            evicted: Family::default(),
            load_clients: Gauge::default(),
            load_storage: Gauge::default(),
            load_cpu: Gauge::default(),
            load_latency: Gauge::default(),
            envelopes: Gauge::default(),
            disk_free: Gauge::default(),
            clock_held: Gauge::default(),
            failing: AtomicBool::new(false),
            nearly_full: AtomicBool::new(false),
        };
        metrics.register();
        metrics
    }

    /// All of them in the text format of OpenMetrics.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Whether the last commit succeeded, or there was none yet.
    pub fn healthy(&self) -> bool {
        !self.failing.load(Ordering::Relaxed)
    }

    /// Notes how the last commit went; true if that is news.
    pub(crate) fn set_healthy(&self, healthy: bool) -> bool {
        self.failing.swap(!healthy, Ordering::Relaxed) == healthy
    }

    /// Takes the gauges from the store.
    pub(crate) fn set_kept(&self, store: &Store) {
        let totals = store.totals();
        self.envelopes.set(gauge(totals.envelopes));
        self.registrations.set(gauge(totals.clients));
        self.strangers.set(gauge(totals.strangers));
        self.peers.set(gauge(totals.peers));
    }

    pub(crate) fn set_disk_free(&self, bytes: u64) {
        self.disk_free.set(gauge(bytes));
    }

    /// Whether storage is at nine tenths or more, and this is news: it was below since that was last said.
    pub(crate) fn is_nearly_full_now(&self) -> bool {
        let permille = self.load_storage.get();
        if permille < NO_LONGER_NEARLY_FULL {
            self.nearly_full.store(false, Ordering::Relaxed);
        }
        permille >= NEARLY_FULL && !self.nearly_full.swap(true, Ordering::Relaxed)
    }

    /// Takes over what clients are told.
    pub(crate) fn set_load(&self, load: &Load) {
        self.load_clients.set(load.clients_permille.into());
        self.load_storage.set(load.storage_permille.into());
        self.load_cpu.set(load.cpu_permille.into());
        self.load_latency.set(load.latency_ms.into());
    }

    pub(crate) fn count_ended(&self, ended: &[(Pseudonym, Reason)]) {
        for (_, reason) in ended {
            self.evicted.get_or_create(&ReasonLabel::of(*reason)).inc();
        }
    }

    pub(crate) fn count_probe(&self, standing: Standing) {
        self.probes_answered
            .get_or_create(&SaidLabel::of(standing))
            .inc();
    }

    /// Counts a request to a push service.
    pub(crate) fn count_push(&self, outcome: Outcome) {
        let Some(outcome) = outcome.label() else {
            return;
        };
        self.pushes.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(crate) fn set_pushes(&self, endpoints: u64, waiting: usize) {
        self.push_endpoints.set(gauge(endpoints));
        self.pushes_waiting.set(gauge(waiting as u64));
    }

    pub(crate) fn count_refusal(&self, reason: Reason) {
        self.refused.get_or_create(&ReasonLabel::of(reason)).inc();
    }

    pub(crate) fn count_refusals(&self, responses: &[Response]) {
        for response in responses {
            let refusals = match &response.kind {
                Some(Kind::Published(published)) => &published.refusals,
                Some(Kind::Registered(registered)) => &registered.refusals,
                Some(Kind::Digests(digests)) => &digests.refusals,
                Some(Kind::Refused(refused)) => {
                    self.count_refusal(refused.reason());
                    continue;
                }
                _ => continue,
            };
            for refusal in refusals {
                self.count_refusal(refusal.reason());
            }
        }
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let counters = [
            ("envelopes_accepted", "Envelopes stored", &self.accepted),
            (
                "envelopes_repeated",
                "Envelopes that were there already",
                &self.repeated,
            ),
            (
                "envelopes_expired",
                "Envelopes taken away after 7 days",
                &self.expired,
            ),
            (
                "requests_acknowledged",
                "Requests answered after their commit",
                &self.acknowledged,
            ),
            ("commits", "Transactions", &self.commits),
            (
                "commits_failed",
                "Transactions that failed",
                &self.commits_failed,
            ),
            (
                "push_frames",
                "Batches handed to live subscribers",
                &self.pushed,
            ),
            (
                "push_fallbacks",
                "Slow subscribers sent back to the store",
                &self.fallbacks,
            ),
            (
                "connections_accepted",
                "Connections accepted",
                &self.connections,
            ),
            (
                "connections_refused",
                "Connections refused by a limit",
                &self.connections_refused,
            ),
            (
                "handshakes_failed",
                "Handshakes that failed",
                &self.handshakes_failed,
            ),
            (
                "malformed_frames",
                "Frames and messages that did not parse",
                &self.malformed,
            ),
            (
                "probes_unopened",
                "Polls by datagram with a forged, foreign or expired ticket",
                &self.probes_unopened,
            ),
            (
                "probes_limited",
                "Polls by datagram above the limit of their network",
                &self.probes_limited,
            ),
            (
                "probes_loaded",
                "Polls by datagram for which the database was read",
                &self.probes_loaded,
            ),
            (
                "probes_dropped",
                "Polls by datagram not answered because too many waited for the database",
                &self.probes_dropped,
            ),
            (
                "bytes_sent",
                "UDP payload sent on ended connections",
                &self.bytes_sent,
            ),
            (
                "bytes_received",
                "UDP payload received on ended connections",
                &self.bytes_received,
            ),
            (
                "peers_withheld",
                "Times another super node withheld what it had acknowledged, or sent nonsense",
                &self.peers_withheld,
            ),
            (
                "wakeups_left_out",
                "Clients that were not woken by push, as too many wait already",
                &self.wakeups_left_out,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        let gauges = [
            ("connections", "Connections open", &self.open_connections),
            (
                "registrations",
                "Clients that hold leases",
                &self.registrations,
            ),
            (
                "strangers",
                "Clients without an introduction that hold leases",
                &self.strangers,
            ),
            ("peers", "Other super nodes that hold leases", &self.peers),
            (
                "disk_free_bytes",
                "Bytes that may still be written to the disk of the data directory",
                &self.disk_free,
            ),
            (
                "clock_held",
                "One while the clock is far ahead of where it was and nothing is deleted",
                &self.clock_held,
            ),
            (
                "peer_links",
                "Connections to other super nodes that this one dialled",
                &self.peer_links,
            ),
            (
                "peers_distrusted",
                "Other super nodes that are left alone for a day",
                &self.peers_distrusted,
            ),
            (
                "load_clients_permille",
                "Clients, of as many as there may be",
                &self.load_clients,
            ),
            (
                "load_storage_permille",
                "Bytes kept, of as many as there may be",
                &self.load_storage,
            ),
            (
                "load_cpu_permille",
                "Processor time of all cores in the last minute",
                &self.load_cpu,
            ),
            (
                "load_latency_milliseconds",
                "Median from a request to its answer in the last minute",
                &self.load_latency,
            ),
            (
                "push_endpoints",
                "Clients that are woken by push",
                &self.push_endpoints,
            ),
            (
                "pushes_waiting",
                "Clients that wait for a push, or were woken lately",
                &self.pushes_waiting,
            ),
            ("envelopes", "Envelopes kept", &self.envelopes),
            (
                "foreign_datagrams",
                "Datagrams since the start that cannot have been QUIC",
                &self.foreign_datagrams,
            ),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        // Every label is there from the start, so that a rate or an alert sees the first refusal.
        for reason in (1..).map_while(|number| Reason::try_from(number).ok()) {
            drop(self.refused.get_or_create(&ReasonLabel::of(reason)));
        }
        for reason in [
            Reason::Evicted,
            Reason::Revoked,
            Reason::IntroductionExpired,
        ] {
            drop(self.evicted.get_or_create(&ReasonLabel::of(reason)));
        }
        for standing in [Standing::Nothing, Standing::News, Standing::Unknown] {
            drop(self.probes_answered.get_or_create(&SaidLabel::of(standing)));
        }
        registry.register(
            "probes_answered",
            "Polls by datagram that were answered",
            self.probes_answered.clone(),
        );
        for outcome in Outcome::LABELS {
            drop(self.pushes.get_or_create(&OutcomeLabel { outcome }));
        }
        registry.register(
            "pushes",
            "Requests to push services and the gateway",
            self.pushes.clone(),
        );
        registry.register(
            "evicted",
            "Clients that lost all their leases before the time",
            self.evicted.clone(),
        );
        registry.register(
            "refused",
            "Requests and items refused",
            self.refused.clone(),
        );
    }
}

fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Share of what may be kept, in permille, from which on the operator is warned.
const NEARLY_FULL: i64 = 900;
/// Below this they are warned again the next time.
const NO_LONGER_NEARLY_FULL: i64 = 850;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_full_is_news_once() {
        let metrics = Metrics::new();
        for (permille, news) in [
            (899, false),
            (900, true),
            (1_000, false),
            (899, false),
            (950, false),
            (849, false),
            (900, true),
        ] {
            metrics.load_storage.set(permille);
            assert_eq!(metrics.is_nearly_full_now(), news, "{permille}");
        }
    }

    #[test]
    fn text_shows_what_was_counted() {
        let metrics = Metrics::new();
        metrics.accepted.inc_by(3);
        metrics.count_refusal(Reason::BadSignature);
        let text = metrics.encode();
        assert!(
            text.contains("ailurus_node_envelopes_accepted_total 3"),
            "{text}"
        );
        assert!(
            text.contains("ailurus_node_refused_total{reason=\"bad_signature\"} 1"),
            "{text}"
        );
    }

    #[test]
    fn health_changes_are_news_once() {
        let metrics = Metrics::new();
        assert!(!metrics.set_healthy(true));
        assert!(metrics.set_healthy(false));
        assert!(!metrics.set_healthy(false));
        assert!(!metrics.healthy());
        assert!(metrics.set_healthy(true));
    }
}
