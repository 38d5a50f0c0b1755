//! From the need of slots to running tasks, at the start and after every restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::action::{Action, AttachRefused, Deployment, Location};
use super::execution::TaskIndex;
use super::fact::{Attach, SlotOffer, Timer};
use super::region::{Phase, RegionIndex};
use super::seats::Seat;
use super::worker::{Link, Worker};
use super::{JobScheduler, worker_id};
use crate::failure::{FailureCause, FailureClass};
use crate::id::{ExecutionAttemptId, WorkerId};
use crate::scheduler::slots::SlotSupply;
use crate::scheduler::status::{ExecutionState, JobStatus};

impl JobScheduler {
    pub(super) fn start(&mut self) {
        if self.status != JobStatus::Created {
            return;
        }
        self.enter(JobStatus::Running);
        let now = self.now;
        self.executions().for_each(|execution| execution.enter(ExecutionState::Scheduled, now));
        self.replan = true;
    }

    /// Asks for the slots that are missing, and deploys the regions that have all of theirs.
    pub(super) fn plan(&mut self) {
        let missing = u32::try_from(self.wanted_seats().len()).unwrap_or(u32::MAX);
        if missing != self.waiting_for {
            self.waiting_for = missing;
            self.push(Action::DeclareNeed { slots: missing });
        }
        // The slots of a region that still pauses are asked for early; its patience begins after the pause.
        let waits = self.regions_without_slots().next().is_some();
        if waits != self.awaits_slots {
            self.awaits_slots = waits;
            if waits {
                self.arm(Timer::SlotRequest, self.settings.slot_request_timeout);
            } else {
                self.disarm(Timer::SlotRequest);
            }
        }
        if !self.workers.values().any(|worker| worker.link == Link::Expected) {
            self.disarm(Timer::WorkerAttach);
        }
        self.deploy();
    }

    /// Regions that could be deployed if they had slots.
    fn regions_without_slots(&self) -> impl Iterator<Item = RegionIndex> {
        let free = |seat: &usize| self.seats[*seat].is_none();
        let waiting = self.regions.iter().enumerate().filter(|(_, region)| region.phase == Phase::Scheduled);
        waiting.filter(move |(_, region)| region.seats.iter().any(free)).map(|(index, _)| index)
    }

    pub(super) fn slots_missing(&mut self, supply: SlotSupply) {
        if self.waiting_for > 0 && self.supply != Some(supply) {
            self.supply = Some(supply);
            self.push(Action::ReportWaiting { need: self.waiting_for, supply });
        }
    }

    pub(super) fn slots_came_too_late(&mut self) {
        let regions: BTreeSet<RegionIndex> = self.regions_without_slots().collect();
        self.awaits_slots = false;
        if !self.is_live() || regions.is_empty() {
            return;
        }
        let groups = self.graph.slots_needed();
        let all = groups.values().sum::<u32>() == self.waiting_for;
        let need = if groups.len() == 1 || !all {
            String::new()
        } else {
            let each = groups.iter().map(|(group, slots)| format!("{slots} for slot sharing group `{group}`"));
            format!(" ({})", each.collect::<Vec<_>>().join(", "))
        };
        let supply = self.supply.unwrap_or_default();
        let message = format!(
            "not enough slots: the job needs {}{need}, the cluster has {} of which {} are free; gave up after {} s \
             (`slot.request.timeout`): start more TaskManagers, give them more slots (`taskmanager.numberOfTaskSlots`), \
             or lower the job's parallelism",
            self.waiting_for,
            supply.total,
            supply.free,
            self.settings.slot_request_timeout.as_secs_f64(),
        );
        self.fail(FailureCause::new(FailureClass::Transient, message, self.now), None, regions);
    }

    pub(super) fn slots_granted(&mut self, offers: Vec<SlotOffer>) {
        let granted: u32 = offers.iter().map(|offer| offer.slots).sum();
        // What was asked for before something changed is given back: the new wish stands in the queue.
        if !self.is_live() || self.waiting_for == 0 || granted != self.waiting_for {
            for SlotOffer { task_manager, slots, .. } in offers {
                self.push(Action::ReturnSlots { task_manager, slots });
            }
            return;
        }
        self.waiting_for = 0;
        self.supply = None;
        let mut seats = self.wanted_seats().into_iter();
        for SlotOffer { task_manager, host, slots } in offers {
            let worker = worker_id(self.job, self.epoch, self.workers_made);
            self.workers_made += 1;
            for (slot, seat) in (0..slots).zip(&mut seats) {
                self.seats[seat] = Some(Seat { worker, slot });
            }
            self.workers.insert(worker, Worker::new(task_manager.clone(), host));
            self.push(Action::StartWorker { worker, task_manager, slots });
        }
        self.show_places();
        self.arm(Timer::WorkerAttach, self.settings.slot_request_timeout);
        self.replan = true;
    }

    pub(super) fn take_in(&mut self, attach: Attach) -> Result<(), AttachRefused> {
        let (job, worker) = (self.job, attach.worker);
        let Some(known) = self.workers.get_mut(&worker).filter(|known| !known.stopping && known.exit.is_none()) else {
            return Err(AttachRefused::UnknownWorker { job, worker });
        };
        match known.link {
            Link::Expected => {}
            Link::Attached { .. } => return Err(AttachRefused::AlreadyAttached { job, worker }),
            Link::Detached(_) => return Err(AttachRefused::UnknownWorker { job, worker }),
        }
        if attach.fingerprint != self.fingerprint {
            let refused = AttachRefused::OtherGraph { expected: self.fingerprint.clone(), found: attach.fingerprint };
            // The failure itself is handled with the detachment that follows a refusal.
            known.fatal = Some(FailureCause::new(FailureClass::Unrecoverable, refused.to_string(), self.now));
            return Err(refused);
        }
        known.link = Link::Attached { data_address: attach.data_address };
        self.show_places();
        self.replan = true;
        Ok(())
    }

    /// Deploys every region that waits, has its slots, and whose workers are there.
    fn deploy(&mut self) {
        let is_ready = |seat: &usize| {
            let worker = self.seats[*seat].and_then(|seat| self.workers.get(&seat.worker));
            worker.is_some_and(Worker::can_take_tasks)
        };
        let waiting = self.regions.iter().enumerate().filter(|(_, region)| region.phase == Phase::Scheduled);
        let ready: Vec<RegionIndex> =
            waiting.filter(|(_, region)| region.seats.iter().all(is_ready)).map(|(index, _)| index).collect();
        if ready.is_empty() {
            return;
        }
        let mut tasks: Vec<TaskIndex> =
            ready.iter().flat_map(|&region| self.regions[region].tasks.iter().copied()).collect();
        tasks.sort_unstable();
        let now = self.now;
        let mut by_worker: BTreeMap<WorkerId, Vec<Deployment>> = BTreeMap::new();
        let mut locations = Vec::with_capacity(tasks.len());
        for task in tasks {
            let Some(place) = self.place_at(self.seat_of(task)) else { continue };
            let TaskIndex { vertex, subtask } = task;
            let execution = self.execution(task);
            execution.place = Some(place.clone());
            execution.enter(ExecutionState::Deploying, now);
            let (attempt, attempt_number) = (execution.attempt, execution.number);
            let (worker, slot) = (place.worker, place.slot);
            let data_address = place.data_address.unwrap_or_default();
            locations.push(Location { vertex, subtask, attempt, worker, data_address });
            let deployment = Deployment { vertex, subtask, attempt_number, attempt, slot };
            by_worker.entry(worker).or_default().push(deployment);
        }
        for region in ready {
            self.regions[region].phase = Phase::Deployed;
        }
        let locations: Arc<[Location]> = locations.into();
        for (worker, tasks) in by_worker {
            self.push(Action::Deploy { worker, tasks, locations: Arc::clone(&locations) });
        }
    }

    pub(super) fn workers_came_too_late(&mut self) {
        if !self.is_live() {
            return;
        }
        let late = self.workers.iter().filter(|(_, worker)| worker.link == Link::Expected && !worker.stopping);
        let late: Vec<WorkerId> = late.map(|(&id, _)| id).collect();
        let Some(first) = late.first().and_then(|worker| self.workers.get(worker)) else { return };
        let message = format!(
            "the worker on TaskManager {} did not register with its JobMaster within {} s (`slot.request.timeout`)",
            first.task_manager,
            self.settings.slot_request_timeout.as_secs_f64(),
        );
        let mut cause = FailureCause::new(FailureClass::System, message, self.now);
        cause.host = Some(first.host.clone());
        cause.task_manager = Some(first.task_manager.clone());
        let regions = late.iter().flat_map(|&worker| self.regions_of_worker(worker)).collect();
        self.fail(cause, None, regions);
        if self.is_live() {
            late.into_iter().for_each(|worker| self.stop(worker, Duration::ZERO, "it did not register in time"));
        }
    }

    pub(super) fn task_state_changed(
        &mut self,
        worker: WorkerId,
        attempt: ExecutionAttemptId,
        state: ExecutionState,
        failure: Option<FailureCause>,
    ) {
        use ExecutionState::{Canceled, Canceling, Deploying, Failed, Finished, Initializing, Running};
        let Some(task) = self.task_of(attempt) else { return };
        let now = self.now;
        let execution = self.execution(task);
        if !execution.runs_in(worker) {
            return;
        }
        match (execution.state, state) {
            (Deploying, Initializing | Running) | (Initializing, Running) => execution.enter(state, now),
            (Deploying | Initializing | Running, Finished) => self.end_task(task, Finished),
            (Deploying | Initializing | Running, Failed | Canceled) => {
                let cause = failure.unwrap_or_else(|| {
                    FailureCause::new(FailureClass::System, format!("ended as {state} without a cause"), now)
                });
                self.task_failed(task, cause);
            }
            (Canceling, Finished | Canceled | Failed) => {
                self.end_task(task, Canceled);
                if let Some(cause) = failure.filter(|_| state == Failed) {
                    self.note_beside(task, cause);
                }
            }
            // Late, repeated or senseless: the state that is known is the better one.
            _ => {}
        }
    }

    /// The tasks of a worker that have not ended.
    pub(super) fn tasks_in(&self, worker: WorkerId) -> impl Iterator<Item = TaskIndex> {
        self.tasks()
            .filter(move |(_, execution)| execution.runs_in(worker) && !execution.state.is_terminal())
            .map(|(task, _)| task)
    }
}
