//! All chance of a simulation, from its seed.

use ailurus::crypto::{Entropy, SeededEntropy};

/// A stream of random numbers that a seed repeats.
pub struct Random(SeededEntropy);

impl Random {
    /// The stream of a seed and a purpose, so that one part of the world does not shift the chances of another.
    pub fn new(seed: u64, purpose: u64) -> Self {
        Self(SeededEntropy::from_u64(
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .wrapping_add(purpose),
        ))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A number below `end`; zero if there is none.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % (end.max(1) as u64)) as usize
    }

    /// A number from 0 up to and without 1.
    pub fn unit(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True once in so many.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A waiting time with this mean: of what happens at any moment alike.
    pub fn wait(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.below(of.len())).copied()
    }

    /// For keys.
    pub fn entropy(&mut self) -> &mut dyn Entropy {
        &mut self.0
    }
}
