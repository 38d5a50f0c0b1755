//! Walks over the keys of a namespace that are in the store: for windows that fire, and for functions that look at all of
//! their keys.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;

use super::table_cache::TableCache;
use super::{KeyedStateBackend, Namespace, NamespaceTable};
use crate::key_group::KeyGroup;
use crate::state::cold::{KeyedRows, ScanLimit};
use crate::state::key_index::key_columns;
use crate::state::row_key::{self, RowKey};
use crate::state::{KeyBatch, NO_SLOT, Rows, Slot, StateError, row_expiry};

/// How many keys are on the heap at once beside those of the table.
const CHUNK: ScanLimit = ScanLimit { rows: 8192, bytes: 4 << 20 };

/// How many keys are looked at at once.
const KEYS: ScanLimit = ScanLimit { rows: 1024, bytes: 1 << 20 };

impl KeyedStateBackend {
    /// Whether keys of the namespace may be in the store and not in its table.
    pub fn is_spilled(&self, namespace: Namespace) -> bool {
        let cache = self.tables.get(&namespace).and_then(|table| table.cache.as_ref());
        cache.is_some_and(TableCache::is_spilled)
    }

    /// Writes all keys of a namespace to the store, if it has one.
    ///
    /// # Errors
    ///
    /// When they cannot be written.
    pub fn write_away(&mut self, namespace: Namespace) -> Result<(), StateError> {
        self.shrink(namespace, None).map(|_| ())
    }

    /// The key groups that the store may have keys of.
    pub fn stored_groups(&self) -> impl Iterator<Item = KeyGroup> + use<> {
        let range = self.cold.as_ref().map(|cold| cold.lock().groups());
        range.into_iter().flat_map(|range| range.start..range.end).map(KeyGroup)
    }

    /// The next keys of a group that the store has in a namespace, as columns, from the row key `from` on, which goes on
    /// behind them; none behind the last. `from` is empty before the first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn stored_keys(
        &mut self,
        namespace: Namespace,
        group: KeyGroup,
        from: &mut Vec<u8>,
    ) -> Result<Option<Vec<ArrayRef>>, StateError> {
        let (Some(cold), Some(table)) = (&self.cold, self.tables.get(&namespace)) else { return Ok(None) };
        let mut cold = cold.lock();
        let Some(kind) = cold.kind() else { return Ok(None) };
        let (first, until) = row_key::range(kind, group.0, namespace);
        let mut rows = KeyedRows::default();
        cold.scan(if from.is_empty() { &first } else { from }, &until, KEYS, &mut rows)?;
        let Some(last) = rows.keys.last() else { return Ok(None) };
        *from = row_key::successor(last);
        let now = cold.now();
        let lasting = rows.keys.iter().zip(rows.values.iter()).filter(|(key, row)| !row_expiry::is_void(key, row, now));
        let keys = lasting.map(|(key, _)| Ok(RowKey::read(key)?.key)).collect::<Result<Vec<_>, StateError>>()?;
        key_columns(table.index.types(), keys).map(Some)
    }

    /// Gives `visit` the keys of a namespace that are in the store and not in its table, some thousands at a time, each
    /// time in a table of their own. Nothing becomes of what is changed there.
    ///
    /// # Errors
    ///
    /// When the store cannot be read, and what `visit` fails with.
    pub fn for_each_stored<E: From<StateError>>(
        &mut self,
        namespace: Namespace,
        mut visit: impl FnMut(&mut NamespaceTable) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.is_spilled(namespace) {
            return Ok(());
        }
        let mut rows = KeyedRows::default();
        for group in self.stored_groups() {
            self.scan(namespace, group, &mut rows, &mut visit)?;
        }
        self.visit(namespace, &mut rows, &mut visit)
    }

    /// The same for the keys of one key group.
    ///
    /// # Errors
    ///
    /// As [`for_each_stored`](Self::for_each_stored).
    pub fn for_each_stored_in<E: From<StateError>>(
        &mut self,
        namespace: Namespace,
        group: KeyGroup,
        mut visit: impl FnMut(&mut NamespaceTable) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.is_spilled(namespace) {
            return Ok(());
        }
        let mut rows = KeyedRows::default();
        self.scan(namespace, group, &mut rows, &mut visit)?;
        self.visit(namespace, &mut rows, &mut visit)
    }

    /// Collects the rows of one key group behind those that are in `rows`, which are visited when they are enough.
    fn scan<E: From<StateError>>(
        &mut self,
        namespace: Namespace,
        group: KeyGroup,
        rows: &mut KeyedRows,
        visit: &mut impl FnMut(&mut NamespaceTable) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(kind) = self.cold.as_ref().and_then(|cold| cold.lock().kind()) else { return Ok(()) };
        let (mut from, until) = row_key::range(kind, group.0, namespace);
        loop {
            let Some(cold) = &self.cold else { return Ok(()) };
            let before = rows.len();
            cold.lock().scan(&from, &until, CHUNK, rows)?;
            if rows.len() > before
                && let Some(last) = rows.keys.last()
            {
                from = row_key::successor(last);
            }
            if !CHUNK.is_reached(rows) {
                return Ok(());
            }
            self.visit(namespace, rows, visit)?;
        }
    }

    fn visit<E: From<StateError>>(
        &mut self,
        namespace: Namespace,
        rows: &mut KeyedRows,
        visit: &mut impl FnMut(&mut NamespaceTable) -> Result<(), E>,
    ) -> Result<(), E> {
        let table = self.uncached(namespace, rows)?;
        rows.clear();
        match table {
            Some(mut table) => visit(&mut table),
            None => Ok(()),
        }
    }

    /// A table of those `rows` whose keys are not in the namespace's table.
    fn uncached(&self, namespace: Namespace, rows: &KeyedRows) -> Result<Option<NamespaceTable>, StateError> {
        let (Some(known), Some(cold)) = (self.tables.get(&namespace), &self.cold) else { return Ok(None) };
        let key_types: Arc<[DataType]> = known.index.types().clone();
        let keys = rows.keys.iter().map(|key| Ok(RowKey::read(key)?.key)).collect::<Result<Vec<_>, StateError>>()?;
        let mut batch = KeyBatch::default();
        batch.read(&key_columns(&key_types, keys)?, rows.len())?;
        let mut slots: Vec<Slot> = Vec::new();
        known.index.find(&batch, Rows::All(rows.len()), &mut slots)?;
        let wanted: Vec<u32> = (0..).zip(&slots).filter(|(_, slot)| **slot == NO_SLOT).map(|(row, _)| row).collect();
        if wanted.is_empty() {
            return Ok(None);
        }
        let mut table = self.detached(key_types);
        table.slots(&batch, Rows::Picked(&wanted), &mut slots)?;
        let values = wanted.iter().map(|row| rows.values.get(*row as usize));
        cold.lock().restore(values, &mut table.columns, &self.names, &slots)?;
        Ok(Some(table))
    }
}
