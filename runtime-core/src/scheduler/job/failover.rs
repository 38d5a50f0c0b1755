//! What failed, why, and what follows from it.
//!
//! A failure is often told in pieces: a connection closes, a neighbour complains that it lost its peer, a supervisor
//! sees a signal. A piece that names the cause by itself is acted on at once. A piece that is rather a consequence
//! ([`FailureClass::Lost`], a closed connection, an exit whose worker may have said more) waits for the other half,
//! at most [`SchedulerSettings::verdict_wait`](super::SchedulerSettings).

use std::collections::BTreeSet;
use std::time::Duration;

use super::JobScheduler;
use super::action::Action;
use super::execution::TaskIndex;
use super::fact::{Timer, WorkerExit};
use super::history::RecordedFailure;
use super::region::RegionIndex;
use super::worker::{Link, Worker};
use crate::failure::{FailedSubtask, FailureCause, FailureClass};
use crate::id::{TaskManagerId, WorkerId};
use crate::scheduler::restart::RestartDecision;
use crate::scheduler::status::{ExecutionState, JobStatus};

/// How many tasks a message names before it counts the rest.
const NAMED_TASKS: usize = 3;

/// How many suspicions are kept per region.
const MAX_SUSPICIONS: usize = 16;

impl JobScheduler {
    pub(super) fn task_failed(&mut self, task: TaskIndex, cause: FailureCause) {
        let cause = self.completed(task, cause);
        self.execution(task).failure = Some(cause.clone());
        self.end_task(task, ExecutionState::Failed);
        let region = self.region_of(task);
        if !self.is_live() || self.regions[region].phase.is_restarting() {
            self.note_beside(task, cause);
        } else if cause.class == FailureClass::Lost {
            let record = self.record(cause, Some(task));
            let suspicions = &mut self.regions[region].suspicions;
            if suspicions.len() < MAX_SUSPICIONS {
                suspicions.push(record);
            }
            self.await_the_other_half();
        } else {
            self.fail(cause, Some(task), BTreeSet::from([region]));
        }
    }

    pub(super) fn worker_start_failed(&mut self, worker: WorkerId, message: &str) {
        let concerned = self.regions_of_worker(worker);
        let Some(gone) = self.forget(worker) else { return };
        if gone.stopping || concerned.is_empty() {
            return self.release_tasks(worker);
        }
        let message = format!("failed to start the worker: {message}");
        let cause = located(FailureCause::new(FailureClass::System, message, self.now), &gone);
        self.lose_tasks(worker, &cause);
        self.fail(cause, None, concerned);
    }

    pub(super) fn worker_fatal(&mut self, worker: WorkerId, cause: FailureCause) {
        let Some(known) = self.workers.get_mut(&worker) else { return };
        let cause = located(cause, known);
        known.fatal = Some(cause);
        if !self.is_live() {
            return;
        }
        if self.harmed_in(worker).next().is_some() {
            self.await_the_other_half();
        } else {
            self.stop(worker, self.settings.stop_grace, "it cannot go on");
        }
    }

    pub(super) fn worker_detached(&mut self, worker: WorkerId, reason: String) {
        let Some(known) = self.workers.get_mut(&worker) else { return };
        known.link = Link::Detached(reason);
        let has_exited = known.exit.is_some();
        if self.status.is_terminal() {
            return;
        }
        if has_exited {
            self.worker_ended(worker);
        } else if self.is_live() && self.harmed_in(worker).next().is_some() {
            self.await_the_other_half();
        } else {
            self.stop(worker, Duration::ZERO, "its connection closed while it was being cancelled");
        }
    }

    pub(super) fn worker_exited(&mut self, worker: WorkerId, exit: WorkerExit) {
        let Some(known) = self.workers.get_mut(&worker) else { return };
        let attached = known.is_attached();
        known.exit = Some(exit);
        // Its connection may still bring the better story.
        if self.is_live() && attached && self.harmed_in(worker).next().is_some() {
            self.await_the_other_half();
        } else {
            self.worker_ended(worker);
        }
    }

    /// Everything about the end of this worker is known.
    fn worker_ended(&mut self, worker: WorkerId) {
        let harmed: Vec<TaskIndex> = self.harmed_in(worker).collect();
        let open = self.tasks_in(worker).next().is_some();
        let mut concerned: BTreeSet<RegionIndex> = harmed.iter().map(|&task| self.region_of(task)).collect();
        let Some(known) = self.workers.get(&worker) else { return };
        let wanted = known.was_told_to_end();
        if known.link == Link::Expected && !wanted && self.is_live() {
            // It was started for them and never served anybody: without this, such workers would follow each other.
            concerned.extend(self.returning_to(worker));
        }
        let Some(gone) = self.forget(worker) else { return };
        if self.is_live() && !concerned.is_empty() {
            let (cause, task) = self.cause_of_end(&gone, &harmed);
            self.lose_tasks(worker, &cause);
            return self.fail(cause, task, concerned);
        }
        if matches!(self.status, JobStatus::Failing | JobStatus::Restarting) && open && !wanted {
            let tasks: Vec<TaskIndex> = self.tasks_in(worker).collect();
            let (cause, task) = self.cause_of_end(&gone, &tasks);
            let record = self.record(cause, task);
            self.history.push_concurrent(record);
        }
        self.release_tasks(worker);
    }

    pub(super) fn task_manager_lost(&mut self, task_manager: &TaskManagerId, reason: &str) {
        let there = self.workers.iter().filter(|(_, worker)| worker.task_manager == *task_manager);
        let lost: Vec<WorkerId> = there.map(|(&id, _)| id).collect();
        let mut harmed = Vec::new();
        let mut lost_with = Vec::new();
        for worker in lost {
            // A worker whose end was already explained tells more than the loss of its host.
            if self.is_live() && self.workers.get(&worker).is_some_and(|known| known.exit.is_some()) {
                self.worker_ended(worker);
                continue;
            }
            harmed.extend(self.harmed_in(worker));
            if let Some(gone) = self.forget(worker) {
                lost_with.push((worker, gone));
            }
        }
        let first = lost_with.first().filter(|_| self.is_live() && !harmed.is_empty());
        let Some((_, gone)) = first else {
            return lost_with.into_iter().for_each(|(worker, _)| self.release_tasks(worker));
        };
        let running = self.list(&harmed);
        let message = format!("TaskManager {task_manager} was lost while it ran {running}: {reason}");
        let mut cause = located(FailureCause::new(FailureClass::Lost, message, self.now), gone);
        let task = only(&harmed);
        cause.subtask = task.map(|task| self.name(task));
        let concerned = harmed.iter().map(|&task| self.region_of(task)).collect();
        lost_with.into_iter().for_each(|(worker, _)| self.lose_tasks(worker, &cause));
        self.fail(cause, task, concerned);
    }

    /// The other half did not come: decides with what is known, about everything that is still unexplained.
    pub(super) fn give_verdict(&mut self) {
        self.investigating = false;
        while self.is_live() {
            let find = |wanted: fn(&Worker) -> bool| {
                let mut suspects = self.workers.iter().filter(|(_, worker)| wanted(worker)).map(|(&id, _)| id);
                // One that has nothing left to do may leave without harm.
                suspects.find(|&worker| self.harmed_in(worker).next().is_some())
            };
            let explained = find(|worker| worker.exit.is_some());
            let spoken = find(|worker| worker.fatal.is_some());
            let silent = find(|worker| matches!(worker.link, Link::Detached(_)));
            let suspected = self.regions.iter().position(|region| !region.suspicions.is_empty());
            if let Some(worker) = explained {
                self.worker_ended(worker);
            } else if let Some(worker) = spoken.or(silent) {
                let tasks: Vec<TaskIndex> = self.harmed_in(worker).collect();
                let Some(known) = self.workers.get(&worker) else { return };
                let (cause, task) = self.cause_of_end(known, &tasks);
                let concerned = tasks.iter().map(|&task| self.region_of(task)).collect();
                self.fail(cause, task, concerned);
                if self.is_live() {
                    self.stop(worker, Duration::ZERO, "it cannot go on");
                }
            } else if let Some(region) = suspected {
                let first = self.regions[region].suspicions.remove(0);
                self.fail_recorded(first, BTreeSet::from([region]));
            } else {
                return;
            }
        }
    }

    /// Something failed that these regions need, and this is why.
    pub(super) fn fail(&mut self, cause: FailureCause, task: Option<TaskIndex>, concerned: BTreeSet<RegionIndex>) {
        let record = self.record(cause, task);
        self.fail_recorded(record, concerned);
    }

    fn fail_recorded(&mut self, mut record: RecordedFailure, concerned: BTreeSet<RegionIndex>) {
        match self.status {
            JobStatus::Running | JobStatus::Restarting | JobStatus::Created => {}
            JobStatus::Failing => return self.history.push_concurrent(record),
            _ => return,
        }
        self.push(Action::ReportFailure(record.cause.clone()));
        let decision = match record.cause.class {
            FailureClass::Unrecoverable => {
                record.suppressed = Some("The failure is not recoverable".to_owned());
                RestartDecision::Fail
            }
            _ => {
                let decision = self.restart.on_failure(&record.cause, self.now);
                if decision == RestartDecision::Fail {
                    record.suppressed = Some(format!("Recovery is suppressed by {}", self.restart.name()));
                }
                decision
            }
        };
        self.history.push(record);
        let ends = decision == RestartDecision::Fail;
        for (index, region) in self.regions.iter_mut().enumerate() {
            if ends || concerned.contains(&index) {
                region.suspicions.drain(..).for_each(|suspicion| self.history.push_concurrent(suspicion));
            }
        }
        match decision {
            RestartDecision::Fail => {
                self.enter(JobStatus::Failing);
                self.cancel_open_tasks();
            }
            RestartDecision::Restart { delay } => self.restart_regions(&concerned, delay),
        }
    }

    /// A task failed while it was being cancelled anyway.
    pub(super) fn note_beside(&mut self, task: TaskIndex, cause: FailureCause) {
        let handled = matches!(self.status, JobStatus::Failing | JobStatus::Restarting);
        if handled && cause.class != FailureClass::Lost {
            let cause = self.completed(task, cause);
            let record = self.record(cause, Some(task));
            self.history.push_concurrent(record);
        }
    }

    /// The open tasks of a worker that nobody has cancelled: when it ends, they fail. What waits to be deployed is not
    /// harmed when the worker was meant to end.
    pub(super) fn harmed_in(&self, worker: WorkerId) -> impl Iterator<Item = TaskIndex> {
        let wanted = self.workers.get(&worker).is_some_and(Worker::was_told_to_end);
        self.tasks_in(worker).filter(move |task| {
            let state = self.subtasks[task.vertex][task.subtask as usize].current.state;
            state != ExecutionState::Canceling && !(wanted && state == ExecutionState::Scheduled)
        })
    }

    /// The regions that need this worker, now or after their pause.
    pub(super) fn regions_of_worker(&self, worker: WorkerId) -> BTreeSet<RegionIndex> {
        let mut regions = self.returning_to(worker);
        regions.extend(self.harmed_in(worker).map(|task| self.region_of(task)));
        regions
    }

    fn await_the_other_half(&mut self) {
        if !self.investigating {
            self.investigating = true;
            self.arm(Timer::Verdict, self.settings.verdict_wait);
        }
    }

    fn record(&self, cause: FailureCause, task: Option<TaskIndex>) -> RecordedFailure {
        let execution = task.map(|task| &self.subtasks[task.vertex][task.subtask as usize].current);
        let place = execution.and_then(|execution| execution.place.as_ref());
        let first_there = || {
            let places = self.subtasks.iter().flatten().filter_map(|subtask| subtask.current.place.as_ref());
            places.into_iter().find(|place| Some(&place.task_manager) == cause.task_manager.as_ref())
        };
        let data_address = place.or_else(first_there).and_then(|place| place.data_address.clone());
        RecordedFailure {
            attempt: execution.map(|execution| execution.number),
            data_address,
            cause,
            suppressed: None,
            concurrent: Vec::new(),
        }
    }

    /// The cause with everything that is known of the task.
    fn completed(&self, task: TaskIndex, mut cause: FailureCause) -> FailureCause {
        let place = self.subtasks[task.vertex][task.subtask as usize].current.place.as_ref();
        cause.subtask.get_or_insert_with(|| self.name(task));
        if let Some(place) = place {
            cause.host.get_or_insert_with(|| place.host.clone());
            cause.task_manager.get_or_insert_with(|| place.task_manager.clone());
        }
        cause
    }

    /// Why a worker ended, and the task to blame when that is known.
    fn cause_of_end(&self, worker: &Worker, tasks: &[TaskIndex]) -> (FailureCause, Option<TaskIndex>) {
        let crashed = worker.exit.as_ref().and_then(|exit| exit.crashed_task.as_deref());
        let (named, crashed_task) = match crashed.and_then(parse_subtask) {
            Some(subtask) => (Some(subtask.clone()), self.find(&subtask, tasks)),
            None => (None, only(tasks)),
        };
        let subtask = named.or_else(|| crashed_task.map(|task| self.name(task)));
        let doing = match (&worker.link, &subtask, crashed) {
            (Link::Expected, ..) => " before it registered with its JobMaster".to_owned(),
            (_, Some(subtask), _) => format!(" while it ran {subtask}"),
            (_, None, Some(crashed)) => format!(" in {crashed}"),
            (_, None, None) => format!(" while it ran {}", self.list(tasks)),
        };
        let mut signal_or_exit = None;
        let (class, message) = match (&worker.fatal, &worker.exit, &worker.link) {
            (Some(fatal), ..) => (fatal.class, fatal.message.clone()),
            (None, Some(exit), link) => describe(exit, matches!(link, Link::Expected), &doing),
            (None, None, Link::Detached(reason)) => {
                (FailureClass::Lost, format!("lost the connection with the worker{doing}: {reason}"))
            }
            (None, None, _) => (FailureClass::Lost, format!("the worker was lost{doing}")),
        };
        let mut stderr_tail = Vec::new();
        if let Some(exit) = &worker.exit {
            signal_or_exit = signal_or_exit_of(exit);
            stderr_tail = exit.stderr_tail.clone();
        }
        let mut cause = worker.fatal.clone().unwrap_or_else(|| FailureCause::new(class, message, self.now));
        cause.subtask = cause.subtask.or(subtask);
        cause.signal_or_exit = cause.signal_or_exit.or(signal_or_exit);
        if cause.stderr_tail.is_empty() {
            cause.stderr_tail = stderr_tail;
        }
        (located(cause, worker), crashed_task)
    }

    /// The task that people call so.
    fn find(&self, subtask: &FailedSubtask, among: &[TaskIndex]) -> Option<TaskIndex> {
        among.iter().copied().find(|task| {
            let vertex = &self.graph.vertices[task.vertex];
            let named = vertex.name == subtask.name || vertex.operators.iter().any(|op| op.name == subtask.name);
            named && task.subtask == subtask.subtask && vertex.parallelism == subtask.parallelism
        })
    }

    pub(super) fn list(&self, tasks: &[TaskIndex]) -> String {
        let mut text: Vec<String> = tasks.iter().take(NAMED_TASKS).map(|&task| self.name(task).to_string()).collect();
        if tasks.len() > NAMED_TASKS {
            text.push(format!("{} more", tasks.len() - NAMED_TASKS));
        }
        if text.is_empty() { "no task".to_owned() } else { text.join(", ") }
    }

    /// The running tasks of a worker that is gone failed with it.
    fn lose_tasks(&mut self, worker: WorkerId, cause: &FailureCause) {
        let tasks: Vec<TaskIndex> = self.tasks_in(worker).collect();
        for task in tasks {
            let execution = self.execution(task);
            if execution.is_deployed() && execution.state != ExecutionState::Canceling {
                execution.failure = Some(cause.clone());
                self.end_task(task, ExecutionState::Failed);
            }
        }
        self.release_tasks(worker);
    }

    /// The open tasks of a worker that is gone need not be cancelled any more; those that wait to be deployed wait on.
    pub(super) fn release_tasks(&mut self, worker: WorkerId) {
        let tasks: Vec<TaskIndex> = self.tasks_in(worker).collect();
        let live = self.is_live();
        for task in tasks {
            let execution = self.execution(task);
            if live && execution.state == ExecutionState::Scheduled {
                execution.place = None;
            } else {
                self.end_task(task, ExecutionState::Canceled);
            }
        }
    }
}

fn only(tasks: &[TaskIndex]) -> Option<TaskIndex> {
    if let [task] = tasks { Some(*task) } else { None }
}

fn located(mut cause: FailureCause, worker: &Worker) -> FailureCause {
    cause.host.get_or_insert_with(|| worker.host.clone());
    cause.task_manager.get_or_insert_with(|| worker.task_manager.clone());
    cause
}

fn signal_or_exit_of(exit: &WorkerExit) -> Option<String> {
    exit.signal.clone().or_else(|| exit.exit_code.map(|code| format!("exit code {code}")))
}

/// Signals that come from outside of a program.
const SIGNALS_OF_OTHERS: [&str; 5] = ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"];

/// How a worker ended, in words, and who is to blame: its user's code, unless somebody else ended it or it had not even
/// begun to run any.
fn describe(exit: &WorkerExit, had_not_begun: bool, doing: &str) -> (FailureClass, String) {
    let by_others = had_not_begun || exit.reason.is_some();
    let because = exit.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    match (&exit.signal, exit.exit_code) {
        (Some(signal), _) => {
            let outside = by_others || SIGNALS_OF_OTHERS.contains(&signal.as_str());
            let class = if outside { FailureClass::System } else { FailureClass::User };
            (class, format!("the worker process was ended by {signal}{doing}{because}"))
        }
        (None, Some(code)) => {
            let class = if by_others { FailureClass::System } else { FailureClass::User };
            (class, format!("the worker process exited with code {code}{doing}{because}"))
        }
        (None, None) => (FailureClass::Lost, format!("the worker process ended{doing}{because}")),
    }
}

/// Reads `name (i/n)`.
fn parse_subtask(text: &str) -> Option<FailedSubtask> {
    let (name, place) = text.strip_suffix(')')?.rsplit_once(" (")?;
    let (number, parallelism) = place.split_once('/')?;
    let number: u32 = number.parse().ok()?;
    Some(FailedSubtask {
        name: name.to_owned(),
        subtask: number.checked_sub(1)?,
        parallelism: parallelism.parse().ok()?,
    })
}
