//! Which slot each shared slot of the job is filled with.
//!
//! The subtasks of one slot sharing group with equal index share a slot: that is a *seat*. Seats are numbered through
//! the groups. A seat is filled by a slot of a worker, keeps it as long as that worker lives, and is free otherwise; so
//! what restarts comes back to where it was.

use std::collections::BTreeSet;

use super::execution::{Place, TaskIndex};
use super::region::Phase;
use super::worker::{Link, Worker};
use super::{JobScheduler, region::RegionIndex};
use crate::graph::JobGraph;
use crate::id::WorkerId;
use crate::scheduler::status::ExecutionState;

/// The slot that fills a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seat {
    pub worker: WorkerId,
    /// Which of the worker's slots.
    pub slot: u32,
}

/// The seat of every vertex's first subtask, and how many seats there are.
pub(super) fn seats_of(graph: &JobGraph) -> (Vec<usize>, usize) {
    let groups = graph.slots_needed();
    let first = |wanted: &String| groups.range(..wanted.clone()).map(|(_, slots)| *slots as usize).sum();
    let count = groups.values().map(|slots| *slots as usize).sum();
    (graph.vertices.iter().map(|vertex| first(&vertex.slot_sharing_group)).collect(), count)
}

impl JobScheduler {
    pub(super) fn seat_of(&self, task: TaskIndex) -> usize {
        self.first_seat[task.vertex] + task.subtask as usize
    }

    /// Where a task of this seat runs; none while the seat is free.
    pub(super) fn place_at(&self, seat: usize) -> Option<Place> {
        let Seat { worker, slot } = self.seats[seat]?;
        let known = self.workers.get(&worker)?;
        let data_address = match &known.link {
            Link::Attached { data_address } => Some(data_address.clone()),
            Link::Expected | Link::Detached(_) => None,
        };
        let (task_manager, host) = (known.task_manager.clone(), known.host.clone());
        Some(Place { worker, task_manager, host, data_address, slot })
    }

    /// The free seats that regions wait for, now or after their pause.
    pub(super) fn wanted_seats(&self) -> BTreeSet<usize> {
        let waiting = self.regions.iter().filter(|region| region.phase != Phase::Deployed);
        waiting.flat_map(|region| &region.seats).copied().filter(|&seat| self.seats[seat].is_none()).collect()
    }

    /// Tells tasks that wait to be deployed where they will run.
    pub(super) fn show_places(&mut self) {
        for region in 0..self.regions.len() {
            if self.regions[region].phase != Phase::Scheduled {
                continue;
            }
            for at in 0..self.regions[region].tasks.len() {
                let task = self.regions[region].tasks[at];
                let place = self.place_at(self.seat_of(task));
                let execution = self.execution(task);
                if execution.state == ExecutionState::Scheduled {
                    execution.place = place;
                }
            }
        }
    }

    /// Forgets a worker that is gone; its seats are free.
    pub(super) fn forget(&mut self, worker: WorkerId) -> Option<Worker> {
        let gone = self.workers.remove(&worker)?;
        for seat in &mut self.seats {
            if seat.is_some_and(|seat| seat.worker == worker) {
                *seat = None;
            }
        }
        self.replan = true;
        Some(gone)
    }

    /// Regions that are restarting and would come back to this worker.
    pub(super) fn returning_to(&self, worker: WorkerId) -> BTreeSet<RegionIndex> {
        let sits = |&seat: &usize| self.seats[seat].is_some_and(|seat| seat.worker == worker);
        let returning = |(_, region): &(RegionIndex, &super::region::Region)| {
            region.phase.is_restarting() && region.seats.iter().any(sits)
        };
        self.regions.iter().enumerate().filter(returning).map(|(index, _)| index).collect()
    }
}
