//! Records that the program brings along.

use std::sync::Arc;

use pelton_connectors::{RangeOrder, Ranges};
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::{CheckpointId, StreamBatch};
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
        Ok(Box::new(CollectionReader {
            records: self.records.clone(),
            left: Ranges::share(self.records.len() as u64, RangeOrder::Ascending, runtime),
            builder: RecordBuilder::new(),
            runtime: runtime.clone(),
        }))
    }
}

struct CollectionReader<T: Record> {
    records: Arc<[T]>,
    left: Ranges,
    builder: RecordBuilder<T>,
    runtime: OperatorRuntime,
}

impl<T: Record> SourceReader for CollectionReader<T> {
    fn poll(&mut self, _: EpochMillis) -> OperatorResult<SourcePoll> {
        let Some(rows) = self.left.take(TARGET_BATCH_ROWS as u64) else {
            return Ok(SourcePoll::End);
        };
        // They are indexes of what is in memory.
        for record in &self.records[rows.start as usize..rows.end as usize] {
            self.builder.append(record);
        }
        Ok(SourcePoll::Batch(StreamBatch::new(self.builder.finish()?)))
    }

    fn snapshot(&mut self, _: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        self.left.snapshot()
    }

    fn restore(&mut self, state: RestoredState) -> OperatorResult {
        self.left.restore(state, &self.runtime)
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
    fn records_that_are_left_come_at_another_parallelism() {
        let source = CollectionSource::new((0..20_000i64).collect());
        let mut first = source.create(&OperatorHarness::runtime()).unwrap();
        assert!(matches!(first.poll(0).unwrap(), SourcePoll::Batch(_)));
        let state = [first.snapshot(CheckpointId(1)).unwrap()];
        let mut found = 0;
        for subtask in 0..3 {
            let runtime = OperatorRuntime { subtask, parallelism: 3, ..OperatorHarness::runtime() };
            let mut reader = source.create(&runtime).unwrap();
            reader.restore(RestoredState::assign(&state, runtime.key_groups(), subtask, 3)).unwrap();
            while let SourcePoll::Batch(batch) = reader.poll(0).unwrap() {
                found += batch.num_rows();
            }
        }
        assert_eq!(found, 20_000 - TARGET_BATCH_ROWS);
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
