//! One accumulator per key, to which values are added.

use pelton_runtime_core::state::StateError;

use crate::keyed::aggregate_function::AggregateFunction;
use crate::keyed::context::KeyedContext;
use crate::record::Record;

use super::{State, StateTtlConfig, States, ValueState};

/// One accumulator per key, to which values are added.
///
/// ```
/// # use pelton::testing::Harness;
/// # fn main() -> Result<(), pelton::testing::TestError> {
/// # let mut harness = Harness::new();
/// use pelton::keyed::{AggregateFunction, AggregatingState, FunctionResult, KeyedContext, KeyedProcessFunction, OpenContext};
/// use pelton::record::field;
/// use pelton::stream::Collector;
///
/// /// Sum and number of readings, and what they make.
/// #[derive(Clone)]
/// struct Mean;
///
/// impl AggregateFunction for Mean {
///     type In = i64;
///     type Accumulator = (i64, i64);
///     type Out = f64;
///
///     fn create_accumulator(&self) -> (i64, i64) {
///         (0, 0)
///     }
///     fn add(&self, reading: &i64, (sum, count): &mut (i64, i64)) {
///         *sum += reading;
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
/// /// The mean of each key so far.
/// #[derive(Clone)]
/// struct MeanSoFar {
///     state: AggregatingState<Mean>,
/// }
///
/// impl KeyedProcessFunction for MeanSoFar {
///     type Key = String;
///     type In = (String, i64);
///     type Out = f64;
///
///     fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
///         ctx.register(&mut self.state)
///     }
///
///     fn process_element(
///         &mut self,
///         reading: &(String, i64),
///         ctx: &mut KeyedContext<'_, String>,
///         out: &mut Collector<'_, f64>,
///     ) -> FunctionResult {
///         self.state.add(ctx, &reading.1)?;
///         out.collect(self.state.get(ctx)?.unwrap_or_default());
///         Ok(())
///     }
/// }
///
/// let (readings, input) = harness.source::<(String, i64)>();
/// let results = readings.key_by(field::<0, _>()).process(MeanSoFar { state: AggregatingState::new("mean", Mean) });
/// let results = harness.collect(results);
/// harness.push_untimed(&input, [("a", 5), ("b", 2), ("a", 9)])?;
/// assert_eq!(results.take_records(), [5.0, 2.0, 7.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct AggregatingState<A: AggregateFunction> {
    state: ValueState<A::Accumulator>,
    function: A,
}

impl<A: AggregateFunction> AggregatingState<A> {
    /// The state of this name, to be registered in `open`.
    pub fn new(name: &str, function: A) -> Self {
        Self { state: ValueState::new(name), function }
    }

    /// The same state, whose accumulators expire.
    #[must_use]
    pub fn with_ttl(self, ttl: StateTtlConfig) -> Self {
        Self { state: self.state.with_ttl(ttl), ..self }
    }

    /// The result of the key's values, if there were any.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be read.
    pub fn get<K: Record>(&self, ctx: &KeyedContext<'_, K>) -> Result<Option<A::Out>, StateError> {
        Ok(self.state.value(ctx)?.map(|accumulator| self.function.get_result(accumulator)))
    }

    /// Adds a value.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be written.
    pub fn add<K: Record>(&self, ctx: &mut KeyedContext<'_, K>, value: &A::In) -> Result<(), StateError> {
        self.state.modify(ctx, |state| {
            let accumulator = state.get_or_insert_with(|| self.function.create_accumulator());
            self.function.add(value, accumulator);
        })
    }

    /// Removes the key's accumulator.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be written.
    pub fn clear<K: Record>(&self, ctx: &mut KeyedContext<'_, K>) -> Result<(), StateError> {
        self.state.clear(ctx)
    }
}

impl<A: AggregateFunction> State for AggregatingState<A> {
    fn register(&mut self, states: &mut States<'_>) -> Result<(), StateError> {
        self.state.register(states)
    }
}
