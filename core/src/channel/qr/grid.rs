//! Lays the grid of modules over a code and reads it.
//!
//! The alignment patterns sharpen what the timing patterns told, and the brightness at each module is compared with its
//! neighbourhood. `rqrr` then corrects errors and decodes; its own search for codes is not used, since it works on whole
//! pixels, loops long on hostile images and can panic on them.

use super::finder::Corners;
use super::image::{Contrast, Gray};
use super::perspective::{Perspective, Tie};
use super::timing::layouts;

/// A way to tell dark from light.
struct Reading {
    /// How strongly each round takes out what blur carried over from adjacent modules.
    sharpen: f32,
    rounds: usize,
    /// Modules around that make the mean; few follow the edge of a shadow.
    radius: usize,
}

/// What is tried in turn, from a sharp image to a blurred one.
const READINGS: [Reading; 6] = [
    Reading {
        sharpen: 0.3,
        rounds: 1,
        radius: 5,
    },
    Reading {
        sharpen: 1.0,
        rounds: 1,
        radius: 5,
    },
    Reading {
        sharpen: 0.3,
        rounds: 1,
        radius: 2,
    },
    Reading {
        sharpen: 1.0,
        rounds: 2,
        radius: 4,
    },
    Reading {
        sharpen: 1.0,
        rounds: 1,
        radius: 3,
    },
    Reading {
        sharpen: 1.0,
        rounds: 4,
        radius: 4,
    },
];

/// Reads the code with these corners, if there is one.
pub(super) fn read(gray: &Gray<'_>, contrast: &Contrast, corners: &Corners) -> Option<String> {
    layouts(gray, contrast, corners)
        .into_iter()
        .find_map(|layout| {
            let perspective = refine(gray, layout.size, layout.ties)?;
            let brightness = Brightness::measure(gray, &perspective, layout.size);
            READINGS
                .iter()
                .find_map(|reading| brightness.decode(reading))
        })
}

/// Adds the alignment patterns to `ties`, from the finder patterns outwards, and returns the perspective they give.
fn refine(gray: &Gray<'_>, size: usize, mut ties: Vec<Tie>) -> Option<Perspective> {
    let mut perspective = Perspective::fit(&ties)?;
    let positions = alignment_positions((size - 17) / 4);
    let last = positions.last().copied().unwrap_or(0);
    let mut centres: Vec<(usize, usize)> = positions
        .iter()
        .flat_map(|&v| positions.iter().map(move |&u| (u, v)))
        .filter(|&(u, v)| !matches!((u, v), (6, 6)) && (u, v) != (6, last) && (u, v) != (last, 6))
        .collect();
    centres.sort_by_key(|(u, v)| u + v);
    for (u, v) in centres {
        let (u, v) = (u as f32 + 0.5, v as f32 + 0.5);
        if let Some((du, dv)) = find_alignment(gray, &perspective, u, v) {
            ties.push(Tie {
                module: (u, v),
                pixel: perspective.map(u + du, v + dv),
                weight: 2.0,
            });
            perspective = Perspective::fit(&ties)?;
        }
    }
    Some(perspective)
}

/// Rows and columns of the centres of alignment patterns (ISO/IEC 18004, annex E).
fn alignment_positions(version: usize) -> Vec<usize> {
    if version < 2 {
        return Vec::new();
    }
    let count = version / 7 + 2;
    let step = if version == 32 {
        26
    } else {
        (version * 4 + count * 2 + 1) / (count * 2 - 2) * 2
    };
    let last = version * 4 + 10;
    let mut positions: Vec<usize> = (0..count - 1).map(|i| last - i * step).collect();
    positions.push(6);
    positions.reverse();
    positions
}

/// How far in modules the alignment pattern expected at (`u`, `v`) is off, if it is recognised.
fn find_alignment(
    gray: &Gray<'_>,
    perspective: &Perspective,
    u: f32,
    v: f32,
) -> Option<(f32, f32)> {
    let mut best = (0.0, 0.0, 0.0);
    let mut search = |around: (f32, f32), steps: i8, step: f32| {
        for i in -steps..=steps {
            for j in -steps..=steps {
                let (du, dv) = (
                    around.0 + f32::from(i) * step,
                    around.1 + f32::from(j) * step,
                );
                let fit = alignment_fit(gray, perspective, u + du, v + dv);
                if fit > best.0 {
                    best = (fit, du, dv);
                }
            }
        }
        (best.1, best.2)
    };
    let near = search((0.0, 0.0), 4, 0.5);
    let near = search(near, 1, 0.25);
    search(near, 1, 0.125);
    (best.0 > 0.6).then_some((best.1, best.2))
}

/// Correlation, from -1 to 1, of the 25 modules around (`u`, `v`) with an alignment pattern.
fn alignment_fit(gray: &Gray<'_>, perspective: &Perspective, u: f32, v: f32) -> f32 {
    let (mut sum, mut squares, mut light) = (0f32, 0f32, 0f32);
    for i in -2i8..=2 {
        for j in -2i8..=2 {
            let value = gray.sample(perspective.map(u + f32::from(i), v + f32::from(j)));
            sum += value;
            squares += value * value;
            if i.abs().max(j.abs()) == 1 {
                light += value;
            }
        }
    }
    // Eight of the 25 modules are light.
    let variance = (squares - sum * sum / 25.0) * (8.0 - 64.0 / 25.0);
    if variance < 1.0 {
        0.0
    } else {
        (light - sum * 8.0 / 25.0) / variance.sqrt()
    }
}

/// Brightness at each module, row by row.
struct Brightness {
    size: usize,
    values: Vec<f32>,
}

impl Brightness {
    fn measure(gray: &Gray<'_>, perspective: &Perspective, size: usize) -> Self {
        const SPREAD: [f32; 3] = [0.28, 0.5, 0.72];
        let mut values = Vec::with_capacity(size * size);
        for v in 0..size {
            for u in 0..size {
                let mut sum = 0.0;
                for dv in SPREAD {
                    for du in SPREAD {
                        sum += gray.sample(perspective.map(u as f32 + du, v as f32 + dv));
                    }
                }
                values.push(sum / 9.0);
            }
        }
        Self { size, values }
    }

    /// Sharpens, calls dark what is below the mean of its neighbourhood, and decodes.
    fn decode(&self, reading: &Reading) -> Option<String> {
        let &Reading {
            sharpen,
            rounds,
            radius,
        } = reading;
        let size = self.size;
        let at =
            |values: &[f32], u: usize, v: usize| values.get(v * size + u).copied().unwrap_or(0.0);
        let mut sharp = self.values.clone();
        for _ in 0..rounds {
            let next = (0..size * size).map(|index| {
                let (u, v) = (index % size, index / size);
                let (left, right) = (u.saturating_sub(1), (u + 1).min(size - 1));
                let (above, below) = (v.saturating_sub(1), (v + 1).min(size - 1));
                let around = at(&sharp, left, v)
                    + at(&sharp, right, v)
                    + at(&sharp, u, above)
                    + at(&sharp, u, below);
                let value = at(&sharp, u, v);
                value + sharpen * (value - around / 4.0)
            });
            sharp = next.collect();
        }
        let dark: Vec<bool> = (0..size * size)
            .map(|index| {
                let (u, v) = (index % size, index / size);
                let columns = u.saturating_sub(radius)..(u + radius + 1).min(size);
                let rows = v.saturating_sub(radius)..(v + radius + 1).min(size);
                let count = columns.len() * rows.len();
                let sum: f32 = rows
                    .filter_map(|v| sharp.get(v * size + columns.start..v * size + columns.end))
                    .flatten()
                    .sum();
                at(&sharp, u, v) < sum / count as f32
            })
            .collect();
        let grid = rqrr::SimpleGrid::from_func(size, |u, v| {
            dark.get(v * size + u).copied().unwrap_or(false)
        });
        let (_, text) = rqrr::Grid::new(grid).decode().ok()?;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignment_positions_match_annex_e() {
        assert!(alignment_positions(1).is_empty());
        assert_eq!(alignment_positions(2), [6, 18]);
        assert_eq!(alignment_positions(7), [6, 22, 38]);
        assert_eq!(alignment_positions(17), [6, 30, 54, 78]);
        assert_eq!(alignment_positions(32), [6, 34, 60, 86, 112, 138]);
        assert_eq!(alignment_positions(40), [6, 30, 58, 86, 114, 142, 170]);
    }
}
