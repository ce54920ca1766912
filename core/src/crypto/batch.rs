//! Many BIP-340 signatures verified at once (BIP-340, "Batch Verification").
//!
//! All signatures of a batch pass together if Σ aᵢ·Rᵢ + Σ aᵢ·eᵢ·Pᵢ = (Σ aᵢ·sᵢ)·G, where the coefficients aᵢ are 128 bits
//! from a tagged hash of the whole batch, signatures included; a false signature slips through with probability 2^-128.
//! The terms of one public key are folded into one, so it pays to batch by channel. secp256k1 has no cofactor, so batch
//! and single verification agree on every input.

use std::{collections::HashMap, sync::LazyLock};

use k256::{
    ProjectivePoint, Scalar, U256,
    elliptic_curve::{ff::PrimeField, ops::Reduce},
};

use crate::crypto::{
    affine::{self, Point},
    kdf::TaggedHasher,
    multiscalar::{self, Term},
    schnorr::{PublicKey, Signature},
};

/// Signatures verified together; larger inputs are cut into batches of this size.
pub const BATCH_SIZE: usize = 128;

/// Fewer than this are verified one by one, which is faster.
const FEW: usize = 3;

/// A failed batch of this size or less is settled by single verification, which is quicker there than bisecting on.
const SETTLE_SINGLY: usize = 8;

static CHALLENGE: LazyLock<TaggedHasher> = LazyLock::new(|| TaggedHasher::new("BIP0340/challenge"));
static BATCH: LazyLock<TaggedHasher> = LazyLock::new(|| TaggedHasher::new("ailurus/batch"));
static COEFFICIENT: LazyLock<TaggedHasher> =
    LazyLock::new(|| TaggedHasher::new("ailurus/batch/coefficient"));

/// A signature with what it claims.
#[derive(Clone, Copy, Debug)]
pub struct BatchItem {
    /// Who is said to have signed.
    pub key: PublicKey,
    /// What is said to have been signed.
    pub message: [u8; 32],
    /// The signature.
    pub signature: Signature,
}

/// A batch did not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// At least one signature is false.
    #[error("at least one signature of the batch is false: find out which with verify_each")]
    Invalid,
}

/// Checks that every signature is good; an empty batch passes.
///
/// # Errors
///
/// [`BatchError::Invalid`] if at least one is not.
pub fn verify_batch(items: &[BatchItem]) -> Result<(), BatchError> {
    let passes = items.chunks(BATCH_SIZE).all(|items| {
        let batch = Batch::new(items);
        batch.entries.len() == items.len() && batch.passes(&batch.entries)
    });
    passes.then_some(()).ok_or(BatchError::Invalid)
}

/// Checks each signature; result i is what [`PublicKey::verify`] says of item i.
///
/// A batch that fails is bisected. One false signature among 128 costs about as much as two and a half batches more, and
/// a batch of false ones two and a half times as much as single verification: charge it to who sent it.
pub fn verify_each(items: &[BatchItem]) -> Vec<bool> {
    let mut results = Vec::with_capacity(items.len());
    for items in items.chunks(BATCH_SIZE) {
        if items.len() < FEW {
            let verify = |item: &BatchItem| item.key.verify(&item.message, &item.signature).is_ok();
            results.extend(items.iter().map(verify));
            continue;
        }
        let batch = Batch::new(items);
        let mut verdicts = vec![false; items.len()];
        batch.bisect(&batch.entries, items, &mut verdicts);
        results.extend(verdicts);
    }
    results
}

/// What a batch is computed from once, however often it is bisected.
struct Batch {
    keys: Vec<Point>,
    /// Items whose R is on the curve and whose s is in range; the others are false already.
    entries: Vec<Entry>,
}

struct Entry {
    item: usize,
    key: usize,
    r: Point,
    coefficient: u128,
    /// Coefficient times s.
    s: Scalar,
    /// Coefficient times challenge.
    e: Scalar,
}

impl Batch {
    fn new(items: &[BatchItem]) -> Self {
        let mut coefficients = Coefficients::new(items);
        let mut seen = HashMap::new();
        let mut keys = Vec::new();
        let mut entries = Vec::with_capacity(items.len());
        let r_bytes: Vec<_> = items
            .iter()
            .map(|claim| claim.signature.halves().0)
            .collect();
        let lifted = affine::lift_x(&r_bytes);
        for ((item, claim), r) in items.iter().enumerate().zip(lifted) {
            let coefficient = coefficients.next();
            let (r_bytes, s_bytes) = claim.signature.halves();
            let Some(s) = Scalar::from_repr((*s_bytes).into()).into_option() else {
                continue;
            };
            // BIP-340 allows s = 0; k256 does not, and nobody can make such a signature.
            if bool::from(s.is_zero()) {
                continue;
            }
            let (Some(r), Some(point)) = (r, Point::from_affine(claim.key.affine())) else {
                continue;
            };
            let key = *seen.entry(claim.key.as_bytes()).or_insert_with(|| {
                keys.push(point);
                keys.len() - 1
            });
            let challenge = CHALLENGE.hash(&[r_bytes, claim.key.as_bytes(), &claim.message]);
            let e = Scalar::reduce(&U256::from_be_slice(&challenge));
            let factor = Scalar::from(coefficient);
            entries.push(Entry {
                item,
                key,
                r,
                coefficient,
                s: factor * s,
                e: factor * e,
            });
        }
        Self { keys, entries }
    }

    /// Whether the batch equation holds for these entries.
    fn passes(&self, entries: &[Entry]) -> bool {
        let mut s = Scalar::ZERO;
        let mut challenges: Vec<Option<Scalar>> = vec![None; self.keys.len()];
        let mut terms = Vec::with_capacity(entries.len() + 2 * self.keys.len());
        for entry in entries {
            s += entry.s;
            *challenges[entry.key].get_or_insert(Scalar::ZERO) += entry.e;
            terms.push(Term {
                point: entry.r,
                factor: entry.coefficient,
            });
        }
        for (key, challenge) in self.keys.iter().zip(challenges) {
            if let Some(challenge) = challenge {
                terms.extend(multiscalar::split(*key, &challenge));
            }
        }
        multiscalar::sum(&terms) == ProjectivePoint::mul_by_generator_vartime(&s)
    }

    fn bisect(&self, entries: &[Entry], items: &[BatchItem], verdicts: &mut [bool]) {
        if self.passes(entries) {
            for entry in entries {
                verdicts[entry.item] = true;
            }
            return;
        }
        if entries.len() <= SETTLE_SINGLY {
            for entry in entries {
                let claim = &items[entry.item];
                verdicts[entry.item] = claim.key.verify(&claim.message, &claim.signature).is_ok();
            }
            return;
        }
        let (left, right) = entries.split_at(entries.len() / 2);
        self.bisect(left, items, verdicts);
        self.bisect(right, items, verdicts);
    }
}

/// The coefficients of a batch, two from each hash of seed and counter.
struct Coefficients {
    seed: [u8; 32],
    counter: u32,
    spare: Option<u128>,
}

impl Coefficients {
    fn new(items: &[BatchItem]) -> Self {
        let mut parts: Vec<&[u8]> = Vec::with_capacity(3 * items.len());
        for item in items {
            parts.extend([
                item.key.as_bytes().as_slice(),
                &item.message,
                item.signature.as_bytes(),
            ]);
        }
        Self {
            seed: BATCH.hash(&parts),
            counter: 0,
            spare: None,
        }
    }

    fn next(&mut self) -> u128 {
        if let Some(coefficient) = self.spare.take() {
            return coefficient;
        }
        let hash = COEFFICIENT.hash(&[&self.seed, &self.counter.to_be_bytes()]);
        self.counter = self.counter.wrapping_add(1);
        let (halves, _) = hash.as_chunks::<16>();
        let mut halves = halves.iter().map(|half| u128::from_be_bytes(*half));
        let first = halves.next().unwrap_or(1);
        self.spare = halves.next();
        first
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::{
        entropy::{self, SeededEntropy},
        schnorr::SigningKey,
    };

    fn signed(size: usize, keys: usize) -> Vec<BatchItem> {
        let mut entropy = SeededEntropy::from_u64(1);
        let keys: Vec<_> = (0..keys)
            .map(|_| SigningKey::random(&mut entropy))
            .collect();
        (0..size)
            .zip(keys.iter().cycle())
            .map(|(_, key)| {
                let message = entropy::array(&mut entropy);
                let signature = key.sign(&message, &mut entropy);
                BatchItem {
                    key: key.public(),
                    message,
                    signature,
                }
            })
            .collect()
    }

    fn one_by_one(items: &[BatchItem]) -> Vec<bool> {
        items
            .iter()
            .map(|item| item.key.verify(&item.message, &item.signature).is_ok())
            .collect()
    }

    fn flip(item: &mut BatchItem, byte: usize) {
        match byte {
            0..64 => {
                let mut bytes = *item.signature.as_bytes();
                bytes[byte] ^= 1;
                item.signature = Signature::from_bytes(bytes);
            }
            byte => item.message[byte - 64] ^= 1,
        }
    }

    #[test]
    fn good_batches_of_any_size_pass() {
        assert_eq!(verify_batch(&[]), Ok(()));
        assert!(verify_each(&[]).is_empty());
        for size in [1, 2, 9, BATCH_SIZE + 1] {
            let items = signed(size, 3);
            assert_eq!(verify_batch(&items), Ok(()), "{size}");
            assert_eq!(verify_each(&items), vec![true; size]);
        }
    }

    #[test]
    fn the_same_signature_many_times_passes() {
        let mut items = vec![signed(1, 1)[0]; 40];
        assert_eq!(verify_batch(&items), Ok(()));
        flip(&mut items[7], 40);
        assert_eq!(verify_batch(&items), Err(BatchError::Invalid));
        assert_eq!(verify_each(&items), one_by_one(&items));
    }

    #[test]
    fn errors_that_cancel_in_a_plain_sum_are_found() {
        // Without coefficients s + 1 in one signature and s - 1 in another would cancel.
        let mut items = signed(2, 1);
        for (item, change) in items.iter_mut().zip([Scalar::ONE, -Scalar::ONE]) {
            let mut bytes = *item.signature.as_bytes();
            let s = Scalar::from_repr((*item.signature.halves().1).into()).unwrap() + change;
            bytes[32..].copy_from_slice(&s.to_bytes());
            item.signature = Signature::from_bytes(bytes);
        }
        assert_eq!(verify_batch(&items), Err(BatchError::Invalid));
        assert_eq!(verify_each(&items), [false, false]);
    }

    #[test]
    fn bytes_that_cannot_be_a_signature_are_false_and_spare_the_rest() {
        let mut items = signed(12, 2);
        let mut halves = *items[0].signature.as_bytes();
        halves[32..].fill(0);
        items[0].signature = Signature::from_bytes(halves);
        halves = *items[1].signature.as_bytes();
        halves[32..].fill(0xff);
        items[1].signature = Signature::from_bytes(halves);
        halves[..32].fill(0);
        items[2].signature = Signature::from_bytes(halves);
        halves[..32].fill(0xff);
        items[3].signature = Signature::from_bytes(halves);
        assert_eq!(verify_batch(&items), Err(BatchError::Invalid));
        assert_eq!(verify_each(&items), one_by_one(&items));
        assert_eq!(verify_each(&items).iter().filter(|good| **good).count(), 8);
    }

    #[test]
    fn coefficients_depend_on_every_signature() {
        let items = signed(3, 1);
        let mut changed = items.clone();
        flip(&mut changed[2], 63);
        let (mut one, mut two) = (Coefficients::new(&items), Coefficients::new(&changed));
        for _ in 0..3 {
            assert_ne!(one.next(), two.next());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn batch_and_single_verification_agree(
            size in 1..40usize, keys in 1..5usize,
            bad in prop::collection::vec((any::<prop::sample::Index>(), 0..96usize), 0..5),
            swap in any::<Option<(prop::sample::Index, prop::sample::Index)>>(),
        ) {
            let mut items = signed(size, keys);
            for (at, byte) in bad {
                flip(&mut items[at.index(size)], byte);
            }
            if let Some((a, b)) = swap {
                let signature = items[a.index(size)].signature;
                items[b.index(size)].signature = signature;
            }
            let expected = one_by_one(&items);
            prop_assert_eq!(verify_batch(&items).is_ok(), !expected.contains(&false));
            prop_assert_eq!(verify_each(&items), expected);
        }
    }
}
