//! Takes the size and the perspective of a code from its finder and timing patterns (ISO/IEC 18004, sections 6.3.3
//! and 6.3.5).

use super::finder::{Corners, Finder, Section, section};
use super::image::{Contrast, Gray, Point};
use super::perspective::{Perspective, Tie};

/// Positions at which a timing pattern is measured.
const PROFILE: usize = 1024;

/// Sizes of a code that are looked at twice.
const MAX_GUESSES: usize = 4;
/// How well both timing patterns together must fit at the first and at the second look, of at most 2.
const MIN_FIRST_FIT: f32 = 0.6;
const MIN_FIT: f32 = 1.0;

/// Sizes that are passed on.
const MAX_LAYOUTS: usize = 2;

/// Where the modules of a code may lie.
pub(super) struct Layout {
    /// Modules on a side.
    pub size: usize,
    /// What the finder and timing patterns say about the perspective.
    pub ties: Vec<Tie>,
}

/// The layouts that agree with the timing patterns between these corners, the likeliest first.
pub(super) fn layouts(gray: &Gray<'_>, contrast: &Contrast, corners: &Corners) -> Vec<Layout> {
    let Some(frame) = Frame::measure(contrast, corners) else {
        return Vec::new();
    };
    let timing = Timing::between(gray, &frame, &Edges::of(&frame));
    let mut guesses: Vec<Guess> = (1..=40usize)
        .map(|version| version * 4 + 17)
        .filter(|&size| (size as f32 - frame.estimate).abs() < (0.22 * frame.estimate).max(5.0))
        .map(|size| timing.guess(size))
        .filter(|guess| guess.fit > MIN_FIRST_FIT)
        .collect();
    guesses.sort_by(|a, b| b.fit.total_cmp(&a.fit));
    guesses.truncate(MAX_GUESSES);

    // Seen aslant, the sides of the finder patterns are not parallel: look again where the first guess puts the lines.
    for guess in &mut guesses {
        for _ in 0..2 {
            let Some(perspective) = frame.ties(guess).and_then(|ties| Perspective::fit(&ties))
            else {
                break;
            };
            *guess = Timing::between(gray, &frame, &Edges::seen(&perspective, guess.size))
                .guess(guess.size);
        }
    }
    guesses.retain(|guess| guess.fit > MIN_FIT);
    guesses.sort_by(|a, b| b.fit.total_cmp(&a.fit));
    guesses.truncate(MAX_LAYOUTS);
    let layout = |guess: &Guess| {
        Some(Layout {
            size: guess.size,
            ties: frame.ties(guess)?,
        })
    };
    guesses.iter().filter_map(layout).collect()
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
            // Where blur hides the rings in this direction, what the search measured in others will do.
            let rough = Section {
                shift: 0.0,
                module: finder.module,
            };
            let first = section(contrast, finder.centre, across, finder.module).unwrap_or(rough);
            let centre = finder.centre.plus(across, first.shift);
            let second = section(contrast, centre, down, finder.module).unwrap_or(rough);
            let centre = centre.plus(down, second.shift);
            let module = |direction: Point, pixels: f32| Point {
                x: direction.x * pixels,
                y: direction.y * pixels,
            };
            Corner {
                centre,
                across: module(across, first.module),
                down: module(down, second.module),
            }
        };
        let top_left = corner(corners.top_left);
        let top_right = corner(corners.top_right);
        let bottom_left = corner(corners.bottom_left);
        let modules_across = top_right.centre.minus(top_left.centre).length() * 2.0
            / (top_left.across.length() + top_right.across.length());
        let modules_down = bottom_left.centre.minus(top_left.centre).length() * 2.0
            / (top_left.down.length() + bottom_left.down.length());
        let estimate = (modules_across + modules_down) / 2.0 + 7.0;
        Some(Self {
            top_left,
            top_right,
            bottom_left,
            estimate,
        })
    }

    /// What the finder and timing patterns say about the perspective.
    fn ties(&self, guess: &Guess) -> Option<Vec<Tie>> {
        let &Guess {
            size,
            across_depth,
            down_depth,
            ..
        } = guess;
        let (near, far) = (3.5, size as f32 - 3.5);
        let (a, b, c) = (
            self.top_left.centre,
            self.top_right.centre,
            self.bottom_left.centre,
        );
        let mut ties = vec![
            Tie {
                module: (near, near),
                pixel: a,
                weight: 4.0,
            },
            Tie {
                module: (far, near),
                pixel: b,
                weight: 4.0,
            },
            Tie {
                module: (near, far),
                pixel: c,
                weight: 4.0,
            },
        ];
        for step in [0.25, 0.5, 0.75] {
            let module = near + step * (far - near);
            let (right, below) = (
                depth_share(step, across_depth),
                depth_share(step, down_depth),
            );
            ties.push(Tie {
                module: (module, near),
                pixel: a.plus(b.minus(a), right),
                weight: 1.0,
            });
            ties.push(Tie {
                module: (near, module),
                pixel: a.plus(c.minus(a), below),
                weight: 1.0,
            });
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
        ties.push(Tie {
            module: (far, far),
            pixel: fourth,
            weight: 0.02,
        });
        Some(ties)
    }
}

/// Where on a side, from 0 to 1 in the image, the `step` from 0 to 1 in the code lies. `depth` is how much nearer the
/// end is to the camera than the start: 1 when seen from straight above.
fn depth_share(step: f32, depth: f32) -> f32 {
    step / (step + (1.0 - step) * depth)
}

/// Ends of the two timing patterns, each level with the centre of a finder pattern.
struct Edges {
    across: (Point, Point),
    down: (Point, Point),
}

impl Edges {
    /// Taken from the finder patterns alone: the timing patterns run three modules beside their centres.
    fn of(frame: &Frame) -> Self {
        let Frame {
            top_left,
            top_right,
            bottom_left,
            ..
        } = frame;
        Self {
            across: (top_left.offset(0.0, 3.0), top_right.offset(0.0, 3.0)),
            down: (top_left.offset(3.0, 0.0), bottom_left.offset(3.0, 0.0)),
        }
    }

    /// Taken from a known perspective.
    fn seen(perspective: &Perspective, size: usize) -> Self {
        let far = size as f32 - 3.5;
        Self {
            across: (perspective.map(3.5, 6.5), perspective.map(far, 6.5)),
            down: (perspective.map(6.5, 3.5), perspective.map(6.5, far)),
        }
    }
}

/// A possible size of the code in modules, with the depths of its upper and left side.
#[derive(Clone, Copy)]
struct Guess {
    size: usize,
    across_depth: f32,
    down_depth: f32,
    /// How well both timing patterns fit together: at most 2.
    fit: f32,
}

/// Both timing patterns.
struct Timing {
    across: Profile,
    down: Profile,
}

impl Timing {
    fn between(gray: &Gray<'_>, frame: &Frame, edges: &Edges) -> Self {
        Self {
            across: Profile::measure(gray, edges.across.0, edges.across.1, frame.estimate),
            down: Profile::measure(gray, edges.down.0, edges.down.1, frame.estimate),
        }
    }

    fn guess(&self, size: usize) -> Guess {
        let (across_fit, across_depth) = self.across.best_depth(size);
        let (down_fit, down_depth) = self.down.best_depth(size);
        Guess {
            size,
            across_depth,
            down_depth,
            fit: across_fit + down_fit,
        }
    }
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
        let fits: Vec<(f32, f32)> = (-STEPS..=STEPS)
            .map(|step| {
                let depth = (f32::from(step) * 0.02).exp();
                (self.fit(size, depth), depth)
            })
            .collect();
        let best = fits.iter().fold(-1.0, |best: f32, (fit, _)| best.max(*fit));
        // Sharp images fit equally well over a range, of which the middle is the likeliest.
        let near: Vec<f32> = fits
            .iter()
            .filter(|(fit, _)| *fit >= best - 0.01)
            .map(|(_, depth)| *depth)
            .collect();
        (best, near.iter().sum::<f32>() / near.len().max(1) as f32)
    }

    fn fit(&self, size: usize, depth: f32) -> f32 {
        let (mut agreeing, mut total) = (0f32, 0f32);
        for module in 7..size - 7 {
            let step = (module as f32 - 3.0) / (size as f32 - 7.0);
            let at = (depth_share(step, depth) * PROFILE as f32) as usize;
            let Some(&value) = self.0.get(at) else {
                continue;
            };
            // Modules in even columns are dark.
            agreeing += if module % 2 == 0 { -value } else { value };
            total += value.abs();
        }
        agreeing / total.max(1.0)
    }
}
