//! The radio over a trace of packets: Idle, Promotion, Active, Tail, and Idle again.
//!
//! What costs is not the bytes but that the radio stays up after them. Constants and their sources: docs/BATTERY.md,
//! "How it is measured".

use std::{collections::BTreeMap, time::Duration};

/// A kind of radio.
pub struct Profile {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it is called in a picture.
    pub title: &'static str,
    /// From idle until the first packet can pass.
    promotion: Phase,
    /// While packets pass, and for how long it still waits for the next one.
    active: Phase,
    /// After that, before it is idle.
    tail: Phase,
    /// On top, for each bit sent and received, in joules.
    bit: (f64, f64),
    /// When idle, in watts: the same whatever an app does, so it is told apart from what a policy costs.
    idle: f64,
}

struct Phase {
    lasts: Duration,
    watts: f64,
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
    /// By reason. What the radio does until the next packet is charged to the one before.
    pub by_reason: BTreeMap<&'static str, Cost>,
    /// When the radio was woken: traffic after 10 seconds of silence, as the phone's own ledger counts.
    pub wakeups: Vec<Duration>,
    /// What the radio takes when idle, in joules.
    pub idle_joules: f64,
}

/// Sums.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Above what an idle radio takes.
    pub joules: f64,
    pub wakeups: u64,
    /// Not idle.
    pub high: Duration,
    pub sent: u64,
    pub received: u64,
}

impl Profile {
    /// What packets in order of time cost until `end`.
    pub fn spend(&self, packets: &[Packet], end: Duration) -> Spent {
        let mut spent = Spent::default();
        let mut high = Duration::ZERO;
        let mut last: Option<Duration> = None;
        for (index, packet) in packets.iter().enumerate() {
            let cost = spent.by_reason.entry(packet.reason).or_default();
            if last.is_none_or(|last| packet.at.saturating_sub(last) > SILENCE) {
                cost.wakeups += 1;
                spent.wakeups.push(packet.at);
            }
            let up = self.active.lasts + self.tail.lasts;
            if last.is_none_or(|last| packet.at.saturating_sub(last) > up) {
                cost.joules += self.promotion.joules();
                cost.high += self.promotion.lasts;
            }
            let next = packets.get(index + 1).map_or(end, |next| next.at);
            let mut until_next = next.saturating_sub(packet.at);
            for phase in [&self.active, &self.tail] {
                let lasts = phase.lasts.min(until_next);
                cost.joules += phase.watts * lasts.as_secs_f64();
                cost.high += lasts;
                until_next -= lasts;
            }
            let bits = 8.0 * f64::from(packet.bytes);
            match packet.way {
                Way::Up => {
                    cost.sent += u64::from(packet.bytes);
                    cost.joules += bits * self.bit.0;
                }
                Way::Down => {
                    cost.received += u64::from(packet.bytes);
                    cost.joules += bits * self.bit.1;
                }
            }
            last = Some(packet.at);
        }
        for cost in spent.by_reason.values() {
            high += cost.high;
        }
        spent.idle_joules = self.idle * end.saturating_sub(high).as_secs_f64();
        spent
    }
}

impl Phase {
    fn joules(&self) -> f64 {
        self.watts * self.lasts.as_secs_f64()
    }
}

impl Spent {
    /// All reasons together.
    pub fn total(&self) -> Cost {
        let mut total = Cost::default();
        for cost in self.by_reason.values() {
            total.joules += cost.joules;
            total.wakeups += cost.wakeups;
            total.high += cost.high;
            total.sent += cost.sent;
            total.received += cost.received;
        }
        total
    }
}

/// A phone's battery charge for this energy, in milliampere hours.
pub fn milliampere_hours(joules: f64) -> f64 {
    joules / VOLTS / 3.6
}

/// LTE as measured in 2012 (Huang et al., MobiSys 2012; the same constants in AT&T's VideoOptimizer, `lte.conf`).
pub const LTE_2012: Profile = Profile {
    name: "lte2012",
    title: "LTE, constants of 2012",
    tail: Phase {
        lasts: LTE_TAIL,
        watts: 1.06,
    },
    ..LTE
};

/// LTE with the tail's power calibrated by a phone of 2020, which says 97.5 mAh an hour at 55 % of radio time (issue
/// 21045 of status-app, `batterystats`, itself a model): an isolated wake-up costs 0.65 of what it did in 2012.
pub const LTE: Profile = Profile {
    name: "lte",
    title: "LTE, recalibrated",
    promotion: Phase {
        lasts: Duration::from_millis(260),
        watts: 1.21,
    },
    active: Phase {
        lasts: Duration::from_millis(100),
        watts: 1.2,
    },
    tail: Phase {
        lasts: LTE_TAIL,
        watts: 0.68,
    },
    bit: (0.438e-6, 0.052e-6),
    // 43 ms of 0.594 W in each paging cycle of 1.28 s.
    idle: 0.594 * 0.043 / 1.28,
};

/// UMTS (VideoOptimizer, `ProfileFactoryImpl.java`): DCH, then FACH.
pub const UMTS: Profile = Profile {
    name: "3g",
    title: "3G",
    promotion: Phase {
        lasts: Duration::from_secs(2),
        watts: 0.53,
    },
    active: Phase {
        lasts: Duration::from_secs(5),
        watts: 0.7,
    },
    tail: Phase {
        lasts: Duration::from_secs(12),
        watts: 0.35,
    },
    bit: (0.0, 0.0),
    idle: 0.0,
};

/// Wi-Fi (VideoOptimizer, `WiFi.conf`).
pub const WIFI: Profile = Profile {
    name: "wifi",
    title: "Wi-Fi",
    promotion: Phase {
        lasts: Duration::ZERO,
        watts: 0.0,
    },
    active: Phase {
        lasts: Duration::from_millis(250),
        watts: 0.403,
    },
    tail: Phase {
        lasts: Duration::ZERO,
        watts: 0.0,
    },
    bit: (0.0, 0.0),
    idle: 0.02,
};

/// All kinds.
pub const PROFILES: [&Profile; 4] = [&LTE, &LTE_2012, &UMTS, &WIFI];

/// Short DRX, then long DRX.
const LTE_TAIL: Duration = Duration::from_millis(20 + 10_000);
/// A battery's voltage.
const VOLTS: f64 = 3.85;
/// Whatever comes after this much silence has woken the radio.
const SILENCE: Duration = Duration::from_secs(10);

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
    fn an_hour_of(profile: &Profile, every: f64) -> Cost {
        let count = (3_600.0 / every) as u32;
        let packets: Vec<Packet> = (0..count)
            .map(|number| packet(f64::from(number) * every, 100, Way::Up))
            .collect();
        profile
            .spend(&packets, Duration::from_secs(3_600 + 60))
            .total()
    }

    #[test]
    fn an_isolated_wakeup_on_lte_is_11_joules() {
        // 0.26 s · 1.21 W + 0.1 s · 1.2 W + 10.02 s · 1.06 W, and 800 bits sent.
        let cost = an_hour_of(&LTE_2012, 3_600.0);
        close(cost.joules, 11.06, 0.001);
        close(milliampere_hours(cost.joules), 0.80, 0.005);
        assert_eq!(cost.wakeups, 1);
        assert_eq!(cost.high, Duration::from_millis(260 + 100 + 10_020));
        assert_eq!((cost.sent, cost.received), (100, 0));
        // Recalibrated: the tail of 10.02 s at 0.68 W.
        close(an_hour_of(&LTE, 3_600.0).joules / 11.06, 0.65, 0.02);
    }

    #[test]
    fn an_exchange_on_wifi_is_an_eighth_of_a_joule() {
        // There and back in 50 ms, then 0.25 s: 0.3 s · 0.403 W.
        let packets = [packet(1.0, 100, Way::Up), packet(1.05, 100, Way::Down)];
        let spent = WIFI.spend(&packets, Duration::from_secs(10));
        close(spent.total().joules, 0.12, 0.02);
        close(milliampere_hours(spent.total().joules), 0.009, 0.05);
        close(spent.idle_joules, 0.02 * 9.7, 0.001);
    }

    #[test]
    fn a_wakeup_on_3g_is_9_joules() {
        // 2 s · 0.53 W + 5 s · 0.7 W + 12 s · 0.35 W.
        close(an_hour_of(&UMTS, 3_600.0).joules, 8.76, 0.001);
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
            (1_680.0, 1.7),
            (3_600.0, 0.8),
        ];
        for (every, expected) in table {
            let charge = milliampere_hours(an_hour_of(&LTE_2012, every).joules);
            // The table counts 2.14 wake-ups an hour of 28 minutes, of which two whole ones are in this hour.
            let expected = if every == 1_680.0 { 1.6 } else { expected };
            close(charge, expected, 0.03);
        }
    }

    #[test]
    fn packets_close_together_share_promotion_and_tail() {
        let one = LTE.spend(&[packet(0.0, 0, Way::Up)], Duration::from_secs(60));
        // The second one comes in the tail: 5 s more of tail, a tenth of a second of them active.
        let packets = [packet(0.0, 0, Way::Up), packet(5.0, 0, Way::Down)];
        let two = LTE.spend(&packets, Duration::from_secs(60));
        let more = two.total().joules - one.total().joules;
        close(more, 4.9 * 0.68 + 0.1 * 1.2, 0.001);
        assert_eq!(two.wakeups, [Duration::ZERO]);
    }

    #[test]
    fn bytes_cost_little_beside_the_tail() {
        let small = LTE.spend(&[packet(0.0, 100, Way::Down)], Duration::from_secs(60));
        let large = LTE.spend(&[packet(0.0, 1_000_000, Way::Down)], Duration::from_secs(60));
        // 8 Mbit at 0.052 J.
        let more = large.total().joules - small.total().joules;
        close(more, 0.416, 0.001);
    }

    #[test]
    fn what_the_radio_does_is_charged_to_whom_it_waits_for() {
        let mut packets = [packet(0.0, 10, Way::Up), packet(4.0, 10, Way::Up)];
        packets[1].reason = "other";
        let spent = LTE.spend(&packets, Duration::from_secs(60));
        let (first, second) = (spent.by_reason["test"], spent.by_reason["other"]);
        assert_eq!(first.high, Duration::from_millis(4_260));
        assert_eq!(second.high, Duration::from_millis(10_120));
        assert_eq!((first.wakeups, second.wakeups), (1, 0));
    }
}
