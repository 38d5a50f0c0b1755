//! From the need of slots to running tasks.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::action::{Action, AttachRefused, Deployment, Location};
use super::execution::{Place, TaskIndex};
use super::fact::{Attach, SlotOffer, Timer};
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
        self.waiting_for = self.graph.slots_needed().values().sum();
        self.push(Action::DeclareNeed { slots: self.waiting_for });
        self.arm(Timer::SlotRequest, self.settings.slot_request_timeout);
    }

    pub(super) fn slots_missing(&mut self, supply: SlotSupply) {
        if self.waiting_for > 0 && self.supply != Some(supply) {
            self.supply = Some(supply);
            self.push(Action::ReportWaiting { need: self.waiting_for, supply });
        }
    }

    pub(super) fn slots_came_too_late(&mut self) {
        if self.waiting_for == 0 || self.status != JobStatus::Running {
            return;
        }
        let groups = self.graph.slots_needed();
        let need = if groups.len() == 1 {
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
        self.fail(FailureCause::new(FailureClass::Transient, message, self.now), None);
    }

    pub(super) fn slots_granted(&mut self, offers: Vec<SlotOffer>) {
        let granted: u32 = offers.iter().map(|offer| offer.slots).sum();
        if self.status != JobStatus::Running || self.waiting_for == 0 || granted != self.waiting_for {
            for SlotOffer { task_manager, slots, .. } in offers {
                self.push(Action::ReturnSlots { task_manager, slots });
            }
            return;
        }
        self.waiting_for = 0;
        self.disarm(Timer::SlotRequest);
        let mut places = Vec::with_capacity(granted as usize);
        for SlotOffer { task_manager, host, slots } in offers {
            let worker = worker_id(self.job, self.epoch, self.workers_made);
            self.workers_made += 1;
            places.extend((0..slots).map(|slot| Place {
                worker,
                task_manager: task_manager.clone(),
                host: host.clone(),
                data_address: None,
                slot,
            }));
            self.workers.insert(worker, Worker::new(task_manager.clone(), host));
            self.push(Action::StartWorker { worker, task_manager, slots });
        }
        self.assign(&places);
        self.arm(Timer::WorkerAttach, self.settings.slot_request_timeout);
    }

    /// Puts subtasks of one slot sharing group and equal index into the same slot.
    fn assign(&mut self, places: &[Place]) {
        let mut first_of_group = BTreeMap::new();
        let mut next = 0;
        for (group, slots) in self.graph.slots_needed() {
            first_of_group.insert(group, next);
            next += slots as usize;
        }
        for (described, subtasks) in self.graph.vertices.iter().zip(&mut self.subtasks) {
            let first = first_of_group[&described.slot_sharing_group];
            for (subtask, place) in subtasks.iter_mut().zip(&places[first..]) {
                subtask.current.place = Some(place.clone());
            }
        }
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
            known.fatal = Some(FailureCause::new(FailureClass::User, refused.to_string(), self.now));
            return Err(refused);
        }
        known.link = Link::Attached { data_address: attach.data_address.clone() };
        for execution in self.executions() {
            if let Some(place) = execution.place.as_mut().filter(|place| place.worker == worker) {
                place.data_address = Some(attach.data_address.clone());
            }
        }
        if self.status == JobStatus::Running && self.workers.values().all(Worker::is_attached) {
            self.disarm(Timer::WorkerAttach);
            self.deploy();
        }
        Ok(())
    }

    fn deploy(&mut self) {
        let now = self.now;
        let mut by_worker: BTreeMap<WorkerId, Vec<Deployment>> = BTreeMap::new();
        let mut locations = Vec::with_capacity(self.attempts.len());
        for (vertex, subtasks) in self.subtasks.iter_mut().enumerate() {
            for (subtask, instance) in (0..).zip(subtasks) {
                let execution = &mut instance.current;
                let Some(place) = &execution.place else { continue };
                let (worker, slot, attempt) = (place.worker, place.slot, execution.attempt);
                let data_address = place.data_address.clone().unwrap_or_default();
                locations.push(Location { vertex, subtask, attempt, worker, data_address });
                let attempt_number = execution.number;
                by_worker.entry(worker).or_default().push(Deployment {
                    vertex,
                    subtask,
                    attempt_number,
                    attempt,
                    slot,
                });
                execution.enter(ExecutionState::Deploying, now);
            }
        }
        let locations: Arc<[Location]> = locations.into();
        for (worker, tasks) in by_worker {
            self.push(Action::Deploy { worker, tasks, locations: Arc::clone(&locations) });
        }
    }

    pub(super) fn workers_came_too_late(&mut self) {
        let late = self.workers.values().find(|worker| worker.link == Link::Expected);
        let (JobStatus::Running, Some(worker)) = (self.status, late) else { return };
        let message = format!(
            "the worker on TaskManager {} did not register with its JobMaster within {} s (`slot.request.timeout`)",
            worker.task_manager,
            self.settings.slot_request_timeout.as_secs_f64(),
        );
        let mut cause = FailureCause::new(FailureClass::System, message, self.now);
        cause.host = Some(worker.host.clone());
        cause.task_manager = Some(worker.task_manager.clone());
        self.fail(cause, None);
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

    pub(super) fn tasks_in(&self, worker: WorkerId) -> impl Iterator<Item = TaskIndex> {
        self.tasks()
            .filter(move |(_, execution)| execution.runs_in(worker) && !execution.state.is_terminal())
            .map(|(task, _)| task)
    }
}
