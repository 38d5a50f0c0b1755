//! How far event time has come, from the records that came.

use arrow::array::RecordBatch;
use pelton_runtime_core::operator::OperatorResult;
use pelton_runtime_core::time::{EpochMillis, MIN_WATERMARK};

use crate::record::{Record, RecordReader};

/// Makes the watermarks of one subtask from its records.
///
/// ```
/// # use pelton::testing::Harness;
/// # fn main() -> Result<(), pelton::testing::TestError> {
/// # let mut harness = Harness::new();
/// use std::time::Duration;
///
/// use pelton::keyed::TumblingEventTimeWindows;
/// use pelton::record::field;
/// use pelton::watermarks::{WatermarkGenerator, WatermarkStrategy};
///
/// /// Records `end` say how far time has come.
/// #[derive(Default)]
/// struct Punctuated(Option<i64>);
///
/// impl WatermarkGenerator<(String, i64)> for Punctuated {
///     fn on_event(&mut self, record: &(String, i64), timestamp: i64) {
///         if record.0 == "end" {
///             self.0 = Some(timestamp);
///         }
///     }
///
///     fn current_watermark(&mut self) -> Option<i64> {
///         self.0
///     }
/// }
///
/// let (readings, input) = harness.source::<(String, i64)>();
/// let times = WatermarkStrategy::for_generator(Punctuated::default).with_timestamp_column(field::<1, _>());
/// let windows = TumblingEventTimeWindows::of(Duration::from_millis(10));
/// let readings = readings.assign_timestamps_and_watermarks(times).key_by(field::<0, _>()).window(windows);
/// let latest = harness.collect(readings.max(field::<1, _>()));
/// harness.push_untimed(&input, [("a", 3), ("a", 25), ("a", 7)])?;
/// assert!(latest.take_records().is_empty(), "nothing has said that the first window is over");
/// harness.push_untimed(&input, [("end", 12)])?;
/// assert_eq!(latest.take_records(), [("a".to_owned(), 7)]);
/// # Ok(())
/// # }
/// ```
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
