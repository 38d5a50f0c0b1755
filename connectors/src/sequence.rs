//! A bounded sequence of numbers, shared among the readers in contiguous parts.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{OperatorError, OperatorResult, OperatorRuntime, TARGET_BATCH_ROWS};
use pelton_runtime_core::source::{Boundedness, SourceFactory, SourcePoll, SourceReader};
use pelton_runtime_core::time::EpochMillis;

use crate::range::share;

/// The numbers `from..=to` in a column of `Int64`; each reader's part is ascending.
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
        let part = share(total, runtime.subtask, runtime.parallelism);
        Ok(Box::new(SequenceReader {
            next: self.from.wrapping_add_unsigned(part.start),
            left: part.end - part.start,
            schema: self.schema(),
        }))
    }
}

struct SequenceReader {
    next: i64,
    left: u64,
    schema: SchemaRef,
}

impl SourceReader for SequenceReader {
    fn poll(&mut self, _now: EpochMillis) -> OperatorResult<SourcePoll> {
        let rows = self.left.min(TARGET_BATCH_ROWS as u64);
        if rows == 0 {
            return Ok(SourcePoll::End);
        }
        let numbers: Int64Array =
            (0..rows as i64).map(|offset| self.next.wrapping_add(offset)).collect::<Vec<_>>().into();
        self.next = self.next.wrapping_add_unsigned(rows);
        self.left -= rows;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), vec![Arc::new(numbers) as ArrayRef])?;
        Ok(SourcePoll::Batch(StreamBatch::new(batch)))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::testing::{place, rows_of};

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

    #[test]
    fn bounds_in_the_wrong_order_are_refused() {
        let error = NumberSequence::new(5, 1).validate().expect_err("wrong order");
        assert_eq!(error.to_string(), "a number sequence ends before it starts: from 5 to 1");
    }
}
