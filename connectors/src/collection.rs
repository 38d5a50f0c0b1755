//! Batches that the program brings along. A checkpoint holds which rows are left, by number: the program brings the same
//! again.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::{CheckpointId, StreamBatch};
use pelton_runtime_core::operator::{OperatorError, OperatorResult, OperatorRuntime, TARGET_BATCH_ROWS};
use pelton_runtime_core::source::{Boundedness, SourceFactory, SourcePoll, SourceReader};
use pelton_runtime_core::time::EpochMillis;

use crate::range::{RangeOrder, Ranges};

/// The rows of given batches, shared among the readers in contiguous parts.
#[derive(Debug, Clone)]
pub struct Collection {
    schema: SchemaRef,
    batches: Arc<[RecordBatch]>,
}

impl Collection {
    /// The rows of `batches`, which all have this schema.
    ///
    /// # Errors
    ///
    /// When one of them has another.
    pub fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> OperatorResult<Self> {
        if let Some(other) = batches.iter().find(|batch| batch.schema() != schema) {
            return Err(OperatorError::data(format!(
                "a collection has batches of two schemas: {} and {}",
                schema,
                other.schema()
            )));
        }
        Ok(Self { schema, batches: batches.into() })
    }

    /// The batches' schema.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

impl SourceFactory for Collection {
    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn create(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SourceReader>> {
        let ends: Vec<u64> = self
            .batches
            .iter()
            .scan(0, |end, batch| {
                *end += batch.num_rows() as u64;
                Some(*end)
            })
            .collect();
        Ok(Box::new(CollectionReader {
            batches: Arc::clone(&self.batches),
            left: Ranges::share(ends.last().copied().unwrap_or(0), RangeOrder::Ascending, runtime),
            ends,
            runtime: runtime.clone(),
        }))
    }
}

struct CollectionReader {
    batches: Arc<[RecordBatch]>,
    /// The number of the row after each batch.
    ends: Vec<u64>,
    left: Ranges,
    runtime: OperatorRuntime,
}

impl SourceReader for CollectionReader {
    fn poll(&mut self, _now: EpochMillis) -> OperatorResult<SourcePoll> {
        let Some(first) = self.left.first() else {
            return Ok(SourcePoll::End);
        };
        // What is left lies below the last end, or it would not have been taken back.
        let index = self.ends.partition_point(|end| *end <= first);
        let batch = &self.batches[index];
        let in_batch = self.ends[index] - first;
        let Some(rows) = self.left.take(in_batch.min(TARGET_BATCH_ROWS as u64)) else {
            return Ok(SourcePoll::End);
        };
        // Both are at most the batch's number of rows.
        let part = batch.slice(batch.num_rows() - in_batch as usize, (rows.end - rows.start) as usize);
        Ok(SourcePoll::Batch(StreamBatch::new(part)))
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
    use arrow::array::{ArrayRef, AsArray, Int32Array};
    use arrow::datatypes::Int32Type;

    use super::*;
    use crate::testing::{check_restarts, place, rows_of};

    #[tokio::test(flavor = "multi_thread")]
    async fn every_row_comes_once_at_any_parallelism() {
        let batch = |from: i32, to: i32| {
            let column: ArrayRef = Arc::new(Int32Array::from_iter_values(from..to));
            RecordBatch::try_from_iter([("n", column)]).expect("one column")
        };
        let batches = vec![batch(0, 3), batch(3, 3), batch(3, 10_000), batch(10_000, 10_001)];
        let collection = Collection::new(batches[0].schema(), batches).expect("one schema");
        for parallelism in [1, 2, 5, 20] {
            let found: Vec<i32> = (0..parallelism)
                .flat_map(|subtask| rows_of(&collection, &place(subtask, parallelism)))
                .flat_map(|batch| batch.column(0).as_primitive::<Int32Type>().values().to_vec())
                .collect();
            assert_eq!(found, (0..10_001).collect::<Vec<_>>());
        }
    }
    #[tokio::test(flavor = "multi_thread")]
    async fn a_collection_goes_on_at_another_parallelism() {
        let batch = |from: i32, to: i32| {
            let column: ArrayRef = Arc::new(Int32Array::from_iter_values(from..to));
            RecordBatch::try_from_iter([("n", column)]).expect("one column")
        };
        let batches = vec![batch(0, 3), batch(3, 3), batch(3, 40_000), batch(40_000, 40_001)];
        let collection = Collection::new(batches[0].schema(), batches).expect("one schema");
        let found = check_restarts(&collection, &[(2, 1), (3, 2), (1, 1), (5, 99)], |batch| {
            batch.column(0).as_primitive::<Int32Type>().values().to_vec()
        });
        assert_eq!(found, (0..40_001).collect::<Vec<_>>());
    }
}
