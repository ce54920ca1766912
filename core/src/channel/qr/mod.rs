//! QR codes that carry channel links: drawn for a screen, paper or a terminal, and read from camera frames.
//!
//! The symbols follow ISO/IEC 18004: byte mode, error correction level M, and the quiet zone of four modules.
//!
//! ```
//! use ailurus::channel::qr::{QrCode, read_png};
//!
//! let png = QrCode::encode("3yQ4Vp")?.to_png(6)?;
//! assert_eq!(read_png(&png)?, ["3yQ4Vp"]);
//! # Ok::<(), ailurus::channel::qr::QrError>(())
//! ```

use thiserror::Error;

mod draw;
mod finder;
mod grid;
mod image;
#[expect(
    clippy::indexing_slicing,
    reason = "rows and columns count to eight in a matrix of eight"
)]
mod perspective;
mod read;
mod timing;

pub use draw::QrCode;
pub use read::{read_luma, read_luma_rows, read_png};

/// The most characters that [`QrCode::encode`] accepts, which is the length limit of a channel link.
pub const MAX_TEXT_CHARS: usize = 470;

/// The most pixels of an image that is read or drawn (64 megapixels).
pub const MAX_PIXELS: usize = 64 << 20;

/// Why a QR code was not drawn or not read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum QrError {
    /// No code in the image could be read.
    #[error(
        "no QR code could be read: move closer, hold still, and keep the whole code with its white margin in view"
    )]
    NothingFound,
    /// There is nothing to encode.
    #[error("the text is empty: pass the link that the QR code is to carry")]
    TextEmpty,
    /// The text is longer than a link can be.
    #[error("the text has {chars} characters: pass a link of at most {MAX_TEXT_CHARS}")]
    TextTooLong {
        /// Characters in the text.
        chars: usize,
    },
    /// The bytes are not one per pixel, or a side is zero.
    #[error(
        "{len} bytes are not a {width}x{height} greyscale image: pass width * height bytes without row padding"
    )]
    BadDimensions {
        /// Width in pixels as given.
        width: usize,
        /// Height in pixels as given.
        height: usize,
        /// Bytes as given.
        len: usize,
    },
    /// The image has more pixels than [`MAX_PIXELS`].
    #[error(
        "an image of {width}x{height} pixels is too large: scale it down to at most {MAX_PIXELS} pixels"
    )]
    ImageTooLarge {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// A module cannot be drawn with no pixels.
    #[error("a module of 0 pixels cannot be drawn: pass a module size of at least 1 pixel")]
    ModuleSizeZero,
    /// The file is not a PNG, or a damaged one.
    #[error("the file cannot be read as PNG ({0}): pass an undamaged PNG file")]
    NotPng(String),
    /// The encoder refused the text.
    #[error("the QR code cannot be drawn ({0}): pass a shorter text")]
    Encoder(String),
}
