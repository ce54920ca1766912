//! Finds and reads the QR codes in an image.

use std::borrow::Cow;
use std::io::Cursor;

use super::finder::{self, Corners};
use super::image::{Contrast, Gray};
use super::{MAX_PIXELS, QrError, grid};

/// Images above this size (2 megapixels) are first tried at half size or less, where codes are usually large enough.
const COMFORTABLE_PIXELS: usize = 2 << 20;
/// Below this length of the shorter side, halving the image again leaves no room for a code.
const MIN_SIDE: usize = 80;
/// The most combinations of finder patterns that are read in one pass, which bounds the time a hostile image can take.
const MAX_ATTEMPTS: usize = 20;

/// Reads all QR codes in a greyscale image: one byte a pixel, 0 is black, rows from the top, no padding.
///
/// Made for camera frames: the code may be turned by any angle, seen aslant, out of focus, unevenly lit, or as small as
/// about two pixels a module. Light codes on dark ground and mirrored ones are read too. Several passes go from the
/// likeliest conditions to the harder ones, and the first that reads anything ends the search; an image without a code
/// takes them all. No input panics.
///
/// # Errors
/// [`QrError::BadDimensions`], [`QrError::ImageTooLarge`] above [`MAX_PIXELS`], or [`QrError::NothingFound`].
pub fn read_luma(width: usize, height: usize, luma: &[u8]) -> Result<Vec<String>, QrError> {
    let pixels = width.checked_mul(height);
    if pixels.is_some_and(|pixels| pixels > MAX_PIXELS) {
        return Err(QrError::ImageTooLarge { width, height });
    }
    if width == 0 || height == 0 || pixels != Some(luma.len()) {
        return Err(QrError::BadDimensions {
            width,
            height,
            len: luma.len(),
        });
    }

    let mut levels = vec![Gray {
        width,
        height,
        pixels: Cow::Borrowed(luma),
    }];
    while let Some(last) = levels.last()
        && last.width.min(last.height) >= 2 * MIN_SIDE
    {
        let half = last.halved();
        levels.push(half);
    }
    let comfortable = levels
        .iter()
        .position(|gray| gray.pixels.len() <= COMFORTABLE_PIXELS)
        .unwrap_or(0);
    let (large, rest) = levels.split_at(comfortable);

    for gray in rest.iter().chain(large.iter().rev()) {
        // A wide neighbourhood suits even light, a narrow one follows shadows and suits small codes.
        for divisor in [5, 24] {
            let texts = read_pass(gray, &gray.contrast(radius(gray, divisor)));
            if !texts.is_empty() {
                return Ok(texts);
            }
        }
    }
    for gray in rest {
        // Blur closes the light rings of the finder patterns; sharpening by about a module opens them.
        let texts = read_pass(gray, &gray.sharpened(4).contrast(radius(gray, 16)));
        if !texts.is_empty() {
            return Ok(texts);
        }
    }
    for gray in rest {
        let inverted = gray.inverted();
        let texts = read_pass(&inverted, &inverted.contrast(radius(gray, 16)));
        if !texts.is_empty() {
            return Ok(texts);
        }
    }
    Err(QrError::NothingFound)
}

/// The same for a camera's plane, whose rows are padded to `row_stride` bytes; the last one may end with its pixels.
///
/// # Errors
/// As [`read_luma`]; [`QrError::BadDimensions`] also if `row_stride` is below `width` or `luma` too short or too long.
pub fn read_luma_rows(
    width: usize,
    height: usize,
    row_stride: usize,
    luma: &[u8],
) -> Result<Vec<String>, QrError> {
    if width
        .checked_mul(height)
        .is_some_and(|pixels| pixels > MAX_PIXELS)
    {
        return Err(QrError::ImageTooLarge { width, height });
    }
    let whole = row_stride.checked_mul(height);
    // Without the padding of the last row.
    let least = whole.and_then(|whole| whole.checked_sub(row_stride.checked_sub(width)?));
    let fits = least.is_some_and(|least| luma.len() >= least)
        && whole.is_some_and(|whole| luma.len() <= whole);
    if width == 0 || height == 0 || !fits {
        return Err(QrError::BadDimensions {
            width,
            height,
            len: luma.len(),
        });
    }
    if row_stride == width {
        return read_luma(width, height, luma);
    }
    let pixels: Vec<u8> = luma
        .chunks(row_stride)
        .flat_map(|row| row.iter().take(width).copied())
        .collect();
    read_luma(width, height, &pixels)
}

/// Reads all QR codes in a PNG file of any colour type; transparent parts count as white paper.
///
/// # Errors
/// [`QrError::NotPng`], [`QrError::ImageTooLarge`] above [`MAX_PIXELS`] (checked before anything of that size is
/// allocated), or [`QrError::NothingFound`].
pub fn read_png(bytes: &[u8]) -> Result<Vec<String>, QrError> {
    let not_png = |error: png::DecodingError| QrError::NotPng(error.to_string());
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let header = decoder.read_header_info().map_err(not_png)?;
    let side = |pixels: u32| usize::try_from(pixels).unwrap_or(usize::MAX);
    let (width, height) = (side(header.width), side(header.height));
    if width.saturating_mul(height) > MAX_PIXELS {
        return Err(QrError::ImageTooLarge { width, height });
    }

    let mut reader = decoder.read_info().map_err(not_png)?;
    let too_large = QrError::ImageTooLarge { width, height };
    let mut data = vec![0; reader.output_buffer_size().ok_or(too_large)?];
    let info = reader.next_frame(&mut data).map_err(not_png)?;
    data.truncate(info.buffer_size());
    let luma: Vec<u8> = match info.color_type {
        png::ColorType::Grayscale => data,
        color => data
            .chunks_exact(color.samples())
            .map(luma_on_white)
            .collect(),
    };
    read_luma(width, height, &luma)
}

/// Brightness of one pixel of grey and alpha, RGB, or RGBA samples (weights of ITU-R BT.601), on white.
fn luma_on_white(samples: &[u8]) -> u8 {
    let rgb =
        |r: u8, g: u8, b: u8| (299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b)) / 1000;
    let (value, alpha) = match *samples {
        [gray, alpha] => (u32::from(gray), u32::from(alpha)),
        [r, g, b] => (rgb(r, g, b), 255),
        [r, g, b, alpha] => (rgb(r, g, b), u32::from(alpha)),
        _ => (255, 255),
    };
    ((value * alpha + 255 * (255 - alpha)) / 255) as u8
}

/// The neighbourhood that is this part of the image.
fn radius(gray: &Gray<'_>, divisor: usize) -> usize {
    (gray.width.max(gray.height) / divisor).max(6)
}

/// Reads the codes whose finder patterns show in `contrast`.
fn read_pass(gray: &Gray<'_>, contrast: &Contrast) -> Vec<String> {
    let finders = finder::find(contrast);
    let mut texts = Vec::new();
    let mut used = Vec::new();
    let mut attempts = 0;
    for (_, corners) in finder::triples(&finders) {
        let Corners {
            top_left,
            top_right,
            bottom_left,
        } = corners;
        let centres = [top_left.centre, top_right.centre, bottom_left.centre];
        if centres.iter().any(|centre| used.contains(centre)) {
            continue;
        }
        attempts += 1;
        if attempts > MAX_ATTEMPTS {
            break;
        }
        if let Some(text) = grid::read(gray, contrast, &corners) {
            texts.push(text);
            used.extend(centres);
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::QrCode;
    use super::*;

    fn png_of(color: png::ColorType, depth: png::BitDepth, side: u32, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, side, side);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == png::ColorType::Indexed {
            encoder.set_palette(vec![0, 0, 64, 255, 250, 200]);
        }
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(data).unwrap();
        writer.finish().unwrap();
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn every_base58_text_comes_back(text in "[1-9A-HJ-NP-Za-km-z]{1,470}", scale in 2u32..5) {
            let png = QrCode::encode(&text).unwrap().to_png(scale).unwrap();
            prop_assert_eq!(read_png(&png), Ok(vec![text]));
        }

        #[test]
        fn random_pixels_do_not_panic(width in 1usize..90, luma in vec(any::<u8>(), 1..6000)) {
            let height = luma.len() / width;
            let _ = read_luma(width, height, &luma[..width * height]);
        }

        #[test]
        fn no_stride_panics(
            width in 0usize..60,
            height in 0usize..60,
            stride in prop_oneof![0usize..90, Just(usize::MAX)],
            luma in vec(any::<u8>(), 0..5400),
        ) {
            let _ = read_luma_rows(width, height, stride, &luma);
            let fitting = stride.saturating_mul(height).min(luma.len());
            let _ = read_luma_rows(width, height, stride, &luma[..fitting]);
        }

        #[test]
        fn random_bytes_are_not_a_png(bytes in vec(any::<u8>(), 0..600)) {
            prop_assert!(matches!(read_png(&bytes), Err(QrError::NotPng(_))));
        }

        #[test]
        fn a_damaged_code_is_never_misread(
            damage in vec((any::<prop::sample::Index>(), any::<u8>(), 1usize..400), 1..30),
        ) {
            let text = "9xK".repeat(60);
            let code = QrCode::encode(&text).unwrap();
            let side = (code.width() + 8) * 3;
            let mut luma: Vec<u8> = (0..side * side)
                .map(|i| {
                    let (u, v) = ((i % side / 3).wrapping_sub(4), (i / side / 3).wrapping_sub(4));
                    if code.is_dark(u, v) { 0 } else { 255 }
                })
                .collect();
            for (at, value, len) in damage {
                let start = at.index(luma.len());
                luma.iter_mut().skip(start).take(len).for_each(|pixel| *pixel = value);
            }
            if let Ok(read) = read_luma(side, side, &luma) {
                prop_assert_eq!(read, vec![text]);
            }
        }

        #[test]
        fn a_damaged_png_does_not_panic(at in any::<prop::sample::Index>(), value in any::<u8>()) {
            let mut png = QrCode::encode("3yQ4Vp").unwrap().to_png(3).unwrap();
            let at = at.index(png.len());
            png[at] = value;
            let _ = read_png(&png);
        }
    }

    #[test]
    fn every_colour_type_is_read() {
        let code = QrCode::encode("3yQ4Vp").unwrap();
        let side = (code.width() + 8) * 3;
        let dark: Vec<bool> = (0..side * side)
            .map(|i| {
                code.is_dark(
                    (i % side / 3).wrapping_sub(4),
                    (i / side / 3).wrapping_sub(4),
                )
            })
            .collect();
        let paint = |on: &[u8], off: &[u8]| -> Vec<u8> {
            dark.iter()
                .flat_map(|&dark| if dark { on } else { off }.to_vec())
                .collect()
        };
        use png::{BitDepth, ColorType};
        for (color, depth, data) in [
            (ColorType::Grayscale, BitDepth::Eight, paint(&[9], &[250])),
            (
                ColorType::Grayscale,
                BitDepth::Sixteen,
                paint(&[9, 0], &[250, 3]),
            ),
            (
                ColorType::GrayscaleAlpha,
                BitDepth::Eight,
                paint(&[0, 255], &[0, 0]),
            ),
            (
                ColorType::Rgb,
                BitDepth::Eight,
                paint(&[90, 0, 40], &[255, 240, 200]),
            ),
            (
                ColorType::Rgba,
                BitDepth::Eight,
                paint(&[0, 60, 0, 255], &[9, 9, 9, 0]),
            ),
            (ColorType::Indexed, BitDepth::Eight, paint(&[0], &[1])),
        ] {
            let png = png_of(color, depth, side as u32, &data);
            assert_eq!(
                read_png(&png),
                Ok(vec!["3yQ4Vp".to_string()]),
                "{color:?} {depth:?}"
            );
        }
    }

    #[test]
    fn sizes_are_checked() {
        let bad = |width, height, len| Err(QrError::BadDimensions { width, height, len });
        assert_eq!(read_luma(2, 2, &[0; 3]), bad(2, 2, 3));
        assert_eq!(read_luma(0, 0, &[]), bad(0, 0, 0));
        assert_eq!(read_luma(0, 5, &[]), bad(0, 5, 0));
        assert_eq!(read_luma(usize::MAX, 2, &[0; 3]), bad(usize::MAX, 2, 3));
        assert_eq!(
            read_luma(1 << 14, 1 << 13, &[]),
            Err(QrError::ImageTooLarge {
                width: 1 << 14,
                height: 1 << 13
            })
        );
        for (width, height) in [(1, 1), (1, 700), (700, 1), (2, 3), (161, 160)] {
            assert_eq!(
                read_luma(width, height, &vec![7; width * height]),
                Err(QrError::NothingFound)
            );
        }
    }

    #[test]
    fn padded_rows_are_read_without_their_padding() {
        let code = QrCode::encode("3yQ4Vp").unwrap();
        let side = (code.width() + 8) * 3;
        let stride = side + 37;
        // The padding looks like modules, and would spoil the image.
        let padded: Vec<u8> = (0..stride * side)
            .map(|i| (i % stride, i / stride))
            .map(|(x, y)| match (x / 3).wrapping_sub(4) {
                _ if x >= side => u8::try_from(x * 7 % 256).unwrap(),
                u if code.is_dark(u, (y / 3).wrapping_sub(4)) => 0,
                _ => 255,
            })
            .collect();
        let read = Ok(vec!["3yQ4Vp".to_owned()]);
        assert_eq!(read_luma_rows(side, side, stride, &padded), read);
        let short = &padded[..padded.len() - 37];
        assert_eq!(read_luma_rows(side, side, stride, short), read);
        assert_ne!(
            read_luma(side, side, &padded[..side * side]),
            read,
            "the padding matters"
        );

        let bad = |len| {
            Err(QrError::BadDimensions {
                width: side,
                height: side,
                len,
            })
        };
        for (stride, luma) in [
            (stride, &short[..short.len() - 1]),
            (side - 1, &padded[..(side - 1) * side]),
            (usize::MAX, &padded[..]),
            (side, &padded[..]),
        ] {
            assert_eq!(
                read_luma_rows(side, side, stride, luma),
                bad(luma.len()),
                "{stride}"
            );
        }
        assert!(read_luma_rows(0, 3, 8, &[0; 24]).is_err());
        assert!(read_luma_rows(3, 0, 8, &[]).is_err());
    }

    #[test]
    fn a_huge_png_is_refused_by_its_header() {
        let mut png = QrCode::encode("1").unwrap().to_png(1).unwrap();
        png.splice(16..24, [0, 0, 0x80, 0, 0, 0, 0x80, 0]);
        let crc = crc32(&png[12..29]);
        png.splice(29..33, crc.to_be_bytes());
        assert_eq!(
            read_png(&png),
            Err(QrError::ImageTooLarge {
                width: 0x8000,
                height: 0x8000
            })
        );
    }

    /// CRC of a PNG chunk (PNG specification, annex D).
    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1))
            })
        })
    }
}
