//! Functions that remember something of each window, and of each key over all its windows.
//!
//! What is remembered lies beside the windows of a key ([`triggered`](super::operators::triggered)): of a window until
//! that ends, and of a key for ever.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::record::Record;
use crate::stream::{Collector, DataStream, Parallel};

use super::aggregate_function::AggregateFunction;
use super::context::OpenContext;
use super::operators::window::{Aggregate, AllRows, Collect, Reduce, Reduced, ResultOf};
use super::process_function::FunctionResult;
use super::triggered_windows::{Holds, TriggeredStream};
use super::triggers::Trigger;
use super::window_function::WindowContext;
use super::windowed::WindowedStream;

/// A [`ProcessWindowFunction`](super::ProcessWindowFunction) with a state of each window, and one of each key.
///
/// Windows that one of these sees are computed record by record, as those with triggers. Session windows, which merge, are
/// refused.
///
/// ```
/// # use pelton::testing::Harness;
/// # fn main() -> Result<(), pelton::testing::TestError> {
/// # let mut harness = Harness::new();
/// use std::time::Duration;
///
/// use pelton::keyed::{
///     FunctionResult, StatefulWindowContext, StatefulWindowFunction, TumblingEventTimeWindows,
/// };
/// use pelton::record::field;
/// use pelton::stream::Collector;
///
/// /// Tells of totals above the greatest so far, and by how much a late record has changed one.
/// #[derive(Clone)]
/// struct Changes;
///
/// impl StatefulWindowFunction for Changes {
///     type Key = String;
///     type In = (String, i64);
///     type Out = String;
///     /// The total that was told last.
///     type WindowState = i64;
///     /// The greatest of all windows.
///     type GlobalState = i64;
///
///     fn process(
///         &mut self,
///         ctx: &mut StatefulWindowContext<'_, Self>,
///         total: &[(String, i64)],
///         out: &mut Collector<'_, String>,
///     ) -> FunctionResult {
///         let (key, total) = (ctx.key(), total[0].1);
///         if let Some(told) = ctx.window_state().replace(total) {
///             out.collect(format!("{key}: {} more", total - told));
///         } else if ctx.global_state().is_none_or(|greatest| total > greatest) {
///             *ctx.global_state() = Some(total);
///             out.collect(format!("{key}: {total}"));
///         }
///         Ok(())
///     }
/// }
///
/// let (clicks, input) = harness.source::<(String, i64)>();
/// let windows = clicks.key_by(field::<0, _>()).window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
/// let windows = windows.allowed_lateness(Duration::from_millis(100));
/// let changes = harness.collect(windows.reduce_stateful(|a, b| (a.0.clone(), a.1 + b.1), Changes));
/// harness.push(&input, [(("ann", 2), 0), (("ann", 1), 8), (("ann", 3), 12), (("ann", 5), 25)])?;
/// harness.watermark(&input, 29)?;
/// harness.push(&input, [(("ann", 4), 13)])?;
/// assert_eq!(changes.take_records(), ["ann: 3", "ann: 5", "ann: 4 more"]);
/// # Ok(())
/// # }
/// ```
pub trait StatefulWindowFunction: Clone + Send + Sync + 'static {
    /// The key's type.
    type Key: Record;
    /// The type of the elements, or of what they were reduced or aggregated to.
    type In: Record;
    /// The results' type.
    type Out: Record;
    /// What it remembers of a window from one firing to the next, until the window ends. Of a window without end, for ever.
    type WindowState: Record;
    /// What it remembers of a key over all windows.
    type GlobalState: Record;

    /// Called once before everything else: the place to ask for accumulators, metrics and parameters. Other state cannot be
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
        ctx: &mut StatefulWindowContext<'_, Self>,
        elements: &[Self::In],
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    /// Called once at the end, also after a failure.
    fn close(&mut self) {}
}

/// What a function may ask and do when a window fires: what a [`WindowContext`] has, and its states.
pub struct StatefulWindowContext<'a, F: StatefulWindowFunction> {
    pub(super) context: WindowContext<'a, F::Key>,
    pub(super) of_window: &'a mut Option<F::WindowState>,
    pub(super) of_key: &'a mut Option<F::GlobalState>,
}

impl<F: StatefulWindowFunction> StatefulWindowContext<'_, F> {
    /// What was remembered of this window, to be changed; nothing at first.
    pub fn window_state(&mut self) -> &mut Option<F::WindowState> {
        self.of_window
    }

    /// What was remembered of the window's key, to be changed; nothing at first.
    pub fn global_state(&mut self) -> &mut Option<F::GlobalState> {
        self.of_key
    }
}

impl<'a, F: StatefulWindowFunction> Deref for StatefulWindowContext<'a, F> {
    type Target = WindowContext<'a, F::Key>;

    fn deref(&self) -> &WindowContext<'a, F::Key> {
        &self.context
    }
}

impl<'a, F: StatefulWindowFunction> DerefMut for StatefulWindowContext<'a, F> {
    fn deref_mut(&mut self) -> &mut WindowContext<'a, F::Key> {
        &mut self.context
    }
}

/// The methods that give windows to a [`StatefulWindowFunction`].
macro_rules! through_stateful_functions {
    ($triggered:expr) => {
        /// Gives all records of each key and window to a function with states of the window and of the key, as in
        /// [`reduce_stateful`](Self::reduce_stateful). They are kept until the window is dropped.
        ///
        /// ```
        /// # use pelton::testing::Harness;
        /// # fn main() -> Result<(), pelton::testing::TestError> {
        /// # let mut harness = Harness::new();
        /// use std::time::Duration;
        ///
        /// use pelton::keyed::{
        ///     FunctionResult, StatefulWindowContext, StatefulWindowFunction, TumblingEventTimeWindows,
        /// };
        /// use pelton::stream::Collector;
        ///
        /// /// Numbers the windows of a key that fire, and tells how many records they have.
        /// #[derive(Clone)]
        /// struct Numbered;
        ///
        /// impl StatefulWindowFunction for Numbered {
        ///     type Key = i64;
        ///     type In = i64;
        ///     type Out = (i64, i64);
        ///     type WindowState = i64;
        ///     type GlobalState = i64;
        ///
        ///     fn process(
        ///         &mut self,
        ///         ctx: &mut StatefulWindowContext<'_, Self>,
        ///         elements: &[i64],
        ///         out: &mut Collector<'_, (i64, i64)>,
        ///     ) -> FunctionResult {
        ///         let number = ctx.global_state().get_or_insert(0);
        ///         *number += 1;
        ///         out.collect((*number, elements.len() as i64));
        ///         Ok(())
        ///     }
        /// }
        ///
        /// let (numbers, input) = harness.source::<i64>();
        /// let windows = numbers.key_by(|n: &i64| n % 2).window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
        /// let results = harness.collect(windows.process_stateful(Numbered));
        /// harness.push(&input, [(1, 0), (3, 9), (5, 12)])?;
        /// harness.watermark(&input, 30)?;
        /// assert_eq!(results.take_records(), [(1, 2), (2, 1)]);
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Panics
        ///
        /// When windows merge.
        #[track_caller]
        pub fn process_stateful<F: StatefulWindowFunction<Key = K, In = T>>(self, function: F) -> DataStream<F::Out> {
            $triggered(self).stateful(Collect, AllRows, function)
        }

        /// Reduces the records of each key and window into one, and gives it to a function with states of the window and of
        /// the key. [`StatefulWindowFunction`] has an example.
        ///
        /// ```
        /// # use pelton::testing::Harness;
        /// # fn main() -> Result<(), pelton::testing::TestError> {
        /// # let mut harness = Harness::new();
        /// use std::time::Duration;
        ///
        /// use pelton::keyed::{
        ///     FunctionResult, StatefulWindowContext, StatefulWindowFunction, TumblingEventTimeWindows,
        /// };
        /// use pelton::stream::Collector;
        ///
        /// /// Tells by how much a window's result is more than that of the last window of its key.
        /// #[derive(Clone)]
        /// struct Growth;
        ///
        /// impl StatefulWindowFunction for Growth {
        ///     type Key = i64;
        ///     type In = i64;
        ///     type Out = i64;
        ///     type WindowState = i64;
        ///     type GlobalState = i64;
        ///
        ///     fn process(
        ///         &mut self,
        ///         ctx: &mut StatefulWindowContext<'_, Self>,
        ///         result: &[i64],
        ///         out: &mut Collector<'_, i64>,
        ///     ) -> FunctionResult {
        ///         let last = ctx.global_state().replace(result[0]).unwrap_or(0);
        ///         out.collect(result[0] - last);
        ///         Ok(())
        ///     }
        /// }
        ///
        /// let (numbers, input) = harness.source::<i64>();
        /// let windows = numbers.key_by(|n: &i64| n % 2).window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
        /// let results = harness.collect(windows.reduce_stateful(|a, b| a + b, Growth));
        /// harness.push(&input, [(1, 0), (3, 9), (5, 12)])?;
        /// harness.watermark(&input, 30)?;
        /// assert_eq!(results.take_records(), [4, 1]);
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Panics
        ///
        /// When windows merge.
        #[track_caller]
        pub fn reduce_stateful<F: StatefulWindowFunction<Key = K, In = T>>(
            self,
            reduce: impl Fn(&T, &T) -> T + Parallel,
            function: F,
        ) -> DataStream<F::Out> {
            $triggered(self).stateful(Reduce(Arc::new(reduce)), Reduced, function)
        }

        /// Aggregates the records of each key and window, and gives the result to a function with states of the window and
        /// of the key, as in [`reduce_stateful`](Self::reduce_stateful).
        ///
        /// ```
        /// # use pelton::testing::Harness;
        /// # fn main() -> Result<(), pelton::testing::TestError> {
        /// # let mut harness = Harness::new();
        /// use std::time::Duration;
        ///
        /// use pelton::keyed::{
        ///     AggregateFunction, FunctionResult, StatefulWindowContext, StatefulWindowFunction, TumblingEventTimeWindows,
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
        /// /// Tells by how much a window's result is more than that of the last window of its key.
        /// #[derive(Clone)]
        /// struct Growth;
        ///
        /// impl StatefulWindowFunction for Growth {
        ///     type Key = i64;
        ///     type In = i64;
        ///     type Out = i64;
        ///     type WindowState = i64;
        ///     type GlobalState = i64;
        ///
        ///     fn process(
        ///         &mut self,
        ///         ctx: &mut StatefulWindowContext<'_, Self>,
        ///         result: &[i64],
        ///         out: &mut Collector<'_, i64>,
        ///     ) -> FunctionResult {
        ///         let last = ctx.global_state().replace(result[0]).unwrap_or(0);
        ///         out.collect(result[0] - last);
        ///         Ok(())
        ///     }
        /// }
        ///
        /// let (numbers, input) = harness.source::<i64>();
        /// let windows = numbers.key_by(|n: &i64| n % 2).window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
        /// let results = harness.collect(windows.aggregate_stateful(Total, Growth));
        /// harness.push(&input, [(1, 0), (3, 9), (5, 12)])?;
        /// harness.watermark(&input, 30)?;
        /// assert_eq!(results.take_records(), [4, 1]);
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Panics
        ///
        /// When windows merge.
        #[track_caller]
        pub fn aggregate_stateful<A, F>(self, aggregate: A, function: F) -> DataStream<F::Out>
        where
            A: AggregateFunction<In = T>,
            F: StatefulWindowFunction<Key = K, In = A::Out>,
        {
            $triggered(self).stateful(Aggregate(aggregate.clone()), ResultOf(aggregate), function)
        }
    };
}

impl<T: Record, K: Record> WindowedStream<T, K> {
    through_stateful_functions!(Self::with_default_trigger);
}

impl<T: Record, K: Record, R: Trigger<T>, V: Holds<T>> TriggeredStream<T, K, R, V> {
    through_stateful_functions!(std::convert::identity);
}
