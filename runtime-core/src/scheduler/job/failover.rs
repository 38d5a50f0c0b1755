//! What failed, why, and what follows from it.
//!
//! A failure is often told in pieces: a connection closes, a neighbour complains that it lost its peer, a supervisor
//! sees a signal. A piece that names the cause by itself is acted on at once. A piece that is rather a consequence
//! ([`FailureClass::Lost`], a closed connection, an exit whose worker may have said more) waits for the other half,
//! at most [`SchedulerSettings::verdict_wait`](super::SchedulerSettings).

use super::JobScheduler;
use super::action::Action;
use super::execution::TaskIndex;
use super::fact::{Timer, WorkerExit};
use super::history::RecordedFailure;
use super::worker::{Link, Worker};
use crate::failure::{FailedSubtask, FailureCause, FailureClass};
use crate::id::{TaskManagerId, WorkerId};
use crate::scheduler::restart::RestartDecision;
use crate::scheduler::status::{ExecutionState, JobStatus};

/// How many tasks a message names before it counts the rest.
const NAMED_TASKS: usize = 3;

/// How many suspicions are kept.
const MAX_SUSPICIONS: usize = 16;

impl JobScheduler {
    pub(super) fn task_failed(&mut self, task: TaskIndex, cause: FailureCause) {
        let cause = self.completed(task, cause);
        self.execution(task).failure = Some(cause.clone());
        self.end_task(task, ExecutionState::Failed);
        if self.status != JobStatus::Running {
            self.note_beside(task, cause);
        } else if cause.class == FailureClass::Lost {
            let record = self.record(cause, Some(task));
            if self.suspicions.len() < MAX_SUSPICIONS {
                self.suspicions.push(record);
            }
            self.await_the_other_half();
        } else {
            self.fail(cause, Some(task));
        }
    }

    pub(super) fn worker_start_failed(&mut self, worker: WorkerId, message: &str) {
        let Some(gone) = self.workers.remove(&worker) else { return };
        let message = format!("failed to start the worker: {message}");
        let cause = located(FailureCause::new(FailureClass::System, message, self.now), &gone);
        self.lose_tasks(worker, &cause);
        self.fail(cause, None);
    }

    pub(super) fn worker_fatal(&mut self, worker: WorkerId, cause: FailureCause) {
        let Some(known) = self.workers.get_mut(&worker) else { return };
        let cause = located(cause, known);
        known.fatal = Some(cause);
        if self.status == JobStatus::Running {
            self.await_the_other_half();
        }
    }

    pub(super) fn worker_detached(&mut self, worker: WorkerId, reason: String) {
        let Some(known) = self.workers.get_mut(&worker) else { return };
        known.link = Link::Detached(reason);
        match self.status {
            JobStatus::Running if known.exit.is_some() => self.worker_ended(worker),
            JobStatus::Running => self.await_the_other_half(),
            JobStatus::Failing | JobStatus::Cancelling => {
                self.stop(worker, std::time::Duration::ZERO, "its connection closed while it was being cancelled");
            }
            _ => {}
        }
    }

    pub(super) fn worker_exited(&mut self, worker: WorkerId, exit: WorkerExit) {
        let Some(known) = self.workers.get_mut(&worker) else { return };
        let wanted = exit.requested || known.stopping;
        let attached = known.is_attached();
        known.exit = Some(exit);
        match self.status {
            // Its connection may still bring the better story.
            JobStatus::Running if attached => self.await_the_other_half(),
            JobStatus::Running => self.worker_ended(worker),
            JobStatus::Failing if !wanted => self.worker_ended(worker),
            _ => {
                self.workers.remove(&worker);
                self.release_tasks(worker);
            }
        }
    }

    /// Everything about the end of this worker is known.
    fn worker_ended(&mut self, worker: WorkerId) {
        let lost: Vec<TaskIndex> = self.tasks_in(worker).collect();
        let Some(gone) = self.workers.remove(&worker) else { return };
        if lost.is_empty() {
            return;
        }
        let (cause, task) = self.cause_of_end(&gone, &lost);
        if self.status == JobStatus::Running {
            self.lose_tasks(worker, &cause);
            self.fail(cause, task);
        } else {
            self.release_tasks(worker);
            let record = self.record(cause, task);
            self.history.push_concurrent(record);
        }
    }

    pub(super) fn task_manager_lost(&mut self, task_manager: &TaskManagerId, reason: &str) {
        let there = self.workers.iter().filter(|(_, worker)| worker.task_manager == *task_manager);
        let lost: Vec<WorkerId> = there.map(|(&id, _)| id).collect();
        let running = self.status == JobStatus::Running;
        let mut root = None;
        for worker in lost {
            // A worker whose end was already explained tells more than the loss of its host.
            if running && self.workers.get(&worker).is_some_and(|known| known.exit.is_some()) {
                self.worker_ended(worker);
                continue;
            }
            let tasks: Vec<TaskIndex> = self.tasks_in(worker).collect();
            let Some(gone) = self.workers.remove(&worker) else { continue };
            if !running {
                self.release_tasks(worker);
                continue;
            }
            let running = self.list(&tasks);
            let message = format!("TaskManager {task_manager} was lost while it ran {running}: {reason}");
            let mut cause = located(FailureCause::new(FailureClass::Lost, message, self.now), &gone);
            let task = only(&tasks);
            cause.subtask = task.map(|task| self.name(task));
            self.lose_tasks(worker, &cause);
            if !tasks.is_empty() {
                root = root.or(Some((cause, task)));
            }
        }
        if let Some((cause, task)) = root {
            self.fail(cause, task);
        }
    }

    /// The other half did not come: decides with what is known.
    pub(super) fn give_verdict(&mut self) {
        self.investigating = false;
        if self.status != JobStatus::Running {
            return;
        }
        let find = |wanted: fn(&Worker) -> bool| {
            let mut suspects = self.workers.iter().filter(|(_, worker)| wanted(worker)).map(|(&id, _)| id);
            // One that has nothing left to do may leave without harm.
            suspects.find(|&worker| self.tasks_in(worker).next().is_some())
        };
        let explained = find(|worker| worker.exit.is_some());
        let spoken = find(|worker| worker.fatal.is_some());
        let silent = find(|worker| matches!(worker.link, Link::Detached(_)));
        if let Some(worker) = explained {
            self.worker_ended(worker);
        } else if let Some(worker) = spoken.or(silent) {
            let tasks: Vec<TaskIndex> = self.tasks_in(worker).collect();
            let Some(known) = self.workers.get(&worker) else { return };
            let (cause, task) = self.cause_of_end(known, &tasks);
            self.fail(cause, task);
        } else if !self.suspicions.is_empty() {
            let first = self.suspicions.remove(0);
            self.fail_recorded(first);
        }
    }

    /// Something failed, and this is why.
    pub(super) fn fail(&mut self, cause: FailureCause, task: Option<TaskIndex>) {
        let record = self.record(cause, task);
        self.fail_recorded(record);
    }

    fn fail_recorded(&mut self, record: RecordedFailure) {
        match self.status {
            JobStatus::Running | JobStatus::Created => {}
            JobStatus::Failing => return self.history.push_concurrent(record),
            _ => return,
        }
        self.push(Action::ReportFailure(record.cause.clone()));
        let decision = self.restart.on_failure(&record.cause, self.now);
        self.history.push(record);
        for suspicion in std::mem::take(&mut self.suspicions) {
            self.history.push_concurrent(suspicion);
        }
        match decision {
            RestartDecision::Fail => {
                self.enter(JobStatus::Failing);
                self.cancel_open_tasks();
            }
        }
    }

    /// A task failed while the job was ending anyway.
    pub(super) fn note_beside(&mut self, task: TaskIndex, cause: FailureCause) {
        if self.status == JobStatus::Failing && cause.class != FailureClass::Lost {
            let cause = self.completed(task, cause);
            let record = self.record(cause, Some(task));
            self.history.push_concurrent(record);
        }
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
            (None, Some(exit), _) => describe(exit, &doing),
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

    /// The open tasks of a worker that is gone failed with it.
    fn lose_tasks(&mut self, worker: WorkerId, cause: &FailureCause) {
        let tasks: Vec<TaskIndex> = self.tasks_in(worker).collect();
        for task in tasks {
            if self.execution(task).is_deployed() {
                self.execution(task).failure = Some(cause.clone());
                self.end_task(task, ExecutionState::Failed);
            } else {
                self.end_task(task, ExecutionState::Canceled);
            }
        }
    }

    /// The open tasks of a worker that is gone need not be cancelled any more.
    pub(super) fn release_tasks(&mut self, worker: WorkerId) {
        let tasks: Vec<TaskIndex> = self.tasks_in(worker).collect();
        tasks.into_iter().for_each(|task| self.end_task(task, ExecutionState::Canceled));
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

fn describe(exit: &WorkerExit, doing: &str) -> (FailureClass, String) {
    let because = exit.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    match (&exit.signal, exit.exit_code) {
        (Some(signal), _) => {
            let class = if signal == "SIGKILL" { FailureClass::System } else { FailureClass::User };
            (class, format!("the worker process was ended by {signal}{doing}{because}"))
        }
        (None, Some(code)) => {
            (FailureClass::User, format!("the worker process exited with code {code}{doing}{because}"))
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
