//! The news that channels cannot go on.

use std::fmt;
use std::sync::Arc;

use super::channel::ChannelId;
use super::error::ExchangeError;
use crate::failure::error_chain;
use crate::id::WorkerId;

/// Channels that had not ended and never will.
#[derive(Debug)]
pub struct LostChannels {
    /// The worker at the other end, when it had said who it is.
    pub peer: Option<WorkerId>,
    /// Its address: where this worker connected to, or where the peer connected from.
    pub address: String,
    /// Channels between the peer and this worker. The tasks at this worker's ends cannot go on.
    pub channels: Vec<ChannelId>,
    /// Why.
    pub error: ExchangeError,
}

/// Told about lost channels, at once, from any thread.
pub type OnLost = Arc<dyn Fn(LostChannels) + Send + Sync>;

impl fmt::Display for LostChannels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lost the exchange with ")?;
        match self.peer {
            Some(peer) => write!(f, "worker {peer} at {}", self.address)?,
            None => f.write_str(&self.address)?,
        }
        write!(f, ": {}", error_chain(&self.error))
    }
}
