//! The tables of one operator: a key index and the columns of every registered state, per namespace.
//!
//! ```text
//!  backend ── namespace ──► table ──┬─ key index: key ──► slot
//!                                   ├─ column of state 0, by slot
//!                                   └─ column of state 1, by slot
//! ```
//!
//! Invariants: names of states are unique; every table has a column for every state, as long as the index has slots;
//! a key is in a table from its first use until [`NamespaceTable::free_empty`] finds all its columns empty, or until the
//! whole table is dropped.

mod snapshot;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::datatypes::DataType;

use super::{KeyBatch, KeyIndex, Rows, Slot, StateColumn, StateError};
use crate::time::EpochMillis;
use crate::window::TimeWindow;

/// What a table belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespace {
    /// The key alone.
    Void,
    /// The key and a window (or a pane that several windows share).
    Window(TimeWindow),
}

/// Where a state's column is; `C` is the column's type.
pub struct StateId<C> {
    position: usize,
    column: PhantomData<fn() -> C>,
}

impl<C> Clone for StateId<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for StateId<C> {}

impl<C> fmt::Debug for StateId<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateId({})", self.position)
    }
}

type MakeColumn = Box<dyn Fn() -> Box<dyn StateColumn> + Send>;

/// The keyed state of one operator instance, on the heap.
#[derive(Default)]
pub struct KeyedStateBackend {
    states: Vec<(String, MakeColumn)>,
    tables: BTreeMap<Namespace, NamespaceTable>,
}

impl fmt::Debug for KeyedStateBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.states.iter().map(|(name, _)| name).collect();
        f.debug_struct("KeyedStateBackend").field("states", &names).field("tables", &self.tables.len()).finish()
    }
}

impl KeyedStateBackend {
    /// A backend without states.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a state, before any table exists.
    ///
    /// # Errors
    ///
    /// When the name is taken.
    pub fn register<C: StateColumn>(
        &mut self,
        name: &str,
        make: impl Fn() -> C + Send + 'static,
    ) -> Result<StateId<C>, StateError> {
        if self.states.iter().any(|(taken, _)| taken == name) {
            return Err(StateError::DuplicateName { name: name.to_owned() });
        }
        debug_assert!(self.tables.is_empty(), "states are registered before there are keys");
        self.states.push((name.to_owned(), Box::new(move || Box::new(make()))));
        Ok(StateId { position: self.states.len() - 1, column: PhantomData })
    }

    /// The table of a namespace, made when there is none.
    pub fn table(&mut self, namespace: Namespace, key_types: &[DataType]) -> &mut NamespaceTable {
        let states = &self.states;
        self.tables.entry(namespace).or_insert_with(|| NamespaceTable::new(key_types.into(), states))
    }

    /// The table of a namespace, when there is one.
    pub fn existing(&self, namespace: Namespace) -> Option<&NamespaceTable> {
        self.tables.get(&namespace)
    }

    /// The table of a namespace, when there is one.
    pub fn existing_mut(&mut self, namespace: Namespace) -> Option<&mut NamespaceTable> {
        self.tables.get_mut(&namespace)
    }

    /// A table that belongs to no namespace: room for a result that is not kept.
    pub fn detached(&self, key_types: Arc<[DataType]>) -> NamespaceTable {
        NamespaceTable::new(key_types, &self.states)
    }

    /// Drops a namespace with everything in it.
    pub fn drop_namespace(&mut self, namespace: Namespace) {
        self.tables.remove(&namespace);
    }

    /// The namespaces that have a table, in order.
    pub fn namespaces(&self) -> impl Iterator<Item = Namespace> + '_ {
        self.tables.keys().copied()
    }
}

/// The keys and states of one namespace.
pub struct NamespaceTable {
    index: KeyIndex,
    columns: Vec<Box<dyn StateColumn>>,
}

impl fmt::Debug for NamespaceTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamespaceTable").field("keys", &self.index.len()).finish()
    }
}

impl NamespaceTable {
    fn new(key_types: Arc<[DataType]>, states: &[(String, MakeColumn)]) -> Self {
        Self { index: KeyIndex::new(key_types), columns: states.iter().map(|(_, make)| make()).collect() }
    }

    /// The table's keys.
    pub fn index(&self) -> &KeyIndex {
        &self.index
    }

    /// The slots of `rows` of `keys`; new keys get slots, in which every column is empty.
    ///
    /// # Errors
    ///
    /// As [`KeyIndex::slots`].
    pub fn slots(&mut self, keys: &KeyBatch, rows: Rows<'_>, slots: &mut Vec<Slot>) -> Result<(), StateError> {
        self.index.slots(keys, rows, slots)?;
        self.grow();
        Ok(())
    }

    /// For every slot of `other`, the slot of the same key here.
    ///
    /// # Errors
    ///
    /// As [`KeyIndex::slots_of`].
    pub fn slots_of(&mut self, other: &KeyIndex, slots: &mut Vec<Slot>) -> Result<(), StateError> {
        self.index.slots_of(other, slots)?;
        self.grow();
        Ok(())
    }

    fn grow(&mut self) {
        let slots = self.index.slot_count();
        self.columns.iter_mut().for_each(|column| column.grow(slots));
    }

    /// A state's column.
    ///
    /// # Panics
    ///
    /// When `state` is of another backend.
    #[inline]
    pub fn column<C: StateColumn>(&self, state: StateId<C>) -> &C {
        let column: &dyn Any = self.columns[state.position].as_ref();
        column.downcast_ref().expect("a state's id is used with the backend that made it")
    }

    /// A state's column, to be changed.
    ///
    /// # Panics
    ///
    /// When `state` is of another backend.
    #[inline]
    pub fn column_mut<C: StateColumn>(&mut self, state: StateId<C>) -> &mut C {
        let column: &mut dyn Any = self.columns[state.position].as_mut();
        column.downcast_mut().expect("a state's id is used with the backend that made it")
    }

    /// The keys and one state's column, to be changed.
    ///
    /// # Panics
    ///
    /// When `state` is of another backend.
    pub fn split<C: StateColumn>(&mut self, state: StateId<C>) -> (&KeyIndex, &mut C) {
        let column: &mut dyn Any = self.columns[state.position].as_mut();
        (&self.index, column.downcast_mut().expect("a state's id is used with the backend that made it"))
    }

    /// Whether what any column holds expires.
    pub fn expires(&self) -> bool {
        self.columns.iter().any(|column| column.expires())
    }

    /// Drops what has expired at `now` in `count` slots from `first` on, and forgets the keys that are left without
    /// state. Answers with the slot to go on from, which is 0 after the last.
    pub fn expire(&mut self, first: Slot, count: u32, now: EpochMillis) -> Slot {
        let end = self.index.slot_count() as Slot;
        let range = first.min(end)..first.saturating_add(count).min(end);
        let next = if range.end == end { 0 } else { range.end };
        let mut emptied = Vec::new();
        for column in &mut self.columns {
            column.expire(range.clone(), now, &mut emptied);
        }
        self.free_empty(&mut emptied);
        next
    }

    /// Forgets the keys of those `slots` in which every column is empty, and leaves these slots in `slots`.
    pub fn free_empty(&mut self, slots: &mut Vec<Slot>) {
        for column in &self.columns {
            column.retain_empty(slots);
        }
        slots.sort_unstable();
        slots.dedup();
        self.index.remove(slots);
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};

    use super::super::column::tests::{booleans, numbers};
    use super::super::{ExpiringValues, Ttl, ValueColumn};
    use super::*;

    fn keys(values: std::ops::Range<i64>) -> KeyBatch {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
        let mut keys = KeyBatch::default();
        keys.read(std::slice::from_ref(&column), column.len()).unwrap();
        keys
    }

    #[test]
    fn a_name_is_registered_once() {
        let mut backend = KeyedStateBackend::new();
        backend.register("count", || ValueColumn::new(numbers())).unwrap();
        let error = backend.register("count", || ValueColumn::new(booleans())).unwrap_err();
        assert_eq!(error.to_string(), "state `count` is registered twice in one operator");
    }

    #[test]
    fn keys_whose_state_has_expired_are_freed_a_part_at_a_time() {
        let mut backend = KeyedStateBackend::new();
        let count = backend.register("count", || ExpiringValues::new(Ttl { millis: 10 }, numbers())).unwrap();
        let flag = backend.register("flag", || ValueColumn::new(booleans())).unwrap();
        let batch = keys(0..10);
        let table = backend.table(Namespace::Void, batch.types());
        let mut slots = Vec::new();
        table.slots(&batch, Rows::All(10), &mut slots).unwrap();
        for slot in &slots {
            *table.column_mut(count).entry(*slot, i64::from(*slot)) = Some(1);
        }
        *table.column_mut(flag).entry(1) = Some(true);
        assert!(table.expires());
        let mut next = 0;
        for left in [8, 6, 6, 6] {
            next = table.expire(next, 3, 14);
            assert_eq!(table.index().len(), left);
        }
        assert_eq!((next, table.column(count).get(5), table.column(flag).get(1)), (0, Some(&1), Some(&true)));
    }

    #[test]
    fn keys_without_state_are_freed_and_their_slots_reused() {
        let mut backend = KeyedStateBackend::new();
        let count = backend.register("count", || ValueColumn::new(numbers())).unwrap();
        let flag = backend.register("flag", || ValueColumn::new(booleans())).unwrap();
        let mut slots = Vec::new();
        for round in 0..1000 {
            let batch = keys(round * 10..round * 10 + 10);
            let table = backend.table(Namespace::Void, batch.types());
            table.slots(&batch, Rows::All(10), &mut slots).unwrap();
            assert!(slots.iter().all(|slot| table.column(count).get(*slot).is_none()));
            *table.column_mut(count).entry(slots[0]) = Some(1);
            *table.column_mut(flag).entry(slots[1]) = Some(true);
            let kept = slots[..2].to_vec();
            table.free_empty(&mut slots);
            assert_eq!(slots.len(), 8);
            *table.column_mut(count).entry(kept[0]) = None;
            *table.column_mut(flag).entry(kept[1]) = None;
            slots = kept;
            table.free_empty(&mut slots);
            assert!(table.index().is_empty());
            assert_eq!(table.index().slot_count(), 10);
        }
    }
}
