//! What a checkpoint coordinator wants done.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::fact::{RequestId, Timer};
use crate::checkpoint::record::CheckpointRecord;
use crate::element::{CheckpointId, Savepoint};
use crate::id::ExecutionAttemptId;
use crate::time::EpochMillis;

/// Something to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Tell these tasks to take part in a checkpoint; the barriers of it come from them.
    Trigger {
        /// Which one.
        checkpoint: CheckpointId,
        /// When it began.
        at: EpochMillis,
        /// What makes it a savepoint.
        savepoint: Option<Arc<Savepoint>>,
        /// The checkpoint whose files it may name again.
        base: Option<CheckpointId>,
        /// Whom.
        attempts: Vec<ExecutionAttemptId>,
    },
    /// Create this record unless it exists, and say what became of it. May be wanted again.
    StoreRecord(Arc<CheckpointRecord>),
    /// Copy these files of the job into the savepoint's directory, under the second name each; then create its record
    /// there unless it exists, and say what became of it. May be wanted again.
    StoreSavepoint {
        /// The record.
        record: Arc<CheckpointRecord>,
        /// Last states of tasks that had finished.
        copies: Vec<(String, String)>,
    },
    /// Remove everything from the directory of a savepoint that is not to be.
    DiscardSavepoint(CheckpointId),
    /// Tell these tasks that a checkpoint exists.
    Completed {
        /// Which one.
        checkpoint: CheckpointId,
        /// Whom.
        attempts: Vec<ExecutionAttemptId>,
    },
    /// Tell these tasks that a checkpoint is not to be.
    Aborted {
        /// Which one.
        checkpoint: CheckpointId,
        /// Whom.
        attempts: Vec<ExecutionAttemptId>,
        /// Why.
        reason: String,
    },
    /// Remove a checkpoint that is not kept any longer: its record, and then these files. Answered by
    /// [`CheckpointRemoved`](super::Fact::CheckpointRemoved) or [`RemovalFailed`](super::Fact::RemovalFailed).
    RemoveCheckpoint {
        /// Which one.
        checkpoint: CheckpointId,
        /// Its files that no other one names.
        files: Vec<String>,
    },
    /// Remove files that no checkpoint names.
    DiscardFiles(Vec<String>),
    /// Remove leftovers of checkpoints older than the newest one.
    Sweep {
        /// And older than this one.
        before: CheckpointId,
        /// What stays in any case.
        in_use: BTreeSet<String>,
        /// Also last states of finished tasks that no checkpoint names; said when no task of the job is left.
        shared: bool,
    },
    /// The job's tasks may be started again from here.
    Restorable {
        /// The newest checkpoint; none to begin anew.
        from: Option<Arc<CheckpointRecord>>,
    },
    /// No checkpoint can be read, and results of those there were may be public: the job must fail and not restart.
    Unrestorable {
        /// What is wrong, with the file's name.
        reason: String,
    },
    /// Answer a request for a checkpoint.
    Answer {
        /// Which one.
        request: RequestId,
        /// The checkpoint that exists, or why there is none.
        outcome: Result<CheckpointId, NotTaken>,
    },
    /// Have the job fail, as too many checkpoints did.
    FailJob {
        /// Why.
        reason: String,
    },
    /// Set an alarm, in place of one of the same kind.
    ArmTimer {
        /// Which.
        timer: Timer,
        /// When.
        after: Duration,
    },
    /// Take an alarm back.
    DisarmTimer(Timer),
    /// Remove every file of the job, records first: it has ended and keeps nothing.
    Clear {
        /// Files that are certainly there, whatever a listing says.
        known: Vec<String>,
    },
    /// The job has ended and nothing of a checkpoint is on its way.
    Closed,
}

/// Why somebody who asked for a checkpoint does not get what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotTaken {
    /// There is none, for this reason.
    Refused(String),
    /// The savepoint exists, and the job has not stopped with it.
    NotStopped {
        /// The savepoint.
        savepoint: CheckpointId,
        /// What became of the job.
        reason: String,
    },
}
