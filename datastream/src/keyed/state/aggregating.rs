//! One accumulator per key, to which values are added.

use pelton_runtime_core::state::StateError;

use crate::keyed::aggregate_function::AggregateFunction;
use crate::keyed::context::KeyedContext;
use crate::record::Record;

use super::{State, StateTtlConfig, States, ValueState};

/// One accumulator per key, to which values are added.
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
