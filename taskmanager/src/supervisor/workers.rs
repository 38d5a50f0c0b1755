//! What a supervisor decides about its workers: who may start, who must end, and what the JobManager hears of it.
//!
//! Plain code without clock or I/O. Invariants: the workers here fill at most as many slots as there are; everything
//! that was started is reported exactly once as ended, and its slots are free when it is.

use std::collections::BTreeMap;
use std::time::Duration;

use pelton_runtime_core::id::{Epoch, JobId, WorkerId};
use pelton_runtime_core::time::Moment;

use super::command::{StartWorker, StopWorker};
use super::report::{Report, RunningWorker};
use crate::launcher::WorkerEvent;

/// What the supervisor has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start it.
    Launch(Box<StartWorker>),
    /// Ask it to end.
    AskToStop(WorkerId),
    /// End it at once.
    Kill(WorkerId),
    /// Forget how to reach it: it has ended.
    Forget(WorkerId),
    /// Tell the JobManager.
    Report(Report),
}

/// The workers of this host.
#[derive(Debug)]
pub(crate) struct Workers {
    slots: u32,
    workers: BTreeMap<WorkerId, Worker>,
    ending: bool,
}

#[derive(Debug)]
struct Worker {
    job: JobId,
    epoch: Epoch,
    slots: u32,
    process_id: Option<u32>,
    stop: Option<Stop>,
}

/// The worker was told to end.
#[derive(Debug)]
struct Stop {
    /// When it is killed; never once that has happened.
    kill_at: Moment,
}

impl Workers {
    pub(crate) fn new(slots: u32) -> Self {
        Self { slots, workers: BTreeMap::new(), ending: false }
    }

    /// The JobManager wants a worker.
    pub(crate) fn start(&mut self, order: StartWorker) -> Vec<Action> {
        let worker = order.worker;
        if let Some(known) = self.workers.get(&worker) {
            // The command came twice; the answer is what is already true.
            let started = known.process_id.map(|process_id| Report::Started { worker, process_id });
            return started.map(Action::Report).into_iter().collect();
        }
        if let Some(message) = self.refusal(&order) {
            return vec![Action::Report(Report::StartFailed { worker, message })];
        }
        let StartWorker { job, epoch, slots, .. } = order;
        self.workers.insert(worker, Worker { job, epoch, slots, process_id: None, stop: None });
        vec![Action::Launch(Box::new(order))]
    }

    fn refusal(&self, order: &StartWorker) -> Option<String> {
        let free = self.slots - self.workers.values().map(|worker| worker.slots).sum::<u32>();
        let newest = self.workers.values().filter(|worker| worker.job == order.job).map(|worker| worker.epoch).max();
        if self.ending {
            return Some("the TaskManager is shutting down".to_owned());
        }
        if let Some(newest) = newest.filter(|newest| *newest > order.epoch) {
            return Some(format!("the request is of epoch {}, the job's leader of epoch {newest}", order.epoch));
        }
        match order.slots {
            0 => Some("the request is for no slot at all".to_owned()),
            needed if needed > free => {
                Some(format!("the worker needs {needed} slots, the TaskManager has {free} of {} free", self.slots))
            }
            _ => None,
        }
    }

    /// The JobManager wants a worker to end.
    pub(crate) fn stop(&mut self, order: &StopWorker, now: Moment) -> Vec<Action> {
        match self.workers.contains_key(&order.worker) {
            true => self.ask(order.worker, order.grace, now),
            // Its end may have been reported on a connection that was lost.
            false => vec![Action::Report(Report::exited_unknown(order.worker))],
        }
    }

    /// All workers have to end, and no new one may start.
    pub(crate) fn shut_down(&mut self, grace: Duration, now: Moment) -> Vec<Action> {
        self.ending = true;
        let workers: Vec<_> = self.workers.keys().copied().collect();
        workers.into_iter().flat_map(|worker| self.ask(worker, grace, now)).collect()
    }

    fn ask(&mut self, worker: WorkerId, grace: Duration, now: Moment) -> Vec<Action> {
        let Some(record) = self.workers.get_mut(&worker) else { return Vec::new() };
        let asked_before = record.stop.is_some();
        if grace.is_zero() {
            record.stop = Some(Stop { kill_at: Moment::NEVER });
            return vec![Action::Kill(worker)];
        }
        let kill_at = now.after(grace);
        match &mut record.stop {
            // Of two requests the more urgent one counts.
            Some(stop) => stop.kill_at = stop.kill_at.min(kill_at),
            None => record.stop = Some(Stop { kill_at }),
        }
        if asked_before { Vec::new() } else { vec![Action::AskToStop(worker)] }
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(crate) fn next_deadline(&self) -> Moment {
        let deadlines = self.workers.values().filter_map(|worker| worker.stop.as_ref()).map(|stop| stop.kill_at);
        deadlines.min().unwrap_or(Moment::NEVER)
    }

    /// Ends the workers whose grace is over.
    pub(crate) fn expire(&mut self, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        for (id, worker) in &mut self.workers {
            if let Some(stop) = worker.stop.as_mut().filter(|stop| stop.kill_at <= now) {
                stop.kill_at = Moment::NEVER;
                actions.push(Action::Kill(*id));
            }
        }
        actions
    }

    /// Something happened to a worker.
    pub(crate) fn heard(&mut self, worker: WorkerId, event: WorkerEvent) -> Vec<Action> {
        match event {
            WorkerEvent::Started { process_id } => {
                let Some(record) = self.workers.get_mut(&worker) else { return Vec::new() };
                record.process_id = Some(process_id);
                vec![Action::Report(Report::Started { worker, process_id })]
            }
            WorkerEvent::StartFailed(message) => match self.workers.remove(&worker) {
                Some(_) => {
                    vec![Action::Forget(worker), Action::Report(Report::StartFailed { worker, message })]
                }
                None => Vec::new(),
            },
            WorkerEvent::Exited(mut end) => match self.workers.remove(&worker) {
                Some(record) => {
                    if self.ending && end.reason.is_none() {
                        end.reason = Some("the TaskManager is shutting down".to_owned());
                    }
                    let requested = record.stop.is_some();
                    vec![Action::Forget(worker), Action::Report(Report::Exited { worker, requested, end })]
                }
                None => Vec::new(),
            },
        }
    }

    /// Who fills slots.
    pub(crate) fn running(&self) -> Vec<RunningWorker> {
        let running = |(id, worker): (&WorkerId, &Worker)| RunningWorker {
            worker: *id,
            job: worker.job,
            epoch: worker.epoch,
            slots: worker.slots,
        };
        self.workers.iter().map(running).collect()
    }

    /// The processes that run.
    pub(crate) fn processes(&self) -> Vec<(WorkerId, u32)> {
        self.workers.iter().filter_map(|(id, worker)| Some((*id, worker.process_id?))).collect()
    }

    /// Whether nobody is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }
}

#[cfg(test)]
mod tests;
