//! From the last acknowledgement to a checkpoint that exists, or to one that does not.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::pending::{Pending, Stage};
use super::{
    AbortReason, Action, CheckpointCoordinator, NotTaken, Ownership, Phase, STORE_AGAIN, STORE_TRIES_MAX, Timer,
    storing,
};
use super::{DOUBT_MILLIS, Removing};
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
        self.statistics.completed(checkpoint, self.now, record.size_bytes(), record.written_bytes());
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
        self.remove_again();
        self.remove_surplus();
        self.release();
        if !matches!(self.phase, Phase::Ended(_)) && std::mem::take(&mut self.sweep_due) {
            self.sweep(false);
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
        self.doubted.insert(checkpoint, self.now);
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
        self.newest_failed |= pending.savepoint.is_none() && reason.is_a_failure();
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
            AbortReason::Unknown { .. } => self.may_exist(&pending),
            _ if pending.savepoint.is_some() => self.push(Action::DiscardSavepoint(checkpoint)),
            _ if files.is_empty() => {}
            _ => self.push(Action::DiscardFiles(files)),
        }
        self.release();
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
            self.remove(surplus);
        }
    }

    /// Removes a checkpoint that is not kept any longer.
    pub(super) fn remove(&mut self, record: Arc<CheckpointRecord>) {
        let checkpoint = record.checkpoint;
        // This may be another try.
        self.removing.remove(&checkpoint);
        self.doubted.retain(|_, last| self.now < last.saturating_add(DOUBT_MILLIS));
        if self.doubted.contains_key(&checkpoint) {
            self.removing.insert(checkpoint, Removing { record, has_failed: true });
            return;
        }
        let files = self.unheld(record.paths().into_iter().map(str::to_owned).collect());
        self.push(Action::RemoveCheckpoint { checkpoint, files });
        self.removing.insert(checkpoint, Removing { record, has_failed: false });
    }

    /// Tries once more to remove what the storage did not remove.
    pub(super) fn remove_again(&mut self) {
        let failed: Vec<_> = self.removing.values().filter(|removing| removing.has_failed).collect();
        let failed: Vec<_> = failed.into_iter().map(|removing| Arc::clone(&removing.record)).collect();
        failed.into_iter().for_each(|record| self.remove(record));
    }

    /// Removes what only a checkpoint named that is gone, or the base of one that is not on its way any more.
    pub(super) fn release(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let held = std::mem::take(&mut self.held).into_iter().collect();
        self.discard(held);
    }

    /// Removes those of these files that nothing names.
    pub(super) fn discard(&mut self, files: Vec<String>) {
        let files = self.unheld(files);
        if !files.is_empty() {
            self.push(Action::DiscardFiles(files));
        }
    }

    /// Those files that nothing names. What only a checkpoint names that is being removed, or a base, is held until later.
    fn unheld(&mut self, files: Vec<String>) -> Vec<String> {
        let unnamed = self.unnamed(files.into_iter());
        let named = self.paths_held();
        let (held, files): (Vec<_>, Vec<_>) = unnamed.into_iter().partition(|path| named.contains(path.as_str()));
        self.held.extend(held);
        files
    }

    /// Those files that no kept checkpoint, no pending one and no finished task names.
    fn unnamed(&self, files: impl Iterator<Item = String>) -> Vec<String> {
        let named = self.named();
        files.filter(|path| !named.contains(path.as_str()) && !self.uncertain.contains(path)).collect()
    }

    /// What a sweep must leave alone, and the checkpoint before which nothing is on its way.
    pub(super) fn sweep(&mut self, shared: bool) {
        let mut in_use = self.named();
        in_use.extend(self.paths_held());
        in_use.extend(self.uncertain.iter().map(String::as_str));
        let in_use = in_use.into_iter().map(str::to_owned).collect();
        let before = self.pending.keys().next().copied().unwrap_or(self.next);
        self.push(Action::Sweep { before, in_use, shared });
    }

    /// Nobody will say whether this one exists.
    pub(super) fn may_exist(&mut self, pending: &Pending) {
        self.uncertain.extend(pending.files().map(|file| file.path.clone()));
    }

    pub(super) fn named(&self) -> BTreeSet<&str> {
        let kept = self.retained.records().flat_map(|record| record.files());
        let pending = self.pending.values().flat_map(|pending| pending.files());
        let last_states = self.tasks.finished().flat_map(|(_, state)| state.files());
        kept.chain(pending).chain(last_states).map(|file| file.path.as_str()).collect()
    }

    /// What checkpoints name that are being removed, and the bases of those on their way.
    pub(super) fn paths_held(&self) -> BTreeSet<&str> {
        let bases = self.pending.values().filter_map(|pending| pending.base.as_ref());
        let removing = self.removing.values().flat_map(|removing| removing.record.files());
        bases.flat_map(|base| base.shared_paths()).chain(removing.map(|file| file.path.as_str())).collect()
    }

    fn still_running(&self, attempts: &[ExecutionAttemptId]) -> Vec<ExecutionAttemptId> {
        attempts.iter().copied().filter(|attempt| self.tasks.is_running(*attempt)).collect()
    }

    fn pause(&mut self) {
        let earliest = self.later(self.settings.min_pause);
        self.periodic_at = self.periodic_at.map(|at| at.max(earliest));
    }
}
