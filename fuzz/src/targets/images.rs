//! QR codes: camera frames and PNG files.

use ailurus::channel::qr::{QrCode, read_luma, read_png};

use super::{Target, example_node};

/// Any greyscale image; the first two bytes are its width and height.
pub(super) fn qr_luma() -> Target {
    Target {
        body: Box::new(|data| {
            let [width, height, luma @ ..] = data else {
                return;
            };
            let _ = read_luma(usize::from(*width), usize::from(*height), luma);
            // An image that is whole, however many bytes came, and small, since searching takes its time.
            let (width, height) = (usize::from(*width % 128), usize::from(*height % 128));
            if !luma.is_empty() {
                let whole: Vec<u8> = luma.iter().copied().cycle().take(width * height).collect();
                let _ = read_luma(width, height, &whole);
            }
        }),
        seeds: vec![luma_seed()],
    }
}

/// Any bytes as a PNG file of at most 512 × 512 pixels; larger ones only take longer.
pub(super) fn qr_png() -> Target {
    Target {
        body: Box::new(|data| {
            let side = |at: usize| {
                let bytes = data.get(at..at + 4)?;
                Some(u32::from_be_bytes(bytes.try_into().ok()?))
            };
            if side(16).is_none_or(|width| width <= 512)
                && side(20).is_none_or(|height| height <= 512)
            {
                let _ = read_png(data);
            }
        }),
        seeds: vec![example().to_png(2).expect("a picture")],
    }
}

fn example() -> QrCode {
    QrCode::encode(&example_node().to_string()).expect("a short text")
}

fn luma_seed() -> Vec<u8> {
    let code = example();
    let side = code.width() + 8;
    let mut luma = vec![255; side * side];
    for y in 0..code.width() {
        for x in 0..code.width() {
            if code.is_dark(x, y) {
                luma[(y + 4) * side + x + 4] = 0;
            }
        }
    }
    let scale = 2;
    let wide = side * scale;
    let mut image: Vec<u8> = vec![u8::try_from(wide).expect("a small code"); 2];
    for y in 0..wide {
        for x in 0..wide {
            image.push(luma[(y / scale) * side + x / scale]);
        }
    }
    image
}
