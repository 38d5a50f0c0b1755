//! State of a key, as functions hold it: named handles that are registered in `open` and work on the key of the context.
//!
//! A handle is a name and, once registered, the place of its column. Values are records, so that snapshots can hold
//! them as columns. A key whose states are all empty, and which has no timers, is forgotten.

use std::hash::Hash;
use std::sync::Arc;

use pelton_runtime_core::state::{
    KeyedStateBackend, ListColumn, MapColumn, StateColumn, StateError, StateId, ValueColumn,
};

use crate::record::Record;

use super::aggregate_function::AggregateFunction;
use super::context::KeyedContext;
use super::state_codec::codec;

/// A state that can be registered.
pub trait KeyedState {
    /// Registers the state and remembers its place.
    ///
    /// # Errors
    ///
    /// When the name is taken.
    fn register(&mut self, backend: &mut KeyedStateBackend) -> Result<(), StateError>;
}

/// A state's name and place.
struct Handle<C> {
    name: Arc<str>,
    id: Option<StateId<C>>,
}

impl<C: StateColumn> Handle<C> {
    fn new(name: &str) -> Self {
        Self { name: name.into(), id: None }
    }

    fn register(
        &mut self,
        backend: &mut KeyedStateBackend,
        make: impl Fn() -> C + Send + 'static,
    ) -> Result<(), StateError> {
        self.id = Some(backend.register(&self.name, make)?);
        Ok(())
    }

    #[inline]
    fn column<'c, K: Record>(&self, ctx: &'c KeyedContext<'_, K>) -> Result<&'c C, StateError> {
        Ok(ctx.table.column(self.id()?))
    }

    #[inline]
    fn column_mut<'c, K: Record>(&self, ctx: &'c mut KeyedContext<'_, K>) -> Result<&'c mut C, StateError> {
        Ok(ctx.table.column_mut(self.id()?))
    }

    #[inline]
    fn id(&self) -> Result<StateId<C>, StateError> {
        self.id.ok_or_else(|| StateError::NotRegistered { name: self.name.to_string() })
    }
}

impl<C> Clone for Handle<C> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), id: self.id }
    }
}

impl<C> std::fmt::Debug for Handle<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

/// One value per key.
#[derive(Debug, Clone)]
pub struct ValueState<V: Record>(Handle<ValueColumn<V>>);

impl<V: Record> ValueState<V> {
    /// The state of this name, to be registered in `open`.
    pub fn new(name: &str) -> Self {
        Self(Handle::new(name))
    }

    /// The key's value, if it has one.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be read.
    #[inline]
    pub fn value<'c, K: Record>(&self, ctx: &'c KeyedContext<'_, K>) -> Result<Option<&'c V>, StateError> {
        Ok(self.0.column(ctx)?.get(ctx.slot))
    }

    /// Sets the key's value.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be written.
    #[inline]
    pub fn update<K: Record>(&self, ctx: &mut KeyedContext<'_, K>, value: V) -> Result<(), StateError> {
        let slot = ctx.slot;
        *self.0.column_mut(ctx)?.entry(slot) = Some(value);
        Ok(())
    }

    /// Gives the key's value to `change`, which may set, alter or take it; answers what `change` does.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be read or written.
    #[inline]
    pub fn modify<K: Record, R>(
        &self,
        ctx: &mut KeyedContext<'_, K>,
        change: impl FnOnce(&mut Option<V>) -> R,
    ) -> Result<R, StateError> {
        let slot = ctx.slot;
        Ok(change(self.0.column_mut(ctx)?.entry(slot)))
    }

    /// Removes the key's value.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be written.
    pub fn clear<K: Record>(&self, ctx: &mut KeyedContext<'_, K>) -> Result<(), StateError> {
        self.modify(ctx, |value| *value = None)
    }
}

impl<V: Record> KeyedState for ValueState<V> {
    fn register(&mut self, backend: &mut KeyedStateBackend) -> Result<(), StateError> {
        self.0.register(backend, || ValueColumn::new(codec()))
    }
}

/// A list per key.
#[derive(Debug, Clone)]
pub struct ListState<V: Record>(Handle<ListColumn<V>>);

impl<V: Record> ListState<V> {
    /// The state of this name, to be registered in `open`.
    pub fn new(name: &str) -> Self {
        Self(Handle::new(name))
    }

    /// The key's list; empty when it has none.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be read.
    #[inline]
    pub fn get<'c, K: Record>(&self, ctx: &'c KeyedContext<'_, K>) -> Result<&'c [V], StateError> {
        Ok(self.0.column(ctx)?.get(ctx.slot))
    }

    /// Appends to the key's list.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be written.
    #[inline]
    pub fn add<K: Record>(&self, ctx: &mut KeyedContext<'_, K>, value: V) -> Result<(), StateError> {
        let slot = ctx.slot;
        self.0.column_mut(ctx)?.entry(slot).push(value);
        Ok(())
    }

    /// Replaces the key's list.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be written.
    pub fn update<K: Record>(&self, ctx: &mut KeyedContext<'_, K>, values: Vec<V>) -> Result<(), StateError> {
        let slot = ctx.slot;
        *self.0.column_mut(ctx)?.entry(slot) = values;
        Ok(())
    }

    /// Removes the key's list.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be written.
    pub fn clear<K: Record>(&self, ctx: &mut KeyedContext<'_, K>) -> Result<(), StateError> {
        self.update(ctx, Vec::new())
    }
}

impl<V: Record> KeyedState for ListState<V> {
    fn register(&mut self, backend: &mut KeyedStateBackend) -> Result<(), StateError> {
        self.0.register(backend, || ListColumn::new(codec()))
    }
}

/// A map per key.
#[derive(Debug, Clone)]
pub struct MapState<M: Record + Eq + Hash, V: Record>(Handle<MapColumn<M, V>>);

impl<M: Record + Eq + Hash, V: Record> MapState<M, V> {
    /// The state of this name, to be registered in `open`.
    pub fn new(name: &str) -> Self {
        Self(Handle::new(name))
    }

    /// The value under `map_key` in the key's map.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be read.
    #[inline]
    pub fn get<'c, K: Record>(&self, ctx: &'c KeyedContext<'_, K>, map_key: &M) -> Result<Option<&'c V>, StateError> {
        Ok(self.0.column(ctx)?.get(ctx.slot).get(map_key))
    }

    /// Whether there is a value under `map_key`.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be read.
    pub fn contains<K: Record>(&self, ctx: &KeyedContext<'_, K>, map_key: &M) -> Result<bool, StateError> {
        Ok(self.get(ctx, map_key)?.is_some())
    }

    /// Sets the value under `map_key`.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be written.
    #[inline]
    pub fn put<K: Record>(&self, ctx: &mut KeyedContext<'_, K>, map_key: M, value: V) -> Result<(), StateError> {
        let slot = ctx.slot;
        self.0.column_mut(ctx)?.entry(slot).insert(map_key, value);
        Ok(())
    }

    /// Removes the value under `map_key` and answers with it.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be written.
    pub fn remove<K: Record>(&self, ctx: &mut KeyedContext<'_, K>, map_key: &M) -> Result<Option<V>, StateError> {
        let slot = ctx.slot;
        Ok(self.0.column_mut(ctx)?.entry(slot).remove(map_key))
    }

    /// The entries of the key's map, in no particular order.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be read.
    pub fn entries<'c, K: Record>(
        &self,
        ctx: &'c KeyedContext<'_, K>,
    ) -> Result<impl ExactSizeIterator<Item = (&'c M, &'c V)> + use<'c, K, M, V>, StateError> {
        Ok(self.0.column(ctx)?.get(ctx.slot).iter())
    }

    /// Whether the key's map is empty.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be read.
    pub fn is_empty<K: Record>(&self, ctx: &KeyedContext<'_, K>) -> Result<bool, StateError> {
        Ok(self.0.column(ctx)?.get(ctx.slot).is_empty())
    }

    /// Removes the key's map.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be written.
    pub fn clear<K: Record>(&self, ctx: &mut KeyedContext<'_, K>) -> Result<(), StateError> {
        let slot = ctx.slot;
        *self.0.column_mut(ctx)?.entry(slot) = Default::default();
        Ok(())
    }
}

impl<M: Record + Eq + Hash, V: Record> KeyedState for MapState<M, V> {
    fn register(&mut self, backend: &mut KeyedStateBackend) -> Result<(), StateError> {
        self.0.register(backend, || MapColumn::new(codec(), codec()))
    }
}

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
        self.state.0.fmt(f)
    }
}

impl<V: Record> KeyedState for ReducingState<V> {
    fn register(&mut self, backend: &mut KeyedStateBackend) -> Result<(), StateError> {
        self.state.register(backend)
    }
}

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

impl<A: AggregateFunction> KeyedState for AggregatingState<A> {
    fn register(&mut self, backend: &mut KeyedStateBackend) -> Result<(), StateError> {
        self.state.register(backend)
    }
}
