//! The tables of one operator: a key index and the columns of every registered state, per namespace.
//!
//! ```text
//!  backend ── namespace ──► table ──┬─ key index: key ──► slot
//!                                   ├─ column of state 0, by slot
//!                                   └─ column of state 1, by slot
//! ```
//!
//! With a store below ([`KeyedStateBackend::open`]) the tables are a cache of it, whose size
//! [`KeyedStateBackend::make_room`] bounds; see `table_cache`. A slot is then valid until the next call of `make_room`.
//!
//! Invariants: names of states are unique; every table has a column for every state, as long as the index has slots;
//! a key is in a table from its first use until [`NamespaceTable::free_empty`] finds all its columns empty, or until the
//! whole table is dropped.

mod changes;
mod cold_part;
mod cold_rows;
mod layering;
mod snapshot;
mod stored;
mod table_cache;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::datatypes::DataType;
use parking_lot::Mutex;

use self::changes::Changes;
pub(super) use self::cold_part::ColdPart;
pub(super) use self::cold_rows::ColdRows;
use self::layering::Layering;
pub use self::snapshot::SeeRestored;
use self::table_cache::TableCache;
use super::{KeyBatch, KeyIndex, KeyTimers, NO_SLOT, Rows, Slot, StateColumn, StateError, StoredTimers, TimerQueue};
use crate::checkpoint::snapshot::Unclaimed;
use crate::operator::OperatorRuntime;
use crate::time::EpochMillis;
use crate::window::{TimeDomain, TimeWindow};

/// What a table belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespace {
    /// The key alone.
    Void,
    /// The key and a window (or a pane that several windows share).
    Window(TimeWindow),
}

impl Namespace {
    /// The window, if it is one.
    pub fn window(self) -> Option<TimeWindow> {
        match self {
            Self::Void => None,
            Self::Window(window) => Some(window),
        }
    }
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

/// What is made room for is this part of the cache more than is needed, so that it is not made for every batch.
const SPARE_SHARE: usize = 8;

/// The keyed state of one operator instance.
#[derive(Default)]
pub struct KeyedStateBackend {
    states: Vec<(String, MakeColumn)>,
    tables: BTreeMap<Namespace, NamespaceTable>,
    cold: Option<Arc<Mutex<ColdPart>>>,
    /// The names of all states, made with the first table.
    names: Arc<[String]>,
    uses: u64,
    /// None where every snapshot has everything.
    layering: Option<Layering>,
    /// What becomes of restored states that are not registered.
    unclaimed: Unclaimed,
    /// Those that were left behind.
    dropped: BTreeSet<String>,
}

impl fmt::Debug for KeyedStateBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.states.iter().map(|(name, _)| name).collect();
        f.debug_struct("KeyedStateBackend").field("states", &names).field("tables", &self.tables.len()).finish()
    }
}

impl KeyedStateBackend {
    /// A backend without states, on the heap.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the place of the operator instance that `runtime` describes, before any table exists: with the store that
    /// its job keeps state in, if it has one. If it has none, and takes incremental checkpoints, what changes is noted from now
    /// on, so whoever changes a slot must have got it just now, or [touched](NamespaceTable::touch) it.
    ///
    /// # Errors
    ///
    /// When the store cannot be opened.
    pub fn open(&mut self, runtime: &OperatorRuntime) -> Result<(), StateError> {
        debug_assert!(self.tables.is_empty(), "a store is opened before there are keys");
        if let Some(stores) = &runtime.cold_stores {
            let opened = stores.open(runtime)?;
            self.cold = Some(Arc::new(Mutex::new(ColdPart::new(opened, runtime))));
        } else {
            self.layering = Layering::of(&runtime.increments);
        }
        Ok(())
    }

    /// Whether state is kept in a store, with the tables as its cache.
    pub fn has_store(&self) -> bool {
        self.cold.is_some()
    }

    /// The timers of keys without windows, for one clock: in the store, if there is one.
    pub fn timers(&self, clock: TimeDomain) -> KeyTimers {
        match &self.cold {
            Some(cold) => KeyTimers::Stored(Box::new(StoredTimers::new(clock, cold.clone()))),
            None => KeyTimers::Heap(TimerQueue::default()),
        }
    }

    /// The clock that states expire by has come to `now`: what has expired in the store need not be found any more.
    pub fn expire_stored(&mut self, now: EpochMillis) {
        if let Some(cold) = &self.cold {
            cold.lock().expire(now);
        }
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
        if self.names.len() != self.states.len() {
            self.names = self.states.iter().map(|(name, _)| name.clone()).collect();
        }
        self.uses += 1;
        let (states, cold, names, is_layered) = (&self.states, &self.cold, &self.names, self.layering.is_some());
        let table = self.tables.entry(namespace).or_insert_with(|| {
            let mut table = NamespaceTable::new(key_types.into(), states);
            table.cache_in(namespace, cold, names);
            if is_layered && table.columns.iter().all(|column| column.is_evictable()) {
                table.changes = Some(Changes::default());
            }
            table
        });
        if let Some(cache) = &mut table.cache {
            cache.last_use = self.uses;
        }
        table
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
    ///
    /// # Errors
    ///
    /// When what the store has of it cannot be removed.
    pub fn drop_namespace(&mut self, namespace: Namespace) -> Result<(), StateError> {
        let Some(NamespaceTable { cache, changes, .. }) = self.tables.remove(&namespace) else { return Ok(()) };
        if let Some(layering) = &mut self.layering {
            layering.dropped(namespace, changes.as_ref());
        }
        cache.map_or(Ok(()), |mut cache| cache.remove_rows())
    }

    /// The namespaces that have a table, in order.
    pub fn namespaces(&self) -> impl Iterator<Item = Namespace> + '_ {
        self.tables.keys().copied()
    }

    /// Writes slots away when the tables hold more than they may: those of tables that were not used lately, then the
    /// coldest of the one that was. An operator calls this between two batches; slots that it has are void afterwards.
    ///
    /// # Errors
    ///
    /// When they cannot be written.
    pub fn make_room(&mut self) -> Result<(), StateError> {
        let Some(cold) = &self.cold else { return Ok(()) };
        let room = cold.lock().table_bytes();
        let mut held: usize = self.tables.values_mut().map(NamespaceTable::measure).sum();
        if held <= room {
            return Ok(());
        }
        let wanted = room - room / SPARE_SHARE;
        let mut by_use: Vec<(u64, Namespace)> = self.tables.values().filter_map(NamespaceTable::use_of).collect();
        by_use.sort_unstable();
        let newest = by_use.pop();
        for (_, namespace) in by_use {
            if held <= wanted {
                return Ok(());
            }
            held -= self.shrink(namespace, None)?;
        }
        match newest {
            Some((_, namespace)) if held > wanted => self.shrink(namespace, Some(held - wanted)).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// What the tables hold of what may be written away, as of the last call of [`make_room`](Self::make_room), and what
    /// they may hold. Without a store below they hold what they have to.
    pub fn cache_bytes(&self) -> (usize, usize) {
        let held = self.tables.values().filter_map(|table| table.cache.as_ref()).map(TableCache::held_bytes).sum();
        (held, self.cold.as_ref().map_or(usize::MAX, |cold| cold.lock().table_bytes()))
    }

    /// Frees so many bytes of a table, or all of it; answers how many these were.
    fn shrink(&mut self, namespace: Namespace, excess: Option<usize>) -> Result<usize, StateError> {
        let states = &self.states;
        self.tables.get_mut(&namespace).map_or(Ok(0), |table| table.shrink(excess, states))
    }

    /// Whether the tables are a cache of a store.
    fn is_cache(&self) -> bool {
        self.tables.values().any(|table| table.cache.is_some())
    }
}

/// The keys and states of one namespace.
pub struct NamespaceTable {
    index: KeyIndex,
    columns: Vec<Box<dyn StateColumn>>,
    /// None on the heap alone.
    cache: Option<TableCache>,
    /// None where every snapshot has everything.
    changes: Option<Changes>,
}

impl fmt::Debug for NamespaceTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamespaceTable").field("keys", &self.index.len()).finish()
    }
}

impl NamespaceTable {
    fn new(key_types: Arc<[DataType]>, states: &[(String, MakeColumn)]) -> Self {
        let columns = states.iter().map(|(_, make)| make()).collect();
        Self { index: KeyIndex::new(key_types), columns, cache: None, changes: None }
    }

    /// Makes the table, which is empty, a cache of the store, unless a column has to stay on the heap.
    fn cache_in(&mut self, namespace: Namespace, cold: &Option<Arc<Mutex<ColdPart>>>, names: &Arc<[String]>) {
        if let Some(cold) = cold
            && self.columns.iter().all(|column| column.is_evictable())
        {
            self.cache = Some(TableCache::new(namespace, cold.clone(), names.clone(), &self.columns));
        }
    }

    /// The table's keys. With a store below, those that are cached.
    pub fn index(&self) -> &KeyIndex {
        &self.index
    }

    /// The slots of `rows` of `keys`; new keys get slots, in which every column is empty.
    ///
    /// # Errors
    ///
    /// As [`KeyIndex::slots`]; also when the store cannot be read.
    pub fn slots(&mut self, keys: &KeyBatch, rows: Rows<'_>, slots: &mut Vec<Slot>) -> Result<(), StateError> {
        self.index.slots(keys, rows, slots)?;
        self.grow();
        if let Some(changes) = &mut self.changes {
            changes.resolved(&self.index, slots);
        }
        match &mut self.cache {
            Some(cache) => cache.resolved(&self.index, &mut self.columns, slots),
            None => Ok(()),
        }
    }

    /// The slots of `rows` of `keys`, [`NO_SLOT`](super::NO_SLOT) for keys that are neither here nor in the store.
    ///
    /// # Errors
    ///
    /// As [`slots`](Self::slots).
    pub fn known_slots(&mut self, keys: &KeyBatch, rows: Rows<'_>, slots: &mut Vec<Slot>) -> Result<(), StateError> {
        let Some(cache) = self.cache.as_mut().filter(|cache| cache.is_spilled()) else {
            self.index.find(keys, rows, slots)?;
            if let Some(changes) = &mut self.changes {
                changes.touch_known(&self.index, slots);
            }
            return Ok(());
        };
        self.index.slots(keys, rows, slots)?;
        let slot_count = self.index.slot_count();
        self.columns.iter_mut().for_each(|column| column.grow(slot_count));
        cache.resolved(&self.index, &mut self.columns, slots)?;
        let unknown = cache.without_row(self.index.fresh());
        cache.forget(&self.index, &unknown);
        self.columns.iter_mut().for_each(|column| column.clear(&unknown));
        self.index.remove(&unknown);
        for slot in slots.iter_mut().filter(|slot| unknown.contains(slot)) {
            *slot = NO_SLOT;
        }
        Ok(())
    }

    /// As [`slots`](Self::slots) for keys of which the store has nothing.
    fn new_slots(&mut self, keys: &KeyBatch, rows: Rows<'_>, slots: &mut Vec<Slot>) -> Result<(), StateError> {
        self.index.slots(keys, rows, slots)?;
        self.grow();
        if let Some(changes) = &mut self.changes {
            changes.resolved(&self.index, slots);
        }
        if let Some(cache) = &mut self.cache {
            cache.admit(&self.index);
            cache.touch(slots);
        }
        Ok(())
    }

    /// For every slot of `other`, the slot of the same key here, in a table that belongs to no namespace.
    ///
    /// # Errors
    ///
    /// As [`KeyIndex::slots_of`].
    pub fn slots_of(&mut self, other: &KeyIndex, slots: &mut Vec<Slot>) -> Result<(), StateError> {
        debug_assert!(self.cache.is_none() && self.changes.is_none(), "what is merged is not kept");
        self.index.slots_of(other, slots)?;
        self.grow();
        Ok(())
    }

    fn grow(&mut self) {
        let slots = self.index.slot_count();
        self.columns.iter_mut().for_each(|column| column.grow(slots));
    }

    /// Says that these slots are about to be changed, for an operator that did not get them from
    /// [`slots`](Self::slots) just now.
    pub fn touch(&mut self, slots: &[Slot]) {
        if let Some(changes) = &mut self.changes {
            changes.touch(&self.index, slots);
        }
        if let Some(cache) = &mut self.cache {
            cache.touch(slots);
        }
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

    /// Whether a slot holds anything in another state than this.
    ///
    /// # Panics
    ///
    /// When the slot was never given out.
    pub fn holds_more_than<C>(&self, state: StateId<C>, slot: Slot) -> bool {
        self.columns.iter().enumerate().any(|(position, column)| position != state.position && !column.is_empty(slot))
    }

    /// Whether what any column holds expires.
    pub fn expires(&self) -> bool {
        self.columns.iter().any(|column| column.time_to_live().is_some())
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
        if let Some(changes) = &mut self.changes {
            changes.touch(&self.index, &emptied);
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
        if let Some(changes) = &mut self.changes {
            changes.forget(&self.index, slots);
        }
        if let Some(cache) = &mut self.cache {
            cache.forget(&self.index, slots);
        }
        self.index.remove(slots);
    }

    fn measure(&mut self) -> usize {
        self.cache.as_mut().map_or(0, |cache| cache.measure(&self.index, &self.columns))
    }

    fn use_of(&self) -> Option<(u64, Namespace)> {
        let cache = self.cache.as_ref().filter(|_| !self.index.is_empty())?;
        Some((cache.last_use, cache.namespace))
    }

    fn shrink(&mut self, excess: Option<usize>, states: &[(String, MakeColumn)]) -> Result<usize, StateError> {
        let Some(cache) = &mut self.cache else { return Ok(0) };
        let before = cache.held_bytes();
        match excess {
            Some(excess) => {
                cache.shrink_to(before.saturating_sub(excess), &mut self.index, &mut self.columns)?;
            }
            None => cache.evict_all(&mut self.index, &mut self.columns)?,
        }
        let freed = before - cache.held_bytes();
        if self.index.is_empty() {
            // Whose slots are all free gives their memory back.
            self.index = KeyIndex::new(self.index.types().clone());
            self.columns = states.iter().map(|(_, make)| make()).collect();
            cache.reset();
        }
        Ok(freed)
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
    fn state_that_has_expired_in_the_store_is_neither_found_nor_saved() {
        let mut backend = KeyedStateBackend::new();
        let stores = Arc::new(crate::state::cold::MemoryColdStores::new(0));
        let runtime = crate::operator::harness::OperatorHarness::runtime();
        backend.open(&OperatorRuntime { cold_stores: Some(stores), ..runtime }).unwrap();
        let count = backend.register("count", || ExpiringValues::new(Ttl { millis: 10 }, numbers())).unwrap();
        let flag = backend.register("flag", || ValueColumn::new(booleans())).unwrap();
        let batch = keys(0..10);
        let mut slots = Vec::new();
        let table = backend.table(Namespace::Void, batch.types());
        table.slots(&batch, Rows::All(10), &mut slots).unwrap();
        for slot in &slots {
            *table.column_mut(count).entry(*slot, i64::from(*slot)) = Some(1);
        }
        *table.column_mut(flag).entry(3) = Some(true);
        backend.make_room().unwrap();
        assert_eq!(backend.existing(Namespace::Void).unwrap().index().len(), 0);
        backend.expire_stored(16);
        let mut saved = crate::checkpoint::snapshot::OperatorSnapshot::default();
        backend.save("state", 128, &mut saved).unwrap();
        // Used at 7, 8 and 9; and what else the key has does not expire.
        assert_eq!(saved.collect().unwrap().keyed[0].rows.num_rows(), 4);
        let table = backend.table(Namespace::Void, batch.types());
        table.slots(&batch, Rows::All(10), &mut slots).unwrap();
        let found: Vec<bool> = slots.iter().map(|slot| table.column(count).get(*slot).is_some()).collect();
        assert_eq!(found, [false, false, false, true, false, false, false, true, true, true]);
        assert_eq!(table.column(flag).get(slots[3]), Some(&true));
    }

    #[test]
    fn what_was_only_saved_is_not_looked_for_in_the_store_and_is_removed_with_its_window() {
        let mut backend = KeyedStateBackend::new();
        let stores = Arc::new(crate::state::cold::MemoryColdStores::new(1 << 20));
        let runtime = crate::operator::harness::OperatorHarness::runtime();
        backend.open(&OperatorRuntime { cold_stores: Some(stores), ..runtime }).unwrap();
        let count = backend.register("count", || ValueColumn::new(numbers())).unwrap();
        let batch = keys(0..10);
        let mut slots = Vec::new();
        let window = Namespace::Window(TimeWindow::new(0, 10));
        for namespace in [window, Namespace::Void] {
            let table = backend.table(namespace, batch.types());
            table.slots(&batch, Rows::All(10), &mut slots).unwrap();
            slots.iter().for_each(|slot| *table.column_mut(count).entry(*slot) = Some(1));
        }
        let rows = |backend: &mut KeyedStateBackend| {
            let mut saved = crate::checkpoint::snapshot::OperatorSnapshot::default();
            backend.save("state", 128, &mut saved).unwrap();
            saved.collect().unwrap().keyed[0].rows.num_rows()
        };
        assert_eq!(rows(&mut backend), 20);
        assert!(!backend.is_spilled(window), "all of its keys are in the table");
        backend.write_away(window).unwrap();
        assert!(backend.is_spilled(window) && !backend.is_spilled(Namespace::Void));
        backend.drop_namespace(window).unwrap();
        assert_eq!(rows(&mut backend), 10);
        backend.drop_namespace(Namespace::Void).unwrap();
        let table = backend.table(Namespace::Void, batch.types());
        table.slots(&batch, Rows::All(10), &mut slots).unwrap();
        assert!(slots.iter().all(|slot| table.column(count).get(*slot).is_none()), "its rows went with it");
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
