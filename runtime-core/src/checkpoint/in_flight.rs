//! What was in flight towards a subtask when it took a checkpoint that had overtaken it, and whom it goes to at a restart.
//!
//! ```text
//!  channel ──► batches before its barrier ──► snapshot of the reader ──► the reader of the restart, before anything else
//! ```
//!
//! Everything in flight is with its reader: whoever writes hands over what waits before a barrier that overtakes.
//! At the same parallelism a channel's batches return to the same channel. At another one records go to the reader that
//! the edge's partitioning gives them to now ([`redistribute`]); then they belong to the edge and to no channel.
//!
//! Watermarks in flight are left out. Sources share what is left to read anew at every restart, so one that a channel had
//! before promises nothing about what comes through it afterwards; those that follow say as much.
//!
//! Invariant: of one channel, batches stay in order.

mod file;
pub mod redistribute;

pub(in crate::checkpoint) use self::file::{IndexedInFlight, ReadError, append, read};
use crate::element::StreamBatch;
use crate::id::{OperatorId, SubtaskIndex};

/// Where batches in flight come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The subtask's own source: the rest of a batch that it had brought.
    Source,
    /// Another vertex.
    Edge(EdgeOrigin),
}

/// An edge into the reader's vertex, and perhaps one channel of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgeOrigin {
    /// The how-manieth edge into the vertex it is.
    pub edge: u32,
    /// The operator that writes.
    pub from: OperatorId,
    /// The channel; none when the batches were redistributed.
    pub channel: Option<ChannelOrigin>,
}

/// A channel of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelOrigin {
    /// The subtask that writes.
    pub producer: SubtaskIndex,
    /// How many there are.
    pub producers: u32,
}

/// Batches in flight of one origin, in order.
#[derive(Debug, Clone)]
pub struct InFlightChannel {
    /// Where they come from.
    pub origin: Origin,
    /// What they are.
    pub batches: Vec<StreamBatch>,
}

/// All that was in flight towards one subtask.
#[derive(Debug, Clone, Default)]
pub struct InFlight {
    /// What is to be processed first stands first.
    pub channels: Vec<InFlightChannel>,
}

impl InFlight {
    /// Whether nothing was.
    pub fn is_empty(&self) -> bool {
        self.channels.iter().all(|channel| channel.batches.is_empty())
    }

    /// Bytes of the records.
    pub fn size_bytes(&self) -> u64 {
        self.channels.iter().flat_map(|channel| &channel.batches).map(|batch| batch.size_bytes() as u64).sum()
    }
}
