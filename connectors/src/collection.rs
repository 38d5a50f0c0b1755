//! Batches that the program brings along.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{OperatorError, OperatorResult, OperatorRuntime, TARGET_BATCH_ROWS};
use pelton_runtime_core::source::{Boundedness, SourceFactory, SourcePoll, SourceReader};
use pelton_runtime_core::time::EpochMillis;

use crate::range::share;

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
        let total = self.batches.iter().map(|batch| batch.num_rows() as u64).sum();
        let part = share(total, runtime.subtask, runtime.parallelism);
        Ok(Box::new(CollectionReader {
            batches: Arc::clone(&self.batches),
            batch: 0,
            // Both are smaller than what is in memory.
            row: part.start as usize,
            left: (part.end - part.start) as usize,
        }))
    }
}

struct CollectionReader {
    batches: Arc<[RecordBatch]>,
    batch: usize,
    /// The next row of the batch; beyond its end before the reader's first.
    row: usize,
    left: usize,
}

impl SourceReader for CollectionReader {
    fn poll(&mut self, _now: EpochMillis) -> OperatorResult<SourcePoll> {
        while self.left > 0 {
            let batch = &self.batches[self.batch];
            if self.row >= batch.num_rows() {
                self.row -= batch.num_rows();
                self.batch += 1;
                continue;
            }
            let rows = self.left.min(batch.num_rows() - self.row).min(TARGET_BATCH_ROWS);
            let part = batch.slice(self.row, rows);
            self.row += rows;
            self.left -= rows;
            return Ok(SourcePoll::Batch(StreamBatch::new(part)));
        }
        Ok(SourcePoll::End)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, AsArray, Int32Array};
    use arrow::datatypes::Int32Type;

    use super::*;
    use crate::testing::{place, rows_of};

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
}
