//! A bounded sequence of numbers, shared among the readers in contiguous parts. A checkpoint holds what is left of them.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::{CheckpointId, StreamBatch};
use pelton_runtime_core::operator::{OperatorError, OperatorResult, OperatorRuntime, TARGET_BATCH_ROWS};
use pelton_runtime_core::source::{Boundedness, SourceFactory, SourcePoll, SourceReader};
use pelton_runtime_core::time::EpochMillis;

use crate::range::{RangeOrder, Ranges};

/// The numbers `from..=to` in a column of `Int64`; each reader's part is ascending, unless the parallelism changed at a restart.
#[derive(Debug, Clone)]
pub struct NumberSequence {
    from: i64,
    to: i64,
    column: String,
}

impl NumberSequence {
    /// The numbers `from..=to` in a column named `value`.
    pub fn new(from: i64, to: i64) -> Self {
        Self { from, to, column: "value".to_owned() }
    }

    /// The numbers in a column of this name.
    #[must_use]
    pub fn column(mut self, name: impl Into<String>) -> Self {
        self.column = name.into();
        self
    }

    /// The schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new(&self.column, DataType::Int64, false)]))
    }

    /// Checks that the bounds are in order.
    ///
    /// # Errors
    ///
    /// When `from` is larger than `to`.
    pub fn validate(&self) -> OperatorResult {
        if self.from > self.to {
            let Self { from, to, .. } = self;
            return Err(OperatorError::data(format!("a number sequence ends before it starts: from {from} to {to}")));
        }
        if self.from == i64::MIN && self.to == i64::MAX {
            return Err(OperatorError::data("a number sequence has at most 2^64 - 1 numbers"));
        }
        Ok(())
    }
}

impl SourceFactory for NumberSequence {
    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn create(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SourceReader>> {
        self.validate()?;
        let total = self.to.abs_diff(self.from) + 1;
        Ok(Box::new(SequenceReader {
            from: self.from,
            left: Ranges::share(total, RangeOrder::Ascending, runtime),
            schema: self.schema(),
            runtime: runtime.clone(),
        }))
    }
}

struct SequenceReader {
    from: i64,
    /// As offsets from the first number.
    left: Ranges,
    schema: SchemaRef,
    runtime: OperatorRuntime,
}

impl SourceReader for SequenceReader {
    fn poll(&mut self, _now: EpochMillis) -> OperatorResult<SourcePoll> {
        let Some(offsets) = self.left.take(TARGET_BATCH_ROWS as u64) else {
            return Ok(SourcePoll::End);
        };
        let first = self.from.wrapping_add_unsigned(offsets.start);
        let rows = offsets.end - offsets.start;
        let numbers: Int64Array = (0..rows as i64).map(|offset| first.wrapping_add(offset)).collect::<Vec<_>>().into();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), vec![Arc::new(numbers) as ArrayRef])?;
        Ok(SourcePoll::Batch(StreamBatch::new(batch)))
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        self.left.snapshot()
    }

    fn restore(&mut self, state: RestoredState) -> OperatorResult {
        self.left.restore(state, &self.runtime)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::testing::{check_restarts, place, rows_of};

    fn numbers(from: i64, to: i64, parallelism: u32) -> Vec<i64> {
        (0..parallelism)
            .flat_map(|subtask| rows_of(&NumberSequence::new(from, to), &place(subtask, parallelism)))
            .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
            .collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_number_comes_once_at_any_parallelism() {
        for parallelism in [1, 2, 3, 7] {
            assert_eq!(numbers(-3, 20_000, parallelism), (-3..=20_000).collect::<Vec<_>>());
        }
        assert_eq!(numbers(i64::MAX - 1, i64::MAX, 3), [i64::MAX - 1, i64::MAX]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_sequence_goes_on_at_another_parallelism() {
        check_restarts(&NumberSequence::new(-5, 60_000), &[(2, 3), (3, 1), (1, 2), (4, 0), (1, 99)], |batch| {
            batch.column(0).as_primitive::<Int64Type>().values().to_vec()
        })
        .into_iter()
        .zip(-5..)
        .for_each(|(found, expected)| assert_eq!(found, expected));
    }

    #[test]
    fn positions_of_a_longer_sequence_are_refused() {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let _guard = runtime.enter();
        let place = place(0, 1);
        let state = NumberSequence::new(1, 10).create(&place).and_then(|mut long| long.snapshot(CheckpointId(1)));
        let state = RestoredState::assign(&[state.expect("a position")], place.key_groups(), 0, 1);
        let mut short = NumberSequence::new(1, 9).create(&place).expect("valid");
        let error = short.restore(state).expect_err("another sequence");
        assert_eq!(error.to_string(), "the checkpoint is of a source with at least 10 records, and this one has 9");
    }

    #[test]
    fn bounds_in_the_wrong_order_are_refused() {
        let error = NumberSequence::new(5, 1).validate().expect_err("wrong order");
        assert_eq!(error.to_string(), "a number sequence ends before it starts: from 5 to 1");
    }
}
