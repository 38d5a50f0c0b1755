//! A source of generated data, as fast as possible or at a given rate.
//!
//! A checkpoint holds the numbers of the rows that are left, so what a generator makes must follow from their numbers.
//! The rate begins anew after a restart: rows that were not made while the job was down are not made up for.

use std::sync::Arc;

use arrow::array::RecordBatch;
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::{CheckpointId, StreamBatch};
use pelton_runtime_core::operator::{OperatorError, OperatorResult, OperatorRuntime, TARGET_BATCH_ROWS};
use pelton_runtime_core::source::{Boundedness, SourceFactory, SourcePoll, SourceReader};
use pelton_runtime_core::time::EpochMillis;

use crate::pacer::Pacer;
use crate::range::{RangeOrder, Ranges};

/// Makes rows out of their numbers.
pub trait BatchGenerator: Send {
    /// The rows numbered `first_index..first_index + rows`. No row is asked for twice, except after a restart
    /// from a checkpoint. Indexes of one reader ascend without gaps, unless the parallelism changed at a restart.
    ///
    /// # Errors
    ///
    /// When the rows cannot be made.
    fn generate(&mut self, first_index: u64, rows: usize) -> OperatorResult<RecordBatch>;
}

/// Makes the generator of one subtask.
pub type GeneratorFactory = dyn Fn(&OperatorRuntime) -> OperatorResult<Box<dyn BatchGenerator>> + Send + Sync;

/// Generates rows: a number of them or without end, at a rate or as fast as they are taken.
#[derive(Clone)]
pub struct DataGenerator {
    generator: Arc<GeneratorFactory>,
    count: Option<u64>,
    rows_per_second: Option<f64>,
}

impl DataGenerator {
    /// Rows without end, as fast as they are taken.
    pub fn new(
        generator: impl Fn(&OperatorRuntime) -> OperatorResult<Box<dyn BatchGenerator>> + Send + Sync + 'static,
    ) -> Self {
        Self { generator: Arc::new(generator), count: None, rows_per_second: None }
    }

    /// This many rows, of all subtasks together.
    #[must_use]
    pub fn count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// This many rows per second, of all subtasks together, evenly.
    #[must_use]
    pub fn rows_per_second(mut self, rows: f64) -> Self {
        self.rows_per_second = Some(rows);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// When the rate is not a positive number.
    pub fn validate(&self) -> OperatorResult {
        match self.rows_per_second {
            Some(rate) if !(rate.is_finite() && rate > 0.0) => {
                Err(OperatorError::data(format!("a rate of {rate} rows per second is not a positive number")))
            }
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for DataGenerator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataGenerator")
            .field("count", &self.count)
            .field("rows_per_second", &self.rows_per_second)
            .finish_non_exhaustive()
    }
}

impl SourceFactory for DataGenerator {
    fn boundedness(&self) -> Boundedness {
        match self.count {
            Some(_) => Boundedness::Bounded,
            None => Boundedness::ContinuousUnbounded,
        }
    }

    fn create(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SourceReader>> {
        self.validate()?;
        // Without a count, each reader has its part of all numbers there are, which nobody lives to see end.
        let (total, order) =
            self.count.map_or((i64::MAX as u64, RangeOrder::InTurn), |count| (count, RangeOrder::Ascending));
        Ok(Box::new(GeneratorReader {
            generator: (self.generator)(runtime)?,
            left: Ranges::share(total, order, runtime),
            runtime: runtime.clone(),
            pacer: self.rows_per_second.map(|rate| Pacer::new(rate, runtime.subtask, runtime.parallelism)),
        }))
    }
}

struct GeneratorReader {
    generator: Box<dyn BatchGenerator>,
    left: Ranges,
    runtime: OperatorRuntime,
    pacer: Option<Pacer>,
}

impl SourceReader for GeneratorReader {
    fn poll(&mut self, now: EpochMillis) -> OperatorResult<SourcePoll> {
        if self.left.is_empty() {
            return Ok(SourcePoll::End);
        }
        let due = self.pacer.as_mut().map_or(u64::MAX, |pacer| pacer.due(now));
        if due == 0 {
            return Ok(SourcePoll::Pending(self.pacer.as_ref().map(Pacer::next_due)));
        }
        let Some(indexes) = self.left.take(due.min(TARGET_BATCH_ROWS as u64)) else {
            return Ok(SourcePoll::End);
        };
        let rows = indexes.end - indexes.start;
        let batch = self.generator.generate(indexes.start, rows as usize)?;
        if batch.num_rows() as u64 != rows {
            return Err(OperatorError::data(format!("the generator made {} rows, not {rows}", batch.num_rows())));
        }
        if let Some(pacer) = &mut self.pacer {
            pacer.made(rows);
        }
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
    use arrow::array::{ArrayRef, AsArray, UInt64Array};
    use arrow::datatypes::UInt64Type;

    use super::*;
    use crate::testing::{place, rows_of};

    struct Indexes;

    impl BatchGenerator for Indexes {
        fn generate(&mut self, first_index: u64, rows: usize) -> OperatorResult<RecordBatch> {
            let indexes = UInt64Array::from_iter_values(first_index..first_index + rows as u64);
            Ok(RecordBatch::try_from_iter([("index", Arc::new(indexes) as ArrayRef)])?)
        }
    }

    fn indexes() -> DataGenerator {
        DataGenerator::new(|_| Ok(Box::new(Indexes)))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_count_is_kept_over_all_subtasks() {
        let generator = indexes().count(20_001);
        let mut found: Vec<u64> = (0..3)
            .flat_map(|subtask| rows_of(&generator, &place(subtask, 3)))
            .flat_map(|batch| batch.column(0).as_primitive::<UInt64Type>().values().to_vec())
            .collect();
        found.sort_unstable();
        assert_eq!(found, (0..20_001).collect::<Vec<_>>());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_rate_is_kept_by_the_clock_of_the_poll() {
        let mut reader = indexes().rows_per_second(10_000.0).create(&place(0, 1)).expect("valid");
        let (mut now, mut rows) = (1_000, 0);
        while now < 3_000 {
            match reader.poll(now).expect("generated") {
                SourcePoll::Batch(batch) => {
                    assert!(batch.num_rows() <= 11, "a burst of {}", batch.num_rows());
                    rows += batch.num_rows();
                }
                SourcePoll::Pending(Some(next)) => now = next,
                other => panic!("{other:?}"),
            }
        }
        assert!((19_980..=20_001).contains(&rows), "{rows}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_restored_reader_keeps_the_rate_and_goes_on_with_the_next_row() {
        let generator = indexes().rows_per_second(1000.0);
        let mut reader = generator.create(&place(0, 1)).expect("valid");
        for now in 0..50 {
            assert!(matches!(reader.poll(now).expect("generated"), SourcePoll::Batch(batch) if batch.num_rows() == 1));
        }
        let state = reader.snapshot(CheckpointId(1)).expect("a position");
        let mut reader = generator.create(&place(0, 1)).expect("valid");
        reader.restore(RestoredState::assign(&[state], place(0, 1).key_groups(), 0, 1)).expect("its own");
        for (index, now) in (60_000..60_050).enumerate() {
            let SourcePoll::Batch(batch) = reader.poll(now).expect("generated") else { panic!("a row is due") };
            let made = batch.records().column(0).as_primitive::<UInt64Type>().values().to_vec();
            assert_eq!(made, [50 + index as u64], "one row per millisecond, none is made up for");
        }
    }

    #[test]
    fn a_rate_that_is_no_rate_is_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(indexes().rows_per_second(rate).validate().is_err());
        }
    }
}
