//! Responses as frames, encoded in one go.

use ailurus::wire::{frame::encode_header, node::Response};
use bytes::{Bytes, BytesMut};
use prost::Message as _;

/// One frame.
pub(super) fn frame(response: &Response) -> Bytes {
    let mut buffer = BytesMut::new();
    append(&mut buffer, response);
    buffer.freeze()
}

/// Adds a frame to others.
pub(super) fn append(buffer: &mut BytesMut, response: &Response) {
    let length = response.encoded_len();
    let header = encode_header(length);
    buffer.reserve(header.as_ref().len() + length);
    buffer.extend_from_slice(header.as_ref());
    // A BytesMut grows, so there is always room.
    let _ = response.encode(buffer);
}
