//! What a job's scheduler wants done.

use std::sync::Arc;
use std::time::Duration;

use super::fact::Timer;
use crate::failure::FailureCause;
use crate::id::{AttemptNumber, ExecutionAttemptId, JobId, SubtaskIndex, TaskManagerId, WorkerId};
use crate::scheduler::slots::SlotSupply;
use crate::scheduler::status::JobStatus;

/// Something to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Ask for so many slots; 0 withdraws the need.
    DeclareNeed {
        /// How many.
        slots: u32,
    },
    /// Slots that were granted and are not wanted any more.
    ReturnSlots {
        /// Whose.
        task_manager: TaskManagerId,
        /// How many.
        slots: u32,
    },
    /// Tell people that the job waits.
    ReportWaiting {
        /// What it needs.
        need: u32,
        /// What there is.
        supply: SlotSupply,
    },
    /// Have a worker process started, which fills these slots.
    StartWorker {
        /// The worker's id.
        worker: WorkerId,
        /// Where.
        task_manager: TaskManagerId,
        /// How many slots it fills.
        slots: u32,
    },
    /// Send a worker its tasks.
    Deploy {
        /// Which worker.
        worker: WorkerId,
        /// What it runs.
        tasks: Vec<Deployment>,
        /// Where every subtask runs that is deployed now, on this worker and on others; whom these tasks exchange data
        /// with is among them.
        locations: Arc<[Location]>,
    },
    /// Ask a worker to cancel some of its tasks.
    CancelTasks {
        /// Which worker.
        worker: WorkerId,
        /// Which executions.
        attempts: Vec<ExecutionAttemptId>,
    },
    /// Tell an attached worker that its work is done.
    ShutDownWorker {
        /// Which worker.
        worker: WorkerId,
    },
    /// Have a worker's process ended by its supervisor.
    StopWorker {
        /// Which worker.
        worker: WorkerId,
        /// Where.
        task_manager: TaskManagerId,
        /// How long it may take before it is killed.
        grace: Duration,
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
    /// Tell people that the job is in another state.
    StatusChanged(JobStatus),
    /// Tell people what failed.
    ReportFailure(FailureCause),
    /// The job has ended and none of its workers is left.
    Settled,
}

/// A subtask to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Index of its vertex.
    pub vertex: usize,
    /// Its index.
    pub subtask: SubtaskIndex,
    /// How often it was started before.
    pub attempt_number: AttemptNumber,
    /// This execution.
    pub attempt: ExecutionAttemptId,
    /// The worker's slot it runs in.
    pub slot: u32,
}

/// Where a subtask runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Index of its vertex.
    pub vertex: usize,
    /// Its index.
    pub subtask: SubtaskIndex,
    /// This execution.
    pub attempt: ExecutionAttemptId,
    /// The worker that runs it.
    pub worker: WorkerId,
    /// Where that worker's exchange listens.
    pub data_address: String,
}

/// Why a worker may not serve the job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttachRefused {
    /// Nobody started it for this job, or it counts as lost.
    #[error("job {job} does not expect worker {worker}: it was stopped, counts as lost, or belongs to another attempt")]
    UnknownWorker {
        /// The job.
        job: JobId,
        /// The worker.
        worker: WorkerId,
    },
    /// It is attached already.
    #[error("worker {worker} of job {job} is attached already")]
    AlreadyAttached {
        /// The job.
        job: JobId,
        /// The worker.
        worker: WorkerId,
    },
    /// It built another graph.
    #[error(
        "the worker built another job graph than the one that was submitted (fingerprint {found}, expected {expected}): \
         the program must build the same graph every time it runs"
    )]
    OtherGraph {
        /// What was submitted.
        expected: String,
        /// What the worker has.
        found: String,
    },
}
