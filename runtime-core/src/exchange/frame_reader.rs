//! Cuts the bytes of a connection into frames.
//!
//! Short frames come many at once through one staging buffer. The body of a long one is received where it stays: in
//! memory of its own, which the batch's columns then point into. That memory grows as bytes arrive, so that a peer
//! cannot make a worker allocate more than it sends.

use std::io;

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::error::{ExchangeError, ProtocolError};
use super::frame::{FrameHeader, HEADER_BYTES, IncomingFrame};

/// Most that one read brings into the staging buffer.
const STAGING_BYTES: usize = 64 << 10;

/// Memory for a body before its first byte has come.
const FIRST_ALLOCATION_BYTES: usize = 4 << 20;

/// The frames of one connection.
pub(super) struct FrameReader {
    receive: Box<dyn AsyncRead + Send + Unpin>,
    staged: Vec<u8>,
    /// What of `staged` was used already.
    used: usize,
    max_body_bytes: usize,
}

impl FrameReader {
    pub(super) fn new(receive: Box<dyn AsyncRead + Send + Unpin>, max_body_bytes: usize) -> Self {
        Self { receive, staged: Vec::with_capacity(STAGING_BYTES), used: 0, max_body_bytes }
    }

    /// Accepts bodies up to this length from now on.
    pub(super) fn set_max_body_bytes(&mut self, max_body_bytes: usize) {
        self.max_body_bytes = max_body_bytes;
    }

    /// The next frame; none when the peer closed the connection between two frames.
    pub(super) async fn next(&mut self) -> Result<Option<IncomingFrame>, ExchangeError> {
        while self.staged.len() - self.used < HEADER_BYTES {
            if self.fill().await.map_err(ExchangeError::Broken)? == 0 {
                let between_frames = self.staged.len() == self.used;
                return if between_frames { Ok(None) } else { Err(ProtocolError::Truncated.into()) };
            }
        }
        let (header, _) =
            self.staged[self.used..].split_first_chunk::<HEADER_BYTES>().expect("as many bytes were awaited");
        let header = FrameHeader::decode(header, self.max_body_bytes)?;
        self.used += HEADER_BYTES;
        let body = self.body(header.body_bytes).await?;
        Ok(Some(IncomingFrame { header, body }))
    }

    /// Reads and forgets until the peer closes the connection.
    pub(super) async fn discard(&mut self) {
        loop {
            self.staged.clear();
            self.used = 0;
            if !self.fill().await.is_ok_and(|bytes| bytes > 0) {
                return;
            }
        }
    }

    async fn body(&mut self, bytes: usize) -> Result<Vec<u8>, ExchangeError> {
        let mut body = Vec::with_capacity(bytes.min(FIRST_ALLOCATION_BYTES));
        let staged = bytes.min(self.staged.len() - self.used);
        body.extend_from_slice(&self.staged[self.used..self.used + staged]);
        self.used += staged;
        while body.len() < bytes {
            let missing = bytes - body.len();
            if body.len() == body.capacity() {
                body.reserve_exact(missing.min(body.len()));
            }
            let mut free = (&mut body).limit(missing);
            if self.receive.read_buf(&mut free).await.map_err(ExchangeError::Broken)? == 0 {
                return Err(ProtocolError::Truncated.into());
            }
        }
        Ok(body)
    }

    async fn fill(&mut self) -> io::Result<usize> {
        if self.used == self.staged.len() {
            self.staged.clear();
        } else {
            // Less than a header is left.
            self.staged.drain(..self.used);
        }
        self.used = 0;
        let room = STAGING_BYTES - self.staged.len();
        self.receive.read_buf(&mut (&mut self.staged).limit(room)).await
    }
}
