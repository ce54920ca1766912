//! Sums of many secp256k1 points, each times a 128-bit factor: the arithmetic under batch verification.
//!
//! All of it runs in variable time and is for public data only. Method: every factor is written in width-5
//! non-adjacent form; the points that stand at one bit position are summed in affine coordinates, all positions
//! together, so that one field inversion serves hundreds of additions (Montgomery's trick); 129 doublings join the
//! positions. Affine additions with a shared inversion take about half the multiplications of the complete formulas.

use k256::{
    ProjectivePoint, Scalar,
    elliptic_curve::{ff::PrimeField, group::Group, scalar::IsHigh},
};

use crate::crypto::affine::{Field, Inverter, Point};

/// Width of the non-adjacent form.
const WIDTH: u32 = 5;

/// Odd multiples kept of each point: 1, 3, … 2^(WIDTH-1) - 1.
const TABLE: usize = 1 << (WIDTH - 2);

/// Bit positions that the non-adjacent form of a 128-bit number can have.
const POSITIONS: usize = 129;

/// λ of the endomorphism λ·(x, y) = (β·x, y), big-endian; see [`Point::times_lambda`].
const LAMBDA: [u8; 32] = [
    0x53, 0x63, 0xad, 0x4c, 0xc0, 0x5c, 0x30, 0xe0, 0xa5, 0x26, 0x1c, 0x02, 0x88, 0x12, 0x64, 0x5a,
    0x12, 0x2e, 0x22, 0xea, 0x20, 0x81, 0x66, 0x78, 0xdf, 0x02, 0x96, 0x7c, 0x1b, 0x23, 0xbd, 0x72,
];

/// The short lattice basis of the endomorphism, -b1 and b2 (Guide to Elliptic Curve Cryptography, algorithm 3.74).
const MINUS_B1: u128 = 0xe443_7ed6_010e_8828_6f54_7fa9_0abf_e4c3;
const B2: u128 = 0x3086_d221_a7d4_6bcd_e86c_90e4_9284_eb15;

/// round(2^384·b2/n) and round(2^384·(-b1)/n), little-endian limbs.
const G1: [u64; 4] = [
    0xe893_209a_45db_b031,
    0x3daa_8a14_71e8_ca7f,
    0xe86c_90e4_9284_eb15,
    0x3086_d221_a7d4_6bcd,
];
const G2: [u64; 4] = [
    0x1571_b4ae_8ac4_7f71,
    0x2212_08ac_9df5_06c6,
    0x6f54_7fa9_0abf_e4c4,
    0xe443_7ed6_010e_8828,
];

/// A point and its factor.
pub(super) struct Term {
    pub point: Point,
    pub factor: u128,
}

/// Splits factor·point into two terms with factors below 2^128, by the endomorphism.
pub(super) fn split(point: Point, factor: &Scalar) -> [Term; 2] {
    let (first, second) = decompose(factor);
    [
        signed_term(point, first),
        signed_term(point.times_lambda(), second),
    ]
}

/// The sum of all terms.
pub(super) fn sum(terms: &[Term]) -> ProjectivePoint {
    let mut inverter = Inverter::default();
    let tables = odd_multiples(terms, &mut inverter);
    let mut buckets = Buckets::new(terms, &tables);
    while buckets.halve(&mut inverter) {}
    buckets.join()
}

/// r1 and r2 with r1 + r2·λ = k, both within 128 bits of zero.
fn decompose(k: &Scalar) -> (Scalar, Scalar) {
    let limbs = limbs(k);
    let c1 = Scalar::from(high_product(&limbs, &G1)) * Scalar::from(MINUS_B1);
    let c2 = Scalar::from(high_product(&limbs, &G2)) * Scalar::from(B2);
    let second = c1 - c2;
    let lambda = Scalar::from_repr(LAMBDA.into()).expect("λ is below n");
    (*k - second * lambda, second)
}

/// A scalar within 128 bits of zero as a term with positive factor.
fn signed_term(point: Point, factor: Scalar) -> Term {
    let negative = bool::from(factor.is_high());
    let magnitude = limbs(&if negative { -factor } else { factor });
    Term {
        point: if negative { point.negate() } else { point },
        factor: u128::from(magnitude[1]) << 64 | u128::from(magnitude[0]),
    }
}

/// Little-endian limbs of a scalar.
fn limbs(scalar: &Scalar) -> [u64; 4] {
    let bytes = scalar.to_bytes();
    let mut limbs = [0; 4];
    for (limb, chunk) in limbs.iter_mut().rev().zip(bytes.as_chunks::<8>().0) {
        *limb = u64::from_be_bytes(*chunk);
    }
    limbs
}

/// round(a·b / 2^384).
fn high_product(a: &[u64; 4], b: &[u64; 4]) -> u128 {
    let mut product = [0u64; 8];
    for (i, &x) in a.iter().enumerate() {
        let mut carry = 0u128;
        for (j, &y) in b.iter().enumerate() {
            let sum = u128::from(x) * u128::from(y) + u128::from(product[i + j]) + carry;
            product[i + j] = sum as u64;
            carry = sum >> 64;
        }
        product[i + 4] = carry as u64;
    }
    let high = u128::from(product[7]) << 64 | u128::from(product[6]);
    high + u128::from(product[5] >> 63)
}

/// 1, 3, 5, … times each point, `TABLE` entries a point. No denominator is zero: the group has a large prime order.
fn odd_multiples(terms: &[Term], inverter: &mut Inverter) -> Vec<[Point; TABLE]> {
    let inverses = inverter.invert(terms.iter().map(|term| term.point.y.double()));
    let doubles: Vec<Point> = terms
        .iter()
        .zip(inverses)
        .map(|(term, inverse)| term.point.double(inverse))
        .collect();
    let mut tables: Vec<_> = terms.iter().map(|term| [term.point; TABLE]).collect();
    for i in 1..TABLE {
        let differences = tables
            .iter()
            .zip(&doubles)
            .map(|(table, double)| double.x + table[i - 1].x.negate(1));
        let inverses = inverter.invert(differences);
        for ((table, double), inverse) in tables.iter_mut().zip(&doubles).zip(inverses) {
            table[i] = table[i - 1].add(double, inverse);
        }
    }
    tables
}

/// Calls `digit(position, value)` for each non-zero digit of the width-`WIDTH` non-adjacent form.
fn non_adjacent_form(mut factor: u128, mut digit: impl FnMut(usize, i32)) {
    let mut position = 0;
    while factor != 0 {
        let zeros = factor.trailing_zeros();
        factor >>= zeros;
        position += zeros;
        let low = (factor & ((1 << WIDTH) - 1)) as i32;
        factor >>= WIDTH;
        if low < 1 << (WIDTH - 1) {
            digit(position as usize, low);
        } else {
            digit(position as usize, low - (1 << WIDTH));
            factor += 1;
        }
        position += WIDTH;
    }
}

/// Points waiting to be summed, in one bucket for each bit position.
struct Buckets {
    points: Vec<Point>,
    starts: [usize; POSITIONS + 1],
    lengths: [usize; POSITIONS],
    /// Sums of pairs that the affine formula cannot add: equal or opposite points.
    exceptional: Vec<(usize, ProjectivePoint)>,
}

impl Buckets {
    fn new(terms: &[Term], tables: &[[Point; TABLE]]) -> Self {
        let mut lengths = [0; POSITIONS];
        for term in terms {
            non_adjacent_form(term.factor, |position, _| lengths[position] += 1);
        }
        let mut starts = [0; POSITIONS + 1];
        for position in 0..POSITIONS {
            starts[position + 1] = starts[position] + lengths[position];
        }
        let filler = Point {
            x: Field::ZERO,
            y: Field::ZERO,
        };
        let mut points = vec![filler; starts[POSITIONS]];
        let mut next = starts;
        for (term, table) in terms.iter().zip(tables) {
            non_adjacent_form(term.factor, |position, digit| {
                let point = table[(digit.unsigned_abs() / 2) as usize];
                points[next[position]] = if digit < 0 { point.negate() } else { point };
                next[position] += 1;
            });
        }
        Self {
            points,
            starts,
            lengths,
            exceptional: Vec::new(),
        }
    }

    /// Adds the points of every bucket in pairs; false if there was no pair left.
    fn halve(&mut self, inverter: &mut Inverter) -> bool {
        let mut skipped = Vec::new();
        let mut pairs = 0;
        inverter.clear();
        for position in 0..POSITIONS {
            let start = self.starts[position];
            let (chunks, _) = self.points[start..start + self.lengths[position]].as_chunks::<2>();
            for [a, b] in chunks {
                let mut difference = b.x + a.x.negate(1);
                if bool::from(difference.normalizes_to_zero()) {
                    let sum = ProjectivePoint::from(a.to_affine()) + b.to_affine();
                    self.exceptional.push((position, sum));
                    skipped.push(pairs);
                    difference = Field::ONE;
                }
                inverter.push(difference);
                pairs += 1;
            }
        }
        if pairs == 0 {
            return false;
        }
        let mut inverses = inverter.finish().iter().enumerate();
        let mut skipped = skipped.into_iter().peekable();
        for position in 0..POSITIONS {
            let start = self.starts[position];
            let bucket = &mut self.points[start..start + self.lengths[position]];
            let mut kept = 0;
            for (i, (pair, inverse)) in (0..bucket.len() / 2).zip(&mut inverses) {
                if skipped.next_if_eq(&pair).is_some() {
                    continue;
                }
                bucket[kept] = bucket[2 * i].add(&bucket[2 * i + 1], inverse);
                kept += 1;
            }
            if let Some(&last) = bucket.last()
                && bucket.len() % 2 == 1
            {
                bucket[kept] = last;
                kept += 1;
            }
            self.lengths[position] = kept;
        }
        true
    }

    /// Doubles and adds the buckets, which hold one point at most, from the highest position down.
    fn join(self) -> ProjectivePoint {
        let mut extra = [ProjectivePoint::IDENTITY; POSITIONS];
        for (position, sum) in &self.exceptional {
            extra[*position] += sum;
        }
        let mut total = ProjectivePoint::IDENTITY;
        for position in (0..POSITIONS).rev() {
            total.double_in_place();
            if self.lengths[position] > 0 {
                total += self.points[self.starts[position]].to_affine();
            }
            if !bool::from(extra[position].is_identity()) {
                total += extra[position];
            }
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(scalar: u64) -> Point {
        Point::from_affine(&(ProjectivePoint::GENERATOR * Scalar::from(scalar)).to_affine())
            .unwrap()
    }

    /// The sum by k256's own multiplication.
    fn expected(factors: &[(u64, u128)]) -> ProjectivePoint {
        let total: Scalar = factors
            .iter()
            .map(|(point, factor)| Scalar::from(*point) * Scalar::from(*factor))
            .sum();
        ProjectivePoint::GENERATOR * total
    }

    fn check(factors: &[(u64, u128)]) {
        let terms: Vec<_> = factors
            .iter()
            .map(|&(scalar, factor)| Term {
                point: point(scalar),
                factor,
            })
            .collect();
        assert!(sum(&terms) == expected(factors), "{factors:?}");
    }

    #[test]
    fn extreme_factors_and_empty_sums() {
        check(&[]);
        check(&[(1, 0)]);
        check(&[(1, 1), (2, 0), (3, u128::MAX)]);
        check(&[
            (5, u128::MAX),
            (6, u128::MAX),
            (7, u128::MAX - 1),
            (8, 1 << 127),
        ]);
        for shift in 0..128 {
            check(&[(9, 1 << shift), (10, u128::MAX >> shift)]);
        }
    }

    #[test]
    fn equal_and_opposite_points_meet_in_a_bucket() {
        check(&[(4, 77), (4, 77), (4, 77), (4, 77), (5, 77)]);
        let opposite = |factor| {
            [
                Term {
                    point: point(4),
                    factor,
                },
                Term {
                    point: point(4).negate(),
                    factor,
                },
                Term {
                    point: point(7),
                    factor: 3,
                },
            ]
        };
        assert!(sum(&opposite(0x1234_5678_9abc)) == expected(&[(7, 3)]));
        assert!(bool::from(sum(&opposite(99)[..2]).is_identity()));
        // 3·(4·G) and 1·(12·G) are one point reached in two ways.
        check(&[(4, 3), (12, 1), (12, 1), (4, 3)]);
    }

    #[test]
    fn the_endomorphism_multiplies_by_lambda() {
        let lambda = Scalar::from_repr(LAMBDA.into()).unwrap();
        let [_, turned] = split(point(5), &lambda);
        let product = ProjectivePoint::GENERATOR * (lambda * Scalar::from(5u64));
        assert!(product == turned.point.to_affine());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn a_sum_is_that_of_single_products(factors in prop::collection::vec((1..20u64, any::<u128>()), 0..20)) {
            check(&factors);
        }

        #[test]
        fn splitting_keeps_the_product(bytes in any::<[u8; 32]>()) {
            let factor = <Scalar as k256::elliptic_curve::ops::Reduce<k256::U256>>::reduce(&k256::U256::from_be_slice(&bytes));
            let (first, second) = decompose(&factor);
            for part in [first, second] {
                let part = if bool::from(part.is_high()) { -part } else { part };
                prop_assert_eq!(&limbs(&part)[2..], [0, 0]);
            }
            prop_assert!(sum(&split(point(3), &factor)) == ProjectivePoint::GENERATOR * (factor * Scalar::from(3u64)));
        }
    }
}
