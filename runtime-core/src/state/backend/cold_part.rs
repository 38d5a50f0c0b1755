//! A backend's side of its store: slots become rows and rows become slots, a batch at once.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;

use super::Namespace;
use crate::key_group::KeyGroupRange;
use crate::operator::OperatorRuntime;
use crate::state::cold::{
    ByteRows, CacheShare, ColdFiles, ColdSnapshot, ColdStore, FoundRows, KeyedRows, OpenedStore, ScanLimit,
};
use crate::state::files::{Increments, StoredPart};
use crate::state::row_format::RowFormat;
use crate::state::row_key::SlotRows;
use crate::state::{ColumnError, KeyIndex, Slot, StateColumn, StateError, Ttl, row_expiry, row_key};
use crate::time::EpochMillis;

/// How many slots are written at once: enough for the columns' sake,
const WRITE_ROWS: std::ops::RangeInclusive<usize> = 64..=4096;

/// few enough for their rows, which are in memory several times meanwhile, to be about this.
const WRITE_BYTES: usize = 256 << 10;

/// The store of one backend and what its rows look like.
pub(in crate::state) struct ColdPart {
    store: Box<dyn ColdStore>,
    share: CacheShare,
    /// How many clocks' timers are in the store.
    clocks: usize,
    max_parallelism: u32,
    groups: KeyGroupRange,
    increments: Increments,
    form: Option<Arc<StoredForm>>,
    /// How many slots are written at once, going by what rows weighed so far.
    write_rows: usize,
    /// What is void at this time need not be found any more.
    now: EpochMillis,
    /// Keys of rows that are still in the store and are void.
    removed: ByteRows,
    keys: ByteRows,
    found: FoundRows,
    rows: KeyedRows,
}

/// What a stored row consists of: known from the first row on.
#[derive(Debug)]
pub(super) struct StoredForm {
    pub(super) kind: SlotRows,
    format: RowFormat,
    /// The positions of the states that are stored, which are those that are part of a snapshot.
    pub(super) states: Vec<usize>,
    /// How long each of them lives: rows begin with the time at which this is over.
    pub(super) lives: Vec<Option<Ttl>>,
}

impl ColdPart {
    pub(super) fn new(opened: OpenedStore, runtime: &OperatorRuntime) -> Self {
        Self {
            store: opened.store,
            share: opened.cache,
            clocks: 0,
            max_parallelism: runtime.max_parallelism,
            groups: runtime.key_groups(),
            increments: runtime.increments.clone(),
            form: None,
            write_rows: *WRITE_ROWS.start(),
            now: EpochMillis::MIN,
            removed: ByteRows::default(),
            keys: ByteRows::default(),
            found: FoundRows::default(),
            rows: KeyedRows::default(),
        }
    }

    /// What the tables may hold on the heap.
    pub(super) fn table_bytes(&self) -> usize {
        self.share.bytes() - self.clocks * self.clock_bytes()
    }

    /// What the timers of one clock may hold on the heap.
    pub(in crate::state) fn clock_bytes(&self) -> usize {
        self.share.bytes() / 8
    }

    /// The timers of one more clock are in the store.
    pub(in crate::state) fn add_clock(&mut self) {
        self.clocks += 1;
    }

    /// How many key groups there are in all.
    pub(in crate::state) fn max_parallelism(&self) -> u32 {
        self.max_parallelism
    }

    /// The clock that states expire by has come to `now`.
    pub(super) fn expire(&mut self, now: EpochMillis) {
        if now > self.now {
            self.now = now;
            self.store.expire(now);
        }
    }

    /// The row of a key is not wanted any more.
    pub(super) fn remove(&mut self, index: &KeyIndex, slot: Slot, namespace: Namespace) {
        if let Some(form) = &self.form {
            let max_parallelism = self.max_parallelism;
            self.removed.push_with(|bytes| row_key::append(bytes, form.kind, index, slot, namespace, max_parallelism));
        }
    }

    /// All rows of a namespace are not wanted any more.
    pub(super) fn remove_namespace(&mut self, namespace: Namespace) -> Result<(), StateError> {
        let Some(kind) = self.form.as_ref().map(|form| form.kind) else { return Ok(()) };
        for group in self.groups.start..self.groups.end {
            let (from, until) = row_key::range(kind, group, namespace);
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
        let expires = columns.iter().any(|column| column.time_to_live().is_some());
        let mut times = Vec::new();
        let mut left = slots;
        while !left.is_empty() {
            let (slots, rest) = left.split_at(self.write_rows.min(left.len()));
            left = rest;
            times.clear();
            if expires {
                times.resize(slots.len(), EpochMillis::MIN);
                columns.iter().for_each(|column| column.raise_expiry(slots, self.now, &mut times));
            }
            let (values, states) = stored_columns(columns, names, slots)?;
            let unwritable = |reason| StateError::Snapshot { name: names.join("`, `"), reason: Box::new(reason) };
            let form = match &self.form {
                Some(form) => form.clone(),
                None => Arc::new(StoredForm {
                    kind: kind_of(expires),
                    format: RowFormat::of(&values).map_err(unwritable)?,
                    lives: states.iter().map(|state| columns[*state].time_to_live()).collect(),
                    states,
                }),
            };
            self.rows.clear();
            let max_parallelism = self.max_parallelism;
            for slot in slots {
                let append =
                    |bytes: &mut Vec<u8>| row_key::append(bytes, form.kind, index, *slot, namespace, max_parallelism);
                self.rows.keys.push_with(append);
            }
            let begin = |position: usize, bytes: &mut Vec<u8>| {
                if let Some(time) = times.get(position) {
                    bytes.extend_from_slice(&row_expiry::begin(*time));
                }
            };
            form.format.encode(&values, slots.len(), begin, &mut self.rows.values).map_err(unwritable)?;
            self.form = Some(form);
            let row_bytes = self.rows.byte_len() / slots.len();
            self.write_rows = (WRITE_BYTES / row_bytes.max(1)).clamp(*WRITE_ROWS.start(), *WRITE_ROWS.end());
            self.store.write(&self.rows, &self.removed)?;
            self.removed.clear();
        }
        Ok(())
    }

    /// Fills slots of keys that have rows which are not void; answers which of `slots` these are.
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
            self.keys.push_with(|bytes| row_key::append(bytes, form.kind, index, *slot, namespace, max_parallelism));
        }
        self.store.read(&self.keys, &mut self.found)?;
        let (mut found, mut rows) = (Vec::new(), Vec::new());
        for (position, row) in self.found.positions.iter().zip(self.found.values.iter()) {
            if !row_expiry::is_void(self.keys.get(*position as usize), row, self.now) {
                found.push(slots[*position as usize]);
                rows.push(row);
            }
        }
        if !found.is_empty() {
            form.restore(rows.into_iter(), columns, names, &found)?;
        }
        Ok(found)
    }

    /// The key groups of the operator instance.
    pub(in crate::state) fn groups(&self) -> KeyGroupRange {
        self.groups
    }

    /// Adds rows of the store to `rows`, see [`ColdStore::scan`].
    pub(in crate::state) fn scan(
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

    /// Writes and removes rows that are not those of slots.
    pub(in crate::state) fn write_rows(&mut self, rows: &KeyedRows, removed: &ByteRows) -> Result<(), StateError> {
        Ok(self.store.write(rows, removed)?)
    }

    /// The rows of this moment, of whatever kind.
    pub(in crate::state) fn hold_rows(&mut self) -> Result<Box<dyn ColdSnapshot>, StateError> {
        Ok(self.store.snapshot()?)
    }

    /// Of which kind the rows of slots are, once there are any.
    pub(super) fn kind(&self) -> Option<SlotRows> {
        Some(self.form.as_ref()?.kind)
    }

    /// What is void at this time need not be found any more.
    pub(super) fn now(&self) -> EpochMillis {
        self.now
    }

    /// What the rows of slots consist of, once there are any.
    pub(super) fn form(&self) -> Option<Arc<StoredForm>> {
        self.form.clone()
    }

    /// The rows of this moment.
    pub(super) fn hold_all(&mut self) -> Result<Arc<dyn ColdSnapshot>, StateError> {
        self.settle_removed()?;
        Ok(self.store.snapshot()?.into())
    }

    /// Whether the snapshot that is being taken consists of files.
    pub(in crate::state) fn wants_files(&self) -> bool {
        self.increments.current().is_some() && self.store.has_files()
    }

    /// The rows of this moment, as files.
    pub(super) fn files(&mut self) -> Result<Arc<dyn ColdFiles>, StateError> {
        self.settle_removed()?;
        Ok(self.store.files()?)
    }

    /// Takes over the rows in a store's files, as far as they are of this instance's key groups; whether it can.
    pub(super) fn adopt(&mut self, part: &StoredPart, form: StoredForm) -> Result<bool, StateError> {
        if !self.store.has_files() {
            return Ok(false);
        }
        self.store.adopt(part.files.path())?;
        for foreign in [part.groups.start..part.own.start, part.own.end..part.groups.end] {
            if !foreign.is_empty() {
                for (from, until) in row_key::of_groups(form.kind, foreign) {
                    self.store.remove_range(&from, &until)?;
                }
            }
        }
        self.form = Some(Arc::new(form));
        Ok(true)
    }
}

fn kind_of(expires: bool) -> SlotRows {
    if expires { SlotRows::Expiring } else { SlotRows::Lasting }
}

impl StoredForm {
    /// The form of rows of such columns, in which there may be nothing yet.
    pub(super) fn of(columns: &mut [Box<dyn StateColumn>], names: &[String]) -> Result<Self, StateError> {
        let expires = columns.iter().any(|column| column.time_to_live().is_some());
        let (values, states) = stored_columns(columns, names, &[])?;
        let unwritable = |reason| StateError::Snapshot { name: names.join("`, `"), reason: Box::new(reason) };
        let lives = states.iter().map(|state| columns[*state].time_to_live()).collect();
        Ok(Self { kind: kind_of(expires), format: RowFormat::of(&values).map_err(unwritable)?, states, lives })
    }

    /// The form of rows of values of these types that live so long.
    pub(super) fn of_types(kind: SlotRows, types: &[DataType], lives: Vec<Option<Ttl>>) -> Result<Self, ColumnError> {
        Ok(Self { kind, format: RowFormat::of_types(types)?, states: (0..types.len()).collect(), lives })
    }

    /// Whether rows of the one are rows of the other, wherever their states are.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.kind == other.kind && self.lives == other.lives && self.format.types() == other.format.types()
    }

    /// The values in these rows, a column for each state.
    pub(super) fn decode<'r>(&self, rows: impl Iterator<Item = &'r [u8]>) -> Result<Vec<ArrayRef>, ColumnError> {
        match self.kind {
            SlotRows::Lasting => self.format.decode(rows),
            SlotRows::Expiring => self.format.decode(rows.map(row_expiry::values)),
        }
    }

    /// Puts rows into slots, which are empty.
    pub(super) fn restore<'r>(
        &self,
        rows: impl Iterator<Item = &'r [u8]>,
        columns: &mut [Box<dyn StateColumn>],
        names: &[String],
        slots: &[Slot],
    ) -> Result<(), StateError> {
        let unreadable = |reason| StateError::Restore { name: names.join("`, `"), reason: Box::new(reason) };
        let values = self.decode(rows).map_err(unreadable)?;
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
