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
    kdf::TaggedHasher,
    multiscalar::{self, Point, Term},
    schnorr::{PublicKey, Signature},
};

/// Signatures verified together; larger inputs are cut into batches of this size.
pub const BATCH_SIZE: usize = 128;

/// From this size down, single verification is the quicker way to name the false signature.
const SINGLE_BELOW: usize = 3;

static CHALLENGE: LazyLock<TaggedHasher> = LazyLock::new(|| TaggedHasher::new("BIP0340/challenge"));
static BATCH: LazyLock<TaggedHasher> = LazyLock::new(|| TaggedHasher::new("ailurus/batch"));
static COEFFICIENT: LazyLock<TaggedHasher> = LazyLock::new(|| TaggedHasher::new("ailurus/batch/coefficient"));

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
/// A batch that fails is bisected. A single false signature costs about two batches more, and a batch full of them about
/// four times the work of single verification: charge it to who sent it.
pub fn verify_each(items: &[BatchItem]) -> Vec<bool> {
    let mut results = Vec::with_capacity(items.len());
    for items in items.chunks(BATCH_SIZE) {
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
        for (item, claim) in items.iter().enumerate() {
            let coefficient = coefficients.next();
            let (r_bytes, s_bytes) = claim.signature.halves();
            let Some(s) = Scalar::from_repr((*s_bytes).into()).into_option() else {
                continue;
            };
            // BIP-340 allows s = 0; k256 does not, and nobody can make such a signature.
            if bool::from(s.is_zero()) {
                continue;
            }
            let (Some(r), Some(point)) = (Point::lift_x(r_bytes), Point::from_affine(claim.key.affine())) else {
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
        if entries.len() < SINGLE_BELOW {
            for entry in entries {
                let claim = &items[entry.item];
                verdicts[entry.item] = claim.key.verify(&claim.message, &claim.signature).is_ok();
            }
            return;
        }
        if self.passes(entries) {
            for entry in entries {
                verdicts[entry.item] = true;
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
            parts.extend([item.key.as_bytes().as_slice(), &item.message, item.signature.as_bytes()]);
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
