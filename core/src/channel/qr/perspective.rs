//! The perspective in which a flat code is seen: from module coordinates to pixels.

use super::image::Point;

/// A pair that ties a position in the code to one in the image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tie {
    /// Column and row in modules; the centre of the first module is (0.5, 0.5).
    pub(super) module: (f32, f32),
    pub(super) pixel: Point,
    /// How much it counts against the others.
    pub(super) weight: f64,
}

/// A projective map, `x = (a u + b v + c) / (g u + h v + 1)` and alike for `y`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Perspective([f64; 8]);

impl Perspective {
    /// The map that fits `ties` best (least squares); `None` if they do not determine one.
    pub(super) fn fit(ties: &[Tie]) -> Option<Self> {
        let mut rows = [[0f64; 9]; 8];
        for tie in ties {
            let (u, v) = (f64::from(tie.module.0), f64::from(tie.module.1));
            let (x, y) = (f64::from(tie.pixel.x), f64::from(tie.pixel.y));
            for equation in [
                [u, v, 1.0, 0.0, 0.0, 0.0, -u * x, -v * x, x],
                [0.0, 0.0, 0.0, u, v, 1.0, -u * y, -v * y, y],
            ] {
                for (row, factor) in rows.iter_mut().zip(equation) {
                    for (sum, value) in row.iter_mut().zip(equation) {
                        *sum += tie.weight * factor * value;
                    }
                }
            }
        }
        solve(rows).map(Self)
    }

    /// Where the position (`u`, `v`) in modules lies in the image.
    pub(super) fn map(&self, u: f32, v: f32) -> Point {
        let [a, b, c, d, e, f, g, h] = self.0;
        let (u, v) = (f64::from(u), f64::from(v));
        let depth = g * u + h * v + 1.0;
        Point {
            x: ((a * u + b * v + c) / depth) as f32,
            y: ((d * u + e * v + f) / depth) as f32,
        }
    }
}

/// Solves eight linear equations by Gaussian elimination with row pivoting.
fn solve(mut rows: [[f64; 9]; 8]) -> Option<[f64; 8]> {
    for column in 0..8 {
        let pivot =
            (column..8).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))?;
        rows.swap(column, pivot);
        let pivot_row = rows[column];
        if pivot_row[column].abs() <= 1e-12 {
            return None;
        }
        for (index, row) in rows.iter_mut().enumerate() {
            if index == column {
                continue;
            }
            let factor = row[column] / pivot_row[column];
            row.iter_mut()
                .zip(pivot_row)
                .for_each(|(value, above)| *value -= factor * above);
        }
    }
    let mut solution = [0f64; 8];
    for (index, (value, row)) in solution.iter_mut().zip(rows).enumerate() {
        *value = row[8] / row[index];
    }
    solution
        .iter()
        .all(|value| value.is_finite())
        .then_some(solution)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fit_recovers_a_map_from_its_points() {
        let map = Perspective([2.5, 0.3, 40.0, -0.2, 2.7, 60.0, 0.001, -0.002]);
        let ties: Vec<Tie> = [
            (3.5, 3.5),
            (80.0, 4.0),
            (5.0, 79.0),
            (70.0, 72.0),
            (40.0, 41.0),
        ]
        .map(|(u, v)| Tie {
            module: (u, v),
            pixel: map.map(u, v),
            weight: 1.0,
        })
        .to_vec();
        let fitted = Perspective::fit(&ties).unwrap();
        let off = fitted.map(60.0, 20.0).minus(map.map(60.0, 20.0)).length();
        assert!(off < 0.01, "{off} pixels off");
    }

    #[test]
    fn points_on_a_line_determine_nothing() {
        let ties: Vec<Tie> = (0..9u8)
            .map(f32::from)
            .map(|i| Tie {
                module: (i, i),
                pixel: Point { x: i, y: i },
                weight: 1.0,
            })
            .collect();
        assert!(Perspective::fit(&ties).is_none());
    }
}
