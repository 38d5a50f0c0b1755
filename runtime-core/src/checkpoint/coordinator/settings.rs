//! How checkpoints of a job are taken and kept.

use std::time::Duration;

use crate::scheduler::status::JobStatus;

/// How checkpoints of a job are taken and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointSettings {
    /// From the beginning of one to that of the next.
    pub interval: Duration,
    /// How long one may take until all tasks have acknowledged.
    pub timeout: Duration,
    /// From the end of one to the beginning of the next at least.
    pub min_pause: Duration,
    /// How many may be on their way at once.
    pub max_concurrent: u32,
    /// How many may fail in a row before the job does.
    pub tolerable_failures: u32,
    /// How many are kept.
    pub retained: u32,
    /// Whether they are kept after the job's end.
    pub retention: Retention,
    /// How many the statistics remember.
    pub history: usize,
}

/// What happens to checkpoints when their job is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// They are removed.
    NoExternalizedCheckpoints,
    /// Kept when the job failed.
    DeleteOnCancellation,
    /// Kept when the job failed or was cancelled.
    RetainOnCancellation,
}

impl Retention {
    /// Whether the checkpoints of a job that ended like this stay. A suspended job may go on elsewhere.
    pub fn keeps_after(self, status: JobStatus) -> bool {
        match status {
            JobStatus::Suspended => true,
            JobStatus::Canceled => self == Self::RetainOnCancellation,
            JobStatus::Failed => self != Self::NoExternalizedCheckpoints,
            _ => false,
        }
    }
}
