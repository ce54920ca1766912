//! Locates finder patterns, the three concentric squares in the corners of a QR code (ISO/IEC 18004, section 6.3.3).

use super::image::{Contrast, Point};

/// The most finder patterns that are combined into codes.
const MAX_FINDERS: usize = 32;
/// The most places that are remembered while scanning; noise makes no more work than this.
const MAX_CANDIDATES: usize = 400;

/// A finder pattern in the image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finder {
    pub centre: Point,
    /// Pixels a module, roughly.
    pub module: f32,
    /// Rows of the image that crossed it: more rows, more likely a real one.
    pub rows: usize,
}

/// The three finder patterns of one code, named as in an upright code.
#[derive(Debug, Clone, Copy)]
pub(super) struct Corners {
    pub top_left: Finder,
    pub top_right: Finder,
    pub bottom_left: Finder,
}

/// A line through the middle of a finder pattern.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section {
    /// How far the true middle lies ahead along the line, in pixels.
    pub shift: f32,
    /// Pixels a module along the line.
    pub module: f32,
}

/// Finds finder patterns by their dark and light runs of 1:1:3:1:1 modules along the rows, most certain first.
pub(super) fn find(contrast: &Contrast) -> Vec<Finder> {
    let mut found: Vec<Finder> = Vec::new();
    for (y, row) in contrast.values.chunks_exact(contrast.width).enumerate() {
        let mut edges = [0f32; 6];
        let mut count = 0usize;
        for (x, pair) in row.windows(2).enumerate() {
            let &[before, after] = pair else { continue };
            if (before < 0) == (after < 0) {
                continue;
            }
            edges.rotate_left(1);
            edges[5] = x as f32 + 0.5 + f32::from(before) / (f32::from(before) - f32::from(after));
            count += 1;
            if after < 0 || count < 6 {
                continue;
            }
            let [a, b, c, d, e, f] = edges;
            let Some(module) = finder_module([b - a, c - b, d - c, e - d, f - e]) else {
                continue;
            };
            let centre = Point {
                x: (c + d) / 2.0,
                y: y as f32 + 0.5,
            };
            note(contrast, &mut found, centre, module);
        }
    }
    found.retain(|finder| finder.rows >= 2);
    found.sort_by_key(|finder| std::cmp::Reverse(finder.rows));
    found.truncate(MAX_FINDERS);
    found
}

/// Every three finder patterns that may be the corners of one code, the likeliest first.
pub(super) fn triples(finders: &[Finder]) -> Vec<(f32, Corners)> {
    let mut out = Vec::new();
    for (i, &a) in finders.iter().enumerate() {
        for (j, &b) in finders.iter().enumerate().skip(i + 1) {
            for &c in finders.iter().skip(j + 1) {
                out.extend(corners(a, b, c));
            }
        }
    }
    out.sort_by(|a: &(f32, Corners), b| a.0.total_cmp(&b.0));
    out
}

/// Measures the finder pattern around `centre` along the unit vector `direction`.
pub(super) fn section(
    contrast: &Contrast,
    centre: Point,
    direction: Point,
    module: f32,
) -> Option<Section> {
    let reach = module * 8.0;
    let ahead = edges_from(contrast, centre, direction, reach)?;
    let behind = edges_from(
        contrast,
        centre,
        Point {
            x: -direction.x,
            y: -direction.y,
        },
        reach,
    )?;
    let [a1, a2, a3] = ahead;
    let [b1, b2, b3] = behind;
    let module = finder_module([b3 - b2, b2 - b1, a1 + b1, a2 - a1, a3 - a2])?;
    Some(Section {
        shift: (a1 - b1 + a2 - b2 + a3 - b3) / 6.0,
        module,
    })
}

/// The module size if the five runs, dark first, are about 1:1:3:1:1.
fn finder_module(runs: [f32; 5]) -> Option<f32> {
    let module = runs.iter().sum::<f32>() / 7.0;
    let [a, b, c, d, e] = runs;
    let near = |run: f32, modules: f32, slack: f32| (run - modules * module).abs() < slack * module;
    // Blur and a threshold off the middle widen some runs at the cost of others, by up to half a module.
    let fits = module > 0.8
        && near(c, 3.0, 1.1)
        && [a, b, d, e].into_iter().all(|run| near(run, 1.0, 0.7))
        && (a - e).abs().max((b - d).abs()) < 0.8 * module;
    fits.then_some(module)
}

/// Adds a place where a row crosses a finder pattern, if the other directions agree.
fn note(contrast: &Contrast, found: &mut Vec<Finder>, centre: Point, module: f32) {
    let known = found.iter_mut().find(|finder| {
        (finder.centre.x - centre.x).abs() < 2.0 * finder.module
            && (finder.centre.y - centre.y).abs() < 2.5 * finder.module
            && (finder.module / module - 1.0).abs() < 0.6
    });
    if let Some(known) = known {
        known.rows += 1;
        return;
    }
    if found.len() >= MAX_CANDIDATES {
        return;
    }
    const DOWN: Point = Point { x: 0.0, y: 1.0 };
    const ACROSS: Point = Point { x: 1.0, y: 0.0 };
    const HALF: f32 = std::f32::consts::FRAC_1_SQRT_2;
    let Some(down) = section(contrast, centre, DOWN, module) else {
        return;
    };
    let centre = centre.plus(DOWN, down.shift);
    let Some(across) = section(contrast, centre, ACROSS, module) else {
        return;
    };
    let centre = centre.plus(ACROSS, across.shift);
    let diagonals = [Point { x: HALF, y: HALF }, Point { x: HALF, y: -HALF }];
    let mut sum = down.module + across.module;
    for diagonal in diagonals {
        let Some(section) = section(contrast, centre, diagonal, module * 1.4) else {
            return;
        };
        sum += section.module;
    }
    // Upright, the diagonals are 1.41 times as long as the axes; at 45 degrees it is the reverse.
    found.push(Finder {
        centre,
        module: sum / 4.83,
        rows: 1,
    });
}

/// Distances from `centre` to the first three changes between dark and light.
fn edges_from(
    contrast: &Contrast,
    centre: Point,
    direction: Point,
    reach: f32,
) -> Option<[f32; 3]> {
    const STEP: f32 = 0.5;
    let mut edges = [0f32; 3];
    let mut count = 0;
    let mut before = contrast.sample(centre);
    if before >= 0.0 {
        return None;
    }
    let mut distance = 0.0;
    while distance < reach {
        let at = centre.plus(direction, distance + STEP);
        if !contrast.contains(at) {
            return None;
        }
        let after = contrast.sample(at);
        if (before < 0.0) != (after < 0.0) {
            *edges.get_mut(count)? = distance + STEP * before / (before - after);
            count += 1;
            if count == edges.len() {
                return Some(edges);
            }
        }
        before = after;
        distance += STEP;
    }
    None
}

/// Orders three finder patterns as corners, with a score that is 0 for a perfect square seen from straight above.
fn corners(a: Finder, b: Finder, c: Finder) -> Option<(f32, Corners)> {
    let largest = a.module.max(b.module).max(c.module);
    let smallest = a.module.min(b.module).min(c.module);
    if largest > smallest * 2.2 {
        return None;
    }
    let side = |p: Finder, q: Finder| q.centre.minus(p.centre).length();
    let (ab, bc, ca) = (side(a, b), side(b, c), side(c, a));
    // The corner between the legs is opposite the longest side.
    let (corner, one, other) = if bc >= ab && bc >= ca {
        (a, b, c)
    } else if ca >= ab {
        (b, c, a)
    } else {
        (c, a, b)
    };
    let (first, second) = (
        one.centre.minus(corner.centre),
        other.centre.minus(corner.centre),
    );
    let ratio = first.length().max(second.length()) / first.length().min(second.length()).max(1.0);
    let cosine = first.unit()?.dot(second.unit()?).abs();
    let modules = first.length().min(second.length()) / largest;
    if ratio > 1.8 || cosine > 0.55 || !(9.0..220.0).contains(&modules) {
        return None;
    }
    let (top_right, bottom_left) = if first.cross(second) > 0.0 {
        (one, other)
    } else {
        (other, one)
    };
    let score = (ratio - 1.0) + cosine + (largest / smallest - 1.0);
    Some((
        score,
        Corners {
            top_left: corner,
            top_right,
            bottom_left,
        },
    ))
}
