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
}

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
    pub(super) fn begin<'a>(checkpoint: CheckpointId, channels: impl Iterator<Item = Begun<'a>>) -> Self {
        let channels: Vec<Recorded> = channels.map(|channel| Recorded::begin(checkpoint, &channel)).collect();
        let open = channels.iter().filter(|channel| channel.open).count();
        Self { checkpoint, channels, open }
    }

    /// An element arrived. Answers whether it was the last that was waited for.
    pub(super) fn arrived(&mut self, channel: usize, element: &StreamElement) -> bool {
        let recorded = &mut self.channels[channel];
        if !recorded.open {
            return false;
        }
        let closes = match element {
            StreamElement::Barrier(barrier) => barrier.checkpoint >= self.checkpoint,
            StreamElement::EndOfInput => true,
            element => {
                recorded.add(element);
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
        self.open == 0
    }

    /// What was recorded, by channel.
    pub(super) fn into_batches(self) -> Vec<Vec<StreamBatch>> {
        self.channels.into_iter().map(|channel| channel.batches).collect()
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
        channel.queued.iter().take(count).for_each(|(element, _)| recorded.add(element));
        recorded
    }

    /// Watermarks, barriers of other checkpoints and the end are said again by those who write; idleness and markers do
    /// not matter.
    fn add(&mut self, element: &StreamElement) {
        if let StreamElement::Batch(batch) = element {
            self.batches.push(batch.clone());
        }
    }
}
