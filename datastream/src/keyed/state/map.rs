//! A map per key.

use pelton_runtime_core::state::{ExpiringMaps, MapColumn, StateError};

use crate::keyed::context::KeyedContext;
use crate::record::{MapKey, Record};
use crate::state_codec::codec;

use super::{Handle, Place, State, StateTtlConfig, States};

/// A map per key.
///
/// ```
/// # use pelton::testing::Harness;
/// # fn main() -> Result<(), pelton::testing::TestError> {
/// # let mut harness = Harness::new();
/// use pelton::keyed::{FunctionResult, KeyedContext, KeyedProcessFunction, MapState, OpenContext};
/// use pelton::record::field;
/// use pelton::stream::Collector;
///
/// /// Every reading of a key once.
/// #[derive(Clone)]
/// struct First {
///     state: MapState<i64, bool>,
/// }
///
/// impl KeyedProcessFunction for First {
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
///         if !self.state.contains(ctx, &reading.1)? {
///             self.state.put(ctx, reading.1, true)?;
///             out.collect(reading.1);
///         }
///         Ok(())
///     }
/// }
///
/// let (readings, input) = harness.source::<(String, i64)>();
/// let results = readings.key_by(field::<0, _>()).process(First { state: MapState::new("seen") });
/// let results = harness.collect(results);
/// harness.push_untimed(&input, [("a", 5), ("b", 5), ("a", 9), ("a", 5)])?;
/// assert_eq!(results.take_records(), [5, 5, 9]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct MapState<M: MapKey, V: Record>(Handle<MapColumn<M, V>, ExpiringMaps<M, V>>);

impl<M: MapKey, V: Record> MapState<M, V> {
    /// The state of this name, to be registered in `open`.
    pub fn new(name: &str) -> Self {
        Self(Handle::new(name))
    }

    /// The same state, whose entries expire.
    #[must_use]
    pub fn with_ttl(self, ttl: StateTtlConfig) -> Self {
        Self(Handle { ttl: Some(ttl), ..self.0 })
    }

    /// The value under `map_key` in the key's map.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be read.
    #[inline]
    pub fn get<'c, K: Record>(&self, ctx: &'c KeyedContext<'_, K>, map_key: &M) -> Result<Option<&'c V>, StateError> {
        Ok(match self.0.place()? {
            Place::Lasting(id) => ctx.table.column(id).get(ctx.slot).get(map_key),
            Place::Expiring(id, reading) => {
                let found = ctx.table.column(id).get(ctx.slot, map_key, ctx.processing_time, reading.touches);
                found.filter(|(_, over)| reading.sees_expired || !over).map(|(value, _)| value)
            }
        })
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
        let (slot, now) = (ctx.slot, ctx.processing_time);
        match self.0.place()? {
            Place::Lasting(id) => drop(ctx.table.column_mut(id).entry(slot).insert(map_key, value)),
            Place::Expiring(id, _) => ctx.table.column_mut(id).insert(slot, map_key, value, now),
        }
        Ok(())
    }

    /// Removes the value under `map_key` and answers with it.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be written.
    pub fn remove<K: Record>(&self, ctx: &mut KeyedContext<'_, K>, map_key: &M) -> Result<Option<V>, StateError> {
        let (slot, now) = (ctx.slot, ctx.processing_time);
        Ok(match self.0.place()? {
            Place::Lasting(id) => ctx.table.column_mut(id).entry(slot).remove(map_key),
            Place::Expiring(id, _) => ctx.table.column_mut(id).remove(slot, map_key, now),
        })
    }

    /// The entries of the key's map, in no particular order.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be read.
    pub fn entries<'c, K: Record>(
        &self,
        ctx: &'c KeyedContext<'_, K>,
    ) -> Result<impl Iterator<Item = (&'c M, &'c V)> + use<'c, K, M, V>, StateError> {
        let (slot, now) = (ctx.slot, ctx.processing_time);
        let (lasting, expiring) = match self.0.place()? {
            Place::Lasting(id) => (Some(ctx.table.column(id).get(slot).iter()), None),
            Place::Expiring(id, reading) => {
                let entries = ctx.table.column(id).iter(slot, now, reading.touches);
                let seen = entries.filter(move |(_, _, over)| reading.sees_expired || !over);
                (None, Some(seen.map(|(key, value, _)| (key, value))))
            }
        };
        Ok(lasting.into_iter().flatten().chain(expiring.into_iter().flatten()))
    }

    /// Whether the key's map is empty.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be read.
    pub fn is_empty<K: Record>(&self, ctx: &KeyedContext<'_, K>) -> Result<bool, StateError> {
        Ok(self.entries(ctx)?.next().is_none())
    }

    /// Removes the key's map.
    ///
    /// # Errors
    ///
    /// When the state is not registered or cannot be written.
    pub fn clear<K: Record>(&self, ctx: &mut KeyedContext<'_, K>) -> Result<(), StateError> {
        let slot = ctx.slot;
        match self.0.place()? {
            Place::Lasting(id) => *ctx.table.column_mut(id).entry(slot) = Default::default(),
            Place::Expiring(id, _) => ctx.table.column_mut(id).clear(slot),
        }
        Ok(())
    }
}

impl<M: MapKey, V: Record> State for MapState<M, V> {
    fn register(&mut self, states: &mut States<'_>) -> Result<(), StateError> {
        let lasting = || MapColumn::new(codec(), codec());
        self.0.register(states, lasting, |ttl| ExpiringMaps::new(ttl, codec(), codec()))
    }
}
