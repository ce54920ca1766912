//! Greyscale images, and where they are darker than their surroundings.

use std::borrow::Cow;

/// A position or a direction in pixels; the centre of the first pixel is (0.5, 0.5).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) x: f32,
    pub(super) y: f32,
}

impl Point {
    pub(super) fn plus(self, direction: Self, times: f32) -> Self {
        Self {
            x: self.x + direction.x * times,
            y: self.y + direction.y * times,
        }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        self.plus(other, -1.0)
    }

    pub(super) fn length(self) -> f32 {
        self.x.hypot(self.y)
    }

    /// The direction of length 1, or `None` for one that is (nearly) zero.
    pub(super) fn unit(self) -> Option<Self> {
        let length = self.length();
        (length > 1e-3).then(|| Self {
            x: self.x / length,
            y: self.y / length,
        })
    }

    pub(super) fn dot(self, other: Self) -> f32 {
        self.x * other.x + self.y * other.y
    }

    pub(super) fn cross(self, other: Self) -> f32 {
        self.x * other.y - self.y * other.x
    }
}

/// A greyscale image, row by row.
pub(super) struct Gray<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) pixels: Cow<'a, [u8]>,
}

impl Gray<'_> {
    /// Brightness between the pixels around `at`; beyond the edge that of the edge.
    pub(super) fn sample(&self, at: Point) -> f32 {
        bilinear(self.width, self.height, at, |index| {
            self.pixels.get(index).map_or(255.0, |&v| f32::from(v))
        })
    }

    /// The image at half its size, each pixel the mean of four, which also averages noise away.
    pub(super) fn halved(&self) -> Gray<'static> {
        let (width, height) = (self.width / 2, self.height / 2);
        let mut pixels = Vec::with_capacity(width * height);
        for pair in self.pixels.chunks_exact(self.width * 2) {
            let (upper, lower) = pair.split_at(self.width);
            for (a, b) in upper.chunks_exact(2).zip(lower.chunks_exact(2)) {
                let sum: u16 = a.iter().chain(b).map(|&v| u16::from(v)).sum();
                pixels.push((sum / 4) as u8);
            }
        }
        Gray {
            width,
            height,
            pixels: Cow::Owned(pixels),
        }
    }

    /// The negative, for codes printed light on dark.
    pub(super) fn inverted(&self) -> Gray<'static> {
        let pixels = self.pixels.iter().map(|v| 255 - v).collect();
        Gray {
            width: self.width,
            height: self.height,
            pixels: Cow::Owned(pixels),
        }
    }

    /// The image with blur lessened: what sets a pixel off against the square of `radius` around it counts fivefold.
    pub(super) fn sharpened(&self, radius: usize) -> Gray<'static> {
        let contrast = self.contrast(radius).values;
        let pixels = self.pixels.iter().zip(contrast).map(|(&v, contrast)| {
            let sharp = i16::from(v) + 4 * (contrast - DARKER_BY);
            sharp.clamp(0, 255) as u8
        });
        Gray {
            width: self.width,
            height: self.height,
            pixels: pixels.collect(),
        }
    }

    /// Compares each pixel with the mean of the square of `radius` around it.
    pub(super) fn contrast(&self, radius: usize) -> Contrast {
        // The sums of a larger square would not fit 32 bits.
        let radius = radius.clamp(1, 1000);
        let mut columns = vec![0u32; self.width];
        let mut values = Vec::with_capacity(self.pixels.len());
        let mut entering = self.pixels.chunks_exact(self.width);
        let mut leaving = self.pixels.chunks_exact(self.width);
        let (mut first_row, mut next_row) = (0, 0);
        for (y, row) in self.pixels.chunks_exact(self.width).enumerate() {
            while next_row <= y + radius
                && let Some(row) = entering.next()
            {
                columns
                    .iter_mut()
                    .zip(row)
                    .for_each(|(sum, &v)| *sum += u32::from(v));
                next_row += 1;
            }
            while first_row + radius < y
                && let Some(row) = leaving.next()
            {
                columns
                    .iter_mut()
                    .zip(row)
                    .for_each(|(sum, &v)| *sum -= u32::from(v));
                first_row += 1;
            }
            compare_row(row, &columns, radius, next_row - first_row, &mut values);
        }
        Contrast {
            width: self.width,
            height: self.height,
            values,
        }
    }
}

/// How much brighter each pixel is than its surroundings; below zero it counts as dark.
pub(super) struct Contrast {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) values: Vec<i16>,
}

impl Contrast {
    /// Contrast between the pixels around `at`; beyond the edge that of the edge.
    pub(super) fn sample(&self, at: Point) -> f32 {
        bilinear(self.width, self.height, at, |index| {
            self.values.get(index).map_or(0.0, |&v| f32::from(v))
        })
    }

    pub(super) fn contains(&self, at: Point) -> bool {
        at.x >= 0.0 && at.y >= 0.0 && at.x <= self.width as f32 && at.y <= self.height as f32
    }
}

/// A pixel must be this much darker than its surroundings to be dark, or noise in plain areas would be everywhere.
const DARKER_BY: i16 = 2;

/// Slides the square along one row: `columns` holds the sum of each column over the `rows` rows of the square.
fn compare_row(row: &[u8], columns: &[u32], radius: usize, rows: usize, out: &mut Vec<i16>) {
    let mut entering = columns.iter();
    let mut leaving = columns.iter();
    let (mut sum, mut first, mut next) = (0u32, 0, 0);
    for (x, &v) in row.iter().enumerate() {
        while next <= x + radius
            && let Some(column) = entering.next()
        {
            sum += column;
            next += 1;
        }
        if first + radius < x
            && let Some(column) = leaving.next()
        {
            sum -= column;
            first += 1;
        }
        let pixels = (rows * (next - first)).max(1) as u32;
        out.push(i16::from(v) - (sum / pixels) as i16 + DARKER_BY);
    }
}

fn bilinear(width: usize, height: usize, at: Point, value: impl Fn(usize) -> f32) -> f32 {
    let x = (at.x - 0.5).clamp(0.0, width as f32 - 1.0);
    let y = (at.y - 0.5).clamp(0.0, height as f32 - 1.0);
    // A cast of NaN is 0, so every position is inside the image.
    let (left, top) = (x as usize, y as usize);
    let right = (left + 1).min(width - 1);
    let bottom = (top + 1).min(height - 1);
    let (fx, fy) = (x - left as f32, y - top as f32);
    let upper = value(top * width + left) * (1.0 - fx) + value(top * width + right) * fx;
    let lower = value(bottom * width + left) * (1.0 - fx) + value(bottom * width + right) * fx;
    upper * (1.0 - fy) + lower * fy
}
