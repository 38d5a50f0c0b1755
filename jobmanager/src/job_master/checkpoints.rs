//! The JobMaster's part in checkpoints: the doing half of [`CheckpointCoordinator`].
//!
//! ```text
//!  tasks' states ─► coordinator ─► triggers, announcements ──────────────► workers
//!  their acknowledgements ─┘  └──► records, removals ─► storage ─► results, as facts
//!                             └──► what to begin from ─► deployments, which wait for it
//! ```
//!
//! The scheduler knows nothing of checkpoints. Its deployments pass through here and get the checkpoint to begin from;
//! those of a restart wait until it is known whether a record that was on its way exists.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pelton_proto as proto;
use pelton_runtime_core::checkpoint::coordinator::{
    Action, CheckpointCoordinator, CheckpointSettings, DeployedTask, Fact, NotTaken, Ownership, Timer,
};
use pelton_runtime_core::checkpoint::record::{CheckpointRecord, RecordKind, StateHandle};
use pelton_runtime_core::checkpoint::statistics::AckStats;
use pelton_runtime_core::checkpoint::store::{CheckpointStore, RecordOutcome, StoreError};
use pelton_runtime_core::element::CheckpointId;
use pelton_runtime_core::env::Env;
use pelton_runtime_core::failure::{FailureCause, FailureClass, error_chain};
use pelton_runtime_core::id::{Epoch, ExecutionAttemptId, OperatorId, WorkerId};
use pelton_runtime_core::scheduler::job::{self, Deployment, Location, TaskIndex};
use pelton_runtime_core::scheduler::status::ExecutionState;
use pelton_runtime_core::time::Moment;
use pelton_runtime_core::wire::checkpoint::{Acknowledged, RestoredSubtask};
use pelton_runtime_core::wire::{self, BadMessage};
use proto::worker_command::Command;
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::actor::JobMaster;
use super::orders::{Orders, Taken};
use super::{JobDescription, Report};
use crate::view::CheckpointsView;

/// Results of the storage that wait; there are never more than a few.
const RESULTS_CAPACITY: usize = 64;

/// How long the storage may take to create a record before it counts as unknown whether it did.
const RECORD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the storage may stand still while states are copied.
const COPY_TIMEOUT: Duration = Duration::from_secs(120);

/// How often the storage is asked to remove what nobody will come back to when the job has ended.
const LAST_TRIES: u32 = 6;

/// What is between the first two of these; then it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// How a job takes checkpoints and where they are.
#[derive(Debug, Clone)]
pub struct CheckpointPlace {
    /// How.
    pub settings: CheckpointSettings,
    /// Where.
    pub store: CheckpointStore,
    /// The job's own directory, as a URL; empty when they are in memory.
    pub directory: String,
    /// Where savepoints are made unless somebody says otherwise.
    pub savepoint_directory: Option<String>,
    /// How storage is reached.
    pub configuration: Arc<BTreeMap<String, String>>,
}

/// Where a checkpoint lies that is not in the job's own directory.
#[derive(Debug, Clone)]
pub struct Lies {
    /// The directory that its paths are relative to, as a URL.
    pub directory: String,
    /// The same.
    pub store: CheckpointStore,
    /// Where it is, as people name it.
    pub path: String,
}

/// A checkpoint or savepoint that a job begins from.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// What it consists of.
    pub record: Arc<CheckpointRecord>,
    /// Where it is.
    pub lies: Lies,
    /// Whose it is.
    pub ownership: Ownership,
}

/// Checkpoints of one job.
pub(super) struct Checkpoints {
    coordinator: CheckpointCoordinator,
    pub(super) place: CheckpointPlace,
    timers: BTreeMap<Timer, Moment>,
    start: StartFrom,
    /// Deployments that wait for `start`.
    held: Vec<(WorkerId, Vec<Deployment>, Arc<[Location]>)>,
    /// Executions that the coordinator believes in.
    deployed: BTreeMap<ExecutionAttemptId, TaskIndex>,
    /// Of these, those that have begun from a checkpoint and do not run yet.
    restoring: BTreeMap<ExecutionAttemptId, CheckpointId>,
    /// Records that may exist, as the storage did not say.
    ambiguous: BTreeSet<CheckpointId>,
    /// Those that do not lie in the job's own directory.
    elsewhere: BTreeMap<CheckpointId, Lies>,
    /// What the job began from.
    began_from: Option<Recovered>,
    /// Directories of savepoints that have not begun.
    pub(super) targets: BTreeMap<String, Lies>,
    /// Those who asked for checkpoints.
    pub(super) orders: Orders,
    /// Executions that were cancelled before they were sent to their workers; the scheduler is to be told.
    pub(super) withdrawn: Vec<(WorkerId, ExecutionAttemptId)>,
    results: (mpsc::Sender<Finished>, mpsc::Receiver<Finished>),
    /// Work at the storage that has not reported.
    at_work: usize,
    closed: bool,
    /// Made when somebody looks, and kept until the coordinator hears something.
    view: OnceLock<Arc<CheckpointsView>>,
}

/// What the job's tasks begin from.
enum StartFrom {
    /// This checkpoint, or the beginning.
    Known(Option<Arc<CheckpointRecord>>),
    /// It is being found out.
    Awaited,
}

/// Work at the storage is done; what the coordinator is to be told.
pub(super) struct Finished(Option<Fact>);

/// Copies files of a job into the directory of a savepoint. They may be large, so only a storage that stands still for long is
/// given up.
async fn copy(
    env: &Env,
    own: &CheckpointStore,
    into: &CheckpointStore,
    copies: &[(String, String)],
) -> Result<(), String> {
    let copied = Arc::new(AtomicU64::new(0));
    let mut copying = pin!(own.copy_to(into, copies, &copied));
    loop {
        let before = copied.load(Ordering::Relaxed);
        match env.timeout(COPY_TIMEOUT, copying.as_mut()).await {
            Ok(done) => return done.map_err(|error| error_chain(&error)),
            Err(_) if copied.load(Ordering::Relaxed) > before => {}
            Err(late) => return Err(format!("states of tasks that have finished could not be copied: {late}")),
        }
    }
}

/// Does what may fail for a passing reason, up to so many times.
async fn try_for_long<T, E: std::error::Error + 'static, F: Future<Output = Result<T, E>>>(
    env: &Env,
    tries: u32,
    mut act: impl FnMut() -> F,
) -> Result<T, E> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..tries {
        match act().await {
            Ok(done) => return Ok(done),
            Err(error) => {
                let (error, seconds) = (error_chain(&error), pause.as_secs());
                warn!(error, "what a job has left cannot be removed, and is tried again in {seconds} s");
            }
        }
        env.sleep(pause).await;
        pause *= 2;
    }
    act().await
}

impl Recovered {
    /// Removes it, with the files that nothing beside it shares.
    async fn remove(&self) -> Result<(), StoreError> {
        match self.record.kind {
            RecordKind::Checkpoint => self.lies.store.remove_claimed(&self.record).await,
            RecordKind::Savepoint => self.lies.store.remove_savepoint(&self.record).await,
        }
    }
}

impl Checkpoints {
    pub(super) fn new(job: &JobDescription, epoch: Epoch, place: CheckpointPlace, from: Option<Recovered>) -> Self {
        let mut coordinator = CheckpointCoordinator::new(job.id, epoch, Arc::clone(&job.graph), place.settings.clone());
        let record = from.as_ref().map(|from| Arc::clone(&from.record));
        if let Some(from) = &from {
            coordinator = coordinator.beginning_from(Arc::clone(&from.record), from.ownership);
        }
        Self {
            coordinator,
            place,
            timers: BTreeMap::new(),
            start: StartFrom::Known(record),
            elsewhere: from.iter().map(|from| (from.record.checkpoint, from.lies.clone())).collect(),
            began_from: from,
            targets: BTreeMap::new(),
            orders: Orders::default(),
            held: Vec::new(),
            deployed: BTreeMap::new(),
            restoring: BTreeMap::new(),
            ambiguous: BTreeSet::new(),
            withdrawn: Vec::new(),
            results: mpsc::channel(RESULTS_CAPACITY),
            at_work: 0,
            closed: false,
            view: OnceLock::new(),
        }
    }

    /// Whether nothing is left to do after the job's end.
    pub(super) fn is_done(&self) -> bool {
        self.closed && self.at_work == 0
    }

    /// The checkpoints as those outside see them.
    pub(super) fn view(&self) -> Arc<CheckpointsView> {
        let make = || {
            let directory = Some(self.place.directory.clone()).filter(|directory| !directory.is_empty());
            let statistics = self.coordinator.statistics().clone();
            let elsewhere = self.elsewhere.iter().map(|(id, found)| (*id, found.path.clone())).collect();
            Arc::new(CheckpointsView { settings: self.place.settings.clone(), directory, elsewhere, statistics })
        };
        Arc::clone(self.view.get_or_init(make))
    }

    /// Forgets where savepoints are that nobody can ask about any more.
    fn forget_places(&mut self) {
        let (statistics, newest) = (self.coordinator.statistics(), self.coordinator.newest());
        let newest = newest.map(|record| record.checkpoint);
        let restored = statistics.latest_restored().map(|restored| restored.checkpoint);
        let began_from = self.began_from.as_ref().map(|from| from.record.checkpoint);
        self.elsewhere
            .retain(|id, _| statistics.find(*id).is_some() || [newest, restored, began_from].contains(&Some(*id)));
    }

    pub(super) fn alarm(&self) -> Moment {
        self.timers.values().copied().min().unwrap_or(Moment::NEVER)
    }

    pub(super) async fn result(&mut self) -> Finished {
        // The sender is held here too.
        self.results.1.recv().await.unwrap_or(Finished(None))
    }

    fn work(&mut self, env: &Env, work: impl Future<Output = Option<Fact>> + Send + 'static) {
        self.at_work += 1;
        let results = self.results.0.clone();
        env.spawn("checkpoint-storage", async move {
            // Nobody listens when the JobMaster has ended.
            drop(results.send(Finished(work.await)).await);
        });
    }

    /// What the paths of a checkpoint are relative to, as a URL.
    fn directory_of(&self, checkpoint: CheckpointId) -> &str {
        self.elsewhere.get(&checkpoint).map_or(&self.place.directory, |found| &found.directory)
    }

    /// The state that tasks of these vertices begin from.
    fn restore_from(&self, record: &CheckpointRecord, operators: &[OperatorId]) -> proto::RestoreFrom {
        let finished = |operator: OperatorId, subtask: u32| {
            let vertex = record.vertex_of(operator);
            vertex.and_then(|vertex| vertex.subtasks.get(subtask as usize)).is_some_and(|subtask| subtask.finished)
        };
        let subtasks = record.states_of(operators).into_iter().map(|handle| {
            let finished = handle.operators.first().is_some_and(|operator| finished(*operator, handle.subtask));
            let (subtask, state) = (handle.subtask, handle.state.clone());
            RestoredSubtask { operators: handle.operators, subtask, state, finished }.to_wire()
        });
        proto::RestoreFrom {
            checkpoint_id: record.checkpoint.0,
            directory: self.directory_of(record.checkpoint).to_owned(),
            subtasks: subtasks.collect(),
        }
    }
}

impl JobMaster {
    /// Sends a worker its tasks, or keeps them until it is known what they begin from.
    pub(super) fn deploy(
        &mut self,
        worker: WorkerId,
        tasks: Vec<Deployment>,
        locations: Arc<[Location]>,
    ) -> Result<(), &'static str> {
        let mut restore = None;
        if let Some(checkpoints) = &mut self.checkpoints {
            let record = match &checkpoints.start {
                StartFrom::Awaited => {
                    checkpoints.held.push((worker, tasks, locations));
                    return Ok(());
                }
                StartFrom::Known(record) => record.clone(),
            };
            let vertices: BTreeSet<usize> = tasks.iter().map(|task| task.vertex).collect();
            let graph = &self.job.graph;
            let operators: Vec<OperatorId> = vertices
                .iter()
                .flat_map(|vertex| graph.vertices[*vertex].operators.iter().map(|node| node.id))
                .collect();
            if let Some(record) = record {
                restore = Some(checkpoints.restore_from(&record, &operators));
                checkpoints.restoring.extend(tasks.iter().map(|task| (task.attempt, record.checkpoint)));
            }
        }
        info!(job = %self.job.id, %worker, tasks = tasks.len(), "deploying");
        let graph = self.job.artifact.is_none().then_some(&*self.job.graph);
        let deploy = proto::DeployTasks { restore, ..wire::control::deploy_tasks(graph, &tasks, &locations) };
        self.send(worker, Command::Deploy(deploy))
    }

    /// Tells the coordinator which executions there are now, before the scheduler's actions are performed.
    pub(super) async fn follow_scheduler(&mut self, actions: &[job::Action]) {
        let Some(checkpoints) = &mut self.checkpoints else { return };
        let ended: Vec<ExecutionAttemptId> = checkpoints
            .deployed
            .iter()
            .filter(|(attempt, task)| {
                use ExecutionState::{Canceled, Canceling, Failed};
                let current = &self.scheduler.subtasks()[task.vertex][task.subtask as usize].current;
                current.attempt != **attempt || matches!(current.state, Canceling | Canceled | Failed)
            })
            .map(|(attempt, _)| *attempt)
            .collect();
        for attempt in &ended {
            checkpoints.deployed.remove(attempt);
            checkpoints.restoring.remove(attempt);
        }
        for (worker, tasks, _) in &mut checkpoints.held {
            let ends = |task: &Deployment| ended.contains(&task.attempt);
            checkpoints.withdrawn.extend(tasks.iter().filter(|task| ends(task)).map(|task| (*worker, task.attempt)));
            tasks.retain(|task| !ends(task));
        }
        checkpoints.held.retain(|(_, tasks, _)| !tasks.is_empty());
        let mut deployed = Vec::new();
        for action in actions {
            if let job::Action::Deploy { tasks, .. } = action {
                for task in tasks {
                    let index = TaskIndex { vertex: task.vertex, subtask: task.subtask };
                    checkpoints.deployed.insert(task.attempt, index);
                    deployed.push(DeployedTask { vertex: task.vertex, subtask: task.subtask, attempt: task.attempt });
                }
            }
        }
        if !ended.is_empty() && !self.scheduler.status().is_terminal() {
            checkpoints.start = StartFrom::Awaited;
            self.tell_coordinator(Fact::Restarting { attempts: ended }).await;
        }
        if !deployed.is_empty() {
            self.tell_coordinator(Fact::TasksDeployed(deployed)).await;
        }
        for action in actions {
            if let job::Action::StatusChanged(status) = action
                && status.is_terminal()
            {
                self.tell_coordinator(Fact::JobEnded { status: *status }).await;
            }
        }
    }

    /// A task of the current deployment is in another state.
    pub(super) async fn follow_task(&mut self, change: &proto::TaskStateChanged) -> Result<(), BadMessage> {
        let (attempt, state) = wire::control::task_state(change)?;
        let Some(checkpoints) = &mut self.checkpoints else { return Ok(()) };
        if !checkpoints.deployed.contains_key(&attempt) {
            return Ok(());
        }
        match state {
            ExecutionState::Running => {
                checkpoints.restoring.remove(&attempt);
                self.tell_coordinator(Fact::TaskRunning { attempt }).await;
            }
            ExecutionState::Finished => {
                let state = change.final_state.clone().map(StateHandle::from_wire).transpose()?;
                let last_barrier = change.last_checkpoint.map(CheckpointId);
                self.tell_coordinator(Fact::TaskFinished { attempt, state, last_barrier }).await;
            }
            ExecutionState::Failed => {
                let corrupt = FailureClass::Corrupt.as_str();
                if let Some(cause) = change.failure.as_ref().filter(|cause| cause.class == corrupt)
                    && let Some(checkpoint) = checkpoints.restoring.remove(&attempt)
                {
                    let reason = cause.message.clone();
                    warn!(job = %self.job.id, checkpoint = checkpoint.0, reason, "a checkpoint cannot be restored");
                    self.tell_coordinator(Fact::RestoreFailed { checkpoint, reason }).await;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What a worker says of a checkpoint.
    pub(super) async fn checkpoint_report(&mut self, report: Report) -> Result<(), BadMessage> {
        let fact = match report {
            Report::CheckpointAcknowledged(acknowledged) => {
                let acknowledged = Acknowledged::from_wire(acknowledged)?;
                let Acknowledged { attempt, checkpoint, state, .. } = acknowledged;
                let stats = AckStats {
                    start_delay: acknowledged.start_delay,
                    alignment: acknowledged.alignment,
                    synchronous: acknowledged.synchronous,
                    asynchronous: acknowledged.asynchronous,
                    processed_bytes: acknowledged.processed_bytes,
                    persisted_bytes: acknowledged.persisted_bytes,
                    unaligned: acknowledged.unaligned,
                };
                Fact::Acknowledged { attempt, checkpoint, state, stats }
            }
            Report::CheckpointDeclined(declined) => Fact::Declined {
                attempt: wire::id(&declined.attempt_id, "attempt_id")?,
                checkpoint: CheckpointId(declined.checkpoint_id),
                reason: declined.reason,
            },
            Report::WaitsForCheckpoint(waits) => {
                Fact::TaskWaits { attempt: wire::id(&waits.attempt_id, "attempt_id")? }
            }
            _ => return Ok(()),
        };
        self.tell_coordinator(fact).await;
        Ok(())
    }

    pub(super) async fn checkpoint_alarm(&mut self) {
        let now = self.env.moment();
        let Some(checkpoints) = &mut self.checkpoints else { return };
        let due: Vec<Timer> =
            checkpoints.timers.iter().filter(|(_, at)| **at <= now).map(|(timer, _)| *timer).collect();
        for timer in due {
            if let Some(checkpoints) = &mut self.checkpoints {
                checkpoints.timers.remove(&timer);
            }
            self.tell_coordinator(Fact::TimerFired(timer)).await;
        }
    }

    pub(super) async fn storage_finished(&mut self, Finished(fact): Finished) {
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.at_work = checkpoints.at_work.saturating_sub(1);
            match &fact {
                Some(Fact::RecordAmbiguous { checkpoint }) => drop(checkpoints.ambiguous.insert(*checkpoint)),
                Some(Fact::RecordStored { checkpoint } | Fact::RecordFailed { checkpoint, .. }) => {
                    checkpoints.ambiguous.remove(checkpoint);
                }
                _ => {}
            }
        }
        if let Some(fact) = fact {
            self.tell_coordinator(fact).await;
        }
    }

    pub(super) async fn tell_coordinator(&mut self, fact: Fact) {
        let Some(checkpoints) = &mut self.checkpoints else { return };
        checkpoints.view.take();
        let actions = checkpoints.coordinator.handle(self.env.wall_clock(), fact);
        for action in actions {
            self.perform_for_coordinator(action).await;
        }
    }

    async fn perform_for_coordinator(&mut self, action: Action) {
        let job = self.job.id;
        let Some(checkpoints) = &mut self.checkpoints else { return };
        let store = checkpoints.place.store.clone();
        match action {
            Action::Trigger { checkpoint, at, savepoint, base, attempts } => {
                debug!(%job, checkpoint = checkpoint.0, tasks = attempts.len(), ?savepoint, "triggering checkpoint");
                if let Some(savepoint) = &savepoint
                    && let Some(lies) = checkpoints.targets.remove(&savepoint.directory)
                {
                    checkpoints.elsewhere.insert(checkpoint, lies);
                }
                let savepoint = savepoint.map(|savepoint| savepoint.to_wire());
                self.tell_tasks(&attempts, |attempt_ids| {
                    let (checkpoint_id, triggered_at_ms) = (checkpoint.0, at);
                    Command::TriggerCheckpoint(proto::TriggerCheckpoint {
                        checkpoint_id,
                        triggered_at_ms,
                        attempt_ids,
                        savepoint: savepoint.clone(),
                        base_checkpoint_id: base.map(|base| base.0),
                    })
                })
                .await;
            }
            Action::StoreRecord(record) => self.store_record(record, store, Vec::new()),
            Action::StoreSavepoint { record, copies } => match checkpoints.elsewhere.get(&record.checkpoint) {
                Some(lies) => {
                    let place = lies.store.clone();
                    self.store_record(record, place, copies);
                }
                None => warn!(%job, checkpoint = record.checkpoint.0, "a savepoint without a place"),
            },
            Action::DiscardSavepoint(checkpoint) => {
                if let Some(lies) = checkpoints.elsewhere.get(&checkpoint).cloned() {
                    checkpoints.work(&self.env, async move {
                        if let Err(error) = lies.store.remove_all().await {
                            let error = error_chain(&error);
                            warn!(%job, savepoint = lies.path, error, "what is left of a savepoint cannot be removed");
                        }
                        None
                    });
                }
            }
            Action::Completed { checkpoint, attempts } => {
                info!(%job, checkpoint = checkpoint.0, "checkpoint completed");
                self.tell_tasks(&attempts, |attempt_ids| {
                    let checkpoint_id = checkpoint.0;
                    Command::CheckpointCompleted(proto::CheckpointCompleted { checkpoint_id, attempt_ids })
                })
                .await;
            }
            Action::Aborted { checkpoint, attempts, reason } => {
                warn!(%job, checkpoint = checkpoint.0, reason, "checkpoint aborted");
                self.tell_tasks(&attempts, |attempt_ids| {
                    let checkpoint_id = checkpoint.0;
                    Command::CheckpointAborted(proto::CheckpointAborted { checkpoint_id, attempt_ids })
                })
                .await;
            }
            Action::RemoveCheckpoint { checkpoint, files } => {
                let claimed = checkpoints.began_from.clone().filter(|from| from.record.checkpoint == checkpoint);
                checkpoints.work(&self.env, async move {
                    let removed = match claimed {
                        Some(claimed) => claimed.remove().await,
                        None => store.remove(checkpoint, &files).await.map_err(StoreError::from),
                    };
                    let Err(error) = removed else { return Some(Fact::CheckpointRemoved { checkpoint }) };
                    let error = error_chain(&error);
                    warn!(%job, checkpoint = checkpoint.0, error, "an old checkpoint cannot be removed for now");
                    Some(Fact::RemovalFailed { checkpoint })
                });
            }
            Action::DiscardFiles(files) => checkpoints.work(&self.env, async move {
                if let Err(error) = store.discard(&files).await {
                    warn!(%job, error = error_chain(&error), "files that no checkpoint names cannot be removed");
                }
                None
            }),
            Action::Sweep { before, in_use, shared } => {
                let shared_up_to = shared.then_some(self.settings.epoch);
                let (env, tries) = (self.env.clone(), if shared { LAST_TRIES } else { 1 });
                checkpoints.work(&self.env, async move {
                    let swept = try_for_long(&env, tries, || store.sweep(shared_up_to, before, &in_use)).await;
                    let error = swept.err()?;
                    warn!(%job, error = error_chain(&error), "leftovers of checkpoints cannot be removed");
                    Some(Fact::SweepFailed)
                });
            }
            Action::Clear { known } => {
                let (env, directory) = (self.env.clone(), checkpoints.place.directory.clone());
                checkpoints.work(&self.env, async move {
                    if let Err(error) = try_for_long(&env, LAST_TRIES, || store.clear(&known)).await {
                        let error = error_chain(&error);
                        warn!(%job, directory, error, "the checkpoints of a job that has ended are left behind");
                    }
                    None
                });
            }
            Action::Restorable { from } => {
                match &from {
                    Some(record) => info!(%job, checkpoint = record.checkpoint.0, "the job goes on from a checkpoint"),
                    None => info!(%job, "the job begins anew: there is no checkpoint"),
                }
                checkpoints.start = StartFrom::Known(from);
                for (worker, tasks, locations) in std::mem::take(&mut checkpoints.held) {
                    if let Err(reason) = self.deploy(worker, tasks, locations) {
                        Box::pin(self.detach(worker, reason.to_owned())).await;
                    }
                }
            }
            Action::Unrestorable { reason } => {
                let cause = FailureCause::new(FailureClass::Unrecoverable, reason, self.env.wall_clock());
                Box::pin(self.tell(job::Fact::JobFailed { cause })).await;
            }
            Action::FailJob { reason } => {
                let cause = FailureCause::new(FailureClass::Transient, reason, self.env.wall_clock());
                Box::pin(self.tell(job::Fact::JobFailed { cause })).await;
            }
            Action::Answer { request, outcome } => {
                let path_of = |checkpoint| match checkpoints.elsewhere.get(&checkpoint) {
                    Some(lies) => lies.path.clone(),
                    None => checkpoints.place.store.url(checkpoint),
                };
                let outcome = match outcome {
                    Ok(checkpoint) => Ok(Taken { checkpoint, path: path_of(checkpoint) }),
                    Err(NotTaken::Refused(reason)) => Err(reason),
                    Err(NotTaken::NotStopped { savepoint, reason }) => {
                        Err(format!("the savepoint `{}` exists, but {reason}", path_of(savepoint)))
                    }
                };
                checkpoints.forget_places();
                if let Some(directory) = checkpoints.orders.answer(request, outcome) {
                    checkpoints.targets.remove(&directory);
                }
            }
            Action::ArmTimer { timer, after } => drop(checkpoints.timers.insert(timer, self.env.moment().after(after))),
            Action::DisarmTimer(timer) => drop(checkpoints.timers.remove(&timer)),
            Action::Closed => checkpoints.closed = true,
        }
    }

    /// Creates a record, after these files of the job were copied beside it.
    fn store_record(&mut self, record: Arc<CheckpointRecord>, into: CheckpointStore, copies: Vec<(String, String)>) {
        let Some(checkpoints) = &mut self.checkpoints else { return };
        let (job, checkpoint) = (self.job.id, record.checkpoint);
        let (env, own) = (self.env.clone(), checkpoints.place.store.clone());
        // An earlier try may still come to pass.
        let may_exist = checkpoints.ambiguous.contains(&checkpoint);
        checkpoints.work(&self.env, async move {
            let written = match copy(&env, &own, &into, &copies).await {
                Err(reason) => Err(reason),
                Ok(()) => match env.timeout(RECORD_TIMEOUT, into.write_record(&record)).await {
                    Ok(written) => written.map_err(|error| error_chain(&error)),
                    // What is not answered may have happened.
                    Err(late) => Ok(RecordOutcome::Unknown { reason: late.to_string() }),
                },
            };
            Some(match written {
                Ok(RecordOutcome::Stored) => Fact::RecordStored { checkpoint },
                Ok(RecordOutcome::Unknown { reason }) => {
                    warn!(%job, checkpoint = checkpoint.0, reason, "it is not known whether the checkpoint's record exists");
                    Fact::RecordAmbiguous { checkpoint }
                }
                Ok(RecordOutcome::Taken { by }) => {
                    Fact::RecordFailed { checkpoint, reason: format!("in its place is {by}") }
                }
                Err(error) if may_exist => {
                    warn!(%job, checkpoint = checkpoint.0, error, "the checkpoint's record cannot be written, and an earlier try may have");
                    Fact::RecordAmbiguous { checkpoint }
                }
                Err(reason) => Fact::RecordFailed { checkpoint, reason },
            })
        });
    }

    /// Sends each worker a command about its own of these executions.
    async fn tell_tasks(&mut self, attempts: &[ExecutionAttemptId], command: impl Fn(Vec<Vec<u8>>) -> Command) {
        let mut by_worker: BTreeMap<WorkerId, Vec<Vec<u8>>> = BTreeMap::new();
        for attempt in attempts {
            let place = self
                .scheduler
                .task_of(*attempt)
                .and_then(|task| self.scheduler.subtasks()[task.vertex][task.subtask as usize].current.place.as_ref());
            if let Some(place) = place {
                by_worker.entry(place.worker).or_default().push(attempt.to_wire());
            }
        }
        for (worker, attempts) in by_worker {
            if let Err(reason) = self.send(worker, command(attempts)) {
                Box::pin(self.detach(worker, reason.to_owned())).await;
            }
        }
    }
}
