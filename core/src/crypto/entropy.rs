//! Where random bytes come from.
//!
//! Protocol rooms own no random source. They are handed `&mut dyn Entropy`: the operating system in an app, a seed in a
//! test, so that every run can be replayed.

use std::convert::Infallible;

use hpke::rand_core::{TryCryptoRng, TryRng};
use zeroize::Zeroizing;

use crate::crypto::kdf::TaggedHasher;

/// A source of random bytes fit for keys and nonces.
pub trait Entropy: Send {
    /// Fills all of `out` with random bytes.
    fn fill(&mut self, out: &mut [u8]);
}

/// Draws an array of `N` random bytes.
pub fn array<const N: usize>(entropy: &mut dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

/// The operating system's random source.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    /// Fills `out` from the operating system.
    ///
    /// # Panics
    ///
    /// If the operating system has no random source. Nothing secure can be done without one, so no caller is asked to
    /// handle it.
    fn fill(&mut self, out: &mut [u8]) {
        if let Err(error) = getrandom::fill(out) {
            panic!(
                "the operating system has no random source ({error}); no key can be made safely"
            );
        }
    }
}

/// A reproducible byte stream, for tests, simulations and test vectors only.
///
/// The stream is the tagged hash `ailurus/seeded-entropy` of seed ‖ block counter (u64, big-endian). Whoever knows the
/// seed knows every key that was drawn from it: never use it for keys that protect anything.
pub struct SeededEntropy {
    hasher: TaggedHasher,
    seed: Zeroizing<[u8; 32]>,
    counter: u64,
    block: Zeroizing<[u8; 32]>,
    used: usize,
}

impl SeededEntropy {
    /// Starts the stream of a 32-byte seed.
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            hasher: TaggedHasher::new("ailurus/seeded-entropy"),
            seed: Zeroizing::new(seed),
            counter: 0,
            block: Zeroizing::new([0; 32]),
            used: 32,
        }
    }

    /// Starts the stream of a small number, for tests that only need distinct streams.
    pub fn from_u64(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[24..].copy_from_slice(&seed.to_be_bytes());
        Self::new(bytes)
    }
}

impl Entropy for SeededEntropy {
    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            if self.used == self.block.len() {
                let counter = self.counter.to_be_bytes();
                *self.block = self.hasher.hash(&[self.seed.as_slice(), &counter]);
                self.counter = self.counter.wrapping_add(1);
                self.used = 0;
            }
            *byte = self.block[self.used];
            self.used += 1;
        }
    }
}

/// Lends an [`Entropy`] to crates that ask for a `rand_core` generator.
pub(super) struct EntropyRng<'a>(pub &'a mut dyn Entropy);

impl TryRng for EntropyRng<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(array(self.0)))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(array(self.0)))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for EntropyRng<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_stream_however_it_is_read() {
        let whole: [u8; 100] = array(&mut SeededEntropy::from_u64(7));
        let mut entropy = SeededEntropy::from_u64(7);
        let mut pieces = Vec::new();
        for size in [1, 31, 32, 33, 3] {
            let mut piece = vec![0; size];
            entropy.fill(&mut piece);
            pieces.extend(piece);
        }
        assert_eq!(pieces, whole);
        assert_ne!(whole, array::<100>(&mut SeededEntropy::from_u64(8)));
    }

    #[test]
    fn the_operating_system_does_not_repeat_itself() {
        assert_ne!(array::<32>(&mut OsEntropy), array::<32>(&mut OsEntropy));
    }
}
