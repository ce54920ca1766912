//! Encodes text as a QR code and draws it.

use std::iter;

use qrcode::bits::Bits;
use qrcode::types::QrError as EncodeError;
use qrcode::{EcLevel, Version};

use super::{MAX_PIXELS, MAX_TEXT_CHARS, QrError};

/// Light modules around the code (ISO/IEC 18004, section 6.3.8).
const QUIET_ZONE: usize = 4;

/// The largest version drawn at level M: above it modules get too small on a phone, and level L makes them fewer.
const MAX_VERSION_AT_M: i16 = 25;

/// An encoded QR code: a square of dark and light modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QrCode {
    width: usize,
    modules: Vec<bool>,
}

impl QrCode {
    /// Encodes `text` in byte mode at error correction level M.
    ///
    /// Every Base58 text within the limit fits level M (version 17, 85 modules, at 470 characters); text of many
    /// multi-byte characters that would need more than version 25 at M gets level L.
    ///
    /// # Errors
    /// [`QrError::TextEmpty`], or [`QrError::TextTooLong`] above [`MAX_TEXT_CHARS`].
    pub fn encode(text: &str) -> Result<Self, QrError> {
        if text.is_empty() {
            return Err(QrError::TextEmpty);
        }
        let chars = text.chars().count();
        if chars > MAX_TEXT_CHARS {
            return Err(QrError::TextTooLong { chars });
        }
        let at_m = (1..=MAX_VERSION_AT_M).map(|version| (version, EcLevel::M));
        let at_l = (1..=40).map(|version| (version, EcLevel::L));
        let mut refusal = EncodeError::DataTooLong;
        for (version, level) in at_m.chain(at_l) {
            match encode_bytes(text.as_bytes(), Version::Normal(version), level) {
                Ok(code) => return Ok(code),
                Err(EncodeError::DataTooLong) => continue,
                Err(other) => {
                    refusal = other;
                    break;
                }
            }
        }
        Err(QrError::Encoder(refusal.to_string()))
    }

    /// Modules on a side, without the quiet zone.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Whether the module in column `x` of row `y` is dark; `false` outside the code, so that a caller can draw the
    /// quiet zone of four modules with the same loop.
    #[must_use]
    pub fn is_dark(&self, x: usize, y: usize) -> bool {
        if x >= self.width || y >= self.width {
            return false;
        }
        self.modules
            .get(y * self.width + x)
            .copied()
            .unwrap_or(false)
    }

    /// All modules row by row from the top left, `true` for dark, without the quiet zone.
    #[must_use]
    pub fn modules(&self) -> &[bool] {
        &self.modules
    }

    /// Draws the code with its quiet zone as a PNG of 1-bit greyscale, `module_pixels` pixels a module.
    ///
    /// # Errors
    /// [`QrError::ModuleSizeZero`], or [`QrError::ImageTooLarge`] above [`MAX_PIXELS`].
    pub fn to_png(&self, module_pixels: u32) -> Result<Vec<u8>, QrError> {
        if module_pixels == 0 {
            return Err(QrError::ModuleSizeZero);
        }
        let scale = usize::try_from(module_pixels).unwrap_or(usize::MAX);
        let side = self
            .width
            .saturating_add(2 * QUIET_ZONE)
            .saturating_mul(scale);
        let too_large = QrError::ImageTooLarge {
            width: side,
            height: side,
        };
        let Ok(png_side) = u32::try_from(side) else {
            return Err(too_large);
        };
        if side.saturating_mul(side) > MAX_PIXELS {
            return Err(too_large);
        }

        let row_bytes = side.div_ceil(8);
        let mut data = Vec::with_capacity(row_bytes * side);
        for y in self.rows_with_quiet_zone() {
            let lit = self
                .rows_with_quiet_zone()
                .flat_map(|x| iter::repeat_n(!self.dark_at(x, y), scale));
            let mut row = vec![0u8; row_bytes];
            for (index, light) in lit.enumerate() {
                if let (true, Some(byte)) = (light, row.get_mut(index / 8)) {
                    *byte |= 0x80 >> (index % 8);
                }
            }
            for _ in 0..scale {
                data.extend_from_slice(&row);
            }
        }

        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, png_side, png_side);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::One);
        let mut writer = encoder
            .write_header()
            .map_err(|error| QrError::Encoder(error.to_string()))?;
        writer
            .write_image_data(&data)
            .map_err(|error| QrError::Encoder(error.to_string()))?;
        writer
            .finish()
            .map_err(|error| QrError::Encoder(error.to_string()))?;
        Ok(out)
    }

    /// Draws the code with its quiet zone as lines of Unicode half blocks, two rows of modules a line.
    ///
    /// Each line sets white on black by ANSI escape codes (indices 231 and 16, which themes leave alone) and resets
    /// them at its end, so that dark and light terminals show the same. Blocks are the light modules: where escape
    /// codes are stripped, the code is still right on a dark terminal, and inverted on a light one.
    #[must_use]
    pub fn to_terminal(&self) -> String {
        let mut out = String::new();
        for y in self.rows_with_quiet_zone().step_by(2) {
            out.push_str("\x1b[38;5;231;48;5;16m");
            for x in self.rows_with_quiet_zone() {
                out.push(match (self.dark_at(x, y), self.dark_at(x, y + 1)) {
                    (false, false) => '█',
                    (false, true) => '▀',
                    (true, false) => '▄',
                    (true, true) => ' ',
                });
            }
            out.push_str("\x1b[0m\n");
        }
        out
    }

    /// Coordinates of one side including the quiet zone, which starts at 0.
    fn rows_with_quiet_zone(&self) -> std::ops::Range<usize> {
        0..self.width + 2 * QUIET_ZONE
    }

    /// [`Self::is_dark`] in coordinates that include the quiet zone.
    fn dark_at(&self, x: usize, y: usize) -> bool {
        match (x.checked_sub(QUIET_ZONE), y.checked_sub(QUIET_ZONE)) {
            (Some(x), Some(y)) => self.is_dark(x, y),
            _ => false,
        }
    }
}

/// Encodes in byte mode only: the encoder's own choice takes some UTF-8 for Shift JIS, which readers then garble.
fn encode_bytes(bytes: &[u8], version: Version, level: EcLevel) -> Result<QrCode, EncodeError> {
    let mut bits = Bits::new(version);
    bits.push_byte_data(bytes)?;
    bits.push_terminator(level)?;
    let code = qrcode::QrCode::with_bits(bits, level)?;
    Ok(QrCode {
        width: code.width(),
        modules: code
            .into_colors()
            .into_iter()
            .map(|color| color == qrcode::Color::Dark)
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{read_luma, read_png};
    use super::*;

    /// Draws the characters of the terminal form as a terminal would: a block is white, the rest black.
    fn render(terminal: &str, pixels: usize) -> (usize, usize, Vec<u8>) {
        let mut luma = Vec::new();
        let mut width = 0;
        for line in terminal.lines() {
            let line = line
                .strip_prefix("\x1b[38;5;231;48;5;16m")
                .expect("colours are set on each line");
            let line = line
                .strip_suffix("\x1b[0m")
                .expect("colours are reset on each line");
            width = line.chars().count() * pixels;
            for upper in [true, false] {
                let row: Vec<u8> = line
                    .chars()
                    .flat_map(|c| {
                        let lit = c == '█' || c == if upper { '▀' } else { '▄' };
                        iter::repeat_n(if lit { 255 } else { 0 }, pixels)
                    })
                    .collect();
                luma.extend(row.repeat(pixels));
            }
        }
        (width, luma.len() / width, luma)
    }

    #[test]
    fn the_terminal_form_is_scannable() {
        for len in [1, 120, 470] {
            let text = "7aZ".repeat(160)[..len].to_string();
            let (width, height, luma) = render(&QrCode::encode(&text).unwrap().to_terminal(), 3);
            assert_eq!(read_luma(width, height, &luma), Ok(vec![text.clone()]));
            let inverted: Vec<u8> = luma.iter().map(|v| 255 - v).collect();
            assert_eq!(read_luma(width, height, &inverted), Ok(vec![text]));
        }
    }

    #[test]
    fn the_longest_link_is_version_17() {
        let code = QrCode::encode(&"z".repeat(MAX_TEXT_CHARS)).unwrap();
        assert_eq!(code.width(), 85);
        assert_eq!(code.modules().len(), 85 * 85);
        assert!(
            code.is_dark(0, 0)
                && !code.is_dark(1, 1)
                && !code.is_dark(85, 0)
                && !code.is_dark(0, 85)
        );
    }

    #[test]
    fn utf8_survives_and_falls_back_to_level_l() {
        for text in [
            "点茗点茗 naïve".to_string(),
            "点".repeat(300),
            "🐼".repeat(470),
        ] {
            let png = QrCode::encode(&text).unwrap().to_png(4).unwrap();
            assert_eq!(read_png(&png), Ok(vec![text]));
        }
    }

    #[test]
    fn limits_are_errors() {
        assert_eq!(QrCode::encode(""), Err(QrError::TextEmpty));
        assert_eq!(
            QrCode::encode(&"1".repeat(471)),
            Err(QrError::TextTooLong { chars: 471 })
        );
        let code = QrCode::encode("1").unwrap();
        assert_eq!(code.to_png(0), Err(QrError::ModuleSizeZero));
        assert!(matches!(
            code.to_png(u32::MAX),
            Err(QrError::ImageTooLarge { .. })
        ));
        assert!(matches!(
            code.to_png(1000),
            Err(QrError::ImageTooLarge { .. })
        ));
    }
}
