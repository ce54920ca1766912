//! A phone in virtual time: it follows its plan, woken at random within the slack, and gets messages from a trace.

use std::time::Duration;

use ailurus::power::radio::{Energy, Profile, Radio};
use ailurus::power::{NetworkKind, NetworkState, Power};
use ailurus::wire::time::UnixMillis;

/// Midnight of some day.
pub const START: UnixMillis = UnixMillis::from_secs(20_000 * 86_400);

pub const CELLULAR: NetworkState = NetworkState {
    kind: NetworkKind::Cellular,
    metered: true,
    roaming: false,
};
pub const WIFI: NetworkState = NetworkState {
    kind: NetworkKind::Wifi,
    metered: false,
    roaming: false,
};
pub const OFFLINE: NetworkState = NetworkState {
    kind: NetworkKind::Offline,
    metered: false,
    roaming: false,
};

pub fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

pub fn hours(hours: u64) -> Duration {
    minutes(60 * hours)
}

/// xorshift64*: the same numbers from the same seed.
pub struct Random(pub u64);

impl Random {
    /// From 0 to 1.
    pub fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// With a mean, as the gaps between independent events are.
    pub fn gap(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-(1.0 - self.unit()).ln())
    }
}

/// 60 messages a day, in some ten conversations between 7:00 and 23:00, none at night.
pub fn family(days: u64, seed: u64) -> Vec<UnixMillis> {
    let mut random = Random(seed);
    let mut messages = Vec::new();
    for day in 0..days {
        let midnight = START.after(hours(24 * day));
        let mut today = Vec::new();
        while today.len() < 60 {
            let mut at = midnight.after(hours(7) + hours(16).mul_f64(random.unit()));
            for _ in 0..3 + (random.unit() * 7.0) as usize {
                if at < midnight.after(hours(23)) && today.len() < 60 {
                    today.push(at);
                }
                at = at.after(random.gap(minutes(2)));
            }
        }
        today.sort_unstable();
        messages.extend(today);
    }
    messages
}

/// What a phone did.
#[derive(Default)]
pub struct Lived {
    /// When it woke.
    pub wakeups: Vec<UnixMillis>,
    /// How long each message waited.
    pub delays: Vec<Duration>,
    pub energy: Energy,
}

impl Lived {
    /// Wake-ups in the hours of the day from one to another.
    pub fn between(&self, from: u64, to: u64) -> usize {
        let hour = |at: &&UnixMillis| (from..to).contains(&(at.as_secs() / 3_600 % 24));
        self.wakeups.iter().filter(hour).count()
    }

    pub fn median_delay(&self) -> Duration {
        let mut delays = self.delays.clone();
        delays.sort_unstable();
        delays[delays.len() / 2]
    }
}

/// Lets a phone live by its plan, on a mobile network that always works. With `push`, a second after each message a push
/// comes.
pub fn live(
    power: &mut Power,
    days: std::ops::Range<u64>,
    messages: &[UnixMillis],
    push: bool,
) -> Lived {
    let mut random = Random(7);
    let mut radio = Radio::new(Profile::LTE_2026);
    let mut lived = Lived::default();
    let start = START.after(hours(24 * days.start));
    let end = START.after(hours(24 * days.end));
    let inside = |at: &&UnixMillis| (start..end).contains(*at);
    let mut waiting = messages.iter().filter(inside).peekable();
    let mut pushes = messages
        .iter()
        .filter(inside)
        .map(|sent| sent.after(Duration::from_secs(1)))
        .filter(|_| push)
        .peekable();
    let mut now = start;
    loop {
        let wakeup = power.plan(now).wakeup.expect("a network");
        let woken = wakeup.at.after(wakeup.slack.mul_f64(random.unit()));
        match pushes.next_if(|pushed| *pushed <= woken) {
            Some(pushed) => {
                now = pushed;
                if !power.pushed(now) {
                    continue;
                }
            }
            None => now = woken,
        }
        if now >= end {
            break;
        }
        lived.wakeups.push(now);
        power.attempted(now);
        // One datagram each way; and if there is news, a connection that is resumed.
        let since = now.since(start);
        radio.packet(since, 178, true);
        radio.packet(since + Duration::from_millis(80), 178, false);
        let mut news = false;
        while let Some(sent) = waiting.next_if(|sent| **sent <= now) {
            news = true;
            lived.delays.push(now.since(*sent));
            power.received(*sent, now);
        }
        if news {
            for packet in 0..10 {
                let later = Duration::from_millis(160 + 40 * packet);
                radio.packet(since + later, 700, packet % 2 == 0);
            }
        }
        power.synced(now);
    }
    lived.energy = radio.finish();
    lived
}

/// What it costs to keep a connection open with a packet each 4.5 minutes, and to get the messages on it.
pub fn keep_alive(days: std::ops::Range<u64>, messages: &[UnixMillis]) -> Energy {
    let (start, end) = (
        START.after(hours(24 * days.start)),
        START.after(hours(24 * days.end)),
    );
    let mut packets: Vec<(Duration, u64, bool)> = Vec::new();
    let mut at = Duration::ZERO;
    while at < end.since(start) {
        packets.push((at, 60, true));
        packets.push((at + Duration::from_millis(80), 60, false));
        at += Duration::from_secs(270);
    }
    for sent in messages.iter().filter(|at| (start..end).contains(*at)) {
        packets.push((sent.since(start), 700, false));
        packets.push((sent.since(start) + Duration::from_millis(40), 60, true));
    }
    packets.sort_unstable();
    let mut radio = Radio::new(Profile::LTE_2026);
    for (at, bytes, up) in packets {
        radio.packet(at, bytes, up);
    }
    radio.finish()
}
