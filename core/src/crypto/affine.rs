//! secp256k1 points in affine coordinates, added with shared inversions and lifted several at a time.
//!
//! Runs in variable time and is for public data only; [`crate::crypto::multiscalar`] builds on it.

use k256::{
    AffinePoint, Secp256k1,
    elliptic_curve::{hazmat::FieldArithmetic, point::AffineCoordinates},
};

/// Coordinates, with k256's lazy reduction: what is kept here always has magnitude 1.
pub(super) type Field = <Secp256k1 as FieldArithmetic>::FieldElement;

/// Square roots that run side by side.
const LANES: usize = 4;

/// β of the endomorphism λ·(x, y) = (β·x, y) (Gallant, Lambert, Vanstone, CRYPTO 2001), big-endian.
const BETA: [u8; 32] = [
    0x7a, 0xe9, 0x6a, 0x2b, 0x65, 0x7c, 0x07, 0x10, 0x6e, 0x64, 0x47, 0x9e, 0xac, 0x34, 0x34, 0xe9,
    0x9c, 0xf0, 0x49, 0x75, 0x12, 0xf5, 0x89, 0x95, 0xc1, 0x39, 0x6c, 0x28, 0x71, 0x95, 0x01, 0xee,
];

/// A finite point in affine coordinates.
#[derive(Clone, Copy)]
pub(super) struct Point {
    pub(super) x: Field,
    pub(super) y: Field,
}

impl Point {
    /// The coordinates of a finite point.
    pub(super) fn from_affine(point: &AffinePoint) -> Option<Self> {
        let x = Field::from_bytes(&point.x()).into_option()?;
        let y = Field::from_bytes(&point.y()).into_option()?;
        (!bool::from(y.is_zero())).then_some(Self { x, y })
    }

    /// λ·self by the curve's endomorphism, at the price of one multiplication.
    pub(super) fn times_lambda(self) -> Self {
        let beta = Field::from_bytes(&BETA.into()).expect("β is below p");
        Self {
            x: self.x * beta,
            y: self.y,
        }
    }

    /// The point as k256 has it, which checks that it is on the curve.
    pub(super) fn to_affine(self) -> AffinePoint {
        AffinePoint::from_coordinates(&self.x.to_bytes(), &self.y.to_bytes())
            .into_option()
            .expect("sums of points of the curve are on the curve")
    }

    /// -self.
    pub(super) fn negate(self) -> Self {
        Self {
            x: self.x,
            y: self.y.negate(1).normalize_weak(),
        }
    }

    /// self + other, given 1/(other.x - self.x).
    pub(super) fn add(&self, other: &Self, inverse: &Field) -> Self {
        self.chord((other.y + self.y.negate(1)).mul(inverse), &other.x)
    }

    /// 2·self, given 1/(2·self.y).
    pub(super) fn double(&self, inverse: &Field) -> Self {
        self.chord(self.x.square().mul_single(3).mul(inverse), &self.x)
    }

    /// The third point on the line of this slope through self and the point at `other_x`, negated.
    fn chord(&self, slope: Field, other_x: &Field) -> Self {
        let x = (slope.square() + (self.x + other_x).negate(2)).normalize_weak();
        let y = (slope * (self.x + x.negate(1)) + self.y.negate(1)).normalize_weak();
        Self { x, y }
    }
}

/// The points of these x coordinates with even y, where there is one (BIP-340, lift_x).
///
/// A square root is one long chain in which each step waits for the one before, so four run side by side.
pub(super) fn lift_x(coordinates: &[&[u8; 32]]) -> Vec<Option<Point>> {
    let mut points = Vec::with_capacity(coordinates.len());
    for coordinates in coordinates.chunks(LANES) {
        let mut x = [None; LANES];
        for (x, bytes) in x.iter_mut().zip(coordinates) {
            *x = Field::from_bytes(&(**bytes).into()).into_option();
        }
        let squares = x.map(|x| x.map_or(Field::ONE, |x| x.square() * x + Field::from_u64(7)));
        let roots = square_roots(squares);
        let lifted = x
            .into_iter()
            .zip(squares)
            .zip(roots)
            .map(|((x, square), y)| {
                let is_root = bool::from((y.square().negate(1) + square).normalizes_to_zero());
                let y = y.normalize();
                let y = if bool::from(y.is_odd()) {
                    y.negate(1).normalize()
                } else {
                    y
                };
                x.filter(|_| is_root).map(|x| Point { x, y })
            });
        points.extend(lifted.take(coordinates.len()));
    }
    points
}

/// What are square roots if there are any: the (p + 1)/4-th powers.
///
/// (p + 1)/4 in binary is 223 ones, a zero, 22 ones, four zeros, two ones and two zeros; `ones_n` is the power to n ones.
fn square_roots(a: [Field; LANES]) -> [Field; LANES] {
    let ones_2 = shift_and_multiply(a, 1, a);
    let ones_3 = shift_and_multiply(ones_2, 1, a);
    let ones_6 = shift_and_multiply(ones_3, 3, ones_3);
    let ones_9 = shift_and_multiply(ones_6, 3, ones_3);
    let ones_11 = shift_and_multiply(ones_9, 2, ones_2);
    let ones_22 = shift_and_multiply(ones_11, 11, ones_11);
    let ones_44 = shift_and_multiply(ones_22, 22, ones_22);
    let ones_88 = shift_and_multiply(ones_44, 44, ones_44);
    let ones_176 = shift_and_multiply(ones_88, 88, ones_88);
    let ones_220 = shift_and_multiply(ones_176, 44, ones_44);
    let ones_223 = shift_and_multiply(ones_220, 3, ones_3);
    let upper = shift_and_multiply(ones_223, 23, ones_22);
    shift_and_multiply(upper, 6, ones_2).map(|power| power.square().square())
}

/// In each lane: squared `squarings` times, then multiplied by `factor`.
fn shift_and_multiply(
    mut a: [Field; LANES],
    squarings: usize,
    factor: [Field; LANES],
) -> [Field; LANES] {
    for _ in 0..squarings {
        for lane in &mut a {
            *lane = lane.square();
        }
    }
    for (lane, factor) in a.iter_mut().zip(factor) {
        *lane *= factor;
    }
    a
}

/// Inverts many non-zero field elements with one inversion (Montgomery's trick).
#[derive(Default)]
pub(super) struct Inverter {
    values: Vec<Field>,
    /// Products of all values before the one at the same index.
    products: Vec<Field>,
}

impl Inverter {
    /// The inverses of these values.
    pub(super) fn invert(&mut self, values: impl Iterator<Item = Field>) -> &[Field] {
        self.clear();
        for value in values {
            self.push(value);
        }
        self.finish()
    }

    /// Starts over.
    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.products.clear();
    }

    /// Takes a value, which is not zero.
    pub(super) fn push(&mut self, value: Field) {
        let product = match (self.values.last(), self.products.last()) {
            (Some(value), Some(product)) => product * value,
            _ => Field::ONE,
        };
        self.products.push(product);
        self.values.push(value);
    }

    /// The inverses, in the order in which the values came.
    pub(super) fn finish(&mut self) -> &[Field] {
        let (Some(value), Some(product)) = (self.values.last(), self.products.last()) else {
            return &[];
        };
        let mut inverse = (product * value)
            .invert_vartime()
            .expect("no value is zero, so their product is not");
        for (value, product) in self.values.iter_mut().zip(&self.products).rev() {
            let next = inverse * *value;
            *value = inverse * product;
            inverse = next;
        }
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use k256::{ProjectivePoint, elliptic_curve::point::DecompactPoint};

    use super::*;

    #[test]
    fn lifting_agrees_with_k256() {
        let bytes: Vec<[u8; 32]> = (0..40u8).map(|i| [i; 32]).collect();
        let lifted = lift_x(&bytes.iter().collect::<Vec<_>>());
        for (bytes, lifted) in bytes.iter().zip(lifted) {
            let expected = AffinePoint::decompact(&(*bytes).into()).into_option();
            assert!(lifted.map(Point::to_affine) == expected, "{bytes:?}");
        }
    }

    #[test]
    fn lifting_gives_even_y() {
        let affine = ProjectivePoint::GENERATOR.to_affine();
        let x: [u8; 32] = affine.x().into();
        let lifted = lift_x(&[&[0; 32], &x, &[0xff; 32], &x, &x, &[0; 32]]);
        let found: Vec<_> = lifted.iter().map(Option::is_some).collect();
        assert_eq!(found, [false, true, false, true, true, false]);
        assert!(
            lifted
                .into_iter()
                .flatten()
                .all(|point| point.to_affine() == affine)
        );
        assert!(Point::from_affine(&AffinePoint::IDENTITY).is_none());
    }
}
