//! One value per key, into which others are reduced.

use std::sync::Arc;

use pelton_runtime_core::state::StateError;

use crate::keyed::context::KeyedContext;
use crate::record::Record;
use crate::stream::Parallel;

use super::{State, StateTtlConfig, States, ValueState};

/// Makes one value of two.
type ReduceFunction<V> = Arc<dyn Fn(&V, &V) -> V + Send + Sync>;

/// One value per key, into which further ones are reduced.
///
/// ```
/// # use pelton::testing::Harness;
/// # fn main() -> Result<(), pelton::testing::TestError> {
/// # let mut harness = Harness::new();
/// use pelton::keyed::{FunctionResult, KeyedContext, KeyedProcessFunction, OpenContext, ReducingState};
/// use pelton::record::field;
/// use pelton::stream::Collector;
///
/// /// The greatest reading of each key so far.
/// #[derive(Clone)]
/// struct Greatest {
///     state: ReducingState<i64>,
/// }
///
/// impl KeyedProcessFunction for Greatest {
///     type Key = String;
///     type In = (String, i64);
///     type Out = i64;
///
///     fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
///         ctx.register(&mut self.state)
///     }
///
///     fn process_element(
///         &mut self,
///         reading: &(String, i64),
///         ctx: &mut KeyedContext<'_, String>,
///         out: &mut Collector<'_, i64>,
///     ) -> FunctionResult {
///         self.state.add(ctx, reading.1)?;
///         out.collect(self.state.get(ctx)?.copied().unwrap_or_default());
///         Ok(())
///     }
/// }
///
/// let (readings, input) = harness.source::<(String, i64)>();
/// let results = readings.key_by(field::<0, _>()).process(Greatest { state: ReducingState::new("greatest", |a: &i64, b: &i64| *a.max(b)) });
/// let results = harness.collect(results);
/// harness.push_untimed(&input, [("a", 5), ("b", 2), ("a", 3)])?;
/// assert_eq!(results.take_records(), [5, 2, 5]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ReducingState<V: Record> {
    state: ValueState<V>,
    reduce: ReduceFunction<V>,
}

impl<V: Record> ReducingState<V> {
    /// The state of this name, to be registered in `open`.
    pub fn new(name: &str, reduce: impl Fn(&V, &V) -> V + Parallel) -> Self {
        Self { state: ValueState::new(name), reduce: Arc::new(reduce) }
    }

    /// The same state, whose values expire.
    #[must_use]
    pub fn with_ttl(self, ttl: StateTtlConfig) -> Self {
        Self { state: self.state.with_ttl(ttl), ..self }
    }

    /// What the key's values were reduced to, if there were any.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be read.
    pub fn get<'c, K: Record>(&self, ctx: &'c KeyedContext<'_, K>) -> Result<Option<&'c V>, StateError> {
        self.state.value(ctx)
    }

    /// Adds a value.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be written.
    pub fn add<K: Record>(&self, ctx: &mut KeyedContext<'_, K>, value: V) -> Result<(), StateError> {
        self.state.modify(ctx, |state| {
            *state = Some(match state.take() {
                Some(reduced) => (self.reduce)(&reduced, &value),
                None => value,
            });
        })
    }

    /// Removes the key's value.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be written.
    pub fn clear<K: Record>(&self, ctx: &mut KeyedContext<'_, K>) -> Result<(), StateError> {
        self.state.clear(ctx)
    }
}

impl<V: Record> std::fmt::Debug for ReducingState<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.state.fmt_name(f)
    }
}

impl<V: Record> State for ReducingState<V> {
    fn register(&mut self, states: &mut States<'_>) -> Result<(), StateError> {
        self.state.register(states)
    }
}
