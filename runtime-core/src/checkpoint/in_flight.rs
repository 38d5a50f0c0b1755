//! What was in flight towards a subtask when it took a checkpoint that had overtaken it, and whom it goes to at a restart.
//!
//! ```text
//!  channel ──► elements before its barrier ──► snapshot of the reader ──► the reader of the restart, before anything else
//! ```
//!
//! Everything in flight is with its reader: whoever writes hands over what waits before a barrier that overtakes.
//! At the same parallelism a channel's elements return to the same channel. At another one records go to the reader that
//! the edge's partitioning gives them to now ([`redistribute`]); then they belong to the edge and to no channel, and
//! watermarks between them are dropped: those that follow say as much.
//!
//! Invariant: of one channel, elements stay in order.

mod file;
pub mod redistribute;

pub(in crate::checkpoint) use self::file::{IndexedInFlight, ReadError, append, read};
use crate::element::{StreamBatch, StreamElement};
use crate::id::{OperatorId, SubtaskIndex};
use crate::time::EpochMillis;

/// An element in flight.
#[derive(Debug, Clone)]
pub enum InFlightElement {
    /// Records.
    Batch(StreamBatch),
    /// A watermark.
    Watermark(EpochMillis),
}

impl InFlightElement {
    /// The element, if it is of a kind that is stored.
    pub fn of(element: StreamElement) -> Option<Self> {
        match element {
            StreamElement::Batch(batch) => Some(Self::Batch(batch)),
            StreamElement::Watermark(watermark) => Some(Self::Watermark(watermark)),
            _ => None,
        }
    }

    /// Bytes of its records.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.size_bytes(),
            Self::Watermark(_) => 0,
        }
    }
}

/// Where elements in flight come from.
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
    /// The channel; none when the elements were redistributed.
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

/// Elements in flight of one origin, in order.
#[derive(Debug, Clone)]
pub struct InFlightChannel {
    /// Where they come from.
    pub origin: Origin,
    /// What they are.
    pub elements: Vec<InFlightElement>,
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
        self.channels.iter().all(|channel| channel.elements.is_empty())
    }

    /// Bytes of the records.
    pub fn size_bytes(&self) -> u64 {
        self.channels.iter().flat_map(|channel| &channel.elements).map(|element| element.size_bytes() as u64).sum()
    }
}
