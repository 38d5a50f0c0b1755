//! How far event time has come, from the records that came.

use arrow::array::RecordBatch;
use pelton_runtime_core::operator::OperatorResult;
use pelton_runtime_core::time::{EpochMillis, MIN_WATERMARK};

use crate::record::{Record, RecordReader};

/// Makes the watermarks of one subtask from its records.
pub trait WatermarkGenerator<T>: Send + 'static {
    /// A record with its event time.
    fn on_event(&mut self, record: &T, timestamp: EpochMillis);

    /// The watermark after the records so far; asked for after each batch. One that is not beyond the last is
    /// not emitted.
    fn current_watermark(&mut self) -> Option<EpochMillis>;
}

/// Looks at batches and answers with the watermark after them.
pub(super) trait Generator: Send {
    fn after(&mut self, records: &RecordBatch, times: &[EpochMillis]) -> OperatorResult<Option<EpochMillis>>;
}

/// Stays a fixed time behind the latest record.
pub(super) struct BoundedOutOfOrderness {
    bound: EpochMillis,
    latest: EpochMillis,
}

impl BoundedOutOfOrderness {
    pub(super) fn new(bound: EpochMillis) -> Self {
        Self { bound, latest: MIN_WATERMARK }
    }
}

impl Generator for BoundedOutOfOrderness {
    fn after(&mut self, _: &RecordBatch, times: &[EpochMillis]) -> OperatorResult<Option<EpochMillis>> {
        self.latest = times.iter().copied().fold(self.latest, EpochMillis::max);
        Ok(Some(self.latest.saturating_sub(self.bound).saturating_sub(1)))
    }
}

/// Shows every record to a generator of the user's.
pub(super) struct Custom<T: Record, G> {
    generator: G,
    scratch: T,
}

impl<T: Record, G> Custom<T, G> {
    pub(super) fn new(generator: G) -> Self {
        Self { generator, scratch: T::scratch() }
    }
}

impl<T: Record, G: WatermarkGenerator<T>> Generator for Custom<T, G> {
    fn after(&mut self, records: &RecordBatch, times: &[EpochMillis]) -> OperatorResult<Option<EpochMillis>> {
        let reader = RecordReader::<T>::open(records)?;
        for (row, time) in times.iter().enumerate() {
            reader.read_into(row, &mut self.scratch);
            self.generator.on_event(&self.scratch, *time);
        }
        Ok(self.generator.current_watermark())
    }
}
