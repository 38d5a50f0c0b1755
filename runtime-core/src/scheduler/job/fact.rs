//! What a job's scheduler is told.

use crate::failure::FailureCause;
use crate::id::{ExecutionAttemptId, TaskManagerId, WorkerId};
use crate::scheduler::slots::SlotSupply;
use crate::scheduler::status::ExecutionState;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// The job's master is set up; the job may begin.
    Started,
    /// All the slots that were declared.
    SlotsGranted(Vec<SlotOffer>),
    /// The declared need cannot be met now.
    SlotsMissing(SlotSupply),
    /// The supervisor could not start a worker.
    WorkerStartFailed {
        /// Which worker.
        worker: WorkerId,
        /// Why, in the supervisor's words.
        message: String,
    },
    /// A worker's process has ended, as its supervisor saw it.
    WorkerExited {
        /// Which worker.
        worker: WorkerId,
        /// How.
        exit: WorkerExit,
    },
    /// A worker's connection is gone; nothing more comes from it.
    WorkerDetached {
        /// Which worker.
        worker: WorkerId,
        /// What the connection died of.
        reason: String,
    },
    /// A worker says that it cannot go on.
    WorkerFatal {
        /// Which worker.
        worker: WorkerId,
        /// Why.
        cause: FailureCause,
    },
    /// A TaskManager is gone and its workers with it.
    TaskManagerLost {
        /// Which one.
        task_manager: TaskManagerId,
        /// What was noticed.
        reason: String,
    },
    /// A worker reports a new state of one of its tasks.
    TaskStateChanged {
        /// Who reports.
        worker: WorkerId,
        /// About which execution.
        attempt: ExecutionAttemptId,
        /// The new state.
        state: ExecutionState,
        /// Why, when it failed.
        failure: Option<FailureCause>,
    },
    /// Something that belongs to no task went wrong, such as too many checkpoints.
    JobFailed {
        /// What.
        cause: FailureCause,
    },
    /// Somebody wants the job to end.
    CancelRequested,
    /// This JobManager stops leading or ends.
    SuspendRequested {
        /// Why.
        reason: String,
    },
    /// A timer that was armed.
    TimerFired(Timer),
}

/// Slots of one TaskManager that the job may fill with a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotOffer {
    /// Whose.
    pub task_manager: TaskManagerId,
    /// The host it runs on.
    pub host: String,
    /// How many.
    pub slots: u32,
}

/// How a worker's process ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkerExit {
    /// Its exit code, when it exited.
    pub exit_code: Option<i32>,
    /// The signal's name, when a signal ended it.
    pub signal: Option<String>,
    /// Whether the JobMaster had asked for it.
    pub requested: bool,
    /// Why the supervisor killed it, when it did.
    pub reason: Option<String>,
    /// The last lines of its standard error.
    pub stderr_tail: Vec<String>,
    /// The subtask whose thread received the signal, as `name (i/n)`.
    pub crashed_task: Option<String>,
}

/// The alarms of a job; each exists once, those of a region once per region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// `slot.request.timeout` is over.
    SlotRequest,
    /// The workers had long enough to attach.
    WorkerAttach,
    /// The other half of a failure's story had long enough to arrive.
    Verdict,
    /// `task.cancellation.interval` is over.
    CancelAgain,
    /// `task.cancellation.timeout` is over.
    Cancellation,
    /// `slot.idle.timeout` is over for a worker whose tasks had all finished.
    SlotIdle {
        /// Which worker.
        worker: WorkerId,
    },
    /// The workers of an ended job had long enough to leave by themselves.
    WindDown,
    /// The pause before a region is deployed again is over.
    Restart {
        /// Which region.
        region: usize,
    },
    /// `task.cancellation.timeout` is over for a region that is to be deployed again.
    RestartCancellation {
        /// Which region.
        region: usize,
    },
}

/// A worker that wants to serve the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach {
    /// Who.
    pub worker: WorkerId,
    /// The fingerprint of the graph it holds.
    pub fingerprint: String,
    /// Where its exchange listens.
    pub data_address: String,
    /// Its process.
    pub process_id: u32,
}
