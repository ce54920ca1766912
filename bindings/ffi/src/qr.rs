//! QR codes: drawn for a screen, and read from a camera's frames.

use ailurus::channel::qr;
use ailurus::client::Error;

use crate::AilurusError;

/// A QR code as modules, with the four light ones around it that readers need.
#[derive(uniffi::Record)]
pub struct QrCode {
    /// Modules on a side.
    pub width: u32,
    /// Row by row from the top, `width` times `width` bytes: 1 is dark, 0 is light.
    pub modules: Vec<u8>,
}

/// Draws a link as modules, for a screen.
#[uniffi::export]
pub fn draw_qr(text: &str) -> Result<QrCode, AilurusError> {
    let code = qr::QrCode::encode(text).map_err(Error::Qr)?;
    let width = code.width() + 2 * QUIET_ZONE;
    // Left of and above the code the subtraction wraps far beyond it, where all is light.
    let dark =
        |x: usize, y: usize| code.is_dark(x.wrapping_sub(QUIET_ZONE), y.wrapping_sub(QUIET_ZONE));
    let modules = (0..width)
        .flat_map(|y| (0..width).map(move |x| (x, y)))
        .map(|(x, y)| u8::from(dark(x, y)))
        .collect();
    Ok(QrCode {
        width: u32::try_from(width).unwrap_or(u32::MAX),
        modules,
    })
}

/// ISO/IEC 18004, section 6.3.8.
const QUIET_ZONE: usize = 4;

/// Draws a link as a PNG file with this many pixels a module: to share or print.
#[uniffi::export]
pub fn draw_qr_png(text: &str, module_pixels: u32) -> Result<Vec<u8>, AilurusError> {
    let code = qr::QrCode::encode(text).map_err(Error::Qr)?;
    Ok(code.to_png(module_pixels).map_err(Error::Qr)?)
}

/// Reads the QR codes in a camera's frame: one byte a pixel, 0 is black, rows from the top, `row_stride` bytes a row.
/// It takes some milliseconds up to some hundred, on the thread that calls.
///
/// Fails with `NoCode` if there is none, as with most frames.
#[uniffi::export]
pub fn read_qr_luma(
    width: u32,
    height: u32,
    row_stride: u32,
    luma: Vec<u8>,
) -> Result<Vec<String>, AilurusError> {
    // On 32 bits and more this is exact; the reader refuses what is too large.
    let [width, height, row_stride] =
        [width, height, row_stride].map(|side| usize::try_from(side).unwrap_or(usize::MAX));
    Ok(qr::read_luma_rows(width, height, row_stride, &luma).map_err(Error::Qr)?)
}

/// Reads the QR codes in a PNG file, such as a screenshot.
#[uniffi::export]
pub fn read_qr_png(png: Vec<u8>) -> Result<Vec<String>, AilurusError> {
    Ok(qr::read_png(&png).map_err(Error::Qr)?)
}
