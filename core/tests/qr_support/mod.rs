#![allow(dead_code, reason = "each test binary uses a part")]
//! Draws QR codes as a camera sees them: small, turned, aslant, blurred, unevenly lit and noisy.

use ailurus::channel::qr::QrCode;

/// How light falls on the code.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Light {
    Even,
    /// Falls off to this share from the left to the right.
    Gradient(f32),
    /// Falls off to this share from the middle to the corners.
    Vignette(f32),
    /// A sharp shadow over the lower right half leaves this share.
    Shadow(f32),
}

/// Conditions under which a code is photographed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Photo {
    /// Pixels a module.
    pub scale: f32,
    pub degrees: f32,
    /// How much nearer the lower edge is than the upper one, as a share of the middle; and the left than the right one.
    pub tilt: (f32, f32),
    /// Standard deviation of the blur in modules.
    pub blur: f32,
    pub light: Light,
    /// Brightness of dark and light modules.
    pub levels: (f32, f32),
    /// Standard deviation of the noise in grey levels.
    pub noise: f32,
}

impl Default for Photo {
    fn default() -> Self {
        Self {
            scale: 4.0,
            degrees: 0.0,
            tilt: (0.0, 0.0),
            blur: 0.0,
            light: Light::Even,
            levels: (20.0, 235.0),
            noise: 0.0,
        }
    }
}

/// Greyscale pixels row by row.
pub(crate) struct Frame {
    pub width: usize,
    pub height: usize,
    pub luma: Vec<u8>,
}

/// Takes the photo; the same `seed` gives the same noise.
pub(crate) fn photograph(code: &QrCode, photo: Photo, seed: u64) -> Frame {
    let modules = code.width() as f32 + 8.0;
    let (sin, cos) = photo.degrees.to_radians().sin_cos();
    let stretch = 1.0 + photo.tilt.0.abs().max(photo.tilt.1.abs());
    let side = (modules * photo.scale * (sin.abs() + cos.abs()) * stretch) as usize + 20;
    let middle = side as f32 / 2.0;
    let mut values = Vec::with_capacity(side * side);
    for y in 0..side {
        for x in 0..side {
            let mut sum = 0.0;
            for (dx, dy) in [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)] {
                let (px, py) = (x as f32 + dx - middle, y as f32 + dy - middle);
                let (rx, ry) = (cos * px + sin * py, cos * py - sin * px);
                let depth = 1.0 + (photo.tilt.1 * rx - photo.tilt.0 * ry) / (modules * photo.scale);
                let u = rx / depth / photo.scale + modules / 2.0 - 4.0;
                let v = ry / depth / photo.scale + modules / 2.0 - 4.0;
                let dark = u >= 0.0 && v >= 0.0 && code.is_dark(u as usize, v as usize);
                sum += if dark { photo.levels.0 } else { photo.levels.1 };
            }
            values.push(sum / 4.0);
        }
    }
    if photo.blur > 0.0 {
        let sigma = photo.blur * photo.scale;
        values = blur_rows(&values, side, sigma);
        values = blur_rows(&values, side, sigma);
    }
    let mut random = seed.max(1);
    let luma = values.iter().enumerate().map(|(index, value)| {
        let (x, y) = (
            (index % side) as f32 / side as f32,
            (index / side) as f32 / side as f32,
        );
        let light = match photo.light {
            Light::Even => 1.0,
            Light::Gradient(least) => 1.0 - (1.0 - least) * x,
            Light::Vignette(least) => {
                1.0 - (1.0 - least) * 2.0 * ((x - 0.5) * (x - 0.5) + (y - 0.5) * (y - 0.5))
            }
            Light::Shadow(least) => {
                if x + 0.6 * y > 0.8 {
                    least
                } else {
                    1.0
                }
            }
        };
        let noise = if photo.noise > 0.0 {
            gauss(&mut random) * photo.noise
        } else {
            0.0
        };
        (value * light + noise).clamp(0.0, 255.0) as u8
    });
    Frame {
        width: side,
        height: side,
        luma: luma.collect(),
    }
}

/// Writes the frame as an 8-bit PNG.
pub(crate) fn png(frame: &Frame) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, frame.width as u32, frame.height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().expect("a header can be written");
    writer
        .write_image_data(&frame.luma)
        .expect("the frame has one byte a pixel");
    writer.finish().expect("the file can be finished");
    out
}

/// Base58 text of `len` characters.
pub(crate) fn base58(len: usize, seed: u64) -> String {
    const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut random = seed.max(1);
    (0..len)
        .map(|_| char::from(ALPHABET[(next(&mut random) % 58) as usize]))
        .collect()
}

/// Blurs along the rows and transposes, so that two calls blur both ways.
fn blur_rows(values: &[f32], side: usize, sigma: f32) -> Vec<f32> {
    let reach = (sigma * 3.0).ceil() as isize;
    let kernel: Vec<f32> = (-reach..=reach)
        .map(|i| (-(i * i) as f32 / (2.0 * sigma * sigma)).exp())
        .collect();
    let total: f32 = kernel.iter().sum();
    let mut out = vec![0.0; values.len()];
    for (y, row) in values.chunks_exact(side).enumerate() {
        for x in 0..side {
            let mut sum = 0.0;
            for (i, weight) in kernel.iter().enumerate() {
                let at = (x as isize + i as isize - reach).clamp(0, side as isize - 1) as usize;
                sum += weight * row[at];
            }
            out[x * side + y] = sum / total;
        }
    }
    out
}

/// Normally distributed with deviation 1, nearly: the sum of four uniform values.
fn gauss(random: &mut u64) -> f32 {
    let bits = next(random);
    let sum: u64 = (0..4).map(|i| (bits >> (16 * i)) & 0xffff).sum();
    (sum as f32 / 65535.0 - 2.0) * 1.732
}

/// SplitMix64.
fn next(random: &mut u64) -> u64 {
    *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *random;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
