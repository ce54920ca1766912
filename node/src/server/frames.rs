//! Messages as frames, encoded in one go.

use ailurus::wire::frame::encode_header;
use bytes::{Bytes, BytesMut};
use prost::Message;

/// One frame.
pub(super) fn frame(message: &impl Message) -> Bytes {
    let mut buffer = BytesMut::new();
    append(&mut buffer, message);
    buffer.freeze()
}

/// Adds a frame to others.
pub(super) fn append(buffer: &mut BytesMut, message: &impl Message) {
    let length = message.encoded_len();
    let header = encode_header(length);
    buffer.reserve(header.as_ref().len() + length);
    buffer.extend_from_slice(header.as_ref());
    // A BytesMut grows, so there is always room.
    let _ = message.encode(buffer);
}
