//! The bounds of the exchange.

use std::time::Duration;

use super::frame::MAX_FRAME_BYTES;

/// Bounds of the exchange; the defaults suit production.
#[derive(Debug, Clone)]
pub struct ExchangeSettings {
    /// Bytes that may wait in one outgoing channel before its writer has no room. A receiver's bound is the capacity of
    /// its input queue.
    pub channel_capacity_bytes: usize,
    /// Longer batches are cut by rows before they are sent, so that no frame keeps others waiting for long.
    pub cut_batches_above_bytes: usize,
    /// The longest frame, at most [`MAX_FRAME_BYTES`].
    pub max_frame_bytes: usize,
    /// How long to try to reach a peer.
    pub connect_timeout: Duration,
    /// How long a peer may take to say who it is.
    pub handshake_timeout: Duration,
    /// How long an opened channel waits for its consumer to be deployed.
    pub registration_timeout: Duration,
}

impl Default for ExchangeSettings {
    fn default() -> Self {
        Self {
            channel_capacity_bytes: 1 << 20,
            cut_batches_above_bytes: 4 << 20,
            max_frame_bytes: MAX_FRAME_BYTES,
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            registration_timeout: Duration::from_secs(60),
        }
    }
}
