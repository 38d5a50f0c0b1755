//! Functions that see a window with its context: clocks, side outputs, and errors that fail the job.
//!
//! The closures of `process`, `reduce_with` and `aggregate_with` see key, window and elements, which is enough most of the
//! time. State of a window or of a key is what a [`StatefulWindowFunction`](super::StatefulWindowFunction) has; a function
//! here that registers some is refused.

use std::sync::Arc;

use pelton_runtime_core::time::EpochMillis;
use pelton_runtime_core::window::TimeWindow;

use crate::record::{Record, ToRecord};
use crate::stream::{Collector, DataStream, OutputTag, Parallel, SideOutputWriter};

use super::aggregate_function::AggregateFunction;
use super::context::OpenContext;
use super::operators::window::{Aggregate, AllRows, Clocks, Collect, Reduce, Reduced, ResultOf};
use super::operators::window_function::opened;
use super::process_function::FunctionResult;
use super::triggered_windows::{Holds, TriggeredStream};
use super::triggers::Trigger;
use super::windowed::WindowedStream;

/// Sees the elements of a key and window when it fires, or what they were reduced or aggregated to.
///
/// Windows of a stream without keys ([`window_all`](DataStream::window_all)) have the key 0 of type `i32`.
///
/// ```
/// # use pelton::testing::Harness;
/// # fn main() -> Result<(), pelton::testing::TestError> {
/// # let mut harness = Harness::new();
/// use std::time::Duration;
///
/// use pelton::keyed::{FunctionResult, ProcessWindowFunction, TumblingEventTimeWindows, WindowContext};
/// use pelton::record::field;
/// use pelton::stream::{Collector, OutputTag};
///
/// /// How much a user has clicked. Who clicks a hundred times is no human.
/// #[derive(Clone)]
/// struct Clicks {
///     robots: OutputTag<String>,
/// }
///
/// impl ProcessWindowFunction for Clicks {
///     type Key = String;
///     type In = (String, i64);
///     type Out = (String, i64, i64);
///
///     fn process(
///         &mut self,
///         ctx: &mut WindowContext<'_, String>,
///         clicks: &[(String, i64)],
///         out: &mut Collector<'_, (String, i64, i64)>,
///     ) -> FunctionResult {
///         let total = clicks.iter().map(|(_, clicks)| clicks).sum::<i64>();
///         if total >= 100 {
///             ctx.output(&self.robots, ctx.key().as_str());
///         } else {
///             out.collect((ctx.key().as_str(), ctx.window().end, total));
///         }
///         Ok(())
///     }
/// }
///
/// let (clicks, input) = harness.source::<(String, i64)>();
/// let robots = OutputTag::new("robots");
/// let windows = clicks.key_by(field::<0, _>()).window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
/// let clicks = windows.process_with(Clicks { robots: robots.clone() });
/// let robots = harness.collect(clicks.get_side_output(&robots));
/// let clicks = harness.collect(clicks);
/// harness.push(&input, [(("ann", 2), 0), (("bot", 99), 1), (("ann", 1), 8), (("bot", 1), 9)])?;
/// harness.end()?;
/// assert_eq!(clicks.take_records(), [("ann".to_owned(), 10, 3)]);
/// assert_eq!(robots.take_records(), ["bot"]);
/// # Ok(())
/// # }
/// ```
pub trait ProcessWindowFunction: Clone + Send + Sync + 'static {
    /// The key's type.
    type Key: Record;
    /// The type of the elements, or of what they were reduced or aggregated to.
    type In: Record;
    /// The results' type.
    type Out: Record;

    /// Called once before everything else: the place to ask for accumulators, metrics and parameters. State cannot be
    /// registered.
    ///
    /// # Errors
    ///
    /// What makes the job fail.
    fn open(&mut self, _ctx: &mut OpenContext<'_>) -> FunctionResult {
        Ok(())
    }

    /// A window fires. `elements` are in the order of arrival; behind a reduction or an aggregation there is one.
    ///
    /// # Errors
    ///
    /// What makes the job fail.
    fn process(
        &mut self,
        ctx: &mut WindowContext<'_, Self::Key>,
        elements: &[Self::In],
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    /// Called once at the end, also after a failure.
    fn close(&mut self) {}
}

/// What a function may ask and do when a window fires.
pub struct WindowContext<'a, K> {
    pub(super) key: &'a K,
    pub(super) window: &'a TimeWindow,
    pub(super) clocks: Clocks,
    pub(super) side_outputs: &'a mut SideOutputWriter,
}

impl<'a, K> WindowContext<'a, K> {
    /// The window's key.
    pub fn key(&self) -> &'a K {
        self.key
    }

    /// The window.
    pub fn window(&self) -> &'a TimeWindow {
        self.window
    }

    /// The operator's event-time clock.
    pub fn current_watermark(&self) -> EpochMillis {
        self.clocks.watermark
    }

    /// The wall clock.
    pub fn current_processing_time(&self) -> EpochMillis {
        self.clocks.processing_time
    }

    /// Emits a record to a side output, with the time that results have: the window's last millisecond.
    #[inline]
    pub fn output<U: Record>(&mut self, tag: &OutputTag<U>, record: impl ToRecord<U>) {
        self.side_outputs.output(tag, record, Some(self.window.max_timestamp()));
    }
}

/// The methods that give windows to a [`ProcessWindowFunction`].
macro_rules! through_functions {
    () => {
        /// Gives all records of each key and window to a function with the window's context. They are kept until the
        /// window is dropped. [`ProcessWindowFunction`] has an example.
        pub fn process_with<F: ProcessWindowFunction<Key = K, In = T>>(self, function: F) -> DataStream<F::Out> {
            self.functions(Collect, opened(AllRows, function))
        }

        /// Reduces the records of each key and window into one, and gives it to a function with the window's context.
        ///
        /// ```
        /// # use pelton::testing::Harness;
        /// # fn main() -> Result<(), pelton::testing::TestError> {
        /// # let mut harness = Harness::new();
        /// use pelton::keyed::{FunctionResult, ProcessWindowFunction, TumblingEventTimeWindows, WindowContext};
        /// use pelton::stream::Collector;
        /// use std::time::Duration;
        ///
        /// /// How long after its end a window fired, and with what.
        /// #[derive(Clone)]
        /// struct Delay;
        ///
        /// impl ProcessWindowFunction for Delay {
        ///     type Key = i32;
        ///     type In = i64;
        ///     type Out = (i64, i64);
        ///
        ///     fn process(
        ///         &mut self,
        ///         ctx: &mut WindowContext<'_, i32>,
        ///         total: &[i64],
        ///         out: &mut Collector<'_, (i64, i64)>,
        ///     ) -> FunctionResult {
        ///         out.collect((total[0], ctx.current_watermark() - ctx.window().max_timestamp()));
        ///         Ok(())
        ///     }
        /// }
        ///
        /// let (numbers, input) = harness.source::<i64>();
        /// let windows = numbers.window_all(TumblingEventTimeWindows::of(Duration::from_millis(10)));
        /// let totals = harness.collect(windows.reduce_process(|a, b| a + b, Delay));
        /// harness.push(&input, [(1, 0), (2, 9), (4, 10)])?;
        /// harness.watermark(&input, 12)?;
        /// assert_eq!(totals.take_records(), [(3, 3)]);
        /// # Ok(())
        /// # }
        /// ```
        pub fn reduce_process<F: ProcessWindowFunction<Key = K, In = T>>(
            self,
            reduce: impl Fn(&T, &T) -> T + Parallel,
            function: F,
        ) -> DataStream<F::Out> {
            self.functions(Reduce(Arc::new(reduce)), opened(Reduced, function))
        }

        /// Aggregates the records of each key and window, and gives the result to a function with the window's context,
        /// as in [`reduce_process`](Self::reduce_process).
        ///
        /// ```
        /// # use pelton::testing::Harness;
        /// # fn main() -> Result<(), pelton::testing::TestError> {
        /// # let mut harness = Harness::new();
        /// use std::time::Duration;
        ///
        /// use pelton::keyed::{
        ///     AggregateFunction, FunctionResult, ProcessWindowFunction, TumblingEventTimeWindows, WindowContext,
        /// };
        /// use pelton::stream::Collector;
        ///
        /// /// The sum.
        /// #[derive(Clone)]
        /// struct Total;
        ///
        /// impl AggregateFunction for Total {
        ///     type In = i64;
        ///     type Accumulator = i64;
        ///     type Out = i64;
        ///
        ///     fn create_accumulator(&self) -> i64 {
        ///         0
        ///     }
        ///     fn add(&self, value: &i64, total: &mut i64) {
        ///         *total += value;
        ///     }
        ///     fn get_result(&self, total: &i64) -> i64 {
        ///         *total
        ///     }
        ///     fn merge(&self, into: &mut i64, other: &i64) {
        ///         *into += other;
        ///     }
        /// }
        ///
        /// /// Results beside the beginnings of their windows.
        /// #[derive(Clone)]
        /// struct Started;
        ///
        /// impl ProcessWindowFunction for Started {
        ///     type Key = i64;
        ///     type In = i64;
        ///     type Out = (i64, i64);
        ///
        ///     fn process(
        ///         &mut self,
        ///         ctx: &mut WindowContext<'_, i64>,
        ///         result: &[i64],
        ///         out: &mut Collector<'_, (i64, i64)>,
        ///     ) -> FunctionResult {
        ///         out.collect((ctx.window().start, result[0]));
        ///         Ok(())
        ///     }
        /// }
        ///
        /// let (numbers, input) = harness.source::<i64>();
        /// let windows = numbers.key_by(|n: &i64| n % 2).window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
        /// let results = harness.collect(windows.aggregate_process(Total, Started));
        /// harness.push(&input, [(1, 0), (3, 9), (5, 12)])?;
        /// harness.watermark(&input, 30)?;
        /// assert_eq!(results.take_records(), [(0, 4), (10, 5)]);
        /// # Ok(())
        /// # }
        /// ```
        pub fn aggregate_process<A, F>(self, aggregate: A, function: F) -> DataStream<F::Out>
        where
            A: AggregateFunction<In = T>,
            F: ProcessWindowFunction<Key = K, In = A::Out>,
        {
            self.functions(Aggregate(aggregate.clone()), opened(ResultOf(aggregate), function))
        }
    };
}

impl<T: Record, K: Record> WindowedStream<T, K> {
    through_functions!();
}

impl<T: Record, K: Record, R: Trigger<T>, V: Holds<T>> TriggeredStream<T, K, R, V> {
    through_functions!();
}
