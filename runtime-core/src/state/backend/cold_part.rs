//! A backend's side of its store: slots become rows and rows become slots, a batch at once.

use std::sync::Arc;

use arrow::array::ArrayRef;

use super::Namespace;
use crate::key_group::KeyGroupRange;
use crate::operator::OperatorRuntime;
use crate::state::cold::{ByteRows, CacheShare, ColdSnapshot, ColdStore, FoundRows, KeyedRows, OpenedStore, ScanLimit};
use crate::state::row_format::RowFormat;
use crate::state::{KeyIndex, Slot, StateColumn, StateError, row_key};

/// How many slots are written at once: enough for the columns' sake, few enough for their values to be small.
const WRITE_ROWS: usize = 4096;

/// The store of one backend and what its rows look like.
pub(super) struct ColdPart {
    store: Box<dyn ColdStore>,
    share: CacheShare,
    max_parallelism: u32,
    groups: KeyGroupRange,
    form: Option<Arc<StoredForm>>,
    /// Keys of rows that are still in the store and are void.
    removed: ByteRows,
    keys: ByteRows,
    found: FoundRows,
    rows: KeyedRows,
}

/// What a stored row consists of: known from the first row on.
#[derive(Debug)]
pub(super) struct StoredForm {
    pub(super) format: RowFormat,
    /// The positions of the states that are stored, which are those that are part of a snapshot.
    pub(super) states: Vec<usize>,
}

/// Rows of one moment, and what they consist of.
pub(super) type StoredRows = (Box<dyn ColdSnapshot>, Arc<StoredForm>);

impl ColdPart {
    pub(super) fn new(opened: OpenedStore, runtime: &OperatorRuntime) -> Self {
        Self {
            store: opened.store,
            share: opened.cache,
            max_parallelism: runtime.max_parallelism,
            groups: runtime.key_groups(),
            form: None,
            removed: ByteRows::default(),
            keys: ByteRows::default(),
            found: FoundRows::default(),
            rows: KeyedRows::default(),
        }
    }

    /// What the tables may hold on the heap.
    pub(super) fn cache_bytes(&self) -> usize {
        self.share.bytes()
    }

    /// The row of a key is void.
    pub(super) fn remove(&mut self, index: &KeyIndex, slot: Slot, namespace: Namespace) {
        self.removed.push_with(|bytes| row_key::append(bytes, index, slot, namespace, self.max_parallelism));
    }

    /// All rows of a namespace are void.
    pub(super) fn remove_namespace(&mut self, namespace: Namespace) -> Result<(), StateError> {
        for group in self.groups.start..self.groups.end {
            let (from, until) = row_key::range(group, namespace);
            self.store.remove_range(&from, &until)?;
        }
        Ok(())
    }

    fn settle_removed(&mut self) -> Result<(), StateError> {
        if !self.removed.is_empty() {
            self.rows.clear();
            self.store.write(&self.rows, &self.removed)?;
            self.removed.clear();
        }
        Ok(())
    }

    /// Writes the slots' rows.
    pub(super) fn write(
        &mut self,
        namespace: Namespace,
        index: &KeyIndex,
        columns: &mut [Box<dyn StateColumn>],
        names: &[String],
        slots: &[Slot],
    ) -> Result<(), StateError> {
        for slots in slots.chunks(WRITE_ROWS) {
            let (values, states) = stored_columns(columns, names, slots)?;
            let unwritable = |reason| StateError::Snapshot { name: names.join("`, `"), reason: Box::new(reason) };
            let form = match &self.form {
                Some(form) => form.clone(),
                None => Arc::new(StoredForm { format: RowFormat::of(&values).map_err(unwritable)?, states }),
            };
            self.rows.clear();
            let max_parallelism = self.max_parallelism;
            for slot in slots {
                self.rows.keys.push_with(|bytes| row_key::append(bytes, index, *slot, namespace, max_parallelism));
            }
            form.format.encode(&values, slots.len(), &mut self.rows.values).map_err(unwritable)?;
            self.form = Some(form);
            self.store.write(&self.rows, &self.removed)?;
            self.removed.clear();
        }
        Ok(())
    }

    /// Fills slots of keys that have rows; answers which of `slots` these are.
    pub(super) fn read(
        &mut self,
        namespace: Namespace,
        index: &KeyIndex,
        columns: &mut [Box<dyn StateColumn>],
        names: &[String],
        slots: &[Slot],
    ) -> Result<Vec<Slot>, StateError> {
        self.settle_removed()?;
        let Some(form) = &self.form else { return Ok(Vec::new()) };
        self.keys.clear();
        let max_parallelism = self.max_parallelism;
        for slot in slots {
            self.keys.push_with(|bytes| row_key::append(bytes, index, *slot, namespace, max_parallelism));
        }
        self.store.read(&self.keys, &mut self.found)?;
        let found: Vec<Slot> = self.found.positions.iter().map(|position| slots[*position as usize]).collect();
        if !found.is_empty() {
            form.restore(self.found.values.iter(), columns, names, &found)?;
        }
        Ok(found)
    }

    /// The key groups of the operator instance.
    pub(super) fn groups(&self) -> KeyGroupRange {
        self.groups
    }

    /// Adds rows of the store to `rows`, see [`ColdStore::scan`].
    pub(super) fn scan(
        &mut self,
        from: &[u8],
        until: &[u8],
        limit: ScanLimit,
        rows: &mut KeyedRows,
    ) -> Result<(), StateError> {
        self.settle_removed()?;
        Ok(self.store.scan(from, until, limit, rows)?)
    }

    /// Puts rows that were scanned into slots, which are empty.
    pub(super) fn restore<'r>(
        &self,
        rows: impl Iterator<Item = &'r [u8]>,
        columns: &mut [Box<dyn StateColumn>],
        names: &[String],
        slots: &[Slot],
    ) -> Result<(), StateError> {
        self.form.as_ref().map_or(Ok(()), |form| form.restore(rows, columns, names, slots))
    }

    /// The rows of this moment, and what they consist of; none when there are none.
    pub(super) fn snapshot(&mut self) -> Result<Option<StoredRows>, StateError> {
        self.settle_removed()?;
        let Some(form) = self.form.clone() else { return Ok(None) };
        Ok(Some((self.store.snapshot()?, form)))
    }
}

impl StoredForm {
    /// Puts rows into slots, which are empty.
    pub(super) fn restore<'r>(
        &self,
        rows: impl Iterator<Item = &'r [u8]>,
        columns: &mut [Box<dyn StateColumn>],
        names: &[String],
        slots: &[Slot],
    ) -> Result<(), StateError> {
        let unreadable = |reason| StateError::Restore { name: names.join("`, `"), reason: Box::new(reason) };
        let values = self.format.decode(rows).map_err(unreadable)?;
        for (state, values) in self.states.iter().zip(&values) {
            columns[*state]
                .restore(slots, values)
                .map_err(|reason| StateError::Restore { name: names[*state].clone(), reason: Box::new(reason) })?;
        }
        Ok(())
    }
}

/// The values of `slots` in the states that are part of a snapshot, and the positions of these.
fn stored_columns(
    columns: &mut [Box<dyn StateColumn>],
    names: &[String],
    slots: &[Slot],
) -> Result<(Vec<ArrayRef>, Vec<usize>), StateError> {
    let (mut stored, mut positions) = (Vec::with_capacity(columns.len()), Vec::with_capacity(columns.len()));
    for (position, column) in columns.iter_mut().enumerate() {
        let values = column
            .snapshot(slots)
            .map_err(|reason| StateError::Snapshot { name: names[position].clone(), reason: Box::new(reason) })?;
        if let Some(values) = values {
            stored.push(values);
            positions.push(position);
        }
    }
    Ok((stored, positions))
}
