//! Frames over one bidirectional QUIC stream.

use bytes::Bytes;
use quinn::VarInt;

use crate::{
    net::{Connection, NetError},
    wire::frame::{FrameDecoder, FrameError, encode},
};

/// Chunks taken from QUIC at once, each at most one datagram's part of the stream; a waiting reader holds
/// 32 bytes for each.
const CHUNKS: usize = 8;

/// The sending half of a stream.
///
/// Dropping it finishes the stream; use [`FrameSender::cancel`] to say that what was sent is not all.
#[derive(Debug)]
pub struct FrameSender {
    connection: Connection,
    stream: quinn::SendStream,
    early: bool,
}

impl FrameSender {
    /// `early` says whether the stream was opened before the handshake was complete.
    pub(super) fn new(connection: Connection, stream: quinn::SendStream, early: bool) -> Self {
        Self {
            connection,
            stream,
            early,
        }
    }

    /// Sends one frame with this body, waiting while the peer's or our own window is full.
    ///
    /// # Errors
    /// [`NetError::EarlyDataRejected`] if this was early data and the node did not take it,
    /// [`NetError::StreamCancelled`] if the peer wants no more, or the reason the connection ended.
    pub async fn send(&mut self, body: &[u8]) -> Result<(), NetError> {
        self.send_all(&mut [encode(body)]).await
    }

    /// Sends frames that [`encode`] made, without copying them; the slice is left with empty ones.
    ///
    /// # Errors
    /// As [`FrameSender::send`].
    pub async fn send_all(&mut self, frames: &mut [Bytes]) -> Result<(), NetError> {
        let written = self.stream.write_all_chunks(frames).await;
        written.map_err(|error| self.connection.explain(error.into()))
    }

    /// Says that nothing follows. What was sent is still delivered.
    ///
    /// # Errors
    /// [`NetError::StreamFinished`] if it was finished or cancelled before,
    /// [`NetError::EarlyDataRejected`] if this was early data and the node did not take it.
    pub fn finish(&mut self) -> Result<(), NetError> {
        let Err(_) = self.stream.finish() else {
            return Ok(());
        };
        // QUIC has forgotten a stream whose early data was rejected.
        if self.early && self.connection.lacks_early_data() {
            return Err(self.connection.explain(NetError::EarlyDataRejected));
        }
        Err(NetError::StreamFinished)
    }

    /// Waits until the peer has acknowledged everything up to the end, after [`FrameSender::finish`].
    ///
    /// # Errors
    /// As [`FrameSender::send`].
    pub async fn acknowledged(&mut self) -> Result<(), NetError> {
        match self.stream.stopped().await {
            Ok(None) => Ok(()),
            Ok(Some(code)) => Err(NetError::StreamCancelled {
                code: code.into_inner(),
            }),
            Err(quinn::StoppedError::ConnectionLost(error)) => {
                Err(self.connection.explain(error.into()))
            }
            Err(quinn::StoppedError::ZeroRttRejected) => {
                Err(self.connection.explain(NetError::EarlyDataRejected))
            }
        }
    }

    /// Gives the stream up: what was not delivered yet never will be.
    pub fn cancel(&mut self, code: u32) {
        // Fails only on a stream that is already finished or cancelled, which is what is wanted.
        let _ = self.stream.reset(VarInt::from_u32(code));
    }

    /// Streams with a higher priority are sent first; 0 is the default.
    pub fn set_priority(&self, priority: i32) {
        // Fails only on a finished stream, where priority means nothing.
        let _ = self.stream.set_priority(priority);
    }
}

/// The receiving half of a stream.
#[derive(Debug)]
pub struct FrameReceiver {
    connection: Connection,
    stream: quinn::RecvStream,
    decoder: FrameDecoder,
}

impl FrameReceiver {
    pub(super) fn new(connection: Connection, stream: quinn::RecvStream) -> Self {
        Self {
            connection,
            stream,
            decoder: FrameDecoder::new(),
        }
    }

    /// Whether this stream was opened, or on a node accepted, before the handshake was complete.
    ///
    /// On a node such frames may be a replay by the network: act on them only if twice does no harm.
    /// Once the handshake is complete the client has proved to be there, so a stream accepted later is
    /// not early even if its first packets were.
    pub fn is_early(&self) -> bool {
        self.stream.is_0rtt()
    }

    /// The next frame's body of at most `max_len` bytes, or `None` at the end of the stream.
    ///
    /// The body shares the allocation of the datagram it came in (up to 1.5 KB, or 64 KB when the
    /// kernel joins datagrams): copy what is kept for long. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`NetError::Frame`] if the bytes are no frame or the stream ends inside one,
    /// [`NetError::EarlyDataRejected`], [`NetError::StreamCancelled`], or the reason the connection
    /// ended.
    pub async fn next(&mut self, max_len: usize) -> Result<Option<Bytes>, NetError> {
        loop {
            if let Some(frame) = self.decoder.next(max_len)? {
                return Ok(Some(frame));
            }
            let mut chunks = [const { Bytes::new() }; CHUNKS];
            let read = self.stream.read_chunks(&mut chunks).await;
            let read = read.map_err(|error| self.connection.explain(error.into()))?;
            if read.is_none() {
                if !self.decoder.is_empty() {
                    return Err(FrameError::Truncated.into());
                }
                return Ok(None);
            }
            for chunk in chunks {
                self.decoder.push(chunk);
            }
        }
    }

    /// The next frame's body if it has already been read, without waiting.
    ///
    /// After [`FrameReceiver::next`], this drains the frames that came with it.
    ///
    /// # Errors
    /// [`NetError::Frame`], as [`FrameReceiver::next`].
    pub fn try_buffered(&mut self, max_len: usize) -> Result<Option<Bytes>, NetError> {
        Ok(self.decoder.next(max_len)?)
    }

    /// Tells the peer to stop sending.
    pub fn cancel(&mut self, code: u32) {
        // Fails only on a stream that has ended, which is what is wanted.
        let _ = self.stream.stop(VarInt::from_u32(code));
    }
}
