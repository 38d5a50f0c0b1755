//! How far the windows' clock of each key group had come when its state was written.
//!
//! Watermarks begin anew after a restart. A window that has fired, and lives on for rows within the allowed lateness,
//! must not fire again merely because the watermark comes by again; and a row that was late must not open a window anew
//! that has been emitted. So the clock is part of the state, and an operator goes on from it.
//!
//! It is kept by key group because the instances that wrote the state may have been at different times (idle inputs are
//! excluded at the moment they are noticed, wall clocks are looked at now and then), and their keys may meet in one instance. The operator then
//! goes on from the earliest clock; for groups that were *ahead* of it the rows are judged by their own clock, and what
//! fired there does not fire again, until the operator's clock has caught up.
//!
//! A clock at the end of time says nothing: all windows have fired and are gone, and whoever goes on from there with
//! new input wants results.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{Int64Type, UInt32Type};

use super::assigner::TimeDomain;
use crate::checkpoint::snapshot::KeyedTable;
use crate::key_group::{KeyGroup, KeyGroupRange};
use crate::operator::{OperatorError, OperatorResult};
use crate::state::{KeyIndex, Slot};
use crate::time::{EpochMillis, MAX_WATERMARK, MIN_WATERMARK};

/// The key groups of one operator instance and the clocks of those that are ahead of the operator's.
#[derive(Debug)]
pub(super) struct GroupClocks {
    /// What the table of clocks is called. Clocks of one kind say nothing to windows of the other.
    table: &'static str,
    max_parallelism: u32,
    groups: KeyGroupRange,
    /// The clock of each of `groups`; empty when none is ahead, which is nearly always.
    ahead: Vec<EpochMillis>,
}

impl GroupClocks {
    pub(super) fn new(domain: TimeDomain, max_parallelism: u32, groups: KeyGroupRange) -> Self {
        let table = match domain {
            TimeDomain::EventTime => "window-event-times",
            TimeDomain::ProcessingTime => "window-processing-times",
        };
        Self { table, max_parallelism, groups, ahead: Vec::new() }
    }

    pub(super) fn table_name(&self) -> &'static str {
        self.table
    }

    pub(super) fn max_parallelism(&self) -> u32 {
        self.max_parallelism
    }

    /// Whether all groups are where the operator is.
    #[inline]
    pub(super) fn are_even(&self) -> bool {
        self.ahead.is_empty()
    }

    /// The operator's clock has come to `clock`.
    pub(super) fn advance(&mut self, clock: EpochMillis) {
        if self.ahead.iter().all(|ahead| *ahead <= clock) {
            self.ahead.clear();
        }
    }

    fn of(&self, group: KeyGroup, clock: EpochMillis) -> EpochMillis {
        let ahead = group.0.checked_sub(self.groups.start).and_then(|index| self.ahead.get(index as usize));
        ahead.map_or(clock, |ahead| clock.max(*ahead))
    }

    /// The clock of a slot's key, the operator's being at `clock`.
    #[inline]
    pub(super) fn of_slot(&self, index: &KeyIndex, slot: Slot, clock: EpochMillis) -> EpochMillis {
        if self.are_even() { clock } else { self.of(index.key_group(slot, self.max_parallelism), clock) }
    }

    /// Whether a window whose last millisecond is `due` fired for this key before the state was written.
    #[inline]
    pub(super) fn has_fired(&self, index: &KeyIndex, slot: Slot, due: EpochMillis) -> bool {
        !self.are_even() && self.of(index.key_group(slot, self.max_parallelism), MIN_WATERMARK) >= due
    }

    /// Rows, whose keys have these hashes, by the clock that they are judged by.
    pub(super) fn rows_by_clock(&self, hashes: &[u64], clock: EpochMillis) -> BTreeMap<EpochMillis, Vec<u32>> {
        let mut rows: BTreeMap<EpochMillis, Vec<u32>> = BTreeMap::new();
        for (row, hash) in hashes.iter().enumerate() {
            let clock = self.of(KeyGroup::of_hash(*hash, self.max_parallelism), clock);
            rows.entry(clock).or_default().push(row as u32);
        }
        rows
    }

    /// The clocks as a table, the operator's being at `clock`.
    pub(super) fn snapshot(&self, clock: EpochMillis) -> OperatorResult<KeyedTable> {
        let groups = || self.groups.start..self.groups.end;
        let key_groups = UInt32Array::from_iter_values(groups());
        let clocks: ArrayRef = Arc::new(Int64Array::from_iter_values(groups().map(|g| self.of(KeyGroup(g), clock))));
        let rows = [("key_group", Arc::new(key_groups.clone()) as ArrayRef), ("clock", clocks)];
        Ok(KeyedTable { name: self.table.to_owned(), key_groups, rows: RecordBatch::try_from_iter(rows)? })
    }

    /// Takes clocks back; answers the operator's.
    pub(super) fn restore(&mut self, batches: &[RecordBatch]) -> OperatorResult<EpochMillis> {
        let mut clocks = vec![MIN_WATERMARK; self.groups.len() as usize];
        for batch in batches {
            let groups = batch.column_by_name("key_group").and_then(|column| column.as_primitive_opt::<UInt32Type>());
            let times = batch.column_by_name("clock").and_then(|column| column.as_primitive_opt::<Int64Type>());
            let (Some(groups), Some(times)) = (groups, times) else {
                return Err(OperatorError::misfit(format!("state `{}` of the checkpoint holds no clocks", self.table)));
            };
            for (group, clock) in groups.values().iter().zip(times.values()) {
                let index = group.checked_sub(self.groups.start);
                if let Some(known) = index.and_then(|index| clocks.get_mut(index as usize)) {
                    *known = *clock;
                }
            }
        }
        let earliest = clocks.iter().copied().min().filter(|clock| *clock < MAX_WATERMARK).unwrap_or(MIN_WATERMARK);
        clocks.iter_mut().filter(|clock| **clock == MAX_WATERMARK).for_each(|clock| *clock = earliest);
        self.ahead = clocks;
        self.advance(earliest);
        Ok(earliest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clocks(start: u32, end: u32) -> GroupClocks {
        GroupClocks::new(TimeDomain::EventTime, 128, KeyGroupRange { start, end })
    }

    #[test]
    fn groups_that_meet_go_on_from_the_earliest_clock_and_keep_their_own() {
        let early = clocks(0, 64).snapshot(50).unwrap().rows;
        let late = clocks(64, 128).snapshot(80).unwrap().rows;
        let mut both = clocks(0, 128);
        assert_eq!(both.restore(&[early, late]).unwrap(), 50);
        assert_eq!((both.of(KeyGroup(63), 50), both.of(KeyGroup(64), 50), both.of(KeyGroup(64), 90)), (50, 80, 90));
        let again = both.snapshot(60).unwrap().rows;
        let clocks = again.column(1).as_primitive::<Int64Type>();
        assert_eq!((clocks.value(63), clocks.value(64)), (60, 80));
        both.advance(79);
        assert!(!both.are_even());
        both.advance(80);
        assert!(both.are_even());
    }

    #[test]
    fn the_end_of_time_holds_nobody_back() {
        let ended = clocks(0, 64).snapshot(MAX_WATERMARK).unwrap().rows;
        let mut alone = clocks(0, 64);
        assert_eq!(alone.restore(std::slice::from_ref(&ended)).unwrap(), MIN_WATERMARK);
        let other = clocks(64, 128).snapshot(7).unwrap().rows;
        let mut both = clocks(0, 128);
        assert_eq!(both.restore(&[ended, other]).unwrap(), 7);
        assert!(both.are_even());
    }
}
