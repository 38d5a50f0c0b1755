//! What a supervisor tells the JobManager.

use pelton_proto as proto;
use pelton_proto::task_manager_report::Report as Wire;
use pelton_runtime_core::id::{Epoch, JobId, WorkerId};

use crate::launcher::WorkerEnd;

/// News about a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    Started { worker: WorkerId, process_id: u32 },
    StartFailed { worker: WorkerId, message: String },
    Exited { worker: WorkerId, requested: bool, end: WorkerEnd },
}

/// A worker that fills slots, as the JobManager hears of it when the supervisor registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunningWorker {
    pub(crate) worker: WorkerId,
    pub(crate) job: JobId,
    pub(crate) epoch: Epoch,
    pub(crate) slots: u32,
}

impl Report {
    /// A worker that is not here was asked to end.
    pub(crate) fn exited_unknown(worker: WorkerId) -> Self {
        let reason = Some("the TaskManager has no such worker".to_owned());
        Self::Exited { worker, requested: true, end: WorkerEnd { reason, ..WorkerEnd::default() } }
    }
}

impl From<Report> for proto::TaskManagerReport {
    fn from(report: Report) -> Self {
        let report = match report {
            Report::Started { worker, process_id } => {
                Wire::WorkerStarted(proto::WorkerStarted { worker_id: worker.to_wire(), process_id })
            }
            Report::StartFailed { worker, message } => {
                Wire::WorkerStartFailed(proto::WorkerStartFailed { worker_id: worker.to_wire(), message })
            }
            Report::Exited { worker, requested, end } => Wire::WorkerExited(proto::WorkerExited {
                worker_id: worker.to_wire(),
                exit_code: end.exit_code,
                signal: end.signal,
                requested,
                reason: end.reason,
                stderr_tail: end.stderr_tail,
                crashed_task: end.crashed_task,
            }),
        };
        Self { report: Some(report) }
    }
}

impl From<RunningWorker> for proto::RunningWorker {
    fn from(running: RunningWorker) -> Self {
        Self {
            worker_id: running.worker.to_wire(),
            job_id: running.job.to_wire(),
            epoch: running.epoch.0,
            slots: running.slots,
        }
    }
}
