//! Numbered records, shared among the readers of a source: what each of them has still to bring.
//!
//! At first every reader has one contiguous part. A checkpoint holds what is left of all parts; at another parallelism
//! they are given out anew: whole where there are enough, otherwise the largest are cut in half. So no number is brought
//! twice and none is left out, whatever the parallelism.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, UInt64Type};
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, OperatorTable, Redistribution, RestoredState};
use pelton_runtime_core::operator::{OperatorError, OperatorResult, OperatorRuntime, refuse_state};

/// The table's name in snapshots.
const RANGES: &str = "ranges";

/// In which order a reader brings the numbers of several parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeOrder {
    /// One part after the other.
    Ascending,
    /// A piece of each in turn: parts without end leave no other room.
    InTurn,
}

/// The numbers that one reader has still to bring.
#[derive(Debug)]
pub struct Ranges {
    left: VecDeque<Range<u64>>,
    order: RangeOrder,
    /// How many numbers there are, of all readers.
    total: u64,
}

impl Ranges {
    /// The contiguous part of `total` numbers, starting at 0, that belongs to the subtask that `runtime` describes.
    pub fn share(total: u64, order: RangeOrder, runtime: &OperatorRuntime) -> Self {
        let part = share(total, runtime.subtask, runtime.parallelism);
        Self { left: Some(part).filter(|part| !part.is_empty()).into_iter().collect(), order, total }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// The next number.
    pub fn first(&self) -> Option<u64> {
        self.left.front().map(|range| range.start)
    }

    /// The next contiguous numbers, `most` at most; `None` when nothing is left. They count as brought.
    pub fn take(&mut self, most: u64) -> Option<Range<u64>> {
        let first = self.left.front_mut()?;
        let taken = first.start..first.end.min(first.start.saturating_add(most));
        first.start = taken.end;
        if first.is_empty() {
            self.left.pop_front();
        } else if self.order == RangeOrder::InTurn {
            self.left.rotate_left(1);
        }
        Some(taken)
    }

    /// What is left, as state that every reader gets back.
    ///
    /// # Errors
    ///
    /// When Arrow cannot make the table.
    pub fn snapshot(&self) -> OperatorResult<OperatorSnapshot> {
        let field = |name| Field::new(name, DataType::UInt64, false);
        let schema = Arc::new(Schema::new(vec![field("start"), field("end")]));
        let starts = UInt64Array::from_iter_values(self.left.iter().map(|range| range.start));
        let ends = UInt64Array::from_iter_values(self.left.iter().map(|range| range.end));
        let rows = RecordBatch::try_new(schema, vec![Arc::new(starts), Arc::new(ends)])?;
        let table = OperatorTable { name: RANGES.to_owned(), redistribution: Redistribution::Union, rows };
        Ok(OperatorSnapshot { keyed: Vec::new(), operator: vec![table], ..OperatorSnapshot::default() })
    }

    /// Takes this reader's part of what was left of all.
    ///
    /// # Errors
    ///
    /// When the state is of another source, or of one with more numbers.
    pub fn restore(&mut self, mut state: RestoredState, runtime: &OperatorRuntime) -> OperatorResult {
        let Some(batches) = state.operator.remove(RANGES) else { return refuse_state(&state) };
        refuse_state(&state)?;
        let mut left = Vec::new();
        for batch in &batches {
            let column = |name| {
                let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<UInt64Type>());
                column.ok_or_else(|| OperatorError::data("the checkpoint's positions of this source have another form"))
            };
            let (starts, ends) = (column("start")?, column("end")?);
            left.extend(starts.values().iter().zip(ends.values()).map(|(start, end)| *start..*end));
        }
        if let Some(beyond) = left.iter().find(|range| range.end > self.total) {
            return Err(OperatorError::data(format!(
                "the checkpoint is of a source with at least {} records, and this one has {}",
                beyond.end, self.total
            )));
        }
        self.left = redistribute(left, runtime.parallelism).swap_remove(runtime.subtask as usize).into();
        Ok(())
    }
}

/// The contiguous part of `total` numbers that belongs to one subtask. The first ones get one more where it does not
/// come out even, as in Flink.
fn share(total: u64, subtask: u32, parallelism: u32) -> Range<u64> {
    let parallelism = u64::from(parallelism.max(1));
    let subtask = u64::from(subtask);
    let (base, more) = (total / parallelism, total % parallelism);
    let start = base * subtask + subtask.min(more);
    start..start + base + u64::from(subtask < more)
}

/// The same numbers for so many readers, each with ascending parts. The same for the same parts in any order.
fn redistribute(mut left: Vec<Range<u64>>, parallelism: u32) -> Vec<Vec<Range<u64>>> {
    let length = |range: &Range<u64>| range.end.saturating_sub(range.start);
    left.retain(|range| length(range) > 0);
    left.sort_by_key(|range| range.start);
    while left.len() < parallelism as usize {
        // The first of the largest, so that all readers cut alike.
        let Some(index) = (0..left.len()).rev().max_by_key(|&index| length(&left[index])) else { break };
        if length(&left[index]) < 2 {
            break;
        }
        let middle = left[index].start + length(&left[index]).div_ceil(2);
        let end = std::mem::replace(&mut left[index].end, middle);
        left.insert(index + 1, middle..end);
    }
    let mut readers = vec![Vec::new(); parallelism.max(1) as usize];
    let mut loads = vec![0u128; readers.len()];
    let by_size = {
        let mut indexes: Vec<usize> = (0..left.len()).collect();
        if left.len() > readers.len() {
            indexes.sort_by_key(|&index| (std::cmp::Reverse(length(&left[index])), index));
        }
        indexes
    };
    for index in by_size {
        let reader = (0..loads.len()).min_by_key(|&reader| (loads[reader], readers[reader].len())).unwrap_or(0);
        loads[reader] += u128::from(length(&left[index]));
        readers[reader].push(left[index].clone());
    }
    readers.iter_mut().for_each(|ranges| ranges.sort_by_key(|range: &Range<u64>| range.start));
    readers
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of ranges are what is meant")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::place;

    proptest! {
        #[test]
        fn shares_are_contiguous_and_complete(total: u64, parallelism in 1u32..50) {
            let mut next = 0;
            for subtask in 0..parallelism {
                let part = share(total, subtask, parallelism);
                prop_assert_eq!(part.start, next);
                prop_assert!(part.end - part.start <= total / u64::from(parallelism) + 1);
                next = part.end;
            }
            prop_assert_eq!(next, total);
        }

        #[test]
        fn every_number_comes_once_through_any_restarts(
            total in 0u64..300,
            runs in prop::collection::vec((1u32..8, prop::collection::vec(1u64..40, 0..12)), 1..5),
            in_turn: bool,
        ) {
            let order = if in_turn { RangeOrder::InTurn } else { RangeOrder::Ascending };
            let rt = tokio::runtime::Runtime::new().expect("a runtime");
            let _guard = rt.enter();
            let mut brought = Vec::new();
            let mut snapshots: Option<Vec<OperatorSnapshot>> = None;
            for (parallelism, takes) in runs.iter().chain([&(1, vec![u64::MAX; 300])]) {
                let mut readers: Vec<_> = (0..*parallelism)
                    .map(|subtask| {
                        let place = place(subtask, *parallelism);
                        let mut ranges = Ranges::share(total, order, &place);
                        if let Some(snapshots) = &snapshots {
                            let state = RestoredState::assign(snapshots, place.key_groups(), subtask, *parallelism);
                            ranges.restore(state, &place).expect("its own");
                        }
                        ranges
                    })
                    .collect();
                for (turn, most) in takes.iter().enumerate() {
                    let reader = turn % readers.len();
                    brought.extend(readers[reader].take(*most).into_iter().flatten());
                }
                snapshots = Some(readers.iter().map(|ranges| ranges.snapshot().expect("a table")).collect());
            }
            brought.sort_unstable();
            prop_assert_eq!(brought, (0..total).collect::<Vec<_>>());
        }
    }

    #[test]
    fn readers_keep_their_parts_at_the_same_parallelism_and_share_evenly_at_another() {
        let endless = i64::MAX as u64;
        let left = vec![70..100, endless / 2 + 900..endless];
        assert_eq!(redistribute(left.clone(), 2), [vec![70..100], vec![endless / 2 + 900..endless]]);
        assert_eq!(redistribute(left.clone(), 1), [left]);
        assert_eq!(redistribute(vec![0..10], 3), [vec![0..3], vec![3..5], vec![5..10]]);
        assert_eq!(redistribute(vec![0..1], 2), [vec![0..1], vec![]]);
        assert_eq!(redistribute(vec![0..10, 20..30, 40..60], 2), [vec![40..60], vec![0..10, 20..30]]);
    }
}
