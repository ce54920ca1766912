//! Frames on a QUIC stream: a length, then that many bytes.
//!
//! The length is a QUIC variable-length integer (RFC 9000 section 16) in its shortest form, so a
//! frame has exactly one encoding. Nothing here touches a socket: bytes are pushed in, frames come out.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

/// The longest encoded length, in bytes (RFC 9000 section 16).
pub const MAX_HEADER: usize = 8;

/// Why a sequence of bytes is not a sequence of frames.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    /// The announced length is above what the reader accepts here.
    #[error(
        "a frame of {length} bytes was announced where at most {limit} are allowed; close the connection"
    )]
    TooLong {
        /// What was announced, in bytes.
        length: u64,
        /// What the reader accepts, in bytes.
        limit: usize,
    },
    /// The length was encoded in more bytes than it needs.
    #[error("a frame length was not in its shortest encoding; close the connection")]
    NotShortest,
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame; discard the part and ask again")]
    Truncated,
}

/// The encoded length that precedes a body.
#[derive(Clone, Copy, Debug)]
pub struct FrameHeader {
    bytes: [u8; MAX_HEADER],
    used: u8,
}

impl AsRef<[u8]> for FrameHeader {
    fn as_ref(&self) -> &[u8] {
        let unused = MAX_HEADER.saturating_sub(usize::from(self.used));
        self.bytes.get(unused..).unwrap_or_default()
    }
}

/// Encodes the header for a body of `len` bytes in its shortest form.
///
/// Lengths of 2^62 and more do not fit the encoding and saturate; no body is that long, and every
/// reader refuses it.
pub fn encode_header(len: usize) -> FrameHeader {
    let value = u64::try_from(len).unwrap_or(u64::MAX).min((1 << 62) - 1);
    let used = shortest(value);
    let tag = u64::from(used.trailing_zeros());
    let shifted = value | (tag << (u32::from(used) * 8 - 2));
    FrameHeader {
        bytes: shifted.to_be_bytes(),
        used,
    }
}

/// Encodes one whole frame.
pub fn encode(body: &[u8]) -> Bytes {
    let header = encode_header(body.len());
    let header = header.as_ref();
    let mut frame = BytesMut::with_capacity(header.len().saturating_add(body.len()));
    frame.put_slice(header);
    frame.put_slice(body);
    frame.freeze()
}

/// Cuts frames out of the chunks in which a stream arrives.
///
/// A frame that lies within one chunk is returned without copying and keeps that chunk's
/// allocation alive. A frame spread over several is gathered as its chunks come, so what is held
/// grows with the bytes that really arrived and never with the length that was announced.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    chunks: VecDeque<Bytes>,
    /// Bytes in `chunks`.
    waiting: usize,
    body: Option<Body>,
}

/// A frame whose length is known and whose body is not complete.
#[derive(Debug)]
struct Body {
    len: usize,
    gathered: BytesMut,
}

impl FrameDecoder {
    /// A decoder at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next bytes of the stream.
    pub fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        self.waiting = self.waiting.saturating_add(chunk.len());
        self.chunks.push_back(chunk);
    }

    /// The next whole frame's body, or `None` until more bytes are pushed.
    ///
    /// `max` is the longest body that is acceptable now, in bytes. Call this until it returns
    /// `None` before pushing more, so that what is held stays below one frame.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] and [`FrameError::NotShortest`], before anything is allocated for the
    /// frame. The decoder is of no use afterwards.
    pub fn next(&mut self, max: usize) -> Result<Option<Bytes>, FrameError> {
        let mut body = match self.body.take() {
            Some(body) => body,
            None => {
                let Some(len) = self.header(max)? else {
                    return Ok(None);
                };
                Body {
                    len,
                    gathered: BytesMut::new(),
                }
            }
        };
        if body.gathered.is_empty() {
            if body.len == 0 {
                return Ok(Some(Bytes::new()));
            }
            if let Some(whole) = self.within_first_chunk(body.len) {
                return Ok(Some(whole));
            }
        }
        while body.gathered.len() < body.len {
            let missing = body.len - body.gathered.len();
            let Some(chunk) = self.chunks.front_mut() else {
                self.body = Some(body);
                return Ok(None);
            };
            let part = chunk.split_to(missing.min(chunk.len()));
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
            self.waiting -= part.len();
            body.gathered.put_slice(&part);
        }
        Ok(Some(body.gathered.freeze()))
    }

    /// Whether the stream may end here: nothing is held, not even a part of a frame.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0 && self.body.is_none()
    }

    /// Bytes held that were not yet returned.
    pub fn buffered(&self) -> usize {
        let gathered = self.body.as_ref().map_or(0, |body| body.gathered.len());
        self.waiting.saturating_add(gathered)
    }

    fn within_first_chunk(&mut self, len: usize) -> Option<Bytes> {
        let chunk = self.chunks.front_mut().filter(|chunk| chunk.len() >= len)?;
        let whole = chunk.split_to(len);
        if chunk.is_empty() {
            self.chunks.pop_front();
        }
        self.waiting -= len;
        Some(whole)
    }

    fn header(&mut self, max: usize) -> Result<Option<usize>, FrameError> {
        let Some(first) = self.chunks.front().and_then(|chunk| chunk.first()).copied() else {
            return Ok(None);
        };
        let size = 1_usize << (first >> 6);
        if self.waiting < size {
            return Ok(None);
        }
        let mut value = 0_u64;
        for byte in self.chunks.iter().flatten().take(size) {
            value = (value << 8) | u64::from(*byte);
        }
        value &= u64::MAX >> (66 - 8 * size);
        if usize::from(shortest(value)) != size {
            return Err(FrameError::NotShortest);
        }
        let Some(len) = usize::try_from(value).ok().filter(|len| *len <= max) else {
            return Err(FrameError::TooLong {
                length: value,
                limit: max,
            });
        };
        self.skip(size);
        Ok(Some(len))
    }

    fn skip(&mut self, mut count: usize) {
        self.waiting -= count;
        while let Some(chunk) = self.chunks.front_mut() {
            let step = count.min(chunk.len());
            chunk.advance(step);
            count -= step;
            if !chunk.is_empty() {
                return;
            }
            self.chunks.pop_front();
        }
    }
}

/// How many bytes the shortest encoding of `value` has.
fn shortest(value: u64) -> u8 {
    match value {
        0..=0x3f => 1,
        0x40..=0x3fff => 2,
        0x4000..=0x3fff_ffff => 4,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn drain(decoder: &mut FrameDecoder, max: usize) -> Result<Vec<Bytes>, FrameError> {
        let mut frames = Vec::new();
        while let Some(frame) = decoder.next(max)? {
            frames.push(frame);
        }
        Ok(frames)
    }

    #[test]
    fn lengths_are_encoded_as_in_rfc_9000_appendix_a_1() {
        assert_eq!(encode_header(37).as_ref(), [0x25]);
        assert_eq!(encode_header(15_293).as_ref(), [0x7b, 0xbd]);
        assert_eq!(
            encode_header(494_878_333).as_ref(),
            [0x9d, 0x7f, 0x3e, 0x7d]
        );
        assert_eq!(
            encode_header(151_288_809_941_952_652).as_ref(),
            [0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c]
        );
    }

    #[test]
    fn a_longer_encoding_is_refused() {
        for bytes in [
            &[0x40, 0x25][..],
            &[0x80, 0, 0x3f, 0xff],
            &[0xc0, 0, 0, 0, 0, 0, 0, 1],
        ] {
            let mut decoder = FrameDecoder::new();
            decoder.push(Bytes::copy_from_slice(bytes));
            assert_eq!(
                decoder.next(crate::wire::limits::MAX_FRAME),
                Err(FrameError::NotShortest)
            );
        }
    }

    #[test]
    fn one_byte_above_the_limit_is_refused_from_its_header_alone() {
        let mut decoder = FrameDecoder::new();
        decoder.push(Bytes::copy_from_slice(encode_header(1_001).as_ref()));
        assert_eq!(
            decoder.next(1_000),
            Err(FrameError::TooLong {
                length: 1_001,
                limit: 1_000
            })
        );
        let mut decoder = FrameDecoder::new();
        decoder.push(Bytes::copy_from_slice(encode_header(1_000).as_ref()));
        assert_eq!(decoder.next(1_000), Ok(None));
        assert!(!decoder.is_empty());
    }

    #[test]
    fn a_frame_within_one_chunk_is_not_copied() {
        let chunk = encode(&[7; 100]);
        let body = chunk.as_ptr().wrapping_add(2);
        let mut decoder = FrameDecoder::new();
        decoder.push(chunk);
        let frame = decoder.next(100).unwrap().unwrap();
        assert_eq!(frame.as_ptr(), body);
        assert!(decoder.is_empty());
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_frames(
            bodies in vec(vec(any::<u8>(), 0..300), 0..20),
            cuts in vec(1_usize..80, 1..50),
        ) {
            let mut stream: Bytes = bodies.iter().flat_map(|body| encode(body)).collect();
            let mut decoder = FrameDecoder::new();
            let mut frames = Vec::new();
            for cut in cuts.iter().cycle() {
                if stream.is_empty() {
                    break;
                }
                decoder.push(stream.split_to((*cut).min(stream.len())));
                frames.extend(drain(&mut decoder, 300).unwrap());
            }
            prop_assert!(decoder.is_empty());
            prop_assert_eq!(frames, bodies);
        }

        #[test]
        fn random_bytes_never_panic_and_hold_at_most_one_frame(
            chunks in vec(vec(any::<u8>(), 0..200), 0..50),
            max in 0_usize..500,
        ) {
            let mut decoder = FrameDecoder::new();
            for chunk in chunks {
                decoder.push(Bytes::from(chunk));
                match drain(&mut decoder, max) {
                    Ok(frames) => prop_assert!(frames.iter().all(|frame| frame.len() <= max)),
                    Err(_) => break,
                }
                prop_assert!(decoder.buffered() <= max + MAX_HEADER);
                let room = decoder.body.as_ref().map_or(0, |body| body.gathered.capacity());
                prop_assert!(room <= 2 * decoder.buffered().max(64));
            }
        }
    }
}
