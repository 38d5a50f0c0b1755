//! One value per key.

use pelton_runtime_core::state::{ExpiringValues, StateError, ValueColumn};

use crate::keyed::context::KeyedContext;
use crate::record::Record;
use crate::state_codec::codec;

use super::{Handle, Place, State, StateTtlConfig, States};

/// One value per key.
///
/// ```
/// # use pelton::testing::Harness;
/// # fn main() -> Result<(), pelton::testing::TestError> {
/// # let mut harness = Harness::new();
/// use pelton::keyed::{FunctionResult, KeyedContext, KeyedProcessFunction, OpenContext, ValueState};
/// use pelton::record::field;
/// use pelton::stream::Collector;
///
/// /// By how much readings are above the last one of their key.
/// #[derive(Clone)]
/// struct Rise {
///     state: ValueState<i64>,
/// }
///
/// impl KeyedProcessFunction for Rise {
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
///         let last = self.state.value(ctx)?.copied().unwrap_or(reading.1);
///         self.state.update(ctx, reading.1)?;
///         out.collect(reading.1 - last);
///         Ok(())
///     }
/// }
///
/// let (readings, input) = harness.source::<(String, i64)>();
/// let results = readings.key_by(field::<0, _>()).process(Rise { state: ValueState::new("last") });
/// let results = harness.collect(results);
/// harness.push_untimed(&input, [("a", 5), ("b", 2), ("a", 9)])?;
/// assert_eq!(results.take_records(), [0, 0, 4]);
/// # Ok(())
/// # }
/// ```
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
