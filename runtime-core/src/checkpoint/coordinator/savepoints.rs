//! Savepoints: checkpoints that somebody asked for, and after which the job may stop.
//!
//! ```text
//!  asked for ─► collecting ─► storing its record ─► exists ── the job goes on: answered, and never restored from
//!                   │                                  └───── it stops: announced, and restored from if a task fails now
//!                   └── given up: answered; tasks that had stopped go on                 └─► the job has ended: answered
//! ```
//!
//! A savepoint with which the job is cancelled is answered when it exists, like one after which it goes on. No checkpoint begins
//! from then on: what sinks would publish with it, the savepoint does not have.
//!
//! A task that took part in a savepoint after which the job stops stands still until it knows what became of it.

use std::sync::Arc;

use super::pending::Stage;
use super::tasks::TaskKey;
use super::{AbortReason, Action, CheckpointCoordinator, NotTaken, Ownership, Phase, RequestId};
use crate::checkpoint::record::CheckpointRecord;
use crate::element::{AfterSavepoint, CheckpointId};
use crate::id::ExecutionAttemptId;
use crate::scheduler::status::JobStatus;

/// Why a job without checkpoints cannot be saved any more.
pub(super) const NOT_KEPT: &str = "a task has finished, and what it finished with is kept only by a job that takes \
                                   checkpoints: set `execution.checkpointing.interval`";

/// A savepoint that exists and after which the job is ending.
#[derive(Debug)]
pub(super) struct Stopping {
    checkpoint: CheckpointId,
    then: AfterSavepoint,
    requests: Vec<RequestId>,
}

impl CheckpointCoordinator {
    /// Whether the job stops after a savepoint that has begun, or is asked for.
    pub(super) fn is_stopping(&self) -> bool {
        let asked = self.savepoints.iter().any(|(_, savepoint)| savepoint.then != AfterSavepoint::GoOn);
        asked || self.stopping.is_some() || self.pending.values().any(|pending| pending.ends_job())
    }

    /// Whether tasks stand still, so that none would take a checkpoint, or the job is about to be cancelled, so that none
    /// should. Those that drain finish, and sinks wait for the checkpoint that has their last results.
    pub(super) fn is_frozen(&self) -> bool {
        self.stopping.as_ref().is_some_and(|stopping| stopping.then != AfterSavepoint::Drain)
            || self.pending.values().any(|pending| pending.ends_job())
    }

    /// Whether tasks have left, or end their event time, for a savepoint that exists.
    pub(super) fn tasks_are_leaving(&self) -> bool {
        self.stopping.as_ref().is_some_and(|stopping| stopping.then != AfterSavepoint::Cancel)
    }

    /// A task has finished whose last state nobody keeps: it is in no savepoint whose barrier the task has not passed.
    pub(super) fn state_is_not_kept(
        &mut self,
        task: TaskKey,
        attempt: ExecutionAttemptId,
        last_barrier: Option<CheckpointId>,
    ) {
        if self.settings.interval.is_some() {
            let task = self.name(task);
            return self.fail_job(format!(
                "{task} finished and left no state, as its TaskManager knows of no checkpoints: set \
                 `execution.checkpointing.interval` for TaskManagers too, or for the job"
            ));
        }
        let collecting = self.pending.values().filter(|pending| pending.stage == Stage::Collecting);
        let without = collecting.filter(|pending| pending.waits_for(attempt).is_some());
        let without: Vec<_> = without.map(|pending| pending.checkpoint).filter(|id| last_barrier < Some(*id)).collect();
        for checkpoint in without {
            let reason = AbortReason::Declined { task: self.name(task), reason: NOT_KEPT.to_owned() };
            self.abort(checkpoint, reason);
        }
        self.refuse_requests(NOT_KEPT);
    }

    /// The record of a savepoint is durable.
    pub(super) fn savepoint_stored(
        &mut self,
        record: Arc<CheckpointRecord>,
        then: AfterSavepoint,
        attempts: Vec<ExecutionAttemptId>,
        requests: Vec<RequestId>,
    ) {
        let checkpoint = record.checkpoint;
        if then.goes_on() {
            if then == AfterSavepoint::Cancel && !matches!(self.phase, Phase::Ended(_) | Phase::Closed) {
                self.stopping = Some(Stopping { checkpoint, then, requests: Vec::new() });
            }
            for request in requests {
                self.push(Action::Answer { request, outcome: Ok(checkpoint) });
            }
            return;
        }
        if self.phase != Phase::Running {
            // Tasks failed while it was stored. Nobody has published what it has, and those that stand still go on.
            let why = match self.phase {
                Phase::Ended(status) => format!("the job has ended as {status}"),
                _ => "the job failed before it had stopped, and goes on".to_owned(),
            };
            for request in requests {
                let outcome = Err(NotTaken::NotStopped { savepoint: checkpoint, reason: why.clone() });
                self.push(Action::Answer { request, outcome });
            }
            if !attempts.is_empty() {
                self.push(Action::Aborted { checkpoint, attempts, reason: why.clone() });
                if then == AfterSavepoint::Drain {
                    self.fail_job(why);
                }
            }
            return;
        }
        // Sinks publish what it has, so that nothing older may be restored from.
        self.retained.keep(record, Ownership::Foreign);
        self.stopping = Some(Stopping { checkpoint, then, requests });
        if !attempts.is_empty() {
            self.push(Action::Completed { checkpoint, attempts });
        }
    }

    /// The job has ended, or its tasks are started again: it does not stop after its savepoint any more.
    pub(super) fn answer_stop(&mut self, ended: Option<JobStatus>) {
        // A failure does not change that the job is about to be cancelled.
        let told = self.stopping.take_if(|stopping| ended.is_some() || stopping.then != AfterSavepoint::Cancel);
        let Some(Stopping { checkpoint: savepoint, requests, .. }) = told else { return };
        let not_stopped = |reason| Err(NotTaken::NotStopped { savepoint, reason });
        let outcome = match ended {
            Some(JobStatus::Finished) => Ok(savepoint),
            Some(status) => not_stopped(format!("the job has ended as {status}")),
            None => not_stopped("the job failed before it had stopped, and goes on from it".to_owned()),
        };
        for request in requests {
            self.push(Action::Answer { request, outcome: outcome.clone() });
        }
    }
}
