//! What a checkpoint coordinator is told.

use std::sync::Arc;

use crate::checkpoint::record::StateHandle;
use crate::checkpoint::statistics::AckStats;
use crate::element::{CheckpointId, Savepoint};
use crate::id::{ExecutionAttemptId, SubtaskIndex};
use crate::scheduler::status::JobStatus;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// Tasks of the job were deployed, as these executions, in place of earlier ones.
    TasksDeployed(Vec<DeployedTask>),
    /// A task runs.
    TaskRunning {
        /// Its execution.
        attempt: ExecutionAttemptId,
    },
    /// A task reached the end of its input.
    TaskFinished {
        /// Its execution.
        attempt: ExecutionAttemptId,
        /// Its state in every checkpoint from now on, durable; none if nobody keeps it.
        state: Option<StateHandle>,
        /// The newest checkpoint whose barrier it passed, or whose trigger it took, before it finished.
        last_barrier: Option<CheckpointId>,
    },
    /// A task has nothing left to do but to wait for a checkpoint that has its last results.
    TaskWaits {
        /// Its execution.
        attempt: ExecutionAttemptId,
    },
    /// A person wants a checkpoint now. The answer comes when it exists or was given up; that of a savepoint after
    /// which the job stops, when the job has.
    TriggerRequested {
        /// Whom to answer.
        request: RequestId,
        /// Whether a checkpoint must not build on another. Savepoints never do.
        full: bool,
        /// The savepoint that is wanted; none for a checkpoint.
        savepoint: Option<Arc<Savepoint>>,
    },
    /// A task's part of a checkpoint is durable.
    Acknowledged {
        /// Its execution.
        attempt: ExecutionAttemptId,
        /// Which checkpoint.
        checkpoint: CheckpointId,
        /// Its state.
        state: StateHandle,
        /// How it went.
        stats: AckStats,
    },
    /// A task cannot take part, or its part could not be stored. Not said of a task that is about to finish or has:
    /// its end is its part.
    Declined {
        /// Its execution.
        attempt: ExecutionAttemptId,
        /// Which checkpoint.
        checkpoint: CheckpointId,
        /// Why.
        reason: String,
    },
    /// A record is durable.
    RecordStored {
        /// Which checkpoint.
        checkpoint: CheckpointId,
    },
    /// A record was certainly not stored and will not be.
    RecordFailed {
        /// Which checkpoint.
        checkpoint: CheckpointId,
        /// Why.
        reason: String,
    },
    /// A record may be stored: the storage did not say, or not in time.
    RecordAmbiguous {
        /// Which checkpoint.
        checkpoint: CheckpointId,
    },
    /// A checkpoint that was to be removed is gone.
    CheckpointRemoved {
        /// Which one.
        checkpoint: CheckpointId,
    },
    /// A checkpoint that was to be removed may still be there.
    RemovalFailed {
        /// Which one.
        checkpoint: CheckpointId,
    },
    /// Leftovers could not be removed, or not all.
    SweepFailed,
    /// These tasks are ended, to be started again; those that are not named go on.
    Restarting {
        /// Their executions.
        attempts: Vec<ExecutionAttemptId>,
    },
    /// A checkpoint cannot be read.
    RestoreFailed {
        /// Which one.
        checkpoint: CheckpointId,
        /// Why, with the file's name.
        reason: String,
    },
    /// The job is over, or this JobManager is done with it.
    JobEnded {
        /// How.
        status: JobStatus,
    },
    /// A timer that was armed.
    TimerFired(Timer),
}

/// A task that was deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeployedTask {
    /// Index of its vertex.
    pub vertex: usize,
    /// Its index.
    pub subtask: SubtaskIndex,
    /// Its execution.
    pub attempt: ExecutionAttemptId,
}

/// Tells the requests for checkpoints apart; a number of the caller's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// The alarms of a coordinator; each exists once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The next checkpoint is due.
    Periodic,
    /// A checkpoint took too long.
    Expiry(CheckpointId),
    /// It is time to find out whether a record is stored.
    StoreAgain(CheckpointId),
}
