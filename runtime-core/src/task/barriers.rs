//! The barriers of a task, as its job wants them: records count once, or at least once.

use super::alignment::{Alignment, Decision, Late};
use super::tracking::Tracking;
use crate::element::{CheckpointBarrier, CheckpointId};
use crate::time::{EpochMillis, Moment};

/// The decider that a task has.
#[derive(Debug)]
pub(super) enum Barriers {
    Aligned(Alignment),
    Tracked(Tracking),
}

impl Barriers {
    pub(super) fn barrier(&mut self, channel: usize, barrier: CheckpointBarrier, now: Moment) -> Decision {
        match self {
            Self::Aligned(alignment) => alignment.barrier(channel, barrier, now),
            Self::Tracked(tracking) => tracking.barrier(channel, barrier, now),
        }
    }

    pub(super) fn announced(&mut self, barrier: CheckpointBarrier, now: Moment) -> Decision {
        match self {
            Self::Aligned(alignment) => alignment.announced(barrier, now),
            Self::Tracked(_) => Decision::default(),
        }
    }

    pub(super) fn due(&self) -> Option<EpochMillis> {
        match self {
            Self::Aligned(alignment) => alignment.due(),
            Self::Tracked(_) => None,
        }
    }

    pub(super) fn overtake(&mut self, wall: EpochMillis) -> Decision {
        match self {
            Self::Aligned(alignment) => alignment.overtake(wall),
            Self::Tracked(_) => Decision::default(),
        }
    }

    pub(super) fn triggered(&mut self, barrier: CheckpointBarrier, now: Moment) -> Result<Decision, Late> {
        match self {
            Self::Aligned(alignment) => alignment.triggered(barrier, now),
            Self::Tracked(tracking) => tracking.triggered(barrier, now),
        }
    }

    pub(super) fn ended(&mut self, channel: usize) -> Decision {
        match self {
            Self::Aligned(alignment) => alignment.ended(channel),
            Self::Tracked(tracking) => tracking.ended(channel),
        }
    }

    pub(super) fn aborted(&mut self, checkpoint: CheckpointId) -> Decision {
        match self {
            Self::Aligned(alignment) => alignment.aborted(checkpoint),
            Self::Tracked(tracking) => {
                tracking.aborted(checkpoint);
                Decision::default()
            }
        }
    }

    pub(super) fn latest(&self) -> Option<CheckpointId> {
        match self {
            Self::Aligned(alignment) => alignment.latest(),
            Self::Tracked(tracking) => tracking.latest(),
        }
    }
}
