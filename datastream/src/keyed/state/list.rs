//! A list per key.

use pelton_runtime_core::state::{ExpiringLists, ListColumn, StateError};

use crate::keyed::context::KeyedContext;
use crate::record::Record;
use crate::state_codec::codec;

use super::{Handle, Place, State, StateTtlConfig, States};

/// A list per key.
///
/// ```
/// # use pelton::testing::Harness;
/// # fn main() -> Result<(), pelton::testing::TestError> {
/// # let mut harness = Harness::new();
/// use pelton::keyed::{FunctionResult, KeyedContext, KeyedProcessFunction, ListState, OpenContext};
/// use pelton::record::field;
/// use pelton::stream::Collector;
///
/// /// Two readings of a key at a time.
/// #[derive(Clone)]
/// struct Pairs {
///     state: ListState<i64>,
/// }
///
/// impl KeyedProcessFunction for Pairs {
///     type Key = String;
///     type In = (String, i64);
///     type Out = (i64, i64);
///
///     fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
///         ctx.register(&mut self.state)
///     }
///
///     fn process_element(
///         &mut self,
///         reading: &(String, i64),
///         ctx: &mut KeyedContext<'_, String>,
///         out: &mut Collector<'_, (i64, i64)>,
///     ) -> FunctionResult {
///         self.state.add(ctx, reading.1)?;
///         if let [first, second] = *self.state.get(ctx)? {
///             out.collect((first, second));
///             self.state.clear(ctx)?;
///         }
///         Ok(())
///     }
/// }
///
/// let (readings, input) = harness.source::<(String, i64)>();
/// let results = readings.key_by(field::<0, _>()).process(Pairs { state: ListState::new("waiting") });
/// let results = harness.collect(results);
/// harness.push_untimed(&input, [("a", 5), ("b", 2), ("a", 9)])?;
/// assert_eq!(results.take_records(), [(5, 9)]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ListState<V: Record>(Handle<ListColumn<V>, ExpiringLists<V>>);

impl<V: Record> ListState<V> {
    /// The state of this name, to be registered in `open`.
    pub fn new(name: &str) -> Self {
        Self(Handle::new(name))
    }

    /// The same state, whose elements expire.
    #[must_use]
    pub fn with_ttl(self, ttl: StateTtlConfig) -> Self {
        Self(Handle { ttl: Some(ttl), ..self.0 })
    }

    /// The key's list; empty when it has none.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be read.
    #[inline]
    pub fn get<'c, K: Record>(&self, ctx: &'c KeyedContext<'_, K>) -> Result<&'c [V], StateError> {
        Ok(match self.0.place()? {
            Place::Lasting(id) => ctx.table.column(id).get(ctx.slot),
            Place::Expiring(id, reading) => {
                let (column, now) = (ctx.table.column(id), ctx.processing_time);
                if reading.touches {
                    column.touch(ctx.slot, now);
                }
                if reading.sees_expired { column.get(ctx.slot) } else { column.live(ctx.slot, now) }
            }
        })
    }

    /// Appends to the key's list.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be written.
    #[inline]
    pub fn add<K: Record>(&self, ctx: &mut KeyedContext<'_, K>, value: V) -> Result<(), StateError> {
        let (slot, now) = (ctx.slot, ctx.processing_time);
        match self.0.place()? {
            Place::Lasting(id) => ctx.table.column_mut(id).entry(slot).push(value),
            Place::Expiring(id, _) => ctx.table.column_mut(id).push(slot, value, now),
        }
        Ok(())
    }

    /// Appends to the key's list, in this order.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be written.
    pub fn add_all<K: Record>(
        &self,
        ctx: &mut KeyedContext<'_, K>,
        values: impl IntoIterator<Item = V>,
    ) -> Result<(), StateError> {
        values.into_iter().try_for_each(|value| self.add(ctx, value))
    }

    /// Replaces the key's list.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be written.
    pub fn update<K: Record>(&self, ctx: &mut KeyedContext<'_, K>, values: Vec<V>) -> Result<(), StateError> {
        let (slot, now) = (ctx.slot, ctx.processing_time);
        match self.0.place()? {
            Place::Lasting(id) => *ctx.table.column_mut(id).entry(slot) = values,
            Place::Expiring(id, _) => ctx.table.column_mut(id).replace(slot, values, now),
        }
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

impl<V: Record> State for ListState<V> {
    fn register(&mut self, states: &mut States<'_>) -> Result<(), StateError> {
        self.0.register(states, || ListColumn::new(codec()), |ttl| ExpiringLists::new(ttl, codec()))
    }
}
