//! The scheduler of one job: facts in, actions out.
//!
//! Owns the states of the job, of its subtasks and of its workers. Decides when slots are asked for, what runs in
//! which of them, when tasks are deployed and cancelled, what a failure's root cause is, and when the job is over.
//! Knows no clock, channel or process: every fact comes with the time, every wish leaves as an [`Action`].
//!
//! ```text
//!                  ┌─► RESTARTING ─┐
//!  CREATED ─► RUNNING ◄────────────┘ ──────────► FINISHED
//!                │  └─► FAILING ────────────────► FAILED
//!                └────────┴─► CANCELLING ───────► CANCELED        any ─► SUSPENDED
//! ```
//!
//! What restarts is the region that failed (`region`), on the workers that survived (`seats`); the job is `RESTARTING`
//! while tasks of a region are being cancelled or its pause lasts, and `RUNNING` again from then on.
//!
//! Invariants: a task is deployed at most once per execution; a fact about an execution or worker that is not the
//! current one changes nothing; a region that waits has asked for all its slots, or for workers that will attach, end
//! or be given up; a job that is `FAILING` or `CANCELLING` becomes terminal as soon as its last task has ended or its
//! last worker is gone; [`Action::Settled`] comes once, after which nothing follows.

mod action;
mod deployment;
mod ending;
mod execution;
mod fact;
mod failover;
mod history;
mod region;
mod restarting;
mod seats;
mod worker;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

pub use self::action::{Action, AttachRefused, Deployment, Location};
pub use self::execution::{Execution, Place, Subtask, TaskIndex};
pub use self::fact::{Attach, Fact, SlotOffer, Timer, WorkerExit};
pub use self::history::{ExceptionHistory, RecordedFailure};
use self::region::{Region, RegionIndex};
use self::seats::Seat;
use self::worker::Worker;
use super::restart::{RestartSettings, RestartStrategy};
use super::slots::SlotSupply;
use super::status::{ExecutionState, JobStatus, StatusTimestamps};
use crate::failure::FailedSubtask;
use crate::graph::JobGraph;
use crate::id::{AttemptNumber, Epoch, ExecutionAttemptId, JobId, SubtaskIndex, WorkerId};
use crate::time::EpochMillis;

/// How patient the scheduler is.
#[derive(Debug, Clone)]
pub struct SchedulerSettings {
    /// How long the job waits for slots, and then for its workers to attach.
    pub slot_request_timeout: Duration,
    /// How long a worker whose tasks have all finished keeps its slots, while others go on.
    pub slot_idle_timeout: Duration,
    /// How often a task that is being cancelled is told so again.
    pub cancellation_interval: Duration,
    /// How long a task may take to cancel; none waits for ever.
    pub cancellation_timeout: Option<Duration>,
    /// How long one half of a failure's story waits for the other.
    pub verdict_wait: Duration,
    /// How long the workers of an ended job may take to leave by themselves.
    pub wind_down_wait: Duration,
    /// How long a worker that is stopped may take before it is killed.
    pub stop_grace: Duration,
    /// Whether all subtasks of a vertex restart together, as they must when they share state anew.
    pub whole_vertices: bool,
    /// How many failures are remembered.
    pub exception_history_size: usize,
    /// How many earlier executions of a subtask are remembered.
    pub attempts_history_size: usize,
    /// Whether and when the job is restarted.
    pub restart: RestartSettings,
}

impl Default for SchedulerSettings {
    fn default() -> Self {
        Self {
            slot_request_timeout: Duration::from_secs(300),
            slot_idle_timeout: Duration::from_secs(50),
            cancellation_interval: Duration::from_secs(30),
            cancellation_timeout: Some(Duration::from_secs(180)),
            verdict_wait: Duration::from_millis(500),
            wind_down_wait: Duration::from_secs(2),
            stop_grace: Duration::from_secs(5),
            whole_vertices: false,
            exception_history_size: 16,
            attempts_history_size: 16,
            restart: RestartSettings::default(),
        }
    }
}

/// The scheduler of one job.
pub struct JobScheduler {
    job: JobId,
    epoch: Epoch,
    graph: Arc<JobGraph>,
    fingerprint: String,
    settings: SchedulerSettings,
    restart: Box<dyn RestartStrategy>,

    status: JobStatus,
    timestamps: StatusTimestamps<JobStatus>,
    subtasks: Vec<Vec<Subtask>>,
    attempts: BTreeMap<ExecutionAttemptId, TaskIndex>,
    /// Tasks that have not ended.
    open: usize,
    /// Tasks that reached the end of their input.
    finished: usize,
    workers: BTreeMap<WorkerId, Worker>,
    workers_made: u32,
    regions: Vec<Region>,
    /// By vertex and index.
    region_of: Vec<Vec<RegionIndex>>,
    seats: Vec<Option<Seat>>,
    /// The seat of each vertex's first subtask.
    first_seat: Vec<usize>,
    /// The slots that were asked for and have not been granted.
    waiting_for: u32,
    /// Whether a region can do nothing but wait for slots.
    awaits_slots: bool,
    supply: Option<SlotSupply>,
    /// Whether something changed for regions that wait to be deployed.
    replan: bool,
    /// How often something was restarted.
    restarts: u64,
    /// Whether a verdict is due.
    investigating: bool,
    history: ExceptionHistory,
    settled: bool,

    now: EpochMillis,
    actions: Vec<Action>,
}

impl JobScheduler {
    /// The scheduler of a job that was submitted `now`; nothing happens before [`Fact::Started`].
    pub fn new(
        job: JobId,
        epoch: Epoch,
        graph: Arc<JobGraph>,
        settings: SchedulerSettings,
        restart: Box<dyn RestartStrategy>,
        now: EpochMillis,
    ) -> Self {
        let mut attempts = BTreeMap::new();
        let mut subtasks = Vec::with_capacity(graph.vertices.len());
        for (vertex, described) in graph.vertices.iter().enumerate() {
            let instances = 0..described.parallelism;
            subtasks.push(
                instances
                    .map(|subtask| {
                        let task = TaskIndex { vertex, subtask };
                        let attempt = attempt_id(job, epoch, task, 0);
                        attempts.insert(attempt, task);
                        Subtask { current: Execution::new(attempt, 0, now), earlier: Vec::new() }
                    })
                    .collect(),
            );
        }
        let (first_seat, seats) = seats::seats_of(&graph);
        let seat_of = |task: TaskIndex| first_seat[task.vertex] + task.subtask as usize;
        let (regions, region_of) = region::regions_of(&graph, settings.whole_vertices, seat_of);
        let mut timestamps = StatusTimestamps::default();
        timestamps.enter(JobStatus::Initializing, now);
        timestamps.enter(JobStatus::Created, now);
        Self {
            job,
            epoch,
            fingerprint: graph.fingerprint(),
            open: attempts.len(),
            history: ExceptionHistory::new(settings.exception_history_size),
            graph,
            settings,
            restart,
            status: JobStatus::Created,
            timestamps,
            subtasks,
            attempts,
            finished: 0,
            workers: BTreeMap::new(),
            workers_made: 0,
            regions,
            region_of,
            seats: vec![None; seats],
            first_seat,
            waiting_for: 0,
            awaits_slots: false,
            supply: None,
            replan: false,
            restarts: 0,
            investigating: false,
            settled: false,
            now,
            actions: Vec::new(),
        }
    }

    /// Takes in what happened and answers with what is to be done, in this order.
    pub fn handle(&mut self, now: EpochMillis, fact: Fact) -> Vec<Action> {
        self.now = now;
        match fact {
            Fact::Started => self.start(),
            Fact::SlotsGranted(offers) => self.slots_granted(offers),
            Fact::SlotsMissing(supply) => self.slots_missing(supply),
            Fact::WorkerStartFailed { worker, message } => self.worker_start_failed(worker, &message),
            Fact::WorkerExited { worker, exit } => self.worker_exited(worker, exit),
            Fact::WorkerDetached { worker, reason } => self.worker_detached(worker, reason),
            Fact::WorkerFatal { worker, cause } => self.worker_fatal(worker, cause),
            Fact::TaskManagerLost { task_manager, reason } => self.task_manager_lost(&task_manager, &reason),
            Fact::TaskStateChanged { worker, attempt, state, failure } => {
                self.task_state_changed(worker, attempt, state, failure);
            }
            Fact::JobFailed { cause } => self.fail(cause, None, (0..self.regions.len()).collect()),
            Fact::CancelRequested => self.cancel(),
            Fact::SuspendRequested { reason } => self.suspend(&reason),
            Fact::TimerFired(timer) => self.timer_fired(timer),
        }
        self.advance();
        std::mem::take(&mut self.actions)
    }

    /// Takes in a worker, or says why not. The worker's answer goes out before the actions are performed.
    ///
    /// # Errors
    ///
    /// When the worker is not expected or holds another graph; the actions that follow from the latter come with
    /// the next fact, for which [`Fact::WorkerDetached`] is due.
    pub fn attach(&mut self, now: EpochMillis, attach: Attach) -> Result<Vec<Action>, AttachRefused> {
        self.now = now;
        self.take_in(attach)?;
        self.advance();
        Ok(std::mem::take(&mut self.actions))
    }

    /// The job.
    pub fn job(&self) -> JobId {
        self.job
    }

    /// What its JobMaster signs its messages with.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What it runs.
    pub fn graph(&self) -> &Arc<JobGraph> {
        &self.graph
    }

    /// The graph's fingerprint.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Where the job is in its life.
    pub fn status(&self) -> JobStatus {
        self.status
    }

    /// When it entered each state.
    pub fn timestamps(&self) -> &StatusTimestamps<JobStatus> {
        &self.timestamps
    }

    /// Its subtasks, by vertex and index.
    pub fn subtasks(&self) -> &[Vec<Subtask>] {
        &self.subtasks
    }

    /// The failures it has seen.
    pub fn history(&self) -> &ExceptionHistory {
        &self.history
    }

    /// What it goes by.
    pub fn settings(&self) -> &SchedulerSettings {
        &self.settings
    }

    /// How often something of it was restarted.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// How many slots the job waits for and what the cluster has, once that is known to be too little.
    pub fn waiting(&self) -> Option<(u32, SlotSupply)> {
        self.supply.filter(|_| self.waiting_for > 0).map(|supply| (self.waiting_for, supply))
    }

    /// Whether the job has ended and none of its workers is left.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// The subtasks' current executions and the earlier ones that are remembered.
    pub fn remembered(&self) -> impl Iterator<Item = ExecutionAttemptId> {
        let earlier = self.subtasks.iter().flatten().flat_map(|subtask| &subtask.earlier);
        self.attempts.keys().copied().chain(earlier.map(|execution| execution.attempt))
    }

    /// The subtask that runs as `attempt`, if that is still its current execution.
    pub fn task_of(&self, attempt: ExecutionAttemptId) -> Option<TaskIndex> {
        self.attempts.get(&attempt).copied()
    }

    fn execution(&mut self, task: TaskIndex) -> &mut Execution {
        &mut self.subtasks[task.vertex][task.subtask as usize].current
    }

    fn executions(&mut self) -> impl Iterator<Item = &mut Execution> {
        self.subtasks.iter_mut().flatten().map(|subtask| &mut subtask.current)
    }

    fn tasks(&self) -> impl Iterator<Item = (TaskIndex, &Execution)> {
        self.subtasks.iter().enumerate().flat_map(|(vertex, subtasks)| {
            let indices: std::ops::RangeFrom<SubtaskIndex> = 0..;
            indices.zip(subtasks).map(move |(subtask, instance)| (TaskIndex { vertex, subtask }, &instance.current))
        })
    }

    /// The task as people name it.
    fn name(&self, task: TaskIndex) -> FailedSubtask {
        let vertex = &self.graph.vertices[task.vertex];
        FailedSubtask { name: vertex.name.clone(), subtask: task.subtask, parallelism: vertex.parallelism }
    }

    fn enter(&mut self, status: JobStatus) {
        self.status = status;
        self.timestamps.enter(status, self.now);
        self.push(Action::StatusChanged(status));
    }

    fn push(&mut self, action: Action) {
        self.actions.push(action);
    }

    fn arm(&mut self, timer: Timer, after: Duration) {
        self.push(Action::ArmTimer { timer, after });
    }

    fn disarm(&mut self, timer: Timer) {
        self.push(Action::DisarmTimer(timer));
    }

    /// The task has ended in `state`.
    fn end_task(&mut self, task: TaskIndex, state: ExecutionState) {
        let now = self.now;
        let execution = self.execution(task);
        if execution.state.is_terminal() {
            return;
        }
        execution.enter(state, now);
        let place = execution.place.as_ref().map(|place| place.worker);
        self.open -= 1;
        if state == ExecutionState::Finished {
            self.finished += 1;
            self.watch_idleness(place);
        }
        let index = self.region_of(task);
        let region = &mut self.regions[index];
        region.open -= 1;
        if region.open == 0 && region.phase.is_restarting() {
            self.disarm(Timer::RestartCancellation { region: index });
            self.replan = true;
        }
    }

    /// Whether its tasks run, or will run again.
    fn is_live(&self) -> bool {
        matches!(self.status, JobStatus::Running | JobStatus::Restarting)
    }

    /// Moves the job on when its tasks and workers allow it.
    fn advance(&mut self) {
        if self.is_live() && std::mem::take(&mut self.replan) {
            self.renew_regions();
            self.replan = false;
            self.plan();
        }
        match self.status {
            JobStatus::Running if self.finished == self.attempts.len() => self.end(JobStatus::Finished),
            JobStatus::Failing if self.open == 0 => self.end(JobStatus::Failed),
            JobStatus::Cancelling if self.open == 0 => self.end(JobStatus::Canceled),
            _ => {}
        }
        if self.status.is_terminal() && self.workers.is_empty() && !self.settled {
            self.settled = true;
            self.disarm(Timer::WindDown);
            self.push(Action::Settled);
        }
    }

    fn timer_fired(&mut self, timer: Timer) {
        match timer {
            Timer::SlotRequest => self.slots_came_too_late(),
            Timer::WorkerAttach => self.workers_came_too_late(),
            Timer::Verdict => self.give_verdict(),
            Timer::CancelAgain => self.cancel_again(),
            Timer::Cancellation => self.kill_the_stuck(),
            Timer::SlotIdle { worker } => self.release_idle(worker),
            Timer::WindDown => self.stop_the_rest(),
            Timer::Restart { region } => self.pause_is_over(region),
            Timer::RestartCancellation { region } => self.kill_the_stuck_of(region),
        }
    }
}

/// Executions are named by what they are, so that ids need no randomness and never repeat.
fn attempt_id(job: JobId, epoch: Epoch, task: TaskIndex, number: AttemptNumber) -> ExecutionAttemptId {
    ExecutionAttemptId::from_bytes(derive(
        job,
        epoch,
        "attempt",
        &[task.vertex as u64, task.subtask.into(), number.into()],
    ))
}

fn worker_id(job: JobId, epoch: Epoch, number: u32) -> WorkerId {
    WorkerId::from_bytes(derive(job, epoch, "worker", &[number.into()]))
}

fn derive(job: JobId, epoch: Epoch, kind: &str, numbers: &[u64]) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(kind);
    hash.update(job.as_bytes());
    hash.update(epoch.0.to_le_bytes());
    numbers.iter().for_each(|number| hash.update(number.to_le_bytes()));
    let digest = hash.finalize();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    id
}
