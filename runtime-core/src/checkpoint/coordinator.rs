//! Decides when a checkpoint of one job begins, exists or is given up, and which ones are kept.
//!
//! ```text
//!  trigger ─► collecting ── every task acknowledged or finished ──► storing its record ──► completed ─► announced
//!                 │                                                   │    ▲                  older ones removed
//!                 │                                                   │    └── unknown: again
//!                 └── declined, timeout, job restarts or ends ──► aborted ◄── certainly not stored
//! ```
//!
//! Knows no clock, channel or I/O: every [`Fact`] comes with the time, every wish leaves as an [`Action`].
//!
//! What it asks of tasks. A trigger goes to running tasks without a running predecessor, again whenever a pending
//! checkpoint gets new ones. A source takes it at once; a task with inputs takes it when each of its channels has ended
//! or has brought the barrier, and after its operators have finished when all have ended: a record that still waits
//! in its queue belongs to the checkpoint, as its finished predecessor will not send it again. A trigger for a
//! checkpoint whose barrier a task has passed already is nothing new to it.
//!
//! Invariants:
//! - ids only grow, also over restarts of the job;
//! - a checkpoint is announced only after its record is durable, and announced ones come in order;
//! - a checkpoint whose record is being stored is never aborted by its timer, as it may exist already, and the job is
//!   not restored before that is known, or its storage was asked in vain several times: what may exist and was never
//!   announced need not be restored from;
//! - a savepoint is announced only if the job stops after it, as the job does not go on from it otherwise;
//! - a file that a kept checkpoint names is never removed, nor one that the base of a pending one names, and a record is
//!   removed before the files it names;
//! - an acknowledgement that comes too late only discards its own file.

mod action;
mod completion;
mod ending;
mod fact;
mod failures;
mod pending;
mod retained;
mod savepoints;
mod settings;
mod tasks;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

pub use self::action::{Action, NotTaken};
pub use self::fact::{DeployedTask, Fact, RequestId, Timer};
pub use self::failures::AbortReason;
use self::failures::ConsecutiveFailures;
use self::pending::{Pending, Stage};
pub use self::retained::Ownership;
use self::retained::Retained;
use self::savepoints::Stopping;
pub use self::settings::{CheckpointSettings, Retention};
pub(in crate::checkpoint) use self::tasks::TaskKey;
use self::tasks::Tasks;
use super::layout;
use super::record::{CheckpointRecord, StateHandle};
use super::statistics::{
    AcknowledgedSubtask, CheckpointDetails, CheckpointStatistics, CheckpointStatus, RestoredCheckpoint,
};
use crate::element::{CheckpointId, Savepoint};
use crate::graph::JobGraph;
use crate::id::{Epoch, ExecutionAttemptId, JobId};
use crate::scheduler::status::JobStatus;
use crate::time::EpochMillis;

/// How long to wait before a record that may be stored is stored again.
const STORE_AGAIN: Duration = Duration::from_secs(1);

/// How often a storage that does not say whether a record exists is asked, before its checkpoint is given up.
const STORE_TRIES_MAX: u32 = 3;

/// How long a storage may still do what it has not answered: a record that is removed earlier might be created once more.
const DOUBT_MILLIS: EpochMillis = 30_000;

/// How many requests may wait for a checkpoint.
const REQUESTS_MAX: usize = 1000;

/// Where the job is, as far as checkpoints care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Its tasks are not all there yet.
    Starting,
    /// They run or have finished.
    Running,
    /// The job was told to fail, or its tasks are being restarted.
    Down,
    /// The job has ended like this; a record may still be on its way.
    Ended(JobStatus),
    /// Nothing follows.
    Closed,
}

/// A checkpoint that is not kept any longer.
struct Removing {
    record: Arc<CheckpointRecord>,
    /// It is still there: the storage did not remove it, or it was not the time for it.
    has_failed: bool,
}

/// The checkpoint coordinator of one job.
pub struct CheckpointCoordinator {
    job: JobId,
    epoch: Epoch,
    graph: Arc<JobGraph>,
    settings: CheckpointSettings,

    phase: Phase,
    /// Whether the job has to be told what its tasks begin from.
    asked: bool,
    /// What the next deployment begins from.
    begins_from: Option<RestoredCheckpoint>,
    /// The job's own checkpoint that lies elsewhere.
    claimed: Option<CheckpointId>,
    tasks: Tasks,
    /// Whether a task has finished since the last checkpoint began.
    finished_since: bool,
    /// Whether the last checkpoint that ended has failed, and none has begun since.
    newest_failed: bool,
    next: CheckpointId,
    pending: BTreeMap<CheckpointId, Pending>,
    retained: Retained,
    failures: ConsecutiveFailures,
    /// Those who wait for the next checkpoint to begin.
    requests: Vec<RequestId>,
    /// Whether any of them wants a checkpoint that builds on no other.
    full_requested: bool,
    /// Savepoints that were asked for and have not begun.
    savepoints: VecDeque<(RequestId, Arc<Savepoint>)>,
    /// The savepoint that exists and after which the job is ending.
    stopping: Option<Stopping>,
    /// When the next checkpoint is due.
    periodic_at: Option<EpochMillis>,
    armed: Option<EpochMillis>,
    /// Checkpoints of which it was not known for a while whether their records exist, and when that was said last.
    doubted: BTreeMap<CheckpointId, EpochMillis>,
    /// Checkpoints that are not kept any longer and may still be there.
    removing: BTreeMap<CheckpointId, Removing>,
    /// Files of removed checkpoints that only those name that are being removed, or the bases of those on their way.
    held: BTreeSet<String>,
    /// What checkpoints name of which nobody said whether they exist: left to sweeps, which find out.
    uncertain: BTreeSet<String>,
    /// Whether files may lie around that no checkpoint names.
    sweep_due: bool,
    statistics: CheckpointStatistics,

    now: EpochMillis,
    actions: Vec<Action>,
}

impl CheckpointCoordinator {
    /// The coordinator of a job that has no checkpoints yet.
    pub fn new(job: JobId, epoch: Epoch, graph: Arc<JobGraph>, settings: CheckpointSettings) -> Self {
        Self {
            job,
            epoch,
            phase: Phase::Starting,
            asked: false,
            begins_from: None,
            claimed: None,
            tasks: Tasks::none(&graph),
            graph,
            finished_since: false,
            newest_failed: false,
            next: CheckpointId(1),
            pending: BTreeMap::new(),
            retained: Retained::new(settings.retained),
            failures: ConsecutiveFailures::new(settings.tolerable_failures),
            requests: Vec::new(),
            full_requested: false,
            savepoints: VecDeque::new(),
            stopping: None,
            periodic_at: None,
            armed: None,
            doubted: BTreeMap::new(),
            removing: BTreeMap::new(),
            held: BTreeSet::new(),
            uncertain: BTreeSet::new(),
            sweep_due: false,
            statistics: CheckpointStatistics::new(settings.history),
            settings,
            now: 0,
            actions: Vec::new(),
        }
    }

    /// Goes on after the checkpoints that the job has already.
    #[must_use]
    pub fn after(mut self, existing: impl IntoIterator<Item = Arc<CheckpointRecord>>) -> Self {
        for record in existing {
            self.next = self.next.max(CheckpointId(record.checkpoint.0 + 1));
            self.retained.keep(record, Ownership::Own);
            self.sweep_due = true;
        }
        self
    }

    /// Begins from a checkpoint that was taken elsewhere. Ids go on after its own.
    #[must_use]
    pub fn beginning_from(mut self, record: Arc<CheckpointRecord>, ownership: Ownership) -> Self {
        self.next = self.next.max(CheckpointId(record.checkpoint.0.saturating_add(1)));
        self.begins_from = Some(restored(&record));
        self.claimed = (ownership == Ownership::Own).then_some(record.checkpoint);
        self.retained.keep(record, ownership);
        self
    }

    /// Takes in what happened and answers with what is to be done, in this order.
    pub fn handle(&mut self, now: EpochMillis, fact: Fact) -> Vec<Action> {
        self.now = now;
        match fact {
            Fact::TasksDeployed(tasks) => self.tasks_deployed(&tasks),
            Fact::TaskRunning { attempt } => self.tasks.run(attempt),
            Fact::TaskFinished { attempt, state, last_barrier } => self.task_finished(attempt, state, last_barrier),
            Fact::TaskWaits { attempt } => self.tasks.wait(attempt),
            Fact::TriggerRequested { request, full, savepoint } => self.trigger_requested(request, full, savepoint),
            Fact::Acknowledged { attempt, checkpoint, state, stats } => {
                self.acknowledged(attempt, checkpoint, state, stats);
            }
            Fact::Declined { attempt, checkpoint, reason } => self.declined(attempt, checkpoint, &reason),
            Fact::RecordStored { checkpoint } => self.record_stored(checkpoint),
            Fact::RecordFailed { checkpoint, reason } => self.record_failed(checkpoint, reason),
            Fact::RecordAmbiguous { checkpoint } => self.record_ambiguous(checkpoint),
            Fact::CheckpointRemoved { checkpoint } => {
                self.removing.remove(&checkpoint);
                self.release();
            }
            Fact::RemovalFailed { checkpoint } => {
                if let Some(removing) = self.removing.get_mut(&checkpoint) {
                    removing.has_failed = true;
                }
            }
            Fact::SweepFailed => self.sweep_due = true,
            Fact::Restarting { attempts } => self.restarting(&attempts),
            Fact::RestoreFailed { checkpoint, reason } => self.restore_failed(checkpoint, &reason),
            Fact::JobEnded { status } => self.job_ended(status),
            Fact::TimerFired(timer) => self.timer_fired(timer),
        }
        self.advance();
        std::mem::take(&mut self.actions)
    }

    /// The newest checkpoint that exists and can be restored.
    pub fn newest(&self) -> Option<&Arc<CheckpointRecord>> {
        self.retained.newest()
    }

    /// What is known about the job's checkpoints.
    pub fn statistics(&self) -> &CheckpointStatistics {
        &self.statistics
    }

    /// How checkpoints are taken.
    pub fn settings(&self) -> &CheckpointSettings {
        &self.settings
    }

    fn push(&mut self, action: Action) {
        self.actions.push(action);
    }

    fn tasks_deployed(&mut self, tasks: &[DeployedTask]) {
        if matches!(self.phase, Phase::Ended(_) | Phase::Closed) {
            return;
        }
        self.tasks.deploy(&self.graph, tasks);
        self.finished_since = false;
        self.phase = Phase::Starting;
        // While it is not known what they begin from, they are held back.
        if !self.asked {
            self.count_restore();
        }
    }

    fn task_finished(
        &mut self,
        attempt: ExecutionAttemptId,
        state: Option<StateHandle>,
        last_barrier: Option<CheckpointId>,
    ) {
        let Some(task) = self.tasks.task_of(attempt) else { return };
        if let Some(file) =
            state.iter().flat_map(StateHandle::files).find(|file| file.path != layout::final_state(self.epoch, attempt))
        {
            let reason = format!("{} finished with a state file that is not its own: `{}`", self.name(task), file.path);
            return self.fail_job(reason);
        }
        if !self.tasks.finish(attempt, state.clone()) {
            return;
        }
        self.finished_since = true;
        let Some(state) = state else { return self.state_is_not_kept(task, attempt, last_barrier) };
        let mut more = Vec::new();
        for pending in self.pending.values_mut().filter(|pending| pending.stage == Stage::Collecting) {
            // A barrier that it passed comes before its end: then its state at the barrier is still on its way.
            if last_barrier.is_none_or(|last| last < pending.checkpoint) {
                pending.finished(task, attempt, state.clone());
            }
            // Those it would have brought the barrier to are told themselves.
            let told: Vec<_> =
                self.tasks.without_running_predecessor(&self.graph).filter(|attempt| pending.tell(*attempt)).collect();
            if !told.is_empty() {
                more.push(Action::Trigger {
                    checkpoint: pending.checkpoint,
                    at: pending.triggered_at,
                    savepoint: pending.savepoint.clone(),
                    base: pending.base.as_ref().map(|base| base.checkpoint),
                    attempts: told,
                });
            }
        }
        self.actions.extend(more);
    }

    fn trigger_requested(&mut self, request: RequestId, full: bool, savepoint: Option<Arc<Savepoint>>) {
        let refusal = match self.phase {
            Phase::Running if !self.tasks.any_running() => Some("all tasks of the job have finished"),
            Phase::Running if self.is_stopping() => Some("the job is being stopped"),
            Phase::Running if self.tasks.any_forgotten() => Some(savepoints::NOT_KEPT),
            Phase::Running if self.requests.len() + self.savepoints.len() >= REQUESTS_MAX => {
                Some("too many requests wait for a checkpoint")
            }
            Phase::Running => None,
            Phase::Starting | Phase::Down => Some("not all tasks of the job are running"),
            Phase::Ended(_) | Phase::Closed => Some("the job has ended"),
        };
        match refusal {
            None => match savepoint {
                Some(savepoint) => self.savepoints.push_back((request, savepoint)),
                None => {
                    self.requests.push(request);
                    self.full_requested |= full;
                }
            },
            Some(reason) => {
                self.statistics.refused();
                self.push(Action::Answer { request, outcome: Err(NotTaken::Refused(reason.to_owned())) });
            }
        }
    }

    fn acknowledged(
        &mut self,
        attempt: ExecutionAttemptId,
        checkpoint: CheckpointId,
        state: StateHandle,
        stats: super::statistics::AckStats,
    ) {
        if let Some(pending) = self.pending.get_mut(&checkpoint)
            && pending.stage == Stage::Collecting
            && let Some(task) = pending.waits_for(attempt)
        {
            if let Some(foreign) = pending.foreign(attempt, &state) {
                let reason = format!("it named a state file that is not its own: `{foreign}`");
                return self.declined(attempt, checkpoint, &reason);
            }
            let written_bytes = state.written_bytes(checkpoint);
            let entry = AcknowledgedSubtask { at: self.now, state_bytes: state.size_bytes(), written_bytes, stats };
            self.statistics.acknowledged(checkpoint, task, entry);
            pending.acknowledged(task, attempt, state);
            return;
        }
        // Too late, or twice. Its file is somebody's only while the checkpoint is.
        let is_of_failed_savepoint = |details: &CheckpointDetails| {
            details.savepoint.is_some() && matches!(details.status, CheckpointStatus::Failed { .. })
        };
        if self.statistics.find(checkpoint).is_some_and(is_of_failed_savepoint) {
            return self.push(Action::DiscardSavepoint(checkpoint));
        }
        let path = match self.pending.get(&checkpoint) {
            Some(pending) => pending.state_path(attempt),
            None => layout::state(checkpoint, attempt),
        };
        let increments = layout::increments(checkpoint, attempt);
        let is_own = |named: &String| *named == path || named.starts_with(&increments);
        let in_use = |path: &String| self.named().contains(path.as_str()) || self.paths_held().contains(path.as_str());
        let own: Vec<String> = state.files().map(|file| file.path.clone()).filter(is_own).collect();
        let unused: Vec<String> = own.into_iter().filter(|path| !in_use(path)).collect();
        if !unused.is_empty() {
            self.push(Action::DiscardFiles(unused));
        }
    }

    fn declined(&mut self, attempt: ExecutionAttemptId, checkpoint: CheckpointId, reason: &str) {
        let Some(pending) = self.pending.get(&checkpoint) else { return };
        if pending.stage == Stage::Collecting
            && let Some(task) = pending.waits_for(attempt)
        {
            let reason = AbortReason::Declined { task: self.name(task), reason: reason.to_owned() };
            self.abort(checkpoint, reason);
        }
    }

    fn timer_fired(&mut self, timer: Timer) {
        match timer {
            Timer::Periodic => {
                self.armed = None;
                self.periodic_at = self.periodic_at.map(|at| at.min(self.now));
            }
            Timer::Expiry(checkpoint) => {
                if self.pending.get(&checkpoint).is_some_and(|pending| pending.stage == Stage::Collecting) {
                    self.abort(checkpoint, AbortReason::Expired);
                }
            }
            Timer::StoreAgain(checkpoint) => {
                if let Some(pending) = self.pending.get(&checkpoint)
                    && let Stage::Storing(record, _) = &pending.stage
                {
                    let store = storing(pending, Arc::clone(record));
                    self.push(store);
                }
            }
        }
    }

    /// Begins what can begin, and sees to the alarm for what cannot yet.
    fn advance(&mut self) {
        if self.phase == Phase::Starting && self.tasks.all_started() {
            self.phase = Phase::Running;
            self.periodic_at = self.settings.interval.map(|interval| self.later(interval));
        }
        self.store_next();
        while self.may_trigger() && self.wants_to_trigger() {
            self.trigger();
        }
        self.refuse_requests_of_finished_tasks();
        let alarm = self.periodic_at.filter(|_| self.may_trigger());
        if alarm != self.armed {
            self.armed = alarm;
            self.push(match alarm {
                Some(at) => {
                    let after = Duration::from_millis(u64::try_from(at.saturating_sub(self.now)).unwrap_or(0));
                    Action::ArmTimer { timer: Timer::Periodic, after }
                }
                None => Action::DisarmTimer(Timer::Periodic),
            });
        }
    }

    fn may_trigger(&self) -> bool {
        self.phase == Phase::Running
            && self.tasks.any_running()
            && !self.is_frozen()
            && self.pending.len() < self.settings.max_concurrent as usize
    }

    fn wants_to_trigger(&self) -> bool {
        // When the sources have finished, sinks wait for the checkpoint that has their last results.
        // After one that failed they wait for the next period: storage that refuses is not asked without end.
        let last = (self.finished_since && self.tasks.sources_have_finished()) || self.tasks.any_waits();
        (last && self.settings.interval.is_some() && !self.newest_failed)
            || !self.requests.is_empty()
            || !self.savepoints.is_empty()
            || self.periodic_at.is_some_and(|at| at <= self.now)
    }

    fn trigger(&mut self) {
        let checkpoint = self.next;
        self.next = CheckpointId(checkpoint.0 + 1);
        let (savepoint, requests) = match self.savepoints.pop_front() {
            Some((request, savepoint)) => (Some(savepoint), vec![request]),
            None => (None, std::mem::take(&mut self.requests)),
        };
        if savepoint.is_none() {
            self.finished_since = false;
            self.newest_failed = false;
            self.tasks.begun(checkpoint);
            self.periodic_at = self.settings.interval.map(|interval| self.later(interval));
        }
        let whole = savepoint.is_some() || std::mem::take(&mut self.full_requested);
        let incremental = self.settings.incremental && !whole;
        let base = if incremental { self.retained.base(self.claimed).cloned() } else { None };
        let base_id = base.as_ref().map(|base| base.checkpoint);
        let mut pending = Pending::new(checkpoint, self.now, savepoint.clone(), base, &self.tasks, requests);
        let attempts: Vec<_> =
            self.tasks.without_running_predecessor(&self.graph).filter(|attempt| pending.tell(*attempt)).collect();
        self.statistics.triggered(checkpoint, self.now, savepoint.clone(), &self.graph, pending.already_finished());
        self.pending.insert(checkpoint, pending);
        self.push(Action::Trigger { checkpoint, at: self.now, savepoint, base: base_id, attempts });
        self.push(Action::ArmTimer { timer: Timer::Expiry(checkpoint), after: self.settings.timeout });
    }

    fn refuse_requests_of_finished_tasks(&mut self) {
        if self.phase == Phase::Running && !self.tasks.any_running() {
            self.refuse_requests("all tasks of the job have finished");
        }
    }

    fn refuse_requests(&mut self, reason: &str) {
        self.full_requested = false;
        let savepoints = std::mem::take(&mut self.savepoints).into_iter().map(|(request, _)| request);
        let requests: Vec<RequestId> = std::mem::take(&mut self.requests).into_iter().chain(savepoints).collect();
        for request in requests {
            self.statistics.refused();
            self.push(Action::Answer { request, outcome: Err(NotTaken::Refused(reason.to_owned())) });
        }
    }

    fn later(&self, delay: Duration) -> EpochMillis {
        self.now.saturating_add(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX))
    }

    /// The task as people name it.
    fn name(&self, task: tasks::TaskKey) -> String {
        let vertex = &self.graph.vertices[task.vertex];
        format!("{} ({}/{})", vertex.name, task.subtask + 1, vertex.parallelism)
    }
}

/// What stores the record of a pending checkpoint.
fn storing(pending: &Pending, record: Arc<CheckpointRecord>) -> Action {
    match pending.savepoint {
        Some(_) => Action::StoreSavepoint { record, copies: pending.copies() },
        None => Action::StoreRecord(record),
    }
}

/// What statistics say of a checkpoint that tasks begin from.
fn restored(record: &CheckpointRecord) -> RestoredCheckpoint {
    RestoredCheckpoint { checkpoint: record.checkpoint, kind: record.kind, at: 0 }
}
