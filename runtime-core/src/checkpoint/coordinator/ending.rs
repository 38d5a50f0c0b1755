//! What becomes of checkpoints when the job's tasks end: to be started again, or for good.

use super::pending::Stage;
use super::{AbortReason, Action, CheckpointCoordinator, NotTaken, Phase, Timer, restored};
use crate::checkpoint::layout;
use crate::checkpoint::statistics::RestoredCheckpoint;
use crate::element::CheckpointId;
use crate::id::ExecutionAttemptId;
use crate::scheduler::status::JobStatus;

/// Why tasks that did not fail restart with those that did.
const NOT_ALONE: &str = "a part of the job failed while the job was stopping, and what had stopped already is started \
                         again with it";

impl CheckpointCoordinator {
    pub(super) fn restarting(&mut self, attempts: &[ExecutionAttemptId]) {
        if matches!(self.phase, Phase::Ended(_) | Phase::Closed) {
            return;
        }
        self.phase = Phase::Down;
        self.asked = true;
        // Elsewhere in the job tasks have left, or event time has ended: they would never do anything again.
        let others_are_done = self.tasks_are_leaving()
            || self.pending.values().any(|pending| pending.drains_job() && pending.stage == Stage::Collecting);
        self.answer_stop(None);
        self.end_tasks(attempts, &AbortReason::JobRestarting);
        if others_are_done && !self.tasks.attempts().is_empty() {
            self.fail_job(NOT_ALONE.to_owned());
        }
        self.settle();
    }

    /// The checkpoint stays where it is, for people to look at, and is not restored from any more.
    pub(super) fn restore_failed(&mut self, checkpoint: CheckpointId, reason: &str) {
        if matches!(self.phase, Phase::Ended(_) | Phase::Closed) || !self.retained.set_aside(checkpoint) {
            return;
        }
        if self.retained.newest().is_none() && !self.pending.values().any(|pending| pending.is_storing()) {
            let reason = format!("checkpoint {} cannot be restored, and there is no older one: {reason}", checkpoint.0);
            self.phase = Phase::Down;
            self.asked = false;
            return self.push(Action::Unrestorable { reason });
        }
        self.asked |= self.phase == Phase::Down;
        self.settle();
    }

    pub(super) fn job_ended(&mut self, status: JobStatus) {
        if matches!(self.phase, Phase::Ended(_) | Phase::Closed) {
            return;
        }
        self.phase = Phase::Ended(status);
        self.answer_stop(Some(status));
        self.end_tasks(&self.tasks.attempts(), &AbortReason::JobEnded);
        self.settle();
    }

    /// The storage does not answer and the job has ended: the checkpoint may exist or not.
    pub(super) fn leave_unknown(&mut self, checkpoint: CheckpointId) {
        let Some(pending) = self.pending.remove(&checkpoint) else { return };
        self.may_exist(&pending);
        let message = "its storage did not say whether it exists";
        self.statistics.failed(checkpoint, self.now, message);
        for request in pending.requests {
            self.push(Action::Answer { request, outcome: Err(NotTaken::Refused(message.to_owned())) });
        }
        self.settle();
    }

    /// Goes on when nothing is being stored any more.
    pub(super) fn settle(&mut self) {
        if self.pending.values().any(|pending| pending.is_storing()) {
            return;
        }
        match self.phase {
            Phase::Ended(status) => self.close(status),
            Phase::Closed => {}
            // Tasks may be deployed by now; they are held back until this is known.
            Phase::Starting | Phase::Running | Phase::Down => {
                if std::mem::take(&mut self.asked) {
                    let from = self.retained.newest().cloned();
                    self.begins_from = from.as_deref().map(restored);
                    if self.phase != Phase::Down {
                        self.count_restore();
                    }
                    self.push(Action::Restorable { from });
                }
            }
        }
    }

    fn close(&mut self, status: JobStatus) {
        self.phase = Phase::Closed;
        if !self.settings.retention.keeps_after(status) {
            let own = self.retained.take_own();
            own.iter().for_each(|record| self.statistics.discarded(record.checkpoint));
            // A job that fails before it has a checkpoint of its own leaves what it began from to the next attempt.
            let all_there_is = own.len() == 1 && status == JobStatus::Failed;
            let (elsewhere, here): (Vec<_>, Vec<_>) =
                own.into_iter().partition(|record| Some(record.checkpoint) == self.claimed);
            if !all_there_is {
                elsewhere.into_iter().for_each(|claimed| self.remove(claimed));
            }
            self.remove_again();
            let removing = self.removing.values().map(|removing| &removing.record);
            let removing = removing.filter(|record| Some(record.checkpoint) != self.claimed);
            let known = here.iter().chain(removing).flat_map(|record| {
                let files = record.files().map(|file| file.path.clone());
                [layout::record(record.checkpoint)].into_iter().chain(files)
            });
            let known = known.collect();
            self.push(Action::Clear { known });
        } else if status != JobStatus::Suspended {
            self.remove_again();
            self.sweep(true);
        }
        self.push(Action::Closed);
    }

    /// Tasks have begun from a checkpoint.
    pub(super) fn count_restore(&mut self) {
        if let Some(restored) = self.begins_from.take() {
            self.statistics.restored(RestoredCheckpoint { at: self.now, ..restored });
        }
    }

    /// Aborts what is not being stored and forgets these tasks, with the last states that no checkpoint names.
    fn end_tasks(&mut self, attempts: &[ExecutionAttemptId], reason: &AbortReason) {
        let last_states: Vec<String> = attempts.iter().filter_map(|attempt| self.tasks.end(*attempt)).collect();
        self.finished_since = false;
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
        self.discard(last_states);
        self.refuse_requests(&reason.to_string());
        if self.armed.take().is_some() {
            self.push(Action::DisarmTimer(Timer::Periodic));
        }
        self.sweep_due = true;
    }
}
