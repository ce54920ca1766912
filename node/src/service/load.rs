//! How busy the node is: measured by the server, told to clients and to whoever watches the node.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ailurus::wire::{node::Load, time::UnixMillis};

use crate::{config::Limits, store::Totals};

/// Processor time and latency of about the last minute, in memory of fixed size.
#[derive(Default)]
pub(crate) struct LoadMeter {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// When, and how much processor time had been used by then.
    samples: VecDeque<(UnixMillis, Duration)>,
    cpu_permille: u32,
    /// Answers by latency, of slices of ten seconds.
    slices: [Slice; SLICES],
}

#[derive(Clone, Copy, Default)]
struct Slice {
    /// Number of the ten seconds that it counts, since 1970.
    number: u64,
    buckets: [u32; BUCKETS],
}

impl LoadMeter {
    /// Notes how much processor time this process has used so far, on a machine with so many cores.
    pub(crate) fn sample_cpu(&self, now: UnixMillis, used: Duration, cores: usize) {
        let mut inner = self.inner();
        // A clock that was set back would make a minute last for years.
        if inner.samples.back().is_some_and(|(last, _)| *last >= now) {
            inner.samples.clear();
        }
        inner.samples.push_back((now, used));
        while inner.samples.len() > SAMPLES
            || inner
                .samples
                .front()
                .is_some_and(|(first, _)| now.since(*first) > MINUTE)
        {
            inner.samples.pop_front();
        }
        let Some((first, before)) = inner.samples.front().copied() else {
            return;
        };
        let passed = now
            .since(first)
            .as_millis()
            .saturating_mul(cores.max(1) as u128);
        let busy = used.saturating_sub(before).as_millis();
        let permille = busy.saturating_mul(1_000).checked_div(passed).unwrap_or(0);
        inner.cpu_permille = u32::try_from(permille).unwrap_or(u32::MAX).min(1_000);
    }

    /// Notes how long a request waited for its answer.
    pub(crate) fn answered(&self, now: UnixMillis, latency: Duration) {
        let number = now.as_secs() / SLICE_S;
        let mut inner = self.inner();
        let index = usize::try_from(number % SLICES as u64).unwrap_or(0);
        let Some(slice) = inner.slices.get_mut(index) else {
            return;
        };
        if slice.number != number {
            *slice = Slice {
                number,
                ..Slice::default()
            };
        }
        if let Some(bucket) = slice.buckets.get_mut(bucket(latency)) {
            *bucket = bucket.saturating_add(1);
        }
    }

    /// Of all cores, over the last minute.
    pub(crate) fn cpu_permille(&self) -> u32 {
        self.inner().cpu_permille
    }

    /// Median of the last minute; zero if there was no request.
    pub(crate) fn latency_ms(&self, now: UnixMillis) -> u32 {
        let last = now.as_secs() / SLICE_S;
        let inner = self.inner();
        let recent: Vec<&Slice> = inner
            .slices
            .iter()
            .filter(|slice| slice.number <= last && last - slice.number < SLICES as u64)
            .collect();
        let in_bucket = |index: usize| -> u64 {
            let counts = recent.iter().filter_map(|slice| slice.buckets.get(index));
            counts.map(|count| u64::from(*count)).sum()
        };
        let half = (0..BUCKETS).map(in_bucket).sum::<u64>().div_ceil(2);
        if half == 0 {
            return 0;
        }
        let mut below = 0_u64;
        for index in 0..BUCKETS {
            below = below.saturating_add(in_bucket(index));
            if below >= half {
                return upper_ms(index);
            }
        }
        0
    }

    /// Everything that clients are told.
    pub(crate) fn load(&self, now: UnixMillis, totals: &Totals, limits: &Limits) -> Load {
        Load {
            clients: u32::try_from(totals.clients).unwrap_or(u32::MAX),
            clients_permille: permille(totals.clients, limits.registrations),
            storage_permille: permille(totals.bytes, limits.bytes),
            cpu_permille: self.cpu_permille(),
            latency_ms: self.latency_ms(now),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn permille(used: u64, most: u64) -> u32 {
    let permille = u128::from(used) * 1_000 / u128::from(most.max(1));
    u32::try_from(permille).unwrap_or(u32::MAX).min(1_000)
}

/// Buckets grow by half powers of two of a millisecond: 1, 1.4, 2, 2.8, 4 and so on.
fn bucket(latency: Duration) -> usize {
    (0..BUCKETS)
        .find(|index| latency.as_secs_f64() * 1_000.0 <= upper(*index))
        .unwrap_or(BUCKETS - 1)
}

fn upper(index: usize) -> f64 {
    (index as f64 / 2.0).exp2()
}

fn upper_ms(index: usize) -> u32 {
    upper(index).round() as u32
}

const MINUTE: Duration = Duration::from_secs(60);
/// Samples of processor time kept.
const SAMPLES: usize = 64;
/// Seconds of a slice, and slices of a minute.
const SLICE_S: u64 = 10;
const SLICES: usize = 6;
/// The last one begins at about 32 seconds.
const BUCKETS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis::from_secs(1_700_000_000);

    #[test]
    fn processor_time_is_that_of_the_last_minute_over_all_cores() {
        let meter = LoadMeter::default();
        for second in 0..200 {
            // Idle for a while, then one core of four.
            let used = Duration::from_secs(second.max(100) - 100);
            meter.sample_cpu(NOW.after(Duration::from_secs(second)), used, 4);
            if second == 100 {
                assert_eq!(meter.cpu_permille(), 0);
            }
        }
        assert_eq!(meter.cpu_permille(), 250);
        // The clock was set back.
        meter.sample_cpu(NOW, Duration::from_secs(101), 4);
        meter.sample_cpu(
            NOW.after(Duration::from_secs(1)),
            Duration::from_secs(103),
            4,
        );
        assert_eq!(meter.cpu_permille(), 500);
    }

    #[test]
    fn latency_is_the_median_and_is_forgotten() {
        let meter = LoadMeter::default();
        assert_eq!(meter.latency_ms(NOW), 0);
        for latency in [1, 2, 60, 70, 9_000] {
            meter.answered(NOW, Duration::from_millis(latency));
        }
        let median = meter.latency_ms(NOW);
        assert!((60..=85).contains(&median), "{median}");
        let later = NOW.after(Duration::from_secs(70));
        assert_eq!(meter.latency_ms(later), 0);
        meter.answered(later, Duration::from_secs(3_600));
        assert!(meter.latency_ms(later) > 30_000);
    }

    #[test]
    fn shares_never_exceed_the_whole() {
        let totals = Totals {
            clients: 5,
            bytes: 200,
            ..Totals::default()
        };
        let limits = Limits {
            registrations: 10,
            bytes: 100,
            ..Limits::default()
        };
        let load = LoadMeter::default().load(NOW, &totals, &limits);
        assert_eq!((load.clients, load.clients_permille), (5, 500));
        assert_eq!(load.storage_permille, 1_000);
    }
}
