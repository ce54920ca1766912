//! The ledger: what was spent, by reason and network, in hours of Unix time.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::wire::time::UnixMillis;

use super::radio::{Profile, SILENCE};
use super::{NetworkKind, Usage, UsageRow, WakeupReason};

/// An hour of Unix time, counted from 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(pub u64);

impl Hour {
    /// The hour that `time` lies in.
    pub fn of(time: UnixMillis) -> Self {
        Self(time.as_secs() / 3_600)
    }

    /// When it begins.
    pub fn start(self) -> UnixMillis {
        UnixMillis::from_secs(self.0.saturating_mul(3_600))
    }
}

/// Counts what is spent until it is [taken](Ledger::take) to be kept.
///
/// Each datagram is counted when it goes, under the most special of the activities that run then: sums are exact, and
/// what several activities do at once is told apart by that order only. A radio that is up stays so for
/// [`Profile::up`] after each datagram; time that several share counts once.
#[derive(Debug, Default)]
pub struct Ledger {
    network: NetworkKind,
    /// How many activities run, by reason.
    running: BTreeMap<WakeupReason, u32>,
    /// What closes a connection follows its activity.
    latest: Option<WakeupReason>,
    /// The last datagram.
    last: Option<UnixMillis>,
    /// The radio is up until then.
    high: UnixMillis,
    spent: BTreeMap<(Hour, WakeupReason, NetworkKind), Usage>,
    /// Connections that stand: since when their time is not counted yet, by number.
    standing: BTreeMap<u64, (WakeupReason, UnixMillis)>,
    opened: u64,
}

impl Ledger {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in what the phone is connected by from now on. Another network's radio is idle at first.
    pub fn set_network(&mut self, network: NetworkKind) {
        if std::mem::replace(&mut self.network, network) != network {
            self.last = None;
            self.high = UnixMillis::default();
        }
    }

    /// An activity begins: what is sent and received counts as its.
    pub fn begin(&mut self, reason: WakeupReason) {
        let running = self.running.entry(reason).or_default();
        *running = running.saturating_add(1);
        self.latest = Some(reason);
    }

    /// An activity has ended.
    pub fn end(&mut self, reason: WakeupReason) {
        if let Some(running) = self.running.get_mut(&reason) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                self.running.remove(&reason);
                self.latest = Some(reason);
            }
        }
    }

    /// Datagrams were sent at `now`: all their bytes, with the headers of IP and UDP.
    pub fn sent(&mut self, bytes: u64, now: UnixMillis) {
        let usage = self.packet(now);
        usage.bytes_sent = usage.bytes_sent.saturating_add(bytes);
    }

    /// Datagrams were received at `now`: all their bytes, with the headers of IP and UDP.
    pub fn received(&mut self, bytes: u64, now: UnixMillis) {
        let usage = self.packet(now);
        usage.bytes_received = usage.bytes_received.saturating_add(bytes);
    }

    /// A connection begins; gives its number.
    pub fn opened(&mut self, reason: WakeupReason, now: UnixMillis) -> u64 {
        self.opened = self.opened.wrapping_add(1);
        self.standing.insert(self.opened, (reason, now));
        self.opened
    }

    /// A connection has ended.
    pub fn closed(&mut self, number: u64, now: UnixMillis) {
        if let Some((reason, since)) = self.standing.remove(&number) {
            self.connected(reason, since, now);
        }
    }

    /// What was counted since the last time until `now`, by hours.
    pub fn take(&mut self, now: UnixMillis) -> Vec<(Hour, UsageRow)> {
        let standing = std::mem::take(&mut self.standing);
        for (number, (reason, since)) in standing {
            self.connected(reason, since, now);
            self.standing.insert(number, (reason, now));
        }
        let spent = std::mem::take(&mut self.spent);
        let row = |((hour, reason, network), usage)| {
            let row = UsageRow {
                reason,
                network,
                usage,
            };
            (hour, row)
        };
        spent.into_iter().map(row).collect()
    }

    /// Gives back what could not be kept.
    pub fn put_back(&mut self, rows: Vec<(Hour, UsageRow)>) {
        for (hour, row) in rows {
            self.spent
                .entry((hour, row.reason, row.network))
                .or_default()
                .add(&row.usage);
        }
    }

    /// Counts a connection's time; at most a day of it, as the clock may have been set.
    fn connected(&mut self, reason: WakeupReason, since: UnixMillis, until: UnixMillis) {
        let mut at = since.max(until.before(DAY));
        while at < until {
            let hour = Hour::of(at);
            let end = Hour(hour.0.saturating_add(1)).start().min(until);
            let usage = self.row(hour, reason);
            usage.connected = usage.connected.saturating_add(end.since(at));
            // The end of time.
            if end <= at {
                break;
            }
            at = end;
        }
    }

    /// Counts the radio's part of a packet.
    fn packet(&mut self, now: UnixMillis) -> &mut Usage {
        // A clock that was set back would leave the radio up.
        if self.last.is_some_and(|last| last > now) {
            self.last = Some(now);
            self.high = self.high.min(now.after(Profile::of(self.network).up()));
        }
        let wakes = self.last.is_none_or(|last| now.since(last) > SILENCE);
        self.last = Some(now);
        let until = now.after(Profile::of(self.network).up());
        let longer = until.since(self.high.max(now));
        self.high = self.high.max(until);
        let reason = self.reason();
        let usage = self.row(Hour::of(now), reason);
        usage.wakeups = usage.wakeups.saturating_add(u64::from(wakes));
        usage.radio_high = usage.radio_high.saturating_add(longer);
        usage
    }

    /// The most special of what runs.
    fn reason(&self) -> WakeupReason {
        SPECIAL
            .into_iter()
            .find(|reason| self.running.contains_key(reason))
            .or(self.latest)
            .unwrap_or(WakeupReason::User)
    }

    fn row(&mut self, hour: Hour, reason: WakeupReason) -> &mut Usage {
        self.spent.entry((hour, reason, self.network)).or_default()
    }
}

impl Usage {
    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        self.wakeups = self.wakeups.saturating_add(other.wakeups);
        self.radio_high = self.radio_high.saturating_add(other.radio_high);
        self.bytes_sent = self.bytes_sent.saturating_add(other.bytes_sent);
        self.bytes_received = self.bytes_received.saturating_add(other.bytes_received);
        self.connected = self.connected.saturating_add(other.connected);
    }
}

/// What a datagram counts as while several activities run: whatever is a part of another one comes first.
const SPECIAL: [WakeupReason; 11] = [
    WakeupReason::Dht,
    WakeupReason::Resync,
    WakeupReason::Dust,
    WakeupReason::Mesh,
    WakeupReason::Outbox,
    WakeupReason::Registration,
    WakeupReason::Upkeep,
    WakeupReason::Push,
    WakeupReason::Sync,
    WakeupReason::User,
    WakeupReason::Foreground,
];
const DAY: Duration = Duration::from_secs(24 * 3_600);

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixMillis = UnixMillis::from_secs(1_800_000_000);

    fn at(millis: u64) -> UnixMillis {
        START.after(Duration::from_millis(millis))
    }

    fn cellular() -> Ledger {
        let mut ledger = Ledger::new();
        ledger.set_network(NetworkKind::Cellular);
        ledger
    }

    fn sum(rows: &[(Hour, UsageRow)]) -> Usage {
        let mut sum = Usage::default();
        for (_, row) in rows {
            sum.add(&row.usage);
        }
        sum
    }

    #[test]
    fn traffic_after_silence_is_a_wakeup_and_keeps_the_radio_up() {
        let mut ledger = cellular();
        ledger.begin(WakeupReason::Sync);
        ledger.sent(100, at(0));
        ledger.received(120, at(80));
        ledger.end(WakeupReason::Sync);
        // Within the tail, and then long after it.
        ledger.sent(60, at(6_080));
        ledger.sent(60, at(60_000));
        let rows = ledger.take(START);
        let [(hour, row)] = &rows[..] else {
            panic!("{rows:?}")
        };
        assert_eq!(*hour, Hour::of(START));
        assert_eq!(
            (row.reason, row.network),
            (WakeupReason::Sync, NetworkKind::Cellular)
        );
        let expected = Usage {
            wakeups: 2,
            radio_high: Duration::from_millis(6_080 + 10_100 + 10_100),
            bytes_sent: 220,
            bytes_received: 120,
            connected: Duration::ZERO,
        };
        assert_eq!(row.usage, expected);
        assert!(ledger.take(START).is_empty(), "taken once");
    }

    #[test]
    fn the_ledger_sums_what_the_laboratory_sums() {
        use super::super::radio::Radio;
        let mut ledger = cellular();
        let mut radio = Radio::new(Profile::of(NetworkKind::Cellular));
        let mut millis = 0_u64;
        for step in 0..2_000_u64 {
            // Gaps from nothing to half a minute.
            millis += step * step * 7_919 % 30_011;
            ledger.sent(50 + step, at(millis));
            radio.packet(Duration::from_millis(millis), 50 + step, true);
        }
        let (counted, modelled) = (sum(&ledger.take(START)), radio.finish());
        assert_eq!(counted.wakeups, modelled.wakeups);
        assert_eq!(counted.bytes_sent, modelled.sent);
        // The ledger leaves promotions out, some 0.26 s of 10.
        let (counted, modelled) = (counted.radio_high, modelled.high);
        assert!(counted <= modelled && counted > modelled.mul_f64(0.95));
    }

    #[test]
    fn each_datagram_counts_as_what_it_was_for() {
        let mut ledger = cellular();
        ledger.begin(WakeupReason::Sync);
        ledger.sent(1, at(0));
        ledger.begin(WakeupReason::Outbox);
        ledger.sent(10, at(1));
        ledger.begin(WakeupReason::Resync);
        ledger.begin(WakeupReason::Resync);
        ledger.sent(100, at(2));
        ledger.end(WakeupReason::Resync);
        ledger.sent(1_000, at(3));
        ledger.end(WakeupReason::Resync);
        ledger.end(WakeupReason::Outbox);
        ledger.sent(10_000, at(4));
        ledger.end(WakeupReason::Sync);
        // The last words of a connection.
        ledger.sent(100_000, at(5));
        let sent: BTreeMap<_, _> = ledger
            .take(START)
            .into_iter()
            .map(|(_, row)| (row.reason, row.usage.bytes_sent))
            .collect();
        assert_eq!(sent[&WakeupReason::Sync], 110_001);
        assert_eq!(sent[&WakeupReason::Outbox], 10);
        assert_eq!(sent[&WakeupReason::Resync], 1_100);
    }

    #[test]
    fn connections_are_counted_in_the_hours_in_which_they_stood() {
        let mut ledger = cellular();
        let hour = Hour::of(START).start();
        let since = hour.after(Duration::from_secs(3_000));
        let end = since.after(Duration::from_secs(5_000));
        let live = ledger.opened(WakeupReason::Foreground, since);
        let poll = ledger.opened(WakeupReason::Sync, since);
        ledger.closed(poll, since.after(Duration::from_secs(2)));
        // One that stands is counted so far, and no part of it twice.
        let so_far = since.after(Duration::from_secs(600));
        assert_eq!(sum(&ledger.take(so_far)).connected.as_secs(), 602);
        ledger.closed(live, end);
        ledger.closed(live, end);
        let stood: Vec<_> = ledger
            .take(end)
            .into_iter()
            .map(|(hour, row)| (hour, row.usage.connected.as_secs()))
            .collect();
        let first = Hour::of(START).0;
        assert_eq!(stood, [(Hour(first + 1), 3_600), (Hour(first + 2), 800)]);
        // A clock that was set ahead by a year meanwhile, and back.
        let number = ledger.opened(WakeupReason::Sync, since);
        assert_eq!(sum(&ledger.take(since.after(DAY * 365))).connected, DAY);
        ledger.closed(number, since);
        assert!(ledger.take(since).is_empty());
    }

    #[test]
    fn a_clock_that_was_set_back_costs_at_most_one_tail() {
        let mut ledger = cellular();
        ledger.sent(100, at(0));
        ledger.sent(100, START.before(DAY * 365));
        ledger.sent(100, START.before(DAY * 365).after(Duration::from_secs(60)));
        let spent = sum(&ledger.take(START));
        assert!(spent.wakeups <= 3);
        assert!(
            spent.radio_high <= Duration::from_millis(3 * 10_100),
            "{spent:?}"
        );
    }

    #[test]
    fn another_network_is_another_radio() {
        let mut ledger = cellular();
        ledger.sent(100, at(0));
        ledger.set_network(NetworkKind::Wifi);
        ledger.sent(100, at(1_000));
        ledger.sent(100, at(1_100));
        ledger.set_network(NetworkKind::Wifi);
        ledger.sent(100, at(1_200));
        let rows = ledger.take(START);
        let [(_, wifi), (_, cellular)] = &rows[..] else {
            panic!("{rows:?}")
        };
        assert_eq!((wifi.usage.wakeups, cellular.usage.wakeups), (1, 1));
        assert_eq!(wifi.usage.radio_high, Duration::from_millis(450));
        assert_eq!(cellular.usage.radio_high, Duration::from_millis(10_100));
    }

    #[test]
    fn what_could_not_be_kept_is_not_lost() {
        let mut ledger = cellular();
        ledger.sent(100, at(0));
        let rows = ledger.take(START);
        ledger.sent(50, at(1));
        ledger.put_back(rows);
        assert_eq!(sum(&ledger.take(START)).bytes_sent, 150);
    }
}
