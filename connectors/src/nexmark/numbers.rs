//! The events that one reader has still to bring: residue classes, taken in ascending order.
//!
//! At first reader `i` of `p` has the class `i mod p`. A checkpoint holds the next number and the step of every class. At
//! a lower parallelism a reader gets several classes and merges them; at a higher one the densest classes are cut in two.

use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, OperatorTable, Redistribution, RestoredState};
use pelton_runtime_core::operator::{OperatorError, OperatorResult, OperatorRuntime, refuse_state};

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, UInt64Type};

/// The table's name in snapshots.
const CLASSES: &str = "nexmark-classes";

/// Every `step`th number from `next`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Class {
    next: u64,
    step: u64,
}

/// What one reader has still to bring.
#[derive(Debug)]
pub(super) struct Numbers {
    classes: Vec<Class>,
    /// How many events there are, of all readers.
    total: u64,
}

impl Numbers {
    /// The part of `total` events that belongs to the subtask that `runtime` describes.
    pub(super) fn share(total: u64, runtime: &OperatorRuntime) -> Self {
        let class = Class { next: u64::from(runtime.subtask), step: u64::from(runtime.parallelism.max(1)) };
        Self { classes: vec![class], total }
    }

    /// The next numbers, `most` at most, in ascending order, into `numbers` (cleared first).
    pub(super) fn take(&mut self, most: usize, numbers: &mut Vec<u64>) {
        numbers.clear();
        if let [class] = self.classes.as_mut_slice() {
            let left = self.total.saturating_sub(class.next).div_ceil(class.step);
            let taken = left.min(most as u64);
            numbers.extend((0..taken).map(|index| class.next + index * class.step));
            class.next = class.next.saturating_add(taken.saturating_mul(class.step));
            return;
        }
        while numbers.len() < most {
            let Some(first) = self.classes.iter_mut().min().filter(|class| class.next < self.total) else { return };
            numbers.push(first.next);
            first.next = first.next.saturating_add(first.step);
        }
    }

    /// What is left, as state that every reader gets back.
    pub(super) fn snapshot(&self) -> OperatorResult<OperatorSnapshot> {
        let field = |name| Field::new(name, DataType::UInt64, false);
        let schema = Arc::new(Schema::new(vec![field("next"), field("step")]));
        let next = UInt64Array::from_iter_values(self.classes.iter().map(|class| class.next));
        let step = UInt64Array::from_iter_values(self.classes.iter().map(|class| class.step));
        let rows = RecordBatch::try_new(schema, vec![Arc::new(next), Arc::new(step)])?;
        let table = OperatorTable { name: CLASSES.to_owned(), redistribution: Redistribution::Union, rows };
        Ok(OperatorSnapshot { operator: vec![table], ..OperatorSnapshot::default() })
    }

    /// Takes this reader's part of what was left of all.
    pub(super) fn restore(&mut self, mut state: RestoredState, runtime: &OperatorRuntime) -> OperatorResult {
        let Some(batches) = state.operator.remove(CLASSES) else { return refuse_state(&state) };
        refuse_state(&state)?;
        let mut classes = Vec::new();
        for batch in &batches {
            let column = |name| {
                let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<UInt64Type>());
                column.ok_or_else(|| OperatorError::data("the checkpoint's positions of this source have another form"))
            };
            let (next, step) = (column("next")?, column("step")?);
            classes.extend(next.values().iter().zip(step.values()).map(|(&next, &step)| Class { next, step }));
        }
        if classes.iter().any(|class| class.step == 0) {
            return Err(OperatorError::data("the checkpoint's positions of this source do not advance"));
        }
        self.classes = redistribute(classes, runtime.parallelism).swap_remove(runtime.subtask as usize);
        Ok(())
    }
}

/// The same numbers for so many readers; the same for the same classes in any order.
fn redistribute(mut classes: Vec<Class>, readers: u32) -> Vec<Vec<Class>> {
    // By class, not by position: which numbers a reader has should not depend on how far the readers were.
    classes.sort_unstable_by_key(|class| (class.next % class.step, class.step));
    while !classes.is_empty() && classes.len() < readers as usize {
        let densest = (0..classes.len()).min_by_key(|&index| classes[index].step).unwrap_or(0);
        let Class { next, step } = classes[densest];
        let Some(double) = step.checked_mul(2) else { break };
        classes[densest].step = double;
        classes.push(Class { next: next.saturating_add(step), step: double });
    }
    let mut parts = vec![Vec::new(); readers.max(1) as usize];
    let count = parts.len();
    classes.into_iter().enumerate().for_each(|(index, class)| parts[index % count].push(class));
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::place;

    proptest! {
        #[test]
        fn every_number_comes_once_and_ascending_through_any_restarts(
            total in 0u64..300,
            runs in prop::collection::vec((1u32..8, prop::collection::vec(1usize..40, 0..12)), 1..5),
        ) {
            let rt = tokio::runtime::Runtime::new().expect("a runtime");
            let _guard = rt.enter();
            let mut brought = Vec::new();
            let mut snapshots: Option<Vec<OperatorSnapshot>> = None;
            for (parallelism, takes) in runs.iter().chain([&(1, vec![300])]) {
                let mut readers: Vec<_> = (0..*parallelism)
                    .map(|subtask| {
                        let place = place(subtask, *parallelism);
                        let mut numbers = Numbers::share(total, &place);
                        if let Some(snapshots) = &snapshots {
                            let state = RestoredState::assign(snapshots, place.key_groups(), subtask, *parallelism);
                            numbers.restore(state, &place).expect("its own");
                        }
                        (numbers, None)
                    })
                    .collect();
                let mut taken = Vec::new();
                for (turn, most) in takes.iter().enumerate() {
                    let reader = turn % readers.len();
                    let (numbers, last) = &mut readers[reader];
                    numbers.take(*most, &mut taken);
                    for &number in &taken {
                        prop_assert!(last.replace(number).is_none_or(|last| last < number), "ascending");
                    }
                    brought.extend_from_slice(&taken);
                }
                snapshots = Some(readers.iter().map(|(numbers, _)| numbers.snapshot().expect("a table")).collect());
            }
            brought.sort_unstable();
            prop_assert_eq!(brought, (0..total).collect::<Vec<_>>());
        }
    }

    #[test]
    fn as_many_events_as_can_be_counted_end_without_a_step_beyond() {
        let class = |left| Class { next: u64::MAX - left, step: 3 };
        let cases = [(vec![class(4)], vec![4, 1]), (vec![class(4), class(3)], vec![4, 3, 1])];
        for (classes, left) in cases {
            let expected: Vec<u64> = left.into_iter().map(|left| u64::MAX - left).collect();
            let (mut numbers, mut taken) = (Numbers { classes, total: u64::MAX }, Vec::new());
            numbers.take(10, &mut taken);
            assert_eq!(taken, expected);
            numbers.take(10, &mut taken);
            assert!(taken.is_empty());
        }
    }

    #[test]
    fn a_class_is_cut_only_where_readers_are_more_than_classes() {
        let class = |next, step| Class { next, step };
        assert_eq!(redistribute(vec![class(10, 2), class(7, 2)], 2), [vec![class(10, 2)], vec![class(7, 2)]]);
        assert_eq!(redistribute(vec![class(10, 2), class(7, 2)], 1), [vec![class(10, 2), class(7, 2)]]);
        let three = redistribute(vec![class(10, 2), class(7, 2)], 3);
        assert_eq!(three, [vec![class(10, 4)], vec![class(7, 2)], vec![class(12, 4)]]);
    }
}
