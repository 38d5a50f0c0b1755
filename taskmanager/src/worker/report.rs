//! What a worker tells its JobMaster.

use pelton_proto as proto;
use pelton_runtime_core::checkpoint::record::StateHandle;
use pelton_runtime_core::element::CheckpointId;
use pelton_runtime_core::failure::FailureCause;
use pelton_runtime_core::id::ExecutionAttemptId;
use pelton_runtime_core::scheduler::status::ExecutionState;
use tokio::sync::mpsc;

use super::setup::WorkerSetup;

/// Sends reports; cheap to clone, from async code and from task threads.
#[derive(Debug, Clone)]
pub struct Reporter {
    job_id: Vec<u8>,
    worker_id: Vec<u8>,
    epoch: u64,
    reports: mpsc::Sender<proto::WorkerReport>,
}

impl Reporter {
    /// A reporter of the worker that `setup` describes, into `reports`.
    pub fn new(setup: &WorkerSetup, reports: mpsc::Sender<proto::WorkerReport>) -> Self {
        Self { job_id: setup.job_id.to_wire(), worker_id: setup.worker_id.to_wire(), epoch: setup.epoch.0, reports }
    }

    /// Sends a report. When the connection is gone nobody can be told any more, and the worker is ending.
    pub async fn send(&self, report: proto::worker_report::Report) {
        if self.reports.send(self.envelope(report)).await.is_err() {
            tracing::debug!("a report was not sent: the connection to the JobMaster is gone");
        }
    }

    /// Sends a report from a task's thread.
    pub fn send_blocking(&self, report: proto::worker_report::Report) {
        if self.reports.blocking_send(self.envelope(report)).is_err() {
            tracing::debug!("a report was not sent: the connection to the JobMaster is gone");
        }
    }

    /// Sends counters from a task's thread.
    pub fn metrics_blocking(&self, metrics: proto::MetricsReport) {
        self.send_blocking(proto::worker_report::Report::Metrics(metrics));
    }

    /// Sends an attempt's new state from a task's thread.
    pub fn task_state_blocking(
        &self,
        attempt: ExecutionAttemptId,
        state: ExecutionState,
        failure: Option<FailureCause>,
    ) {
        let report = self.envelope(task_state(attempt, state, failure));
        if self.reports.blocking_send(report).is_err() {
            tracing::debug!(%attempt, %state, "a task's state was not sent: the connection to the JobMaster is gone");
        }
    }

    /// Sends an attempt's new state.
    pub async fn task_state(&self, attempt: ExecutionAttemptId, state: ExecutionState, failure: Option<FailureCause>) {
        self.send(task_state(attempt, state, failure)).await;
    }

    /// Says that an attempt has finished, with the state that stands for it from now on.
    pub async fn task_finished(
        &self,
        attempt: ExecutionAttemptId,
        state: Option<&StateHandle>,
        last_checkpoint: Option<CheckpointId>,
    ) {
        self.send(proto::worker_report::Report::TaskState(proto::TaskStateChanged {
            attempt_id: attempt.to_wire(),
            state: ExecutionState::Finished.as_str().to_owned(),
            failure: None,
            final_state: state.map(StateHandle::to_wire),
            last_checkpoint: last_checkpoint.map(|checkpoint| checkpoint.0),
        }))
        .await;
    }

    fn envelope(&self, report: proto::worker_report::Report) -> proto::WorkerReport {
        proto::WorkerReport {
            job_id: self.job_id.clone(),
            epoch: self.epoch,
            worker_id: self.worker_id.clone(),
            report: Some(report),
        }
    }
}

fn task_state(
    attempt: ExecutionAttemptId,
    state: ExecutionState,
    failure: Option<FailureCause>,
) -> proto::worker_report::Report {
    proto::worker_report::Report::TaskState(proto::TaskStateChanged {
        attempt_id: attempt.to_wire(),
        state: state.as_str().to_owned(),
        failure: failure.map(Into::into),
        final_state: None,
        last_checkpoint: None,
    })
}
