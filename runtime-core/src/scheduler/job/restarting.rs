//! How what failed comes back: the tasks of the failed regions are cancelled, a pause passes, new executions follow.

use std::collections::BTreeSet;
use std::time::Duration;

use super::execution::{Execution, TaskIndex};
use super::fact::Timer;
use super::region::{Phase, RegionIndex};
use super::{JobScheduler, attempt_id};
use crate::scheduler::status::{ExecutionState, JobStatus};

impl JobScheduler {
    pub(super) fn region_of(&self, task: TaskIndex) -> RegionIndex {
        self.region_of[task.vertex][task.subtask as usize]
    }

    /// Has `regions` deployed again after `delay`. One that is restarting already pauses anew.
    pub(super) fn restart_regions(&mut self, regions: &BTreeSet<RegionIndex>, delay: Duration) {
        self.restarts += 1;
        if self.status != JobStatus::Restarting {
            self.enter(JobStatus::Restarting);
        }
        let mut tasks = Vec::new();
        for &region in regions {
            if !self.regions[region].phase.is_restarting() {
                tasks.extend(self.regions[region].tasks.iter().copied());
            }
            self.regions[region].phase = Phase::Restarting { due: delay.is_zero() };
            if !delay.is_zero() {
                self.arm(Timer::Restart { region }, delay);
            }
        }
        self.cancel_tasks(&tasks);
        for &region in regions {
            if self.regions[region].open > 0
                && let Some(timeout) = self.settings.cancellation_timeout
            {
                self.arm(Timer::RestartCancellation { region }, timeout);
            }
        }
        self.replan = true;
    }

    /// The pause of a region is over.
    pub(super) fn pause_is_over(&mut self, region: RegionIndex) {
        if let Some(region) = self.regions.get_mut(region).filter(|region| region.phase.is_restarting()) {
            region.phase = Phase::Restarting { due: true };
            self.replan = true;
        }
    }

    /// Tasks of a region that is to be deployed again do not react to being cancelled: their workers are killed.
    pub(super) fn kill_the_stuck_of(&mut self, region: RegionIndex) {
        if self.is_live() && self.regions.get(region).is_some_and(|region| region.phase.is_restarting()) {
            self.kill_the_stuck_among(|scheduler, task| scheduler.region_of(task) == region);
        }
    }

    /// Gives new executions to every region whose tasks have all ended and whose pause is over.
    pub(super) fn renew_regions(&mut self) {
        if self.status != JobStatus::Restarting {
            return;
        }
        for region in 0..self.regions.len() {
            if self.regions[region].phase == (Phase::Restarting { due: true }) && self.regions[region].open == 0 {
                self.renew(region);
            }
        }
        if !self.regions.iter().any(|region| region.phase.is_restarting()) {
            self.enter(JobStatus::Running);
        }
    }

    fn renew(&mut self, region: RegionIndex) {
        self.regions[region].phase = Phase::Scheduled;
        self.regions[region].open = self.regions[region].tasks.len();
        let now = self.now;
        for at in 0..self.regions[region].tasks.len() {
            let task = self.regions[region].tasks[at];
            let place = self.place_at(self.seat_of(task));
            let subtask = &mut self.subtasks[task.vertex][task.subtask as usize];
            let number = subtask.current.number + 1;
            let mut next = Execution::new(attempt_id(self.job, self.epoch, task, number), number, now);
            next.enter(ExecutionState::Scheduled, now);
            next.place = place;
            self.attempts.remove(&subtask.current.attempt);
            self.attempts.insert(next.attempt, task);
            self.open += 1;
            if subtask.current.state == ExecutionState::Finished {
                self.finished -= 1;
            }
            let ended = std::mem::replace(&mut subtask.current, next);
            subtask.earlier.push(ended);
            if subtask.earlier.len() > self.settings.attempts_history_size {
                subtask.earlier.remove(0);
            }
        }
        self.replan = true;
    }
}
