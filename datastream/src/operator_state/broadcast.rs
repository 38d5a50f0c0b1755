//! A map that every subtask has alike.

use std::marker::PhantomData;

use arrow::array::RecordBatch;
use pelton_runtime_core::checkpoint::snapshot::Redistribution;
use pelton_runtime_core::state::{ColumnError, StateError, StateMap};

use crate::keyed::{State, States};
use crate::record::{MapKey, Record};
use crate::state_codec::{codec, column_of, rows_of};

use super::store::Contents;
use super::{BroadcastStateAccessMut, Handle, OperatorStateAccess};

const KEY: &str = "key";
const VALUE: &str = "value";

/// A map that is the same on every subtask, as long as all of them change it alike: only elements that every subtask
/// sees may change it.
///
/// ```
/// # use pelton::testing::Harness;
/// # fn main() -> Result<(), pelton::testing::TestError> {
/// # let mut harness = Harness::new();
/// use pelton::connected::BroadcastProcessFunction;
/// use pelton::keyed::{BroadcastContext, FunctionResult, OpenContext, ProcessContext};
/// use pelton::operator_state::BroadcastState;
/// use pelton::stream::Collector;
///
/// /// Translates words by the dictionary that has come so far.
/// #[derive(Clone)]
/// struct Translate {
///     dictionary: BroadcastState<String, String>,
/// }
///
/// impl BroadcastProcessFunction for Translate {
///     type In = String;
///     type Broadcast = (String, String);
///     type Out = String;
///
///     fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
///         ctx.register(&mut self.dictionary)
///     }
///
///     fn process_element(
///         &mut self,
///         word: &String,
///         ctx: &mut ProcessContext<'_>,
///         out: &mut Collector<'_, String>,
///     ) -> FunctionResult {
///         out.collect(self.dictionary.get(ctx, word)?.unwrap_or(word));
///         Ok(())
///     }
///
///     fn process_broadcast_element(
///         &mut self,
///         (word, translation): &(String, String),
///         ctx: &mut BroadcastContext<'_, '_>,
///         _out: &mut Collector<'_, String>,
///     ) -> FunctionResult {
///         Ok(self.dictionary.put(ctx, word.clone(), translation.clone())?)
///     }
/// }
///
/// let (words, word) = harness.source::<String>();
/// let (entries, entry) = harness.source::<(String, String)>();
/// let translated = words.connect_broadcast(entries).process(Translate { dictionary: BroadcastState::new("dictionary") });
/// let translated = harness.collect(translated);
/// harness.push_untimed(&word, ["pear"])?;
/// harness.push_untimed(&entry, [("pear", "Birne")])?;
/// harness.restart()?;
/// harness.push_untimed(&word, ["pear", "plum"])?;
/// assert_eq!(translated.take_records(), ["pear", "Birne", "plum"]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct BroadcastState<M: MapKey, V: Record> {
    handle: Handle,
    entries: PhantomData<fn() -> (M, V)>,
}

impl<M: MapKey, V: Record> BroadcastState<M, V> {
    /// The state of this name, to be registered in `open`.
    pub fn new(name: &str) -> Self {
        Self { handle: Handle::new(name), entries: PhantomData }
    }

    /// The value under `key`.
    ///
    /// # Errors
    ///
    /// When the state is not registered.
    #[inline]
    pub fn get<'c>(&self, ctx: &'c impl OperatorStateAccess, key: &M) -> Result<Option<&'c V>, StateError> {
        Ok(self.map(ctx)?.get(key))
    }

    /// Whether there is a value under `key`.
    ///
    /// # Errors
    ///
    /// When the state is not registered.
    pub fn contains(&self, ctx: &impl OperatorStateAccess, key: &M) -> Result<bool, StateError> {
        Ok(self.map(ctx)?.contains_key(key))
    }

    /// All entries, in no particular order.
    ///
    /// # Errors
    ///
    /// When the state is not registered.
    pub fn entries<'c>(
        &self,
        ctx: &'c impl OperatorStateAccess,
    ) -> Result<impl ExactSizeIterator<Item = (&'c M, &'c V)>, StateError> {
        Ok(self.map(ctx)?.iter())
    }

    /// Sets the value under `key`.
    ///
    /// # Errors
    ///
    /// When the state is not registered.
    pub fn put(&self, ctx: &mut impl BroadcastStateAccessMut, key: M, value: V) -> Result<(), StateError> {
        self.map_mut(ctx)?.insert(key, value);
        Ok(())
    }

    /// Removes the value under `key` and answers with it.
    ///
    /// # Errors
    ///
    /// When the state is not registered.
    pub fn remove(&self, ctx: &mut impl BroadcastStateAccessMut, key: &M) -> Result<Option<V>, StateError> {
        Ok(self.map_mut(ctx)?.remove(key))
    }

    /// Removes every entry.
    ///
    /// # Errors
    ///
    /// When the state is not registered.
    pub fn clear(&self, ctx: &mut impl BroadcastStateAccessMut) -> Result<(), StateError> {
        self.map_mut(ctx)?.clear();
        Ok(())
    }

    fn map<'c>(&self, ctx: &'c impl OperatorStateAccess) -> Result<&'c StateMap<M, V>, StateError> {
        Ok(&self.handle.contents::<Map<M, V>>(ctx)?.0)
    }

    fn map_mut<'c>(&self, ctx: &'c mut impl BroadcastStateAccessMut) -> Result<&'c mut StateMap<M, V>, StateError> {
        let place = self.handle.place()?;
        Ok(&mut ctx.broadcast_states_mut().contents_mut::<Map<M, V>>(place).0)
    }
}

impl<M: MapKey, V: Record> State for BroadcastState<M, V> {
    fn register(&mut self, states: &mut States<'_>) -> Result<(), StateError> {
        let contents = Box::new(Map::<M, V>(StateMap::default()));
        self.handle.place = Some(states.operator.register(&self.handle.name, Redistribution::Broadcast, contents)?);
        Ok(())
    }
}

struct Map<M, V>(StateMap<M, V>);

impl<M: MapKey, V: Record> Contents for Map<M, V> {
    fn rows(&self) -> Result<RecordBatch, ColumnError> {
        let (keys, values): (Vec<_>, Vec<_>) = self.0.iter().map(|(key, value)| (Some(key), Some(value))).unzip();
        rows_of([(KEY, codec::<M>().encode(&keys)?), (VALUE, codec::<V>().encode(&values)?)])
    }

    fn restore(&mut self, rows: &RecordBatch) -> Result<(), ColumnError> {
        let keys = codec::<M>().decode(column_of(rows, KEY)?)?;
        let values = codec::<V>().decode(column_of(rows, VALUE)?)?;
        for (key, value) in keys.into_iter().zip(values) {
            let (Some(key), Some(value)) = (key, value) else {
                return Err(ColumnError::Corrupt { what: "a map has an entry without a key or a value" });
            };
            self.0.insert(key, value);
        }
        Ok(())
    }
}
