//! `WindowedStream<T, K>`: what can be computed per key and window.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use pelton_runtime_core::operator::{Operator, OperatorError, OperatorResult, OperatorRuntime};
use pelton_runtime_core::window::{
    ColumnFunction, GroupAggregate, TimeWindow, WindowAssigner, WindowAssignment, WindowOperator, WindowSettings,
};

use crate::record::{Column, Record};
use crate::stream::{Collector, DataStream, OutputTag, Parallel, SideOutputs};

use super::KeyedStream;
use super::aggregate_function::AggregateFunction;
use super::evictors::Evictor;
use super::operators::triggered::Windowing;
use super::operators::window::{
    Accumulate, Aggregate, AllRows, Collect, EmitReduced, EmitResult, EmitWindow, EmitWith, Reduce, Reduced, ResultOf,
    WindowFunctions, instances_of,
};
use super::rolling::{greatest_by, in_place, least_by};
use super::triggered_windows::{AllElements, Evicted, TriggeredStream, Windows};
use super::triggers::{AssignersTrigger, Trigger};
use super::windows::millis;

/// A keyed stream cut into windows. Results carry their window's last millisecond as event time.
///
/// ```no_run
/// # use std::time::Duration;
/// # use pelton::stream::DataStream;
/// # use pelton::record::field;
/// use pelton::keyed::TumblingEventTimeWindows;
///
/// # fn counts(words: DataStream<(String, i64)>) -> DataStream<(String, i64)> {
/// words
///     .key_by(field::<0, _>())
///     .window(TumblingEventTimeWindows::of(Duration::from_secs(60)))
///     .allowed_lateness(Duration::from_secs(5))
///     .sum(field::<1, _>())
/// # }
/// ```
pub struct WindowedStream<T: Record, K: Record> {
    keyed: KeyedStream<T, K>,
    windows: WindowAssignment,
    allowed_lateness_ms: i64,
    late: Option<OutputTag<T>>,
    key_type: PhantomData<fn() -> K>,
}

impl<T: Record, K: Record> KeyedStream<T, K> {
    /// Cuts the records of every key into windows, such as
    /// [`TumblingEventTimeWindows::of`](super::TumblingEventTimeWindows::of), or keeps them all in one window
    /// ([`GlobalWindows`](super::GlobalWindows)).
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::{TumblingEventTimeWindows};
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let windows = words.key_by(field::<0, _>()).window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
    /// let results = windows.sum(field::<1, _>());
    /// let results = harness.collect::<(String, i64)>(results);
    /// harness.push(&input, [(("a", 3), 0), (("a", 2), 9), (("a", 7), 10)])?;
    /// harness.end()?;
    /// assert_eq!(results.take_records(), [("a".to_owned(), 5), ("a".to_owned(), 7)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn window<W: Windows<T>>(self, windows: W) -> W::Windowed<K> {
        windows.windowed(self)
    }
}

impl<T: Record> Windows<T> for WindowAssigner {
    type Windowed<K: Record> = WindowedStream<T, K>;

    fn windowed<K: Record>(self, keyed: KeyedStream<T, K>) -> WindowedStream<T, K> {
        WindowedStream::new(keyed, self.into())
    }
}

impl<T: Record, K: Record> WindowedStream<T, K> {
    pub(super) fn new(keyed: KeyedStream<T, K>, windows: WindowAssignment) -> Self {
        Self { keyed, windows, allowed_lateness_ms: 0, late: None, key_type: PhantomData }
    }

    /// How long after its end a window of event time takes late records; each makes it fire again.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::TumblingEventTimeWindows;
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let windows = words.key_by(field::<0, _>()).window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
    /// let sums = harness.collect(windows.allowed_lateness(Duration::from_millis(5)).sum(field::<1, _>()));
    /// harness.push(&input, [(("a", 3), 0)])?;
    /// harness.watermark(&input, 9)?;
    /// harness.push(&input, [(("a", 2), 1)])?;
    /// harness.watermark(&input, 14)?;
    /// harness.push(&input, [(("a", 100), 1)])?; // too late even so
    /// assert_eq!(sums.take_records(), [("a".to_owned(), 3), ("a".to_owned(), 5)]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn allowed_lateness(self, lateness: Duration) -> Self {
        Self { allowed_lateness_ms: millis(lateness), ..self }
    }

    /// Where records go that come too late even so: `get_side_output` of the result has them. Without it, or when
    /// nobody reads it, they are counted in `numLateRecordsDropped`.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::TumblingEventTimeWindows;
    /// use pelton::record::field;
    /// use pelton::stream::OutputTag;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let late = OutputTag::new("late");
    /// let windows = words.key_by(field::<0, _>()).window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
    /// let sums = windows.side_output_late_data(&late).sum(field::<1, _>());
    /// let late = harness.collect(sums.get_side_output(&late));
    /// harness.collect(sums);
    /// harness.watermark(&input, 9)?;
    /// harness.push(&input, [(("a", 3), 0)])?;
    /// assert_eq!(late.take_records(), [("a".to_owned(), 3)]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn side_output_late_data(self, tag: &OutputTag<T>) -> Self {
        Self { late: Some(tag.clone()), ..self }
    }

    /// Fires windows when `trigger` says so, and not merely at their end. Such windows are computed record by record;
    /// where the end will do, windows without a trigger are many times faster.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::{TumblingEventTimeWindows, CountTrigger};
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let windows = words.key_by(field::<0, _>()).window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
    /// let results = windows.trigger(CountTrigger::of(2)).reduce(|a, b| (a.0.clone(), a.1 + b.1));
    /// let results = harness.collect::<(String, i64)>(results);
    /// harness.push(&input, [(("a", 3), 0), (("a", 2), 9), (("a", 7), 10)])?;
    /// harness.end()?;
    /// assert_eq!(results.take_records(), [("a".to_owned(), 5)]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When the windows are sessions, and the trigger does not work for windows that merge.
    #[track_caller]
    pub fn trigger<R: Trigger<T>>(self, trigger: R) -> TriggeredStream<T, K, R, AllElements> {
        let windowing = Windowing::Time(self.windows);
        TriggeredStream::new(self.keyed, windowing, self.allowed_lateness_ms, self.late, trigger)
    }

    /// Takes elements out of windows when they fire, at their end. All elements are kept for that, whatever is computed
    /// of them.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::{TumblingEventTimeWindows, CountEvictor};
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let windows = words.key_by(field::<0, _>()).window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
    /// let results = windows.evictor(CountEvictor::of(1)).reduce(|a, b| (a.0.clone(), a.1 + b.1));
    /// let results = harness.collect::<(String, i64)>(results);
    /// harness.push(&input, [(("a", 3), 0), (("a", 2), 9), (("a", 7), 10)])?;
    /// harness.end()?;
    /// assert_eq!(results.take_records(), [("a".to_owned(), 2), ("a".to_owned(), 7)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn evictor<V: Evictor<T>>(self, evictor: V) -> TriggeredStream<T, K, AssignersTrigger, Evicted<V>> {
        self.with_default_trigger().evictor(evictor)
    }

    /// These windows with the trigger that they have anyhow.
    pub(super) fn with_default_trigger(self) -> TriggeredStream<T, K, AssignersTrigger, AllElements> {
        let domain = self.windows.domain();
        self.trigger(AssignersTrigger(domain))
    }

    /// Reduces the records of each key and window into one.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::{TumblingEventTimeWindows};
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let windows = words.key_by(field::<0, _>()).window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
    /// let results = windows.reduce(|a, b| (a.0.clone(), a.1 * b.1));
    /// let results = harness.collect::<(String, i64)>(results);
    /// harness.push(&input, [(("a", 3), 0), (("a", 2), 9), (("a", 7), 10)])?;
    /// harness.end()?;
    /// assert_eq!(results.take_records(), [("a".to_owned(), 6), ("a".to_owned(), 7)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn reduce(self, reduce: impl Fn(&T, &T) -> T + Parallel) -> DataStream<T> {
        self.functions(Reduce(Arc::new(reduce)), instances_of(EmitReduced))
    }

    /// Reduces the records of each key and window into one, and gives it to a function with key and window.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::{TumblingEventTimeWindows};
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let windows = words.key_by(field::<0, _>()).window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
    /// let results = windows.reduce_with(
    ///     |a, b| (a.0.clone(), a.1 + b.1),
    ///     |word, window, total, out| out.collect((word.as_str(), window.end, total.1)),
    /// );
    /// let results = harness.collect::<(String, i64, i64)>(results);
    /// harness.push(&input, [(("a", 3), 0), (("a", 2), 9), (("a", 7), 10)])?;
    /// harness.end()?;
    /// assert_eq!(results.take_records(), [("a".to_owned(), 10, 5), ("a".to_owned(), 20, 7)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn reduce_with<U: Record>(
        self,
        reduce: impl Fn(&T, &T) -> T + Parallel,
        function: impl Fn(&K, &TimeWindow, &T, &mut Collector<'_, U>) + Parallel,
    ) -> DataStream<U> {
        let function = move |key: &K, window: &TimeWindow, reduced: &[T], out: &mut Collector<'_, U>| {
            reduced.iter().for_each(|reduced| function(key, window, reduced, out));
        };
        let emit = EmitWith { view: Reduced, function: Arc::new(function) };
        self.functions(Reduce(Arc::new(reduce)), instances_of(emit))
    }

    /// Aggregates the records of each key and window.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::{TumblingEventTimeWindows, AggregateFunction};
    /// use pelton::record::field;
    ///
    /// #[derive(Clone)]
    /// struct Mean;
    ///
    /// impl AggregateFunction for Mean {
    ///     type In = (String, i64);
    ///     type Accumulator = (i64, i64);
    ///     type Out = f64;
    ///
    ///     fn create_accumulator(&self) -> (i64, i64) {
    ///         (0, 0)
    ///     }
    ///     fn add(&self, value: &(String, i64), (sum, count): &mut (i64, i64)) {
    ///         *sum += value.1;
    ///         *count += 1;
    ///     }
    ///     fn get_result(&self, (sum, count): &(i64, i64)) -> f64 {
    ///         *sum as f64 / *count as f64
    ///     }
    ///     fn merge(&self, into: &mut (i64, i64), other: &(i64, i64)) {
    ///         into.0 += other.0;
    ///         into.1 += other.1;
    ///     }
    /// }
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let windows = words.key_by(field::<0, _>()).window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
    /// let results = windows.aggregate(Mean);
    /// let results = harness.collect::<f64>(results);
    /// harness.push(&input, [(("a", 3), 0), (("a", 2), 9), (("a", 7), 10)])?;
    /// harness.end()?;
    /// assert_eq!(results.take_records(), [2.5, 7.0]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn aggregate<A: AggregateFunction<In = T>>(self, function: A) -> DataStream<A::Out> {
        self.functions(Aggregate(function.clone()), instances_of(EmitResult(function)))
    }

    /// Aggregates the records of each key and window, and gives the result to a function with key and window.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::{TumblingEventTimeWindows, AggregateFunction};
    /// use pelton::record::field;
    ///
    /// #[derive(Clone)]
    /// struct Mean;
    ///
    /// impl AggregateFunction for Mean {
    ///     type In = (String, i64);
    ///     type Accumulator = (i64, i64);
    ///     type Out = f64;
    ///
    ///     fn create_accumulator(&self) -> (i64, i64) {
    ///         (0, 0)
    ///     }
    ///     fn add(&self, value: &(String, i64), (sum, count): &mut (i64, i64)) {
    ///         *sum += value.1;
    ///         *count += 1;
    ///     }
    ///     fn get_result(&self, (sum, count): &(i64, i64)) -> f64 {
    ///         *sum as f64 / *count as f64
    ///     }
    ///     fn merge(&self, into: &mut (i64, i64), other: &(i64, i64)) {
    ///         into.0 += other.0;
    ///         into.1 += other.1;
    ///     }
    /// }
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let windows = words.key_by(field::<0, _>()).window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
    /// let results = windows.aggregate_with(Mean, |word, window, mean, out| {
    ///     out.collect((word.as_str(), window.end, *mean));
    /// });
    /// let results = harness.collect::<(String, i64, f64)>(results);
    /// harness.push(&input, [(("a", 3), 0), (("a", 2), 9), (("a", 7), 10)])?;
    /// harness.end()?;
    /// assert_eq!(results.take_records(), [("a".to_owned(), 10, 2.5), ("a".to_owned(), 20, 7.0)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn aggregate_with<A: AggregateFunction<In = T>, U: Record>(
        self,
        aggregate: A,
        function: impl Fn(&K, &TimeWindow, &A::Out, &mut Collector<'_, U>) + Parallel,
    ) -> DataStream<U> {
        let function = move |key: &K, window: &TimeWindow, results: &[A::Out], out: &mut Collector<'_, U>| {
            results.iter().for_each(|result| function(key, window, result, out));
        };
        let emit = EmitWith { view: ResultOf(aggregate.clone()), function: Arc::new(function) };
        self.functions(Aggregate(aggregate), instances_of(emit))
    }

    /// Gives all records of each key and window to a function. They are kept until the window is dropped: where a
    /// reduction or aggregation will do, it needs less memory.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::{TumblingEventTimeWindows};
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let windows = words.key_by(field::<0, _>()).window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
    /// let results = windows.process(|word, _window, records, out| out.collect((word.as_str(), records.len() as i64)));
    /// let results = harness.collect::<(String, i64)>(results);
    /// harness.push(&input, [(("a", 3), 0), (("a", 2), 9), (("a", 7), 10)])?;
    /// harness.end()?;
    /// assert_eq!(results.take_records(), [("a".to_owned(), 2), ("a".to_owned(), 1)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn process<U: Record>(
        self,
        function: impl Fn(&K, &TimeWindow, &[T], &mut Collector<'_, U>) + Parallel,
    ) -> DataStream<U> {
        self.functions(Collect, instances_of(EmitWith { view: AllRows, function: Arc::new(function) }))
    }

    /// The same as [`process`](Self::process), under Flink's older name.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::{TumblingEventTimeWindows};
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let windows = words.key_by(field::<0, _>()).window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
    /// let results = windows.apply(|word, _window, records, out| out.collect((word.as_str(), records.len() as i64)));
    /// let results = harness.collect::<(String, i64)>(results);
    /// harness.push(&input, [(("a", 3), 0), (("a", 2), 9), (("a", 7), 10)])?;
    /// harness.end()?;
    /// assert_eq!(results.take_records(), [("a".to_owned(), 2), ("a".to_owned(), 1)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn apply<U: Record>(
        self,
        function: impl Fn(&K, &TimeWindow, &[T], &mut Collector<'_, U>) + Parallel,
    ) -> DataStream<U> {
        self.process(function)
    }

    /// The sum of a column, in a record that is otherwise one of the window's (the first, of the first pane if the
    /// window slides). Computed on columns. Integers wrap around; NULLs are skipped.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::{TumblingEventTimeWindows};
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let windows = words.key_by(field::<0, _>()).window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
    /// let results = windows.sum(field::<1, _>());
    /// let results = harness.collect::<(String, i64)>(results);
    /// harness.push(&input, [(("a", 3), 0), (("a", 2), 9), (("a", 7), 10)])?;
    /// harness.end()?;
    /// assert_eq!(results.take_records(), [("a".to_owned(), 5), ("a".to_owned(), 7)]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When the column is no number.
    #[track_caller]
    pub fn sum<F: Record>(self, column: Column<T, F>) -> DataStream<T> {
        let aggregate = in_place(ColumnFunction::Sum, column, &self.keyed.key);
        self.operator(aggregate)
    }

    /// The least value of a column, in a record that is otherwise one of the window's, as in [`sum`](Self::sum).
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::{TumblingEventTimeWindows};
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let windows = words.key_by(field::<0, _>()).window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
    /// let results = windows.min(field::<1, _>());
    /// let results = harness.collect::<(String, i64)>(results);
    /// harness.push(&input, [(("a", 3), 0), (("a", 2), 9), (("a", 7), 10)])?;
    /// harness.end()?;
    /// assert_eq!(results.take_records(), [("a".to_owned(), 2), ("a".to_owned(), 7)]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When the column is no number, date or time.
    #[track_caller]
    pub fn min<F: Record>(self, column: Column<T, F>) -> DataStream<T> {
        let aggregate = in_place(ColumnFunction::Min, column, &self.keyed.key);
        self.operator(aggregate)
    }

    /// The greatest value of a column, in a record that is otherwise one of the window's, as in [`sum`](Self::sum).
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::{TumblingEventTimeWindows};
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let windows = words.key_by(field::<0, _>()).window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
    /// let results = windows.max(field::<1, _>());
    /// let results = harness.collect::<(String, i64)>(results);
    /// harness.push(&input, [(("a", 3), 0), (("a", 2), 9), (("a", 7), 10)])?;
    /// harness.end()?;
    /// assert_eq!(results.take_records(), [("a".to_owned(), 3), ("a".to_owned(), 7)]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When the column is no number, date or time.
    #[track_caller]
    pub fn max<F: Record>(self, column: Column<T, F>) -> DataStream<T> {
        let aggregate = in_place(ColumnFunction::Max, column, &self.keyed.key);
        self.operator(aggregate)
    }

    /// The record with the least value of a column; the first of several.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::{TumblingEventTimeWindows};
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let windows = words.key_by(field::<0, _>()).window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
    /// let results = windows.min_by(field::<1, _>());
    /// let results = harness.collect::<(String, i64)>(results);
    /// harness.push(&input, [(("a", 3), 0), (("a", 2), 9), (("a", 7), 10)])?;
    /// harness.end()?;
    /// assert_eq!(results.take_records(), [("a".to_owned(), 2), ("a".to_owned(), 7)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn min_by<F: Record + PartialOrd>(self, column: Column<T, F>) -> DataStream<T> {
        self.reduce(least_by(column))
    }

    /// The record with the greatest value of a column; the first of several.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::{TumblingEventTimeWindows};
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let windows = words.key_by(field::<0, _>()).window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
    /// let results = windows.max_by(field::<1, _>());
    /// let results = harness.collect::<(String, i64)>(results);
    /// harness.push(&input, [(("a", 3), 0), (("a", 2), 9), (("a", 7), 10)])?;
    /// harness.end()?;
    /// assert_eq!(results.take_records(), [("a".to_owned(), 3), ("a".to_owned(), 7)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_by<F: Record + PartialOrd>(self, column: Column<T, F>) -> DataStream<T> {
        self.reduce(greatest_by(column))
    }

    /// `emit` makes what emits, for each instance.
    pub(super) fn functions<U: Record, A: Accumulate<T>, E: EmitWindow<K, A::Accumulator, U>>(
        self,
        accumulate: A,
        emit: impl Fn(&OperatorRuntime, &SideOutputs) -> OperatorResult<E> + Parallel,
    ) -> DataStream<U> {
        let key = self.keyed.key.clone();
        self.with_factory(move |runtime, sides| {
            let emit = emit(runtime, sides)?;
            Ok(WindowFunctions::<T, K, U, A, E>::new(key.clone(), accumulate.clone(), emit))
        })
    }

    fn operator<U: Record, A: GroupAggregate + Clone + Sync>(self, aggregate: A) -> DataStream<U> {
        self.with_factory(move |_, _| Ok(aggregate.clone()))
    }

    fn with_factory<U: Record, A: GroupAggregate + Clone>(
        self,
        make: impl Fn(&OperatorRuntime, &SideOutputs) -> OperatorResult<A> + Parallel,
    ) -> DataStream<U> {
        let side_outputs = SideOutputs::default();
        let sides = side_outputs.clone();
        let key = self.keyed.key.columns.clone();
        let (windows, allowed_lateness_ms, late) = (self.windows, self.allowed_lateness_ms, self.late);
        let factory = move |runtime: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            let late_output = late.as_ref().and_then(|tag| sides.port_of(tag.id()));
            let settings =
                WindowSettings { key: key.clone(), windows: windows.clone(), allowed_lateness_ms, late_output };
            let operator = WindowOperator::new(settings, make(runtime, &sides)?);
            Ok(Box::new(operator.map_err(|error| OperatorError::data(error.to_string()))?))
        };
        self.keyed.keyed("Window", Arc::new(factory)).with_side_outputs(side_outputs)
    }
}

impl<T: Record, K: Record> std::fmt::Debug for WindowedStream<T, K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WindowedStream").field("keyed", &self.keyed).field("windows", &self.windows).finish()
    }
}
