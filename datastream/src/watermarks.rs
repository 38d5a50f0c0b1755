//! Event time: where records' times come from, and the watermarks that follow them.
//!
//! ```text
//!  batch ─► times: from a column, a closure, or as they are ─► generator ─► batch with times, watermark if it advanced
//! ```
//!
//! A watermark `t` says that no record with a time of `t` or before follows, except late ones. It is emitted after each
//! batch, as often as it advances, unless `pipeline.auto-watermark-interval` spaces them out. Times and watermarks are milliseconds since the
//! epoch. Watermarks from upstream are replaced by those made here, all but the last one, which ends the stream's time.
//!
//! Where a source reads several splits side by side, each has a generator of its own, and the stream's watermark is the least of
//! them. With watermark alignment a subtask, or a split, that is too far ahead of the others of its group waits.
//!
//! Invariants: emitted watermarks only grow; a record without a time fails the job rather than being lost later.

mod assigner;
mod by_split;
mod generator;
mod idleness;
mod operator;
mod pace;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use pelton_runtime_core::config::{Configuration, options};
use pelton_runtime_core::operator::{Operator, OperatorError, OperatorResult, OperatorRuntime};
use pelton_runtime_core::time::EpochMillis;
use pelton_runtime_core::watermark_groups::WatermarkAlignment;

use crate::record::{Column, Record};
use crate::stream::{DataStream, Parallel};

use self::assigner::{Assigner, ByClosure, ByColumn};
use self::by_split::{BySplit, MakeGenerator};
use self::generator::{BoundedOutOfOrderness, Custom};
use self::operator::{Alignment, TimestampsAndWatermarks};
use self::pace::Interval;

pub use assigner::EventTime;
pub use generator::WatermarkGenerator;

/// How a stream's records get their event times, and how far its event time has come.
///
/// ```
/// use std::time::Duration;
///
/// use pelton::record::{Record, Timestamp};
/// use pelton::watermarks::WatermarkStrategy;
///
/// #[derive(Clone, Record)]
/// struct Trip {
///     driver: String,
///     started: Timestamp,
/// }
///
/// WatermarkStrategy::<Trip>::for_bounded_out_of_orderness(Duration::from_secs(5))
///     .with_timestamp_column(Trip::started)
///     .with_idleness(Duration::from_secs(60));
/// ```
#[must_use]
pub struct WatermarkStrategy<T: Record> {
    assigner: Option<Arc<dyn Fn() -> Box<dyn Assigner> + Send + Sync>>,
    generator: Option<MakeGenerator>,
    idleness: Option<Duration>,
    alignment: Option<WatermarkAlignment>,
    records: std::marker::PhantomData<fn(&T)>,
}

impl<T: Record> WatermarkStrategy<T> {
    /// Records may come up to `bound` later than records with later times; the watermark stays that far, and a
    /// millisecond, behind the latest time.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::TumblingEventTimeWindows;
    /// use pelton::record::field;
    /// use pelton::watermarks::WatermarkStrategy;
    ///
    /// // A time and a number.
    /// let (readings, input) = harness.source::<(i64, i64)>();
    /// let strategy = WatermarkStrategy::<(i64, i64)>::for_bounded_out_of_orderness(Duration::from_millis(5))
    ///     .with_timestamp_column(field::<0, _>());
    /// let readings = readings.assign_timestamps_and_watermarks(strategy);
    /// let sums = readings.window_all(TumblingEventTimeWindows::of(Duration::from_millis(10))).sum(field::<1, _>());
    /// let sums = harness.collect(sums.map(|sum| sum.1));
    /// harness.push_untimed(&input, [(1, 1), (12, 2), (9, 4), (15, 8), (3, 16)])?;
    /// harness.end()?;
    /// assert_eq!(sums.take_records(), [1 + 4 + 16, 2 + 8]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn for_bounded_out_of_orderness(bound: Duration) -> Self {
        let bound = millis(bound);
        Self::with(Some(Arc::new(move || Box::new(BoundedOutOfOrderness::new(bound)))))
    }

    /// Times never go back within a subtask.
    ///
    /// ```
    /// use pelton::record::field;
    /// use pelton::watermarks::WatermarkStrategy;
    ///
    /// WatermarkStrategy::<(String, i64)>::for_monotonous_timestamps().with_timestamp_column(field::<1, _>());
    /// ```
    pub fn for_monotonous_timestamps() -> Self {
        Self::for_bounded_out_of_orderness(Duration::ZERO)
    }

    /// Event time does not advance. Records may still get times.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use pelton::sources::DataGeneratorSource;
    /// use pelton::watermarks::WatermarkStrategy;
    ///
    /// let numbers = DataGeneratorSource::<i64>::new(|index| index as i64).count(3);
    /// let numbers = env.from_source(numbers, WatermarkStrategy::no_watermarks(), "numbers");
    /// assert_eq!(numbers.execute_and_collect("example")?.collect::<Result<Vec<_>, _>>()?, [0, 1, 2]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn no_watermarks() -> Self {
        Self::with(None)
    }

    /// Watermarks of your own making; every subtask has a generator of its own.
    ///
    /// ```
    /// use pelton::watermarks::{WatermarkGenerator, WatermarkStrategy};
    ///
    /// /// Records that are negative say how far time has come.
    /// #[derive(Default)]
    /// struct Punctuated(Option<i64>);
    ///
    /// impl WatermarkGenerator<i64> for Punctuated {
    ///     fn on_event(&mut self, record: &i64, timestamp: i64) {
    ///         if *record < 0 {
    ///             self.0 = Some(timestamp);
    ///         }
    ///     }
    ///     fn current_watermark(&mut self) -> Option<i64> {
    ///         self.0
    ///     }
    /// }
    ///
    /// WatermarkStrategy::for_generator(Punctuated::default);
    /// ```
    pub fn for_generator<G: WatermarkGenerator<T>>(make: impl Fn() -> G + Parallel) -> Self {
        Self::with(Some(Arc::new(move || Box::new(Custom::new(make())))))
    }

    fn with(generator: Option<MakeGenerator>) -> Self {
        Self { assigner: None, generator, idleness: None, alignment: None, records: std::marker::PhantomData }
    }

    /// Takes times from a closure, in milliseconds since the epoch. Prefer a
    /// [column](Self::with_timestamp_column) where one holds the time: it is not read row by row.
    ///
    /// ```
    /// use pelton::watermarks::WatermarkStrategy;
    ///
    /// /// Text that begins with seconds since the epoch.
    /// fn time_of(line: &String) -> i64 {
    ///     line.split(' ').next().and_then(|seconds| seconds.parse::<i64>().ok()).unwrap_or_default() * 1_000
    /// }
    ///
    /// WatermarkStrategy::<String>::for_monotonous_timestamps().with_timestamp_assigner(time_of);
    /// ```
    pub fn with_timestamp_assigner(mut self, assign: impl Fn(&T) -> EpochMillis + Parallel) -> Self {
        let assign = Arc::new(assign);
        self.assigner = Some(Arc::new(move || Box::new(ByClosure::new(assign.clone()))));
        self
    }

    /// Takes times from a column. A NULL in it fails the job: a record without a time has no place in event time, so
    /// filter such records before.
    ///
    /// ```
    /// use pelton::record::{Record, Timestamp};
    /// use pelton::watermarks::WatermarkStrategy;
    ///
    /// #[derive(Clone, Record)]
    /// struct Trip {
    ///     driver: String,
    ///     started: Timestamp,
    /// }
    ///
    /// WatermarkStrategy::<Trip>::for_monotonous_timestamps().with_timestamp_column(Trip::started);
    /// ```
    pub fn with_timestamp_column<F: EventTime>(mut self, column: Column<T, F>) -> Self {
        self.assigner = Some(Arc::new(move || Box::new(ByColumn::new(column.name()))));
        self
    }

    /// A subtask, or a split of one that reads several side by side, that has had no record for this long, in wall-clock
    /// time, does not hold back the others' watermarks. Time in which the task could not run, because its readers were slow, does not count.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use pelton::record::field;
    /// use pelton::watermarks::WatermarkStrategy;
    ///
    /// WatermarkStrategy::<(String, i64)>::for_bounded_out_of_orderness(Duration::from_secs(5))
    ///     .with_timestamp_column(field::<1, _>())
    ///     .with_idleness(Duration::from_secs(60));
    /// ```
    pub fn with_idleness(mut self, timeout: Duration) -> Self {
        self.idleness = Some(timeout);
        self
    }

    /// Readers of all sources of a job whose strategies name the same group wait for each other: none is further than
    /// `max_drift` ahead of the last in event time, as far as it is known; they are compared every `update_interval`. So what
    /// joins them need not keep what the fastest has brought.
    ///
    /// For a strategy that is given to `from_source`. Of a source that reads several splits side by side, those wait that
    /// are ahead, unless `pipeline.watermark-alignment.allow-unaligned-source-splits` is set. A subtask without
    /// records holds the others up, like one without a watermark: add [`with_idleness`](Self::with_idleness) where
    /// that may be.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use pelton::record::field;
    /// use pelton::watermarks::WatermarkStrategy;
    ///
    /// WatermarkStrategy::<(String, i64)>::for_monotonous_timestamps()
    ///     .with_timestamp_column(field::<1, _>())
    ///     .with_watermark_alignment("orders and payments", Duration::from_secs(20), Duration::from_secs(1));
    /// ```
    pub fn with_watermark_alignment(mut self, group: &str, max_drift: Duration, update_interval: Duration) -> Self {
        let update_interval = update_interval.max(Duration::from_millis(1));
        self.alignment = Some(WatermarkAlignment { group: group.into(), max_drift, update_interval });
        self
    }

    /// Whether the strategy changes nothing.
    pub(crate) fn is_noop(&self) -> bool {
        self.assigner.is_none() && self.generator.is_none() && self.idleness.is_none() && self.alignment.is_none()
    }

    fn operator(&self, interval: Interval, tolerates_sources_that_cannot: bool) -> TimestampsAndWatermarks {
        let wanted = |group| Alignment::Wanted { group, tolerates_sources_that_cannot };
        let alignment = self.alignment.clone().map_or(Alignment::None, wanted);
        TimestampsAndWatermarks::new(
            self.assigner.as_ref().map(|make| make()),
            BySplit::new(self.generator.clone(), self.idleness.map(millis)),
            interval,
            alignment,
        )
    }
}

impl<T: Record> Clone for WatermarkStrategy<T> {
    fn clone(&self) -> Self {
        Self {
            assigner: self.assigner.clone(),
            generator: self.generator.clone(),
            idleness: self.idleness,
            alignment: self.alignment.clone(),
            records: self.records,
        }
    }
}

impl<T: Record> std::fmt::Debug for WatermarkStrategy<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { idleness, alignment, .. } = self;
        let mut shown = f.debug_struct("WatermarkStrategy");
        shown.field("idleness", idleness).field("alignment", alignment).finish_non_exhaustive()
    }
}

impl<T: Record> DataStream<T> {
    /// Gives records their event times and the stream its watermarks.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::TumblingEventTimeWindows;
    /// use pelton::record::field;
    /// use pelton::watermarks::WatermarkStrategy;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let times = WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_millis(5));
    /// let words = words.assign_timestamps_and_watermarks(times.with_timestamp_column(field::<1, _>()));
    /// let windows = TumblingEventTimeWindows::of(Duration::from_millis(10));
    /// let last = harness.collect(words.key_by(field::<0, _>()).window(windows).max(field::<1, _>()));
    /// harness.push_untimed(&input, [("a", 3), ("a", 14)])?;
    /// assert!(last.take_records().is_empty(), "records up to 9 may still come");
    /// harness.push_untimed(&input, [("a", 15), ("a", 4)])?;
    /// assert_eq!(last.take_records(), [("a".to_owned(), 4)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn assign_timestamps_and_watermarks(self, strategy: WatermarkStrategy<T>) -> Self {
        let factory = move |runtime: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            let (interval, tolerates_sources_that_cannot) = configured(runtime)?;
            Ok(Box::new(strategy.operator(interval, tolerates_sources_that_cannot)))
        };
        self.transform("Timestamps/Watermarks", Arc::new(factory))
    }
}

/// How often watermarks are emitted, and whether sources are put up with that cannot let single splits wait.
fn configured(runtime: &OperatorRuntime) -> OperatorResult<(Interval, bool)> {
    let configuration = Configuration::from_map((*runtime.configuration).clone())
        .map_err(|error| OperatorError::external("cannot read the job's configuration", error))?;
    let interval = Interval::of(configuration.get(&options::pipeline::AUTO_WATERMARK_INTERVAL));
    Ok((interval, configuration.get(&options::pipeline::ALLOW_UNALIGNED_SOURCE_SPLITS)))
}

fn millis(duration: Duration) -> EpochMillis {
    EpochMillis::try_from(duration.as_millis()).unwrap_or(EpochMillis::MAX)
}
