//! Lays the grid of modules over a code whose finder patterns are known, and reads it.
//!
//! The timing patterns give the number of modules and the perspective, the alignment patterns sharpen it, and the
//! brightness at each module is compared with its neighbourhood. `rqrr` then corrects errors and decodes; its own search
//! for codes is not used, since it works on whole pixels and can panic on hostile images.

use super::finder::{Corners, Finder, section};
use super::image::{Contrast, Gray, Point};
use super::perspective::{Perspective, Tie};

/// Positions at which a timing pattern is measured.
const PROFILE: usize = 1024;

/// Sharpening strengths and neighbourhoods (in modules) that are tried in turn. Sharpening takes out what blur carried
/// over from adjacent modules; a small neighbourhood follows the edge of a shadow.
const READINGS: [(f32, usize); 5] = [(0.3, 5), (1.0, 5), (0.3, 2), (2.0, 4), (1.0, 3)];

/// Reads the code with these corners, if there is one.
pub(super) fn read(gray: &Gray<'_>, contrast: &Contrast, corners: &Corners) -> Option<String> {
    let frame = Frame::measure(contrast, corners)?;
    let Frame { top_left, top_right, bottom_left, estimate } = frame;
    // The timing patterns run three modules beside the line between the centres.
    let across = Profile::measure(gray, top_left.offset(0.0, 3.0), top_right.offset(0.0, 3.0), estimate);
    let down = Profile::measure(gray, top_left.offset(3.0, 0.0), bottom_left.offset(3.0, 0.0), estimate);

    let mut sizes: Vec<(f32, usize, f32, f32)> = (1..=40usize)
        .map(|version| version * 4 + 17)
        .filter(|&size| (size as f32 - estimate).abs() < (0.22 * estimate).max(5.0))
        .map(|size| {
            let (across_fit, across_depth) = across.best_depth(size);
            let (down_fit, down_depth) = down.best_depth(size);
            (across_fit + down_fit, size, across_depth, down_depth)
        })
        .filter(|&(fit, ..)| fit > 0.9)
        .collect();
    sizes.sort_by(|a, b| b.0.total_cmp(&a.0));
    eprintln!("DBG est {estimate} sizes {:?}", &sizes[..sizes.len().min(3)]);
    sizes.iter().take(2).find_map(|&(_, size, across_depth, down_depth)| {
        let perspective = refine(gray, size, frame.ties(size, across_depth, down_depth)?)?;
        let brightness = Brightness::measure(gray, &perspective, size);
        READINGS.iter().find_map(|&(sharpen, radius)| brightness.decode(sharpen, radius))
    })
}

/// A finder pattern measured along the sides of its code.
#[derive(Clone, Copy)]
struct Corner {
    centre: Point,
    /// One module along the upper side of the code.
    across: Point,
    /// One module along the left side of the code.
    down: Point,
}

impl Corner {
    /// The position so many modules off the centre.
    fn offset(self, across: f32, down: f32) -> Point {
        self.centre.plus(self.across, across).plus(self.down, down)
    }
}

/// The three corners, measured.
struct Frame {
    top_left: Corner,
    top_right: Corner,
    bottom_left: Corner,
    /// Modules on a side, roughly.
    estimate: f32,
}

impl Frame {
    fn measure(contrast: &Contrast, corners: &Corners) -> Option<Self> {
        let across = corners.top_right.centre.minus(corners.top_left.centre);
        let down = corners.bottom_left.centre.minus(corners.top_left.centre);
        let (across, down) = (across.unit()?, down.unit()?);
        let corner = |finder: Finder| {
            let first = section(contrast, finder.centre, across, finder.module)?;
            let centre = finder.centre.plus(across, first.shift);
            let second = section(contrast, centre, down, finder.module)?;
            let centre = centre.plus(down, second.shift);
            let module = |direction: Point, pixels: f32| Point { x: direction.x * pixels, y: direction.y * pixels };
            Some(Corner { centre, across: module(across, first.module), down: module(down, second.module) })
        };
        let top_left = corner(corners.top_left)?;
        let top_right = corner(corners.top_right)?;
        let bottom_left = corner(corners.bottom_left)?;
        let modules_across = top_right.centre.minus(top_left.centre).length() * 2.0
            / (top_left.across.length() + top_right.across.length());
        let modules_down = bottom_left.centre.minus(top_left.centre).length() * 2.0
            / (top_left.down.length() + bottom_left.down.length());
        let estimate = (modules_across + modules_down) / 2.0 + 7.0;
        Some(Self { top_left, top_right, bottom_left, estimate })
    }

    /// What the finder and timing patterns say about the perspective of a code of `size` modules.
    fn ties(&self, size: usize, across_depth: f32, down_depth: f32) -> Option<Vec<Tie>> {
        let (near, far) = (3.5, size as f32 - 3.5);
        let (a, b, c) = (self.top_left.centre, self.top_right.centre, self.bottom_left.centre);
        let mut ties = vec![
            Tie { module: (near, near), pixel: a, weight: 4.0 },
            Tie { module: (far, near), pixel: b, weight: 4.0 },
            Tie { module: (near, far), pixel: c, weight: 4.0 },
        ];
        for step in [0.25, 0.5, 0.75] {
            let module = near + step * (far - near);
            let (right, below) = (depth_share(step, across_depth), depth_share(step, down_depth));
            ties.push(Tie { module: (module, near), pixel: a.plus(b.minus(a), right), weight: 1.0 });
            ties.push(Tie { module: (near, module), pixel: a.plus(c.minus(a), below), weight: 1.0 });
        }
        // Two depths and three corners determine the fourth corner of a projective square.
        let (right, below) = (1.0 / across_depth, 1.0 / down_depth);
        let depth = right + below - 1.0;
        if depth < 0.2 {
            return None;
        }
        let fourth = Point {
            x: (b.x * right + c.x * below - a.x) / depth,
            y: (b.y * right + c.y * below - a.y) / depth,
        };
        ties.push(Tie { module: (far, far), pixel: fourth, weight: 0.02 });
        Some(ties)
    }
}

/// Where on a side, from 0 to 1 in the image, the `step` from 0 to 1 in the code lies. `depth` is how much nearer the
/// end is to the camera than the start: 1 when seen from straight above.
fn depth_share(step: f32, depth: f32) -> f32 {
    step / (step + (1.0 - step) * depth)
}

/// Brightness along a timing pattern, less its moving average.
struct Profile(Vec<f32>);

impl Profile {
    /// Measures from one point to another in a code of about `estimate` modules.
    fn measure(gray: &Gray<'_>, from: Point, to: Point, estimate: f32) -> Self {
        let values: Vec<f32> = (0..PROFILE)
            .map(|i| gray.sample(from.plus(to.minus(from), (i as f32 + 0.5) / PROFILE as f32)))
            .collect();
        // Over two modules, one dark and one light, the timing pattern itself averages out.
        let radius = (PROFILE as f32 / (estimate - 7.0).max(1.0)) as usize;
        let mut sums = vec![0f32];
        sums.extend(values.iter().scan(0f32, |sum, value| {
            *sum += value;
            Some(*sum)
        }));
        let flat = values.iter().enumerate().map(|(i, value)| {
            let (first, last) = (i.saturating_sub(radius), (i + radius + 1).min(values.len()));
            let sum = sums.get(last).unwrap_or(&0.0) - sums.get(first).unwrap_or(&0.0);
            value - sum / (last - first) as f32
        });
        Self(flat.collect())
    }

    /// The depth at which a timing pattern of a code of `size` modules fits best, and how well: at most 1.
    fn best_depth(&self, size: usize) -> (f32, f32) {
        const STEPS: i16 = 24;
        let mut best = (-1.0, 1.0);
        for step in -STEPS..=STEPS {
            let depth = (f32::from(step) * 0.02).exp();
            let fit = self.fit(size, depth);
            if fit > best.0 {
                best = (fit, depth);
            }
        }
        best
    }

    fn fit(&self, size: usize, depth: f32) -> f32 {
        let (mut agreeing, mut total) = (0f32, 0f32);
        for module in 7..size - 7 {
            let step = (module as f32 - 3.0) / (size as f32 - 7.0);
            let at = (depth_share(step, depth) * PROFILE as f32) as usize;
            let Some(&value) = self.0.get(at) else { continue };
            // Modules in even columns are dark.
            agreeing += if module % 2 == 0 { -value } else { value };
            total += value.abs();
        }
        agreeing / total.max(1.0)
    }
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
        eprintln!("DBG align {u} {v} -> {:?}", find_alignment(gray, &perspective, u, v));
        if let Some((du, dv)) = find_alignment(gray, &perspective, u, v) {
            ties.push(Tie { module: (u, v), pixel: perspective.map(u + du, v + dv), weight: 2.0 });
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
    let step = if version == 32 { 26 } else { (version * 4 + count * 2 + 1) / (count * 2 - 2) * 2 };
    let last = version * 4 + 10;
    let mut positions: Vec<usize> = (0..count - 1).map(|i| last - i * step).collect();
    positions.push(6);
    positions.reverse();
    positions
}

/// How far in modules the alignment pattern expected at (`u`, `v`) is off, if it is recognised.
fn find_alignment(gray: &Gray<'_>, perspective: &Perspective, u: f32, v: f32) -> Option<(f32, f32)> {
    let mut best = (0.0, 0.0, 0.0);
    let mut search = |around: (f32, f32), steps: i8, step: f32| {
        for i in -steps..=steps {
            for j in -steps..=steps {
                let (du, dv) = (around.0 + f32::from(i) * step, around.1 + f32::from(j) * step);
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
    if variance < 1.0 { 0.0 } else { (light - sum * 8.0 / 25.0) / variance.sqrt() }
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

    /// Sharpens by `sharpen`, calls dark what is below the mean of the square of `radius` modules, and decodes.
    fn decode(&self, sharpen: f32, radius: usize) -> Option<String> {
        let size = self.size;
        let at = |values: &[f32], u: usize, v: usize| values.get(v * size + u).copied().unwrap_or(0.0);
        let sharp: Vec<f32> = (0..size * size)
            .map(|index| {
                let (u, v) = (index % size, index / size);
                let (left, right) = (u.saturating_sub(1), (u + 1).min(size - 1));
                let (above, below) = (v.saturating_sub(1), (v + 1).min(size - 1));
                let around = at(&self.values, left, v)
                    + at(&self.values, right, v)
                    + at(&self.values, u, above)
                    + at(&self.values, u, below);
                let value = at(&self.values, u, v);
                value + sharpen * (value - around / 4.0)
            })
            .collect();
        let dark: Vec<bool> = (0..size * size)
            .map(|index| {
                let (u, v) = (index % size, index / size);
                let columns = u.saturating_sub(radius)..(u + radius + 1).min(size);
                let rows = v.saturating_sub(radius)..(v + radius + 1).min(size);
                let count = columns.len() * rows.len();
                let sum: f32 =
                    rows.filter_map(|v| sharp.get(v * size + columns.start..v * size + columns.end)).flatten().sum();
                at(&sharp, u, v) < sum / count as f32
            })
            .collect();
        let grid = rqrr::SimpleGrid::from_func(size, |u, v| dark.get(v * size + u).copied().unwrap_or(false));
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
