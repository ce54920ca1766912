//! Sums of many secp256k1 points, each times a 128-bit factor: the arithmetic under batch verification.
//!
//! All of it runs in variable time and is for public data only. Method: every factor is written in width-5
//! non-adjacent form; the points that stand at one bit position are summed in affine coordinates, all positions
//! together, so that one field inversion serves hundreds of additions (Montgomery's trick); 129 doublings join the
//! positions. Affine additions with a shared inversion take about half the multiplications of the complete formulas.

use k256::{
    AffinePoint, ProjectivePoint, Scalar, Secp256k1,
    elliptic_curve::{
        ff::PrimeField, group::Group, hazmat::FieldArithmetic, point::AffineCoordinates, scalar::IsHigh,
    },
};

/// Coordinates, with k256's lazy reduction: what is kept here always has magnitude 1.
type Field = <Secp256k1 as FieldArithmetic>::FieldElement;

/// Width of the non-adjacent form.
const WIDTH: u32 = 5;

/// Odd multiples kept of each point: 1, 3, … 2^(WIDTH-1) - 1.
const TABLE: usize = 1 << (WIDTH - 2);

/// Bit positions that the non-adjacent form of a 128-bit number can have.
const POSITIONS: usize = 129;

/// λ and β of the endomorphism λ·(x, y) = (β·x, y) (Gallant, Lambert, Vanstone, CRYPTO 2001), big-endian.
const LAMBDA: [u8; 32] = [
    0x53, 0x63, 0xad, 0x4c, 0xc0, 0x5c, 0x30, 0xe0, 0xa5, 0x26, 0x1c, 0x02, 0x88, 0x12, 0x64, 0x5a, 0x12, 0x2e, 0x22,
    0xea, 0x20, 0x81, 0x66, 0x78, 0xdf, 0x02, 0x96, 0x7c, 0x1b, 0x23, 0xbd, 0x72,
];
const BETA: [u8; 32] = [
    0x7a, 0xe9, 0x6a, 0x2b, 0x65, 0x7c, 0x07, 0x10, 0x6e, 0x64, 0x47, 0x9e, 0xac, 0x34, 0x34, 0xe9, 0x9c, 0xf0, 0x49,
    0x75, 0x12, 0xf5, 0x89, 0x95, 0xc1, 0x39, 0x6c, 0x28, 0x71, 0x95, 0x01, 0xee,
];

/// The short lattice basis of the endomorphism, -b1 and b2 (Guide to Elliptic Curve Cryptography, algorithm 3.74).
const MINUS_B1: u128 = 0xe443_7ed6_010e_8828_6f54_7fa9_0abf_e4c3;
const B2: u128 = 0x3086_d221_a7d4_6bcd_e86c_90e4_9284_eb15;

/// round(2^384·b2/n) and round(2^384·(-b1)/n), little-endian limbs.
const G1: [u64; 4] = [0xe893_209a_45db_b031, 0x3daa_8a14_71e8_ca7f, 0xe86c_90e4_9284_eb15, 0x3086_d221_a7d4_6bcd];
const G2: [u64; 4] = [0x1571_b4ae_8ac4_7f71, 0x2212_08ac_9df5_06c6, 0x6f54_7fa9_0abf_e4c4, 0xe443_7ed6_010e_8828];

/// A finite point in affine coordinates.
#[derive(Clone, Copy)]
pub(super) struct Point {
    x: Field,
    y: Field,
}

impl Point {
    /// The point of this x coordinate with even y, if there is one (BIP-340, lift_x).
    pub(super) fn lift_x(bytes: &[u8; 32]) -> Option<Self> {
        let x = Field::from_bytes(&(*bytes).into()).into_option()?;
        let y = (x.square() * x + Field::from_u64(7)).sqrt().into_option()?.normalize();
        let y = if bool::from(y.is_odd()) { y.negate(1).normalize() } else { y };
        Some(Self { x, y })
    }

    /// The coordinates of a finite point.
    pub(super) fn from_affine(point: &AffinePoint) -> Option<Self> {
        let x = Field::from_bytes(&point.x()).into_option()?;
        let y = Field::from_bytes(&point.y()).into_option()?;
        (!bool::from(y.is_zero())).then_some(Self { x, y })
    }

    fn to_affine(self) -> AffinePoint {
        AffinePoint::from_coordinates(&self.x.to_bytes(), &self.y.to_bytes())
            .into_option()
            .expect("sums of points of the curve are on the curve")
    }

    fn negate(self) -> Self {
        Self {
            x: self.x,
            y: self.y.negate(1).normalize_weak(),
        }
    }

    /// self + other, given 1/(other.x - self.x).
    fn add(&self, other: &Self, inverse: &Field) -> Self {
        self.chord((other.y + self.y.negate(1)).mul(inverse), &other.x)
    }

    /// 2·self, given 1/(2·self.y).
    fn double(&self, inverse: &Field) -> Self {
        self.chord(self.x.square().mul_single(3).mul(inverse), &self.x)
    }

    /// The third point on the line of this slope through self and the point at `other_x`, negated.
    fn chord(&self, slope: Field, other_x: &Field) -> Self {
        let x = (slope.square() + (self.x + other_x).negate(2)).normalize_weak();
        let y = (slope * (self.x + x.negate(1)) + self.y.negate(1)).normalize_weak();
        Self { x, y }
    }
}

/// A point and its factor.
pub(super) struct Term {
    pub point: Point,
    pub factor: u128,
}

/// Splits factor·point into two terms with factors below 2^128, by the endomorphism.
pub(super) fn split(point: Point, factor: &Scalar) -> [Term; 2] {
    let (first, second) = decompose(factor);
    let beta = Field::from_bytes(&BETA.into()).expect("β is below p");
    let turned = Point {
        x: point.x * beta,
        y: point.y,
    };
    [signed_term(point, first), signed_term(turned, second)]
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

/// Inverts many non-zero field elements with one inversion (Montgomery's trick).
#[derive(Default)]
struct Inverter {
    values: Vec<Field>,
    /// Products of all values before the one at the same index.
    products: Vec<Field>,
}

impl Inverter {
    fn invert(&mut self, values: impl Iterator<Item = Field>) -> &[Field] {
        self.clear();
        for value in values {
            self.push(value);
        }
        self.finish()
    }

    fn clear(&mut self) {
        self.values.clear();
        self.products.clear();
    }

    fn push(&mut self, value: Field) {
        let product = match (self.values.last(), self.products.last()) {
            (Some(value), Some(product)) => product * value,
            _ => Field::ONE,
        };
        self.products.push(product);
        self.values.push(value);
    }

    /// The inverses, in the order in which the values came.
    fn finish(&mut self) -> &[Field] {
        let (Some(value), Some(product)) = (self.values.last(), self.products.last()) else {
            return &[];
        };
        let mut inverse = (product * value)
            .invert_vartime()
            .expect("no value is zero, so their product is not");
        for (value, product) in self.values.iter_mut().zip(&self.products).rev() {
            let next = inverse * &*value;
            *value = inverse * product;
            inverse = next;
        }
        &self.values
    }
}
