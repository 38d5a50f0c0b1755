//! One value per key.

use pelton_runtime_core::state::{ExpiringValues, StateError, ValueColumn};

use crate::keyed::context::KeyedContext;
use crate::record::Record;
use crate::state_codec::codec;

use super::{Handle, Place, State, StateTtlConfig, States};

/// One value per key.
#[derive(Debug, Clone)]
pub struct ValueState<V: Record>(Handle<ValueColumn<V>, ExpiringValues<V>>);

impl<V: Record> ValueState<V> {
    /// The state of this name, to be registered in `open`.
    pub fn new(name: &str) -> Self {
        Self(Handle::new(name))
    }

    /// The same state, whose values expire.
    #[must_use]
    pub fn with_ttl(self, ttl: StateTtlConfig) -> Self {
        Self(Handle { ttl: Some(ttl), ..self.0 })
    }

    pub(super) fn fmt_name(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&self.0, f)
    }

    /// The key's value, if it has one.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be read.
    #[inline]
    pub fn value<'c, K: Record>(&self, ctx: &'c KeyedContext<'_, K>) -> Result<Option<&'c V>, StateError> {
        match self.0.place()? {
            Place::Lasting(id) => Ok(ctx.table.column(id).get(ctx.slot)),
            Place::Expiring(id, reading) => {
                let (column, now) = (ctx.table.column(id), ctx.processing_time);
                let Some(value) = column.get(ctx.slot) else { return Ok(None) };
                if column.is_over(ctx.slot, now) {
                    return Ok(Some(value).filter(|_| reading.sees_expired));
                }
                if reading.touches {
                    column.touch(ctx.slot, now);
                }
                Ok(Some(value))
            }
        }
    }

    /// Sets the key's value.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be written.
    #[inline]
    pub fn update<K: Record>(&self, ctx: &mut KeyedContext<'_, K>, value: V) -> Result<(), StateError> {
        self.modify(ctx, |state| *state = Some(value))
    }

    /// Gives the key's value to `change`, which may set, alter or take it; answers what `change` does. A value that has
    /// expired is none.
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
        let (slot, now) = (ctx.slot, ctx.processing_time);
        Ok(match self.0.place()? {
            Place::Lasting(id) => change(ctx.table.column_mut(id).entry(slot)),
            Place::Expiring(id, _) => change(ctx.table.column_mut(id).entry(slot, now)),
        })
    }

    /// Removes the key's value and answers with it.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be read or written.
    pub fn take<K: Record>(&self, ctx: &mut KeyedContext<'_, K>) -> Result<Option<V>, StateError> {
        self.modify(ctx, Option::take)
    }

    /// Removes the key's value if `condition` holds for it, and answers with it.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be read or written.
    pub fn take_if<K: Record>(
        &self,
        ctx: &mut KeyedContext<'_, K>,
        condition: impl FnOnce(&V) -> bool,
    ) -> Result<Option<V>, StateError> {
        // A condition that does not hold has only read.
        if self.value(ctx)?.is_some_and(condition) { self.take(ctx) } else { Ok(None) }
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

impl<V: Record> State for ValueState<V> {
    fn register(&mut self, states: &mut States<'_>) -> Result<(), StateError> {
        self.0.register(states, || ValueColumn::new(codec()), |ttl| ExpiringValues::new(ttl, codec()))
    }
}
