//! Which job gets which slots: the deciding half of the ResourceManager.
//!
//! Owns the supply (TaskManagers and their slots), the needs (what jobs declared and when) and the grants between
//! them. Knows no processes: whether a slot's worker still runs is told to it by [`SlotMatching::release`].
//!
//! Invariants: the slots granted on a TaskManager never exceed the slots it has; a job gets all the slots it asked
//! for or none, so that two jobs never wait for each other's half; needs are served in the order in which they
//! arose, and a need that does not fit does not hold up a smaller one behind it; a job that lost slots gets them from
//! the same TaskManager again if it can, as copies of its state may lie there.

use std::collections::{BTreeMap, VecDeque};

use crate::id::{JobId, TaskManagerId};
use crate::planted::{PlantedFault, is_planted};

/// Slots of one TaskManager for one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedSlots {
    /// Whose slots.
    pub task_manager: TaskManagerId,
    /// How many.
    pub slots: u32,
}

/// The slots a job had declared to need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Who gets them.
    pub job: JobId,
    /// Where they are, each TaskManager once.
    pub slots: Vec<GrantedSlots>,
}

/// What there is of slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SlotSupply {
    /// Slots of all TaskManagers.
    pub total: u32,
    /// Those that no job has.
    pub free: u32,
}

/// A TaskManager of that id is there already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("TaskManager `{0}` is registered already")]
pub struct AlreadyRegistered(pub TaskManagerId);

/// How many releases are remembered: those of jobs that are over are among them.
const RELEASES_MAX: usize = 1024;

/// Slots, needs and grants.
#[derive(Debug, Default)]
pub struct SlotMatching {
    task_managers: BTreeMap<TaskManagerId, Supply>,
    needs: BTreeMap<u64, Need>,
    next_need: u64,
    /// Where jobs had slots, the latest last.
    released: VecDeque<(JobId, TaskManagerId)>,
}

#[derive(Debug)]
struct Supply {
    total: u32,
    granted: BTreeMap<JobId, u32>,
}

impl Supply {
    fn free(&self) -> u32 {
        if is_planted(PlantedFault::SlotGivenTwice) {
            return self.total;
        }
        self.total.saturating_sub(self.granted.values().sum())
    }
}

#[derive(Debug)]
struct Need {
    job: JobId,
    slots: u32,
}

impl SlotMatching {
    /// Adds the slots of a TaskManager; `taken` are those whose workers already run.
    ///
    /// # Errors
    ///
    /// When a TaskManager of that id is there already.
    pub fn add(
        &mut self,
        id: TaskManagerId,
        total: u32,
        taken: impl IntoIterator<Item = (JobId, u32)>,
    ) -> Result<(), AlreadyRegistered> {
        if self.task_managers.contains_key(&id) {
            return Err(AlreadyRegistered(id));
        }
        let mut granted = BTreeMap::new();
        for (job, slots) in taken {
            *granted.entry(job).or_default() += slots;
        }
        self.task_managers.insert(id, Supply { total, granted });
        Ok(())
    }

    /// Forgets a TaskManager with everything granted on it.
    pub fn remove(&mut self, id: &TaskManagerId) {
        self.task_managers.remove(id);
    }

    /// A job needs so many slots more than it has; 0 withdraws its need. Its place in the queue stays.
    pub fn declare(&mut self, job: JobId, slots: u32) {
        let queued = self.needs.iter().find(|(_, need)| need.job == job).map(|(&place, _)| place);
        match (queued, slots) {
            (Some(place), 0) => drop(self.needs.remove(&place)),
            (Some(place), slots) => drop(self.needs.insert(place, Need { job, slots })),
            (None, 0) => {}
            (None, slots) => {
                self.needs.insert(self.next_need, Need { job, slots });
                self.next_need += 1;
            }
        }
    }

    /// A job does not use `slots` slots of a TaskManager any more: no process fills them.
    pub fn release(&mut self, job: JobId, task_manager: &TaskManagerId, slots: u32) {
        let Some(supply) = self.task_managers.get_mut(task_manager) else { return };
        if let Some(granted) = supply.granted.get_mut(&job) {
            *granted = granted.saturating_sub(slots);
            if *granted == 0 {
                supply.granted.remove(&job);
            }
            self.released.push_back((job, task_manager.clone()));
            if self.released.len() > RELEASES_MAX {
                self.released.pop_front();
            }
        }
    }

    /// Serves every need that can be served now.
    pub fn grant(&mut self) -> Vec<Grant> {
        let places: Vec<u64> = self.needs.keys().copied().collect();
        places.into_iter().filter_map(|place| self.serve(place)).collect()
    }

    /// What there is.
    pub fn supply(&self) -> SlotSupply {
        self.task_managers.values().fold(SlotSupply::default(), |sum, supply| SlotSupply {
            total: sum.total + supply.total,
            free: sum.free + supply.free(),
        })
    }

    /// Slots of one TaskManager.
    pub fn supply_of(&self, id: &TaskManagerId) -> SlotSupply {
        let supply = self.task_managers.get(id);
        supply.map_or(SlotSupply::default(), |supply| SlotSupply { total: supply.total, free: supply.free() })
    }

    /// How many slots of a TaskManager each job has.
    pub fn granted_on(&self, id: &TaskManagerId) -> BTreeMap<JobId, u32> {
        self.task_managers.get(id).map(|supply| supply.granted.clone()).unwrap_or_default()
    }

    /// What `job` waits for, 0 when for nothing.
    pub fn waiting(&self, job: JobId) -> u32 {
        self.needs.values().find(|need| need.job == job).map_or(0, |need| need.slots)
    }

    fn serve(&mut self, place: u64) -> Option<Grant> {
        let need = self.needs.get(&place)?;
        if self.supply().free < need.slots {
            return None;
        }
        let (job, mut missing) = (need.job, need.slots);
        let mut slots = Vec::new();
        while missing > 0 {
            let id = self.left_by(job).or_else(|| self.best_for(missing))?;
            let supply = self.task_managers.get_mut(&id)?;
            let taken = supply.free().min(missing);
            *supply.granted.entry(job).or_default() += taken;
            missing -= taken;
            slots.push(GrantedSlots { task_manager: id, slots: taken });
        }
        self.needs.remove(&place);
        Some(Grant { job, slots })
    }

    /// The TaskManager that the job had slots on lately, if it has some that are free.
    fn left_by(&mut self, job: JobId) -> Option<TaskManagerId> {
        let is_free = |id: &TaskManagerId| self.task_managers.get(id).is_some_and(|supply| supply.free() > 0);
        let place = self.released.iter().rposition(|(by, id)| *by == job && is_free(id))?;
        self.released.remove(place).map(|(_, id)| id)
    }

    /// The TaskManager to take slots from so that a job spreads over few processes: the tightest one that has
    /// enough, otherwise the one that has most.
    fn best_for(&self, missing: u32) -> Option<TaskManagerId> {
        let free = || self.task_managers.iter().map(|(id, supply)| (supply.free(), id)).filter(|(free, _)| *free > 0);
        let tightest = free().filter(|(free, _)| *free >= missing).min_by_key(|(free, _)| *free);
        tightest.or_else(|| free().max_by_key(|(free, _)| *free)).map(|(_, id)| id.clone())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn job(n: u8) -> JobId {
        JobId::from_bytes([n; 16])
    }

    fn tm(n: u8) -> TaskManagerId {
        TaskManagerId(format!("tm{n}"))
    }

    fn matching(slots: &[u32]) -> SlotMatching {
        let mut matching = SlotMatching::default();
        for (n, &slots) in slots.iter().enumerate() {
            matching.add(tm(n as u8), slots, []).expect("new");
        }
        matching
    }

    fn text(grants: &[Grant]) -> String {
        let places = |grant: &Grant| {
            grant.slots.iter().map(|s| format!("{}:{}", s.task_manager, s.slots)).collect::<Vec<_>>().join("+")
        };
        grants.iter().map(|g| format!("{} {}", g.job.as_bytes()[0], places(g))).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_job_goes_to_the_tightest_task_manager_that_holds_all_of_it() {
        let mut matching = matching(&[8, 3, 4]);
        matching.declare(job(1), 3);
        assert_eq!(text(&matching.grant()), "1 tm1:3");
    }

    #[test]
    fn a_job_that_fits_nowhere_alone_takes_the_largest_share_first() {
        let mut matching = matching(&[2, 4, 2]);
        matching.declare(job(1), 5);
        assert_eq!(text(&matching.grant()), "1 tm1:4+tm0:1");
    }

    #[test]
    fn a_job_gets_all_of_its_slots_or_none() {
        let mut matching = matching(&[2]);
        matching.declare(job(1), 3);
        assert_eq!(matching.grant(), []);
        assert_eq!(matching.supply(), SlotSupply { total: 2, free: 2 });
        matching.add(tm(9), 1, []).expect("new");
        assert_eq!(text(&matching.grant()), "1 tm0:2+tm9:1");
    }

    #[test]
    fn freed_slots_go_to_the_job_that_waits_longest() {
        let mut matching = matching(&[2]);
        for n in 1..=3 {
            matching.declare(job(n), 2);
        }
        assert_eq!(text(&matching.grant()), "1 tm0:2");
        matching.release(job(1), &tm(0), 2);
        assert_eq!(text(&matching.grant()), "2 tm0:2");
        assert_eq!(matching.waiting(job(3)), 2);
    }

    #[test]
    fn a_job_that_lost_slots_returns_to_where_they_were() {
        let mut matching = matching(&[2, 4, 2]);
        matching.declare(job(1), 4);
        assert_eq!(text(&matching.grant()), "1 tm1:4");
        matching.release(job(1), &tm(1), 1);
        matching.declare(job(1), 1);
        assert_eq!(text(&matching.grant()), "1 tm1:1", "not the tightest, but its own");
        // What somebody else has taken meanwhile is gone.
        matching.release(job(1), &tm(1), 1);
        matching.declare(job(2), 5);
        assert_eq!(text(&matching.grant()), "2 tm2:2+tm0:2+tm1:1");
        matching.release(job(2), &tm(2), 2);
        matching.declare(job(1), 1);
        assert_eq!(text(&matching.grant()), "1 tm2:1");
    }

    #[test]
    fn a_withdrawn_need_gets_nothing() {
        let mut matching = matching(&[]);
        matching.declare(job(1), 2);
        matching.declare(job(1), 0);
        matching.add(tm(0), 2, []).expect("new");
        assert_eq!(matching.grant(), []);
    }

    #[test]
    fn workers_that_survived_a_reconnection_keep_their_slots() {
        let mut matching = matching(&[]);
        matching.add(tm(0), 3, [(job(7), 2)]).expect("new");
        assert_eq!(matching.supply(), SlotSupply { total: 3, free: 1 });
        assert!(matching.add(tm(0), 3, []).is_err());
    }

    #[derive(Debug, Clone)]
    enum Event {
        Add(u8, u32),
        Remove(u8),
        Declare(u8, u32),
        Release(u8, u8),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (0..4u8, 1..5u32).prop_map(|(tm, slots)| Event::Add(tm, slots)),
            (0..4u8).prop_map(Event::Remove),
            (0..5u8, 0..7u32).prop_map(|(job, slots)| Event::Declare(job, slots)),
            (0..5u8, 0..4u8).prop_map(|(job, tm)| Event::Release(job, tm)),
        ]
    }

    proptest! {
        #[test]
        fn no_slot_is_given_twice_and_none_lies_idle_while_it_would_help(
            events in prop::collection::vec(event(), 0..60),
        ) {
            let mut matching = SlotMatching::default();
            for event in events {
                match event {
                    Event::Add(n, slots) => drop(matching.add(tm(n), slots, [])),
                    Event::Remove(n) => matching.remove(&tm(n)),
                    Event::Declare(n, slots) => matching.declare(job(n), slots),
                    Event::Release(n, t) => {
                        let granted = matching.granted_on(&tm(t)).get(&job(n)).copied().unwrap_or(0);
                        matching.release(job(n), &tm(t), granted);
                    }
                }
                for grant in matching.grant() {
                    let mut places: Vec<_> = grant.slots.iter().map(|s| &s.task_manager).collect();
                    places.dedup();
                    prop_assert_eq!(places.len(), grant.slots.len());
                }
                for supply in matching.task_managers.values() {
                    prop_assert!(supply.granted.values().sum::<u32>() <= supply.total);
                }
                let free = matching.supply().free;
                prop_assert!(matching.needs.values().all(|need| need.slots > free));
            }
        }
    }
}
