//! What traffic costs: state machines of radios, the same for the ledger and for the laboratory.
//!
//! A radio that is idle is promoted when a packet comes, is active while packets go, and stays up for a while after the
//! last one, which is what costs most: an isolated packet on LTE takes about 11 J, nearly all of it afterwards. Constants
//! are those of AT&T's VideoOptimizer (`ARO.Core/src/main/resources/{lte,WiFi}.conf`, `ProfileFactoryImpl.java`), which
//! are those of Huang et al., "A Close Examination of Performance and Power Characteristics of 4G LTE Networks", MobiSys
//! 2012, table 4. Old hardware, so: good for comparing, not for promises.

use std::time::Duration;

use super::NetworkKind;

/// Traffic after so much silence is a wake-up.
pub const SILENCE: Duration = Duration::from_secs(10);

/// A kind of radio. Powers are in watts, above that of a phone with the radio off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// How long promotion from idle takes.
    pub promotion: Duration,
    /// Power during promotion.
    pub promotion_power: f64,
    /// Power while packets go, and for [`Profile::hold`] after the last one.
    pub active_power: f64,
    /// How long the radio stays active after a packet.
    pub hold: Duration,
    /// How long it stays up after that.
    pub tail: Duration,
    /// Power meanwhile.
    pub tail_power: f64,
    /// Mean power while idle: paging, whatever apps do.
    pub idle_power: f64,
    /// Energy for each byte sent, in joules.
    pub sent_byte: f64,
    /// Energy for each byte received, in joules.
    pub received_byte: f64,
}

impl Profile {
    /// LTE as measured in 2012. 438 mW for each Mbit/s up are 0.438 J for each Mbit; 52 mW down.
    pub const LTE_2012: Self = Self {
        promotion: Duration::from_millis(260),
        promotion_power: 1.21,
        active_power: 1.2,
        hold: Duration::from_millis(100),
        tail: Duration::from_secs(10),
        tail_power: 1.06,
        // 43 ms at 0.594 W in each 1.28 s.
        idle_power: 0.594 * 43.0 / 1_280.0,
        sent_byte: 0.438 * 8e-6,
        received_byte: 0.052 * 8e-6,
    };
    /// LTE recalibrated: the power of 2012 times 0.65, which makes 55 % of the time up cost 97.5 mAh an hour, as
    /// batterystats showed for a Galaxy S20 (status-app issue 21045).
    pub const LTE_2026: Self = Self {
        promotion_power: 1.21 * MODERN,
        active_power: 1.2 * MODERN,
        tail_power: 1.06 * MODERN,
        idle_power: 0.594 * 43.0 / 1_280.0 * MODERN,
        sent_byte: 0.438 * 8e-6 * MODERN,
        received_byte: 0.052 * 8e-6 * MODERN,
        ..Self::LTE_2012
    };
    /// 3G: a dedicated channel for 5 s after the last packet, a shared one for 12 s more.
    pub const UMTS: Self = Self {
        promotion: Duration::from_secs(2),
        promotion_power: 0.53,
        active_power: 0.7,
        hold: Duration::from_secs(5),
        tail: Duration::from_secs(12),
        tail_power: 0.35,
        idle_power: 0.0,
        sent_byte: 0.0,
        received_byte: 0.0,
    };
    /// Wi-Fi.
    pub const WIFI: Self = Self {
        promotion: Duration::ZERO,
        promotion_power: 0.0,
        active_power: 0.403,
        hold: Duration::from_millis(250),
        tail: Duration::ZERO,
        tail_power: 0.0,
        idle_power: 0.02,
        sent_byte: 0.0,
        received_byte: 0.0,
    };

    /// The radio that the ledger reckons with: LTE for all that is not known to be Wi-Fi.
    pub const fn of(network: NetworkKind) -> Self {
        match network {
            NetworkKind::Wifi => Self::WIFI,
            NetworkKind::Cellular | NetworkKind::Offline | NetworkKind::Other => Self::LTE_2026,
        }
    }

    /// How long it is up after a packet.
    pub fn up(&self) -> Duration {
        self.hold + self.tail
    }
}

const MODERN: f64 = 0.65;
/// Volts at which joules are turned into the milliampere-hours of a battery.
pub const VOLTS: f64 = 3.85;

/// What some traffic cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Energy {
    /// Energy in joules, that of the idle radio not included.
    pub joules: f64,
    /// Packets after more than [`SILENCE`].
    pub wakeups: u64,
    /// Time that the radio was up, promotions included.
    pub high: Duration,
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
}

impl Energy {
    /// The charge that this takes from a battery, in mAh.
    pub fn mah(&self) -> f64 {
        self.joules / VOLTS / 3.6
    }
}

/// One radio over time: given packets in their order, it sums up what they cost.
#[derive(Clone, Debug)]
pub struct Radio {
    profile: Profile,
    /// The last packet.
    last: Option<Duration>,
    spent: Energy,
}

impl Radio {
    /// A radio that is idle.
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            last: None,
            spent: Energy::default(),
        }
    }

    /// A packet at a time since the start, with all its headers. One before the last counts as at the same time.
    pub fn packet(&mut self, at: Duration, bytes: u64, up: bool) {
        let gap = self.last.map(|last| at.saturating_sub(last));
        if let Some(gap) = gap {
            self.stay_up(gap);
        }
        if gap.is_none_or(|gap| gap > self.profile.up()) {
            self.spent.high += self.profile.promotion;
            self.spent.joules +=
                self.profile.promotion.as_secs_f64() * self.profile.promotion_power;
        }
        if gap.is_none_or(|gap| gap > SILENCE) {
            self.spent.wakeups += 1;
        }
        let (count, byte) = if up {
            (&mut self.spent.sent, self.profile.sent_byte)
        } else {
            (&mut self.spent.received, self.profile.received_byte)
        };
        *count = count.saturating_add(bytes);
        self.spent.joules += bytes as f64 * byte;
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
    }

    /// What was spent, once the radio is idle again.
    pub fn finish(mut self) -> Energy {
        if self.last.is_some() {
            self.stay_up(self.profile.up());
        }
        self.spent
    }

    /// Nothing came for `gap` after a packet.
    fn stay_up(&mut self, gap: Duration) {
        let active = gap.min(self.profile.hold);
        let tail = gap.min(self.profile.up()).saturating_sub(active);
        self.spent.high += active + tail;
        self.spent.joules += active.as_secs_f64() * self.profile.active_power
            + tail.as_secs_f64() * self.profile.tail_power;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(profile: Profile, interval: Duration, total: Duration) -> Energy {
        let mut radio = Radio::new(profile);
        let mut at = Duration::ZERO;
        while at < total {
            radio.packet(at, 60, true);
            at += interval;
        }
        radio.finish()
    }

    #[test]
    fn an_isolated_packet_costs_what_the_model_says() {
        let hour = Duration::from_secs(3_600);
        let lte = every(Profile::LTE_2012, hour, hour);
        assert!((lte.joules - 11.06).abs() < 0.05, "{}", lte.joules);
        assert_eq!(lte.wakeups, 1);
        assert_eq!(lte.high, Duration::from_millis(10_360));
        assert!((lte.mah() - 0.80).abs() < 0.01, "{}", lte.mah());
        let wifi = every(Profile::WIFI, hour, hour);
        assert!((wifi.joules - 0.12).abs() < 0.03, "{}", wifi.joules);
    }

    #[test]
    fn keepalives_cost_what_was_measured() {
        let three = Duration::from_secs(3 * 3_600);
        // research/mobile_sdk.md, section 3.3: mAh an hour on LTE.
        for (seconds, mah) in [(30, 96.0), (60, 48.0), (270, 10.6), (900, 3.2)] {
            let spent = every(Profile::LTE_2012, Duration::from_secs(seconds), three);
            let each = spent.mah() / 3.0;
            assert!((each - mah).abs() / mah < 0.05, "each {seconds} s: {each}");
        }
    }

    #[test]
    fn packets_within_the_tail_share_it() {
        let mut radio = Radio::new(Profile::LTE_2012);
        for tenth in 0..100 {
            radio.packet(Duration::from_millis(100 * tenth), 1_200, tenth % 2 == 0);
        }
        let spent = radio.finish();
        assert_eq!(spent.wakeups, 1);
        assert_eq!(spent.high, Duration::from_millis(260 + 9_900 + 10_100));
        assert_eq!((spent.sent, spent.received), (60_000, 60_000));
    }
}
