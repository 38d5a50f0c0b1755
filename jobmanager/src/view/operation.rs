//! What people start and ask about later.

use pelton_runtime_core::element::{AfterSavepoint, CheckpointId, SavepointFormat};
use pelton_runtime_core::id::{JobId, TriggerId};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Take a checkpoint.
    Checkpoint {
        /// Of which job.
        job: JobId,
        /// It shares no file with those before it.
        full: bool,
    },
    /// Take a savepoint.
    Savepoint {
        /// Of which job.
        job: JobId,
        /// In which directory; none for the configured one.
        directory: Option<String>,
        /// The form of state in it.
        format: SavepointFormat,
        /// What the job does after it.
        then: AfterSavepoint,
    },
    /// Take a savepoint, and cancel the job when it exists.
    CancelWithSavepoint {
        /// Of which job.
        job: JobId,
        /// In which directory; none for the configured one.
        directory: Option<String>,
        /// The form of state in it.
        format: SavepointFormat,
    },
    /// Remove a savepoint.
    Dispose {
        /// Where it is.
        path: String,
    },
}

/// Under which an operation is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OperationKey {
    /// A checkpoint of a job.
    Checkpoint(JobId, TriggerId),
    /// A savepoint of a job.
    Savepoint(JobId, TriggerId),
    /// The removal of a savepoint.
    Disposal(TriggerId),
}

/// What an operation came to: its result, or why there is none.
pub type OperationOutcome = Result<OperationResult, String>;

/// The result of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperationResult {
    /// A checkpoint exists.
    Checkpoint(CheckpointId),
    /// A savepoint exists.
    Savepoint {
        /// Where.
        location: String,
    },
    /// A savepoint exists no more.
    Disposed,
}

/// As many operations run as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{running} savepoints and other operations are under way, and no more are started")]
pub struct TooManyOperations {
    /// How many.
    pub running: usize,
}
