//! From the last acknowledgement to a checkpoint that exists, or to one that does not.

use std::sync::Arc;

use super::pending::Stage;
use super::{
    AbortReason, Action, CheckpointCoordinator, NotTaken, Ownership, Phase, STORE_AGAIN, STORE_TRIES_MAX, Timer,
    storing,
};
use crate::checkpoint::record::CheckpointRecord;
use crate::element::{AfterSavepoint, CheckpointId};
use crate::id::ExecutionAttemptId;

impl CheckpointCoordinator {
    /// Stores the record of the oldest checkpoint that is complete. One at a time, so that they exist in order.
    pub(super) fn store_next(&mut self) {
        if !matches!(self.phase, Phase::Running | Phase::Starting) {
            return;
        }
        if self.pending.values().any(|pending| pending.is_storing()) {
            return;
        }
        let Some(pending) = self.pending.values_mut().find(|pending| pending.is_ready()) else { return };
        let record = Arc::new(pending.record(self.job, self.epoch, &self.graph, self.now));
        pending.stage = Stage::Storing(record.clone(), 0);
        let checkpoint = pending.checkpoint;
        let store = storing(pending, record);
        self.push(Action::DisarmTimer(Timer::Expiry(checkpoint)));
        self.push(store);
    }

    pub(super) fn record_stored(&mut self, checkpoint: CheckpointId) {
        let Some(pending) = self.pending.get(&checkpoint) else { return };
        let Stage::Storing(record, _) = &pending.stage else { return };
        let (record, savepoint) = (record.clone(), pending.savepoint.clone());
        let attempts = self.still_running(pending.participants());
        let requests = self.pending.remove(&checkpoint).map(|pending| pending.requests).unwrap_or_default();
        self.push(Action::DisarmTimer(Timer::StoreAgain(checkpoint)));
        self.statistics.completed(checkpoint, self.now, record.size_bytes());
        if let Some(savepoint) = savepoint {
            self.savepoint_stored(record, savepoint.then, attempts, requests);
            return self.settle();
        }
        self.failures.succeeded();
        self.pause();
        self.retained.keep(record, Ownership::Own);
        if !attempts.is_empty() {
            self.push(Action::Completed { checkpoint, attempts });
        }
        for request in requests {
            self.push(Action::Answer { request, outcome: Ok(checkpoint) });
        }
        // Older ones have nothing to add, and would come out of order.
        let older = self.pending.range(..checkpoint).filter(|(_, older)| older.savepoint.is_none());
        let older: Vec<_> = older.map(|(older, _)| *older).collect();
        for older in older {
            self.abort(older, AbortReason::Subsumed { by: checkpoint });
        }
        self.remove_surplus();
        if !matches!(self.phase, Phase::Ended(_)) && std::mem::take(&mut self.sweep_due) {
            self.push(Action::Sweep { shared: false });
        }
        self.settle();
    }

    pub(super) fn record_failed(&mut self, checkpoint: CheckpointId, reason: String) {
        if self.pending.get(&checkpoint).is_some_and(|pending| pending.is_storing()) {
            self.push(Action::DisarmTimer(Timer::StoreAgain(checkpoint)));
            self.abort(checkpoint, AbortReason::NotStored { reason });
            self.settle();
        }
    }

    pub(super) fn record_ambiguous(&mut self, checkpoint: CheckpointId) {
        let Some(Stage::Storing(_, tries)) = self.pending.get_mut(&checkpoint).map(|pending| &mut pending.stage) else {
            return;
        };
        *tries += 1;
        let times = *tries;
        if matches!(self.phase, Phase::Ended(_)) {
            return self.leave_unknown(checkpoint);
        }
        if times >= STORE_TRIES_MAX {
            self.abort(checkpoint, AbortReason::Unknown { times });
            return self.settle();
        }
        self.push(Action::ArmTimer { timer: Timer::StoreAgain(checkpoint), after: STORE_AGAIN });
    }

    /// Gives a checkpoint up that certainly does not exist.
    pub(super) fn abort(&mut self, checkpoint: CheckpointId, reason: AbortReason) {
        let Some(pending) = self.pending.remove(&checkpoint) else { return };
        let message = reason.to_string();
        if !pending.is_storing() {
            self.push(Action::DisarmTimer(Timer::Expiry(checkpoint)));
        }
        self.statistics.failed(checkpoint, self.now, &message);
        self.tasks.given_up(checkpoint);
        self.pause();
        self.sweep_due = true;
        let attempts = self.still_running(pending.participants());
        let somebody_took_part = !attempts.is_empty();
        if somebody_took_part {
            self.push(Action::Aborted { checkpoint, attempts, reason: message.clone() });
        }
        let files = pending.own_files();
        match reason {
            // Its record may name them.
            AbortReason::Unknown { .. } => {}
            _ if pending.savepoint.is_some() => self.push(Action::DiscardSavepoint(checkpoint)),
            _ if files.is_empty() => {}
            _ => self.push(Action::DiscardFiles(files)),
        }
        for request in pending.requests {
            self.push(Action::Answer { request, outcome: Err(NotTaken::Refused(message.clone())) });
        }
        if !matches!(self.phase, Phase::Running | Phase::Starting) {
            return;
        }
        if let Some(savepoint) = &pending.savepoint {
            // Tasks that were started again meanwhile know nothing of it.
            if savepoint.then == AfterSavepoint::Drain && somebody_took_part {
                self.fail_job(format!(
                    "event time had ended for the savepoint after which the job was to stop, and the savepoint failed: \
                     {message}"
                ));
            }
        } else if reason.is_a_failure() && self.failures.failed() {
            self.fail_job(format!(
                "Exceeded checkpoint tolerable failure threshold: checkpoint {}: {message}",
                checkpoint.0
            ));
        }
    }

    pub(super) fn fail_job(&mut self, reason: String) {
        // The job says so when its tasks are gone.
        self.phase = Phase::Down;
        self.refuse_requests("the job is failing");
        self.push(Action::FailJob { reason });
    }

    fn remove_surplus(&mut self) {
        while let Some((surplus, ownership)) = self.retained.take_surplus() {
            if ownership == Ownership::Foreign {
                continue;
            }
            self.statistics.discarded(surplus.checkpoint);
            self.remove(&surplus);
        }
    }

    /// Removes a checkpoint that is not kept any longer.
    pub(super) fn remove(&mut self, record: &CheckpointRecord) {
        let files = self.unnamed(record.paths().into_iter().map(str::to_owned));
        self.push(Action::RemoveCheckpoint { checkpoint: record.checkpoint, files });
    }

    /// Those files that no kept checkpoint, no pending one and no finished task names.
    pub(super) fn unnamed(&self, files: impl Iterator<Item = String>) -> Vec<String> {
        let is_last_state =
            |path: &str| self.tasks.finished().any(|(_, state)| state.file().is_some_and(|file| file.path == path));
        let in_use = |path: &str| {
            self.retained.names(path) || self.pending.values().any(|pending| pending.names(path)) || is_last_state(path)
        };
        files.filter(|path| !in_use(path)).collect()
    }

    fn still_running(&self, attempts: &[ExecutionAttemptId]) -> Vec<ExecutionAttemptId> {
        attempts.iter().copied().filter(|attempt| self.tasks.is_running(*attempt)).collect()
    }

    fn pause(&mut self) {
        let earliest = self.later(self.settings.min_pause);
        self.periodic_at = self.periodic_at.map(|at| at.max(earliest));
    }
}
