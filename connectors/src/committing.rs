//! Two-phase sinks: a writer prepares, a committer publishes, and a checkpoint stands between the two.
//!
//! ```text
//!  task ─► queue, bounded in bytes ─► thread: writer ─► committables ─► listed in a snapshot
//!                                                                              │ its checkpoint completes,
//!                                                         committer ◄──────────┘ or the job restarts from it
//! ```
//!
//! A [`CommittingSink`] makes both halves. What the writer has prepared is a *committable*: a value that names work which
//! is durable and that nobody sees yet (a closed file, an open transaction). Committables are state; they are committed
//! when a checkpoint that lists them has completed, and once more by whoever restores that checkpoint. So a commit
//! happens at least once, in the order of the checkpoints, and must be idempotent: done again, it changes nothing.
//!
//! ```text
//!  write ─► prepare_commit ─► snapshot lists it ─► checkpoint completes ─► commit        a crash ...
//!     └── forgotten ──┴── forgotten ───────────────┴── committed at restore ──┴── committed again
//! ```
//!
//! A commit that fails for now is tried again, later and later, as often as `sink.committer.retries` says; then the job
//! fails, restarts, and commits what its checkpoint lists. Each try is counted ([`SUCCESSFUL_COMMITTABLES`] and others).
//! A sink whose input has ended waits for the checkpoint that commits its last committables.
//!
//! Without checkpoints what the writer has finished is committed at once, and the rest at a savepoint or when the input ends.
//! After a savepoint with which the job stops, what it lists is committed; what the writer has not prepared stays as it is
//! listed, as somebody goes on from there.
//!
//! Writer and committer are called on a thread of their own, so they may block; a slow one holds the stream back through
//! the queue and delays the snapshot, never the task.

mod operator;
mod progress;
mod protocol;
#[cfg(test)]
mod tests;
mod thread;

use std::sync::Arc;

use arrow::array::RecordBatch;
use pelton_runtime_core::config::Configuration;
use pelton_runtime_core::config::options::sink::COMMITTER_RETRIES;
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{Operator, OperatorError, OperatorFactory, OperatorResult, OperatorRuntime};
use pelton_runtime_core::time::EpochMillis;

/// Name of the counter of committables that were given to the committer.
pub const TOTAL_COMMITTABLES: &str = "totalCommittables";
/// Name of the counter of committables that were committed.
pub const SUCCESSFUL_COMMITTABLES: &str = "successfulCommittables";
/// Name of the counter of commits that failed and are tried again.
pub const RETRIED_COMMITTABLES: &str = "retriedCommittables";
/// Name of the counter of commits that failed for good.
pub const FAILED_COMMITTABLES: &str = "failedCommittables";

/// A sink in two phases.
pub trait CommittingSink: Send + Sync + 'static {
    /// What a writer prepares and a committer commits.
    type Committable: Clone + Send + 'static;

    /// The writer of a subtask.
    ///
    /// # Errors
    ///
    /// When it cannot be built for this place.
    fn writer(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SinkWriter<Self::Committable>>>;

    /// The committer of a subtask.
    ///
    /// # Errors
    ///
    /// When it cannot be built for this place.
    fn committer(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn Committer<Self::Committable>>>;

    /// Committables as rows of state.
    ///
    /// # Errors
    ///
    /// When Arrow cannot make the columns.
    fn encode(&self, committables: &[Self::Committable]) -> OperatorResult<RecordBatch>;

    /// Committables out of rows of state.
    ///
    /// # Errors
    ///
    /// When the rows are not of this sink's making.
    fn decode(&self, rows: &RecordBatch) -> OperatorResult<Vec<Self::Committable>>;
}

/// Why a writer is asked for what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitPoint {
    /// A checkpoint's barrier has come.
    Checkpoint,
    /// Nothing will be written any more.
    EndOfInput,
}

/// Takes records; may block. Dropped before the end of input, it gives up what it has not prepared.
pub trait SinkWriter<C>: Send {
    /// Called once, before anything else: all that the restored checkpoint lists, of all subtasks. Empty for a fresh start.
    ///
    /// # Errors
    ///
    /// When the outside world cannot be put in order.
    fn recover(&mut self, _committables: &[C]) -> OperatorResult {
        Ok(())
    }

    /// Records that came at wall-clock time `now`.
    ///
    /// # Errors
    ///
    /// When they cannot be written.
    fn write(&mut self, batch: &StreamBatch, now: EpochMillis) -> OperatorResult;

    /// It is `now`.
    ///
    /// # Errors
    ///
    /// When what was due cannot be done.
    fn tick(&mut self, _now: EpochMillis) -> OperatorResult {
        Ok(())
    }

    /// When [`tick`](Self::tick) should be called.
    fn wake_at(&self) -> Option<EpochMillis> {
        None
    }

    /// What has become ready by itself since the last question, such as a file that is large enough.
    fn take_finished(&mut self) -> Vec<C> {
        Vec::new()
    }

    /// Makes what was written ready to be committed.
    ///
    /// # Errors
    ///
    /// When it cannot be made durable.
    fn prepare_commit(&mut self, point: CommitPoint) -> OperatorResult<Vec<C>>;

    /// What is not ready yet and must be committed if the job restarts from this checkpoint: a file that goes on growing,
    /// as far as it is written now. Asked after [`prepare_commit`](Self::prepare_commit).
    ///
    /// # Errors
    ///
    /// When it cannot be made durable.
    fn commit_if_restored(&mut self) -> OperatorResult<Vec<C>> {
        Ok(Vec::new())
    }

    /// The task is cancelled, and no checkpoint lists this committable, which so will never be committed.
    fn discard(&mut self, _committable: &C) {}
}

/// Publishes what a writer has prepared; may block.
pub trait Committer<C>: Send {
    /// Commits, unless that was done before.
    ///
    /// # Errors
    ///
    /// [`CommitError::Retry`] when a later try may succeed.
    fn commit(&mut self, committable: &C) -> Result<(), CommitError>;

    /// A savepoint is about to list this, and somebody may begin from it at any time: it must stay until it is committed, also
    /// when the job restarts from a checkpoint that does not list it.
    ///
    /// # Errors
    ///
    /// When that cannot be seen to. The job fails, and there is no savepoint.
    fn keep(&mut self, _committable: &C) -> OperatorResult {
        Ok(())
    }
}

/// Why a committable is not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Not now; it is tried again.
    #[error("{action}")]
    Retry {
        /// What was tried, on what.
        action: String,
        /// What came back.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Never.
    #[error(transparent)]
    Failed(#[from] OperatorError),
}

impl CommitError {
    /// The outside world refused `action` for now.
    pub fn retry(action: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Retry { action: action.into(), source: source.into() }
    }

    /// No later try would succeed; the job fails.
    pub fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed(OperatorError::User(error.into()))
    }
}

/// The operator of a two-phase sink.
pub struct Committing<S>(Arc<S>);

impl<S: CommittingSink> Committing<S> {
    /// The operator of `sink`.
    pub fn new(sink: S) -> Self {
        Self(Arc::new(sink))
    }
}

impl<S: CommittingSink> OperatorFactory for Committing<S> {
    fn create(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn Operator>> {
        create(&self.0, runtime)
    }
}

/// An instance of `sink`'s operator.
pub(crate) fn create<S: CommittingSink>(sink: &Arc<S>, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn Operator>> {
    let configuration = Configuration::from_map((*runtime.configuration).clone())
        .map_err(|errors| OperatorError::data(errors.to_string()))?;
    let halves = thread::Halves {
        writer: sink.writer(runtime)?,
        committer: sink.committer(runtime)?,
        retries_max: configuration.get(&COMMITTER_RETRIES),
    };
    Ok(Box::new(operator::CommittingOperator::new(Arc::clone(sink), halves, runtime)))
}
