//! Which channel: an edge of the graph between one producing and one consuming execution attempt.

use std::fmt;

use super::error::ProtocolError;
use super::fields::Fields;
use crate::id::{ExecutionAttemptId, SubtaskIndex};

/// Names one channel of a job across its workers.
///
/// The attempts are part of the name: what a stale attempt sends never reaches its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId {
    /// Index of the edge in the job graph.
    pub edge: u32,
    /// The producing subtask.
    pub producer: SubtaskIndex,
    /// The consuming subtask.
    pub consumer: SubtaskIndex,
    /// The producer's execution attempt.
    pub producer_attempt: ExecutionAttemptId,
    /// The consumer's execution attempt.
    pub consumer_attempt: ExecutionAttemptId,
}

/// A channel without its attempts: the place that successive attempts take.
pub(super) type ChannelPlace = (u32, SubtaskIndex, SubtaskIndex);

impl ChannelId {
    pub(super) const fn place(&self) -> ChannelPlace {
        (self.edge, self.producer, self.consumer)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(44);
        bytes.extend_from_slice(&self.edge.to_le_bytes());
        bytes.extend_from_slice(&self.producer.to_le_bytes());
        bytes.extend_from_slice(&self.consumer.to_le_bytes());
        bytes.extend_from_slice(self.producer_attempt.as_bytes());
        bytes.extend_from_slice(self.consumer_attempt.as_bytes());
        bytes
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, ProtocolError> {
        let mut fields = Fields::of(body, "an open-channel frame");
        let id = Self {
            edge: fields.u32()?,
            producer: fields.u32()?,
            consumer: fields.u32()?,
            producer_attempt: ExecutionAttemptId::from_bytes(fields.array()?),
            consumer_attempt: ExecutionAttemptId::from_bytes(fields.array()?),
        };
        fields.end()?;
        Ok(id)
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "edge {} from subtask {} to subtask {}", self.edge, self.producer, self.consumer)
    }
}
