//! `WindowedStream<T, K>`: what can be computed per key and window.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use pelton_runtime_core::operator::{Operator, OperatorError, OperatorResult, OperatorRuntime};
use pelton_runtime_core::window::{
    ColumnFunction, GroupAggregate, TimeWindow, WindowAssigner, WindowOperator, WindowSettings,
};

use crate::record::{Column, Record};
use crate::stream::{Collector, DataStream, OutputTag, SideOutputs};

use super::KeyedStream;
use super::aggregate_function::AggregateFunction;
use super::evictors::Evictor;
use super::operators::triggered::Windowing;
use super::operators::window::{
    Accumulate, Aggregate, AllRows, Collect, EmitReduced, EmitResult, EmitWindow, EmitWith, Reduce, Reduced, ResultOf,
    WindowFunctions,
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
    assigner: WindowAssigner,
    allowed_lateness_ms: i64,
    late: Option<OutputTag<T>>,
    key_type: PhantomData<fn() -> K>,
}

impl<T: Record, K: Record> KeyedStream<T, K> {
    /// Cuts the records of every key into windows, such as
    /// [`TumblingEventTimeWindows::of`](super::TumblingEventTimeWindows::of), or keeps them all in one window
    /// ([`GlobalWindows`](super::GlobalWindows)).
    pub fn window<W: Windows>(self, windows: W) -> W::Windowed<T, K> {
        windows.windowed(self)
    }
}

impl Windows for WindowAssigner {
    type Windowed<T: Record, K: Record> = WindowedStream<T, K>;

    fn windowed<T: Record, K: Record>(self, keyed: KeyedStream<T, K>) -> WindowedStream<T, K> {
        WindowedStream { keyed, assigner: self, allowed_lateness_ms: 0, late: None, key_type: PhantomData }
    }
}

impl<T: Record, K: Record> WindowedStream<T, K> {
    /// How long after its end a window of event time takes late records; each makes it fire again.
    #[must_use]
    pub fn allowed_lateness(self, lateness: Duration) -> Self {
        Self { allowed_lateness_ms: millis(lateness), ..self }
    }

    /// Where records go that come too late even so: `get_side_output` of the result has them. Without it, or when
    /// nobody reads it, they are counted in `numLateRecordsDropped`.
    #[must_use]
    pub fn side_output_late_data(self, tag: &OutputTag<T>) -> Self {
        Self { late: Some(tag.clone()), ..self }
    }

    /// Fires windows when `trigger` says so, and not merely at their end. Such windows are computed record by record;
    /// where the end will do, windows without a trigger are many times faster.
    ///
    /// # Panics
    ///
    /// When the windows are sessions, and the trigger does not work for windows that merge.
    #[track_caller]
    pub fn trigger<R: Trigger<T>>(self, trigger: R) -> TriggeredStream<T, K, R, AllElements> {
        let windowing = Windowing::Time(self.assigner);
        TriggeredStream::new(self.keyed, windowing, self.allowed_lateness_ms, self.late, trigger)
    }

    /// Takes elements out of windows when they fire, at their end. All elements are kept for that, whatever is computed
    /// of them.
    pub fn evictor<V: Evictor<T>>(self, evictor: V) -> TriggeredStream<T, K, AssignersTrigger, Evicted<V>> {
        let domain = self.assigner.domain();
        self.trigger(AssignersTrigger(domain)).evictor(evictor)
    }

    /// Reduces the records of each key and window into one.
    pub fn reduce(self, reduce: impl Fn(&T, &T) -> T + Send + Sync + 'static) -> DataStream<T> {
        self.functions(Reduce(Arc::new(reduce)), EmitReduced)
    }

    /// Reduces the records of each key and window into one, and gives it to a function with key and window.
    pub fn reduce_with<U: Record>(
        self,
        reduce: impl Fn(&T, &T) -> T + Send + Sync + 'static,
        function: impl Fn(&K, &TimeWindow, &T, &mut Collector<'_, U>) + Send + Sync + 'static,
    ) -> DataStream<U> {
        self.functions(Reduce(Arc::new(reduce)), EmitWith { view: Reduced, function: Arc::new(function) })
    }

    /// Aggregates the records of each key and window.
    pub fn aggregate<A: AggregateFunction<In = T>>(self, function: A) -> DataStream<A::Out> {
        self.functions(Aggregate(function.clone()), EmitResult(function))
    }

    /// Aggregates the records of each key and window, and gives the result to a function with key and window.
    pub fn aggregate_with<A: AggregateFunction<In = T>, U: Record>(
        self,
        aggregate: A,
        function: impl Fn(&K, &TimeWindow, &A::Out, &mut Collector<'_, U>) + Send + Sync + 'static,
    ) -> DataStream<U> {
        let emit = EmitWith { view: ResultOf(aggregate.clone()), function: Arc::new(function) };
        self.functions(Aggregate(aggregate), emit)
    }

    /// Gives all records of each key and window to a function. They are kept until the window is dropped: where a
    /// reduction or aggregation will do, it needs less memory.
    pub fn process<U: Record>(
        self,
        function: impl Fn(&K, &TimeWindow, &[T], &mut Collector<'_, U>) + Send + Sync + 'static,
    ) -> DataStream<U> {
        self.functions(Collect, EmitWith { view: AllRows, function: Arc::new(function) })
    }

    /// The same as [`process`](Self::process), under Flink's older name.
    pub fn apply<U: Record>(
        self,
        function: impl Fn(&K, &TimeWindow, &[T], &mut Collector<'_, U>) + Send + Sync + 'static,
    ) -> DataStream<U> {
        self.process(function)
    }

    /// The sum of a column, in a record that is otherwise one of the window's (the first, of the first pane if the
    /// window slides). Computed on columns. Integers wrap around; NULLs are skipped.
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
    /// # Panics
    ///
    /// When the column is no number, date or time.
    #[track_caller]
    pub fn max<F: Record>(self, column: Column<T, F>) -> DataStream<T> {
        let aggregate = in_place(ColumnFunction::Max, column, &self.keyed.key);
        self.operator(aggregate)
    }

    /// The record with the least value of a column; the first of several.
    pub fn min_by<F: Record + PartialOrd>(self, column: Column<T, F>) -> DataStream<T> {
        self.reduce(least_by(column))
    }

    /// The record with the greatest value of a column; the first of several.
    pub fn max_by<F: Record + PartialOrd>(self, column: Column<T, F>) -> DataStream<T> {
        self.reduce(greatest_by(column))
    }

    fn functions<U: Record, A: Accumulate<T>, E: EmitWindow<K, A::Accumulator, U>>(
        self,
        accumulate: A,
        emit: E,
    ) -> DataStream<U> {
        let key = self.keyed.key.clone();
        self.with_factory(move || WindowFunctions::<T, K, U, A, E>::new(key.clone(), accumulate.clone(), emit.clone()))
    }

    fn operator<U: Record, A: GroupAggregate + Clone + Sync>(self, aggregate: A) -> DataStream<U> {
        self.with_factory(move || aggregate.clone())
    }

    fn with_factory<U: Record, A: GroupAggregate + Clone>(
        self,
        make: impl Fn() -> A + Send + Sync + 'static,
    ) -> DataStream<U> {
        let side_outputs = SideOutputs::default();
        let sides = side_outputs.clone();
        let key = self.keyed.key.columns.clone();
        let (assigner, allowed_lateness_ms, late) = (self.assigner, self.allowed_lateness_ms, self.late);
        let factory = move |_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            let late_output = late.as_ref().and_then(|tag| sides.port_of(tag.id()));
            let settings = WindowSettings { key: key.clone(), assigner, allowed_lateness_ms, late_output };
            let operator = WindowOperator::new(settings, make());
            Ok(Box::new(operator.map_err(|error| OperatorError::data(error.to_string()))?))
        };
        self.keyed.keyed("Window", Arc::new(factory)).with_side_outputs(side_outputs)
    }
}

impl<T: Record, K: Record> std::fmt::Debug for WindowedStream<T, K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WindowedStream").field("keyed", &self.keyed).field("assigner", &self.assigner).finish()
    }
}
