//! Timers of keys: a sorted set of (time, namespace, slot).
//!
//! A timer is registered once however often it is asked for, and fires in the order of time. The queue does not keep its
//! keys alive: whoever registers a timer for a slot must not free the slot before the timer is gone
//! (see [`TimerQueue::registered`], which answers whether there was one already).

mod of_keys;
mod stored;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::Int64Type;

use super::key_order::order;
use super::table_columns::{TIME, key_name, read_keys, table};
use super::{ColumnError, KeyBatch, KeyIndex, KeyedStateBackend, Namespace, Rows, Slot, StateError};
use crate::checkpoint::snapshot::KeyedTable;
use crate::time::EpochMillis;

pub use of_keys::{Due, KeyTimers};
pub(super) use stored::SavedTimers;
pub use stored::StoredTimers;

/// The timers of one time domain; `N` is the namespace, `()` for functions without windows.
#[derive(Debug)]
pub struct TimerQueue<N = ()> {
    timers: BTreeSet<(EpochMillis, N, Slot)>,
}

impl<N: Ord + Copy> Default for TimerQueue<N> {
    fn default() -> Self {
        Self { timers: BTreeSet::new() }
    }
}

impl<N: Ord + Copy> TimerQueue<N> {
    /// Registers a timer; answers `false` when it was registered already.
    pub fn register(&mut self, time: EpochMillis, namespace: N, slot: Slot) -> bool {
        self.timers.insert((time, namespace, slot))
    }

    /// Deletes a timer; answers `false` when there was none.
    pub fn delete(&mut self, time: EpochMillis, namespace: N, slot: Slot) -> bool {
        self.timers.remove(&(time, namespace, slot))
    }

    /// Whether the timer is registered.
    pub fn registered(&self, time: EpochMillis, namespace: N, slot: Slot) -> bool {
        self.timers.contains(&(time, namespace, slot))
    }

    /// Takes the earliest timer that is due at `time`. Timers that are registered while earlier ones fire take part.
    pub fn pop_due(&mut self, time: EpochMillis) -> Option<(EpochMillis, N, Slot)> {
        if self.timers.first()?.0 <= time { self.timers.pop_first() } else { None }
    }

    /// The earliest timer.
    pub fn first(&self) -> Option<(EpochMillis, N, Slot)> {
        self.timers.first().copied()
    }

    /// When the earliest timer is due.
    pub fn next(&self) -> Option<EpochMillis> {
        self.first().map(|timer| timer.0)
    }

    /// Every timer, in the order of time.
    pub fn iter(&self) -> impl Iterator<Item = (EpochMillis, N, Slot)> + '_ {
        self.timers.iter().copied()
    }

    /// Number of timers.
    pub fn len(&self) -> usize {
        self.timers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.timers.is_empty()
    }
}

impl TimerQueue {
    /// The timers of those slots that `only` says, each as a row of its key and its time, in a table of this name; none when
    /// there are no such timers. `index` has the keys.
    ///
    /// # Errors
    ///
    /// When the keys cannot become columns.
    pub fn snapshot(
        &self,
        name: &str,
        index: &KeyIndex,
        max_parallelism: u32,
        only: impl Fn(Slot) -> bool,
    ) -> Result<Option<KeyedTable>, StateError> {
        let timers = self.timers.iter().map(|(time, (), slot)| (*time, *slot)).filter(|(_, slot)| only(*slot));
        let timers: Vec<(EpochMillis, Slot)> = timers.collect();
        if timers.is_empty() {
            return Ok(None);
        }
        let groups: Vec<u32> = timers.iter().map(|(_, slot)| index.key_group(*slot, max_parallelism).0).collect();
        let order = order(&groups, max_parallelism);
        let ordered = || order.iter().map(|position| *position as usize);
        let slots: Vec<Slot> = ordered().map(|position| timers[position].1).collect();
        let times: ArrayRef = Arc::new(Int64Array::from_iter_values(ordered().map(|position| timers[position].0)));
        let keys = index.columns(&slots)?.into_iter().enumerate();
        let mut columns: Vec<(String, ArrayRef)> = keys.map(|(index, column)| (key_name(index), column)).collect();
        columns.push((TIME.to_owned(), times));
        let rows = table(columns, slots.len())?;
        let key_groups = UInt32Array::from_iter_values(ordered().map(|position| groups[position]));
        Ok(Some(KeyedTable { name: name.to_owned(), key_groups, rows }))
    }

    /// Takes timers back that [`snapshot`](Self::snapshot) wrote; their keys get slots in the backend's table without
    /// a window. Answers the slot of every timer.
    ///
    /// # Errors
    ///
    /// When the rows are no timers, or of other keys than the backend's.
    pub fn restore(
        &mut self,
        batches: &[RecordBatch],
        backend: &mut KeyedStateBackend,
    ) -> Result<Vec<Slot>, StateError> {
        let (mut restored, mut slots) = (Vec::new(), Vec::new());
        for batch in batches {
            let (keys, times) = timed_rows(batch)?;
            backend.table(Namespace::Void, keys.types()).slots(&keys, Rows::All(keys.len()), &mut slots)?;
            self.timers.extend(times.values().iter().zip(&slots).map(|(time, slot)| (*time, (), *slot)));
            restored.append(&mut slots);
        }
        Ok(restored)
    }
}

/// The keys and times of timers that were saved.
fn timed_rows(batch: &RecordBatch) -> Result<(KeyBatch, &Int64Array), StateError> {
    let times = batch.column_by_name(TIME).and_then(|column| column.as_primitive_opt::<Int64Type>());
    let times = times.ok_or_else(|| {
        let reason = Box::new(ColumnError::Corrupt { what: "timers have no times" });
        StateError::Restore { name: TIME.to_owned(), reason }
    })?;
    Ok((read_keys(batch)?, times))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_once_and_in_the_order_of_time() {
        let mut timers = TimerQueue::default();
        for (time, slot) in [(30, 1), (10, 7), (20, 0), (10, 7), (10, 3)] {
            timers.register(time, (), slot);
        }
        assert!(timers.delete(20, (), 0));
        assert!(!timers.delete(20, (), 0));
        let mut fired = Vec::new();
        while let Some((time, (), slot)) = timers.pop_due(25) {
            fired.push((time, slot));
            if time == 10 && slot == 3 {
                timers.register(12, (), 3);
                timers.register(26, (), 3);
            }
        }
        assert_eq!(fired, [(10, 3), (10, 7), (12, 3)]);
        assert_eq!(timers.next(), Some(26));
    }
}
