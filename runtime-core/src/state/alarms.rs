//! When something must be done about each key, where that follows from the key's state.
//!
//! ```text
//!  a key's state changes ──► changed: due earlier than armed? the timer moves; later? it stays
//!  the clock advances    ──► due, pop: an armed key, at its time ──► perhaps nothing is due yet ──► arm: again
//! ```
//!
//! A key has one timer at most, however much is due in it, and the timer does not follow what is put off again and again,
//! such as the end of a session: it rings, and is set anew. Whoever restores a key arms it anew, so alarms are no part of
//! a checkpoint, unless that consists of a store's files: then rows and timers return as they are.
//!
//! Invariants: a key has a timer exactly if its slot is armed, and at that time; a slot is armed at or before the time at
//! which its key is due; a slot that is not due is not armed, so that its key may be forgotten.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;

use super::{
    ColumnError, Due, KeyTimers, KeyedStateBackend, NamespaceTable, Slot, StateColumn, StateError, StateId, TimerQueue,
};
use crate::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use crate::time::EpochMillis;
use crate::window::TimeDomain;

/// The keys of the table without a window that are due some time, by one clock.
#[derive(Debug)]
pub struct Alarms {
    clock: TimeDomain,
    timers: KeyTimers,
    armed: Option<StateId<ArmedColumn>>,
}

/// What the state is called that says of slots whether they are armed, and the timers in a checkpoint of files.
fn name(clock: TimeDomain) -> &'static str {
    match clock {
        TimeDomain::EventTime => "event-time-alarms",
        TimeDomain::ProcessingTime => "processing-time-alarms",
    }
}

impl Alarms {
    /// Those of an operator that is not open yet, by this clock.
    pub fn new(clock: TimeDomain) -> Self {
        Self { clock, timers: KeyTimers::Heap(TimerQueue::default()), armed: None }
    }

    /// Takes their place in `backend`, which is open and has no tables yet.
    ///
    /// # Errors
    ///
    /// When there are alarms of this clock already.
    pub fn open(&mut self, backend: &mut KeyedStateBackend) -> Result<(), StateError> {
        let is_kept = backend.has_store();
        let armed = backend.register(name(self.clock), move || ArmedColumn { times: Vec::new(), is_kept })?;
        self.armed = Some(armed);
        self.timers = backend.timers(self.clock);
        Ok(())
    }

    fn armed(&self) -> StateId<ArmedColumn> {
        self.armed.expect("alarms are opened before there are keys")
    }

    /// The state of `slots` has changed; `due` says when they are due now. A slot may be named several times.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub fn changed(
        &mut self,
        table: &mut NamespaceTable,
        slots: &[Slot],
        due: impl Fn(&NamespaceTable, Slot) -> Option<EpochMillis>,
    ) -> Result<(), StateError> {
        let armed = self.armed();
        for slot in slots {
            let due = due(table, *slot);
            let (index, times) = table.split(armed);
            let before = times.get(*slot);
            if before == due || before.zip(due).is_some_and(|(before, due)| before < due) {
                continue;
            }
            if let Some(before) = before {
                self.timers.delete(before, index, *slot);
            }
            if let Some(due) = due {
                self.timers.register(due, index, *slot);
            }
            times.set(*slot, due);
        }
        self.timers.settle()
    }

    /// Whether a slot is armed.
    pub fn is_armed(&self, table: &NamespaceTable, slot: Slot) -> bool {
        table.column(self.armed()).get(slot).is_some()
    }

    /// Arms a slot that is not armed, as it was not before or has just rung.
    pub fn arm(&mut self, table: &mut NamespaceTable, slot: Slot, at: Option<EpochMillis>) {
        if let Some(at) = at {
            let (index, times) = table.split(self.armed());
            self.timers.register(at, index, slot);
            times.set(slot, Some(at));
        }
    }

    /// No key is due before this time; none may be then either.
    pub fn next(&self) -> Option<EpochMillis> {
        self.timers.next()
    }

    /// The keys that ring first at `time`, `limit` at most; see [`KeyTimers::due`].
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub fn due(
        &mut self,
        time: EpochMillis,
        limit: usize,
        backend: &mut KeyedStateBackend,
    ) -> Result<Option<Due>, StateError> {
        self.timers.due(time, limit, backend)
    }

    /// Lets the next key of those in `due` ring: when, and which of them it is; see [`KeyTimers::pop`]. It is not armed
    /// any more.
    pub fn pop(&mut self, time: EpochMillis, due: &Due, table: &mut NamespaceTable) -> Option<(EpochMillis, usize)> {
        let (at, row) = self.timers.pop(time, due)?;
        table.column_mut(self.armed()).set(due.slots[row], None);
        Some((at, row))
    }

    /// Keeps what is in memory within its bounds; called between two batches.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub fn settle(&mut self) -> Result<(), StateError> {
        self.timers.settle()
    }

    /// Sees to it that a snapshot which consists of files has the timers. The backend is saved afterwards.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub fn save(&mut self, snapshot: &mut OperatorSnapshot) -> Result<(), StateError> {
        self.timers.save_in_files(name(self.clock), snapshot)
    }

    /// Keys have come back into `slots`, and are due when `due` says; whatever they were armed for is of another life.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub fn restored(
        &mut self,
        table: &mut NamespaceTable,
        slots: &[Slot],
        due: impl Fn(&NamespaceTable, Slot) -> Option<EpochMillis>,
    ) -> Result<(), StateError> {
        for slot in slots {
            table.column_mut(self.armed()).set(*slot, None);
            let at = due(table, *slot);
            self.arm(table, *slot, at);
        }
        self.timers.settle()
    }

    /// Takes the timers back that are in files which the backend's store has taken over. The backend was restored before.
    ///
    /// # Errors
    ///
    /// When the files do not hold what is said of them.
    pub fn restore(&mut self, state: &mut RestoredState) -> Result<(), StateError> {
        self.timers.restore_adopted(state, name(self.clock))
    }
}

/// For which time slots are armed. On the heap it is no part of a snapshot.
#[derive(Debug)]
pub struct ArmedColumn {
    times: Vec<Option<EpochMillis>>,
    is_kept: bool,
}

impl ArmedColumn {
    fn get(&self, slot: Slot) -> Option<EpochMillis> {
        self.times[slot as usize]
    }

    fn set(&mut self, slot: Slot, time: Option<EpochMillis>) {
        self.times[slot as usize] = time;
    }
}

impl StateColumn for ArmedColumn {
    fn grow(&mut self, slots: usize) {
        if slots > self.times.len() {
            self.times.resize(slots, None);
        }
    }

    fn is_empty(&self, slot: Slot) -> bool {
        self.get(slot).is_none()
    }

    fn snapshot(&mut self, slots: &[Slot]) -> Result<Option<ArrayRef>, ColumnError> {
        let times = || slots.iter().map(|slot| self.get(*slot)).collect::<Int64Array>();
        Ok(self.is_kept.then(|| Arc::new(times()) as ArrayRef))
    }

    fn restore(&mut self, slots: &[Slot], values: &ArrayRef) -> Result<(), ColumnError> {
        let times = values.as_primitive_opt::<Int64Type>();
        let times = times.ok_or(ColumnError::Corrupt { what: "keys are armed for no time" })?;
        for (row, slot) in slots.iter().enumerate() {
            self.times[*slot as usize] = times.is_valid(row).then(|| times.value(row));
        }
        Ok(())
    }

    fn is_evictable(&self) -> bool {
        true
    }

    fn clear(&mut self, slots: &[Slot]) {
        slots.iter().for_each(|slot| self.set(*slot, None));
    }

    fn slot_bytes(&self) -> usize {
        size_of::<Option<EpochMillis>>()
    }
}

#[cfg(test)]
mod tests {
    use super::super::cold::MemoryColdStores;
    use super::super::column::tests::numbers;
    use super::super::{KeyBatch, Namespace, Rows, ValueColumn};
    use super::*;
    use crate::operator::OperatorRuntime;
    use crate::operator::harness::OperatorHarness;

    /// A key is due at the time that is its value.
    struct Keys {
        backend: KeyedStateBackend,
        at: StateId<ValueColumn<i64>>,
        alarms: Alarms,
    }

    impl Keys {
        fn open(cache: Option<usize>) -> Self {
            let cold_stores = cache.map(|bytes| Arc::new(MemoryColdStores::new(bytes)) as _);
            let mut backend = KeyedStateBackend::new();
            backend.open(&OperatorRuntime { cold_stores, ..OperatorHarness::runtime() }).unwrap();
            let at = backend.register("at", || ValueColumn::new(numbers())).unwrap();
            let mut alarms = Alarms::new(TimeDomain::EventTime);
            alarms.open(&mut backend).unwrap();
            Self { backend, at, alarms }
        }

        fn set(&mut self, times: &[(i64, Option<i64>)]) {
            let (mut keys, mut slots) = (KeyBatch::default(), Vec::new());
            let column: ArrayRef = Arc::new(Int64Array::from_iter_values(times.iter().map(|(key, _)| *key)));
            keys.read(&[column], times.len()).unwrap();
            let (at, table) = (self.at, self.backend.table(Namespace::Void, keys.types()));
            table.slots(&keys, Rows::All(times.len()), &mut slots).unwrap();
            let column = table.column_mut(at);
            slots.iter().zip(times).for_each(|(slot, (_, time))| *column.entry(*slot) = *time);
            self.alarms.changed(table, &slots, |table, slot| table.column(at).get(slot).copied()).unwrap();
            table.free_empty(&mut slots);
            self.backend.make_room().unwrap();
        }

        /// The times at which keys ring until `time`, and the times at which they are due; a key that is due at 9 is
        /// due at 9 once more.
        fn ring(&mut self, time: i64) -> Vec<(i64, i64)> {
            let mut rung = Vec::new();
            while let Some(mut due) = self.alarms.due(time, 4, &mut self.backend).unwrap() {
                let table = self.backend.existing_mut(Namespace::Void).unwrap();
                while let Some((rang, row)) = self.alarms.pop(time, &due, table) {
                    let slot = due.slots[row];
                    let entry = table.column_mut(self.at).entry(slot);
                    rung.push((rang, entry.unwrap()));
                    *entry = entry.filter(|due| *due > rang).or((rang == 8).then_some(9));
                    let at = *entry;
                    self.alarms.arm(table, slot, at);
                }
                table.free_empty(&mut due.slots);
                self.backend.make_room().unwrap();
            }
            rung
        }
    }

    #[test]
    fn a_key_rings_when_it_is_due_and_once_before_when_that_was_put_off() {
        for cache in [None, Some(0), Some(1 << 20)] {
            let mut keys = Keys::open(cache);
            keys.set(&(0..100).map(|key| (key, Some(key + 4))).collect::<Vec<_>>());
            // Earlier, never, later and later still, and twice in a batch.
            keys.set(&[(30, Some(6)), (1, None), (2, Some(7)), (2, Some(10)), (31, Some(50)), (31, Some(5))]);
            keys.set(&[(2, Some(9))]);
            assert_eq!(keys.alarms.next(), Some(4));
            let mut rung = keys.ring(10);
            assert!(rung.is_sorted_by_key(|(rang, _)| *rang), "{rung:?}");
            rung.sort_unstable();
            let expected =
                [(4, 4), (5, 5), (6, 6), (6, 9), (7, 7), (8, 8), (9, 9), (9, 9), (9, 9), (10, 10)].as_slice();
            assert_eq!(rung, expected, "with {cache:?}");
            assert_eq!(keys.ring(10), []);
            assert_eq!(keys.ring(i64::MAX).len(), 91);
            assert!(keys.backend.existing(Namespace::Void).unwrap().index().is_empty());
        }
    }
}
