//! Windows with a trigger, an evictor or both, and the window without end.

use std::sync::Arc;

use pelton_runtime_core::operator::{Operator, OperatorResult, OperatorRuntime};
use pelton_runtime_core::window::TimeWindow;

use crate::record::{Column, Record};
use crate::stream::{Collector, DataStream, OutputTag, Parallel, SideOutputs};

use super::KeyedStream;
use super::aggregate_function::AggregateFunction;
use super::evictors::{CountEvictor, Evictor};
use super::operators::triggered::{
    Contents, EmitTriggered, Evicting, Forgetful, Incremental, TriggeredSettings, TriggeredWindows, Windowing,
};
use super::operators::window::{
    Accumulate, Aggregate, AllRows, Collect, EmitReduced, EmitResult, EmitWindow, EmitWith, Reduce, Reduced, ResultOf,
    View, instances_of,
};
use super::operators::window_function::opened_stateful;
use super::rolling::{greatest_by, least_by};
use super::stateful_window_function::StatefulWindowFunction;
use super::triggers::{CountTrigger, PurgingTrigger, Trigger};

/// One window per key, without end. It fires only when its trigger says so.
#[derive(Debug, Clone, Copy)]
pub struct GlobalWindows;

impl GlobalWindows {
    /// The assigner of the window without end.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::keyed::{CountTrigger, GlobalWindows};
    ///
    /// let (numbers, input) = harness.source::<i64>();
    /// let windows = numbers.window_all(GlobalWindows::create()).trigger(CountTrigger::of(3));
    /// let sums = harness.collect(windows.reduce(|a, b| a + b));
    /// harness.push_untimed(&input, [1, 2, 4])?;
    /// assert_eq!(sums.take_records(), [7]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn create() -> Self {
        Self
    }
}

/// How a keyed stream of `T` is cut: by a [`WindowAssigner`](super::WindowAssigner), in sessions of dynamic gaps
/// ([`DynamicSessionWindows`](super::DynamicSessionWindows)), or not at all ([`GlobalWindows`]).
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not cut a stream of `{T}` into windows",
    note = "windows are made by `TumblingEventTimeWindows::of` and the like; a dynamic gap is that of the stream's records"
)]
pub trait Windows<T: Record> {
    /// What the stream becomes.
    type Windowed<K: Record>;

    /// Cuts a stream.
    fn windowed<K: Record>(self, keyed: KeyedStream<T, K>) -> Self::Windowed<K>;
}

impl<T: Record> Windows<T> for GlobalWindows {
    type Windowed<K: Record> = GlobalWindowedStream<T, K>;

    fn windowed<K: Record>(self, keyed: KeyedStream<T, K>) -> GlobalWindowedStream<T, K> {
        GlobalWindowedStream { keyed }
    }
}

/// A keyed stream with one window per key, which needs a trigger.
#[must_use = "a window without end fires only when a trigger says so"]
#[derive(Debug)]
pub struct GlobalWindowedStream<T: Record, K: Record> {
    keyed: KeyedStream<T, K>,
}

impl<T: Record, K: Record> GlobalWindowedStream<T, K> {
    /// Fires the windows when `trigger` says so.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::keyed::{CountTrigger, GlobalWindows};
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let windows = words.key_by(field::<0, _>()).window(GlobalWindows::create()).trigger(CountTrigger::of(2));
    /// let results = windows.reduce(|a, b| (a.0.clone(), a.1 + b.1));
    /// let results = harness.collect::<(String, i64)>(results);
    /// harness.push(&input, [("a", 3), ("a", 2), ("a", 7), ("a", 1)].map(|word| (word, 0)))?;
    /// assert_eq!(results.take_records(), [("a".to_owned(), 5), ("a".to_owned(), 13)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn trigger<R: Trigger<T>>(self, trigger: R) -> TriggeredStream<T, K, R, AllElements> {
        TriggeredStream::new(self.keyed, Windowing::Global, 0, None, trigger)
    }
}

impl<T: Record> DataStream<T> {
    /// Cuts all records of the stream into windows, whatever they are about. One subtask computes them all; functions see
    /// the key 0.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::TumblingEventTimeWindows;
    ///
    /// let (numbers, input) = harness.source::<i64>();
    /// let windows = numbers.window_all(TumblingEventTimeWindows::of(Duration::from_millis(10)));
    /// let sums = harness.collect(windows.reduce(|a, b| a + b));
    /// harness.push(&input, [(1, 0), (2, 9), (4, 10)])?;
    /// harness.end()?;
    /// assert_eq!(sums.take_records(), [3, 4]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn window_all<W: Windows<T>>(self, windows: W) -> W::Windowed<i32> {
        self.key_by(|_: &T| 0i32).window(windows)
    }

    /// Windows of `size` records of the stream, one after the other.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// let (numbers, input) = harness.source::<i64>();
    /// let sums = harness.collect(numbers.count_window_all(2).reduce(|a, b| a + b));
    /// harness.push_untimed(&input, [1, 2, 4, 8, 16])?;
    /// assert_eq!(sums.take_records(), [3, 12]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When the size is 0.
    #[track_caller]
    pub fn count_window_all(self, size: u32) -> TriggeredStream<T, i32, PurgingTrigger<CountTrigger>, AllElements> {
        self.key_by(|_: &T| 0i32).count_window(size)
    }
}

impl<T: Record, K: Record> KeyedStream<T, K> {
    /// Windows of `size` elements of a key, one after the other.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let windows = words.key_by(field::<0, _>()).count_window(2);
    /// let sums = harness.collect(windows.reduce(|a, b| (a.0.clone(), a.1 + b.1)));
    /// harness.push_untimed(&input, [("a", 1), ("b", 2), ("a", 4), ("a", 8)])?;
    /// assert_eq!(sums.take_records(), [("a".to_owned(), 5)]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When the size is 0.
    #[track_caller]
    pub fn count_window(self, size: u32) -> TriggeredStream<T, K, PurgingTrigger<CountTrigger>, AllElements> {
        self.window(GlobalWindows).trigger(PurgingTrigger::of(CountTrigger::of(size.into())))
    }

    /// The last `size` elements of a key, at every `slide`th.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// // At every second record, the last three.
    /// let windows = words.key_by(field::<0, _>()).sliding_count_window(3, 2);
    /// let sums = harness.collect(windows.reduce(|a, b| (a.0.clone(), a.1 + b.1)));
    /// harness.push_untimed(&input, [("a", 1), ("a", 2), ("a", 4), ("a", 8)])?;
    /// assert_eq!(sums.take_records(), [("a".to_owned(), 3), ("a".to_owned(), 14)]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When the slide is 0.
    #[track_caller]
    pub fn sliding_count_window(
        self,
        size: u32,
        slide: u32,
    ) -> TriggeredStream<T, K, CountTrigger, Evicted<CountEvictor>> {
        let windows = self.window(GlobalWindows).trigger(CountTrigger::of(slide.into()));
        windows.evictor(CountEvictor::of(size as usize))
    }
}

/// Windows without an evictor show all their elements.
#[derive(Debug, Clone, Copy)]
pub struct AllElements;

/// Windows with an evictor show those that it leaves.
#[derive(Debug, Clone, Copy)]
pub struct Evicted<V>(V);

/// A keyed stream cut into windows that fire when a trigger says so. Results carry their window's last millisecond as
/// event time; those of windows without end the end of time.
pub struct TriggeredStream<T: Record, K: Record, R, V> {
    keyed: KeyedStream<T, K>,
    windowing: Windowing,
    allowed_lateness_ms: i64,
    late: Option<OutputTag<T>>,
    trigger: R,
    held: V,
}

impl<T: Record, K: Record, R: Trigger<T>> TriggeredStream<T, K, R, AllElements> {
    /// # Panics
    ///
    /// When windows merge and the trigger cannot.
    #[track_caller]
    pub(super) fn new(
        keyed: KeyedStream<T, K>,
        windowing: Windowing,
        allowed_lateness_ms: i64,
        late: Option<OutputTag<T>>,
        trigger: R,
    ) -> Self {
        assert!(
            R::CAN_MERGE || !windowing.merges(),
            "`{}` cannot be the trigger of session windows, which merge: what it remembers of two windows does not make \
             up what it would remember of one",
            std::any::type_name::<R>()
        );
        Self { keyed, windowing, allowed_lateness_ms, late, trigger, held: AllElements }
    }

    /// Takes elements out of windows when they fire. All elements are kept for that, whatever is computed of them.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::keyed::{CountTrigger, GlobalWindows, CountEvictor};
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let windows = words.key_by(field::<0, _>()).window(GlobalWindows::create()).trigger(CountTrigger::of(2));
    /// let results = windows.evictor(CountEvictor::of(2)).reduce(|a, b| (a.0.clone(), a.1 + b.1));
    /// let results = harness.collect::<(String, i64)>(results);
    /// harness.push(&input, [("a", 3), ("a", 2), ("a", 7), ("a", 1)].map(|word| (word, 0)))?;
    /// assert_eq!(results.take_records(), [("a".to_owned(), 5), ("a".to_owned(), 8)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn evictor<V: Evictor<T>>(self, evictor: V) -> TriggeredStream<T, K, R, Evicted<V>> {
        TriggeredStream {
            keyed: self.keyed,
            windowing: self.windowing,
            allowed_lateness_ms: self.allowed_lateness_ms,
            late: self.late,
            trigger: self.trigger,
            held: Evicted(evictor),
        }
    }
}

/// What a window holds, with an evictor or without.
pub trait Holds<T: Record>: Clone + Send + Sync + 'static {
    #[doc(hidden)]
    type Contents<A: Accumulate<T>>: Contents<T, Shown = A::Accumulator>;

    #[doc(hidden)]
    fn contents<A: Accumulate<T>>(self, accumulate: A) -> Self::Contents<A>;
}

impl<T: Record> Holds<T> for AllElements {
    type Contents<A: Accumulate<T>> = Incremental<A>;

    fn contents<A: Accumulate<T>>(self, accumulate: A) -> Incremental<A> {
        Incremental(accumulate)
    }
}

impl<T: Record, V: Evictor<T>> Holds<T> for Evicted<V> {
    type Contents<A: Accumulate<T>> = Evicting<A, V>;

    fn contents<A: Accumulate<T>>(self, accumulate: A) -> Evicting<A, V> {
        Evicting { accumulate, evictor: self.0 }
    }
}

impl<T: Record, K: Record, R: Trigger<T>, V: Holds<T>> TriggeredStream<T, K, R, V> {
    /// Reduces the elements of each key and window into one.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::keyed::{CountTrigger, GlobalWindows};
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let windows = words.key_by(field::<0, _>()).window(GlobalWindows::create()).trigger(CountTrigger::of(2));
    /// let results = windows.reduce(|a, b| (a.0.clone(), a.1 + b.1));
    /// let results = harness.collect::<(String, i64)>(results);
    /// harness.push(&input, [("a", 3), ("a", 2), ("a", 7), ("a", 1)].map(|word| (word, 0)))?;
    /// assert_eq!(results.take_records(), [("a".to_owned(), 5), ("a".to_owned(), 13)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn reduce(self, reduce: impl Fn(&T, &T) -> T + Parallel) -> DataStream<T> {
        self.functions(Reduce(Arc::new(reduce)), instances_of(EmitReduced))
    }

    /// Reduces the elements of each key and window into one, and gives it to a function with key and window.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::keyed::{CountTrigger, GlobalWindows};
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let windows = words.key_by(field::<0, _>()).window(GlobalWindows::create()).trigger(CountTrigger::of(2));
    /// let results = windows.reduce_with(
    ///     |a, b| (a.0.clone(), a.1 + b.1),
    ///     |word, _window, total, out| out.collect((word.as_str(), -total.1)),
    /// );
    /// let results = harness.collect::<(String, i64)>(results);
    /// harness.push(&input, [("a", 3), ("a", 2), ("a", 7), ("a", 1)].map(|word| (word, 0)))?;
    /// assert_eq!(results.take_records(), [("a".to_owned(), -5), ("a".to_owned(), -13)]);
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

    /// Aggregates the elements of each key and window.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::keyed::{CountTrigger, GlobalWindows, AggregateFunction};
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
    /// let windows = words.key_by(field::<0, _>()).window(GlobalWindows::create()).trigger(CountTrigger::of(2));
    /// let results = windows.aggregate(Mean);
    /// let results = harness.collect::<f64>(results);
    /// harness.push(&input, [("a", 3), ("a", 2), ("a", 7), ("a", 1)].map(|word| (word, 0)))?;
    /// assert_eq!(results.take_records(), [2.5, 3.25]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn aggregate<A: AggregateFunction<In = T>>(self, function: A) -> DataStream<A::Out> {
        self.functions(Aggregate(function.clone()), instances_of(EmitResult(function)))
    }

    /// Aggregates the elements of each key and window, and gives the result to a function with key and window.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::keyed::{CountTrigger, GlobalWindows, AggregateFunction};
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
    /// let windows = words.key_by(field::<0, _>()).window(GlobalWindows::create()).trigger(CountTrigger::of(2));
    /// let results = windows.aggregate_with(Mean, |word, _window, mean, out| out.collect((word.as_str(), *mean)));
    /// let results = harness.collect::<(String, f64)>(results);
    /// harness.push(&input, [("a", 3), ("a", 2), ("a", 7), ("a", 1)].map(|word| (word, 0)))?;
    /// assert_eq!(results.take_records(), [("a".to_owned(), 2.5), ("a".to_owned(), 3.25)]);
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

    /// Gives all elements of each key and window to a function.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::keyed::{CountTrigger, GlobalWindows};
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let windows = words.key_by(field::<0, _>()).window(GlobalWindows::create()).trigger(CountTrigger::of(2));
    /// let results = windows.process(|word, _window, records, out| out.collect((word.as_str(), records.len() as i64)));
    /// let results = harness.collect::<(String, i64)>(results);
    /// harness.push(&input, [("a", 3), ("a", 2), ("a", 7), ("a", 1)].map(|word| (word, 0)))?;
    /// assert_eq!(results.take_records(), [("a".to_owned(), 2), ("a".to_owned(), 4)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn process<U: Record>(
        self,
        function: impl Fn(&K, &TimeWindow, &[T], &mut Collector<'_, U>) + Parallel,
    ) -> DataStream<U> {
        self.functions(Collect, instances_of(EmitWith { view: AllRows, function: Arc::new(function) }))
    }

    /// The element with the least value of a column; the first of several.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::keyed::{CountTrigger, GlobalWindows};
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let windows = words.key_by(field::<0, _>()).window(GlobalWindows::create()).trigger(CountTrigger::of(2));
    /// let results = windows.min_by(field::<1, _>());
    /// let results = harness.collect::<(String, i64)>(results);
    /// harness.push(&input, [("a", 3), ("a", 2), ("a", 7), ("a", 1)].map(|word| (word, 0)))?;
    /// assert_eq!(results.take_records(), [("a".to_owned(), 2), ("a".to_owned(), 1)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn min_by<F: Record + PartialOrd>(self, column: Column<T, F>) -> DataStream<T> {
        self.reduce(least_by(column))
    }

    /// The element with the greatest value of a column; the first of several.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::keyed::{CountTrigger, GlobalWindows};
    /// use pelton::record::field;
    ///
    /// let (words, input) = harness.source::<(String, i64)>();
    /// let windows = words.key_by(field::<0, _>()).window(GlobalWindows::create()).trigger(CountTrigger::of(2));
    /// let results = windows.max_by(field::<1, _>());
    /// let results = harness.collect::<(String, i64)>(results);
    /// harness.push(&input, [("a", 3), ("a", 2), ("a", 7), ("a", 1)].map(|word| (word, 0)))?;
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
        self.with_memory(accumulate, move |runtime, sides| emit(runtime, sides).map(Forgetful))
    }

    /// As [`functions`](Self::functions), of what may remember something.
    fn with_memory<U: Record, A: Accumulate<T>, E: EmitTriggered<K, A::Accumulator, U>>(
        self,
        accumulate: A,
        emit: impl Fn(&OperatorRuntime, &SideOutputs) -> OperatorResult<E> + Parallel,
    ) -> DataStream<U> {
        let side_outputs = SideOutputs::default();
        let (sides, key, late) = (side_outputs.clone(), self.keyed.key.clone(), self.late);
        let (windowing, allowed_lateness_ms) = (self.windowing, self.allowed_lateness_ms);
        let (contents, trigger) = (self.held.contents(accumulate), self.trigger);
        let factory = move |runtime: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            let late_output = late.as_ref().and_then(|tag| sides.port_of(tag.id()));
            let (key, windowing) = (key.clone(), windowing.clone());
            let settings = TriggeredSettings { key, windowing, allowed_lateness_ms, late_output };
            Ok(Box::new(TriggeredWindows::<T, K, U, _, E, R>::new(
                settings,
                contents.clone(),
                emit(runtime, &sides)?,
                trigger.clone(),
            )))
        };
        self.keyed.keyed("Window", Arc::new(factory)).with_side_outputs(side_outputs)
    }

    /// As [`functions`](Self::functions), of a function that remembers something of windows.
    ///
    /// # Panics
    ///
    /// When windows merge.
    #[track_caller]
    pub(super) fn stateful<A: Accumulate<T>, W: View<A::Accumulator>, F>(
        self,
        accumulate: A,
        view: W,
        function: F,
    ) -> DataStream<F::Out>
    where
        F: StatefulWindowFunction<Key = K, In = W::Element>,
    {
        assert!(
            !self.windowing.merges(),
            "`{}` cannot see session windows, which merge: what it remembers of two windows does not make up what it would \
             remember of one; a `ProcessWindowFunction` can",
            std::any::type_name::<F>()
        );
        self.with_memory(accumulate, opened_stateful(view, function))
    }
}

impl<T: Record, K: Record, R, V> std::fmt::Debug for TriggeredStream<T, K, R, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TriggeredStream").field("keyed", &self.keyed).field("windowing", &self.windowing).finish()
    }
}
