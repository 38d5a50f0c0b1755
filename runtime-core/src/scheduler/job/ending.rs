//! How a job's tasks and workers come to their end.

use std::collections::BTreeMap;
use std::time::Duration;

use super::JobScheduler;
use super::action::Action;
use super::execution::TaskIndex;
use super::fact::Timer;
use super::worker::Link;
use crate::id::{ExecutionAttemptId, WorkerId};
use crate::scheduler::status::{ExecutionState, JobStatus};

impl JobScheduler {
    pub(super) fn cancel(&mut self) {
        match self.status {
            JobStatus::Initializing | JobStatus::Created | JobStatus::Running | JobStatus::Restarting => {
                self.enter(JobStatus::Cancelling);
                self.suspicions.clear();
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

    /// Every task that has not ended is cancelled, those that nobody was told about at once.
    pub(super) fn cancel_open_tasks(&mut self) {
        self.withdraw();
        let open: Vec<TaskIndex> = self.open_tasks().collect();
        let now = self.now;
        for task in open {
            let execution = self.execution(task);
            if execution.is_deployed() {
                execution.enter(ExecutionState::Canceling, now);
            } else {
                self.end_task(task, ExecutionState::Canceled);
            }
        }
        let workers: Vec<WorkerId> = self.workers.keys().copied().collect();
        for worker in workers {
            let Some(known) = self.workers.get(&worker) else { continue };
            if known.exit.is_some() {
                self.workers.remove(&worker);
                self.release_tasks(worker);
            } else if matches!(known.link, Link::Detached(_)) {
                self.stop(worker, Duration::ZERO, "its connection is lost");
            }
        }
        self.send_cancellations();
        if self.open > 0 {
            self.arm(Timer::CancelAgain, self.settings.cancellation_interval);
            if let Some(timeout) = self.settings.cancellation_timeout {
                self.arm(Timer::Cancellation, timeout);
            }
        }
    }

    fn send_cancellations(&mut self) {
        let mut by_worker: BTreeMap<WorkerId, Vec<ExecutionAttemptId>> = BTreeMap::new();
        for (_, execution) in self.tasks() {
            if let (ExecutionState::Canceling, Some(place)) = (execution.state, &execution.place) {
                by_worker.entry(place.worker).or_default().push(execution.attempt);
            }
        }
        for (worker, attempts) in by_worker {
            if self.workers.get(&worker).is_some_and(|known| known.is_attached() && !known.stopping) {
                self.push(Action::CancelTasks { worker, attempts });
            }
        }
    }

    pub(super) fn cancel_again(&mut self) {
        if matches!(self.status, JobStatus::Failing | JobStatus::Cancelling) {
            self.send_cancellations();
            self.arm(Timer::CancelAgain, self.settings.cancellation_interval);
        }
    }

    /// Some tasks do not react to being cancelled: their workers are killed, and nothing else.
    pub(super) fn kill_the_stuck(&mut self) {
        if !matches!(self.status, JobStatus::Failing | JobStatus::Cancelling) {
            return;
        }
        let workers: Vec<WorkerId> = self.workers.keys().copied().collect();
        for worker in workers {
            let stuck: Vec<TaskIndex> = self.tasks_in(worker).collect();
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
        for timer in [Timer::SlotRequest, Timer::WorkerAttach, Timer::Verdict] {
            self.disarm(timer);
        }
    }

    fn open_tasks(&self) -> impl Iterator<Item = TaskIndex> {
        self.tasks().filter(|(_, execution)| !execution.state.is_terminal()).map(|(task, _)| task)
    }
}
