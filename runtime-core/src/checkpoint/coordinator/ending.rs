//! What becomes of checkpoints when the job's tasks end: to be started again, or for good.

use std::sync::Arc;

use super::pending::Stage;
use super::{AbortReason, Action, CheckpointCoordinator, Phase, Timer};
use crate::checkpoint::record::CheckpointRecord;
use crate::element::CheckpointId;
use crate::id::ExecutionAttemptId;
use crate::scheduler::status::JobStatus;

impl CheckpointCoordinator {
    pub(super) fn restarting(&mut self, attempts: &[ExecutionAttemptId]) {
        if matches!(self.phase, Phase::Ended(_) | Phase::Closed) {
            return;
        }
        self.phase = Phase::Down { told: false };
        self.end_tasks(attempts, &AbortReason::JobRestarting);
        self.settle();
    }

    /// The checkpoint stays where it is, for people to look at, and is not restored from any more.
    pub(super) fn restore_failed(&mut self, checkpoint: CheckpointId, reason: &str) {
        if matches!(self.phase, Phase::Ended(_) | Phase::Closed) || !self.retained.forget(checkpoint) {
            return;
        }
        if self.retained.newest().is_none() && !self.pending.values().any(|pending| pending.is_storing()) {
            let reason = format!("checkpoint {} cannot be restored, and there is no older one: {reason}", checkpoint.0);
            self.phase = Phase::Down { told: true };
            return self.push(Action::Unrestorable { reason });
        }
        if let Phase::Down { told } = &mut self.phase {
            *told = false;
        }
        self.settle();
    }

    pub(super) fn job_ended(&mut self, status: JobStatus) {
        if matches!(self.phase, Phase::Ended(_) | Phase::Closed) {
            return;
        }
        self.phase = Phase::Ended(status);
        self.end_tasks(&self.tasks.attempts(), &AbortReason::JobEnded);
        self.settle();
    }

    /// The storage does not answer and the job has ended: the checkpoint may exist or not.
    pub(super) fn leave_unknown(&mut self, checkpoint: CheckpointId) {
        let Some(pending) = self.pending.remove(&checkpoint) else { return };
        let message = "its storage did not say whether it exists";
        self.statistics.failed(checkpoint, self.now, message);
        for request in pending.requests {
            self.push(Action::Answer { request, outcome: Err(message.to_owned()) });
        }
        self.settle();
    }

    /// Goes on when nothing is being stored any more.
    pub(super) fn settle(&mut self) {
        if self.pending.values().any(|pending| pending.is_storing()) {
            return;
        }
        match self.phase {
            Phase::Down { told: false } => {
                self.phase = Phase::Down { told: true };
                let from = self.retained.newest().cloned();
                if let Some(record) = &from {
                    self.statistics.restored(record.checkpoint, self.now);
                }
                self.push(Action::Restorable { from });
            }
            Phase::Ended(status) => {
                self.phase = Phase::Closed;
                if !self.settings.retention.keeps_after(status) {
                    let kept: Vec<Arc<CheckpointRecord>> = self.retained.take_all();
                    kept.iter().for_each(|record| self.statistics.discarded(record.checkpoint));
                    self.push(Action::Clear);
                } else if status != JobStatus::Suspended {
                    self.push(Action::Sweep { shared: true });
                }
                self.push(Action::Closed);
            }
            Phase::Starting | Phase::Running | Phase::Down { told: true } | Phase::Closed => {}
        }
    }

    /// Aborts what is not being stored and forgets these tasks, with the last states that no checkpoint names.
    fn end_tasks(&mut self, attempts: &[ExecutionAttemptId], reason: &AbortReason) {
        let last_states: Vec<String> = attempts.iter().filter_map(|attempt| self.tasks.end(*attempt)).collect();
        self.finished_since = false;
        self.awaited = false;
        self.periodic_at = None;
        let ended: Vec<_> = self
            .pending
            .values()
            .filter(|pending| matches!(pending.stage, Stage::Collecting))
            .map(|pending| pending.checkpoint)
            .collect();
        for checkpoint in ended {
            self.abort(checkpoint, reason.clone());
        }
        let files = self.unnamed(last_states.into_iter());
        if !files.is_empty() {
            self.push(Action::DiscardFiles(files));
        }
        self.refuse_requests(&reason.to_string());
        if self.armed.take().is_some() {
            self.push(Action::DisarmTimer(Timer::Periodic));
        }
        self.sweep_due = true;
    }
}
