//! What is in flight on the channels of one task when it takes a checkpoint before its barriers have come through.
//!
//! ```text
//!  record ─► what each queue holds before the barrier ─► what arrives until the barrier, on channels where it is missing
//!                                                                  └─► complete when it is there, or the channel ended
//! ```
//!
//! Invariant: of every channel exactly the batches between what its reader had taken at the beginning and the barrier.

use std::collections::VecDeque;

use crate::element::{CheckpointId, StreamBatch, StreamElement};

/// What is in flight at one checkpoint, while it is collected.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) checkpoint: CheckpointId,
    channels: Vec<Recorded>,
    /// How many channels wait for their barrier.
    open: usize,
    bytes: usize,
    bytes_max: usize,
}

/// More was in flight than may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {} bytes were in flight to the task before its last barrier came", .0)]
pub struct TooMuchInFlight(pub usize);

#[derive(Debug)]
struct Recorded {
    batches: Vec<StreamBatch>,
    open: bool,
}

/// A channel at the beginning of a recording.
pub(super) struct Begun<'a> {
    pub(super) queued: &'a VecDeque<(StreamElement, usize)>,
    /// The newest barrier that came, taken by the reader or not.
    pub(super) newest_barrier: Option<CheckpointId>,
    pub(super) ended: bool,
}

impl Recording {
    pub(super) fn begin<'a>(
        checkpoint: CheckpointId,
        channels: impl Iterator<Item = Begun<'a>>,
        taken_bytes: usize,
        bytes_max: usize,
    ) -> Self {
        let channels: Vec<Recorded> = channels.map(|channel| Recorded::begin(checkpoint, &channel)).collect();
        let open = channels.iter().filter(|channel| channel.open).count();
        let batches = channels.iter().flat_map(|channel| &channel.batches);
        let bytes = taken_bytes + batches.map(StreamBatch::size_bytes).sum::<usize>();
        Self { checkpoint, channels, open, bytes, bytes_max }
    }

    /// An element arrived. Answers whether it was the last that was waited for, or the one that is too much.
    pub(super) fn arrived(&mut self, channel: usize, element: &StreamElement) -> bool {
        let recorded = &mut self.channels[channel];
        if !recorded.open || self.bytes > self.bytes_max {
            return false;
        }
        let closes = match element {
            StreamElement::Barrier(barrier) => barrier.checkpoint >= self.checkpoint,
            StreamElement::EndOfInput => true,
            element => {
                self.bytes += recorded.add(element);
                if self.bytes > self.bytes_max {
                    // Nobody gets it; what is processed meanwhile can go.
                    self.channels.iter_mut().for_each(|channel| channel.batches.clear());
                    return true;
                }
                false
            }
        };
        if closes {
            recorded.open = false;
            self.open -= 1;
        }
        closes && self.open == 0
    }

    pub(super) fn is_complete(&self) -> bool {
        self.open == 0 || self.bytes > self.bytes_max
    }

    /// What was recorded, by channel.
    pub(super) fn into_batches(self) -> Result<Vec<Vec<StreamBatch>>, TooMuchInFlight> {
        if self.bytes > self.bytes_max {
            return Err(TooMuchInFlight(self.bytes_max));
        }
        Ok(self.channels.into_iter().map(|channel| channel.batches).collect())
    }
}

impl Recorded {
    fn begin(checkpoint: CheckpointId, channel: &Begun<'_>) -> Self {
        let has_come = channel.newest_barrier.is_some_and(|newest| newest >= checkpoint);
        let mut recorded = Self { batches: Vec::new(), open: !has_come && !channel.ended };
        let ends = |element: &StreamElement| matches!(element, StreamElement::Barrier(barrier) if barrier.checkpoint >= checkpoint);
        let end = channel.queued.iter().position(|(element, _)| ends(element));
        // A barrier that has come and is not queued was taken: what is queued comes after it.
        let count = end.unwrap_or(if has_come { 0 } else { channel.queued.len() });
        channel.queued.iter().take(count).for_each(|(element, _)| {
            recorded.add(element);
        });
        recorded
    }

    /// Watermarks, barriers of other checkpoints and the end are said again by those who write; idleness and markers do
    /// not matter. Answers with how many bytes it is.
    fn add(&mut self, element: &StreamElement) -> usize {
        let StreamElement::Batch(batch) = element else { return 0 };
        self.batches.push(batch.clone());
        batch.size_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};

    use super::*;

    #[test]
    fn what_is_recorded_until_the_last_barrier_comes_has_a_bound() {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100));
        let batch = StreamBatch::new(RecordBatch::try_from_iter([("n", column)]).unwrap());
        let queued = VecDeque::from([(StreamElement::Batch(batch.clone()), 800)]);
        let channel = || [Begun { queued: &queued, newest_barrier: None, ended: false }].into_iter();
        let mut recording = Recording::begin(CheckpointId(1), channel(), 0, 2_000);
        assert!(!recording.arrived(0, &StreamElement::Batch(batch.clone())) && !recording.is_complete());
        assert!(recording.arrived(0, &StreamElement::Batch(batch.clone())), "the reader is told at once");
        assert!(!recording.arrived(0, &StreamElement::EndOfInput), "and once");
        assert!(recording.is_complete());
        assert_eq!(recording.into_batches().unwrap_err(), TooMuchInFlight(2_000));
        let mut recording = Recording::begin(CheckpointId(1), channel(), 0, 2_000);
        assert!(recording.arrived(0, &StreamElement::EndOfInput));
        assert_eq!(recording.into_batches().map(|channels| channels[0].len()), Ok(1));
        let recording = Recording::begin(CheckpointId(1), channel(), 1_500, 2_000);
        assert!(recording.is_complete(), "what the reader has taken counts");
        assert_eq!(recording.into_batches().unwrap_err(), TooMuchInFlight(2_000));
    }
}
