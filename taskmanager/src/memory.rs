//! Divides the TaskManager's memory among its workers.
//!
//! `taskmanager.memory.process.size` is what the supervisor and all of its workers may hold together. The supervisor
//! keeps a small part, the slots share the rest evenly, and a worker gets what its slots have. As the parts add up to
//! the whole, workers that each stay within their limit keep the whole within its limit.

use pelton_runtime_core::config::MemoryBudget;

use crate::worker::setup::WorkerMemory;

/// What the supervisor itself may need.
const SUPERVISOR_BYTES: u64 = 32 << 20;

/// The budget of a worker that fills `slots` of `all_slots`.
pub(crate) fn worker_memory(budget: &MemoryBudget, slots: u32, all_slots: u32) -> WorkerMemory {
    let (slots, all_slots) = (u64::from(slots), u64::from(all_slots.max(1)));
    let process = budget.total_process.as_bytes();
    let supervisor = SUPERVISOR_BYTES.min(process / 8);
    let share = budget.per_slot();
    WorkerMemory {
        task: share.task.as_bytes().saturating_mul(slots),
        managed: share.managed.as_bytes().saturating_mul(slots),
        network: share.network.as_bytes().saturating_mul(slots),
        total: ((process - supervisor) / all_slots).saturating_mul(slots),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_runtime_core::config::Configuration;

    #[test]
    fn workers_and_supervisor_together_hold_no_more_than_the_process_size() {
        let settings = [("taskmanager.memory.process.size", "2g"), ("taskmanager.numberOfTaskSlots", "4")];
        let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let budget = MemoryBudget::derive(&Configuration::from_map(settings.into()).unwrap()).unwrap();
        let (one, three) = (worker_memory(&budget, 1, 4), worker_memory(&budget, 3, 4));
        assert_eq!(three.total, 3 * one.total);
        assert!(one.total + three.total + SUPERVISOR_BYTES <= 2 << 30);
        assert!(one.task + one.managed + one.network < one.total);
    }
}
