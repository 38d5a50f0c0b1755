//! Records that the program brings along.

use std::ops::Range;
use std::sync::Arc;

use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{OperatorResult, OperatorRuntime, TARGET_BATCH_ROWS};
use pelton_runtime_core::source::{Boundedness, SourceFactory, SourcePoll, SourceReader};
use pelton_runtime_core::time::EpochMillis;

use crate::record::{Record, RecordBuilder};

use super::Source;

/// Given records, shared among the readers in contiguous parts. They become columns when they are read.
pub(super) struct CollectionSource<T> {
    records: Arc<[T]>,
}

impl<T: Record> CollectionSource<T> {
    pub(super) fn new(records: Vec<T>) -> Self {
        Self { records: records.into() }
    }
}

impl<T: Record> Source<T> for CollectionSource<T> {
    fn into_factory(self) -> Arc<dyn SourceFactory> {
        Arc::new(self)
    }

    fn parallelism(&self) -> Option<u32> {
        Some(1)
    }
}

impl<T: Record> SourceFactory for CollectionSource<T> {
    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn create(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SourceReader>> {
        // Counts and indexes fit together: a subtask's index is less than the parallelism.
        let bound = |subtask: u32| {
            (self.records.len() as u128 * u128::from(subtask) / u128::from(runtime.parallelism)) as usize
        };
        let left = bound(runtime.subtask)..bound(runtime.subtask + 1);
        Ok(Box::new(CollectionReader { records: self.records.clone(), left, builder: RecordBuilder::new() }))
    }
}

struct CollectionReader<T: Record> {
    records: Arc<[T]>,
    left: Range<usize>,
    builder: RecordBuilder<T>,
}

impl<T: Record> SourceReader for CollectionReader<T> {
    fn poll(&mut self, _: EpochMillis) -> OperatorResult<SourcePoll> {
        if self.left.is_empty() {
            return Ok(SourcePoll::End);
        }
        let end = self.left.end.min(self.left.start + TARGET_BATCH_ROWS);
        for record in &self.records[self.left.start..end] {
            self.builder.append(record);
        }
        self.left.start = end;
        Ok(SourcePoll::Batch(StreamBatch::new(self.builder.finish()?)))
    }
}

#[cfg(test)]
mod tests {
    use pelton_runtime_core::operator::harness::OperatorHarness;

    use super::*;
    use crate::record::RecordReader;

    fn read(source: &CollectionSource<i64>, subtask: u32, parallelism: u32) -> Vec<i64> {
        let runtime = OperatorRuntime { subtask, parallelism, ..OperatorHarness::runtime() };
        let mut reader = source.create(&runtime).unwrap();
        let mut found = Vec::new();
        while let SourcePoll::Batch(batch) = reader.poll(0).unwrap() {
            assert!(batch.num_rows() <= TARGET_BATCH_ROWS);
            found.extend(RecordReader::<i64>::open(batch.records()).unwrap().iter());
        }
        found
    }

    #[test]
    fn every_record_comes_once_at_any_parallelism() {
        for len in [0, 1, 5, 20_000] {
            let source = CollectionSource::new((0..len).collect());
            for parallelism in [1, 2, 7] {
                let found: Vec<i64> =
                    (0..parallelism).flat_map(|subtask| read(&source, subtask, parallelism)).collect();
                assert_eq!(found, (0..len).collect::<Vec<_>>());
            }
        }
    }
}
