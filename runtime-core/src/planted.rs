//! Bugs on purpose, for the simulator's checkers to find.
//!
//! Without the feature `planted-faults`, which the simulator alone switches on, there is none of them, and asking whether
//! there is costs nothing.

/// A bug that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum PlantedFault {
    /// A sink commits what it has prepared before the checkpoint that lists it is durable.
    CommitBeforeCheckpoint,
    /// A sink does not commit what the checkpoint lists from which it starts.
    RestoredCommittablesForgotten,
    /// A sink lists only what it has prepared since the last checkpoint, not what is still to be committed.
    DueCommittablesNotListed,
    /// A sink leaves what attempts before it did not finish.
    LeftoversKept,
    /// Tasks are not told that a checkpoint has completed.
    CompletionNotTold,
    /// A task acknowledges state before it is written, and never writes it.
    AcknowledgedBeforeWritten,
    /// The record of a checkpoint names one subtask's state of nowhere.
    StateOfOneSubtaskMissing,
    /// A job starts from the oldest checkpoint that is kept instead of the newest.
    OldestCheckpointRestored,
    /// Of the checkpoints that are kept, the newest is removed.
    NewestCheckpointRemoved,
    /// What was in flight is not replayed.
    InFlightForgotten,
    /// A source begins anew after a restart.
    SourcePositionForgotten,
    /// A subtask restores its key groups without the first one.
    KeyGroupsOffByOne,
    /// A task with several channels takes its snapshot when the first barrier comes, and goes on reading behind it.
    BarriersNotAligned,
    /// A barrier leaves before the records that wait for company.
    BarrierBeforePendingRecords,
    /// Of what arrives from other workers a part is dropped.
    RecordsLostInExchange,
    /// Slots that are taken are given away again.
    SlotGivenTwice,
}

impl PlantedFault {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::CommitBeforeCheckpoint,
        Self::RestoredCommittablesForgotten,
        Self::DueCommittablesNotListed,
        Self::LeftoversKept,
        Self::CompletionNotTold,
        Self::AcknowledgedBeforeWritten,
        Self::StateOfOneSubtaskMissing,
        Self::OldestCheckpointRestored,
        Self::NewestCheckpointRemoved,
        Self::InFlightForgotten,
        Self::SourcePositionForgotten,
        Self::KeyGroupsOffByOne,
        Self::BarriersNotAligned,
        Self::BarrierBeforePendingRecords,
        Self::RecordsLostInExchange,
        Self::SlotGivenTwice,
    ];
}

#[cfg(feature = "planted-faults")]
mod planting {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::PlantedFault;

    const NONE: u8 = u8::MAX;

    static PLANTED: AtomicU8 = AtomicU8::new(NONE);

    /// From now on the whole process has this bug, or none.
    pub fn plant(fault: Option<PlantedFault>) {
        PLANTED.store(fault.map_or(NONE, |fault| fault as u8), Ordering::Relaxed);
    }

    /// Whether the process has this bug.
    pub fn is_planted(fault: PlantedFault) -> bool {
        PLANTED.load(Ordering::Relaxed) == fault as u8
    }
}

#[cfg(feature = "planted-faults")]
pub use self::planting::{is_planted, plant};

/// Whether the process has this bug.
#[cfg(not(feature = "planted-faults"))]
#[inline(always)]
pub const fn is_planted(_: PlantedFault) -> bool {
    false
}
