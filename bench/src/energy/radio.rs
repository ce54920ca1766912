//! The radio over a trace of packets, by the library's own model ([`ailurus::power::radio`]), which the phone's ledger
//! uses too.

use std::{collections::BTreeMap, time::Duration};

use ailurus::power::radio::{self, Energy, Radio};

/// A kind of radio.
pub struct Profile {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it is called in a sentence.
    pub title: &'static str,
    model: radio::Profile,
}

/// A packet, IP header included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Packet {
    /// Since the start.
    pub at: Duration,
    pub bytes: u32,
    pub way: Way,
    /// What it is for.
    pub reason: &'static str,
}

/// Seen from the phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Up,
    Down,
}

/// What a trace costs.
#[derive(Clone, Debug, Default)]
pub struct Spent {
    /// All of it, above what an idle radio takes.
    pub total: Energy,
    /// By reason: to each packet what it adds to those before it. One that comes while the radio is up only keeps it up
    /// for longer.
    pub by_reason: BTreeMap<&'static str, Energy>,
    /// When the radio was woken.
    pub wakeups: Vec<Duration>,
    /// What the radio takes when idle, in joules: the same whatever an app does.
    pub idle_joules: f64,
}

impl Profile {
    /// What packets in order of time cost, of which the last comes before `end`.
    pub fn spend(&self, packets: &[Packet], end: Duration) -> Spent {
        let mut radio = Radio::new(self.model);
        let mut spent = Spent::default();
        for packet in packets {
            radio.packet(packet.at, packet.bytes.into(), packet.way == Way::Up);
            let total = radio.clone().finish();
            let before = std::mem::replace(&mut spent.total, total);
            let reason = spent.by_reason.entry(packet.reason).or_default();
            reason.joules += total.joules - before.joules;
            reason.wakeups += total.wakeups - before.wakeups;
            reason.high += total.high - before.high;
            reason.sent += total.sent - before.sent;
            reason.received += total.received - before.received;
            if total.wakeups > before.wakeups {
                spent.wakeups.push(packet.at);
            }
        }
        let idle = end.saturating_sub(spent.total.high);
        spent.idle_joules = self.model.idle_power * idle.as_secs_f64();
        spent
    }
}

/// LTE, recalibrated by a phone of 2020.
pub const LTE: Profile = Profile {
    name: "lte",
    title: "LTE, recalibrated",
    model: radio::Profile::LTE_2026,
};

/// LTE as measured in 2012.
pub const LTE_2012: Profile = Profile {
    name: "lte2012",
    title: "LTE, constants of 2012",
    model: radio::Profile::LTE_2012,
};

const UMTS: Profile = Profile {
    name: "3g",
    title: "3G",
    model: radio::Profile::UMTS,
};

const WIFI: Profile = Profile {
    name: "wifi",
    title: "Wi-Fi",
    model: radio::Profile::WIFI,
};

/// All kinds; the first is what budgets are for.
pub const PROFILES: [&Profile; 4] = [&LTE, &LTE_2012, &UMTS, &WIFI];

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(at: f64, bytes: u32, way: Way) -> Packet {
        Packet {
            at: Duration::from_secs_f64(at),
            bytes,
            way,
            reason: "test",
        }
    }

    fn close(value: f64, to: f64, part: f64) {
        assert!((value / to - 1.0).abs() < part, "{value} is not {to}");
    }

    /// A small packet now and then, for an hour.
    fn an_hour_of(profile: &Profile, every: f64) -> Energy {
        let count = (3_600.0 / every) as u32;
        let packets: Vec<Packet> = (0..count)
            .map(|number| packet(f64::from(number) * every, 100, Way::Up))
            .collect();
        profile.spend(&packets, Duration::from_secs(3_600)).total
    }

    #[test]
    fn an_isolated_wakeup_on_lte_is_11_joules() {
        // By hand: 0.26 s · 1.21 W + 0.1 s · 1.2 W + 10 s · 1.06 W, and 0.8 kbit at 0.438 J for each Mbit.
        let by_hand = 0.3146 + 0.12 + 10.6 + 0.00035;
        let cost = an_hour_of(&LTE_2012, 3_600.0);
        close(cost.joules, by_hand, 1e-6);
        // In the literature.
        close(cost.joules, 11.06, 0.005);
        close(cost.mah(), 0.80, 0.01);
        assert_eq!(cost.wakeups, 1);
        assert_eq!(cost.high, Duration::from_millis(260 + 100 + 10_000));
        assert_eq!((cost.sent, cost.received), (100, 0));
        close(an_hour_of(&LTE, 3_600.0).joules / 11.06, 0.65, 0.01);
    }

    #[test]
    fn an_exchange_on_wifi_is_an_eighth_of_a_joule() {
        // There and back in 50 ms, then 0.25 s: 0.3 s · 0.403 W.
        let packets = [packet(1.0, 100, Way::Up), packet(1.05, 100, Way::Down)];
        let spent = WIFI.spend(&packets, Duration::from_secs(10));
        close(spent.total.joules, 0.1209, 1e-6);
        close(spent.total.mah(), 0.009, 0.05);
        close(spent.idle_joules, 0.02 * 9.7, 1e-6);
    }

    #[test]
    fn a_wakeup_on_3g_is_9_joules() {
        // 2 s · 0.53 W + 5 s · 0.7 W + 12 s · 0.35 W.
        close(an_hour_of(&UMTS, 3_600.0).joules, 8.76, 1e-6);
    }

    #[test]
    fn keepalives_cost_what_the_literature_says() {
        let table = [
            (15.0, 192.0),
            (25.0, 115.0),
            (30.0, 96.0),
            (60.0, 48.0),
            (120.0, 24.0),
            (270.0, 10.6),
            (600.0, 4.8),
            (900.0, 3.2),
            (1_800.0, 1.6),
            (3_600.0, 0.8),
        ];
        for (every, expected) in table {
            // 270 s fit 13.3 times into an hour.
            let whole = (3_600.0_f64 / every).fract() / (3_600.0 / every);
            let charge = an_hour_of(&LTE_2012, every).mah() / (1.0 - whole);
            close(charge, expected, 0.02);
        }
    }

    #[test]
    fn packets_close_together_share_promotion_and_tail() {
        let packets = [packet(0.0, 0, Way::Up), packet(5.0, 0, Way::Down)];
        let end = Duration::from_secs(60);
        let one = LTE_2012.spend(&packets[..1], end);
        let two = LTE_2012.spend(&packets, end);
        // 5 s more, of which a tenth of a second is active.
        let more = two.total.joules - one.total.joules;
        close(more, 4.9 * 1.06 + 0.1 * 1.2, 1e-6);
        assert_eq!(two.wakeups, [Duration::ZERO]);
    }

    #[test]
    fn bytes_cost_little_beside_the_tail() {
        let end = Duration::from_secs(60);
        let small = LTE_2012.spend(&[packet(0.0, 0, Way::Down)], end);
        let large = LTE_2012.spend(&[packet(0.0, 1_000_000, Way::Down)], end);
        // 8 Mbit at 0.052 J.
        close(large.total.joules - small.total.joules, 0.416, 1e-6);
    }

    #[test]
    fn each_reason_is_charged_with_what_it_adds() {
        let mut packets = [
            packet(0.0, 10, Way::Up),
            packet(4.0, 20, Way::Down),
            packet(60.0, 30, Way::Up),
        ];
        packets[1].reason = "other";
        let spent = LTE.spend(&packets, Duration::from_secs(100));
        let (test, other) = (spent.by_reason["test"], spent.by_reason["other"]);
        assert_eq!(other.high, Duration::from_secs(4));
        assert_eq!((test.wakeups, other.wakeups), (2, 0));
        assert_eq!((test.sent, other.received), (40, 20));
        close(test.joules + other.joules, spent.total.joules, 1e-9);
    }
}
