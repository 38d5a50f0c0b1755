//! Why checkpoints are given up, and how many in a row are too many.

use crate::element::CheckpointId;

/// Why a checkpoint was given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AbortReason {
    /// It took too long.
    #[error("Checkpoint expired before completing.")]
    Expired,
    /// A task could not take part.
    #[error("{task} declined it: {reason}")]
    Declined {
        /// Which one.
        task: String,
        /// Why.
        reason: String,
    },
    /// Its record was not stored.
    #[error("its record could not be stored: {reason}")]
    NotStored {
        /// Why.
        reason: String,
    },
    /// Nobody says whether it exists; it is not used in any case.
    #[error("its storage did not say whether its record exists, although it was asked {times} times")]
    Unknown {
        /// How often.
        times: u32,
    },
    /// A newer one exists.
    #[error("Checkpoint has been subsumed by checkpoint {}.", by.0)]
    Subsumed {
        /// Which one.
        by: CheckpointId,
    },
    /// The job's tasks were ended, to be started again.
    #[error("the job failed and restarts")]
    JobRestarting,
    /// The job ended.
    #[error("the job has ended")]
    JobEnded,
}

impl AbortReason {
    /// Whether it speaks against checkpoints rather than against the job.
    pub(super) fn is_a_failure(&self) -> bool {
        match self {
            Self::Expired | Self::Declined { .. } | Self::NotStored { .. } | Self::Unknown { .. } => true,
            Self::Subsumed { .. } | Self::JobRestarting | Self::JobEnded => false,
        }
    }
}

/// Failures since the last success.
#[derive(Debug)]
pub(super) struct ConsecutiveFailures {
    tolerable: u32,
    count: u32,
}

impl ConsecutiveFailures {
    pub(super) fn new(tolerable: u32) -> Self {
        Self { tolerable, count: 0 }
    }

    pub(super) fn succeeded(&mut self) {
        self.count = 0;
    }

    /// Counts one more. Whether that is too many, in which case counting begins anew.
    pub(super) fn failed(&mut self) -> bool {
        self.count += 1;
        let too_many = self.count > self.tolerable;
        if too_many {
            self.count = 0;
        }
        too_many
    }
}
