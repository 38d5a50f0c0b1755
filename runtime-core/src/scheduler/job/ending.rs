//! How a job's tasks and workers come to their end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::JobScheduler;
use super::action::Action;
use super::execution::TaskIndex;
use super::fact::Timer;
use super::worker::Worker;
use crate::id::{ExecutionAttemptId, WorkerId};
use crate::scheduler::status::{ExecutionState, JobStatus};

impl JobScheduler {
    pub(super) fn cancel(&mut self) {
        match self.status {
            JobStatus::Initializing | JobStatus::Created | JobStatus::Running | JobStatus::Restarting => {
                self.enter(JobStatus::Cancelling);
                self.regions.iter_mut().for_each(|region| region.suspicions.clear());
                self.cancel_open_tasks();
            }
            // Its tasks are being cancelled already.
            JobStatus::Failing => self.enter(JobStatus::Cancelling),
            _ => {}
        }
    }

    pub(super) fn suspend(&mut self, reason: &str) {
        if self.status.is_terminal() {
            return self.stop_workers(reason);
        }
        self.withdraw();
        self.disarm(Timer::Cancellation);
        self.disarm(Timer::CancelAgain);
        let open: Vec<TaskIndex> = self.open_tasks().collect();
        open.into_iter().for_each(|task| self.end_task(task, ExecutionState::Canceled));
        self.enter(JobStatus::Suspended);
        self.stop_workers(reason);
    }

    /// A task in `worker` has finished. When it was the worker's last, the slots are given back after a while: whatever
    /// restarts these tasks asks for slots anew.
    pub(super) fn watch_idleness(&mut self, worker: Option<WorkerId>) {
        if let Some(worker) = worker.filter(|&worker| self.finished < self.attempts.len() && self.is_idle(worker)) {
            self.arm(Timer::SlotIdle { worker }, self.settings.slot_idle_timeout);
        }
    }

    /// `slot.idle.timeout` after its last task finished.
    pub(super) fn release_idle(&mut self, worker: WorkerId) {
        if self.is_live() && self.is_idle(worker) {
            let seconds = self.settings.slot_idle_timeout.as_secs_f64();
            let reason =
                format!("its tasks have finished, and nothing used its slots for {seconds} s (`slot.idle.timeout`)");
            self.stop(worker, self.settings.stop_grace, &reason);
        }
    }

    /// Whether a worker is there for nothing: its tasks have finished and none is to come.
    fn is_idle(&self, worker: WorkerId) -> bool {
        self.workers.get(&worker).is_some_and(Worker::can_take_tasks)
            && self.tasks_in(worker).next().is_none()
            && self.returning_to(worker).is_empty()
    }

    /// Every task that has not ended is cancelled.
    pub(super) fn cancel_open_tasks(&mut self) {
        self.withdraw();
        let open: Vec<TaskIndex> = self.open_tasks().collect();
        self.cancel_tasks(&open);
        if self.open > 0
            && let Some(timeout) = self.settings.cancellation_timeout
        {
            self.arm(Timer::Cancellation, timeout);
        }
    }

    /// Cancels those of `tasks` that have not ended, those that nobody was told about at once. Workers that nothing can
    /// be told are killed, unless what they died of is still being found out for other tasks.
    pub(super) fn cancel_tasks(&mut self, tasks: &[TaskIndex]) {
        let now = self.now;
        for &task in tasks {
            let execution = self.execution(task);
            if execution.state.is_terminal() {
                continue;
            }
            if execution.is_deployed() {
                execution.enter(ExecutionState::Canceling, now);
            } else {
                self.end_task(task, ExecutionState::Canceled);
            }
        }
        let workers: Vec<WorkerId> = self.workers.keys().copied().collect();
        for worker in workers {
            let Some(known) = self.workers.get(&worker) else { continue };
            let (has_exited, is_unfit) = (known.exit.is_some(), known.is_unfit());
            if !(has_exited || is_unfit) || self.harmed_in(worker).next().is_some() {
                continue;
            }
            if has_exited {
                self.forget(worker);
                self.release_tasks(worker);
            } else {
                self.stop(worker, Duration::ZERO, "its connection is lost");
            }
        }
        let concerned: BTreeSet<TaskIndex> = tasks.iter().copied().collect();
        if self.send_cancellations(|task| concerned.contains(&task)) {
            self.arm(Timer::CancelAgain, self.settings.cancellation_interval);
        }
    }

    /// Tells the workers of those tasks that are being cancelled and `wanted`; answers whether there are any.
    fn send_cancellations(&mut self, wanted: impl Fn(TaskIndex) -> bool) -> bool {
        let mut by_worker: BTreeMap<WorkerId, Vec<ExecutionAttemptId>> = BTreeMap::new();
        for (task, execution) in self.tasks() {
            if let (ExecutionState::Canceling, Some(place)) = (execution.state, &execution.place)
                && wanted(task)
            {
                by_worker.entry(place.worker).or_default().push(execution.attempt);
            }
        }
        let any = !by_worker.is_empty();
        for (worker, attempts) in by_worker {
            if self.workers.get(&worker).is_some_and(|known| known.is_attached() && !known.stopping) {
                self.push(Action::CancelTasks { worker, attempts });
            }
        }
        any
    }

    pub(super) fn cancel_again(&mut self) {
        if !self.status.is_terminal() && self.send_cancellations(|_| true) {
            self.arm(Timer::CancelAgain, self.settings.cancellation_interval);
        }
    }

    /// Some tasks do not react to being cancelled: their workers are killed, and nothing else.
    pub(super) fn kill_the_stuck(&mut self) {
        if matches!(self.status, JobStatus::Failing | JobStatus::Cancelling) {
            self.kill_the_stuck_among(|_, _| true);
        }
    }

    pub(super) fn kill_the_stuck_among(&mut self, wanted: impl Fn(&Self, TaskIndex) -> bool) {
        let workers: Vec<WorkerId> = self.workers.keys().copied().collect();
        for worker in workers {
            let stuck: Vec<TaskIndex> = self.tasks_in(worker).filter(|&task| wanted(self, task)).collect();
            if !stuck.is_empty() {
                let seconds = self.settings.cancellation_timeout.unwrap_or_default().as_secs_f64();
                let reason = format!(
                    "{} did not end within {seconds} s of being cancelled (`task.cancellation.timeout`)",
                    self.list(&stuck)
                );
                self.stop(worker, Duration::ZERO, &reason);
            }
        }
    }

    /// The job is over; its workers leave.
    pub(super) fn end(&mut self, status: JobStatus) {
        for timer in [Timer::Verdict, Timer::Cancellation, Timer::CancelAgain] {
            self.disarm(timer);
        }
        self.enter(status);
        // The exit that was waiting for its connection's last words need not wait any more.
        self.workers.retain(|_, known| known.exit.is_none());
        let workers: Vec<WorkerId> = self.workers.keys().copied().collect();
        for worker in workers {
            if self.workers.get(&worker).is_some_and(|known| known.is_attached() && !known.stopping) {
                self.push(Action::ShutDownWorker { worker });
            } else {
                self.stop(worker, self.settings.stop_grace, &format!("the job is {status}"));
            }
        }
        if !self.workers.is_empty() {
            self.arm(Timer::WindDown, self.settings.wind_down_wait);
        }
    }

    pub(super) fn stop_the_rest(&mut self) {
        if self.status.is_terminal() {
            self.stop_workers(&format!("the job is {}", self.status));
        }
    }

    fn stop_workers(&mut self, reason: &str) {
        let workers: Vec<WorkerId> = self.workers.keys().copied().collect();
        workers.into_iter().for_each(|worker| self.stop(worker, self.settings.stop_grace, reason));
        self.workers.retain(|_, known| known.exit.is_none());
    }

    /// Has a worker ended by its supervisor, once.
    pub(super) fn stop(&mut self, worker: WorkerId, grace: Duration, reason: &str) {
        let Some(known) = self.workers.get_mut(&worker).filter(|known| !known.stopping && known.exit.is_none()) else {
            return;
        };
        known.stopping = true;
        let task_manager = known.task_manager.clone();
        self.push(Action::StopWorker { worker, task_manager, grace, reason: reason.to_owned() });
    }

    /// Nothing is waited for any more.
    fn withdraw(&mut self) {
        if self.waiting_for > 0 {
            self.waiting_for = 0;
            self.push(Action::DeclareNeed { slots: 0 });
        }
        self.investigating = false;
        self.awaits_slots = false;
        for timer in [Timer::SlotRequest, Timer::WorkerAttach, Timer::Verdict] {
            self.disarm(timer);
        }
        for region in 0..self.regions.len() {
            if self.regions[region].phase.is_restarting() {
                self.disarm(Timer::Restart { region });
                self.disarm(Timer::RestartCancellation { region });
            }
        }
    }

    fn open_tasks(&self) -> impl Iterator<Item = TaskIndex> {
        self.tasks().filter(|(_, execution)| !execution.state.is_terminal()).map(|(task, _)| task)
    }
}
