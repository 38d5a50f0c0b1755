//! One value per key, into which others are reduced.

use std::sync::Arc;

use pelton_runtime_core::state::StateError;

use crate::keyed::context::KeyedContext;
use crate::record::Record;

use super::{State, StateTtlConfig, States, ValueState};

/// Makes one value of two.
type ReduceFunction<V> = Arc<dyn Fn(&V, &V) -> V + Send + Sync>;

/// One value per key, into which further ones are reduced.
#[derive(Clone)]
pub struct ReducingState<V: Record> {
    state: ValueState<V>,
    reduce: ReduceFunction<V>,
}

impl<V: Record> ReducingState<V> {
    /// The state of this name, to be registered in `open`.
    pub fn new(name: &str, reduce: impl Fn(&V, &V) -> V + Send + Sync + 'static) -> Self {
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
